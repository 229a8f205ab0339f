// A chat that two windows show in step. The address of the server stands in ?server=.
import { ApiError, BrowserTokens, NanobananaClient } from "../dist/index.js";

const server = new URLSearchParams(location.search).get("server") ?? "http://localhost:3001";
const client = new NanobananaClient(server, { store: new BrowserTokens() });
const element = (id) => document.getElementById(id);
const messages = new Map(); // by id, oldest first
let sync = null;
let session = null;

// ---- signing in
element("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  const { email, password, username } = Object.fromEntries(new FormData(event.target));
  attempt(async () => {
    if (username) await client.accounts.register({ email, username, password });
    else await client.accounts.login({ email, password });
    await open();
  });
});

element("sign-out").addEventListener("click", () =>
  attempt(async () => {
    sync?.stop();
    await client.accounts.logout();
    showSignIn();
  }),
);

function showSignIn() {
  element("sign-in").hidden = false;
  element("chat").hidden = true;
  showStatus("offline");
}

// ---- the chat
async function open() {
  const { items, syncCursor } = await client.sessions.list({ limit: 1 });
  session = items[0] ?? (await client.sessions.create("A chat in step"));
  element("sign-in").hidden = true;
  element("chat").hidden = false;
  await load();
  listen(syncCursor);
}

async function load() {
  messages.clear();
  const { items } = await client.messages.list(session.id, { order: "desc", limit: 50 });
  for (const message of items.reverse()) messages.set(message.id, message);
  showMessages();
}

function listen(since) {
  sync = client.sync([session.id], { since });
  const keep = ({ message }) => {
    messages.set(message.id, message);
    showMessages();
  };
  sync.on("message_created", keep);
  sync.on("message_updated", keep);
  sync.on("message_deleted", ({ messageId }) => {
    messages.delete(messageId);
    showMessages();
  });
  sync.on("resynced", load);
  sync.on("status", ({ status }) => showStatus(status));
  sync.on("user_typing", ({ isTyping }) => showOthers(isTyping ? "Another device is typing …" : ""));
  sync.on("ended", ({ error }) => {
    showProblem(error);
    showSignIn();
  });
  sync.start();
}

const composer = element("composer");
composer.elements.text.addEventListener("input", () => sync?.typing(session.id));
composer.elements.picture.addEventListener("change", () => composer.requestSubmit());
composer.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = composer.elements.text.value.trim();
  const [file] = composer.elements.picture.files;
  if (!text && !file) return;
  composer.reset();
  sync?.typing(session.id, false);
  attempt(async () => {
    const imageIds = file ? [(await client.images.upload(session.id, file)).id] : [];
    await client.messages.create(session.id, { text, imageIds }); // this window hears of it as others do
  });
});

// ---- showing
function showMessages() {
  element("messages").replaceChildren(...[...messages.values()].map(itemOf));
}

function itemOf(message) {
  const item = document.createElement("li");
  for (const image of message.images) item.append(Object.assign(new Image(), { src: image.thumbPath, alt: "" }));
  item.append(message.text);
  const remove = Object.assign(document.createElement("button"), { textContent: "×", title: "Delete" });
  remove.addEventListener("click", () => attempt(() => client.messages.delete(message.id)));
  item.append(remove);
  return item;
}

function showStatus(status) {
  element("status").textContent = status;
  element("status").className = status;
}

function showOthers(text) {
  element("others").textContent = text;
}

function showProblem(error) {
  element("problem").textContent = error.message;
}

async function attempt(action) {
  element("problem").textContent = "";
  try {
    await action();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    showProblem(error);
  }
}

attempt(async () => {
  if (await client.transport.store.load()) await open();
  else showSignIn();
}).finally(() => {
  if (!session) element("sign-in").hidden = false;
});
