"""The arrays of a segment, and the types of their values. ``segment`` draws them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

DTYPES: Mapping[str, type[np.generic]] = {
    "neg_ranks": np.int64,
    "neg_ids": np.int64,
    "text": np.uint8,
    "text_at": np.int64,
    "further": np.uint8,
    "further_at": np.int64,
    "records": np.uint8,
    "record_at": np.int64,
    "summaries": np.uint8,
    "summary_at": np.int64,
    "row_filters": np.uint32,
    "row_filter_at": np.int64,
    "sorted_ids": np.int64,
    "id_rows": np.uint32,
    "hash_keys": np.int64,
    "hash_rows": np.uint32,
    "filter_names": np.uint8,
    "filter_name_at": np.int64,
    "order_rows": np.uint32,
    "order_places": np.uint32,
    "order_keys": np.int64,
    "name_keys": np.uint8,
    "name_key_at": np.int64,
    "titles": np.uint8,
    "title_at": np.int64,
    "groups": np.int64,
    "leads": np.uint32,
    "group_keys": np.int64,
    "group_rows": np.uint32,
    "filter_rows": np.int64,
    "words": np.uint8,
    "word_at": np.int64,
    "word_pairs": np.uint64,
    "word_rows": np.uint32,
    "word_row_at": np.int64,
    "phrases": np.uint8,
    "phrase_at": np.int64,
    "removed": np.int64,
    "set_keys": np.int64,
    "set_at": np.int64,
    "set_bytes": np.uint32,
    "set_blob": np.uint8,
}


def kind_of(name: str) -> str:
    """Return an array's name without the number of its tier."""
    head, _, tail = name.rpartition("_")
    return head if tail.isdigit() else name


@dataclass(frozen=True, slots=True)
class TierArrays:
    """The sets of one tier."""

    set_keys: Array
    set_at: Array
    set_bytes: Array
    set_blob: Array


@dataclass(frozen=True, slots=True)
class SegmentArrays:
    """The arrays of a segment; see the drawing in the module's docstring."""

    neg_ranks: Array
    neg_ids: Array
    text: Array
    text_at: Array
    further: Array
    further_at: Array
    records: Array
    record_at: Array
    summaries: Array
    summary_at: Array
    row_filters: Array
    row_filter_at: Array
    sorted_ids: Array
    id_rows: Array
    hash_keys: Array
    hash_rows: Array
    filter_names: Array
    filter_name_at: Array
    order_rows: Array
    order_places: Array
    order_keys: Array
    name_keys: Array
    name_key_at: Array
    titles: Array
    title_at: Array
    groups: Array
    leads: Array
    group_keys: Array
    group_rows: Array
    filter_rows: Array
    words: Array
    word_at: Array
    word_pairs: Array
    word_rows: Array
    word_row_at: Array
    phrases: Array
    phrase_at: Array
