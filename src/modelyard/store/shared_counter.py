"""Counters that every process of one machine reads without querying the database.

    byte   0       8       16      24 …
           slot 0  slot 1  slot 2  …        one unsigned 64-bit integer each, in the machine's byte order

Every process that opens the file maps it into memory. An aligned 8-byte store is one instruction on all 64-bit
machines, so a reader never sees half a number. Writers lock the file, so a counter never goes back. The counter is a
hint: a process that opens it stores the database's value in it, and losing the file costs one query.
"""

import fcntl
import mmap
import os
import threading
from pathlib import Path

SLOTS = 8
_BYTES = SLOTS * 8


class SharedCounter:
    """One slot of a counter file; opening it creates the file if there is none."""

    def __init__(self, path: Path, slot: int) -> None:
        self._slot = slot
        self._turn = threading.Lock()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # Never make the file shorter: another process may have it mapped.
            if os.fstat(self._file).st_size < _BYTES:
                os.ftruncate(self._file, _BYTES)
            self._map = mmap.mmap(self._file, _BYTES)
        except BaseException:
            os.close(self._file)
            raise
        # "Q" copies all eight bytes at once; `struct` with "<Q" would write them one by one.
        self._view = memoryview(self._map)
        self._slots = self._view.cast("Q")

    @property
    def value(self) -> int:
        """The last number that any process wrote; reading takes about 50 ns."""
        return self._slots[self._slot]

    def raise_to(self, value: int) -> None:
        """Set the counter to ``value`` if that is greater."""
        if self.value < value:
            self._store(value, only_up=True)

    def increase(self) -> None:
        """Add one."""
        with self._turn:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                self._slots[self._slot] += 1
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def set_to(self, value: int) -> None:
        """Set the counter to ``value``, even a smaller one. The caller makes sure that no writer can commit."""
        self._store(value, only_up=False)

    def _store(self, value: int, *, only_up: bool) -> None:
        with self._turn:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                if not only_up or self._slots[self._slot] < value:
                    self._slots[self._slot] = value
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file; the counter cannot be used after this. Closing it again does nothing."""
        if self._map.closed:
            return
        self._slots.release()
        self._view.release()
        self._map.close()
        os.close(self._file)
