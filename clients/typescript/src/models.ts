/** What the server answers with. The fields are those of docs/openapi.yaml; times are ISO 8601 in UTC. */

export type Role = "user" | "assistant" | "model" | "system";

export interface User {
  id: string;
  email: string;
  emailVerified: boolean;
  username: string;
  avatar: string | null;
  createdAt: string;
  updatedAt: string;
  lastLoginAt: string | null;
  isActive: boolean;
}

/** null where there is none. */
export interface Limits {
  images: number | null;
  bytes: number | null;
}

/** What the account has; `bytes` of its pictures, `messages` of deleted sessions too. */
export interface Usage {
  images: number;
  bytes: number;
  sessions: number;
  trashedSessions: number;
  messages: number;
  limits: Limits;
}

/** A sign-in of this account; `current` is the one that asks. */
export interface Device {
  id: string;
  name: string;
  ip: string;
  createdAt: string;
  lastSeenAt: string;
  current: boolean;
}

export interface Session {
  id: string;
  userId: string;
  title: string;
  createdAt: string;
  updatedAt: string;
  messageCount: number;
  deletedAt: string | null;
  pinned: boolean;
  archived: boolean;
  tags: string[];
}

export interface Stats {
  messageCount: number;
  totalMessages: number;
  imageCount: number;
  createdAt: string;
  updatedAt: string;
}

/**
 * The addresses are signed, good as they are in an <img>, for about a day. `path` is the original, `displayPath` what
 * browsers show of it, `variants` smaller sizes by name. Old pictures have neither `blurhash` nor `dominantColor`, nor
 * has a large one while its `status` is `processing`: `image_updated` tells when it is `ready`, or `failed` for a `reason`.
 */
export interface Image {
  id: string;
  sessionId: string;
  userId: string;
  type: string;
  path: string;
  status: "processing" | "ready" | "failed";
  reason: string | null;
  thumbPath: string;
  displayPath: string;
  variants: Record<string, string>;
  blurhash: string | null;
  dominantColor: string | null;
  sha256: string;
  mime: string;
  width: number;
  height: number;
  size: number;
  refCount: number;
  createdAt: string;
  updatedAt: string;
}

/** Where to put the bytes of a picture, by `method` and with these headers, before it is completed. */
export interface DirectUpload {
  id: string;
  method: string;
  url: string;
  headers: Record<string, string>;
  expiresAt: string;
}

/** `revision` is how often it was changed. */
export interface Message {
  id: string;
  sessionId: string;
  role: Role;
  text: string;
  params: Record<string, unknown>;
  imageIds: string[];
  createdAt: string;
  updatedAt: string;
  editedOf: string | null;
  revision: number;
  images: Image[];
}

export interface Pagination {
  limit: number;
  offset: number;
  total: number;
  hasMore: boolean;
  nextCursor: string | null;
}

/** A page of a list. Begin a SyncClient with its `syncCursor`, and nothing is missed in between. */
export interface Page<Item, Paged = Pagination> {
  items: Item[];
  pagination: Paged;
  syncCursor: string | null;
}

/** A file of a batch that was not taken; `error` is a code of docs/errors.md. */
export interface Failure {
  filename: string;
  error: string;
  message: string;
}

export interface BatchResult {
  successful: Image[];
  failed: Failure[];
  total: number;
}

export interface CleanUpResult {
  successful: string[];
  failed: Failure[];
  total: number;
}

/** Opens one socket within `expiresIn` seconds. */
export interface Ticket {
  ticket: string;
  expiresIn: number;
}

/** All but `status` is absent where the server shows it to its operators alone. */
export interface Health {
  status: "ok" | "unavailable";
  timestamp: string | undefined;
  services: Record<string, string> | undefined;
  storageType: string | undefined;
}

/** A device of the account that has a socket in a session. */
export interface PresentDevice {
  deviceId: string;
  name: string;
  since: string;
}

/** `events` are data frames as sockets have them; on `resyncRequired` reload, go on from `cursor`. */
export interface LogPage {
  events: Record<string, any>[];
  cursor: string;
  resyncRequired: boolean;
}

/** What a message was from `updatedAt` on. */
export interface Revision {
  revision: number;
  text: string;
  params: Record<string, unknown>;
  imageIds: string[];
  updatedAt: string;
}

/** The versions of a message, the oldest first; `activeId` is the one on the active branch. */
export interface Branches {
  branches: Message[];
  activeId: string | null;
}

/** `highlights`: what matched in the text or the title, each from, to, as `slice` takes them. */
export interface SearchResult {
  type: "message" | "session";
  session: Session;
  message: Message | null;
  highlights: [number, number][];
}

/** As of all lists, but that `total` is null while it is not known. */
export interface SearchPagination {
  limit: number;
  offset: number;
  total: number | null;
  hasMore: boolean;
  nextCursor: string | null;
}

export type SearchPage = Page<SearchResult, SearchPagination>;
