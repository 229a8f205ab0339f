/** Deleted sessions: gone everywhere, kept for a while. */

import type { Page, Session } from "../models.js";
import type { WriteOptions } from "../transport.js";
import { eachOf, type Paging, Resource } from "./resource.js";

export class Trash extends Resource {
  async list(options: Paging = {}): Promise<Page<Session>> {
    return this.page("/api/sessions/trash", "sessions", options);
  }

  each(options: Paging = {}): AsyncGenerator<Session> {
    return eachOf((cursor) => this.list({ ...options, cursor }));
  }

  /** The session as it was, with all it holds. */
  async restore(sessionId: string, options: WriteOptions = {}): Promise<Session> {
    return (await this.post(`/api/sessions/${sessionId}/restore`, undefined, options)).session;
  }

  /** For good, with messages and pictures; from the list or from the trash. */
  async delete(sessionId: string, options: WriteOptions = {}): Promise<void> {
    await this.destroy(`/api/sessions/${sessionId}`, { ...options, query: { permanent: true } });
  }
}
