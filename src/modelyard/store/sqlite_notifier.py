"""Notifies the processes of one machine of commits, through counters that all of them map.

A writer raises the counters after its commit and before it acknowledges it, so that the next request of every process
sees the commit. Readers also refresh the counters from the database once a second, in case a writer died after its
commit but before it raised them.

A process that waits for work has a thread that a writer wakes up through a named pipe.
"""

import os
import selectors
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import sqlalchemy as sa

from modelyard import errors
from modelyard.store.dialect import Revisions
from modelyard.store.shared_counter import SharedCounter
from modelyard.store.wakeup_pipes import WakeupPipe, wake_all

_POLL_SECONDS = 1.0
# Of the commits of this time, a process that waits is told once: an import has hundreds in a second.
_TOGETHER_SECONDS = 0.02


class SqliteNotifier:
    """The counters of one database file, beside it."""

    def __init__(
        self,
        path: Path,
        read_committed: Callable[[], Revisions],
        without_writers: Callable[[], AbstractContextManager[Revisions]],
        read_by: Callable[[sa.Connection], Revisions],  # noqa: ARG002 # no connection stays open
    ) -> None:
        self._models = SharedCounter(path, slot=0)
        self._keys = SharedCounter(path, slot=1)
        # Commits of all processes that brought models, keys or jobs, and all commits of this one.
        self._news = SharedCounter(path, slot=2)
        self._own_commits = 0
        self._listeners = path.with_name(path.name.removesuffix("-counters") + "-listeners")
        self._listener: _Listener | None = None
        self._rings: list[Callable[[], object]] = []
        self._read = read_committed
        self._polling = threading.Lock()
        self._poll_at = 0.0
        self._heard_at = time.monotonic()
        self._is_away = False
        self.reason = ""
        counters, committed = Revisions(self._models.value, self._keys.value), read_committed()
        if counters.models > committed.models or counters.keys > committed.keys:
            # The counters are left over from another database of this name. Lower them while no writer is active: the
            # revisions read then include all earlier commits, and later writers raise the counters.
            with without_writers() as committed:
                self._models.set_to(committed.models)
                self._keys.set_to(committed.keys)

    def models_revision(self) -> int:
        """Return the models' revision; takes about 200 ns."""
        if time.monotonic() >= self._poll_at:
            self._poll()
        return self._models.value

    def keys_revision(self) -> int:
        """Return the keys' revision, likewise."""
        if time.monotonic() >= self._poll_at:
            self._poll()
        return self._keys.value

    def notify(self, committed: Revisions, *, has_news: bool) -> None:
        """Raise the counters, and wake up who waits for news."""
        self._raise(committed)
        self._own_commits += 1
        if has_news:
            self._news.increase()
            wake_all(self._listeners)
        if self._listener is not None:
            self._ring()

    def news_hint(self) -> int | None:
        """Return the number of commits with news; None while nobody tells this process of them."""
        if self._listener is None or not self._listener.is_there():
            return None
        return self._news.value + self._own_commits

    def subscribe_to_news(self, ring: Callable[[], object]) -> None:
        """Call ``ring`` after each commit that changes the hint. Without named pipes nobody calls it."""
        with self._polling:
            self._rings.append(ring)
            if self._listener is None:
                with suppress(OSError):
                    self._listener = _Listener(self._listeners, self._ring)

    def look_rarely(self) -> None:
        """Do nothing: without a question of this process it does not look at all."""

    def unreachable_seconds(self) -> float | None:
        """Return for how long the database could not be read; None while it can."""
        return time.monotonic() - self._heard_at if self._is_away else None

    def subscribe(self, catch_up: Callable[[], bool]) -> bool:  # noqa: ARG002 # the protocol's signature
        """Return False: the counters are exact, and reading the local database is fast."""
        return False

    def close(self) -> None:
        """Stop listening, and close the counters."""
        if self._listener is not None:
            self._listener.close()
        for counter in (self._models, self._keys, self._news):
            counter.close()

    def _raise(self, committed: Revisions) -> None:
        self._models.raise_to(committed.models)
        self._keys.raise_to(committed.keys)

    def _ring(self) -> None:
        for ring in self._rings:
            ring()

    def _poll(self) -> None:
        # One thread reads the database; the others use the counters as they are.
        if not self._polling.acquire(blocking=False):
            return
        try:
            self._poll_at = time.monotonic() + _POLL_SECONDS
            self._raise(self._read())
            self._heard_at, self._is_away, self.reason = time.monotonic(), False, ""
        except errors.Unavailable as problem:
            # The counters stay correct, only not current: reads go on without the database.
            self._is_away, self.reason = True, problem.message
        finally:
            self._polling.release()


class _Listener:
    """A thread that waits at the pipe of this process, and calls ``ring`` when a writer writes into it."""

    def __init__(self, folder: Path, ring: Callable[[], object]) -> None:
        self._pipe = WakeupPipe(folder)
        self._ring = ring
        self._closed = threading.Event()
        # Closing one end wakes the thread up.
        self._wake_end, self._close_end = os.pipe()
        self._thread = threading.Thread(target=self._listen, name="modelyard-listener", daemon=True)
        self._thread.start()

    def is_there(self) -> bool:
        """Whether writers find the pipe."""
        return self._pipe.is_there()

    def close(self) -> None:
        """End the thread, and delete the pipe."""
        self._closed.set()
        os.close(self._close_end)
        self._thread.join()
        os.close(self._wake_end)
        self._pipe.close()

    def _listen(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._pipe.file, selectors.EVENT_READ)
            selector.register(self._wake_end, selectors.EVENT_READ)
            while not self._closed.is_set():
                selector.select()
                self._pipe.clear()
                self._ring()
                self._closed.wait(_TOGETHER_SECONDS)
