"""Builds the application from its parts.

EdgeMiddleware  request id, common headers, log, metrics, error responses
└ Router        routes.py: the handler of each URL
  └ handler     read_endpoint: ETag, gzip, HEAD; json_endpoint: a small body; others send the response themselves
"""

import asyncio
import contextlib
import os
import time
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
from modelyard.web.access_log import RequestLog
from modelyard.web.api import health, list_models
from modelyard.web.api.covers import CoverEndpoints, PublicCovers
from modelyard.web.api.edit_models import ModelEndpoints, id_of
from modelyard.web.api.files import Downloads
from modelyard.web.api.find_by_hash import FindByHash
from modelyard.web.api.model_details import ModelDetails
from modelyard.web.api.presigned_uploads import PresignedUploads
from modelyard.web.api.resolve_workflow import ResolveWorkflow
from modelyard.web.api.tus import TusHandler
from modelyard.web.auth import authenticate
from modelyard.web.client_address import TrustedProxies
from modelyard.web.consistency import staleness
from modelyard.web.heavy_work import HeavyWork
from modelyard.web.hub.context import HubContext
from modelyard.web.hub.endpoint import PREFIX
from modelyard.web.hub.repositories import Repositories
from modelyard.web.hub.unknown_paths import unknown_paths
from modelyard.web.log import Log, open_log
from modelyard.web.metrics import Metrics
from modelyard.web.middleware import EdgeMiddleware
from modelyard.web.pages.installation import Installation
from modelyard.web.pages.page import PageContext, render_problem
from modelyard.web.pages.traffic import SAMPLE_SECONDS, TrafficHistory
from modelyard.web.rate_limit import RateLimit
from modelyard.web.requests import Request
from modelyard.web.responses import GzipCache
from modelyard.web.routes import Parts, routes
from modelyard.web.routing import Router
from modelyard.web.sessions import Sessions
from modelyard.web.urls import LinkFor, UrlBuilder, open_signer

# How often the last use of keys, and downloads, are written: one write a minute, however many requests there are.
_FLUSH_SECONDS = 60
HOT_ROUTE = ("/v3/model", "GET")


def create_app(
    catalog: Catalog,
    auth: Auth,
    settings: Settings,
    *,
    link_for: LinkFor | None = None,
    log: Log | None = None,
    started_at: float | None = None,
) -> ASGIApp:
    """Return the ASGI application for an open catalogue. The caller closes the catalogue.

    ``link_for(sha256, percent-encoded label)`` returns a download link, or "" if there is none. ``started_at`` is the
    time at which the server started, in Unix seconds; by default now.
    """
    log = log or open_log(settings.log_level)
    installation = Installation(settings.home, settings.storage_url, time.time() if started_at is None else started_at)
    parts = _parts(catalog, auth, settings, log, link_for, installation)
    table = routes(parts)
    hot_routes = {("GET", route.path): route.handler for route in table if (route.path, route.methods) == HOT_ROUTE}
    return EdgeMiddleware(
        Router(table, partial(_lifespan, auth, parts, log), {PREFIX: unknown_paths(parts.hub)}),
        log,
        parts.request_log,
        settings.cors_allow_origins,
        hot_routes,
        revision=catalog.store.revision_hint,
        staleness=partial(staleness, catalog),
        proxies=TrustedProxies(settings.trusted_proxies),
        error_page=partial(render_problem, parts.page_context),
    )


def _parts(
    catalog: Catalog, auth: Auth, settings: Settings, log: Log, link_for: LinkFor | None, installation: Installation
) -> Parts:
    metrics, gzip_cache = Metrics(), GzipCache()
    rate_limit, signer = RateLimit(settings.rate_limit_per_minute), open_signer(catalog.store)
    base_of = UrlBuilder(settings.public_url).base_of
    sessions = Sessions(auth, signer, rate_limit, is_https=settings.public_url.startswith("https://"))
    # The scripts of our own pages send a session and its token instead of an API key.
    by_key = partial(authenticate, auth, rate_limit)
    caller_of, viewer_of = partial(sessions.caller, by_key), partial(sessions.reader, by_key)
    storage = blobs.open_storage(settings.storage_url, settings.home, os.environ)
    uploads = Uploads(catalog.store, storage.kept, storage.incoming, _limits(settings))
    models = Models(catalog.store, storage.kept, storage.incoming)
    serves_suspicious = settings.suspicious_files == "served"
    downloads = Downloads(catalog.store, auth, storage.kept, signer, settings.x_accel_prefix, serves_suspicious)
    ttl_seconds = settings.download_url_ttl_seconds

    def links_for(request: Request) -> LinkFor:
        return link_for or downloads.links_for(base_of(request), request.viewer, ttl_seconds)

    covers, heavy_work = Covers(catalog.store, storage.kept, storage.incoming), HeavyWork(rate_limit)
    endpoints = ModelEndpoints(models, caller_of, base_of, links_for, ttl_seconds)
    return Parts(
        catalog,
        viewer_of,
        list_models.Listing(catalog, viewer_of, links_for, base_of),
        FindByHash(catalog, viewer_of, links_for, base_of, gzip_cache),
        ResolveWorkflow(catalog, viewer_of, links_for, base_of, gzip_cache, heavy_work),
        endpoints,
        ModelDetails(catalog, caller_of, base_of, links_for, ttl_seconds),
        PresignedUploads(uploads, auth, signer, caller_of, base_of),
        TusHandler(uploads, auth, caller_of, base_of),
        downloads,
        PublicCovers(covers),
        CoverEndpoints(models, covers, caller_of, endpoints.response_with, id_of),
        health.ReadyEndpoint(catalog),
        metrics,
        settings.metrics_access,
        RequestLog(log, metrics),
        PageContext(
            catalog,
            auth,
            sessions,
            rate_limit,
            heavy_work,
            uploads,
            models,
            covers,
            links_for,
            base_of,
            gzip_cache,
            TrafficHistory(metrics),
            installation,
            shows_nsfw=settings.nsfw_covers == "shown",
            serves_suspicious=serves_suspicious,
        ),
        HubContext(
            catalog, viewer_of, caller_of, Repositories(catalog), downloads, rate_limit, heavy_work, base_of, gzip_cache
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
async def _lifespan(auth: Auth, parts: Parts, log: Log, _: object) -> AsyncIterator[None]:
    """Run the periodic tasks of a worker from its start to its end."""
    tasks = [
        asyncio.create_task(_flush(auth, parts.downloads, log)),
        asyncio.create_task(_sample(parts.page_context.traffic)),
    ]
    parts.ready.accepting = True
    try:
        yield
    finally:
        parts.ready.accepting = False
        for task in tasks:
            task.cancel()
        await _flush_now(auth, parts.downloads, log)


async def _sample(traffic: TrafficHistory) -> None:
    """Read the traffic counters while the server runs, for the status page."""
    while True:
        await asyncio.to_thread(traffic.read_counters)
        await asyncio.sleep(SAMPLE_SECONDS)


async def _flush(auth: Auth, downloads: Downloads, log: Log) -> None:
    while True:
        await asyncio.sleep(_FLUSH_SECONDS)
        await _flush_now(auth, downloads, log)


async def _flush_now(auth: Auth, downloads: Downloads, log: Log) -> None:
    try:
        await asyncio.to_thread(auth.flush_last_used)
        await asyncio.to_thread(downloads.signer.refresh)
        await asyncio.to_thread(downloads.flush)
    except errors.ModelyardError as error:
        # Serving requests is more important than these values. They stay in memory, and the next minute tries again.
        log.events.warning(
            "last use of keys or download counts not written, retrying in a minute", reason=error.message
        )
