"""Suggests near spellings for a term without matches, from the words of the catalogue's own texts.

A segment holds the words of its most popular rows (``words``). This module compares the pairs of letters of all words
with those of the term, and measures the edit distance of the few that are most alike. It looks only at words of rows
that the viewer may see, so that no suggestion reveals another team's model.
"""

import heapq
from bisect import insort
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from modelyard.index.search import LiveSegment, Plan, tier_rows
from modelyard.index.terms import GRAM_MAX
from modelyard.index.words import TIERS, Masks, pair_mask

WORDS_MAX = 4
# A suggestion takes a millisecond for each term that is respelt, and one for a text with more has little chance.
_RESPELT_MAX = 3
_MEASURED_MAX = 12
# The search looks at so many words of a segment first.
_SEEN = 64
_LETTER_BYTES_MAX = 4


def respell(
    terms: Sequence[str],
    is_known: Callable[[str], bool],
    matches: Callable[[Sequence[str]], bool],
    nearest: Callable[[str], list[str]],
) -> str | None:
    """Return the terms with near words for those that are not known, so that they match; None if nothing near does."""
    respelt = list(terms)
    left = _RESPELT_MAX
    for at, term in enumerate(terms):
        if is_known(term):
            continue
        left -= 1
        if left < 0:
            return None
        for word in nearest(term):
            respelt[at] = word
            # The terms after this one may be misspelt as well, so this attempt leaves them out.
            if matches(respelt[: at + 1]):
                break
        else:
            return None
    return " ".join(respelt) if respelt != list(terms) and matches(respelt) else None


@dataclass(frozen=True, slots=True)
class _Word:
    """The rows of a word, among which some are visible."""

    visible: npt.NDArray[np.bool_]
    rows: npt.NDArray[np.uint32]

    def is_visible(self) -> bool:
        """Whether a visible row has the word. Most words have one in their first rows."""
        return bool(self.visible[self.rows[0]]) or bool(self.visible[self.rows].any())

    def count_rows(self) -> int:
        """Return how many visible rows have the word."""
        return int(np.count_nonzero(self.visible[self.rows]))


def nearest(parts: Sequence[LiveSegment], visible: Plan, term: str) -> list[str]:
    """Return up to ``WORDS_MAX`` words of visible models near ``term``, nearest first, then most frequent.

    A word is near if its edit distance is at most a third of the term's characters. Cost: 0.5 ms.
    """
    if len(term) < GRAM_MAX + 1:
        return []
    allowed = max(1, len(term) // 3)
    found: dict[str, list[_Word]] = {}
    for part in parts:
        for word, place in _alike(part, visible, term, allowed):
            found.setdefault(word, []).append(place)
    pairs = _pairs(term)
    near = [word for word in found if not pairs.isdisjoint(_pairs(word))]
    # The word itself decides ties, so that every process and every run suggests the same.
    by_likeness = heapq.nlargest(_MEASURED_MAX, near, key=lambda word: (len(pairs & _pairs(word)) / len(word), word))
    distances: list[int] = []
    measured: list[tuple[int, int, str]] = []
    for word in by_likeness:
        # A word that is farther than this many others is not among the nearest.
        limit = min(allowed, distances[WORDS_MAX - 1]) if len(distances) >= WORDS_MAX else allowed
        distance = edit_distance(term, word, limit)
        if 0 < distance <= limit:
            insort(distances, distance)
            measured.append((distance, -sum(place.count_rows() for place in found[word]), word))
    return [word for _, _, word in sorted(measured)][:WORDS_MAX]


def _pairs(word: str) -> set[str]:
    return set(map("".join, pairwise(word)))


def _alike(part: LiveSegment, visible: Plan, term: str, allowed: int) -> Iterator[tuple[str, _Word]]:
    """Yield the visible words that share most pairs of letters with a term."""
    arrays = part.segment.arrays
    spelled = term.encode()
    difference = allowed if term.isascii() else allowed * _LETTER_BYTES_MAX
    lengths = part.segment.word_lengths
    low = int(np.searchsorted(lengths, len(spelled) - difference))
    high = int(np.searchsorted(lengths, len(spelled) + difference, side="right"))
    if low == high:
        return
    masks = arrays.word_pairs[low:high]
    rows = _visible_rows(part, visible)
    left = 2 * _MEASURED_MAX
    # Memoryviews give Python's integers at once.
    letters, word_at, row_at = arrays.words.data, arrays.word_at.data, arrays.word_row_at.data
    for number in _by_likeness(masks, pair_mask(spelled), low):
        word = str(letters[word_at[number] : word_at[number + 1]], "utf-8")
        place = _Word(rows, arrays.word_rows[row_at[number] : row_at[number + 1]])
        if abs(len(word) - len(term)) <= allowed and place.is_visible():
            yield word, place
            left -= 1
            if not left:
                return


def _by_likeness(masks: Masks, mask: np.uint64, low: int) -> Iterator[int]:
    """Yield the numbers, from ``low`` up, of the words that share pairs of letters with a term, the most alike first:
    those that share most pairs, and of these the ones that have fewest others."""
    shared = np.bitwise_count(masks & mask)
    every = int(np.count_nonzero(shared))
    done = 0
    # Nearly always the first step has enough words that the viewer may see.
    for size in (_SEEN, every):
        least = int(shared.max(initial=0))
        # Few passes over single bytes: faster than counting all values.
        while least > 1 and np.count_nonzero(shared >= least) < min(size, every):
            least -= 1
        alike = np.flatnonzero(shared >= max(least, 1))
        others = np.bitwise_count(masks[alike]).astype(np.int64) - shared[alike]
        order = np.lexsort((alike, others, -shared[alike].astype(np.int64)))
        yield from (alike[order[done:size]] + low).tolist()
        done = size


def _visible_rows(part: LiveSegment, visible: Plan) -> npt.NDArray[np.bool_]:
    """Return which rows of the first tiers are visible and alive."""
    segment = part.segment
    tiers = range(min(TIERS, len(segment.tiers)))
    key = ("words", visible)
    dead = tuple(part.deleted[tier] for tier in tiers)
    entry: tuple[npt.NDArray[np.bool_], tuple[object, ...]] | None = segment.computed.get(key)
    if entry is not None and all(one is other for one, other in zip(entry[1], dead, strict=True)):
        return entry[0]
    rows = np.zeros(segment.bounds[len(tiers)], bool)
    for tier in tiers:
        held = tier_rows(part, visible, tier)
        if isinstance(held, range):
            rows[held.start : held.stop] = True
        elif isinstance(held, BitMap):
            rows[np.frombuffer(held.to_array(), np.uint32)] = True
    segment.computed.put(key, (rows, dead), len(rows))
    return rows


def edit_distance(one: str, other: str, allowed: int) -> int:
    """Return how many insertions, deletions, replacements or swaps of neighbours turn one word into the other.

    Return ``allowed + 1`` as soon as the distance is above ``allowed``.
    """
    if abs(len(one) - len(other)) > allowed:
        return allowed + 1
    if not one or not other:
        return min(max(len(one), len(other)), allowed + 1)
    # Each bit of a number is a row of the table of distances (Hyyrö 2003): one word costs 0.3 µs a letter, not 5.
    whole, last = (1 << len(one)) - 1, 1 << len(one) - 1
    places: dict[str, int] = {}
    for at, letter in enumerate(one):
        places[letter] = places.get(letter, 0) | 1 << at
    distance, greater, less, equal, before = len(one), whole, 0, 0, 0
    for at, letter in enumerate(other, 1):
        here = places.get(letter, 0)
        swapped = (~equal & here) << 1 & before
        equal = (((here & greater) + greater ^ greater) | here | less | swapped) & whole
        right, left = less | ~(equal | greater) & whole, equal & greater
        distance += bool(right & last) - bool(left & last)
        # Each letter left can bring the words nearer by one.
        if distance - (len(other) - at) > allowed:
            return allowed + 1
        right, left = (right << 1 | 1) & whole, left << 1 & whole
        greater, less, before = left | ~(equal | right) & whole, right & equal, here
    return distance
