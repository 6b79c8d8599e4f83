"""The routes of the operator: ``/healthz``, ``/readyz`` and ``/metrics``."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST

from modelyard import errors
from modelyard.blobs import IncomingFiles, Storage
from modelyard.catalog import Catalog
from modelyard.domain import ANONYMOUS, ModelQuery, Scope, Viewer
from modelyard.jobs import tasks
from modelyard.web.access_log import RequestLog
from modelyard.web.auth import ViewerOf
from modelyard.web.metrics import Metrics
from modelyard.web.requests import Request
from modelyard.web.responses import UNSTORED, Response
from modelyard.web.state_metrics import render_state

_encode = msgspec.json.Encoder().encode
# How often a worker tries the file store, and how often while it does not work.
_PROBE_SECONDS, _PROBE_AGAIN_SECONDS = 60.0, 5.0


class Health(msgspec.Struct, frozen=True):
    """Whether the process answers at all."""

    status: str


class Readiness(msgspec.Struct, frozen=True):
    """Whether the process should be sent requests, and the revision its answers show.

    It is ``degraded`` while the database is away: it answers with what it has, which may be ``stale_seconds`` old.
    ``problems`` says what does not work, and why: ``database``, ``files`` (where model files are stored), ``disk`` (of
    unfinished uploads), ``clock``. Components without a problem are not in it.
    """

    status: str
    revision: int
    stale_seconds: float = 0.0
    problems: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


def get_health(_: Request) -> Response:
    """Return that the process is alive. It uses nothing that could fail."""
    return Response(_encode(Health("ok")), caching=UNSTORED)


class ReadyEndpoint:
    """Whether the server accepts requests: from the end of its start to its shutdown."""

    def __init__(self, catalog: Catalog, storage: Storage | None = None) -> None:
        self._catalog = catalog
        self._storage = storage
        self.accepting = False

    def get(self, _: Request) -> Response:
        """Return the revision of the catalogue. Raises Unavailable during the start and the shutdown."""
        if not self.accepting:
            raise errors.Unavailable("starting or stopping")
        # A search shows that searches work, and brings the index to the revision of the database.
        self._catalog.search(ANONYMOUS, ModelQuery(limit=1))
        unreachable_seconds = self._catalog.unreachable_seconds()
        status = "ready" if unreachable_seconds is None else "degraded"
        stale_seconds = round(unreachable_seconds or 0.0, 1)
        readiness = Readiness(status, self._catalog.revision, stale_seconds, self._problems() or msgspec.UNSET)
        return Response(_encode(readiness), caching=UNSTORED)

    def _problems(self) -> dict[str, str]:
        store = self._catalog.store
        problems = {
            "database": store.problem(),
            "clock": None if store.clock.wrong_seconds is None else store.clock.describe(),
        }
        if self._storage is not None:
            problems |= {
                "files": self._storage.kept.condition.problem,
                "disk": _describe_disk(self._storage.incoming),
            }
        return {component: problem for component, problem in problems.items() if problem is not None}

    def probe(self) -> float:
        """Try the file store; return after how many seconds to do it again. Waits for the store, so use a thread."""
        if self._storage is None:
            return _PROBE_SECONDS
        self._storage.kept.probe()
        return _PROBE_SECONDS if self._storage.kept.condition.problem is None else _PROBE_AGAIN_SECONDS


def _describe_disk(incoming: IncomingFiles) -> str | None:
    """Return why uploads cannot be received; None if they can."""
    try:
        return None if incoming.free_bytes() > 0 else "the disk for unfinished uploads is full"
    except OSError as problem:
        return f"the folder of unfinished uploads cannot be used: {problem.strerror}"


@dataclass(frozen=True, slots=True)
class MetricsEndpoint:
    """The metrics of the server, for those that ``access`` names: everyone, key or admin."""

    metrics: Metrics
    request_log: RequestLog
    catalog: Catalog
    caller_of: ViewerOf
    access: str
    is_operator: Callable[[Viewer], bool]
    home: Path

    def get(self, request: Request) -> Response:
        """Return the metrics in the text format of Prometheus. Raises MissingKey, InvalidKey or Forbidden."""
        if self.access != "everyone":
            viewer = self.caller_of(request)
            if viewer.team is None:
                raise errors.MissingKey
            if self.access == "admin" and not self.is_operator(viewer):
                raise errors.Forbidden(Scope.ADMIN)
        self.request_log.flush()
        body = self.metrics.render(self.catalog.revision)
        # The metrics of requests are returned while the database is unreachable too.
        with suppress(errors.Unavailable), self.catalog.store.reading() as connection:
            body += self.metrics.render_jobs(tasks.summaries(connection), time.time())
            body += render_state(self.catalog, connection, self.home)
        return Response(body, CONTENT_TYPE_LATEST.encode(), caching=UNSTORED)
