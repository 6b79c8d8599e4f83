"""Entries of version groups: every page of every order equals the oracle's, and so do the counts of entries."""

import random
from dataclasses import replace

import pytest

from modelyard.domain import ANONYMOUS, Model, ModelQuery, Offset, Viewer, Visibility
from modelyard.index import Budget, Index, model_groups
from tests import oracle
from tests.app_fixture import a_model

RED = Viewer("red")
SORTS = ("popular", "newest", "-newest", "name", "size", "-size")


def some_models(count: int) -> list[Model]:
    """Public and private models, most of them in groups of a few versions, one group of many."""
    chance = random.Random(11)
    models = []
    for n in range(1, count):
        group = chance.choice(("", f"civitai:{chance.randrange(count // 4)}", "red/large"))
        is_private = chance.random() < 0.3
        models.append(
            a_model(
                n,
                rank=chance.randrange(40),
                title=f"Title {group}",
                published_at=chance.choice((None, chance.randrange(1_500_000_000, 1_700_000_000))),
                size_bytes=chance.choice((None, chance.randrange(10**10))),
                is_nsfw=chance.random() < 0.4,
                name=chance.choice(("harbour", "harbinger", "lighthouse")),
                version_group=group,
                visibility=Visibility.PRIVATE if is_private else Visibility.PUBLIC,
                team=chance.choice(("red", "blue")) if is_private else None,
            )
        )
    return models


def index_of(models: list[Model], in_parts: int) -> Index:
    index = Index(lambda model: str(model.id).encode())
    index.load([replace(model, rank=model.rank + 1, version_group="") for model in models[: len(models) // 2]], 1)
    for number in range(in_parts):
        index.apply(models[number::in_parts], [], number + 2)
    return index


def first_of_each_group(models: list[Model], viewer: Viewer, query: ModelQuery) -> list[tuple[int, int]]:
    """The ids of a list's entries, with the number of versions that the viewer may see."""
    everything = oracle.page(models, viewer, replace(query, limit=10_000))[0]
    groups: set[str] = set()
    entries = []
    for model in everything:
        if model.version_group and model.version_group in groups:
            continue
        groups.add(model.version_group)
        versions = [
            other
            for other in models
            if model.version_group == other.version_group != "" and oracle.is_visible(other, viewer)
        ]
        entries.append((model.id, max(1, len(versions))))
    return entries


def walk_leads(index: Index, viewer: Viewer, query: ModelQuery) -> list[int]:
    """Return the ids of all pages; each page but the first starts after an entry in the middle of the one before."""
    ids: list[int] = []
    leads = index.list_leads(viewer, query)
    while leads.ids:
        middle = len(leads.ids) // 2
        ids += leads.ids[: middle + 1]
        leads = index.list_leads(viewer, replace(query, start=leads.position_after(middle)))
    return ids


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("viewer", [ANONYMOUS, RED], ids=["anonymous", "red"])
@pytest.mark.parametrize("in_parts", [1, 3])
def test_each_group_comes_once_as_its_first_visible_match(sort: str, viewer: Viewer, in_parts: int) -> None:
    models = some_models(240)
    index = index_of(models, in_parts)

    for filters in ({}, {"is_nsfw": False}, {"terms": ("harb",)}, {"sizes": frozenset({"2-8gb", "!unknown"})}):
        query = ModelQuery(sort=sort, limit=13, **filters)  # type: ignore[arg-type] # each of its own type
        entries: list[tuple[int, int]] = []
        page = index.list_models(viewer, query, is_grouped=True)
        while True:
            entries += [(int(entry.record), entry.versions) for entry in page.models]
            if page.following is None:
                break
            page = index.list_models(viewer, replace(query, start=page.following), is_grouped=True)

        assert first_of_each_group(models, viewer, query) == entries
        assert [id_ for id_, _ in entries] == walk_leads(index, viewer, query)
        assert len(entries) == index.count_groups(viewer, query, Budget()).number


@pytest.mark.parametrize("sorted_max", [0, 1_000], ids=["by all rows", "by sorting"])
def test_entries_are_counted_for_each_viewer_after_each_change(
    sorted_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_groups, "_SORTED_MAX", sorted_max)
    models = {model.id: model for model in some_models(200)}
    index = Index(lambda model: str(model.id).encode())
    index.load(models.values(), 1)

    for number in range(1, 12):
        ids = models.keys() & set(range(number, 199, 50))
        changed = {n: replace(models[n], version_group=f"civitai:{n % 5}") for n in ids}
        models |= changed
        models.pop(number * 3, None)
        index.apply([model for n, model in changed.items() if n != number * 3], [number * 3], number + 1)

        for viewer, query in ((ANONYMOUS, ModelQuery()), (RED, ModelQuery()), (RED, ModelQuery(is_nsfw=False))):
            entries = first_of_each_group(list(models.values()), viewer, query)
            assert len(entries) == index.count_groups(viewer, query, Budget()).number


def test_a_version_that_is_found_by_its_hash_stands_for_its_group() -> None:
    digits = "AB" * 32
    models = [
        a_model(1, rank=9, version_group="civitai:1"),
        replace(a_model(2, rank=3, version_group="civitai:1"), file_hashes=(digits,)),
    ]
    index = index_of(models, 1)

    page = index.list_models(ANONYMOUS, ModelQuery(words=(digits.lower(),)), is_grouped=True)

    assert [(b"2", 2)] == [(entry.record, entry.versions) for entry in page.models]


def test_versions_singly_and_what_a_card_shows() -> None:
    models = [
        a_model(1, rank=9, version_group="civitai:1", title="Über", size_bytes=5, published_at=7, added_at=8),
        a_model(2, rank=3, version_group="civitai:1"),
        a_model(3, rank=1),
    ]
    index = index_of(models, 1)

    page = index.list_models(ANONYMOUS, ModelQuery(), is_grouped=False)

    assert [(b"1", 2), (b"2", 2), (b"3", 1)] == [(entry.record, entry.versions) for entry in page.models]
    first = page.models[0]
    assert ("Über", 9, 5, 7, 8) == (first.title, first.rank, first.size_bytes, first.published_at, first.added_at)


def test_an_offset_counts_matches() -> None:
    models = [a_model(n, rank=100 - n, version_group=f"civitai:{n // 2}") for n in range(2, 10)]
    index = index_of(models, 1)

    def ids(skip: int) -> list[int]:
        page = index.list_models(ANONYMOUS, ModelQuery(start=Offset(skip)), is_grouped=True)
        return [int(entry.record) for entry in page.models]

    assert [[2, 4, 6, 8], [4, 6, 8], [8], []] == [ids(skip) for skip in (0, 2, 5, 8)]


def test_a_year_and_a_size_are_filters_with_counts() -> None:
    models = [
        a_model(1, published_at=1_700_000_000, size_bytes=1),
        a_model(2, published_at=1_600_000_000, size_bytes=3 * 10**9),
        a_model(3),
    ]
    index = index_of(models, 1)

    def ids(**filters: frozenset[str]) -> set[int]:
        return {int(record) for record in index.search(ANONYMOUS, ModelQuery(**filters)).records}  # type: ignore[arg-type] # two filters

    assert {1} == ids(years=frozenset({"2023"}))
    assert {1, 3} == ids(years=frozenset({"!2020"}))
    assert {2, 3} == ids(sizes=frozenset({"2-8gb", "unknown"}))
    others = index.facets(ANONYMOUS, ModelQuery(), 5, None, ("size", "year")).others
    assert {
        "size": [("0-100mb", 1), ("2-8gb", 1), ("unknown", 1)],
        "year": [("2020", 1), ("2023", 1), ("unknown", 1)],
    } == others
