"""Uploads are shown to ClamAV before anything else looks at them, when CLAMAV_URL names its daemon.

The protocol is INSTREAM of `man clamd`: the command, then chunks with their length before them, an empty one
at the end, and one line as the answer, behind which the daemon hangs up.
"""

import logging
import socket
from typing import BinaryIO
from urllib.parse import urlsplit

from django.conf import settings

from nanobanana.errors import InfectedFile, ServiceUnavailable
from nanobanana.pools import BoundedPool

PORT = 3310
CHUNK = 256 * 1024  # bytes
LONGEST_ANSWER = 4096  # bytes
SECONDS_TO_CONNECT, SECONDS_TO_ANSWER = 3.0, 30.0
THREADS = 8  # most of a scan is waiting for the daemon
WAITING = 100
DOWN = "Files cannot be checked for malware at the moment; try again shortly."

logger = logging.getLogger(__name__)
_pool = BoundedPool("clamav", threads=THREADS, waiting=WAITING)


class ScannerDown(Exception):
    """The daemon is away, or does not say whether the file is clean."""


async def scan(file: BinaryIO) -> None:
    """Raise InfectedFile for malware. A daemon that is down means 503, or nothing: CLAMAV_WHEN_DOWN says."""
    if not settings.CLAMAV_URL:
        return
    try:
        found = await _pool.run(_found_in, file, settings.CLAMAV_URL)
    except ScannerDown as error:
        if settings.CLAMAV_WHEN_DOWN == "refuse":
            logger.error("An upload is refused, for ClamAV is down: %s", error)
            raise ServiceUnavailable(
                "Files cannot be checked for malware at the moment; try again shortly."
            ) from error
        logger.warning("An upload is accepted unchecked, for ClamAV is down: %s", error)
        return
    if found:
        logger.warning("ClamAV found %s in an upload.", found)
        raise InfectedFile


def _found_in(file: BinaryIO, url: str) -> str | None:
    """The name of the malware in the file; None when it is clean. Raises ScannerDown."""
    try:
        with _connected(url) as daemon:
            _send(daemon, file)
            answer = _answer(daemon)
    except OSError as error:
        raise ScannerDown(str(error)) from error
    finally:
        file.seek(0)
    if answer.endswith(" FOUND"):
        return answer.removeprefix("stream: ").removesuffix(" FOUND")
    if answer != "stream: OK":
        raise ScannerDown(f"it answered {answer!r}")
    return None


def _connected(url: str) -> socket.socket:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        daemon = socket.socket(socket.AF_UNIX)
        daemon.settimeout(SECONDS_TO_CONNECT)
        daemon.connect(parts.path)
    else:
        daemon = socket.create_connection((parts.hostname, parts.port or PORT), SECONDS_TO_CONNECT)
    daemon.settimeout(SECONDS_TO_ANSWER)
    return daemon


def _send(daemon: socket.socket, file: BinaryIO) -> None:
    file.seek(0)
    daemon.sendall(b"zINSTREAM\0")
    while chunk := file.read(CHUNK):
        daemon.sendall(len(chunk).to_bytes(4, "big") + chunk)
    daemon.sendall(bytes(4))


def _answer(daemon: socket.socket) -> str:
    with daemon.makefile("rb") as lines:
        return lines.read(LONGEST_ANSWER).rstrip(b"\0").decode(errors="replace")
