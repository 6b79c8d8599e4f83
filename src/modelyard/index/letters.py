"""Finds the rows whose text holds a term among texts that lie end to end.

StringZilla finds all places of a rare term 10 times faster than numpy does, and of a frequent one as fast: 48 Ki rows
of 95 bytes take 0.2 ms if none holds the term, 2 ms if a third does, and numpy takes 2 to 5 ms (2026-11). Where it is
not installed, numpy compares the letters, the rarest of the term first. ``re`` and ``bytes.find`` take 10 to 30 ms.
"""

from array import array
from typing import Any

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

try:
    import stringzilla
except ImportError:  # a system for which there is no wheel
    stringzilla = None

Array = npt.NDArray[Any]

_CHUNK_BYTES = 1 << 18
_SPARSE = 16


def rows_with(letters: Array, at: Array, term: bytes) -> Array:
    """Return the rows whose text holds a term, ascending, some perhaps twice. Row n lies from ``at[n]`` to its end."""
    places = find_places(letters, term)
    rows = np.searchsorted(at, places, side="right") - 1
    ends = places + len(term)
    is_inside = ends <= at[rows + 1]
    if is_inside.all():
        return rows
    # A match across texts is none, and may hide one that begins within it.
    hidden = [
        row
        for first, end in zip(rows[~is_inside].tolist(), ends[~is_inside].tolist(), strict=True)
        for row in range(first + 1, int(np.searchsorted(at, end)))
        if row < len(at) - 1 and term in letters[int(at[row]) : int(at[row + 1])].tobytes()
    ]
    return np.sort(np.concatenate([rows[is_inside], np.array(hidden, rows.dtype)]))


def bitmap_of(rows: Array, first: int) -> BitMap:
    """Return rows that count from ``first`` as a set."""
    return BitMap(array("I", (rows + first).astype(np.uint32).tobytes()))


def find_places(letters: Array, term: bytes) -> Array:
    """Return the offsets at which ``term`` begins, ascending. Of places that overlap, some may be missing."""
    if stringzilla is None or not len(letters):
        return compare_letters(letters, term)
    pieces = stringzilla.Str(letters.data).split(term)
    lengths = np.fromiter(map(len, pieces), np.int64, len(pieces))
    places: Array = np.cumsum(lengths[:-1] + len(term)) - len(term)
    return places


def compare_letters(letters: Array, term: bytes) -> Array:
    """Return the same by numpy, the overlapping places too."""
    counts = np.bincount(letters[: _CHUNK_BYTES // 8], minlength=256)
    order = sorted(range(len(term)), key=lambda at: int(counts[term[at]]))
    found = (
        _places_in_chunk(letters[start : start + _CHUNK_BYTES + len(term) - 1], term, order) + start
        for start in range(0, len(letters) - len(term) + 1, _CHUNK_BYTES)
    )
    return np.concatenate([np.empty(0, np.int64), *found])


def _places_in_chunk(chunk: Array, term: bytes, order: list[int]) -> Array:
    reach = len(chunk) - len(term) + 1
    hits = chunk[order[0] : order[0] + reach] == term[order[0]]
    compared = 1
    for at in order[1:]:
        hits &= chunk[at : at + reach] == term[at]
        compared += 1
        if compared > 1 and np.count_nonzero(hits) * _SPARSE < reach:
            break
    found = np.flatnonzero(hits)
    for at in order[compared:]:
        found = found[chunk[found + at] == term[at]]
    return found
