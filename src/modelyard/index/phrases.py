"""The frequent phrases of a segment, and the rows whose text holds each.

A phrase is a word, perhaps with the point before it, or what stands between white space: ``safetensors``,
``.safetensors``, ``v1.0``. The builder takes those that many of the most popular rows have, and writes the set of each:
so a term that a phrase holds needs few texts read, and a term that is a phrase needs none. The further texts have
sets of the same phrases.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate

import numpy as np

from modelyard.index.grams import Cut, cut_pairs
from modelyard.index.letters import rows_with
from modelyard.index.segment import Keys, Segment
from modelyard.index.terms import GRAM_MAX, filter_key, gram_keys

# A phrase is frequent if one text of so many has it. Each takes up to 0.2 bytes a row (2026-11).
_SHARE = 50
_PHRASES_MAX = 64
_SAMPLE_ROWS = 1_024
# In fewer rows, reading the texts is cheap.
ROWS_MIN = 2_048
_WORD = re.compile(r"[^\W_]+")
_ENDING = re.compile(r"\.[^\W_]+")


def frequent_phrases(texts: Sequence[bytes]) -> list[bytes]:
    """Return the most frequent phrases of texts, the most frequent first."""
    if len(texts) < ROWS_MIN:
        return []
    counts: Counter[str] = Counter()
    sample = texts[:: -(-len(texts) // _SAMPLE_ROWS)]
    for text in sample:
        letters = text.decode()
        counts.update({*letters.split(), *_WORD.findall(letters), *_ENDING.findall(letters)})
    frequent = ((-count, phrase.encode()) for phrase, count in counts.items() if count * _SHARE >= len(sample))
    # A shorter term is a gram, which has a set anyway.
    return [phrase for _, phrase in sorted(frequent) if len(phrase) > GRAM_MAX][:_PHRASES_MAX]


def phrase_key(phrase: bytes) -> int:
    """Return the key of the set of a phrase."""
    return filter_key(f"phrase={phrase.decode()}")


def further_key(phrase: bytes) -> int:
    """Return the key of the set of those rows whose further text holds a phrase."""
    return filter_key(f"further={phrase.decode()}")


def narrowing_keys(
    segment: Segment, terms: tuple[bytes, ...], grams: tuple[int, ...]
) -> tuple[tuple[Keys, ...], tuple[int, ...]]:
    """Return the keys of the sets that hold every row with the terms: those of phrases, and the grams of other terms.

    ``grams`` are those of all terms.
    """
    phrases = tuple(term for term in terms if term in segment.phrases)
    if not phrases:
        return (), grams
    key = ("grams", terms)
    left: tuple[int, ...] | None = segment.computed.get(key)
    if left is None:
        others = (term for term in terms if term not in segment.phrases)
        left = tuple(dict.fromkeys(gram for term in others for gram in gram_keys(term)))
        segment.computed.put(key, left, 40 * len(left) + sum(map(len, terms)))
    return tuple(keys_of_rows(segment, phrase) for phrase in phrases), left


def keys_of_rows(segment: Segment, phrase: bytes) -> Keys:
    """Return the keys whose union has the rows of a phrase."""
    return (phrase_key(phrase), further_key(phrase)) if segment.has_further else (phrase_key(phrase),)


def cut_phrases(keys: Mapping[bytes, int], texts: Sequence[bytes], first_row: int) -> Cut:
    """Return the key of each phrase with the rows whose text holds it."""
    letters = np.frombuffer(b"".join(texts), np.uint8)
    at = np.fromiter(accumulate(map(len, texts), initial=0), np.int64, len(texts) + 1)
    rows = [np.unique(rows_with(letters, at, phrase)) for phrase in keys]
    repeated = np.repeat(np.array([*keys.values()], np.int64), list(map(len, rows)))
    return cut_pairs(repeated, np.concatenate(rows), first_row)
