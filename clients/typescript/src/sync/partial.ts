/** Objects too large for the log come as their ids; here they are fetched. */

import type { NanobananaClient } from "../client.js";
import { ApiError } from "../errors.js";
import type { CallOptions } from "../transport.js";
import type { Change } from "./notices.js";

/** The change with its object; null when that is gone meanwhile, which a later event tells. */
export async function completed(
  client: NanobananaClient,
  change: Change,
  options: CallOptions,
): Promise<Change | null> {
  try {
    return { ...change, ...(await objectOf(client, change, options)) } as Change;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

async function objectOf(client: NanobananaClient, change: Change, options: CallOptions): Promise<object> {
  if ("messageId" in change) return { message: await client.messages.get(change.messageId, options) };
  if ("imageId" in change) return { image: await client.images.get(change.imageId, options) };
  if (change.sessionId !== null) return { session: await client.sessions.get(change.sessionId, options) };
  return { user: await client.accounts.me(options) };
}
