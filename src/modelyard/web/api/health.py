"""The routes of the operator: ``/healthz``, ``/readyz`` and ``/metrics``."""

import time
from contextlib import suppress
from dataclasses import dataclass

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST

from modelyard import errors
from modelyard.catalog import Catalog
from modelyard.domain import ANONYMOUS, ModelQuery, Scope
from modelyard.jobs import tasks
from modelyard.web.access_log import RequestLog
from modelyard.web.auth import ViewerOf
from modelyard.web.metrics import Metrics
from modelyard.web.requests import Request
from modelyard.web.responses import UNSTORED, Response

_encode = msgspec.json.Encoder().encode


class Health(msgspec.Struct, frozen=True):
    """Whether the process answers at all."""

    status: str


class Readiness(msgspec.Struct, frozen=True):
    """Whether the process should be sent requests, and the revision its answers show.

    It is ``degraded`` while the database is away: it answers with what it has, which may be ``stale_seconds`` old.
    """

    status: str
    revision: int
    stale_seconds: float = 0.0


def get_health(_: Request) -> Response:
    """Return that the process is alive. It uses nothing that could fail."""
    return Response(_encode(Health("ok")), caching=UNSTORED)


class ReadyEndpoint:
    """Whether the server accepts requests: from the end of its start to its shutdown."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.accepting = False

    def get(self, _: Request) -> Response:
        """Return the revision of the catalogue. Raises Unavailable during the start and the shutdown."""
        if not self.accepting:
            raise errors.Unavailable("starting or stopping")
        # A search shows that searches work, and brings the index to the revision of the database.
        self._catalog.search(ANONYMOUS, ModelQuery(limit=1))
        unreachable_seconds = self._catalog.unreachable_seconds()
        status = "ready" if unreachable_seconds is None else "degraded"
        readiness = Readiness(status, self._catalog.revision, round(unreachable_seconds or 0.0, 1))
        return Response(_encode(readiness), caching=UNSTORED)


@dataclass(frozen=True, slots=True)
class MetricsEndpoint:
    """The metrics of the server, for those that ``access`` names: everyone, key or admin."""

    metrics: Metrics
    request_log: RequestLog
    catalog: Catalog
    caller_of: ViewerOf
    access: str

    def get(self, request: Request) -> Response:
        """Return the metrics in the text format of Prometheus. Raises MissingKey, InvalidKey or Forbidden."""
        if self.access != "everyone":
            viewer = self.caller_of(request)
            if viewer.team is None:
                raise errors.MissingKey
            if self.access == "admin" and not viewer.may(Scope.ADMIN):
                raise errors.Forbidden(Scope.ADMIN)
        self.request_log.flush()
        body = self.metrics.render(self.catalog.revision)
        # The metrics of requests are returned while the database is unreachable too.
        with suppress(errors.Unavailable), self.catalog.store.reading() as connection:
            body += self.metrics.render_jobs(tasks.summaries(connection), time.time())
        return Response(body, CONTENT_TYPE_LATEST.encode(), caching=UNSTORED)
