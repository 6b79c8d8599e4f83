"""``/status``: whether the server runs, for everybody; its disk, work, failures, traffic and models, for operators."""

import datetime
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from modelyard import describe_version, errors
from modelyard.domain import ModelQuery, Source, fold_base
from modelyard.index import Facets
from modelyard.jobs import tasks
from modelyard.store import Store, jobs
from modelyard.store.backup import LAST_BACKUP_NOTE
from modelyard.store.jobs import Listed, Summary
from modelyard.web.pages.installation import measure_disk, measure_folder
from modelyard.web.pages.labels import (
    SOURCE_LABELS,
    format_duration,
    format_minute,
    get_type_label,
    read_base_model_labels,
)
from modelyard.web.pages.page import PageContext, PageRequest, render_page
from modelyard.web.pages.traffic import READINGS_MAX, SAMPLE_SECONDS, TrafficSample
from modelyard.web.responses import Response

_BARS_MAX = 12
_FAILURES_MAX = 50
WIDTH, HEIGHT = 600, 140


@dataclass(frozen=True, slots=True)
class Bar:
    """A value of a field and the number of models with it. ``share`` is the percentage of the longest bar."""

    label: str
    count: int
    share: float


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a chart: SVG points in a box of ``WIDTH`` by ``HEIGHT``, and the newest value."""

    name: str
    points: str
    now: str

    @property
    def start(self) -> str:
        """The x coordinate of the first point."""
        return self.points.partition(",")[0]


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over the last minutes on one scale. ``top`` is the value at the top."""

    title: str
    top: str
    lines: tuple[Line, ...]


def show(context: PageContext, page_request: PageRequest) -> Response:
    """Show the status page: all of it to operators, and a short one to others.

    Reads the database and the disk for operators, so it must run in a thread.
    """
    viewer = page_request.reader
    facets = context.catalog.facets(viewer, ModelQuery())
    is_operator = context.auth.is_operator(viewer)
    details = None
    if is_operator:
        # Without the database, operators still see that it is away.
        with suppress(errors.Unavailable):
            details = _read_details(context, facets)
    return render_page(
        page_request,
        "status.html",
        total=facets.total,
        revision=context.catalog.revision,
        unreachable_seconds=context.catalog.unreachable_seconds(),
        is_operator=is_operator,
        details=details,
    )


def _read_details(context: PageContext, facets: Facets) -> dict[str, object]:
    """Return what operators see in addition."""
    now = time.time()
    store = context.catalog.store
    segments = context.catalog.segments()
    last_backup = store.get_property(LAST_BACKUP_NOTE)
    with store.reading() as connection:
        work = tasks.summaries(connection)
        failures = jobs.failures(connection, _FAILURES_MAX)
        disk = measure_disk(context.installation, connection)
    samples = context.traffic.list_samples()
    return {
        "fields": _make_fields(store, facets),
        "segments": len(segments),
        "stored_segments": sum(is_stored for _, is_stored in segments),
        "index_bytes": measure_folder(context.installation.home / "index"),
        "version": describe_version(),
        "uptime": format_duration(now - context.installation.started_at),
        "backup_age": format_duration(now - int(last_backup)) if last_backup else None,
        "backup_time": format_minute(int(last_backup)) if last_backup else None,
        "disk": disk,
        "waiting": sum(kind.waiting + kind.running + kind.failed for kind in work if kind.kind == jobs.CHECK),
        "given_up_count": sum(kind.given_up for kind in work),
        "work": [_make_work_row(kind, now) for kind in work],
        "failures": [_make_failure_row(job, now) for job in failures],
        "other_failures": max(0, sum(kind.failed + kind.given_up for kind in work) - len(failures)),
        "charts": make_charts(samples) if len(samples) > 1 else (),
        "minutes": round(READINGS_MAX * SAMPLE_SECONDS / 60),
        "box": (WIDTH, HEIGHT),
    }


def _make_fields(store: Store, facets: Facets) -> list[tuple[str, list[Bar]]]:
    base_models = read_base_model_labels(store)
    return [
        ("Type", _make_bars([(get_type_label(name), count) for name, count in facets.types])),
        ("Source", _make_bars([(SOURCE_LABELS[Source(name)], count) for name, count in facets.sources])),
        (
            "Base model",
            _make_bars(
                [(base_models.get(fold_base(name), name) or "unknown", count) for name, count in facets.base_models]
            ),
        ),
    ]


def _make_failure_row(job: Listed, now: float) -> tuple[object, ...]:
    """Return a row of the table of failures. Subject and team are left out: they may be those of another team."""
    following = "given up" if job.state == "dead" else f"again in {_age(round(now), job.run_at)}"
    return (job.id, job.kind, job.attempts, _age(job.failed_at, now), following, job.failure)


def _make_work_row(work: Summary, now: float) -> tuple[object, ...]:
    """Return a row of the table of background work: kind, counts, and how long ago or from now things are."""
    return (
        work.kind,
        work.waiting,
        work.running,
        work.failed,
        work.given_up,
        _age(work.waiting_since, now),
        _age(work.running_since, now),
        _age(work.last_run_at, now),
        "" if work.next_run_at is None else _age(round(now), work.next_run_at),
        _age(work.last_failure_at, now),
    )


def _age(since: int | None, now: float) -> str:
    return "" if since is None else str(datetime.timedelta(seconds=max(0, round(now - since))))


def _make_bars(counts: Sequence[tuple[str, int]]) -> list[Bar]:
    groups = [*counts[:_BARS_MAX]]
    if rest := sum(count for _, count in counts[_BARS_MAX:]):
        number = len(counts) - _BARS_MAX
        groups.append((f"{number} {'other' if number == 1 else 'others'}", rest))
    longest = max((count for _, count in groups), default=1)
    return [Bar(label, count, round(100 * count / longest, 2)) for label, count in groups]


def make_charts(samples: Sequence[TrafficSample]) -> tuple[Chart, ...]:
    """Return the charts of request rate and latency."""
    rates = [sample.per_second for sample in samples]
    medians = [sample.median_seconds for sample in samples]
    slowest = [sample.p99_seconds for sample in samples]
    top_rate = max([*rates, 1.0])
    top_seconds = max([*(seconds for seconds in slowest if seconds is not None), 0.001])
    return (
        Chart(
            "Requests per second",
            f"{top_rate:,.0f}",
            (Line("all routes", _format_points(rates, top_rate), f"{rates[-1]:,.1f}"),),
        ),
        Chart(
            "Latency",
            _format_milliseconds(top_seconds),
            (
                Line("99th percentile", _format_points(slowest, top_seconds), _format_milliseconds(slowest[-1])),
                Line("median", _format_points(medians, top_seconds), _format_milliseconds(medians[-1])),
            ),
        ),
    )


def _format_milliseconds(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return f"{seconds * 1000:.2f} ms" if seconds < 0.01 else f"{seconds * 1000:,.0f} ms"


def _format_points(values: Sequence[float | None], top: float) -> str:
    """Return SVG points for a series, with the newest at the right edge. An unknown value is drawn as zero."""
    step = WIDTH / (READINGS_MAX - 2)
    start = WIDTH - step * (len(values) - 1)
    return " ".join(
        f"{start + number * step:.1f},{HEIGHT - HEIGHT * (value or 0.0) / top:.1f}"
        for number, value in enumerate(values)
    )
