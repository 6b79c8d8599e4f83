"""The filters of rows as columns: which rows have which, and how often."""

import numpy as np

from modelyard.index.filter_columns import FilterColumns
from modelyard.index.terms import filter_key

NAMES = ("tag=night", "type=lora", "tag=art", "type=vae", "types", "tag=unused", "type")
# The filters of each row, by their numbers.
ROWS = ((0, 1), (0, 2, 1), (), (0, 3), (2, 1))


def columns() -> FilterColumns:
    names = [name.encode() for name in NAMES]
    filters = [number for row in ROWS for number in row]
    return FilterColumns(
        np.frombuffer(b"".join(names), np.uint8),
        np.cumsum(np.array([0, *map(len, names)], np.int64)),
        np.bincount(filters, minlength=len(names)),
        np.array(filters, np.uint32),
        np.cumsum(np.array([0, *map(len, ROWS)], np.int64)),
    )


def test_values_of_a_field_come_most_frequent_first_and_only_with_rows() -> None:
    filters = columns()

    values = filters.values("type")
    assert (("lora", "vae"), [1, 3]) == (values.names, values.numbers.tolist())
    assert (filter_key("type=lora"), filter_key("type=vae")) == values.keys
    assert () == filters.values("other").names
    assert filters.values("type") is filters.values("type"), "they are looked for once"


def test_tags_come_most_frequent_first_and_only_with_rows() -> None:
    filters = columns()

    assert [True, False, True, False, False, True, False] == filters.is_tag.tolist()
    assert ["tag=night", "tag=art"] == [filters.name(number) for number in filters.tags.tolist()]
    assert 7 == len(filters)


def test_filters_of_rows_are_counted() -> None:
    filters = columns()

    assert [3, 3, 2, 1, 0, 0, 0] == filters.counts_of(np.arange(5, dtype=np.uint32)).tolist()
    assert [1, 1, 1, 0, 0, 0, 0] == filters.counts_of(np.array([1, 2], np.uint32)).tolist()
    assert [0] * 7 == filters.counts_of(np.empty(0, np.uint32)).tolist()


def test_filters_with_equal_counts_stay_in_their_order() -> None:
    filters = columns()
    counts = np.array([1, 5, 1, 0, 5, 1, 0])

    assert [1, 4, 0, 2, 5] == filters.sort_by(counts, np.arange(7)).tolist()
    assert [4, 2] == filters.sort_by(counts, np.array([2, 3, 4])).tolist()
