"""Notifies a process of commits by other machines, through PostgreSQL's notifications and two threads.

    listener   one connection: LISTEN, and a query every few seconds, as a notification may be lost; in a process that
               answers no requests, every half minute
    follower   calls the subscribers when a revision is newer, and repeats until they have it

No request waits for either thread, so a database that is cut off does not delay answers.
"""

import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any

import sqlalchemy as sa

from modelyard import errors
from modelyard.store import reasons
from modelyard.store.dialect import Revisions

CHANNEL = "modelyard_revisions"
# Each process that follows a database shares this lock of it, so that no command replaces a database in use.
PRESENCE_LOCK = 7_201_450_512
# PostgreSQL delivers every notification as long as the connection lasts; a query shows that it does.
_POLL_SECONDS = 4.0
# The same in a process that answers no requests.
_RARE_POLL_SECONDS = 30.0
# The follower calls subscribers that lack a revision again after this time: a replica may be a moment behind.
_BEHIND_SECONDS = 0.05
_RETRY_SECONDS_MAX = 2.0
# A busy machine may be late with a query by this long; after that the database counts as away.
_SILENT_SECONDS_MAX = 5.0

log = logging.getLogger(__name__)


class PostgresNotifier:
    """Follows the revisions of a database on another machine; its threads start with the first call for a revision."""

    def __init__(
        self,
        engine: sa.Engine,
        rest: Callable[[], None],
        read_committed: Callable[[], Revisions],
        without_writers: Callable[[], AbstractContextManager[Revisions]],  # noqa: ARG002 # nothing is left over here
        read_by: Callable[[sa.Connection], Revisions],
    ) -> None:
        self._engine = engine
        # Called every few seconds: it closes connections that are not needed.
        self._rest = rest
        self._driver_error: type[Exception] = engine.dialect.loaded_dbapi.Error
        self._turn = threading.Lock()
        self._news = threading.Event()
        self._closed = threading.Event()
        self._threads: tuple[threading.Thread, ...] = ()
        self._followers: list[Callable[[], bool]] = []
        self._read = read_committed
        self._read_by = read_by
        self._known = read_committed()
        self._heard_at = time.monotonic()
        self._is_away = False
        # Why it is away, as it was logged; "" while it answers.
        self._reason = ""
        self._is_listening = False
        self._poll_seconds = _POLL_SECONDS
        self._news_count = 0
        self._rings: list[Callable[[], object]] = []
        # Closing one end wakes the listener up.
        self._wake_end, self._close_end = socket.socketpair()

    def models_revision(self) -> int:
        """Return the last models' revision that the listener heard of; it may be some milliseconds old."""
        if not self._threads:
            self._start()
        return self._known.models

    def keys_revision(self) -> int:
        """Return the last keys' revision that the listener read, likewise."""
        if not self._threads:
            self._start()
        return self._known.keys

    def news_hint(self) -> int | None:
        """Return the number of notifications so far; None while the listener does not hear them."""
        if not self._threads:
            self._start()
        return self._news_count if self._is_listening else None

    def look_rarely(self) -> None:
        """Ask the database every half minute, and not every few seconds."""
        self._poll_seconds = _RARE_POLL_SECONDS

    def unreachable_seconds(self) -> float | None:
        """Return for how long the database has not answered; None while it answers."""
        if not self._threads:
            self._start()
        silent_seconds = time.monotonic() - self._heard_at
        return silent_seconds if self._is_away or silent_seconds > self._poll_seconds + _SILENT_SECONDS_MAX else None

    @property
    def reason(self) -> str:
        """Why the database does not answer; "" while it does."""
        return self._reason

    def subscribe(self, catch_up: Callable[[], bool]) -> bool:
        """Call ``catch_up`` whenever a revision is newer, and repeat while it returns False. Return True."""
        self._followers.append(catch_up)
        return True

    def subscribe_to_news(self, ring: Callable[[], object]) -> None:
        """Call ``ring`` whenever the hint of news changes."""
        self._rings.append(ring)
        if not self._threads:
            self._start()

    def notify(self, committed: Revisions, *, has_news: bool) -> None:  # noqa: ARG002 # the database tells others
        """Store the revisions that this process committed, and call its subscribers; other processes listen."""
        self._note_news(1)
        self._note(committed)
        self._catch_up()

    def close(self) -> None:
        """Stop listening."""
        self._closed.set()
        self._news.set()
        self._close_end.close()
        for thread in self._threads:
            # With a timeout: the thread may be waiting for a server that is away.
            thread.join(timeout=2 * _RETRY_SECONDS_MAX)
        self._wake_end.close()

    def _note_news(self, count: int) -> None:
        self._news_count += count
        for ring in self._rings:
            ring()

    def _note(self, committed: Revisions) -> bool:
        """Store committed revisions; return whether one is newer than before."""
        with self._turn:
            before = self._known
            self._known = Revisions(max(before.models, committed.models), max(before.keys, committed.keys))
            return self._known != before

    def _start(self) -> None:
        with self._turn:
            if self._threads:
                return
            self._threads = (
                threading.Thread(target=self._listen_on, name="modelyard-listener", daemon=True),
                threading.Thread(target=self._follow_on, name="modelyard-follower", daemon=True),
            )
        with suppress(errors.Unavailable):
            self._note(self._read())
            self._heard_at = time.monotonic()
        for thread in self._threads:
            thread.start()

    def _catch_up(self) -> bool:
        """Call all subscribers; return whether all of them have the newest revisions."""
        has_all = True
        for catch_up in self._followers:
            try:
                has_all &= catch_up()
            except errors.Unavailable:
                has_all = False
        return has_all

    def _follow_on(self) -> None:
        has_all = True
        while not self._closed.is_set():
            self._news.wait(None if has_all else _BEHIND_SECONDS)
            self._news.clear()
            try:
                has_all = self._catch_up()
            except Exception:
                # A bug in our code: log it and try again, or answers would stay old for ever.
                log.exception("following the database failed")
                has_all = False

    def _listen_on(self) -> None:
        retry_seconds = 0.1
        while not self._closed.is_set():
            heard_at = time.monotonic()
            try:
                self._listen()
            except (sa.exc.SQLAlchemyError, self._driver_error, errors.Unavailable) as problem:
                # The database is away, or not the one that it was. The known revisions stay correct; retry, less often
                # the longer it lasts.
                self._note_away(problem)
                lasted = time.monotonic() - heard_at > _RETRY_SECONDS_MAX
                retry_seconds = 0.1 if lasted else min(retry_seconds * 2, _RETRY_SECONDS_MAX)
                self._closed.wait(retry_seconds)

    def _listen(self) -> None:
        options = {"isolation_level": "AUTOCOMMIT"}
        with self._engine.connect().execution_options(**options) as connection:
            self._hear(connection)  # a standby cannot LISTEN, so read its revisions at least
            connection.exec_driver_sql(f"SELECT pg_advisory_lock_shared({PRESENCE_LOCK})")
            try:
                connection.exec_driver_sql(f"LISTEN {CHANNEL}")
                self._is_listening = True
                self._note_news(1)
                driver: Any = connection.connection.driver_connection
                while not self._closed.is_set():
                    self._hear(connection)
                    self._hear_notifications(driver, time.monotonic() + self._poll_seconds)
            finally:
                self._is_listening = False
                self._note_news(1)
                # The connection still listens, so it must not go back to the pool.
                connection.invalidate()

    def _hear(self, connection: sa.Connection) -> None:
        if self._note(self._read_by(connection)):
            self._news.set()
            self._note_news(1)
        self._rest()
        self._heard_at = time.monotonic()
        if self._reason:
            log.info("the database answers again")
        self._is_away, self._reason = False, ""

    def _note_away(self, problem: Exception) -> None:
        self._is_away = True
        if isinstance(problem, errors.Unavailable):
            return  # the store has said why it does not use this database
        reason = reasons.describe(problem)
        # A line for each reason: a server that starts again has several, one after another.
        if reason != self._reason and not self._closed.is_set():
            self._reason = reason
            log.warning("%s; answers come from the index meanwhile (%s)", reason, reasons.detail_of(problem))

    def _hear_notifications(self, driver: Any, until: float) -> None:
        """Note what notifications say, and return at a time, or earlier if one says nothing of use.

        Waiting for the socket wakes nobody up; the driver's own wait does ten times a second.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(driver.fileno(), selectors.EVENT_READ)
            selector.register(self._wake_end, selectors.EVENT_READ)
            while not self._closed.is_set():
                payloads = [notification.payload for notification in driver.notifies(timeout=0)]
                if payloads:
                    self._note_news(len(payloads))
                numbers = payloads[-1].split() if payloads else []
                if payloads and not (len(numbers) == 2 and all(number.isdecimal() for number in numbers)):
                    return
                if numbers and self._note(Revisions(*map(int, numbers))):
                    self._news.set()
                seconds = until - time.monotonic()
                if seconds <= 0 or not (payloads or selector.select(seconds)):
                    return
