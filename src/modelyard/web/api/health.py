"""What the one who runs the server asks: alive, ready, figures."""

import time
from contextlib import suppress

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST

from modelyard import errors
from modelyard.catalog import Catalog
from modelyard.domain import ANONYMOUS, ModelQuery
from modelyard.jobs import tasks
from modelyard.web.access_log import Observations
from modelyard.web.metrics import Metrics
from modelyard.web.requests import Answer, Exchange, Header

_encode = msgspec.json.Encoder().encode
_UNSTORED: tuple[Header, ...] = ((b"cache-control", b"no-store"),)


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


def show_health(_: Exchange) -> Answer:
    """Answer that the process is alive; touches nothing that could fail."""
    return Answer(_encode(Health("ok")), caching=_UNSTORED)


class Ready:
    """Whether the server takes requests: from the end of its start to the order to stop."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.accepting = False

    def show(self, _: Exchange) -> Answer:
        """Answer the revision that requests see, or Unavailable before the start is done and while stopping."""
        if not self.accepting:
            raise errors.Unavailable("starting or stopping")
        # A question shows that questions are answered, and brings the index to the store's revision.
        self._catalog.search(ANONYMOUS, ModelQuery(limit=1))
        unreachable_seconds = self._catalog.unreachable_seconds()
        status = "ready" if unreachable_seconds is None else "degraded"
        readiness = Readiness(status, self._catalog.revision, round(unreachable_seconds or 0.0, 1))
        return Answer(_encode(readiness), caching=_UNSTORED)


def show_metrics(metrics: Metrics, observations: Observations, catalog: Catalog, _: Exchange) -> Answer:
    """Answer the figures in Prometheus' text format."""
    observations.settle()
    body = metrics.render(catalog.revision)
    # Figures of requests are answered while the database is away too.
    with suppress(errors.Unavailable), catalog.store.reading() as connection:
        body += metrics.render_jobs(tasks.summaries(connection), time.time())
    return Answer(body, CONTENT_TYPE_LATEST.encode(), caching=_UNSTORED)
