"""Pages in the other orders than popularity.

The search finds the rows that are in every set, as for any page. If they are few, it takes their numbers in the order,
and the smallest of those. If they are many, it walks the order from the page's start, and takes the rows that are
among them. Both cost at most some hundred microseconds a million rows.
"""

from array import array
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
from pyroaring import BitMap

from modelyard.domain import LIMIT_MAX, POPULAR, Offset, SortPosition, split_sort
from modelyard.index.budget import FURTHER_SHARE, SET_UNITS, Budget, Spend
from modelyard.index.order import Walk
from modelyard.index.search import EMPTY, LiveSegment, Page, Plan, all_matches, are_fewer, matches, tier_rows
from modelyard.index.segment_arrays import Array
from modelyard.index.set_cache import size_of_rows

# Walking past a row costs five times as much as taking the number of a row (60 and 12 ns, 2026-11).
_WALK_COST = 5
# Putting so many matches into an order costs as much as reading one text.
_ORDERED_SHARE = 32
_STEP_ROWS, _STEP_ROWS_MAX = 256, 4_096
# A walk ends when it is this much longer than expected: the order and the filters are related.
_WALK_LENGTHS = 4
# A page reads the texts of this many rows before all rows are verified by windows.
_PATIENCE_ROWS = 3_000
# Reading so many texts is counted at once.
_READ_STEP = 32


def sorted_page(
    parts: Sequence[LiveSegment],
    plan: Plan,
    sort: str,
    start: SortPosition | Offset | None,
    limit: int,
    budget: Budget | None = None,
) -> Page:
    """Return up to ``limit`` records from ``start`` on, in the order ``sort``.

    Raises OverBudgetError if the budget is quick, and used.
    """
    if plan.is_impossible or not parts:
        return EMPTY
    budget = budget or Budget()
    name, is_reversed = split_sort(sort)
    walks = [Walk(name, part.segment.sorted_by(None if name == POPULAR else name), is_reversed) for part in parts]
    if isinstance(start, Offset):
        found = _after_matches(parts, plan, walks, start.matches, limit, budget)
    else:
        found = [
            take(part, plan, walk, first_number(walk, start), limit, budget)
            for part, walk in zip(parts, walks, strict=True)
        ]
    if len(parts) == 1:
        rows = found[0][:limit]
        return Page(
            parts[0].segment.rendered(rows, plan.has_summaries),
            position_of(sort, walks[0], rows[-1]) if len(rows) == limit else None,
        )
    candidates = [
        (walk.sort_key_of(row), number, row)
        for number, (walk, rows) in enumerate(zip(walks, found, strict=True))
        for row in rows
    ]
    hits = sorted(candidates)[:limit]
    records = [parts[number].segment.rendered((row,), plan.has_summaries)[0] for _, number, row in hits]
    return Page(records, position_of(sort, walks[hits[-1][1]], hits[-1][2]) if len(hits) == limit else None)


def position_of(sort: str, walk: Walk, row: int) -> SortPosition:
    key = walk.order.key_of(row)
    return SortPosition(sort, key.decode() if isinstance(key, bytes) else key, walk.order.id_of(row))


def first_number(walk: Walk, start: SortPosition | None) -> int:
    """Return the number of the row where the page starts."""
    if start is None:
        return 0
    key = start.key.encode() if isinstance(start.key, str) else start.key
    return walk.number_after(key, start.id)


def take(part: LiveSegment, plan: Plan, walk: Walk, first: int, limit: int, budget: Budget) -> list[int]:
    """Return the first ``limit`` matching rows from the number ``first`` on, in the order of the walk."""
    if plan.picks:
        rows = np.fromiter(matches(part, plan), np.int64)
        numbers = np.sort(walk.numbers_of(rows))
        return walk.rows_of(numbers[numbers >= first])[:limit].tolist()  # type: ignore[no-any-return] # numpy is untyped
    if (known := _cached_order(part, plan, walk)) is not None:
        return _rows_from(walk, known, first, limit)
    budget.spend_on_page(SET_UNITS * len(part.segment.tiers) * (len(plan.unions) + len(plan.grams)))
    candidates = _candidates(part, plan, budget)
    if candidates is None:
        return []
    collector = _Collector(part, plan.terms, limit, budget.spend_on_page)
    # The shorter of both: they meet at the square root of (page × rows).
    if len(candidates) ** 2 > _WALK_COST * limit * walk.order.count:
        first = _walk(walk, candidates, first, limit, collector)
        if not plan.terms and not collector.is_full and first < walk.order.count:
            ordered = _ordered(part, plan, walk, budget)
            return [*collector.hits, *_rows_from(walk, ordered, first, limit - len(collector.hits))]
    if not collector.is_full and first < walk.order.count:
        first = _gather(walk, candidates, first, collector)
    if collector.has_given_up:
        # Verify all rows by windows, which remembers them: more of a page than this would be read row by row.
        matched = BitMap.union(BitMap(), *(BitMap(rows) for rows in _matched(part, plan, budget)))
        collector = _Collector(part, (), limit, budget.spend_on_page, collector.hits)
        _gather(walk, matched, first, collector)
    return collector.hits


def _matched(part: LiveSegment, plan: Plan, budget: Budget) -> Iterator[BitMap | range]:
    for tier in range(len(part.segment.tiers)):
        yield from all_matches(part, plan, tier, budget)


class _Collector:
    """Collects the first rows that hold every term, until there are enough or it has read too many texts."""

    def __init__(
        self, part: LiveSegment, terms: tuple[bytes, ...], limit: int, spend: Spend, hits: list[int] | None = None
    ) -> None:
        self._text = part.segment.text
        self._spend = spend
        share = FURTHER_SHARE if part.segment.has_further else 1
        self._units_of_step = _READ_STEP * share
        self._terms = terms
        self._limit = limit
        self._patience = _PATIENCE_ROWS // share
        self.hits = hits or []

    @property
    def is_full(self) -> bool:
        """Whether the page has all its rows, or the collector reads no more."""
        return len(self.hits) == self._limit or self.has_given_up

    @property
    def has_given_up(self) -> bool:
        """Whether rows are left unread because too many texts were read."""
        return self._patience < 0 and len(self.hits) < self._limit

    def add(self, rows: list[int]) -> int:
        """Add those of the rows that match, in their order; return how many it has looked at."""
        if not self._terms:
            self.hits += rows[: self._limit - len(self.hits)]
            return len(rows)
        for at, row in enumerate(rows):
            self._patience -= 1
            if self._patience < 0:
                return at
            if at % _READ_STEP == 0:
                self._spend(self._units_of_step)
            row_text = self._text(row)
            if all(term in row_text for term in self._terms):
                self.hits.append(row)
                if len(self.hits) == self._limit:
                    return at
        return len(rows)


def _candidates(part: LiveSegment, plan: Plan, budget: Budget) -> BitMap | range | None:
    """Return the rows of all tiers that are in every set; None if there is none.

    They are cached: a person looks at several pages, and in several orders.
    """
    key, cache, count = ("candidates", plan), part.segment.computed, part.segment.count
    entry: tuple[BitMap | None, object] | None = cache.get(key)
    if entry is not None and entry[1] is part.deleted:
        return entry[0]
    spend = budget.spend_on_page
    some = (tier_rows(part, plan, tier, spend) for tier in range(len(part.segment.tiers)))
    tiers = [rows for rows in some if rows is not None]
    if tiers and all(isinstance(rows, range) for rows in tiers) and len(tiers) == len(part.segment.tiers):
        return range(count)
    bitmaps = [rows if isinstance(rows, BitMap) else BitMap(rows) for rows in tiers]
    candidates = BitMap.union(*bitmaps) if bitmaps else None
    cache.put(key, (candidates, part.deleted), size_of_rows(candidates, count) if candidates else 0)
    return candidates


def _walk(walk: Walk, candidates: BitMap | range, first: int, limit: int, collector: _Collector) -> int:
    """Walk the order from ``first`` on, and collect matches until they are enough or the walk is long.

    Return the number of the first row that was not looked at.
    """
    expected = limit * walk.order.count // len(candidates)
    size = max(_STEP_ROWS, min(2 * expected, _STEP_ROWS_MAX))
    end = min(walk.order.count, first + size + _WALK_LENGTHS * expected)
    while first < end and not collector.is_full:
        last = min(first + size, end)
        numbers = np.arange(first, last)
        rows = walk.rows_of(numbers)
        if isinstance(candidates, BitMap):
            met = BitMap(array("I", rows.astype(np.uint32).tobytes())) & candidates
            numbers = np.sort(walk.numbers_of(_numbers(met)))
            rows = walk.rows_of(numbers)
        looked_at = collector.add(rows.tolist())
        first = last if looked_at == len(rows) else int(numbers[looked_at])
    return first


def _gather(walk: Walk, candidates: BitMap | range, first: int, collector: _Collector) -> int:
    """Collect the matches with the smallest numbers from ``first`` on.

    Return the number of the first candidate that was not looked at.
    """
    rows = _numbers(candidates if isinstance(candidates, BitMap) else BitMap(candidates))
    numbers = walk.numbers_of(rows)
    if first:
        numbers = numbers[numbers >= first]
    for smallest in _by_size(numbers, 4 * LIMIT_MAX, first, walk.order.count):
        looked_at = collector.add(walk.rows_of(smallest).tolist())
        if collector.is_full:
            return int(smallest[looked_at]) if looked_at < len(smallest) else walk.order.count
    return walk.order.count


def _by_size(numbers: Array, size: int, low: int, count: int) -> Iterator[Array]:
    """Yield numbers between ``low`` and ``count``, the smallest first: about ``size`` of them, then four times as many.

    Sorting what is below a bound costs a quarter of a partition.
    """
    while len(numbers) > size:
        bound = low + (count - low) * size // len(numbers) + 1
        is_below = numbers < bound
        yield np.sort(numbers[is_below])
        numbers, low, size = numbers[~is_below], bound, size * 4
    yield np.sort(numbers)


def _numbers(rows: BitMap) -> Array:
    return np.frombuffer(rows.to_array(), np.uint32)


def _after_matches(
    parts: Sequence[LiveSegment], plan: Plan, walks: Sequence[Walk], skip: int, limit: int, budget: Budget
) -> list[list[int]]:
    """Return the rows of each part from which the page after ``skip`` matches of all parts is made.

    The search bisects the largest part's matches for the last one with at most ``skip`` matches before it.
    """
    if are_fewer(parts, plan, skip, budget):
        return [[] for _ in parts]
    ranked = [_ordered(part, plan, walk, budget) for part, walk in zip(parts, walks, strict=True)]
    if skip >= sum(map(len, ranked)):
        return [[] for _ in parts]
    leader = max(range(len(parts)), key=lambda number: len(ranked[number]))

    def preceding(number: int) -> list[int]:
        """Return how many matches of each part stand before the leader's ``number``-th."""
        order = walks[leader].order
        row = walks[leader].row(ranked[leader][number])
        key, model_id = order.key_of(row), order.id_of(row)
        firsts = [0 if at == leader else walk.number_after(key, model_id) for at, walk in enumerate(walks)]
        return [
            number if at == leader else ranked[at].rank(first - 1) if first else 0 for at, first in enumerate(firsts)
        ]

    low, high = 0, len(ranked[leader])
    if len(parts) == 1:
        low = high = skip + 1
    while low < high:
        middle = (low + high) // 2
        if sum(preceding(middle)) <= skip:
            low = middle + 1
        else:
            high = middle
    starts = preceding(low - 1) if low else [0] * len(parts)
    end = skip - sum(starts) + limit
    rows = [
        _rows_from(walk, numbers, numbers[at], end) if at < len(numbers) else []
        for walk, numbers, at in zip(walks, ranked, starts, strict=True)
    ]
    return _without_first(walks, rows, skip - sum(starts))


def _without_first(walks: Sequence[Walk], rows: list[list[int]], skip: int) -> list[list[int]]:
    """Return the rows of each part without the first ``skip`` of all."""
    if not skip:
        return rows
    ordered = sorted((walk.sort_key_of(row), at, row) for at, walk in enumerate(walks) for row in rows[at])
    left: list[list[int]] = [[] for _ in walks]
    for _, at, row in ordered[skip:]:
        left[at].append(row)
    return left


def _ordered(part: LiveSegment, plan: Plan, walk: Walk, budget: Budget) -> BitMap:
    """Return the numbers of all matches, from the segment's cache if no other rows of it have died."""
    numbers = _cached_order(part, plan, walk)
    if numbers is not None:
        return numbers
    is_match = np.zeros(walk.order.count, bool)
    for rows in _matched(part, plan, budget):
        budget.spend_on_page(len(rows) // _ORDERED_SHARE)
        is_match[walk.numbers_of(_numbers(rows if isinstance(rows, BitMap) else BitMap(rows)))] = True
    numbers = BitMap(array("I", np.flatnonzero(is_match).astype(np.uint32).tobytes()))
    key = ("numbers", walk.name, walk.is_reversed, plan)
    part.segment.computed.put(key, (numbers, part.deleted), size_of_rows(numbers, walk.order.count))
    return numbers


def _cached_order(part: LiveSegment, plan: Plan, walk: Walk) -> BitMap | None:
    entry: tuple[BitMap, object] | None = part.segment.computed.get(("numbers", walk.name, walk.is_reversed, plan))
    return entry[0] if entry is not None and entry[1] is part.deleted else None


def _rows_from(walk: Walk, numbers: BitMap, first: int, limit: int) -> list[int]:
    """Return the rows of up to ``limit`` of the numbers from ``first`` on."""
    found = np.fromiter(islice(numbers.iter_equal_or_larger(first), limit), np.int64)
    return walk.rows_of(found).tolist()  # type: ignore[no-any-return] # numpy is untyped
