"""Choosing several models, and what a visitor and a team do with them; the catalogue without any."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import pytest

from modelyard.catalog import open_catalog
from modelyard.domain import OWN_ID_MIN, Hashes, Scope, Source, Visibility, model_type
from modelyard.facts import Facts, Layer, Record
from modelyard.store import open_store
from tests import requirements
from tests.process_commands import serving

from .browsing import Browsing
from .conftest import Yard

if TYPE_CHECKING:  # at run time it may be absent: parts.module says so
    from playwright.sync_api import Browser, Page

expect = requirements.module("playwright.sync_api").expect

TEAM = "choosers"


@pytest.fixture(scope="module")
def key(yard: Yard) -> str:
    """The key of a team with three private models."""
    catalog = open_catalog(yard.store)
    for number in range(3):
        sha256 = f"{900 + number:064X}"
        facts = Facts(
            name=f"chosen {number}",
            sd_name=f"chosen_{number}.safetensors",
            type=model_type("LORA"),
            base_model="Pony",
            tags=("ours",),
            hashes=Hashes(sha256=sha256),
        )
        (outcome,) = catalog.register_many(
            [Record(OWN_ID_MIN + 900 + number, Source.TRAINING, Layer.USER, facts, Visibility.PRIVATE, TEAM)]
        )
        assert outcome.result != "skipped", outcome
    return yard.key(team=TEAM)


def chosen_ids(page: Page) -> list[str]:
    return [value for name, value in parse_qsl(urlsplit(page.url).query) if name == "id"]


def test_models_are_chosen_by_clicks_shift_and_keys(page: Page) -> None:
    page.goto("/")
    boxes = page.locator(".pick input")
    expect(page.locator("#choose")).to_be_hidden()
    boxes.nth(1).check()
    expect(page.locator("#chosen-count")).to_have_text("1 model chosen")
    boxes.nth(4).click(modifiers=["Shift"])
    expect(page.locator("#chosen-count")).to_have_text("4 models chosen")
    page.locator(".card a").nth(6).focus()
    page.keyboard.press("x")
    expect(page.locator("#chosen-count")).to_have_text("5 models chosen")
    page.keyboard.press("x")
    expect(page.locator("#chosen-count")).to_have_text("4 models chosen")

    ids = [boxes.nth(at).get_attribute("value") for at in range(1, 5)]
    page.get_by_role("button", name="Use the chosen models").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("4 chosen models")
    assert ids == chosen_ids(page)
    expect(page.get_by_role("button", name="Delete")).to_have_count(0)


@pytest.mark.parametrize("width", [1440, 390, 320])
def test_models_are_chosen_without_scripts(browsing: Browsing, width: int) -> None:
    page = browsing.window(width=width, java_script_enabled=False)
    page.goto("/")
    for at in (0, 2):
        page.locator(".pick input").nth(at).check()
    page.get_by_role("button", name="Use the chosen models").click()
    expect(page.locator(".picked li")).to_have_count(2)


def test_a_team_tags_publishes_and_deletes_several_models(browsing: Browsing, key: str) -> None:
    page = browsing.window(key, java_script_enabled=False)
    page.goto("/?filter.visibility=private")
    for box in page.locator(".pick input").all():
        box.check()
    page.get_by_role("button", name="Use the chosen models").click()
    page.get_by_label("Tags to add").fill("first, second")
    page.get_by_role("button", name="Add tags").click()
    expect(page.get_by_role("status").first).to_have_text("The tags were added.")
    expect(page.locator(".picked li", has_text="ours, first, second")).to_have_count(3)

    page.get_by_role("button", name="Make public").click()
    expect(page.locator(".picked li", has_text="public")).to_have_count(3)
    page.get_by_role("button", name="Make private").click()
    expect(page.locator(".picked li", has_text="private")).to_have_count(3)

    page.get_by_label("Yes, delete 3 models").check()
    page.get_by_role("button", name="Delete").click()
    expect(page.locator(".picked")).to_contain_text("No model is chosen")
    page.goto("/?filter.visibility=private")
    expect(page.locator(".card")).to_have_count(0)


def test_another_teams_models_are_left_out(browsing: Browsing, yard: Yard) -> None:
    page = browsing.window(yard.key(Scope.READ, Scope.WRITE))
    page.goto(f"/selection?id={OWN_ID_MIN + 900}&id={yard.records[0].id}")
    expect(page.locator(".picked li")).to_have_count(1)
    expect(page.get_by_role("button", name="Make public")).to_have_count(0)


def test_an_empty_catalogue_shows_three_ways_in(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "modelyard.toml").write_text('anonymous_access = "public"\n')
    open_store(f"sqlite:///{tmp_path / 'modelyard.sqlite'}").close()
    with serving(tmp_path, workers=1, key="") as server:
        browsing = Browsing(browser, f"http://127.0.0.1:{server.port}")
        for width in (1440, 390, 320):
            page = browsing.window(width=width, permissions=["clipboard-read", "clipboard-write"])
            page.goto("/")
            expect(page.get_by_role("heading", name="No models yet")).to_be_visible()
            expect(page.locator(".ways").get_by_role("link", name="Upload")).to_be_visible()
            for command in ("modelyard add FOLDER", "modelyard import civitai --fetch --limit 100"):
                page.get_by_role("button", name=f"Copy {command}").click()
                assert command == page.evaluate("() => navigator.clipboard.readText()")
            assert width == page.evaluate("() => document.documentElement.scrollWidth")
            page.context.close()
        assert [] == browsing.missteps
