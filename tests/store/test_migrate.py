"""Two versions side by side on one database: migrations only add, and what an older version writes is still taken.

Each older schema is made by its own migrations. An older version's code is not run here: its statements are.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from modelyard import errors
from modelyard.auth import Auth
from modelyard.domain import Scope
from modelyard.store import Store, migrate, migrations, open_store
from tests.databases import sqlite_url
from tests.process_servers import PostgresServer
from tests.processes import entry

SCRIPTS = Path(migrations.__file__).parent


def configuration() -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    return config


REVISIONS = [script.revision for script in ScriptDirectory.from_config(configuration()).walk_revisions()]
OLDER = sorted(REVISIONS)[:-1]


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without a table."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.make_database()


def migrate_through(url: str, revisions: Sequence[str]) -> Iterator[tuple[str, sa.Engine]]:
    """Bring an empty database to what each of some versions knows, one after the other."""
    dialect = migrate.dialect_of(url)
    dialect.prepare(dialect.engine)
    config = configuration()
    for revision in revisions:
        with dialect.engine.connect().execution_options(writes=True) as connection, connection.begin():
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
        yield revision, dialect.engine
    dialect.engine.dispose()


def test_what_older_versions_read_and_write_is_still_there(empty_url: str) -> None:
    """Every table and column is, of the same type; what was added needs no word from who does not know it."""
    schemas: dict[str, sa.MetaData] = {}
    for revision, engine in migrate_through(empty_url, sorted(REVISIONS)):
        schemas[revision] = sa.MetaData()
        schemas[revision].reflect(engine)

    now = schemas[max(REVISIONS)].tables
    for revision in OLDER:
        for name, table in schemas[revision].tables.items():
            assert name in now, f"{revision}: {name} is gone"
            check_columns(f"{revision}: {name}", table, now[name])


def check_columns(place: str, before: sa.Table, now: sa.Table) -> None:
    for column in before.columns:
        assert column.name in now.columns, f"{place}.{column.name} is gone"
        assert repr(column.type) == repr(now.columns[column.name].type), f"{place}.{column.name}"
        assert column.nullable or not now.columns[column.name].nullable, f"{place}.{column.name} may be empty now"
    for column in now.columns:
        if column.name not in before.columns:
            assert column.nullable or column.server_default is not None, f"{place}.{column.name} is asked for"


# The first, the newest of the older ones, and some between: the test above goes through all of them, one at a time.
@pytest.mark.parametrize("revision", sorted({OLDER[0], *OLDER[4::6], OLDER[-1]}))
def test_a_database_of_an_older_version_is_brought_up_with_what_it_has(empty_url: str, revision: str) -> None:
    for _, engine in migrate_through(empty_url, [revision]):
        with engine.begin() as connection:
            connection.execute(sa.text("INSERT INTO teams (name, created_at) VALUES ('red', 1)"))
            connection.execute(sa.text("UPDATE counters SET value = 7 WHERE name = 'model_revision'"))

    store = open_store(empty_url)
    try:
        assert ["red"] == store.teams()
        assert 7 == store.revision()
    finally:
        store.close()


def add_what_a_newer_version_would(store: Store, serves: str | None) -> None:
    """Change a database as a version to come does, and say which versions it still serves."""
    with store.transaction() as writing:
        for statement in (
            "ALTER TABLE models ADD COLUMN mood TEXT",
            "ALTER TABLE layers ADD COLUMN seen_at BIGINT DEFAULT 0",
            "CREATE TABLE moods (name TEXT PRIMARY KEY)",
            f"UPDATE {migrate.VERSION_TABLE} SET version_num = '9999'",
        ):
            writing.connection.execute(sa.text(statement))
        writing.remember(migrate.SERVES_NOTE, serves)


def test_this_version_goes_on_beside_a_newer_one_that_only_added(url: str, store: Store) -> None:
    with store.transaction() as writing:
        writing.put([entry(1)])

    add_what_a_newer_version_would(store, max(REVISIONS))
    started = open_store(url)

    try:
        for running in (store, started):
            before = running.revision()
            with running.transaction() as writing:
                # Row by row, and as PostgreSQL copies them.
                writing.put([entry(2)])
                writing.put([entry(number) for number in range(10, 210)])
                writing.remove([3])
            assert before + 1 == running.revision()
            assert entry(2) == running.entry(2)
            Auth(running).create_key("red", [Scope.READ])
        assert 2 == len(started.key_ring().keys)
    finally:
        started.close()


@pytest.mark.parametrize("serves", [None, "9998"])
def test_this_version_keeps_off_what_a_newer_one_did_not_make_for_it(
    url: str, store: Store, serves: str | None
) -> None:
    add_what_a_newer_version_would(store, serves)

    with pytest.raises(errors.ConfigurationError, match=r"newer version of Modelyard.*9999.*upgrade"):
        open_store(url)


def test_versions_of_the_schema_are_those_of_the_migrations() -> None:
    assert sorted(REVISIONS) == list(migrate.schema_versions())
