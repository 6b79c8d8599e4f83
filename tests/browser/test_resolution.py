"""A picture or a workflow is dropped on the gallery; the page says which models it needs, and the server gets them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests import requirements
from tests.transfers import lora_bytes
from tests.upstream import Upstream, serve_upstream

from .browsing import Browsing
from .conftest import Yard

if TYPE_CHECKING:  # at run time it may be absent: parts.module says so
    from playwright.sync_api import Page

expect = requirements.module("playwright.sync_api").expect

LONG = "a-name-without-any-end-" * 9 + ".safetensors"
DRAG = """([kind, text]) => {
  const dropped = new DataTransfer();
  dropped.items.add(new File([text], "glow.json"));
  document.querySelector("main").dispatchEvent(
    new DragEvent(kind, { dataTransfer: dropped, bubbles: true, cancelable: true }));
}"""


def workflow(yard: Yard) -> str:
    """A workflow that needs a model of the catalogue and others that are not in it."""
    names = [yard.records[0].facts.sd_name, LONG, "<i>nowhere</i>.pt"]
    nodes = [{"id": at, "type": "LoraLoader", "widgets_values": [name, 1, 1]} for at, name in enumerate(names)]
    return json.dumps({"nodes": [*nodes, {"id": 9, "type": "OddLoader", "widgets_values": ["odd.pt"]}]})


def drag(page: Page, kind: str, text: str = "") -> None:
    page.evaluate(DRAG, [kind, text])


@pytest.mark.parametrize("address", ["/", "/resolve"])
def test_a_dropped_workflow_is_answered_with_its_models(browsing: Browsing, yard: Yard, address: str) -> None:
    page = browsing.window()
    page.goto(address)
    expect(page.locator("#dropping")).to_be_hidden()
    drag(page, "dragover")
    expect(page.locator("#dropping")).to_be_visible()
    drag(page, "dragleave")
    expect(page.locator("#dropping")).to_be_hidden()
    drag(page, "drop", workflow(yard))

    expect(page.locator("#summary")).to_have_text("This file needs 4 models. 0 of them are here, the server can get 1.")
    link = page.locator(f'a[href="/models/{yard.records[0].id}"]')
    link.click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.go_back()
    expect(link).to_be_visible()


def test_a_dragged_picture_of_the_page_is_not_sent(page: Page) -> None:
    page.goto("/")
    drag(page, "dragstart")
    drag(page, "dragover")
    expect(page.locator("#dropping")).to_be_hidden()
    drag(page, "dragend")
    drag(page, "dragover")
    expect(page.locator("#dropping")).to_be_visible()


def test_a_file_that_is_too_large_is_not_sent(page: Page) -> None:
    page.goto("/")
    page.evaluate("() => { document.getElementById('dropping').dataset.max = 1048576; }")
    drag(page, "drop", "x" * 1_048_577)
    expect(page.get_by_text("glow.json is larger than 1 MiB").first).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#dropping")).to_be_hidden()
    expect(page).to_have_url("/")


@pytest.mark.parametrize("width", [1440, 320])
def test_the_form_answers_without_scripts(
    browsing: Browsing, yard: Yard, axe: Callable[[Page], list[str]], width: int
) -> None:
    browsing.expected.add("415")
    page = browsing.window(width=width, java_script_enabled=False)
    page.goto("/")
    page.locator("#resolve").click()
    for text, sign in (("hello", "[role=alert]"), (workflow(yard), "#summary")):
        file = {"name": "glow.json", "mimeType": "application/json", "buffer": text.encode()}
        page.get_by_label("Choose a picture or a workflow").set_input_files(file)
        page.get_by_role("button", name="Show the models").click()
        expect(page.locator(sign)).to_be_visible()

    assert width == page.evaluate("() => document.documentElement.scrollWidth")
    expect(page.locator("#missing")).to_have_text("Missing (3)")
    expect(page.locator("main i")).to_have_count(0)


def test_axe_finds_nothing_in_an_answer(browsing: Browsing, yard: Yard, axe: Callable[[Page], list[str]]) -> None:
    violations = []
    for scheme in ("light", "dark"):
        page = browsing.window(color_scheme=scheme)
        page.goto("/")
        drag(page, "dragover")
        expect(page.locator("#dropping")).to_be_visible()
        violations += axe(page)
        drag(page, "drop", workflow(yard))
        expect(page.locator("#summary")).to_be_visible()
        violations += axe(page)

    assert [] == violations


class SlowFile:
    """A file of which a server sends the first half, and then nothing until the test says so."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.may_end = threading.Event()

    def __call__(self, on: Any) -> None:
        half = len(self._content) // 2
        on.send_response(200)
        on.send_header("Content-Length", str(len(self._content)))
        on.end_headers()
        on.wfile.write(self._content[:half])
        on.wfile.flush()
        self.may_end.wait(60)
        on.wfile.write(self._content[half:])


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with serve_upstream() as server:
        yield server


def test_get_all_shows_how_far_the_server_is_and_cancels(
    browsing: Browsing, yard: Yard, axe: Callable[[Page], list[str]], upstream: Upstream
) -> None:
    """One file comes to its end and becomes a model; another is cancelled while half of it is here."""
    files = [SlowFile(lora_bytes(fill=600_000)), SlowFile(lora_bytes(fill=700_000))]
    urls = [upstream.put(f"/{name}.safetensors", file) for name, file in zip("ab", files, strict=True)]
    page = browsing.window(yard.key())
    page.goto("/")
    drag(page, "drop", json.dumps({"models": [{"name": url.rpartition("/")[2], "url": url} for url in urls]}))
    expect(page.locator("#summary")).to_contain_text("the server can get 2")
    violations = axe(page)
    page.get_by_role("button", name="Get all").click()
    rows = [page.locator("#fetches li", has_text=f"/{name}.safetensors") for name in "ab"]
    for row in rows:  # without a reload
        expect(row.locator(".state")).to_contain_text("%")
        expect(row.locator("progress[value]")).to_be_visible()
    violations += axe(page)
    rows[1].get_by_role("button", name="Cancel").click()
    expect(rows[1]).to_contain_text("Cancelled.")
    files[0].may_end.set()
    expect(rows[0]).to_contain_text("Done.")
    rows[0].get_by_role("link", name="Show the model").click()
    expect(page.locator("#refusal, #checking")).to_have_count(0)
    files[1].may_end.set()

    assert [] == violations
