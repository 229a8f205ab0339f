"""Log lines without secrets, and log files that several processes append to."""

import logging.handlers
import re
from pathlib import Path

from nanobanana.request_ids import request_id

SECRETS = re.compile(r"(?<=\?)\S+|\beyJ[\w.-]+")  # the query of an address, and a JSON Web Token


class LineFormatter(logging.Formatter):
    """Puts the request's id on each line, and takes out what is secret, whoever wrote the line."""

    def format(self, record: logging.LogRecord) -> str:
        record.request_id = request_id()
        return SECRETS.sub("…", super().format(record))


class AppendingFileHandler(logging.handlers.WatchedFileHandler):
    """Opens its file with the first record, making its directory, and again when it was moved away."""

    def __init__(self, filename: str | Path) -> None:
        super().__init__(filename, encoding="utf-8", delay=True)

    def _open(self):  # type: ignore[no-untyped-def]  # the base class gives a private type
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        return super()._open()
