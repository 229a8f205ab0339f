// How it sends: tokens, attempts, keys and errors.
import assert from "node:assert/strict";
import { test } from "node:test";
import { clientOf, failing, laptop, MemoryTokens, NanobananaClient, NOBODY, QUICK, refusal, setting } from "./setting.mjs";

/** A server that answers with these, one after another, and what it was asked. */
function answering(...answers) {
  const requests = [];
  const fetch = async (address, request) => {
    requests.push({ address, ...request });
    const { status, headers, body = { error: "e", message: "m" } } = answers[requests.length - 1];
    return new Response(JSON.stringify(body), { status, headers });
  };
  return { client: new NanobananaClient("http://server", { fetch, backoff: QUICK }), requests };
}

const DEVICES = { status: 200, body: { devices: [] } };

test("an error says all that the answer says", async () => {
  const error = await refusal(laptop.sessions.update(NOBODY, { title: "x".repeat(101) }));
  assert.deepEqual([error.status, error.code], [400, "validation_failed"]);
  assert.deepEqual(Object.keys(error.details), ["title"]);
  assert.ok(error.message && error.requestId && error instanceof Error);
  assert.equal(error.retryAfter, undefined);
});

test("a server that is not there is an error too", async () => {
  const client = new NanobananaClient("http://127.0.0.1:1", { retries: 1, backoff: QUICK });
  const { status, code } = await refusal(client.health.check());
  assert.deepEqual([status, code], [0, "network_error"]);
});

test("an answer that does not come in time is an error too", async () => {
  const client = clientOf(setting.laptop, setting.url, { retries: 0 });
  const { cursor: since } = await laptop.events.since(null);
  const waiting = client.transport.call("GET", "/api/sync", { query: { since, wait: 5 }, timeout: 0.05 });
  const { message } = await refusal(waiting);
  assert.match(message, /no answer within 0.05 s/);
});

test("a call can be given up", async () => {
  const giving = new AbortController();
  const { cursor } = await laptop.events.since(null);
  const waiting = laptop.events.since(cursor, { wait: 5, signal: giving.signal });
  giving.abort(new Error("not needed any more"));
  await assert.rejects(waiting, /not needed any more/);
});

test("a refused token is renewed once for all", async () => {
  const saved = [];
  class NotedTokens extends MemoryTokens {
    save(tokens) {
      saved.push(tokens);
      super.save(tokens);
    }
  }
  const store = new NotedTokens({ ...setting.phone, token: "refused" });
  const client = new NanobananaClient(setting.url, { store });
  const users = await Promise.all(Array.from({ length: 5 }, () => client.accounts.me()));
  assert.equal(new Set(users.map(({ id }) => id)).size, 1);
  assert.equal(saved.length, 1);
  Object.assign(setting.phone, saved[0]);
});

test("a device that was signed out forgets its tokens", async () => {
  const client = clientOf({ token: "refused", refreshToken: "refused as well" });
  assert.equal((await refusal(client.accounts.me())).code, "token_invalid");
  assert.equal(await client.transport.store.load(), null);
});

test("a renewal whose answer was lost is answered again, also late", async () => {
  const fetch = failing("/api/auth/refresh", undefined);
  const client = clientOf(setting.phone, setting.url, { fetch, retries: 0 });
  assert.equal((await refusal(client.accounts.refresh())).code, "network_error");
  assert.ok(await client.accounts.refresh());
  Object.assign(setting.phone, await client.transport.store.load());
  assert.ok((await clientOf(setting.phone).accounts.devices()).length);
});

test("each refresh token has a key of its own, which nobody can guess", async () => {
  const renewed = { status: 200, body: { token: "second", refreshToken: "second" } };
  const keysOf = async () => {
    const { client, requests } = answering({ status: 500 }, renewed, renewed);
    await client.transport.store.save({ token: "first", refreshToken: "first" });
    await refusal(client.accounts.refresh());
    await client.accounts.refresh();
    await client.accounts.refresh();
    return requests.map(({ headers }) => headers.get("Idempotency-Key"));
  };
  const [first, again, second] = await keysOf();
  assert.equal(first, again);
  assert.notEqual(first, second);
  assert.notEqual(first, (await keysOf())[0]);
});

test("a write whose answer was lost has one effect", async () => {
  const session = await laptop.sessions.create();
  const message = await clientOf(setting.laptop, setting.losing).messages.create(session.id, { text: "Once" });
  const { items } = await laptop.messages.list(session.id);
  assert.deepEqual(items.map(({ id }) => id), [message.id]);
});

for (const [status, headers] of [[503, {}], [429, { "Retry-After": "0" }], [409, { "Retry-After": "0" }]]) {
  test(`${status} is tried again`, async () => {
    const { client, requests } = answering({ status, headers }, DEVICES);
    assert.deepEqual(await client.accounts.devices(), []);
    assert.equal(requests.length, 2);
  });
}

for (const [status, headers] of [[400, {}], [409, {}], [500, {}], [429, { "Retry-After": "900" }]]) {
  test(`${status} ${JSON.stringify(headers)} is not tried again`, async () => {
    const { client, requests } = answering({ status, headers });
    assert.equal((await refusal(client.accounts.devices())).status, status);
    assert.equal(requests.length, 1);
  });
}

test("a file is sent again byte for byte, under one key", async () => {
  const { client, requests } = answering({ status: 503 }, { status: 400 });
  await refusal(client.images.upload("id", new Blob(["a picture"])));
  const [first, second] = await Promise.all(requests.map(({ body }) => body.text()));
  assert.equal(first, second);
  assert.match(first, /a picture/);
  assert.match(requests[0].headers.get("Content-Type"), /^multipart\/form-data; boundary=/);
  const keys = requests.map(({ headers }) => headers.get("Idempotency-Key"));
  assert.ok(keys[0] && keys[0] === keys[1]);
});
