"""The bar above the grid and the filters beside it, at three widths, in both schemes, and without scripts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests import requirements

from .browsing import Browsing
from .conftest import Yard
from .test_gallery import in_words, matching, titles

if TYPE_CHECKING:  # at run time it may be absent: parts.module says so
    from playwright.sync_api import Page

expect = requirements.module("playwright.sync_api").expect

WIDTHS = (1440, 390, 320)


def pairs_of(page: Page) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(page.url).query)


def open_filters(page: Page) -> None:
    """Open the sheet with the filters, on a phone."""
    opener = page.locator(".opener")
    if opener.is_visible():
        opener.click()


def unfold(page: Page, group: str) -> None:
    if page.locator(f"#group-{group}").get_attribute("open") is None:
        page.locator(f"#group-{group} summary").click()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("with_scripts", [True, False])
def test_several_values_and_not_are_chosen_by_links(
    browsing: Browsing, yard: Yard, width: int, with_scripts: bool
) -> None:
    page = browsing.window(width=width, java_script_enabled=with_scripts, color_scheme="dark" if width == 390 else None)
    page.goto("/")
    open_filters(page)
    page.locator("#choices-base_models").get_by_role("link", name=re.compile("^Pony")).click()
    expect(page.get_by_role("link", name="Remove the filter Pony")).to_be_attached()
    if not with_scripts:
        open_filters(page)
    page.locator("#choices-base_models").get_by_role("link", name=re.compile("^Illustrious")).click()
    expect(page.get_by_role("link", name="Remove the filter Illustrious")).to_be_attached()
    if not with_scripts:
        open_filters(page)
    page.locator("#choices-types").get_by_role("link", name="Not Checkpoint").click()
    expect(page.get_by_role("link", name="Remove the filter not Checkpoint")).to_be_attached()

    matches = [
        record
        for record in yard.records
        if record.facts.base_model in ("Pony", "Illustrious")
        and record.facts.type is not None
        and record.facts.type.name != "checkpoint"
    ]
    expect(page.locator("#total")).to_have_text(in_words(matches))
    assert [
        ("filter.base_model", "Pony"),
        ("filter.base_model", "Illustrious"),
        ("filter.types", "!checkpoint"),
    ] == pairs_of(page)


@pytest.mark.parametrize(
    ("group", "label", "parameter"),
    [
        ("licence", "Images may be sold", ("filter.licence.commercial", "image")),
        ("size", "2–8 GB", ("filter.size", "2-8gb")),
        ("published", "2025", ("filter.published", "2025")),
    ],
)
def test_licence_size_and_date_are_folded_groups(
    browsing: Browsing, group: str, label: str, parameter: tuple[str, str]
) -> None:
    page = browsing.window(java_script_enabled=False)
    page.goto("/")
    expect(page.locator(f"#choices-{group}")).to_be_hidden()
    unfold(page, group)
    link = page.locator(f"#choices-{group}").get_by_role("link", name=label).first
    count = int((link.locator("b").inner_text()).replace(",", ""))
    link.click()

    assert [parameter] == pairs_of(page)
    page.locator("#versions").click()
    expect(page.locator("#total")).to_have_text(f"{count:,} version{'s' if count != 1 else ''}")


def test_a_group_that_was_folded_stays_folded(page: Page) -> None:
    page.goto("/")
    page.locator("#group-types summary").click()
    expect(page.locator("#choices-types")).to_be_hidden()
    page.locator("#choices-base_models").get_by_role("link", name=re.compile("^Pony")).click()
    expect(page.locator("#choices-base_models a[aria-current]")).to_be_visible()
    expect(page.locator("#choices-types")).to_be_hidden()


@pytest.mark.parametrize("with_scripts", [True, False])
def test_a_long_group_is_searched_within_itself(browsing: Browsing, with_scripts: bool) -> None:
    page = browsing.window(java_script_enabled=with_scripts)
    page.goto("/?filter.types=lora")
    unfold(page, "tags")
    page.get_by_label("Find in Tags").fill("pixel")
    if not with_scripts:
        page.keyboard.press("Enter")

    expect(page.locator("#choices-tags a")).to_have_text([re.compile("#pixel art")])
    page.locator("#choices-tags a").click()
    assert [("filter.types", "lora"), ("filter.tags", "pixel art")] == pairs_of(page)


def test_on_a_phone_the_filters_are_a_sheet_that_the_keyboard_closes(browsing: Browsing) -> None:
    page = browsing.window(width=390, height=844)
    page.goto("/")
    page.locator(".opener").click()
    expect(page.locator("#filters")).to_be_in_viewport()
    page.keyboard.press("Escape")
    expect(page.locator("#filters")).to_be_hidden()
    page.locator(".opener").click()
    page.get_by_text(re.compile("^Show [0-9]+$")).click()
    expect(page.locator("#filters")).to_be_hidden()


@pytest.mark.parametrize("with_scripts", [True, False])
def test_the_order_is_chosen_in_the_bar(browsing: Browsing, yard: Yard, with_scripts: bool) -> None:
    page = browsing.window(java_script_enabled=with_scripts)
    page.goto("/?filter.search=mountain")
    page.get_by_label("Sort by").select_option("Name")
    if not with_scripts:
        page.get_by_role("button", name="Sort", exact=True).click()

    page.wait_for_url("**sort=name**")
    expected = sorted({record.facts.title or "" for record in matching(yard, "mountain")}, key=str.casefold)
    expect(page.locator(".card .title").first).to_have_text(expected[0])
    assert expected[:10] == titles(page)[:10]
    assert "name" == page.get_by_label("Sort by").input_value()


@pytest.mark.parametrize("width", WIDTHS)
def test_nsfw_is_hidden_blurred_or_shown_and_remembered(browsing: Browsing, yard: Yard, width: int) -> None:
    page = browsing.window(width=width, java_script_enabled=width == 1440)
    page.goto("/")
    expect(page.locator(".card.nsfw").first).to_be_attached()
    page.get_by_role("button", name="Hide NSFW models").click()
    expect(page.get_by_role("button", name="Hide NSFW models")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".card.nsfw")).to_have_count(0)
    page.goto("/?filter.types=lora")
    expect(page.locator(".card.nsfw")).to_have_count(0)

    page.get_by_role("button", name="Show NSFW models").click()
    expect(page.locator("body.shows-nsfw .card.nsfw").first).to_be_attached()
    assert [("filter.types", "lora")] == pairs_of(page)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_list_is_chosen_and_remembered(browsing: Browsing, width: int) -> None:
    page = browsing.window(width=width)
    page.goto("/")
    page.get_by_role("button", name="List").click()
    expect(page.locator("ol.rows .card").first).to_be_visible()
    page.goto("/?filter.types=lora")
    expect(page.locator("ol.rows .card").first).to_be_visible()
    assert width == page.evaluate("() => document.documentElement.scrollWidth")


@pytest.mark.parametrize("with_scripts", [True, False])
def test_a_card_is_a_model_and_a_switch_shows_its_versions_singly(
    browsing: Browsing, yard: Yard, with_scripts: bool
) -> None:
    page = browsing.window(java_script_enabled=with_scripts)
    several = next(
        record
        for record in yard.records[1:]
        if sum(record.facts.upstream_model_id == other.facts.upstream_model_id for other in yard.records) > 1
        and record.facts.title
        and record.facts.title[0] != "<"
    )
    versions = [record for record in yard.records if record.facts.upstream_model_id == several.facts.upstream_model_id]
    page.goto(f"/?filter.search={(several.facts.title or '').replace(' ', '+')}")
    card = page.locator(".card", has_text=f"{len(versions)} versions")
    expect(card).to_have_count(1)

    page.get_by_role("link", name="Show versions singly").click()
    expect(card).to_have_count(len(versions))
    expect(page.locator("#total")).to_contain_text("version")


def test_rows_of_cards_align_and_no_two_drawings_are_alike(browsing: Browsing) -> None:
    for width in WIDTHS:
        page = browsing.window(width=width)
        page.goto("/")
        page.locator(".card").last.scroll_into_view_if_needed()
        expect(page.locator(".card").nth(30)).to_be_attached()
        looks = page.locator("svg.art").evaluate_all(
            "arts => arts.slice(0, 48).map(art => art.firstElementChild.getAttribute('href').split('#')[1]"
            " + art.getAttribute('class').split(' ')[1])"
        )
        assert len(set(looks)) == len(looks)
        heights = page.locator(".card .title").evaluate_all("all => all.map(title => title.offsetHeight)")
        assert 1 == len(set(heights))
        page.context.close()


@pytest.mark.parametrize("with_scripts", [True, False])
def test_words_that_name_a_base_model_a_type_or_a_tag_are_offered_as_filters(
    browsing: Browsing, yard: Yard, with_scripts: bool
) -> None:
    page = browsing.window(java_script_enabled=with_scripts)
    page.goto("/")
    ponies = [record for record in yard.records if record.facts.base_model == "Pony"]
    page.get_by_label("Search models").fill("pony")
    if not with_scripts:
        page.keyboard.press("Enter")
    page.get_by_role("link", name=f"Base model: Pony ({len(ponies)})").click()
    expect(page.locator("#total")).to_have_text(in_words(ponies))
    assert [("filter.base_model", "Pony")] == pairs_of(page)

    for words, offer in (("checkp", "Type: Checkpoint"), ("watercol", "Tag: watercolour")):
        page.goto(f"/?filter.search={words}")
        expect(page.locator(".offers").get_by_role("link", name=offer)).to_be_visible()


def test_a_hash_that_is_pasted_finds_its_model(page: Page, yard: Yard) -> None:
    record = yard.records[5]
    assert record.facts.hashes
    page.goto("/")
    page.get_by_label("Search models").fill(f"sha256:{record.facts.hashes.sha256}")

    expect(page.locator("#total")).to_have_text("1 model")
    expect(page.locator(f"#m{record.id}")).to_be_visible()


@pytest.mark.parametrize("with_scripts", [True, False])
def test_no_match_says_which_filter_to_remove(browsing: Browsing, yard: Yard, with_scripts: bool) -> None:
    page = browsing.window(java_script_enabled=with_scripts)
    page.goto("/?filter.search=mountain&filter.types=hypernetwork&filter.source=civitai")

    count = len(matching(yard, "mountain"))
    expect(page.get_by_role("link", name=re.compile("^Without Civitai"))).to_have_count(0)
    page.get_by_role("link", name=f"Without Hypernetwork: {count}").click()
    expect(page.locator("#total")).to_have_text(in_words(matching(yard, "mountain")))
