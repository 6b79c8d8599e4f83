"""Pages of fetches: a model whose file is fetched, the list of a team, and the models that a workflow needs."""

import hashlib
import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from modelyard.store import fetches
from modelyard.web.pages.templates import format_size
from tests.app_fixture import App, Reply, a_model, open_app
from tests.fetch_fixture import LOCAL, Fetching, RemoteFile
from tests.transfers import ask, lora_bytes
from tests.upstream import Upstream, serve_upstream

from .page_text import main_text
from .test_pages import Browser, signed_in

CONTENT = lora_bytes(fill=300_000)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with serve_upstream() as server:
        yield server


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[App]:
    with open_app(tmp_path, **LOCAL) as app:
        yield app


@pytest.fixture
def red(yard: App) -> Browser:
    return signed_in(yard)


def orders_of(body: bytes) -> list[str]:
    """Return the orders of the first form that asks for files."""
    form = body.decode().partition('action="/fetches"')[2].partition("</form>")[0]
    return [html.unescape(order) for order in re.findall(r'name="order" value="([^"]*)"', form)]


def resolve(browser: Browser, models: list[dict[str, str]]) -> Reply:
    file = json.dumps({"models": models}).encode()
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + file + b"\r\n--x--\r\n"
    return browser.ask("/resolve", method="POST", body=body, content_type="multipart/form-data; boundary=x")


def get(browser: Browser, orders: list[str]) -> Reply:
    body = urlencode([("token", browser.token), *(("order", order) for order in orders)]).encode()
    return browser.ask("/fetches", method="POST", body=body)


def text_of(reply: Reply) -> str:
    return " ".join(main_text(reply.body).split())


def notice_of(yard: App, model_id: int, team: str = "red") -> str:
    """Return what the page says of the fetch; empty if it says nothing."""
    text = " ".join(main_text(signed_in(yard, team).ask(f"/models/{model_id}").body).split())
    match = re.search(r"The server .*?\[Reload this page\]", text)
    return match[0].removesuffix(" [Reload this page]") if match else ""


def test_the_page_says_how_much_of_a_file_is_here(yard: App, tmp_path: Path, upstream: Upstream) -> None:
    fetching = Fetching(yard, tmp_path, upstream)
    url = upstream.put("/a.safetensors", RemoteFile(CONTENT, cuts=(100_000,)))
    model_id = ask(yard, "/v3/model", method="POST", body={"source_url": url}).json["id"]

    before = notice_of(yard, model_id)
    fetching.run_once()
    during = notice_of(yard, model_id)
    fetching.run()

    assert "The server is fetching the file: 0 bytes." == before
    assert (
        f"The server is fetching the file: 100 kB of {format_size(len(CONTENT))}. "
        f"127.0.0.1 cut off {len(CONTENT) - 100_000:,} bytes before the end; the next attempt is in 0 s."
    ) == during
    assert "" == notice_of(yard, model_id)


def test_other_teams_see_nothing_of_a_fetch(yard: App) -> None:
    yard.put(a_model(77))
    fetch = fetches.Fetch("a" * 32, "red", "civitai:77", 77, 0, size_bytes=2000, received_bytes=2000)
    with yard.store.transaction() as transaction:
        fetches.add(transaction.connection, fetch)

    assert ["The server has fetched the file and is checking it.", ""] == [
        notice_of(yard, 77, team) for team in ("red", "blue")
    ]


# --- Get all


def test_get_all_fetches_what_carries_an_address_or_a_version(
    yard: App, red: Browser, tmp_path: Path, upstream: Upstream
) -> None:
    fetching = Fetching(yard, tmp_path, upstream)
    yard.put(a_model(5067, sd_name="glow_5067.safetensors"))
    url = upstream.put("/b/Glow-v2.safetensors?sig=s3cr3t", RemoteFile(CONTENT))
    models = [
        {"name": "style/glow v2.safetensors", "url": url, "hash": hashlib.sha256(CONTENT).hexdigest()},
        {"name": "glow_5067.safetensors"},
        {"name": "air.safetensors", "air": "urn:air:sdxl:lora:civitai:4476@5068"},
        {"name": "nowhere.safetensors"},
        {"name": "far.safetensors", "url": "ftp://hub.example/far.safetensors"},
    ]

    page = resolve(red, models)
    answer = get(red, orders_of(page.body))
    jobs = fetching.fetches.list("red")

    assert "the server can get 3." in text_of(page)
    assert (303, "/fetches") == (answer.status, answer.headers["location"])
    assert {url, "civitai:5067", "civitai:4476@5068"} == {job.source for job in jobs}
    fetching.fetches.cancel("red", next(job.id for job in jobs if job.source == "civitai:4476@5068"))
    fetching.run()
    assert "Here (1)" in text_of(resolve(red, models[:1]))


def test_a_workflow_s_hash_has_to_be_the_file_s(yard: App, red: Browser, tmp_path: Path, upstream: Upstream) -> None:
    fetching = Fetching(yard, tmp_path, upstream)
    url = upstream.put("/a.safetensors", RemoteFile(CONTENT))
    get(red, orders_of(resolve(red, [{"name": "a.safetensors", "url": url, "hash": 64 * "b"}]).body))
    fetching.run()

    assert f"Failed: announced SHA-256 {64 * 'b'}, received " in text_of(red.ask("/fetches"))


def test_an_address_that_may_not_be_requested_is_missing_and_refused_in_words(tmp_path: Path) -> None:
    with open_app(tmp_path) as closed:
        red = signed_in(closed)
        for url in ("http://hub.example/a.safetensors", "https://169.254.169.254/a.safetensors"):
            assert [] == orders_of(resolve(red, [{"name": "a.safetensors", "url": url}]).body)
            answer = red.post("/fetches", fields={"source": url})
            assert 400 == answer.status
            assert f"The server does not fetch: {url}: source_url: " in text_of(answer)


def test_the_list_shows_how_far_each_fetch_is_and_cancels_it(
    yard: App, red: Browser, tmp_path: Path, upstream: Upstream
) -> None:
    fetching = Fetching(yard, tmp_path, upstream)
    url = upstream.put("/a.safetensors?sig=s3cr3t", RemoteFile(CONTENT, cuts=(100_000,)))
    red.post("/fetches", fields={"source": url})
    (fetch,) = fetching.fetches.list("red")
    fetching.run_once()
    rows = red.ask("/parts/fetches").body.decode()
    strange = signed_in(yard, "blue").post(f"/fetches/{fetch.id}/cancel")
    answers = [red.post(f"/fetches/{fetch.id}/cancel") for _ in range(2)]

    assert f'max="{len(CONTENT)}" value="100000"' in rows
    assert f"{100 * 100_000 // len(CONTENT)} %, 100 kB of {format_size(len(CONTENT))}: 127.0.0.1 cut off" in rows
    assert "s3cr3t" not in rows
    assert [404, 303, 303] == [strange.status, *(answer.status for answer in answers)]
    assert "cancelled" == fetching.row(fetch.id).state
    assert [(f"fetch.{verb}", fetch.id, "red") for verb in ("create", "cancel")] == yard.audited("fetch")
    assert "Cancelled." in text_of(red.ask("/fetches"))
    assert "Cancelled" not in text_of(signed_in(yard, "blue").ask("/fetches"))


def test_a_team_with_all_its_fetches_open_is_told_which_files_are_not_fetched(tmp_path: Path) -> None:
    with open_app(tmp_path, team_open_uploads_max=1) as busy:
        red = signed_in(busy)
        models = [{"name": f"{name}.pt", "url": f"https://hub.example/{name}.pt"} for name in "ab"]
        page = text_of(get(red, orders_of(resolve(red, models).body)))

        assert "https://hub.example/b.pt: " in page
        assert "Waiting." in page


@pytest.mark.parametrize("form", [{}, {"source": "what is this"}, {"order": "x=1&x=2&x=3&x=4"}, {"order": "sha256=1"}])
def test_a_form_without_a_source_says_what_is_accepted(red: Browser, form: dict[str, str]) -> None:
    answer = red.post("/fetches", fields=form)

    assert 400 == answer.status


def test_a_password_in_an_address_is_refused_and_not_shown(red: Browser) -> None:
    form = {"source": "https://me:s3cr3t@example.org/night.safetensors?token=s3cr3t"}
    answer = red.post("/fetches", fields=form)

    assert 400 == answer.status
    assert "https://example.org/night.safetensors: " in text_of(answer)
    assert "without user name and password" in text_of(answer)
    assert b"s3cr3t" not in answer.body


def test_all_orders_of_a_large_workflow_fit_into_one_form(yard: App, red: Browser) -> None:
    models = [{"name": f"{n}.pt", "url": f"https://hub.example/{n}/{'%20' * 300}.pt"} for n in range(120)]
    page = resolve(red, models)
    orders = orders_of(page.body)

    assert f"This asks for {len(orders)} files at once." in text_of(page)
    assert 10 < len(orders) < 100
    assert 303 == get(red, orders).status
