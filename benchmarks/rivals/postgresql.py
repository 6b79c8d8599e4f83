"""PostgreSQL: B-trees in rank order, GIN on tags, pg_trgm on text."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.rivals.asking import Ask, Asked, Item, some
from tests.process_servers import postgres_server

_TABLES = """
CREATE EXTENSION pg_trgm;
CREATE TABLE models (id bigint, rank bigint, owner text COLLATE "C", type text COLLATE "C", source text COLLATE "C",
                     sdxl int, nsfw int, inpainting int, base text COLLATE "C", tags text[] COLLATE "C",
                     text text COLLATE "C");
CREATE TABLE hashes (hash text COLLATE "C", id bigint);
CREATE TABLE bodies (id bigint, record bytea);
"""
_INCLUDED = "INCLUDE (owner, type, source, sdxl, nsfw, inpainting, base)"
_INDEXES = (
    "ALTER TABLE models ADD PRIMARY KEY (id)",
    "ALTER TABLE bodies ADD PRIMARY KEY (id)",
    "ALTER TABLE hashes ADD PRIMARY KEY (hash, id)",
    f"CREATE INDEX ON models (rank DESC, id DESC) {_INCLUDED}",
    *(
        f"CREATE INDEX ON models ({name}, rank DESC, id DESC) {_INCLUDED}"
        for name in ("owner", "type", "source", "base")
    ),
    f"CREATE INDEX ON models (rank DESC, id DESC) {_INCLUDED} WHERE inpainting = 1",
    "CREATE INDEX ON models USING gin (tags)",
    "CREATE INDEX ON models USING gin (text gin_trgm_ops)",
    "VACUUM ANALYZE",
)
_SETTINGS = (
    "shared_buffers=4GB",
    "effective_cache_size=8GB",
    "work_mem=64MB",
    "maintenance_work_mem=2GB",
    "max_wal_size=16GB",
    "random_page_cost=1.1",  # everything is in memory
    "jit=off",
)


class Postgresql:
    """PostgreSQL over its socket, with indexes in rank order, GIN on tags, pg_trgm on text."""

    name = "PostgreSQL"

    def __init__(self, url: str, found: Iterable[Item]) -> None:
        self._db = psycopg.connect(url, autocommit=True)
        self._db.execute(_TABLES)
        for chunk in some(found):
            self._copy("models", ((item.id, item.rank, *item.filters, [*item.tags], item.text) for item in chunk))
            self._copy("bodies", ((item.id, item.record) for item in chunk))
            self._copy("hashes", ((digits, item.id) for item in chunk for digits in item.hashes))
        for statement in _INDEXES:
            self._db.execute(statement)

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def _copy(self, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
        with self._db.cursor().copy(f"COPY {table} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def prepare(self, asked: Asked) -> Ask:
        """Return the question ready to be put.

        The server keeps its plan, which saves 200 µs, unless the best plan depends on the words asked for: then it
        plans each time, and is up to thirty times faster for it.
        """
        if not asked.owners:
            return list
        query = asked.query
        conditions = [_one_of("owner", asked.owners)]
        if query.types:
            conditions.append(_one_of("type", tuple(sorted(query.types))))
        conditions += [(f"{name} = %s", value) for name, value in asked.equal.items()]
        if query.tags:
            conditions.append(("tags @> %s::text[]", list(query.tags)))
        if query.hash is not None:
            conditions.append(("id IN (SELECT id FROM hashes WHERE hash = %s)", query.hash))
        if query.id is not None:
            conditions.append(("id = %s", query.id))
        for term in query.terms:
            escaped = term.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            conditions.append(("text LIKE %s", f"%{escaped}%"))
        values = [value for _, value in conditions]
        where = " AND ".join(text for text, _ in conditions)
        if asked.after is not None:
            where += " AND (rank, id) < (%s, %s)"
            values += [asked.after.rank, asked.after.id]
        sql = (
            f"SELECT record FROM (SELECT id, rank FROM models WHERE {where} ORDER BY rank DESC, id DESC "
            f"LIMIT {query.limit} OFFSET {asked.skip}) page JOIN bodies USING (id) ORDER BY rank DESC, id DESC"
        )
        keeps_plan = not query.terms and not query.tags
        execute = self._db.execute
        return lambda: [row[0] for row in execute(sql, values, prepare=keeps_plan, binary=True)]


def _one_of(column: str, wanted: tuple[str, ...]) -> tuple[str, Any]:
    # The planner knows how often one value occurs, and guesses for the elements of an array it has not seen.
    return (f"{column} = %s", wanted[0]) if len(wanted) == 1 else (f"{column} = ANY(%s)", list(wanted))


@contextmanager
def postgresql(folder: Path, found: Iterable[Item]) -> Iterator[Postgresql]:
    """Give a PostgreSQL server of its own with everything loaded."""
    with postgres_server(folder, *_SETTINGS) as server:
        url = server.url().replace("+psycopg", "")
        loaded = Postgresql(url, found)
        yield loaded
        loaded.close()
