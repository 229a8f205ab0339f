"""Reading a container that may be hostile: every read is checked, and there is an end to them."""

from typing import Literal

from nanobanana.errors import UnreadablePicture

# A GIF of 50 MB needs 400,000; a file made of empty parts would only keep the interpreter busy.
MAX_READS = 500_000


class Reader:
    """A cursor over `data[position:end]`; reading outside of it raises UnreadablePicture."""

    def __init__(
        self,
        data: bytes | memoryview,
        position: int = 0,
        end: int | None = None,
        *,
        order: Literal["big", "little"] = "big",
    ) -> None:
        self.data = memoryview(data)
        self.position = position
        self.end = len(data) if end is None else end
        self.order = order
        self.reads = 0

    @property
    def is_done(self) -> bool:
        return self.position >= self.end

    def take(self, length: int) -> memoryview:
        self.reads += 1
        if self.reads > MAX_READS:
            raise UnreadablePicture("The picture consists of too many parts.")
        start, self.position = self.position, self.position + length
        if not start <= self.position <= self.end:
            raise UnreadablePicture
        return self.data[start : self.position]

    def number(self, length: int) -> int:
        """An unsigned integer of `length` bytes; 0 when it has none."""
        return int.from_bytes(self.take(length), self.order)
