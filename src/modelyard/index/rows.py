"""The rows of a segment: made of models, and read again from a segment."""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from modelyard.domain import Model, Visibility, fold, fold_base, fold_file_name, search_text, size_class, year_of
from modelyard.index import search
from modelyard.index.builder import Row
from modelyard.index.choices import licence_filters
from modelyard.index.fulltext import further_text
from modelyard.index.search import LiveSegment
from modelyard.index.terms import file_name_key, group_key, hash_key

_DAY_SECONDS = 86_400


def row_of(model: Model, record: bytes, summary: bytes = b"") -> Row:
    """Return the index row of a model with its record and its summary."""
    filters = [
        "public" if model.visibility is Visibility.PUBLIC else f"team={model.team}",
        f"type={model.type.name}",
        f"source={model.source.value}",
        "sdxl=1" if model.is_sdxl else "sdxl=0",
        "nsfw=1" if model.is_nsfw else "nsfw=0",
        _base_filter(model.base_model),
        *licence_filters(model.licence),
        f"size={size_class(model.size_bytes)}",
        _year_filter(None if model.published_at is None else model.published_at // _DAY_SECONDS),
    ]
    if model.tags:
        filters += dict.fromkeys(map(_tag_filter, model.tags))
    if model.is_inpainting:
        filters.append("inpainting")
    text = search_text(model.sd_name, model.name, model.tags)
    hashes = [hash_key(digits) for digits in (*model.hashes.spellings(), *model.file_hashes)]
    hashes += {file_name_key(fold_file_name(name)) for name in (model.sd_name, *model.file_names) if name}
    sort_keys = (model.published_at, model.updated_at, model.added_at, model.size_bytes)
    further = further_text(model, text).encode()
    name_key = model.name_key.encode()
    title, group = model.title.encode(), group_key(model.version_group)
    texts = text.encode(), record, filters, hashes, sort_keys, name_key, further, title, group, summary
    return Row(model.rank, model.id, *texts)


# A catalogue has models of a few thousand days.
@lru_cache(maxsize=16_384)
def _year_filter(day: int | None) -> str:
    return f"year={year_of(None if day is None else day * _DAY_SECONDS)}"


@lru_cache(maxsize=65_536)
def _tag_filter(tag: str) -> str:
    return f"tag={fold(tag).strip()}"


@lru_cache(maxsize=4_096)
def _base_filter(base_model: str) -> str:
    return f"base={fold_base(base_model)}"


def living_rows(part: LiveSegment) -> Iterator[Row]:
    """Yield the rows of a part that are not dead, in order, equal to the rows that ``build`` received."""
    segment = part.segment
    arrays = segment.arrays
    names = list(segment.filter_names())
    filter_at = arrays.row_filter_at.data
    # Sort the hashes by row again; the segment holds them sorted by hash.
    by_row = np.argsort(arrays.hash_rows, kind="stable")
    hash_keys = arrays.hash_keys[by_row]
    hash_ends = np.cumsum(np.bincount(arrays.hash_rows, minlength=segment.count)).data if segment.count else ()
    for row in search.matches(part, search.Plan()):
        neg_rank, neg_id = segment.order(row)
        numbers = arrays.row_filters[filter_at[row] : filter_at[row + 1]]
        hashes = hash_keys[hash_ends[row - 1] if row else 0 : hash_ends[row]]
        filters = [names[number] for number in numbers.tolist()]
        yield Row(
            -neg_rank,
            -neg_id,
            segment.text(row),
            segment.records((row,))[0],
            filters,
            hashes.tolist(),
            segment.sort_keys(row),
            segment.name_key(row),
            segment.further(row),
            segment.title(row),
            segment.group(row),
            segment.summary(row),
        )
