"""The list of all routes. The router is built from it, and tests check it.

    path       {name} is one part between slashes; {name:type} has to match the expression of its type in ``PARAMETERS``
    methods    GET includes HEAD; every path answers OPTIONS
    handler    read, from_database or from_index: reads; change: takes a small body; page: HTML; others send
               the response themselves
    scope      the scope that the caller needs
    kind       how the route identifies the caller

Paths without parameters are looked up. Paths with parameters are tried from the top, so popular ones come first.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from starlette.convertors import StringConvertor, register_url_convertor

from modelyard.catalog import Catalog
from modelyard.domain import Scope
from modelyard.fetches import Fetches
from modelyard.web import oidc_sign_in, static_files
from modelyard.web.access_log import RequestLog
from modelyard.web.api import account, health, list_models
from modelyard.web.api.audit import PATH as AUDIT
from modelyard.web.api.audit import AuditEndpoint
from modelyard.web.api.changes import ChangesEndpoint
from modelyard.web.api.covers import CoverEndpoints, PublicCovers
from modelyard.web.api.edit_models import ModelEndpoints
from modelyard.web.api.fetches import PATH as FETCHES
from modelyard.web.api.fetches import FetchEndpoints
from modelyard.web.api.files import Downloads
from modelyard.web.api.find_by_hash import FindByHash
from modelyard.web.api.mcp_requests import McpEndpoint
from modelyard.web.api.model_details import ModelDetails
from modelyard.web.api.presigned_uploads import PresignedUploads
from modelyard.web.api.resolve_workflow import ResolveWorkflow
from modelyard.web.api.sends import PATH as SENDS
from modelyard.web.api.tus import TusHandler
from modelyard.web.api.webhooks import PATH as WEBHOOKS
from modelyard.web.api.webhooks import WebhookEndpoints
from modelyard.web.auth import ViewerOf, require_scope
from modelyard.web.bodies import json_endpoint
from modelyard.web.civitai.downloads import CivitaiDownloads
from modelyard.web.civitai.endpoint import DOWNLOADS, civitai_endpoint
from modelyard.web.civitai.endpoint import PREFIX as CIVITAI
from modelyard.web.civitai.images import Images
from modelyard.web.civitai.lookups import Lookups
from modelyard.web.civitai.search import CivitaiSearch
from modelyard.web.civitai.versions import Versions
from modelyard.web.civitai.vocabularies import Vocabularies
from modelyard.web.comfyui import channel as comfyui
from modelyard.web.comfyui.channel import Channel
from modelyard.web.consistency import RevisionWait, with_revision
from modelyard.web.hub.context import HubContext
from modelyard.web.hub.descriptions import Descriptions
from modelyard.web.hub.downloads import HubDownloads
from modelyard.web.hub.endpoint import PREFIX as HUB
from modelyard.web.hub.endpoint import hub_endpoint
from modelyard.web.hub.search import HubSearch
from modelyard.web.hub.trees import Trees
from modelyard.web.hub.upstream import identify_once, with_upstream
from modelyard.web.hub.upstream_downloads import UpstreamDownloads
from modelyard.web.hub.writes import open_writes
from modelyard.web.metrics import Metrics
from modelyard.web.openapi import document
from modelyard.web.pages import (
    api_docs,
    cover_import,
    deleted,
    keys,
    model,
    selection,
    sends,
    sign_in,
    status,
    team,
    upload,
)
from modelyard.web.pages import audit as audit_page
from modelyard.web.pages import edit as edits
from modelyard.web.pages import webhooks as webhook_pages
from modelyard.web.pages.fetches import FetchPages
from modelyard.web.pages.gallery import Gallery
from modelyard.web.pages.page import SIGN_IN, PageContext, PageRequest, make_handler, page_endpoint, redirect
from modelyard.web.pages.resolution import Resolution
from modelyard.web.requests import Handler, Request
from modelyard.web.responses import Response
from modelyard.web.routing import Kind, Route, read_endpoint
from modelyard.web.thread_pool import ThreadPool
from modelyard.webhooks.webhooks import managing_team

PARAMETERS = {
    "upload": "[0-9a-f]{32}",
    "sha256": "[0-9a-f]{64}",
    # The percent-encoded name of a file may have any character, slashes and line feeds too.
    "label": "(?s:.+)",
    "static": "|".join(map(re.escape, static_files.static_names())),
}
for name, regex in PARAMETERS.items():
    register_url_convertor(name, type(name, (StringConvertor,), {"regex": regex})())


@dataclass(frozen=True, slots=True)
class Parts:
    """The objects whose methods are the handlers."""

    catalog: Catalog
    viewer_of: ViewerOf
    listing: list_models.Listing
    find_by_hash: FindByHash
    resolve_workflow: ResolveWorkflow
    models: ModelEndpoints
    model_details: ModelDetails
    presigned: PresignedUploads
    tus: TusHandler
    downloads: Downloads
    public_covers: PublicCovers
    covers: CoverEndpoints
    ready: health.ReadyEndpoint
    metrics: Metrics
    metrics_access: str
    request_log: RequestLog
    page_context: PageContext
    hub: HubContext
    versions: Versions


def routes(
    parts: Parts, fetches: FetchEndpoints, changes: ChangesEndpoint, mcp: McpEndpoint, channel: Channel
) -> list[Route]:
    """Return all routes."""
    table: list[Route] = [Route("/mcp", "POST", mcp.handle, Scope.READ, Kind.KEY)]
    # The page of the reference shows the whole table, so it gets the list that it is a part of.
    gallery = Gallery(parts.page_context)
    parts.metrics.watch_cache("gallery", gallery.cache_use)
    pages = _pages(parts, gallery, fetches.fetches, table)
    table += [
        *_api(parts, fetches, changes),
        *_sends(parts.page_context),
        *_webhooks(parts),
        _audit(parts),
        *pages,
        *_team_addresses(parts.page_context),
        *_civitai(parts),
        *_hub(parts.hub, parts.metrics),
        *_hub_writes(parts),
        *_channel(channel),
    ]
    return table


def _api(parts: Parts, fetches: FetchEndpoints, changes: ChangesEndpoint) -> list[Route]:
    catalog, viewer_of, tus = parts.catalog, parts.viewer_of, parts.tus.handle
    models, presigned, covers = parts.models, parts.presigned, parts.covers
    revision_wait, gzip_cache = RevisionWait(catalog), parts.page_context.gzip_cache

    def read(handle: Callable[[Request], Response]) -> Handler:
        return read_endpoint(handle, gzip_cache)

    def from_index(handle: Callable[[Request], Response]) -> Handler:
        """Read from the index. The response has its revision, and a request may wait for one."""
        return read_endpoint(handle, gzip_cache, revision_wait, heavy_work=parts.page_context.heavy_work)

    def from_database(handle: Callable[[Request], Response]) -> Handler:
        """Read from the database, in a thread. The revision is as above."""
        return read_endpoint(with_revision(catalog, handle), gzip_cache, revision_wait, asks_database=True)

    def change(handle: Callable[[Request, bytes], Response]) -> Handler:
        """Take a small body from a caller who may write."""
        return json_endpoint(handle, models.caller_of)

    facets = with_revision(catalog, partial(list_models.count_facets, catalog, viewer_of))
    metadata = partial(account.get_metadata, catalog, viewer_of)
    metrics = health.MetricsEndpoint(
        parts.metrics,
        parts.request_log,
        catalog,
        models.caller_of,
        parts.metrics_access,
        parts.page_context.auth.is_operator,
        parts.page_context.installation.home,
    ).get
    key, link, open_ = Kind.KEY, Kind.LINK, Kind.OPEN
    return [
        Route("/v3/model", "GET", from_index(parts.listing.get), Scope.READ, key),
        Route("/v3/model", "POST", change(fetches.register), Scope.WRITE, key),
        Route("/v3/model", "PATCH", change(models.change), Scope.WRITE, key),
        Route("/v3/model", "DELETE", change(models.remove), Scope.WRITE, key),
        Route("/files/{sha256:sha256}/{label:label}", "GET", parts.downloads.get, None, link),
        Route("/covers/{name}/{width}", "GET", parts.public_covers.get, None, open_),
        Route("/static/{name:static}", "GET", read(static_files.get_static_file), None, open_),
        Route("/v3/uploads/{upload:upload}", "POST HEAD PATCH DELETE OPTIONS", tus, Scope.WRITE, key),
        Route("/v3/uploads", "POST HEAD PATCH DELETE OPTIONS", tus, Scope.WRITE, key),
        Route("/v3/model/details", "GET", from_database(parts.model_details.get), Scope.READ, key),
        Route(FETCHES, "GET", read_endpoint(fetches.get, gzip_cache, asks_database=True), Scope.WRITE, key),
        Route(FETCHES, "DELETE", change(fetches.cancel), Scope.WRITE, key),
        Route("/v3/model/changes", "GET", changes.handle, Scope.READ, key),
        Route("/v3/model/facets", "GET", from_index(facets), Scope.READ, key),
        Route("/v3/model/by-hash", "POST", parts.find_by_hash.handle, Scope.READ, key),
        Route("/v3/model/resolve", "POST", parts.resolve_workflow.handle, Scope.READ, key),
        Route("/v3/model/cover", "PUT", covers.put, Scope.WRITE, key),
        Route("/v3/model/cover", "DELETE", change(covers.remove), Scope.WRITE, key),
        Route("/v3/model/uploader", "POST", change(presigned.announce), Scope.WRITE, key),
        Route("/v3/model/uploader/{upload:upload}", "PUT", presigned.put, None, link),
        Route("/v3/metadata", "GET", from_database(metadata), Scope.READ, key),
        Route("/v3/user", "GET", read(partial(account.get_user, viewer_of)), Scope.READ, key),
        Route("/healthz", "GET", read(health.get_health), None, open_),
        Route("/readyz", "GET", read(parts.ready.get), None, open_),
        Route("/metrics", "GET", read_endpoint(metrics, gzip_cache, asks_database=True), None, open_),
        Route("/openapi.json", "GET", read(document.get_openapi), None, open_),
    ]


def _sends(context: PageContext) -> list[Route]:
    sends = context.send_endpoints
    get = read_endpoint(sends.get, context.gzip_cache, asks_database=True)
    return [
        Route(SENDS, "GET", get, Scope.WRITE, Kind.KEY),
        Route(SENDS, "POST", json_endpoint(sends.add, sends.caller_of), Scope.WRITE, Kind.KEY),
    ]


def _audit(parts: Parts) -> Route:
    endpoint = AuditEndpoint(parts.catalog.store, parts.page_context.auth, parts.models.caller_of)
    get = read_endpoint(endpoint.get, parts.page_context.gzip_cache, asks_database=True)
    return Route(AUDIT, "GET", get, Scope.ADMIN, Kind.KEY)


def _webhooks(parts: Parts) -> list[Route]:
    endpoints = WebhookEndpoints(parts.page_context.webhooks, parts.models.caller_of)
    gzip_cache, key, admin = parts.page_context.gzip_cache, Kind.KEY, Scope.ADMIN

    def read(handle: Callable[[Request], Response]) -> Handler:
        return read_endpoint(handle, gzip_cache, asks_database=True)

    def change(handle: Callable[[Request, bytes], Response]) -> Handler:
        return json_endpoint(handle, parts.models.caller_of, managing_team)

    one = f"{WEBHOOKS}/{{id}}"
    return [
        Route(WEBHOOKS, "GET", read(endpoints.list_webhooks), admin, key),
        Route(WEBHOOKS, "POST", change(endpoints.create), admin, key),
        Route(one, "GET", read(endpoints.get), admin, key),
        Route(one, "DELETE", change(endpoints.delete), admin, key),
        Route(f"{one}/deliveries", "GET", read(endpoints.list_deliveries), admin, key),
        Route(f"{one}/deliveries/{{delivery}}/replay", "POST", change(endpoints.replay), admin, key),
        Route(f"{one}/test", "POST", change(endpoints.test), admin, key),
        Route(f"{one}/rotate", "POST", change(endpoints.rotate), admin, key),
        Route(f"{one}/enable", "POST", change(endpoints.enable), admin, key),
    ]


def _pages(parts: Parts, gallery: Gallery, fetches: Fetches, table: Sequence[Route]) -> list[Route]:
    context, workflows = parts.page_context, parts.resolve_workflow
    resolution, fetch_pages = Resolution(context, workflows.bodies, fetches), FetchPages(context, fetches)

    def page(show: Callable[[PageContext, PageRequest], Response]) -> Handler:
        """Answer from the database, in a thread."""
        return make_handler(context, partial(show, context), asks_database=True)

    def quick(show: Callable[[PageRequest], Response], *, needs_token: bool = True) -> Handler:
        return make_handler(context, show, needs_token=needs_token)

    in_thread = partial(make_handler, context, asks_database=True)
    editing = make_handler(context, partial(edits.edit, context), asks_database=True, takes_picture=True)
    read, write, admin, kind = Scope.READ, Scope.WRITE, Scope.ADMIN, Kind.PAGE
    return [
        Route("/", "GET", quick(gallery.show), read, kind),
        Route("/parts/results", "GET", quick(gallery.show_results), read, kind),
        Route("/parts/filters", "GET", quick(gallery.show_filters), read, kind),
        Route(selection.PATH, "GET", page(selection.show), read, kind),
        Route(selection.PATH, "POST", page(selection.change), write, kind),
        Route(sends.PATH, "GET", page(sends.show), write, kind),
        Route(sends.PATH, "POST", page(sends.add), write, kind),
        Route("/resolve", "GET", quick(resolution.show), read, kind),
        Route("/resolve", "POST", page_endpoint(context, resolution.answer), read, kind),
        Route("/fetches", "GET", in_thread(fetch_pages.show), write, kind),
        Route("/fetches", "POST", in_thread(fetch_pages.add), write, kind),
        Route("/fetches/{upload:upload}/cancel", "POST", in_thread(fetch_pages.cancel), write, kind),
        Route("/parts/fetches", "GET", in_thread(fetch_pages.show_rows), write, kind),
        Route("/models/{id}", "GET", page(model.show), read, kind),
        Route("/models/{id}/edit", "GET", page(edits.show_edit), write, kind),
        Route("/models/{id}/edit", "POST", editing, write, kind),
        Route("/models/{id}/delete", "POST", page(deleted.delete), write, kind),
        Route("/deleted", "GET", page(deleted.show), write, kind),
        Route("/deleted/{id}/restore", "POST", page(deleted.restore), write, kind),
        Route("/deleted/{id}/purge", "POST", page(deleted.purge), write, kind),
        Route("/team", "GET", page(team.show), read, kind),
        Route("/upload", "GET", page(upload.show_upload), write, kind),
        Route("/parts/sizes", "GET", page(upload.find_size), write, kind),
        Route("/uploaded/{upload}", "GET", page(upload.show_uploaded), write, kind),
        Route("/covers", "GET", page(cover_import.show), admin, kind),
        Route("/covers", "POST", page(cover_import.change), admin, kind),
        Route("/keys", "GET", page(keys.show_keys), admin, kind),
        Route("/keys", "POST", page(keys.make_key), admin, kind),
        Route("/keys/revoke", "POST", page(keys.revoke_key), admin, kind),
        Route("/keys/rotate", "POST", page(keys.rotate_key), admin, kind),
        Route(audit_page.PATH, "GET", page(audit_page.show), admin, kind),
        Route(webhook_pages.PATH, "GET", page(webhook_pages.show), admin, kind),
        Route(webhook_pages.PATH, "POST", page(webhook_pages.create), admin, kind),
        Route(f"{webhook_pages.PATH}/{{id}}", "GET", page(webhook_pages.show_one), admin, kind),
        Route(f"{webhook_pages.PATH}/{{id}}", "POST", page(webhook_pages.change), admin, kind),
        Route("/status", "GET", page(status.show), read, kind),
        Route("/docs", "GET", quick(partial(api_docs.show, context, table)), None, kind),
        *_sign_in(context),
        Route("/preferences", "POST", quick(partial(sign_in.choose, context), needs_token=False), None, kind),
    ]


def _sign_in(context: PageContext) -> list[Route]:
    in_thread, kind = partial(make_handler, context, asks_database=True), Kind.PAGE
    by_provider = partial(make_handler, context, pool=ThreadPool("oidc", threads=2, waiting_max=6))
    return [
        Route(SIGN_IN, "GET", in_thread(partial(sign_in.show, context)), None, kind),
        Route(SIGN_IN, "POST", in_thread(partial(sign_in.sign_in, context), needs_token=False), None, kind),
        Route(oidc_sign_in.START, "GET", by_provider(partial(sign_in.start_oidc, context)), None, kind),
        Route(oidc_sign_in.CALLBACK, "GET", by_provider(partial(sign_in.finish_oidc, context)), None, kind),
        Route("/sign-out", "POST", in_thread(partial(sign_in.sign_out, context), needs_token=False), None, kind),
        Route(oidc_sign_in.END, "GET", by_provider(partial(sign_in.end_oidc, context)), None, kind),
    ]


def _team_addresses(context: PageContext) -> list[Route]:
    """Return addresses that people guess, which lead to the pages of a team."""

    def lead(address: str) -> Handler:
        return make_handler(context, lambda _: redirect(address))

    return [Route(f"/team{path}", "GET", lead(path), None, Kind.PAGE) for path in ("/keys", deleted.DELETED)]


def _civitai(parts: Parts) -> list[Route]:
    context, catalog, viewer_of = parts.page_context, parts.catalog, parts.viewer_of
    base_of, gzip_cache = context.base_of, context.gzip_cache
    versions = parts.versions
    search = CivitaiSearch(catalog, versions, viewer_of, base_of)
    parts.metrics.watch_cache("civitai", search.cache_use)
    images = Images(catalog, versions, viewer_of, base_of)
    lookups = Lookups(catalog, versions, viewer_of, base_of, gzip_cache)
    vocabularies = Vocabularies(catalog, viewer_of, base_of)
    downloader_of = require_scope(parts.hub.caller_of, Scope.DOWNLOAD)
    downloads = CivitaiDownloads(versions, parts.downloads, downloader_of, context.links_for)

    def read(handle: Callable[[Request], Response], at_hand: Callable[[Request], Response] | None = None) -> Handler:
        """Read from the database, in a thread."""
        work = context.heavy_work
        return civitai_endpoint(
            read_endpoint(handle, gzip_cache, asks_database=True, heavy_work=work, read_at_hand=at_hand)
        )

    key, reads = Kind.KEY, Scope.READ
    by_hash = f"{CIVITAI}/model-versions/by-hash"
    return [
        Route(f"{CIVITAI}/models", "GET", read(search.get, search.get_at_hand), reads, key),
        Route(f"{CIVITAI}/models/{{id}}", "GET", read(lookups.get_model), reads, key),
        Route(f"{CIVITAI}/model-versions/{{id}}", "GET", read(lookups.get_version), reads, key),
        Route(f"{by_hash}/{{hash}}", "GET", read(lookups.get_by_hash), reads, key),
        Route(by_hash, "POST", civitai_endpoint(lookups.list_by_hash), reads, key),
        Route(f"{by_hash}/ids", "POST", civitai_endpoint(lookups.list_ids_by_hash), reads, key),
        Route(f"{CIVITAI}/tags", "GET", read(vocabularies.list_tags), reads, key),
        Route(f"{CIVITAI}/creators", "GET", read(vocabularies.list_creators), reads, key),
        Route(f"{CIVITAI}/images", "GET", read(images.get), reads, key),
        Route(f"{CIVITAI}/enums", "GET", read(vocabularies.get_enums), reads, key),
        Route(f"{CIVITAI}/me", "GET", read(vocabularies.get_me), reads, key),
        Route(f"{DOWNLOADS}{{id}}", "GET", read(downloads.get), Scope.DOWNLOAD, key),
    ]


def _channel(channel: Channel) -> list[Route]:
    lists = {name: channel.list_endpoint(name) for name in comfyui.OTHER_LISTS}
    return [
        Route(f"{prefix}/{name}", "GET", handler, Scope.READ, kind)
        for prefix, kind in ((f"{comfyui.PREFIX}/{{key}}", Kind.LINK), (comfyui.PREFIX, Kind.KEY))
        for name, handler in ({comfyui.MODEL_LIST: channel.get_models} | lists).items()
    ]


def _hub(context: HubContext, metrics: Metrics) -> list[Route]:
    repositories, base_of, hub_upstream = context.repositories, context.base_of, context.upstream
    viewer_of = identify_once(context.viewer_of) if hub_upstream else context.viewer_of
    descriptions, trees = Descriptions(repositories, viewer_of), Trees(repositories, viewer_of, base_of)
    listing = HubSearch(context.catalog, repositories, viewer_of, base_of)
    metrics.watch_cache("hub", listing.cache_use)
    downloader_of = require_scope(context.caller_of, Scope.DOWNLOAD)
    downloader_of = identify_once(downloader_of) if hub_upstream else downloader_of
    downloads = HubDownloads(repositories, context.downloads, downloader_of)
    hub = partial(hub_endpoint, rate_limit=context.rate_limit)

    def read(handle: Callable[[Request], Response]) -> Handler:
        """Read from the database, in a thread."""
        return hub(read_endpoint(handle, context.gzip_cache, asks_database=True, heavy_work=context.heavy_work))

    def about(handle: Handler) -> Handler:
        """Answer about one repository, which may be one of the hub behind this server."""
        return hub(with_upstream(hub_upstream, viewer_of, handle))

    def read_about(handle: Callable[[Request], Response]) -> Handler:
        return about(read_endpoint(handle, context.gzip_cache, asks_database=True, heavy_work=context.heavy_work))

    api, file, repo = f"{HUB}/api", f"{HUB}/{{namespace}}/{{name}}", f"{HUB}/api/models/{{namespace}}/{{name}}"
    get_upstream = UpstreamDownloads(hub_upstream, context.downloads).get if hub_upstream else None
    get = hub(with_upstream(hub_upstream, downloader_of, downloads.get, get_upstream))
    key, reads = Kind.KEY, Scope.READ
    return [
        Route(f"{file}/resolve/{{revision}}/{{path:label}}", "GET", get, Scope.DOWNLOAD, key),
        Route(f"{file}/raw/{{revision}}/{{path:label}}", "GET", get, Scope.DOWNLOAD, key),
        Route(f"{api}/models", "GET", read(listing.get), reads, key),
        Route(f"{api}/whoami-v2", "GET", read(descriptions.whoami), reads, key),
        Route(repo, "GET", read_about(descriptions.describe), reads, key),
        Route(f"{repo}/revision/{{revision}}", "GET", read_about(descriptions.describe), reads, key),
        Route(f"{repo}/tree/{{revision}}", "GET", read_about(trees.list_tree), reads, key),
        Route(f"{repo}/tree/{{revision}}/{{path:label}}", "GET", read_about(trees.list_tree), reads, key),
        Route(f"{repo}/paths-info/{{revision}}", "POST", about(trees.list_paths), reads, key),
        Route(f"{repo}/refs", "GET", read_about(descriptions.list_refs), reads, key),
        Route(f"{repo}/commits/{{revision}}", "GET", read_about(descriptions.list_commits), reads, key),
        Route(f"{repo}/auth-check", "GET", read_about(descriptions.check_access), reads, key),
    ]


def _hub_writes(parts: Parts) -> list[Route]:
    writes, rate_limit = open_writes(parts.hub, parts.presigned, parts.models.models), parts.hub.rate_limit
    commits, lfs, xet = writes.commits, writes.lfs, writes.xet
    models, git = f"{HUB}/api/models/{{namespace}}/{{name}}", f"{HUB}/{{namespace}}/{{name}}.git/info/lfs"
    cas = f"{HUB}/cas/{{session}}"

    def own(handle: Handler) -> Handler:
        return hub_endpoint(handle, rate_limit)

    def change(handle: Callable[[Request, bytes], Response]) -> Handler:
        """Take a small body from a caller who may write."""
        return own(json_endpoint(handle, writes.caller_of))

    key, link, write = Kind.KEY, Kind.LINK, Scope.WRITE
    token = own(read_endpoint(xet.get_token, parts.hub.gzip_cache, asks_database=True))
    return [
        Route(f"{HUB}/lfs/{{upload:upload}}", "PUT", own(lfs.put), None, link),
        Route(f"{HUB}/lfs/{{upload:upload}}/complete", "POST", own(lfs.complete), None, link),
        Route(f"{cas}/v1/xorbs/default/{{sha256:sha256}}", "POST", own(xet.put_xorb), None, link),
        Route(f"{cas}/v1/chunks/default/{{sha256:sha256}}", "GET", own(xet.refuse), None, link),
        Route(f"{cas}/v1/xorb-grants/default/{{sha256:sha256}}", "POST", own(xet.refuse), None, link),
        Route(f"{cas}/v1/shards", "POST", own(xet.put_shard), None, link),
        Route(f"{cas}/v2/shards", "POST", own(xet.put_shard), None, link),
        Route(f"{HUB}/api/repos/create", "POST", change(commits.create), write, key),
        Route(f"{HUB}/api/repos/delete", "DELETE", change(commits.remove), write, key),
        Route(f"{HUB}/api/validate-yaml", "POST", change(commits.validate_yaml), write, key),
        Route(f"{models}/preupload/{{revision}}", "POST", own(commits.preupload), write, key),
        Route(f"{models}/xet-write-token/{{revision}}", "GET", token, write, key),
        Route(f"{models}/commit/{{revision}}", "POST", own(commits.commit), write, key),
        Route(f"{git}/objects/batch", "POST", change(lfs.batch), write, key),
        Route(f"{git}/verify", "POST", change(lfs.verify), write, key),
    ]
