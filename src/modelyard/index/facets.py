"""Counts of matches by type, source and base model, and for the most frequent tags.

The module computes the set of matching rows once, and counts for each value the rows that its own set shares with it.
It counts tags from the most frequent one in the catalogue down, and stops when no tag left can be among the most
frequent of these matches.
"""

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pyroaring import BitMap

from modelyard.index.search import LiveSegment, Plan, verified_rows
from modelyard.index.segment import ALL, Array, Segment
from modelyard.index.terms import filter_key

FIELDS = ("type", "source", "base")
# Up to this many matches, counting the filters of their rows (0.3 µs each) is cheaper than intersecting value sets.
_FEW_ROWS = 1 << 15


@dataclass(frozen=True, slots=True)
class Facets:
    """Counts of matches by value, most frequent first. A value without a match is not listed."""

    total: int
    types: list[tuple[str, int]]
    sources: list[tuple[str, int]]
    base_models: list[tuple[str, int]]
    tags: list[tuple[str, int]]


def facets(parts: Sequence[LiveSegment], plan: Plan, tags_max: int) -> Facets:
    """Return the counts over all matches. Base models and tags are folded, as filters compare them."""
    counted = [_Counted(part, plan) for part in parts if not plan.is_impossible]
    by_field = {field: _by_frequency(sum((part.count_field(field) for part in counted), Counter())) for field in FIELDS}
    tags = _top_tags(counted, tags_max)
    return Facets(sum(part.total for part in counted), by_field["type"], by_field["source"], by_field["base"], tags)


def _by_frequency(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(((name, count) for name, count in counts.items() if count), key=lambda pair: (-pair[1], pair[0]))


class _Counted:
    """The matches of one part, tier by tier, and counts over them."""

    def __init__(self, part: LiveSegment, plan: Plan) -> None:
        self.segment = part.segment
        self._tiers = {
            tier: rows if isinstance(rows, BitMap) else BitMap(rows)
            for tier in range(len(part.segment.tiers))
            if (rows := verified_rows(part, plan, tier))
        }
        self.total = sum(map(len, self._tiers.values()))
        self._by_row: Counter[str] | None = None
        if self.total <= _FEW_ROWS:
            rows_found = np.concatenate([np.empty(0, np.uint32), *map(_numbers, self._tiers.values())])
            self._by_row = Counter(self.segment.filter_counts_of(rows_found))

    def count(self, name: str) -> int:
        """Return how many matches are in a filter."""
        if self._by_row is not None:
            return self._by_row[name]
        key = filter_key(name)
        total = 0
        for tier, rows in self._tiers.items():
            those = self.segment.one(tier, key)
            if isinstance(those, BitMap):
                total += rows.intersection_cardinality(those)
            elif those is ALL:
                total += len(rows)
        return total

    def count_field(self, field: str) -> Counter[str]:
        """Return the counts of every value of a field."""
        if self._by_row is not None:
            return Counter(self._values(field))
        return Counter({name: self.count(f"{field}={name}") for name, _ in frequencies(self.segment)[field]})

    def _values(self, field: str) -> dict[str, int]:
        """Return the counts by row of one field's values."""
        start = f"{field}="
        counts: Mapping[str, int] = self._by_row or {}
        return {name.removeprefix(start): count for name, count in counts.items() if name.startswith(start)}

    def tags_by_row(self) -> dict[str, int] | None:
        """Return the counts of all tags if this part was counted by row, else None."""
        return None if self._by_row is None else self._values("tag")

    def tags_left(self, at: int) -> int:
        """Return the most matches that any tag from index ``at`` of the frequency list on can have."""
        tags = frequencies(self.segment)["tag"]
        return min(tags[at][1], self.total) if at < len(tags) else 0


def _numbers(rows: BitMap) -> Array:
    return np.frombuffer(rows.to_array(), np.uint32)


def _top_tags(counted: list[_Counted], tags_max: int) -> list[tuple[str, int]]:
    by_row = [part.tags_by_row() for part in counted]
    counts: Counter[str] = Counter()
    if all(tags is not None for tags in by_row):
        for tags in by_row:
            counts.update(tags or {})
        return _by_frequency(counts)[:tags_max]
    at = 0
    while bound := sum(part.tags_left(at) for part in counted):
        best = heapq.nlargest(tags_max, counts.values())
        if len(best) == tags_max and best[-1] > bound:
            break
        for part in counted:
            for name, _ in frequencies(part.segment)["tag"][at : at + 64]:
                if name not in counts:
                    counts[name] = sum(other.count(f"tag={name}") for other in counted)
        at += 64
    return _by_frequency(counts)[:tags_max]


def frequencies(segment: Segment) -> dict[str, list[tuple[str, int]]]:
    """Return the values of each field with the number of the segment's rows that have them, most frequent first.

    The first call counts the whole segment, about 30 ms a million models, and caches the counts in it.
    """
    if segment.frequencies is None:
        by_field: dict[str, list[tuple[str, int]]] = {field: [] for field in (*FIELDS, "tag")}
        for name, count in segment.filter_counts():
            field, is_field, value = name.partition("=")
            if is_field and field in by_field:
                by_field[field].append((value, count))
        for values in by_field.values():
            values.sort(key=lambda pair: (-pair[1], pair[0]))
        segment.frequencies = by_field
    return segment.frequencies
