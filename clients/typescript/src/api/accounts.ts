/** The account, its devices and its tokens. What signs in or out keeps or forgets the tokens by itself. */

import { ApiError } from "../errors.js";
import type { Device, Ticket, Usage, User } from "../models.js";
import { type Tokens, tokensOf } from "../tokens.js";
import type { Call, CallOptions, WriteOptions } from "../transport.js";
import { Resource } from "./resource.js";

export class Accounts extends Resource {
  async register(account: { email: string; username: string; password: string }): Promise<User> {
    return this.#signIn("/api/auth/register", account);
  }

  async login(credentials: { email: string; password: string }): Promise<User> {
    return this.#signIn("/api/auth/login", credentials);
  }

  /** A new token at once; calls do it by themselves when theirs is refused. null: signed out. */
  async refresh(): Promise<string | null> {
    const tokens = await this.transport.store.load();
    return tokens && this.transport.renew(tokens.token);
  }

  async me(options: CallOptions = {}): Promise<User> {
    return (await this.fetch("/api/auth/me", options)).user;
  }

  /** How much there is, and may be. */
  async usage(options: CallOptions = {}): Promise<Usage> {
    return (await this.fetch("/api/auth/me/usage", options)).usage;
  }

  /** What is not named stays. */
  async update(
    changes: { username?: string; avatar?: string | null },
    options: WriteOptions = {},
  ): Promise<User> {
    return (await this.put("/api/auth/me", changes, options)).user;
  }

  /** The account and all it owns is gone. */
  async delete({ password }: { password: string }): Promise<void> {
    await this.destroy("/api/auth/me", { json: { password } });
    await this.transport.store.save(null);
  }

  /** Every other device is signed out. */
  async changePassword(passwords: { currentPassword: string; newPassword: string }): Promise<void> {
    await this.#keepTokens(await this.put("/api/auth/password", passwords));
  }

  async forgotPassword({ email }: { email: string }): Promise<void> {
    await this.post("/api/auth/password/forgot", { email }, { credentials: "none" });
  }

  /** `token` is from the mailed link; every device is signed out. */
  async resetPassword({ token, password }: { token: string; password: string }): Promise<void> {
    await this.post("/api/auth/password/reset", { token, password }, { credentials: "none" });
  }

  async verifyEmail({ token }: { token: string }): Promise<User> {
    return (await this.post("/api/auth/verify", { token }, { credentials: "none" })).user;
  }

  async resendVerification(): Promise<void> {
    await this.post("/api/auth/verify/resend");
  }

  async logout(): Promise<void> {
    await this.#signOut("/api/auth/logout");
  }

  /** On all devices, this one too. */
  async logoutAll(): Promise<void> {
    await this.#signOut("/api/auth/logout-all");
  }

  async devices(options: CallOptions = {}): Promise<Device[]> {
    return (await this.fetch("/api/auth/devices", options)).devices;
  }

  async signOutDevice(deviceId: string): Promise<void> {
    await this.destroy(`/api/auth/devices/${deviceId}`);
  }

  async socketTicket(options: Call = {}): Promise<Ticket> {
    return this.post("/api/auth/ws-ticket", undefined, { ...options, keyed: false });
  }

  /** Everything of the account, as a zip; `new Response(stream).blob()` makes a file of it. */
  async exportZip(options: CallOptions = {}): Promise<ReadableStream<Uint8Array>> {
    return this.transport.stream("/api/auth/me/export", options);
  }

  async #signIn(path: string, body: object): Promise<User> {
    // A token that is still there tells the server that this device is known: strangers' wrong
    // passwords then do not keep it waiting.
    const answer = await this.post(path, body, { credentials: "if there" });
    await this.#keepTokens(answer);
    return answer.user;
  }

  async #signOut(path: string): Promise<void> {
    try {
      await this.post(path);
    } catch (error) {
      // With 401 it is signed out already, perhaps by the attempt before.
      if (!(error instanceof ApiError && error.status === 401)) throw error;
    }
    await this.transport.store.save(null);
  }

  async #keepTokens(answer: Tokens): Promise<void> {
    await this.transport.store.save(tokensOf(answer));
  }
}
