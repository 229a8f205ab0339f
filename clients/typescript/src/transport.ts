/** Requests: with a token that is renewed in time, sent again when that is safe, errors as ApiError. */

import { ApiError, errorOf, networkError, UNEXPECTED_ANSWER } from "./errors.js";
import { type Backoff, delay, PATIENT, sleep } from "./retries.js";
import { MemoryTokens, type Tokens, type TokenStore, tokensOf } from "./tokens.js";

const READS = ["GET", "HEAD"];
const LONGEST_RETRY_AFTER = 60; // seconds; a longer one is for the caller to decide on
const IN_FLIGHT = 409; // with Retry-After: the same request, sent before, is still being answered

export type Query = Record<string, string | number | boolean | null | undefined>;

export interface TransportOptions {
  /** Where the tokens are kept; by default in memory. */
  store?: TokenStore;
  /** Further attempts after the first. */
  retries?: number;
  /** Of one attempt, in seconds. */
  timeout?: number;
  backoff?: Backoff;
  fetch?: typeof fetch;
}

/** What every call takes. */
export interface CallOptions {
  signal?: AbortSignal;
}

/** What every call takes that changes something. */
export interface WriteOptions extends CallOptions {
  /** Requests with the same key have one effect. Without one, each call makes its own. */
  idempotencyKey?: string;
}

export interface Call extends WriteOptions {
  query?: Query;
  json?: unknown;
  form?: FormData;
  headers?: Record<string, string>;
  credentials?: "needed" | "if there" | "none";
  /** False for a write that may as well happen twice: then the server need not remember its answer. */
  keyed?: boolean;
  retries?: number;
  timeout?: number;
  alsoRight?: number;
}

/** `syncCursor` is where the log stood: after a write its event, before a list what it may lack. */
export interface Answer<Body> {
  status: number;
  body: Body;
  syncCursor: string | null;
}

/** A request as each attempt sends it, byte for byte. */
interface Prepared {
  address: string;
  method: string;
  headers: Headers;
  body: BodyInit | undefined;
  timeout: number;
  retries: number;
  signal: AbortSignal | undefined;
}

export class Transport {
  readonly url: string;
  readonly store: TokenStore;
  readonly #retries: number;
  readonly #timeout: number;
  readonly #backoff: Backoff;
  readonly #fetch: typeof fetch;
  #renewing: Promise<string | null> | null = null;
  #renewal = { refreshToken: "", key: "" }; // the last one that was asked for

  constructor(url: string, options: TransportOptions = {}) {
    this.url = url.replace(/\/+$/, "");
    this.store = options.store ?? new MemoryTokens();
    this.#retries = options.retries ?? 4;
    this.#timeout = options.timeout ?? 30;
    this.#backoff = options.backoff ?? PATIENT;
    this.#fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
  }

  /** The answer of a call. The attempts at a write share an `Idempotency-Key`: it has one effect. */
  async call<Body = any>(method: string, path: string, call: Call = {}): Promise<Answer<Body>> {
    const request = await this.#prepare(method, path, call);
    const response = await this.#sendSigned(request, call.credentials ?? "needed");
    if (!response.ok && response.status !== call.alsoRight) throw await errorOf(response);
    const body = await jsonOf<Body>(response);
    return { status: response.status, body, syncCursor: response.headers.get("X-Sync-Cursor") };
  }

  /** The bytes of a long answer, as they come. */
  async stream(path: string, { signal }: CallOptions = {}): Promise<ReadableStream<Uint8Array>> {
    const request = await this.#prepare("GET", path, { signal });
    const response = await this.#sendSigned(request, "needed", { stream: true });
    if (!response.ok || !response.body) throw await errorOf(response);
    return response.body;
  }

  /** Put something to an address that is signed, and so is for nobody's token. */
  async putBytes(address: string, body: Blob, headers: Record<string, string>, call: CallOptions = {}): Promise<void> {
    const response = await this.#sendPatiently(
      {
        address,
        method: "PUT",
        headers: new Headers(headers),
        body,
        timeout: this.#timeout,
        retries: this.#retries,
        signal: call.signal,
      },
      false,
    );
    if (!response.ok) throw await errorOf(response);
  }

  /**
   * A token in the place of one that was refused; null when the device is signed out.
   *
   * One renewal at a time: who comes second, here or in another tab that shares the store,
   * finds the new token there.
   */
  async renew(refused: string): Promise<string | null> {
    while (this.#renewing) await this.#renewing.catch(() => null);
    this.#renewing = this.#renewOnce(refused).finally(() => (this.#renewing = null));
    return this.#renewing;
  }

  async #renewOnce(refused: string): Promise<string | null> {
    const tokens = await this.store.load();
    if (tokens?.token !== refused) return tokens?.token ?? null;
    return this.#rotate(tokens);
  }

  async #rotate({ refreshToken }: Tokens): Promise<string | null> {
    try {
      const idempotencyKey = this.#keyFor(refreshToken);
      const call: Call = { json: { refreshToken }, credentials: "none", idempotencyKey };
      const renewed = tokensOf((await this.call<Tokens>("POST", "/api/auth/refresh", call)).body);
      await this.store.save(renewed);
      return renewed.token;
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 401)) throw error;
      await this.store.save(null);
      return null;
    }
  }

  /**
   * The same one until the new tokens are there. A refresh token is good once: who did not get the answer
   * would be signed out as a thief, did the server not know the request again.
   */
  #keyFor(refreshToken: string): string {
    if (this.#renewal.refreshToken !== refreshToken) this.#renewal = { refreshToken, key: newKey() };
    return this.#renewal.key;
  }

  async #prepare(method: string, path: string, call: Call): Promise<Prepared> {
    const headers = new Headers(call.headers);
    let body: BodyInit | undefined;
    if (call.json !== undefined) {
      headers.set("Content-Type", "application/json");
      body = JSON.stringify(call.json);
    } else if (call.form) {
      const encoded = new Response(call.form); // once: a second encoding would have another boundary
      headers.set("Content-Type", encoded.headers.get("Content-Type") ?? "multipart/form-data");
      body = await encoded.blob();
    }
    if (!READS.includes(method) && call.keyed !== false) headers.set("Idempotency-Key", call.idempotencyKey ?? newKey());
    return {
      address: this.url + path + queryOf(call.query),
      method,
      headers,
      body,
      timeout: call.timeout ?? this.#timeout,
      retries: call.retries ?? this.#retries,
      signal: call.signal,
    };
  }

  async #sendSigned(
    request: Prepared,
    credentials: "needed" | "if there" | "none",
    { stream = false } = {},
  ): Promise<Response> {
    const tokens = credentials === "none" ? null : await this.store.load();
    if (!tokens) return this.#sendPatiently(request, stream);
    request.headers.set("Authorization", `Bearer ${tokens.token}`);
    const response = await this.#sendPatiently(request, stream);
    if (credentials !== "needed" || !(await isTokenRefused(response))) return response;
    const renewed = await this.renew(tokens.token);
    if (!renewed) return response;
    request.headers.set("Authorization", `Bearer ${renewed}`);
    return this.#sendPatiently(request, stream);
  }

  /** Send it until there is an answer that another attempt would not change. */
  async #sendPatiently(request: Prepared, stream: boolean): Promise<Response> {
    for (let attempt = 0; attempt < request.retries; attempt++) {
      let retryAfter: number | undefined;
      try {
        const response = await this.#send(request, stream);
        if (response.ok) return response;
        const refused = await errorOf(response);
        if (!isWorthRepeating(refused)) return response;
        retryAfter = refused.retryAfter;
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
      }
      await sleep(delay(this.#backoff, attempt, retryAfter), request.signal);
    }
    return this.#send(request, stream);
  }

  /** One attempt. An answer that is no stream has been read to its end, so that it cannot break off later. */
  async #send(request: Prepared, stream: boolean): Promise<Response> {
    request.signal?.throwIfAborted();
    const attempt = new AbortController();
    const abort = () => attempt.abort();
    const timer = setTimeout(abort, request.timeout * 1000);
    request.signal?.addEventListener("abort", abort);
    try {
      const { address, method, headers, body } = request;
      const response = await this.#fetch(address, { method, headers, body, signal: attempt.signal });
      if (stream && response.ok) return response;
      return new Response(await response.arrayBuffer(), response);
    } catch (error) {
      request.signal?.throwIfAborted();
      throw networkError(attempt.signal.aborted ? `no answer within ${request.timeout} s` : error);
    } finally {
      clearTimeout(timer);
      if (!stream) request.signal?.removeEventListener("abort", abort);
    }
  }
}

function isWorthRepeating({ status, retryAfter }: ApiError): boolean {
  const soon = (retryAfter ?? 0) <= LONGEST_RETRY_AFTER;
  if (status === IN_FLIGHT) return retryAfter !== undefined && soon;
  return (status === 429 || status === 503) && soon;
}

async function jsonOf<Body>(response: Response): Promise<Body> {
  try {
    return (await response.json()) as Body;
  } catch {
    throw new ApiError(response.status, UNEXPECTED_ANSWER, "The answer is not JSON.");
  }
}

async function isTokenRefused(response: Response): Promise<boolean> {
  return response.status === 401 && (await errorOf(response)).code === "token_invalid";
}

function queryOf(query: Query = {}): string {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined) given.set(name, String(value));
  }
  const text = given.toString();
  return text && `?${text}`;
}

/** Not randomUUID, which pages without https do not have. */
function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
