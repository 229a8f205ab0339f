"""The pictures of the seed's own server, in a directory: its own files, or a copy of its bucket."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit


class MediaDirectory:
    """Finds files by the addresses that records have."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def find(self, address: str) -> Path | None:
        """The file under the longest end of the address's path; nothing outside of the directory."""
        for candidate in self._candidates(address):
            try:
                if candidate.is_file() and candidate.resolve().is_relative_to(self._root):
                    return candidate
            except (OSError, ValueError):  # a name too long, or with a zero byte
                continue
        return None

    def _candidates(self, address: str) -> Iterator[Path]:
        try:
            path = unquote(urlsplit(address).path)
        except ValueError:
            return
        parts = [part for part in path.split("/") if part not in {"", ".", ".."}]
        for start in range(len(parts)):
            yield self._root.joinpath(*parts[start:])
