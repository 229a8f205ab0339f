"""dramatiq's broker for Redis, mended where a lost connection or a full Redis would lose jobs."""

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import uuid4

from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import ConnectionClosed, Retry
from dramatiq.message import Message
from dramatiq.middleware import Retries
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from nanobanana.job_queue import (
    DEAD_AFTER,
    DELAYED,
    HEARTBEAT_EVERY,
    HEARTBEATS,
    NAMESPACE,
    QUEUE,
    SCRIPTS,
    key_of,
    messages_key,
)

T = TypeVar("T")
FIRST_PAUSE, LONGEST_PAUSE = 5_000, 300_000  # milliseconds before a retry
PAUSE = 1.0  # seconds before a write is tried again
LONGEST_REASON = 500  # characters

logger = logging.getLogger(__name__)


class Interrupted(Retry):
    """A job was cut short because its worker stops."""


def insist(write: Callable[[], T]) -> T:
    """Repeat a write until it succeeds: without it, dramatiq would take the job for done."""
    while True:
        try:
            return write()
        except RedisError as error:
            logger.warning("The queue of jobs cannot be written to: %s", error)
            time.sleep(PAUSE)


class JobBroker(RedisBroker):
    """Used by the threads of a worker, never in an event loop."""

    def __init__(self, client: Redis, give_up: Callable[[Any], None]) -> None:
        super().__init__(
            client=client,
            namespace=NAMESPACE,
            middleware=[PersistentRetries(give_up)],
            maintenance_chance=0,  # recover_jobs.lua does it
            heartbeat_timeout=int(DEAD_AFTER * 1000),
        )
        self._keep = client.register_script((SCRIPTS / "keep_job.lua").read_bytes())
        self._consumed: set[str] = set()
        self._heard_at: dict[str, float] = {}
        self._put_back: set[str] = set()
        self._takes_no_more = False

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Any:
        """A consumer that starts anew has lost its connection, perhaps with an answer full of jobs.

        They stand as fetched by this worker, which does not know of them. Under a new name it lets its former
        self die, and all that self had is given away.
        """
        if queue_name in self._consumed:
            self.broker_id = str(uuid4())
            self._consumed.clear()
        self._consumed.add(queue_name)
        return super().consume(queue_name, prefetch, timeout)

    def do_fetch(self, queue_name: str, prefetch: int) -> list[bytes]:
        """Look before taking: a fetch is a write, which Redis may have to bring to the disk each time."""
        if self._takes_no_more:
            self.client.zadd(HEARTBEATS, {self.broker_id: int(time.time() * 1000)})
            return []
        is_silent = time.monotonic() - self._heard_at.get(queue_name, 0) >= HEARTBEAT_EVERY
        if not is_silent and not self.client.llen(key_of(queue_name)):
            return []
        self._heard_at[queue_name] = time.monotonic()
        try:
            return self._dispatch("fetch")(queue_name, prefetch)
        except ResponseError as error:  # Redis is full, or a replica now: a line in the log, no trace
            raise ConnectionClosed(error) from None

    def do_enqueue(self, queue_name: str, _: str, data: bytes) -> None:
        """Under the job's own id, so that it is known whether the job waits already."""
        message = Message.decode(data)
        identifier = message.message_id
        if queue_name == QUEUE and not self._is_still_delayed(identifier):
            return
        encoded = message.copy(options={"redis_message_id": identifier}).encode()
        insist(lambda: self._dispatch("enqueue")(queue_name, identifier, encoded))

    def _is_still_delayed(self, identifier: str) -> bool:
        """A job whose time has come may have been dropped meanwhile."""
        return bool(insist(lambda: self.client.hexists(messages_key(DELAYED), identifier)))

    def keep(self, message: Any) -> None:
        """Write down what a message that is under way has come to."""
        name = messages_key(message.queue_name)
        insist(lambda: self._keep(keys=[name], args=[message.message_id, message.encode()]))

    def put_back(self, identifier: str) -> None:
        """Let somebody else begin with this job anew, when dramatiq takes it for done."""
        self._put_back.add(identifier)

    def do_ack(self, queue_name: str, identifier: str) -> None:
        command = "requeue" if identifier in self._put_back else "ack"
        self._dispatch(command)(queue_name, identifier)

    def take_no_more(self) -> None:
        self._takes_no_more = True

    def leave(self) -> None:
        """Count as dead at once: what this worker still has is for others."""
        self.client.zadd(HEARTBEATS, {self.broker_id: 0})


class PersistentRetries(Retries):
    """Retries with a reason that can be read, also of the last attempt; a worker's end is no failure."""

    def __init__(self, give_up: Callable[[Any], None]) -> None:
        super().__init__(min_backoff=FIRST_PAUSE, max_backoff=LONGEST_PAUSE)
        self._give_up = give_up

    def after_process_message(
        self, broker: Any, message: Any, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        if exception is None:
            return
        if isinstance(exception, Interrupted):
            broker.put_back(message.message_id)
            return
        message.options["reason"] = f"{type(exception).__name__}: {exception}"[:LONGEST_REASON]
        super().after_process_message(broker, message, exception=exception)
        if message.failed:
            broker.keep(message)
            self._give_up(message)
