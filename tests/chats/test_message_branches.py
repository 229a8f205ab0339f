"""GET /api/messages/:id/branches, and the active branch of a session's list"""

from typing import Any

import pytest

from nanobanana.redisdb.client import get_client
from tests.support.people import Person
from tests.support.strangers import assert_private


class Talk:
    """A session in which messages are called by their texts."""

    def __init__(self, person: Person, session_id: str) -> None:
        self.person, self.session_id = person, session_id
        self.ids: dict[str, str] = {}

    async def say(self, text: str, role: str = "user", edited_of: str | None = None, **fields: Any) -> None:
        fields |= {"role": role, "editedOf": edited_of and self.ids[edited_of]}
        message = await self.person.make_message(self.session_id, text, **fields)
        self.ids[text] = message["id"]

    async def delete(self, text: str) -> None:
        assert (await self.person.delete(f"/api/messages/{self.ids[text]}")).status_code == 200

    async def page(self, **query: str | int) -> dict[str, Any]:
        path = f"/api/sessions/{self.session_id}/messages"
        answer = await self.person.phone.get(path, params={"branch": "active", **query})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def active(self, **query: str | int) -> str:
        return " ".join(message["text"] for message in (await self.page(**query))["messages"])

    async def branches(self, text: str) -> tuple[str, str | None]:
        answer = await self.person.phone.get(f"/api/messages/{self.ids[text]}/branches")
        assert answer.status_code == 200, answer.text
        texts = {identifier: text for text, identifier in self.ids.items()}
        found = " ".join(message["text"] for message in answer.json()["branches"])
        active_id = answer.json()["activeId"]
        return found, active_id and texts[active_id]


@pytest.fixture
async def talk(alice: Person, session: dict[str, Any]) -> Talk:
    """A question, its answer, and thanks."""
    talk = Talk(alice, session["id"])
    await talk.say("question")
    await talk.say("answer", "assistant")
    await talk.say("thanks")
    return talk


async def test_without_edits_all_is_active(talk: Talk) -> None:
    assert await talk.active() == "question answer thanks"
    assert await talk.branches("answer") == ("answer", "answer")


async def test_a_new_version_takes_the_place_of_what_came_after_the_old_one(talk: Talk) -> None:
    await talk.say("question2", edited_of="question")
    assert await talk.active() == "question2"
    await talk.say("answer2", "assistant")
    assert await talk.active() == "question2 answer2"
    for text in ("question", "question2"):
        assert await talk.branches(text) == ("question question2", "question2")
    assert await talk.branches("answer") == ("answer", None)
    every = (await talk.page(branch="all"))["messages"]
    assert [message["text"] for message in every] == ["question", "answer", "thanks", "question2", "answer2"]


async def test_a_new_answer_follows_what_it_answers(talk: Talk) -> None:
    await talk.say("answer2", "assistant", edited_of="question")
    assert await talk.active() == "question answer2"
    await talk.say("answer3", "assistant", edited_of="question")
    await talk.say("answer4", "assistant", edited_of="answer2")
    assert await talk.active() == "question answer4"
    for text in ("answer2", "answer3", "answer4"):
        assert await talk.branches(text) == ("answer2 answer3 answer4", "answer4")


async def test_a_version_of_a_version(talk: Talk) -> None:
    await talk.say("answer2", "assistant", edited_of="answer")
    await talk.say("answer3", "assistant", edited_of="answer2")
    assert await talk.active() == "question answer3"
    await talk.say("answer4", "assistant", edited_of="answer")
    assert await talk.active() == "question answer4"
    for text in ("answer", "answer3"):
        assert await talk.branches(text) == ("answer answer2 answer3 answer4", "answer4")


async def test_deleting_an_edit_brings_the_others_back(talk: Talk) -> None:
    await talk.say("question2", edited_of="question")
    await talk.delete("question2")
    assert await talk.active() == "question answer thanks"
    assert await talk.branches("question") == ("question", "question")


async def test_a_deleted_original_is_no_hindrance(talk: Talk) -> None:
    await talk.say("answer2", "assistant", edited_of="answer")
    await talk.delete("answer")
    assert await talk.active() == "question answer2"
    assert await talk.branches("answer2") == ("answer2", "answer2")


async def test_an_edit_that_is_hidden_hides_nothing(talk: Talk) -> None:
    await talk.say("more", "assistant")
    await talk.say("thanks2", edited_of="thanks")
    assert await talk.active() == "question answer thanks2"
    await talk.say("answer2", "assistant", edited_of="question")
    assert await talk.active() == "question answer2"
    await talk.delete("answer2")
    assert await talk.active() == "question answer thanks2"


async def test_where_a_version_in_the_middle_was_deleted_those_before_it_come_back(talk: Talk) -> None:
    await talk.say("thanks2", edited_of="thanks")
    await talk.say("thanks3", edited_of="thanks2")
    await talk.delete("thanks2")
    assert await talk.active() == "question answer thanks thanks3"
    assert await talk.branches("thanks3") == ("thanks3", "thanks3")


async def test_pages_of_the_active_branch_count_it_alone(alice: Person, session: dict[str, Any]) -> None:
    talk = Talk(alice, session["id"])
    for number in range(6):
        await talk.say(f"q{number}")
        await talk.say(f"a{number}", "assistant")
        await talk.say(f"b{number}", "assistant", edited_of=f"a{number}")
    expected = [f"{letter}{number}" for number in range(6) for letter in "qb"]
    for offset in range(0, 12, 5):
        assert await talk.active(limit=5, offset=offset) == " ".join(expected[offset : offset + 5])
        backwards = expected[::-1][offset : offset + 5]
        assert await talk.active(limit=5, offset=offset, order="desc") == " ".join(backwards)
    assert await talk.active(limit=3, before=talk.ids["a3"]) == "q2 b2 q3"
    assert await talk.active(limit=3, after=talk.ids["a3"]) == "b3 q4 b4"
    page = await talk.page(limit=5, offset=5)
    cursor = page["pagination"].pop("nextCursor")
    assert page["pagination"] == {"limit": 5, "offset": 5, "total": 12, "hasMore": True}
    await talk.delete("q1")
    page = await talk.page(limit=5, cursor=cursor)
    assert [message["text"] for message in page["messages"]] == expected[10:]
    assert page["pagination"] == {"limit": 5, "offset": 9, "total": 11, "hasMore": False, "nextCursor": None}
    assert await talk.active(offset=1_000_000) == ""


async def test_they_come_with_their_images(talk: Talk) -> None:
    image = await talk.person.make_image(talk.session_id)
    await talk.say("thanks2", edited_of="thanks", imageIds=[image["id"]])
    shown = (await talk.page())["messages"][-1]
    assert [each["id"] for each in shown["images"]] == [image["id"]]
    path = f"/api/messages/{talk.ids['thanks']}/branches"
    branches = (await talk.person.get(path)).json()["branches"]
    assert branches[-1] == shown == (await talk.person.get(f"/api/messages/{shown['id']}")).json()["message"]


async def test_the_active_branch_costs_by_its_edits_not_by_its_messages(talk: Talk) -> None:
    async def commands() -> int:
        before = await get_client().info("commandstats")
        await talk.page(limit=2)
        after = await get_client().info("commandstats")
        return sum(
            after[name]["calls"] - before.get(name, {"calls": 0})["calls"]
            for name in after
            if name.startswith(("cmdstat_z", "cmdstat_h"))
        )

    await talk.say("question2", edited_of="question")
    await talk.say("answer2", "assistant")
    few = await commands()
    for number in range(30):
        await talk.say(f"{number}")
    assert await commands() <= few + 2


async def test_a_branch_of_another_name_is_refused(talk: Talk) -> None:
    for branch in ("", "newest", "ACTIVE"):
        answer = await talk.person.get(f"/api/sessions/{talk.session_id}/messages", params={"branch": branch})
        assert (answer.status_code, list(answer.json()["details"])) == (400, ["branch"])


async def test_it_is_private(talk: Talk, mallory: Person) -> None:
    path = f"/api/messages/{talk.ids['answer']}/branches"
    await assert_private(talk.person, mallory, "GET", path, talk.ids["answer"])
    path = f"/api/sessions/{talk.session_id}/messages?branch=active"
    await assert_private(talk.person, mallory, "GET", path, talk.session_id)
