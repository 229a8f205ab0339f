/** Objects too large for the log come as their ids; here they are fetched. */

import type { NanobananaClient } from "../client.js";
import { ApiError } from "../errors.js";
import type { Change } from "./notices.js";

/** The change with its object; null when that is gone meanwhile, which a later event tells. */
export async function completed(client: NanobananaClient, change: Change): Promise<Change | null> {
  try {
    return { ...change, ...(await objectOf(client, change)) } as Change;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

async function objectOf(client: NanobananaClient, change: Change): Promise<object> {
  if ("messageId" in change) return { message: await client.messages.get(change.messageId) };
  if ("imageId" in change) return { image: await client.images.get(change.imageId) };
  if (change.sessionId !== null) return { session: await client.sessions.get(change.sessionId) };
  return { user: await client.accounts.me() };
}
