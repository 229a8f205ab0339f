"""What a run comes to: what was due, what came, and what did not."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import quantiles
from typing import Any

from nanobanana.stress.accounts import Written
from nanobanana.stress.devices import Device, Heard


@dataclass
class Tally:
    """The counts of a run. `faults` are what must be none."""

    connects: int = 0
    cuts: int = 0
    nuisances: Counter[str] = field(default_factory=Counter)
    events: int = 0
    due: int = 0
    told: int = 0
    lost: int = 0
    doubled: int = 0
    out_of_order: int = 0
    answered: int = 0
    writes_missing: int = 0
    writes_doubled: int = 0
    answer_seconds: list[float] = field(default_factory=list)
    catch_up_seconds: list[float] = field(default_factory=list)
    stall_seconds: list[float] = field(default_factory=list)

    @property
    def faults(self) -> dict[str, int]:
        return {
            "lost": self.lost,
            "doubled": self.doubled,
            "out of order": self.out_of_order,
            "answered writes missing": self.writes_missing,
            "writes doubled": self.writes_doubled,
        }

    @property
    def is_clean(self) -> bool:
        return not any(self.faults.values())

    @property
    def worst_stall(self) -> float:
        """The longest, in seconds, that a connected device waited for what was answered."""
        return max(self.stall_seconds, default=0.0)

    @property
    def catch_up_p99(self) -> float:
        """In how many seconds 99 of 100 missed events came, counted from `connected`."""
        return percentile(self.catch_up_seconds, 99)

    # ---- counting
    def add_device(self, device: Device, end: int, written: Written) -> None:
        """Count what a device heard of what came up to the offset `end`."""
        start = end if device.start is None else device.start
        told = {offset for offsets in device.told for offset in offsets}
        heard = [event.offset for event in device.heard]
        times = Counter(heard)
        self.connects += device.connects
        self.due += end - start
        self.told += len(told - times.keys())
        self.lost += len(set(range(start + 1, end + 1)) - told - times.keys())
        self.doubled += sum(times.values()) - len(times)
        self.out_of_order += sum(later < earlier for earlier, later in pairwise(heard))
        self._add_delays(device.heard, written)

    def add_writes(self, written: Written, found: Sequence[tuple[str, str]]) -> None:
        """Count what was answered against the messages that the server has."""
        self.answered += len(written.positions)
        self.answer_seconds += written.seconds
        self.writes_missing += len(written.texts.items() - set(found))
        self.writes_doubled += len(found) - len({text for _, text in found})

    def _add_delays(self, heard: Iterable[Heard], written: Written) -> None:
        answered = sorted(written.positions)
        offsets = [offset for offset, _ in answered]
        for event in heard:
            position = bisect_left(offsets, event.offset)  # a write's answer names the last of its events
            if position == len(answered):
                continue
            answered_at = answered[position][1]
            if answered_at < event.connected_at:
                self.catch_up_seconds.append(event.at - event.connected_at)
            self.stall_seconds.append(max(0.0, event.at - max(answered_at, event.connected_at)))

    # ---- telling
    def figures(self) -> dict[str, Any]:
        """All of it, for programs; times in milliseconds."""
        return {
            "connects": self.connects,
            "cutOff": self.cuts,
            "nuisances": dict(self.nuisances),
            "writesAnswered": self.answered,
            "answerP50": 1000 * percentile(self.answer_seconds, 50),
            "answerP95": 1000 * percentile(self.answer_seconds, 95),
            "events": self.events,
            "deliveriesDue": self.due,
            "toldToReload": self.told,
            "faults": self.faults,
            "catchUpP99": 1000 * self.catch_up_p99,
            "worstStall": 1000 * self.worst_stall,
        }

    def table(self) -> Iterator[str]:
        p50, p95 = (1000 * percentile(self.answer_seconds, at) for at in (50, 95))
        yield row("connects", f"{self.connects:,}", f"{self.cuts:,} cut off")
        for name, count in self.nuisances.items():
            yield row(name, f"{count:,}")
        yield row("writes answered", f"{self.answered:,}", f"p50 {p50:.0f} ms, p95 {p95:.0f} ms")
        yield row("events", f"{self.events:,}")
        yield row("deliveries due", f"{self.due:,}", f"{self.told:,} told to reload instead")
        for name, count in self.faults.items():
            yield row(name, f"{count:,}", "" if count == 0 else "✗")
        yield row("catch-up p99", f"{1000 * self.catch_up_p99:.0f} ms")
        yield row("worst stall", f"{1000 * self.worst_stall:.0f} ms")


def row(name: str, count: str, note: str = "") -> str:
    return f"{name:<26}{count:>14}  {note}".rstrip()


def percentile(values: Sequence[float], at: int) -> float:
    if len(values) < 2:
        return max(values, default=0.0)
    return quantiles(values, n=100)[at - 1]
