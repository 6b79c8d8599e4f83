"""The other engines of the benchmarks answer as ours does; otherwise their times would mean nothing."""

from collections.abc import Iterator, Sequence
from functools import partial

import pytest

from benchmarks import rivals, synthesis
from modelyard import wire
from modelyard.domain import ModelQuery, Offset, Position, Viewer
from modelyard.index import Index
from tests.process_servers import PostgresServer
from tests.real_input import data_dir

RED = Viewer(synthesis.TEAMS[0])


@pytest.fixture(scope="module")
def contenders(
    tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer
) -> Iterator[Sequence[rivals.Contender]]:
    data_dir()  # the laws that models are invented by
    folder = tmp_path_factory.mktemp("rivals")
    models = list(synthesis.models(3_000))
    index = Index(wire.render_record)
    index.load(models, 1)
    found = partial(rivals.items, models, wire.render_record)
    sqlite = rivals.Sqlite(folder / "sqlite", found())
    url = postgres.make_database().replace("+psycopg", "")
    postgresql = rivals.Postgresql(url, found())
    yield [
        rivals.Ours(index),
        rivals.PlainSqlite(sqlite, "usual"),
        rivals.PlainSqlite(sqlite),
        sqlite,
        rivals.Tantivy(folder / "tantivy", found()),
        postgresql,
    ]
    postgresql.close()
    sqlite.close()


def odd_questions() -> Iterator[ModelQuery]:
    for term in ('say "hi"', "100%", "a_b", "\\", "'", "v1", "x", "花", "realistic"):
        yield ModelQuery(terms=tuple(term.split()), limit=100)
    yield ModelQuery(terms=("mo", "style", "v1"))
    yield ModelQuery(terms=("style",), start=Offset(7), limit=3)
    yield ModelQuery(terms=("style",), start=Position(100, 5), limit=100)
    yield ModelQuery(types=frozenset({"lora", "checkpoint"}), start=Offset(90), limit=7)


def test_every_engine_answers_every_question_as_ours_does(contenders: Sequence[rivals.Contender]) -> None:
    ours, *others = contenders
    mix = [*(query for _, query in synthesis.query_mix(per_class=2)), *odd_questions()]

    for query in mix:
        expected = [*ours.prepare(rivals.asked(RED, query))()]
        for other in others:
            assert expected == [*other.prepare(rivals.asked(RED, query))()], f"{other.name}: {query}"
