// SyncClient: each change once and in order, whatever happens to the network.
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { clientOf, failing, laptop, MemoryTokens, NanobananaClient, NOBODY, QUICK, setting, until } from "./setting.mjs";

const EVENTS = 100;
const LONG = "long ".repeat(2000); // more than events hold

mock.method(console, "error", () => {});

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

/** A WebSocket class, and all sockets that were opened by it. */
function noted() {
  const sockets = [];
  class NotedSocket extends WebSocket {
    constructor(address) {
      super(address);
      sockets.push(this);
    }
  }
  return { WebSocket: NotedSocket, sockets };
}

class Throwing {
  constructor() {
    throw new DOMException("The page may not.", "SecurityError");
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

test("a join while it polls is confirmed by the server", async () => {
  const [session, joined] = [await laptop.sessions.create(), await laptop.sessions.create()];
  let isAway = false;
  const fetch = async (address, request) => {
    if (isAway) throw new TypeError("There is no network.");
    return globalThis.fetch(address, request);
  };
  const client = clientOf(setting.phone, setting.url, { fetch });
  await withListener(client, [session.id], { WebSocket: Throwing, unopenedSockets: 1 }, async (device) => {
    await until(() => device.sync.status === "polling");
    isAway = true;
    device.sync.join(joined.id);
    await until(() => device.sync.status === "waiting");
    assert.deepEqual(device.all("joined_session"), []);
    isAway = false;
    assert.deepEqual(await device.hears("joined_session"), { sessionId: joined.id });
    await write(joined, "polled");
    await until(() => device.texts().length === 1);
  });
});

test("a socket that cannot even be made is one that cannot be opened", async () => {
  const session = await laptop.sessions.create();
  await withListener(phone(), [session.id], { WebSocket: Throwing }, async ({ sync, all, texts }) => {
    await until(() => sync.status === "polling");
    await write(session, "polled");
    await until(() => texts().length === 1);
    assert.deepEqual(all("ended"), []);
  });
});

test("an empty position is none", async () => {
  const session = await laptop.sessions.create();
  for (const WebSocket of [globalThis.WebSocket, Throwing]) {
    await withListener(phone(), [session.id], { since: "", WebSocket, unopenedSockets: 1 }, async (device) => {
      await until(() => device.sync.cursor);
      await write(session, "heard");
      await until(() => device.texts().length === 1);
      assert.deepEqual(device.all("resynced"), []);
    });
  }
});

test("a position that is none at all is a resync, by poll as by socket", async () => {
  const session = await laptop.sessions.create();
  for (const WebSocket of [globalThis.WebSocket, Throwing]) {
    await withListener(phone(), [session.id], { since: "nonsense", WebSocket, unopenedSockets: 1 }, async (device) => {
      const { cursor } = await device.hears("resynced");
      await until(() => device.sync.cursor === cursor);
      await write(session, "heard");
      await until(() => device.texts().length === 1);
      assert.equal(device.all("resynced").length, 1);
    });
  }
});

test("ids that are none, and too many, are refused at once", async () => {
  const ids = Array.from({ length: 101 }, (_, number) => `${NOBODY.slice(0, -3)}${number + 100}`);
  for (const wrong of [[], ids, ["nonsense"], [NOBODY, ""], [undefined], [NOBODY.toLowerCase()]]) {
    assert.throws(() => phone().sync(wrong), RangeError);
  }
  const sync = phone().sync(ids.slice(1));
  for (const wrong of [ids[0], "nonsense"]) assert.throws(() => sync.join(wrong), RangeError);
  assert.deepEqual(sync.sessionIds, ids.slice(1));
  sync.join(ids[1]); // is there already
  sync.leave(ids[1]);
  sync.join(ids[0]);
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
    await write(session, LONG);
    await until(() => texts()[0] === LONG);
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

test("a session that is not there is left, and the next one is heard", async () => {
  const session = await laptop.sessions.create();
  await withListener(phone(), [NOBODY, session.id], {}, async ({ sync, all, hears, texts }) => {
    assert.deepEqual(await hears("left_session"), { sessionId: NOBODY });
    assert.deepEqual((await hears("connected")).sessionIds, [session.id]);
    await write(session, "still here");
    await until(() => texts().length === 1);
    assert.deepEqual([sync.sessionIds, all("ended")], [[session.id], []]);
  });
});

test("without any session it polls, until it joins one", async () => {
  const options = { since: await position(laptop) };
  await withListener(phone(), [NOBODY], options, async ({ sync, all, hears }) => {
    await until(() => sync.status === "polling");
    assert.deepEqual(all("left_session"), [{ sessionId: NOBODY }]);
    const session = await laptop.sessions.create();
    assert.equal((await hears("change")).sessionId, session.id);
    sync.join(session.id);
    assert.deepEqual((await hears("connected")).sessionIds, [session.id]);
    assert.deepEqual(await hears("joined_session"), { sessionId: session.id });
  });
});

test("a session that was left opens no socket", async () => {
  const session = await laptop.sessions.create();
  const { WebSocket, sockets } = noted();
  await withListener(phone(), [session.id], { WebSocket }, async ({ sync, hears }) => {
    await hears("connected");
    sync.leave(session.id);
    await hears("left_session");
    sockets[0].close();
    await until(() => sync.status === "polling");
    assert.equal(sockets.length, 1);
  });
});

test("a join that was refused is not asked for again", async () => {
  const [session, joined] = [await laptop.sessions.create(), await laptop.sessions.create()];
  const { WebSocket, sockets } = noted();
  await withListener(phone(), [session.id], { WebSocket }, async ({ sync, all, hears }) => {
    await hears("connected");
    sync.join(NOBODY);
    sync.leave(NOBODY);
    sync.join(joined.id);
    sync.join(NOBODY.replace("0", "1"));
    await hears("error", 3);
    assert.deepEqual(all("joined_session"), [{ sessionId: joined.id }]);
    assert.deepEqual(sync.sessionIds, [session.id, joined.id]);
    sockets[0].close();
    assert.deepEqual((await hears("connected", 2)).sessionIds.sort(), sync.sessionIds.sort());
    assert.deepEqual(all("left_session"), []);
  });
});

test("only a refusal of the device ends it", async () => {
  const session = await laptop.sessions.create();
  const fetch = failing("/api/auth/ws-ticket", 404, 400);
  const client = clientOf(setting.phone, setting.url, { fetch });
  await withListener(client, [session.id], {}, async ({ hears }) => {
    const logged = console.error.mock.callCount();
    await hears("connected");
    assert.equal(console.error.mock.callCount(), logged + 2);
  });
});

for (const passing of [503, 429, 408, undefined]) {
  test(`what comes later waits until a large object could be had: ${passing ?? "no answer"}`, async () => {
    const session = await laptop.sessions.create();
    const fetch = failing("/api/messages/", passing, passing, passing);
    const client = clientOf(setting.phone, setting.url, { fetch, retries: 0 });
    await withListener(client, [session.id], {}, async ({ sync, all, hears, texts }) => {
      await hears("connected");
      await write(session, LONG);
      await write(session, "later");
      await until(() => texts().length === 2);
      assert.deepEqual(texts(), [LONG, "later"]);
      assert.deepEqual(all("resynced"), []);
      await until(async () => sync.cursor === (await position(laptop)));
    });
  });
}

test("a large object that is refused for good is to be loaded anew", async () => {
  const session = await laptop.sessions.create();
  const client = clientOf(setting.phone, setting.url, { fetch: failing("/api/messages/", 400) });
  await withListener(client, [session.id], {}, async ({ sync, all, hears, texts }) => {
    await hears("connected");
    await write(session, LONG);
    await hears("resynced");
    await write(session, "later");
    await until(() => texts().length === 1);
    assert.deepEqual([texts(), all("resynced").length], [["later"], 1]);
    await until(async () => sync.cursor === (await position(laptop)));
  });
});

test("stopped before a large object could be had, it goes on from before it", async () => {
  const session = await laptop.sessions.create();
  const [since, seen] = [await position(laptop), []];
  const fetch = async (address, request) => {
    if (!address.includes("/api/messages/")) return globalThis.fetch(address, request);
    seen.push(address);
    throw new TypeError("There is no network.");
  };
  const client = clientOf(setting.phone, setting.url, { fetch, retries: 0 });
  const backoff = { first: 1000, longest: 1000 };
  const sync = client.sync([session.id], { since, backoff, WebSocket: globalThis.WebSocket });
  sync.on("change", () => assert.fail("It was stopped."));
  const running = sync.run();
  await write(session, LONG);
  await until(() => seen.length);
  sync.stop();
  await running;
  assert.equal(sync.cursor, since);
});

test("a store that fails is logged, and nothing is lost", async () => {
  const session = await laptop.sessions.create();
  class FailingTokens extends MemoryTokens {
    failures = 0;
    load() {
      if (this.failures-- > 0) throw new Error("The disk is full.");
      return super.load();
    }
  }
  const store = new FailingTokens(setting.phone);
  const { WebSocket, sockets } = noted();
  const logged = console.error.mock.callCount();
  await withListener(new NanobananaClient(setting.url, { store }), [session.id], { WebSocket }, async (device) => {
    await device.hears("connected");
    store.failures = 2;
    await write(session, LONG);
    await write(session, "later");
    await until(() => device.texts().length === 2);
    assert.deepEqual([device.texts(), device.all("resynced")], [[LONG, "later"], []]);
    assert.equal(console.error.mock.callCount(), logged + 2);
    store.failures = 1; // and without a ticket
    sockets[0].close();
    await device.hears("connected", 2);
    assert.equal(console.error.mock.callCount(), logged + 3);
  });
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
