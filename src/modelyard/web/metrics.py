"""The metrics for Prometheus at ``/metrics``.

A single process counts in its memory. Several workers count in files of a shared folder, and each of them can return
the sum of all.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from modelyard.store.jobs import Summary
from modelyard.web.cache import CacheUse

# The library's variable for the folder of the files. The library reads it each time it opens a file.
_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
# From the few microseconds of the index to a request that waited for a write.
_BUCKETS_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0)
_UNMATCHED = "unmatched"


class Metrics:
    """Counts requests, and renders the metrics."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "modelyard_requests", "Requests answered.", ("route", "method", "status"), registry=self._registry
        )
        self._cut_off = Counter(
            "modelyard_responses_cut_off",
            "Responses that ended before they were whole, by who ended them.",
            ("route", "by"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "modelyard_request_seconds",
            "From the first byte of the request read to the answer handed to the socket.",
            ("route",),
            buckets=_BUCKETS_SECONDS,
            registry=self._registry,
        )
        self._revision = Gauge(
            "modelyard_catalog_revision",
            "The last revision of the catalogue that requests see.",
            multiprocess_mode="mostrecent",
            registry=self._registry,
        )
        self._bytes = {
            name: Counter(f"modelyard_{name}_bytes", text, registry=self._registry)
            for name, text in (
                ("received", "Bytes of the bodies of requests."),
                ("sent", "Bytes of the bodies of responses, without what a proxy or the file store sends."),
            )
        }
        self._cache_lookups = Counter(
            "modelyard_cache_lookups",
            "Answers that a cache in memory was asked for, by cache and by whether it had them.",
            ("cache", "result"),
            registry=self._registry,
        )
        # The use of each cache, and what is counted of it already.
        self._caches: list[tuple[str, CacheUse, CacheUse]] = []
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def count(self, route: str | None, method: str, status: int, seconds: float) -> None:
        """Count one answered request. ``route`` is the path of the route, None if no route matched."""
        key = (route or _UNMATCHED, method, status)
        children = self._children.get(key)
        if children is None:
            # The method comes from the client: an invented one must not become a new time series.
            name = method if method in _METHODS else "other"
            children = (self._requests.labels(key[0], name, status), self._seconds.labels(key[0]))
            if name == method:
                self._children[key] = children
        children[0].inc()
        children[1].observe(seconds)

    def count_cut_off(self, route: str | None, by: str) -> None:
        """Count one response that the ``client`` or the ``server`` ended before it was whole."""
        self._cut_off.labels(route or _UNMATCHED, by).inc()

    def watch_cache(self, name: str, use: CacheUse) -> None:
        """Count the use of a cache from now on, whenever ``count_cache_lookups`` is called."""
        self._caches.append((name, use, CacheUse(use.hits, use.misses)))

    def count_cache_lookups(self) -> None:
        """Count what the caches were asked for since the last time. A lookup itself costs no metric."""
        for name, use, counted in self._caches:
            hits, misses = use.hits, use.misses
            for result, number in (("hit", hits - counted.hits), ("miss", misses - counted.misses)):
                if number:
                    self._cache_lookups.labels(name, result).inc(number)
            counted.hits, counted.misses = hits, misses

    def count_bytes(self, received: int, sent: int) -> None:
        """Count the bytes of some bodies."""
        if received:
            self._bytes["received"].inc(received)
        if sent:
            self._bytes["sent"].inc(sent)

    def collect(self) -> Iterable[Metric]:
        """Return the metrics of all workers."""
        return self._all_workers().collect()

    def render(self, revision: int) -> bytes:
        """Return the metrics of all workers in the text format of Prometheus."""
        self._revision.set(revision)
        self.count_cache_lookups()
        return generate_latest(self._all_workers())

    def render_jobs(self, summaries: Sequence[Summary], now: float) -> bytes:
        """Return how the background work of each kind stands, in the same format."""
        states = GaugeMetricFamily("modelyard_jobs", "Background work, by kind and state.", labels=("kind", "state"))
        for work in summaries:
            for state in ("waiting", "running", "failed", "given_up"):
                states.add_metric((work.kind, state), getattr(work, state))
        gauges: list[Metric] = [states]
        for name, text, since in (
            ("waiting", "How long the oldest waiting work has waited.", "waiting_since"),
            ("running", "How long the oldest running work has run.", "running_since"),
        ):
            ages = GaugeMetricFamily(f"modelyard_jobs_{name}_seconds", text, labels=("kind",))
            for work in summaries:
                at = getattr(work, since)
                ages.add_metric((work.kind,), 0 if at is None else max(0.0, now - at))
            gauges.append(ages)
        for name, text in (
            ("last_run_at", "When work that returns was done last, in Unix seconds."),
            ("next_run_at", "When work is due next, in Unix seconds."),
            ("last_failure_at", "When work that is listed failed last, in Unix seconds."),
        ):
            times = GaugeMetricFamily(f"modelyard_jobs_{name}", text, labels=("kind",))
            for work in summaries:
                if getattr(work, name) is not None:
                    times.add_metric((work.kind,), getattr(work, name))
            gauges.append(times)
        registry = CollectorRegistry()
        registry.register(_Fixed(gauges))
        return generate_latest(registry)

    def _all_workers(self) -> CollectorRegistry:
        if _FOLDER_VARIABLE not in os.environ:
            return self._registry
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # prometheus_client leaves it untyped
        return registry


class _Fixed(Collector):
    """A collector of what was counted already."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@contextmanager
def shared_by_workers() -> Iterator[None]:
    """Make the processes that start inside of this context count together.

    Enter it before the workers are forked. Each worker makes its Metrics after that.
    """
    single_process_class = values.ValueClass
    with tempfile.TemporaryDirectory(prefix="modelyard-metrics-") as folder:
        os.environ[_FOLDER_VARIABLE] = folder
        # The library decides by the variable when it is imported, and then the number of workers is not known yet. This
        # makes the same decision again.
        values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call] # the library leaves it untyped
        try:
            yield
        finally:
            values.ValueClass = single_process_class
            del os.environ[_FOLDER_VARIABLE]
