"""Copies a database into another: table by table, one batch in a transaction; compares both at the end.

    source, one unchanging view ──table by table, in the order of keys──> target, empty but for an earlier run's work
    note "copying" in the target: the view of the source, the table, and the last key copied
    note "copy_of" in the target, once it is complete: the identity of the source

A copy that was interrupted continues after the last key. At the end a transaction that begins then reads all of the
source again, so that nothing that was written meanwhile is missed. The target keeps its own identity, so that no
process uses an index of the source with it.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from blake3 import blake3

from modelyard import errors
from modelyard.store import schema, sequences
from modelyard.store.backup import LAST_BACKUP_NOTE
from modelyard.store.dialect import read_revisions
from modelyard.store.store import Store

BATCH_ROWS = 2_000
_NOTE = "copying"
# In a complete copy: the identity of its source.
_DONE_NOTE = "copy_of"
# Notes about one database, which a copy must not take over.
_OWN_NOTES = ("identity", _NOTE, _DONE_NOTE, "publisher", LAST_BACKUP_NOTE)
# No table refers to one that comes after it.
_TABLES = schema.metadata.sorted_tables


class _Progress(NamedTuple):
    """How far a copy is: the view of the source, the finished tables, the current table, and the last key copied."""

    view: str
    done: tuple[str, ...] = ()
    table: str = ""
    after: Sequence[Any] | None = None


def copy(source: Store, target: Store, on_rows: Callable[[int], object] = int) -> dict[str, int]:
    """Copy all tables, and return how many rows each has; ``on_rows`` receives the number of rows of each batch.

    After an interruption, running it again continues; after its end, that compares both again. Raises
    ConfigurationError if the target has rows of its own, and Conflict if it differs at the end from what the source
    has then, because another process wrote to one of them.
    """
    if target.get_property(_DONE_NOTE) != source.identity:
        with source.reading() as reading:
            progress = _begun(target, f"{source.identity} {read_revisions(reading)}")
            for table in _TABLES:
                if table.name not in progress.done:
                    progress = _copy_table(reading, target, table, progress, on_rows)
            last_ids = sequences.read_last_ids(reading)
        with target.transaction() as transaction:
            sequences.raise_ids(transaction.connection, last_ids)
    # The view that was copied may be hours old: what counts is what the source has now.
    with source.reading() as reading, target.reading() as copied:
        differing, counts = _compare(reading, copied)
    if differing is not None:
        raise errors.Conflict(
            f"the copy of {differing} differs from what the source has now, because somebody wrote to one of them;"
            f" {_begin_anew(target)}",
            table=differing,
        )
    with target.transaction() as transaction:
        transaction.remember(_DONE_NOTE, source.identity)
        transaction.remember(_NOTE, None)
    return counts


def _begin_anew(target: Store) -> str:
    """Make the next run begin anew, and return what to do. A copy that was complete once is not touched."""
    if target.get_property(_NOTE) is None:
        return "it was complete once: name an empty database to copy again"
    with target.transaction() as transaction:
        transaction.remember(_NOTE, json.dumps(_Progress("")))
    return "stop all servers and commands that use either, and run this again"


def count_rows(store: Store) -> int:
    """Return the number of rows in all tables together."""
    with store.reading() as reading:
        return sum(reading.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() for table in _TABLES)


def _begun(target: Store, view: str) -> _Progress:
    """Return the progress of an earlier run; start anew if that run copied another view of the source."""
    noted = target.get_property(_NOTE)
    if noted is not None:
        progress = _Progress(*json.loads(noted))
        if progress.view == view:
            return progress
    progress = _Progress(view)
    with target.transaction() as transaction:
        if noted is None:
            _refuse_filled(transaction.connection, target.url)
        for table in reversed(_TABLES):
            if table is schema.notes:
                transaction.connection.execute(sa.delete(table).where(table.c.key.not_in(_OWN_NOTES)))
            elif table is not schema.counters:  # every transaction reads the counters
                transaction.connection.execute(sa.delete(table))
        transaction.remember(_NOTE, json.dumps(progress))
    return progress


def _refuse_filled(connection: sa.Connection, url: str) -> None:
    for table in (schema.models, schema.api_keys, schema.uploads, schema.files):
        if connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one():
            raise errors.ConfigurationError(
                f"{url} is not empty: it has {table.name} of its own; name an empty database"
            )


def _copy_table(
    reading: sa.Connection, target: Store, table: sa.Table, progress: _Progress, on_rows: Callable[[int], object]
) -> _Progress:
    for rows in _batches(reading, table, progress.after if progress.table == table.name else None):
        progress = progress._replace(table=table.name, after=_key(table, rows[-1]))
        with target.transaction() as transaction:
            if table is schema.counters:
                transaction.connection.execute(sa.delete(table))
            transaction.connection.execute(sa.insert(table), rows)
            transaction.remember(_NOTE, json.dumps(progress))
        on_rows(len(rows))
    progress = _Progress(progress.view, (*progress.done, table.name))
    with target.transaction() as transaction:
        transaction.remember(_NOTE, json.dumps(progress))
    return progress


def _key(table: sa.Table, row: dict[str, Any]) -> list[Any]:
    return [row[column.name] for column in table.primary_key.columns]


def _batches(
    connection: sa.Connection, table: sa.Table, after: Sequence[Any] | None = None
) -> Iterator[list[dict[str, Any]]]:
    """Yield batches of a table's rows after a key, in the order of keys."""
    keys = list(table.primary_key.columns)
    query = sa.select(table).order_by(*keys).limit(BATCH_ROWS)
    if table is schema.notes:
        query = query.where(schema.notes.c.key.not_in(_OWN_NOTES))
    while True:
        page = query if after is None else query.where(sa.tuple_(*keys) > sa.tuple_(*after))
        rows = [dict(row._mapping) for row in connection.execute(page)]
        if not rows:
            return
        yield rows
        after = _key(table, rows[-1])


def _compare(reading: sa.Connection, copied: sa.Connection) -> tuple[str | None, dict[str, int]]:
    """Return the first table that differs, if one does, and how many rows each table has."""
    counts: dict[str, int] = {}
    for table in _TABLES:
        expected = _digest(reading, table)
        if expected != _digest(copied, table):
            return table.name, counts
        counts[table.name] = expected[0]
    return None, counts


def _digest(connection: sa.Connection, table: sa.Table) -> tuple[int, int]:
    """Return the number of rows and the sum of their hashes: databases put texts in different orders."""
    total = count = 0
    for rows in _batches(connection, table):
        total += sum(int.from_bytes(blake3(repr([*row.values()]).encode()).digest()) for row in rows)
        count += len(rows)
    return count, total
