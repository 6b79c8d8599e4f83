"""The system of record: opening it, reading it, and the one way to write it.

It knows the domain and no more: what may be shown to whom, and what a record means, is decided elsewhere. Errors of
drivers do not leave it: a database that is away or busy is ``Unavailable``.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import sqlalchemy as sa

from modelyard import errors
from modelyard.domain import BaseModel, Entry, Model
from modelyard.store import api_keys, migrate, rows, schema
from modelyard.store.dialect import Dialect, Revisions, read_revisions
from modelyard.store.transaction import WriteTransaction, base_models_of, entries_by_id

# Measured on SQLite: 6.6 µs a row from 100 on, and a third more at 2,000, which no longer fit the cache.
_ROWS_AT_ONCE = 500

_AFTER: sa.BindParameter[int] = sa.bindparam("after")
_CHANGED = sa.select(*rows.MODEL_COLUMNS).where(schema.models.c.revision > _AFTER)
_CHANGED_COUNT = sa.select(sa.func.count()).select_from(schema.models).where(schema.models.c.revision > _AFTER)
_REMOVED = sa.select(schema.tombstones.c.id).where(schema.tombstones.c.revision > _AFTER)


@dataclass(frozen=True, slots=True)
class Changes:
    """What a follower has to apply to be at ``revision``: first ``removed``, then ``models``."""

    revision: int
    models: list[Model]
    removed: list[int]


class Snapshot:
    """The record as it was at ``revision``, while its transaction is open."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        # The first read fixes what this transaction sees.
        self.revision = read_revisions(connection).models

    @property
    def count(self) -> int:
        """How many models there are; counted when asked."""
        count: int = self._connection.execute(sa.select(sa.func.count()).select_from(schema.models)).scalar_one()
        return count

    def models(self, *, in_order: bool = False) -> Iterator[Model]:
        """Yield every model without holding them all; ``in_order``: rank descending, then id descending."""
        query = sa.select(*rows.MODEL_COLUMNS).execution_options(yield_per=_ROWS_AT_ONCE)
        if in_order:
            query = query.order_by(schema.models.c.rank.desc(), schema.models.c.id.desc())
        return rows.models_of(self._connection.execute(query))


class Store:
    """An open database. Threads may share it; processes each open their own."""

    def __init__(self, dialect: Dialect, clock: Callable[[], float], replicas: Dialect | None = None) -> None:
        self._replicas = replicas
        self.url = dialect.engine.url.render_as_string(hide_password=True)
        self._dialect = dialect
        self._clock = clock
        # Writers of one process take turns here, in order, instead of polling SQLite's lock.
        self._turn = threading.Lock()
        self._hints = dialect.open_hints(self._read_revisions, self._without_writers)

    def revision(self) -> int:
        """Return the last committed revision; 0 when nothing was ever put."""
        return self._read_revisions().models

    def revision_hint(self) -> int:
        """Return the last revision this process can know of without asking the database, in well under 1 µs.

        On SQLite, what any process of this machine had acknowledged before the call is in it. On PostgreSQL it may
        be a quarter of a second old. It never claims what is not committed.
        """
        return self._hints.models_revision()

    def keys_hint(self) -> int:
        """Return the same for the keys' revision, which moves when a key is made or revoked."""
        return self._hints.keys_revision()

    def unreachable_seconds(self) -> float | None:
        """Return for how long nothing has been heard from the database; None while it answers. Asks nobody."""
        return self._hints.unreachable_seconds()

    def subscribe(self, catch_up: Callable[[], bool]) -> bool:
        """Have ``catch_up`` called, in a thread that may wait, when something is newer; it returns whether it has all.

        After a write through this store it has been called when the write is acknowledged. False where nobody calls,
        as hints are exact and the database is near: who follows compares the hints himself.
        """
        return self._hints.subscribe(catch_up)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Give one unchanging view of the record, of a replica where there are some. Writers go on meanwhile."""
        with ExitStack() as stack:
            try:
                found = Snapshot(stack.enter_context(self._reading_replica()))
            except errors.Unavailable:
                if self._replicas is None:
                    raise
                found = Snapshot(stack.enter_context(self._reading()))
            yield found

    def changes(self, after: int) -> Changes:
        """Return what changed since revision ``after``, all of it of one moment."""
        with self._reading() as connection:
            return _changes(connection, after)

    def changes_since(self, after: int) -> Changes:
        """Return the same as a replica has it, which may be less; the same where there are none, or they are away."""
        if self._replicas is not None:
            with suppress(errors.Unavailable), self._reading_replica() as connection:
                return _changes(connection, after)
        return self.changes(after)

    def changed_count(self, after: int) -> int:
        """Return how many models changed since revision ``after``; removed ones are not counted."""
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
            with self._alone() as connection:
                transaction = WriteTransaction(connection, self._dialect, int(self._clock()))
                yield transaction
                committed = transaction.finish()
        except errors.Rollback:
            return
        try:
            if before_telling is not None:
                before_telling()
        finally:
            self._hints.notify(committed)

    def entry(self, model_id: int) -> Entry | None:
        """Return one model with its layers, whoever may see it."""
        if not 0 <= model_id <= rows.INT64_MAX:
            return None
        with self._reading() as connection:
            return entries_by_id(connection, self._dialect, [model_id]).get(model_id)

    def base_models(self) -> list[BaseModel]:
        """Return all base models, by name."""
        with self._reading() as connection:
            return base_models_of(connection)

    def teams(self) -> list[str]:
        """Return the names of all teams, in order."""
        with self._reading() as connection:
            return list(connection.execute(sa.select(schema.teams.c.name).order_by(schema.teams.c.name)).scalars())

    def get_property(self, key: str) -> str | None:
        """Return the note kept under a name."""
        query = sa.select(schema.notes.c.value).where(schema.notes.c.key == key)
        with self._reading() as connection:
            return connection.execute(query).scalar_one_or_none()

    @property
    def identity(self) -> str:
        """A name that only this database has: what is derived from it can say whose it is."""
        query = sa.select(schema.notes.c.value).where(schema.notes.c.key == "identity")
        with self._reading() as connection:
            identity: str = connection.execute(query).scalar_one()
        return identity

    def key_ring(self) -> api_keys.KeyRing:
        """Return all API keys with their digests, and the keys' revision, of one moment."""
        with self._reading() as connection:
            return api_keys.KeyRing(read_revisions(connection).keys, api_keys.keys_of(connection))

    def close(self) -> None:
        """Close all connections; the store cannot be used after this."""
        self._hints.close()
        self._dialect.engine.dispose()
        if self._replicas is not None:
            self._replicas.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Give a transaction that sees one moment, for the tables beside the models."""
        with self._reading() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with _translated(), self._dialect.engine.connect().execution_options(**self._dialect.reading) as connection:
            yield connection

    @contextmanager
    def _reading_replica(self) -> Iterator[sa.Connection]:
        asked = self._replicas or self._dialect
        with _translated(), asked.engine.connect().execution_options(**asked.reading) as connection:
            yield connection

    @contextmanager
    def _alone(self) -> Iterator[sa.Connection]:
        with (
            _translated(),
            self._turn,
            self._dialect.engine.connect().execution_options(writes=True) as connection,
            connection.begin(),
        ):
            self._dialect.begin_writing(connection)
            yield connection

    @contextmanager
    def _without_writers(self) -> Iterator[Revisions]:
        with self._alone() as connection:
            yield read_revisions(connection)

    def _read_revisions(self) -> Revisions:
        with self._reading() as connection:
            return read_revisions(connection)


def _changes(connection: sa.Connection, after: int) -> Changes:
    revision = read_revisions(connection).models
    if revision <= after:
        return Changes(after, [], [])  # a replica may be behind whoever asks: nobody goes back
    return Changes(
        revision,
        list(rows.models_of(connection.execute(_CHANGED, {"after": after}))),
        list(connection.execute(_REMOVED, {"after": after}).scalars()),
    )


def open_store(url: str, *, clock: Callable[[], float] = time.time, replicas: str = "") -> Store:
    """Open the database that a SQLAlchemy URL names, bringing its tables up to date.

    Raises DatabaseUnavailable where it cannot be opened, ConfigurationError where it was made by a newer version.
    Several processes
    may do this at once. ``replicas`` is a URL of databases that follow this one, and are read for what is followed.
    """
    dialect = migrate.dialect_of(url)
    try:
        migrate.migrate(dialect)
        return Store(dialect, clock, _replicas_of(dialect, replicas) if replicas else None)
    except BaseException as problem:
        dialect.engine.dispose()
        if not isinstance(problem, sa.exc.DBAPIError | OSError | dialect.engine.dialect.loaded_dbapi.Error):
            raise
        shown = dialect.engine.url.render_as_string(hide_password=True)
        reason = problem.orig if isinstance(problem, sa.exc.DBAPIError) else problem
        raise errors.DatabaseUnavailable(f"{shown} cannot be opened: {str(reason).strip()}") from problem


def _replicas_of(dialect: Dialect, url: str) -> Dialect:
    followers = migrate.dialect_of(url)
    if "sqlite" in (followers.engine.dialect.name, dialect.engine.dialect.name):
        raise errors.ConfigurationError("database_replica_url: only PostgreSQL has replicas")
    return followers


# NotSupported and Internal are what PostgreSQL and its driver say to a writer on a standby.
_AWAY = (
    sa.exc.OperationalError,
    sa.exc.InterfaceError,
    sa.exc.InternalError,
    sa.exc.NotSupportedError,
    sa.exc.TimeoutError,
)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sa.exc.IntegrityError as problem:
        raise errors.ConstraintViolation from problem
    except _AWAY as problem:
        raise errors.Unavailable("the database is away or busy") from problem
