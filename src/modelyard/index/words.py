"""The words of a segment's most popular rows: what a misspelt term may have meant.

words, word_at          the words, shortest first, then by their bytes
word_rows, word_row_at  the rows that have each word, of the first ``TIERS`` tiers
word_pairs              64 bits a word, one for each pair of neighbouring letters: numpy compares all words with a
                        term in a few operations
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain

import numpy as np
import numpy.typing as npt

WORD = re.compile(r"[^\W_]+")
TIERS = 2
_BYTES_MIN, _BYTES_MAX = 3, 64

Masks = npt.NDArray[np.uint64]
Letters = npt.NDArray[np.uint8]


class WordCollector:
    """Collects the words of rows while a segment is built. Most lines are tags: each is cut into words once."""

    def __init__(self) -> None:
        self._rows_by_line: defaultdict[bytes, list[int]] = defaultdict(list)

    def add(self, row: int, text: bytes) -> None:
        """Add the words of a row; rows come in order."""
        for line in text.split(b"\n"):
            self._rows_by_line[line].append(row)

    def arrays(self) -> Iterator[tuple[str, npt.NDArray[np.generic] | bytes]]:
        """Yield the names and values of the arrays."""
        words_by_line = [_words_of(line) for line in self._rows_by_line]
        words = sorted({*chain.from_iterable(words_by_line)})
        words.sort(key=len)
        letters = b"".join(words)
        at = _starts(list(map(len, words)))
        number_by_word = {word: number for number, word in enumerate(words)}
        numbers = np.fromiter(map(number_by_word.__getitem__, chain.from_iterable(words_by_line)), np.int64)
        pairs = np.sort(self._pairs(numbers, list(map(len, words_by_line))))
        # ``np.unique`` hashes, which takes twenty times as long (2026-11).
        pairs = pairs[np.diff(pairs, prepend=-1) > 0]
        yield "words", letters
        yield "word_at", at
        yield "word_pairs", pair_masks(np.frombuffer(letters, np.uint8), at)
        yield "word_rows", (pairs & 0xFFFFFFFF).astype(np.uint32)
        yield "word_row_at", np.searchsorted(pairs >> 32, np.arange(len(words) + 1))

    def _pairs(self, numbers: npt.NDArray[np.int64], words_of_line: list[int]) -> npt.NDArray[np.int64]:
        """Return (word, row) pairs as one number each: every word of a line with every row of the line."""
        rows = np.fromiter(chain.from_iterable(self._rows_by_line.values()), np.int64)
        starts = _starts([len(rows) for rows in self._rows_by_line.values()])
        lines = np.repeat(np.arange(len(words_of_line)), words_of_line)
        counts = np.diff(starts)[lines]
        steps = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        pairs: npt.NDArray[np.int64] = np.repeat(numbers, counts) << 32 | rows[np.repeat(starts[lines], counts) + steps]
        return pairs


def _words_of(line: bytes) -> list[bytes]:
    words = [word.encode() for word in WORD.findall(line.decode())]
    return [word for word in words if _BYTES_MIN <= len(word) <= _BYTES_MAX]


def _starts(lengths: list[int]) -> npt.NDArray[np.int64]:
    return np.cumsum(np.array([0, *lengths], np.int64))


def pair_masks(letters: Letters, at: npt.NDArray[np.int64]) -> Masks:
    """Return for each word the set of its pairs of neighbouring bytes, as bits. Words have two bytes at least."""
    if len(at) < 2:
        return np.empty(0, np.uint64)
    pairs = letters[:-1].astype(np.uint64) * np.uint64(31) + letters[1:] * np.uint64(7)
    bits = np.uint64(1) << (pairs % np.uint64(64))
    bits[at[1:-1] - 1] = 0  # the last letter of a word and the first one of the next
    return np.bitwise_or.reduceat(bits, at[:-1])


def pair_mask(word: bytes) -> np.uint64:
    """Return the set of the pairs of one word."""
    mask: np.uint64 = pair_masks(np.frombuffer(word, np.uint8), np.array([0, len(word)]))[0]
    return mask
