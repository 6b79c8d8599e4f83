"""A part is away: what still answers, what says 503, how old answers admit to be, and that all heals by itself.

One node on a PostgreSQL of its own; several nodes, replicas and kills at random instants are in tests/cluster.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.domain import Scope
from modelyard.store import blobs, open_store
from modelyard.store.blobs import Blob
from tests.app_fixture import Address, App, a_model, a_private, listening, open_app
from tests.process_servers import PostgresServer, postgres_server
from tests.processes import wait_for
from tests.web.pages.page_text import main_text
from tests.web.pages.test_pages import signed_in

LONG_SECONDS = 120.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PostgresServer]:
    with postgres_server(tmp_path) as running:
        yield running


@pytest.fixture
def yard(server: PostgresServer, tmp_path: Path) -> Iterator[App]:
    (tmp_path / "home").mkdir()
    with open_app(tmp_path / "home", database_url=server.url(), operator_team="red") as opened:
        opened.put(a_model(1), a_model(2), a_private(1_000_000_001, "red"))
        for team, scopes in (("red", ()), ("blue", ()), ("red", (Scope.READ, Scope.WRITE))):
            opened.key(team, *scopes)
        opened.access.load()
        opened.catalog.load()
        yield opened


@pytest.fixture
def address(yard: App) -> Iterator[Address]:
    """Where it answers; only a server that runs is ready."""
    with listening(yard) as address:
        yield address


def readiness(address: Address) -> str:
    status: str = address.ask("/readyz").json["status"]
    return status


def test_without_the_database_reads_go_on_and_say_how_old_they_may_be(
    yard: App, address: Address, server: PostgresServer
) -> None:
    assert wait_for(lambda: readiness(address) == "ready", LONG_SECONDS)
    assert wait_for(lambda: "warning" not in yard.ask("/v3/model").headers, LONG_SECONDS)
    before = yard.ask("/v3/model")

    server.kill()

    assert wait_for(lambda: readiness(address) == "degraded", LONG_SECONDS)
    during = yard.ask("/v3/model")
    assert (200, before.body) == (during.status, during.body)
    assert during.headers["warning"].startswith('110 modelyard "the database is away, answers may be ')
    assert "warning" in yard.ask("/v3/model", if_none_match=before.headers["etag"]).headers
    assert wait_for(lambda: address.ask("/readyz").json["stale_seconds"] > 0, LONG_SECONDS)


def test_without_the_database_the_status_page_says_so(yard: App, server: PostgresServer) -> None:
    reader, operator = signed_in(yard, "red"), signed_in(yard, "red", Scope.ADMIN)
    server.kill()

    figures = "# Status\nServer\nRead-only\nThe database does not answer.\nModels\n3\n"
    assert wait_for(lambda: main_text(reader.ask("/status").body).startswith(figures), LONG_SECONDS)
    text = main_text(operator.ask("/status").body)
    assert text.startswith(figures)
    assert text.endswith("\nDisk, background work and failures are shown when the database answers again.")


def test_without_the_database_keys_are_still_told_apart(yard: App, server: PostgresServer) -> None:
    server.kill()

    assert [1, 2, 1_000_000_001] == sorted(yard.ask("/v3/model", "red").ids)
    assert [1, 2] == sorted(yard.ask("/v3/model", "blue").ids)
    assert 401 == yard.ask("/v3/model", None, authorization="sk_unknown").status


def test_without_the_database_writes_are_refused_whole(yard: App, server: PostgresServer) -> None:
    key = yard.key("red", Scope.READ, Scope.WRITE)
    server.kill()

    reply = yard.ask("/v3/model?id=1000000001", None, method="DELETE", authorization=key)

    assert (503, "UNAVAILABLE", "1") == (reply.status, reply.json["reason"], reply.headers["retry-after"])
    assert 1_000_000_001 in yard.ask("/v3/model").ids


def test_it_heals_by_itself(yard: App, address: Address, server: PostgresServer) -> None:
    server.kill()
    assert wait_for(lambda: readiness(address) == "degraded", LONG_SECONDS)
    server.start()

    assert wait_for(lambda: readiness(address) == "ready", LONG_SECONDS)
    other = open_store(server.url())
    with other.transaction() as writing:
        writing.remove([1])
    other.close()
    assert wait_for(lambda: 1 not in yard.ask("/v3/model").ids, LONG_SECONDS)
    assert wait_for(lambda: "warning" not in yard.ask("/v3/model").headers, LONG_SECONDS)


def test_what_others_write_is_followed_and_what_this_one_writes_is_there_at_once(
    yard: App, server: PostgresServer
) -> None:
    yard.put(a_model(3))
    assert 3 in yard.ask("/v3/model").ids
    yard.remove(3)
    assert 3 not in yard.ask("/v3/model").ids
    other = open_store(server.url())
    with other.transaction() as writing:
        writing.remove([2])
    revision = other.revision()
    other.close()

    def is_there() -> bool:
        reply = yard.ask("/v3/model", modelyard_min_revision=str(revision))
        return reply.status == 200 and 2 not in reply.ids

    assert wait_for(is_there, LONG_SECONDS)


def test_without_the_file_store_questions_are_answered_and_transfers_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }.items():
        monkeypatch.setenv(name, value)
    sha256 = hashlib.sha256(b"bytes").hexdigest()
    with open_app(tmp_path, storage_url="s3://bucket/prefix") as yard:
        with yard.store.transaction() as writing:
            blobs.put(writing.connection, Blob(sha256, 5, writing.now, "clean", ""))
        yard.put(a_private(1_000_000_001, "red", blob=sha256))

        listed = yard.ask("/v3/model")
        address = listed.json["models"][0]["download_url"]
        fetched = yard.ask("/" + address.split("/", 3)[3], None)

    assert (200, 503, "UNAVAILABLE") == (listed.status, fetched.status, fetched.json["reason"])
