"""The PostgreSQL dialect: the record on a database server, for catalogues that several machines serve.

Writers take an advisory lock, so that the order of commits is the order of revisions. A commit sends a notification.
Each process listens with one connection and also polls, so that a lost notification costs only a short delay.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from modelyard import errors
from modelyard.store import schema
from modelyard.store.dialect import (
    BUSY_SECONDS,
    Dialect,
    StatementsById,
    row_statements,
)
from modelyard.store.postgresql_notifier import CHANNEL, PostgresNotifier
from modelyard.store.rows import Row

# Any number, the same in all processes: PostgreSQL's advisory locks are named by one, within a database.
_WRITERS_LOCK = 7_201_450_511
# From this many rows on, COPY and a query for existing rows cost less than inserting row by row.
_COPY_ROWS_MIN = 50
# The server notices a machine that is cut off in seconds instead of TCP's two hours: it may hold the writers' lock.
_CONNECTION = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "application_name": "modelyard",
}


def dialect(url: sa.URL) -> Dialect:
    """Return the dialect for a PostgreSQL URL. Raises ConfigurationError if the driver is not installed."""
    engine = _engine(url.set(drivername="postgresql+psycopg"))
    # Not `= ANY(…)`: PostgreSQL reads the whole table for that while its statistics are behind an import.
    by_ids = StatementsById(sa.select(sa.func.unnest(sa.bindparam("ids", type_=postgresql.ARRAY(sa.BigInteger)))))
    return Dialect(
        engine=engine,
        insert=postgresql.insert,
        by_ids=by_ids,
        ids_parameter=lambda ids: [*ids],
        prepare=lambda _: None,
        begin_writing=_begin_writing,
        end_writing=_notify,
        put_rows=partial(_put_rows, by_ids, row_statements(engine, postgresql.insert)),
        open_hints=partial(PostgresNotifier, engine),
        reading={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
    )


def _engine(url: sa.URL) -> sa.Engine:
    try:
        return sa.create_engine(
            url,
            connect_args={name: value for name, value in _CONNECTION.items() if name not in url.query},
            paramstyle="format",
            pool_size=4,
            max_overflow=16,
            pool_timeout=BUSY_SECONDS,
            # The pool notices a restarted or replaced server before a request fails.
            pool_pre_ping=True,
        )
    except ImportError as problem:
        raise errors.ConfigurationError(
            f"database: PostgreSQL needs its driver: pip install 'modelyard[postgres]' ({problem})"
        ) from None


def _begin_writing(connection: sa.Connection) -> None:
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{BUSY_SECONDS}s'")
    # PostgreSQL releases the lock only after the commit is visible to others.
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS_LOCK})")


def _notify(connection: sa.Connection) -> None:
    connection.exec_driver_sql(f"NOTIFY {CHANNEL}")


def _put_rows(
    by_ids: StatementsById,
    one_by_one: tuple[str, str, str],
    connection: sa.Connection,
    model_rows: Sequence[Row],
    layer_rows: Sequence[Row],
) -> None:
    # COPY only inserts. The set of existing models cannot change meanwhile: no other writer is active.
    if len(model_rows) >= _COPY_ROWS_MIN:
        there = set(connection.execute(by_ids.ids, {"ids": [row[0] for row in model_rows]}).scalars())
        _copy(connection, schema.models, [row for row in model_rows if row[0] not in there])
        _copy(connection, schema.layers, [row for row in layer_rows if row[0] not in there])
        model_rows = [row for row in model_rows if row[0] in there]
        layer_rows = [row for row in layer_rows if row[0] in there]
    put_model, drop_layers, put_layer = one_by_one
    if model_rows:
        connection.exec_driver_sql(put_model, list(model_rows))
        connection.exec_driver_sql(drop_layers, [(row[0],) for row in model_rows])
    if layer_rows:
        connection.exec_driver_sql(put_layer, list(layer_rows))


def _copy(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    # Name the columns: a newer version that shares the database may have added some.
    columns = ", ".join(column.name for column in table.columns)
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
