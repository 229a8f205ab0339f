/** Finding messages and sessions. */

import type { Role, SearchPage, SearchResult } from "../models.js";
import { eachOf, type Paging, Resource } from "./resource.js";

export interface SearchFilter {
  type?: "message" | "session";
  sessionId?: string;
  role?: Role;
  hasImage?: boolean;
  /** A time or a day, from its beginning. */
  since?: string;
  /** A time or a day, to its end. */
  until?: string;
  sort?: "newest" | "relevance";
}

export type SearchPaging = Omit<Paging, "offset">;

export class Search extends Resource {
  /** All words of `q`, the last one as a prefix; "quoted phrases" exactly; Chinese without spaces. */
  async find(q: string, options: SearchFilter & SearchPaging = {}): Promise<SearchPage> {
    const { since, until, ...rest } = options;
    return this.page("/api/search", "results", { ...rest, q, from: since, to: until } as SearchPaging);
  }

  each(q: string, options: SearchFilter & SearchPaging = {}): AsyncGenerator<SearchResult> {
    return eachOf((cursor) => this.find(q, { ...options, cursor }));
  }
}
