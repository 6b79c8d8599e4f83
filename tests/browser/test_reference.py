"""The API page in a browser: trying it with a key, and as whoever is signed in."""

from __future__ import annotations

import json

import pytest

from modelyard.domain import Scope
from tests import requirements

from .browsing import Browsing
from .conftest import Yard

expect = requirements.module("playwright.sync_api").expect


def test_the_documented_call_is_tried_with_a_key(browsing: Browsing, yard: Yard) -> None:
    browsing.expected.add("401")
    page = browsing.window()
    page.goto("/docs")
    page.get_by_label("API key").fill("sk_nobody")
    page.get_by_role("button", name="Send request").click()
    expect(page.locator("#body")).to_contain_text("INVALID_API_KEY")
    expect(page.locator("#status")).to_contain_text("401")

    key = yard.key(Scope.READ)
    page.get_by_label("API key").fill(key)
    page.get_by_label("filter.types").fill("lora")
    page.get_by_label("pagination.limit").fill("2")
    page.get_by_role("button", name="Send request").click()
    expect(page.locator("#status")).to_contain_text("200")
    first = json.loads(page.locator("#body").inner_text())["models"]
    assert 2 == len(first)
    expect(page.locator("#headers")).to_contain_text("etag")
    expect(page.locator("#curl")).to_contain_text(f"{yard.url}/v3/model?filter.types=lora&pagination.limit=2")
    assert key not in page.locator("#outcome").inner_text()

    page.get_by_role("button", name="Show next page").click()
    expect(page.locator("#body")).not_to_contain_text(first[0]["sd_name"])
    expect(page.locator("#status")).to_contain_text("200")


@pytest.mark.parametrize(("width", "is_beside"), [(1440, True), (1000, False), (390, False)])
def test_the_form_stands_beside_the_example_where_there_is_room(
    browsing: Browsing, width: int, is_beside: bool
) -> None:
    page = browsing.window(width=width, height=900)
    page.goto("/docs")
    example, form = page.locator("#examples").bounding_box(), page.locator("#try").bounding_box()
    assert example is not None
    assert form is not None

    assert is_beside == (abs(example["y"] - form["y"]) < 1 and form["x"] >= example["x"] + example["width"])
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_who_is_signed_in_needs_no_key_to_try_it(browsing: Browsing, yard: Yard) -> None:
    page = browsing.window(yard.key(team="trying"))
    page.goto("/docs")
    page.get_by_label("filter.visibility").select_option("private")
    page.get_by_role("button", name="Send request").click()

    expect(page.locator("#status")).to_contain_text("200")
    expect(page.locator("#body")).to_contain_text('"models": []')
