"""Decoders are processes: what one picture does to its own is nothing to the others."""

import asyncio
import io
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from media_store import decoding, imaging
from media_store.decoders import decoder
from media_store.decoders.decoder import Decoders, Limits
from media_store.decoders.turns import Turns
from nanobanana.errors import PayloadTooLarge, UnreadablePicture, UnsupportedMedia
from tests.media_store.pictures import SAMPLES, black_picture, encode, photo, png_chunk, png_header, sample
from tests.media_store.uploads import large_turn, until
from tests.support.people import Person

LARGE = black_picture(4000, 3100)
TOO_LARGE = png_header(13_000, 13_000) + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")
SMALL = encode(photo(), "JPEG")


@pytest.fixture
def turns(tmp_path: Path) -> Turns:
    return Turns(tmp_path / "turns", 2)


class Pool:
    """Decoders of a test's own, which can be counted and ended."""

    def __init__(self, turns: Path) -> None:
        self.turns = turns
        self.all: list[Decoders] = []

    def __call__(self, *, cores: int = 2, **limits: Any) -> Decoders:
        self.all.append(Decoders(self.turns, cores, Limits(**limits)))
        return self.all[-1]

    def end(self) -> None:
        for decoders in self.all:
            decoders.end()


@pytest.fixture
def decoders_of(tmp_path: Path) -> Iterator[Pool]:
    pool = Pool(tmp_path / "turns")
    yield pool
    pool.end()


def width_of(decoders: Decoders, data: bytes | BinaryIO) -> int:
    answer, written = decoders.ask("prepare", io.BytesIO(data) if isinstance(data, bytes) else data)
    written.close()
    return answer["info"]["width"]


def idle(decoders: Decoders) -> list[int]:
    return [one.pid for one in decoders._idle.queue]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# ---- the same as without
async def test_every_sample_comes_back_as_it_was_prepared() -> None:
    for name in SAMPLES:
        assert await decoding.prepare(io.BytesIO(sample(name))) == imaging.prepare(io.BytesIO(sample(name)))


async def test_a_variant_comes_back_as_it_was_made() -> None:
    data = encode(photo(900, 500), "PNG")
    made = await decoding.make_variant(io.BytesIO(data), "small")
    assert made == imaging.make_variant(io.BytesIO(data), "small")


def test_a_file_is_handed_over_as_it_is(decoders_of: Pool, tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(SMALL)
    with path.open("rb") as file:
        file.seek(7)
        assert width_of(decoders_of(), file) == 60


@pytest.mark.parametrize(
    ("data", "refusal", "sentence"),
    [
        (b"hello", UnsupportedMedia, "Only JPEG"),
        (sample("hostile/truncated_image.png"), UnreadablePicture, "is damaged"),
        (TOO_LARGE, PayloadTooLarge, "at most 40 megapixels"),
    ],
)
def test_a_refusal_comes_back_with_its_words(
    data: bytes, refusal: type[Exception], sentence: str, decoders_of: Pool
) -> None:
    decoders = decoders_of()
    with pytest.raises(refusal, match=sentence):
        width_of(decoders, data)
    assert len(idle(decoders)) == 1  # the decoder is well, and ready for the next one


def test_one_process_serves_many_pictures_and_is_replaced_in_the_end(
    decoders_of: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder, "PICTURES", 2)
    decoders = decoders_of()
    seen = []
    for _ in range(3):
        width_of(decoders, SMALL)
        seen += idle(decoders)
    assert seen[0] == seen[1] != seen[2]
    assert not is_alive(seen[0])


# ---- one that dies, loops or swells
@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_decoder_that_dies_costs_its_picture_only(number: int, turns: Turns, decoders_of: Pool) -> None:
    decoders = decoders_of()
    width_of(decoders, SMALL)
    (pid,) = idle(decoders)
    with ThreadPoolExecutor() as threads, turns.large():
        doomed = threads.submit(width_of, decoders, LARGE)
        while idle(decoders):
            threading.Event().wait(0.01)
        assert width_of(decoders, SMALL) == 60  # meanwhile, in another process
        os.kill(pid, number)
        with pytest.raises(UnreadablePicture, match="too much time or memory"):
            doomed.result(10)
    assert width_of(decoders, LARGE) == 4000
    assert pid not in idle(decoders)


def test_one_that_died_between_two_pictures_costs_none(decoders_of: Pool) -> None:
    decoders = decoders_of()
    width_of(decoders, SMALL)
    (pid,) = idle(decoders)
    os.kill(pid, signal.SIGKILL)
    while decoders._idle.queue[0]._process.poll() is None:
        threading.Event().wait(0.01)
    assert width_of(decoders, SMALL) == 60


def test_one_that_takes_too_long_is_ended_by_the_system(decoders_of: Pool) -> None:
    decoders = decoders_of(seconds=0.02)
    with pytest.raises(UnreadablePicture, match="too much time or memory"):
        width_of(decoders, LARGE)
    assert idle(decoders) == []


def test_waiting_for_a_turn_takes_no_time_of_a_picture(turns: Turns, decoders_of: Pool) -> None:
    decoders = decoders_of(seconds=1)
    with ThreadPoolExecutor() as threads:
        with turns.large():
            waiting = threads.submit(width_of, decoders, LARGE)
            threading.Event().wait(1.2)
        assert waiting.result(10) == 4000


def test_one_that_does_not_answer_is_given_up(decoders_of: Pool) -> None:
    decoders = decoders_of(patience=1.0)
    width_of(decoders, SMALL)
    (pid,) = idle(decoders)
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(UnreadablePicture, match="too much time or memory"):
        width_of(decoders, SMALL)
    assert not is_alive(pid)


def test_one_that_wants_too_much_memory_is_refused_it(decoders_of: Pool) -> None:
    decoders = decoders_of(memory=100 << 20)
    with pytest.raises(UnreadablePicture):
        width_of(decoders, black_picture(8000, 5000))
    assert width_of(decoders, SMALL) == 60


def test_a_decoder_knows_no_secret(decoders_of: Pool) -> None:
    decoders = decoders_of()
    width_of(decoders, SMALL)
    (pid,) = idle(decoders)
    environment = Path(f"/proc/{pid}/environ").read_text()
    names = {variable.partition("=")[0] for variable in environment.split("\0") if variable}
    assert names == {"PYTHONPATH", "VIPS_CONCURRENCY", "RAYON_NUM_THREADS"}


def test_a_decoder_ends_with_who_started_it(decoders_of: Pool) -> None:
    decoders = decoders_of()
    width_of(decoders, SMALL)
    one = decoders._idle.get_nowait()
    one._answers.close()
    one._channel.close()  # as the system does it
    assert one._process.wait(5) == 0


# ---- turns
def test_no_more_decode_on_this_machine_than_there_are_places(turns: Turns, decoders_of: Pool) -> None:
    """Decoders of two processes, which know nothing of each other, share the places."""
    first, second = decoders_of(cores=1), decoders_of(cores=1)
    one_place = Turns(decoders_of.turns, 1)
    with ThreadPoolExecutor() as threads:
        with one_place.place():
            waiting = [threads.submit(width_of, decoders, SMALL) for decoders in (first, second)]
            threading.Event().wait(0.5)
            assert not any(upload.done() for upload in waiting)
        assert [upload.result(10) for upload in waiting] == [60, 60]


def test_a_place_of_one_that_was_killed_is_free_again(turns: Turns, decoders_of: Pool) -> None:
    decoders = decoders_of(cores=1)
    width_of(decoders, SMALL)
    (pid,) = idle(decoders)
    with ThreadPoolExecutor() as threads, turns.large():
        doomed = threads.submit(width_of, decoders, LARGE)
        while idle(decoders):
            threading.Event().wait(0.01)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(UnreadablePicture):
            doomed.result(10)
    assert width_of(decoders, SMALL) == 60


# ---- over HTTP
async def test_a_killed_decoder_is_one_422_and_nothing_else(alice: Person) -> None:
    session = await alice.make_session()
    await alice.make_image(session["id"], SMALL)
    (*_, one) = decoding.decoders._idle.queue
    with large_turn():
        doomed = asyncio.create_task(alice.upload(session["id"], LARGE))

        async def has_begun() -> bool:
            return one not in decoding.decoders._idle.queue

        await until(has_begun)
        await asyncio.sleep(0.2)
        assert (await alice.upload(session["id"], SMALL)).status_code == 201
        os.kill(one.pid, signal.SIGSEGV)
        answer = await doomed
    assert (answer.status_code, answer.json()["error"]) == (422, "unreadable_picture")
    assert (await alice.upload(session["id"], LARGE)).status_code == 201
