"""What is kept to be used again, as long as it fits."""

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Kept(Generic[K, V]):
    """The values used last, up to a number of bytes."""

    __slots__ = ("_bytes_max", "_held", "_held_bytes")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._held: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._held_bytes = 0

    def get(self, key: K) -> V | None:
        """Return the value kept under a key."""
        found = self._held.get(key)
        if found is None:
            return None
        self._held.move_to_end(key)
        return found[0]

    def put(self, key: K, value: V, size_bytes: int) -> None:
        """Keep a value, unless it is too large, and let go of those not used for longest."""
        if replaced := self._held.pop(key, None):
            self._held_bytes -= replaced[1]
        if size_bytes > self._bytes_max:
            return
        self._held[key] = value, size_bytes
        self._held_bytes += size_bytes
        while self._held_bytes > self._bytes_max:
            self._held_bytes -= self._held.popitem(last=False)[1][1]
