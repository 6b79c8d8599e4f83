"""Migrates a database to this version's schema. Any process may run it first."""

from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from modelyard import errors
from modelyard.store import postgresql, schema, sqlite
from modelyard.store.dialect import Dialect

VERSION_TABLE = "modelyard_schema"
# Versions with this schema or a newer one can use a database of this version: since then migrations only added, and
# layers kept their form.
SERVES_NOTE = "serves"
_OLDEST_SERVED = "0011"
_MIGRATIONS = Path(__file__).with_name("migrations")


def dialect_of(url: str) -> Dialect:
    """Return the dialect for a database URL, without connecting. Raises ConfigurationError for an unknown kind."""
    parsed = None
    with suppress(sa.exc.ArgumentError):
        parsed = sa.make_url(url)
    if parsed is None:
        raise errors.ConfigurationError("database: not a database URL, such as sqlite:////var/lib/modelyard.sqlite")
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        return sqlite.dialect(parsed)
    # libpq's own programs and others accept both spellings.
    if kind in ("postgresql", "postgres"):
        return postgresql.dialect(parsed)
    raise errors.ConfigurationError(f"database: {kind!r} is not supported; accepted: sqlite, postgresql")


def migrate(dialect: Dialect) -> None:
    """Apply the missing migrations, or raise ConfigurationError.

    Several processes may call this at once: the first one migrates, the others wait and then have nothing to do.
    """
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    head = scripts.get_current_head()
    dialect.prepare(dialect.engine)
    revisions = {script.revision for script in scripts.walk_revisions()}
    with dialect.engine.connect() as connection:
        version = _version(connection)
        if version == head or _serves_us(connection, version, revisions):
            return
    with dialect.engine.connect().execution_options(writes=True) as connection, connection.begin():
        dialect.begin_writing(connection)
        version = _version(connection)
        if version == head or _serves_us(connection, version, revisions):
            return
        _refuse_foreign(connection, version, scripts)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        _say_whom_it_serves(connection, dialect)


def _serves_us(connection: sa.Connection, version: str | None, revisions: set[str]) -> bool:
    """Whether a newer version migrated the database and its note allows ours; nodes are upgraded one after another."""
    if version is None or version in revisions:
        return False
    serves = connection.execute(sa.select(schema.notes.c.value).where(schema.notes.c.key == SERVES_NOTE)).scalar()
    return serves is not None and serves <= max(revisions)


def _say_whom_it_serves(connection: sa.Connection, dialect: Dialect) -> None:
    note = {"key": SERVES_NOTE, "value": _OLDEST_SERVED}
    insert = dialect.insert(schema.notes).values(note)
    connection.execute(insert.on_conflict_do_update(index_elements=["key"], set_={"value": _OLDEST_SERVED}))


def _version(connection: sa.Connection) -> str | None:
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()


def _refuse_foreign(connection: sa.Connection, version: str | None, scripts: ScriptDirectory) -> None:
    url = connection.engine.url.render_as_string(hide_password=True)
    if version is not None and version not in {script.revision for script in scripts.walk_revisions()}:
        raise errors.ConfigurationError(
            f"{url} was made by a newer version of Modelyard (schema {version}; this version knows"
            f" {scripts.get_current_head()} and older); upgrade Modelyard, or name another database"
        )
    if version is None:
        others = set(sa.inspect(connection).get_table_names()) & set(schema.metadata.tables)
        if others:
            raise errors.ConfigurationError(
                f"{url} has tables of another program ({', '.join(sorted(others))}); name another database"
            )
