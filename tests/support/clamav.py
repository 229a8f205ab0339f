"""A stand-in for ClamAV's daemon, which reads INSTREAM to the letter and knows one virus."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# What every scanner takes for a virus, and nothing runs: https://www.eicar.org
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"

Verdict = Callable[[bytes], bytes]


def find_eicar(content: bytes) -> bytes:
    return b"stream: Eicar-Signature FOUND\0" if EICAR in content else b"stream: OK\0"


class Daemon:
    def __init__(self, listener: socket.socket, verdict: Verdict) -> None:
        self.verdict = verdict
        self.seen: list[bytes] = []
        self._listener = listener
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # the test is over
            with connection, connection.makefile("rb") as stream:
                assert stream.read(10) == b"zINSTREAM\0"
                content = b""
                while length := int.from_bytes(stream.read(4), "big"):
                    content += stream.read(length)
                self.seen.append(content)
                with suppress(BrokenPipeError):  # who asked has given up
                    connection.sendall(self.verdict(content))


@contextmanager
def running_daemon(path: Path, verdict: Verdict = find_eicar) -> Iterator[Daemon]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield Daemon(listener, verdict)
        listener.shutdown(socket.SHUT_RDWR)
