"""Finds the rows of a snapshot's segments that match a plan, in order, a page at a time.

A plan holds sets that must all contain a row (each a union of keys), grams that narrow the rows, terms that the text of
a row must contain, and perhaps a short list of rows. For each tier, the search intersects the sets pairwise from the
smallest one on, and stops at the first empty result.

With several segments, the search takes the next rows of each and merges them by (rank, id). A row that a newer segment
replaces is *dead*; the search removes it before it counts or returns rows.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import numpy as np
from pyroaring import BitMap

from modelyard.domain import Offset, Position
from modelyard.index.segment import ALL, NONE, All, Array, Segment

Rows = BitMap | range
# The dead rows of each tier.
Dead = tuple[BitMap | All | None, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A query as sets. ``unions`` holds the keys of each set that must contain a row, one or several keys a set.

    ``grams`` narrow by text; ``terms`` are those that the search must verify in the text of a row. ``id`` and
    ``hash_key`` pick single rows.
    """

    unions: tuple[tuple[int, ...], ...] = ()
    grams: tuple[int, ...] = ()
    terms: tuple[bytes, ...] = ()
    id: int | None = None
    hash_key: int | None = None
    is_impossible: bool = False

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
    following: Position | None


# Reading one row's text costs as much as scanning the text of about twenty rows (0.4 µs, 2 KB).
_SCAN_SHARE = 20
# Walking to one match costs as much as scanning the text of five rows or more: short texts give the least.
_WALK_SHARE = 5

# Roaring bitmaps are cut at multiples of 64 Ki; a set with fewer rows than this is intersected whole in a few µs.
_WINDOW_ROWS = 1 << 16
_WINDOW_GROWTH = 4
_DENSE_ROWS = 1 << 14

_EMPTY = Page([], None)


def page(parts: Sequence[LiveSegment], plan: Plan, start: Position | Offset | None, limit: int) -> Page:
    """Return up to ``limit`` records from ``start`` on."""
    if plan.is_impossible or not parts:
        return _EMPTY
    if isinstance(start, Offset):
        return _page_at_offset(parts, plan, start.matches, limit)
    if len(parts) > 1:
        return _merged(parts, plan, [part.segment.row_after(start) if start else 0 for part in parts], 0, limit)
    segment = parts[0].segment
    rows = take(parts[0], plan, segment.row_after(start) if start else 0, limit)
    return Page(segment.records(rows), segment.position(rows[-1]) if len(rows) == limit else None)


def ranks(parts: Sequence[LiveSegment], ids: Sequence[int]) -> dict[int, int]:
    """Return the ranks of those models among ``ids`` that the segments hold."""
    by_id: dict[int, int] = {}
    model_ids = np.array(ids, np.int64)
    for part in parts:  # oldest first: a newer part overwrites the ranks of an older one
        for row in part.segment.rows_of_ids(model_ids).tolist():
            position = part.segment.position(row)
            by_id[position.id] = position.rank
    return by_id


def _merged(parts: Sequence[LiveSegment], plan: Plan, firsts: Sequence[int], skip: int, limit: int) -> Page:
    end = skip + limit
    candidates = [
        (*part.segment.order(row), number, row)
        for number, part in enumerate(parts)
        for row in take(part, plan, firsts[number], end)
    ]
    candidates.sort()
    hits = candidates[skip:end]
    records = [parts[number].segment.records((row,))[0] for _, _, number, row in hits]
    return Page(records, parts[hits[-1][2]].segment.position(hits[-1][3]) if len(hits) == limit else None)


def take(part: LiveSegment, plan: Plan, first: int, limit: int) -> list[int]:
    """Return the first ``limit`` matching rows from ``first`` on, ascending."""
    segment = part.segment
    if plan.picks:
        picked: Iterable[int] = (row for row in _picked(segment, plan) if row >= first and _passes(part, plan, row))
        return list(islice(picked if not plan.terms else _verified(segment, picked, plan.terms), limit))
    hits: list[int] = []
    for tier in range(segment.tier_of(first) if first else 0, len(segment.tiers)):
        sets = _tier_sets(part, plan, tier)
        if sets is None:
            continue
        low, high = segment.bounds[tier], segment.bounds[tier + 1]
        if len(sets) < 2 or high - low <= _WINDOW_ROWS or min(map(len, sets)) < _DENSE_ROWS:
            pieces: Iterable[Rows] = (_shared(sets, part.deleted[tier], low, high),)
        else:
            pieces = _in_windows(sets, part.deleted[tier], max(first, low), high)
        for rows in pieces:
            walk = _from(rows, first, low)
            hits += islice(walk if not plan.terms else _verified(segment, walk, plan.terms), limit - len(hits))
            if len(hits) == limit:
                return hits
    return hits


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


def tier_rows(part: LiveSegment, plan: Plan, tier: int) -> Rows | None:
    """Return the rows of a tier that are in every set, without verifying ``plan.terms``. None if there is none."""
    sets = _tier_sets(part, plan, tier)
    if sets is None:
        return None
    bounds = part.segment.bounds
    return _shared(sets, part.deleted[tier], bounds[tier], bounds[tier + 1]) or None


def _tier_sets(part: LiveSegment, plan: Plan, tier: int) -> list[BitMap] | None:
    """Return the sets of a tier that a row must be in, without those that hold every row. None if one is empty."""
    segment = part.segment
    if part.deleted[tier] is ALL:
        return None
    sets: list[BitMap] = []
    for keys in plan.unions:
        tier_set = segment.one(tier, keys[0]) if len(keys) == 1 else segment.any_of(tier, keys)
        if isinstance(tier_set, BitMap):
            sets.append(tier_set)
        elif tier_set is NONE:
            return None
    for key in plan.grams:
        tier_set = segment.one(tier, key)
        if isinstance(tier_set, BitMap):
            sets.append(tier_set)
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


def _passes(part: LiveSegment, plan: Plan, row: int) -> bool:
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


def count(parts: Sequence[LiveSegment], plan: Plan) -> int:
    """Return how many rows match. The search reads text only for terms that it must verify."""
    if plan.is_impossible:
        return 0
    tiers = ((part, tier) for part in parts for tier in range(len(part.segment.tiers)))
    return sum(len(rows) for part, tier in tiers if (rows := verified_rows(part, plan, tier)))


def verified_rows(part: LiveSegment, plan: Plan, tier: int) -> Rows | None:
    """Return all rows of a tier that match, terms included. None if there is none."""
    rows = tier_rows(part, plan, tier)
    if rows is None or not plan.terms:
        return rows
    segment = part.segment
    if len(rows) * _SCAN_SHARE < segment.bounds[tier + 1] - segment.bounds[tier]:
        return BitMap(list(_verified(segment, rows, plan.terms))) or None
    held = rows if isinstance(rows, BitMap) else BitMap(rows)
    for term in plan.terms:
        held = held & BitMap(array("I", segment.rows_with(term, tier).astype(np.uint32).tobytes()))
    return held or None


class _Ranked:
    """The matches of one part as a sequence: their number, the n-th match, the number of matches before a row."""

    def __init__(self, part: LiveSegment, plan: Plan) -> None:
        self.part = part
        self._tiers = [rows for tier in range(len(part.segment.tiers)) if (rows := verified_rows(part, plan, tier))]
        self.total = sum(map(len, self._tiers))

    def row(self, number: int) -> int:
        """Return the row of the ``number``-th match, from 0."""
        for rows in self._tiers:
            if number < len(rows):
                return rows[number]
            number -= len(rows)
        raise AssertionError("number must be below total")

    def before(self, row: int) -> int:
        """Return how many matches stand before ``row``."""
        total = 0
        for rows in self._tiers:
            if isinstance(rows, range):
                total += len(range(rows.start, min(rows.stop, max(row, rows.start))))
            elif row:
                total += rows.rank(row - 1)
        return total


def _page_at_offset(parts: Sequence[LiveSegment], plan: Plan, skip: int, limit: int) -> Page:
    """Return the page that starts after ``skip`` matches.

    The search bisects the matches of the largest part for the last one with at most ``skip`` matches before it in all
    parts together, and walks the smaller parts from there. With terms to verify, it walks to a small ``skip`` instead.
    """
    if len(parts) == 1:
        return _skipped(parts[0], plan, skip, limit)
    if plan.terms and skip * _WALK_SHARE < max(part.segment.bounds[-1] for part in parts):
        return _merged(parts, plan, [0] * len(parts), skip, limit)
    ranked = [_Ranked(part, plan) for part in parts]
    if skip >= sum(matched.total for matched in ranked):
        return _EMPTY
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
        return _merged(parts, plan, [0] * len(parts), skip, limit)
    preceding, firsts = position_at(low - 1)
    return _merged(parts, plan, firsts, skip - preceding, limit)


def _skipped(part: LiveSegment, plan: Plan, skip: int, limit: int) -> Page:
    """Return the page after ``skip`` matches of one part; count tiers up to the one where the page starts."""
    segment = part.segment
    for tier in range(len(segment.tiers)):
        low, high = segment.bounds[tier], segment.bounds[tier + 1]
        if plan.terms and skip * _WALK_SHARE < high - low:  # a short walk costs less than the scan of the tier
            hits = take(part, plan, low, skip + limit)[skip:]
            return Page(segment.records(hits), segment.position(hits[-1]) if len(hits) == limit else None)
        rows = verified_rows(part, plan, tier)
        size = len(rows) if rows is not None else 0
        if rows is not None and skip < size:
            hits = list(islice(_from(rows, rows[skip], low), limit))
            if len(hits) < limit and tier + 1 < len(segment.tiers):
                hits += take(part, plan, high, limit - len(hits))
            return Page(segment.records(hits), segment.position(hits[-1]) if len(hits) == limit else None)
        skip -= size
    return _EMPTY
