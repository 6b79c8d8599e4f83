"""The words of a segment's most popular rows: what a misspelt term may have meant.

words, word_at          the words, shortest first, then by their bytes
word_rows, word_row_at  the rows that have each word, of the first ``TIERS`` tiers
word_pairs              64 bits a word, one for each pair of neighbouring letters: numpy compares all words with a
                        term in a few operations
"""

import re
from array import array
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

WORD = re.compile(r"[^\W_]+")
TIERS = 2
_BYTES_MIN, _BYTES_MAX = 3, 64

Masks = npt.NDArray[np.uint64]
Letters = npt.NDArray[np.uint8]


class WordCollector:
    """Collects the words of rows while a segment is built."""

    def __init__(self) -> None:
        self._rows: dict[bytes, array[int]] = {}

    def add(self, row: int, text: bytes) -> None:
        """Add the words of a row; rows come in order."""
        for word in {found.encode() for found in WORD.findall(text.decode())}:
            if _BYTES_MIN <= len(word) <= _BYTES_MAX:
                rows = self._rows.get(word)
                if rows is None:
                    self._rows[word] = array("I", (row,))
                else:
                    rows.append(row)

    def arrays(self) -> Iterator[tuple[str, bytes | npt.NDArray[np.generic]]]:
        """Yield the names and values of the arrays."""
        words = sorted(self._rows, key=lambda word: (len(word), word))
        letters = b"".join(words)
        at = _starts(list(map(len, words)))
        yield "words", letters
        yield "word_at", at
        yield "word_pairs", pair_masks(np.frombuffer(letters, np.uint8), at)
        yield "word_rows", b"".join(self._rows[word].tobytes() for word in words)
        yield "word_row_at", _starts([len(self._rows[word]) for word in words])


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
