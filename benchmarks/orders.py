"""How long a page takes in every order with every mix of filters, and what `filter.search` costs beside `filter.query`.

In process and on one thread, over the invented rows and questions of synthesis.py. Each question is asked in each
order, from the start and from a deep position. Then the questions with words are asked of both parameters. A figure is
the median of a question's runs in CPU time of the thread; the first run fills caches and does not count.

    python -m benchmarks.orders                      100,000 models
    python -m benchmarks.orders --models 1000000

Last figures: docs/decide/benchmarks.md
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from math import exp, log

from benchmarks import synthesis
from benchmarks.search import VIEWER, machine, told
from modelyard import wire
from modelyard.domain import POPULAR, SORTS, ModelQuery, Offset, words_of
from modelyard.index import Index

OTHER_SORTS = [sign + name for name in SORTS for sign in ("", "-") if sign + name != POPULAR]
_DEEP = Offset(5_000)


def median_us(index: Index, query: ModelQuery, runs: int) -> float:
    """Return the median CPU time of a page in microseconds."""
    index.search(VIEWER, query)
    times = []
    for _ in range(runs):
        started = time.thread_time_ns()
        index.search(VIEWER, query)
        times.append(time.thread_time_ns() - started)
    return statistics.median(times) / 1000


def sorted_questions(index: Index, per_class: int) -> Iterator[tuple[str, ModelQuery]]:
    """Yield each question in each order, from the start and from a deep position."""
    deep = {sort: index.search(VIEWER, ModelQuery(sort=sort, start=_DEEP, limit=1)).following for sort in OTHER_SORTS}
    for kind, query in synthesis.query_mix(0, per_class):
        for sort in OTHER_SORTS:
            yield f"{kind}, {sort}", replace(query, sort=sort, start=None)
            yield f"{kind}, {sort}, deep", replace(query, sort=sort, start=deep[sort])


def compare_search(index: Index, per_class: int, runs: int) -> str:
    """Return what `filter.search` costs beside `filter.query`."""
    ratios = []
    for _, query in synthesis.query_mix(0, per_class):
        if words := words_of(" ".join(query.terms)):
            searching = median_us(index, replace(query, terms=(), words=words), runs)
            ratios.append(searching / median_us(index, query, runs))
    mean = exp(sum(map(log, ratios)) / len(ratios))
    return f"* `filter.search`: {mean:.2f} times `filter.query`, geometric mean over {len(ratios)} questions"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", type=int, default=100_000)
    parser.add_argument("--per-class", type=int, default=1, help="questions of each class")
    parser.add_argument("--runs", type=int, default=7, help="of each question")
    options = parser.parse_args()
    index = Index(wire.pack_record)
    with told("Modelyard"):
        index.load(synthesis.models(options.models), 1)
    measured = sorted(
        (median_us(index, query, options.runs), name) for name, query in sorted_questions(index, options.per_class)
    )
    times = [time_us for time_us, _ in measured]
    p99 = times[int(len(times) * 0.99)]
    print(f"{options.models:,} models, one thread, {machine()}\n")
    print(
        f"* pages in other orders: median {statistics.median(times):.0f} µs, p99 {p99:.0f} µs, "
        f"slowest {times[-1]:.0f} µs ({measured[-1][1]}); {len(times)} questions"
    )
    print(compare_search(index, 6 * options.per_class, 5 * options.runs))


if __name__ == "__main__":
    main()
