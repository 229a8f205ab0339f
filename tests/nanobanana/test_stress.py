"""`manage.py stress`: it finds nothing wrong with a server that is right, and what is wrong with another."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from bench.server import free_port
from nanobanana.stress.accounts import Account, Written
from nanobanana.stress.devices import Device, Heard
from nanobanana.stress.run import Run
from nanobanana.stress.tally import Tally
from tests.support.web_server import WebServer, serve_in_another_process

PROJECT = Path(__file__).resolve().parents[2]


def stress(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", "stress", *options]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60)


def number(table: str, name: str) -> int:
    found = re.search(rf"^{name} +([\d,]+)", table, flags=re.MULTILINE)
    assert found, table
    return int(found[1].replace(",", ""))


async def test_two_processes_that_are_right(server: WebServer) -> None:
    async with serve_in_another_process() as other:
        urls = ("--url", server.url, "--url", other.url)
        run = await asyncio.to_thread(stress, *urls, "--seconds", "1.5", "--devices", "6", "--cuts", "30")
    assert run.returncode == 0, run.stdout + run.stderr
    assert number(run.stdout, "writes answered") > 20
    assert number(run.stdout, "connects") > 6
    assert number(run.stdout, "deliveries due") >= 3 * number(run.stdout, "events") - 100
    for name in ("lost", "doubled", "out of order", "answered writes missing", "writes doubled"):
        assert number(run.stdout, name) == 0


# ---- what it counts
def device_that_heard(offsets: Sequence[int], told: Sequence[range] = ()) -> Device:
    device = Device(Account(httpx.AsyncClient()), ["http://localhost"])
    device.start = 0
    device.heard = [Heard(offset, 10.0 + offset, 10.0) for offset in offsets]
    device.told = list(told)
    return device


@pytest.mark.parametrize(
    ("offsets", "faults"),
    [
        ([1, 2, 3, 4], {}),
        ([1, 2, 4], {"lost": 1}),
        ([], {"lost": 4}),
        ([1, 2, 2, 3, 4], {"doubled": 1}),
        ([1, 3, 2, 4], {"out of order": 1}),
        ([1, 2, 3, 4, 1], {"doubled": 1, "out of order": 1}),
    ],
)
def test_it_counts_what_is_wrong(offsets: list[int], faults: dict[str, int]) -> None:
    tally = Tally()
    tally.add_device(device_that_heard(offsets), 4, Written())
    assert {name: count for name, count in tally.faults.items() if count} == faults
    assert tally.is_clean == (not faults)
    assert tally.due == 4


def test_what_a_device_was_told_to_reload_is_not_lost() -> None:
    tally = Tally()
    tally.add_device(device_that_heard([1, 4], told=[range(2, 4)]), 4, Written())
    assert (tally.is_clean, tally.told) == (True, 2)


def test_it_counts_writes_that_are_missing_and_doubled() -> None:
    written = Written(positions=[(2, 1.0), (4, 2.0)], texts={"A": "a", "B": "b"})
    tally = Tally()
    tally.add_writes(written, [("A", "a"), ("C", "c"), ("D", "c")])
    assert (tally.answered, tally.writes_missing, tally.writes_doubled) == (2, 1, 1)


def test_a_stall_counts_from_the_answer_or_from_the_connection() -> None:
    written = Written(positions=[(2, 9.0), (4, 13.5)])
    tally = Tally()
    tally.add_device(device_that_heard([1, 2, 3, 4]), 4, written)
    assert tally.catch_up_seconds == [1.0, 2.0]
    assert tally.stall_seconds == [1.0, 2.0, 0.0, 0.5]


# ---- the command
def test_a_fault_is_exit_code_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    async def perform(run: Run) -> Tally:
        return Tally(lost=1)

    monkeypatch.setattr(Run, "perform", perform)
    with pytest.raises(SystemExit, match="1"):
        call_command("stress", url=["http://localhost:1"])
    assert re.search(r"^lost +1  ✗$", capsys.readouterr().out, flags=re.MULTILINE)
    with pytest.raises(SystemExit, match="1"):
        call_command("stress", "--json", "--url", "http://localhost:1")
    assert json.loads(capsys.readouterr().out)["faults"]["lost"] == 1


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"url": ["localhost"]}, "must start with http"),
        ({"url": ["http://localhost:1"], "kills": 1}, "leave out --url"),
        ({"url": ["http://localhost:1"], "devices": 0}, "at least one of each"),
        ({"url": ["http://localhost:1"], "sessions": 101}, "at most 100 sessions"),
    ],
)
def test_nonsense_is_refused(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        call_command("stress", **options)


def test_a_server_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nanobanana.stress.accounts.SECONDS_TO_TRY", 0)
    with pytest.raises(CommandError, match="is not answered"):
        call_command("stress", url=[f"http://127.0.0.1:{free_port()}"])
