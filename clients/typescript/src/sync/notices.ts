/** What a SyncClient tells its handlers. */

import type { ApiError } from "../errors.js";
import type { Image, Message, PresentDevice, Session, User } from "../models.js";

export type Status = "connecting" | "live" | "polling" | "waiting" | "ended";

interface Logged {
  cursor: string;
  timestamp: string;
}

export interface SessionChange extends Logged {
  type: "session_created" | "session_updated" | "session_restored";
  sessionId: string;
  session: Session;
}

export interface SessionDeletion extends Logged {
  type: "session_deleted";
  sessionId: string;
}

export interface MessageChange extends Logged {
  type: "message_created" | "message_updated";
  sessionId: string;
  messageId: string;
  message: Message;
}

export interface MessageDeletion extends Logged {
  type: "message_deleted";
  sessionId: string;
  messageId: string;
}

export interface ImageChange extends Logged {
  type: "image_created" | "image_updated";
  sessionId: string;
  imageId: string;
  image: Image;
}

export interface ImageDeletion extends Logged {
  type: "image_deleted";
  sessionId: string;
  imageId: string;
}

export interface UserChange extends Logged {
  type: "user_updated";
  sessionId: null;
  user: User;
}

/** An event of the log: the whole object as it then was, or the ids of what is gone. */
export type Change =
  | SessionChange
  | SessionDeletion
  | MessageChange
  | MessageDeletion
  | ImageChange
  | ImageDeletion
  | UserChange;

/** A socket is open; `recovered` says that what was missed comes now. */
export interface Connected {
  connectionId: string;
  deviceId: string;
  sessionIds: string[];
  cursor: string;
  recovered: boolean;
}

export interface Typing {
  sessionId: string;
  deviceId: string;
  connectionId: string;
  isTyping: boolean;
}

/** Who of the account is in a session: all of them, this device too. */
export interface Presence {
  sessionId: string;
  devices: PresentDevice[];
}

type ChangeOf<Type, Each = Change> = Each extends { type: infer Types } ? (Type extends Types ? Each : never) : never;
type Changes = { [Type in Change["type"]]: ChangeOf<Type> };

export interface Notices extends Changes {
  /** Every change, after the handlers of its own type. */
  change: Change;
  status: { status: Status };
  connected: Connected;
  /** Too much was missed: load what is shown by REST. From `cursor` on, what comes is complete again. */
  resynced: { cursor: string };
  /** From now on this session's events come: load its messages now. */
  joined_session: { sessionId: string };
  /** No more events of this session come, because of `leave`, or because it is gone. */
  left_session: { sessionId: string };
  user_typing: Typing;
  presence: Presence;
  /** A frame that the server could not serve, such as `join` of a session that is not there. */
  error: ApiError;
  /** The server does not take this device any more; `error` says why. */
  ended: { error: ApiError };
}

export type Frame = Record<string, any> & { type: string };

/** The change that a data frame tells of; one too large for the log has ids alone, to be completed. */
export function changeOf({ type, sessionId, payload, cursor, timestamp }: Frame): Change {
  const { partial: _, ...content } = payload;
  const ids: Record<string, string> = {};
  if (content.message) ids.messageId = content.message.id;
  if (content.image) ids.imageId = content.image.id;
  return { type, sessionId, cursor, timestamp, ...ids, ...content } as Change;
}
