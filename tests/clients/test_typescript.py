"""The TypeScript client, built by tsc and run by Node against the real server, in one process.

The checks stand in `typescript/`. They are skipped where there is no Node, or no TypeScript compiler.
"""

import asyncio
import base64
import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings

from accounts.models import Device as AccountDevice
from accounts.services import sign_ins
from nanobanana.schema import schema
from tests.clients.bad_network import BadNetwork, bad_network
from tests.clients.conftest import NOT_FOR_CLIENTS
from tests.support.contract import template_of
from tests.support.people import PASSWORD, Device, Person, picture
from tests.support.web_server import WebServer

CHECKS = Path(__file__).parent / "typescript" / "all.mjs"


TIME = 60  # seconds


async def test_all_checks_pass(
    node: list[str],
    built: Path,
    server: WebServer,
    alice: Person,
    mallory: Person,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "PUBLIC_BASE_URL", server.url)  # where direct uploads are sent
    monkeypatch.setattr(sign_ins, "_is_just_replaced", nobody_is_in_time())
    async with (
        bad_network(server.port) as watched,
        bad_network(server.port) as cutting,
        bad_network(server.port) as without_sockets,
        bad_network(server.port) as losing,
    ):
        without_sockets.refuses_sockets = True
        losing.answers_to_lose = 1
        setting = {
            "library": built.as_uri(),
            "url": server.url,
            "watched": watched.url,
            "cutting": cutting.url,
            "withoutSockets": without_sockets.url,
            "losing": losing.url,
            "laptop": tokens_of(alice.laptop),
            "phone": tokens_of(alice.phone),
            "caller": tokens_of(mallory.laptop),
            "leaver": tokens_of(mallory.phone),
            "password": PASSWORD,
            "picture": base64.b64encode(picture()).decode(),
        }
        cutter = asyncio.create_task(cut_at_random(cutting))
        await run([*node, CHECKS], SETTING=json.dumps(setting))
        cutter.cancel()
    there = {(method, path) for path, methods in schema()["paths"].items() for method in methods}
    assert there - NOT_FOR_CLIENTS - calls_seen(watched) == set()


async def run(command: list[str | Path], **environment: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    timer = asyncio.get_running_loop().call_later(TIME, process.kill)
    output = (await process.communicate())[0].decode()
    timer.cancel()
    assert process.returncode == 0, output


async def cut_at_random(network: BadNetwork) -> None:
    dice = random.Random(7)
    while True:
        await asyncio.sleep(dice.uniform(0, 0.3))
        network.cut()


def nobody_is_in_time() -> Callable[[AccountDevice, str], bool]:
    """As if all who show a refresh token again came after the time in which they may."""
    shown: set[str] = set()

    def is_just_replaced(device: AccountDevice, refresh_id: str) -> bool:
        is_first = refresh_id not in shown
        shown.add(refresh_id)
        return is_first

    return is_just_replaced


def calls_seen(network: BadNetwork) -> set[tuple[str, str | None]]:
    first_lines = [head.partition(b"\r\n")[0].decode("latin-1").split(" ") for head in network.requests]
    return {
        (line[0].lower(), template_of(line[1].partition("?")[0]))
        for line in first_lines
        if line[-1] == "HTTP/1.1"
    }


def tokens_of(device: Device) -> dict[str, str]:
    return {"token": device.token, "refreshToken": device.refresh_token}
