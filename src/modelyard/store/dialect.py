"""What one kind of database does in its own way; everything else in the store is the same SQLAlchemy Core for all."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import sqlalchemy as sa

from modelyard.store import rows, schema

# How long a writer waits for its turn. An import's transaction of 2,000 records takes a tenth of a second.
BUSY_SECONDS = 15

Row = tuple[object, ...]


class Revisions(NamedTuple):
    """The last committed revision of the models, and of the keys."""

    models: int
    keys: int


def read_revisions(connection: sa.Connection) -> Revisions:
    """Return the revisions as they are."""
    values = {row.name: row.value for row in connection.execute(_READ_COUNTERS)}
    return Revisions(values[schema.MODEL_REVISION], values[schema.KEYS_REVISION])


_READ_COUNTERS = sa.select(schema.counters.c.name, schema.counters.c.value)


class ChangeNotifier(Protocol):
    """How a process learns, without asking the database at every request, that something was committed."""

    def models_revision(self) -> int:
        """Return the last revision of the models that this process can know of; never one that is not committed."""

    def keys_revision(self) -> int:
        """Return the same of the keys."""

    def notify(self, committed: Revisions) -> None:
        """Let everyone in reach know of a commit."""

    def unreachable_seconds(self) -> float | None:
        """Return for how long nothing has been heard from the database; None while it answers."""

    def subscribe(self, catch_up: Callable[[], bool]) -> bool:
        """Have ``catch_up`` called whenever something was committed, by a thread that may wait for the database.

        It returns whether it has everything. False where nobody calls: who wants to know compares the hints himself,
        which are exact, and asks a database that is near.
        """

    def close(self) -> None:
        """Stop learning."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of database, not yet opened.

    ``begin_writing`` is called first in a transaction that writes: no other writer is inside when it returns.
    ``end_writing`` is called last in it, if it changed something.
    ``put_rows`` inserts or replaces rows of models, and all layers of those models by the rows of layers given.
    ``by_ids`` are statements about many models at once, whose one parameter ``ids`` is what ``listed`` makes of them.
    ``open_hints`` is given how to read the revisions, and how to keep writers out while they are read.
    """

    engine: sa.Engine
    insert: Callable[[sa.Table], Any]
    by_ids: "StatementsById"
    listed: Callable[[Collection[int]], object]
    prepare: Callable[[sa.Engine], None]
    begin_writing: Callable[[sa.Connection], None]
    end_writing: Callable[[sa.Connection], None]
    put_rows: Callable[[sa.Connection, Sequence[Row], Sequence[Row]], None]
    open_hints: Callable[[Callable[[], Revisions], Callable[[], AbstractContextManager[Revisions]]], ChangeNotifier]
    # Options of a connection that reads: one unchanging view of the database.
    reading: dict[str, Any]


class StatementsById:
    """Statements about the models whose ids are among those that ``listed`` selects.

    Made once: making a statement costs several times what SQLite takes to answer it.
    """

    def __init__(self, listed: sa.Select[Any]) -> None:
        model, layer, tombstone = schema.models.c, schema.layers.c, schema.tombstones.c
        self.models = sa.select(*rows.MODEL_COLUMNS).where(model.id.in_(listed))
        self.ids = sa.select(model.id).where(model.id.in_(listed))
        self.layers = sa.select(layer.model_id, layer.layer, layer.facts).where(layer.model_id.in_(listed))
        self.remove = sa.delete(schema.models).where(model.id.in_(listed)).returning(model.id)
        self.forget_removed = sa.delete(schema.tombstones).where(tombstone.id.in_(listed))


def row_statements(engine: sa.Engine, insert: Callable[[sa.Table], Any]) -> tuple[str, str, str]:
    """Return the texts that put a model's row, drop the layers of a model, and put a layer's row.

    Their parameters go by position, in the tables' order: SQLAlchemy's by name cost as much as SQLite's own work.
    """
    put_model = insert(schema.models).on_conflict_do_update(index_elements=["id"], set_=replaced(insert(schema.models)))
    drop_layers = sa.delete(schema.layers).where(schema.layers.c.model_id == sa.bindparam("dropped"))
    put_model_text, drop_text, put_layer_text = (
        str(statement.compile(dialect=engine.dialect)) for statement in (put_model, drop_layers, insert(schema.layers))
    )
    return put_model_text, drop_text, put_layer_text


def replaced(insert: Any) -> dict[str, Any]:
    """Return what an insert that meets an existing row sets: every column but the key, as given."""
    return {column.name: insert.excluded[column.name] for column in insert.table.columns if not column.primary_key}
