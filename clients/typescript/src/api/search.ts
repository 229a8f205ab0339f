/** Finding messages and sessions. */

import type { Page, Role, SearchResult } from "../models.js";
import { eachOf, type Paging, Resource } from "./resource.js";

export interface SearchFilter {
  type?: "message" | "session";
  sessionId?: string;
  role?: Role;
  hasImage?: boolean;
  from?: string;
  to?: string;
}

export class Search extends Resource {
  /** All words of `q`, the last one as a prefix; "quoted phrases" exactly; Chinese without spaces. */
  async find(q: string, options: SearchFilter & Paging = {}): Promise<Page<SearchResult>> {
    return this.page("/api/search", "results", { q, ...options } as Paging);
  }

  each(q: string, options: SearchFilter & Paging = {}): AsyncGenerator<SearchResult> {
    return eachOf((cursor) => this.find(q, { ...options, cursor }));
  }
}
