"""What is measured of a server of several processes; the sections of scale.py that need one."""

import multiprocessing
import random
import socket
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from benchmarks import http
from modelyard import wire
from modelyard.auth import Auth
from modelyard.catalog import Catalog, open_catalog
from modelyard.domain import POPULAR, Model, ModelQuery, Offset, Scope, Source, Viewer, Visibility, model_type
from modelyard.facts import Entry, Facts, Layer, Record
from modelyard.store import open_store
from tests.indexing import run_indexer
from tests.process_commands import serving

TEAM = "team-0"
_LOADERS = 2
_CHANGED_AT_ONCE = 2_000
_CHANGE_SECONDS = 0.5
_SPAWNED = multiprocessing.get_context("spawn")


def opened(home: Path) -> Catalog:
    """Open the catalogue of a home."""
    return open_catalog(open_store(f"sqlite:///{home}/modelyard.sqlite"), home)


def key_of(home: Path) -> str:
    """Make a key of the team whose private models are asked for too."""
    store = open_store(f"sqlite:///{home}/modelyard.sqlite")
    key, _ = Auth(store).create_key(TEAM, [Scope.READ], expires_in_seconds=86_400)
    store.close()
    return key


def private_bytes(process_id: int) -> int:
    """Return the memory that a process shares with no other."""
    lines = Path(f"/proc/{process_id}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) * 1024


def target_of(query: ModelQuery) -> str:
    """Return a question as a query string."""
    start = query.start
    cursor = f"c_{start.matches}" if isinstance(start, Offset) else wire.format_cursor(start) if start else ""
    flags = {"is_sdxl": query.is_sdxl, "is_nsfw": query.is_nsfw, "is_inpainting": query.is_inpainting or None}
    pairs = [(f"filter.{name}", str(flag).lower()) for name, flag in flags.items() if flag is not None]
    many = {
        "types": query.types,
        "source": query.sources,
        "base_model": query.base_models,
        "tags": query.tags,
        "commercial": query.commercial,
        "credit": query.credit,
        "derivatives": query.derivatives,
    }
    pairs += [(f"filter.{name}", value) for name, values in many.items() for value in sorted(values)]
    given = {
        "filter.visibility": query.visibility,
        "filter.query": " ".join(query.terms),
        "filter.search": " ".join(query.words),
        "filter.model_version_id": query.id,
        "filter.hash": query.hash,
        "sort": query.sort if query.sort != POPULAR else None,
        "pagination.limit": query.limit,
        "pagination.cursor": cursor,
    }
    return urlencode(pairs + [(name, str(value)) for name, value in given.items() if value])


def private_bytes_of_workers(home: Path, questions: Sequence[ModelQuery]) -> tuple[int, int]:
    """Return the most private memory of two workers, before and after each was asked all questions."""
    with serving(home, 2, key_of(home)) as server, server.one_connection_to_each(2) as connections:
        fresh = max(map(private_bytes, connections))
        for query in questions:
            for connection in connections.values():
                server.ids(connection, target_of(query))
        return fresh, max(map(private_bytes, connections))


def seconds_to_first_answer(home: Path) -> float:
    """Return how long the command takes from its start to its first page."""
    key = key_of(home)
    started = time.perf_counter()
    with serving(home, 1, key) as server:
        connection = server.connect()
        server.ids(connection, "filter.query=style")
        seconds = time.perf_counter() - started
        connection.close()
    return seconds


# --- Freshness -------------------------------------------------------------------------------------------------------


def freshness(home: Path, writes: int, workers: int) -> tuple[int, int, float, int]:
    """Write, and ask every worker for what was written, while others ask too.

    Return how many questions saw it, of how many; the longest wait for such an answer in seconds; and how many requests
    the others had answered.
    """
    writing = opened(home)
    seen, longest = 0, 0.0
    made: set[int] = set()
    with serving(home, workers, key_of(home)) as server, server.one_connection_to_each(workers) as connections:
        with loaded(
            server.port, server.key, ["filter.query=style", "filter.types=lora", "filter.is_sdxl=true"]
        ) as asked:
            for number in range(writes):
                (outcome,) = writing.register_many([_written(number)])
                assert outcome.id is not None
                made.add(outcome.id)
                for connection in connections.values():
                    started = time.perf_counter()
                    seen += outcome.id in server.ids(connection, f"filter.query=fresh{number}x&pagination.limit=5")
                    longest = max(longest, time.perf_counter() - started)
        answered = sum(asked)
    with writing.store.transaction() as removing:
        removing.remove(made)
    writing.close()
    return seen, writes * workers, longest, answered


def _written(number: int) -> Record:
    facts = Facts(name="v1", sd_name=f"fresh{number}x.safetensors", type=model_type("LORA"))
    return Record(None, Source.TRAINING, Layer.USER, facts, Visibility.PRIVATE, TEAM)


@contextmanager
def loaded(port: int, key: str, questions: Sequence[str]) -> Iterator[list[int]]:
    """Keep a server busy; the list holds, at the end, how many requests each of those who asked had answered."""
    counts = [_SPAWNED.Value("q", 0) for _ in range(_LOADERS)]
    ended = _SPAWNED.Event()
    requests = [http.request_bytes(question, key, "") for question in questions]
    running = [_SPAWNED.Process(target=_load, args=(port, requests, ended, count)) for count in counts]
    for process in running:
        process.start()
    answered: list[int] = []
    try:
        yield answered
    finally:
        ended.set()
        for process in running:
            process.join()
        answered += [count.value for count in counts]


def _load(port: int, requests: Sequence[bytes], ended: Event, count: Any) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        while not ended.is_set():
            for request in requests:
                connection.sendall(request)
                status, _ = http.read_answer(connection)
                assert status == 200, status
                count.value += 1


# --- Merges ----------------------------------------------------------------------------------------------------------


def latencies_with_and_without_merges(
    home: Path, viewer: Viewer, questions: Sequence[ModelQuery], seconds: float
) -> tuple["Latencies", "Latencies", int]:
    """Return how long each question took while nothing changed, and while ranks change and segments are merged; and
    how many segments were written meanwhile."""
    asking = opened(home)
    for query in questions:
        asking.search(viewer, query)
    quiet = _latencies(asking, viewer, questions, seconds)
    ended = _SPAWNED.Event()
    running = [_SPAWNED.Process(target=work, args=(home, ended)) for work in (_change_ranks, _keep_up)]
    for process in running:
        process.start()
    written: set[str] = set()
    watching = threading.Event()
    watch = threading.Thread(target=_watch, args=(home, written, watching))
    watch.start()
    time.sleep(3)  # both have started
    busy = _latencies(asking, viewer, questions, seconds)
    ended.set()
    for process in running:
        process.join()
    watching.set()
    watch.join()
    asking.close()
    return quiet, busy, len(written)


@dataclass(frozen=True)
class Latencies:
    """Seconds of each answer, ascending: by the clock, and of CPU, which waiting for a busy machine is not in."""

    clock: list[float]
    cpu: list[float]


def _latencies(asking: Catalog, viewer: Viewer, questions: Sequence[ModelQuery], seconds: float) -> Latencies:
    clock: list[float] = []
    cpu: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for query in questions:
            started, spent = time.perf_counter(), time.thread_time()
            asking.search(viewer, query)
            cpu.append(time.thread_time() - spent)
            clock.append(time.perf_counter() - started)
    return Latencies(sorted(clock), sorted(cpu))


def _watch(home: Path, written: set[str], ended: threading.Event) -> None:
    while not ended.wait(0.05):
        written |= {path.name for path in (home / "index").iterdir() if path.is_dir()}


def _change_ranks(home: Path, ended: Event) -> None:
    """Change the ranks of many models at once, again and again, as a refresh of download counts does."""
    store = open_store(f"sqlite:///{home}/modelyard.sqlite")
    chance = random.Random(0)
    with store.snapshot() as snapshot:
        ids = [model.id for _, model in zip(range(200_000), snapshot.models(), strict=False)]
    while not ended.wait(_CHANGE_SECONDS):
        with store.transaction() as writing:
            entries = writing.entries(chance.sample(ids, min(_CHANGED_AT_ONCE, len(ids))))
            writing.put([Entry(_risen(entry.model), entry.layers) for entry in entries.values()])
    store.close()


def _risen(model: Model) -> Model:
    return replace(model, rank=model.rank + 1)


def _keep_up(home: Path, ended: Event) -> None:
    keeping = opened(home)
    stopped = threading.Event()
    working = threading.Thread(target=run_indexer, args=(keeping, stopped))
    working.start()
    ended.wait()
    stopped.set()
    working.join()
    keeping.close()


# --- HTTP ------------------------------------------------------------------------------------------------------------


def cpu_per_request(home: Path) -> Iterator[http.Row]:
    """Yield CPU per request beside a constant answer, for each question of http.py."""
    key = key_of(home)
    with ExitStack() as stack:
        ours = {role: stack.enter_context(http.started(role, home)) for role in http.OURS}
        for question, query in http.QUESTIONS:
            asked = http.page_requests(ours["new"].port, query, key, "")
            yield http.measure(question, asked, ours, home, home, requests=2_000, rounds=3)


@dataclass(frozen=True)
class Rate:
    """Requests a second by the clock, and the CPU seconds of a worker for each."""

    per_second: float
    cpu_per_request: float


def requests_per_second(home: Path, questions: Sequence[ModelQuery]) -> tuple[Rate, Rate]:
    """Return the rate of one worker, and of two, over the mix; the clients run on the same machine."""
    key = key_of(home)
    targets = [target_of(query) for query in questions]
    return _rate(home, key, 1, targets), _rate(home, key, 2, targets)


def _rate(home: Path, key: str, workers: int, targets: Sequence[str]) -> Rate:
    rates = []
    with serving(home, workers, key) as server:
        with server.one_connection_to_each(workers) as connections:
            processes = list(connections)
        for _ in range(3):
            before, started = sum(map(http.cpu_seconds, processes)), time.perf_counter()
            with loaded(server.port, key, targets) as answered:
                time.sleep(6)
            seconds = time.perf_counter() - started
            spent = sum(map(http.cpu_seconds, processes)) - before
            rates.append(Rate(sum(answered) / seconds, spent / sum(answered)))
    return Rate(
        statistics.median(rate.per_second for rate in rates), statistics.median(rate.cpu_per_request for rate in rates)
    )
