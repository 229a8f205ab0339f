// SyncClient: each change once and in order, whatever happens to the network.
import assert from "node:assert/strict";
import { test } from "node:test";
import { clientOf, laptop, NOBODY, QUICK, refusal, setting, until } from "./setting.mjs";

const EVENTS = 100;

/** A SyncClient and all it told. */
function listening(client, sessionIds, options = {}) {
  const told = [];
  const sync = client.sync(sessionIds, { backoff: QUICK, WebSocket: globalThis.WebSocket, ...options });
  const types = ["change", "status", "connected", "resynced", "joined_session", "left_session"];
  for (const type of [...types, "user_typing", "presence", "error", "ended"]) {
    sync.on(type, (notice) => void told.push([type, notice]));
  }
  const all = (type) => told.filter(([each]) => each === type).map(([, notice]) => notice);
  const hears = async (type, count = 1) => {
    await until(() => all(type).length >= count);
    return all(type)[count - 1];
  };
  const texts = () => all("change").flatMap(({ type, message }) => (type === "message_created" ? [message.text] : []));
  sync.start();
  return { sync, all, hears, texts };
}

async function withListener(client, sessionIds, options, story) {
  const device = listening(client, sessionIds, options);
  try {
    await story(device);
  } finally {
    device.sync.stop();
  }
}

async function position(client) {
  return (await client.events.since(null)).cursor;
}

const phone = (url = setting.url) => clientOf(setting.phone, url);
const write = (session, text) => laptop.messages.create(session.id, { text });

test("it hears what another device does", async () => {
  const session = await laptop.sessions.create();
  await withListener(phone(), [session.id], {}, async ({ sync, hears, all, texts }) => {
    const connected = await hears("connected");
    assert.deepEqual([connected.sessionIds, connected.recovered], [[session.id], false]);
    const message = await write(session, "Hello");
    await until(() => texts().length);
    const change = all("change").find(({ type }) => type === "message_created");
    assert.deepEqual([change.message, change.messageId, change.sessionId], [message, message.id, session.id]);
    assert.equal(sync.status, "live");
  });
});

test("nothing is lost or doubled through cuts", async () => {
  const session = await laptop.sessions.create();
  const expected = Array.from({ length: EVENTS }, (_, number) => `number ${number}`);
  const options = { since: await position(laptop), socketsAgain: 0.05 };
  await withListener(phone(setting.cutting), [session.id], options, async ({ all, texts }) => {
    for (const text of expected) await write(session, text);
    await until(() => texts().length >= EVENTS, 15);
    assert.deepEqual(texts(), expected);
    assert.deepEqual(all("resynced"), []);
    console.log(`# connected ${all("connected").length} times`);
  });
});

test("it polls where sockets cannot be opened, and tries them again", async () => {
  const session = await laptop.sessions.create();
  const elsewhere = await laptop.sessions.create();
  const options = { since: await position(laptop), unopenedSockets: 1, socketsAgain: 1 };
  await withListener(phone(setting.withoutSockets), [session.id], options, async ({ sync, all, hears, texts }) => {
    await until(() => sync.status === "polling");
    await write(elsewhere, "of no interest");
    await write(session, "polled");
    await until(() => texts().length === 1);
    sync.join(elsewhere.id);
    assert.deepEqual(await hears("joined_session"), { sessionId: elsewhere.id });
    await write(elsewhere, "of interest now");
    await until(() => texts().length === 2);
    assert.deepEqual(texts(), ["polled", "of interest now"]);
    assert.deepEqual(all("connected"), []);
  });
});

test("without WebSocket it polls", async () => {
  const session = await laptop.sessions.create();
  const { WebSocket } = globalThis;
  globalThis.WebSocket = undefined;
  await withListener(phone(), [session.id], { since: await position(laptop) }, async ({ sync, texts }) => {
    globalThis.WebSocket = WebSocket;
    await write(session, "polled");
    await until(() => texts().length === 1);
    assert.equal(sync.status, "polling");
  });
});

test("who missed too much is told once", async () => {
  const session = await laptop.sessions.create();
  await withListener(phone(), [session.id], { since: "0f:3" }, async ({ sync, all, hears, texts }) => {
    const { cursor } = await hears("resynced");
    await until(() => sync.cursor === cursor);
    await write(session, "after it");
    await until(() => texts().length === 1);
    assert.equal(all("resynced").length, 1);
  });
});

test("it goes on from where a handler stopped it", async () => {
  const session = await laptop.sessions.create();
  const since = await position(laptop);
  for (const text of ["first", "second", "third"]) await write(session, text);
  const sync = phone().sync([session.id], { since, WebSocket: globalThis.WebSocket });
  const heard = [];
  sync.on("message_created", async ({ message }) => {
    heard.push(message.text);
    sync.stop();
  });
  await sync.run();
  assert.deepEqual(heard, ["first"]);
  await withListener(phone(), [session.id], { since: sync.cursor }, async ({ texts }) => {
    await until(() => texts().length === 2);
    assert.deepEqual(texts(), ["second", "third"]);
  });
});

test("large objects come whole", async () => {
  const session = await laptop.sessions.create();
  await withListener(phone(), [session.id], {}, async ({ hears, texts }) => {
    await hears("connected");
    await write(session, "long ".repeat(2000));
    await until(() => texts()[0]?.length === 10_000);
  });
});

test("it joins, leaves, types and is present", async () => {
  const [session, joined] = [await laptop.sessions.create(), await laptop.sessions.create()];
  await withListener(phone(), [session.id], {}, async (onTheWay) => {
    const { connectionId, deviceId } = await onTheWay.hears("connected");
    onTheWay.sync.join(joined.id);
    onTheWay.sync.join(NOBODY);
    assert.equal((await onTheWay.hears("error")).code, "not_found");
    await onTheWay.hears("joined_session");
    onTheWay.sync.leave(session.id);
    assert.deepEqual(await onTheWay.hears("left_session"), { sessionId: session.id });
    await withListener(laptop, [joined.id], {}, async (atDesk) => {
      await atDesk.hears("connected");
      onTheWay.sync.typing(joined.id);
      const typing = await atDesk.hears("user_typing");
      assert.deepEqual([typing.connectionId, typing.isTyping], [connectionId, true]);
      onTheWay.sync.typing(joined.id, false);
      assert.equal((await atDesk.hears("user_typing", 2)).isTyping, false);
      const isThere = ({ devices }) => devices.some((device) => device.deviceId === deviceId);
      await until(() => atDesk.all("presence").some(isThere));
    });
  });
});

test("a silent server is left", async () => {
  const session = await laptop.sessions.create();
  await withListener(phone(), [session.id], { silence: 0.2 }, async ({ hears }) => {
    await hears("connected", 2); // nothing was said in between
  });
});

test("a session that is not there ends it", async () => {
  const sync = phone().sync([NOBODY], { WebSocket: globalThis.WebSocket });
  const ended = [];
  sync.on("ended", ({ error }) => void ended.push(error));
  const error = await refusal(sync.run());
  assert.deepEqual([error.status, error.code, ended], [404, "not_found", [error]]);
});

test("signing the device out ends it", async () => {
  const leaver = clientOf(setting.leaver);
  const session = await leaver.sessions.create();
  await withListener(leaver, [session.id], {}, async ({ hears }) => {
    await hears("connected");
    await clientOf(setting.leaver).accounts.logout();
    assert.equal((await hears("ended")).error.status, 401);
  });
});
