"""The page of a model in a browser: versions as tabs, the way back, each width and scheme, and a journey by keyboard.

Not covered here: what the page says (tests/web/pages/test_model.py), how it reads and looks (test_every_page.py).
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from modelyard.facts import Record
from tests import requirements
from tests.transfers import lora_bytes

from .browsing import Browsing
from .conftest import Yard
from .test_teams import upload

if TYPE_CHECKING:  # at run time it may be absent: requirements.module says so
    from playwright.sync_api import Page

expect = requirements.module("playwright.sync_api").expect

TABS_MAX = 200


@pytest.fixture
def versions(yard: Yard) -> list[Record]:
    """The versions of one model that has several."""
    counts = Counter(record.facts.upstream_model_id for record in yard.records[:400])
    model_id = next(model_id for model_id, count in counts.most_common() if model_id is not None and 2 <= count <= 8)
    return [record for record in yard.records if record.facts.upstream_model_id == model_id]


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until what the selector means has the focus."""
    for _ in range(TABS_MAX):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    pytest.fail(f"{selector} is not reached by Tab on {page.url}")


def test_versions_are_tabs_and_back_leads_to_the_list_as_it_was(browsing: Browsing, versions: list[Record]) -> None:
    page = browsing.window()
    title = versions[0].facts.title or ""
    page.goto("/")
    page.get_by_role("searchbox").fill(title)
    page.locator(".card", has_text=title).first.click()
    tabs = page.get_by_role("navigation", name="Versions")
    expect(tabs.get_by_role("link")).to_have_count(len(versions))
    first = page.url
    other = tabs.locator("a:not([aria-current])").first
    other.click()
    page.wait_for_url(lambda address: address != first)
    expect(tabs.locator("[aria-current]")).to_have_count(1)
    page.go_back()
    expect(page.get_by_role("searchbox")).to_have_value(title)
    assert "filter.search=" in page.url

    page.locator(".card", has_text=title).first.click()
    page.get_by_role("link", name="Back to the list").or_(page.get_by_role("link", name="All models")).click()
    expect(page.get_by_role("searchbox")).to_have_value(title)


def test_versions_and_the_way_back_need_no_scripts(browsing: Browsing, versions: list[Record]) -> None:
    page = browsing.window(java_script_enabled=False)
    page.goto(f"/models/{versions[0].id}")
    tabs = page.get_by_role("navigation", name="Versions")
    other = tabs.locator("a:not([aria-current])").first
    path = other.get_attribute("href")
    other.click()
    assert page.url.endswith(path or "?")
    page.get_by_role("link", name="All models").click()
    expect(page.locator(".card").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1440])
def test_a_model_fits_every_width(
    browsing: Browsing, yard: Yard, versions: list[Record], width: int, scheme: str
) -> None:
    page = browsing.window(width=width, color_scheme=scheme)
    for record in (versions[0], yard.records[-1]):
        page.goto(f"/models/{record.id}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert width >= page.evaluate("document.documentElement.scrollWidth"), record.id


def test_the_keyboard_leads_from_the_first_visit_to_a_file(browsing: Browsing, yard: Yard, tmp_path: Path) -> None:
    key, file = yard.key(), tmp_path / "lighthouse_keeper.safetensors"
    file.write_bytes(lora_bytes(seed=11))
    upload(browsing.window(key), file)

    page = browsing.window()
    page.goto("/")
    tab_to(page, 'a[href^="/sign-in"]')
    page.keyboard.press("Enter")
    expect(page.get_by_label("API key")).to_be_focused()
    page.keyboard.type(key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("lighthouse keeper")
    expect(page.locator(".card")).to_have_count(1)
    tab_to(page, ".card a")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("lighthouse", re.IGNORECASE))
    tab_to(page, "a[download]")
    with page.expect_download() as download:
        page.keyboard.press("Enter")

    assert file.read_bytes() == Path(download.value.path()).read_bytes()
