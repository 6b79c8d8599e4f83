"""Caches with a limit in bytes."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class CacheUse:
    """How often a cache had what was asked for. Threads count without a lock, so one in very many may be missing."""

    __slots__ = ("hits", "misses")

    def __init__(self, hits: int = 0, misses: int = 0) -> None:
        self.hits = hits
        self.misses = misses


class LRUCache(Generic[K, V]):
    """The most recently used values, up to a number of bytes. Threads may share it."""

    __slots__ = ("_bytes_max", "_entries", "_lock", "_size_bytes")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._size_bytes = 0
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """Return the value of a key, None if the cache does not have it."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def get_many(self, keys: Sequence[K]) -> list[V | None]:
        """Return the value of each key, None for those that the cache does not have."""
        with self._lock:
            entries = [self._entries.get(key) for key in keys]
            for key, entry in zip(keys, entries, strict=True):
                if entry is not None:
                    self._entries.move_to_end(key)
        return [None if entry is None else entry[0] for entry in entries]

    def put(self, key: K, value: V, size_bytes: int) -> None:
        """Store a value unless it is larger than the cache, and drop the least recently used ones."""
        with self._lock:
            if previous := self._entries.pop(key, None):
                self._size_bytes -= previous[1]
            if size_bytes > self._bytes_max:
                return
            self._entries[key] = value, size_bytes
            self._size_bytes += size_bytes
            while self._size_bytes > self._bytes_max:
                self._size_bytes -= self._entries.popitem(last=False)[1][1]


class RevisionCache(Generic[K, V]):
    """An LRU cache of values that are made from the catalogue. A value is valid for one revision of the catalogue."""

    __slots__ = ("_cache", "_current_revision", "_size_of", "use")

    def __init__(self, bytes_max: int, current_revision: Callable[[], int], size_of: Callable[[K, V], int]) -> None:
        """``size_of(key, value)`` returns how many bytes an entry takes."""
        self._cache: LRUCache[K, tuple[int, V]] = LRUCache(bytes_max)
        self._current_revision = current_revision
        self._size_of = size_of
        self.use = CacheUse()

    def get_or_make(self, key: K, revision: int, make: Callable[[], V]) -> V:
        """Return the value of a key at ``revision``. If the cache does not have it, ``make`` makes it."""
        entry = self._cache.get(key)
        if entry is not None and entry[0] == revision:
            self.use.hits += 1
            return entry[1]
        self.use.misses += 1
        value = make()
        # If the revision changed in the meantime, nobody knows which revision the value is from.
        if self._current_revision() == revision:
            self._cache.put(key, (revision, value), self._size_of(key, value))
        return value
