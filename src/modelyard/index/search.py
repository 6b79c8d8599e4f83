"""Finds the rows of a snapshot's segments that match a plan, in order, a page at a time.

A plan holds sets that must all contain a row (each a union of keys), grams that narrow the rows, terms that the text of
a row must contain, and perhaps a short list of rows. For each tier, the search intersects the sets pairwise from the
smallest one on, and stops at the first empty result.

With several segments, the search takes the next rows of each and merges them by (rank, id). A row that a newer segment
replaces is *dead*; the search removes it before it counts or returns rows.

A page walks to its matches and reads the text of each row on the way. A walk that reads many rows continues with
``verification``, and so do counts and offsets: it verifies many rows at once, and caches the result.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from pyroaring import BitMap

from modelyard.domain import Offset, Position, SortPosition
from modelyard.index import verification
from modelyard.index.budget import SET_UNITS, Budget, OverBudgetError, Spend
from modelyard.index.phrases import narrowing_keys
from modelyard.index.segment import ALL, NONE, All, Keys, Segment
from modelyard.index.segment_arrays import Array

Rows = BitMap | range
Dead = tuple[BitMap | All | None, ...]  # the dead rows of each tier


class Plan(NamedTuple):
    """A query as sets. ``unions`` holds the keys of each set that must contain a row: one key, or a union of several.

    ``grams`` narrow by text; ``terms`` are those that the search must verify in the text of a row. ``id`` and
    ``hash_key`` pick single rows.
    """

    unions: tuple[Keys, ...] = ()
    grams: tuple[int, ...] = ()
    terms: tuple[bytes, ...] = ()
    id: int | None = None
    hash_key: int | None = None
    is_impossible: bool = False
    # The words of ``filter.search``, if the terms are theirs; ``fulltext`` makes the parts for them.
    words: tuple[str, ...] = ()
    # Whether pages have the summaries of models instead of their records.
    has_summaries: bool = False

    @property
    def picks(self) -> bool:
        """Whether the plan names single rows."""
        return self.id is not None or self.hash_key is not None


@dataclass(frozen=True, slots=True)
class LiveSegment:
    """A segment of a snapshot, and its dead rows, tier by tier (None for none).

    It stands for the store's revisions up to ``revision``, which removed the models ``removed`` (ids).
    """

    segment: Segment
    deleted: Dead
    revision: int
    removed: Array
    # For a segment on disk, the rows that other segments on disk replace; they are dead whatever is in memory.
    deleted_on_disk: Dead | None = None

    @property
    def is_stored(self) -> bool:
        """Whether the segment lies on disk, for all processes."""
        return self.deleted_on_disk is not None


@dataclass(frozen=True, slots=True)
class Page:
    """A page of rendered records, best first, and the position after which the next one starts (None at the end)."""

    records: list[bytes]
    following: Position | SortPosition | None


# A page reads the texts of this many rows before it verifies whole windows: most pages end sooner (0.2 ms).
_PATIENCE_ROWS = 500
# Up to this many matches, a page at an offset walks to them; beyond, it counts sets.
_WALK_MATCHES = 1_000

# Roaring bitmaps are cut at multiples of 64 Ki; a set with fewer rows than this is intersected whole in a few µs.
_WINDOW_ROWS = 1 << 16
_WINDOW_GROWTH = 4
_DENSE_ROWS = 1 << 14
# The texts of so many rows are read sooner than the sets of further grams are (20 µs a set on first use, 2026-11).
_FEW_ROWS = 16


@dataclass(frozen=True, slots=True)
class Count:
    """How many rows match: exactly so many, or at least so many."""

    number: int
    is_exact: bool = True


EMPTY = Page([], None)


def page(
    parts: Sequence[LiveSegment],
    plan: Plan,
    start: Position | Offset | None,
    limit: int,
    budget: Budget | None = None,
) -> Page:
    """Return up to ``limit`` records from ``start`` on. Raises OverBudgetError if the budget is quick, and used."""
    if plan.is_impossible or not parts:
        return EMPTY
    budget = budget or Budget()
    if isinstance(start, Offset):
        return _page_at_offset(parts, plan, start.matches, limit, budget)
    if len(parts) > 1:
        firsts = [part.segment.row_after(start) if start else 0 for part in parts]
        return _merged(parts, plan, firsts, 0, limit, budget)
    segment = parts[0].segment
    rows = take(parts[0], plan, segment.row_after(start) if start else 0, limit, budget)
    return Page(segment.rendered(rows, plan.has_summaries), segment.position(rows[-1]) if len(rows) == limit else None)


def _merged(
    parts: Sequence[LiveSegment], plan: Plan, firsts: Sequence[int], skip: int, limit: int, budget: Budget
) -> Page:
    hits = merged_rows(parts, plan, firsts, skip + limit, budget)[skip:]
    records = [parts[number].segment.rendered((row,), plan.has_summaries)[0] for number, row in hits]
    return Page(records, parts[hits[-1][0]].segment.position(hits[-1][1]) if len(hits) == limit else None)


def merged_rows(
    parts: Sequence[LiveSegment], plan: Plan, firsts: Sequence[int], limit: int, budget: Budget
) -> list[tuple[int, int]]:
    """Return the first ``limit`` matches of all parts, best first: the number of the part, and the row.

    The walk of each part begins at its row in ``firsts``.
    """
    rows = [take(part, plan, first, limit, budget) for part, first in zip(parts, firsts, strict=True)]
    if len(parts) == 1:
        return [(0, row) for row in rows[0]]
    hits = [(number, row) for number, some in enumerate(rows) for row in some]
    return sorted(hits, key=lambda hit: parts[hit[0]].segment.order(hit[1]))[:limit]


def take(part: LiveSegment, plan: Plan, first: int, limit: int, budget: Budget) -> list[int]:
    """Return the first ``limit`` matching rows from ``first`` on, ascending."""
    segment = part.segment
    patience = int(min(_PATIENCE_ROWS, budget.limit))
    if plan.picks:
        picked: Iterable[int] = (row for row in _picked(segment, plan) if row >= first and passes(part, plan, row))
        return list(islice(picked if not plan.terms else _verified(segment, picked, plan.terms), limit))
    hits: list[int] = []
    for tier in range(segment.tier_of(first) if first else 0, len(segment.tiers)):
        sets = _tier_sets(part, plan, tier, budget.spend_on_page, _FEW_ROWS)
        if sets is None:
            continue
        low, high = segment.bounds[tier], segment.bounds[tier + 1]
        if len(sets) < 2 or high - low <= _WINDOW_ROWS or min(map(len, sets)) < _DENSE_ROWS:
            pieces: Iterable[Rows] = (_shared(sets, part.deleted[tier], low, high),)
        else:
            pieces = _in_windows(sets, part.deleted[tier], max(first, low), high)
        for rows in pieces:
            walk = iter(_from(rows, first, low))
            if not plan.terms:
                hits += islice(walk, limit - len(hits))
            else:
                hits += islice(_verified(segment, islice(walk, patience), plan.terms), limit - len(hits))
                if len(hits) < limit:
                    # The walk has read ``patience`` rows, or all there were.
                    row = next(walk, None)
                    patience = 0 if row is not None else patience - len(rows)
                    if row is not None:
                        hits += islice(_in_bulk(part, plan, tier, rows, row, budget), limit - len(hits))
            if len(hits) == limit:
                return hits
            patience = max(patience, 0)
    return hits


def _in_bulk(part: LiveSegment, plan: Plan, tier: int, candidates: Rows, first: int, budget: Budget) -> Iterator[int]:
    """Yield those candidates from ``first`` on whose text holds every term, ascending, window by window."""
    spend = budget.spend_on_page
    for rows in verification.windows(part.segment, tier, plan.terms, candidates, first, spend):
        yield from rows


def _in_windows(sets: list[BitMap], dead: BitMap | All | None, first: int, high: int) -> Iterator[BitMap]:
    """Yield the rows from ``first`` on that are in all sets, window by window. A page of frequent matches needs one.

    Frequent sets of a million rows take 35 µs to intersect, and 7 µs within one window (2026-11). Windows grow, so that
    few matches, far apart, do not take many small steps.
    """
    sets.sort(key=len)  # the smallest set first: it leaves the fewest rows for the other intersections
    low, size = first - first % _WINDOW_ROWS, _WINDOW_ROWS
    while low < high:
        rows = sets[0] & _window(low, low + size)
        for other in sets[1:]:
            rows &= other
        yield rows - dead if isinstance(dead, BitMap) else rows
        low, size = low + size, size * _WINDOW_GROWTH


@lru_cache(maxsize=1_024)
def _window(low: int, high: int) -> BitMap:
    return BitMap(range(low, high))


def matches(part: LiveSegment, plan: Plan) -> Iterator[int]:
    """Yield all matching rows, ascending."""
    for tier in range(len(part.segment.tiers)):
        rows = tier_rows(part, plan, tier)
        if rows is not None:
            yield from rows if not plan.terms else _verified(part.segment, rows, plan.terms)


def _from(rows: Rows, first: int, low: int) -> Iterable[int]:
    """Return the rows of a tier that starts at ``low``, from ``first`` on."""
    if first <= low:
        return rows
    return range(max(first, rows.start), rows.stop) if isinstance(rows, range) else rows.iter_equal_or_larger(first)


def _verified(segment: Segment, rows: Iterable[int], terms: tuple[bytes, ...]) -> Iterator[int]:
    """Yield those of the rows whose text holds every term."""
    if segment.has_further:
        yield from _verified_in_both(segment, rows, terms)
        return
    text = segment.text
    if len(terms) == 1:
        (only,) = terms
        for row in rows:
            if only in text(row):
                yield row
        return
    for row in rows:
        row_text = text(row)
        for term in terms:
            if term not in row_text:
                break
        else:
            yield row


def _verified_in_both(segment: Segment, rows: Iterable[int], terms: tuple[bytes, ...]) -> Iterator[int]:
    """Yield the same of a segment with further texts; it reads those only for terms that the text lacks."""
    text, further = segment.own_text, segment.further
    for row in rows:
        row_text = text(row)
        row_further: bytes | None = None
        for term in terms:
            if term not in row_text:
                row_further = row_further if row_further is not None else further(row)
                if term not in row_further:
                    break
        else:
            yield row


def tier_rows(part: LiveSegment, plan: Plan, tier: int, spend: Spend = int) -> Rows | None:
    """Return the rows of a tier that are in every set, without verifying ``plan.terms``. None if there is none.

    ``spend`` is told the work of reading sets from the files before it is done, and may raise.
    """
    sets = _tier_sets(part, plan, tier, spend)
    if sets is None:
        return None
    bounds = part.segment.bounds
    return _shared(sets, part.deleted[tier], bounds[tier], bounds[tier + 1]) or None


def _tier_sets(part: LiveSegment, plan: Plan, tier: int, spend: Spend, few: int = 0) -> list[BitMap] | None:
    """Return the sets of a tier that a row must be in, without those that hold every row. None if one is empty.

    For a caller who reads the texts anyway: once grams leave up to ``few`` rows, sets of further grams are left out.
    """
    segment = part.segment
    if part.deleted[tier] is ALL:
        return None
    sets: list[BitMap] = []
    phrases, grams = narrowing_keys(segment, plan.terms, plan.grams) if plan.terms else ((), ())
    for keys in (*plan.unions, *phrases) if phrases else plan.unions:
        tier_set = segment.one(tier, keys[0], spend) if len(keys) == 1 else segment.any_of(tier, keys, spend)
        if isinstance(tier_set, BitMap):
            sets.append(tier_set)
        elif tier_set is NONE:
            return None
    narrow: BitMap | None = None
    for key in grams:
        tier_set = segment.one(tier, key, spend)
        if isinstance(tier_set, BitMap):
            sets.append(tier_set)
            if few and len(tier_set) < _DENSE_ROWS:
                narrow = tier_set if narrow is None else narrow & tier_set
                if len(narrow) <= few:
                    sets[-1] = narrow
                    break
        elif tier_set is NONE:
            return None
    if plan.picks:
        low, high = segment.bounds[tier], segment.bounds[tier + 1]
        sets.append(BitMap([row for row in _picked(segment, plan) if low <= row < high]))
    return sets


def _shared(sets: list[BitMap], dead: BitMap | All | None, low: int, high: int) -> Rows:
    """Return the rows from ``low`` to ``high`` that are in all sets; intersect from the smallest set on."""
    if not sets:
        return BitMap(range(low, high)) - dead if isinstance(dead, BitMap) else range(low, high)
    rows = sets[0]
    if len(sets) > 1:
        if len(sets) > 2:
            sets.sort(key=len)
        rows = sets[0] & sets[1]
        for other in sets[2:]:
            if not rows:
                break
            rows &= other
    return rows - dead if isinstance(dead, BitMap) else rows


def _picked(segment: Segment, plan: Plan) -> list[int]:
    """Return the rows that the plan's id and hash name, ascending."""
    if plan.id is None:
        return segment.rows_of_hash(plan.hash_key) if plan.hash_key is not None else []
    row = segment.row_of_id(plan.id)
    if row is None or (plan.hash_key is not None and row not in segment.rows_of_hash(plan.hash_key)):
        return []
    return [row]


def matches_by_hash(part: LiveSegment, plan: Plan) -> list[int]:
    """Return the rows that the plan's hash names, and that are in every set."""
    return [row for row in _picked(part.segment, plan) if passes(part, plan, row)]


def is_match(part: LiveSegment, plan: Plan, row: int) -> bool:
    """Whether one row matches, terms and picks included."""
    if not passes(part, plan, row) or (plan.picks and row not in _picked(part.segment, plan)):
        return False
    text = part.segment.text(row) if plan.terms else b""
    return all(term in text for term in plan.terms)


def passes(part: LiveSegment, plan: Plan, row: int) -> bool:
    """Whether one row is alive and in every set. For a few rows this is faster than intersecting whole tiers."""
    tier = part.segment.tier_of(row)
    dead = part.deleted[tier]
    if dead is ALL or (dead is not None and row in dead):
        return False
    for keys in plan.unions:
        rows = part.segment.one(tier, keys[0]) if len(keys) == 1 else part.segment.any_of(tier, keys)
        if rows is NONE or (rows is not ALL and row not in rows):
            return False
    return True


# --- counting and skipping -------------------------------------------------------------------------------------------


def count(parts: Sequence[LiveSegment], plan: Plan, budget: Budget | None = None) -> Count:
    """Return how many rows match, or at least how many if the budget does not reach."""
    number, is_exact = 0, True
    budget = budget or Budget()
    for part in parts if not plan.is_impossible else ():
        for tier in range(len(part.segment.tiers)):
            rows, is_whole = matched_rows(part, plan, tier, budget)
            number += len(rows)
            is_exact = is_exact and is_whole
    return Count(number, is_exact)


def matched_rows(part: LiveSegment, plan: Plan, tier: int, budget: Budget) -> tuple[Rows, bool]:
    """Return the rows of a tier that match, terms included, and whether these are all.

    Beyond the budget some are missing, and none is wrong. Raises OverBudgetError if the budget is quick.
    """
    try:
        budget.spend(SET_UNITS * (len(plan.unions) + len(plan.grams)))
        rows = tier_rows(part, plan, tier, budget.spend)
    except OverBudgetError:
        if budget.is_quick:
            raise
        return range(0), False
    if rows is None:
        return range(0), True
    if not plan.terms:
        return rows, True
    return verification.verify(part.segment, tier, plan.terms, rows, budget)


def all_matches(part: LiveSegment, plan: Plan, tier: int, budget: Budget) -> Iterator[Rows]:
    """Yield the rows of a tier that match, terms included, window by window if their text has to be read."""
    budget.spend_on_page(SET_UNITS * (len(plan.unions) + len(plan.grams)))
    rows = tier_rows(part, plan, tier, budget.spend_on_page)
    if rows is not None and plan.terms:
        yield from verification.windows(part.segment, tier, plan.terms, rows, 0, budget.spend_on_page)
    elif rows is not None:
        yield rows


def are_fewer(parts: Sequence[LiveSegment], plan: Plan, skip: int, budget: Budget) -> bool:
    """Whether the grams of the terms alone say that at most ``skip`` rows match: then no text has to be read."""
    if not plan.terms:
        return False
    for part in parts:
        for tier in range(len(part.segment.tiers)):
            skip -= len(tier_rows(part, plan, tier, budget.spend_on_page) or ())
            if skip < 0:
                return False
    return True


class _Ranked:
    """The matches of one part as a sequence: their number, the n-th match, the number of matches before a row."""

    def __init__(self, part: LiveSegment, plan: Plan, budget: Budget) -> None:
        self.part = part
        tiers = range(len(part.segment.tiers))
        self._pieces = [rows for tier in tiers for rows in all_matches(part, plan, tier, budget) if rows]
        self.total = sum(map(len, self._pieces))

    def row(self, number: int) -> int:
        """Return the row of the ``number``-th match, from 0."""
        for rows in self._pieces:
            if number < len(rows):
                return rows[number]
            number -= len(rows)
        raise AssertionError("number must be below total")

    def before(self, row: int) -> int:
        """Return how many matches stand before ``row``."""
        total = 0
        for rows in self._pieces:
            if isinstance(rows, range):
                total += len(range(rows.start, min(rows.stop, max(row, rows.start))))
            elif row:
                total += rows.rank(row - 1)
        return total


def _page_at_offset(parts: Sequence[LiveSegment], plan: Plan, skip: int, limit: int, budget: Budget) -> Page:
    """Return the page that starts after ``skip`` matches.

    The search bisects the matches of the largest part for the last one with at most ``skip`` matches before it in all
    parts together, and walks the smaller parts from there. With terms to verify, it walks to a small ``skip`` instead.
    """
    if plan.terms and skip + limit <= _WALK_MATCHES:
        return _merged(parts, plan, [0] * len(parts), skip, limit, budget)
    if are_fewer(parts, plan, skip, budget):
        return EMPTY
    if len(parts) == 1:
        return _skipped(parts[0], plan, skip, limit, budget)
    ranked = [_Ranked(part, plan, budget) for part in parts]
    if skip >= sum(matched.total for matched in ranked):
        return EMPTY
    leader = max(ranked, key=lambda matched: matched.total)

    def position_at(number: int) -> tuple[int, list[int]]:
        """Return how many matches precede the leader's ``number``-th, and every part's first row not before it."""
        row = leader.row(number)
        segment = leader.part.segment
        neg_rank, neg_id = segment.order(row)
        position = Position(-neg_rank, -neg_id)
        firsts = [row if matched is leader else matched.part.segment.row_after(position) for matched in ranked]
        return sum(matched.before(first) for matched, first in zip(ranked, firsts, strict=True)), firsts

    low, high = 0, leader.total  # the answer is in [low, high); -1 stands for "before the leader's first match"
    while low < high:
        middle = (low + high) // 2
        if position_at(middle)[0] <= skip:
            low = middle + 1
        else:
            high = middle
    if not low:
        return _merged(parts, plan, [0] * len(parts), skip, limit, budget)
    preceding, firsts = position_at(low - 1)
    return _merged(parts, plan, firsts, skip - preceding, limit, budget)


def _skipped(part: LiveSegment, plan: Plan, skip: int, limit: int, budget: Budget) -> Page:
    """Return the page after ``skip`` matches of one part; count the sets up to the one where the page starts."""
    segment = part.segment
    for tier in range(len(segment.tiers)):
        for rows in all_matches(part, plan, tier, budget):
            if skip < len(rows):
                hits = list(islice(_from(rows, rows[skip], -1), limit))
                if len(hits) < limit:
                    after = hits[-1] + 1 if plan.terms else segment.bounds[tier + 1]
                    hits += take(part, plan, after, limit - len(hits), budget)
                following = segment.position(hits[-1]) if len(hits) == limit else None
                return Page(segment.rendered(hits, plan.has_summaries), following)
            skip -= len(rows)
    return EMPTY
