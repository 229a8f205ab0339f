"""Log files that several processes append to."""

import logging.handlers
import re
from pathlib import Path

QUERY = re.compile(r"\?[^\s?=\"']+=[^\s\"']*")


class AppendingFileHandler(logging.handlers.WatchedFileHandler):
    """Opens its file with the first record, making its directory, and again when it was moved away.

    Addresses are written without their query, whoever logs them: a token may stand there.
    """

    def __init__(self, filename: str | Path) -> None:
        super().__init__(filename, encoding="utf-8", delay=True)

    def _open(self):  # type: ignore[no-untyped-def]  # the base class gives a private type
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        return super()._open()

    def format(self, record: logging.LogRecord) -> str:
        return QUERY.sub("?…", super().format(record))
