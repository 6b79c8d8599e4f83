"""Which revision an answer stands for, and requests that ask for one.

Several nodes are in tests/cluster; here one node is asked, and told of writes by its own store.
"""

import asyncio
import threading
from pathlib import Path

import pytest

from modelyard.domain import Scope
from modelyard.web.consistency import RevisionWait
from modelyard.web.requests import open_request
from tests.app_fixture import App, Reply, a_model, a_private, open_app

CATALOGUE = (
    "/v3/model",
    "/v3/model?filter.query=nothing",
    "/v3/model/facets",
    "/v3/metadata",
    "/v3/model/details?id=1",
)


@pytest.mark.parametrize("target", CATALOGUE)
def test_an_answer_says_which_revision_it_stands_for(yard: App, target: str) -> None:
    yard.put(a_model(1))
    first = yard.ask(target)
    yard.put(a_model(2))
    second = yard.ask(target)

    assert [("200", "1"), ("200", "2")] == [(str(r.status), r.headers["modelyard-revision"]) for r in (first, second)]


def test_so_does_one_that_was_kept_and_one_that_says_nothing_changed(yard: App) -> None:
    yard.put(a_model(1))
    first = yard.ask("/v3/model")
    kept = yard.ask("/v3/model")
    unchanged = yard.ask("/v3/model", if_none_match=first.headers["etag"])

    assert [(200, "1"), (200, "1"), (304, "1")] == [
        (r.status, r.headers["modelyard-revision"]) for r in (first, kept, unchanged)
    ]


def test_a_write_is_answered_with_a_revision_that_has_it(yard: App) -> None:
    yard.put(a_private(1_000_000_000, "red"))
    key = yard.key("red", Scope.READ, Scope.WRITE)

    removed = yard.ask("/v3/model?id=1000000000", None, method="DELETE", authorization=key)

    assert (200, "2") == (removed.status, removed.headers["modelyard-revision"]), removed.body


@pytest.mark.parametrize("target", CATALOGUE)
def test_a_revision_that_is_here_is_not_waited_for(yard: App, target: str) -> None:
    yard.put(a_model(1))

    for wanted in ("0", "1"):
        assert 200 == yard.ask(target, modelyard_min_revision=wanted).status


def test_one_that_does_not_come_is_unavailable_for_now(yard: App) -> None:
    yard.put(a_model(1))

    reply = yard.ask("/v3/model", modelyard_min_revision="2")

    assert (503, "UNAVAILABLE", "1") == (reply.status, reply.json["reason"], reply.headers["retry-after"])
    assert {"revision": 1, "wanted": 2} == reply.json["metadata"]


@pytest.mark.parametrize("given", ["", "-1", "1.5", "newest", "1" * 19, "٣", "1, 2"])
def test_what_is_no_revision_is_refused(yard: App, given: str) -> None:
    headers = [(b"modelyard-min-revision", given.encode()), (b"authorization", yard.key().encode())]

    reply: Reply = asyncio.run(yard.answer(b"/v3/model", headers=headers))

    assert (400, "INVALID_ARGUMENT") == (reply.status, reply.json["reason"])
    assert "Modelyard-Min-Revision" == reply.json["metadata"]["parameter"]


def test_a_revision_that_comes_meanwhile_is_answered(tmp_path: Path) -> None:
    """The wait is without end here, so that only the write can end it."""
    with open_app(tmp_path) as yard:
        yard.put(a_model(1))
        waiting = RevisionWait(yard.catalog, wait_seconds_max=float("inf"))
        request = open_request({"headers": [(b"modelyard-min-revision", b"2")]}, "id", 0)  # type: ignore[typeddict-item] # all that is read of it
        ended = threading.Event()

        def wait() -> None:
            asyncio.run(waiting.wait(request))
            ended.set()

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        assert not ended.wait(0.1)
        yard.put(a_model(2))

        assert ended.wait(60)
        assert 2 == yard.catalog.revision
        thread.join(60)
