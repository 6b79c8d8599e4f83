"""Writes the sets of a tier as roaring bitmaps, nearly all of them by numpy at once.

A cut lies within 64 Ki rows, which are one container of a roaring bitmap. A set with few rows in each container has
containers that are plain arrays. In the portable format it is, in 16-bit words:

    12346, 0 | containers, 32 bits | high, rows - 1 of each container | offset of each container, 32 bits | the rows

Other sets are built by pyroaring, which chooses the shortest kind of each container. A set of one row has no bytes.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from modelyard.index.grams import Cut

Array = npt.NDArray[Any]

# A container with more rows than this may be shorter as runs or as bits.
_ARRAY_ROWS_MAX = 128
_COOKIE = 12346
# Rows copied at a time, to bound the memory.
_COPIED_ROWS = 1 << 22


def write_sets(append: Callable[[str, "bytes | bytearray | Array"], object], cuts: Sequence[Cut], tier: int) -> None:
    """Write the arrays of a tier. The cuts come in the order of their rows."""
    sets = _Sets(cuts)
    at, sizes = np.zeros(len(sets.keys), np.int64), np.zeros(len(sets.keys), np.int64)
    is_one = sets.row_counts == 1
    at[is_one] = -1 - sets.first_rows()[is_one]
    few = np.flatnonzero(~is_one & (sets.largest <= _ARRAY_ROWS_MAX))
    words, starts = _array_sets(sets, few)
    at[few], sizes[few] = 2 * starts[:-1], 2 * np.diff(starts)
    append(f"set_blob_{tier}", words.tobytes())
    end = 2 * len(words)
    for number, blob in _other_sets(sets, np.flatnonzero(sets.largest > _ARRAY_ROWS_MAX)):
        append(f"set_blob_{tier}", blob)
        at[number], sizes[number] = end, len(blob)
        end += len(blob)
    append(f"set_keys_{tier}", sets.keys)
    append(f"set_at_{tier}", at)
    append(f"set_bytes_{tier}", sizes)


class _Sets:
    """Where the rows of every set lie: a set is some containers, a container is some runs of ``rows``.

    ``sets`` has the first container of each set, and ``containers`` the first run of each container; both have an end.
    """

    def __init__(self, cuts: Sequence[Cut]) -> None:
        self.rows = np.concatenate([cut.rows for cut in cuts])
        counts = np.concatenate([cut.counts for cut in cuts])
        keys = np.concatenate([cut.keys for cut in cuts])
        highs = np.repeat(np.array([cut.high for cut in cuts], np.uint16), [len(cut.keys) for cut in cuts])
        order = np.argsort(keys, kind="stable")
        keys, highs, self.run_counts = keys[order], highs[order], counts[order]
        self.run_starts = (np.cumsum(counts) - counts)[order]
        is_new_set = np.concatenate(([True], keys[1:] != keys[:-1]))
        is_new = is_new_set | np.concatenate(([True], highs[1:] != highs[:-1]))
        first = np.flatnonzero(is_new)
        self.containers = np.append(first, len(keys))
        self.highs, self.counts = highs[first], np.add.reduceat(self.run_counts, first)
        first_of_set = np.flatnonzero(is_new_set[first])
        self.sets = np.append(first_of_set, len(first))
        self.keys = keys[first][first_of_set]
        self.row_counts = np.add.reduceat(self.counts, first_of_set)
        self.largest = np.maximum.reduceat(self.counts, first_of_set)

    def first_rows(self) -> Array:
        """Return the first row of each set."""
        containers = self.sets[:-1]
        first = self.rows[self.run_starts[self.containers[containers]]]
        rows: Array = self.highs[containers].astype(np.int64) << 16 | first
        return rows

    def copy_rows(self, containers: Array, target: Array, starts: Array) -> None:
        """Copy the rows of containers to ``target``, from ``starts`` on."""
        runs, place = _spread(self.containers[containers], self.containers[containers + 1])
        counts = self.run_counts[runs]
        before = np.cumsum(counts) - counts
        owner = np.repeat(np.arange(len(containers)), np.diff(self.containers)[containers])
        targets = starts[owner] + before - before[np.arange(len(runs)) - place]
        sources, ends = self.run_starts[runs], np.cumsum(counts)
        low = 0
        while low < len(runs):
            high = max(low + 1, int(np.searchsorted(ends, before[low] + _COPIED_ROWS, side="right")))
            some = counts[low:high]
            steps = np.arange(int(some.sum())) - np.repeat(np.cumsum(some) - some, some)
            target[np.repeat(targets[low:high], some) + steps] = self.rows[np.repeat(sources[low:high], some) + steps]
            low = high


def _spread(starts: Array, ends: Array) -> tuple[Array, Array]:
    """Return the numbers of all ranges from ``starts`` to ``ends``, and the place of each number in its range."""
    widths = ends - starts
    place = np.arange(int(widths.sum())) - np.repeat(np.cumsum(widths) - widths, widths)
    return np.repeat(starts, widths) + place, place


def _array_sets(sets: _Sets, chosen: Array) -> tuple[Array, Array]:
    """Return the sets with these numbers end to end in 16-bit words, and the start of each."""
    width = np.diff(sets.sets)[chosen]
    starts = np.concatenate(([0], np.cumsum(4 + 4 * width + sets.row_counts[chosen])))
    words = np.zeros(int(starts[-1]), np.uint16)
    containers, place = _spread(sets.sets[chosen], sets.sets[chosen + 1])
    counts = sets.counts[containers]
    before = np.cumsum(counts) - counts
    before -= before[np.arange(len(containers)) - place]
    start, width_of_set = np.repeat(starts[:-1], width), np.repeat(width, width)
    words[starts[:-1]] = _COOKIE
    _put_long(words, starts[:-1] + 2, width)
    head = start + 4 + 2 * place
    words[head], words[head + 1] = sets.highs[containers], counts - 1
    offsets = 4 + 4 * width_of_set + before
    _put_long(words, head + 2 * width_of_set, 2 * offsets)
    sets.copy_rows(containers, words, start + offsets)
    return words, starts


def _put_long(words: Array, at: Array, numbers: Array) -> None:
    words[at], words[at + 1] = numbers & 0xFFFF, numbers >> 16


def _other_sets(sets: _Sets, chosen: Array) -> Iterator[tuple[int, bytes]]:
    """Yield the numbers of sets, and each set as pyroaring writes it."""
    ends = np.cumsum(sets.row_counts[chosen])
    low = 0
    while low < len(chosen):
        done = int(ends[low - 1]) if low else 0
        high = max(low + 1, int(np.searchsorted(ends, done + _COPIED_ROWS, side="right")))
        some = chosen[low:high]
        containers, _ = _spread(sets.sets[some], sets.sets[some + 1])
        counts = sets.counts[containers]
        lower = np.empty(int(counts.sum()), np.uint16)
        sets.copy_rows(containers, lower, np.cumsum(counts) - counts)
        rows = np.repeat(sets.highs[containers].astype(np.uint32) << np.uint32(16), counts) | lower
        # BitMap reads array.array without boxing every number (2 µs for 300 rows); numpy arrays it boxes (23 µs).
        numbers = array("I", rows.tobytes())
        first = 0
        for number, end in zip(some.tolist(), (ends[low:high] - done).tolist(), strict=True):
            bitmap = BitMap(numbers[first:end])
            bitmap.run_optimize()
            yield number, bitmap.serialize()
            first = end
        low = high
