"""Cuts the grams of texts, and pairs each with the rows that have it.

numpy works on blocks of rows that fit the second-level cache: on 64 Ki rows at once it takes twice the time (2026-11).
Pairs are sorted by its stable argsort of 16-bit numbers, which is a radix sort, so each gram gets a number among the
grams that occur in the block. The further text of a row stands behind its text. A stable sort keeps that order, so the
first occurrence of a gram in a row says whether the row's text has it, or only its further text.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from modelyard.index.terms import FURTHER, GRAM_MAX

Array = npt.NDArray[Any]

_SPACE_MAX = 0x20  # no term holds white space, so no query needs a gram with a byte up to this one
_BLOCK_ROWS = 1 << 12
_NUMBERS_MAX = 1 << 16
# Grams are numbered by a table of all that the block's letters can form, unless that is so many times as long.
_TABLE_GROWTH_MAX = 16


class Cut(NamedTuple):
    """Sets of rows within 64 Ki: keys, the number of rows of each, and all rows, ascending within a key.

    The rows stand in ``rows`` as the lower 16 bits, one key after another; ``high`` holds their other bits. A key may
    come again, with later rows.
    """

    keys: Array
    counts: Array
    rows: Array
    high: int


def cut_grams(texts: list[bytes], further: list[bytes], first_row: int) -> Cut:
    """Return every gram with the rows whose text has it, and under another key those where only the further has."""
    both = [b""] * (2 * len(texts))
    both[::2], both[1::2] = texts, further
    cuts = [
        cut_pairs(keys, places >> 1, first_row + at // 2)
        for at in range(0, len(both), 2 * _BLOCK_ROWS)
        for keys, places in _block_pairs(both[at : at + 2 * _BLOCK_ROWS])
    ]
    keys, counts, rows, _ = zip(*cuts, strict=True)
    return Cut(np.concatenate(keys), np.concatenate(counts), np.concatenate(rows), cuts[0].high)


def cut_pairs(keys: Array, rows: Array, first_row: int) -> Cut:
    """Return sorted (key, row) pairs as sets; ``rows`` count from ``first_row``."""
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1]))) if len(keys) else np.empty(0, np.int64)
    low = (rows + (first_row & 0xFFFF)).astype(np.uint16)
    return Cut(keys[starts].astype(np.int64), np.diff(starts, append=len(keys)), low, first_row >> 16)


def _block_pairs(both: list[bytes]) -> list[tuple[Array, Array]]:
    """Return the keys of grams and the places of pieces of text, those of texts and those of further texts apart."""
    letters = np.frombuffer(b"\n".join(both) + b"\n", np.uint8)
    lengths = np.fromiter(map(len, both), np.int64, len(both)) + 1
    pieces = np.repeat(np.arange(len(both), dtype=np.uint16), lengths)
    alphabet = np.flatnonzero(np.bincount(letters, minlength=256))
    alphabet = alphabet[alphabet > _SPACE_MAX]
    codes = np.zeros(256, np.int32)
    codes[alphabet] = np.arange(len(alphabet))
    speaks, coded = letters > _SPACE_MAX, codes[letters]
    gram, is_valid = coded, speaks
    spelled = alphabet.astype(np.int64)
    pairs = _letter_pairs(spelled | 1 << 24, coded[speaks], pieces[speaks], len(both))
    for size in range(2, GRAM_MAX + 1):
        # The gram that starts at each letter grows by one letter a round. A line feed ends every text.
        reach = len(letters) - size + 1
        gram = gram[:reach] * np.int32(len(alphabet)) + coded[size - 1 :]
        is_valid = is_valid[:reach] & speaks[size - 1 :]
        spelled = (spelled[:, None] << 8 | alphabet).reshape(-1)
        grams, places = _first_pairs(gram[is_valid], pieces[:reach][is_valid], len(spelled))
        keys = spelled[grams] | size << 24
        is_further = (places & 1).astype(bool)
        pairs += [(keys[~is_further], places[~is_further]), (keys[is_further] | FURTHER, places[is_further])]
    return pairs


def _letter_pairs(keys: Array, codes: Array, pieces: Array, count: int) -> list[tuple[Array, Array]]:
    """Return the same for grams of one letter: a table says which pieces have each, so that nothing is sorted.

    ``codes`` are the letters by their number in ``keys``, each with its piece of the ``count``; two pieces are a row.
    """
    has_letter = np.zeros((len(keys), count), bool)
    has_letter[codes, pieces] = True
    texts, further = has_letter[:, ::2], has_letter[:, 1::2]
    own_codes, own_rows = np.nonzero(texts)
    further_codes, further_rows = np.nonzero(further > texts)
    return [(keys[own_codes], own_rows << 1), (keys[further_codes] | FURTHER, further_rows << 1)]


def _first_pairs(grams: Array, pieces: Array, space: int) -> tuple[Array, Array]:
    """Return the distinct grams of each row, by gram, then row, with the piece of the row where each comes first.

    Grams are numbers below ``space``. ``pieces`` ascend; two of them are a row.
    """
    if space > _NUMBERS_MAX and space > _TABLE_GROWTH_MAX * len(grams):
        order = np.argsort(grams, kind="stable")
        grams = grams[order]
    else:
        is_present = np.zeros(space, bool)
        is_present[grams] = True
        present = np.flatnonzero(is_present).astype(np.int32)
        narrow = np.uint16 if len(present) <= _NUMBERS_MAX else np.uint32
        numbers = np.empty(space, narrow)
        numbers[present] = np.arange(len(present), dtype=narrow)
        numbered = numbers[grams]
        order = np.argsort(numbered, kind="stable")
        grams = np.repeat(present, np.bincount(numbered, minlength=len(present)))
    pieces = pieces[order]
    rows = pieces >> 1
    first = np.ones(len(grams), bool)
    first[1:] = (grams[1:] != grams[:-1]) | (rows[1:] != rows[:-1])
    return grams[first], pieces[first]
