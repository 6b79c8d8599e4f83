"""The application: which address is answered by what.

Edge        id, common headers, log, metrics, the last resort for errors
└ Litestar  routing, lifespan, the shape of its own errors
  └ route   method → reading(handler) → ETag, gzip, HEAD
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial

from litestar import Litestar
from litestar.handlers import ASGIRouteHandler
from litestar.types import ASGIApp

from modelyard import blobs, errors
from modelyard.auth import Auth
from modelyard.catalog import Catalog
from modelyard.settings import Settings
from modelyard.uploads import uploads
from modelyard.web import framework_errors, static_files
from modelyard.web.access_log import Observations
from modelyard.web.api import account, health, list_models
from modelyard.web.api import routes as api_routes
from modelyard.web.consistency import Freshness, staleness, stamped
from modelyard.web.log import Log, open_log
from modelyard.web.metrics import Metrics
from modelyard.web.middleware import Edge
from modelyard.web.openapi import document
from modelyard.web.pages import routes as page_routes
from modelyard.web.pages.traffic import SAMPLE_SECONDS, Pulse
from modelyard.web.rate_limit import RateLimit
from modelyard.web.requests import Answer, Exchange, Method
from modelyard.web.routing import Squeeze, reading, route
from modelyard.web.sessions import CallerOf, Sessions

# How long a key's last use may stay unwritten: one write a minute, however many requests.
_FLUSH_SECONDS = 60

# What runs from a worker's start to its end.
Life = Callable[[Litestar], contextlib.AbstractAsyncContextManager[None]]

# What knows neither caller nor catalogue.
_SAME_FOR_ALL: dict[str, Callable[[Exchange], Answer]] = {
    "/openapi.json": document.show_openapi,
    # One route a file: an ASGI route of Litestar takes no path parameters (2.25: KeyError in its traversal).
    **{f"/static/{name}": partial(static_files.show_static, name) for name in static_files.static_names()},
}


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
    metrics = Metrics()
    observations = Observations(log, metrics)
    squeeze = Squeeze()
    rate_limit = RateLimit(settings.rate_limit_per_minute)
    ready = health.Ready(catalog)
    addresses = api_routes.Addresses(settings.public_url, settings.x_accel_prefix)
    signed_in = Sessions(access, api_routes.open_signer(catalog.store), rate_limit)
    # The scripts of our own pages come with a session and its token, instead of a key.
    by_key = partial(list_models.caller, access, rate_limit)
    caller_of, viewer_of = partial(signed_in.caller, by_key), partial(signed_in.reader, by_key)
    transfers = _transfers(catalog, caller_of, settings, addresses)
    links_for = transfers.links_for if link_for is None else lambda _: link_for
    gets = _catalogue_reads(catalog, viewer_of, transfers, links_for, squeeze)
    others: dict[str, Callable[[Exchange], Answer]] = {
        "/v3/user": partial(account.show_user, viewer_of),
        "/healthz": health.show_health,
        "/readyz": ready.show,
        "/metrics": partial(health.show_metrics, metrics, observations, catalog),
        **_SAME_FOR_ALL,
    }
    gets |= {path: reading(read, squeeze) for path, read in others.items()}
    site = page_routes.Site(
        catalog,
        access,
        signed_in,
        rate_limit,
        transfers.uploading,
        links_for,
        addresses.base_of,
        squeeze,
        pulse := Pulse(metrics),
        settings.home,
        shows_nsfw=settings.nsfw_covers == "shown",
    )
    api = (route(path, GET=get, **transfers.changes.get(path, {})) for path, get in gets.items())
    lives = [partial(_lifespan, access, transfers, ready, log), partial(_sampled, pulse)]
    litestar = _routed([*api, *transfers.mounts, *page_routes.routes(site)], lives)
    short_ways = {("GET", "/v3/model"): gets["/v3/model"]}
    return Edge(
        litestar,
        log,
        observations,
        settings.cors_allow_origins,
        short_ways,
        revision=catalog.store.revision_hint,
        staleness=partial(staleness, catalog),
    )


def _routed(routes: list[ASGIRouteHandler], lives: Sequence[Life]) -> Litestar:
    return Litestar(
        routes,
        lifespan=[*lives],
        exception_handlers=framework_errors.HANDLERS,
        request_max_body_size=framework_errors.BODY_BYTES_MAX,
        # Ours are made from the same table as the parser, and log and errors are the edge's.
        openapi_config=None,
        logging_config=None,
    )


def _catalogue_reads(
    catalog: Catalog,
    viewer_of: list_models.ViewerOf,
    transfers: api_routes.Transfers,
    links_for: list_models.LinksFor,
    squeeze: Squeeze,
) -> dict[str, Method]:
    """Return what answers from the catalogue: each says which revision it stands for, and waits for one if asked to."""
    freshness = Freshness(catalog)
    listed = list_models.Listing(catalog, viewer_of, links_for, transfers.base_of).show
    details = stamped(catalog, transfers.details)
    facets = stamped(catalog, partial(list_models.count_facets, catalog, viewer_of))
    metadata = stamped(catalog, partial(account.show_metadata, catalog, viewer_of))
    return {
        "/v3/model": reading(listed, squeeze, freshness),
        "/v3/model/details": reading(details, squeeze, freshness, asks_database=True),
        "/v3/model/facets": reading(facets, squeeze, freshness),
        "/v3/metadata": reading(metadata, squeeze, freshness, asks_database=True),
    }


def _transfers(
    catalog: Catalog, caller_of: CallerOf, settings: Settings, addresses: api_routes.Addresses
) -> api_routes.Transfers:
    limits = uploads.UploadLimits(
        settings.upload_bytes_max,
        settings.team_open_uploads_max,
        settings.team_quota_bytes,
        settings.upload_expires_in_seconds,
    )
    places = blobs.open_storage(settings.storage_url, settings.home, os.environ)
    return api_routes.open_transfers(catalog, caller_of, places, limits, addresses, settings.download_url_ttl_seconds)


@contextlib.asynccontextmanager
async def _sampled(pulse: Pulse, _: Litestar) -> AsyncIterator[None]:
    """Sample what is counted while the server runs, for the status page."""

    async def sample() -> None:
        while True:
            await asyncio.to_thread(pulse.sample)
            await asyncio.sleep(SAMPLE_SECONDS)

    sampling = asyncio.create_task(sample())
    try:
        yield
    finally:
        sampling.cancel()


@contextlib.asynccontextmanager
async def _lifespan(
    access: Auth, transfers: api_routes.Transfers, ready: health.Ready, log: Log, _: Litestar
) -> AsyncIterator[None]:
    flushing = asyncio.create_task(_flush(access, transfers, log))
    ready.accepting = True
    try:
        yield
    finally:
        ready.accepting = False
        flushing.cancel()
        await _flush_now(access, transfers, log)


async def _flush(access: Auth, transfers: api_routes.Transfers, log: Log) -> None:
    while True:
        await asyncio.sleep(_FLUSH_SECONDS)
        await _flush_now(access, transfers, log)


async def _flush_now(access: Auth, transfers: api_routes.Transfers, log: Log) -> None:
    try:
        await asyncio.to_thread(access.flush_last_used)
        await asyncio.to_thread(transfers.flush)
    except errors.ModelyardError as error:
        # The times of keys' last use and downloads are worth less than requests; the next minute tries again.
        log.events.warning("last use of keys, or downloads, not written", reason=error.message)
