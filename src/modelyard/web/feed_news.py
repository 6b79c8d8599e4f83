"""Wakes requests that wait for changes: a stream of the change feed, or a long poll.

    follower   every 20 ms, while somebody waits: compares one number; if it moved, reads what is new for which team
    waiter     sleeps until its team's feed has news; changes that its team does not see do not wake it
    listener   a stream: is called when its team's feed has news, when it is over, and each 15 s

All waiters of a team wait for one event, so a thousand of them cost nothing while nothing changes.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol

from modelyard import errors
from modelyard.auth import Auth
from modelyard.domain import Viewer
from modelyard.feed import newest_revision
from modelyard.store import Store

_POLL_SECONDS = 0.02
_KEYS_SECONDS = 1.0
_RETRY_SECONDS = 1.0
# Proxies end a connection without bytes after a minute.
PING_SECONDS = 15.0
# So many streams get their comment in one step of the follower; those that were opened together do not stop the loop.
_PINGS_AT_ONCE = 30

log = logging.getLogger(__name__)


class Listener(Protocol):
    """A stream."""

    def wake(self) -> None:
        """There is news, or the stream is over."""

    def ping(self) -> None:
        """Some seconds have passed."""


@dataclass(slots=True)
class _Team:
    """What those of one team wait for. ``newest`` is -1 until it was read."""

    newest: int = -1
    waiters: "set[Subscription]" = field(default_factory=set)
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Subscription:
    """One stream or waiting request. ``is_over`` once the caller's key was revoked or has expired, or the server stops.

    A stream sets ``listener``.
    """

    __slots__ = ("_team", "is_closed", "is_over", "listener", "viewer")

    def __init__(self, viewer: Viewer, team: _Team) -> None:
        self.viewer = viewer
        self.is_over = self.is_closed = False
        self.listener: Listener | None = None
        self._team = team

    @property
    def newest(self) -> int:
        """The last revision that is known to have changed what the viewer sees."""
        return self._team.newest

    async def wait(self, revision: int, seconds: float | None = None) -> bool:
        """Wait for a change after a revision; return False after so many seconds, or if the key is not valid."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._team.newest <= revision and not self.is_over:
                    await self._team.news.wait()
        return self._team.newest > revision and not self.is_over


class FeedNews:
    """The waiters of one worker process. Its follower runs while there are some."""

    def __init__(self, store: Store, auth: Auth, streams_max: int) -> None:
        self._store = store
        self._auth = auth
        self._streams_max = streams_max
        self._teams: dict[str | None, _Team] = {}
        self._by_caller: dict[str, set[Subscription]] = {}
        self._follower: asyncio.Task[None] | None = None
        self._revision = -1
        self.is_stopping = False
        # When each subscription is next pinged, the first first.
        self._pings: deque[tuple[float, Subscription]] = deque()

    @property
    def count(self) -> int:
        """How many wait."""
        return sum(map(len, self._by_caller.values()))

    @asynccontextmanager
    async def subscribe(self, viewer: Viewer, address: str) -> AsyncIterator[Subscription]:
        """Wait for news from the beginning of the block to its end. Raises TooManyStreams, and Unavailable at the
        server's end."""
        if self.is_stopping:
            raise errors.Unavailable("the server stops")
        caller = viewer.key_fingerprint or f"address {address}"
        subscriptions = self._by_caller.setdefault(caller, set())
        if len(subscriptions) >= self._streams_max:
            raise errors.TooManyStreams(self._streams_max)
        team = self._teams.setdefault(viewer.team, _Team())
        subscription = Subscription(viewer, team)
        team.waiters.add(subscription)
        subscriptions.add(subscription)
        self._pings.append((asyncio.get_running_loop().time() + PING_SECONDS, subscription))
        if team.newest < 0:
            self._revision = -1  # the follower reads what is new for this team too
        if self._follower is None or self._follower.done():
            self._follower = asyncio.create_task(self._follow())
        try:
            yield subscription
        finally:
            subscriptions.discard(subscription)
            team.waiters.discard(subscription)
            subscription.is_closed, subscription.listener = True, None
            if not subscriptions:
                self._by_caller.pop(caller, None)
            if not team.waiters:
                self._teams.pop(viewer.team, None)

    def stop(self) -> None:
        """End all streams and waits: the server stops when nobody waits for it."""
        self.is_stopping = True
        for team in self._teams.values():
            _end(team, team.waiters)

    def _ping(self, now: float) -> None:
        """Ping the listeners whose time has come."""
        for _ in range(max(_PINGS_AT_ONCE, len(self._pings) // 100)):
            if not self._pings or self._pings[0][0] > now:
                return
            _, subscription = self._pings.popleft()
            if subscription.listener is not None:
                subscription.listener.ping()
            if not subscription.is_closed:
                self._pings.append((now + PING_SECONDS, subscription))

    async def _follow(self) -> None:
        check_at = 0.0
        while self._teams:
            try:
                hint = self._store.revision_hint()
                if hint > self._revision:
                    await self._read(hint)
                now = asyncio.get_running_loop().time()
                self._ping(now)
                if now >= check_at:
                    check_at = now + _KEYS_SECONDS
                    self._check_keys()
            except errors.Unavailable as problem:
                log.warning("the change feed waits for the database: %s", problem.message)
                await asyncio.sleep(_RETRY_SECONDS)
            await asyncio.sleep(_POLL_SECONDS)

    async def _read(self, hint: int) -> None:
        self._revision = hint
        try:
            teams = dict(self._teams)
            newest = await asyncio.to_thread(_read_newest, self._store, [*teams])
        except BaseException:
            self._revision = -1
            raise
        for name, team in teams.items():
            if newest[name] > team.newest:
                team.newest = newest[name]
                _wake(team)

    def _check_keys(self) -> None:
        """End those whose keys are not valid any more."""
        for caller, subscriptions in self._by_caller.items():
            viewer = next(iter(subscriptions)).viewer
            try:
                if viewer.key_fingerprint:
                    self._auth.find(caller)
                else:
                    self._auth.viewer_of(None)
            except errors.Unauthenticated:
                _end(self._teams[viewer.team], subscriptions)


def _wake(team: _Team) -> None:
    team.news.set()
    team.news = asyncio.Event()
    for subscription in team.waiters:
        if subscription.listener is not None:
            subscription.listener.wake()


def _end(team: _Team, subscriptions: Iterable[Subscription]) -> None:
    for subscription in subscriptions:
        subscription.is_over = True
    _wake(team)


def _read_newest(store: Store, teams: list[str | None]) -> dict[str | None, int]:
    return {team: newest_revision(store, Viewer(team)) for team in teams}
