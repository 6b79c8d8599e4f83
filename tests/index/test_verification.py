"""Verified sets: whichever way a term is verified, answers are the oracle's, and estimates are never above the truth.

The windows are small here, and each way is forced in turn. Not covered here: pages that end early (test_index.py).
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.domain import ANONYMOUS, POPULAR, Model, ModelQuery, Offset, Viewer, fold
from modelyard.index import Index, filter_columns, plan_for, verification
from modelyard.index import search as search_module
from modelyard.index import segment as segment_module
from modelyard.index.budget import Budget, OverBudgetError, quick_budget
from modelyard.index.estimates import ASKS_AN_ATTEMPT
from modelyard.index.set_cache import SetCache
from tests import oracle
from tests.app_fixture import a_model, a_private
from tests.strategies import models, queries, viewers

READ, SCANNED = 1_000, 0


@pytest.fixture(autouse=True, params=[READ, SCANNED], ids=["texts are read", "windows are scanned"])
def small_windows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut catalogues of forty models into several tiers and windows, and verify nothing by walking."""
    monkeypatch.setattr(segment_module, "TIER_FIRST", 4)
    monkeypatch.setattr(search_module, "_PATIENCE_ROWS", 0)
    monkeypatch.setattr(search_module, "_WALK_MATCHES", 0)
    monkeypatch.setattr(verification, "WINDOW_ROWS", 8)
    monkeypatch.setattr(verification, "FEW_ROWS", 0)
    monkeypatch.setattr(filter_columns, "FREQUENT_ROWS", 1)
    monkeypatch.setattr(verification, "units_of_scan", lambda *_: request.param)


def index_of(*batches: list[Model]) -> Index:
    index = Index(lambda model: str(model.id).encode())
    index.load(batches[0], 1)
    for revision, batch in enumerate(batches[1:], 2):
        index.apply(batch, [], revision)
    return index


def ids_of(index: Index, viewer: Viewer, query: ModelQuery) -> list[int]:
    return [int(record) for record in index.search(viewer, query).records]


TERMS = (
    "anime",
    "animetic",
    "imetic",
    "realistic",
    "real",
    "vision",
    ".safetensors",
    "tensors",
    "etic",
    "жанр",
    "base",
)
texts = st.lists(st.sampled_from(TERMS), min_size=1, max_size=4, unique=True).map(
    lambda terms: ModelQuery(terms=tuple(map(fold, terms)))
)


@given(
    st.lists(models(), max_size=40, unique_by=lambda model: model.id),
    st.lists(models(), max_size=6, unique_by=lambda model: model.id),
    viewers,
    st.lists(st.one_of(texts, queries), min_size=1, max_size=4),
    st.integers(0, 20),
)
@settings(deadline=None, max_examples=150)
def test_pages_offsets_and_counts_equal_the_oracle(
    catalogue: list[Model], later: list[Model], viewer: Viewer, asked: list[ModelQuery], skip: int
) -> None:
    index = index_of(catalogue, later)
    known = {model.id: model for model in (*catalogue, *later)}.values()

    for query in (*asked, *asked):  # the second time, sets come from the cache
        matches = oracle.matching(known, viewer, query)
        at_offset = ModelQuery(terms=query.terms, types=query.types, start=Offset(skip), limit=query.limit)
        assert oracle.page(known, viewer, query)[1] == index.search(viewer, query).following
        assert [m.id for m in oracle.page(known, viewer, at_offset)[0]] == ids_of(index, viewer, at_offset)
        assert len(matches) == index.count_of(viewer, query)


@given(
    st.lists(models(), max_size=40, unique_by=lambda model: model.id),
    viewers,
    st.lists(texts, min_size=1, max_size=3),
    st.integers(0, 200),
)
@settings(deadline=None, max_examples=150)
def test_an_estimate_is_never_above_the_truth_and_repeating_it_ends_at_the_truth(
    catalogue: list[Model], viewer: Viewer, asked: list[ModelQuery], limit: int
) -> None:
    index = index_of(catalogue)

    for query in asked:
        truth = len(oracle.matching(catalogue, viewer, query))
        count = index.estimate(viewer, query, Budget(limit))
        assert count.number == truth if count.is_exact else count.number <= truth
        facets = index.facets(viewer, query, 5, Budget(limit))
        assert facets.total == truth if facets.is_exact else facets.total <= truth
        assert truth == index.estimate(viewer, query, Budget()).number


@pytest.mark.parametrize("sort", [POPULAR, "name"])
def test_a_page_behind_all_rows_that_have_the_grams_reads_no_text(sort: str) -> None:
    index = index_of([a_model(n, sd_name=f"animetic{n}") for n in range(1, 20)])
    query = ModelQuery(terms=("animetic",), start=Offset(19), sort=sort)
    nothing = Budget(0, is_quick=True)
    search_module.are_fewer(index.segments, plan_for(ANONYMOUS, query), 19, Budget())  # loads the sets

    assert [] == index.search(ANONYMOUS, query, nothing).records


def test_a_count_beyond_the_budget_has_the_rows_that_their_tags_prove() -> None:
    index = index_of([a_model(n, tags=("anime",)) for n in range(1, 60)])
    plan = plan_for(ANONYMOUS, ModelQuery(terms=("anim",)))
    (part,) = index.segments
    last = len(part.segment.tiers) - 1
    verification.verify(part.segment, last, plan.terms, search_module.tier_rows(part, plan, last) or (), Budget())  # type: ignore[arg-type] # a tier with rows

    assert 59 == index.estimate(ANONYMOUS, ModelQuery(terms=("anim",)), Budget(1_000)).number


def test_a_question_on_the_event_loop_stops_where_it_gets_dear() -> None:
    index = index_of([a_model(n, name="animexx nimetic") for n in range(1, 60)])
    query = ModelQuery(terms=("animetic",))

    for ask in (index.search, index.estimate):
        with pytest.raises(OverBudgetError):
            ask(ANONYMOUS, query, Budget(5, is_quick=True))
        assert ask(ANONYMOUS, query, quick_budget())


def test_a_text_ends_where_the_next_one_begins() -> None:
    """Texts lie end to end: a term must not be found half in one and half in the next."""
    index = index_of([a_model(2, sd_name="nim imetic", name="x", tags=("ani",)), a_model(1, sd_name="metic", name="y")])

    assert 0 == index.count_of(ANONYMOUS, ModelQuery(terms=("animetic",)))
    (part,) = index.segments
    assert [] == [*verification.scan(part.segment, b"animetic", 0, 2)]
    assert [0, 1] == [*verification.scan(part.segment, b"metic", 0, 2)]


def test_a_cached_set_belongs_to_the_segment_and_shows_nobody_what_is_not_theirs() -> None:
    catalogue = [a_private(n, team, sd_name="animetic") for n, team in enumerate(("red", "blue") * 10, 1)]
    index = index_of([*catalogue, *(a_model(n, sd_name="animetic") for n in range(30, 35))])
    query = ModelQuery(terms=("animetic",))

    assert [15, 15, 5] == [index.count_of(viewer, query) for viewer in (Viewer("red"), Viewer("blue"), ANONYMOUS)]
    facets = [index.facets(viewer, query, 5).total for viewer in (ANONYMOUS, Viewer("blue"), Viewer("red"))]
    assert [5, 15, 15] == facets
    assert 5 == len(ids_of(index, ANONYMOUS, query))


def test_a_term_that_a_longer_one_holds_is_not_verified() -> None:
    plan = plan_for(ANONYMOUS, ModelQuery(terms=("tensors", "safetensors", "saf", "fetensor", "anime")))

    assert (b"safetensors", b"anime") == plan.terms
    assert 1 == len(plan.unions)


def test_many_distinct_questions_fill_the_caches_only_to_their_limit() -> None:
    index = index_of([a_model(n, sd_name=f"animetic{n:03}", tags=(f"tag {n % 7}",)) for n in range(1, 60)])
    (part,) = index.segments
    part.segment.computed = SetCache(20_000)

    for number in range(300):
        query = ModelQuery(terms=(f"tic{number:03}", f"ag {number % 7}".replace(" ", "")))
        index.count_of(ANONYMOUS, query)
        index.facets(ANONYMOUS, ModelQuery(terms=(f"etic{number % 60:03}",)), 5)

    assert 0 < part.segment.computed.size_bytes <= 20_000
    assert len(part.segment.computed) <= 50


def test_an_estimate_is_kept_and_every_eighth_time_tried_again_and_gets_further() -> None:
    index = index_of([a_model(n, name="animexx nimetic", tags=("animetic",) if n % 2 else ()) for n in range(1, 60)])
    numbers = []

    for _ in range(ASKS_AN_ATTEMPT + 2):
        budget = Budget(600)
        count = index.estimate(ANONYMOUS, ModelQuery(terms=("animetic",)), budget)
        numbers.append((count.number, count.is_exact, budget.used > 0))

    (first, *kept), (attempt, again) = numbers[:ASKS_AN_ATTEMPT], numbers[ASKS_AN_ATTEMPT:]
    assert (False, True) == first[1:]
    assert [(first[0], False, False)] * (ASKS_AN_ATTEMPT - 1) == kept
    assert attempt[2], "it is tried again"
    assert first[0] < attempt[0] <= 30 == index.count_of(ANONYMOUS, ModelQuery(terms=("animetic",)))
    assert (*attempt[:2], False) == again


def test_an_estimate_of_a_smaller_budget_is_not_the_answer_for_a_larger_one() -> None:
    index = index_of([a_model(n, name="animexx nimetic") for n in range(1, 60)])
    query = ModelQuery(terms=("animexx",))

    assert not index.estimate(ANONYMOUS, query, Budget(60)).is_exact
    assert 59 == index.estimate(ANONYMOUS, query, Budget(100_000)).number
