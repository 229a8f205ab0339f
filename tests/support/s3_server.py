"""moto's S3 in a process of its own. It keeps and lists objects, but checks neither signatures nor expiry."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SERVE = """
import logging
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel("ERROR")
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
input()
"""


@contextmanager
def serve_s3() -> Iterator[str]:
    """The server's address; it ends with its standard input, so also when the tests are killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout
    port = process.stdout.readline().decode().strip()
    assert port, "moto does not start."
    yield f"http://127.0.0.1:{port}"
    process.communicate()
