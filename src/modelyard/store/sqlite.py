"""SQLite: one file in the home folder, readers that never wait, one writer at a time, and no server."""

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
from modelyard.store.dialect import BUSY_SECONDS, Dialect, Row, StatementsById, row_statements
from modelyard.store.sqlite_notifier import SqliteNotifier

# The log file is cut back to this after an import has made it large.
_LOG_BYTES_KEPT = 64 * 2**20
_CACHE_KIB = 16 * 1024


def dialect(url: sa.URL) -> Dialect:
    """Return SQLite at a path; ConfigurationError if the folder is not there."""
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
        listed=lambda ids: json.dumps([*ids]),
        prepare=_use_write_ahead_log,
        begin_writing=lambda _: None,  # BEGIN IMMEDIATE has done it
        end_writing=lambda _: None,
        put_rows=partial(_put_rows, row_statements(engine, sqlite.insert)),
        open_hints=partial(SqliteNotifier, path.with_name(path.name + "-counters")),
        reading={},
    )


def _set_up(connection: Any, _: ConnectionPoolEntry) -> None:
    # The driver would begin transactions by itself, and only before some statements.
    connection.isolation_level = None
    for pragma in (
        "foreign_keys=ON",
        # What was acknowledged survives a power cut; WAL's usual NORMAL would lose the last transactions.
        "synchronous=FULL",
        f"journal_size_limit={_LOG_BYTES_KEPT}",
        f"cache_size=-{_CACHE_KIB}",
        "temp_store=MEMORY",
    ):
        with _translated():
            connection.execute(f"PRAGMA {pragma}")


@contextmanager
def _translated() -> Iterator[None]:
    """Raise what the driver says of its own connection, such as that a file is no database, as SQLAlchemy would."""
    try:
        yield
    except sqlite3.Error as problem:
        raise sa.exc.DBAPIError.instance("PRAGMA", None, problem, sqlite3.Error) from problem


def _begin(connection: sa.Connection) -> None:
    # A transaction that begins by reading and then writes fails if another wrote in between, and waiting would not
    # help it; one that is to write says so at once, and waits.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _use_write_ahead_log(engine: sa.Engine) -> None:
    # The mode stays with the file, and changing it needs the file alone: not something for every connection.
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        with _translated():
            if cursor.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                cursor.execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()


def _put_rows(
    statements: tuple[str, str, str], connection: sa.Connection, model_rows: Sequence[Row], layer_rows: Sequence[Row]
) -> None:
    put_model, drop_layers, put_layer = statements
    connection.exec_driver_sql(put_model, list(model_rows))
    connection.exec_driver_sql(drop_layers, [(row[0],) for row in model_rows])
    if layer_rows:
        connection.exec_driver_sql(put_layer, list(layer_rows))
