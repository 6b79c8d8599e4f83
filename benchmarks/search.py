"""How long one page takes, in process and on one thread: our index beside SQLite, tantivy and, if asked, PostgreSQL.

The same invented rows and questions for all (synthesis.py), every answer checked to be equal to ours, each engine as
good as we know to make it (rivals/). A figure is the median over a class's questions of the median over runs.

    python -m benchmarks.search                             100,000 models, about 3 minutes
    python -m benchmarks.search --models 1000000 --postgresql
    python -m benchmarks.search --civitai FOLDER            recorded answers of Civitai, instead of invented models

Last figures: docs/decide/benchmarks.md
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from math import exp, log
from pathlib import Path

from benchmarks import rivals, synthesis
from modelyard import wire
from modelyard.catalog import open_catalog
from modelyard.civitai.dumps import read_paths
from modelyard.domain import Model, ModelQuery, Viewer
from modelyard.facts import Record
from modelyard.index import Index
from modelyard.store import open_store

VIEWER = Viewer(synthesis.TEAMS[0])
_RUNS_MIN, _RUNS_MAX = 5, 300


@dataclass(frozen=True)
class Measured:
    """One question: its class, and the median of each engine's runs in microseconds, in the order of the engines."""

    kind: str
    query: ModelQuery
    microseconds: tuple[float, ...]


def measure(
    contenders: Sequence[rivals.Contender], viewer: Viewer, mix: Iterable[tuple[str, ModelQuery]], seconds: float
) -> Iterator[Measured]:
    """Put every question to everyone, and yield the times; ``seconds`` is for one question and one engine.

    The first run is not timed: it fills caches, and its answer must be that of the first engine.
    """
    for kind, query in mix:
        asks = [contender.prepare(rivals.asked(viewer, query)) for contender in contenders]
        expected = asks[0]()
        for contender, ask in zip(contenders[1:], asks[1:], strict=True):
            if [*ask()] != [*expected]:
                sys.exit(f"{contender.name} answers {query} differently")
        yield Measured(kind, query, tuple(median_us(ask, seconds) for ask in asks))


def median_us(ask: Callable[[], object], seconds: float) -> float:
    """Return the median of a question's runs."""
    runs: list[int] = []
    end = time.perf_counter() + seconds
    while len(runs) < _RUNS_MIN or (len(runs) < _RUNS_MAX and time.perf_counter() < end):
        started = time.perf_counter_ns()
        ask()
        runs.append(time.perf_counter_ns() - started)
    return statistics.median(runs) / 1000


def report(names: Sequence[str], measured: Sequence[Measured]) -> str:
    """Return the figures as a Markdown table, and what they come to."""
    kinds = list(dict.fromkeys(one.kind for one in measured))
    medians = {
        kind: [
            statistics.median(times)
            for times in zip(*(one.microseconds for one in measured if one.kind == kind), strict=True)
        ]
        for kind in kinds
    }
    lines = ["| Question, median µs | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    lines += [f"| {kind} | " + " | ".join(map(_shown, medians[kind])) + " |" for kind in kinds]
    lines.append("")
    for place, name in enumerate(names[1:], 1):
        ratios = [one.microseconds[place] / one.microseconds[0] for one in measured]
        mean = exp(sum(map(log, ratios)) / len(ratios))
        lines.append(f"* {name}: {mean:,.0f} times as long, geometric mean over all {len(ratios)} questions")
    ours = [times[0] for times in medians.values()]
    everything = sorted(one.microseconds[0] for one in measured)
    lines.append(
        f"* {names[0]}: median {statistics.median(everything):.1f} µs, "
        f"p99 {everything[int(len(everything) * 0.99)]:.0f} µs, slowest {everything[-1]:.0f} µs; "
        f"slowest class {max(ours) / statistics.median(ours):.1f} times the median class"
    )
    lost = [
        f"{kind} ({names[place]}, {times[0] / times[place]:.1f} times)"
        for kind, times in medians.items()
        if (place := min(range(len(times)), key=times.__getitem__))
    ]
    lines.append("* classes in which another is faster: " + (", ".join(lost) or "none"))
    return "\n".join(lines)


def _shown(microseconds: float) -> str:
    return f"{microseconds:,.1f}" if microseconds < 100 else f"{microseconds:,.0f}"


def machine() -> str:
    """Return what the figures were measured on."""
    processors = Path("/proc/cpuinfo")
    named = (
        [line for line in processors.read_text().splitlines() if "model name" in line] if processors.exists() else []
    )
    chip = named[0].partition(":")[2].strip() if named else platform.machine()
    return f"{os.cpu_count()} cores of {chip}, Python {platform.python_version()}"


def recorded_models(folder: Path) -> list[Model]:
    """Return the recorded models of Civitai, taken in as an import takes them."""
    records = (found for found in read_paths([folder]) if isinstance(found, Record))
    with tempfile.TemporaryDirectory() as temporary:
        store = open_store(f"sqlite:///{temporary}/models.sqlite")
        catalog = open_catalog(store)
        for _ in catalog.register_many(records):
            pass
        with store.snapshot() as snapshot:
            models = list(snapshot.models())
        catalog.close()
    return models


def load_rivals(
    stack: ExitStack, folder: Path, found: Callable[[], Iterable[rivals.Item]], *, with_postgresql: bool
) -> list[rivals.Contender]:
    """Load the same rows into everyone else; what they need is kept in ``folder`` and given up with ``stack``."""
    with told("SQLite"):
        sqlite = rivals.Sqlite(folder / "sqlite", found())
    with told("tantivy"):
        loaded: list[rivals.Contender] = [
            rivals.PlainSqlite(sqlite, "usual"),
            rivals.PlainSqlite(sqlite),
            sqlite,
            rivals.Tantivy(folder / "tantivy", found()),
        ]
    if with_postgresql:
        with told("PostgreSQL"):
            loaded.append(stack.enter_context(rivals.postgresql(folder, found())))
    return loaded


@contextmanager
def told(who: str) -> Iterator[None]:
    """Say on standard error how long something took to load."""
    started = time.perf_counter()
    yield
    print(f"{who} loaded in {time.perf_counter() - started:.1f} s", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--per-class", type=int, default=20, help="questions of each class")
    parser.add_argument("--seconds", type=float, default=0.05, help="for one question and one engine")
    parser.add_argument("--postgresql", action="store_true", help="measure PostgreSQL too")
    parser.add_argument("--civitai", type=Path, help="measure over recorded answers in this folder")
    options = parser.parse_args()
    render = wire.render_record

    if options.civitai:
        models: Sequence[Model] = recorded_models(options.civitai)
    else:
        models = list(synthesis.models(options.models, options.seed))
    index = Index(render)
    contenders: list[rivals.Contender] = [rivals.Ours(index)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with told("Modelyard"):
            index.load(models, 1)
        contenders += load_rivals(
            stack, folder, partial(rivals.items, models, render), with_postgresql=options.postgresql
        )
        mix = synthesis.query_mix(options.seed, options.per_class)
        measured = list(measure(contenders, VIEWER, mix, options.seconds))
    print(f"{len(models):,} models, one thread, {machine()}\n")
    print(report([contender.name for contender in contenders], measured))


if __name__ == "__main__":
    main()
