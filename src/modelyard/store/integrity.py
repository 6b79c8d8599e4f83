"""Checks a database file for damage with the engine's own check, which reads all of it."""

import sqlalchemy as sa

from modelyard import errors
from modelyard.store import migrate
from modelyard.store.damage import is_damage

_PROBLEMS_MAX = 20


def problems(url: str) -> list[str] | None:
    """Return the damage found in a database, an empty list for none; None if the engine checks its own pages.

    SQLite reads every page and index, about 0.5 s a GB; writers go on. PostgreSQL has checksums, and pg_amcheck.
    """
    dialect = migrate.dialect_of(url)
    if dialect.engine.dialect.name != "sqlite":
        return None
    try:
        with dialect.engine.connect() as connection:
            messages = connection.exec_driver_sql(f"PRAGMA integrity_check({_PROBLEMS_MAX})").scalars().all()
    except sa.exc.DBAPIError as problem:
        if is_damage(problem.orig):
            return [str(problem.orig)]
        raise errors.DatabaseUnavailable(f"{dialect.engine.url.database} cannot be read: {problem.orig}") from problem
    finally:
        dialect.engine.dispose()
    return [line for text in messages if text != "ok" for line in str(text).splitlines()]
