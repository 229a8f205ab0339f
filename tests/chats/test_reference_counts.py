"""How many messages show an image: exact after any mix of changes, by one device or by five at once."""

import asyncio
import io
import itertools
import random
from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from accounts.models import User
from accounts.services.sign_ins import register
from chats.services.messages import (
    attach_image,
    create_message,
    delete_message,
    detach_image,
    update_message,
)
from chats.services.sessions import create_session
from media_store.models import Image
from media_store.services.images import Upload, delete_image, upload_image
from nanobanana.errors import ImageInUse, NotFound
from nanobanana.redisdb import connection
from tests.support.consistency import inconsistencies
from tests.support.people import PASSWORD, Device, Person, picture
from tests.support.redis_server import RunningRedis

LAST_MOMENT = 2**53
_numbers = itertools.count(1)


class ReferenceCounts(RuleBasedStateMachine):
    """Changes messages and images through the services, and knows what each message must show."""

    runner: asyncio.Runner
    images = Bundle("images")
    messages = Bundle("messages")

    def __init__(self) -> None:
        super().__init__()
        self.do = self.runner.run
        email = f"machine{next(_numbers)}@example.com"
        signed_in = self.do(
            register(email=email, username="machine", password=PASSWORD, device_name="", ip="")
        )
        self.user: User = signed_in.user
        self.session_id = self.do(create_session(user=self.user)).id
        self.uploaded: set[str] = set()
        self.shown: dict[str, list[str]] = {}

    @rule(target=images)
    def upload(self) -> str:
        content = picture(4, 4)
        upload = Upload("picture", len(content), io.BytesIO(content))
        image = self.do(
            upload_image(user=self.user, session_id=self.session_id, type="uploaded", upload=upload)
        )
        self.uploaded.add(image.id)
        return image.id

    @rule(image=consumes(images))
    def delete_image(self, image: str) -> None:
        if any(image in shown for shown in self.shown.values()):
            self.expect(ImageInUse, delete_image(user=self.user, image_id=image))
        else:
            self.do(delete_image(user=self.user, image_id=image))
            self.uploaded.remove(image)

    @rule(target=messages, image_ids=st.lists(images, max_size=4))
    def create(self, image_ids: list[str]) -> str:
        image_ids = list(dict.fromkeys(image_ids))
        created = self.do(
            create_message(
                user=self.user, session_id=self.session_id, role="user", text="Hi", image_ids=image_ids
            )
        )
        self.shown[created.message.id] = image_ids
        return created.message.id

    @rule(message=messages, image_ids=st.lists(images, max_size=4), text=st.sampled_from(["Hi", "Ho"]))
    def update(self, message: str, image_ids: list[str], text: str) -> None:
        changes = {"image_ids": list(dict.fromkeys(image_ids)), "text": text}
        self.do(update_message(user=self.user, message_id=message, changes=changes))
        self.shown[message] = list(dict.fromkeys(image_ids))

    @rule(message=messages, image=images)
    def attach(self, message: str, image: str) -> None:
        self.do(attach_image(user=self.user, message_id=message, image_id=image))
        self.shown[message] = list(dict.fromkeys([*self.shown[message], image]))

    @rule(message=messages, image=images)
    def detach(self, message: str, image: str) -> None:
        detaching = detach_image(user=self.user, message_id=message, image_id=image)
        if image in self.shown[message]:
            self.do(detaching)
            self.shown[message].remove(image)
        else:
            self.expect(NotFound, detaching)

    @rule(message=consumes(messages))
    def delete(self, message: str) -> None:
        self.do(delete_message(user=self.user, message_id=message))
        del self.shown[message]

    def expect(self, error: type[Exception], doing: Any) -> None:
        try:
            self.do(doing)
        except error:
            return
        raise AssertionError(f"It should have raised {error.__name__}.")

    @invariant()
    def counts_equal_what_they_count(self) -> None:
        stored = self.do(Image.objects.aget_many(self.user.id, sorted(self.uploaded))).objects
        counted = Counter(itertools.chain.from_iterable(self.shown.values()))
        assert {image.id: image.ref_count for image in stored} == {
            image_id: counted[image_id] for image_id in self.uploaded
        }
        unreferenced = self.do(Image.objects.unreferenced_ids(self.user.id, before=LAST_MOMENT, limit=1000))
        assert set(unreferenced) == {image_id for image_id in self.uploaded if not counted[image_id]}

    def teardown(self) -> None:
        assert self.do(inconsistencies([self.user.id])) == []


def test_they_are_exact_after_any_mix_of_changes(redis_server: RunningRedis) -> None:
    with asyncio.Runner() as ReferenceCounts.runner:
        run_machine(
            ReferenceCounts, settings=settings(max_examples=10, stateful_step_count=20, deadline=None)
        )
        ReferenceCounts.runner.run(connection.close())


async def test_they_do_not_drift_while_five_devices_change_the_same_messages(
    alice: Person, session: dict[str, Any]
) -> None:
    image_ids = [(await alice.make_image(session["id"]))["id"] for _ in range(5)]
    messages = [(await alice.make_message(session["id"]))["id"] for _ in range(4)]
    devices = [alice.laptop, alice.phone, *[await sign_in(alice, name) for name in ("tablet", "tv", "watch")]]
    answers = await asyncio.gather(
        *(
            change_at_random(device, random.Random(seed), session["id"], messages, image_ids)
            for seed, device in enumerate(devices)
        )
    )
    statuses = Counter(itertools.chain.from_iterable(answers))
    assert statuses.keys() <= {200, 201, 404}, statuses
    assert statuses.total() == 250
    assert await inconsistencies([alice.id]) == []
    for device in devices[2:]:
        await device.close()


async def sign_in(person: Person, name: str) -> Device:
    body = {"email": person.email, "password": person.password}
    tokens = (await person.post("/api/auth/login", body)).json()
    return Device(person.laptop.server, name, person.id, tokens["token"], tokens["refreshToken"])


async def change_at_random(
    device: Device, chance: random.Random, session_id: str, messages: list[str], image_ids: list[str]
) -> list[int]:
    """Fifty changes of messages that all devices share; a new one takes the place of a deleted one."""
    statuses = []
    for _ in range(50):
        position, image_id = chance.randrange(len(messages)), chance.choice(image_ids)
        several = chance.sample(image_ids, chance.randrange(4))
        path = f"/api/messages/{messages[position]}"
        match chance.choice(["edit", "show", "attach", "attach", "detach", "detach", "delete"]):
            case "edit":
                answer = await device.put(path, {"text": f"{chance.random()}"})
            case "show":
                answer = await device.put(path, {"imageIds": several})
            case "attach":
                answer = await device.post(f"{path}/images", {"imageId": image_id})
            case "detach":
                answer = await device.delete(f"{path}/images/{image_id}")
            case "delete":
                await device.delete(path)
                body = {"role": "user", "text": "Hi", "imageIds": several}
                answer = await device.post(f"/api/sessions/{session_id}/messages", body)
                messages[position] = answer.json()["messageData"]["id"]
        statuses.append(answer.status_code)
    return statuses
