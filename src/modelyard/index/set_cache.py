"""A cache of what was computed from a segment, with a limit in bytes."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from pyroaring import BitMap

# The bookkeeping of an entry: the dictionary's, a small tuple as the key, an empty bitmap.
ENTRY_BYTES = 400


class SetCache:
    """The most recently used values, up to a number of bytes. Threads may share it.

    Each key says what the value is, so that one cache, with one limit, serves for everything that belongs to a segment.
    Keys name sets and texts, never a viewer: a value is the same for whoever asks.
    """

    __slots__ = ("_bytes_max", "_entries", "_lock", "size_bytes")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._entries: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lock = threading.Lock()
        self.size_bytes = 0

    def get(self, key: Hashable) -> Any:
        """Return the value of a key, None if the cache does not have it."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: Hashable, value: object, size_bytes: int) -> None:
        """Store a value of ``size_bytes``, and drop the least recently used ones."""
        size_bytes += ENTRY_BYTES
        if size_bytes > self._bytes_max:
            return
        with self._lock:
            if previous := self._entries.pop(key, None):
                self.size_bytes -= previous[1]
            self._entries[key] = value, size_bytes
            self.size_bytes += size_bytes
            while self.size_bytes > self._bytes_max:
                self.size_bytes -= self._entries.popitem(last=False)[1][1]

    def __len__(self) -> int:
        """Return the number of values."""
        return len(self._entries)


def size_of_rows(rows: BitMap, space: int) -> int:
    """Return about how many bytes a bitmap takes: two a row, or one bit for each of the ``space`` rows."""
    return min(2 * len(rows), space // 8 + 64)
