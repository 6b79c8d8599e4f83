"""Finds the rows whose text holds every term, window by window, and caches the rows of a term.

Grams narrow the rows; this module decides. A window is up to 64 Ki rows of one tier. Within it a term is verified in
the cheapest of four ways:

    cached    the rows of this term in this window are in the segment's cache
    proven    a row has a tag or a frequent phrase that holds the term, as ``.safetensors`` holds ``tensors``
    read      few rows are left: read the text of each
    scanned   many rows are left: search the letters of the whole window

Terms are verified from the rarest on, each in the rows that the terms before it left.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from pyroaring import BitMap

from modelyard.index.budget import FURTHER_SHARE, SET_UNITS, Budget, OverBudgetError, Spend, units_of_scan
from modelyard.index.letters import bitmap_of, find_places, rows_with
from modelyard.index.phrases import keys_of_rows
from modelyard.index.segment import ALL, Segment
from modelyard.index.set_cache import size_of_rows
from modelyard.index.terms import filter_key, gram_keys

Rows = BitMap | range

WINDOW_ROWS = 1 << 16
# Up to this many rows are read one by one, and not cached.
FEW_ROWS = 512
# A term is proven by at most this many tags.
_TAGS_MAX = 64
# A gram that is this much more frequent than the rarest ones hardly narrows.
_GRAMS_MAX = 4


def windows(
    segment: Segment, tier: int, terms: tuple[bytes, ...], candidates: Rows, first: int, spend: Spend
) -> Iterator[BitMap]:
    """Yield, window by window, those candidates from the row ``first`` on whose text holds every term.

    ``spend`` is told the work before it is done, and may raise.
    """
    verifier = _Verifier(segment, tier, terms, spend)
    held = candidates if isinstance(candidates, BitMap) else BitMap(candidates)
    proven = verifier.proven_of(held)
    for low, high, rows in _cut(segment, tier, held, first):
        doubtful = rows - proven
        yield (verifier.verify(low, high, doubtful) | rows & proven) if doubtful else rows


def verify(
    segment: Segment, tier: int, terms: tuple[bytes, ...], candidates: Rows, budget: Budget
) -> tuple[BitMap, bool]:
    """Return the candidates whose text holds every term, and whether these are all of them.

    Beyond the budget, the rest of the tier has only the rows that are cached or proven.
    """
    verifier = _Verifier(segment, tier, terms, budget.spend)
    held = candidates if isinstance(candidates, BitMap) else BitMap(candidates)
    try:
        proven = verifier.proven_of(held)
    except OverBudgetError:
        if budget.is_quick:
            raise
        proven = BitMap()
    matches = [proven]
    is_exact = True
    for low, high, rows in _cut(segment, tier, held - proven, 0):
        try:
            matches.append(verifier.verify(low, high, rows))
        except OverBudgetError:
            if budget.is_quick:
                raise
            is_exact = False
            budget.open_reserve()
            matches.append(verifier.prove(low, rows))
    return BitMap.union(*matches), is_exact


def _cut(segment: Segment, tier: int, held: BitMap, first: int) -> Iterator[tuple[int, int, BitMap]]:
    """Yield the windows of a tier from the row ``first`` on that have candidates: their bounds, and the candidates."""
    start, end = segment.bounds[tier], segment.bounds[tier + 1]
    low = max(start, first - first % WINDOW_ROWS)
    while low < end:
        high = min(end, low - low % WINDOW_ROWS + WINDOW_ROWS)
        rows = held if (low, high) == (start, end) and first <= low else held & window(max(low, first), high)
        if rows:
            yield low, high, rows
        low = high


@lru_cache(maxsize=1_024)
def window(low: int, high: int) -> BitMap:
    """Return the rows from ``low`` to ``high``."""
    return BitMap(range(low, high))


class _Verifier:
    """Verifies terms within one tier."""

    def __init__(self, segment: Segment, tier: int, terms: tuple[bytes, ...], spend: Spend) -> None:
        self._segment = segment
        self._tier = tier
        self._spend = spend
        self._narrowed: dict[bytes, BitMap] = {}
        self._terms = terms
        self._is_sorted = len(terms) < 2

    def verify(self, low: int, high: int, rows: BitMap) -> BitMap:
        """Return those rows of a window whose text holds every term."""
        if not self._is_sorted:
            self._terms = tuple(sorted(self._terms, key=lambda term: len(self._narrow(term))))
            self._is_sorted = True
        unread: list[bytes] = []
        for term in self._terms:
            if not rows:
                return rows
            known: BitMap | None = self._segment.computed.get((low, term))
            if known is None and term in self._segment.phrases:
                known = self._proven(term)
            if known is not None:
                rows = rows & known
            elif len(rows) > FEW_ROWS:
                rows = self._rows_with(term, low, high, rows)
            elif len(self._terms) == 1 and len(self._narrow(term) & window(low, high)) <= FEW_ROWS:
                rows = rows & self._all_rows_with(term, low, high, BitMap())
            else:
                unread.append(term)
        return rows - self._lacking(unread, rows) if unread else rows

    def proven_of(self, rows: BitMap) -> BitMap:
        """Return those rows of the tier whose tags or phrases hold every term: once, instead of window by window."""
        if len(rows) <= FEW_ROWS:
            return BitMap()
        for term in self._terms:
            rows = rows & self._proven(term)
            if not rows:
                break
        return rows

    def prove(self, low: int, rows: BitMap) -> BitMap:
        """Return those rows of a window of which the caches, their tags or phrases say that they hold every term."""
        for term in self._terms:
            known: BitMap | None = self._segment.computed.get((low, term))
            try:
                rows = rows & (self._proven(term) if known is None else known)
            except OverBudgetError:
                return BitMap()
        return rows

    def _rows_with(self, term: bytes, low: int, high: int, rows: BitMap) -> BitMap:
        proven = self._proven(term) & window(low, high)
        doubtful = rows - proven
        is_short = self._units_of_reading(len(doubtful)) < self._cost_of_all(term, low, high, proven)
        if len(doubtful) <= FEW_ROWS or is_short:
            return rows - self._lacking([term], doubtful)
        return rows & self._all_rows_with(term, low, high, proven)

    def _lacking(self, terms: Sequence[bytes], rows: BitMap) -> BitMap:
        """Return those rows whose text lacks one of the terms; each text is read once."""
        self._spend(self._units_of_reading(len(rows)))
        numbers = rows.to_array()
        pairs = [*zip(numbers, self._segment.texts(numbers), strict=True)]
        for term in terms:
            pairs = [pair for pair in pairs if term in pair[1]]
        return rows - BitMap([row for row, _ in pairs])

    def _cost_of_all(self, term: bytes, low: int, high: int, proven: BitMap) -> int:
        narrowed = self._narrow(term) & window(low, high)
        doubtful = narrowed.difference_cardinality(proven)
        return min(self._units_of_reading(doubtful), self._units_of_scan(high - low, len(narrowed)))

    def _units_of_reading(self, rows: int) -> int:
        """Return the work of reading texts, and of joining the further one to each."""
        return FURTHER_SHARE * rows if self._segment.has_further else rows

    def _units_of_scan(self, rows: int, matches: int) -> int:
        """Return the work of scanning rows, and also their further texts if they have them."""
        return units_of_scan(2 * rows if self._segment.has_further else rows, matches)

    def _all_rows_with(self, term: bytes, low: int, high: int, proven: BitMap) -> BitMap:
        """Return the rows of a window whose text holds the term, from the cache or into it."""
        cache = self._segment.computed
        known: BitMap | None = cache.get((low, term))
        if known is not None:
            return known
        narrowed = self._narrow(term) & window(low, high)
        doubtful, units = narrowed - proven, self._units_of_scan(high - low, len(narrowed))
        if self._units_of_reading(len(doubtful)) < units:
            known = doubtful - self._lacking([term], doubtful) | proven
        else:
            self._spend(units)
            known = scan(self._segment, term, low, high)
        known.run_optimize()
        cache.put((low, term), known, size_of_rows(known, high - low) + len(term))
        return known

    def _narrow(self, term: bytes) -> BitMap:
        """Return the rows of the tier that have the rarest grams of a term."""
        rows = self._narrowed.get(term)
        if rows is None:
            segment, tier = self._segment, self._tier
            if term in segment.phrases:
                sets = [segment.any_of(tier, keys_of_rows(segment, term), self._spend)]
            else:
                sets = [segment.one(tier, key, self._spend) for key in gram_keys(term)]
            if any(rows is not ALL and not isinstance(rows, BitMap) for rows in sets):
                rows = BitMap()
            else:
                start, end = self._segment.bounds[self._tier], self._segment.bounds[self._tier + 1]
                rarest = sorted((rows for rows in sets if isinstance(rows, BitMap)), key=len)[:_GRAMS_MAX]
                rows = BitMap.intersection(*rarest) if rarest else window(start, end)
            self._narrowed[term] = rows
        return rows

    def _proven(self, term: bytes) -> BitMap:
        """Return the rows of the tier that have a tag or a phrase which holds the term; of a phrase, just its rows."""
        key = ("proven", self._tier, term)
        cache = self._segment.computed
        proven: BitMap | None = cache.get(key)
        if proven is None:
            phrases = self._segment.phrases
            holding = [term] if term in phrases else [phrase for phrase in phrases if term in phrase]
            keys = [key for phrase in holding for key in keys_of_rows(self._segment, phrase)]
            if term not in phrases:
                keys += tags_with(self._segment, term)
            self._spend(SET_UNITS * (1 + len(keys)))
            start, end = self._segment.bounds[self._tier], self._segment.bounds[self._tier + 1]
            sets = [self._segment.one(self._tier, key, self._spend) for key in keys]
            if any(rows is ALL for rows in sets):
                proven = window(start, end)
            else:
                proven = BitMap.union(BitMap(), *(rows for rows in sets if isinstance(rows, BitMap)))
            cache.put(key, proven, size_of_rows(proven, end - start) + len(term))
        return proven


def tags_with(segment: Segment, term: bytes) -> tuple[int, ...]:
    """Return the keys of the most frequent tags that hold a term."""
    key = ("tags", term)
    keys: tuple[int, ...] | None = segment.computed.get(key)
    if keys is None:
        tags = segment.filters.frequent_tags
        places = np.searchsorted(tags.at, find_places(tags.letters, term), side="right") - 1
        # Not ``np.unique``, whose first call in a process imports a package: 20 ms.
        numbers = tags.numbers[places[np.diff(places, prepend=-1) > 0][:_TAGS_MAX]]
        keys = tuple(filter_key(segment.filters.name(number)) for number in numbers.tolist())
        segment.computed.put(key, keys, 8 * len(keys) + len(term))
    return keys


def scan(segment: Segment, term: bytes, low: int, high: int) -> BitMap:
    """Return the rows from ``low`` to ``high`` whose text holds a term, by a search of all letters."""
    return BitMap.union(
        BitMap(), *(bitmap_of(rows_with(letters, at, term), low) for letters, at in segment.letters(low, high))
    )
