"""Backs a database up into a file while servers use it, and restores a database from a file.

SQLite's own backup API copies the pages of one moment. PostgreSQL's own programs ``pg_dump`` and ``pg_restore`` do the
same there, as only they follow its versions. A restored database gets a new identity, so that no process uses an index
that was built from revisions after the backup. It gives no id that was given after the backup.
"""

import os
import shutil
import sqlite3
import uuid
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from modelyard import errors
from modelyard.store import api_keys, migrate, schema, sequences
from modelyard.store.api_keys import Key
from modelyard.store.damage import damage_error, is_damage
from modelyard.store.database import open_store
from modelyard.store.postgresql_programs import check_archive, restore_archive, run_program

# The note with the time at which the last backup of a database was complete.
LAST_BACKUP_NOTE = "last_backup"
_PAGES_AT_ONCE = 4_096
_TARGET_ERRORS = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC}
)


def backup(url: str, path: Path, complete: Callable[[], None] = lambda: None) -> None:
    """Write a database into a file, as it is at one moment, and flush it. Readers and writers go on meanwhile.

    ``complete`` is called before the file gets its name; if it raises, no file is left.
    """
    parsed = _parsed(url)
    making = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.exists():
            raise errors.ConfigurationError(f"{path} is there already; name a file that is not")
        if not path.absolute().parent.is_dir():
            raise errors.ConfigurationError(f"the folder {path.absolute().parent} does not exist; create it first")
        # What cannot be written is noticed here: SQLite and pg_dump would not say which of their two files it is.
        making.touch()
        if parsed.get_backend_name() == "sqlite":
            _backup_sqlite(Path(str(parsed.database)), making, path)
        else:
            _backup_postgresql(url, making)
        _flush(making)
        complete()
        making.rename(path)
        _flush_names(path.parent)
    except OSError as problem:
        raise errors.ConfigurationError(f"{path} cannot be written: {problem.strerror}") from problem
    finally:
        with suppress(OSError):
            making.unlink(missing_ok=True)


def record_backup(url: str, at: int) -> None:
    """Store the time of a complete backup in the database that was backed up. Its tables are not migrated.

    Raises DatabaseUnavailable if the database takes no writes, or has no table for it.
    """
    dialect = migrate.dialect_of(url)
    insert = dialect.insert(schema.notes).values(key=LAST_BACKUP_NOTE, value=str(at))
    upsert = insert.on_conflict_do_update(index_elements=["key"], set_={"value": str(at)})
    try:
        with dialect.engine.connect().execution_options(writes=True) as connection, connection.begin():
            connection.execute(upsert)
    except sa.exc.DBAPIError as problem:
        name = dialect.engine.url.render_as_string(hide_password=True)
        raise errors.DatabaseUnavailable(f"{name} cannot be written: {str(problem.orig).strip()}") from problem
    finally:
        dialect.engine.dispose()


def restore(path: Path, url: str, *, force: bool) -> list[Key]:
    """Replace a database with the content of a backup file; ``force`` allows it for one that is not empty.

    Return the keys that work again: the replaced database had them as revoked, or had removed them.

    The caller makes sure that no server uses the database. Raises ConfigurationError for a file that is no backup,
    before it changes anything.
    """
    parsed = _parsed(url)
    if not path.is_file():
        raise errors.ConfigurationError(f"{path} is no file")
    before = _read_replaced(url)
    if parsed.get_backend_name() == "sqlite":
        _restore_sqlite(path, Path(str(parsed.database)), force=force)
    else:
        _restore_postgresql(path, url, force=force)
    restored = open_store(url)
    try:
        with restored.transaction() as transaction:
            transaction.remember("identity", uuid.uuid4().hex)
            sequences.leave_gap(transaction.connection, before.last_ids)
            keys = [(digest, key) for digest, key in api_keys.keys_of(transaction.connection) if not key.revoked_at]
    finally:
        restored.close()
    if before.keys is None:
        return []
    working_digests = {digest for digest, key in before.keys if not key.revoked_at}
    return [key for digest, key in keys if digest not in working_digests]


class _Replaced(NamedTuple):
    """What a restore has to know of the database that it replaces; ``keys`` is None if nothing can be read."""

    keys: list[tuple[bytes, Key]] | None
    last_ids: Mapping[str, int]


def _read_replaced(url: str) -> _Replaced:
    dialect = migrate.dialect_of(url)
    try:
        if dialect.engine.dialect.name == "sqlite" and not Path(str(dialect.engine.url.database)).exists():
            return _Replaced(None, {})
        with dialect.engine.connect() as connection:
            return _Replaced(api_keys.keys_of(connection), sequences.read_last_ids(connection))
    except (sa.exc.SQLAlchemyError, ValueError):  # no such table, damaged, or away
        return _Replaced(None, {})
    finally:
        dialect.engine.dispose()


def _parsed(url: str) -> sa.URL:
    dialect = migrate.dialect_of(url)
    dialect.engine.dispose()
    return dialect.engine.url


def _backup_sqlite(source: Path, target: Path, name: Path) -> None:
    """Copy a database to ``target``; errors of that file say ``name``, which it gets in the end."""
    if not source.is_file():
        raise errors.ConfigurationError(f"{source} is no database")
    try:
        with closing(_opened(source)) as original, closing(sqlite3.connect(target)) as copy:
            original.backup(copy, pages=_PAGES_AT_ONCE)
            # A copy in WAL mode would need two more files beside it.
            copy.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as problem:
        if is_damage(problem):
            raise damage_error(sa.make_url(f"sqlite:///{source}"), problem) from problem
        if problem.sqlite_errorcode in _TARGET_ERRORS:  # the source is only read
            raise errors.ConfigurationError(f"{name} cannot be written: {problem}") from problem
        raise errors.ConfigurationError(f"{source} cannot be backed up: {problem}") from problem
    _refuse_damaged(target, source)


def _restore_sqlite(path: Path, target: Path, *, force: bool) -> None:
    _refuse_damaged(path)
    if target.exists() and not force:
        raise errors.ConfigurationError(f"{target} is there already; --force replaces it")
    making = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shutil.copyfile(path, making)
        _flush(making)
        _close_log(target)
        # SQLite would use the log of a damaged database with the new one.
        for suffix in ("-wal", "-shm", "-counters"):
            target.with_name(target.name + suffix).unlink(missing_ok=True)
        making.replace(target)
        _flush_names(target.parent)
    except OSError as problem:
        raise errors.ConfigurationError(f"{target} cannot be written: {problem.strerror}") from problem
    finally:
        making.unlink(missing_ok=True)


def _close_log(path: Path) -> None:
    """Move what is in a database's log into it, so that the old one stays whole until the new one has its place.

    Raises ConfigurationError if another program writes to it. A damaged one keeps its log.
    """
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(path, timeout=0)) as connection:
            (is_busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error:
        return
    if is_busy:
        raise errors.ConfigurationError(f"{path} cannot be replaced: another program writes to it; stop that first")


def _refuse_damaged(path: Path, original: Path | None = None) -> None:
    """Raise ConfigurationError if the file is not an undamaged database of Modelyard; errors name its original."""
    try:
        with closing(_opened(path)) as connection:
            (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error as problem:
        raise errors.ConfigurationError(f"{original or path} is no backup of a SQLite database: {problem}") from problem
    if result != "ok":
        if original is not None:
            raise damage_error(sa.make_url(f"sqlite:///{original}"), result)
        raise errors.ConfigurationError(f"{path} is damaged: {result}")
    if not {migrate.VERSION_TABLE, schema.models.name} <= tables:
        raise errors.ConfigurationError(f"{original or path} is no database of Modelyard")


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def _backup_postgresql(url: str, target: Path) -> None:
    dialect = migrate.dialect_of(url)
    try:
        run_program("pg_dump", dialect, "--format=custom", "--no-owner", f"--file={target}")
    finally:
        dialect.engine.dispose()


def _restore_postgresql(path: Path, url: str, *, force: bool) -> None:
    dialect = migrate.dialect_of(url)
    name = dialect.engine.url.render_as_string()
    try:
        check_archive(path, dialect)
        with dialect.engine.connect() as connection:
            there = set(sa.inspect(connection).get_table_names()) & set(schema.metadata.tables)
            if there:
                migrate.refuse_newer(connection)
        if there and not force:
            raise errors.ConfigurationError(f"{name} is not empty; --force replaces what it has")
        dialect.engine.dispose()
        # The backup of an older version does not know the newer tables, which refer to its own.
        tables = ", ".join(sorted({*there, migrate.VERSION_TABLE}))
        restore_archive(path, dialect, [f"DROP TABLE IF EXISTS {tables} CASCADE"] if there else [])
    except sa.exc.DBAPIError as problem:
        raise errors.DatabaseUnavailable(f"{name} cannot be opened: {problem.orig}") from problem
    finally:
        dialect.engine.dispose()


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _flush_names(folder: Path) -> None:
    # Some network file systems do not flush folders.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
