"""Figures of the server's state, read when the metrics are: catalogue, uploads, webhooks, disk and memory."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from modelyard.catalog import Catalog
from modelyard.store import blobs, schema, transfer_tables, webhook_tables
from modelyard.store.backup import LAST_BACKUP_NOTE

_PROCESSES = Path("/proc")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class StateCollector(Collector):
    """Reads the state at one moment. It queries the database and the disk, so it must run in a thread."""

    def __init__(self, catalog: Catalog, connection: sa.Connection, home: Path) -> None:
        self._catalog = catalog
        self._connection = connection
        self._home = home

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        models = sa.select(sa.func.count()).select_from(schema.models)
        yield _gauge("models", "Models of the catalogue.", self._connection.execute(models).scalar_one())
        segments = self._catalog.segments()
        yield _gauge("segments", "Segments of the index.", len(segments))
        yield _gauge("segment_rows", "Rows of the segments, with replaced ones.", sum(rows for rows, _ in segments))
        lag = max(0, self._catalog.store.revision_hint() - self._catalog.revision)
        yield _gauge("revision_lag", "Revisions of the database that the index of this worker does not have yet.", lag)
        yield self._count_uploads()
        for name, text, table in (
            ("webhooks", "Webhooks, by state.", webhook_tables.webhooks),
            ("webhook_deliveries", "Messages of webhooks, by state.", webhook_tables.deliveries),
        ):
            counts = sa.select(table.c.state, sa.func.count()).group_by(table.c.state)
            yield _labelled(name, text, "state", {row[0]: row[1] for row in self._connection.execute(counts)})
        yield _gauge("stored_files_bytes", "Size of the stored model files.", blobs.total(self._connection)[1])
        free_bytes = shutil.disk_usage(self._home).free
        yield _gauge("disk_free_bytes", "Free space of the file system of the home folder.", free_bytes)
        note = sa.select(schema.notes.c.value).where(schema.notes.c.key == LAST_BACKUP_NOTE)
        last_backup = self._connection.execute(note).scalar_one_or_none()
        if last_backup is not None:
            text = "When the last backup was complete, in Unix seconds."
            yield _gauge("last_backup_timestamp_seconds", text, int(last_backup))
        memory = measure_processes(os.getppid())
        if memory:
            yield _gauge("processes", "Processes of the server.", len(memory))
            yield _gauge("memory_bytes", "Memory of all processes; a page that several share counts once.", sum(memory))

    def _count_uploads(self) -> Metric:
        column = transfer_tables.uploads.c.received_at
        query = sa.select(sa.func.count(), sa.func.count(column))
        total, received = self._connection.execute(query).one()
        counts = {"receiving": total - received, "received": received}
        return _labelled("uploads", "Uploads that are no checked file yet, by state.", "state", counts)


def render_state(catalog: Catalog, connection: sa.Connection, home: Path) -> bytes:
    """Return the metrics of the state in the text format of Prometheus."""
    registry = CollectorRegistry()
    registry.register(StateCollector(catalog, connection, home))
    return generate_latest(registry)


def measure_processes(parent: int, processes: Path = _PROCESSES) -> list[int]:
    """Return the bytes of the children of a process; empty where the system does not say.

    A page that several processes share counts as a part in each of them. Where the system does not say that (the file
    needs Linux 4.14), it counts as a whole in each.
    """
    memory = []
    for path in processes.glob("[0-9]*/stat"):
        try:
            # The name in brackets may have spaces and brackets itself.
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        if int(fields[1]) == parent:
            memory.append(_read_share(path.with_name("smaps_rollup")) or int(fields[21]) * _PAGE_BYTES)
    return memory


def _read_share(path: Path) -> int | None:
    try:
        fields = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
        return int(fields["Pss"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"modelyard_{name}", text, value)


def _labelled(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    metric = GaugeMetricFamily(f"modelyard_{name}", text, labels=(label,))
    for value, number in sorted(values.items()):
        metric.add_metric((value,), number)
    return metric
