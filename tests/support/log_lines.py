"""Lines of log files, as the machines that read them see them."""

import os
from pathlib import Path
from typing import Any

import orjson

Line = dict[str, Any]


def lines_of(file: Path) -> list[Line]:
    return [orjson.loads(line) for line in file.read_bytes().splitlines()]


class Log:
    """What this process logs from now on."""

    def __init__(self, name: str = "combined.log") -> None:
        self.file = Path(os.environ["LOG_DIR"]) / name
        self._start = self.file.stat().st_size if self.file.exists() else 0

    @property
    def text(self) -> str:
        return self.file.read_bytes()[self._start :].decode() if self.file.exists() else ""

    @property
    def lines(self) -> list[Line]:
        return [orjson.loads(line) for line in self.text.splitlines()]

    def of(self, logger: str) -> list[Line]:
        return [line for line in self.lines if line["logger"] == logger]
