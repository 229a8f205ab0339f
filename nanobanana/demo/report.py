"""The story as one HTML page that needs no other file: a column for each device, rows lined up by time."""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from django.template import Context, Engine

from nanobanana.demo.terminal import relative, timing
from nanobanana.demo.timeline import Chapter, Moment, Timeline

LANES = {"laptop": "Alice's laptop", "phone": "Alice's phone", "Bob": "Bob's tablet"}
PRESENCE: dict[str, str] = {"opened": "online", "closed": "away"}


@dataclass
class Lane:
    """One device in one row: whether it is there, and what it does or hears."""

    device: str
    presence: str  # "online", "away" after it was, "" before
    moment: Moment | None = None
    timing: str = ""

    @property
    def is_refusal(self) -> bool:
        if self.moment is None:
            return False
        return self.moment.direction == "refused" or self.moment.note.startswith("4")


@dataclass
class Row:
    at: float
    lanes: dict[str, Lane]
    cursor: str


class Report:
    def __init__(self, timeline: Timeline, url: str) -> None:
        self._timeline = timeline
        self._url = url
        self._presence = dict.fromkeys(LANES, "")

    def html(self) -> str:
        template = Engine(dirs=[str(Path(__file__).parent)]).get_template("page.html")
        return template.render(Context(self._context()))

    def _context(self) -> dict[str, object]:
        delays = self._timeline.delays()
        chapters = self._timeline.chapters
        return {
            "url": self._url,
            "played": datetime.now(UTC),
            "names": LANES,
            "kept": self._timeline.promises_kept,
            "broken": next((chapter.broken for chapter in chapters if chapter.broken), None),
            "frames": len(delays),
            "median": relative(median(delays)) if delays else "",
            "longest": relative(delays[-1]) if delays else "",
            "thumbnails": {key: data_url(content) for key, content in self._timeline.thumbnails.items()},
            "chapters": [(chapter, self._rows(chapter)) for chapter in chapters],
        }

    def _rows(self, chapter: Chapter) -> list[Row]:
        """The moments by time; what several devices heard of one change stands in one row."""
        rows: list[Row] = []
        for moment in sorted(chapter.moments, key=lambda moment: moment.at):
            row = self._row_of_change(rows, moment) or self._add_row(rows, moment)
            self._note_presence(moment)
            row.lanes[moment.device] = self._lane(moment.device, moment)
        return rows

    def _row_of_change(self, rows: list[Row], moment: Moment) -> Row | None:
        if self._timeline.delay(moment) is None:
            return None
        return next((row for row in rows if row.cursor == moment.cursor), None)

    def _add_row(self, rows: list[Row], moment: Moment) -> Row:
        cursor = moment.cursor if self._timeline.delay(moment) is not None else ""
        lanes = {device: self._lane(device) for device in LANES}
        rows.append(Row(moment.at, lanes, cursor))
        return rows[-1]

    def _lane(self, device: str, moment: Moment | None = None) -> Lane:
        return Lane(device, self._presence[device], moment, timing(self._timeline, moment) if moment else "")

    def _note_presence(self, moment: Moment) -> None:
        if moment.direction in PRESENCE:
            self._presence[moment.device] = PRESENCE[moment.direction]


def data_url(webp: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(webp).decode()}"
