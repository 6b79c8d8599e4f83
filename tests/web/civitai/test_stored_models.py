"""Bodies of Civitai's lists that are rendered before anybody asks: the same bytes, and never of an older model."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from modelyard.domain import ANONYMOUS
from modelyard.facts import Entry, Facts, Layer
from modelyard.web.civitai.stored_models import StoredModels
from modelyard.web.civitai.versions import Versions
from tests.app_fixture import App, a_model, a_private, open_app

PAIR = "civitai:5"
BASE = "https://models.example"


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[App]:
    with open_app(tmp_path) as app:
        texts = {Layer.UPSTREAM: Facts(description="Text with <b>\n\nmore", published_at="2026-01-01T00:00:00Z")}
        pair = [a_model(id_, version_group=PAIR, cover_url="/covers/c1/450") for id_ in (51, 52)]
        with app.store.transaction() as writing:
            writing.put([Entry(model, texts) for model in (*pair, a_model(6))])
        mixed = a_model(71, version_group="civitai:7"), a_private(72, "red", version_group="civitai:7")
        app.put(a_private(9, "red"), a_model(8, name="\x01odd"), *mixed)
        yield app


def render(yard: App, ids: list[int], base: str = BASE) -> dict[int, bytes]:
    """The bodies as a worker that was just started answers."""
    return dict(Versions(yard.catalog).render_models(ANONYMOUS, ids, base))


def refresh(yard: App) -> None:
    StoredModels(yard.store, Versions(yard.catalog)).refresh(lambda: False)


def stored(yard: App) -> list[str]:
    with yard.store.reading() as connection:
        return list(connection.scalars(sa.text("SELECT name FROM civitai_models ORDER BY name")))


def mark(yard: App) -> None:
    """Make stored bodies such as no model has, to see which are used."""
    with yard.store.transaction() as writing:
        writing.connection.execute(sa.text("UPDATE civitai_models SET body = :body"), {"body": b"stored"})


def test_stored_bodies_are_what_is_rendered(yard: App) -> None:
    before = {base: render(yard, [51, 6, 8], base) for base in (BASE, "http://[::1]:8000")}
    refresh(yard)
    after = {base: render(yard, [51, 6, 8], base) for base in before}

    assert before == after
    assert f'"url":"{BASE}/covers/c1/450"'.encode() in after[BASE][51]
    assert ["#6", PAIR] == stored(yard)
    mark(yard)
    assert {51: b"stored", 52: b"stored", 6: b"stored"} == render(yard, [51, 52, 6])


@pytest.mark.parametrize("change", ["edit", "add", "remove", "hide"])
def test_a_body_is_not_used_once_its_group_has_changed(yard: App, change: str) -> None:
    refresh(yard)
    mark(yard)
    match change:
        case "edit":
            yard.put(a_model(52, version_group=PAIR, name="new name"))
        case "add":
            yard.put(a_model(53, version_group=PAIR))
        case "remove":
            yard.remove(52)
        case "hide":
            yard.put(a_private(52, "red", version_group=PAIR))

    assert b"stored" != render(yard, [51])[51]
    assert b"stored" == render(yard, [6])[6]


@pytest.mark.parametrize("change", ["edit", "hide", "remove"])
def test_what_changed_is_rendered_again(yard: App, change: str) -> None:
    refresh(yard)
    mark(yard)
    if change == "remove":
        yard.remove(6)
    else:
        yard.put(a_model(6, name="new name") if change == "edit" else a_private(6, "red"))
    refresh(yard)

    assert ([PAIR] if change != "edit" else ["#6", PAIR]) == stored(yard)
    assert b"stored" == render(yard, [51])[51]
    assert (change == "edit") == (b"new name" in render(yard, [6]).get(6, b""))


def test_a_rendering_of_another_version_is_not_used(yard: App) -> None:
    refresh(yard)
    with yard.store.transaction() as writing:
        writing.connection.execute(sa.text("UPDATE civitai_models SET body = 'x', rendering = rendering - 1"))

    assert b'"id":6' in render(yard, [6])[6]


def test_more_models_than_one_transaction_renders(yard: App) -> None:
    yard.put(*(a_model(id_) for id_ in range(1_000, 1_450)))
    refresh(yard)

    assert 452 == len(stored(yard))


def test_nothing_is_rendered_before_somebody_asks_for_a_list(yard: App) -> None:
    versions: Any = Versions(yard.catalog)
    models = StoredModels(yard.store, versions)
    models.note_use()
    is_behind = [models.is_behind()]
    dict(versions.render_models(ANONYMOUS, [6], BASE))
    models.note_use()
    is_behind.append(models.is_behind())
    models.refresh(lambda: False)
    is_behind.append(models.is_behind())

    assert [False, True, False] == is_behind
