"""The README's first conversation, pasted as a reader would, against a server started as a reader would."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A server of its own: `manage.py serve` with an embedded Redis."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free_port = probe.getsockname()[1]
    home = tmp_path_factory.mktemp("readme")
    environment = {
        **os.environ,
        "PORT": str(free_port),
        "PUBLIC_BASE_URL": f"http://localhost:{free_port}",
        "VAR_DIR": str(home / "var"),
        "LOG_DIR": str(home / "logs"),
        "REDIS_URL": "",
    }
    command = [sys.executable, "manage.py", "serve", "--workers", "1"]
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert server.stdout
    assert "Serving" in server.stdout.readline()
    yield free_port
    server.send_signal(signal.SIGTERM)
    assert server.wait(20) == 0
    server.stdout.close()


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_the_first_conversation_works_as_pasted(port: int, readme: str):
    answers = paste(first_conversation(readme), port)
    assert "Give this cat a crown" in answers
    assert '"thumbPath":"http://localhost' in answers
    assert '"total":1' in answers
    assert '"type":"connected"' in answers
    assert '"type":"pong"' in answers


def first_conversation(readme: str) -> str:
    text = (ROOT / readme).read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    return "".join(block for block in blocks if "localhost:3001/" in block and "make run" not in block)


def paste(commands: str, port: int) -> str:
    address = re.escape("user@example.com")
    commands = re.sub(address, f"user{abs(hash(commands))}@example.com", commands)
    script = commands.replace("localhost:3001", f"localhost:{port}").replace(
        ".venv/bin/python", sys.executable
    )
    shell = subprocess.run(["bash", "-e"], input=script, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert shell.returncode == 0, shell.stdout + shell.stderr
    return shell.stdout
