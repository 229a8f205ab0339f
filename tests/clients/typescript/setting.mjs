// What the checks share: the servers, the client as it was built, and small helpers.
import assert from "node:assert/strict";

export const setting = JSON.parse(process.env.SETTING);
export const library = await import(setting.library);
export const { ApiError, MemoryTokens, NanobananaClient } = library;

export const QUICK = { first: 0.01, longest: 0.05 };
export const NOBODY = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
export const PASSWORD = setting.password;

/** A client with the tokens of a device of the tests. */
export function clientOf(tokens, url = setting.url, options = {}) {
  return new NanobananaClient(url, { store: new MemoryTokens(tokens), backoff: QUICK, ...options });
}

export const laptop = clientOf(setting.laptop);

export function picture(name = "picture.png") {
  return new File([Buffer.from(setting.picture, "base64")], name, { type: "image/png" });
}

export async function allOf(items) {
  const all = [];
  for await (const item of items) all.push(item);
  return all;
}

/** The ApiError that a promise ends with. */
export async function refusal(promise) {
  const error = await promise.then(
    () => assert.fail("It was not refused."),
    (error) => error,
  );
  if (!(error instanceof ApiError)) throw error;
  return error;
}

export async function until(isSo, seconds = 5) {
  const deadline = performance.now() + seconds * 1000;
  while (!(await isSo())) {
    assert.ok(performance.now() < deadline, `It did not come to that: ${isSo}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A `fetch` whose first requests to a path are answered with these statuses; none, and the answer is lost. */
export function failing(path, ...statuses) {
  return async (address, request) => {
    const isFailing = statuses.length && new URL(address).pathname.startsWith(path);
    const status = isFailing ? statuses.shift() : undefined;
    if (status) return new Response(JSON.stringify({ error: "e", message: "m" }), { status });
    const response = await fetch(address, request);
    if (isFailing) throw new TypeError("The answer was lost.");
    return response;
  };
}
