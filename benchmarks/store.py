"""How fast the record is written and read: SQLite, and PostgreSQL if asked.

The models are invented (synthesis.py), each with the one layer that a Civitai import gives it. Everything is measured
through the store's own interface, on one thread, in transactions of 2,000. CPU is this process's: what PostgreSQL's
own processes take is in the wall clock only. A put of fewer than 50 goes row by row, pipelined by the driver; on
PostgreSQL a greater one goes by COPY, so that the two lines of inserting tell what COPY saves.

    python -m benchmarks.store                           100,000 models, under a minute
    python -m benchmarks.store --models 1000000 --postgresql

Figures of 100,000 models on SQLite, µs of CPU a model, 2 cores that had other work too, Python 3.11, 2026-11: insert
38, replace 42, read all 7.3; a model written alone is acknowledged after 2.5 ms, most of it the disk. On PostgreSQL 18:
insert 22 (15 thousand a second by the clock, 2.5 to 2.9 times the row by row), replace 57, read all 9.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

from benchmarks import synthesis
from modelyard.auth import Auth
from modelyard.domain import Scope
from modelyard.facts import Entry
from modelyard.store import Store, open_store

_TRANSACTION = 2_000
# Fewer than what PostgreSQL's side copies.
_ROW_BY_ROW = 40
_TURNS = 1_000


def measure(store: Store, count: int) -> Iterator[tuple[str, str]]:
    """Fill an empty store and read it, and yield each measured thing's name and figure."""
    half = count // 2
    yield "insert, transactions of 2,000", put(store, islice(synthesis.entries(count), half), _TRANSACTION)
    yield "the same, puts of 40", put(store, islice(synthesis.entries(count), half, count), _ROW_BY_ROW)
    yield "replace, transactions of 2,000", put(store, islice(synthesis.entries(count), half), _TRANSACTION)
    yield "read all for an index", per_model(lambda: read_all(store), count)
    yield "follow changes", per_model(lambda: len(store.changes(0).models), count)
    yield "entries by id, 2,000 at once", per_model(lambda: read_entries(store), min(count, _TRANSACTION))
    one = next(synthesis.entries(1))
    yield "one model written and acknowledged", per_turn(lambda: put_one(store, one), _TURNS // 10)
    yield "one entry read", per_turn(lambda: store.entry(one.model.id), _TURNS)
    yield "whether anything is new", per_turn(store.revision_hint, 100 * _TURNS)
    access = Auth(store)
    secret, _ = access.create_key("benchmark", {Scope.READ})
    yield "whose key this is", per_turn(lambda: access.viewer_of(f"Bearer {secret}"), 100 * _TURNS)


def put(store: Store, entries: Iterator[Entry], at_once: int) -> str:
    """Put entries, ``at_once`` a call; inventing them is not in the figure."""
    wall = cpu = count = 0.0
    while some := list(islice(entries, _TRANSACTION)):
        begin, begin_cpu = time.perf_counter(), time.process_time()
        with store.transaction() as writing:
            for start in range(0, len(some), at_once):
                writing.put(some[start : start + at_once])
        wall += time.perf_counter() - begin
        cpu += time.process_time() - begin_cpu
        count += len(some)
    return f"{shown(wall / count)} ({shown(cpu / count)} CPU), {count / wall:,.0f}/s"


def put_one(store: Store, entry: Entry) -> None:
    with store.transaction() as writing:
        writing.put([entry])


def read_all(store: Store) -> int:
    with store.snapshot() as snapshot:
        return sum(1 for _ in snapshot.models())


def read_entries(store: Store) -> int:
    with store.snapshot() as snapshot:
        ids = [model.id for model in islice(snapshot.models(), _TRANSACTION)]
    with store.transaction() as writing:
        return len(writing.entries(ids))


def per_model(act: Callable[[], int], count: int) -> str:
    """Return the time a model of the fastest of three runs."""
    best = min(timed(act) for _ in range(3))
    return f"{shown(best[0] / count)} ({shown(best[1] / count)} CPU)"


def per_turn(act: Callable[[], object], turns: int) -> str:
    """Return the time a turn of the fastest of three runs."""

    def repeat() -> None:
        for _ in range(turns):
            act()

    return shown(min(timed(repeat) for _ in range(3))[0] / turns)


def timed(act: Callable[[], object]) -> tuple[float, float]:
    begin, begin_cpu = time.perf_counter(), time.process_time()
    act()
    return time.perf_counter() - begin, time.process_time() - begin_cpu


def shown(seconds: float) -> str:
    return f"{seconds * 1e6:,.2f} µs" if seconds < 1e-4 else f"{seconds * 1e6:,.0f} µs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=100_000)
    parser.add_argument("--postgresql", action="store_true", help="PostgreSQL too, from the wheel of the tests")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        urls = {"SQLite": f"sqlite:///{folder}/modelyard.sqlite"}
        if arguments.postgresql:
            from tests.process_servers import postgres_server  # only here: it needs the tests' own parts

            server = stack.enter_context(postgres_server(folder, "fsync=on", "full_page_writes=on"))
            urls["PostgreSQL"] = server.url()
        for name, url in urls.items():
            store = open_store(url)
            print(f"\n{name}, {arguments.models:,} models")
            for what, figure in measure(store, arguments.models):
                print(f"  {what:36} {figure}", flush=True)
            store.close()


if __name__ == "__main__":
    main()
