"""The download of all covers as background work: its page, its slices, cancelling it, and a restart in its middle."""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from modelyard import blobs
from modelyard.covers import Covers, import_job
from modelyard.domain import Scope
from modelyard.facts import Entry, Facts, Layer
from modelyard.jobs import tasks
from modelyard.jobs.executors import ThreadExecutor
from modelyard.jobs.kinds import Resources
from modelyard.jobs.worker import Worker
from modelyard.outbound import AddressPolicy, Outbound
from tests.app_fixture import App, a_model, open_app
from tests.pictures import picture
from tests.upstream import Upstream, serve_upstream
from tests.web.pages.page_text import main_text
from tests.web.pages.test_pages import Browser, signed_in


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with serve_upstream() as opened:
        opened.put("/1.png", lambda handler: handler.reply(picture(64, 64, seed=1)))
        opened.put("/2.png", lambda handler: handler.reply(picture(64, 64, seed=2)))
        opened.put("/3.png", lambda handler: handler.reply(b"gone", 404))
        yield opened


@pytest.fixture
def red(tmp_path: Path, upstream: Upstream) -> Iterator[Browser]:
    """An operator, three models with covers elsewhere, and one without."""
    with open_app(tmp_path) as yard:
        entries = [
            Entry(
                a_model(number, cover_url=f"{upstream.url}/{number}.png"),
                {Layer.UPSTREAM: replace(FACTS, sd_name=f"m{number}.pt", cover_url=f"{upstream.url}/{number}.png")},
            )
            for number in (1, 2, 3)
        ]
        with yard.store.transaction() as transaction:
            transaction.put(entries)
        yard.put(a_model(4))
        yield signed_in(yard, "red", Scope.READ, Scope.WRITE, Scope.ADMIN)


FACTS = Facts(name="v1", sd_name="m.pt", type=a_model(1).type)


def resources(yard: App, home: Path) -> Resources:
    storage = blobs.open_storage("", home, {})
    outbound = Outbound(AddressPolicy((ipaddress.ip_network("127.0.0.0/8"),), allow_http=True))
    return Resources(yard.store, covers=Covers(yard.store, storage.kept, storage.incoming), outbound=outbound)


def work(yard: App, home: Path) -> None:
    opened = resources(yard, home)
    kinds = [kind for kind in tasks.KINDS if kind.name == import_job.KIND]
    worker = Worker(opened, kinds, ThreadExecutor(opened), node="here")
    while worker.run_next():
        pass


def test_an_operator_downloads_all_covers_and_sees_how_far_it_is(red: Browser, tmp_path: Path) -> None:
    gallery = red.ask("/").body.decode()
    before = main_text(red.ask("/covers").body)
    form = re.search(r'<form [^>]*action="/covers">.*?name="token" value="([^"]+)".*?</form>', gallery)
    assert 303 == red.post("/covers", fields={"action": "start"}).status
    waiting = main_text(red.ask("/covers").body)
    work(red.yard, tmp_path)
    after = main_text(red.ask("/covers").body)

    assert form is not None
    assert red.token == form[1]
    assert 'name="action" value="start">Download the covers' in form[0]
    assert "pictures of 3 addresses" in before
    assert "0 of 3 addresses" in waiting
    assert "The download is complete. 2 covers downloaded, 1 not to be had." in after
    assert "All covers that can be downloaded are on this server." in after
    urls = {model["id"]: model["cover_url"] for model in red.yard.ask("/v3/model").json["models"]}
    assert ["/covers/" in urls[number] for number in (1, 2, 3)] == [True, True, False]


def test_a_slice_that_was_stopped_is_continued_by_another_process(
    red: Browser, tmp_path: Path, upstream: Upstream
) -> None:
    import_job.request(red.yard.store)
    opened = resources(red.yard, tmp_path)
    assert opened.covers is not None
    assert opened.outbound is not None
    stops = iter([False, True, True])

    has_more = import_job.run_slice(red.yard.store, opened.covers, opened.outbound, lambda: next(stops))
    halfway = import_job.read(red.yard.store)
    work(red.yard, tmp_path)
    end = import_job.read(red.yard.store)

    assert has_more
    assert halfway is not None
    assert halfway.is_open
    assert 1 == halfway.done + halfway.failed
    assert end is not None
    assert ("done", 2) == (
        end.state,
        sum("/covers/" in m["cover_url"] for m in red.yard.ask("/v3/model").json["models"]),
    )
    assert {"/1.png": 1, "/2.png": 1, "/3.png": 1} == dict(upstream.asked)


def test_a_cancelled_download_ends_and_keeps_what_it_has(red: Browser, tmp_path: Path) -> None:
    red.post("/covers", fields={"action": "start"})
    opened = resources(red.yard, tmp_path)
    assert opened.covers is not None
    assert opened.outbound is not None

    def cancel() -> None:
        red.post("/covers", fields={"action": "cancel"})

    has_more = import_job.run_slice(red.yard.store, opened.covers, opened.outbound, lambda: False, cancel)

    assert not has_more
    assert "The download was cancelled." in main_text(red.ask("/covers").body)
    work(red.yard, tmp_path)
    assert "cancelled" == (import_job.read(red.yard.store) or import_job.CoverImport("none", 0)).state


def test_only_operators_are_offered_the_download(red: Browser) -> None:
    other = signed_in(red.yard, "blue", Scope.READ, Scope.WRITE, Scope.ADMIN)

    assert "Download the covers" not in other.ask("/").body.decode()
    assert (403, 403) == (other.ask("/covers").status, other.post("/covers", fields={"action": "start"}).status)


def test_the_download_is_a_job_that_is_listed(red: Browser) -> None:
    red.post("/covers", fields={"action": "start"})
    red.post("/covers", fields={"action": "start"})

    with red.yard.store.reading() as connection:
        (work,) = [summary for summary in tasks.summaries(connection) if summary.kind == import_job.KIND]
    assert 1 == work.waiting
