"""An old primary that comes back: two PostgreSQL servers, and nodes that have seen the newer one, or have not."""

import logging
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from modelyard import errors
from modelyard.catalog import open_catalog
from modelyard.store import Store, open_store
from modelyard.web.api.health import ReadyEndpoint
from tests.cluster.databases import Databases, running_databases
from tests.cluster.nodes import database_url
from tests.process_commands import PROGRAM, environment
from tests.processes import entry, wait_for
from tests.web.api.test_health import ask_readiness


@pytest.fixture
def databases(tmp_path: Path) -> Iterator[Databases]:
    """A primary and a replica that no commit waits for."""
    with running_databases(tmp_path, 2, is_synchronous=False) as running:
        yield running


def put(store: Store, model_id: int) -> None:
    with store.transaction() as writing:
        writing.put([entry(model_id)])


def test_a_node_that_has_seen_the_new_primary_does_not_use_the_old_one(
    databases: Databases, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody fences the old primary: it runs, takes writes, and is the first of the node's URL."""
    home = tmp_path / "home"
    home.mkdir()
    url = database_url(databases.ports)
    with closing(open_store(url, home=home)) as before:
        put(before, 1)
        databases.wait_until_received()
        databases.promote(1)
        with closing(open_store(database_url(databases.ports[1:]), home=home)) as after:
            put(after, 2)

        # Its connections to the old primary are still open.
        with pytest.raises(errors.Unavailable, match="its timeline is 1, and this node has seen 2"):
            put(before, 3)
        assert "its timeline is 1" in (before.refusal() or "")
    with caplog.at_level(logging.ERROR), pytest.raises(errors.Unavailable):
        open_store(url, home=home)
    assert "an old primary was started again" in caplog.text

    # A node that has not seen the new one cannot know, which is why the old one has to be fenced.
    with closing(open_store(url)) as blind:
        put(blind, 4)
        assert blind.refusal() is None

    databases.servers[0].kill()
    with closing(open_store(url, home=home)) as healed:
        put(healed, 5)
        with healed.snapshot() as snapshot:
            assert {1, 2, 5} == {model.id for model in snapshot.models()}


def test_a_fenced_old_primary_is_rewound_and_follows(databases: Databases, tmp_path: Path) -> None:
    """By the commands of docs/operate/scale.md."""
    (tmp_path / "home").mkdir()
    old, new = databases.servers
    with closing(open_store(database_url(databases.ports))) as before:
        put(before, 1)
    databases.wait_until_received()
    databases.promote(1)
    with closing(open_store(database_url(databases.ports[:1]))) as blind:
        put(blind, 2)  # what only the old primary has is lost by the rewind
    old.end()
    with closing(open_store(database_url(databases.ports), home=tmp_path / "home")) as store:
        put(store, 3)

        databases.rewind(0)
        put(store, 4)
        databases.wait_until_received()
        new.kill()
        databases.promote(0)
        put(store, 5)

        with store.snapshot() as snapshot:
            assert {1, 3, 4, 5} == {model.id for model in snapshot.models()}


def test_a_promotion_that_lost_commits_is_noticed_until_the_operator_accepts_it(
    databases: Databases, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    url = database_url(databases.ports)
    old, new = databases.servers
    with closing(open_store(url, home=home)) as writer, closing(open_catalog(open_store(url))) as catalog:
        catalog.load()
        put(writer, 1)
        databases.wait_until_received()
        new.kill()
        put(writer, 2)
        put(writer, 3)
        assert wait_for(lambda: catalog.refresh() == 3)
        old.kill()
        new.start()
        databases.promote(1)

        with pytest.raises(errors.Unavailable, match="its revision is 1, and this node has seen 3"):
            put(catalog.store, 4)
        ready = ReadyEndpoint(catalog)
        assert wait_for(lambda: ask_readiness(ready)["status"] == "degraded")
        assert "its revision is 1" in ask_readiness(ready)["problems"]["database"]

    with pytest.raises(errors.Unavailable):
        open_store(url, home=home)
    command = [*PROGRAM, "reindex", "--home", str(home), "--accept-database"]
    accepting = {**environment(), "MODELYARD_DATABASE_URL": url}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=accepting)
    assert not done.returncode, done.stderr
    with closing(open_store(url, home=home)) as store:
        put(store, 4)
        assert 2 == store.revision()
