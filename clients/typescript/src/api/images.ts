/** Pictures. */

import type { BatchResult, CleanUpResult, DirectUpload, Image, Page } from "../models.js";
import type { CallOptions, WriteOptions } from "../transport.js";
import { eachOf, type Paging, Resource } from "./resource.js";

export interface ImageFilter {
  /** Of one session, else all of the account. */
  sessionId?: string;
  /** Of a session's pictures those of one kind. */
  type?: string;
}

export interface UploadOptions extends WriteOptions {
  type?: string;
}

export class Images extends Resource {
  /** JPEG, PNG, WebP, GIF, AVIF or HEIC, such as a file of an `<input type="file">`. */
  async upload(sessionId: string, file: Blob, options: UploadOptions = {}): Promise<Image> {
    const { type, ...call } = options;
    const form = formOf(sessionId, type, "image", [file]);
    return (await this.post("/api/images/upload", undefined, { ...call, form })).image;
  }

  /** At most 10; those that are no pictures stand in `failed`, the others are stored. */
  async uploadBatch(sessionId: string, files: Iterable<Blob>, options: UploadOptions = {}): Promise<BatchResult> {
    const { type, ...call } = options;
    const form = formOf(sessionId, type, "images", files);
    return (await this.post("/api/images/upload/batch", undefined, { ...call, form })).results;
  }

  /** The same by way of `beginUpload`: with a cloud's storage, the bytes do not pass through the server. */
  async uploadDirectly(sessionId: string, file: Blob, options: UploadOptions = {}): Promise<Image> {
    const { type, signal } = options;
    const upload = await this.beginUpload(sessionId, { mime: file.type, size: file.size, type }, { signal });
    await this.transport.putBytes(upload.url, file, upload.headers, { signal });
    return this.completeUpload(upload.id, { signal });
  }

  /** Put the bytes where the answer says, then complete it. What does not fit them is refused. */
  async beginUpload(
    sessionId: string,
    announced: { mime: string; size: number; sha256?: string; type?: string },
    options: WriteOptions = {},
  ): Promise<DirectUpload> {
    return (await this.post("/api/images/uploads", { sessionId, ...announced }, options)).upload;
  }

  /** The picture that was put; 409 `upload_incomplete` before, 422 `upload_mismatch` when it is another. */
  async completeUpload(uploadId: string, options: WriteOptions = {}): Promise<Image> {
    return (await this.post(`/api/images/uploads/${uploadId}/complete`, undefined, options)).image;
  }

  /** Newest first, 100 a page. */
  async list({ sessionId, ...options }: ImageFilter & Paging = {}): Promise<Page<Image>> {
    const path = sessionId ? `/api/images/session/${sessionId}` : "/api/images/user/all";
    return this.page(path, "images", options);
  }

  each(options: ImageFilter & Paging = {}): AsyncGenerator<Image> {
    return eachOf((cursor) => this.list({ ...options, cursor }));
  }

  /** The picture with new signed addresses. */
  async get(imageId: string, options: CallOptions = {}): Promise<Image> {
    return (await this.fetch(`/api/images/${imageId}`, options)).image;
  }

  /** The bytes; `variant` is `original`, `display`, `thumb`, `small`, `medium` or `large`. */
  async content(
    imageId: string,
    variant = "original",
    options: CallOptions = {},
  ): Promise<ReadableStream<Uint8Array>> {
    return this.transport.stream(`/api/images/${imageId}/content?variant=${variant}`, options);
  }

  /** 409 `image_in_use` while a message shows it. */
  async delete(imageId: string, options: WriteOptions = {}): Promise<void> {
    await this.destroy(`/api/images/${imageId}`, options);
  }

  /** Delete the pictures that no message has shown for a day. */
  async cleanup(options: WriteOptions = {}): Promise<CleanUpResult> {
    return (await this.post("/api/images/cleanup", undefined, options)).results;
  }
}

function formOf(sessionId: string, type = "uploaded", field: string, files: Iterable<Blob>): FormData {
  const form = new FormData();
  form.set("sessionId", sessionId);
  form.set("type", type);
  for (const file of files) form.append(field, file);
  return form;
}
