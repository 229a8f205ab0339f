"""How long to wait before the next attempt."""

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """Full jitter: anything between nothing and `first · 2ⁿ` seconds, at most `longest`."""

    first: float = 0.5
    longest: float = 30.0

    def delay(self, attempt: int, retry_after: float | None = None) -> float:
        """Seconds before the attempt after number `attempt`, from 0; never less than the server asked for."""
        window = min(self.longest, self.first * 2 ** min(attempt, 30))
        return (retry_after or 0) + random.uniform(0, window)
