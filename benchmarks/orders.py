"""How long a page takes in every order, with every mix of filters, in process and on one thread.

The invented rows and questions of synthesis.py, each in each order, pages from the start and from a deep position.
`filter.search` is asked what `filter.query` is asked, and compared with it.

    python -m benchmarks.orders                      100,000 models
    python -m benchmarks.orders --models 1000000

Last figures: docs/decide/benchmarks.md
"""

import argparse
import random
import statistics
from collections.abc import Iterator
from dataclasses import replace

from benchmarks import synthesis
from benchmarks.search import VIEWER, machine, median_us, told
from modelyard import wire
from modelyard.domain import POPULAR, SORTS, ModelQuery, Offset, SortPosition
from modelyard.index import Index

EVERY_SORT = [sign + name for name in SORTS for sign in ("", "-")]


def starts(sort: str, index: Index, query: ModelQuery) -> Iterator[ModelQuery]:
    """Yield the question from the start, from a position deep in the order, and from an offset."""
    yield query
    if sort == POPULAR:
        return
    deep = index.search(VIEWER, ModelQuery(sort=sort, start=Offset(random.randrange(10_000)), limit=1)).following
    if isinstance(deep, SortPosition):
        yield replace(query, start=deep)


def questions(index: Index, per_class: int) -> Iterator[tuple[str, str, ModelQuery]]:
    """Yield the class, the order and the question."""
    for kind, query in synthesis.query_mix(0, per_class):
        for sort in EVERY_SORT:
            for asked in starts(sort, index, replace(query, sort=sort, start=None)):
                yield kind, sort, asked


def report(measured: list[tuple[str, str, float]]) -> str:
    """Return the figures as a Markdown table."""
    lines = ["| Order | median µs | p99 µs | slowest µs |", "|---|---:|---:|---:|"]
    for sort in [*EVERY_SORT, None]:
        times = sorted(time for _, order, time in measured if sort in (None, order))
        p99 = times[int(len(times) * 0.99)]
        lines.append(f"| {sort or 'all'} | {statistics.median(times):.0f} | {p99:.0f} | {times[-1]:.0f} |")
    slowest = sorted(measured, key=lambda one: -one[2])[:8]
    lines += ["", *(f"* {kind}, {sort}: {time:.0f} µs" for kind, sort, time in slowest)]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", type=int, default=100_000)
    parser.add_argument("--per-class", type=int, default=4, help="questions of each class")
    parser.add_argument("--seconds", type=float, default=0.01, help="for one question")
    options = parser.parse_args()
    index = Index(wire.render_record)
    with told("Modelyard"):
        index.load(synthesis.models(options.models), 1)
    measured = []
    for kind, sort, query in questions(index, options.per_class):
        index.search(VIEWER, query)
        measured.append((kind, sort, median_us(lambda query=query: index.search(VIEWER, query), options.seconds)))  # type: ignore[misc] # the default binds the question
    print(f"{options.models:,} models, one thread, {machine()}\n")
    print(report(measured))


if __name__ == "__main__":
    main()
