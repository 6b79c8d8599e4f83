"""Strings laid end to end in an array, of a segment in memory or in a mapped file."""

import mmap
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Check(Protocol):
    """Checks that the bytes of an array on disk are those that were written."""

    good: bytearray  # one byte for each block of 64 KiB: 1 if the block passed the check

    def touch(self, start: int, end: int) -> None:
        """Check the bytes from ``start`` to ``end``; raise if they changed since they were written."""


class StringColumn:
    """Strings laid end to end in an array, cut out as bytes. The place where a page spends its time."""

    def __init__(self, array: Array, at: Array, check: Check | None) -> None:
        # A slice of bytes or of a map is bytes at once (80 ns); of a memoryview it takes two steps (160 ns, 2026-11).
        self._buffer, self._start = _buffer_of(array)
        self._at = at.data
        self._check = check

    def one(self, number: int) -> bytes:
        """Return a piece."""
        low, high = self._at[number], self._at[number + 1]
        check = self._check
        if check is not None and high > low and not check.good[low >> 16] & check.good[high - 1 >> 16]:
            check.touch(low, high)
        return self._buffer[self._start + low : self._start + high]

    def some(self, numbers: Sequence[int]) -> list[bytes]:
        """Return pieces: the same as ``one`` for each, in half the time."""
        at, buffer, start, check = self._at, self._buffer, self._start, self._check
        if check is None or 0 not in check.good:
            return [buffer[start + at[number] : start + at[number + 1]] for number in numbers]
        pieces = []
        good = check.good
        for number in numbers:
            low, high = at[number], at[number + 1]
            if high > low and not good[low >> 16] & good[high - 1 >> 16]:
                check.touch(low, high)
            pieces.append(buffer[start + low : start + high])
        return pieces

    def check(self, start: int, end: int) -> None:
        """Check the bytes from ``start`` to ``end`` against their checksums."""
        if self._check is not None:
            self._check.touch(start, end)


def _buffer_of(array: Array) -> tuple[bytes | mmap.mmap, int]:
    """Return the buffer under an array, which slices into bytes, and the offset of the array in it."""
    base: Any = array
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    base = base.obj if isinstance(base, memoryview) else base
    if isinstance(base, bytes | mmap.mmap):
        content = np.frombuffer(base, np.uint8)
        return base, array.ctypes.data - content.ctypes.data
    return array.tobytes(), 0
