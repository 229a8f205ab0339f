"""The hub of a process: one subscription for each user who listens here, and the checks that keep it right.

What is said on a user's doorbell channel:

    <epoch>:<offset> [event, …]    the log is there now, by these events (published by the commit script)
    {"type": "user_typing", …}     a frame for the other devices in its session (published by a hub)
    presence:<µs>:[socket, …]      who is here (published by scripts/presence.lua)
    signed-out:<deviceId>          close the sockets of this device
    signed-out:*                   close all sockets of the user
    signed-out-except:<deviceId>   close the sockets of all other devices

A word may be lost with the connection it came on. So the positions of all users are compared with their logs
every CHECK_INTERVAL seconds, and at once when the connection is back.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from itertools import chain

import orjson
from django.conf import settings
from redis.exceptions import RedisError

from nanobanana.background import Background
from nanobanana.errors import Conflict, TooManyRequests
from nanobanana.redisdb.client import connect, get_client, in_time
from nanobanana.redisdb.event_log import Cursor, heads, read_bell
from nanobanana.redisdb.keys import doorbell_channel
from realtime import attendance
from realtime.close_codes import CloseCode
from realtime.doorbell import Doorbell
from realtime.frames import Frame
from realtime.listener import Listener
from realtime.peer import Peer
from realtime.poll import Poll
from realtime.roll import Roll
from realtime.subscription import Subscription

logger = logging.getLogger(__name__)

HEXADECIMAL = frozenset("0123456789abcdef")
CHECK_INTERVAL = 10  # seconds
USERS_AT_A_BEAT = 50
USERS_AT_ONCE = 500  # whose positions are read in one round trip


class Hub:
    """Brings what is written anywhere to the sockets of this process."""

    def __init__(self, redis_url: str) -> None:
        self.background = Background()
        self._client = connect(redis_url)
        self._doorbell = Doorbell(
            self._client.connection_pool, on_message=self._hear, on_restored=self._on_restored
        )
        self._subscriptions: dict[str, Subscription] = {}  # by channel
        self._unverified: set[Subscription] = set()  # of which the word of a sign-out may have been lost
        self._check_is_due = asyncio.Event()

    def start(self) -> None:
        self.background.spawn(self._doorbell.listen())
        self.background.spawn(self._check_forever())
        self.background.spawn(self._beat_forever())

    async def stop(self) -> None:
        """Close all sockets and every connection to Redis."""
        listeners = self._listeners()
        for subscription in self._subscriptions.values():
            subscription.close(CloseCode.RESTARTING)
        await asyncio.gather(*(listener.wait_closed() for listener in listeners))
        await self.background.cancel()
        await self._client.aclose()

    @property
    def sockets(self) -> int:
        """How many sockets this process serves."""
        return sum(isinstance(listener, Peer) for listener in self._listeners())

    async def connect(self, peer: Peer, since: Cursor | None = None, *, is_return: bool = False) -> None:
        """Join with a socket, which others learn of; Conflict when its user has as many as may be."""
        subscription = self._subscription_of(peer)
        try:
            if not await subscription.attendance.enter(peer):
                raise Conflict("This account has as many sockets open as may be.")
            await self.join(peer, since, is_return=is_return)
        except BaseException:
            subscription.attendance.leave(peer)
            raise

    async def join(self, listener: Listener, since: Cursor | None = None, *, is_return: bool = False) -> None:
        """Subscribe first, then read from `since`, then live; see `Subscription.join`."""
        subscription = self._subscription_of(listener)
        subscription.joining.add(listener)
        try:
            await in_time(self._follow(subscription, listener, since, is_return=is_return))
        finally:
            subscription.joining.discard(listener)
        self._unverified.add(subscription)  # a sign-out between its authentication and now was not heard

    async def _follow(
        self, subscription: Subscription, listener: Listener, since: Cursor | None, *, is_return: bool
    ) -> None:
        await self._doorbell.subscribe(doorbell_channel(listener.user.id))
        await subscription.join(listener, since, is_return=is_return)

    def leave(self, listener: Listener) -> None:
        """Forget who left; its user's subscription stays until the next check, for it may be back at once."""
        listener.drop()
        subscription = self._subscriptions.get(doorbell_channel(listener.user.id))
        if subscription is not None:
            subscription.listeners.discard(listener)
            if isinstance(listener, Peer):
                subscription.attendance.leave(listener)

    def moved(self, peer: Peer) -> None:
        """The peer is in other sessions now, or another device's."""
        subscription = self._subscription_of(peer)
        subscription.attendance.tell_soon()
        self._unverified.add(subscription)  # that device may have been signed out just before

    @contextlib.asynccontextmanager
    async def following(self, poll: Poll, since: Cursor) -> AsyncIterator[None]:
        """Have the poll listen inside the block; TooManyRequests when too many of its user do already."""
        subscription = self._subscription_of(poll)
        others = subscription.listeners | subscription.joining
        if sum(isinstance(other, Poll) for other in others) >= settings.SOCKETS_PER_USER:
            raise TooManyRequests("Too many requests of this account are waiting already.")
        try:
            await self.join(poll, since, is_return=True)
            yield
        finally:
            self.leave(poll)

    def end_polls(self) -> None:
        """Have all polls answered now: this process is about to stop."""
        for listener in self._listeners():
            if isinstance(listener, Poll):
                listener.end()

    def _subscription_of(self, listener: Listener) -> Subscription:
        channel = doorbell_channel(listener.user.id)
        if channel not in self._subscriptions:
            self._subscriptions[channel] = Subscription(listener.user.id, self.background)
        return self._subscriptions[channel]

    def _listeners(self) -> list[Listener]:
        return list(chain.from_iterable(each.listeners for each in self._subscriptions.values()))

    async def publish(self, user_id: str, text: str) -> None:
        """Say something on the user's doorbell channel, to every process."""
        await in_time(get_client().publish(doorbell_channel(user_id), text))

    # ---- what is heard
    def _hear(self, channel: str, text: str) -> None:
        subscription = self._subscriptions.get(channel)
        if subscription is None:
            return
        try:
            self._obey(subscription, text)
        except (ValueError, KeyError, TypeError):
            logger.warning("Nobody here understands the %d characters heard on %s", len(text), channel)

    def _obey(self, subscription: Subscription, text: str) -> None:
        if text[:1] in HEXADECIMAL:  # an epoch: what is said most
            subscription.ring(*read_bell(text))
            return
        word, _, device_id = text.partition(":")
        if text.startswith("{"):
            frame = orjson.loads(text)
            subscription.relay(frame["sessionId"], Frame(text.encode()), sender=frame["connectionId"])
        elif word == "presence":
            subscription.show(Roll.parse(*text.split(":", 2)[1:]))
        elif text == "signed-out:*":
            subscription.close(CloseCode.UNAUTHORIZED)
        elif word == "signed-out":
            subscription.sign_out(lambda identifier: identifier == device_id)
        elif word == "signed-out-except":
            subscription.sign_out(lambda identifier: identifier != device_id)
        else:
            raise ValueError(word)

    def _on_restored(self) -> None:
        self._unverified.update(self._subscriptions.values())
        self._check_is_due.set()

    # ---- checks
    async def _check_forever(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_INTERVAL):
                    await self._check_is_due.wait()
            self._check_is_due.clear()
            try:
                await self._check()
            except (RedisError, OSError) as error:
                logger.warning("Positions cannot be checked now: %s", error)

    async def _check(self) -> None:
        self._forget_idle()
        subscriptions = list(self._subscriptions.values())
        for first in range(0, len(subscriptions), USERS_AT_ONCE):
            batch = subscriptions[first : first + USERS_AT_ONCE]
            positions = await heads([subscription.user_id for subscription in batch])
            for subscription, head in zip(batch, positions, strict=True):
                subscription.ring(head)
        for subscription in tuple(self._unverified):
            await subscription.verify_devices()
            self._unverified.discard(subscription)

    async def _beat_forever(self) -> None:
        while True:
            await asyncio.sleep(attendance.HEARTBEAT)
            present = [each for each in self._subscriptions.values() if each.attendance.peers]
            for first in range(0, len(present), USERS_AT_A_BEAT):
                await asyncio.gather(*map(self._beat, present[first : first + USERS_AT_A_BEAT]))

    @staticmethod
    async def _beat(subscription: Subscription) -> None:
        roll = await subscription.attendance.beat()
        if roll is not None:
            subscription.show(roll)  # the word of a change may have been lost

    def _forget_idle(self) -> None:
        idle = [channel for channel, subscription in self._subscriptions.items() if subscription.is_idle]
        for channel in idle:
            self._unverified.discard(self._subscriptions.pop(channel))
        self._doorbell.unsubscribe(idle)


_hub: Hub | None = None


async def start() -> None:
    """Start the hub of this process."""
    global _hub
    _hub = Hub(settings.REDIS_URL)
    _hub.start()


async def stop() -> None:
    """Close all sockets of this process (1012) and stop its hub."""
    global _hub
    if _hub is not None:
        await _hub.stop()
        _hub = None


def get_hub() -> Hub:
    """The hub of this process, between `start` and `stop`."""
    assert _hub is not None, "realtime.hub.start() was not called."
    return _hub
