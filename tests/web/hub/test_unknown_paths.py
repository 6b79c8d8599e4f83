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
