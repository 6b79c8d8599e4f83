"""Finds the rows whose text holds every term, window by window, and caches the rows of a term.

Grams narrow the rows; this module decides. A window is up to 64 Ki rows of one tier. Within it a term is verified in
the cheapest of four ways:

    cached    the rows of this term in this window are in the segment's cache
    proven    a row has a tag that holds the term, or a frequent phrase that does, as ``.safetensors`` holds ``tensors``
    read      few rows are left: read the text of each
    scanned   many rows are left: compare the letters of the whole window by numpy, which lets other threads run

Terms are verified from the rarest on, each in the rows that the terms before it left.
"""

import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
from pyroaring import BitMap

from modelyard.index.budget import SCAN_SHARE, SET_UNITS, Budget, OverBudgetError
from modelyard.index.segment import ALL, Array, Segment
from modelyard.index.set_cache import size_of_rows
from modelyard.index.terms import filter_key, gram_keys

Rows = BitMap | range

WINDOW_ROWS = 1 << 16
# Up to this many rows are read one by one, and not cached.
FEW_ROWS = 512
# A term is proven by at most this many tags, and no tag proves less than a few rows.
_TAGS_MAX = 64
_TAG_ROWS_MIN = 64
# A gram that is this much more frequent than the rarest ones hardly narrows.
_GRAMS_MAX = 4

_SAMPLE_ROWS = 256
_PHRASE_SHARE = 20
_PHRASE = re.compile(r"\.?[^\W_]+")

_CHUNK_BYTES = 1 << 18
_SPARSE = 16


def windows(
    segment: Segment, tier: int, terms: tuple[bytes, ...], candidates: Rows, first: int, spend: Callable[[int], None]
) -> Iterator[BitMap]:
    """Yield, window by window, those candidates from the row ``first`` on whose text holds every term.

    ``spend`` is told the work before it is done, and may raise.
    """
    verifier = _Verifier(segment, tier, terms, spend)
    for low, high, rows in _cut(segment, tier, candidates, first):
        yield verifier.verify(low, high, rows)


def verify(
    segment: Segment, tier: int, terms: tuple[bytes, ...], candidates: Rows, budget: Budget
) -> tuple[BitMap, bool]:
    """Return the candidates whose text holds every term, and whether these are all of them.

    Beyond the budget, the rest of the tier has only the rows that are cached or proven.
    """
    verifier = _Verifier(segment, tier, terms, budget.spend)
    matches: list[BitMap] = []
    is_exact = True
    for low, high, rows in _cut(segment, tier, candidates, 0):
        try:
            matches.append(verifier.verify(low, high, rows))
        except OverBudgetError:
            if budget.is_quick:
                raise
            is_exact = False
            budget.open_reserve()
            matches.append(verifier.prove(low, rows))
    return BitMap.union(*matches) if matches else BitMap(), is_exact


def _cut(segment: Segment, tier: int, candidates: Rows, first: int) -> Iterator[tuple[int, int, BitMap]]:
    """Yield the windows of a tier from the row ``first`` on that have candidates: their bounds, and the candidates."""
    start, end = segment.bounds[tier], segment.bounds[tier + 1]
    held = candidates if isinstance(candidates, BitMap) else BitMap(candidates)
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

    def __init__(self, segment: Segment, tier: int, terms: tuple[bytes, ...], spend: Callable[[int], None]) -> None:
        self._segment = segment
        self._tier = tier
        self._spend = spend
        self._narrowed: dict[bytes, BitMap] = {}
        self._terms = terms if len(terms) < 2 else tuple(sorted(terms, key=lambda term: len(self._narrow(term))))

    def verify(self, low: int, high: int, rows: BitMap) -> BitMap:
        """Return those rows of a window whose text holds every term."""
        for term in self._terms:
            if not rows:
                break
            rows = self._rows_with(term, low, high, rows)
        return rows

    def prove(self, low: int, rows: BitMap) -> BitMap:
        """Return those rows of a window of which the caches or their tags say that they hold every term."""
        for term in self._terms:
            known: BitMap | None = self._segment.computed.get((low, term))
            try:
                rows = rows & (self._proven_by_tags(term) if known is None else known)
            except OverBudgetError:
                return BitMap()
        return rows

    def _rows_with(self, term: bytes, low: int, high: int, rows: BitMap) -> BitMap:
        known: BitMap | None = self._segment.computed.get((low, term))
        if known is not None:
            return rows & known
        if len(rows) <= FEW_ROWS:
            return rows - self._lacking(term, rows)
        proven = self._proven_by_tags(term) & window(low, high)
        doubtful = rows - proven
        phrase = phrase_with(self._segment, term) if len(doubtful) > FEW_ROWS else None
        if phrase is not None and 2 * doubtful.intersection_cardinality(self._narrow(phrase)) > len(doubtful):
            proven |= self._all_rows_with(phrase, low, high, self._proven_by_tags(phrase) & window(low, high))
            doubtful -= proven
        if len(doubtful) <= FEW_ROWS or 2 * len(doubtful) < self._cost_of_all(term, low, high, proven):
            return rows - self._lacking(term, doubtful)
        return rows & self._all_rows_with(term, low, high, proven)

    def _lacking(self, term: bytes, rows: BitMap) -> BitMap:
        self._spend(len(rows))
        numbers = rows.to_array()
        texts = self._segment.texts(numbers)
        return BitMap([row for row, text in zip(numbers, texts, strict=True) if term not in text])

    def _cost_of_all(self, term: bytes, low: int, high: int, proven: BitMap) -> int:
        narrowed = (self._narrow(term) & window(low, high)).difference_cardinality(proven)
        return min(narrowed, (high - low) // SCAN_SHARE)

    def _all_rows_with(self, term: bytes, low: int, high: int, proven: BitMap) -> BitMap:
        """Return the rows of a window whose text holds the term, from the cache or into it."""
        cache = self._segment.computed
        known: BitMap | None = cache.get((low, term))
        if known is not None:
            return known
        doubtful = (self._narrow(term) & window(low, high)) - proven
        if len(doubtful) * SCAN_SHARE < high - low:
            known = doubtful - self._lacking(term, doubtful) | proven
        else:
            self._spend((high - low) // SCAN_SHARE)
            known = scan(self._segment, term, low, high)
        known.run_optimize()
        cache.put((low, term), known, size_of_rows(known, high - low) + len(term))
        return known

    def _narrow(self, term: bytes) -> BitMap:
        """Return the rows of the tier that have the rarest grams of a term."""
        rows = self._narrowed.get(term)
        if rows is None:
            sets = [self._segment.one(self._tier, key) for key in gram_keys(term)]
            if any(rows is not ALL and not isinstance(rows, BitMap) for rows in sets):
                rows = BitMap()
            else:
                start, end = self._segment.bounds[self._tier], self._segment.bounds[self._tier + 1]
                rarest = sorted((rows for rows in sets if isinstance(rows, BitMap)), key=len)[:_GRAMS_MAX]
                rows = BitMap.intersection(*rarest) if rarest else window(start, end)
            self._narrowed[term] = rows
        return rows

    def _proven_by_tags(self, term: bytes) -> BitMap:
        """Return the rows of the tier that have a tag which holds the term."""
        key = ("tags", self._tier, term)
        cache = self._segment.computed
        proven: BitMap | None = cache.get(key)
        if proven is None:
            keys = tags_with(self._segment, term)
            self._spend(SET_UNITS * (1 + len(keys)))
            start, end = self._segment.bounds[self._tier], self._segment.bounds[self._tier + 1]
            sets = [self._segment.one(self._tier, key) for key in keys]
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
        at, filters = segment.arrays.filter_name_at, segment.filters
        found = places(segment.arrays.filter_names, term)
        numbers = np.searchsorted(at, found, side="right") - 1
        is_inside = (found >= at[numbers] + len(b"tag=")) & (found + len(term) <= at[numbers + 1])
        numbers = np.unique(numbers[is_inside & filters.is_tag[numbers]])
        numbers = numbers[filters.row_counts[numbers] >= _TAG_ROWS_MIN]
        numbers = numbers[np.argsort(-filters.row_counts[numbers], kind="stable")][:_TAGS_MAX]
        keys = tuple(filter_key(filters.name(number)) for number in numbers.tolist())
        segment.computed.put(key, keys, 8 * len(keys) + len(term))
    return keys


def phrase_with(segment: Segment, term: bytes) -> bytes | None:
    """Return the most frequent phrase that holds a term and is longer."""
    phrases: list[bytes] | None = segment.computed.get("phrases")
    if phrases is None:
        phrases = _frequent_phrases(segment)
        segment.computed.put("phrases", phrases, sum(map(len, phrases)) + 100 * len(phrases))
    return next((phrase for phrase in phrases if term in phrase and phrase != term), None)


def _frequent_phrases(segment: Segment) -> list[bytes]:
    """Return the lines and words that one row of twenty has, most frequent first, by a sample."""
    sample = np.linspace(0, segment.count - 1, min(segment.count, _SAMPLE_ROWS)).astype(int).tolist()
    counts: Counter[str] = Counter()
    for row in sample:
        text = segment.text(row).decode()
        counts.update({*text.split("\n"), *_PHRASE.findall(text)})
    frequent = [(count, phrase) for phrase, count in counts.items() if count * _PHRASE_SHARE >= len(sample)]
    return [phrase.encode() for _, phrase in sorted(frequent, key=lambda pair: (-pair[0], -len(pair[1]), pair[1]))]


def scan(segment: Segment, term: bytes, low: int, high: int) -> BitMap:
    """Return the rows from ``low`` to ``high`` whose text holds a term, by comparing all letters."""
    rows = BitMap()
    for letters, at in segment.letters(low, high):
        found = places(letters, term)
        numbers = np.searchsorted(at, found, side="right") - 1
        numbers = numbers[found + len(term) <= at[numbers + 1]]  # texts lie end to end, and a term lies in one of them
        rows |= BitMap(array("I", (numbers + low).astype(np.uint32).tobytes()))
    return rows


def places(letters: Array, term: bytes) -> Array:
    """Return the offsets at which ``term`` begins, ascending.

    It compares the rarest letters of the term first. Cost: 2 to 5 ms for the 6 MB of a window; ``re`` and
    ``bytes.find`` take 10 to 30 ms, and hold the lock of the interpreter meanwhile (2026-11).
    """
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
