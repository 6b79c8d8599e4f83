"""Other engines that answer the same question over the same rows: SQLite, tantivy, PostgreSQL.

Each is given what it does best, because a comparison is worth what its losers could do:

* a question becomes a plan outside of the timed part (``prepare``), while ours is planned inside;
* indexes are in the order of the answer and hold every filter, so that a walk over one touches rows only for its page;
* SQLite is measured three times: with an index a column, as most programs have it; with an index in rank order for
  every filter that covers all others, planned by SQLite itself; and with a *hand-forced plan*: the cheapest of walking
  one of these or the matches of its full-text index, estimated from the counts of every value and trigram;
* everything is loaded in one go, optimised and analysed, and nothing is being written.

Each stores the rendered record as bytes and answers those, as ours does. What they cannot do: tantivy has no order to
walk in, so that it looks at every match; PostgreSQL answers over a connection, about 100 µs of each of its figures.
"""

from benchmarks.rivals.asking import Ask, Asked, Contender, Item, Ours, asked, items
from benchmarks.rivals.postgresql import Postgresql, postgresql
from benchmarks.rivals.sqlite import PlainSqlite, Sqlite
from benchmarks.rivals.tantivy import Tantivy

__all__ = [
    "Ask",
    "Asked",
    "Contender",
    "Item",
    "Ours",
    "PlainSqlite",
    "Postgresql",
    "Sqlite",
    "Tantivy",
    "asked",
    "items",
    "postgresql",
]
