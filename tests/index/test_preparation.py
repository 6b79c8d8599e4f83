"""Preparing a segment: what a question would compute first is there before, and stays when the cache is emptied.

Not covered here: that answers are right with and without it (test_facets.py, test_verification.py).
"""

from modelyard.domain import ANONYMOUS, ModelQuery
from modelyard.index import Index
from modelyard.index.budget import Budget
from modelyard.index.preparation import prepare
from modelyard.index.segment import Segment
from modelyard.index.terms import filter_key, gram_keys
from tests.app_fixture import a_model


def index_of(count: int) -> Index:
    index = Index(lambda model: str(model.id).encode())
    index.load([a_model(n, tags=(f"tag {n % 3}",), name=f"name{n:04}") for n in range(1, count + 1)], 1)
    return index


def segment_of(index: Index) -> Segment:
    (part,) = index.segments
    return part.segment


def units_of_facets(index: Index) -> int:
    budget = Budget()
    index.facets(ANONYMOUS, ModelQuery(is_sdxl=False), 5, budget)
    return budget.used


def test_a_question_of_a_prepared_segment_loads_no_set_of_a_filter() -> None:
    fresh, prepared = index_of(200), index_of(200)
    list(prepare(segment_of(prepared)))

    assert units_of_facets(prepared) < units_of_facets(fresh)
    assert fresh.facets(ANONYMOUS, ModelQuery(), 5) == prepared.facets(ANONYMOUS, ModelQuery(), 5)


def test_the_sets_of_filters_stay_when_many_others_were_loaded() -> None:
    segment = segment_of(index_of(200))
    list(prepare(segment))
    pinned = segment.one(0, filter_key("tag=tag 1"))
    segment._cache_bytes_max = 1_000  # every set that is loaded now empties the cache

    for number in range(200):
        segment.one(0, gram_keys(f"{number:03}".encode())[0])

    assert pinned is segment.one(0, filter_key("tag=tag 1"))
    assert segment.one(0, gram_keys(b"001")[0]) is not segment.one(0, gram_keys(b"002")[0])


def test_no_more_sets_stay_than_a_share_of_the_cache() -> None:
    segment = segment_of(index_of(200))
    segment._cache_bytes_max = 2_000
    list(prepare(segment))

    assert 0 < len(segment._pinned[0]) <= 4


def test_the_search_of_all_fields_uses_the_same_sets_of_filters() -> None:
    segment = segment_of(index_of(200))

    assert segment.one(0, filter_key("tag=tag 1")) is segment.searching.one(0, filter_key("tag=tag 1"))
    assert segment.filters is segment.searching.filters
