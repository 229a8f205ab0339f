/** Chats. */

import type { Page, PresentDevice, Session, Stats } from "../models.js";
import type { CallOptions, WriteOptions } from "../transport.js";
import { eachOf, type Paging, Resource } from "./resource.js";

export interface SessionFilter {
  /** Words of the title. */
  q?: string;
  tag?: string;
  archived?: boolean;
}

export interface SessionChanges {
  title?: string;
  pinned?: boolean;
  archived?: boolean;
  tags?: string[];
}

export class Sessions extends Resource {
  /** Pinned ones first, then the newest activity, 20 a page; archived ones only when asked for. */
  async list(options: SessionFilter & Paging = {}): Promise<Page<Session>> {
    return this.page("/api/sessions", "sessions", options);
  }

  /** All of them, `limit` at a time. */
  each(options: SessionFilter & Paging = {}): AsyncGenerator<Session> {
    return eachOf((cursor) => this.list({ ...options, cursor }));
  }

  /** Without a title it is “New Chat”, until the first message names it. */
  async create(title?: string, options: WriteOptions = {}): Promise<Session> {
    return (await this.post("/api/sessions", { title }, options)).session;
  }

  async get(sessionId: string, options: CallOptions = {}): Promise<Session> {
    return (await this.fetch(`/api/sessions/${sessionId}`, options)).session;
  }

  async update(sessionId: string, changes: SessionChanges, options: WriteOptions = {}): Promise<Session> {
    return (await this.put(`/api/sessions/${sessionId}`, changes, options)).session;
  }

  /** To the trash, from where `trash.restore` brings it back. */
  async delete(sessionId: string, options: WriteOptions = {}): Promise<void> {
    await this.destroy(`/api/sessions/${sessionId}`, options);
  }

  async stats(sessionId: string, options: CallOptions = {}): Promise<Stats> {
    return (await this.fetch(`/api/sessions/${sessionId}/stats`, options)).stats;
  }

  /** A copy with all messages, which shows the same pictures. */
  async duplicate(
    sessionId: string,
    { title, ...options }: { title?: string } & WriteOptions = {},
  ): Promise<Session> {
    return (await this.post(`/api/sessions/${sessionId}/duplicate`, { title }, options)).session;
  }

  /** Who of the account has a socket in it, the longest there first. */
  async presence(sessionId: string, options: CallOptions = {}): Promise<PresentDevice[]> {
    return (await this.fetch(`/api/sessions/${sessionId}/presence`, options)).devices;
  }

  /** The session with its messages and pictures, as a zip; `new Response(stream).blob()` makes a file of it. */
  async exportZip(sessionId: string, options: CallOptions = {}): Promise<ReadableStream<Uint8Array>> {
    return this.transport.stream(`/api/sessions/${sessionId}/export`, options);
  }

  /** All sessions of what an export gave, or none, with new ids. */
  async importZip(archive: Blob, options: WriteOptions = {}): Promise<Session[]> {
    const form = new FormData();
    form.set("archive", archive);
    return (await this.post("/api/sessions/import", undefined, { ...options, form })).sessions;
  }
}
