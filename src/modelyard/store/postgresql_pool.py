"""The connections of a process to PostgreSQL: few, checked before use, and closed when a burst is over.

    pool       up to ``connections``, for reads and writes; at rest one is left
    listener   one more in a process that follows the database; never through a pooler of transactions

A thread that finds all in use waits for some seconds, and then the request is answered with 503.
"""

import select
import time
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from modelyard import errors

# How many connections a process opens for its reads and writes, and how long a thread waits for one of them.
CONNECTIONS = 4
_WAIT_SECONDS = 5
# Connections that were not needed for this time are closed.
_REST_SECONDS = 30.0
# A connection that was used within this time is taken for sound.
_IDLE_SECONDS = 1.0
# The server notices a machine that is cut off in seconds instead of TCP's two hours: it may hold the writers' lock.
_CONNECTION = {
    # PgBouncer gives each transaction another connection, which does not know what an earlier one prepared.
    "prepare_threshold": None,
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "application_name": "modelyard",
}


class Slots(NamedTuple):
    """How many connections a server accepts from us, and how many of all programs it has now."""

    accepted: int
    in_use: int


class Pool:
    """The engine of a process, and what closes its connections when they are not needed."""

    def __init__(self, url: sa.URL, connections: int, rest_seconds: float = _REST_SECONDS) -> None:
        self._rest_seconds = rest_seconds
        self.engine = _create_engine(
            url, pool_size=connections, max_overflow=0, pool_timeout=_WAIT_SECONDS, pool_use_lifo=True
        )
        # Until when at least two connections were in use at once.
        self._busy_at = time.monotonic()
        sa.event.listen(self.engine, "checkin", _note_use)
        sa.event.listen(self.engine, "checkout", partial(_check, self.engine))
        sa.event.listen(self.engine, "checkout", self._note_busy)

    def rest(self) -> None:
        """Close the connections that a burst of requests left, if none followed. Any thread may call it."""
        pool = self.engine.pool
        is_resting = time.monotonic() - self._busy_at > self._rest_seconds
        if is_resting and isinstance(pool, sa.QueuePool) and pool.checkedin() > 1:
            # It closes those that nobody uses, and forgets the others, which are closed after their use.
            self.engine.dispose()

    def _note_busy(self, *_: object) -> None:
        pool = self.engine.pool
        if isinstance(pool, sa.QueuePool) and pool.checkedout() > 1:
            self._busy_at = time.monotonic()


def create_listener_engine(url: sa.URL) -> sa.Engine:
    """Return an engine that keeps no connection."""
    return _create_engine(url, poolclass=NullPool)


def read_slots(connection: sa.Connection) -> Slots:
    """Return the connections that the server accepts and has. Through a pooler they say nothing."""
    row = connection.exec_driver_sql(_READ_SLOTS).one()
    return Slots(int(row[0]), int(row[1]))


_READ_SLOTS = """
    SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true)::int, 0),
        (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')
"""


def _create_engine(url: sa.URL, **options: Any) -> sa.Engine:
    connect_args = {name: value for name, value in _CONNECTION.items() if name not in url.query}
    try:
        return sa.create_engine(url, connect_args=connect_args, paramstyle="format", **options)
    except ImportError as problem:
        raise errors.ConfigurationError(
            f"database: PostgreSQL needs its driver: pip install 'modelyard[postgres]' ({problem})"
        ) from None


def _note_use(_: Any, record: ConnectionPoolEntry) -> None:
    record.info["used_at"] = time.monotonic()


def _check(engine: sa.Engine, connection: Any, record: ConnectionPoolEntry, _: Any) -> None:
    """Ask a connection that was idle for an answer, so that a replaced server is noticed before a request fails."""
    is_idle = time.monotonic() - record.info.get("used_at", time.monotonic()) >= _IDLE_SECONDS
    try:
        # A server that ended has said so: an idle connection has nothing to read otherwise.
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        if is_idle or poll.poll(0):
            engine.dialect.do_ping(connection)
    except engine.dialect.loaded_dbapi.Error as problem:
        raise sa.exc.DisconnectionError from problem
