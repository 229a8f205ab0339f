"""Whatever fails, and wherever a process ends: no record without its object, and after the sweep no object
without a record."""

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from accounts.models import User
from accounts.services import deletion
from chats.services import removal, trash
from chats.services.purge import purge_due
from media_store.managers import BlobManager
from media_store.models import Image
from media_store.pictures import PictureInfo, PreparedPicture
from media_store.rendering import size_of
from media_store.services import blobs
from media_store.services.blobs import storage_key
from media_store.services.direct_uploads import begin_upload, complete_upload, receive_upload
from media_store.services.images import Upload, delete_image, upload_image
from media_store.services.replacing import replace_original
from media_store.storage import LocalStorage, cloud, get_storage
from nanobanana.notes import Notes
from nanobanana.redisdb.unit_of_work import UnitOfWork
from tests.media_store.uploads import key_of, stored_keys
from tests.support.consistency import inconsistencies
from tests.support.deaths import dying_at
from tests.support.oss_server import LATE, OssServer, serve_oss
from tests.support.people import Person, make_person, picture
from tests.support.server_process import served
from tests.support.storages import aliyun_settings, aliyun_storage, in_use
from tests.support.stress import how_many
from tests.support.sweeping import assert_exact, nobody_else_noted, sweep_for_days
from tests.support.web_server import WebServer

EFFECTS = (
    (UnitOfWork, "commit"),
    (Notes, "note"),
    (LocalStorage, "put"),
    (LocalStorage, "receive"),
    (LocalStorage, "delete_prefix"),
    (BlobManager, "postpone_doomed"),
    (BlobManager, "forget_doomed"),
)
LARGE = picture(700, 500)

Act = Callable[[], Awaitable[Any]]
Stage = Callable[["Scene"], Awaitable[Act]]


class Scene:
    """A person with a session; what is done goes through the services, as the server's calls do."""

    def __init__(self, person: Person, session_id: str) -> None:
        self.person, self.user, self.session_id = person, User(person.id, person.id), session_id
        self.numbers = count()

    async def enter_new_session(self) -> None:
        self.session_id = (await self.person.make_session())["id"]

    def another_picture(self) -> bytes:
        return picture(colour=f"#{next(self.numbers):06x}")

    async def upload(self, content: bytes | None = None) -> Image:
        data = content or self.another_picture()
        upload = Upload("a.png", len(data), BytesIO(data))
        return await upload_image(user=self.user, session_id=self.session_id, type="uploaded", upload=upload)

    async def begin(self, data: bytes) -> str:
        """The id of a direct upload of the data."""
        announced = {"type": "uploaded", "mime": "image/png", "size": len(data)}
        begun = await begin_upload(user=self.user, session_id=self.session_id, **announced)
        return begun.upload.id

    async def put(self, upload_id: str, data: bytes) -> None:
        """In two pieces, as a client would."""

        async def chunks() -> AsyncIterator[bytes]:
            yield data[:100]
            yield data[100:]

        await receive_upload(user_id=self.user.id, upload_id=upload_id, mime="image/png", chunks=chunks())


async def of_new_content(scene: Scene) -> Act:
    return scene.upload


async def of_known_content(scene: Scene) -> Act:
    await scene.upload(LARGE)
    return lambda: scene.upload(LARGE)


async def a_deletion(scene: Scene) -> Act:
    image = await scene.upload()
    return lambda: delete_image(user=scene.user, image_id=image.id)


async def a_deletion_of_what_another_has_too(scene: Scene) -> Act:
    await scene.upload(LARGE)
    image = await scene.upload(LARGE)
    return lambda: delete_image(user=scene.user, image_id=image.id)


async def a_size(scene: Scene) -> Act:
    image = await scene.upload(LARGE)
    return lambda: size_of(image, "small")


async def a_replacement(scene: Scene) -> Act:
    image, other = await scene.upload(), picture(colour="red")
    info = PictureInfo(image.mime, image.width, image.height, frames=1)
    content = PreparedPicture(info, other, hashlib.sha256(other).hexdigest(), thumbnail=other)
    return lambda: replace_original(image, content)


async def a_session(scene: Scene) -> Act:
    await scene.enter_new_session()
    session_id = scene.session_id
    for _ in range(2):
        await scene.upload()
    hidden = await trash._hide(scene.user, session_id)
    return lambda: removal.remove_hidden(hidden)


async def a_direct_upload(scene: Scene) -> Act:
    return lambda: scene.begin(scene.another_picture())


async def bytes_that_are_put(scene: Scene) -> Act:
    data = scene.another_picture()
    upload_id = await scene.begin(data)
    return lambda: scene.put(upload_id, data)


async def a_completion(scene: Scene) -> Act:
    data = scene.another_picture()
    upload_id = await scene.begin(data)
    await scene.put(upload_id, data)
    return lambda: complete_upload(user=scene.user, upload_id=upload_id)


STRIDE = 5 // how_many(1, under_stress=5)  # of a stage with many steps, all are taken under stress
STAGES: dict[str, tuple[Stage, int]] = {
    "an upload of new content": (of_new_content, 10),
    "an upload of known content": (of_known_content, 2),
    "a direct upload": (a_direct_upload, 4),
    "bytes that are put": (bytes_that_are_put, 2),
    "a completion": (a_completion, 10),
    "a deletion": (a_deletion, 8),
    "a deletion of what another has too": (a_deletion_of_what_another_has_too, 4),
    "a size": (a_size, 2),
    "a replacement": (a_replacement, 12),
    "a session": (a_session, 12),
}


@pytest.fixture(autouse=True)
async def _nobody_else_is_noted(alice: Person) -> AsyncIterator[None]:
    async with nobody_else_noted():
        yield


@pytest.fixture
def scene(alice: Person, session: dict[str, Any]) -> Scene:
    return Scene(alice, session["id"])


@pytest.mark.parametrize("name", STAGES)
async def test_a_process_that_ends_at_any_step_leaves_nothing_in_the_end(scene: Scene, name: str) -> None:
    stage, steps = STAGES[name]
    for step in count(step=STRIDE if steps > 10 else 1):
        act = await stage(scene)
        with dying_at(step, *EFFECTS) as deaths:
            await act()
        assert await inconsistencies([scene.user.id]) == []
        await purge_due()
        await sweep_for_days()
        await assert_exact(scene.user.id)
        if not deaths:
            break
    assert step >= steps, "there are so many halves of effects, at least"


async def test_an_account_whose_deletion_ends_at_any_step_leaves_nothing(server: WebServer) -> None:
    for step in count(step=STRIDE):
        async with make_person(server, "Bob") as bob:
            scene = Scene(bob, (await bob.make_session())["id"])
            first = await scene.upload()
            await scene.upload()
            await User.objects.begin_deletion(await User.objects.aget(bob.id, bob.id))
            with dying_at(step, *EFFECTS) as deaths:
                await deletion.finish_deletion(user_id=bob.id)
            await deletion.finish_deletion(user_id=bob.id)
            await get_storage().put(storage_key(first, "small"), b"a variant that was under way")
            await sweep_for_days()
            assert await stored_keys(bob.id) == []
            assert await inconsistencies([bob.id]) == []
        if not deaths:
            break
    assert step > 10


# ---- a cloud that fails
UPLOADS = how_many(12, under_stress=500)
AT_ONCE = 8


@pytest.fixture
def oss() -> Iterator[OssServer]:
    with serve_oss() as oss:
        yield oss


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time limits of a cloud in a tenth of a second, so that what is late comes after them."""
    monkeypatch.setattr(cloud, "READ_TIMEOUT", 0.3)
    monkeypatch.setattr(blobs, "PATIENCE", 1)


@pytest.mark.stress
@pytest.mark.usefixtures("_impatient")
async def test_uploads_to_a_cloud_that_fails_in_every_way_stay_exact(
    oss: OssServer, alice: Person, session: dict[str, Any]
) -> None:
    """It answers 500 or nothing, breaks off in the middle of a body, does and does not answer, and does late
    what everybody has given up.
    """
    chance = random.Random(6)
    colours = [f"#{chance.randrange(UPLOADS * 2):06x}" for _ in range(UPLOADS)]
    statuses: Counter[int] = Counter()

    async def some(colours: Iterator[str]) -> None:
        for colour in colours:
            answer = await alice.upload(session["id"], picture(colour=colour))
            statuses[answer.status_code] += 1
            if answer.status_code == 201 and chance.random() < 0.3:
                image_id = answer.json()["image"]["id"]
                assert (await alice.delete(f"/api/images/{image_id}")).status_code == 200

    with in_use(aliyun_storage(oss)):
        remaining = iter(colours)
        with oss.failing_at_random(chance, share=0.55):
            await asyncio.gather(*[some(remaining) for _ in range(AT_ONCE)])
        assert await inconsistencies([alice.id]) == [], "no record lacks its object"
        await asyncio.sleep(2 * LATE)
        await sweep_for_days()
        await assert_exact(alice.id)
        for image in (await alice.get("/api/images/user/all")).json()["images"]:
            key = await key_of(image, "original")
            assert hashlib.sha256(oss.objects[key].data).hexdigest() == image["sha256"]
    assert statuses.keys() == {201, 503}
    assert sum(statuses.values()) == UPLOADS
    assert min(statuses.values()) > UPLOADS // 20, statuses


# ---- processes that are killed
KILLED_EVERY = 2.0  # seconds


def family_of_serve() -> list[psutil.Process]:
    """The processes of `manage.py serve` but the first: workers, and what they started."""
    children = psutil.Process().children()
    serving = [child for child in children if "serve" in child.cmdline()]
    return [process for child in serving for process in child.children(recursive=True)]


async def kill_one_after_another(chance: random.Random, killed: list[int]) -> None:
    while True:
        await asyncio.sleep(KILLED_EVERY)
        with suppress(psutil.NoSuchProcess, IndexError):  # it ends by itself, or none is back yet
            victim = chance.choice(family_of_serve())
            victim.kill()
            killed.append(victim.pid)


@pytest.mark.long
async def test_uploads_to_a_cloud_that_fails_from_processes_that_are_killed_stay_exact(
    oss: OssServer, alice: Person, session: dict[str, Any], tmp_path: Path
) -> None:
    """Statuses of 0 are of uploads that were cut off."""
    chance, statuses = random.Random(7), Counter[int]()
    answered: dict[str, str] = {}  # the hashes of pictures by their ids
    killed: list[int] = []
    colours = iter([f"#{chance.randrange(1000):06x}" for _ in range(500)])
    headers = {"Authorization": f"Bearer {alice.laptop.token}"}

    async def upload_some(http: httpx.AsyncClient) -> None:
        for colour in colours:
            files = {"image": ("a.png", picture(colour=colour))}
            try:
                answer = await http.post(
                    "/api/images/upload", files=files, data={"sessionId": session["id"]}, headers=headers
                )
            except httpx.TransportError:
                statuses[0] += 1
                continue
            statuses[answer.status_code] += 1
            if answer.status_code == 201:
                image = answer.json()["image"]
                answered[image["id"]] = image["sha256"]

    variables = {"STORAGE_TYPE": "aliyun", **aliyun_settings(oss)}
    with served(tmp_path / "logs", workers=2, **variables) as server, in_use(aliyun_storage(oss)):
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:
            killing = asyncio.create_task(kill_one_after_another(chance, killed))
            with oss.failing_at_random(chance, share=0.3):
                await asyncio.gather(*[upload_some(http) for _ in range(AT_ONCE)])
            killing.cancel()
        assert await inconsistencies([alice.id]) == [], "no record lacks its object"
    with in_use(aliyun_storage(oss)):
        await asyncio.sleep(2 * LATE)
        await sweep_for_days()
        await assert_exact(alice.id)
        found = await Image.objects.aget_many(alice.id, list(answered))
        assert {image.id for image in found.objects} == answered.keys()
        for image in found.objects:
            stored = oss.objects[storage_key(image, "original")]
            assert hashlib.sha256(stored.data).hexdigest() == answered[image.id]
    assert sum(statuses.values()) == 500
    assert min(statuses[201], statuses[503]) > 20, statuses
    assert len(killed) > 2, "it did not take long enough"
