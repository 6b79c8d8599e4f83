"""Every page: nothing for axe-core to object to, in both schemes; nothing wider than a phone; nothing hostile acts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests import requirements
from tests.transfers import lora_bytes

from .browsing import Browsing
from .conftest import EVIL, EVIL_ID, OPERATORS, Yard

if TYPE_CHECKING:  # at run time it may be absent: parts.module says so
    from playwright.sync_api import Page

expect = requirements.module("playwright.sync_api").expect

HARMLESS = re.compile(r"/(?!/)|https://civitai\.com/|https://elsewhere\.example/")
Axe = Callable[..., list[str]]
# What is looked at by everyone, with what has to be there; {public} and {own} are models' ids.
STRANGERS = {
    "/": ".card",
    "/?filter.types=lora&filter.search=mountain": ".chosen a",
    "/?filter.search=mountian": "#suggestion",
    "/?filter.search=pony&sort=newest&versions=singly": ".offers",
    "/?filter.search=mountain&filter.types=vae&filter.base_model=Pony": ".drops",
    "/selection?id={public}": ".picked a",
    "/resolve": "#file",
    "/models/{public}": "#developers",
    f"/models/{EVIL_ID}": "#developers",
    "/models/1": "h1",
    "/sign-in": "#key",
    "/sign-in?ended=1": "[role=alert]",
    "/status": ".figures",
    "/docs": "#try",
}
MEMBERS = {
    "/": "#group-visibility",
    "/models/{own}": ".alarm",
    "/models/{own}/edit": "#tags",
    "/selection?id={own}": "#tags",
    "/upload": "#drop",
    "/keys": "table",
    "/team": "#members",
    "/status": ".bars",
    "/deleted": "h1",
    "/fetches": "#source",
    "/sends": "h1",
    "/webhooks": "#new",
    "/covers": "h1",
}
OPEN_DETAILS = "() => document.querySelectorAll('details').forEach((details) => { details.open = true; })"


@pytest.fixture(scope="package")
def key(yard: Yard) -> str:
    """The key of the operators' team, which has a model."""
    return yard.key(team=OPERATORS)


@pytest.fixture
def ids(browsing: Browsing, key: str, yard: Yard) -> dict[str, object]:
    """Ids for the addresses above."""
    page = browsing.window(key)
    page.goto("/?filter.visibility=private")
    if not page.locator(".card").count():
        page.goto("/upload")
        file = {"name": "a.safetensors", "mimeType": "application/octet-stream", "buffer": lora_bytes(seed=9)}
        page.get_by_label("Drop model files here").set_input_files(file)
        page.get_by_role("button", name="Send", exact=True).click()
        page.get_by_role("link", name="Show the model").click()
        expect(page.get_by_role("link", name="Download")).to_be_visible()
        page.goto("/?filter.visibility=private")
    own = (page.locator(".card a").first.get_attribute("id") or "")[1:]
    page.context.close()
    return {"own": own, "public": yard.records[0].id}


def open_pages(browsing: Browsing, key: str, ids: dict[str, object], **options: object) -> list[tuple[Page, str, str]]:
    """Every page's address and what it has to show, each with the window to look at it in."""
    browsing.expected.add("404")
    stranger, member = browsing.window(**options), browsing.window(key, **options)
    return [
        (window, address.format(**ids), sign)
        for window, addresses in ((stranger, STRANGERS), (member, MEMBERS))
        for address, sign in addresses.items()
    ]


def test_pages_have_landmarks_and_axe_finds_nothing_in_either_scheme(
    browsing: Browsing, key: str, ids: dict[str, object], axe: Axe
) -> None:
    """One walk for all three, because a page takes longer to load than to be looked at.

    Without motion no colour is still on its way when the scheme changes.
    """
    violations = []
    for window, address, sign in open_pages(browsing, key, ids, reduced_motion="reduce"):
        window.goto(address)
        expect(window.locator(sign).first).to_be_visible()
        assert_landmarks(window, address)
        window.evaluate(OPEN_DETAILS)
        violations += axe(window)
        window.emulate_media(color_scheme="dark")
        violations += axe(window, ("color-contrast",))
        window.emulate_media(color_scheme="light")

    assert [] == violations


def assert_landmarks(window: Page, address: str) -> None:
    """Check for landmarks, one heading, and a way past the bar."""
    for landmark in ("banner", "navigation", "main"):
        assert window.get_by_role(landmark).count() >= 1, (address, landmark)
    assert 1 == window.get_by_role("heading", level=1).count(), address
    window.evaluate("() => document.activeElement.blur()")
    if address.partition("?")[0] != "/sign-in":  # there the field for the key has the focus
        window.keyboard.press("Tab")
        assert "skip" == window.evaluate("() => document.activeElement.className"), address


def test_the_status_page_of_operators_fits_a_narrow_phone(browsing: Browsing, key: str, axe: Axe) -> None:
    page = browsing.window(key, width=320)
    page.goto("/status")
    expect(page.get_by_role("heading", name="Failures")).to_be_visible()

    assert [] == axe(page)
    assert 320 >= page.evaluate("() => document.documentElement.scrollWidth")


def test_no_page_is_wider_than_the_narrowest_phone(browsing: Browsing, key: str, ids: dict[str, object]) -> None:
    widths = {}
    for window, address, sign in open_pages(browsing, key, ids, width=320, height=640):
        window.goto(address)
        expect(window.locator(sign).first).to_be_attached()
        window.evaluate(OPEN_DETAILS)
        width = window.evaluate("() => document.documentElement.scrollWidth")
        if width > 320:
            widths[address] = width

    assert {} == widths


@pytest.mark.parametrize("with_scripts", [True, False])
def test_hostile_text_is_text(browsing: Browsing, yard: Yard, with_scripts: bool) -> None:
    page = browsing.window(java_script_enabled=with_scripts)
    for address in ("/", "/?filter.search=%3Cscript%3E", "/?filter.search=%22%3E%3Cimg+src%3Dx+onerror%3Dalert(1)%3E"):
        page.goto(address)
        expect(page.locator("main script, main img[src=x], main iframe")).to_have_count(0)
        expect(page).to_have_title(re.compile("Modelyard$"))
    page.goto("/?filter.tags=evil")
    expect(page.locator(".card").first).to_contain_text("<script>document.title")
    for id_ in range(EVIL_ID, EVIL_ID + 3):
        page.goto(f"/models/{id_}")
        expect(page.get_by_role("heading", level=1)).to_have_text(EVIL)
        expect(page).to_have_title(f"{EVIL} · Modelyard")
        expect(page.locator("main script, main img[src=x], main b, main iframe")).to_have_count(0)
        for link in page.locator("main a").all():
            address = link.get_attribute("href") or ""
            assert HARMLESS.match(address), address
            if not address.startswith("/"):
                assert {"nofollow", "noopener"} <= set((link.get_attribute("rel") or "").split())


def test_what_is_offered_to_copy_is_copied(browsing: Browsing, yard: Yard) -> None:
    page = browsing.window(permissions=["clipboard-read", "clipboard-write"])
    page.goto(f"/models/{yard.records[0].id}")
    page.get_by_text("For developers").click()
    for label, id_ in (("SHA-256", "hash-2"), ("API request", "curl")):
        page.get_by_role("button", name=f"Copy {label}").click()
        expect(page.get_by_role("status")).to_have_text("Copied")
        assert page.locator(f"#{id_}").inner_text() == page.evaluate("() => navigator.clipboard.readText()")
