"""Originals in fewer bytes: the same picture to the last pixel, for everybody who has it."""

import io
import struct
from datetime import timedelta
from typing import Any

import pytest
from django.test import override_settings
from PIL import Image as Picture
from PIL import ImageCms

from media_store import compression, decoding
from media_store.compression import compressed
from media_store.managers import COMPRESSIBLE
from media_store.metadata import strip
from media_store.models import Image, Usage
from media_store.services import blobs
from media_store.services.compression import compress_due, compress_original
from media_store.services.sweep import sweep_user
from media_store.storage import StorageUnavailable, get_storage
from nanobanana.redisdb.fields import now
from tests.media_store.pictures import (
    SAMPLES,
    encode,
    frames,
    mime_of,
    photo,
    png_chunk,
    private_exif,
    sample,
)
from tests.media_store.uploads import keys_of, stored_keys
from tests.support.consistency import inconsistencies
from tests.support.people import Person

PNG, JPEG = "image/png", "image/jpeg"
LOOSE = encode(photo(300, 200), "PNG", compress_level=1)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def grey_of_16_bits() -> Picture.Image:
    return (
        Picture.linear_gradient("L")
        .resize((300, 200))
        .convert("I")
        .point(lambda value: value * 257)
        .convert("I;16")
    )


def with_chunk(png: bytes, type: bytes, body: bytes) -> bytes:
    return png[:33] + png_chunk(type, body) + png[33:]


def animation() -> bytes:
    turned = [photo(150, 100).rotate(angle) for angle in (9, 30)]
    options = {"save_all": True, "append_images": turned, "duration": [100, 200, 300], "loop": 2}
    return encode(photo(150, 100), "PNG", compress_level=1, **options)


CASES = {
    "opaque, with room for transparency": encode(photo(300, 200).convert("RGBA"), "PNG", compress_level=1),
    "grey, stored as colours": encode(photo(300, 200).convert("L").convert("RGB"), "PNG", compress_level=1),
    "a palette": encode(photo(300, 200).quantize(50), "PNG", compress_level=1, transparency=4),
    "a transparent colour": encode(photo(300, 200), "PNG", compress_level=1, transparency=(3, 3, 3)),
    "16 bits": encode(grey_of_16_bits(), "PNG", compress_level=1),
    "a profile": encode(photo(300, 200), "PNG", compress_level=1, icc_profile=SRGB),
    "a gamma": with_chunk(LOOSE, b"gAMA", struct.pack(">I", 45_455)),
    "an orientation": encode(photo(300, 200), "PNG", compress_level=1, exif=private_exif(6)),
    "an animation": animation(),
    "JPEG": encode(photo(300, 200), "JPEG", quality=95, icc_profile=SRGB, exif=private_exif(8), dpi=(72, 72)),
    "JPEG, CMYK": encode(photo(300, 200).convert("CMYK"), "JPEG", quality=95),
    "JPEG, grey": encode(photo(300, 200).convert("L"), "JPEG", quality=95),
}


# ---- what becomes of the bytes
@pytest.mark.parametrize("case", CASES)
def test_it_is_smaller_and_the_same(case: str) -> None:
    mime = JPEG if case.startswith("JPEG") else PNG
    original = strip(CASES[case], mime)
    made = compressed(original, mime)
    assert made is not None
    assert len(made) < 0.98 * len(original)
    assert frames(made) == frames(original)
    before, after = (Picture.open(io.BytesIO(data)).info for data in (original, made))
    ignored = {"progressive", "progression", "interlace", "jfif", "jfif_version", "jfif_unit", "jfif_density"}
    assert {name: after.get(name) for name in before.keys() - ignored} == {
        name: before[name] for name in before.keys() - ignored
    }
    assert made == strip(made, mime)


@pytest.mark.parametrize("name", [name for name in SAMPLES if mime_of(name) in {PNG, JPEG}])
def test_no_sample_becomes_another_picture(name: str) -> None:
    original = strip(sample(name), mime_of(name))
    made = compressed(original, mime_of(name))
    assert made is None or frames(made) == frames(original)


def test_what_is_as_small_as_it_gets_stays() -> None:
    made = compressed(LOOSE, PNG)
    assert made is not None
    assert compressed(made, PNG) is None


@pytest.mark.parametrize("lie", ["another pixel", "no profile", "no gamma", "one frame", "an orientation"])
def test_what_differs_in_anything_is_not_taken(lie: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = photo(300, 200)
    originals = {
        "no profile": CASES["a profile"],
        "no gamma": CASES["a gamma"],
        "one frame": CASES["an animation"],
    }
    changed = image.copy()
    changed.putpixel((7, 7), (1, 2, 3))
    lies = {
        "another pixel": encode(changed, "PNG"),
        "one frame": encode(photo(150, 100), "PNG"),
        "an orientation": strip(encode(image, "PNG", exif=private_exif(6)), PNG),
    }
    made = lies.get(lie, encode(image, "PNG"))
    monkeypatch.setitem(compression.WAYS, PNG, (lambda data: made, compression.WAYS[PNG][1]))
    assert compressed(strip(originals.get(lie, LOOSE), PNG), PNG) is None


# ---- what becomes of the picture
async def content_of(person: Person, image: dict[str, Any], **headers: str) -> Any:
    return await person.phone.http.get(
        f"/api/images/{image['id']}/content",
        headers={"Authorization": f"Bearer {person.phone.token}", **headers},
    )


async def record_of(image: dict[str, Any]) -> Image:
    return await Image.objects.aget(image["userId"], image["id"])


async def is_in_line(image: dict[str, Any]) -> bool:
    return image["id"] in await Image.objects.ids(image["userId"], COMPRESSIBLE, first=0, limit=9)


async def test_the_smaller_file_replaces_the_larger_and_the_devices_hear_of_it(
    alice: Person, session: dict[str, Any]
) -> None:
    image = await alice.make_image(session["id"], LOOSE)
    before = await content_of(alice, image)
    await alice.phone.listen(session["id"])
    await compress_due()
    changed = (await alice.get(f"/api/images/{image['id']}")).json()["image"]
    assert changed["size"] < image["size"] == len(LOOSE)
    assert {name for name in image if image[name] != changed[name]} == {"size", "sha256", "updatedAt"}
    after = await content_of(alice, changed)
    assert (len(after.content), after.headers["ETag"] == before.headers["ETag"]) == (changed["size"], False)
    assert frames(after.content) == frames(before.content)
    assert before.headers["Cache-Control"] == "private, no-cache", "a browser asks whether it has changed"
    assert "immutable" in after.headers["Cache-Control"]
    frame = await alice.phone.next_frame()
    assert (frame["type"], frame["payload"]["image"]) == ("image_updated", changed)
    usage = await Usage.objects.aget_of(alice.id)
    assert (usage.images, usage.bytes) == (1, changed["size"])
    assert not await is_in_line(image)
    assert await inconsistencies([alice.id]) == []


async def test_who_holds_the_former_address_still_gets_what_it_promised(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = await alice.make_image(session["id"], LOOSE)
    former = await record_of(image)
    await compress_due()
    await sweep_user(user_id=alice.id)
    kept = b"".join([chunk async for chunk in get_storage().open(blobs.storage_key(former, "original"))])
    assert kept == LOOSE
    monkeypatch.setattr(blobs, "now", lambda: now() + timedelta(hours=28))
    await sweep_user(user_id=alice.id)
    assert await stored_keys(alice.id) == await keys_of(image)
    assert await inconsistencies([alice.id]) == []


@pytest.mark.parametrize("what", ["picture", "session"])
async def test_a_deletion_takes_the_former_bytes_along(
    alice: Person, session: dict[str, Any], what: str
) -> None:
    first, second = [await alice.make_image(session["id"], LOOSE) for _ in range(2)]
    await compress_due()
    if what == "session":
        await alice.delete(f"/api/sessions/{session['id']}?permanent=true")
    else:
        for image in (first, second):
            assert (await alice.delete(f"/api/images/{image['id']}")).status_code == 200
    assert await stored_keys(alice.id) == []
    assert await inconsistencies([alice.id]) == []


async def test_a_picture_that_cannot_be_smaller_stays_and_nobody_hears_of_it(
    alice: Person, session: dict[str, Any]
) -> None:
    smallest = compressed(LOOSE, PNG)
    image = await alice.make_image(session["id"], smallest)
    await alice.phone.listen(session["id"])
    await compress_due()
    assert (await alice.get(f"/api/images/{image['id']}")).json()["image"] == image
    assert not await is_in_line(image)
    assert await alice.phone.heard() == []


async def test_two_records_of_one_content_come_to_share_the_smaller_one(
    alice: Person, session: dict[str, Any]
) -> None:
    first, second = [await alice.make_image(session["id"], LOOSE) for _ in range(2)]
    await compress_due()
    assert (await record_of(first)).blob_id == (await record_of(second)).blob_id
    third = await alice.make_image(session["id"], LOOSE)
    await compress_due()
    assert (await record_of(third)).blob_id == (await record_of(first)).blob_id
    assert await inconsistencies([alice.id]) == []


@pytest.mark.parametrize("format", ["WEBP", "GIF", "AVIF"])
async def test_other_kinds_are_not_in_line(alice: Person, session: dict[str, Any], format: str) -> None:
    image = await alice.make_image(session["id"], encode(photo(), format))
    assert not await is_in_line(image)


async def test_nothing_is_in_line_when_it_is_switched_off(alice: Person, session: dict[str, Any]) -> None:
    with override_settings(COMPRESS_ORIGINALS=False):
        image = await alice.make_image(session["id"], LOOSE)
    assert not await is_in_line(image)


# ---- when something comes between
async def test_a_picture_deleted_meanwhile_leaves_nothing(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = await alice.make_image(session["id"], LOOSE)
    compress = decoding.compress

    async def compress_and_delete(*arguments: Any) -> Any:
        made = await compress(*arguments)
        await alice.delete(f"/api/images/{image['id']}")
        return made

    monkeypatch.setattr(decoding, "compress", compress_and_delete)
    await compress_due()
    assert await stored_keys(alice.id) == []
    assert await inconsistencies([alice.id]) == []


async def test_two_at_once_have_one_effect(alice: Person, session: dict[str, Any]) -> None:
    image = await alice.make_image(session["id"], LOOSE)
    await alice.phone.listen(session["id"])
    one, other = await record_of(image), await record_of(image)
    await compress_original(one)
    await compress_original(other)
    assert [frame["type"] for frame in await alice.phone.heard()] == ["image_updated"]
    assert await inconsistencies([alice.id]) == []


@pytest.mark.parametrize("step", [1, 2])
async def test_a_storage_that_fails_leaves_the_picture_as_it_was_for_the_next_time(
    alice: Person, session: dict[str, Any], step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = await alice.make_image(session["id"], LOOSE)
    put, puts = get_storage().put, 0

    async def fail(key: str, data: bytes) -> None:
        nonlocal puts
        puts += 1
        if puts == step:
            raise StorageUnavailable("It is away.")
        await put(key, data)

    with monkeypatch.context() as patch:
        patch.setattr(get_storage(), "put", fail)
        await compress_due()
    assert (await content_of(alice, image)).content == LOOSE
    assert await stored_keys(alice.id) == await keys_of(image)
    assert await is_in_line(image)
    await compress_due()
    assert (await record_of(image)).size < image["size"]
    assert await inconsistencies([alice.id]) == []


async def test_a_picture_that_takes_too_much_stays_and_is_not_tried_again(
    alice: Person, session: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = await alice.make_image(session["id"], LOOSE)
    monkeypatch.setattr(decoding.compressors, "limits", decoding.compressors.limits._replace(seconds=0.001))
    decoding.compressors.end()
    await compress_due()
    assert (await content_of(alice, image)).content == LOOSE
    assert not await is_in_line(image)


async def test_one_that_is_still_processed_waits(alice: Person, session: dict[str, Any]) -> None:
    with override_settings(PROCESS_IN_BACKGROUND_ABOVE=1000):
        image = await alice.make_image(session["id"], LOOSE)
    assert image["status"] == "processing"
    await compress_due()
    assert await is_in_line(image)
    assert (await content_of(alice, image)).content == LOOSE
