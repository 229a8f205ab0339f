"""What the chapters of the story share: the cast, the things they made, and the promises."""

from pathlib import Path

from nanobanana.demo.client import File
from nanobanana.demo.people import Device, Frame, Person
from nanobanana.demo.timeline import Answer, PromiseBroken, Timeline


class Stage:
    """Alice with a laptop and a phone, and Bob with a tablet, who must see nothing of hers."""

    chat: str  # the id of Alice's session
    bobs_chat: str
    question: str  # the id of Alice's first message

    def __init__(self, url: str, photos: Path, timeline: Timeline) -> None:
        self.url = url.rstrip("/")
        self.timeline = timeline
        self.photos = photos
        self.pictures: dict[str, Answer] = {}  # as the server tells of them, by the name of the photograph
        self.alice = Person("Alice")
        self.bob = Person("Bob")
        self.laptop = Device("laptop", self.alice, self.url, timeline)
        self.phone = Device("phone", self.alice, self.url, timeline)
        self.tablet = Device("Bob", self.bob, self.url, timeline)

    @property
    def devices(self) -> list[Device]:
        return [self.laptop, self.phone, self.tablet]

    def promise(self, words: str, seen: object, expected: object = True) -> None:
        if seen != expected:
            raise PromiseBroken(words, expected=expected, seen=seen)
        self.timeline.chapters[-1].kept.append(words)

    def photo(self, name: str) -> File:
        return name, (self.photos / name).read_bytes()

    def picture_id(self, name: str) -> str:
        return self.pictures[name]["id"]

    async def both_hear(self, kind: str) -> Frame:
        """Wait for the next frame of this kind on both of Alice's devices: it must be the same change."""
        frame = await self.phone.hears(kind)
        own = await self.laptop.hears(kind)
        if frame["cursor"] != own["cursor"]:
            words = f"laptop and phone hear the same {kind}"
            raise PromiseBroken(words, expected=own, seen=frame)
        return frame

    async def settle(self) -> None:
        """Wait until every device that is online has heard all that its owner did."""
        for device in self.devices:
            of_the_same = [each.name for each in self.devices if each.owner is device.owner]
            if device.is_online:
                await device.reaches(self.timeline.last_write(of_the_same))
            device.forget()

    async def close(self) -> None:
        for device in self.devices:
            await device.close()
