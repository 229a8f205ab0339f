"""What a Python team might write instead: FastAPI and redis.asyncio, for the calls that are compared.

It has no limits, no events, no idempotency, no search and no sign-out; passwords are not even kept. Its
answers have the same fields, so that `bench/compare.py` can ask it the same.
"""

import json
import os
import time
from typing import Annotated, Any

import jwt
from fastapi import Depends, FastAPI, File, Form, Header, HTTPException, Query, UploadFile
from pydantic import BaseModel, Field
from redis.asyncio import Redis

from nanobanana.redisdb.ids import new_id

SECRET = "the reference server keeps no secrets"
WEEK = 7 * 86400

app = FastAPI(title="The same calls, as FastAPI would have them")
redis: Redis = Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)

Row = dict[str, Any]


class Account(BaseModel):
    email: str = Field(max_length=254)
    username: str = Field(min_length=3, max_length=30)
    password: str = Field(min_length=8)


class NewSession(BaseModel):
    title: str = Field("New Chat", max_length=200)


class NewMessage(BaseModel):
    role: str = Field(pattern="^(user|assistant|model|system)$")
    text: str = Field("", max_length=32_000)
    params: dict[str, Any] = {}
    imageIds: list[str] = Field([], max_length=20)
    editedOf: str | None = None


async def signed_in(authorization: Annotated[str, Header()]) -> Row:
    """The user of the Bearer token."""
    try:
        claims = jwt.decode(authorization.removeprefix("Bearer "), SECRET, algorithms=["HS256"])
    except jwt.InvalidTokenError as error:
        raise HTTPException(401) from error
    user = await redis.hgetall(f"ref:user:{claims['userId']}")
    if not user:
        raise HTTPException(401)
    return user


Caller = Annotated[Row, Depends(signed_in)]


@app.get("/health")
async def health() -> Row:
    await redis.ping()
    return {"status": "ok", "timestamp": moment(), "services": {"redis": "ok"}}


@app.post("/api/auth/register", status_code=201)
async def register(account: Account) -> Row:
    user = {"id": new_id(), "email": account.email, "username": account.username, "createdAt": moment()}
    await redis.hset(f"ref:user:{user['id']}", mapping=user)
    token = jwt.encode({"userId": user["id"], "exp": int(time.time()) + WEEK}, SECRET, algorithm="HS256")
    return {"message": "Account created.", "user": user, "token": token, "expiresIn": WEEK}


@app.get("/api/auth/me")
async def me(user: Caller) -> Row:
    return {"user": user}


@app.get("/api/sessions")
async def list_sessions(user: Caller, limit: Annotated[int, Query(le=100)] = 20, offset: int = 0) -> Row:
    index = f"ref:sessions:{user['id']}"
    found, total = await page(index, "ref:session", limit, offset, newest_first=True)
    return {"sessions": list(map(session_of, found)), "pagination": pagination(limit, offset, total)}


@app.post("/api/sessions", status_code=201)
async def create_session(session: NewSession, user: Caller) -> Row:
    now = moment()
    row = {"id": new_id(), "userId": user["id"], "title": session.title, "createdAt": now, "updatedAt": now}
    row["messageCount"] = 0
    async with redis.pipeline(transaction=True) as pipeline:
        pipeline.hset(f"ref:session:{row['id']}", mapping=row)
        pipeline.zadd(f"ref:sessions:{user['id']}", {row["id"]: time.time()})
        await pipeline.execute()
    return {"message": "Session created.", "session": session_of(row)}


@app.get("/api/sessions/{session_id}")
async def get_session(session_id: str, user: Caller) -> Row:
    return {"session": session_of(await session_row(session_id, user))}


@app.get("/api/sessions/{session_id}/messages")
async def list_messages(
    session_id: str, user: Caller, limit: Annotated[int, Query(le=100)] = 50, offset: int = 0
) -> Row:
    await session_row(session_id, user)
    found, total = await page(f"ref:messages:{session_id}", "ref:message", limit, offset)
    messages = list(map(message_of, found))
    image_ids = [image_id for message in messages for image_id in message["imageIds"]]
    images = dict(zip(image_ids, await rows("ref:image", image_ids), strict=True))
    for message in messages:
        message["images"] = [images[image_id] for image_id in message["imageIds"]]
    return {"messages": messages, "pagination": pagination(limit, offset, total)}


@app.post("/api/sessions/{session_id}/messages", status_code=201)
async def create_message(session_id: str, message: NewMessage, user: Caller) -> Row:
    await session_row(session_id, user)
    now = moment()
    row = {"id": new_id(), "sessionId": session_id, "role": message.role, "text": message.text}
    row |= {"params": json.dumps(message.params), "imageIds": ",".join(message.imageIds)}
    row |= {"editedOf": message.editedOf or "", "createdAt": now, "updatedAt": now}
    async with redis.pipeline(transaction=True) as pipeline:
        pipeline.hset(f"ref:message:{row['id']}", mapping=row)
        pipeline.zadd(f"ref:messages:{session_id}", {row["id"]: time.time()})
        pipeline.hincrby(f"ref:session:{session_id}", "messageCount", 1)
        pipeline.hset(f"ref:session:{session_id}", "updatedAt", now)
        pipeline.zadd(f"ref:sessions:{user['id']}", {session_id: time.time()})
        await pipeline.execute()
    images = await rows("ref:image", message.imageIds)
    return {"message": "Message created.", "messageData": {**message_of(row), "images": images}}


@app.post("/api/images/upload", status_code=201)
async def upload(
    user: Caller,
    image: Annotated[UploadFile, File()],
    sessionId: Annotated[str, Form()],
    type: Annotated[str, Form()],
) -> Row:
    """Only the record: its picture is not looked at."""
    row = {"id": new_id(), "sessionId": sessionId, "userId": user["id"], "type": type, "createdAt": moment()}
    row |= {"filename": image.filename or "", "size": image.size or 0, "path": f"/media/{row['id']}"}
    await redis.hset(f"ref:image:{row['id']}", mapping=row)
    return {"message": "Image uploaded.", "image": row}


async def session_row(session_id: str, user: Row) -> Row:
    row = await redis.hgetall(f"ref:session:{session_id}")
    if not row or row["userId"] != user["id"]:
        raise HTTPException(404)
    return row


async def page(
    index: str, kind: str, limit: int, offset: int, *, newest_first: bool = False
) -> tuple[list[Row], int]:
    async with redis.pipeline(transaction=False) as pipeline:
        pipeline.zrange(index, offset, offset + limit - 1, desc=newest_first)
        pipeline.zcard(index)
        ids, total = await pipeline.execute()
    return await rows(kind, ids), total


async def rows(kind: str, ids: list[str]) -> list[Row]:
    if not ids:
        return []
    async with redis.pipeline(transaction=False) as pipeline:
        for identifier in ids:
            pipeline.hgetall(f"{kind}:{identifier}")
        return await pipeline.execute()


def session_of(row: Row) -> Row:
    return {**row, "messageCount": int(row["messageCount"])}


def message_of(row: Row) -> Row:
    image_ids = row["imageIds"].split(",") if row["imageIds"] else []
    return {**row, "params": json.loads(row["params"]), "imageIds": image_ids}


def pagination(limit: int, offset: int, total: int) -> Row:
    return {"limit": limit, "offset": offset, "total": total, "hasMore": offset + limit < total}


def moment() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{int(time.time() * 1000) % 1000:03}Z"
