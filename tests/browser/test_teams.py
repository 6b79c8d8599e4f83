"""A team at work in a browser: signing in, uploading, editing, deleting and taking it back, keys.

Not covered here: what a session is proof against (test_pages.py), what the API takes (test_uploads.py, test_tus.py).
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from modelyard.domain import Scope
from tests import requirements
from tests.transfers import dangerous_bytes, lora_bytes

from .browsing import Browsing
from .conftest import Yard

if TYPE_CHECKING:  # at run time it may be absent: parts.module says so
    from playwright.sync_api import Page, Request, Route

expect = requirements.module("playwright.sync_api").expect

# The uploader sends pieces of eight mebibytes: three of them.
PIECE_BYTES = 8 * 1024 * 1024
PIECES = 3


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A small sound LoRA."""
    path = tmp_path / "harbour_lights.safetensors"
    path.write_bytes(lora_bytes(seed=7))
    return path


def hold_pieces(routes: list[Route], route: Route) -> None:
    """Let a file's pieces go no further, for now."""
    if route.request.method == "PATCH":
        routes.append(route)
    else:
        route.continue_()


def send(page: Page, file: Path) -> None:
    """Choose a file on the page of uploads, and send it when it has been compared with what is here."""
    page.get_by_label("Drop model files here").set_input_files(file)
    page.get_by_role("button", name=re.compile("^Send")).and_(page.locator(".upload button")).click()


def upload(page: Page, file: Path) -> None:
    """Upload a file, and see its model when it has been checked."""
    page.goto("/upload")
    send(page, file)
    page.get_by_role("link", name="Show the model").click()
    expect(page.locator("#checking")).to_have_count(0)
    expect(page.get_by_role("link", name="Download")).to_be_visible()


def test_signing_in_leads_back_and_shows_the_teams_own(browsing: Browsing, yard: Yard, file: Path) -> None:
    key = yard.key()
    upload(browsing.window(key), file)
    page = browsing.window()
    page.goto("/upload")
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Upload")).to_be_visible()

    page.goto("/")
    page.get_by_role("link", name=re.compile("^Private to team")).click()
    expect(page.locator(".card")).to_have_count(1)
    expect(page.locator(".card")).to_contain_text("private")
    for store in ("localStorage", "sessionStorage", "document.cookie"):
        assert key not in page.evaluate(f"() => JSON.stringify({store})")
    (session,) = page.context.cookies()
    assert session["httpOnly"]
    assert "Lax" == session["sameSite"]
    assert key not in session["value"]

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    page.goto("/?filter.search=harbour_lights")
    expect(page.locator(".card")).to_have_count(0)


def test_a_key_that_is_not_good_is_refused(browsing: Browsing) -> None:
    browsing.expected.add("401")
    page = browsing.window()
    page.goto("/sign-in")
    page.get_by_label("API key").fill("sk_nobody")
    page.keyboard.press("Enter")

    expect(page.get_by_role("alert")).to_have_text("This key isn’t valid.")
    expect(page.get_by_label("API key")).to_be_focused()
    assert [] == page.context.cookies()


def test_an_upload_goes_on_after_the_page_was_reloaded_in_its_middle(
    browsing: Browsing, yard: Yard, tmp_path: Path
) -> None:
    file = tmp_path / "long.safetensors"
    file.write_bytes(lora_bytes(fill=(PIECES - 1) * PIECE_BYTES + 1_000_000))
    page = browsing.window(yard.key())
    page.goto("/upload")
    routes: list[Route] = []

    def only_the_first_piece_arrives(route: Route) -> None:
        if route.request.headers.get("upload-offset", "0") == "0":
            route.continue_()
        else:
            routes.append(route)

    is_upload = re.compile(r"/v3/uploads/")
    page.route(is_upload, only_the_first_piece_arrives)
    send(page, file)
    while not routes:  # the second piece is on its way: the first one was acknowledged
        page.wait_for_timeout(10)  # lets Playwright hand the request over; the condition decides
    page.reload()
    page.unroute(is_upload)
    expect(page.locator(".upload")).to_contain_text("Choose the file again")

    offsets: list[int] = []

    def note(request: Request) -> None:
        if request.method == "PATCH":
            offsets.append(int(request.headers["upload-offset"]))

    page.on("request", note)
    page.get_by_label("Drop model files here").set_input_files(file)
    page.get_by_role("link", name="Show the model").click()
    expect(page.locator("#checking")).to_have_count(0)

    expect(page.get_by_role("link", name="Download")).to_be_visible()
    assert [PIECE_BYTES, 2 * PIECE_BYTES] == offsets


def test_an_upload_shows_its_speed_and_the_time_left(browsing: Browsing, yard: Yard, tmp_path: Path) -> None:
    file = tmp_path / "long.safetensors"
    file.write_bytes(lora_bytes(fill=(PIECES - 1) * PIECE_BYTES + 1_000_000))
    page = browsing.window(yard.key())
    page.clock.install(time=0)
    page.goto("/upload")
    page.clock.pause_at(600_000)  # however long the machine takes
    routes: list[Route] = []
    page.route(re.compile(r"/v3/uploads/"), partial(hold_pieces, routes))
    send(page, file)
    while not routes:
        page.wait_for_timeout(10)  # lets Playwright hand the request over; the condition decides
    page.clock.fast_forward(4_000)
    routes[0].continue_()

    # 8.4 MB took four seconds, and 9.4 MB are left.
    expect(page.locator(".upload .state")).to_have_text("47 %, 2.1 MB/s, 5 s left")


def test_the_upload_page_shows_the_verdict_of_each_file(browsing: Browsing, yard: Yard, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.safetensors", tmp_path / "bad.pt"
    good.write_bytes(lora_bytes())
    bad.write_bytes(dangerous_bytes())
    page = browsing.window(yard.key())
    page.goto("/upload")

    page.get_by_label("Drop model files here").set_input_files([good, bad])
    page.get_by_role("button", name="Send all 2 files").click()

    rows = page.locator(".upload")
    expect(rows.filter(has_text="good")).to_contain_text("The model is available. Found: Lora")
    expect(rows.filter(has_text="bad.pt")).to_contain_text("Not available: dangerous")


def test_a_paused_upload_waits_and_a_cancelled_one_is_gone(browsing: Browsing, yard: Yard, file: Path) -> None:
    page = browsing.window(yard.key())
    page.goto("/upload")
    routes: list[Route] = []
    page.route(re.compile(r"/v3/uploads/"), partial(hold_pieces, routes))
    send(page, file)
    while not routes:
        page.wait_for_timeout(10)  # lets Playwright hand the request over; the condition decides
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".upload .state")).to_have_text("Paused at 0 %")
    page.unroute_all()
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("link", name="Show the model")).to_be_visible()

    other = file.with_name("other.safetensors")
    other.write_bytes(lora_bytes(seed=8))
    page.route(re.compile(r"/v3/uploads/"), partial(hold_pieces, routes))
    send(page, other)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".upload")).to_have_count(1)
    page.reload()
    expect(page.locator(".upload")).to_have_count(0)


def test_files_are_dropped_and_one_that_is_no_model_is_told_of(browsing: Browsing, yard: Yard) -> None:
    page = browsing.window(yard.key())
    page.goto("/upload")
    page.evaluate(
        """() => {
        const carried = new DataTransfer();
        carried.items.add(new File(["nothing"], "notes.txt"));
        carried.items.add(new File([new Uint8Array(64)], "broken.safetensors"));
        const drop = new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true });
        document.getElementById("drop").dispatchEvent(drop);
        }"""
    )

    refused = page.locator(".upload", has_text="notes.txt")
    expect(refused.locator(".state")).to_contain_text(".txt files are not accepted; accepted: safetensors")
    expect(refused.get_by_role("button", name="Send")).to_have_count(0)
    row = page.locator(".upload", has_text="broken.safetensors")
    row.get_by_role("button", name="Send").click()
    row.get_by_role("link", name="Show the model").click()
    expect(page.locator(".notice[role=status]")).to_contain_text("Not available")


def test_a_duplicate_is_named_before_anything_is_sent(browsing: Browsing, yard: Yard, file: Path) -> None:
    page = browsing.window(yard.key())
    upload(page, file)
    page.goto("/upload")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if "/v3/uploads" in request.url else None)
    other, long = file.with_name("other.safetensors"), file.with_name("long.safetensors")
    other.write_bytes(file.read_bytes())
    long.write_bytes(lora_bytes(seed=8))
    page.get_by_label("Drop model files here").set_input_files([other, long])

    row = page.locator(".upload", has_text="other.safetensors")
    expect(row.locator(".state")).to_have_text("This file is already here: harbour_lights")
    expect(row.get_by_role("button", name="Send anyway")).to_be_enabled()
    expect(page.locator(".upload", has_text="long.safetensors").locator(".state")).to_contain_text("Ready to send")
    assert [] == sent


def test_each_file_has_fields_of_its_own(browsing: Browsing, yard: Yard, file: Path) -> None:
    page = browsing.window(yard.key())
    page.goto("/upload")
    other = file.with_name("other.safetensors")
    other.write_bytes(lora_bytes(seed=8))
    page.get_by_label("Drop model files here").set_input_files([file, other])
    for name, word in (("harbour_lights.safetensors", "boats"), ("other.safetensors", "clouds")):
        row = page.locator(".upload", has_text=name)
        row.locator("summary").click()
        row.get_by_label("Trigger words").fill(word)
    page.get_by_role("button", name="Send all 2 files").click()
    for name, word in (("harbour_lights.safetensors", "boats"), ("other.safetensors", "clouds")):
        row = page.locator(".upload", has_text=name)
        expect(row).to_contain_text("The model is available")
        address = row.get_by_role("link", name="Show the model").get_attribute("href") or ""
        assert word in page.context.request.get(address).text()


def test_a_model_is_edited_deleted_and_brought_back(browsing: Browsing, yard: Yard, file: Path) -> None:
    browsing.expected.add("404")
    page = browsing.window(yard.key())
    upload(page, file)
    address = page.url
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Name", exact=True).fill("Harbour lights 2")
    page.get_by_label("Tags, separated by commas").fill("harbour, night")
    page.get_by_label("animal").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Harbour lights 2")
    expect(page.get_by_role("list", name="Tags")).to_contain_text("#night")

    page.locator("summary", has_text="Delete").click()
    page.get_by_role("button", name="Delete this model").click()
    expect(page.get_by_role("status").first).to_contain_text("Harbour lights 2 was deleted")
    other = page.context.new_page()
    other.goto(address)
    expect(other.get_by_role("heading", name="Not found")).to_be_visible()

    page.get_by_role("button", name="Restore the model").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Harbour lights 2")
    expect(page.get_by_role("list", name="Tags")).to_contain_text("#night")
    assert urlsplit(address).path == urlsplit(page.url).path
    link = page.get_by_role("link", name="Download").get_attribute("href") or ""
    assert file.read_bytes() == page.context.request.get(link).body()


def test_a_key_is_made_used_and_revoked_which_signs_it_out(browsing: Browsing, yard: Yard) -> None:
    page = browsing.window(yard.key(team="keymakers"))
    page.goto("/keys")
    page.get_by_label("Name", exact=True).fill("laptop")
    page.get_by_label("upload and edit").check()
    page.get_by_role("button", name="Create key").click()
    key = page.locator("#new-key").inner_text()
    page.reload()
    other = browsing.window(key)
    expect(other.get_by_role("link", name="Upload")).to_be_visible()
    other.goto("/team")
    expect(other.get_by_role("link", name="Keys")).to_have_count(0)

    page.goto("/keys")
    row = page.get_by_role("row", name=re.compile(re.escape(key[:7])))
    row.locator("summary", has_text="Revoke").click()
    row.get_by_role("button", name="Revoke laptop").click()
    expect(row).to_contain_text("revoked")
    other.get_by_role("link", name="Upload", exact=True).click()

    expect(other.get_by_role("alert")).to_contain_text("Your key was revoked or has expired.")
    other.goto("/")
    expect(other.get_by_role("link", name="Sign in")).to_be_visible()


def test_a_team_works_without_scripts(browsing: Browsing, yard: Yard, file: Path) -> None:
    key = yard.key()
    with_scripts = browsing.window(key)
    upload(with_scripts, file)
    page = browsing.window(key, java_script_enabled=False)
    page.goto(with_scripts.url)
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Name", exact=True).fill("by hand")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("by hand")
    page.locator("summary", has_text="Delete").click()
    page.get_by_role("button", name="Delete this model").click()
    page.get_by_role("button", name="Restore the model").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("by hand")
    page.goto("/keys")
    page.get_by_role("button", name="Create key").click()
    expect(page.locator("#new-key")).to_contain_text("sk_")
    page.goto("/upload")
    assert "needs JavaScript" in page.content()


def test_a_reader_is_offered_nothing_to_change(browsing: Browsing, yard: Yard) -> None:
    browsing.expected.add("403")
    page = browsing.window(yard.key(Scope.READ))
    expect(page.get_by_role("link", name="Upload")).to_have_count(0)
    page.goto("/upload")
    expect(page.get_by_role("heading", name="Not allowed")).to_be_visible()
