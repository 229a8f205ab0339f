/** How long to wait before the next attempt. */

/** Full jitter: anything between nothing and `first · 2ⁿ` seconds, at most `longest`. */
export interface Backoff {
  first: number;
  longest: number;
}

export const PATIENT: Backoff = { first: 0.5, longest: 30 };

/** Seconds before the attempt after number `attempt`, from 0; never less than the server asked for. */
export function delay(backoff: Backoff, attempt: number, retryAfter = 0): number {
  const window = Math.min(backoff.longest, backoff.first * 2 ** Math.min(attempt, 30));
  return retryAfter + Math.random() * window;
}

/** Ends early, without an error, when `signal` is aborted. */
export function sleep(seconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, seconds * 1000);
    signal?.addEventListener("abort", done);
  });
}
