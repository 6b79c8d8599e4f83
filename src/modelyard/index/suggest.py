"""Suggests near spellings for a term without matches, from words in the catalogue's own texts.

There is no list of words. The module reads the rows that share most trigrams with the misspelt term, splits their texts
into words, and sorts the words by edit distance. It reads only rows that the viewer may see, so that no suggestion
reveals another team's model, and only the first two tiers (the most popular models), so that a miss stays cheap.
"""

import heapq
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from pyroaring import BitMap

from modelyard.index.search import LiveSegment, Plan, tier_rows
from modelyard.index.segment import ALL, Segment
from modelyard.index.terms import GRAM_MAX, gram_keys

WORD = re.compile(r"[^\W_]+")
TIERS = 2
ROWS_READ_MAX = 48
WORDS_MAX = 4
_MEASURED_MAX = 24


def nearest(parts: Sequence[LiveSegment], visible: Plan, term: str) -> list[str]:
    """Return up to ``WORDS_MAX`` words of visible models near ``term``, nearest first, then most frequent.

    A word is near if its edit distance is at most a third of the term's characters. Cost: 0.2 to 1 ms.
    """
    if len(term) < GRAM_MAX + 1:
        return []
    allowed = max(1, len(term) // 3)
    counts: Counter[str] = Counter()
    for part in parts:
        for text in _likely_texts(part, visible, term):
            counts.update({word for word in WORD.findall(text) if abs(len(word) - len(term)) <= allowed})
    # A distance takes 25 µs a word. Most words of a row share no pair of letters with the term: skip those.
    pairs = _pairs(term)
    near = [word for word in counts if not pairs.isdisjoint(_pairs(word))]
    # The word itself decides ties, so that every process and every run suggests the same.
    by_likeness = heapq.nlargest(_MEASURED_MAX, near, key=lambda word: (len(pairs & _pairs(word)) / len(word), word))
    measured = sorted((edit_distance(term, word, allowed), -counts[word], word) for word in by_likeness)
    return [word for distance, _, word in measured if 0 < distance <= allowed][:WORDS_MAX]


def _pairs(word: str) -> set[str]:
    return set(map("".join, pairwise(word)))


def _likely_texts(part: LiveSegment, visible: Plan, term: str) -> Iterator[str]:
    """Yield the texts of the visible rows that share most grams with a term."""
    segment = part.segment
    for tier in range(min(TIERS, len(segment.tiers))):
        rows = tier_rows(part, visible, tier)
        if rows is None:
            continue
        low, high = segment.bounds[tier], segment.bounds[tier + 1]
        shared = np.zeros(high - low, np.uint8)
        for gram in _rows_by_gram(segment, tier, term):
            those = gram & rows if isinstance(rows, BitMap) else gram
            shared[np.frombuffer(those.to_array(), np.uint32) - low] += 1
        best = np.argsort(shared, kind="stable")[::-1][:ROWS_READ_MAX]
        yield from (segment.text(low + int(row)).decode() for row in best[shared[best] > 0])


def _rows_by_gram(segment: Segment, tier: int, term: str) -> Iterator[BitMap]:
    for key in gram_keys(term.encode())[:255]:
        rows = segment.one(tier, key)
        if rows is ALL:
            # Count this set like any other: leaving it out would reveal whether an invisible row lacks the gram.
            yield BitMap(range(segment.bounds[tier], segment.bounds[tier + 1]))
        elif isinstance(rows, BitMap):
            yield rows


def edit_distance(one: str, other: str, allowed: int) -> int:
    """Return how many insertions, deletions, replacements or swaps of neighbours turn one word into the other.

    Return ``allowed + 1`` as soon as the distance is above ``allowed``.
    """
    if abs(len(one) - len(other)) > allowed:
        return allowed + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        two_before, before, row = before, row, [i]
        for j, theirs in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != theirs))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == theirs:
                cost = min(cost, two_before[j - 2] + 1)
            row.append(cost)
        if min(row) > allowed:
            return allowed + 1
    return row[-1]
