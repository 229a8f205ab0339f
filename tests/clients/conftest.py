"""The clients against the real server, directly and through a network that misbehaves."""

import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nanobanana_client import Backoff, MemoryTokens, NanobananaClient, Tokens

from tests.clients.bad_network import BadNetwork, bad_network
from tests.support.people import Device, Person
from tests.support.web_server import WebServer

ROOT = Path(__file__).resolve().parents[2]
TYPESCRIPT = ROOT / "clients" / "typescript"
# Documents, and addresses that answers give whole.
NOT_FOR_CLIENTS = {
    ("get", "/api/docs"),
    ("get", "/api/docs/{name}"),
    ("get", "/api/schema"),
    ("get", "/metrics"),
    ("get", "/health/live"),  # these are for what watches and balances
    ("get", "/health/ready"),
    ("put", "/uploads/{userId}/{uploadId}"),
    ("get", "/media/{userId}/{imageId}/{variant}"),
}
QUICK = Backoff(first=0.01, longest=0.05)


def client_of(device: Device, url: str = "") -> NanobananaClient:
    """A client with the tokens of a device of the tests."""
    store = MemoryTokens(Tokens(device.token, device.refresh_token))
    return NanobananaClient(url or device.server.url, store=store, backoff=QUICK)


@pytest.fixture
async def laptop(alice: Person) -> AsyncIterator[NanobananaClient]:
    async with client_of(alice.laptop) as client:
        yield client


@pytest.fixture
async def network(server: WebServer) -> AsyncIterator[BadNetwork]:
    async with bad_network(server.port) as network:
        yield network


@pytest.fixture
async def phone(alice: Person, network: BadNetwork) -> AsyncIterator[NanobananaClient]:
    """Alice's phone, which has a bad network."""
    async with client_of(alice.phone, network.url) as client:
        yield client


@pytest.fixture(scope="session")
def node() -> list[str]:
    """The command that runs Node, which has WebSocket from version 22, and before by an option."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("There is no Node on this machine.")
    for command in ([program], [program, "--experimental-websocket"]):
        if subprocess.run([*command, "--eval", "WebSocket"], capture_output=True).returncode == 0:
            return command
    pytest.skip("This Node has no WebSocket; version 20.10 has.")


@pytest.fixture(scope="session")
def compiler() -> Path:
    program = TYPESCRIPT / "node_modules" / ".bin" / "tsc"
    if not program.exists():
        pytest.skip("There is no TypeScript compiler; `make client` gets one through npm.")
    return program


@pytest.fixture(scope="session")
def built(compiler: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module to import, as tsc makes it; a wrong type fails. Other processes build theirs."""
    package = tmp_path_factory.mktemp("typescript")
    output = package / "dist"
    done = subprocess.run([compiler, "--outDir", output], cwd=TYPESCRIPT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    (package / "package.json").write_bytes((TYPESCRIPT / "package.json").read_bytes())
    return output / "index.js"


@pytest.fixture
async def session_id(alice: Person) -> str:
    return (await alice.make_session())["id"]
