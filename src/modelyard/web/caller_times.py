"""A time for each caller, in the memory of one process or in memory that the workers of a node share.

    slot 0: 8 bytes of the digest of a caller · 8 bytes a time      slot 1: …

A caller is in one of the few slots from its digest on. If others have all of them, the earliest time gives way, if the
new one is later: whoever comes under many names cannot make a caller forgotten that has used up its allowance.
"""

import fcntl
import hashlib
import mmap
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

# 16 bytes each: half a megabyte in all.
_SLOTS = 32_768
_PROBES = 8
# A worker that is stopped while it holds the lock holds up nobody: the others go on without it.
_LOCK_ATTEMPTS = 200
CALLERS_MAX = 10_000


class CallerTimes(Protocol):
    """Times by caller."""

    def locked(self) -> AbstractContextManager[None]:
        """Return a context in which no other worker changes a time."""

    def get(self, caller: str, default: float) -> float:
        """Return the time of a caller."""

    def put(self, caller: str, time: float, now: float) -> None:
        """Store the time of a caller. Times before ``now`` may be forgotten."""


class LocalTimes:
    """Times in the memory of this process."""

    def __init__(self) -> None:
        self._times: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._times)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Do nothing: one thread uses them."""
        yield

    def get(self, caller: str, default: float) -> float:
        """Return the time of a caller."""
        return self._times.get(caller, default)

    def put(self, caller: str, time: float, now: float) -> None:
        """Store the time of a caller, in bounded memory."""
        if caller not in self._times and len(self._times) >= CALLERS_MAX:
            self._forget(now)
        self._times[caller] = time

    def _forget(self, now: float) -> None:
        """Forget times that are over, and of too many others the earlier half."""
        active = {caller: time for caller, time in self._times.items() if time > now}
        if len(active) >= CALLERS_MAX:
            active = dict(sorted(active.items(), key=lambda item: item[1])[CALLERS_MAX // 2 :])
        self._times = active


class SharedTimes:
    """Times that the processes share which are forked after this is made. Threads may share it too."""

    def __init__(self) -> None:
        with tempfile.TemporaryFile() as file:
            file.truncate(_SLOTS * 16)
            # It lives as long as the process, and so do those of its children.
            self._file = os.dup(file.fileno())
        view = memoryview(mmap.mmap(self._file, _SLOTS * 16))
        self._digests, self._times = view.cast("Q"), view.cast("d")
        self._turn = threading.Lock()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the times against other threads and processes: some microseconds."""
        with self._turn:
            is_locked = self._lock()
            try:
                yield
            finally:
                if is_locked:
                    fcntl.lockf(self._file, fcntl.LOCK_UN)

    def get(self, caller: str, default: float) -> float:
        """Return the time of a caller."""
        slot = self._find(_digest(caller))
        return default if slot is None else self._times[slot]

    def put(self, caller: str, time: float, now: float) -> None:  # noqa: ARG002 # the protocol's signature
        """Store the time of a caller, if it is later than one in its slots."""
        digest = _digest(caller)
        slot = self._find(digest)
        if slot is None:
            slot = min(_slots_of(digest), key=self._times.__getitem__)
            if self._times[slot] > time:
                return
            self._digests[slot - 1] = digest
        self._times[slot] = time

    def _find(self, digest: int) -> int | None:
        return next((slot for slot in _slots_of(digest) if self._digests[slot - 1] == digest), None)

    def _lock(self) -> bool:
        for _ in range(_LOCK_ATTEMPTS):
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            return True
        return False


def _digest(caller: str) -> int:
    # 0 is an empty slot.
    return int.from_bytes(hashlib.blake2b(caller.encode(), digest_size=8).digest()) or 1


def _slots_of(digest: int) -> list[int]:
    """Return the places of the times of a caller's slots; the digest of each is the number before it."""
    return [2 * ((digest + step) % _SLOTS) + 1 for step in range(_PROBES)]
