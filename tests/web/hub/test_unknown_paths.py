"""Paths under ``/hf`` that no route has are errors in the words of the clients, and tell of no other team."""

import pytest

from modelyard.web.hub.endpoint import NO_COMMIT
from tests.web.hub.stocked import Stocked


@pytest.mark.parametrize(
    ("path", "code", "has_commit"),
    [
        ("{private}/blob/main/README.md", "EntryNotFound", True),
        ("api/models/{private}/discussions", "EntryNotFound", True),
        ("models/{private}", "EntryNotFound", True),
        ("{private}.git/info/refs", "EntryNotFound", True),
        ("api/models/blue/{secret}/discussions", "RepoNotFound", False),
        ("blue/{secret}/blob/main/README.md", "RepoNotFound", False),
        ("blue/nothing/blob/main/README.md", "RepoNotFound", False),
        ("api/datasets/{private}", "RepoNotFound", False),
        ("api/collections", "EntryNotFound", False),
        ("x", "EntryNotFound", False),
    ],
)
def test_an_unknown_path_has_the_headers_of_the_hub(stock: Stocked, path: str, code: str, has_commit: bool) -> None:
    target = path.format(private=stock.private, secret=stock.secret)
    commit = stock.yard.ask(f"/hf/api/models/{stock.private}").json["sha"]

    reply = stock.yard.ask(f"/hf/{target}")

    assert (404, code) == (reply.status, reply.headers["x-error-code"])
    assert (commit if has_commit else NO_COMMIT) == reply.headers["x-repo-commit"]
    assert reply.json == {"error": reply.headers["x-error-message"]}


def test_an_unknown_path_without_a_key_is_401(stock: Stocked) -> None:
    assert 401 == stock.yard.ask("/hf/api/collections", None).status


@pytest.mark.parametrize("path", ["api/whoami-v2", "api/models/{private}", "{private}/resolve/main/README.md"])
def test_a_method_that_a_path_does_not_have_is_an_error_of_the_hub(stock: Stocked, path: str) -> None:
    reply = stock.yard.ask(f"/hf/{path.format(private=stock.private)}", method="PATCH")

    assert (405, "GET, HEAD, OPTIONS", NO_COMMIT) == (
        reply.status,
        reply.headers["allow"],
        reply.headers["x-repo-commit"],
    )
    assert reply.json == {"error": reply.headers["x-error-message"]}


def test_a_revision_with_slashes_is_named_as_the_client_wrote_it(stock: Stocked) -> None:
    reply = stock.yard.ask(f"/hf/{stock.public}/resolve/refs%2Fpr%2F1/README.md")

    assert (404, "RevisionNotFound") == (reply.status, reply.headers["x-error-code"])
    assert "'refs/pr/1'" in reply.json["error"]
