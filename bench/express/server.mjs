// The compared calls as an Express server with ioredis would have them, in the way of the seed's: one call to Redis
// after the other, no limits, no events, no idempotency. REDIS_URL and PORT say where.
import { randomUUID } from "node:crypto";
import express from "express";
import Redis from "ioredis";
import jwt from "jsonwebtoken";

const SECRET = "the reference server keeps no secrets";
const redis = process.env.REDIS_URL.startsWith("unix://")
  ? new Redis({ path: process.env.REDIS_URL.slice("unix://".length).split("?")[0] })
  : new Redis(process.env.REDIS_URL);
const app = express();
app.disable("x-powered-by");
app.use(express.json({ limit: "1mb" }));

const now = () => new Date().toISOString();
const handle = (action) => (request, response, next) => action(request, response).catch(next);

async function signedIn(request, response, next) {
  try {
    const claims = jwt.verify((request.headers.authorization ?? "").replace("Bearer ", ""), SECRET);
    request.user = await redis.hgetall(`express:user:${claims.userId}`);
    if (request.user.id) return next();
  } catch {
    // answered below
  }
  response.status(401).json({ error: "unauthorized" });
}

async function ownSession(request, response) {
  const session = await redis.hgetall(`express:session:${request.params.id}`);
  if (session.userId === request.user.id) return session;
  response.status(404).json({ error: "not_found" });
  return null;
}

const rows = (kind, ids) => Promise.all(ids.map((id) => redis.hgetall(`express:${kind}:${id}`)));
const sessionOf = (row) => ({ ...row, messageCount: Number(row.messageCount) });
const messageOf = (row) => ({ ...row, params: JSON.parse(row.params), imageIds: JSON.parse(row.imageIds) });

async function page(request, index, limit, reversed) {
  const { offset = 0 } = request.query;
  limit = Number(request.query.limit ?? limit);
  const last = Number(offset) + limit - 1;
  const ids = await redis[reversed ? "zrevrange" : "zrange"](index, offset, last);
  const total = await redis.zcard(index);
  return [ids, { limit, offset: Number(offset), total, hasMore: last + 1 < total }];
}

app.get("/health", handle(async (request, response) => {
  await redis.ping();
  response.json({ status: "ok", timestamp: now(), services: { redis: "ok" } });
}));

app.post("/api/auth/register", handle(async (request, response) => {
  const { email, username } = request.body;
  const user = { id: randomUUID(), email, username, createdAt: now() };
  await redis.hset(`express:user:${user.id}`, user);
  const token = jwt.sign({ userId: user.id }, SECRET, { expiresIn: "7d" });
  response.status(201).json({ message: "Account created.", user, token });
}));

app.get("/api/auth/me", signedIn, (request, response) => response.json({ user: request.user }));

app.get("/api/sessions", signedIn, handle(async (request, response) => {
  const [ids, pagination] = await page(request, `express:sessions:${request.user.id}`, 20, true);
  response.json({ sessions: (await rows("session", ids)).map(sessionOf), pagination });
}));

app.post("/api/sessions", signedIn, handle(async (request, response) => {
  const { title = "New Chat" } = request.body;
  const session = { id: randomUUID(), userId: request.user.id, title, createdAt: now(), updatedAt: now(), messageCount: 0 };
  await redis.hset(`express:session:${session.id}`, session);
  await redis.zadd(`express:sessions:${request.user.id}`, Date.now(), session.id);
  response.status(201).json({ message: "Session created.", session });
}));

app.get("/api/sessions/:id", signedIn, handle(async (request, response) => {
  const session = await ownSession(request, response);
  if (session) response.json({ session: sessionOf(session) });
}));

app.get("/api/sessions/:id/messages", signedIn, handle(async (request, response) => {
  if (!(await ownSession(request, response))) return;
  const [ids, pagination] = await page(request, `express:messages:${request.params.id}`, 50, false);
  const messages = (await rows("message", ids)).map(messageOf);
  for (const message of messages) message.images = await rows("image", message.imageIds);
  response.json({ messages, pagination });
}));

app.post("/api/sessions/:id/messages", signedIn, handle(async (request, response) => {
  const session = await ownSession(request, response);
  if (!session) return;
  const { role, text = "", params = {}, imageIds = [], editedOf = "" } = request.body;
  const row = { id: randomUUID(), sessionId: session.id, role, text, editedOf, createdAt: now(), updatedAt: now() };
  Object.assign(row, { params: JSON.stringify(params), imageIds: JSON.stringify(imageIds) });
  await redis.hset(`express:message:${row.id}`, row);
  await redis.zadd(`express:messages:${session.id}`, Date.now(), row.id);
  await redis.hincrby(`express:session:${session.id}`, "messageCount", 1);
  await redis.hset(`express:session:${session.id}`, "updatedAt", now());
  await redis.zadd(`express:sessions:${request.user.id}`, Date.now(), session.id);
  const images = await rows("image", imageIds);
  response.status(201).json({ message: "Message created.", messageData: { ...messageOf(row), images } });
}));

// Only the record: the picture is not looked at.
app.post("/api/images/upload", signedIn, express.raw({ type: "multipart/form-data", limit: "10mb" }), handle(async (request, response) => {
  const sessionId = /name="sessionId"\s+(\S+)/.exec(request.body.toString("latin1"))[1];
  const image = { id: randomUUID(), sessionId, userId: request.user.id, size: request.body.length, createdAt: now() };
  await redis.hset(`express:image:${image.id}`, image);
  response.status(201).json({ message: "Image uploaded.", image });
}));

app.listen(Number(process.env.PORT), "127.0.0.1");
