/** Chats. */

import type { Page, PresentDevice, Session, Stats } from "../models.js";
import type { CallOptions, WriteOptions } from "../transport.js";
import { eachOf, type Paging, Resource } from "./resource.js";

export interface SessionFilter {
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
  /** Newest activity first, 20 a page. */
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

  async duplicate(sessionId: string, options: WriteOptions = {}): Promise<Session> {
    return (await this.post(`/api/sessions/${sessionId}/duplicate`, undefined, options)).session;
  }

  /** Who of the account has a socket in it, the longest there first. */
  async presence(sessionId: string, options: CallOptions = {}): Promise<PresentDevice[]> {
    return (await this.fetch(`/api/sessions/${sessionId}/presence`, options)).devices;
  }

  /** The session with its messages and pictures, as a zip; `new Response(stream).blob()` makes a file of it. */
  async exportZip(sessionId: string, options: CallOptions = {}): Promise<ReadableStream<Uint8Array>> {
    return this.transport.stream(`/api/sessions/${sessionId}/export`, options);
  }
}
