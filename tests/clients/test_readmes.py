"""The examples of the clients' READMEs, run as printed."""

import asyncio
import os
import re
import sys
from pathlib import Path

from tests.clients.conftest import ROOT
from tests.support.web_server import WebServer


def example_of(readme: str, language: str) -> str:
    text = (ROOT / "clients" / readme / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


async def output_of(*command: str | Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "clients" / "python")}
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(20):
        return (await process.communicate())[0].decode()


async def test_the_example_in_python(server: WebServer, tmp_path: Path) -> None:
    program = tmp_path / "example.py"
    source = example_of("python", "python").replace("http://localhost:3001", server.url)
    program.write_text(source.replace("ada@", "ada.of.python@"))
    assert await output_of(sys.executable, program) == "user: Give this cat a crown\n404 not_found\n"


async def test_the_example_in_typescript(
    server: WebServer, node: list[str], compiler: Path, built: Path, tmp_path: Path
) -> None:
    """Checked by tsc, and run."""
    program = tmp_path / "example.ts"
    source = example_of("typescript", "ts").replace("http://localhost:3001", server.url)
    program.write_text(source.replace("ada@", "ada.of.typescript@"))
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "nanobanana-client").symlink_to(built.parent.parent)
    options = ["--strict", "--target", "es2022", "--module", "nodenext", "--types", ""]
    assert await output_of(compiler, *options, "--outDir", tmp_path, program) == ""
    output = await output_of(*node, "--no-warnings", program.with_suffix(".js"))
    assert output == "user: Give this cat a crown\n404 not_found\n"
