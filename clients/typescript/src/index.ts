export { NanobananaClient } from "./client.js";
export { ApiError, type Details, NETWORK_ERROR, UNEXPECTED_ANSWER } from "./errors.js";
export type * from "./models.js";
export type { Paging } from "./api/resource.js";
export type { ImageFilter, UploadOptions } from "./api/images.js";
export type { Conditional, MessageChanges, MessageFilter, NewMessage } from "./api/messages.js";
export type { SearchFilter, SearchPaging } from "./api/search.js";
export type { SessionChanges, SessionFilter } from "./api/sessions.js";
export type { Backoff } from "./retries.js";
export { SyncClient, type SyncOptions } from "./sync/client.js";
export type {
  Change,
  Connected,
  ImageChange,
  ImageDeletion,
  MessageChange,
  MessageDeletion,
  Notices,
  Presence,
  SessionChange,
  SessionDeletion,
  Status,
  Typing,
  UserChange,
} from "./sync/notices.js";
export { BrowserTokens, MemoryTokens, type Tokens, type TokenStore } from "./tokens.js";
export type { CallOptions, Query, TransportOptions, WriteOptions } from "./transport.js";
