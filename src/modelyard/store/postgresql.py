"""The PostgreSQL dialect: the record on a database server, for catalogues that several machines serve.

Writers take an advisory lock, so that the order of commits is the order of revisions. A commit sends a notification.
Each process listens with one connection and also polls, so that a lost notification costs only a short delay.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.pool import ConnectionPoolEntry

from modelyard.store import schema
from modelyard.store.clock import CLOCK
from modelyard.store.dialect import (
    BUSY_SECONDS,
    Dialect,
    Ending,
    StatementsById,
    raised_counters,
    row_statements,
)
from modelyard.store.lineage import SYSTEM, TIMELINE
from modelyard.store.postgresql_notifier import CHANNEL, PostgresNotifier
from modelyard.store.postgresql_pool import CONNECTIONS, Pool, create_listener_engine, read_slots
from modelyard.store.rows import Row

# Any number, the same in all processes: PostgreSQL's advisory locks are named by one, within a database.
_WRITERS_LOCK = 7_201_450_511
# From this many rows on, COPY and a query for existing rows cost less than inserting row by row.
_COPY_ROWS_MIN = 50


def dialect(url: sa.URL, listen_url: sa.URL | None = None, connections: int = CONNECTIONS) -> Dialect:
    """Return the dialect for a PostgreSQL URL. Raises ConfigurationError if the driver is not installed.

    ``listen_url`` is the address of the server itself where ``url`` is that of a pooler of transactions.
    ``connections`` is how many the process opens at most, beside the one that listens.
    """
    url = url.set(drivername="postgresql+psycopg")
    pool = Pool(url, connections)
    engine = pool.engine
    listener_engine = create_listener_engine((listen_url or url).set(drivername="postgresql+psycopg"))
    # Not `= ANY(…)`: PostgreSQL reads the whole table for that while its statistics are behind an import.
    by_ids = StatementsById(sa.select(sa.func.unnest(sa.bindparam("ids", type_=postgresql.ARRAY(sa.BigInteger)))))
    return Dialect(
        engine=engine,
        insert=postgresql.insert,
        by_ids=by_ids,
        ids_parameter=lambda ids: [*ids],
        prepare=lambda _: None,
        lock_writers=_lock_writers,
        read_counters=_read_counters,
        begin_writing=_begin_writing,
        end_writing=_end_writing,
        put_rows=partial(_put_rows, by_ids),
        open_hints=partial(PostgresNotifier, listener_engine, pool.rest),
        check_servers=partial(_check_servers, listener_engine),
        read_slots=read_slots if listen_url is None else None,
        has_row_locks=True,
        reading={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
        reading_once={"isolation_level": "AUTOCOMMIT"},
        # The driver would send BEGIN by itself, and wait for the answer.
        writing={"isolation_level": "AUTOCOMMIT"},
    )


def _lock_writers(connection: sa.Connection) -> None:
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{BUSY_SECONDS}s'")
    # PostgreSQL releases the lock only after the commit is visible to others.
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS_LOCK})")


def _begin_writing(connection: sa.Connection) -> dict[str, int]:
    """Begin, wait for other writers, and read the counters and the server's time."""
    return _counters_of(_send(connection, _BEGIN_WRITING).fetchall())


def _read_counters(connection: sa.Connection) -> dict[str, int]:
    return _counters_of(connection.exec_driver_sql(_COUNTERS))


def _counters_of(rows: Iterable[Any]) -> dict[str, int]:
    return {row[0]: row[1] for row in rows if row[1] is not None}


def _check_servers(listener_engine: sa.Engine, engine: sa.Engine, check: Callable[[dict[str, int]], object]) -> None:
    """Call ``check`` with the counters of every server that the engines connect to, before it is used."""

    def check_server(driver: Any, _: ConnectionPoolEntry) -> None:
        try:
            driver.autocommit = True
            check(_counters_of(driver.execute(_SERVER_COUNTERS, prepare=False)))
            driver.autocommit = False
        except BaseException:
            driver.close()
            raise

    # What was opened before this is not checked.
    engine.dispose()
    for checked_engine in (engine, listener_engine):
        sa.event.listen(checked_engine, "connect", check_server)


def _send(connection: sa.Connection, statements: str) -> Any:
    """Send statements in one message, because each waits for the network; return the cursor of the last result."""
    driver: Any = connection.connection.driver_connection
    driver_error: type[Exception] = connection.engine.dialect.loaded_dbapi.Error
    try:
        cursor = driver.execute(statements, prepare=False)
        while cursor.nextset():
            pass
    except driver_error as problem:
        if driver.closed:
            connection.invalidate(problem)
        raise sa.exc.DBAPIError.instance(statements, None, problem, driver_error) from problem
    return cursor


# The server's time is read when the lock is held, not when the transaction began.
_READ_CLOCK = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
# A name of a log file begins with the timeline, in hexadecimal digits. A standby has no log of its own.
_READ_TIMELINE = "('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint"
_COUNTERS = (
    f"SELECT name, value FROM counters UNION ALL SELECT '{CLOCK}', {_READ_CLOCK} UNION ALL"  # noqa: S608 # texts of ours
    f" SELECT '{TIMELINE}', CASE WHEN pg_is_in_recovery() THEN NULL ELSE {_READ_TIMELINE} END"
)
_SERVER_COUNTERS = f"{_COUNTERS} UNION ALL SELECT '{SYSTEM}', system_identifier FROM pg_control_system()"  # noqa: S608 # as above
_BEGIN_WRITING = ";".join(
    (
        "BEGIN",
        f"SET LOCAL lock_timeout = '{BUSY_SECONDS}s'",
        f"SELECT pg_advisory_xact_lock({_WRITERS_LOCK})",
        _COUNTERS,
    )
)


def _end_writing(connection: sa.Connection, ending: Ending) -> None:
    """Write the counters and the audit, notify other processes of news, and commit: all in one message."""
    statements = []
    if counters := raised_counters(ending):
        cases = " ".join(f"WHEN '{name}' THEN {value}" for name, value in counters.items())
        names = ", ".join(f"'{name}'" for name in counters)
        statements.append(f"UPDATE counters SET value = greatest(value, CASE name {cases} END) WHERE name IN ({names})")  # noqa: S608 # names and integers of ours
    if ending.audit_rows:
        statements.append(_audit_statement(connection, ending.audit_rows))
    if ending.news is not None:
        statements.append(f"NOTIFY {CHANNEL}, '{ending.news.models} {ending.news.keys}'")
    _send(connection, "; ".join([*statements, "COMMIT"]))


def _audit_statement(connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> str:
    """Return the statement that inserts rows of the audit, with their values quoted by the driver."""
    columns = list(rows[0])
    group = f"({', '.join(['%s'] * len(columns))})"
    text = f"INSERT INTO audit ({', '.join(columns)}) VALUES {', '.join([group] * len(rows))}"  # noqa: S608 # names of ours
    cursor = connection.engine.dialect.loaded_dbapi.ClientCursor(connection.connection.driver_connection)
    statement: str = cursor.mogrify(text, [row[column] for row in rows for column in columns])
    return statement


def _put_rows(
    by_ids: StatementsById,
    connection: sa.Connection,
    model_rows: Sequence[Row],
    layer_rows: Sequence[Row],
    dropped_ids: Sequence[int],
) -> None:
    # COPY only inserts. The set of existing models cannot change meanwhile: no other writer is active.
    if len(model_rows) >= _COPY_ROWS_MIN:
        there = set(connection.execute(by_ids.ids, {"ids": [row[0] for row in model_rows]}).scalars())
        _copy(connection, schema.models, [row for row in model_rows if row[0] not in there])
        _copy(connection, schema.layers, [row for row in layer_rows if row[0] not in there])
        model_rows = [row for row in model_rows if row[0] in there]
        layer_rows = [row for row in layer_rows if row[0] in there]
        dropped_ids = [id_ for id_ in dropped_ids if id_ in there]
    put_model, drop_layers, put_layer = row_statements(connection.dialect, postgresql.insert)
    if 1 < len(layer_rows) < _COPY_ROWS_MIN:
        put_layer, layer_rows = _in_one_statement(put_layer, layer_rows)
    if model_rows:
        connection.exec_driver_sql(put_model, list(model_rows))
    if dropped_ids:
        connection.exec_driver_sql(drop_layers, [(id_,) for id_ in dropped_ids])
    if layer_rows:
        connection.exec_driver_sql(put_layer, list(layer_rows))


def _in_one_statement(put: str, rows: Sequence[Row]) -> tuple[str, Sequence[Row]]:
    """Return a statement that puts several rows at once, and its parameters: each statement waits for the network."""
    head, values, tail = _VALUES.split(put, maxsplit=1)
    return f"{head}{', '.join([values] * len(rows))}{tail}", [tuple(value for row in rows for value in row)]


_VALUES = re.compile(r"(?<=VALUES )(\([^()]*\))")


def _copy(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    # Name the columns: a newer version that shares the database may have added some.
    columns = ", ".join(column.name for column in table.columns)
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
