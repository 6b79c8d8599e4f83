"""Counts of matches by type, source and base model, and for the most frequent tags.

The module computes the set of matching rows once. It counts few matches by their rows, from the column of the rows'
filters; of many it intersects the set of each value. It counts tags from the most frequent one down, and stops when no
tag left can be among the most frequent of these matches.
"""

import heapq
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from pyroaring import BitMap

from modelyard.index.budget import Budget, OverBudgetError, Spend
from modelyard.index.filter_columns import Numbers
from modelyard.index.search import LiveSegment, Plan, matched_rows
from modelyard.index.segment import ALL, All, Keys, Segment
from modelyard.index.set_cache import size_of_rows
from modelyard.index.terms import filter_key

FIELDS = ("type", "source", "base")
# Up to this many matches of a segment are counted by row (0.1 to 0.3 µs each).
_FEW_ROWS = 1 << 13
# But more than these only if they are less than such a share of the rows: of many, the frequent tags are those of all.
_FEW_ROWS_OF_ANY, _FEW_SHARE = 1 << 12, 16
# Beyond the budget, the tags of this many tiers are counted: 16,384 rows.
_FIRST_TIERS = 1
# The same of the first tiers, of which all sets are short.
_FEW_ROWS_OF_FIRST = 1 << 11
# Counting one value among the matches of a tier: so much, and so much more for so many rows of the tier.
_COUNT_UNITS = 2
_COUNT_SHARE = 1 << 15
_STEP = 16
_COUNT_BYTES = 120


@dataclass(frozen=True, slots=True)
class Facets:
    """Counts of matches by value, most frequent first. A value without a match is not listed.

    If they are not exact, some matches are not counted: each number is at most the true one.
    """

    total: int
    types: list[tuple[str, int]]
    sources: list[tuple[str, int]]
    base_models: list[tuple[str, int]]
    tags: list[tuple[str, int]]
    is_exact: bool = True
    # The counts of the further fields that the caller names.
    others: Mapping[str, list[tuple[str, int]]] = field(default_factory=dict)


def facets(
    parts: Sequence[LiveSegment],
    plan: Plan,
    tags_max: int,
    budget: Budget | None = None,
    others: Sequence[str] = (),
    fields: Sequence[str] | None = None,
) -> Facets:
    """Return the counts over all matches. Base models and tags are folded, as filters compare them.

    ``others`` are further fields of which each row has one value. With ``fields``, only these are counted, and no tags.
    """
    budget = budget or Budget()
    counted = [_Counted(part, plan, budget) for part in parts if not plan.is_impossible]
    total, is_exact = sum(part.total for part in counted), all(part.is_exact for part in counted)
    tags_max = tags_max if fields is None else 0
    fields = (*FIELDS, *others) if fields is None else fields
    by_field: dict[str, list[tuple[str, int]]] | None = None
    try:
        by_field = _count_fields(counted, fields, budget)
        tags = _top_tags(counted, tags_max, budget)
    except OverBudgetError:
        if budget.is_quick:
            raise
        is_exact = False
        counted = [part.first_tiers() for part in counted]
        by_field = by_field or _count_fields(counted, fields, Budget())
        tags = _top_tags(counted, tags_max, Budget())
    types, sources, bases = (by_field.get(name, []) for name in FIELDS)
    by_other = {name: by_field[name] for name in fields if name not in FIELDS}
    return Facets(total, types, sources, bases, tags, is_exact, by_other)


def _count_fields(
    counted: Sequence["_Counted"], fields: Sequence[str], budget: Budget
) -> dict[str, list[tuple[str, int]]]:
    by_field = {}
    for field_name in fields:
        counts: dict[str, int] = {}
        for part in counted:
            for name, number in part.count_field(field_name, budget):
                counts[name] = counts.get(name, 0) + number
        by_field[field_name] = _by_frequency(counts)
    return by_field


def _by_frequency(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(((name, count) for name, count in counts.items() if count), key=lambda pair: (-pair[1], pair[0]))


@dataclass(frozen=True, slots=True)
class _Tier:
    """The matches of one tier, and the counts of filters among them, as far as they were asked for."""

    tier: int
    rows: BitMap
    counts: dict[str, Sequence[int]]

    def count(self, segment: Segment, name: str, keys: Keys, spend: Spend) -> Sequence[int]:
        """Return how many matches are in the set of each key. ``name`` stands for these keys, whatever the matches."""
        numbers = self.counts.get(name)
        if numbers is None:
            sets = segment.several(self.tier, keys, spend)
            size = segment.bounds[self.tier + 1] - segment.bounds[self.tier]
            spend(len(keys) * (_COUNT_UNITS + size // _COUNT_SHARE))
            count_shared, every = self.rows.intersection_cardinality, len(self.rows)
            numbers = array("I", [count_shared(s) if isinstance(s, BitMap) else every if s is ALL else 0 for s in sets])
            self.counts[name] = numbers
        return numbers


def matches_of_tier(part: LiveSegment, plan: Plan, tier: int, budget: Budget) -> tuple[_Tier, bool]:
    """Return the matches of a tier, from the segment's cache if no other rows of it have died, and if they are all."""
    key = ("matches", tier, plan)
    cache = part.segment.computed
    entry: tuple[_Tier, BitMap | All | None] | None = cache.get(key)
    if entry is not None and entry[1] is part.deleted[tier]:
        return entry[0], True
    rows, is_exact = matched_rows(part, plan, tier, budget)
    matches = _Tier(tier, rows if isinstance(rows, BitMap) else BitMap(rows), {})
    if is_exact:
        space = part.segment.bounds[tier + 1] - part.segment.bounds[tier]
        counts_bytes = _COUNT_BYTES * (300 if len(rows) else 1)
        cache.put(key, (matches, part.deleted[tier]), size_of_rows(matches.rows, space) + counts_bytes)
    return matches, is_exact


class _Counted:
    """The matches of one part, and counts over them."""

    def __init__(self, part: LiveSegment, plan: Plan, budget: Budget) -> None:
        self.segment = part.segment
        tiers = [matches_of_tier(part, plan, tier, budget) for tier in range(len(part.segment.tiers))]
        self.is_exact = all(is_exact for _, is_exact in tiers)
        total = sum(len(matches.rows) for matches, _ in tiers)
        few_rows = min(_FEW_ROWS, max(_FEW_ROWS_OF_ANY, part.segment.count // _FEW_SHARE))
        if total <= few_rows:
            budget.spend_on_page(total)
        self._set_tiers([matches for matches, _ in tiers if matches.rows], few_rows)

    def _set_tiers(self, tiers: list[_Tier], few_rows: int) -> None:
        self._tiers = tiers
        self.total = sum(len(matches.rows) for matches in tiers)
        self._by_row: Numbers | None = None
        self._tags = self.segment.filters.tags
        self._tag_counts = self.segment.filters.row_counts
        self._names: dict[str, int] = {}
        if self.total <= few_rows:
            rows = [np.empty(0, np.uint32), *(np.frombuffer(t.rows.to_array(), np.uint32) for t in tiers)]
            self._by_row = self._tag_counts = self.segment.filters.counts_of(np.concatenate(rows))
            self._tags = self.segment.filters.sort_by(self._by_row, self._tags)

    def first_tiers(self) -> "_Counted":
        """Return the same with the matches of the first tiers only."""
        first = object.__new__(_Counted)
        first.segment, first.is_exact = self.segment, False
        first._set_tiers([matches for matches in self._tiers if matches.tier < _FIRST_TIERS], _FEW_ROWS_OF_FIRST)
        return first

    def count_field(self, name: str, budget: Budget) -> Iterable[tuple[str, int]]:
        """Return the values of a field with their counts."""
        values = self.segment.filters.values(name)
        if self._by_row is not None:
            return zip(values.names, self._by_row[values.numbers].tolist(), strict=True)
        return zip(values.names, self._count_in_sets(name, values.keys, budget), strict=True)

    def count_tag(self, name: str, budget: Budget) -> int:
        """Return how many matches have a tag."""
        number = self._names.get(name)
        if number is None:
            (number,) = self._count_in_sets(f"tag={name}", (filter_key(f"tag={name}"),), budget)
        return number

    def _count_in_sets(self, name: str, keys: Keys, budget: Budget) -> list[int]:
        tiers = [matches.count(self.segment, name, keys, budget.spend) for matches in self._tiers]
        return list(map(sum, zip(*tiers, strict=True))) if tiers else [0] * len(keys)

    def tags_left(self, at: int) -> int:
        """Return the most matches that any tag from place ``at`` of this part's order of tags on can have."""
        return min(int(self._tag_counts[self._tags[at]]), self.total) if at < len(self._tags) else 0

    def count_tags(self, at: int, budget: Budget) -> Iterable[tuple[str, int]]:
        """Return the tags of one step with their counts."""
        filters = self.segment.filters
        if self._by_row is None:
            tags = filters.tag_values(at, _STEP)
            return zip(tags.names, self._count_in_sets(f"{at}", tags.keys, budget), strict=True)
        numbers = self._tags[at : at + _STEP].tolist()
        names = [filters.name(number).partition("=")[2] for number in numbers]
        counts = dict(zip(names, self._by_row[numbers].tolist(), strict=True))
        self._names |= counts
        return counts.items()


def _top_tags(counted: list[_Counted], tags_max: int, budget: Budget) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    at = 0
    while tags_max and (bound := sum(part.tags_left(at) for part in counted)):
        best = heapq.nlargest(tags_max, counts.values())
        if len(best) == tags_max and best[-1] > bound:
            break
        budget.spend(_STEP * len(counted))
        steps = [(part, *pair) for part in counted for pair in part.count_tags(at, budget)]
        for part, name, number in steps:
            if name not in counts:
                others = (other.count_tag(name, budget) for other in counted if other is not part)
                counts[name] = number + sum(others)
        at += _STEP
    return list(islice(_by_frequency(counts), tags_max))
