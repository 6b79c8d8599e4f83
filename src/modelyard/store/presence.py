"""Which PostgreSQL databases are in use: each process that follows one holds a shared lock as long as it listens.

A command that replaces or moves a database asks here, so that it refuses while a node on another machine serves it.
"""

import sqlalchemy as sa

from modelyard import errors
from modelyard.store import migrate
from modelyard.store.postgresql_notifier import PRESENCE_LOCK


def refuse_database_in_use(url: str) -> None:
    """Raise ConfigurationError if a process follows the database. Of SQLite the home's own lock knows that."""
    dialect = migrate.dialect_of(url)
    try:
        if dialect.engine.dialect.name == "sqlite":
            return
        with dialect.engine.connect() as connection:
            is_free = connection.exec_driver_sql(f"SELECT pg_try_advisory_xact_lock({PRESENCE_LOCK})").scalar_one()
    except sa.exc.DBAPIError as problem:
        name = dialect.engine.url.render_as_string(hide_password=True)
        raise errors.DatabaseUnavailable(f"{name} cannot be opened: {str(problem.orig).strip()}") from problem
    finally:
        dialect.engine.dispose()
    if not is_free:
        name = dialect.engine.url.render_as_string(hide_password=True)
        raise errors.ConfigurationError(f"servers use {name}; stop them on all nodes first")
