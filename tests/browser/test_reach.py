"""What every page owes to its reader: keys, a way past the filters, targets to hit, the name at 200 % zoom."""

from __future__ import annotations

import pytest

from modelyard.domain import Scope
from tests import requirements

from .browsing import Browsing
from .conftest import Yard

expect = requirements.module("playwright.sync_api").expect

TARGET_PIXELS = 24
# Targets of less than 24 pixels without 24 pixels of room. A link within a sentence may be small (WCAG 2.2, 2.5.8).
SMALL_TARGETS = """size => {
  const isInline = (e) => e.matches("a") && getComputedStyle(e).display === "inline" && e.closest("p, li, dd, td");
  const targets = [...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary")]
    .filter((e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true }))
    .filter((e) => !isInline(e) && !e.closest(".skip"))
    .map((e) => [e, (e.closest("label") || e).getBoundingClientRect()])
    .filter(([, box]) => box.width > 1 && box.height > 1);
  return targets.filter(([, box]) => box.width < size || box.height < size)
    .map(([e, box]) => `${e.outerHTML.slice(0, 120)} ${box.width}x${box.height}`);
}"""


def test_the_skip_link_of_the_gallery_passes_the_filters(browsing: Browsing) -> None:
    page = browsing.window()
    page.goto("/")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")

    assert page.evaluate("() => document.activeElement.closest('#results') !== null")


@pytest.mark.parametrize("width", [320, 390, 1440])
def test_a_message_for_screen_readers_is_not_seen(browsing: Browsing, width: int) -> None:
    page = browsing.window(width=width)
    page.goto("/")
    page.get_by_role("searchbox").fill("mountain")
    expect(page.get_by_role("status")).to_contain_text("model")

    box = page.locator("#announcement").bounding_box()

    assert box is not None
    assert (1, 1) == (box["width"], box["height"])


def test_a_question_mark_lists_the_keys_until_it_is_closed(browsing: Browsing, yard: Yard) -> None:
    page = browsing.window()
    page.goto(f"/models/{yard.records[0].id}")
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    expect(keys).to_contain_text("Search models")
    page.keyboard.press("/")
    expect(keys).to_be_visible()
    page.keyboard.press("Escape")
    expect(keys).to_have_count(0)
    assert page.url.endswith(f"/models/{yard.records[0].id}")
    page.goto("/")
    page.get_by_role("searchbox").press("?")

    expect(page.get_by_role("searchbox")).to_have_value("?")
    expect(keys).to_have_count(0)


@pytest.mark.parametrize("width", [320, 390, 1440])
def test_every_target_has_24_pixels(browsing: Browsing, yard: Yard, width: int) -> None:
    page = browsing.window(yard.key(Scope.READ, Scope.WRITE, Scope.ADMIN), width=width)
    small = []
    model = f"/models/{yard.records[0].id}"
    for address in ("/", "/?filter.types=lora", model, "/upload", "/keys", "/status", "/docs"):
        page.goto(address)
        small += [f"{address}: {target}" for target in page.evaluate(SMALL_TARGETS, TARGET_PIXELS)]

    assert not small, "\n".join(small)


@pytest.mark.parametrize(("width", "height"), [(720, 450), (640, 360)])
def test_at_200_percent_zoom_the_first_screen_of_a_model_has_its_name(
    browsing: Browsing, yard: Yard, width: int, height: int
) -> None:
    """A window of 1440 or 1280 pixels at 200 % has half as many CSS pixels."""
    page = browsing.window(width=width, height=height, device_scale_factor=2)
    page.goto(f"/models/{yard.records[0].id}")
    box = page.get_by_role("heading", level=1).bounding_box()

    assert box is not None
    assert height >= box["y"] + box["height"]
