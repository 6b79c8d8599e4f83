"""The store: opens, reads and writes the system of record.

The store depends on the domain only; other packages decide who may see a record and what it means. The store translates
the errors of drivers: it raises ``Unavailable`` for a database that is away or busy.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import sqlalchemy as sa

from modelyard import errors
from modelyard.condition import Condition
from modelyard.domain import BaseModel, Model
from modelyard.facts import Entry
from modelyard.store import api_keys, origins, reasons, rows, schema
from modelyard.store.audit import BY_COMMAND, Actor
from modelyard.store.clock import DatabaseClock
from modelyard.store.damage import damage_error, is_damage
from modelyard.store.dialect import Dialect, Revisions, read_revisions, revisions_of
from modelyard.store.lineage import Lineage
from modelyard.store.queries import by_bytes
from modelyard.store.transaction import Changes, WriteTransaction, base_models_of, entries_by_id

# Measured on SQLite: 6.6 µs a row from 100 on, and a third more at 2,000, which no longer fit the cache.
_ROWS_AT_ONCE = 500
_ANSWER_SECONDS_MAX = 1.0

_AFTER: sa.BindParameter[int] = sa.bindparam("after")
_CHANGED = sa.select(*rows.MODEL_COLUMNS).where(schema.models.c.revision > _AFTER)
_CHANGED_COUNT = sa.select(sa.func.count()).select_from(schema.models).where(schema.models.c.revision > _AFTER)
_REMOVED = sa.select(schema.tombstones.c.id).where(schema.tombstones.c.revision > _AFTER)


class Snapshot:
    """The record as it was at ``revision``, while its transaction is open."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        # The first read fixes what this transaction sees.
        self.revision = read_revisions(connection).models

    @property
    def count(self) -> int:
        """The number of models; every call counts them."""
        count: int = self._connection.execute(sa.select(sa.func.count()).select_from(schema.models)).scalar_one()
        return count

    def models(self, *, in_order: bool = False) -> Iterator[Model]:
        """Yield every model, a batch in memory at a time; ``in_order``: rank descending, then id descending."""
        query = sa.select(*rows.MODEL_COLUMNS).execution_options(yield_per=_ROWS_AT_ONCE)
        if in_order:
            query = query.order_by(schema.models.c.rank.desc(), schema.models.c.id.desc())
        return rows.models_of(self._connection.execute(query))


class Store:
    """An open database. Threads may share it; processes each open their own."""

    def __init__(
        self,
        dialect: Dialect,
        clock: Callable[[], float],
        replicas: Dialect | None = None,
        lineage: Lineage | None = None,
    ) -> None:
        """Open a migrated database; ``lineage`` says what this node has seen of it, if it is on a server."""
        self._replicas = replicas
        self._lineage = lineage
        if lineage is not None and dialect.check_servers is not None:
            dialect.check_servers(dialect.engine, lambda counters: lineage.check(counters, 0))
        self.url = dialect.engine.url.render_as_string(hide_password=True)
        self._dialect = dialect
        self.clock = DatabaseClock(clock)
        # Whether this process can read and write. A full disk or a standby stops only writes.
        self.reads, self.writes = Condition(), Condition()
        # Who changes what no request and no piece of background work changes.
        self.process = Actor(BY_COMMAND)
        # The name of this node, for files in its folders; "" if all nodes see the same folders.
        self.node = ""
        # Writers of one process take turns here, in order, instead of polling SQLite's lock.
        self._turn = threading.Lock()
        self._own_changes: Changes | None = None
        self._decided = threading.Event()
        self._decided.set()
        self._hints = dialect.open_hints(self._read_revisions, self._without_writers, self._read_revisions_by)
        self._hints.subscribe(self._note_hint)

    def revision(self) -> int:
        """Return the last committed revision; 0 if no model was ever stored."""
        return self._read_revisions().models

    def revision_hint(self) -> int:
        """Return the last revision that this process knows without a query, in well under 1 µs.

        On SQLite it includes every commit that a process of this machine acknowledged before the call. On PostgreSQL
        it may be some milliseconds old. It is never a revision that is not committed.
        """
        return self._hints.models_revision()

    def keys_hint(self) -> int:
        """Return the same for the keys' revision, which moves when a key is made or revoked."""
        return self._hints.keys_revision()

    def news_hint(self) -> int | None:
        """Return a number that changes when models or new jobs are committed; None if that is not known.

        Runs no query. A notification may be lost, so ask the database now and then anyway.
        """
        return self._hints.news_hint()

    def subscribe_to_news(self, ring: Callable[[], object]) -> None:
        """Call ``ring``, which returns at once, whenever the hint of news changes, from any thread."""
        self._hints.subscribe_to_news(ring)

    def unreachable_seconds(self) -> float | None:
        """Return for how long the database has not answered; None while it answers. Runs no query."""
        return self._hints.unreachable_seconds()

    def look_rarely(self) -> None:
        """Ask the database only every half minute whether a notification was lost: this process answers no requests."""
        self._hints.look_rarely()

    def refusal(self) -> str | None:
        """Return why this node does not use the database, which lacks what the node has seen; None if it uses it."""
        return self._lineage.problem if self._lineage is not None else None

    def problem(self) -> str | None:
        """Return why the database does not work, as far as this process knows without a query; None if it works."""
        return self.refusal() or self._hints.reason or self.reads.problem or self.writes.problem

    def connection_slots(self) -> tuple[int, int] | None:
        """Return how many connections the database server accepts from us, and how many of all programs it has.

        None for a database in a file, and behind a pooler.
        """
        if self._dialect.read_slots is None:
            return None
        with self._reading() as connection:
            return self._dialect.read_slots(connection)

    def now(self) -> float:
        """Return the time by the database's clock, without a query: for deadlines that all nodes share."""
        return self.clock.now()

    def subscribe(self, catch_up: Callable[[], bool]) -> bool:
        """Call ``catch_up`` in a thread that may wait, whenever a revision is newer; it returns whether it has all.

        A write through this store calls it before the write returns. Return False if nothing will call it, as on
        SQLite: hints are exact there, and the follower compares them itself.
        """
        return self._hints.subscribe(catch_up)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Open one unchanging view of the record, on a replica if there is one. Writers go on meanwhile."""
        with ExitStack() as stack:
            try:
                snapshot = Snapshot(stack.enter_context(self._reading_replica()))
            except errors.Unavailable:
                if self._replicas is None:
                    raise
                snapshot = Snapshot(stack.enter_context(self._reading()))
            yield snapshot

    def changes(self, after: int) -> Changes:
        """Return the changes since revision ``after``, read in one transaction."""
        with self._reading() as connection:
            return _changes(connection, after)

    def changes_since(self, after: int) -> Changes:
        """Return the changes from a replica, which may be behind; from the primary if there is no replica to read.

        What this process itself wrote last needs no query.
        """
        # Others hear of a commit before this process, which has sent it, has its answer.
        self._decided.wait(_ANSWER_SECONDS_MAX)
        own_changes = self._own_changes
        if own_changes is not None and own_changes.revision == after + 1:
            return own_changes
        if self._replicas is not None:
            with suppress(errors.Unavailable), self._reading_replica() as connection:
                return _changes(connection, after)
        return self.changes(after)

    def changed_count(self, after: int) -> int:
        """Return how many models changed since revision ``after``, without the removed ones."""
        with self._reading() as connection:
            count: int = connection.execute(_CHANGED_COUNT, {"after": after}).scalar_one()
            return count

    @contextmanager
    def transaction(self, before_telling: Callable[[], object] | None = None) -> Iterator[WriteTransaction]:
        """Open the one write transaction. It commits at the end of the block and is undone if the block raises.

        ``errors.Rollback`` undoes the transaction and ends the block without an error. Otherwise, when this returns,
        the change is on disk and every process of this machine has been notified. ``before_telling`` is called after
        the commit and before the notification.
        """
        try:
            asked_at = time.monotonic()
            with self._alone() as (connection, counters):
                now = int(self.clock.note(counters, asked_at))
                transaction = WriteTransaction(connection, self._dialect, counters, now, self.process)
                yield transaction
                self._decided.clear()
                committed = transaction.finish()
            if committed.models == transaction.revision:
                self._own_changes = transaction.changes()
        except errors.Rollback:
            return
        finally:
            self._decided.set()
        try:
            if before_telling is not None:
                before_telling()
        finally:
            self._hints.notify(committed, has_news=transaction.has_news)

    def entry(self, model_id: int) -> Entry | None:
        """Return one model with its layers, whoever may see it."""
        if not 0 <= model_id <= rows.INT64_MAX:
            return None
        with self._reading() as connection:
            return entries_by_id(connection, self._dialect, [model_id]).get(model_id)

    def entries(self, ids: Collection[int]) -> dict[int, Entry]:
        """Return those of the models that exist, with their layers, by id, whoever may see them."""
        with self._reading() as connection:
            return entries_by_id(connection, self._dialect, ids)

    def base_models(self) -> list[BaseModel]:
        """Return all base models, by name."""
        with self._reading() as connection:
            return base_models_of(connection)

    def teams(self) -> list[str]:
        """Return the names of all teams, in order."""
        with self._reading() as connection:
            return list(
                connection.execute(sa.select(schema.teams.c.name).order_by(by_bytes(schema.teams.c.name))).scalars()
            )

    def get_property(self, key: str) -> str | None:
        """Return the note with this key."""
        query = sa.select(schema.notes.c.value).where(schema.notes.c.key == key)
        with self.reading_once() as connection:
            return connection.execute(query).scalar_one_or_none()

    @property
    def identity(self) -> str:
        """A name that only this database has; an index stores it to show which database it was built from."""
        with self._reading() as connection:
            return origins.read_catalogue(connection)

    def key_ring(self) -> api_keys.KeyRing:
        """Return all API keys, the sessions that ended, and the keys' revision, read in one transaction."""
        with self._reading() as connection:
            return api_keys.KeyRing(
                read_revisions(connection).keys, api_keys.keys_of(connection), api_keys.ended_sessions(connection)
            )

    def close(self) -> None:
        """Close all connections; the store cannot be used after this."""
        self._hints.close()
        self._dialect.engine.dispose()
        if self._lineage is not None:
            self._lineage.close()
        if self._replicas is not None:
            self._replicas.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Open a read transaction, which sees one moment, for tables other than the models."""
        with self._reading() as connection:
            yield connection

    @contextmanager
    def reading_once(self) -> Iterator[sa.Connection]:
        """Open a connection for one query: without a transaction that is one statement, and not three."""
        with self._reading(self._dialect.reading_once) as connection:
            yield connection

    @contextmanager
    def leasing(self) -> Iterator[sa.Connection]:
        """Open a connection for a statement that leases a job.

        With row locks it waits for no other writer, and each statement commits; otherwise it is the write transaction.
        """
        if self._dialect.has_row_locks:
            with self._reading(self._dialect.reading_once) as connection:
                yield connection
        else:
            with self.transaction() as transaction:
                yield transaction.connection

    @contextmanager
    def _reading(self, options: dict[str, Any] | None = None) -> Iterator[sa.Connection]:
        chosen = self._dialect.reading if options is None else options
        with (
            _translated(self._dialect, self.reads),
            self._dialect.engine.connect().execution_options(**chosen) as connection,
        ):
            yield connection

    @contextmanager
    def _reading_replica(self) -> Iterator[sa.Connection]:
        dialect = self._replicas or self._dialect
        with (
            _translated(dialect, Condition()),
            dialect.engine.connect().execution_options(**dialect.reading) as connection,
        ):
            yield connection

    @contextmanager
    def _alone(self) -> Iterator[tuple[sa.Connection, dict[str, int]]]:
        with (
            _translated(self._dialect, self.writes),
            self._turn,
            self._dialect.engine.connect().execution_options(**self._dialect.writing) as connection,
            connection.begin(),
        ):
            seen_revision = self._seen_revision()
            counters = self._dialect.begin_writing(connection)
            self._check_lineage(counters, seen_revision)
            yield connection, counters

    @contextmanager
    def _without_writers(self) -> Iterator[Revisions]:
        with self._alone() as (_, counters):
            yield revisions_of(counters)

    def _read_revisions(self) -> Revisions:
        with self._reading() as connection:
            return self._read_revisions_by(connection)

    def _read_revisions_by(self, connection: sa.Connection) -> Revisions:
        asked_at = time.monotonic()
        # A transaction that sees one moment may have begun before the newest commit that this node knows of.
        isolation_level = connection.get_execution_options().get("isolation_level")
        is_view = connection.in_transaction() and isolation_level != "AUTOCOMMIT"
        seen_revision = 0 if is_view else self._seen_revision()
        counters = self._dialect.read_counters(connection)
        self._check_lineage(counters, seen_revision)
        self.clock.note(counters, asked_at)
        return revisions_of(counters)

    def _seen_revision(self) -> int:
        return self._lineage.revision if self._lineage is not None else 0

    def _check_lineage(self, counters: dict[str, int], seen_revision: int) -> None:
        if self._lineage is not None:
            self._lineage.check(counters, seen_revision)

    def _note_hint(self) -> bool:
        """Note the revision of a commit that this process made or heard of."""
        if self._lineage is not None:
            self._lineage.note_revision(self._hints.models_revision())
        return True


def _changes(connection: sa.Connection, after: int) -> Changes:
    revision = read_revisions(connection).models
    if revision <= after:
        return Changes(after, [], [])  # a replica may be behind the follower, which must not go back
    return Changes(
        revision,
        list(rows.models_of(connection.execute(_CHANGED, {"after": after}))),
        list(connection.execute(_REMOVED, {"after": after}).scalars()),
    )


# PostgreSQL and its driver raise NotSupported and Internal for a writer on a standby.
_AWAY = (
    sa.exc.OperationalError,
    sa.exc.InterfaceError,
    sa.exc.InternalError,
    sa.exc.NotSupportedError,
)
_LACKS_A_RIGHT = "42501"


@contextmanager
def _translated(dialect: Dialect, condition: Condition) -> Iterator[None]:
    try:
        yield
    except sa.exc.TimeoutError as problem:
        raise _unavailable(problem, condition) from problem
    except sa.exc.DBAPIError as problem:
        if is_damage(problem.orig):
            raise damage_error(dialect.engine.url, problem.orig) from problem
        if isinstance(problem, sa.exc.IntegrityError):
            raise errors.ConstraintViolation from problem
        if isinstance(problem, _AWAY) or getattr(problem.orig, "sqlstate", "") == _LACKS_A_RIGHT:
            raise _unavailable(problem, condition) from problem
        raise
    condition.note_success()


def _unavailable(problem: Exception, condition: Condition) -> errors.Unavailable:
    error = errors.Unavailable(reasons.describe(problem), detail=reasons.detail_of(problem))
    condition.note_failure(error)
    return error
