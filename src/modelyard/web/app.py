"""The application, put together from its parts.

Edge        id, common headers, log, metrics, errors in their one shape
└ Router    routes.py: which address is answered by what
  └ handler reading(answer) → ETag, gzip, HEAD; changing, showing: a body, a page; or what sends by itself
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from functools import partial

from starlette.types import ASGIApp

from modelyard import blobs, errors
from modelyard.auth import Auth
from modelyard.catalog import Catalog
from modelyard.covers import Covers
from modelyard.registry.models import Models
from modelyard.settings import Settings
from modelyard.uploads.uploads import UploadLimits, Uploads
from modelyard.web.access_log import Observations
from modelyard.web.api import health, list_models
from modelyard.web.api.covers import Sending, Showing
from modelyard.web.api.edit_models import Registering, id_of
from modelyard.web.api.files import Downloads
from modelyard.web.api.tus import Resumable
from modelyard.web.consistency import staleness
from modelyard.web.log import Log, open_log
from modelyard.web.metrics import Metrics
from modelyard.web.middleware import Edge
from modelyard.web.pages.page import Site
from modelyard.web.pages.traffic import SAMPLE_SECONDS, Pulse
from modelyard.web.rate_limit import RateLimit
from modelyard.web.requests import Exchange
from modelyard.web.routes import Parts, routes
from modelyard.web.routing import Router, Squeeze
from modelyard.web.sessions import Sessions
from modelyard.web.urls import Addresses, open_signer

# How long a key's last use may stay unwritten: one write a minute, however many requests.
_FLUSH_SECONDS = 60
HOT_ROUTE = ("/v3/model", "GET")


def create_app(
    catalog: Catalog,
    access: Auth,
    settings: Settings,
    *,
    link_for: list_models.LinkFor | None = None,
    log: Log | None = None,
) -> ASGIApp:
    """Return the ASGI application over an open catalogue; closing what was opened is the caller's.

    ``link_for(sha256, percent-encoded label)`` gives a download link, or "" for none.
    """
    log = log or open_log(settings.log_level)
    parts = _parts(catalog, access, settings, log, link_for)
    table = routes(parts)
    short_ways = {("GET", route.path): route.handler for route in table if (route.path, route.methods) == HOT_ROUTE}
    return Edge(
        Router(table, partial(_lifespan, access, parts, log)),
        log,
        parts.observations,
        settings.cors_allow_origins,
        short_ways,
        revision=catalog.store.revision_hint,
        staleness=partial(staleness, catalog),
    )


def _parts(catalog: Catalog, access: Auth, settings: Settings, log: Log, link_for: list_models.LinkFor | None) -> Parts:
    metrics, squeeze = Metrics(), Squeeze()
    rate_limit = RateLimit(settings.rate_limit_per_minute)
    signer = open_signer(catalog.store)
    base_of = Addresses(settings.public_url).base_of
    sessions = Sessions(access, signer, rate_limit)
    # The scripts of our own pages come with a session and its token, instead of a key.
    by_key = partial(list_models.caller, access, rate_limit)
    caller_of, viewer_of = partial(sessions.caller, by_key), partial(sessions.reader, by_key)
    places = blobs.open_storage(settings.storage_url, settings.home, os.environ)
    uploading = Uploads(catalog.store, places.kept, places.incoming, _limits(settings))
    models = Models(catalog.store, places.kept, places.incoming)
    downloads = Downloads(catalog.store, places.kept, signer, settings.x_accel_prefix)
    ttl_seconds = settings.download_url_ttl_seconds

    def links_for(exchange: Exchange) -> list_models.LinkFor:
        return link_for or partial(downloads.link, base_of(exchange), ttl_seconds=ttl_seconds)

    covers = Covers(catalog.store, places.kept, places.incoming)
    registering = Registering(uploading, models, catalog, signer, caller_of, base_of, links_for, ttl_seconds)
    return Parts(
        catalog,
        viewer_of,
        list_models.Listing(catalog, viewer_of, links_for, base_of),
        registering,
        Resumable(uploading, caller_of, base_of),
        downloads,
        Showing(covers),
        Sending(models, covers, caller_of, registering.answer_with, id_of),
        health.Ready(catalog),
        metrics,
        Observations(log, metrics),
        Site(
            catalog,
            access,
            sessions,
            rate_limit,
            uploading,
            models,
            links_for,
            base_of,
            squeeze,
            Pulse(metrics),
            settings.home,
            shows_nsfw=settings.nsfw_covers == "shown",
        ),
    )


def _limits(settings: Settings) -> UploadLimits:
    return UploadLimits(
        settings.upload_bytes_max,
        settings.team_open_uploads_max,
        settings.team_quota_bytes,
        settings.upload_expires_in_seconds,
    )


@contextlib.asynccontextmanager
async def _lifespan(access: Auth, parts: Parts, log: Log, _: object) -> AsyncIterator[None]:
    """What runs from a worker's start to its end."""
    tasks = [asyncio.create_task(_flush(access, parts.downloads, log)), asyncio.create_task(_sample(parts.site.pulse))]
    parts.ready.accepting = True
    try:
        yield
    finally:
        parts.ready.accepting = False
        for task in tasks:
            task.cancel()
        await _flush_now(access, parts.downloads, log)


async def _sample(pulse: Pulse) -> None:
    """Sample what is counted while the server runs, for the status page."""
    while True:
        await asyncio.to_thread(pulse.sample)
        await asyncio.sleep(SAMPLE_SECONDS)


async def _flush(access: Auth, downloads: Downloads, log: Log) -> None:
    while True:
        await asyncio.sleep(_FLUSH_SECONDS)
        await _flush_now(access, downloads, log)


async def _flush_now(access: Auth, downloads: Downloads, log: Log) -> None:
    try:
        await asyncio.to_thread(access.flush_last_used)
        await asyncio.to_thread(downloads.signer.refresh)
        await asyncio.to_thread(downloads.flush)
    except errors.ModelyardError as error:
        # The times of keys' last use and downloads are worth less than requests; the next minute tries again.
        log.events.warning("last use of keys, or downloads, not written", reason=error.message)
