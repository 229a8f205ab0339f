"""What happened when, on which device, and which promises were kept."""

import re
import time
from dataclasses import dataclass, field
from typing import Any, Literal

Direction = Literal["sent", "heard", "opened", "closed", "refused"]


class PromiseBroken(Exception):
    """The server did not do what it says it does."""

    def __init__(self, words: str, *, expected: object, seen: object) -> None:
        self.words = words
        self.expected = expected
        self.seen = seen
        super().__init__(f"{words}: expected {expected!r}, saw {seen!r}")


class Answer(dict[str, Any]):
    """A JSON object of the server; a field that it lacks is a promise broken, and said as one."""

    def __missing__(self, field_name: str) -> Any:
        raise PromiseBroken(f"an answer carries {field_name}", expected=field_name, seen=dict(self))


@dataclass(frozen=True)
class Moment:
    """One request, frame, or change of a socket, as one device saw it."""

    at: float  # milliseconds since the start; of a request: when it was sent
    device: str
    direction: Direction
    what: str  # "POST /api/sessions" or "message_created"
    note: str = ""  # the status of an answer, the code of a closed socket
    text: str = ""
    pictures: tuple[str, ...] = ()  # ids
    cursor: str = ""
    took: float = 0.0  # milliseconds from the request to its answer

    @property
    def answered_at(self) -> float:
        return self.at + self.took

    @property
    def is_write(self) -> bool:
        return self.direction == "sent" and bool(self.cursor) and not self.what.startswith("GET ")


@dataclass
class Chapter:
    title: str
    moments: list[Moment] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    broken: PromiseBroken | None = None


class Timeline:
    """The chapters so far; thumbnails are WebP files by image id."""

    def __init__(self) -> None:
        self.chapters: list[Chapter] = []
        self.thumbnails: dict[str, bytes] = {}
        self._started = 0.0

    def now(self) -> float:
        """Milliseconds since the start."""
        return (time.perf_counter() - self._started) * 1000

    def begin(self, title: str) -> Chapter:
        if not self.chapters:
            self._started = time.perf_counter()
        self.chapters.append(Chapter(title))
        return self.chapters[-1]

    def add(self, moment: Moment) -> None:
        self.chapters[-1].moments.append(moment)

    @property
    def moments(self) -> list[Moment]:
        everything = [moment for chapter in self.chapters for moment in chapter.moments]
        return sorted(everything, key=lambda moment: moment.at)

    @property
    def promises_kept(self) -> int:
        return sum(len(chapter.kept) for chapter in self.chapters)

    def last_write(self, devices: list[str]) -> str:
        """The cursor of the last write that one of these devices made, or ""."""
        writes = [moment for moment in self.moments if moment.is_write and moment.device in devices]
        return writes[-1].cursor if writes else ""

    def source(self, frame: Moment) -> Moment | None:
        """The write that a frame tells of."""
        if frame.direction != "heard" or not frame.cursor:
            return None
        writes = [
            moment for moment in self.moments if moment.is_write and covers(moment.cursor, frame.cursor)
        ]
        return min(writes, key=lambda moment: offset(moment.cursor), default=None)

    def was_missed(self, frame: Moment) -> bool:
        """Whether a frame waited for its device to come back."""
        source = self.source(frame)
        opened = [
            moment.at for moment in self.moments if is_opening(moment, frame.device) and moment.at < frame.at
        ]
        return source is not None and bool(opened) and source.answered_at < opened[-1]

    def delay(self, frame: Moment) -> float | None:
        """Milliseconds from the answer of a write to this frame of it; negative when the frame was first."""
        source = self.source(frame)
        return None if source is None or self.was_missed(frame) else frame.at - source.answered_at

    def delays(self) -> list[float]:
        """The delays of all frames, the shortest first."""
        return sorted(delay for moment in self.moments if (delay := self.delay(moment)) is not None)


def is_opening(moment: Moment, device: str) -> bool:
    return moment.direction == "opened" and moment.device == device


def offset(cursor: str) -> int:
    """The position in an `epoch:offset` cursor."""
    return int(cursor.rpartition(":")[2])


def covers(cursor: str, earlier: str) -> bool:
    """Whether `cursor` is of the same log as `earlier`, and not before it."""
    same_log = cursor.rpartition(":")[0] == earlier.rpartition(":")[0]
    return same_log and offset(cursor) >= offset(earlier)


def shorten(path: str) -> str:
    """A path with each ULID cut to its last four characters, which differ most."""
    return re.sub(r"[0-9A-HJKMNP-TV-Z]{22}([0-9A-HJKMNP-TV-Z]{4})", r"…\1", path)


def gist(body: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The text and the ids of the pictures that an answer or a payload is about."""
    match body:
        case {"messageData": {"text": text, "imageIds": ids}} | {"message": {"text": text, "imageIds": ids}}:
            return text, tuple(ids)
        case {"image": {"id": image_id}}:
            return "", (image_id,)
        case {"results": {"successful": images}}:
            return "", tuple(image["id"] for image in images)
        case {"session": {"title": title}}:
            return title, ()
        case {"imageId": image_id}:
            return "", (image_id,)
        case {"messageId": message_id}:
            return shorten(message_id), ()
        case {"isTyping": is_typing}:
            return "is typing …" if is_typing else "stopped typing", ()
        case {"error": str(code)} | {"type": "error", "code": str(code)}:
            return code, ()
    return "", ()
