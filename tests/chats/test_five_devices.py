"""Five devices edit and delete one message at once: no change is lost, nothing is counted below zero.

200 operations in the suite, 2,000 with `make stress`.
"""

import asyncio
import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.support.consistency import inconsistencies
from tests.support.people import PATIENCE, Device, Person
from tests.support.stress import how_many

DEVICES = 5
OPERATIONS = how_many(200, under_stress=2000)
WAYS = ("edit", "edit", "edit", "careful edit", "careful edit", "careful edit", "attach", "detach", "restore")
DELETE_EVERY = 25  # operations of one device

Versions = dict[str, dict[int, list[str]]]  # message → revision → the texts that somebody was told it has


@dataclass
class Story:
    """What the devices did, each as it was told."""

    session_id: str
    image_id: str
    message_id: str = ""
    versions: Versions = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    last: dict[str, int] = field(default_factory=dict)  # message → its revision at a careful deletion
    statuses: list[int] = field(default_factory=list)
    working: int = DEVICES
    heard: Versions = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))

    def note(self, answer: httpx.Response) -> None:
        self.statuses.append(answer.status_code)
        if not answer.is_success or "messageData" not in answer.json():
            return
        changed = answer.json()["messageData"]
        texts = self.versions[changed["id"]][changed["revision"]]
        if changed["text"] not in texts:  # who changed nothing is told what is there
            texts.append(changed["text"])


@pytest.mark.stress
async def test_no_change_of_one_message_is_lost(alice: Person, session: dict[str, Any]) -> None:
    image = await alice.make_image(session["id"])
    story = Story(session["id"], image["id"])
    await alice.phone.listen(session["id"])
    await write_anew(alice.laptop, story)
    devices = [alice.laptop, alice.phone, *[await sign_in(alice, name) for name in ("tablet", "tv", "watch")]]
    listening = asyncio.create_task(keep_listening(alice.phone, story))
    await asyncio.gather(*(use(device, story, random.Random(seed)) for seed, device in enumerate(devices)))
    await asyncio.wait([listening], timeout=PATIENCE)

    assert set(story.statuses) <= {200, 201, 404, 412}, story.statuses
    for message_id, versions in story.versions.items():
        assert [len(texts) for texts in versions.values()] == [1] * len(versions)
        assert sorted(versions) == list(range(len(versions)))
        assert story.last.get(message_id, max(versions)) == max(versions)
    assert story.heard == story.versions
    await assert_history_is_whole(alice, story)
    assert await inconsistencies([alice.id]) == []
    for device in devices[2:]:
        await device.close()


async def use(device: Device, story: Story, chance: random.Random) -> None:
    for number in range(1, OPERATIONS // DEVICES + 1):
        if number % DELETE_EVERY == 0:
            await delete(device, story, is_careful=chance.random() < 0.5)
        else:
            await change(device, story, chance, f"{device.name} {number}")
    story.working -= 1


async def change(device: Device, story: Story, chance: random.Random, text: str) -> None:
    path = f"/api/messages/{story.message_id}"
    match chance.choice(WAYS):
        case "edit":
            answer = await device.put(path, {"text": text})
        case "careful edit":
            answer = await edit_carefully(device, path, text)
        case "attach":
            answer = await device.post(f"{path}/images", {"imageId": story.image_id})
        case "detach":
            answer = await device.delete(f"{path}/images/{story.image_id}")
        case "restore":
            answer = await device.post(f"{path}/restore", {"revision": chance.randrange(3)})
    story.note(answer)


async def edit_carefully(device: Device, path: str, text: str) -> httpx.Response:
    """Change what was read, and nothing else."""
    read = await device.get(path)
    if read.status_code != 200:
        return read
    answer = await device.put(path, {"text": text}, headers={"If-Match": read.headers["ETag"]})
    if answer.status_code == 200:
        assert answer.json()["messageData"]["revision"] == read.json()["message"]["revision"] + 1
    return answer


async def delete(device: Device, story: Story, *, is_careful: bool) -> None:
    """Delete the message, if nobody was quicker, and write another one that all go on with."""
    message_id = story.message_id
    read = await device.get(f"/api/messages/{message_id}")
    headers = {"If-Match": read.headers["ETag"]} if is_careful and read.is_success else {}
    answer = await device.delete(f"/api/messages/{message_id}", headers=headers)
    story.statuses.append(answer.status_code)
    if answer.status_code == 200:
        if headers:
            story.last[message_id] = read.json()["message"]["revision"]
        await write_anew(device, story)


async def write_anew(device: Device, story: Story) -> None:
    body = {"role": "user", "text": "new", "imageIds": [story.image_id]}
    answer = await device.post(f"/api/sessions/{story.session_id}/messages", body)
    story.note(answer)
    story.message_id = answer.json()["messageData"]["id"]


async def keep_listening(device: Device, story: Story) -> None:
    """Note the versions that the device is told of, until it knows all: a silent one would be cut off."""
    while story.working or story.heard != story.versions:
        for frame in await device.heard():
            message = frame.get("payload", {}).get("message")
            if message:
                story.heard[message["id"]][message["revision"]].append(message["text"])
        await asyncio.sleep(0.2)


async def assert_history_is_whole(person: Person, story: Story) -> None:
    """Every version kept of the message that is left is the one that somebody was told of."""
    told = story.versions[story.message_id]
    path = f"/api/messages/{story.message_id}/revisions"
    kept = (await person.get(path, params={"limit": 100})).json()["revisions"]
    assert [each["revision"] for each in kept] == sorted(told, reverse=True)[:100]
    assert [[each["text"]] for each in kept] == [told[each["revision"]] for each in kept]


async def sign_in(person: Person, name: str) -> Device:
    body = {"email": person.email, "password": person.password}
    tokens = (await person.post("/api/auth/login", body)).json()
    return Device(person.laptop.server, name, person.id, tokens["token"], tokens["refreshToken"])
