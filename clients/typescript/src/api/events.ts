/** The log of changes, for those who have no socket. SyncClient is more comfortable. */

import type { LogPage } from "../models.js";
import type { CallOptions } from "../transport.js";
import { Resource } from "./resource.js";

export const LONGEST_WAIT = 25; // seconds

export interface LogOptions extends CallOptions {
  sessionIds?: string[];
  /** Seconds to wait for something to come. */
  wait?: number;
  retries?: number;
}

export class Events extends Resource {
  /** What came after `cursor`, at once or within `wait` seconds; without one, the present position. */
  async since(cursor: string | null, options: LogOptions = {}): Promise<LogPage> {
    const { sessionIds = [], wait = 0, ...call } = options;
    const query = { since: cursor || null, wait, sessionId: sessionIds.join(",") || null };
    return this.fetch("/api/sync", { ...call, query, timeout: wait + 15 });
  }
}
