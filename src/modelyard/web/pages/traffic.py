"""How the server has been doing of late: request rate and latency, sampled every few seconds, for the status page.

Each worker keeps its own memory of what all workers counted together; it begins with the worker and lasts ten minutes.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from modelyard.web.metrics import Metrics

SAMPLE_SECONDS = 5.0
SAMPLES_MAX = 121


@dataclass(frozen=True, slots=True)
class Sample:
    """What had been counted at a time. ``up_to``: requests by the bucket's upper bound in seconds, cumulative."""

    at: float
    requests: float
    up_to: Mapping[float, float]


@dataclass(frozen=True, slots=True)
class Beat:
    """What happened between two samples. Latencies are None where nothing was asked."""

    per_second: float
    median_seconds: float | None
    p99_seconds: float | None


@dataclass(frozen=True, slots=True)
class Pulse:
    """The samples of the last ten minutes."""

    metrics: Metrics
    clock: Callable[[], float] = time.monotonic
    samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=SAMPLES_MAX))

    def sample(self) -> None:
        """Note what has been counted by now."""
        requests = 0.0
        up_to: dict[float, float] = {}
        for metric in self.metrics.collect():
            for counted in metric.samples:
                if counted.name == "modelyard_requests_total":
                    requests += counted.value
                elif counted.name == "modelyard_request_seconds_bucket":
                    bound = float(counted.labels["le"])
                    up_to[bound] = up_to.get(bound, 0.0) + counted.value
        self.samples.append(Sample(self.clock(), requests, up_to))

    def beats(self) -> list[Beat]:
        """Return what happened between the samples, oldest first."""
        return [_beat(before, after) for before, after in pairwise([*self.samples])]


def _beat(before: Sample, after: Sample) -> Beat:
    elapsed = max(after.at - before.at, 1e-9)
    # A worker that was replaced begins to count anew; that is no negative number of requests.
    requests = max(after.requests - before.requests, 0.0)
    counts = {bound: total - before.up_to.get(bound, 0.0) for bound, total in after.up_to.items()}
    return Beat(requests / elapsed, quantile(counts, 0.5), quantile(counts, 0.99))


def quantile(up_to: Mapping[float, float], share: float) -> float | None:
    """Return the value that a share of the observations does not exceed, by cumulative buckets; None without any.

    Within a bucket observations are taken to be even, as Prometheus does; above the last bound, the bound is told.
    """
    bounds = sorted(up_to)
    total = up_to[bounds[-1]] if bounds else 0.0
    if total <= 0:
        return None
    wanted = share * total
    low, below = 0.0, 0.0
    for bound in bounds:
        if up_to[bound] >= wanted:
            if bound == float("inf"):
                return low
            inside = up_to[bound] - below
            return low + (bound - low) * ((wanted - below) / inside if inside else 1.0)
        low, below = bound, up_to[bound]
    return low
