"""What a page of the gallery costs that nobody asked for before, with its counts, and its parts.

    page     the whole answer of the application, in process: question, HTML, ETag; the caches of answers, of rendered
             cards and of pages are empty, the sets of the index are loaded
    list     the entries of the page
    facets   the counts beside the filters
    groups   the number of cards of all pages

CPU of the process in ms, the lowest and the median of the rounds, one after the other.

    python -m benchmarks.gallery --home FOLDER     a home that scale.py has filled

Last figures: docs/decide/benchmarks.md
"""

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

from benchmarks import serving
from benchmarks.search import machine
from modelyard import settings, wire
from modelyard.auth import Auth
from modelyard.catalog import Catalog
from modelyard.domain import ANONYMOUS, ModelQuery
from modelyard.index import segment as segment_module
from modelyard.index.set_cache import SetCache
from modelyard.web.app import create_app
from modelyard.web.log import open_log
from tests.app_fixture import App

QUESTIONS = (
    "",
    "filter.search=style",
    "filter.search=anime",
    "filter.search=safetensors",
    "filter.types=lora",
    "filter.base_model=SDXL+1.0",
    "filter.search=style&filter.types=lora",
    "filter.search=hands&filter.is_nsfw=false",
    "filter.types=checkpoint&filter.search=real",
    "filter.tags=style",
    "filter.is_nsfw=false",
)
_OTHERS = ("size", "year", "profile")
# Reads the names of base models, starts the thread, and has no card.
_WARM = b"/parts/filters?filter.search=style+anime"


def forget(catalog: Catalog) -> None:
    """Empty the caches of answers. The sets stay loaded."""
    index = catalog._index
    for part in index.segments:
        for segment in (part.segment, part.segment.searching):
            segment.computed = SetCache(segment_module.COMPUTED_BYTES_MAX)
    index._snapshot = replace(index._snapshot, answers=SetCache(1 << 22))


def cpu(work: Callable[[], object]) -> float:
    """Return the CPU that some work takes, in ms."""
    started = time.process_time()
    work()
    return (time.process_time() - started) * 1000


def measure(home: Path, question: str, catalog: Catalog, rounds: int) -> dict[str, list[float]]:
    """Return the times of the page and of its parts."""
    store = catalog.store
    access = Auth(store, anonymous="public")
    loop = asyncio.new_event_loop()
    times: dict[str, list[float]] = {"page": [], "list": [], "facets": [], "groups": []}
    query: ModelQuery = wire.parse_query(question.encode(), list).query
    query = replace(query, limit=24)
    parts: dict[str, Callable[[], object]] = {
        "list": lambda: catalog.list_models(ANONYMOUS, query, is_grouped=True),
        "facets": lambda: catalog.facets(ANONYMOUS, query, others=_OTHERS),
        "groups": lambda: catalog.count_groups(ANONYMOUS, query),
    }
    for _ in range(rounds):
        logged = StringIO()
        log = open_log("error", logged)
        read = replace(settings.load(home, {}), anonymous_access="public")
        app = App(store, catalog, access, create_app(catalog, access, read, log=log), log, logged)
        assert loop.run_until_complete(app.answer(_WARM, headers=[])).status == 200
        forget(catalog)
        target = f"/?{question}".encode()
        times["page"].append(cpu(lambda: loop.run_until_complete(app.answer(target, headers=[]))))  # noqa: B023 # at once
        forget(catalog)
        for name, work in parts.items():
            times[name].append(cpu(work))
    loop.close()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    catalog = serving.opened(options.home)
    catalog.load()
    for _ in catalog.check_segments():
        pass
    for question in QUESTIONS:  # loads the sets
        measure(options.home, question, catalog, 1)
    models = sum(count for count, _ in catalog.segments())
    print(f"{models:,} models, {machine()}, load {os.getloadavg()[0]:.0f}; CPU in ms, lowest and median\n")
    print("| question | matches | page | list | facets | groups |\n|---|---:|---:|---:|---:|---:|")
    for question in QUESTIONS:
        times = measure(options.home, question, catalog, options.rounds)
        matches = catalog.count(ANONYMOUS, wire.parse_query(question.encode(), list).query)
        figures = (f"{min(values):.2f}, {statistics.median(values):.2f}" for values in times.values())
        print(f"| `{question}` | {matches:,} | {' | '.join(figures)} |", flush=True)
    catalog.close()


if __name__ == "__main__":
    main()
