"""Parts of queries that several tables share."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import ReturnTypeFromArgs

from modelyard.domain import Visibility

# SQLite allows 32,000 parameters a statement. Each length has its own query plan, so most have this one.
BATCH_ROWS = 500
T = TypeVar("T")


def visible_to(columns: Any, team: str | None) -> sa.ColumnElement[bool]:
    """Return whether ``team`` may see a row of a table with these columns: of models, or of files."""
    visible: sa.ColumnElement[bool] = (columns.visibility == Visibility.PUBLIC.value) | (columns.team == team)
    return visible


def put_row(connection: sa.Connection, table: sa.Table, values: dict[str, Any]) -> None:
    """Insert a row, or replace the one with the same primary key, in one statement."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(table).values(**values)
    keys = [column.name for column in table.primary_key]
    changed = {name: insert.excluded[name] for name in values if name not in keys}
    connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=changed))


class by_bytes(ReturnTypeFromArgs[str]):  # noqa: N801 # it is called as SQLAlchemy's functions are
    """A text in the order of its bytes, as SQLite and Python have it; PostgreSQL has the order of a language."""

    inherit_cache = True


@compiles(by_bytes)
def _compile_by_bytes(element: by_bytes, compiler: Any, **options: Any) -> str:
    text: str = compiler.process(element.clauses, **options)
    return f'{text} COLLATE "C"' if compiler.dialect.name == "postgresql" else text


def batches(values: Iterable[T]) -> Iterator[list[T]]:
    """Yield the values in lists that a statement may have as parameters."""
    items = list(values)
    for start in range(0, len(items), BATCH_ROWS):
        yield items[start : start + BATCH_ROWS]
