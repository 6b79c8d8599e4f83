"""``/status``: what the catalogue holds, the state of its index, what waits to be checked, and how requests fare."""

import datetime
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelyard.domain import ModelQuery, Source
from modelyard.jobs import tasks
from modelyard.store.jobs import CHECK, Summary
from modelyard.web.pages.cards import SOURCE_LABELS, label_of_type
from modelyard.web.pages.page import Site, Visit, page
from modelyard.web.pages.traffic import SAMPLE_SECONDS, SAMPLES_MAX, Beat
from modelyard.web.responses import Response

_BARS_MAX = 12
WIDTH, HEIGHT = 600, 140


@dataclass(frozen=True, slots=True)
class Bar:
    """One value of a field and how many models have it; ``share`` is of the longest bar, in percent."""

    label: str
    count: int
    share: float


@dataclass(frozen=True, slots=True)
class Line:
    """A series drawn: SVG points in a box of ``WIDTH`` by ``HEIGHT``, where they begin, and what it is now."""

    name: str
    points: str
    now: str

    @property
    def start(self) -> str:
        """How far to the right the series begins."""
        return self.points.partition(",")[0]


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over the last minutes on one scale, whose top is ``top``."""

    title: str
    top: str
    lines: tuple[Line, ...]


def show(site: Site, visit: Visit) -> Response:
    """Answer the status page. Reads the database and the disk: for a thread."""
    viewer = visit.reader
    found = site.catalog.facets(viewer, ModelQuery())
    names = {base.name.lower(): base.name for base in site.catalog.store.base_models()}
    segments = site.catalog.segments()
    with site.catalog.store.reading() as connection:
        work = tasks.summaries(connection)
    beats = site.pulse.beats()
    return page(
        visit,
        "status.html",
        total=found.total,
        fields=[
            ("Type", _bars([(label_of_type(name), count) for name, count in found.types])),
            ("Source", _bars([(SOURCE_LABELS[Source(name)], count) for name, count in found.sources])),
            ("Base model", _bars([(names.get(name, name) or "unknown", count) for name, count in found.base_models])),
        ],
        revision=site.catalog.revision,
        segments=len(segments),
        stored=sum(is_stored for _, is_stored in segments),
        rows=sum(count for count, _ in segments),
        index_bytes=_size_bytes(site.home / "index"),
        waiting=sum(kind.waiting + kind.running + kind.failed for kind in work if kind.kind == CHECK),
        given_up=sum(kind.given_up for kind in work),
        work=[_work_row(kind, time.time()) for kind in work],
        charts=charts_of(beats) if len(beats) > 1 else (),
        minutes=round(SAMPLES_MAX * SAMPLE_SECONDS / 60),
        box=(WIDTH, HEIGHT),
    )


def _work_row(work: Summary, now: float) -> tuple[object, ...]:
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


def _bars(counts: Sequence[tuple[str, int]]) -> list[Bar]:
    shown = [*counts[:_BARS_MAX]]
    if rest := sum(count for _, count in counts[_BARS_MAX:]):
        shown.append((f"{len(counts) - _BARS_MAX} others", rest))
    longest = max((count for _, count in shown), default=1)
    return [Bar(label, count, round(100 * count / longest, 2)) for label, count in shown]


def _size_bytes(folder: Path) -> int:
    """Return how much a folder holds. Segments may be replaced meanwhile: what is gone counts nothing."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(path) / name).stat().st_size
            except FileNotFoundError:
                continue
    return total


def charts_of(beats: Sequence[Beat]) -> tuple[Chart, ...]:
    """Return the charts of request rate and latency."""
    rates = [beat.per_second for beat in beats]
    medians = [beat.median_seconds for beat in beats]
    slowest = [beat.p99_seconds for beat in beats]
    top_rate = max([*rates, 1.0])
    top_seconds = max([*(seconds for seconds in slowest if seconds is not None), 0.001])
    return (
        Chart(
            "Requests a second",
            f"{top_rate:,.0f}",
            (Line("all routes", _points(rates, top_rate), f"{rates[-1]:,.1f}"),),
        ),
        Chart(
            "Latency",
            _milliseconds(top_seconds),
            (
                Line("99 of 100 within", _points(slowest, top_seconds), _milliseconds(slowest[-1])),
                Line("half within", _points(medians, top_seconds), _milliseconds(medians[-1])),
            ),
        ),
    )


def _milliseconds(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return f"{seconds * 1000:.2f} ms" if seconds < 0.01 else f"{seconds * 1000:,.0f} ms"


def _points(values: Sequence[float | None], top: float) -> str:
    """Return SVG points for a series, the newest at the right edge; what is not known lies on the ground."""
    step = WIDTH / (SAMPLES_MAX - 2)
    start = WIDTH - step * (len(values) - 1)
    return " ".join(
        f"{start + at * step:.1f},{HEIGHT - HEIGHT * (value or 0.0) / top:.1f}" for at, value in enumerate(values)
    )
