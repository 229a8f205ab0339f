"""A run: writers write, devices listen and are cut off, servers are vexed, and in the end all is counted."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from nanobanana.stress.accounts import Account, StressError, client_of
from nanobanana.stress.devices import Device
from nanobanana.stress.tally import Tally

SECONDS_TO_SETTLE = 60  # for every device to hear the last event, after servers came back
LOOK = 0.05  # seconds between looks at whether it has
TICK = 0.2  # seconds between reports of the progress
RENAMES = 5  # one write of so many is another one than a message


@dataclass(frozen=True)
class Plan:
    """How much of what; `nuisances` are done so many times, by name."""

    accounts: int = 2
    devices: int = 10
    sessions: int = 4
    writers: int = 4
    seconds: float = 10  # at least
    writes: int = 0  # at least
    cuts: int = 50
    nuisances: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    elapsed: float
    written: int
    heard: int
    cuts: int


class Run:
    """Writers speak to the first server, devices listen at the others: all they hear crosses processes."""

    def __init__(
        self,
        plan: Plan,
        urls: Sequence[str],
        nuisances: Mapping[str, Callable[[], bool]],
        show: Callable[[Progress], None],
    ) -> None:
        self._plan = plan
        self._nuisances = nuisances
        self._show = show
        self._http = client_of(urls[0], plan.writers + 1)
        self._accounts = [Account(self._http) for _ in range(plan.accounts)]
        self._devices = [
            Device(self._accounts[number % plan.accounts], urls[1:] or urls) for number in range(plan.devices)
        ]
        self._tally = Tally()
        self._began = time.monotonic()

    async def perform(self) -> Tally:
        async with self._http:
            for account in self._accounts:
                await account.register(self._plan.sessions)
            listening = [asyncio.create_task(device.stay()) for device in self._devices]
            try:
                await self._until(
                    lambda: all(device.start is not None for device in self._devices), listening
                )
                await self._vex_and_write(listening)
                await self._settle_and_count(listening)
            finally:
                for task in listening:
                    task.cancel()
                await asyncio.gather(*listening, return_exceptions=True)
            for account in self._accounts:
                await account.delete()
        return self._tally

    async def _vex_and_write(self, listening: Sequence[asyncio.Task[None]]) -> None:
        self._began = time.monotonic()
        plan, showing = self._plan, asyncio.create_task(self._keep_showing())
        times = {"": plan.cuts, **plan.nuisances}
        vexing = [self._spread(count, self._action(name)) for name, count in times.items()]
        writing = [self._keep_writing() for _ in range(plan.writers)]
        try:
            await asyncio.gather(*vexing, *writing)
            raise_failures(listening)
        finally:
            showing.cancel()

    def _action(self, name: str) -> Callable[[], None]:
        def act() -> None:
            self._tally.nuisances[name] += self._nuisances[name]()

        return act if name else self._cut

    async def _spread(self, count: int, act: Callable[[], None]) -> None:
        """Do it so many times at random moments of the run."""
        for moment in sorted(random.uniform(0, self._plan.seconds) for _ in range(count)):
            await asyncio.sleep(max(0.0, self._began + moment - time.monotonic()))
            await asyncio.to_thread(act)

    def _cut(self) -> None:
        self._tally.cuts += random.choice(self._devices).cut()

    async def _keep_writing(self) -> None:
        while time.monotonic() - self._began < self._plan.seconds or self._written < self._plan.writes:
            account = random.choice(self._accounts)
            session_id = random.choice(account.session_ids)
            if random.randrange(RENAMES):
                await account.write_message(session_id)
            else:
                await account.rename(session_id)

    @property
    def _written(self) -> int:
        return sum(len(account.written.positions) for account in self._accounts)

    async def _settle_and_count(self, listening: Sequence[asyncio.Task[None]]) -> None:
        ends = {account: await account.position() for account in self._accounts}
        try:
            await self._until(
                lambda: all(each.position >= ends[each.account] for each in self._devices), listening
            )
        except TimeoutError:
            pass  # what is missing is counted
        for device in self._devices:
            self._tally.add_device(device, ends[device.account], device.account.written)
        for account, end in ends.items():
            self._tally.events += end
            self._tally.add_writes(account.written, await account.texts())

    async def _until(self, is_so: Callable[[], bool], listening: Sequence[asyncio.Task[None]]) -> None:
        async with asyncio.timeout(SECONDS_TO_SETTLE):
            while not is_so():
                raise_failures(listening)
                await asyncio.sleep(LOOK)

    async def _keep_showing(self) -> None:
        while True:
            self._show(
                Progress(
                    time.monotonic() - self._began,
                    self._written,
                    sum(len(device.heard) for device in self._devices),
                    self._tally.cuts,
                )
            )
            await asyncio.sleep(TICK)


def raise_failures(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        if task.done() and not task.cancelled() and task.exception():
            raise task.exception() or StressError("A device failed.")
