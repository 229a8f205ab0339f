/** Messages, their pictures and their history. */

import type { Branches, Image, Message, Page, Revision, Role } from "../models.js";
import type { Call, CallOptions, WriteOptions } from "../transport.js";
import { eachOf, type Paging, Resource } from "./resource.js";

export interface MessageFilter {
  order?: "asc" | "desc";
  /** The id of a message. */
  before?: string;
  /** The id of a message. */
  after?: string;
  branch?: "active" | "all";
}

export interface NewMessage {
  role?: Role;
  text?: string;
  params?: Record<string, unknown>;
  imageIds?: string[];
  editedOf?: string;
}

export interface MessageChanges {
  text?: string;
  params?: Record<string, unknown>;
  imageIds?: string[];
}

export interface Conditional extends WriteOptions {
  /** The revision that was read: a message that has moved on is left as it is (412). */
  ifMatch?: number;
}

export class Messages extends Resource {
  /** Oldest first, 50 a page, each with its pictures. */
  async list(sessionId: string, options: MessageFilter & Paging = {}): Promise<Page<Message>> {
    return this.page(`/api/sessions/${sessionId}/messages`, "messages", options);
  }

  each(sessionId: string, options: MessageFilter & Paging = {}): AsyncGenerator<Message> {
    return eachOf((cursor) => this.list(sessionId, { ...options, cursor }));
  }

  async create(sessionId: string, message: NewMessage, options: WriteOptions = {}): Promise<Message> {
    const body = { role: "user", ...message };
    return (await this.post(`/api/sessions/${sessionId}/messages`, body, options)).messageData;
  }

  async get(messageId: string, options: CallOptions = {}): Promise<Message> {
    return (await this.fetch(`/api/messages/${messageId}`, options)).message;
  }

  async update(messageId: string, changes: MessageChanges, options: Conditional = {}): Promise<Message> {
    return (await this.put(`/api/messages/${messageId}`, changes, conditional(options))).messageData;
  }

  async delete(messageId: string, options: Conditional = {}): Promise<void> {
    await this.destroy(`/api/messages/${messageId}`, conditional(options));
  }

  async images(messageId: string, options: CallOptions = {}): Promise<Image[]> {
    return (await this.fetch(`/api/messages/${messageId}/images`, options)).images;
  }

  async addImage(messageId: string, imageId: string, options: WriteOptions = {}): Promise<Message> {
    return (await this.post(`/api/messages/${messageId}/images`, { imageId }, options)).messageData;
  }

  async removeImage(messageId: string, imageId: string, options: WriteOptions = {}): Promise<Message> {
    return (await this.destroy(`/api/messages/${messageId}/images/${imageId}`, options)).messageData;
  }

  /** What it is, and what it was before each change, newest first, 20 a page. */
  async revisions(messageId: string, options: Paging = {}): Promise<Page<Revision>> {
    return this.page(`/api/messages/${messageId}/revisions`, "revisions", options);
  }

  eachRevision(messageId: string, options: Paging = {}): AsyncGenerator<Revision> {
    return eachOf((cursor) => this.revisions(messageId, { ...options, cursor }));
  }

  /** Make it what it was; a change like any other, so it can be taken back. */
  async restore(messageId: string, revision: number, options: Conditional = {}): Promise<Message> {
    const path = `/api/messages/${messageId}/restore`;
    return (await this.post(path, { revision }, conditional(options))).messageData;
  }

  /** The versions of a message that were made with `editedOf`, itself among them. */
  async branches(messageId: string, options: CallOptions = {}): Promise<Branches> {
    return this.fetch(`/api/messages/${messageId}/branches`, options);
  }
}

function conditional({ ifMatch, ...options }: Conditional): Call {
  return ifMatch === undefined ? options : { ...options, headers: { "If-Match": `"${ifMatch}"` } };
}
