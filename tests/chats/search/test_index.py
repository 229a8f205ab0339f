"""What the index answers is what a look at every text would, after any mix of changes."""

import asyncio
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from accounts.models import User
from accounts.services.sign_ins import register
from chats.models import TITLE_BY_DEFAULT, Message, Session
from chats.search import indexing
from chats.search.indexing import Narrowing
from chats.search.matching import Document
from chats.search.query import parse
from chats.services import messages, sessions, trash
from chats.services import search as searching
from chats.services.search import Search
from nanobanana.redisdb import connection
from nanobanana.redisdb.client import get_client
from nanobanana.redisdb.exceptions import CommitRefused
from nanobanana.redisdb.ids import new_id, time_of
from nanobanana.redisdb.unit_of_work import unit_of_work
from tests.chats.search.conftest import Find
from tests.support.consistency import inconsistencies
from tests.support.people import PASSWORD, Person
from tests.support.redis_server import RunningRedis

_numbers = itertools.count(1)
WORDS = ["red", "Cat", "cats", "café", "猫", "猫咪", "红色的", "的", "a1", "，", "!", "ガ"]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join) | st.lists(
    st.sampled_from(WORDS), max_size=5
).map("".join)
QUERIES = TEXTS | TEXTS.map(lambda text: f'"{text}"') | TEXTS.map(lambda text: f"{text} params.model:flux")
PARAMS = st.sampled_from([{}, {"model": "flux"}, {"model": "sdxl", "steps": 30}])
ROLES = ("user", "assistant")


@dataclass
class Told:
    """What the machine knows of a message."""

    session_id: str
    role: str
    text: str
    params: dict[str, Any]


@dataclass
class Known:
    """What the machine knows of everything."""

    titles: dict[str, str] = field(default_factory=dict)  # of sessions
    untitled: set[str] = field(default_factory=set)
    trashed: set[str] = field(default_factory=set)
    told: dict[str, Told] = field(default_factory=dict)

    def matching(self, text: str, narrowing: Narrowing) -> list[str]:
        """The ids that a look at everything finds, newest first."""
        query = parse(text)
        if query.is_empty:
            return []
        found = [
            id
            for id, told in self.told.items()
            if told.session_id not in self.trashed
            and Document(told.text).matches(query)
            and all(each.holds(told.params) for each in query.parameters)
            and narrowing.session_id in {None, told.session_id}
            and narrowing.role in {None, told.role}
        ]
        if narrowing == Narrowing() and not query.parameters:
            listed = self.titles.keys() - self.trashed
            found += [id for id in listed if Document(self.titles[id]).matches(query)]
        return sorted(found, reverse=True)


class Searched(RuleBasedStateMachine):
    """Changes messages and sessions through the services, and compares searches with a look at everything."""

    runner: asyncio.Runner
    sessions = Bundle("sessions")
    messages = Bundle("messages")

    def __init__(self) -> None:
        super().__init__()
        self.do = self.runner.run
        email = f"searcher{next(_numbers)}@example.com"
        signed_in = self.do(
            register(email=email, username="searcher", password=PASSWORD, device_name="", ip="")
        )
        self.user: User = signed_in.user
        self.known = Known()

    @rule(target=sessions, title=TEXTS)
    def open(self, title: str) -> str:
        session = self.do(sessions.create_session(user=self.user, title=title))
        self.known.titles[session.id] = session.title
        if session.title == "New Chat":
            self.known.untitled.add(session.id)
        return session.id

    @rule(session=sessions, title=TEXTS.filter(len))
    def rename(self, session: str, title: str) -> None:
        if session not in self.known.trashed:
            self.do(sessions.update_session(user=self.user, session_id=session, fields={"title": title}))
            self.known.titles[session] = title
            self.known.untitled.discard(session)

    @rule(session=consumes(sessions))
    def put_away(self, session: str) -> None:
        if session not in self.known.trashed:
            self.do(trash.delete_session(user=self.user, session_id=session))
            self.known.trashed.add(session)

    @rule(target=messages, session=sessions, text=TEXTS, params=PARAMS, role=st.sampled_from(ROLES))
    def write(self, session: str, text: str, params: dict[str, Any], role: str) -> str:
        created = self.do(
            messages.create_message(user=self.user, session_id=session, role=role, text=text, params=params)
        )
        self.known.told[created.message.id] = Told(session, role, text, params)
        if session in self.known.untitled and role == "user" and text.strip():
            self.known.titles[session] = " ".join(text.split())
            self.known.untitled.discard(session)
        return created.message.id

    @rule(message=messages, text=TEXTS, params=PARAMS)
    def edit(self, message: str, text: str, params: dict[str, Any]) -> None:
        told = self.known.told[message]
        if told.session_id not in self.known.trashed:
            changes = {"text": text, "params": params}
            self.do(messages.update_message(user=self.user, message_id=message, changes=changes))
            told.text, told.params = text, params

    @rule(message=consumes(messages))
    def delete(self, message: str) -> None:
        if self.known.told[message].session_id not in self.known.trashed:
            self.do(messages.delete_message(user=self.user, message_id=message))
            del self.known.told[message]

    @rule(query=QUERIES, limit=st.integers(1, 4))
    def search(self, query: str, limit: int) -> None:
        assert self.found(query, limit, Narrowing()) == self.known.matching(query, Narrowing())

    @rule(query=QUERIES, session=sessions, role=st.sampled_from([None, *ROLES]))
    def search_narrowly(self, query: str, session: str, role: str | None) -> None:
        narrowing = Narrowing(session_id=session, role=role)
        assert self.found(query, 2, narrowing) == self.known.matching(query, narrowing)

    def found(self, query: str, limit: int, narrowing: Narrowing) -> list[str]:
        ids: list[str] = []
        wanted = Search(parse(query), limit, narrowing=narrowing)
        while True:
            page = self.do(searching.search(user=self.user, search=wanted))
            ids += [hit.id for hit in page.hits]
            if page.behind is None:
                return ids
            wanted = Search(parse(query), limit, narrowing=narrowing, behind=("", page.behind[1]))

    def teardown(self) -> None:
        assert self.do(inconsistencies([self.user.id])) == []


def test_it_answers_as_a_look_at_every_text_would(redis_server: RunningRedis) -> None:
    with asyncio.Runner() as Searched.runner:
        run_machine(Searched, settings=settings(max_examples=25, stateful_step_count=25, deadline=None))
        Searched.runner.run(connection.close())


async def keys_of_index(person: Person) -> set[str]:
    keys = [key async for key in get_client().scan_iter(f"nb:{{u:{person.id}}}:*")]
    return {key for key in keys if key.split("}:")[1].startswith(("term", "title"))}


async def test_an_edit_moves_only_the_words_that_differ(
    alice: Person, session: dict[str, Any], find: Find
) -> None:
    message = await alice.make_message(session["id"], "red cat", role="assistant")
    await alice.put(f"/api/messages/{message['id']}", {"text": "blue cat", "params": {"model": "flux"}})
    assert [await find(q) for q in ("red ", "blue ", "cat ", "params.model:flux")] == [
        [],
        *[["blue cat"]] * 3,
    ]
    await alice.delete(f"/api/messages/{message['id']}")
    assert await find("cat") == []
    assert await inconsistencies([alice.id]) == []


async def test_the_title_a_message_gives_is_found(alice: Person, session: dict[str, Any], find: Find) -> None:
    assert await find("new chat", type="session") == ["New Chat"]
    await alice.make_message(session["id"], "A red cat")
    await alice.make_message(session["id"], "A blue dog")
    assert await find("new chat", type="session") == []
    assert await find("cat", type="session") == ["A red cat"]
    assert await find("dog", type="session") == []
    assert await inconsistencies([alice.id]) == []


async def test_a_title_brought_along_stays_and_is_found(alice: Person, user: User, find: Find) -> None:
    session = Session(user.id, new_id(), title="brought along", title_origin=TITLE_BY_DEFAULT)
    async with unit_of_work(user.id) as work:
        Session.objects.create(work, session)
    await alice.make_message(session.id, "A red cat")
    assert await find("brought", type="session") == ["brought along"]
    assert await inconsistencies([alice.id]) == []


async def test_what_comes_back_from_the_trash_is_found_again(alice: Person, find: Find) -> None:
    made = await alice.make_session("red session")
    await alice.make_message(made["id"], "red message")
    path = f"/api/sessions/{made['id']}"
    await alice.delete(path)
    await alice.post(f"{path}/restore")
    assert await find("red") == ["red message", "red session"]
    await alice.post(f"{path}/duplicate", {"title": "blue copy"})
    assert await find("red", type="message") == ["red message", "red message"]
    assert await find("blue") == ["blue copy"]
    await alice.delete(f"{path}?permanent=true")
    assert await find("red", type="message") == ["red message"]
    assert await find("red", type="session") == []
    assert await inconsistencies([alice.id]) == []


async def test_what_is_in_the_trash_is_not_found(alice: Person, find: Find) -> None:
    made = await alice.make_session("red session")
    await alice.make_message(made["id"], "red message")
    await alice.delete(f"/api/sessions/{made['id']}")
    assert await find("red") == []
    assert (await alice.get("/api/search", params={"q": "red", "sessionId": made["id"]})).status_code == 404
    assert await inconsistencies([alice.id]) == []


async def test_changes_by_five_devices_at_once_leave_it_exact(alice: Person, session: dict[str, Any]) -> None:
    path = f"/api/sessions/{session['id']}"
    ids = [(await alice.make_message(session["id"], "start"))["id"] for _ in range(3)]
    answers = await asyncio.gather(
        *(
            change
            for number in range(12)
            for change in (
                alice.put(path, {"title": f"title {number}"}),
                alice.phone.put(f"/api/messages/{ids[number % 3]}", {"text": f"text {number}"}),
                alice.phone.put(f"/api/messages/{ids[number % 3]}", {"params": {"model": f"m{number}"}}),
            )
        ),
        alice.delete(f"/api/messages/{ids[0]}"),
    )
    assert {answer.status_code for answer in answers} <= {200, 404}
    assert await inconsistencies([alice.id]) == []


async def test_a_repeated_request_changes_it_once(alice: Person, session: dict[str, Any], find: Find) -> None:
    body = {"role": "assistant", "text": "red cat"}
    for _ in range(2):
        await alice.post(f"/api/sessions/{session['id']}/messages", body, headers={"Idempotency-Key": "once"})
    for _ in range(2):
        key = {"Idempotency-Key": "renamed"}
        await alice.put(f"/api/sessions/{session['id']}", {"title": "red title"}, headers=key)
    assert await find("red") == ["red cat", "red title"]
    assert await inconsistencies([alice.id]) == []


async def test_an_account_that_goes_leaves_no_term(alice: Person, session: dict[str, Any]) -> None:
    await alice.make_message(session["id"], " ".join(f"word{number}" for number in range(1200)))
    assert len(await keys_of_index(alice)) > 500
    await alice.delete("/api/auth/me", {"password": alice.password})
    assert await keys_of_index(alice) == set()


# ---- many
def make_messages(work: Any, session: Session, texts: Iterable[str]) -> None:
    for text in texts:
        identifier = new_id()
        moment = time_of(identifier)
        values = {"session_id": session.id, "role": "user", "text": text, "created_at": moment}
        Message.objects.create(work, Message(session.owner_id, identifier, updated_at=moment, **values))


async def fill(user: User, session: dict[str, Any], texts: list[str]) -> None:
    handle = Session(user.id, session["id"])
    for first in range(0, len(texts), 200):
        async with unit_of_work(user.id) as work:
            make_messages(work, handle, texts[first : first + 200])
            Session.objects.add(work, handle, message_count=len(texts[first : first + 200]))


async def test_the_beginning_of_very_many_words_is_found(
    alice: Person, user: User, session: dict[str, Any], find: Find
) -> None:
    texts = [" ".join(f"a{number}b" for number in range(first, first + 10)) for first in range(0, 1100, 10)]
    await fill(user, session, texts)
    assert await find("a", limit=100) == texts[:-101:-1]
    assert await find("a1 a", limit=100) == []
    assert await find("a123b a12", limit=100) == [texts[12]]


@pytest.mark.parametrize("entries_read", [1, 7])
async def test_a_search_that_stops_early_says_where_to_go_on(
    alice: Person, user: User, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch, entries_read: int
) -> None:
    monkeypatch.setattr(indexing, "ENTRIES_READ", entries_read)
    monkeypatch.setattr(searching, "ROUNDS", 1)
    await fill(user, session, ["needle", *["blue red"] * 150, *["red"] * 450])
    found: list[str] = []
    cursor, pages = "", 0
    while cursor is not None:
        query = {"q": "red blue ", "cursor": cursor, "type": "message"}
        answer = (await alice.get("/api/search", params=query)).json()
        found += [result["message"]["id"] for result in answer["results"]]
        cursor, pages = answer["pagination"]["nextCursor"], pages + 1
    assert len(set(found)) == len(found) == 150
    assert found == sorted(found, reverse=True)
    query = {"q": "need", "cursor": ""}
    assert len((await alice.get("/api/search", params=query)).json()["results"]) == 1


async def test_images_and_roles_far_back_are_found(
    alice: Person, user: User, session: dict[str, Any], find: Find
) -> None:
    await alice.make_message(session["id"], "red far away", role="assistant")
    await fill(user, session, ["red"] * 300)
    assert await find("red", role="assistant") == ["red far away"]


# ---- titles for the list of sessions
async def test_the_ids_of_titles_that_match(alice: Person, user: User) -> None:
    made = [await alice.make_session(f"red {number}") for number in range(5)]
    await alice.make_session("blue")
    await alice.delete(f"/api/sessions/{made[0]['id']}")
    red = {session["id"] for session in made[1:]}
    assert await Session.objects.ids_matching_title(user.id, "re") == red
    assert await Session.objects.ids_matching_title(user.id, '"red 3"') == {made[3]["id"]}
    for nothing in ("", "!", "params.model:flux", "green"):
        assert await Session.objects.ids_matching_title(user.id, nothing) == set()


async def test_titles_are_looked_at_in_steps(
    alice: Person, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chats.managers.TITLES_AT_ONCE", 2)
    made = {(await alice.make_session(f"red {number}"))["id"] for number in range(5)}
    assert await Session.objects.ids_matching_title(user.id, "red") == made


async def test_what_changed_since_it_was_read_is_not_indexed_wrongly(
    alice: Person, user: User, session: dict[str, Any]
) -> None:
    made = await alice.make_message(session["id"], "red")
    stale = await Message.objects.aget(user.id, made["id"])
    await alice.put(f"/api/messages/{made['id']}", {"text": "blue"})
    for change in (
        lambda work: Message.objects.update(work, stale, text="green"),
        lambda work: Message.objects.delete(work, stale),
    ):
        with pytest.raises(CommitRefused):
            async with unit_of_work(user.id) as work:
                change(work)
    assert await inconsistencies([alice.id]) == []
