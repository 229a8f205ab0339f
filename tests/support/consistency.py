"""Whether what is stored agrees with itself: indexes, counters, references, files and logs.

    python -m tests.support.consistency    # of the Redis and the storage that the environment names

For a server at rest: what is written meanwhile can look like a fault.
"""

import asyncio
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nanobanana.settings")
django.setup()

from django.conf import settings  # noqa: E402

from accounts.managers import DEVICE_LIFE  # noqa: E402
from accounts.models import Device, Password, User  # noqa: E402
from chats.managers import NOTES, REVISIONS_KEPT  # noqa: E402
from chats.models import HiddenSession, Message, Session, TrashedSession  # noqa: E402
from chats.search.indexing import SearchedManager  # noqa: E402
from media_store.managers import DOOMED  # noqa: E402
from media_store.models import Blob, Image, Usage  # noqa: E402
from media_store.services.blobs import storage_key  # noqa: E402
from media_store.storage import ObjectNotFound, get_storage  # noqa: E402
from media_store.variants import ORIGINAL, THUMB  # noqa: E402
from nanobanana.redisdb.client import get_client  # noqa: E402
from nanobanana.redisdb.event_log import EVENTS_KEPT  # noqa: E402
from nanobanana.redisdb.exceptions import FieldError  # noqa: E402
from nanobanana.redisdb.fields import CounterField, milliseconds, now  # noqa: E402
from nanobanana.redisdb.ids import is_id, time_of  # noqa: E402
from nanobanana.redisdb.keys import events_key, global_key, log_key, owner_key, split_owner_key  # noqa: E402
from nanobanana.redisdb.models import Model  # noqa: E402

MODELS: dict[str, type[Model]] = {
    model.kind: model
    for model in (User, Password, Device, Session, TrashedSession, HiddenSession, Message, Image, Blob, Usage)
}
SCAN_COUNT = 1000
ANY_SCORE = None  # the time at which an object came to a zero index is kept nowhere else

Hash = dict[str, str]
Entries = dict[tuple[str, str], float | None]  # (index key, member) → score


@dataclass
class Holdings:
    """What one owner has in Redis."""

    owner_id: str
    hashes: dict[str, Hash] = field(default_factory=dict)
    revisions: dict[str, Hash] = field(default_factory=dict)  # the former versions of messages
    entries: Entries = field(default_factory=dict)
    objects: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))  # by kind

    @property
    def messages(self) -> list[Message]:
        return self.objects[Message.kind]

    @property
    def images(self) -> list[Image]:
        return self.objects[Image.kind]

    @property
    def blobs(self) -> list[Blob]:
        return self.objects[Blob.kind]

    @property
    def sessions(self) -> list[Session]:
        kinds = (Session.kind, TrashedSession.kind, HiddenSession.kind)
        return list(chain.from_iterable(self.objects[kind] for kind in kinds))


async def inconsistencies(user_ids: Collection[str] | None = None) -> list[str]:
    """A sentence for each fault found, [] when all is well; of these users, or of everybody."""
    found = await read_holdings(user_ids)
    faults: list[str] = []
    for holdings in found:
        faults += load_objects(holdings)
        faults += wrong_entries(holdings)
        faults += wrong_counters(holdings)
        faults += dangling_references(holdings)
        faults += wrong_revisions(holdings)
        faults += await missing_files(holdings)
        faults += await files_of_nobody(holdings)
        faults += await missing_note(holdings)
        faults += await broken_log(holdings)
    if user_ids is None:
        faults += await wrong_addresses(found)
    return faults


# ---- reading
async def read_holdings(user_ids: Collection[str] | None) -> list[Holdings]:
    found: dict[str, Holdings] = {}
    keys = [key async for key in get_client().scan_iter(owner_key("*", "*"), count=SCAN_COUNT)]
    for key in set(keys):  # a scan can give a key twice
        owner_id, _ = split_owner_key(key)
        if user_ids is None or owner_id in user_ids:
            await read_key(key, found.setdefault(owner_id, Holdings(owner_id)))
    return list(found.values())


async def read_key(key: str, holdings: Holdings) -> None:
    client = get_client()
    kind = await client.type(key)
    if key == owner_key(holdings.owner_id, "presence"):
        return  # sockets come and go without a commit
    if key.endswith(":revisions"):
        holdings.revisions[key] = await client.hgetall(key)
    elif kind == "hash" and key != log_key(holdings.owner_id):
        holdings.hashes[key] = await client.hgetall(key)
    elif kind == "zset":
        for member, score in await client.zrange(key, 0, -1, withscores=True):
            holdings.entries[key, member] = score


def load_objects(holdings: Holdings) -> Iterator[str]:
    """Make objects of the hashes; a fault is a hash of no model, or one that a model cannot read."""
    for key, stored in holdings.hashes.items():
        kind, _, identifier = split_owner_key(key)[1].rpartition(":")
        if kind not in MODELS or not is_id(identifier):
            yield f"{key} belongs to no model."
            continue
        pairs = [part for pair in stored.items() for part in pair]
        try:
            holdings.objects[kind].append(MODELS[kind].from_hash(holdings.owner_id, identifier, pairs))
        except FieldError as error:
            yield f"{key} cannot be read: {error}"


# ---- judging
def wrong_entries(holdings: Holdings) -> Iterator[str]:
    """Index entries without an object, objects without their entries, entries with another score."""
    expected = expected_entries(holdings)
    allowed = expired_devices(holdings) | files_to_follow(holdings)
    for key, member in holdings.entries.keys() - expected.keys() - allowed:
        yield f"{key} lists {member}, which does not belong there."
    for key, member in expected.keys() - holdings.entries.keys() - unlisted_images(holdings):
        yield f"{key} does not list {member}."
    for entry in expected.keys() & holdings.entries.keys():
        if expected[entry] not in {ANY_SCORE, holdings.entries[entry]}:
            key, member = entry
            yield f"{key} has {member} at {holdings.entries[entry]:.0f} instead of {expected[entry]:.0f}."


def expected_entries(holdings: Holdings) -> Entries:
    """The entries that the objects call for."""
    expected: Entries = {}
    for instances in holdings.objects.values():
        for instance in instances:
            for index in instance.indexes:
                for key, score in index.entries_of(instance).items():
                    expected[key, instance.id] = float(score)
            for counter in zero_counters(instance):
                if getattr(instance, counter.name) == 0:
                    expected[owner_key(holdings.owner_id, str(counter.zero_index)), instance.id] = ANY_SCORE
            if isinstance(instance.objects, SearchedManager):
                expected |= expected_postings(instance)
    return expected


def expected_postings(instance: Any) -> Entries:
    """What the search keeps of an object: its id under each of its terms, and the terms in their list."""
    postings, owner_id = instance.objects.postings, instance.owner_id
    terms = instance.objects.terms_of_object(instance)
    listed: Entries = {(postings.terms_key(owner_id), term): 0 for term in terms}
    return listed | {(postings.key(owner_id, term), instance.id): 0 for term in terms}


def expired_devices(holdings: Holdings) -> set[tuple[str, str]]:
    """The entries of devices that outlived their tokens: Redis let them go, the next sign-in does too."""
    index = owner_key(holdings.owner_id, "devices")
    latest = milliseconds(now()) - DEVICE_LIFE
    return {entry for entry, score in holdings.entries.items() if entry[0] == index and score <= latest}


def unlisted_images(holdings: Holdings) -> set[tuple[str, str]]:
    """The pictures of what is being imported: the list of all pictures need not have them yet."""
    shown = {session.id for session in holdings.sessions if session.kind != HiddenSession.kind}
    index = owner_key(holdings.owner_id, Image.indexes[0].name)
    return {(index, image.id) for image in holdings.images if image.session_id not in shown}


def files_to_follow(holdings: Holdings) -> set[tuple[str, str]]:
    """The entries of blobs that are gone, until their files are."""
    index = owner_key(holdings.owner_id, DOOMED)
    blobs = {blob.id for blob in holdings.blobs}
    return {entry for entry in holdings.entries if entry[0] == index and entry[1] not in blobs}


def zero_counters(instance: Model) -> Iterator[CounterField]:
    for declared in instance.fields.values():
        if isinstance(declared, CounterField) and declared.zero_index:
            yield declared


def wrong_counters(holdings: Holdings) -> Iterator[str]:
    messages = Counter(message.session_id for message in holdings.messages)
    shown = Counter(image_id for message in holdings.messages for image_id in message.image_ids)
    for session in holdings.sessions:
        if session.message_count != messages[session.id]:
            yield f"{session!r} counts {session.message_count} messages of {messages[session.id]}."
    for image in holdings.images:
        if image.ref_count != shown[image.id]:
            yield f"{image!r} counts {image.ref_count} references of {shown[image.id]}."
    held = Counter(image.blob_id for image in holdings.images)
    for blob in holdings.blobs:
        if (blob.holders, blob.is_stored) != (held[blob.id], held[blob.id] > 0):
            state = "is stored" if blob.is_stored else "is planned"
            yield f"{blob!r} {state}, and counts {blob.holders} holders of {held[blob.id]}."
    there = (len(holdings.images), sum(image.size for image in holdings.images))
    counted = [(usage.images, usage.bytes) for usage in holdings.objects[Usage.kind]] or [(0, 0)]
    if counted != [there]:
        yield f"{holdings.owner_id} has (pictures, bytes) {there}, and is counted {counted}."


def dangling_references(holdings: Holdings) -> Iterator[str]:
    session_ids = {session.id for session in holdings.sessions}
    image_ids = {image.id for image in holdings.images}
    for message in holdings.messages:
        if message.created_at != time_of(message.id):
            yield f"{message!r} is not as old as its id."
        if message.session_id not in session_ids:
            yield f"{message!r} is in session {message.session_id}, which does not exist."
        for image_id in set(message.image_ids) - image_ids:
            yield f"{message!r} shows image {image_id}, which does not exist."
    blobs = {blob.id: blob for blob in holdings.blobs}
    for image in holdings.images:
        blob = blobs.get(image.blob_id)
        if blob is None:
            yield f"{image!r} is in blob {image.blob_id}, which does not exist."
        elif (image.sha256, image.size, image.thumb_size) != (blob.sha256, blob.size, blob.thumb_size):
            yield f"{image!r} is not what is in {blob!r}."


def wrong_revisions(holdings: Holdings) -> Iterator[str]:
    """Former versions are kept of messages that exist, under the numbers before the present one's."""
    messages = {Message.objects.revisions_key(message): message for message in holdings.messages}
    for key, versions in holdings.revisions.items():
        message, numbers = messages.get(key), sorted(map(int, versions))
        if message is None:
            yield f"{key} is of no message."
        elif numbers != list(range(message.revision - len(numbers), message.revision)):
            yield f"{key} has {numbers} of a message at {message.revision}."
        elif len(numbers) > REVISIONS_KEPT:
            yield f"{key} has {len(numbers)} versions."


async def missing_files(holdings: Holdings) -> list[str]:
    faults = []
    for image in holdings.images:
        for variant, size in ((ORIGINAL, image.size), (THUMB, image.thumb_size)):
            found = await size_of_file(storage_key(image, variant))
            if found != size:
                faults.append(f"{image!r} has {found} bytes of its {variant} instead of {size}.")
    return faults


async def files_of_nobody(holdings: Holdings) -> list[str]:
    """Every file is of a blob there is, or that is about to go."""
    known = {blob.id for blob in holdings.blobs} | {member for _, member in files_to_follow(holdings)}
    keys = [key async for key in get_storage().list(holdings.owner_id)]
    return [f"{key} is of no blob." for key in keys if key.split("/")[1] not in known]


async def missing_note(holdings: Holdings) -> list[str]:
    """Who has something to purge is noted, for no later than it is due."""
    trash_days = timedelta(days=settings.TRASH_DAYS)
    dues = [session.deleted_at + trash_days for session in holdings.objects[TrashedSession.kind]]
    dues += [session.removable_at for session in holdings.objects[HiddenSession.kind]]
    note = await get_client().zscore(NOTES.key, holdings.owner_id)
    if not dues or (note is not None and int(note) <= milliseconds(min(dues))):
        return []
    return [f"{holdings.owner_id} has something to purge at {min(dues)}, and is noted for {note}."]


async def size_of_file(key: str) -> int | None:
    try:
        return await get_storage().stat(key)
    except ObjectNotFound:
        return None


async def broken_log(holdings: Holdings) -> list[str]:
    """The stream ends where the log says, without a gap; it reaches back to the first event or the window."""
    client = get_client()
    head = int(await client.hget(log_key(holdings.owner_id), "offset") or 0)
    entries = await client.xrange(events_key(holdings.owner_id))
    offsets = [int(entry_id.partition("-")[0]) for entry_id, _ in entries]
    first = offsets[0] if offsets else head + 1
    if offsets == list(range(first, head + 1)) and first <= max(1, head - EVENTS_KEPT + 1):
        return []
    return [f"The log of {holdings.owner_id} is at {head} and has {summary(offsets)}."]


def summary(offsets: list[int]) -> str:
    return f"{len(offsets)} events from {offsets[0]} to {offsets[-1]}" if offsets else "no events"


async def wrong_addresses(everybody: list[Holdings]) -> list[str]:
    """Every address leads to the user who has it, and every user is found by theirs."""
    client = get_client()
    claims = {key: await client.get(key) async for key in client.scan_iter(global_key("email", "*"))}
    users = [user for holdings in everybody for user in holdings.objects[User.kind]]
    owned = {global_key("email", user.email): user.id for user in users}
    return [
        f"{key} is {claims.get(key)}'s, but should be {owned.get(key)}'s."
        for key in claims.keys() | owned.keys()
        if claims.get(key) != owned.get(key) and not is_pending(claims.get(key))
    ]


def is_pending(claim: str | None) -> bool:
    return claim is not None and claim.startswith("pending:")


if __name__ == "__main__":
    sys.exit("\n".join(asyncio.run(inconsistencies())) or None)
