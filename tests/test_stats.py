"""`manage.py stats`"""

from typing import Any

from tests.support.commands import run, run_for_json
from tests.support.people import Person


async def test_what_is_added_is_counted(alice: Person) -> None:
    before = await run_for_json("stats")
    session, trashed = await alice.make_session(), await alice.make_session()
    await alice.delete(f"/api/sessions/{trashed['id']}")
    image = await alice.make_image(session["id"])
    await alice.make_image(session["id"])  # the same bytes
    await alice.make_message(session["id"], imageIds=[image["id"]])
    await alice.make_message(session["id"])
    await alice.phone.listen(session["id"])
    after = await run_for_json("stats")
    assert grown(before, after) == {
        "sessions": 1,
        "trashedSessions": 1,
        "images": 2,
        "blobs": 1,
        "messages": 2,
        "sockets": 1,
    }
    assert after["bytes"] - before["bytes"] > image["size"]
    assert after["memory"]["used"] > 0
    await run("deactivate", alice.id)
    shut_out = await run_for_json("stats")
    assert shut_out["users"] - after["users"] == 0
    assert shut_out["activeUsers"] - after["activeUsers"] == -1
    assert shut_out["devices"] - after["devices"] == -2


def grown(before: dict[str, Any], after: dict[str, Any]) -> dict[str, int]:
    """By how much what is counted has grown, where it has."""
    left_out = {"keys", "bytes", "memory", "jobs"}
    differences = {name: after[name] - before[name] for name in after.keys() - left_out}
    return {name: difference for name, difference in differences.items() if difference}


async def test_people_read_lines(alice: Person) -> None:
    lines = (await run("stats")).splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["users", "devices", "sessions", "messages"]
    assert "may sign in" in lines[0]
    assert lines[-1].startswith("jobs ")
