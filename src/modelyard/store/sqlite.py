"""The SQLite dialect: one file in the home folder, readers that never wait, one writer at a time, and no server."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.pool import ConnectionPoolEntry

from modelyard import errors
from modelyard.store import audit, schema
from modelyard.store.dialect import (
    BUSY_SECONDS,
    Dialect,
    Ending,
    StatementsById,
    raised_counters,
    read_counters,
    row_statements,
)
from modelyard.store.rows import Row
from modelyard.store.sqlite_notifier import SqliteNotifier

# SQLite truncates the log file to this size after an import has made it large.
_LOG_BYTES_KEPT = 64 * 2**20
_CACHE_KIB = 16 * 1024


def dialect(url: sa.URL) -> Dialect:
    """Return the dialect for a SQLite file. Raises ConfigurationError if its folder does not exist."""
    if not url.database or url.database == ":memory:" or url.query:
        raise errors.ConfigurationError(
            "database: SQLite needs a plain path, such as sqlite:////var/lib/modelyard.sqlite"
        )
    path = Path(url.database).absolute()
    if not path.parent.is_dir():
        raise errors.ConfigurationError(f"database: the folder {path.parent} does not exist")
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_SECONDS}, pool_size=4, max_overflow=60)
    sa.event.listen(engine, "connect", _set_up)
    sa.event.listen(engine, "begin", _begin)
    return Dialect(
        engine=engine,
        insert=sqlite.insert,
        by_ids=StatementsById(sa.select(sa.func.json_each(sa.bindparam("ids")).table_valued("value").c.value)),
        ids_parameter=lambda ids: json.dumps([*ids]),
        prepare=_use_write_ahead_log,
        lock_writers=lambda _: None,  # BEGIN IMMEDIATE has done it
        read_counters=read_counters,
        begin_writing=read_counters,
        end_writing=_end_writing,
        put_rows=_put_rows,
        open_hints=partial(SqliteNotifier, path.with_name(path.name + "-counters")),
        check_servers=None,
        has_row_locks=False,
        reading={},
        reading_once={},
        writing={"writes": True},
    )


def _set_up(connection: Any, _: ConnectionPoolEntry) -> None:
    # The driver would begin transactions by itself, and only before some statements.
    connection.isolation_level = None
    for pragma in (
        "foreign_keys=ON",
        # Acknowledged transactions survive a power cut; with WAL's usual NORMAL the last ones would be lost.
        "synchronous=FULL",
        f"journal_size_limit={_LOG_BYTES_KEPT}",
        f"cache_size=-{_CACHE_KIB}",
        "temp_store=MEMORY",
    ):
        with _translated():
            connection.execute(f"PRAGMA {pragma}")


@contextmanager
def _translated() -> Iterator[None]:
    """Raise errors of the driver's own connection, such as that a file is no database, as SQLAlchemy's errors."""
    try:
        yield
    except sqlite3.Error as problem:
        raise sa.exc.DBAPIError.instance("PRAGMA", None, problem, sqlite3.Error) from problem


def _begin(connection: sa.Connection) -> None:
    # A transaction that first reads and then writes fails if another one wrote in between, and waiting would not help.
    # So a write transaction begins as one, and waits for the lock.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _use_write_ahead_log(engine: sa.Engine) -> None:
    # The file stores the mode, and changing it needs exclusive access, so not every connection sets it.
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        with _translated():
            if cursor.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                cursor.execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()


def _end_writing(connection: sa.Connection, ending: Ending) -> None:
    for name, value in raised_counters(ending).items():
        connection.execute(_RAISE_COUNTER, {"counter": name, "number": value})
    if ending.audit_rows:
        connection.execute(sa.insert(audit.rows), ending.audit_rows)


_RAISE_COUNTER = (
    sa.update(schema.counters)
    .where(schema.counters.c.name == sa.bindparam("counter"))
    .values(value=sa.func.max(schema.counters.c.value, sa.bindparam("number")))
)


def _put_rows(
    connection: sa.Connection,
    model_rows: Sequence[Row],
    layer_rows: Sequence[Row],
    dropped_ids: Sequence[int],
) -> None:
    put_model, drop_layers, put_layer = row_statements(connection.dialect, sqlite.insert)
    connection.exec_driver_sql(put_model, list(model_rows))
    if dropped_ids:
        connection.exec_driver_sql(drop_layers, [(id_,) for id_ in dropped_ids])
    if layer_rows:
        connection.exec_driver_sql(put_layer, list(layer_rows))
