"""The index answers what the oracle answers, on generated catalogues and questions, through every change.

Not covered here: segments on disk, several processes (test_segments.py), the wire's spelling (test_wire.py).
"""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.domain import (
    ANONYMOUS,
    SORTS,
    Hashes,
    Model,
    ModelQuery,
    Offset,
    Position,
    SortPosition,
    Source,
    Viewer,
    Visibility,
    fold,
    model_type,
)
from modelyard.index import Index
from modelyard.index import search as search_module
from modelyard.index import segment as segment_module
from modelyard.index.budget import Budget
from modelyard.index.terms import filter_key
from tests import oracle
from tests.app_fixture import a_model, a_private
from tests.strategies import models, queries, viewers


def render(model: Model) -> bytes:
    return str(model.id).encode()


sorts = st.sampled_from([sign + name for name in SORTS for sign in ("", "-")])


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


def catalogues_from(least: int) -> st.SearchStrategy[list[Model]]:
    return st.lists(models(), min_size=least, max_size=40, unique_by=lambda model: model.id)


# Half of them have several tiers.
catalogues = catalogues_from(0) | catalogues_from(12)


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


def questions_about(subjects: list[Model]) -> list[ModelQuery]:
    """Questions by the id and by a hash of each model, and two by the id of one and the hash of another."""
    digits = [min(model.hashes.spellings()) for model in subjects if model.hashes.spellings()]
    return [
        *(ModelQuery(id=model.id) for model in subjects),
        *(ModelQuery(hash=hash_) for hash_ in digits),
        *(ModelQuery(id=subjects[0].id, hash=hash_) for hash_ in digits[-2:]),
    ]


@given(catalogues, changes, viewers, st.lists(queries, min_size=1, max_size=4))
@settings(deadline=None, max_examples=150)
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
        before = by_id
        by_id = {key: model for key, model in by_id.items() if key not in removed}
        by_id |= {model.id: model for model in changed}

        assert index.revision == revision
        for query in (*asked, *questions_about([*changed, *(before[key] for key in removed & before.keys())])):
            assert answer(index, viewer, query) == expected(by_id, viewer, query)
            assert index.count_of(viewer, query) == len(oracle.matching(by_id.values(), viewer, query))


@given(catalogues, viewers, queries, st.integers(1, 15), st.booleans(), sorts)
@settings(deadline=None, max_examples=120)
def test_a_walk_of_all_pages_yields_every_match_once_in_order(
    catalogue: list[Model], viewer: Viewer, query: ModelQuery, limit: int, by_offset: bool, sort: str
) -> None:
    index = Index(render)
    index.load(catalogue[::2], 1)
    index.apply(catalogue[1::2], [], 2)
    query = ModelQuery(terms=query.terms, types=query.types, is_sdxl=query.is_sdxl, limit=limit, sort=sort)

    seen: list[int] = []
    start: Position | SortPosition | Offset | None = None
    while True:
        page = index.search(viewer, replace(query, start=start))
        seen += [int(record) for record in page.records]
        if page.following is None:
            break
        start = Offset(len(seen)) if by_offset else page.following

    everything = replace(query, limit=1_000)
    assert seen == [model.id for model in oracle.page(catalogue, viewer, everything)[0]]


@given(st.data(), catalogues, st.integers(1, 6), sorts)
@settings(deadline=None, max_examples=100)
def test_what_stays_unchanged_is_walked_exactly_once_whatever_comes_and_goes(
    data: st.DataObject, catalogue: list[Model], limit: int, sort: str
) -> None:
    index = Index(render)
    index.load(catalogue, 1)
    by_id = {model.id: model for model in catalogue}
    stable = {model.id for model in catalogue if model.team is None}

    seen: list[int] = []
    start: Position | SortPosition | None = None
    revision = 1
    while True:
        page = index.search(ANONYMOUS, ModelQuery(limit=limit, start=start, sort=sort))
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


def test_a_collapsed_name_is_found_by_its_spaced_words() -> None:
    model = Model(1, "v10", "jibMixRealisticXL_v10_168644.safetensors", model_type("Checkpoint"), Source.CIVITAI)
    index = Index(render)
    index.load([model], 1)

    page = index.search(ANONYMOUS, ModelQuery(terms=tuple(fold("Jib Mix Realistic XL").split())))

    assert page.records == [b"1"]


# --- One model by its id or hash -------------------------------------------------------------------------------------


def hash_of(number: int) -> Hashes:
    return Hashes(sha256=f"{number:064X}")


def index_of_forty() -> Index:
    index = Index(render)
    index.load([a_model(n, hashes=hash_of(n)) for n in range(1, 41)], 1)
    return index


def ids_of(index: Index, query: ModelQuery, viewer: Viewer = ANONYMOUS) -> list[int]:
    return answer(index, viewer, query)[0]


def with_id(model_id: int) -> ModelQuery:
    return ModelQuery(id=model_id)


def with_hash(number: int) -> ModelQuery:
    return ModelQuery(hash=f"{number:064X}")


def test_a_model_made_private_is_not_answered_to_others_by_its_id_or_hash() -> None:
    index = index_of_forty()

    index.apply([a_private(20, "red", hashes=hash_of(20))], [], 2)

    for query in (with_id(20), with_hash(20)):
        assert [] == ids_of(index, query)
        assert [20] == ids_of(index, query, Viewer("red"))
        assert 0 == index.count_of(ANONYMOUS, query)


def test_a_removed_model_is_not_answered_by_its_id_or_hash() -> None:
    index = index_of_forty()

    index.apply([], [20], 2)

    for query in (with_id(20), with_hash(20)):
        assert [] == ids_of(index, query)
        assert 0 == index.count_of(ANONYMOUS, query)


def test_a_changed_model_is_answered_once_by_its_id_and_by_its_new_hash_alone() -> None:
    index = index_of_forty()

    index.apply([a_model(20, hashes=hash_of(99))], [], 2)

    assert [20] == ids_of(index, with_id(20))
    assert [20] == ids_of(index, with_hash(99))
    assert [] == ids_of(index, with_hash(20))


def test_an_id_with_the_hash_of_another_model_finds_nothing() -> None:
    index = index_of_forty()

    assert [20] == ids_of(index, replace(with_hash(20), id=20))
    assert [] == ids_of(index, replace(with_hash(21), id=20))


def test_pages_of_models_with_one_hash_go_on_after_the_last_one() -> None:
    index = Index(render)
    index.load([a_model(n, hashes=hash_of(7)) for n in range(1, 6)], 1)
    query = replace(with_hash(7), limit=2)

    pages = []
    start = None
    for _ in range(4):
        page, start = answer(index, ANONYMOUS, replace(query, start=start))  # type: ignore[arg-type] # a position
        pages.append(page)
        if start is None:
            break

    assert [[1, 2], [3, 4], [5]] == pages
    assert [] == ids_of(index, replace(with_id(3), start=a_model(3).position))


def test_the_rank_of_a_changed_model_is_its_new_one() -> None:
    index = index_of_forty()

    index.apply([a_model(20, rank=5_000)], [], 2)

    assert {19: 981, 20: 5_000} == index.ranks_of([19, 20])


def test_changes_in_memory_are_joined_as_they_come() -> None:
    """A segment is joined with the one before it if that is less than four times as large."""
    index = Index(render)
    index.load([a_model(n) for n in range(1, 41)], 1)
    counts = []
    for number in range(1, 8):
        index.apply([a_model(100 + number)], [], number + 1)
        counts.append([part.segment.count for part in index.segments])
    index.apply([], [101, 102], 9)
    counts.append([part.segment.count for part in index.segments])

    assert [[40, 1], [40, 2], [40, 3], [40, 4], [40, 4, 1], [40, 6], [40, 6, 1], [40, 5]] == counts
    assert 45 == index.count_of(ANONYMOUS, ModelQuery())


# --- Words and who sees what -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("terms", [("animetic",), ("style", "animetic")])
def test_a_text_with_all_trigrams_of_a_word_but_without_the_word_does_not_match(terms: tuple[str, ...]) -> None:
    index = Index(render)
    catalogue = [a_model(1, name="animetic style"), a_model(2, name="animexx nimetic style")]
    # With many other rows the few candidates are looked at one by one, without them the whole text is scanned.
    others = [a_model(n, name="other") for n in range(3, 200)]

    for rows in (catalogue, [*catalogue, *others]):
        index.load(rows, 1)

        assert [1] == ids_of(index, ModelQuery(terms=terms))
        assert 1 == index.count_of(ANONYMOUS, ModelQuery(terms=terms))


def test_spaces_around_a_tag_do_not_matter() -> None:
    index = Index(render)
    index.load([a_model(1, tags=(" Line Art ",))], 1)

    assert [1] == ids_of(index, ModelQuery(tags=("line art",)))


def test_a_private_model_of_no_team_is_shown_to_nobody() -> None:
    index = Index(render)
    index.load([a_model(1), a_model(2, visibility=Visibility.PRIVATE, team=None)], 1)

    for viewer in (ANONYMOUS, Viewer("red")):
        assert [1] == ids_of(index, ModelQuery(), viewer)
        assert [] == ids_of(index, ModelQuery(visibility=Visibility.PRIVATE), viewer)


def test_types_of_other_teams_private_models_are_not_known() -> None:
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


@pytest.mark.parametrize("has_changes", [False, True])
def test_a_deep_offset_in_a_text_search_skips_the_matches_before_it(
    monkeypatch: pytest.MonkeyPatch, has_changes: bool
) -> None:
    by_id = {n: a_model(n, name="animetic" if n % 3 else "animexx nimetic", rank=n * 7 % 50) for n in range(1, 400)}
    index = Index(render)
    index.load(by_id.values(), 1)
    if has_changes:
        changes = {n: a_model(n, name="animetic", rank=n) for n in range(30, 300, 11)}
        index.apply(list(changes.values()), [60, 90], 2)
        by_id = {n: model for n, model in (by_id | changes).items() if n not in (60, 90)}
    limits: list[int] = []
    take = search_module.take
    monkeypatch.setattr(search_module, "_WALK_MATCHES", 50)

    def record_limit(
        part: search_module.LiveSegment, plan: search_module.Plan, first: int, limit: int, budget: Budget
    ) -> list[int]:
        limits.append(limit)
        return take(part, plan, first, limit, budget)

    monkeypatch.setattr(search_module, "take", record_limit)

    for skip in (0, 1, 5, 19, 20, 21, 60, 150, 255, 270, 400, 900_000):
        query = ModelQuery(terms=("animetic",), start=Offset(skip), limit=7)
        assert expected(by_id, ANONYMOUS, query) == answer(index, ANONYMOUS, query)
    assert max(limits) < 100


def test_a_union_counts_in_the_cache_as_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted as two bytes a row, dense unions of a large catalogue would empty the cache at every question."""
    monkeypatch.setattr(segment_module, "TIER_FIRST", 1 << 14)
    index = Index(render)
    types = [model_type(name) for name in ("LORA", "LoCon", "VAE")]
    index.load((a_model(number, type=types[number % 3]) for number in range(1, 9_001)), 1)
    (part,) = index.segments
    loras = tuple(type_keys("lora", "locon"))
    for key in loras:
        part.segment.one(0, key)
    before = part.segment._cache_bytes

    union = part.segment.any_of(0, loras)

    assert not isinstance(union, segment_module.Bound)
    assert 6_000 == len(union)
    assert part.segment._cache_bytes - before <= 9_000 // 8 + 200


def type_keys(*names: str) -> list[int]:
    return [filter_key(f"type={name}") for name in names]
