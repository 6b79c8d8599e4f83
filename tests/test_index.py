"""The index answers what the oracle answers, on generated catalogues and questions, through every change.

Not covered here: segments on disk, several processes (test_segments.py), the wire's spelling (test_wire.py).
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.domain import ANONYMOUS, Model, ModelQuery, Offset, Source, Viewer, fold, model_type
from modelyard.index import Index
from modelyard.index import search as search_module
from modelyard.index import segment as segment_module
from modelyard.index.keys import filter_key

from . import oracle
from .strategies import models, queries, viewers
from .yard import a_model


def render(model: Model) -> bytes:
    return str(model.id).encode()


def answer(index: Index, viewer: Viewer, query: ModelQuery) -> tuple[list[int], object]:
    page = index.search(viewer, query)
    return [int(record) for record in page.records], page.following


def expected(catalogue: dict[int, Model], viewer: Viewer, query: ModelQuery) -> tuple[list[int], object]:
    found, following = oracle.page(catalogue.values(), viewer, query)
    return [model.id for model in found], following


@pytest.fixture(autouse=True)
def small_tiers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiers of 4, 16, 64 … rows: a catalogue of forty models crosses several."""
    monkeypatch.setattr(segment_module, "TIER_FIRST", 4)


catalogues = st.lists(models(), max_size=40, unique_by=lambda model: model.id)


@given(catalogues, viewers, st.lists(queries, min_size=1, max_size=6))
@settings(deadline=None, max_examples=300)
def test_every_page_and_count_equals_the_oracle(
    catalogue: list[Model], viewer: Viewer, asked: list[ModelQuery]
) -> None:
    index = Index(render)
    index.load(catalogue, 1)
    by_id = {model.id: model for model in catalogue}

    for query in asked:
        assert answer(index, viewer, query) == expected(by_id, viewer, query)
        assert index.count_of(viewer, query) == len(oracle.matching(catalogue, viewer, query))


changes = st.lists(
    st.tuples(
        st.lists(models(), max_size=5, unique_by=lambda model: model.id), st.sets(st.integers(1, 40), max_size=4)
    ),
    max_size=8,
)


@given(catalogues, changes, viewers, st.lists(queries, min_size=1, max_size=4))
@settings(deadline=None, max_examples=200)
def test_after_any_changes_answers_equal_the_oracle(
    catalogue: list[Model],
    batches: list[tuple[list[Model], set[int]]],
    viewer: Viewer,
    asked: list[ModelQuery],
) -> None:
    index = Index(render)
    index.load(catalogue, 1)
    by_id = {model.id: model for model in catalogue}

    for revision, (changed, removed) in enumerate(batches, 2):
        removed = removed - {model.id for model in changed}
        index.apply(changed, removed, revision)
        by_id = {key: model for key, model in by_id.items() if key not in removed}
        by_id |= {model.id: model for model in changed}

        assert index.revision == revision
        for query in asked:
            assert answer(index, viewer, query) == expected(by_id, viewer, query)
            assert index.count_of(viewer, query) == len(oracle.matching(by_id.values(), viewer, query))


@given(catalogues, viewers, queries, st.integers(1, 15), st.booleans())
@settings(deadline=None, max_examples=200)
def test_a_walk_of_all_pages_yields_every_match_once_in_order(
    catalogue: list[Model], viewer: Viewer, query: ModelQuery, limit: int, by_offset: bool
) -> None:
    index = Index(render)
    index.load(catalogue, 1)
    query = ModelQuery(terms=query.terms, types=query.types, is_sdxl=query.is_sdxl, limit=limit)

    seen: list[int] = []
    start = None
    while True:
        page = index.search(viewer, _starting(query, start))
        seen += [int(record) for record in page.records]
        if page.following is None:
            break
        start = Offset(len(seen)) if by_offset else page.following

    assert seen == [model.id for model in oracle.matching(catalogue, viewer, query)]


@given(st.data(), catalogues, st.integers(1, 6))
@settings(deadline=None, max_examples=150)
def test_what_stays_unchanged_is_walked_exactly_once_whatever_comes_and_goes(
    data: st.DataObject, catalogue: list[Model], limit: int
) -> None:
    index = Index(render)
    index.load(catalogue, 1)
    by_id = {model.id: model for model in catalogue}
    stable = {model.id for model in catalogue if model.team is None}

    seen: list[int] = []
    start, revision = None, 1
    while True:
        page = index.search(ANONYMOUS, ModelQuery(limit=limit, start=start))
        seen += [int(record) for record in page.records]
        if page.following is None:
            break
        start = page.following
        revision += 1
        added = data.draw(st.lists(models(st.integers(41, 80)), max_size=2, unique_by=lambda model: model.id))
        leaving = data.draw(st.sets(st.sampled_from(sorted(by_id)), max_size=2)) if by_id else set()
        removed = leaving - stable - {model.id for model in added}
        index.apply(added, removed, revision)
        by_id = {key: model for key, model in by_id.items() if key not in removed} | {m.id: m for m in added}

    assert sorted(model_id for model_id in seen if model_id in stable) == sorted(stable)


def _starting(query: ModelQuery, start: object) -> ModelQuery:
    return ModelQuery(terms=query.terms, types=query.types, is_sdxl=query.is_sdxl, limit=query.limit, start=start)


def test_a_collapsed_name_is_found_by_its_spaced_words() -> None:
    model = Model(1, "v10", "jibMixRealisticXL_v10_168644.safetensors", model_type("Checkpoint"), Source.CIVITAI)
    index = Index(render)
    index.load([model], 1)

    page = index.search(ANONYMOUS, ModelQuery(terms=tuple(fold("Jib Mix Realistic XL").split())))

    assert page.records == [b"1"]


def test_types_of_other_teams_private_models_are_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    from modelyard.domain import Visibility

    model = Model(1, "n", "s", model_type("Secret"), Source.UPLOADING, Visibility.PRIVATE, "red")
    index = Index(render)
    index.load([model], 1)

    assert index.type_names(Viewer("red")) == {"secret"}
    assert index.type_names(Viewer("blue")) == set()
    assert index.type_names(ANONYMOUS) == set()


def test_windows_over_large_tiers_leave_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frequent sets are intersected window by window; here windows are small, so that a page crosses several."""
    monkeypatch.setattr(search_module, "_WINDOW_ROWS", 8)
    monkeypatch.setattr(search_module, "_DENSE_ROWS", 1)
    catalogue = [a_model(n, is_sdxl=n % 3 == 0, is_nsfw=n % 5 == 0, rank=(n * 7) % 50) for n in range(1, 400)]
    index = Index(render)
    index.load(catalogue, 1)
    index.apply([a_model(n, is_sdxl=True, is_nsfw=True) for n in range(30, 300, 11)], [60, 90], 2)
    by_id = {model.id: model for model in catalogue} | {
        n: a_model(n, is_sdxl=True, is_nsfw=True) for n in range(30, 300, 11)
    }
    by_id = {key: model for key, model in by_id.items() if key not in (60, 90)}

    for start in (None, Offset(50), *(model.position for model in catalogue[::37])):
        for limit in (1, 20, 100):
            for flags in ({"is_sdxl": True, "is_nsfw": True}, {"is_sdxl": False, "is_nsfw": True, "terms": ("model",)}):
                query = ModelQuery(start=start, limit=limit, **flags)  # type: ignore[arg-type] # each of its own type
                assert answer(index, ANONYMOUS, query) == expected(by_id, ANONYMOUS, query)


def test_a_union_counts_in_the_cache_as_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted as two bytes a row, dense unions of a large catalogue would empty the cache at every question."""
    monkeypatch.setattr(segment_module, "TIER_FIRST", 1 << 14)
    index = Index(render)
    types = [model_type(name) for name in ("LORA", "LoCon", "VAE")]
    index.load((a_model(number, type=types[number % 3]) for number in range(1, 9_001)), 1)
    (part,) = index.parts
    loras = tuple(type_keys("lora", "locon"))
    for key in loras:
        part.segment.one(0, key)
    before = part.segment._cache_bytes

    union = part.segment.any_of(0, loras)

    assert not isinstance(union, segment_module.Extreme)
    assert 6_000 == len(union)
    assert part.segment._cache_bytes - before <= 9_000 // 8 + 200


def type_keys(*names: str) -> list[int]:
    return [filter_key(f"type={name}") for name in names]
