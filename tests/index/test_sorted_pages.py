"""Pages in every order: few matches are gathered, many are met on a walk of the order, and both equal the oracle.

That generated questions equal the oracle is shown by test_index.py, segments on disk by test_segments.py.
"""

import random
from dataclasses import replace

import pytest

from modelyard.domain import ANONYMOUS, SORTS, Model, ModelQuery, Offset, SortPosition, Viewer
from modelyard.index import Index
from modelyard.index import sorted_pages as sorted_pages_module
from tests import oracle
from tests.app_fixture import a_model, a_private

EVERY_SORT = [sign + name for name in SORTS for sign in ("", "-")]


def some_models(count: int) -> list[Model]:
    chance = random.Random(7)

    def number() -> int | None:
        return chance.choice((None, 0, -5, chance.randrange(50), chance.randrange(2_000_000_000)))

    return [
        a_model(
            n,
            rank=chance.randrange(90),
            title=chance.choice(("", "Ünder", "under", "手", f"Model {n % 11}", 60 * "long ", "\x00\x1b x")),
            published_at=number(),
            updated_at=number(),
            added_at=number(),
            size_bytes=number(),
            is_nsfw=n % 3 == 0,
            name="animetic" if n % 5 else "animexx nimetic",
        )
        for n in range(1, count)
    ]


def ids_of(index: Index, query: ModelQuery, viewer: Viewer = ANONYMOUS) -> tuple[list[int], object]:
    page = index.search(viewer, query)
    return [int(record) for record in page.records], page.following


def index_of(models: list[Model], *, in_parts: int) -> Index:
    """The models in several segments, of which the newer ones replace rows of the older ones."""
    index = Index(lambda model: str(model.id).encode())
    index.load([replace(model, rank=model.rank + 1, size_bytes=1) for model in models[: len(models) // 2]], 1)
    for number in range(in_parts):
        index.apply(models[number::in_parts], [], number + 2)
    return index


@pytest.mark.parametrize("sort", EVERY_SORT)
@pytest.mark.parametrize("cost", [0, 1_000_000], ids=["walked", "gathered"])
@pytest.mark.parametrize(("in_parts", "patience"), [(1, 3_000), (3, 2)])
def test_every_page_of_every_order_equals_the_oracle(
    monkeypatch: pytest.MonkeyPatch, sort: str, cost: int, in_parts: int, patience: int
) -> None:
    monkeypatch.setattr(sorted_pages_module, "_WALK_COST", cost)
    monkeypatch.setattr(sorted_pages_module, "_PATIENCE_ROWS", patience)
    monkeypatch.setattr(sorted_pages_module, "_STEP_ROWS", 8)
    monkeypatch.setattr(sorted_pages_module, "_WALK_LENGTHS", 0)
    models = some_models(300)
    index = index_of(models, in_parts=in_parts)

    for filters in ({}, {"is_nsfw": True}, {"terms": ("animetic",)}, {"terms": ("a",), "is_nsfw": False}):
        start: object = None
        for _ in range(100):
            query = ModelQuery(sort=sort, start=start, limit=17, **filters)  # type: ignore[arg-type] # each of its own type
            found, following = oracle.page(models, ANONYMOUS, query)
            assert ([model.id for model in found], following) == ids_of(index, query)
            if following is None:
                break
            start = following
        for skip in (1, 40, 150, 298, 299, 900):
            query = ModelQuery(sort=sort, start=Offset(skip), limit=9, **filters)  # type: ignore[arg-type] # as above
            found, following = oracle.page(models, ANONYMOUS, query)
            assert ([model.id for model in found], following) == ids_of(index, query)


@pytest.mark.parametrize("sort", EVERY_SORT)
def test_models_without_a_date_or_size_are_last_in_both_directions(sort: str) -> None:
    index = Index(lambda model: str(model.id).encode())
    index.load([a_model(1), a_model(2, published_at=1, updated_at=1, added_at=1, size_bytes=1)], 1)

    if sort.removeprefix("-") not in ("popular", "name"):
        assert [2, 1] == ids_of(index, ModelQuery(sort=sort))[0]


def test_names_are_sorted_folded_by_the_title_or_else_the_file() -> None:
    index = Index(lambda model: str(model.id).encode())
    names = {1: "Zebra", 2: "apple", 3: "Äpfel", 4: "ＡＰＰＬＥ pie", 5: ""}
    index.load([a_model(n, title=title, sd_name="banana.pt") for n, title in names.items()], 1)

    assert [2, 4, 5, 1, 3] == ids_of(index, ModelQuery(sort="name"))[0]
    assert [3, 1, 5, 4, 2] == ids_of(index, ModelQuery(sort="-name"))[0]


@pytest.mark.parametrize("sort", EVERY_SORT)
def test_no_order_and_no_position_of_one_shows_a_private_model(sort: str) -> None:
    index = Index(lambda model: str(model.id).encode())
    index.load([a_model(1, size_bytes=5), a_private(2, "red", size_bytes=4), a_model(3, size_bytes=3)], 1)
    starts = [None, Offset(1), *(start for start in (SortPosition("size", 4, 2),) if sort == "size")]

    for start in starts:
        query = ModelQuery(sort=sort, start=start)
        assert 2 not in ids_of(index, query)[0]
        assert ids_of(index, query) == ids_of(index, query, Viewer("blue"))
