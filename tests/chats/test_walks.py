"""Walking through lists while they change: what stays is given once and in order, nothing is given twice."""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from accounts.models import User
from accounts.services.sign_ins import register
from chats.models import LATEST, Message, Session
from chats.services.messages import create_message, delete_message, list_branches, list_messages
from chats.services.sessions import create_session, list_sessions, update_session
from nanobanana.pagination import listing, message_window_of, window_of
from nanobanana.redisdb import connection
from tests.chats.branching import Chat
from tests.support.consistency import inconsistencies
from tests.support.people import PASSWORD
from tests.support.redis_server import RunningRedis

PAGE = 3
_numbers = itertools.count(1)


@dataclass
class Walk:
    """One reader on the way through a session's messages, page by page."""

    branch: str
    order: str
    way: str  # how it goes on: by nextCursor, before the last one or after it
    stayed: set[str]  # what was there all the time
    seen: list[str] = field(default_factory=list)
    cursor: str | None = None
    is_done: bool = False

    def query(self) -> dict[str, str]:
        query = {"limit": str(PAGE), "order": self.order}
        if not self.seen:
            return query
        if self.way == "cursor":
            return {**query, "cursor": str(self.cursor)}
        return {**query, "before" if self.order == "desc" else "after": self.seen[-1]}

    def check(self) -> None:
        assert self.seen == sorted(set(self.seen), reverse=self.order == "desc")
        assert self.stayed <= set(self.seen)


WALKS = st.tuples(
    st.sampled_from(["all", "active"]), st.sampled_from(["asc", "desc"]), st.sampled_from(["cursor", "id"])
)


class MessageWalks(RuleBasedStateMachine):
    runner: asyncio.Runner
    messages = Bundle("messages")

    def __init__(self) -> None:
        super().__init__()
        self.do = self.runner.run
        self.user = new_user(self.do)
        self.session_id = self.do(create_session(user=self.user)).id
        self.chat = Chat()
        self.walks: list[Walk] = []

    @rule(target=messages, role=st.sampled_from(["user", "assistant"]))
    def write(self, role: str) -> str:
        return self.create(role, None)

    @rule(target=messages, role=st.sampled_from(["user", "assistant"]), edited=messages)
    def edit(self, role: str, edited: str) -> Any:
        return self.create(role, edited) if edited in self.chat.messages else multiple()

    @rule(message=consumes(messages))
    def delete(self, message: str) -> None:
        if message in self.chat.messages:
            self.do(delete_message(user=self.user, message_id=message))
            del self.chat.messages[message]
            self.note_what_stayed()

    @rule()
    def delete_where_somebody_stands(self) -> None:
        for walk in self.walks:
            self.delete(walk.seen[-1])

    @rule(walk=WALKS)
    def set_out(self, walk: tuple[str, str, str]) -> None:
        self.walks.append(Walk(*walk, stayed=set(self.shown(walk[0]))))
        self.go_on()

    @rule()
    def go_on(self) -> None:
        for walk in self.walks:
            window, turned = message_window_of(as_query(walk.query()), limit=PAGE)
            found = self.do(
                list_messages(
                    user=self.user,
                    session_id=self.session_id,
                    window=window,
                    only_active=walk.branch == "active",
                )
            )
            page = listing(found, window, index=Message.indexes[0], turned=turned)
            assert page.pagination["total"] == len(self.shown(walk.branch))
            walk.seen += [message.id for message in page.objects]
            walk.cursor, walk.is_done = page.pagination["nextCursor"], not page.pagination["hasMore"]
        for walk in self.walks:
            if walk.is_done:
                walk.check()
        self.walks = [walk for walk in self.walks if not walk.is_done]

    @rule(message=messages)
    def look_at_the_versions(self, message: str) -> None:
        if message not in self.chat.messages:
            return
        found = self.do(list_branches(user=self.user, message_id=message))
        versions = self.chat.versions(message)
        assert [each.id for each in found.siblings.objects] == versions
        active = [each for each in self.chat.active() if each in versions]
        assert found.active_id == (active[-1] if active else None)

    @invariant()
    def the_active_branch_is_what_it_should_be(self) -> None:
        active = self.chat.active()
        for order, expected in (("asc", active), ("desc", active[::-1])):
            window, _ = message_window_of(as_query({"order": order, "offset": "1", "limit": "4"}), limit=PAGE)
            page = self.do(
                list_messages(user=self.user, session_id=self.session_id, window=window, only_active=True)
            )
            assert [message.id for message in page.objects] == expected[1:5]

    def create(self, role: str, edited_of: str | None) -> str:
        created = self.do(
            create_message(
                user=self.user, session_id=self.session_id, role=role, text="Hi", edited_of=edited_of
            )
        )
        self.chat.messages[created.message.id] = (role, edited_of)
        self.note_what_stayed()
        return created.message.id

    def note_what_stayed(self) -> None:
        for walk in self.walks:
            walk.stayed &= set(self.shown(walk.branch))

    def shown(self, branch: str) -> list[str]:
        return self.chat.active() if branch == "active" else sorted(self.chat.messages)

    def teardown(self) -> None:
        while self.walks:
            self.go_on()
        assert self.do(inconsistencies([self.user.id])) == []


def test_messages(redis_server: RunningRedis) -> None:
    with asyncio.Runner() as MessageWalks.runner:
        run_machine(MessageWalks, settings=settings(max_examples=20, stateful_step_count=30, deadline=None))
        MessageWalks.runner.run(connection.close())


class SessionWalks(RuleBasedStateMachine):
    """Of sessions, those without activity are given once and in order; none is given twice."""

    runner: asyncio.Runner
    sessions = Bundle("sessions")

    def __init__(self) -> None:
        super().__init__()
        self.do = self.runner.run
        self.user = new_user(self.do)
        self.quiet: set[str] = set()  # what did not move during the walk
        self.seen: list[Session] = []
        self.cursor: str | None = None

    @rule(target=sessions)
    def open(self) -> str:
        session = self.do(create_session(user=self.user))
        if not self.cursor:
            self.quiet.add(session.id)
        return session.id

    @rule(session=sessions)
    def use(self, session: str) -> None:
        title = f"Session {next(_numbers)}"
        self.do(update_session(user=self.user, session_id=session, fields={"title": title}))
        if self.cursor:
            self.quiet.discard(session)

    @rule()
    def go_on(self) -> None:
        query = {"limit": str(PAGE), **({"cursor": self.cursor} if self.cursor else {})}
        window = window_of(as_query(query), limit=PAGE, descending=True)
        page = listing(self.do(list_sessions(user=self.user, window=window)), window, index=LATEST)
        self.seen += page.objects
        self.cursor = page.pagination["nextCursor"]
        if not self.cursor:
            ids = [session.id for session in self.seen]
            quiet = [(session.updated_at, session.id) for session in self.seen if session.id in self.quiet]
            assert len(ids) == len(set(ids))
            assert self.quiet <= set(ids)
            assert quiet == sorted(quiet, reverse=True)
            self.seen, self.quiet = [], set(ids)

    def teardown(self) -> None:
        while self.cursor:
            self.go_on()


def test_sessions(redis_server: RunningRedis) -> None:
    with asyncio.Runner() as SessionWalks.runner:
        run_machine(SessionWalks, settings=settings(max_examples=10, stateful_step_count=30, deadline=None))
        SessionWalks.runner.run(connection.close())


def new_user(do: Callable[..., Any]) -> User:
    email = f"walker{next(_numbers)}@example.com"
    return do(register(email=email, username="walker", password=PASSWORD, device_name="", ip="")).user


def as_query(values: dict[str, str]) -> QueryDict:
    query = QueryDict(mutable=True)
    query.update(values)
    return query
