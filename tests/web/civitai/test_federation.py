"""One catalogue imports the public models of another, and the other imports them back."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from modelyard.civitai import records
from modelyard.domain import OWN_ID_MIN, Source, Visibility
from modelyard.facts import Facts, Layer, Record, resolve
from tests.app_fixture import App, open_app

from .test_answers import walk


@pytest.fixture
def open_catalogue(tmp_path: Path) -> Iterator[Callable[[str], App]]:
    with ExitStack() as stack:

        def open_one(name: str) -> App:
            (tmp_path / name).mkdir()
            return stack.enter_context(open_app(tmp_path / name, anonymous_access="public"))

        yield open_one


def an_upload(number: int, **given: object) -> Record:
    facts = Facts(name=f"night {number}", sd_name=f"night_{OWN_ID_MIN + number}.safetensors", version_group="nights")
    return Record(OWN_ID_MIN + number, Source.UPLOADING, Layer.USER, facts, **given)  # type: ignore[arg-type] # fields


def take(to: App, source: App, team: str | None = None) -> dict[str, int]:
    """Import what a catalogue answers, and return the counts of the results."""
    pages = [source.ask(f"/api/v1/models?limit=100&nsfw=true{rest}", team) for rest in ("",)]
    usable = [o for page in pages for o in records.convert(page.body) if isinstance(o, Record)]
    results = [outcome.result for outcome in to.catalog.register_many(usable)]
    return {result: results.count(result) for result in sorted(set(results))}


def names_of(app: App) -> list[tuple[str, str, int]]:
    """Return name, group size and downloads of everything that strangers see."""
    models = [entry for model in walk(app, "limit=100") for entry in [model]]
    return sorted(
        (version["name"], model["type"], len(model["modelVersions"]))
        for model in models
        for version in model["modelVersions"]
    )


def test_catalogues_that_import_each_other_neither_grow_nor_lose(open_catalogue: Callable[[str], App]) -> None:
    first, second, third = (open_catalogue(name) for name in ("first", "second", "third"))
    file = {
        "id": 12,
        "name": "v1.pt",
        "type": "Model",
        "sizeKB": 2,
        "hashes": {"SHA256": "A" * 64, "AutoV2": "A" * 10},
        "primary": True,
    }
    version = {"id": 9, "name": "v1", "baseModel": "Pony", "files": [file], "stats": {"downloadCount": 4}}
    answer = {"id": 3, "name": "Three", "type": "LORA", "creator": {"username": "ann"}, "modelVersions": [version]}
    list(
        first.catalog.register_many(
            [
                an_upload(0, visibility=Visibility.PUBLIC, team="red"),
                an_upload(1, visibility=Visibility.PUBLIC, team="red"),
                an_upload(2, visibility=Visibility.PRIVATE, team="red"),
                *records.convert(answer),
            ]
        )
    )
    list(second.catalog.register_many([an_upload(0, visibility=Visibility.PUBLIC, team="blue")]))
    expected = [("night 0", "Unknown", 2), ("night 1", "Unknown", 2), ("v1", "LORA", 1)]
    assert expected == names_of(first)

    assert {"added": 3} == take(second, first)
    assert {"added": 1, "skipped": 2, "unchanged": 1} == take(first, second)
    assert {"skipped": 1, "unchanged": 3} == take(second, first)
    assert {"added": 4} == take(third, first)
    assert {"unchanged": 4} == take(third, second)

    everything = sorted([("night 0", "Unknown", 1), *expected])
    assert [everything] * 3 == [names_of(app) for app in (first, second, third)]
    groups = {
        app.catalog.store.entry(version["id"]).model.version_group  # type: ignore[union-attr] # it was listed
        for app in (second, third)
        for model in walk(app)
        for version in model["modelVersions"]
        if len(model["modelVersions"]) == 2
    }
    assert {f"/{first.catalog.store.identity}/{OWN_ID_MIN}"} == groups


def test_private_models_stay_where_they_are(open_catalogue: Callable[[str], App]) -> None:
    first, second = open_catalogue("first"), open_catalogue("second")
    list(first.catalog.register_many([an_upload(2, visibility=Visibility.PRIVATE, team="red")]))
    answer = first.ask("/api/v1/models", "red").body

    assert [records.PRIVATE] == [outcome.reason for outcome in records.convert(answer)]  # type: ignore[union-attr] # skipped
    assert {} == take(second, first, "red")
    assert [] == walk(second)


def test_what_a_catalogue_does_not_know_stays_unknown(open_catalogue: Callable[[str], App]) -> None:
    first, second = open_catalogue("first"), open_catalogue("second")
    facts = Facts(name="night", sd_name=f"night_{OWN_ID_MIN}.safetensors")
    list(first.catalog.register_many([Record(OWN_ID_MIN, Source.TRAINING, Layer.USER, facts, team="red")]))

    take(second, first)

    (model,) = walk(second)
    entry = second.catalog.store.entry(model["id"])
    assert entry is not None
    assert (Source.TRAINING, None) == (entry.model.source, entry.model.team)
    kept = resolve(entry.layers)
    assert (None, None, None, None) == (kept.type, kept.base_model, kept.published_at, kept.is_nsfw)
    assert facts.sd_name == kept.sd_name


@pytest.mark.parametrize(
    "catalogue", [{}, {"origin": "a/b"}, {"origin": "../1"}, {"origin": 7}, {"origin": f"{'a' * 65}/1"}]
)
def test_an_id_of_ours_without_an_origin_is_refused(catalogue: dict[str, object]) -> None:
    version = {
        "id": OWN_ID_MIN,
        "modelId": OWN_ID_MIN,
        "name": "x",
        "files": [{"id": 1, "name": "x.pt", "type": "Model"}],
        "modelyard": catalogue,
    }

    (skipped,) = records.convert(version)

    assert records.DAMAGED == skipped.reason  # type: ignore[union-attr] # it is no record
