// Every call of the schema has a method; the test beside compares what the network saw with the schema.
import assert from "node:assert/strict";
import { test } from "node:test";
import { allOf, clientOf, NanobananaClient, PASSWORD, picture, refusal, setting } from "./setting.mjs";

const OTHER_PASSWORD = "another good password";
const client = clientOf(setting.caller, setting.watched);

test("accounts", async () => {
  const pia = new NanobananaClient(setting.watched);
  const email = "pia.of.typescript@example.com";
  const user = await pia.accounts.register({ email, username: "Pia", password: PASSWORD });
  assert.deepEqual([user.email, user.avatar], [email, null]);
  await pia.accounts.resendVerification();
  assert.equal((await refusal(pia.accounts.verifyEmail({ token: "nonsense" }))).status, 400);
  const renamed = await pia.accounts.update({ username: "Pia P.", avatar: "https://example.com/pia.png" });
  assert.deepEqual(await pia.accounts.me(), renamed);
  const usage = await pia.accounts.usage();
  assert.deepEqual([usage.images, usage.limits.images], [0, null]);
  assert.equal((await pia.accounts.update({ avatar: null })).avatar, null);
  await pia.accounts.changePassword({ currentPassword: PASSWORD, newPassword: OTHER_PASSWORD });
  assert.ok(await pia.accounts.refresh());
  assert.equal((await pia.accounts.socketTicket()).expiresIn, 30);
  assert.ok((await new Response(await pia.accounts.exportZip()).blob()).size > 100);
  await pia.accounts.logout();
  assert.equal((await refusal(pia.accounts.me())).code, "unauthorized");

  await pia.accounts.forgotPassword({ email });
  const reset = pia.accounts.resetPassword({ token: "nonsense", password: PASSWORD });
  assert.deepEqual(Object.keys((await refusal(reset)).details), ["token"]);
  const credentials = { email, password: OTHER_PASSWORD };
  await pia.accounts.login(credentials);
  await pia.accounts.logoutAll();
  await pia.accounts.login(credentials);
  const [device] = await pia.accounts.devices();
  assert.ok(device.current);
  await pia.accounts.signOutDevice(device.id);
  await pia.accounts.login(credentials);
  await pia.accounts.delete({ password: OTHER_PASSWORD });
  assert.equal(await pia.transport.store.load(), null);
});

test("sessions and trash", async () => {
  const session = await client.sessions.create("Cats");
  assert.deepEqual(await client.sessions.get(session.id), session);
  const changed = await client.sessions.update(session.id, { title: "Dogs", pinned: true, tags: ["pets"] });
  assert.deepEqual([changed.title, changed.pinned, changed.tags], ["Dogs", true, ["pets"]]);
  await client.sessions.create();
  await client.sessions.create();
  const { items, pagination, syncCursor } = await client.sessions.list({ limit: 2 });
  assert.equal(items[0].id, session.id);
  assert.ok(pagination.total >= 3 && pagination.hasMore && syncCursor);
  assert.equal((await allOf(client.sessions.each({ limit: 2 }))).length, pagination.total);
  assert.equal((await client.sessions.list({ tag: "pets" })).items.length, 1);
  assert.equal((await client.sessions.list({ q: "dogs" })).items[0].id, session.id);
  assert.equal((await client.sessions.list({ archived: true })).items.length, 0);
  assert.equal((await client.sessions.stats(session.id)).messageCount, 0);
  assert.deepEqual(await client.sessions.presence(session.id), []);
  const copy = await client.sessions.duplicate(session.id, { title: "Dogs again" });
  assert.equal(copy.title, "Dogs again");
  const archive = await new Response(await client.sessions.exportZip(session.id)).blob();
  const [imported] = await client.sessions.importZip(archive);
  assert.equal(imported.title, "Dogs");

  await client.sessions.delete(session.id);
  assert.deepEqual((await client.trash.list()).items.map(({ id }) => id), [session.id]);
  assert.equal((await client.trash.restore(session.id)).deletedAt, null);
  await client.trash.delete(session.id);
  assert.deepEqual(await allOf(client.trash.each()), []);
});

test("messages", async () => {
  const session = await client.sessions.create("Messages");
  const image = await client.images.upload(session.id, picture());
  const message = await client.messages.create(session.id, { text: "One", params: { model: "m" } });
  assert.deepEqual(await client.messages.get(message.id), message);
  const ifMatch = message.revision;
  const changed = await client.messages.update(message.id, { text: "Two" }, { ifMatch });
  assert.deepEqual([changed.text, changed.revision], ["Two", ifMatch + 1]);
  assert.equal((await refusal(client.messages.update(message.id, { text: "Three" }, { ifMatch }))).status, 412);
  const revisions = await client.messages.revisions(message.id);
  assert.deepEqual(revisions.items.map(({ text }) => text), ["Two", "One"]);
  assert.equal((await client.messages.restore(message.id, ifMatch)).text, "One");
  assert.equal((await allOf(client.messages.eachRevision(message.id, { limit: 1 }))).length, 3);
  const version = await client.messages.create(session.id, { text: "Another", editedOf: message.id });
  const { branches, activeId } = await client.messages.branches(message.id);
  assert.deepEqual([branches.map(({ id }) => id), activeId], [[message.id, version.id], version.id]);
  assert.deepEqual((await client.messages.addImage(version.id, image.id)).imageIds, [image.id]);
  assert.deepEqual((await client.messages.images(version.id)).map(({ id }) => id), [image.id]);
  assert.deepEqual((await client.messages.removeImage(version.id, image.id)).images, []);
  const page = await client.messages.list(session.id, { order: "desc", limit: 1, branch: "all" });
  assert.deepEqual([page.items[0].id, page.pagination.total], [version.id, 2]);
  assert.equal((await allOf(client.messages.each(session.id, { limit: 1 }))).length, 2);
  await client.messages.delete(version.id);
  assert.equal((await refusal(client.messages.get(version.id))).code, "not_found");
});

test("images", async () => {
  const session = await client.sessions.create("Images");
  const image = await client.images.upload(session.id, picture(), { type: "generated" });
  assert.equal((await client.images.get(image.id)).type, "generated");
  assert.ok((await new Response(await client.images.content(image.id, "thumb")).blob()).size > 20);
  const batch = await client.images.uploadBatch(session.id, [picture(), new File(["no picture"], "b.txt")]);
  assert.deepEqual([batch.successful.length, batch.failed[0].filename], [1, "b.txt"]);
  const filter = { sessionId: session.id, type: "generated" };
  assert.equal((await client.images.list(filter)).items.length, 1);
  assert.ok((await allOf(client.images.each({ limit: 1 }))).length >= 2);
  const direct = await client.images.uploadDirectly(session.id, picture(), { type: "generated" });
  assert.deepEqual([direct.mime, direct.type], ["image/png", "generated"]);
  await client.images.delete(image.id);
  assert.deepEqual((await client.images.cleanup()).failed, []);
});

test("search and the rest", async () => {
  const session = await client.sessions.create("Findings");
  const message = await client.messages.create(session.id, { text: "a banana on the moon" });
  const [found] = (await client.search.find("banana moon", { sessionId: session.id })).items;
  assert.deepEqual(found.message, message);
  const words = found.highlights.map(([start, end]) => found.message.text.slice(start, end));
  assert.deepEqual(words, ["banana", "moon"]);
  assert.ok((await allOf(client.search.each("banana", { limit: 1 }))).length);
  const { cursor } = await client.events.since(null);
  await client.messages.delete(message.id);
  const { events } = await client.events.since(cursor, { sessionIds: [session.id], wait: 5 });
  assert.equal(events[0].type, "message_deleted");
  assert.equal((await client.health.check()).status, "ok");
});
