"""A process that decodes pictures: `python -m media_store.decoders.child CHANNEL TURNS CORES LIMIT…`.

CHANNEL is the number of an inherited socket, on which an empty line says that the process is ready. Then each
request is a line of JSON with two files, one to read and one to write; each answer is a line of JSON.
TURNS is the file of `turns.py`; the limits are seconds of CPU time for a picture, bytes, and a niceness.
The process knows no setting and no secret, and ends with who started it.
"""

import hashlib
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, BinaryIO

from media_store import imaging
from media_store.compression import compressed
from media_store.decoders.turns import Turns
from media_store.pictures import PreparedPicture
from nanobanana.errors import APIError

LONGEST_REQUEST = 4096  # bytes

Answer = dict[str, Any]


def clean(source: BinaryIO, target: BinaryIO, turns: Turns) -> Answer:
    return written(imaging.clean(source), target)


def look(source: BinaryIO, target: BinaryIO, turns: Turns) -> Answer:
    """As `prepare`, without the original, which the asker has."""
    return written(replace(imaging.prepare(source, turns.large()), original=b""), target)


def prepare(source: BinaryIO, target: BinaryIO, turns: Turns) -> Answer:
    return written(imaging.prepare(source, turns.large()), target)


def written(picture: PreparedPicture, target: BinaryIO) -> Answer:
    target.write(picture.original)
    target.write(picture.thumbnail)
    return {
        "info": asdict(picture.info),
        "size": len(picture.original),
        "sha256": picture.sha256,
        "blurhash": picture.blurhash,
        "colour": picture.colour,
    }


def make_variant(source: BinaryIO, target: BinaryIO, turns: Turns, variant: str) -> Answer:
    target.write(imaging.make_variant(source, variant, turns.large()))
    return {}


def compress(source: BinaryIO, target: BinaryIO, turns: Turns, mime: str) -> Answer:
    smaller = compressed(source.read(), mime)
    if smaller is None:
        return {"sha256": None}
    target.write(smaller)
    return {"sha256": hashlib.sha256(smaller).hexdigest()}


CALLS: dict[str, Callable[..., Answer]] = {
    "clean": clean,
    "look": look,
    "prepare": prepare,
    "make_variant": make_variant,
    "compress": compress,
}


def main(channel: int, turns_path: str, cores: int, seconds: float, memory: int, niceness: int) -> None:
    limit_memory(memory)
    os.nice(niceness)
    turns = Turns(Path(turns_path), cores)
    with socket.socket(fileno=channel) as asker:
        asker.sendall(b"\n")
        while request := receive(asker):
            with place_for(request[0], turns), limited_time(seconds):
                answer = answer_to(*request, turns)
            asker.sendall(json.dumps(answer).encode() + b"\n")


def place_for(request: Answer, turns: Turns) -> AbstractContextManager[object]:
    """To clean takes little, and an upload waits for it: it does not wait for those that decode."""
    return nullcontext() if request["call"] == "clean" else turns.place()


def receive(channel: socket.socket) -> tuple[Answer, int, int] | None:
    """The next request and its files; None when nobody will ask any more."""
    line, files, _, _ = socket.recv_fds(channel, LONGEST_REQUEST, 2)
    return (json.loads(line), *files) if line else None


def answer_to(request: Answer, source_number: int, target_number: int, turns: Turns) -> Answer:
    with open(source_number, "rb") as source, open(target_number, "wb") as target:
        try:
            return CALLS[request["call"]](source, target, turns, *request["arguments"])
        except APIError as error:
            return {"error": error.code, "message": error.message}


def limit_memory(size: int) -> None:
    """Have an allocation fail instead of this machine; and no picture of a user goes into a dump."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # others do not keep this limit, or refuse it
        resource.setrlimit(resource.RLIMIT_AS, (size, size))


@contextmanager
def limited_time(seconds: float) -> Iterator[None]:
    """The system ends this process after `seconds` of work, whatever a decoder is doing; waiting is free."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


if __name__ == "__main__":
    _, channel, turns, cores, seconds, memory, niceness = sys.argv
    main(int(channel), turns, int(cores), float(seconds), int(memory), int(niceness))
