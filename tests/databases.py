"""Databases for tests: a test that takes ``url`` or ``store`` runs once on SQLite and once on PostgreSQL.

These are fixtures, which conftest.py imports for all tests.
"""

import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from modelyard.store import Store, open_store
from tests import requirements
from tests.process_servers import PostgresServer, postgres_programs, postgres_server

# The type of the fixture ``open_at``.
Open = Callable[[str], Store]


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """One server for all; a test that ends it takes its own."""
    with postgres_server(tmp_path_factory.mktemp("servers")) as server:
        yield server


# For tests whose answers depend on the order of texts: PostgreSQL orders by bytes in the locale C, and otherwise not.
EVERY_ORDER = pytest.mark.parametrize("url", ["sqlite", "postgresql", "postgresql in C"], indirect=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database, which is dropped when the test ends: some hundreds of them fill a disk."""
    if request.param == "sqlite":
        yield sqlite_url(tmp_path)
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.make_database(locale="C" if request.param == "postgresql in C" else "")
    yield url
    server.drop_database(url)


@pytest.fixture
def open_at() -> Iterator[Open]:
    """Open a store that is closed when the test ends."""
    stores: list[Store] = []

    def open_and_note(url: str) -> Store:
        stores.append(open_store(url))
        return stores[-1]

    yield open_and_note
    for store in stores:
        store.close()


@pytest.fixture
def store(url: str, open_at: Open) -> Store:
    """An open store with nothing in it."""
    prepare(url)
    return open_at(url)


def sqlite_url(folder: Path) -> str:
    """Return the URL of a SQLite database in a folder."""
    return f"sqlite:///{folder}/modelyard.sqlite"


def prepare(url: str) -> None:
    """Copy a new database to where a URL has none, so that opening it migrates nothing."""
    if url.startswith("postgresql"):
        _prepare_postgresql(url)
        return
    path = Path(url.removeprefix("sqlite:///"))
    if path.is_absolute() and not path.exists():
        content, identity = _new_database()
        path.write_bytes(content.replace(identity, uuid.uuid4().hex.encode()))


def _prepare_postgresql(url: str) -> None:
    # The driver is not there in every environment that imports this module.
    psycopg = requirements.module("psycopg")
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        if connection.execute("SELECT 1 FROM pg_tables WHERE schemaname = 'public'").fetchone():
            return
        if _NEW_POSTGRESQL:
            script, identity = _NEW_POSTGRESQL[0]
            connection.execute(script.replace(identity, uuid.uuid4().hex))
            return
    store = open_store(url)
    identity = store.identity
    store.close()
    dump = [postgres_programs() / "pg_dump", "--inserts", "--no-owner", url.replace("+psycopg", "")]
    script = subprocess.run(dump, capture_output=True, text=True, timeout=60, check=True).stdout
    # Lines with a backslash are for psql.
    commands = "\n".join(line for line in script.splitlines() if not line.startswith("\\"))
    _NEW_POSTGRESQL.append((commands, identity))


# The commands that make a new database of PostgreSQL, and the identity in them; empty before the first one.
_NEW_POSTGRESQL: list[tuple[str, str]] = []


@cache
def _new_database() -> tuple[bytes, bytes]:
    """Return the file of a new database, and the identity in it. Its migrations and their syncs take a second."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(sqlite_url(Path(folder)))
        identity = store.identity
        store.close()
        return Path(folder, "modelyard.sqlite").read_bytes(), identity.encode()
