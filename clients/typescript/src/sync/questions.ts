/** What was asked on a socket and is not answered yet. */

interface Question {
  answer: string; // the type of the frame that grants it
  sessionId: string | undefined;
}

/** Answers come in the order of the questions: so an `error`, which does not say what it refuses, has its place. */
export class Questions {
  #open: Question[] = [];

  add(answer: string, sessionId?: string): void {
    this.#open.push({ answer, sessionId });
  }

  granted(answer: string, sessionId?: string): void {
    const place = this.#open.findIndex((each) => each.answer === answer && each.sessionId === sessionId);
    this.#open.splice(0, place + 1);
  }

  /** What an `error` is the answer to. */
  refused(): Question | undefined {
    return this.#open.shift();
  }

  /** Those of a socket end with it. */
  clear(): void {
    this.#open = [];
  }
}
