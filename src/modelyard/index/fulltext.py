"""The text of ``filter.search``: all names and words of a model, without what separates words.

A row has this *further text* beside the text of ``filter.query``, and only what that text does not say already. Its
grams have keys of their own (``FURTHER``), and only where the row's text does not have the gram. So a row holds a word
if one of the two texts does, and has a gram if it is in one of two sets.

A word that is a hash also finds the models with that hash. Their rows are copied into a part of their own, with the
words of the question as their text: so every other search is the same.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from pyroaring import BitMap

from modelyard.domain import HASH_LENGTHS, Model, fold, squeeze
from modelyard.index.builder import Row, build
from modelyard.index.search import LiveSegment, Plan
from modelyard.index.terms import hash_key

_HASH = re.compile(f"[0-9a-f]{{{HASH_LENGTHS[0]},{HASH_LENGTHS[-1]}}}")
_NO_IDS = np.empty(0, np.int64)


def further_text(model: Model, text: str) -> str:
    """Return what ``filter.search`` finds beside ``text``, the model's text for ``filter.query``."""
    names = dict.fromkeys((model.title, *model.file_names, model.sd_name, model.name, *model.trigger_words))
    *squeezed_names, creator = _squeeze_all([*names, model.creator])
    further = ""
    for squeezed in (*squeezed_names, *filter(None, map(_squeeze_tag, model.tags)), creator):
        if squeezed and squeezed not in text and squeezed not in further:
            further += f"\n{squeezed}" if further else squeezed
    return further


def _squeeze_all(fields: Sequence[str]) -> list[str]:
    """Return the fields folded and squeezed: all at once if they are ASCII, which takes a third of the time."""
    joined = "\n".join(fields)
    if joined.isascii():
        squeezed = joined.lower().encode().translate(None, _SEPARATORS_BUT_LINE_FEED).decode().split("\n")
        if len(squeezed) == len(fields):
            return squeezed
    return [squeeze(fold(field)) for field in fields]


_SEPARATORS_BUT_LINE_FEED = bytes(code for code in range(128) if code != ord("\n") and not squeeze(chr(code)))


# A catalogue has few tags, and each model has many of them.
@lru_cache(maxsize=65_536)
def _squeeze_tag(tag: str) -> str:
    """Return a tag folded and squeezed; empty if that is the tag as it stands in the text of its model."""
    folded = fold(tag)
    squeezed = squeeze(folded)
    return "" if squeezed == folded else squeezed


def views_of(parts: Sequence[LiveSegment]) -> tuple[LiveSegment, ...]:
    """Return the parts as ``filter.search`` sees them."""
    return tuple(replace(part, segment=part.segment.searching) for part in parts)


def with_hashes(views: tuple[LiveSegment, ...], plan: Plan) -> tuple[LiveSegment, ...]:
    """Return the views, and a part of the models that the plan's words find by hash."""
    keys = _hash_keys(plan.words)
    rows = [row for part in views for row in _rows_by_hash(part, keys, plan)] if keys else []
    if not rows:
        return views
    segment = build(rows)
    return (*views, LiveSegment(segment, (None,) * len(segment.tiers), 0, _NO_IDS))


@lru_cache(maxsize=4_096)
def _hash_keys(words: tuple[str, ...]) -> dict[str, int]:
    return {word: hash_key(word) for word in words if len(word) in HASH_LENGTHS and _HASH.fullmatch(word)}


def _rows_by_hash(part: LiveSegment, keys: dict[str, int], plan: Plan) -> Iterator[Row]:
    """Yield the living rows that lack words, and have the hash that each word they lack is."""
    segment, words = part.segment, plan.words
    rows_by_word = {word: set(segment.rows_of_hash(key)) for word, key in keys.items()}
    for row in sorted(set().union(*rows_by_word.values())):
        text = segment.text(row)
        missing = [word for word in words if word.encode() not in text]
        if not missing or not _is_alive(part, row) or any(row not in rows_by_word.get(word, ()) for word in missing):
            continue
        hashes = [plan.hash_key] if plan.hash_key is not None and row in segment.rows_of_hash(plan.hash_key) else []
        yield _replace_text(part, row, "\n".join(words).encode(), hashes)


def _is_alive(part: LiveSegment, row: int) -> bool:
    dead = part.deleted[part.segment.tier_of(row)]
    return dead is None or (isinstance(dead, BitMap) and row not in dead)


def _replace_text(part: LiveSegment, row: int, text: bytes, hashes: Sequence[int]) -> Row:
    """Return a row with another text and these hashes."""
    segment, arrays = part.segment, part.segment.arrays
    numbers = arrays.row_filters[int(arrays.row_filter_at[row]) : int(arrays.row_filter_at[row + 1])]
    position = segment.position(row)
    return Row(
        position.rank,
        position.id,
        text,
        segment.records((row,))[0],
        [segment.filters.name(number) for number in numbers.tolist()],
        hashes,
        segment.sort_keys(row),
        segment.name_key(row),
        title=segment.title(row),
        group=segment.group(row),
        summary=segment.summary(row),
    )
