"""What is somebody else's must look exactly like what never was."""

from typing import Any

import httpx

from nanobanana.redisdb.ids import new_id
from tests.support.people import Device, Person

NOT_AN_ID = ("nonsense", "*", "%00", "{u:1}:session:1", "%F0%9F%8D%8C", "0" * 27, "x" * 2000)


def content_of(answer: httpx.Response) -> dict[str, Any]:
    """The body without what differs from request to request."""
    return {name: value for name, value in answer.json().items() if name != "requestId"}


async def assert_private(
    owner: Person, stranger: Person, method: str, path: str, identifier: str, body: Any = None
) -> None:
    """Only who is signed in is answered, and only the owner learns that `identifier` in `path` exists."""

    async def ask(device: Device, asked: str, **headers: str) -> httpx.Response:
        return await device.request(method, path.replace(identifier, asked), json=body, headers=headers)

    assert identifier in path
    absent = await ask(owner.laptop, new_id())
    assert absent.status_code == 404
    assert absent.json()["error"] == "not_found"
    for device, asked in [
        (stranger.laptop, identifier),
        (stranger.laptop, new_id()),
        (owner.laptop, identifier.lower()),
        *((owner.laptop, malformed) for malformed in NOT_AN_ID),
    ]:
        answer = await ask(device, asked)
        assert (answer.status_code, content_of(answer)) == (404, content_of(absent)), asked
    for token in ("", "Bearer", "Bearer nonsense", f"Basic {owner.laptop.token}"):
        assert_signed_out(await ask(owner.laptop, identifier, Authorization=token))


def assert_signed_out(answer: httpx.Response) -> None:
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.json()["error"] in {"unauthorized", "token_invalid"}
