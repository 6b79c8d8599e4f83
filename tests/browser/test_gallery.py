"""The gallery in a browser: looking, searching, filtering, scrolling, coming back; by keyboard, slowly, scriptless.

Not covered here: signing in and what it opens (test_teams.py), how each page looks and reads (test_every_page.py).
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import pytest

from modelyard.facts import Record
from tests import requirements

from .browsing import Browsing
from .conftest import Yard

if TYPE_CHECKING:  # at run time it may be absent: parts.module says so
    from playwright.sync_api import Page, Route

expect = requirements.module("playwright.sync_api").expect

A_PAGE = 24


def matching(yard: Yard, word: str) -> list[Record]:
    """The public models whose names or tags have a word in them."""
    return [
        record
        for record in yard.records
        if word in " ".join((record.facts.name or "", record.facts.sd_name or "", *(record.facts.tags or ()))).lower()
    ]


def in_words(records: list[Record]) -> str:
    """What the bar says of these models: the versions of one are one card."""
    count = len({record.facts.upstream_model_id for record in records})
    return f"{count} model{'s' if count != 1 else ''}"


def query_of(page: Page) -> dict[str, str]:
    """The parameters of the address."""
    return dict(parse_qsl(urlsplit(page.url).query))


def titles(page: Page) -> list[str]:
    return page.locator(".card .title").all_inner_texts()


def hold(routes: list[Route], route: Route) -> None:
    """Keep a request from going on, for now."""
    routes.append(route)


def read_gallery(page: Page) -> tuple[str, ...]:
    """What a visitor reads of the gallery: as far as one page goes, the next one may be there already."""
    return (
        page.title(),
        page.locator(".asked").inner_text(),
        page.locator("#filters").inner_text(),
        *titles(page)[:A_PAGE],
    )


def test_a_card_says_title_version_type_base_downloads_size_and_date(page: Page, yard: Yard) -> None:
    best = max(
        (record for record in yard.records if record.facts.sd_name and record.facts.sd_name[0] != "<"),
        key=lambda record: record.facts.rank or 0,
    )
    page.goto("/")

    card = page.locator(f".card:has(#m{best.id})")
    text = card.inner_text()

    facts = best.facts
    assert facts.title
    assert facts.title == card.locator(".title").inner_text().replace("\u200b", "")
    assert facts.name
    assert card.locator(".release").inner_text().startswith(facts.name)
    assert facts.base_model
    assert facts.base_model in text
    assert re.search(r"\d+k", text)
    assert re.search(r"\d [MG]B", text)
    assert (facts.published_at or "")[:4] in text
    assert card.locator(".chip").inner_text() in ("LoRA", "LoCon", facts.type and facts.type.display_name)
    expect(card.locator("svg.art use, img")).to_have_count(1)


def test_results_follow_what_is_typed_and_the_address_says_so(page: Page, yard: Yard) -> None:
    page.goto("/")
    before = read_gallery(page)
    page.keyboard.press("/")
    expect(page.locator("#query")).to_be_focused()
    page.keyboard.type("moun")
    page.keyboard.type("tain")

    mountains = in_words(matching(yard, "mountain"))
    expect(page.locator("#total")).to_have_text(mountains)
    expect(page).to_have_title("mountain · Modelyard")
    expect(page.locator("#query")).to_be_focused()
    assert {"filter.search": "mountain"} == query_of(page)

    page.go_back()
    expect(page.locator("#query")).to_have_value("")
    expect(page.locator("#total")).to_have_text(in_words(yard.records))
    assert before == read_gallery(page)
    page.go_forward()
    expect(page.locator("#query")).to_have_value("mountain")
    expect(page.locator("#total")).to_have_text(mountains)

    page.locator("#query").press("Escape")
    expect(page.locator("#total")).to_have_text(in_words(yard.records))
    assert {} == query_of(page)


def test_filters_count_what_they_would_leave_and_come_back_one_by_one(page: Page, yard: Yard) -> None:
    page.goto("/")
    filters = page.locator("#filters")
    checkpoints = [record for record in yard.records if record.facts.type and record.facts.type.name == "checkpoint"]
    states = [read_gallery(page)]
    expect(filters.get_by_role("link", name=f"Checkpoint {len(checkpoints)}").first).to_be_visible()

    filters.get_by_role("link", name="Checkpoint", exact=False).first.click()
    expect(page.locator("#total")).to_have_text(in_words(checkpoints))
    expect(filters.get_by_role("link", name="Checkpoint").first).to_have_attribute("aria-current", "true")
    expect(page.locator(".card .chip", has_not_text="Checkpoint")).to_have_count(0)
    states.append(read_gallery(page))

    ponies = [record for record in checkpoints if record.facts.base_model == "Pony"]
    filters.get_by_role("link", name=f"Pony {len(ponies)}").click()
    expect(page.locator("#total")).to_have_text(in_words(ponies))
    assert {"filter.types": "checkpoint", "filter.base_model": "Pony"} == query_of(page) | {"filter.base_model": "Pony"}
    states.append(read_gallery(page))

    page.get_by_role("link", name="Remove the filter Checkpoint").click()
    ponies = [record for record in yard.records if record.facts.base_model == "Pony"]
    expect(page.locator("#total")).to_have_text(in_words(ponies))
    for state in reversed(states):
        page.go_back()
        page.wait_for_function("text => document.getElementById('filters').innerText === text", arg=state[2])
        assert state == read_gallery(page)


def test_what_was_misspelled_is_suggested(page: Page, yard: Yard) -> None:
    page.goto("/?filter.search=mountian")
    expect(page.get_by_role("heading", name="No models found for “mountian”")).to_be_visible()

    suggested = page.locator("#suggestion").inner_text()
    page.locator("#suggestion").click()

    expect(page.locator("#total")).to_have_text(in_words(matching(yard, suggested)))
    expect(page.locator("#query")).to_have_value(suggested)
    assert suggested in ("mountain", "mountains")


def test_twenty_pages_are_scrolled_and_coming_back_is_the_same_place(page: Page) -> None:
    page.goto("/")
    count = 0
    while count < 20 * A_PAGE:
        expect(page.locator(".card").nth(count + A_PAGE - 1)).to_be_attached()
        count = page.locator(".card").count()
        page.locator(".card").last.scroll_into_view_if_needed()
    ids = page.locator(".card a").evaluate_all("links => links.map(link => link.id)")
    assert len(ids) == len(set(ids))

    link = page.locator(".card a").nth(19 * A_PAGE)
    link.scroll_into_view_if_needed()
    position, id_ = page.evaluate("scrollY"), link.get_attribute("id")
    link.click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert f"/models/{(id_ or '')[1:]}" == urlsplit(page.url).path

    page.keyboard.press("Escape")  # the same as the browser's own way back
    expect(page.locator(f"#{id_}")).to_be_focused()
    page.wait_for_function("position => Math.abs(scrollY - position) <= 2", arg=position)
    assert ids == page.locator(".card a").evaluate_all("links => links.map(link => link.id)")[: len(ids)]


def test_arrows_walk_the_grid_as_it_lies(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("/")
    page.keyboard.press("ArrowDown")
    cards = page.locator(".card a")
    expect(cards.nth(0)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(cards.nth(1)).to_be_focused()
    page.keyboard.press("ArrowDown")
    tops = cards.evaluate_all("links => links.map(link => Math.round(link.getBoundingClientRect().top + scrollY))")
    columns = tops.count(tops[0])
    expect(cards.nth(1 + columns)).to_be_focused()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowUp")
    expect(page.locator("#query")).to_be_focused()


def test_an_old_keystrokes_answer_is_never_drawn_over_a_newer_ones(page: Page, yard: Yard) -> None:
    # Without aborting, the old answer does arrive, as it does where it was on its way already.
    page.add_init_script("AbortController.prototype.abort = () => {}")
    routes: list[Route] = []
    page.route(re.compile(r"/parts/results\?.*=mount$"), partial(hold, routes))
    page.goto("/")
    page.locator("#query").fill("mount")
    while not routes:
        page.wait_for_timeout(10)  # lets Playwright hand the request over; the condition decides
    page.locator("#query").fill("mountain")
    expected = in_words(matching(yard, "mountain"))
    expect(page.locator("#total")).to_have_text(expected)
    newer = read_gallery(page)

    with page.expect_response(re.compile(r"/parts/results\?.*=mount$")) as late:
        routes[0].continue_()
    late.value.finished()
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    assert newer == read_gallery(page)


def test_a_slow_server_leaves_what_is_there_until_it_answers(page: Page, yard: Yard) -> None:
    routes: list[Route] = []
    page.route(re.compile(r"/parts/results\?.*mountain"), partial(hold, routes))
    page.goto("/")
    before = titles(page)[:A_PAGE]
    page.locator("#query").fill("mountain")
    while not routes:
        page.wait_for_timeout(10)  # lets Playwright hand the request over; the condition decides
    expect(page.locator("html.waiting")).to_have_count(1)
    assert before == titles(page)[:A_PAGE]
    expect(page.locator("#query")).to_have_value("mountain")

    for route in routes:
        route.continue_()
    expect(page.locator("#total")).to_have_text(in_words(matching(yard, "mountain")))
    expect(page.locator("html.waiting")).to_have_count(0)


def test_what_could_not_be_fetched_is_asked_for_the_plain_way(page: Page, browsing: Browsing, yard: Yard) -> None:
    browsing.expected.add("net::ERR_FAILED")
    page.goto("/")
    page.route(re.compile(r"/parts/"), lambda route: route.abort())
    page.locator("#filters").get_by_role("link", name="Checkpoint", exact=False).first.click()

    expect(page.get_by_role("link", name="Remove the filter Checkpoint")).to_be_visible()
    assert {"filter.types": "checkpoint"} == query_of(page)


def test_everything_is_reached_without_scripts(browsing: Browsing, yard: Yard) -> None:
    page = browsing.window(java_script_enabled=False)
    page.goto("/")
    page.get_by_label("Search models").fill("mountain")
    page.keyboard.press("Enter")
    expect(page.locator("#total")).to_have_text(in_words(matching(yard, "mountain")))
    page.locator("#filters").get_by_role("link", name="LoRA family").first.click()
    assert {"filter.search": "mountain", "filter.types": "lora"} == query_of(page)
    page.get_by_role("link", name="Remove the filter LoRA family").click()
    assert {"filter.search": "mountain"} == query_of(page)

    page.goto("/")
    first = titles(page)
    page.get_by_role("link", name="More models").click()
    expect(page.get_by_role("link", name="Back to the first page")).to_be_visible()
    assert A_PAGE == len(titles(page))
    assert first != titles(page)
    page.locator(".card a").first.click()
    page.get_by_role("heading", name="For developers").click()
    expect(page.get_by_role("heading", name="Hashes")).to_be_visible()
    page.get_by_role("link", name="Back to the list").click()
    expect(page.locator(".card")).to_have_count(A_PAGE)


@pytest.mark.parametrize("with_scripts", [True, False])
def test_on_a_phone_the_filters_are_behind_a_switch(browsing: Browsing, with_scripts: bool) -> None:
    page = browsing.window(width=360, height=640, java_script_enabled=with_scripts)
    page.goto("/")
    expect(page.locator("#filters")).to_be_hidden()
    page.get_by_text("Filters", exact=True).click()
    page.locator("#filters").get_by_role("link", name="Checkpoint", exact=False).first.click()

    expect(page.get_by_role("link", name="Remove the filter Checkpoint")).to_be_visible()


NOTE_SHIFTS = """
window.shifts = [];
new PerformanceObserver(list => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) shifts.push(entry.value);
}).observe({ type: "layout-shift", buffered: true });
"""


@pytest.mark.parametrize("width", [1350, 1280, 1000, 390, 320])
def test_nothing_moves_while_the_gallery_loads(browsing: Browsing, yard: Yard, width: int) -> None:
    page = browsing.window(yard.key(), width=width, height=900)
    page.add_init_script(NOTE_SHIFTS)
    scripts: list[Route] = []
    page.route(re.compile(r"/static/page\.js"), lambda route: scripts.append(route))  # noqa: PLW0108 # no method of a list
    page.goto("/", wait_until="commit")
    expect(page.locator(".card").first).to_be_visible()
    while not scripts:
        page.wait_for_timeout(10)  # lets Playwright hand the request over; the condition decides
    while not page.evaluate("performance.getEntriesByName('first-contentful-paint').length"):
        page.wait_for_timeout(10)
    scripts[0].continue_()
    expect(page.locator("html")).to_have_class(re.compile("scripted"))
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    assert [] == page.evaluate("shifts")
