/** Keeps a device in step: by a socket, by long poll where there can be none, and back again. */

import { LONGEST_WAIT, type LogOptions } from "../api/events.js";
import type { NanobananaClient } from "../client.js";
import { ApiError } from "../errors.js";
import type { LogPage } from "../models.js";
import { type Backoff, delay, sleep } from "../retries.js";
import { isNews } from "./cursors.js";
import { checked } from "./ids.js";
import { type Handler, Inbox } from "./inbox.js";
import { type Change, changeOf, type Frame, type Notices, type Status } from "./notices.js";
import { completed } from "./partial.js";
import { Questions } from "./questions.js";
import { addressOf, CUT, listen, type Socket, type WebSocketClass } from "./sockets.js";
import { Typists } from "./typists.js";

const OF_A_SESSION = /^(message|image)_/; // events that only devices in the session hear
const UNAUTHORIZED = 4401;
const NOT_FOUND = 4404;
const FINAL: Record<number, ApiError> = {
  [UNAUTHORIZED]: new ApiError(401, "token_invalid", "The device was signed out."),
  4403: new ApiError(403, "forbidden", "The page's origin is not allowed, or the token is another user's."),
};

const REFUSED_FOR_GOOD = ["not_found", "conflict"]; // of a join: there is no such session, or one too many

/** All times are in seconds. */
export interface SyncOptions {
  /** The cursor to go on from: `syncCursor` of a list, or what `cursor` was at the end of an earlier one. */
  since?: string | null;
  backoff?: Backoff;
  /** Without a frame for so long, the socket is as good as gone; the server pings every 30. */
  silence?: number;
  /** After so many in a row that could not be opened, long poll. */
  unopenedSockets?: number;
  /** So long, then a socket is tried again. */
  socketsAgain?: number;
  /** For where there is none, as in Node before 22; without any, long poll. */
  WebSocket?: WebSocketClass;
}

/**
 * Tells what other devices do, each change once and in order, through all interruptions.
 *
 * `cursor` is the position up to which everything has been handled: keep it, and a later SyncClient with
 * `since` it goes on from there. `sessionIds` are the sessions whose messages and pictures are heard.
 */
export class SyncClient {
  cursor: string | null;
  status: Status = "connecting";
  sessionIds: string[];

  readonly #client: NanobananaClient;
  readonly #backoff: Backoff;
  readonly #silence: number;
  readonly #unopenedSockets: number;
  readonly #socketsAgain: number;
  readonly #webSocket: WebSocketClass | undefined;
  readonly #inbox = new Inbox();
  readonly #typists = new Typists((typing) => this.#inbox.tell("user_typing", typing));
  readonly #stopping = new AbortController();

  #position: string | null; // received, and perhaps not handled yet
  readonly #unconfirmed = new Set<string>(); // joined while no socket could say so
  #askedFor: string[] = []; // in the address of this socket
  readonly #questions = new Questions();
  #failures = 0;
  #unopened = 0;
  #refusals = 0;
  #pollingUntil = 0;
  #socket: Socket | null = null;
  #poll = new AbortController();
  #pause = new AbortController();

  constructor(client: NanobananaClient, sessionIds: Iterable<string>, options: SyncOptions = {}) {
    this.#client = client;
    this.sessionIds = checked([...new Set(sessionIds)]);
    if (!this.sessionIds.length) throw new RangeError("A socket belongs to a session: name one at least.");
    this.cursor = this.#position = options.since || null;
    this.#backoff = options.backoff ?? { first: 1, longest: 30 };
    this.#silence = options.silence ?? 75;
    this.#unopenedSockets = options.unopenedSockets ?? 3;
    this.#socketsAgain = options.socketsAgain ?? 60;
    this.#webSocket = options.WebSocket ?? globalThis.WebSocket;
    if (!this.#webSocket) this.#pollingUntil = Infinity;
  }

  // ---- for the application
  /** Have a function called, and awaited; the answer takes it away again. `change` is every change. */
  on<Type extends keyof Notices>(type: Type, handler: Handler<Notices[Type]>): () => void {
    return this.#inbox.on(type, handler);
  }

  /** Run beside; why it ends is told to the handlers of `ended`. */
  start(): void {
    this.run().catch((error: unknown) => {
      if (!(error instanceof ApiError)) console.error("A SyncClient has failed", error);
    });
  }

  /** Until `stop`; throws ApiError when the server does not take this device any more. */
  async run(): Promise<void> {
    const wake = () => this.wake();
    globalThis.addEventListener?.("online", wake); // of a browser
    try {
      await this.#keepInStep();
    } catch (error) {
      if (error instanceof ApiError) this.#inbox.tell("ended", { error });
      throw error;
    } finally {
      globalThis.removeEventListener?.("online", wake);
      this.#typists.close();
      this.#setStatus("ended");
      await this.#inbox.close({ atOnce: this.#isStopped });
    }
  }

  /** For good. No handler is called after the one that runs; `cursor` is where to go on from. */
  stop(): void {
    this.#stopping.abort();
    void this.#inbox.close({ atOnce: true });
    this.#poll.abort();
    this.#pause.abort();
  }

  /** Hear of this session as well, in all connections to come; `joined_session` says from when on. */
  join(sessionId: string): void {
    if (this.sessionIds.includes(sessionId)) return;
    this.sessionIds = checked([...this.sessionIds, sessionId]);
    this.#unconfirmed.add(sessionId);
    this.#askToJoin(sessionId);
    this.#poll.abort();
  }

  leave(sessionId: string): void {
    if (!this.sessionIds.includes(sessionId)) return;
    this.#forget(sessionId);
    this.#askToLeave(sessionId);
    this.#poll.abort();
  }

  /** Call it with every key that is pressed; it is sent every other second. */
  typing(sessionId: string, isTyping = true): void {
    if (!this.#socket || !this.sessionIds.includes(sessionId)) return;
    if (this.#typists.shouldSay(sessionId, isTyping)) this.#socket.send("typing", { sessionId, isTyping });
  }

  /** Do not wait before the next attempt: the network is back. */
  wake(): void {
    this.#pause.abort();
  }

  // ---- connections
  async #keepInStep(): Promise<void> {
    while (!this.#isStopped) {
      let retryAfter: number | undefined;
      try {
        if (this.#isPolling) {
          await this.#pollOnce();
          continue;
        }
        if (await this.#listen()) continue;
      } catch (error) {
        if (this.#isStopped) return;
        if (isOfTheDevice(error)) throw error;
        retryAfter = retryAfterOf(error);
      }
      await this.#wait(retryAfter);
    }
  }

  get #isStopped(): boolean {
    return this.#stopping.signal.aborted;
  }

  /** A socket belongs to a session: without any, there is only the long poll. */
  get #isPolling(): boolean {
    return !this.sessionIds.length || now() < this.#pollingUntil;
  }

  async #wait(retryAfter: number | undefined): Promise<void> {
    if (this.#isStopped) return;
    this.#setStatus("waiting");
    this.#pause = new AbortController();
    await sleep(delay(this.#backoff, this.#failures++, retryAfter), this.#pause.signal);
  }

  /** One socket, until it closes. Whether to go on at once. */
  async #listen(): Promise<boolean> {
    if (this.status !== "polling") this.#setStatus("connecting");
    const { signal } = this.#stopping;
    const { ticket } = await this.#client.accounts.socketTicket({ retries: 0, signal });
    if (this.#isPolling) return true; // all were left meanwhile
    this.#askedFor = [...this.sessionIds];
    let wasConnected = false;
    const code = await listen({
      address: addressOf(this.#client.transport.url, this.#askedFor, ticket, this.#position),
      webSocket: this.#webSocket!,
      silence: this.#silence,
      signal,
      receive: (frame, socket) => {
        if (frame.type === "connected") {
          wasConnected = true;
          this.#socket = socket;
        }
        this.#receive(frame);
      },
    });
    this.#socket = null;
    this.#questions.clear();
    return this.#isStopped || this.#closed(code, wasConnected);
  }

  /** Decide what follows: the end, long poll or the next session at once, or the next attempt. */
  #closed(code: number, wasConnected: boolean): boolean {
    this.#refusals = code === UNAUTHORIZED && !wasConnected ? this.#refusals + 1 : 0;
    // A token that ended while the socket lived is renewed by the next call for a ticket.
    const final = FINAL[code];
    if (final && (code !== UNAUTHORIZED || this.#refusals > 1)) throw final;
    if (code === NOT_FOUND && !wasConnected) {
      this.#gone(this.#askedFor[0]!);
      return true;
    }
    if (code === CUT && !wasConnected) this.#unopened++;
    if (this.#unopened >= this.#unopenedSockets) this.#pollingUntil = now() + this.#socketsAgain;
    return this.#isPolling;
  }

  #receive(frame: Frame): void {
    switch (frame.type) {
      case "ping":
        this.#socket?.send("pong");
        return this.#advance(frame.cursor);
      case "connected":
        return this.#connected(frame);
      case "resync_required":
        return this.#resync(frame.cursor);
      case "token_expired":
        return void this.#renewToken();
      case "authenticated":
        return this.#questions.granted(frame.type);
      case "joined_session":
        this.#questions.granted(frame.type, frame.sessionId);
        return this.#confirm(frame.sessionId);
      case "left_session":
        this.#questions.granted(frame.type, frame.sessionId);
        return this.#inbox.tell("left_session", { sessionId: frame.sessionId });
      case "user_typing": {
        const { sessionId, deviceId, connectionId, isTyping } = frame;
        return this.#typists.hear({ sessionId, deviceId, connectionId, isTyping });
      }
      case "presence":
        return this.#inbox.tell("presence", { sessionId: frame.sessionId, devices: frame.payload.devices });
      case "error":
        return this.#refused(new ApiError(0, frame.code, frame.message, { details: frame.details }));
      default:
        return this.#take(frame);
    }
  }

  #connected({ connectionId, deviceId, sessionIds, cursor, recovered }: Frame): void {
    this.#failures = this.#unopened = this.#refusals = 0;
    this.#setStatus("live");
    // A known position moves with what was missed, or with resync_required.
    if (!this.#position) this.#advance(cursor);
    this.#inbox.tell("connected", { connectionId, deviceId, sessionIds, cursor, recovered });
    this.#compareSessions(sessionIds);
  }

  /** What was joined or left meanwhile is said now; what the server left out is gone. */
  #compareSessions(there: string[]): void {
    for (const sessionId of there.filter((id) => !this.sessionIds.includes(id))) this.#askToLeave(sessionId);
    for (const sessionId of this.sessionIds.filter((id) => !there.includes(id))) {
      if (this.#askedFor.includes(sessionId)) this.#gone(sessionId);
      else this.#askToJoin(sessionId);
    }
    for (const sessionId of [...this.#unconfirmed].filter((id) => there.includes(id))) {
      this.#confirm(sessionId);
    }
  }

  #askToJoin(sessionId: string): void {
    if (!this.#socket) return;
    this.#questions.add("joined_session", sessionId);
    this.#socket.send("join_session", { sessionId });
  }

  #askToLeave(sessionId: string): void {
    if (!this.#socket) return;
    this.#questions.add("left_session", sessionId);
    this.#socket.send("leave_session", { sessionId });
  }

  /** A join that was refused is not asked for again. */
  #refused(error: ApiError): void {
    const question = this.#questions.refused();
    if (question?.answer === "joined_session" && REFUSED_FOR_GOOD.includes(error.code)) {
      this.#forget(question.sessionId!);
    }
    this.#inbox.tell("error", error);
  }

  #confirm(sessionId: string): void {
    this.#unconfirmed.delete(sessionId);
    this.#inbox.tell("joined_session", { sessionId });
  }

  #forget(sessionId: string): void {
    this.sessionIds = this.sessionIds.filter((id) => id !== sessionId);
    this.#unconfirmed.delete(sessionId);
  }

  /** The server knows of no such session. */
  #gone(sessionId: string): void {
    this.#forget(sessionId);
    this.#inbox.tell("left_session", { sessionId });
  }

  // ---- long poll
  /** `join` and `leave` begin it anew. */
  async #pollOnce(): Promise<void> {
    this.#setStatus("polling");
    this.#poll = new AbortController();
    const { signal } = this.#poll;
    const joining = [...this.#unconfirmed];
    // The answer to the first poll with them confirms them: it is not to be long in coming.
    const wait = joining.length ? 0 : this.#timeToPoll;
    let page: LogPage;
    try {
      page = await this.#readLog({ sessionIds: this.sessionIds, wait, retries: 0, signal });
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
    this.#failures = 0;
    joining.filter((id) => this.#unconfirmed.has(id)).forEach((id) => this.#confirm(id));
    page.events.forEach((frame) => this.#take(frame as Frame));
    if (page.resyncRequired) this.#resync(page.cursor);
    this.#advance(page.cursor);
  }

  /** Seconds, until a socket is to be tried. */
  get #timeToPoll(): number {
    const untilSockets = this.sessionIds.length ? this.#pollingUntil - now() : Infinity;
    return Math.max(1, Math.min(LONGEST_WAIT, Math.ceil(untilSockets)));
  }

  /** What came; for a position that the server cannot read, where the log stands, to load anew from. */
  async #readLog(options: LogOptions): Promise<LogPage> {
    try {
      return await this.#client.events.since(this.#position, options);
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 400 && error.details.since)) throw error;
      return { ...(await this.#client.events.since(null, options)), resyncRequired: true };
    }
  }

  // ---- what came
  /** A data frame: once, however often it comes. */
  #take(frame: Frame): void {
    if (!frame.cursor || !isNews(frame.cursor, this.#position)) return;
    if (OF_A_SESSION.test(frame.type) && !this.sessionIds.includes(frame.sessionId)) {
      return this.#advance(frame.cursor); // left just now
    }
    this.#position = frame.cursor;
    const change = changeOf(frame);
    this.#inbox.put(() => this.#handOver(change, Boolean(frame.payload.partial)));
  }

  async #handOver(change: Change, isPartial: boolean): Promise<void> {
    const whole = isPartial ? await this.#completed(change) : change;
    if (isPartial && this.#isStopped) return; // who goes on from `cursor` gets it then
    if (whole) {
      await this.#inbox.call(whole.type, whole as never);
      await this.#inbox.call("change", whole);
    }
    this.cursor = change.cursor;
  }

  /** The change with its object, however long that takes; null when there is nothing to tell. */
  async #completed(change: Change): Promise<Change | null> {
    const { signal } = this.#stopping;
    for (let attempt = 0; !this.#isStopped; attempt++) {
      try {
        return await completed(this.#client, change, { signal });
      } catch (error) {
        if (this.#isStopped) break;
        if (error instanceof ApiError && !error.mayPass) {
          // What it was cannot be had: then everything is to be loaded anew.
          await this.#inbox.call("resynced", { cursor: change.cursor });
          break;
        }
        await sleep(delay(this.#backoff, attempt, retryAfterOf(error)), signal);
      }
    }
    return null;
  }

  /** Past what this device need not hear of. */
  #advance(cursor: string): void {
    if (!isNews(cursor, this.#position)) return;
    this.#position = cursor;
    this.#inbox.put(() => this.#handled(cursor));
  }

  #resync(cursor: string): void {
    this.#position = cursor;
    this.#inbox.tell("resynced", { cursor });
    this.#inbox.put(() => this.#handled(cursor));
  }

  #handled(cursor: string): void {
    this.cursor = cursor;
  }

  // ---- the rest
  /** In place, a minute before the old one ends; should it fail, the next connection tries again. */
  async #renewToken(): Promise<void> {
    try {
      const token = await this.#client.accounts.refresh();
      if (!token || !this.#socket) return;
      this.#questions.add("authenticated");
      this.#socket.send("authenticate", { token });
    } catch (error) {
      retryAfterOf(error);
    }
  }

  #setStatus(status: Status): void {
    if (status === this.status) return;
    this.status = status;
    this.#inbox.tell("status", { status });
  }
}

/** Whether the server does not take this device any more. All else may pass. */
function isOfTheDevice(error: unknown): boolean {
  return error instanceof ApiError && [401, 403].includes(error.status);
}

/** How long to wait at least before another attempt. What should not have happened is logged. */
function retryAfterOf(error: unknown): number | undefined {
  if (!(error instanceof ApiError && error.mayPass)) console.error("A SyncClient goes on after an error", error);
  return error instanceof ApiError ? error.retryAfter : undefined;
}

function now(): number {
  return performance.now() / 1000;
}
