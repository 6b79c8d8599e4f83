"""Models by their hashes, the names of their files and their ids, many at once: a workflow names hundreds.

All keys are looked for in one pass over the sorted keys of each segment. Records are read only of the models that are
answered.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice

import numpy as np

from modelyard.index.search import LiveSegment, Plan, passes

# Models of one key in a segment that are compared, the most popular first: many have a file "model.safetensors".
_HITS_MAX = 256

# A row as (order, number of its part, row).
_Hit = tuple[tuple[int, int], int, int]


class KeyLookup:
    """The rows of some keys, as one viewer may see them. ``plan_of`` returns the sets of a choice of types."""

    def __init__(
        self,
        parts: Sequence[LiveSegment],
        plan_of: Callable[[frozenset[str]], Plan],
        keys: Mapping[str, int],
    ) -> None:
        """``keys`` are the keys of the index by the texts of hashes and names."""
        self._parts = parts
        self._plan_of = plan_of
        self._plans: dict[frozenset[str], Plan] = {}
        self._rows = _find_rows(parts, keys)

    def best(self, text: str, types: frozenset[str], limit: int) -> list[tuple[int, bytes]]:
        """Return ids and records of the best models with a hash or name: those of the types alone, if there are some.

        The texts are those that were looked up.
        """
        if text not in self._rows:
            return []
        hits = self._hits(text, frozenset())
        if types and len(hits) > 1:
            hits = self._hits(text, types) or hits
        return [(-order[1], self._parts[number].segment.records((row,))[0]) for order, number, row in hits[:limit]]

    def _hits(self, text: str, types: frozenset[str]) -> list[_Hit]:
        """Return what the viewer sees of a text, best first."""
        if types not in self._plans:
            self._plans[types] = self._plan_of(types)
        plan = self._plans[types]
        hits: list[_Hit] = []
        for number, rows in self._rows[text]:
            part = self._parts[number]
            visible = islice((row for row in rows if passes(part, plan, row)), _HITS_MAX)
            hits += [(part.segment.order(row), number, row) for row in visible]
        return sorted(hits)


def ranks(parts: Sequence[LiveSegment], ids: Sequence[int]) -> dict[int, int]:
    """Return the ranks of those models among ``ids`` that the segments hold."""
    by_id: dict[int, int] = {}
    model_ids = np.array(ids, np.int64)
    for part in parts:  # oldest first: a newer part overwrites the ranks of an older one
        for row in part.segment.rows_of_ids(model_ids).tolist():
            position = part.segment.position(row)
            by_id[position.id] = position.rank
    return by_id


def _find_rows(parts: Sequence[LiveSegment], keys: Mapping[str, int]) -> dict[str, list[tuple[int, list[int]]]]:
    """Return the rows of each text, ascending, with the number of their part; texts without rows are left out."""
    rows: dict[str, list[tuple[int, list[int]]]] = {}
    texts = sorted(keys, key=keys.__getitem__)  # neighbours read the same pages of the map
    numbers = np.fromiter(map(keys.__getitem__, texts), np.int64, len(texts))
    for number, part in enumerate(parts):
        arrays = part.segment.arrays
        lows = np.searchsorted(arrays.hash_keys, numbers)
        highs = np.searchsorted(arrays.hash_keys, numbers, side="right")
        for at in np.flatnonzero(highs > lows).tolist():
            of_key = sorted(arrays.hash_rows[lows[at] : highs[at]].tolist())
            rows.setdefault(texts[at], []).append((number, of_key))
    return rows
