/** What came, in order and once, on its way to the handlers. */

import type { Notices } from "./notices.js";

export type Handler<Notice> = (notice: Notice) => void | Promise<void>;
type Work = () => void | Promise<void>;

/** Handlers are called one after another, each when the one before it has finished. */
export class Inbox {
  readonly #handlers = new Map<string, Set<Handler<any>>>();
  #last: Promise<void> = Promise.resolve();
  #isClosed = false;

  on<Type extends keyof Notices>(type: Type, handler: Handler<Notices[Type]>): () => void {
    const handlers = this.#handlers.get(type) ?? new Set();
    this.#handlers.set(type, handlers.add(handler));
    return () => void handlers.delete(handler);
  }

  put(work: Work): void {
    this.#last = this.#last.then(() => (this.#isClosed ? undefined : work()));
  }

  /** Call the handlers of a type when it is its turn. */
  tell<Type extends keyof Notices>(type: Type, notice: Notices[Type]): void {
    this.put(() => this.call(type, notice));
  }

  async call<Type extends keyof Notices>(type: Type, notice: Notices[Type]): Promise<void> {
    for (const handler of [...(this.#handlers.get(type) ?? [])]) {
      try {
        await handler(notice);
      } catch (error) {
        console.error(`A handler of ${type} failed`, error);
      }
    }
  }

  /** After what has come; or at once, after what is being handled. */
  async close({ atOnce }: { atOnce: boolean }): Promise<void> {
    if (atOnce) this.#isClosed = true;
    await this.#last;
    this.#isClosed = true;
  }
}
