"""The request rate and latency of the last ten minutes, sampled every few seconds, for the status page.

Each worker process keeps its own history of the counters that all workers share. The history starts with the worker.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from modelyard.web.metrics import Metrics

SAMPLE_SECONDS = 5.0
READINGS_MAX = 121


@dataclass(frozen=True, slots=True)
class CounterReading:
    """The counters at a time. ``buckets``: requests by the bucket's upper bound in seconds, cumulative."""

    at: float
    requests: float
    buckets: Mapping[float, float]


@dataclass(frozen=True, slots=True)
class TrafficSample:
    """The traffic between two readings. Latencies are None if there was no request."""

    per_second: float
    median_seconds: float | None
    p99_seconds: float | None


@dataclass(frozen=True, slots=True)
class TrafficHistory:
    """The counter readings of the last ten minutes."""

    metrics: Metrics
    clock: Callable[[], float] = time.monotonic
    readings: deque[CounterReading] = field(default_factory=lambda: deque(maxlen=READINGS_MAX))

    def read_counters(self) -> None:
        """Store a reading of the counters."""
        requests = 0.0
        buckets: dict[float, float] = {}
        for metric in self.metrics.collect():
            for sample in metric.samples:
                if sample.name == "modelyard_requests_total":
                    requests += sample.value
                elif sample.name == "modelyard_request_seconds_bucket":
                    bound = float(sample.labels["le"])
                    buckets[bound] = buckets.get(bound, 0.0) + sample.value
        self.readings.append(CounterReading(self.clock(), requests, buckets))

    def list_samples(self) -> list[TrafficSample]:
        """Return the traffic between each two readings, oldest first."""
        return [_compare(before, after) for before, after in pairwise([*self.readings])]


def _compare(before: CounterReading, after: CounterReading) -> TrafficSample:
    elapsed = max(after.at - before.at, 1e-9)
    # A replaced worker counts from zero again; the rate must not become negative.
    requests = max(after.requests - before.requests, 0.0)
    counts = {bound: total - before.buckets.get(bound, 0.0) for bound, total in after.buckets.items()}
    return TrafficSample(requests / elapsed, estimate_quantile(counts, 0.5), estimate_quantile(counts, 0.99))


def estimate_quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """Return the value that a share of the observations does not exceed; None without observations.

    The observations of a bucket are assumed to be evenly distributed, as in Prometheus. Above the last finite bound,
    that bound is returned.
    """
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0.0
    if total <= 0:
        return None
    target = share * total
    low, below = 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= target:
            if bound == float("inf"):
                return low
            return low + (bound - low) * (target - below) / (buckets[bound] - below)
        low, below = bound, buckets[bound]
    return low
