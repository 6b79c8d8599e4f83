"""Builds the application from its parts.

EdgeMiddleware  request id, common headers, log, metrics, error responses
└ Router        routes.py: the handler of each URL
  └ handler     read_endpoint: ETag, gzip, HEAD; json_endpoint: a small body; others send the response themselves
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from starlette.types import ASGIApp

from modelyard import blobs, errors
from modelyard.auth import Auth
from modelyard.catalog import Catalog
from modelyard.covers import Covers
from modelyard.outbound import AddressPolicy, create_policy, origin_of
from modelyard.registry.models import Models
from modelyard.sends import Sends
from modelyard.settings import Settings
from modelyard.signatures import SignaturePolicy, load_policy
from modelyard.signing import Signer
from modelyard.store import Store
from modelyard.targets import parse_targets
from modelyard.uploads.uploads import UploadLimits, Uploads
from modelyard.upstream.client import UpstreamClient
from modelyard.upstream.fetches import Fetches
from modelyard.upstream.files import LocalFiles
from modelyard.upstream.snapshots import Snapshots
from modelyard.web.access_log import RequestLog
from modelyard.web.api import health, list_models
from modelyard.web.api.changes import ChangesEndpoint
from modelyard.web.api.covers import CoverEndpoints, PublicCovers
from modelyard.web.api.edit_models import ModelEndpoints, id_of
from modelyard.web.api.fetches import open_fetches
from modelyard.web.api.files import Downloads
from modelyard.web.api.find_by_hash import FindByHash
from modelyard.web.api.mcp_requests import McpEndpoint
from modelyard.web.api.model_details import ModelDetails
from modelyard.web.api.presigned_uploads import PresignedUploads
from modelyard.web.api.resolve_workflow import ResolveWorkflow
from modelyard.web.api.sends import SendEndpoints
from modelyard.web.api.tus import TusHandler
from modelyard.web.auth import authenticate
from modelyard.web.caller_times import CallerTimes
from modelyard.web.civitai import endpoint as civitai
from modelyard.web.civitai.stored_models import StoredModels
from modelyard.web.civitai.versions import Versions
from modelyard.web.client_address import TrustedProxies
from modelyard.web.comfyui import channel
from modelyard.web.comfyui.channel import Channel
from modelyard.web.consistency import staleness
from modelyard.web.feed_news import FeedNews
from modelyard.web.heavy_work import HeavyWork
from modelyard.web.hub.context import HubContext
from modelyard.web.hub.endpoint import PREFIX
from modelyard.web.hub.repositories import Repositories
from modelyard.web.hub.unknown_paths import refusals
from modelyard.web.hub.upstream import HubUpstream
from modelyard.web.log import Log, open_log
from modelyard.web.metrics import Metrics
from modelyard.web.middleware import EdgeMiddleware
from modelyard.web.oidc_sign_in import OidcSettings, OidcSignIn, import_client
from modelyard.web.pages.installation import Installation
from modelyard.web.pages.page import PageContext, render_problem
from modelyard.web.pages.traffic import SAMPLE_SECONDS, TrafficHistory
from modelyard.web.proxy_sign_in import ProxySignIn
from modelyard.web.rate_limit import RateLimit
from modelyard.web.requests import Request
from modelyard.web.responses import GzipCache
from modelyard.web.routes import Parts, routes
from modelyard.web.routing import Router
from modelyard.web.sessions import Sessions
from modelyard.web.team_rules import parse_rules
from modelyard.web.urls import LinkFor, UrlBuilder, open_signer
from modelyard.webhooks.webhooks import Webhooks

# How often the last use of keys, and downloads, are written: one write a minute, however many requests there are.
_FLUSH_SECONDS = 60
# How often to look for segments that a merge wrote; looking takes some microseconds.
_CHECK_SECONDS = 1
HOT_ROUTE = ("/v3/model", "GET")


def create_app(
    catalog: Catalog,
    auth: Auth,
    settings: Settings,
    *,
    link_for: LinkFor | None = None,
    log: Log | None = None,
    started_at: float | None = None,
    times: CallerTimes | None = None,
) -> ASGIApp:
    """Return the ASGI application for an open catalogue. The caller closes the catalogue.

    ``link_for(sha256, percent-encoded label)`` returns a download link, or "" if there is none. ``started_at`` is the
    time at which the server started, in Unix seconds; by default now. ``times`` are those of all workers, for limits.
    """
    log = log or open_log(settings.log_level, form=settings.log_format)
    installation = Installation(settings.home, settings.storage_url, time.time() if started_at is None else started_at)
    node = _Node(installation, _open_rate_limit(settings, times))
    parts = _parts(catalog, auth, settings, log, link_for, node)
    hub_upstream = _open_upstream(catalog.store, parts.presigned.uploads, settings)
    parts = replace(parts, hub=replace(parts.hub, upstream=hub_upstream))
    parts.metrics.watch_cache("models", parts.listing.cache_use)
    parts.metrics.watch_cache("gzip", parts.page_context.gzip_cache.use)
    has_own_lists = settings.comfyui_manager_lists == "empty"
    fetches = open_fetches(catalog.store, parts.models, parts.presigned.uploads, _create_policy(settings))
    changes = _open_changes(parts, settings.key_streams_max)
    mcp, ttl_seconds = McpEndpoint(parts.viewer_of), settings.download_url_ttl_seconds
    table = routes(parts, fetches, changes, mcp, Channel(parts.hub, auth, ttl_seconds, has_own_lists))
    hot_routes = {("GET", route.path): route.handler for route in table if (route.path, route.methods) == HOT_ROUTE}
    mcp.application = EdgeMiddleware(
        Router(
            table,
            partial(_lifespan, auth, parts, log),
            {PREFIX: refusals(parts.hub), civitai.PREFIX: civitai.refusals(), channel.PREFIX: channel.refusals()},
        ),
        log,
        parts.request_log,
        settings.cors_allow_origins,
        hot_routes,
        revision=catalog.store.revision_hint,
        staleness=partial(staleness, catalog),
        proxies=TrustedProxies(settings.trusted_proxies),
        rate_limit=parts.page_context.rate_limit,
        error_page=partial(render_problem, parts.page_context),
        stop=changes.news.stop,
    )
    return mcp.application


class _Node(NamedTuple):
    """What all workers of a node have in common."""

    installation: Installation
    rate_limit: RateLimit


def _open_storage(settings: Settings) -> blobs.Storage:
    is_shared, public_url = settings.unfinished_uploads == "store", settings.storage_public_url
    return blobs.open_storage(settings.storage_url, settings.home, os.environ, public_url, shares_unfinished=is_shared)


def _parts(catalog: Catalog, auth: Auth, settings: Settings, log: Log, link_for: LinkFor | None, node: _Node) -> Parts:
    metrics, gzip_cache, urls = Metrics(), GzipCache(), UrlBuilder(settings.public_url)
    rate_limit, ttl_seconds = node.rate_limit, settings.download_url_ttl_seconds
    base_of, signer, serves_suspicious = urls.base_of, open_signer(catalog.store), settings.suspicious_files == "served"
    sessions = _open_sessions(auth, signer, rate_limit, settings)
    # The scripts of our own pages send a session and its token instead of an API key.
    by_key = partial(authenticate, auth, rate_limit)
    caller_of, viewer_of = partial(sessions.caller, by_key), partial(sessions.reader, by_key)
    storage = _open_storage(settings)
    uploads = Uploads(catalog.store, storage.kept, storage.incoming, _limits(settings))
    models = Models(catalog.store, storage.kept, storage.incoming, read_signature_policy(settings))
    downloads = Downloads(catalog.store, auth, storage.kept, signer, settings.x_accel_prefix, serves_suspicious)

    def links_for(request: Request) -> LinkFor:
        return link_for or downloads.links_for(base_of(request), request.viewer, ttl_seconds)

    covers, heavy_work = Covers(catalog.store, storage.kept, storage.incoming), HeavyWork(rate_limit)
    repositories = Repositories(catalog)
    endpoints = ModelEndpoints(models, caller_of, base_of, links_for, ttl_seconds)
    return Parts(
        catalog,
        viewer_of,
        list_models.Listing(catalog, viewer_of, links_for, base_of),
        FindByHash(catalog, viewer_of, links_for, base_of, gzip_cache),
        ResolveWorkflow(catalog, viewer_of, links_for, base_of, gzip_cache, heavy_work),
        endpoints,
        ModelDetails(catalog, caller_of, base_of, links_for, ttl_seconds, models.signatures),
        PresignedUploads(uploads, auth, signer, caller_of, base_of),
        TusHandler(uploads, auth, caller_of, base_of),
        downloads,
        PublicCovers(covers),
        CoverEndpoints(models, covers, caller_of, endpoints.response_with, id_of),
        health.ReadyEndpoint(catalog, storage),
        metrics,
        settings.metrics_access,
        RequestLog(log, metrics, settings.access_log),
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
            node.installation,
            SendEndpoints(_open_sends(catalog.store, settings), caller_of, urls.address_of),
            Webhooks(catalog.store, _create_policy(settings)),
            shows_nsfw=settings.nsfw_covers == "shown",
            serves_suspicious=serves_suspicious,
        ),
        HubContext(catalog, viewer_of, caller_of, repositories, downloads, rate_limit, heavy_work, base_of, gzip_cache),
        Versions(catalog),
    )


def _open_rate_limit(settings: Settings, times: CallerTimes | None) -> RateLimit:
    return RateLimit(settings.rate_limit_per_minute, failures_per_minute=settings.failures_per_minute, times=times)


def _open_sessions(auth: Auth, signer: Signer, rate_limit: RateLimit, settings: Settings) -> Sessions:
    is_https = settings.public_url.startswith("https://")
    oidc = _read_oidc(settings)
    oidc_sign_in = OidcSignIn(oidc, _create_policy(settings, origin_of(oidc.issuer)), auth, signer) if oidc else None
    proxy = _open_proxy(settings)
    return Sessions(auth, signer, rate_limit, signer.clock, is_https=is_https, proxy=proxy, oidc=oidc_sign_in)


def check_settings(settings: Settings) -> None:
    """Raise ConfigurationError for settings that do not fit together. Opens and asks nothing."""
    _open_proxy(settings)
    read_signature_policy(settings)
    if _read_oidc(settings):
        import_client()


def read_signature_policy(settings: Settings) -> SignaturePolicy:
    """Return the trusted keys of model signatures. Raises ConfigurationError."""
    return load_policy(settings.signature_keys, is_required=settings.require_signature == "yes")


def _read_oidc(settings: Settings) -> OidcSettings | None:
    if not settings.oidc_issuer:
        return None
    oidc = OidcSettings(
        settings.oidc_issuer,
        settings.oidc_client_id,
        settings.oidc_client_secret,
        settings.oidc_scopes,
        settings.oidc_team_claim,
        parse_rules(settings.oidc_teams),
        settings.public_url,
    )
    oidc.check(allows_http=settings.outbound_allow_http == "yes")
    return oidc


def _open_proxy(settings: Settings) -> ProxySignIn:
    return ProxySignIn(
        settings.proxy_user_header, settings.proxy_groups_header, settings.proxy_networks, settings.proxy_teams
    )


def _open_sends(store: Store, settings: Settings) -> Sends:
    serves_suspicious = settings.suspicious_files == "served"
    return Sends(store, parse_targets(settings.targets), serves_suspicious=serves_suspicious)


def _open_changes(parts: Parts, streams_max: int) -> ChangesEndpoint:
    context, store = parts.page_context, parts.catalog.store
    news = FeedNews(store, context.auth, streams_max)
    answers = context.links_for, context.base_of, context.gzip_cache, context.heavy_work
    return ChangesEndpoint(parts.catalog, parts.viewer_of, *answers, news)


def _open_upstream(store: Store, uploads: Uploads, settings: Settings) -> HubUpstream | None:
    """Return the hub behind this server; None if the settings name none."""
    if not settings.hub_upstream:
        return None
    token = os.environ.get("HF_TOKEN", "").strip()
    if not (token.isascii() and token.isprintable()):
        raise errors.ConfigurationError("HF_TOKEN holds characters that no token has")
    policy = _create_policy(settings, origin_of(settings.hub_upstream))
    client = UpstreamClient(settings.hub_upstream, token, policy)
    snapshots = Snapshots(store, client.address, client.describe, settings.hub_upstream_bytes_max)
    files = LocalFiles(
        store,
        uploads,
        team=settings.hub_upstream_team,
        keeps_weights=settings.hub_upstream_weights == "kept",
        bytes_max=settings.hub_upstream_bytes_max,
        serves_suspicious=settings.suspicious_files == "served",
    )
    fetches = Fetches(client.open_file, uploads.incoming, files)
    return HubUpstream(store, client, snapshots, files, fetches, settings.hub_upstream_team)


def _create_policy(settings: Settings, *origins: str) -> AddressPolicy:
    return create_policy(
        settings.outbound_networks, allow_http=settings.outbound_allow_http == "yes", origins=frozenset(origins)
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
    stored_models = StoredModels(parts.catalog.store, parts.versions)
    flush_now = partial(_flush_now, auth, parts.downloads, stored_models, log)
    tasks = [
        asyncio.create_task(_check_index(parts.catalog)),
        asyncio.create_task(_flush(flush_now)),
        asyncio.create_task(_sample(parts.page_context.traffic)),
        asyncio.create_task(_probe_storage(parts.ready)),
    ]
    parts.ready.accepting = True
    try:
        yield
    finally:
        parts.ready.accepting = False
        for task in tasks:
            task.cancel()
        await flush_now()


async def _check_index(catalog: Catalog) -> None:
    """Check and prepare segments step by step, after the start and after merges.

    Without it the first questions that read large sets would do that.
    """
    while True:
        if catalog.has_unprepared_segments():
            steps = catalog.check_segments()
            while await asyncio.to_thread(next, steps, False):
                pass
        await asyncio.sleep(_CHECK_SECONDS)


async def _sample(traffic: TrafficHistory) -> None:
    """Read the traffic counters while the server runs, for the status page."""
    while True:
        await asyncio.to_thread(traffic.read_counters)
        await asyncio.sleep(SAMPLE_SECONDS)


async def _probe_storage(ready: health.ReadyEndpoint) -> None:
    """Try the file store from time to time, so that `/readyz` knows of it before a request fails."""
    while True:
        wait_seconds = await asyncio.to_thread(ready.probe)
        await asyncio.sleep(wait_seconds)


async def _flush(flush_now: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(_FLUSH_SECONDS)
        await flush_now()


async def _flush_now(auth: Auth, downloads: Downloads, stored_models: StoredModels, log: Log) -> None:
    try:
        await asyncio.to_thread(auth.flush_last_used)
        await asyncio.to_thread(downloads.signer.refresh)
        await asyncio.to_thread(downloads.flush)
        await asyncio.to_thread(stored_models.note_use)
    except errors.ModelyardError as error:
        # Serving requests is more important than these values. They stay in memory, and the next minute tries again.
        log.events.warning("last use of keys or download counts not written, retrying in a minute", reason=str(error))
