"""A decoder as its user sees it: a process that is asked, one picture at a time."""

import io
import json
import logging
import os
import queue
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from nanobanana.errors import (
    APIError,
    PayloadTooLarge,
    ServiceUnavailable,
    UnreadablePicture,
    UnsupportedMedia,
)

PROJECT = Path(__file__).resolve().parents[2]
ONE_THREAD = {"VIPS_CONCURRENCY": "1", "RAYON_NUM_THREADS": "1"}
PICTURES = 500  # that one process decodes before another takes its place, should a decoder leak
REFUSALS = {refusal.code: refusal for refusal in (PayloadTooLarge, UnreadablePicture, UnsupportedMedia)}

logger = logging.getLogger(__name__)


class Limits(NamedTuple):
    seconds: float = 20.0  # of CPU time for a picture; the largest ones take 3
    memory: int = 1 << 30  # bytes; the largest ones take 700 MB
    niceness: int = 0  # towards others on this machine, 19 is the most
    patience: float = 120.0  # seconds for an answer, waiting for a turn included


class DecoderEnded(Exception):
    """The process ended, or does not answer and was ended."""


class Decoder:
    """One process, which is started at once; who asks waits for the answer."""

    def __init__(self, turns: Path, cores: int, limits: Limits) -> None:
        self._channel, theirs = socket.socketpair()
        self._channel.settimeout(limits.patience)
        self._answers = self._channel.makefile("rb")
        self._pictures_left = PICTURES
        numbers = map(str, (cores, limits.seconds, limits.memory, limits.niceness))
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"{__package__}.child", str(theirs.fileno()), str(turns), *numbers],
                env={"PYTHONPATH": str(PROJECT), **ONE_THREAD},  # and no secrets
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for who asks, and it may need the answer
                pass_fds=[theirs.fileno()],
            )
        if self._answers.readline() != b"\n":
            code = self.end()
            raise ServiceUnavailable(f"A decoder of pictures did not start (code {code}).")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_fit(self) -> bool:
        return self._pictures_left > 0 and self._process.poll() is None

    def ask(self, call: str, arguments: tuple[str, ...], source: int, target: int) -> dict[str, Any]:
        """The answer of the child, which reads `source` and writes to `target`. Raises DecoderEnded."""
        self._pictures_left -= 1
        request = json.dumps({"call": call, "arguments": arguments}).encode()
        try:
            socket.send_fds(self._channel, [request], [source, target])
            answer = self._answers.readline()
        except OSError as error:  # a timeout is one too
            raise DecoderEnded(str(error)) from error
        if not answer.endswith(b"\n"):
            raise DecoderEnded("no answer")
        return json.loads(answer)

    def end(self) -> int:
        """Its exit code; negative for the signal that ended it."""
        self._process.kill()
        self._answers.close()
        self._channel.close()
        return self._process.wait()


class Decoders:
    """Starts decoders when they are needed and keeps them for the next picture.

    As many run as threads ask at once: the pool of the caller bounds them.
    """

    def __init__(self, turns: Path, cores: int, limits: Limits) -> None:
        self.turns, self.cores, self.limits = turns, cores, limits
        self._idle: queue.LifoQueue[Decoder] = queue.LifoQueue()

    def ask(self, call: str, file: BinaryIO, *arguments: str) -> tuple[dict[str, Any], BinaryIO]:
        """The answer and what was written; UnreadablePicture when it was too much for the decoder."""
        target = tempfile.TemporaryFile()  # noqa: SIM115  # the caller has it
        with _on_disk(file) as source:
            answer = self._ask(call, arguments, source.fileno(), target.fileno())
        if "error" in answer:
            target.close()
            raise _refusal(answer)
        target.seek(0)
        return answer, target

    def end(self) -> None:
        """End those that have nothing to do."""
        with suppress(queue.Empty):
            while True:
                self._idle.get_nowait().end()

    def _ask(self, call: str, arguments: tuple[str, ...], source: int, target: int) -> dict[str, Any]:
        decoder = self._fit_one()
        try:
            answer = decoder.ask(call, arguments, source, target)
        except DecoderEnded as error:
            code = decoder.end()
            logger.error("A decoder ended with code %d over a picture (%s).", code, error)
            raise UnreadablePicture("The picture takes too much time or memory to be read.") from error
        self._idle.put(decoder)
        return answer

    def _fit_one(self) -> Decoder:
        while True:
            try:
                decoder = self._idle.get_nowait()
            except queue.Empty:
                return Decoder(self.turns, self.cores, self.limits)
            if decoder.is_fit:
                return decoder
            decoder.end()


def _refusal(answer: dict[str, Any]) -> APIError:
    return REFUSALS[answer["error"]](answer["message"])


def _on_disk(file: BinaryIO) -> BinaryIO:
    """`file`, as one that can be handed to another process and closed."""
    inner = getattr(file, "file", file)  # that of a named temporary one
    if isinstance(inner, io.BufferedRandom | io.BufferedReader):
        inner.seek(0)  # which also writes what is not written yet
        return os.fdopen(os.dup(inner.fileno()), "rb")
    copy = tempfile.TemporaryFile()  # noqa: SIM115  # the caller closes it
    file.seek(0)
    shutil.copyfileobj(file, copy)
    copy.flush()
    return copy
