"""What a million models cost, and ten: answers, building, starting, memory, freshness, HTTP. One command, one table.

    compare       a page in process, one thread, beside SQLite, tantivy and PostgreSQL over the same rows (rivals/)
    build         all segments from the store on one core; their size; the store is filled first if it is not
    start         open a home and answer: in a process that has imported everything, and as the command `serve`
    memory        what one more worker keeps for itself, after a whole mix of questions
    freshness     1,000 writes while 4 workers answer under load: the next request on each worker sees each
    merges        p99 of a page while segments are written and merged, beside p99 without
    http          CPU per request of the server, beside a constant answer of the same size (http.py)
    workers       requests a second of two workers beside one
    ten-million   the mix at ten times as many models, streamed into segments without a store

Corpus and questions: synthesis.py, seeded. The home is kept, so that sections can be run one by one; each adds its
findings to a file of JSON lines, and the table is printed of all that is in it.

    python -m benchmarks.scale --home FOLDER                         everything but ten-million, about 40 minutes
    python -m benchmarks.scale --home FOLDER --ten-million           25 GB of disk, about an hour
    python -m benchmarks.scale --home FOLDER --start --memory        some sections only
    python -m benchmarks.scale --home FOLDER --table                 the table only

Last figures: docs/decide/benchmarks.md
"""

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from math import exp, log
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import rivals, serving, streaming, synthesis
from benchmarks.search import VIEWER, Measured, load_rivals, machine, measure
from modelyard import wire
from modelyard.domain import ModelQuery
from modelyard.index import Index
from modelyard.store import open_store

T = TypeVar("T")
_FILL_MODELS = 10_000
RATIOS_WANTED = {"SQLite, an index a column": 300, "SQLite": 300, "tantivy": 200, "PostgreSQL": 60}


@dataclass(frozen=True)
class Finding:
    """One figure; ``most`` and ``least`` are the target, if there is one."""

    section: str
    what: str
    value: float
    unit: str = ""
    most: float | None = None
    least: float | None = None

    @property
    def is_met(self) -> bool:
        """Whether the target is reached."""
        return (self.most is None or self.value <= self.most) and (self.least is None or self.value >= self.least)


@dataclass(frozen=True)
class Scale:
    """What is measured."""

    home: Path
    models: int
    seed: int
    per_class: int
    seconds: float
    with_postgresql: bool
    times: int

    def mix(self) -> list[tuple[str, ModelQuery]]:
        """Return the questions."""
        return synthesis.query_mix(self.seed, self.per_class)


def alone(work: Callable[..., T], *arguments: Any) -> T:
    """Do work in a process of its own: its memory and caches are nobody else's."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


# --- Building --------------------------------------------------------------------------------------------------------


def fill(scale: Scale) -> None:
    """Put the models into the store, unless they are there."""
    scale.home.mkdir(parents=True, exist_ok=True)
    store = open_store(f"sqlite:///{scale.home}/modelyard.sqlite")
    with store.snapshot() as snapshot:
        there = snapshot.count
    if there < scale.models:
        entries = list[Any]()
        for entry in synthesis.entries(scale.models, scale.seed):
            entries.append(entry)
            if len(entries) == _FILL_MODELS:
                _put(store, entries)
        _put(store, entries)
    store.close()


def _put(store: Any, entries: list[Any]) -> None:
    with store.transaction() as writing:
        writing.put(entries)
    entries.clear()


def build(scale: Scale) -> Iterator[Finding]:
    fill(scale)
    cpu_seconds, seconds, size_bytes, peak_bytes = alone(_rebuild, scale.home)
    per_million = 1e6 / scale.models
    yield Finding("build", "CPU to build a million models", cpu_seconds * per_million, "s", most=60)
    yield Finding("build", "the same by the clock, machine shared", seconds * per_million, "s")
    yield Finding("build", "bytes of segment per model", size_bytes / scale.models, "B", most=1_200)
    yield Finding("build", "peak memory of building", peak_bytes / 2**20, "MiB")


def _rebuild(home: Path) -> tuple[float, float, int, int]:
    catalog = serving.opened(home)
    started, cpu = time.monotonic(), time.process_time()
    catalog.rebuild()
    spent = time.process_time() - cpu, time.monotonic() - started
    size_bytes = sum(path.stat().st_size for path in (home / "index").rglob("*") if path.is_file())
    return *spent, size_bytes, streaming.peak_bytes()


# --- Starting, memory ------------------------------------------------------------------------------------------------


def start(scale: Scale) -> Iterator[Finding]:
    seconds = [alone(_first_answer, scale.home) for _ in range(5)]
    yield Finding("start", "opening segments to the first answer", statistics.median(seconds), "s", most=1)
    seconds = [serving.seconds_to_first_answer(scale.home) for _ in range(3)]
    yield Finding("start", "the command `serve` to the first answer over HTTP", statistics.median(seconds), "s")


def _first_answer(home: Path) -> float:
    started = time.perf_counter()
    assert serving.opened(home).search(VIEWER, ModelQuery(terms=("style",))).records
    return time.perf_counter() - started


def memory(scale: Scale) -> Iterator[Finding]:
    fresh, after = serving.private_bytes_of_workers(scale.home, [query for _, query in scale.mix()])
    yield Finding("memory", "private memory of each of two workers after the mix", after / 1e6, "MB", most=120)
    yield Finding("memory", "the same before the first question", fresh / 1e6, "MB")


# --- A page ----------------------------------------------------------------------------------------------------------


def index_of(home: Path) -> Index:
    """Return the index over a home's segments; a home without a store holds an invented catalogue."""
    if (home / "modelyard.sqlite").exists():
        catalog = serving.opened(home)
        catalog.load()
        return catalog._index  # what answers, without the look at the store: a page is measured as the others' is
    found = streaming.folder_of(home).open()
    assert found is not None, f"{home} holds no segments"
    index = Index(wire.pack_record)
    index.open_segments(found[1], found[0].revision)
    return index


def compare(scale: Scale) -> Iterator[Finding]:
    contenders: list[rivals.Contender] = [rivals.Ours(index_of(scale.home))]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=scale.home)))
        found = lambda: rivals.items(synthesis.models(scale.models, scale.seed), wire.render_record)  # noqa: E731 # one line
        contenders += load_rivals(stack, folder, found, with_postgresql=scale.with_postgresql)
        measured = list(measure(contenders, VIEWER, scale.mix(), scale.seconds))
    names = [contender.name for contender in contenders]
    yield from _by_class(names, measured)
    for place, name in enumerate(names[1:], 1):
        ratio = exp(statistics.fmean(log(one.microseconds[place] / one.microseconds[0]) for one in measured))
        yield Finding("compare", f"{name}, times as long, geometric mean", ratio, least=RATIOS_WANTED.get(name))
    medians = _medians(measured)
    lost = sum(min(times) < times[0] for times in medians.values())
    yield Finding("compare", "classes in which another is faster", lost, most=0)
    ours = [times[0] for times in medians.values()]
    slowest = max(ours) / statistics.median(ours)
    yield Finding("compare", "the slowest class, times the median class", slowest, most=10)


def _medians(measured: list[Measured]) -> dict[str, list[float]]:
    kinds = dict.fromkeys(one.kind for one in measured)
    return {
        kind: [
            statistics.median(times)
            for times in zip(*(one.microseconds for one in measured if one.kind == kind), strict=True)
        ]
        for kind in kinds
    }


def _by_class(names: list[str], measured: list[Measured]) -> Iterator[Finding]:
    for kind, medians in _medians(measured).items():
        for name, median in zip(names, medians, strict=True):
            yield Finding("classes", f"{kind}|{name}", median, "µs")


def ten_million(scale: Scale) -> Iterator[Finding]:
    count = scale.times * scale.models
    home = scale.home.with_name(f"{scale.home.name}-{count}")
    if not (home / "index" / "CURRENT").exists():
        home.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home) as spilt:
            alone(streaming.spill, count, scale.seed, Path(spilt))
            built = alone(streaming.build_spilt, Path(spilt), home)
        (home / "built.json").write_text(json.dumps(asdict(built)))
    built = streaming.Built(**json.loads((home / "built.json").read_text()))
    yield Finding("ten-million", f"peak memory of building {count:,}", built.peak_bytes / 2**30, "GiB", most=6)
    yield Finding("ten-million", f"CPU to build {count:,}", built.cpu_seconds, "s")
    yield Finding(
        "ten-million", f"bytes of segment per model at {count:,}", built.segment_bytes / built.models, "B", most=1_200
    )
    one, ten = index_of(scale.home), index_of(home)
    # In turns, so that what else the machine does weighs on both alike.
    small, large = rivals.Ours(one), rivals.Ours(ten)
    times: tuple[list[float], list[float]] = ([], [])
    for kind, query in scale.mix():
        for found, contender in zip(times, (small, large), strict=True):
            (taken,) = measure([contender], VIEWER, [(kind, query)], scale.seconds)
            found.append(taken.microseconds[0])
    for what, share, most in (("median", 0.5, 1.3), ("p99", 0.99, 2.5)):
        of_one, of_ten = (sorted(found)[int(len(found) * share)] for found in times)
        yield Finding("ten-million", f"{what} of a page at {scale.models:,}", of_one, "µs")
        yield Finding("ten-million", f"{what} of a page at {count:,}", of_ten, "µs")
        yield Finding(
            "ten-million", f"{what}, at {count:,}, times that of {scale.models:,}", of_ten / of_one, most=most
        )


# --- A server --------------------------------------------------------------------------------------------------------


def freshness(scale: Scale) -> Iterator[Finding]:
    seen, wanted, slowest, asked = serving.freshness(scale.home, writes=1_000, workers=4)
    yield Finding("freshness", "writes seen by the next request of each of 4 workers", seen, least=wanted)
    yield Finding("freshness", "slowest request right after a write", slowest * 1000, "ms")
    yield Finding("freshness", "requests answered meanwhile", asked)


def merges(scale: Scale) -> Iterator[Finding]:
    questions = [query for _, query in scale.mix()]
    quiet, busy, written = serving.latencies_with_and_without_merges(scale.home, VIEWER, questions, seconds=20)
    for by in ("clock", "cpu"):
        for what, share in (("median", 0.5), ("p99", 0.99)):
            without, during = (found[int(len(found) * share)] for found in (getattr(quiet, by), getattr(busy, by)))
            yield Finding("merges", f"{what} of a page without merges, by {by}", without * 1e6, "µs")
            yield Finding("merges", f"{what} of a page during merges, by {by}", during * 1e6, "µs")
            most = 3 if what == "p99" else None
            yield Finding("merges", f"{what} during, times that without, by {by}", during / without, most=most)
    yield Finding("merges", "segments written or merged meanwhile", written)


def http(scale: Scale) -> Iterator[Finding]:
    for row in serving.cpu_per_request(scale.home):
        for role, what in (("new", "asked for the first time"), ("kept", "asked for again")):
            yield Finding("http", f"{row.question}, {what}: CPU per request", row.microseconds[role] or 0, "µs")
            yield Finding("http", f"{row.question}, {what}: times a constant answer", row.ratio(role), most=2.5)


def workers(scale: Scale) -> Iterator[Finding]:
    one, two = serving.requests_per_second(scale.home, [query for _, query in scale.mix()])
    yield Finding("workers", "requests a second, one worker", one.per_second)
    yield Finding("workers", "requests a second, two workers", two.per_second)
    yield Finding("workers", "two workers, times one, by the clock", two.per_second / one.per_second)
    by_cpu = 2 * one.cpu_per_request / two.cpu_per_request
    yield Finding("workers", "two workers, times one, by CPU per request", by_cpu, least=1.8)


SECTIONS: dict[str, Callable[[Scale], Iterator[Finding]]] = {
    "build": build,
    "start": start,
    "memory": memory,
    "compare": compare,
    "merges": merges,
    "freshness": freshness,
    "http": http,
    "workers": workers,
    "ten-million": ten_million,
}


# --- The table -------------------------------------------------------------------------------------------------------


def table(lines: list[dict[str, Any]]) -> str:
    """Return the last findings of each section as Markdown."""
    last = {(line["section"], line["what"]): line for line in lines}
    names = list(dict.fromkeys(what.partition("|")[2] for section, what in last if section == "classes"))
    shown = ["| One page, median µs | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)] if names else []
    for kind in dict.fromkeys(what.partition("|")[0] for section, what in last if section == "classes"):
        figures = [_shown(last["classes", f"{kind}|{name}"]["value"]) for name in names]
        shown.append(f"| {kind} | " + " | ".join(figures) + " |")
    shown += ["", "| | Measured | Target | |", "|---|---:|---:|---|"]
    for (section, _), line in last.items():
        if section != "classes":
            finding = Finding(**{name: line[name] for name in Finding.__dataclass_fields__})
            target = f"≤ {finding.most:,g}" if finding.most is not None else ""
            target = f"≥ {finding.least:,g}" if finding.least is not None else target
            verdict = ("met" if finding.is_met else "**missed**") if target else ""
            shown.append(
                f"| {section}: {finding.what} | {_shown(finding.value)} {finding.unit} | {target} | {verdict} |"
            )
    return "\n".join(shown)


def _shown(value: float) -> str:
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--home", type=Path, required=True, help="where the catalogue is kept between runs")
    parser.add_argument("--models", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--per-class", type=int, default=20, help="questions of each class")
    parser.add_argument("--seconds", type=float, default=0.05, help="for one question and one engine")
    parser.add_argument("--no-postgresql", action="store_true")
    parser.add_argument("--times", type=int, default=10, help="how many times as many models ten-million has")
    parser.add_argument("--out", type=Path, help="the file of findings; by default scale.jsonl in the home")
    parser.add_argument("--table", action="store_true", help="print the table only")
    for name in SECTIONS:
        parser.add_argument(f"--{name}", action="store_true", help="this section, and no others that are not named")
    options = parser.parse_args()
    named = [name for name in SECTIONS if getattr(options, name.replace("-", "_"))]
    scale = Scale(
        options.home,
        options.models,
        options.seed,
        options.per_class,
        options.seconds,
        not options.no_postgresql,
        options.times,
    )
    out = options.out or options.home / "scale.jsonl"
    chosen = [] if options.table else named or [name for name in SECTIONS if name != "ten-million"]
    for name in chosen:
        fill(scale)
        for finding in SECTIONS[name](scale):
            load = os.getloadavg()[0]
            line = {**asdict(finding), "models": scale.models, "machine": machine(), "load": load, "at": time.time()}
            with out.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(f"{finding.section}: {finding.what}: {_shown(finding.value)} {finding.unit}", file=sys.stderr)
    print(f"{scale.models:,} models, {machine()}\n")
    print(table([json.loads(line) for line in out.read_text().splitlines()]))


if __name__ == "__main__":
    main()
