"""SQLite with an FTS5 trigram index, three times: an index a column, indexes in rank order that cover every filter, and
those with a hand-forced plan."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from math import prod
from pathlib import Path
from typing import Any

from benchmarks.rivals.asking import FILTERS, GRAM, Ask, Asked, Item, grams, some

_TAIL = ", ".join(("rank DESC", "id DESC", *FILTERS))
_TABLES = """
CREATE TABLE models (id INTEGER PRIMARY KEY, rank INTEGER, owner TEXT, type TEXT, source TEXT, sdxl INTEGER,
                     nsfw INTEGER, inpainting INTEGER, base TEXT);
CREATE TABLE bodies (id INTEGER PRIMARY KEY, text TEXT, record BLOB);
CREATE TABLE tags (tag TEXT, rank INTEGER, id INTEGER, PRIMARY KEY (tag, rank DESC, id DESC)) WITHOUT ROWID;
CREATE TABLE hashes (hash TEXT, id INTEGER, PRIMARY KEY (hash, id)) WITHOUT ROWID;
CREATE VIRTUAL TABLE words USING fts5(text, content='', columnsize=0, tokenize='trigram case_sensitive 1');
CREATE VIRTUAL TABLE grams USING fts5vocab(words, row);
"""
_INDEXES = f"""
CREATE INDEX by_rank ON models ({_TAIL});
CREATE INDEX by_owner ON models (owner, {_TAIL.replace(", owner", "")});
CREATE INDEX by_type ON models (type, {_TAIL.replace(", type", "")});
CREATE INDEX by_source ON models (source, {_TAIL.replace(", source", "")});
CREATE INDEX by_sdxl ON models (sdxl, {_TAIL.replace(", sdxl", "")});
CREATE INDEX by_base ON models (base, {_TAIL.replace(", base", "")});
CREATE INDEX by_inpainting ON models (inpainting, {_TAIL.replace(", inpainting", "")});
CREATE TABLE usual AS SELECT * FROM models;
CREATE UNIQUE INDEX usual_id ON usual (id);
CREATE INDEX usual_rank ON usual (rank DESC, id DESC);
{"".join(f"CREATE INDEX usual_{name} ON usual ({name});" for name in FILTERS)}
INSERT INTO words (words) VALUES ('optimize');
ANALYZE;
"""
# Measured on SQLite 3.40 and 200,000 models, 2026-11, µs: a row of a covering index looked at, a text fetched by its id
# and searched, a tag's row with its model, a posting of one trigram read, a match looked up and kept for sorting.
_ROW_US, _TEXT_US, _TAG_US, _POSTING_US, _MATCH_US = 0.09, 1.2, 0.65, 0.05, 0.35
# Nothing counts terms of one or two characters; in a thousand models the common ones are on hundreds.
_SHORT_TERM_SHARE = 0.1
# Of the texts with some of a term's trigrams, those that have the next one too, on the whole. With too great a share a
# term that occurs nowhere is looked for in every text.
_FURTHER_GRAM_SHARE = 0.7


class PlainSqlite:
    """The same SQLite, asked as one would ask it, and planning by itself; over ``models``, whose indexes are in rank
    order and hold all filters, or over ``usual``, which has an index a column as most programs would."""

    def __init__(self, database: "Sqlite", table: str = "models") -> None:
        self._db = database.connection
        self._table = table
        self.name = "SQLite, an index a column" if table == "usual" else "SQLite"

    def prepare(self, asked: Asked) -> Ask:
        """Return the question ready to be put."""
        if not asked.owners:
            return list
        query = asked.query
        conditions = _filters(asked, tuple(sorted(query.types)))
        if query.hash is not None:
            conditions.append(("m.id IN (SELECT id FROM hashes WHERE hash = ?)", (query.hash,)))
        conditions += [("m.id IN (SELECT id FROM tags WHERE tag = ?)", (tag,)) for tag in query.tags]
        if matched := _match(query.terms):
            conditions.append(("m.id IN (SELECT rowid FROM words WHERE words MATCH ?)", (matched,)))
        conditions += [("instr(b.text, ?) > 0", (term,)) for term in query.terms if len(term) < GRAM]
        if asked.after is not None:
            conditions.append(("(m.rank, m.id) < (?, ?)", (asked.after.rank, asked.after.id)))
        sql = (
            f"SELECT b.record FROM {self._table} m JOIN bodies b ON b.id = m.id "
            f"WHERE {' AND '.join(text for text, _ in conditions)} ORDER BY m.rank DESC, m.id DESC LIMIT ? OFFSET ?"
        )
        values = (*(value for _, given in conditions for value in given), query.limit, asked.skip)
        execute = self._db.execute
        return lambda: [row[0] for row in execute(sql, values)]


def _match(terms: Sequence[str]) -> str:
    """Return the terms that trigrams can find as FTS5 takes them."""
    return " AND ".join('"' + term.replace('"', '""') + '"' for term in terms if len(term) >= GRAM)


def _filters(asked: Asked, types: tuple[str, ...]) -> list[tuple[str, tuple[Any, ...]]]:
    conditions: list[tuple[str, tuple[Any, ...]]] = []
    if asked.query.id is not None:
        conditions.append(("m.id = ?", (asked.query.id,)))
    if types:
        conditions.append(_one_of("m.type", types))
    conditions.append(_one_of("m.owner", asked.owners))
    return conditions + [(f"m.{name} = ?", (value,)) for name, value in asked.equal.items()]


def _one_of(column: str, wanted: tuple[str, ...]) -> tuple[str, tuple[Any, ...]]:
    # The plus keeps a union off the column's index: SQLite would take it, lose the order, and sort half the table.
    return f"{column if len(wanted) == 1 else '+' + column} IN ({','.join('?' * len(wanted))})", wanted


class Sqlite:
    """SQLite with indexes in rank order and an FTS5 trigram index; one file, mapped into memory."""

    name = "SQLite, hand-forced plan"

    def __init__(self, path: Path, found: Iterable[Item]) -> None:
        self.connection = self._db = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-1000000", f"mmap_size={1 << 36}"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.executescript(_TABLES)
        self._counts: Counter[tuple[str, str | int]] = Counter()
        self._total = 0
        self._db.execute("BEGIN")
        for chunk in some(found):
            self._load(chunk)
        self._db.execute("COMMIT")
        self._db.executescript(_INDEXES)
        self._gram_counts: dict[str, int] = dict(self._db.execute("SELECT term, doc FROM grams"))

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _load(self, chunk: list[Item]) -> None:
        put = self._db.executemany
        put("INSERT INTO models VALUES (?,?,?,?,?,?,?,?,?)", ((item.id, item.rank, *item.filters) for item in chunk))
        put("INSERT INTO bodies VALUES (?,?,?)", ((item.id, item.text, item.record) for item in chunk))
        put("INSERT INTO words (rowid, text) VALUES (?,?)", ((item.id, item.text) for item in chunk))
        put("INSERT INTO tags VALUES (?,?,?)", ((tag, item.rank, item.id) for item in chunk for tag in item.tags))
        put("INSERT INTO hashes VALUES (?,?)", ((digits, item.id) for item in chunk for digits in item.hashes))
        for item in chunk:
            self._counts.update(zip(FILTERS, item.filters, strict=True))
            self._counts.update(("tag", tag) for tag in item.tags)
        self._total += len(chunk)

    def prepare(self, asked: Asked) -> Ask:
        """Return the question ready to be put, on the cheapest way to its answer."""
        if not asked.owners:
            return list
        sql, values = self._sql(asked, self._way(asked))
        execute = self._db.execute
        return lambda: [row[0] for row in execute(sql, values)]

    def _share(self, *wanted: tuple[str, str | int]) -> float:
        return max(sum(self._counts[value] for value in wanted), 0.5) / self._total

    def _matches(self, term: str) -> float:
        """Estimate how many texts hold a term: as many as its rarest trigram, fewer for each further one."""
        counts = [self._gram_counts.get(gram, 0) for gram in grams(term)]
        if not counts:
            return self._total * _SHORT_TERM_SHARE
        return min(counts) * _FURTHER_GRAM_SHARE ** (len(counts) - 1)

    def _way(self, asked: Asked) -> str:
        """Return the name of the index to walk, or ``words`` for the matches of the text."""
        query = asked.query
        if query.id is not None:
            return "id"
        if query.hash is not None:
            return "hash"
        shares = {name: self._share((name, value)) for name, value in asked.equal.items()}
        shares["owner"] = self._share(*(("owner", owner) for owner in asked.owners))
        if query.types:
            shares["type"] = self._share(*(("type", name) for name in query.types))
        for tag in query.tags:
            shares[f"tag {tag}"] = self._share(("tag", tag))
        postings = [self._gram_counts.get(gram, 0) for term in query.terms for gram in grams(term)]
        of_terms = [self._matches(term) for term in query.terms]
        text_share = prod(max(count, 0.5) / self._total for count in of_terms)
        wanted = (asked.skip + query.limit) / max(prod(shares.values()) * text_share, 1e-12)
        filtered = prod(shares.values())

        def cost(driver: str, rows: float) -> float:
            walked = min(rows, wanted * rows / self._total)
            fetched = walked * filtered * self._total / rows if query.terms or query.tags else 0
            return walked * (_TAG_US if driver == "tag" else _ROW_US) + fetched * _TEXT_US

        ways = {"rank": cost("rank", self._total)}
        drivers = {*asked.equal, *(["type"] if query.types else []), *(["owner"] if len(asked.owners) == 1 else [])}
        ways |= {name: cost(name, shares[name] * self._total) for name in drivers - {"nsfw"}}
        if query.tags:
            ways["tag"] = cost("tag", min(shares[f"tag {tag}"] for tag in query.tags) * self._total)
        if postings:
            ways["words"] = sum(postings) * _POSTING_US + min(postings) * _MATCH_US
        return min(ways, key=lambda name: ways[name])

    def _sql(self, asked: Asked, way: str) -> tuple[str, tuple[Any, ...]]:
        query = asked.query
        if way == "type" and len(query.types) > 1:
            # One ordered walk a type, and the best of all: an ordered index does not order a union.
            parts = [self._page(asked, way, (name,), asked.skip + query.limit, 0) for name in sorted(query.types)]
            union = " UNION ALL ".join(f"SELECT * FROM ({sql})" for sql, _ in parts)
            page = f"SELECT id FROM ({union}) ORDER BY rank DESC, id DESC LIMIT ? OFFSET ?"
            values = (*(value for _, given in parts for value in given), query.limit, asked.skip)
        else:
            page, values = self._page(asked, way, tuple(sorted(query.types)), query.limit, asked.skip)
        return f"SELECT (SELECT record FROM bodies r WHERE r.id = p.id) FROM ({page}) p", values

    def _page(
        self, asked: Asked, way: str, types: tuple[str, ...], limit: int, skip: int
    ) -> tuple[str, tuple[Any, ...]]:
        query, ordered = asked.query, "m"
        tags = sorted(query.tags, key=lambda tag: self._counts["tag", tag])
        conditions = _filters(asked, types)
        match way:
            case "id":
                source = "models m"
            case "hash":
                source = "hashes h CROSS JOIN models m ON m.id = h.id"
                conditions.append(("h.hash = ?", (query.hash,)))
            case "words":
                source = "words w CROSS JOIN models m ON m.id = w.rowid"
                conditions.append(("words MATCH ?", (_match(query.terms),)))
            case "tag":
                source, ordered = "tags d CROSS JOIN models m ON m.id = d.id", "d"
                conditions.append(("d.tag = ?", (tags.pop(0),)))
            case _:
                source = f"models m INDEXED BY by_{way}"
        if asked.after is not None:
            conditions.append((f"({ordered}.rank, {ordered}.id) < (?, ?)", (asked.after.rank, asked.after.id)))
        for tag in tags:
            same = "EXISTS (SELECT 1 FROM tags t WHERE t.tag = ? AND t.rank = m.rank AND t.id = m.id)"
            conditions.append((same, (tag,)))
        looked_for = [term for term in query.terms if way != "words" or len(term) < GRAM]
        if looked_for:
            source += " CROSS JOIN bodies b ON b.id = m.id"
            conditions += [("instr(b.text, ?) > 0", (term,)) for term in looked_for]
        sql = (
            f"SELECT m.id AS id, m.rank AS rank FROM {source} WHERE {' AND '.join(text for text, _ in conditions)} "
            f"ORDER BY {ordered}.rank DESC, {ordered}.id DESC LIMIT ? OFFSET ?"
        )
        return sql, (*(value for _, given in conditions for value in given), limit, skip)
