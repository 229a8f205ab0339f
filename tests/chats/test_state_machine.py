"""Two devices do whatever they like; model, answers, Redis and what the sockets tell agree after every step.

60 steps in the suite, 1,000 with `make stress`.
"""

import asyncio
import itertools
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from nanobanana.redisdb import connection
from tests.support.consistency import inconsistencies
from tests.support.people import Device, make_person, picture
from tests.support.redis_server import RunningRedis
from tests.support.replica import Replica, kept_of, messages_of
from tests.support.stress import how_many
from tests.support.web_server import WebServer, serve_in_another_process

RUNS = how_many(3, under_stress=25)
STEPS = how_many(20, under_stress=40)
WORDS = ("cat", "crown", "Moon", "猫咪", "王冠", "Köln")
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join)
devices = st.sampled_from(["laptop", "phone"])


@dataclass
class Message:
    """What a message must be, with what it was before each change."""

    id: str
    session_id: str
    role: str
    text: str
    image_ids: list[str]
    edited_of: str | None = None
    former: list[tuple[str, list[str]]] = field(default_factory=list)

    def change(self, text: str, image_ids: list[str]) -> None:
        if (text, image_ids) != (self.text, self.image_ids):
            self.former.append((self.text, self.image_ids))
            self.text, self.image_ids = text, image_ids

    @property
    def rendered(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "sessionId": self.session_id,
            "role": self.role,
            "text": self.text,
            "params": {},
            "imageIds": self.image_ids,
            "editedOf": self.edited_of,
            "revision": len(self.former),
        }


@dataclass
class Session:
    id: str
    title: str
    tags: list[str] = field(default_factory=list)
    pinned: bool = False
    archived: bool = False
    trashed: bool = False
    is_titled: bool = True
    messages: list[Message] = field(default_factory=list)


class Chats(RuleBasedStateMachine):
    runner: asyncio.Runner
    server: WebServer
    sessions = Bundle("sessions")
    messages = Bundle("messages")
    images = Bundle("images")

    def __init__(self) -> None:
        super().__init__()
        self.do = self.runner.run
        self.stack = AsyncExitStack()
        self.person = self.do(self.stack.enter_async_context(make_person(self.server, "Robot")))
        self.known: dict[str, Session] = {}
        self.shown: dict[str, Message] = {}
        self.uploaded: dict[str, str] = {}  # image id → session id
        self.cursor: str | None = None
        first = self.do(self.person.make_session("first"))
        self.known[first["id"]] = Session(first["id"], "first")
        self.replicas = [Replica(device) for device in (self.person.laptop, self.person.phone)]
        for replica in self.replicas:
            self.do(replica.open(first["id"]))

    # ---- sessions
    @rule(target=sessions, device=devices, title=texts)
    def make_session(self, device: str, title: str) -> str:
        answer = self.call(device, "POST", "/api/sessions", {"title": title}, expect=201)
        session = answer["session"]
        self.known[session["id"]] = Session(session["id"], title)
        return session["id"]

    @rule(target=sessions, device=devices)
    def make_session_without_title(self, device: str) -> str:
        session = self.call(device, "POST", "/api/sessions", {}, expect=201)["session"]
        self.known[session["id"]] = Session(session["id"], "New Chat", is_titled=False)
        return session["id"]

    @rule(
        device=devices,
        session=sessions,
        changes=st.fixed_dictionaries(
            {},
            optional={
                "title": texts,
                "pinned": st.booleans(),
                "archived": st.booleans(),
                "tags": st.lists(st.sampled_from(["a", "b", "标签"]), unique=True),
            },
        ).filter(bool),
    )
    def update_session(self, device: str, session: str, changes: dict[str, Any]) -> None:
        known = self.known.get(session)
        is_there = known is not None and not known.trashed
        self.call(device, "PUT", f"/api/sessions/{session}", changes, expect=200 if is_there else 404)
        if known and is_there:
            known.is_titled = known.is_titled or "title" in changes
            for name, value in changes.items():
                setattr(known, name, value)

    @rule(device=devices, session=sessions)
    def delete_session(self, device: str, session: str) -> None:
        known = self.known.get(session)
        is_there = known is not None and not known.trashed
        self.call(device, "DELETE", f"/api/sessions/{session}", expect=200 if is_there else 404)
        if known and is_there:
            known.trashed = True

    @rule(device=devices, session=sessions)
    def restore_session(self, device: str, session: str) -> None:
        known = self.known.get(session)
        is_trashed = known is not None and known.trashed
        path = f"/api/sessions/{session}/restore"
        self.call(device, "POST", path, expect=200 if is_trashed else 404)
        if known and is_trashed:
            known.trashed = False

    @rule(device=devices, session=consumes(sessions))
    def delete_session_for_good(self, device: str, session: str) -> None:
        known = self.known.pop(session, None)
        path = f"/api/sessions/{session}?permanent=true"
        self.call(device, "DELETE", path, expect=200 if known else 404)
        for message in known.messages if known else []:
            del self.shown[message.id]
        for image_id, home in tuple(self.uploaded.items()):
            if known and home == session and not self.count_of(image_id):
                del self.uploaded[image_id]

    @rule(target=sessions, device=devices, session=sessions)
    def duplicate_session(self, device: str, session: str) -> str:
        known = self.known.get(session)
        is_there = known is not None and not known.trashed
        path = f"/api/sessions/{session}/duplicate"
        answer = self.call(device, "POST", path, {"title": "copy"}, expect=201 if is_there else 404)
        if known is None or not is_there:
            return session
        copy = Session(answer["session"]["id"], "copy", tags=known.tags)
        self.known[copy.id] = copy
        names: dict[str, str] = {}
        found = self.do(messages_of(self.person.laptop, copy.id))
        for original, message in zip(known.messages, found, strict=True):
            names[original.id] = message["id"]
            edited_of = names.get(original.edited_of or "")
            copied = Message(
                message["id"], copy.id, original.role, original.text, original.image_ids, edited_of
            )
            copy.messages.append(copied)
            self.shown[copied.id] = copied
        return copy.id

    # ---- messages
    @rule(
        target=messages,
        device=devices,
        session=sessions,
        role=st.sampled_from(["user", "assistant"]),
        text=texts,
        image_ids=st.lists(images, max_size=2, unique=True),
    )
    def write(self, device: str, session: str, role: str, text: str, image_ids: list[str]) -> str:
        return self.write_message(device, session, role, text, image_ids, None)

    @rule(target=messages, device=devices, message=messages, text=texts)
    def write_anew(self, device: str, message: str, text: str) -> str:
        known = self.shown.get(message)
        if known is None:
            return message
        return self.write_message(device, known.session_id, known.role, text, [], message)

    def write_message(
        self, device: str, session: str, role: str, text: str, image_ids: list[str], edited_of: str | None
    ) -> str:
        known = self.known.get(session)
        can_be = known and not known.trashed and all(image in self.uploaded for image in image_ids)
        body = {"role": role, "text": text, "imageIds": image_ids, "editedOf": edited_of}
        path = f"/api/sessions/{session}/messages"
        answer = self.call(device, "POST", path, body, expect=201 if can_be else 404)
        if not known or not can_be:
            return session  # the id of no message
        message = Message(answer["messageData"]["id"], session, role, text, image_ids, edited_of)
        known.messages.append(message)
        self.shown[message.id] = message
        if role == "user" and not known.is_titled:
            known.title, known.is_titled = text, True
        return message.id

    @rule(device=devices, message=messages, text=texts, image_ids=st.lists(images, max_size=2, unique=True))
    def edit(self, device: str, message: str, text: str, image_ids: list[str]) -> None:
        can_be = self.is_readable(message) and all(image in self.uploaded for image in image_ids)
        body = {"text": text, "imageIds": image_ids}
        self.call(device, "PUT", f"/api/messages/{message}", body, expect=200 if can_be else 404)
        if can_be:
            self.shown[message].change(text, image_ids)

    @rule(device=devices, message=messages, text=texts)
    def edit_what_moved_on(self, device: str, message: str, text: str) -> None:
        revision = len(self.shown[message].former) + 1 if message in self.shown else 1
        self.call(
            device,
            "PUT",
            f"/api/messages/{message}",
            {"text": text},
            expect=412 if self.is_readable(message) else 404,
            headers={"If-Match": f'"{revision}"'},
        )

    @rule(device=devices, message=messages, number=st.integers(0, 5))
    def restore_revision(self, device: str, message: str, number: int) -> None:
        can_be = self.is_readable(message) and number < len(self.shown[message].former)
        path = f"/api/messages/{message}/restore"
        if not can_be and self.is_readable(message) and number == len(self.shown[message].former):
            return  # the present one: see its own tests
        self.call(device, "POST", path, {"revision": number}, expect=200 if can_be else 404)
        if can_be:
            text, image_ids = self.shown[message].former[number]
            self.shown[message].change(text, [image for image in image_ids if image in self.uploaded])

    @rule(device=devices, message=messages, image=images)
    def detach(self, device: str, message: str, image: str) -> None:
        can_be = self.is_readable(message) and image in self.shown[message].image_ids
        path = f"/api/messages/{message}/images/{image}"
        self.call(device, "DELETE", path, expect=200 if can_be else 404)
        if can_be:
            known = self.shown[message]
            known.change(known.text, [shown for shown in known.image_ids if shown != image])

    @rule(device=devices, message=consumes(messages))
    def delete_message(self, device: str, message: str) -> None:
        can_be = self.is_readable(message)
        self.call(device, "DELETE", f"/api/messages/{message}", expect=200 if can_be else 404)
        if can_be:
            known = self.shown.pop(message)
            self.known[known.session_id].messages.remove(known)

    # ---- pictures
    @rule(target=images, device=devices, session=sessions)
    def upload(self, device: str, session: str) -> str:
        known = self.known.get(session)
        if known is None or known.trashed:
            return session  # the id of no picture
        answer = self.do(self.device(device).upload(session, picture(4, 4)))
        assert answer.status_code == 201
        self.cursor = answer.headers["X-Sync-Cursor"]
        image_id = answer.json()["image"]["id"]
        self.uploaded[image_id] = session
        return image_id

    @rule(device=devices, image=images)
    def delete_image(self, device: str, image: str) -> None:
        status = (409 if self.count_of(image) else 200) if image in self.uploaded else 404
        self.call(device, "DELETE", f"/api/images/{image}", expect=status)
        if status == 200:
            del self.uploaded[image]

    # ---- what must hold
    @rule(word=st.sampled_from([*WORDS, "ca", "koln", "咪 王"]), type=st.sampled_from(["message", "session"]))
    def search(self, word: str, type: str) -> None:
        query = {"q": word, "type": type, "limit": "100"}
        results = self.do(self.person.phone.get("/api/search", params=query)).json()["results"]
        key = "message" if type == "message" else "session"
        assert [result[key]["id"] for result in results] == self.expected_hits(word, type)

    def expected_hits(self, word: str, type: str) -> list[str]:
        living = [session for session in self.known.values() if not session.trashed]
        if type == "session":
            candidates = [(session.id, session.title) for session in living]
        else:
            candidates = [(message.id, message.text) for session in living for message in session.messages]
        hits = [identifier for identifier, text in candidates if is_hit(word, text)]
        return sorted(hits, reverse=True)

    @invariant()
    def all_agree(self) -> None:
        self.the_devices_show_what_the_model_holds()
        self.the_answers_are_what_the_model_holds()
        assert self.do(inconsistencies([self.person.id])) == []

    def the_devices_show_what_the_model_holds(self) -> None:
        living = {session.id: session for session in self.known.values() if not session.trashed}
        expected = {
            session.id: [message.rendered for message in session.messages] for session in living.values()
        }
        for replica in self.replicas:
            self.do(replica.catch_up(self.cursor))
            assert replica.sessions.keys() == living.keys()
            shown = {
                session: sorted(messages.values(), key=lambda message: message["id"])
                for session, messages in replica.messages.items()
            }
            assert shown == expected

    def the_answers_are_what_the_model_holds(self) -> None:
        listed = self.listed("/api/sessions") + self.listed("/api/sessions?archived=true")
        living = {session.id: session for session in self.known.values() if not session.trashed}
        assert {session["id"] for session in listed} == living.keys()
        for session in listed:
            known = living[session["id"]]
            assert (session["title"], session["tags"]) == (known.title, known.tags)
            assert (session["pinned"], session["archived"]) == (known.pinned, known.archived)
            assert session["messageCount"] == len(known.messages)
            assert session == self.replicas[0].sessions[session["id"]]
            messages = self.do(messages_of(self.person.phone, session["id"]))
            assert [kept_of(message) for message in messages] == [each.rendered for each in known.messages]
            counts = {image["id"]: image["refCount"] for message in messages for image in message["images"]}
            assert counts == {image_id: self.count_of(image_id) for image_id in counts}
        trashed = self.listed("/api/sessions/trash")
        assert {session["id"] for session in trashed} == self.known.keys() - living.keys()

    def teardown(self) -> None:
        self.do(self.stack.aclose())

    # ---- how it is done
    def device(self, name: str) -> Device:
        return self.person.laptop if name == "laptop" else self.person.phone

    def call(
        self, device: str, method: str, path: str, body: Any = None, *, expect: int, **options: Any
    ) -> dict[str, Any]:
        answer: httpx.Response = self.do(self.device(device).request(method, path, json=body, **options))
        assert answer.status_code == expect, f"{method} {path} {body}: {answer.status_code} {answer.text}"
        if method != "GET" and answer.is_success:
            self.cursor = answer.headers.get("X-Sync-Cursor", self.cursor)
        return answer.json()

    def listed(self, path: str) -> list[dict[str, Any]]:
        joint = "&" if "?" in path else "?"
        answer = self.do(self.person.laptop.get(f"{path}{joint}limit=100")).json()
        assert answer["pagination"]["total"] == len(answer["sessions"])
        return answer["sessions"]

    def is_readable(self, message: str) -> bool:
        known = self.shown.get(message)
        return known is not None and not self.known[known.session_id].trashed

    def count_of(self, image_id: str) -> int:
        shown = itertools.chain.from_iterable(message.image_ids for message in self.shown.values())
        return sum(shown_id == image_id for shown_id in shown)


def is_hit(query: str, text: str) -> bool:
    """Whether the words stand in the text, the last one at least begun; the words here are plain."""
    *whole, begun = [plain(word) for word in query.split()]
    words = [plain(word) for word in text.split()]
    found = [any(is_part(word, other, is_begun=False) for other in words) for word in whole]
    return all(found) and any(is_part(begun, other, is_begun=True) for other in words)


def is_part(word: str, other: str, *, is_begun: bool) -> bool:
    if not word.isascii():
        return word in other
    return other.startswith(word) if is_begun else other == word


def plain(word: str) -> str:
    return word.casefold().replace("ö", "o")


@pytest.mark.stress
def test_model_answers_redis_and_sockets_agree(redis_server: RunningRedis) -> None:
    with asyncio.Runner() as Chats.runner:
        stack = AsyncExitStack()
        stack.push_async_callback(connection.close)
        Chats.server = Chats.runner.run(stack.enter_async_context(serve_in_another_process()))
        try:
            run_machine(
                Chats,
                settings=settings(
                    max_examples=RUNS,
                    stateful_step_count=STEPS,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            Chats.runner.run(stack.aclose())
