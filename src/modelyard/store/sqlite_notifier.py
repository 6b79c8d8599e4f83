"""Notifies the processes of one machine of commits, through two counters that all of them map.

A writer raises the counters after its commit and before it acknowledges it, so that the next request of every process
sees the commit. Readers also refresh the counters from the database once a second, in case a writer died after its
commit but before it raised them.
"""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import sqlalchemy as sa

from modelyard import errors
from modelyard.store.dialect import Revisions
from modelyard.store.shared_counter import SharedCounter

_POLL_SECONDS = 1.0


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

    def notify(self, committed: Revisions) -> None:
        """Raise the counters."""
        self._models.raise_to(committed.models)
        self._keys.raise_to(committed.keys)

    def news_hint(self) -> int | None:
        """Return None: asking the local database costs less than being told."""
        return None

    def unreachable_seconds(self) -> float | None:
        """Return for how long the database could not be read; None while it can."""
        return time.monotonic() - self._heard_at if self._is_away else None

    def subscribe(self, catch_up: Callable[[], bool]) -> bool:  # noqa: ARG002 # the protocol's signature
        """Return False: the counters are exact, and reading the local database is fast."""
        return False

    def close(self) -> None:
        """Close the counters."""
        self._models.close()
        self._keys.close()

    def _poll(self) -> None:
        # One thread reads the database; the others use the counters as they are.
        if not self._polling.acquire(blocking=False):
            return
        try:
            self._poll_at = time.monotonic() + _POLL_SECONDS
            self.notify(self._read())
            self._heard_at, self._is_away, self.reason = time.monotonic(), False, ""
        except errors.Unavailable as problem:
            # The counters stay correct, only not current: reads go on without the database.
            self._is_away, self.reason = True, problem.message
        finally:
            self._polling.release()
