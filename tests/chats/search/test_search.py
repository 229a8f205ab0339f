"""GET /api/search"""

import asyncio
from typing import Any

import pytest

from chats.search.words import MOST_TERMS
from nanobanana.redisdb.ids import new_id
from tests.chats.search.conftest import Find, said
from tests.support.people import Person
from tests.support.strangers import assert_signed_out, content_of

LONG = " ".join(f"word{number}" for number in range(MOST_TERMS + 100))
CHINESE = "".join(chr(0x4E00 + number) for number in range(MOST_TERMS + 100))


async def test_a_message_comes_as_it_is_read_with_its_session(alice: Person, session: dict[str, Any]) -> None:
    image = await alice.make_image(session["id"])
    message = await alice.make_message(session["id"], "A red cat", imageIds=[image["id"]])
    answer = (await alice.phone.get("/api/search", params={"q": "red"})).json()
    read = (await alice.get(f"/api/messages/{message['id']}")).json()["message"]
    of_session = (await alice.get(f"/api/sessions/{session['id']}")).json()["session"]
    expected = {"type": "message", "session": of_session, "message": read, "highlights": [[2, 5]]}
    assert answer["results"][0] == expected
    assert answer["results"][0]["message"]["images"][0]["id"] == image["id"]


async def test_a_session_is_found_by_its_title(alice: Person, find: Find) -> None:
    made = await alice.make_session("Cats on the Moon")
    [result] = (await alice.get("/api/search", params={"q": "moon cat"})).json()["results"]
    assert result == {"type": "session", "session": made, "message": None, "highlights": [[0, 3], [12, 16]]}
    assert await find("moon cats ", type="message") == []
    assert await find("moon cats ", type="session") == ["Cats on the Moon"]


async def test_messages_and_sessions_come_newest_first(alice: Person, find: Find) -> None:
    first = await alice.make_session("red 1")
    await alice.make_message(first["id"], "red 2", role="assistant")
    await alice.make_session("red 3")
    await alice.make_message(first["id"], "red 4", role="assistant")
    assert await find("red") == ["red 4", "red 3", "red 2", "red 1"]
    assert await find("red", type="session") == ["red 3", "red 1"]


@pytest.mark.parametrize(
    ("text", "queries"),
    [
        ("A Crème Brûlée for ÄNNE", ["creme", "BRULEE anne", "brû", '"creme brulee"', "a"]),
        (
            "请把这只红色的猫放到月亮上，谢谢。",
            ["红色", "红色的猫", "猫", "谢", "请", '"猫放到"', "月亮 红色"],
        ),
        ("画一只cat在月亮上", ["cat", "画一只cat", '"一只 cat 在"', "cat 月"]),
        ("ラーメンとカレー", ["ラーメン", "カレ", "ー", "と"]),
        ("고양이 사진을 그려줘", ["고양", "사진", "진을", "줘"]),
        ("\u1100\u1169\u110b\u1163\u11bc\u110b\u1175", ["고양이", "고양"]),
        ("быстрая Лиса", ["лис", "БЫСТРАЯ"]),
        ("ภาษาไทย", ["ไทย", "าษ"]),
        ("हिन्दी में", ["हिन्दी", "हि"]),
        ("don't stop", ["don't", "stop"]),
        ("x" * 100 + "y", ["x" * 100 + "y ", "x" * 70, "x"]),
        (LONG, [f"word{MOST_TERMS + 99} ", f"word{MOST_TERMS + 9}", "word1 word599 "]),
        (CHINESE, [CHINESE[-2:], CHINESE[-1], CHINESE[-6:-1]]),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else None,
)
async def test_it_finds_words_of_any_script(
    alice: Person, session: dict[str, Any], find: Find, text: str, queries: list[str]
) -> None:
    await alice.make_message(session["id"], text, role="assistant")
    for query in queries:
        assert await find(query) == [text], query


@pytest.mark.parametrize(
    ("text", "queries"),
    [
        ("A red cat", ["re ", "cats", '"cat red"', "red dog", "ed"]),
        ("红色猫，的红", ["红的", "猫的", "色红", "的猫"]),
        ("x" * 100 + "y", ["x" * 100 + " ", "x" * 99 + "z", "x" * 64 + " "]),
        (LONG, ["word600 ", "word60 word6000", '"word599 word1"']),
        (CHINESE, [CHINESE[5] + CHINESE[3]]),
        ("params model flux", ["params.model:flux"]),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else None,
)
async def test_it_finds_nothing_else(
    alice: Person, session: dict[str, Any], find: Find, text: str, queries: list[str]
) -> None:
    await alice.make_message(session["id"], text, role="assistant")
    for query in queries:
        assert await find(query) == [], query


async def test_parameters_narrow_it_down(alice: Person, session: dict[str, Any], find: Find) -> None:
    await alice.make_message(session["id"], "cat 1", params={"model": "Flux", "steps": 30, "size": {"w": 8}})
    await alice.make_message(session["id"], "cat 2", params={"model": ["sdxl", "flux"], "steps": 20})
    await alice.make_message(session["id"], "cat 3", params={"model": "flux-pro"})
    assert await find("params.model:flux") == ["cat 2", "cat 1"]
    assert await find("cat params.model:FLUX") == ["cat 2", "cat 1"]
    assert await find("params.model:flux params.steps:30") == ["cat 1"]
    assert await find("params.steps:20") == ["cat 2"]
    assert await find("params.size.w:8") == ["cat 1"]
    assert await find("params.steps:") == ["cat 2", "cat 1"]
    assert await find("dog params.model:flux") == []


async def test_what_only_messages_have_narrows_it_down(
    alice: Person, session: dict[str, Any], find: Find
) -> None:
    image = await alice.make_image(session["id"])
    other = await alice.make_session("red session")
    await alice.put(f"/api/sessions/{session['id']}", {"title": "blue session"})
    await alice.make_message(session["id"], "red user", imageIds=[image["id"]])
    await alice.make_message(other["id"], "red assistant", role="assistant")
    assert await find("red", sessionId=other["id"]) == ["red assistant"]
    assert await find("r", sessionId=session["id"]) == ["red user"]
    assert await find("red", role="user") == ["red user"]
    assert await find("red", role="system") == []
    assert await find("red", hasImage="true") == ["red user"]
    assert await find("red", hasImage="false") == ["red assistant"]
    assert await find("red", type="session", role="user") == []
    assert await find("red", sessionId="") == ["red assistant", "red user", "red session"]


async def test_times_narrow_it_down(alice: Person, session: dict[str, Any], find: Find) -> None:
    message = await alice.make_message(session["id"], "red", role="assistant")
    at, day = message["createdAt"], message["createdAt"][:10]
    for query in ({"from": at}, {"to": at}, {"from": day, "to": day}, {"from": "1960-01-01"}):
        assert await find("red", **query) == ["red"], query
    for query in (
        {"from": "9999-12-31"},
        {"to": "1960-01-01"},
        {"from": at, "to": "2020-01-01T00:00:00+01:00"},
    ):
        assert await find("red", **query) == [], query


@pytest.mark.parametrize("q", ["!!!", " ", "\x00", "，。", '"', '""', "🍌", "\ufffd", "—"])
async def test_a_query_without_words_finds_nothing(alice: Person, find: Find, q: str) -> None:
    await alice.make_session("Cats!!! 🍌 —")
    assert await find(q) == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({}, "q"),
        ({"q": ""}, "q"),
        ({"q": "x" * 501}, "q"),
        ({"q": "x" * 10_000}, "q"),
        *(({"q": "x", "type": type}, "type") for type in ("", "image", "Message")),
        *(({"q": "x", "role": role}, "role") for role in ("", "USER", "x")),
        *(({"q": "x", "hasImage": flag}, "hasImage") for flag in ("", "1", "True")),
        *(
            ({"q": "x", name: moment}, name)
            for name in ("from", "to")
            for moment in ("", "now", "2026-02-30", "2026-01-01T10:00:00", "20260101", "2026-W01-1", "1" * 50)
        ),
        *(({"q": "x", "sort": sort}, "sort") for sort in ("", "oldest")),
        *(({"q": "x", "limit": limit}, "limit") for limit in ("0", "101", "-1", "1.0", "")),
        *(({"q": "x", "cursor": cursor}, "cursor") for cursor in ("x", "1:x", f"x:{new_id()}")),
    ],
)
async def test_a_malformed_query_is_refused(alice: Person, query: dict[str, str], field: str) -> None:
    answer = await alice.get("/api/search", params=query)
    assert (answer.status_code, answer.json()["error"]) == (400, "validation_failed")
    assert list(answer.json()["details"]) == [field]


async def test_bytes_that_are_no_text_find_nothing(alice: Person) -> None:
    for q in ("%ED%A0%80", "%FF", "%00", "%22%22%22", "params.%00:x", "%F0%9F"):
        answer = await alice.get(f"/api/search?q={q}")
        assert (answer.status_code, answer.json()["results"]) == (200, []), q


async def test_the_longest_queries_are_answered(alice: Person, session: dict[str, Any], find: Find) -> None:
    text = CHINESE[:500]
    await alice.make_message(session["id"], text, role="assistant")
    assert await find(text) == [text]
    assert await find(" ".join("abcdefghij" * 25)) == []
    assert await find('"' * 500) == []
    assert await find("params." * 71) == []


# ---- pages
async def pages(person: Person, **query: Any) -> list[list[str]]:
    found: list[list[str]] = []
    cursor = ""
    while cursor is not None:
        answer = (await person.get("/api/search", params={**query, "cursor": cursor})).json()
        found.append([said(result) for result in answer["results"]])
        cursor = answer["pagination"]["nextCursor"]
        assert answer["pagination"]["hasMore"] is (cursor is not None)
    return found


async def make_some(person: Person, session_id: str, first: int, count: int) -> list[str]:
    texts = [f"red {number}" for number in range(first, first + count)]
    for text in texts:
        await person.make_message(session_id, text, role="assistant")
    return texts


async def test_pages_follow_each_other(alice: Person, session: dict[str, Any]) -> None:
    texts = (await make_some(alice, session["id"], 0, 7))[::-1]
    assert await pages(alice, q="red", limit=3) == [texts[:3], texts[3:6], texts[6:]]
    assert await pages(alice, q="red", limit=7) == [texts]
    answer = (await alice.get("/api/search", params={"q": "red"})).json()
    assert answer["pagination"] == {
        "limit": 20,
        "offset": 0,
        "total": 7,
        "hasMore": False,
        "nextCursor": None,
    }
    answer = (await alice.get("/api/search", params={"q": "red", "limit": 2})).json()
    assert (answer["pagination"]["total"], answer["pagination"]["hasMore"]) == (None, True)


async def test_pages_stay_right_while_messages_arrive_and_leave(
    alice: Person, session: dict[str, Any]
) -> None:
    await make_some(alice, session["id"], 0, 6)
    first = (await alice.get("/api/search", params={"q": "red", "limit": 2})).json()
    await make_some(alice, session["id"], 6, 3)
    for result in first["results"]:
        await alice.delete(f"/api/messages/{result['message']['id']}")
    cursor = first["pagination"]["nextCursor"]
    rest = (await alice.get("/api/search", params={"q": "red", "cursor": cursor})).json()
    assert [said(result) for result in rest["results"]] == ["red 3", "red 2", "red 1", "red 0"]


async def test_the_most_relevant_can_come_first(alice: Person, session: dict[str, Any], find: Find) -> None:
    texts = ["red", "red " + "and so on " * 40, "red red red", "a red cat"]
    for text in texts:
        await alice.make_message(session["id"], text, role="assistant")
    ranked = ["red red red", "red", "a red cat", texts[1]]
    assert await find("red", sort="relevance") == ranked
    assert await pages(alice, q="red", sort="relevance", limit=3) == [ranked[:3], ranked[3:]]
    answer = (await alice.get("/api/search", params={"q": "red", "sort": "relevance", "limit": 1})).json()
    assert answer["pagination"]["total"] == 4


async def test_a_page_of_the_most_relevant_repeats_nothing_that_arrives(
    alice: Person, session: dict[str, Any]
) -> None:
    await make_some(alice, session["id"], 0, 5)
    query = {"q": "red", "sort": "relevance", "limit": 3}
    first = (await alice.get("/api/search", params=query)).json()
    await alice.make_message(session["id"], "red red red", role="assistant")
    cursor = first["pagination"]["nextCursor"]
    second = (await alice.get("/api/search", params={**query, "cursor": cursor})).json()
    seen = [said(result) for result in first["results"] + second["results"]]
    assert sorted(seen) == [f"red {number}" for number in range(5)]


# ---- whose
async def test_nobody_finds_what_is_somebody_else_s(
    alice: Person, mallory: Person, session: dict[str, Any]
) -> None:
    await alice.make_session("secret title")
    await alice.make_message(session["id"], "secret 秘密", params={"model": "secret"})
    for q in ("secret", "秘", "s", "params.model:secret"):
        answer = await mallory.get("/api/search", params={"q": q})
        assert answer.json()["results"] == []
    theirs = await mallory.get("/api/search", params={"q": "secret", "sessionId": session["id"]})
    absent = await mallory.get("/api/search", params={"q": "secret", "sessionId": new_id()})
    assert absent.status_code == 404
    assert content_of(theirs) == content_of(absent)


@pytest.mark.parametrize("session_id", ["nonsense", "*", "{u:1}", "0" * 27, "x" * 2000])
async def test_what_cannot_be_a_session_is_not_there(alice: Person, session_id: str) -> None:
    answer = await alice.get("/api/search", params={"q": "x", "sessionId": session_id})
    assert (answer.status_code, answer.json()["error"]) == (404, "not_found")


async def test_it_wants_a_token(alice: Person) -> None:
    assert_signed_out(await alice.get("/api/search?q=x", headers={"Authorization": "Bearer nonsense"}))


async def test_many_searches_at_once_are_each_answered(
    alice: Person, session: dict[str, Any], find: Find
) -> None:
    texts = await make_some(alice, session["id"], 0, 8)
    found = await asyncio.gather(*(find(f'"red {number}"') for number in range(8)))
    assert found == [[text] for text in texts]
