"""What the active branch of a session is, said again as plainly as can be."""

from dataclasses import dataclass, field


@dataclass
class Chat:
    """Messages by their ids, which sort by time: their role, and the message they are the edit of."""

    messages: dict[str, tuple[str, str | None]] = field(default_factory=dict)

    def active(self) -> list[str]:
        """Oldest first: all that no edit hides which is not hidden itself, the newest edit deciding first."""
        hidden: set[str] = set()
        for edit in sorted(self.messages, reverse=True):
            root = self.root(edit)
            answered = self.messages[root][1]
            if (root != edit or answered) and edit not in hidden:
                start, stays = (answered, True) if answered else (root, False)
                hidden |= {each for each in self.messages if start <= each < edit} - {start if stays else ""}
        return sorted(self.messages.keys() - hidden)

    def versions(self, message: str) -> list[str]:
        """Oldest first: the messages that stand for the same."""
        role, _ = self.messages[message]
        root = self.root(message)
        answered = self.messages[root][1]
        return sorted(
            each
            for each, (its_role, _) in self.messages.items()
            if its_role == role and (self.root(each) == root or self._answers(each, answered))
        )

    def root(self, message: str) -> str:
        role, target = self.messages[message]
        while target in self.messages and self.messages[target][0] == role:
            message, target = target, self.messages[target][1]
        return message

    def _answers(self, message: str, answered: str | None) -> bool:
        return answered is not None and self.messages[self.root(message)][1] == answered
