"""What must hold of the former versions of messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nanobanana.redisdb.claims import Claim, Command, Fault


@dataclass(frozen=True)
class KeptRevisions(Claim):
    """Former versions are of a message that exists, under the numbers just before its present one."""

    key: str
    message_key: str
    most: int

    def reads(self) -> list[Command]:
        message = self.message_key
        return [("HKEYS", self.key), ("EXISTS", message), ("HGET", message, "revision")]

    def judge(self, replies: Sequence[Any]) -> Fault | None:
        kept, exists, present = replies
        numbers = sorted(int(each) if each.isdecimal() else -1 for each in kept)
        revision = int(present or 0)
        if kept and not exists:
            return Fault(f"{self.key} is of no message.", (("UNLINK", self.key),))
        if numbers != list(range(max(0, revision - len(numbers)), revision)):
            return Fault(f"{self.key} has {numbers} of a message at {revision}.")
        return Fault(f"{self.key} has {len(numbers)} versions.") if len(numbers) > self.most else None
