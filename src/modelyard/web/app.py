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

from modelyard import blobs, errors, uploading
from modelyard.access import Access
from modelyard.catalog import Catalog
from modelyard.settings import Settings
from modelyard.web import account, assets, failures, listing, openapi, operations, pages, transferring
from modelyard.web.edge import Edge
from modelyard.web.exchange import Answer, Exchange, Method
from modelyard.web.freshness import Freshness, staleness, stamped
from modelyard.web.log import Log, open_log
from modelyard.web.metrics import Metrics
from modelyard.web.observations import Observations
from modelyard.web.pages.pulse import SAMPLE_SECONDS, Pulse
from modelyard.web.rates import RateLimit
from modelyard.web.reading import Squeeze, reading, route
from modelyard.web.sessions import CallerOf, Sessions

# How long a key's last use may stay unwritten: one write a minute, however many requests.
_FLUSH_SECONDS = 60

# What runs from a worker's start to its end.
Life = Callable[[Litestar], contextlib.AbstractAsyncContextManager[None]]

# What knows neither caller nor catalogue.
_SAME_FOR_ALL: dict[str, Callable[[Exchange], Answer]] = {
    "/openapi.json": openapi.show_openapi,
    # One route a file: an ASGI route of Litestar takes no path parameters (2.25: KeyError in its traversal).
    **{f"/static/{name}": partial(assets.show_static, name) for name in assets.static_names()},
}


def create_app(
    catalog: Catalog,
    access: Access,
    settings: Settings,
    *,
    link_for: listing.LinkFor | None = None,
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
    ready = operations.Ready(catalog)
    addresses = transferring.Addresses(settings.public_url, settings.x_accel_redirect)
    signed_in = Sessions(access, transferring.open_signer(catalog.store), rate_limit)
    # The scripts of our own pages come with a session and its token, instead of a key.
    by_key = partial(listing.caller, access, rate_limit)
    caller_of, viewer_of = partial(signed_in.caller, by_key), partial(signed_in.reader, by_key)
    transfers = _transfers(catalog, caller_of, settings, addresses)
    links_for = transfers.links_for if link_for is None else lambda _: link_for
    gets = _catalogue_reads(catalog, viewer_of, transfers, links_for, squeeze)
    others: dict[str, Callable[[Exchange], Answer]] = {
        "/v3/user": partial(account.show_user, viewer_of),
        "/healthz": operations.show_health,
        "/readyz": ready.show,
        "/metrics": partial(operations.show_metrics, metrics, observations, catalog),
        **_SAME_FOR_ALL,
    }
    gets |= {path: reading(read, squeeze) for path, read in others.items()}
    site = pages.Site(
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
    litestar = _routed([*api, *transfers.mounts, *pages.routes(site)], lives)
    short_ways = {("GET", "/v3/model"): gets["/v3/model"]}
    return Edge(
        litestar,
        log,
        observations,
        settings.cors_origins,
        short_ways,
        revision=catalog.store.revision_hint,
        staleness=partial(staleness, catalog),
    )


def _routed(routes: list[ASGIRouteHandler], lives: Sequence[Life]) -> Litestar:
    return Litestar(
        routes,
        lifespan=[*lives],
        exception_handlers=failures.HANDLERS,
        request_max_body_size=failures.BODY_BYTES_MAX,
        # Ours are made from the same table as the parser, and log and errors are the edge's.
        openapi_config=None,
        logging_config=None,
    )


def _catalogue_reads(
    catalog: Catalog,
    viewer_of: listing.ViewerOf,
    transfers: transferring.Transfers,
    links_for: listing.LinksFor,
    squeeze: Squeeze,
) -> dict[str, Method]:
    """Return what answers from the catalogue: each says which revision it stands for, and waits for one if asked to."""
    freshness = Freshness(catalog)
    listed = listing.Listing(catalog, viewer_of, links_for, transfers.base_of).show
    details = stamped(catalog, transfers.details)
    facets = stamped(catalog, partial(listing.count_facets, catalog, viewer_of))
    metadata = stamped(catalog, partial(account.show_metadata, catalog, viewer_of))
    return {
        "/v3/model": reading(listed, squeeze, freshness),
        "/v3/model/details": reading(details, squeeze, freshness, asks_database=True),
        "/v3/model/facets": reading(facets, squeeze, freshness),
        "/v3/metadata": reading(metadata, squeeze, freshness, asks_database=True),
    }


def _transfers(
    catalog: Catalog, caller_of: CallerOf, settings: Settings, addresses: transferring.Addresses
) -> transferring.Transfers:
    limits = uploading.Limits(
        settings.upload_bytes_max,
        settings.uploads_open_max,
        settings.team_bytes_max,
        settings.upload_expires_in_seconds,
    )
    places = blobs.open_places(settings.blobs, settings.home, os.environ)
    return transferring.open_transfers(catalog, caller_of, places, limits, addresses, settings.download_url_ttl_seconds)


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
    access: Access, transfers: transferring.Transfers, ready: operations.Ready, log: Log, _: Litestar
) -> AsyncIterator[None]:
    flushing = asyncio.create_task(_flush(access, transfers, log))
    ready.accepting = True
    try:
        yield
    finally:
        ready.accepting = False
        flushing.cancel()
        await _flush_now(access, transfers, log)


async def _flush(access: Access, transfers: transferring.Transfers, log: Log) -> None:
    while True:
        await asyncio.sleep(_FLUSH_SECONDS)
        await _flush_now(access, transfers, log)


async def _flush_now(access: Access, transfers: transferring.Transfers, log: Log) -> None:
    try:
        await asyncio.to_thread(access.flush_last_used)
        await asyncio.to_thread(transfers.flush)
    except errors.ModelyardError as error:
        # The times of keys' last use and downloads are worth less than requests; the next minute tries again.
        log.events.warning("last use of keys, or downloads, not written", reason=error.message)
