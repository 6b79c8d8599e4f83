"""Lists of models for people: one entry for each version group, with what a card shows beside the record.

The walk is that of a page. It takes a match if no other match of its group comes before it in the order, in whatever
segment. So a page needs no state of the pages before it, a group never comes twice, and the entry of a group is its
best version of those that the filters match and the viewer may see.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelyard.domain import POPULAR, Offset, Position, SortPosition, split_sort
from modelyard.index import search, sorted_pages
from modelyard.index.budget import Budget
from modelyard.index.facets import matches_of_tier
from modelyard.index.order import BY_NUMBER, Walk
from modelyard.index.row_masks import Mask, mark
from modelyard.index.search import Count, Dead, LiveSegment, Plan
from modelyard.index.segment_arrays import Array

Start = Position | SortPosition | Offset | None
# A number of a part, and a row of it.
Hit = tuple[int, int]
_NEWEST, _SIZE, _ADDED = (BY_NUMBER.index(name) for name in ("newest", "size", "added"))
# Hits beyond the limit that the first step takes: about so many matches of a page are further versions.
_SPARE_HITS = 16
# The groups of so many matches, or of such a share of the rows, are counted by sorting, 15 ns a match; of more, by
# looking at the rows of all groups, 1 ns each.
_SORTED_MAX, _SORTED_SHARE = 1 << 14, 16
_COUNT_BYTES = 500


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


@dataclass(frozen=True, slots=True)
class Leads:
    """The ids of the versions that stand for the entries of a page, and the position after which the next page starts
    (None at the end). ``position_after`` returns the position after an entry, by its number."""

    ids: tuple[int, ...]
    following: Position | SortPosition | None
    position_after: Callable[[int], Position | SortPosition]


def _refuse_number(number: int) -> Position:
    raise IndexError(number)


NO_LEADS = Leads((), None, _refuse_number)


def list_leads(
    parts: Sequence[LiveSegment],
    plan: Plan,
    visible: Plan,
    sort: str,
    start: Position | SortPosition | None,
    limit: int,
    budget: Budget | None = None,
) -> Leads:
    """Return the entries that ``list_models`` returns in groups, without what a card shows."""
    if plan.is_impossible or not parts:
        return NO_LEADS
    return _Lister(parts, plan, visible, sort, budget or Budget(), is_grouped=True).collect_leads(start, limit)


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

    def collect_leads(self, start: Position | SortPosition | None, limit: int) -> Leads:
        """Return the entries from ``start`` on."""
        leads: list[Hit] = []
        groups: set[int] = set()
        while True:
            room = limit - len(leads)
            size = room + room // 2 + _SPARE_HITS
            hits = self._hits(start, size)
            for hit, group, is_best in zip(hits, *self._groups_of(hits), strict=True):
                if group in groups or not (is_best or self._is_lead(hit, group)):
                    continue
                if group:
                    groups.add(group)
                leads.append(hit)
                if len(leads) == limit:
                    return self._leads(leads, self._position(hit))
            if len(hits) < size:
                return self._leads(leads, None)
            start = self._position(hits[-1])

    def _leads(self, hits: Sequence[Hit], following: Position | SortPosition | None) -> Leads:
        ids = tuple(-self._parts[number].segment.order(row)[1] for number, row in hits)
        return Leads(ids, following, lambda number: self._position(hits[number]))

    def _groups_of(self, hits: Sequence[Hit]) -> tuple[Sequence[int], Sequence[bool]]:
        """Return the group of each match, and whether no row of its group can come before it."""
        if self._walks or len(self._parts) > 1:
            groups = [self._parts[number].segment.group(row) for number, row in hits]
            return groups, [not group for group in groups]
        rows = np.array([row for _, row in hits], np.int64)
        arrays = self._parts[0].segment.arrays
        return arrays.groups[rows].tolist(), (arrays.leads[rows] == rows).tolist()

    def _is_lead(self, hit: Hit, group: int) -> bool:
        """Whether a match stands for its group, whose best row is another one."""
        number, row = hit
        if self._walks or len(self._parts) > 1:
            return self._look_up(group, hit)[0] == hit
        segment = self._parts[number].segment
        # The best row of the group nearly always matches.
        if search.is_match(self._parts[0], self._plan, int(segment.arrays.leads[row])):
            return False
        members = [member for member in segment.rows_of_group(group) if member < row]
        self._budget.spend_on_page(len(members))
        return not any(search.is_match(self._parts[0], self._plan, member) for member in members)

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
        if not self._walks and len(self._parts) == 1:
            return self._best_of(hit, members), len(members)
        matches = [member for member in members if search.is_match(self._parts[member[0]], self._plan, member[1])]
        # A match by hash is in a part of its own, beside the segment that holds the row.
        return min([*matches, hit], key=self._key), len({self._parts[at].segment.order(row)[1] for at, row in members})

    def _best_of(self, hit: Hit, members: Sequence[Hit]) -> Hit:
        """Return the first match of a group in the order of rows: only members before a match can come before it."""
        part = self._parts[0]
        before = (member for member in members if member[1] < hit[1])
        return next((member for member in before if search.is_match(part, self._plan, member[1])), hit)

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

    Cost: about 1.3 ms at a million rows, less for few matches, and a look-up for each group of a small part.
    Raises OverBudgetError if the budget is quick, and used.
    """
    number, is_exact = 0, True
    larger: list[_Groups] = []
    # The largest part first: the groups of the smaller ones are looked up in it.
    for part in sorted(parts, key=lambda part: -part.segment.count) if not plan.is_impossible else ():
        groups = _Groups(part, plan, budget)
        number += groups.count() - (groups.count_in(larger) if larger else 0)
        is_exact = is_exact and groups.is_exact
        larger.append(groups)
    return Count(number, is_exact)


class _Groups:
    """The groups of the matches of one part. A match without a group is one of its own."""

    def __init__(self, part: LiveSegment, plan: Plan, budget: Budget) -> None:
        self._part, self._key = part, ("groups", plan)
        tiers = [matches_of_tier(part, plan, tier, budget) for tier in range(len(part.segment.tiers))]
        self.is_exact = all(is_whole for _, is_whole in tiers)
        self._tiers = [matches.rows for matches, _ in tiers if matches.rows]
        self._total = sum(map(len, self._tiers))

    def count(self) -> int:
        """Return how many there are, from the segment's cache if no other rows have died."""
        cache, deleted = self._part.segment.computed, self._part.deleted
        entry: tuple[int, Dead] | None = cache.get(self._key)
        if entry is not None and all(one is other for one, other in zip(entry[1], deleted, strict=True)):
            return entry[0]
        number = self._count_few() if self._total <= self._few_rows() else self._count_many()
        if self.is_exact:
            cache.put(self._key, (number, deleted), _COUNT_BYTES)
        return number

    def count_in(self, others: Sequence["_Groups"]) -> int:
        """Return how many of the groups have a match in another part too."""
        groups = self._part.segment.arrays.groups[self._rows()]
        groups = np.sort(groups[groups != 0])
        groups = groups[_is_first(groups)]
        is_repeated = np.zeros(len(groups), bool)
        for other in others:
            is_repeated |= other.have_match(groups)
        return int(np.count_nonzero(is_repeated))

    def have_match(self, groups: Array) -> Array:
        """Return which of some groups have a match here."""
        keys, rows = self._part.segment.arrays.group_keys, self._part.segment.arrays.group_rows
        low, high = np.searchsorted(keys, groups), np.searchsorted(keys, groups, side="right")
        sizes = high - low
        places = np.arange(int(sizes.sum())) + np.repeat(low - np.cumsum(sizes) + sizes, sizes)
        owners = np.repeat(np.arange(len(groups)), sizes)[self._mask()[rows[places]]]
        return np.bincount(owners, minlength=len(groups)) > 0

    def _few_rows(self) -> int:
        return max(_SORTED_MAX, self._part.segment.count // _SORTED_SHARE)

    def _count_few(self) -> int:
        """Count the distinct first rows of the matches' groups."""
        leads = np.sort(self._part.segment.arrays.leads[self._rows()])
        return int(np.count_nonzero(_is_first(leads)))

    def _count_many(self) -> int:
        """Count the groups that have a matching row, and the matches without a group.

        Column by column: taking bytes by number costs 1 ns, picking or marking some of many costs 4 (2026-11).
        """
        columns, others, owners = self._part.segment.group_columns
        mask = self._mask()
        if not columns:
            return self._total
        has_match = mask.take(columns[0])
        grouped = int(np.count_nonzero(has_match))
        for rows in columns[1:]:
            matches = mask.take(rows)
            grouped += int(np.count_nonzero(matches))
            has_match[: len(rows)] |= matches
        matches = mask.take(others)
        grouped += int(np.count_nonzero(matches))
        has_match[owners[matches]] = True
        return self._total - grouped + int(np.count_nonzero(has_match))

    def _rows(self) -> Array:
        return np.concatenate([np.empty(0, np.uint32), *(np.frombuffer(t.to_array(), np.uint32) for t in self._tiers)])

    def _mask(self) -> Mask:
        mask = np.zeros(self._part.segment.count, bool)
        for rows in self._tiers:
            mark(mask, rows)
        return mask


def _is_first(numbers: Array) -> Array:
    """Return which of sorted numbers differ from the one before."""
    return np.concatenate((numbers[:1] == numbers[:1], numbers[1:] != numbers[:-1]))
