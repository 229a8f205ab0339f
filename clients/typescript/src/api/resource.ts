/** What the calls of all nouns share. */

import type { Page, Pagination } from "../models.js";
import type { Call, CallOptions, Query, Transport } from "../transport.js";

/** Which page of a list; `cursor` is the `nextCursor` of the page before, and goes before `offset`. */
export interface Paging extends CallOptions {
  limit?: number;
  offset?: number;
  cursor?: string;
}

export class Resource {
  constructor(protected readonly transport: Transport) {}

  protected async fetch(path: string, options: Call = {}): Promise<any> {
    return (await this.transport.call("GET", path, options)).body;
  }

  protected async post(path: string, json?: unknown, options: Call = {}): Promise<any> {
    return (await this.transport.call("POST", path, { ...options, json })).body;
  }

  protected async put(path: string, json: unknown, options: Call = {}): Promise<any> {
    return (await this.transport.call("PUT", path, { ...options, json })).body;
  }

  protected async destroy(path: string, options: Call = {}): Promise<any> {
    return (await this.transport.call("DELETE", path, options)).body;
  }

  protected async page<Item, Paged = Pagination>(
    path: string,
    name: string,
    options: CallOptions,
  ): Promise<Page<Item, Paged>> {
    const { signal, ...query } = options;
    const call = { query: query as Query, signal };
    const { body, syncCursor } = await this.transport.call("GET", path, call);
    return { items: body[name] as Item[], pagination: body.pagination as Paged, syncCursor };
  }
}

/** All items of a list, page after page; right also when objects come and go meanwhile. */
export async function* eachOf<Item>(
  read: (cursor: string | undefined) => Promise<Page<Item, { nextCursor: string | null }>>,
): AsyncGenerator<Item, void, undefined> {
  let cursor: string | undefined;
  do {
    const { items, pagination } = await read(cursor);
    yield* items;
    cursor = pagination.nextCursor ?? undefined;
  } while (cursor);
}
