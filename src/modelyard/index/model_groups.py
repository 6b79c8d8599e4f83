"""Lists of models for people: one entry for each version group, with what a card shows beside the record.

The walk is that of a page. It takes a match if no other match of its group comes before it in the order, in whatever
segment. So a page needs no state of the pages before it, a group never comes twice, and the entry of a group is its
best version of those that the filters match and the viewer may see.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelyard.domain import POPULAR, Offset, Position, SortPosition, split_sort
from modelyard.index import search, sorted_pages
from modelyard.index.budget import Budget
from modelyard.index.facets import matches_of_tier
from modelyard.index.order import BY_NUMBER, Walk
from modelyard.index.search import Count, LiveSegment, Plan
from modelyard.index.segment import Array

Start = Position | SortPosition | Offset | None
# A number of a part, and a row of it.
Hit = tuple[int, int]
_NEWEST, _SIZE, _ADDED = (BY_NUMBER.index(name) for name in ("newest", "size", "added"))
# Hits beyond the limit that the first step takes: about so many matches of a page are further versions.
_SPARE_HITS = 16


@dataclass(frozen=True, slots=True)
class ListedModel:
    """One entry. ``versions`` is how many versions of its group the viewer may see; 1 without a group."""

    record: bytes
    title: str
    rank: int
    size_bytes: int | None
    published_at: int | None
    added_at: int | None
    versions: int


@dataclass(frozen=True, slots=True)
class Listing:
    """The entries of a page, and the position after which the next one starts (None at the end)."""

    models: list[ListedModel]
    following: Position | SortPosition | None


def list_models(
    parts: Sequence[LiveSegment],
    plan: Plan,
    visible: Plan,
    sort: str,
    start: Start,
    limit: int,
    budget: Budget | None = None,
    *,
    is_grouped: bool,
) -> Listing:
    """Return up to ``limit`` entries from ``start`` on. ``visible`` is the plan of all models that the viewer may see.

    An offset counts matches, not groups. Raises OverBudgetError if the budget is quick, and used.
    """
    if plan.is_impossible or not parts:
        return Listing([], None)
    budget = budget or Budget()
    if isinstance(start, Offset):
        if start.matches:
            before = Offset(start.matches - 1)
            start = (
                search.page(parts, plan, before, 1, budget).following
                if sort == POPULAR
                else sorted_pages.sorted_page(parts, plan, sort, before, 1, budget).following
            )
            if start is None:
                return Listing([], None)
        else:
            start = None
    return _Lister(parts, plan, visible, sort, budget, is_grouped=is_grouped).collect(start, limit)


class _Lister:
    """Walks the matches of one question."""

    def __init__(
        self,
        parts: Sequence[LiveSegment],
        plan: Plan,
        visible: Plan,
        sort: str,
        budget: Budget,
        *,
        is_grouped: bool,
    ) -> None:
        self._parts, self._plan, self._visible, self._sort, self._budget = parts, plan, visible, sort, budget
        self._is_grouped = is_grouped
        # For each group that was met: its first match in the order, and how many versions the viewer may see.
        self._groups: dict[int, tuple[Hit, int]] = {}
        name, is_reversed = split_sort(sort)
        self._walks = (
            []
            if sort == POPULAR
            else [Walk(name, part.segment.sorted_by(None if name == POPULAR else name), is_reversed) for part in parts]
        )

    def collect(self, start: Position | SortPosition | None, limit: int) -> Listing:
        """Return the entries from ``start`` on."""
        models: list[ListedModel] = []
        size = limit + _SPARE_HITS if self._is_grouped else limit
        while True:
            hits = self._hits(start, size)
            for hit in hits:
                versions = self._count_versions(hit)
                if versions:
                    models.append(self._entry(hit, versions))
                    if len(models) == limit:
                        return Listing(models, self._position(hit))
            if len(hits) < size:
                return Listing(models, None)
            start = self._position(hits[-1])

    def _hits(self, start: Position | SortPosition | None, size: int) -> list[Hit]:
        parts, plan = self._parts, self._plan
        if not self._walks:
            assert not isinstance(start, SortPosition), "the parser refuses a position of another order"
            firsts = [part.segment.row_after(start) if start else 0 for part in parts]
            return search.merged_rows(parts, plan, firsts, size, self._budget)
        assert not isinstance(start, Position), "the parser refuses a position of another order"
        hits = [
            (number, row)
            for number, (part, walk) in enumerate(zip(parts, self._walks, strict=True))
            for row in sorted_pages.take(part, plan, walk, sorted_pages.first_number(walk, start), size, self._budget)
        ]
        if len(parts) > 1:
            hits.sort(key=self._key)
        return hits[:size]

    def _key(self, hit: Hit) -> Any:
        number, row = hit
        return self._walks[number].sort_key_of(row) if self._walks else self._parts[number].segment.order(row)

    def _position(self, hit: Hit) -> Position | SortPosition:
        number, row = hit
        if self._walks:
            return sorted_pages.position_of(self._sort, self._walks[number], row)
        return self._parts[number].segment.position(row)

    def _count_versions(self, hit: Hit) -> int:
        """Return how many versions the viewer may see of a match; 0 if another version stands for its group."""
        group = self._parts[hit[0]].segment.group(hit[1])
        if not group:
            return 1
        if not self._is_grouped:
            return len(self._members(group, self._visible))
        if group not in self._groups:
            self._groups[group] = self._look_up(group, hit)
        first, versions = self._groups[group]
        return versions if first == hit else 0

    def _look_up(self, group: int, hit: Hit) -> tuple[Hit, int]:
        members = self._members(group, self._visible)
        if len(members) < 2:
            return hit, 1
        matches = [member for member in members if search.is_match(self._parts[member[0]], self._plan, member[1])]
        # A match by hash is in a part of its own, beside the segment that holds the row.
        return min([*matches, hit], key=self._key), len({self._parts[at].segment.order(row)[1] for at, row in members})

    def _members(self, group: int, plan: Plan) -> list[Hit]:
        members = [
            (number, row) for number, part in enumerate(self._parts) for row in part.segment.rows_of_group(group)
        ]
        self._budget.spend_on_page(len(members))
        return [(number, row) for number, row in members if search.passes(self._parts[number], plan, row)]

    def _entry(self, hit: Hit, versions: int) -> ListedModel:
        number, row = hit
        segment = self._parts[number].segment
        keys = segment.sort_keys(row)
        (record,) = segment.records((row,))
        return ListedModel(
            record,
            segment.title(row).decode(),
            segment.position(row).rank,
            keys[_SIZE],
            keys[_NEWEST],
            keys[_ADDED],
            versions,
        )


def count_groups(parts: Sequence[LiveSegment], plan: Plan, budget: Budget) -> Count:
    """Return how many entries all pages of a query have.

    Cost: array operations on all matches, and a look-up for each group of a small part.
    Raises OverBudgetError if the budget is quick, and used.
    """
    marks: list[tuple[LiveSegment, Array]] = []
    number, is_exact = 0, True
    # The largest part first: the groups of the smaller ones are looked up in it.
    for part in sorted(parts, key=lambda part: -part.segment.count) if not plan.is_impossible else ():
        segment = part.segment
        is_lead = np.zeros(segment.count, bool)
        for tier in range(len(segment.tiers)):
            matches, is_whole = matches_of_tier(part, plan, tier, budget)
            is_lead[segment.arrays.leads[np.frombuffer(matches.rows.to_array(), np.uint32)]] = True
            is_exact = is_exact and is_whole
        number += int(np.count_nonzero(is_lead))
        if marks:
            groups = segment.arrays.groups[is_lead]
            groups = groups[groups != 0]
            is_repeated = np.zeros(len(groups), bool)
            for other, is_other_lead in marks:
                is_repeated |= _are_marked(other, is_other_lead, groups)
            number -= int(np.count_nonzero(is_repeated))
        marks.append((part, is_lead))
    return Count(number, is_exact)


def _are_marked(part: LiveSegment, is_lead: Array, groups: Array) -> Array:
    """Return which of the groups have a marked lead in a part."""
    keys, rows = part.segment.arrays.group_keys, part.segment.arrays.group_rows
    if not len(keys):
        return np.zeros(len(groups), bool)
    at = np.minimum(np.searchsorted(keys, groups), len(keys) - 1)
    # The first row of a group is its lead.
    is_marked: Array = (keys[at] == groups) & is_lead[rows[at]]
    return is_marked
