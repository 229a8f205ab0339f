/** Who is typing: said not too often, and taken back when nothing more is heard. */

import type { Typing } from "./notices.js";

const SAY_AGAIN = 2; // seconds; the server forgets after 6
const BELIEVE = 7; // seconds; a killed server says nothing

type Timer = ReturnType<typeof setTimeout>;

export class Typists {
  readonly #said = new Map<string, number>();
  readonly #timers = new Map<string, Timer>();

  constructor(private readonly tell: (typing: Typing) => void) {}

  /** Whether this is to be sent; call it with every key that is pressed. */
  shouldSay(sessionId: string, isTyping: boolean): boolean {
    if (!isTyping) return this.#said.delete(sessionId);
    const now = performance.now() / 1000;
    if (now - (this.#said.get(sessionId) ?? -SAY_AGAIN) < SAY_AGAIN) return false;
    this.#said.set(sessionId, now);
    return true;
  }

  hear(typing: Typing): void {
    const key = `${typing.sessionId} ${typing.connectionId}`;
    clearTimeout(this.#timers.get(key));
    this.#timers.delete(key);
    if (typing.isTyping) {
      const over = { ...typing, isTyping: false };
      this.#timers.set(key, setTimeout(() => this.hear(over), BELIEVE * 1000));
    }
    this.tell(typing);
  }

  close(): void {
    this.#timers.forEach((timer) => clearTimeout(timer));
    this.#timers.clear();
    this.#said.clear();
  }
}
