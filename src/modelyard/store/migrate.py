"""Migrates a database to this version's schema. Any process may run it first."""

import importlib
from contextlib import suppress
from functools import cache
from pathlib import Path

import sqlalchemy as sa

from modelyard import errors
from modelyard.store import postgresql, schema, sqlite
from modelyard.store.dialect import Dialect
from modelyard.store.postgresql_pool import CONNECTIONS

VERSION_TABLE = "modelyard_schema"
# Versions with this schema or a newer one can use a database of this version: since then migrations only added, and
# layers kept their form.
SERVES_NOTE = "serves"
_OLDEST_SERVED = "0011"
MIGRATIONS = Path(__file__).with_name("migrations")


def dialect_of(url: str, listen_url: str = "", connections: int = CONNECTIONS) -> Dialect:
    """Return the dialect for a database URL, without connecting. Raises ConfigurationError for an unknown kind.

    PostgreSQL alone has a ``listen_url``, and a number of connections.
    """
    parsed = _parse(url)
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        return sqlite.dialect(parsed)
    # libpq's own programs and others accept both spellings.
    if kind in ("postgresql", "postgres"):
        return postgresql.dialect(parsed, _parse(listen_url) if listen_url else None, connections)
    raise errors.ConfigurationError(f"database: {kind!r} is not supported; accepted: sqlite, postgresql")


def _parse(url: str) -> sa.URL:
    with suppress(sa.exc.ArgumentError, ValueError):  # ValueError: a port that is no number
        return sa.make_url(url)
    raise errors.ConfigurationError("database: not a database URL, such as sqlite:////var/lib/modelyard.sqlite")


def migrate(dialect: Dialect) -> None:
    """Apply the missing migrations, or raise ConfigurationError.

    Several processes may call this at once: the first one migrates, the others wait and then have nothing to do.
    """
    dialect.prepare(dialect.engine)
    with dialect.engine.connect() as connection:
        if _is_current(connection):
            return
    with dialect.engine.connect().execution_options(writes=True) as connection, connection.begin():
        dialect.lock_writers(connection)
        if _is_current(connection):
            return
        _refuse_foreign(connection)
        # Alembic takes a fifth of a second to import, and most databases need no migration.
        importlib.import_module("modelyard.store.alembic_runner").upgrade(connection, MIGRATIONS)
        _say_whom_it_serves(connection, dialect)


@cache
def schema_versions() -> tuple[str, ...]:
    """Return the versions of the schema, oldest first: the names of the migrations begin with them."""
    return tuple(sorted(path.name[:4] for path in (MIGRATIONS / "versions").glob("[0-9]*.py")))


def _is_current(connection: sa.Connection) -> bool:
    """Whether the database has the newest schema, or one that this version can use.

    A newer version may have migrated it, because nodes are upgraded one after another. Its note says whom it serves.
    """
    version = _version(connection)
    if version is None or version in schema_versions():
        return version == schema_versions()[-1]
    serves = connection.execute(sa.select(schema.notes.c.value).where(schema.notes.c.key == SERVES_NOTE)).scalar()
    return serves is not None and serves <= schema_versions()[-1]


def _say_whom_it_serves(connection: sa.Connection, dialect: Dialect) -> None:
    note = {"key": SERVES_NOTE, "value": _OLDEST_SERVED}
    insert = dialect.insert(schema.notes).values(note)
    connection.execute(insert.on_conflict_do_update(index_elements=["key"], set_={"value": _OLDEST_SERVED}))


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(sa.select(sa.column("version_num")).select_from(sa.table(VERSION_TABLE))).scalar()


def refuse_newer(connection: sa.Connection) -> None:
    """Raise ConfigurationError if a newer version of Modelyard made the database."""
    url = connection.engine.url.render_as_string(hide_password=True)
    version = _version(connection)
    if version is not None and version not in schema_versions():
        raise errors.ConfigurationError(
            f"{url} was made by a newer version of Modelyard (schema {version}; this version knows"
            f" {schema_versions()[-1]} and older); upgrade Modelyard, or name another database"
        )


def _refuse_foreign(connection: sa.Connection) -> None:
    refuse_newer(connection)
    if _version(connection) is None:
        url = connection.engine.url.render_as_string(hide_password=True)
        others = set(sa.inspect(connection).get_table_names()) & set(schema.metadata.tables)
        if others:
            raise errors.ConfigurationError(
                f"{url} has tables of another program ({', '.join(sorted(others))}); name another database"
            )
