"""The ids that a database gives to new rows: the last ones are read, and raised so that no id is given twice.

PostgreSQL has a sequence for each table. SQLite remembers the last id of ``api_keys`` only; the ids of its other tables
stay inside the database. The ids of this catalogue's own models are a counter.
"""

from collections.abc import Iterator, Mapping

import sqlalchemy as sa

from modelyard.domain import OWN_ID_MAX
from modelyard.store import schema
from modelyard.store.transaction import read_counter, write_counter

# More ids than a database gives between a backup and its restore.
_GAP = 1_000_000


def read_last_ids(connection: sa.Connection) -> dict[str, int]:
    """Return the last id that each table gave, and the next id of an own model under the counter's name."""
    last_ids = {schema.NEXT_OWN_ID: read_counter(connection, schema.NEXT_OWN_ID)}
    for table, key in _numbered_tables():
        greatest = connection.execute(sa.select(sa.func.max(key))).scalar() or 0
        last_ids[table.name] = max(greatest, _read_last(connection, table, key))
    return last_ids


def raise_ids(connection: sa.Connection, last_ids: Mapping[str, int]) -> None:
    """Give only ids that are greater than these."""
    write_counter(connection, schema.NEXT_OWN_ID, last_ids[schema.NEXT_OWN_ID])
    for table, key in _numbered_tables():
        last_id = last_ids[table.name]
        if connection.dialect.name == "postgresql":
            sequence = connection.execute(_SEQUENCE, {"table": table.name, "column": key.name}).scalar_one()
            if last_id:
                connection.execute(sa.select(sa.func.setval(sequence, last_id)))
        elif table is schema.api_keys:
            connection.execute(_FORGET_LAST, {"table": table.name})
            connection.execute(_PUT_LAST, {"table": table.name, "last_id": last_id})


def leave_gap(connection: sa.Connection, other_ids: Mapping[str, int]) -> None:
    """Give no id that another state of this database may have given; ``other_ids`` are those that are known."""
    last_ids = read_last_ids(connection)
    raised = {name: max(last_id, other_ids.get(name, 0)) + _GAP for name, last_id in last_ids.items()}
    raised[schema.NEXT_OWN_ID] = min(raised[schema.NEXT_OWN_ID], OWN_ID_MAX + 1)
    raise_ids(connection, raised)


def _numbered_tables() -> Iterator[tuple[sa.Table, sa.Column[int]]]:
    """Yield the tables whose rows the database numbers, each with the column of the number."""
    for table in schema.metadata.sorted_tables:
        (key, *others) = table.primary_key.columns
        if not others and key.autoincrement is not False and isinstance(key.type, sa.Integer | sa.BigInteger):
            yield table, key


def _read_last(connection: sa.Connection, table: sa.Table, key: sa.Column[int]) -> int:
    if connection.dialect.name == "postgresql":
        last_id = connection.execute(_READ_SEQUENCE, {"table": table.name, "column": key.name}).scalar()
    else:
        last_id = connection.execute(_READ_LAST, {"table": table.name}).scalar()
    return last_id or 0


_SEQUENCE = sa.text("SELECT pg_get_serial_sequence(:table, :column)")
# Null if the sequence has given no number.
_READ_SEQUENCE = sa.text("SELECT pg_sequence_last_value(CAST(pg_get_serial_sequence(:table, :column) AS regclass))")
_READ_LAST = sa.text("SELECT seq FROM sqlite_sequence WHERE name = :table")
_FORGET_LAST = sa.text("DELETE FROM sqlite_sequence WHERE name = :table")
_PUT_LAST = sa.text("INSERT INTO sqlite_sequence (name, seq) VALUES (:table, :last_id)")
