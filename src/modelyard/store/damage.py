"""Recognises damage of a database in the errors of its driver, and says what to do about it."""

import sqlite3

import sqlalchemy as sa

from modelyard import errors

_SQLITE_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
# PostgreSQL: data corrupted, index corrupted.
_SQL_STATES = frozenset({"XX001", "XX002"})
_UNDECODABLE = "Could not decode to UTF-8"
WHAT_TO_DO = (
    "stop the server and restore a backup with `modelyard restore --force PATH`; without one,"
    " `sqlite3 DAMAGED .recover | sqlite3 NEW` saves what can be read"
)


def is_damage(problem: BaseException | None) -> bool:
    """Whether an error of a driver means that bytes of the database are damaged."""
    code = getattr(problem, "sqlite_errorcode", None)
    # The lower byte is the error, the others tell more about it.
    if code is not None and code & 0xFF in _SQLITE_CODES:
        return True
    return getattr(problem, "sqlstate", None) in _SQL_STATES or _UNDECODABLE in str(problem)


def damage_error(url: sa.URL | None, problem: object) -> errors.DatabaseDamaged:
    """Return the error for a damaged database, in one line."""
    name = (url.database if url.get_backend_name() == "sqlite" else url.render_as_string()) if url else None
    reason = " ".join(str(problem).split())
    return errors.DatabaseDamaged(f"the database{f' {name}' if name else ''} is damaged ({reason}): {WHAT_TO_DO}")
