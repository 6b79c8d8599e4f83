"""Suggests near spellings for a term without matches, from the words of the catalogue's own texts.

A segment holds the words of its most popular rows (``words``). This module compares the pairs of letters of all words
with those of the term, and measures the edit distance of the few that are most alike. It looks only at words of rows
that the viewer may see, so that no suggestion reveals another team's model.
"""

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from modelyard.index.search import LiveSegment, Plan, tier_rows
from modelyard.index.terms import GRAM_MAX
from modelyard.index.words import TIERS, pair_mask

WORDS_MAX = 4
_MEASURED_MAX = 12
_LETTER_BYTES_MAX = 4


def nearest(parts: Sequence[LiveSegment], visible: Plan, term: str) -> list[str]:
    """Return up to ``WORDS_MAX`` words of visible models near ``term``, nearest first, then most frequent.

    A word is near if its edit distance is at most a third of the term's characters. Cost: 0.5 ms.
    """
    if len(term) < GRAM_MAX + 1:
        return []
    allowed = max(1, len(term) // 3)
    counts: Counter[str] = Counter()
    for part in parts:
        for word, count in _alike(part, visible, term, allowed):
            counts[word] += count
    pairs = _pairs(term)
    near = [word for word in counts if not pairs.isdisjoint(_pairs(word))]
    # The word itself decides ties, so that every process and every run suggests the same.
    by_likeness = heapq.nlargest(_MEASURED_MAX, near, key=lambda word: (len(pairs & _pairs(word)) / len(word), word))
    measured = sorted((edit_distance(term, word, allowed), -counts[word], word) for word in by_likeness)
    return [word for distance, _, word in measured if 0 < distance <= allowed][:WORDS_MAX]


def _pairs(word: str) -> set[str]:
    return set(map("".join, pairwise(word)))


def _alike(part: LiveSegment, visible: Plan, term: str, allowed: int) -> Iterator[tuple[str, int]]:
    """Yield the visible words that share most pairs of letters with a term, and how many visible rows have each."""
    arrays = part.segment.arrays
    spelled = term.encode()
    difference = allowed if term.isascii() else allowed * _LETTER_BYTES_MAX
    lengths = part.segment.word_lengths
    low = int(np.searchsorted(lengths, len(spelled) - difference))
    high = int(np.searchsorted(lengths, len(spelled) + difference, side="right"))
    if low == high:
        return
    rows, is_visible = _visible_words(part, visible)
    masks = arrays.word_pairs[low:high]
    mask = pair_mask(spelled)
    shared = np.bitwise_count(masks & mask)
    shared[~is_visible[low:high]] = 0
    # The most alike: those that share most pairs, and of these the ones that have fewest others.
    enough = np.cumsum(np.bincount(shared, minlength=2)[:0:-1])
    least = len(enough) - int(np.searchsorted(enough, min(2 * _MEASURED_MAX, int(enough[-1]))))
    alike = np.flatnonzero(shared >= max(least, 1))
    others = np.bitwise_count(masks[alike]).astype(np.int64) - shared[alike]
    order = np.lexsort((alike, others, -shared[alike].astype(np.int64)))[: 2 * _MEASURED_MAX]
    for number in (alike[order] + low).tolist():
        word = arrays.words[int(arrays.word_at[number]) : int(arrays.word_at[number + 1])].tobytes().decode()
        if abs(len(word) - len(term)) <= allowed:
            own = arrays.word_rows[int(arrays.word_row_at[number]) : int(arrays.word_row_at[number + 1])]
            yield word, int(np.count_nonzero(rows[own]))


def _visible_words(part: LiveSegment, visible: Plan) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which rows of the first tiers are visible and alive, and which words some of these rows have."""
    segment = part.segment
    tiers = range(min(TIERS, len(segment.tiers)))
    key = ("words", visible)
    dead = tuple(part.deleted[tier] for tier in tiers)
    entry = segment.computed.get(key)
    if entry is not None and all(one is other for one, other in zip(entry[2], dead, strict=True)):
        rows, is_visible, _ = entry
        return rows, is_visible
    rows = np.zeros(segment.bounds[len(tiers)], bool)
    for tier in tiers:
        held = tier_rows(part, visible, tier)
        if isinstance(held, range):
            rows[held.start : held.stop] = True
        elif isinstance(held, BitMap):
            rows[np.frombuffer(held.to_array(), np.uint32)] = True
    arrays = segment.arrays
    is_visible = np.zeros(len(segment.word_lengths), bool)
    if len(is_visible):
        is_visible = np.logical_or.reduceat(rows[arrays.word_rows], arrays.word_row_at[:-1])
    segment.computed.put(key, (rows, is_visible, dead), len(rows) + len(is_visible))
    return rows, is_visible


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
