"""What differs between kinds of databases. The rest of the store uses the same SQLAlchemy Core for all of them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import sqlalchemy as sa

from modelyard.store import rows, schema
from modelyard.store.rows import Row

# How long a writer waits for other writers. An import's transaction of 2,000 records takes a tenth of a second.
BUSY_SECONDS = 15


class Revisions(NamedTuple):
    """The last committed revision of the models, and of the keys."""

    models: int
    keys: int


@dataclass(frozen=True, slots=True)
class Ending:
    """What a write transaction writes last. ``revisions`` and ``next_own_id`` are None if they stay as they were.

    ``news`` are the revisions that other processes are told of; None if there is nothing new for them.
    """

    revisions: Revisions | None
    news: Revisions | None
    next_own_id: int | None
    audit_rows: Sequence[dict[str, Any]]


def read_revisions(connection: sa.Connection) -> Revisions:
    """Return the revisions that the connection sees."""
    return revisions_of(read_counters(connection))


def read_counters(connection: sa.Connection) -> dict[str, int]:
    """Return the counters that the connection sees, by name."""
    return {row.name: row.value for row in connection.execute(_READ_COUNTERS)}


def revisions_of(counters: Mapping[str, int]) -> Revisions:
    """Return the revisions among the counters."""
    return Revisions(counters[schema.MODEL_REVISION], counters[schema.KEYS_REVISION])


def raised_counters(ending: Ending) -> dict[str, int]:
    """Return the counters that a transaction raises, by name."""
    raised: dict[str, int] = {}
    if ending.revisions is not None:
        raised |= {schema.MODEL_REVISION: ending.revisions.models, schema.KEYS_REVISION: ending.revisions.keys}
    if ending.next_own_id is not None:
        raised[schema.NEXT_OWN_ID] = ending.next_own_id
    return raised


_READ_COUNTERS = sa.select(schema.counters.c.name, schema.counters.c.value)


class ChangeNotifier(Protocol):
    """Tells a process about commits, so that it need not query the database at every request."""

    def models_revision(self) -> int:
        """Return the last models' revision that this process knows; never one that is not committed."""

    def keys_revision(self) -> int:
        """Return the last keys' revision that this process knows; never one that is not committed."""

    def notify(self, committed: Revisions, *, has_news: bool) -> None:
        """Tell the other processes about a commit; ``has_news``: it changed models or keys, or added jobs."""

    def subscribe_to_news(self, ring: Callable[[], object]) -> None:
        """Call ``ring``, which returns at once, after each change of the hint of news, if anybody tells of them."""

    def news_hint(self) -> int | None:
        """Return a number that changes with each commit of models or of new jobs; None if nobody tells of them."""

    def look_rarely(self) -> None:
        """Look every half minute whether a notification was lost, and not every few seconds."""

    def unreachable_seconds(self) -> float | None:
        """Return for how long the database has not answered; None while it answers."""

    @property
    def reason(self) -> str:
        """Why the database does not answer; "" while it does."""

    def subscribe(self, catch_up: Callable[[], bool]) -> bool:
        """Call ``catch_up`` after every commit, in a thread that may wait for the database.

        ``catch_up`` returns whether it has everything. Return False if this notifier calls nothing: its revisions are
        exact, so the caller compares them and reads the local database.
        """

    def close(self) -> None:
        """Stop following the database."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of database, not yet opened.

    ``lock_writers`` returns once no other writer is active. The store calls ``begin_writing`` first in a write
    transaction: it begins, does that, and returns the counters.
    The store calls ``end_writing`` last in a write transaction that has something to write then.
    ``has_row_locks``: whether a statement can skip the rows that others have locked, without the lock of writers.
    ``put_rows`` inserts or replaces model rows, deletes all layers of the models with the ids, and inserts or replaces
    layer rows.
    ``by_ids`` holds statements about many models; ``ids_parameter`` makes the value of their one parameter ``ids``.
    ``read_counters`` returns the counters; among them is the time of the database, if it has a clock of its own.
    ``open_hints`` takes a function that reads the revisions, a context manager that reads them without writers, and a
    function that reads them by a connection.
    ``check_servers`` has a function called with the counters of every server that an engine connects to; None if there
    is one file and no servers.
    """

    engine: sa.Engine
    insert: Callable[[sa.Table], Any]
    by_ids: "StatementsById"
    ids_parameter: Callable[[Collection[int]], object]
    prepare: Callable[[sa.Engine], None]
    lock_writers: Callable[[sa.Connection], object]
    read_counters: Callable[[sa.Connection], dict[str, int]]
    begin_writing: Callable[[sa.Connection], dict[str, int]]
    end_writing: Callable[[sa.Connection, Ending], None]
    put_rows: Callable[[sa.Connection, Sequence[Row], Sequence[Row], Sequence[int]], None]
    open_hints: Callable[
        [
            Callable[[], Revisions],
            Callable[[], AbstractContextManager[Revisions]],
            Callable[[sa.Connection], Revisions],
        ],
        ChangeNotifier,
    ]
    check_servers: Callable[[sa.Engine, Callable[[dict[str, int]], object]], None] | None
    has_row_locks: bool
    # Options of a connection that reads: one unchanging view of the database.
    reading: dict[str, Any]
    # Options of a connection that reads by one statement, which needs no transaction.
    reading_once: dict[str, Any]
    # Options of a connection whose transaction ``begin_writing`` begins.
    writing: dict[str, Any]
    # Reads how many connections the server accepts and has; None if it does not count them, or a pooler does.
    read_slots: Callable[[sa.Connection], tuple[int, int]] | None = None


class StatementsById:
    """Statements about the models whose ids are among those that ``ids`` selects.

    The dialect builds them once: building a statement costs several times what SQLite takes to answer it.
    """

    def __init__(self, ids: sa.Select[Any]) -> None:
        model, layer, tombstone = schema.models.c, schema.layers.c, schema.tombstones.c
        owner = model.id, model.visibility, model.team, model.revision
        self.models = sa.select(*rows.MODEL_COLUMNS, model.revision).where(model.id.in_(ids))
        self.ids = sa.select(model.id).where(model.id.in_(ids))
        self.layers = sa.select(layer.model_id, layer.layer, layer.facts).where(layer.model_id.in_(ids))
        self.audiences = sa.select(*owner).where(model.id.in_(ids))
        self.remove = sa.delete(schema.models).where(model.id.in_(ids)).returning(*owner)
        self.forget_file_hashes = sa.delete(schema.model_hashes).where(schema.model_hashes.c.model_id.in_(ids))
        self.forget_removed = sa.delete(schema.tombstones).where(tombstone.id.in_(ids))


@lru_cache(maxsize=8)
def row_statements(dialect: sa.Dialect, insert: Callable[[sa.Table], Any]) -> tuple[str, str, str]:
    """Return the SQL that puts a model's row, the one that drops a model's layers, and the one that puts a layer's row.

    Parameters go by position, in the tables' order: SQLAlchemy's named ones cost as much as SQLite's own work. Made at
    the first write: commands that only read need not wait some milliseconds for it.
    """
    put_model = insert(schema.models).on_conflict_do_update(index_elements=["id"], set_=replaced(insert(schema.models)))
    layer = insert(schema.layers)
    put_layer = layer.on_conflict_do_update(index_elements=["model_id", "layer"], set_=replaced(layer))
    drop_layers = sa.delete(schema.layers).where(schema.layers.c.model_id == sa.bindparam("dropped"))
    put_model_text, drop_text, put_layer_text = (
        str(statement.compile(dialect=dialect)) for statement in (put_model, drop_layers, put_layer)
    )
    return put_model_text, drop_text, put_layer_text


def replaced(insert: Any) -> dict[str, Any]:
    """Return the values that an upsert sets in an existing row: the inserted ones of every column but the key."""
    return {column.name: insert.excluded[column.name] for column in insert.table.columns if not column.primary_key}
