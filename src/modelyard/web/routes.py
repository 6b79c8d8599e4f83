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
from modelyard.web import static_files
from modelyard.web.access_log import RequestLog
from modelyard.web.api import account, health, list_models
from modelyard.web.api.covers import CoverEndpoints, PublicCovers
from modelyard.web.api.edit_models import ModelEndpoints
from modelyard.web.api.files import Downloads
from modelyard.web.api.find_by_hash import FindByHash
from modelyard.web.api.model_details import ModelDetails
from modelyard.web.api.presigned_uploads import PresignedUploads
from modelyard.web.api.resolve_workflow import ResolveWorkflow
from modelyard.web.api.tus import TusHandler
from modelyard.web.auth import ViewerOf
from modelyard.web.bodies import json_endpoint
from modelyard.web.consistency import RevisionWait, with_revision
from modelyard.web.hub.context import HubContext
from modelyard.web.hub.descriptions import Descriptions
from modelyard.web.hub.downloads import HubDownloads
from modelyard.web.hub.endpoint import PREFIX as HUB
from modelyard.web.hub.endpoint import hub_endpoint
from modelyard.web.hub.search import HubSearch
from modelyard.web.hub.trees import Trees
from modelyard.web.hub.writes import open_writes
from modelyard.web.metrics import Metrics
from modelyard.web.openapi import document
from modelyard.web.pages import api_docs, deleted, keys, model, selection, sign_in, status, team, upload
from modelyard.web.pages import edit as edits
from modelyard.web.pages.gallery import Gallery
from modelyard.web.pages.page import SIGN_IN, PageContext, PageRequest, make_handler, page_endpoint
from modelyard.web.pages.resolution import Resolution
from modelyard.web.requests import Handler, Request
from modelyard.web.responses import Response
from modelyard.web.routing import Kind, Route, read_endpoint

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


def routes(parts: Parts) -> list[Route]:
    """Return all routes."""
    table: list[Route] = []
    # The page of the reference shows the whole table, so it gets the list that it is a part of.
    pages = _pages(parts.page_context, parts.resolve_workflow, table)
    table += [*_api(parts), *pages, *_hub(parts.hub), *_hub_writes(parts)]
    return table


def _api(parts: Parts) -> list[Route]:
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
        parts.metrics, parts.request_log, catalog, models.caller_of, parts.metrics_access
    ).get
    key, link, open_ = Kind.KEY, Kind.LINK, Kind.OPEN
    return [
        Route("/v3/model", "GET", from_index(parts.listing.get), Scope.READ, key),
        Route("/v3/model", "POST", change(models.register), Scope.WRITE, key),
        Route("/v3/model", "PATCH", change(models.change), Scope.WRITE, key),
        Route("/v3/model", "DELETE", change(models.remove), Scope.WRITE, key),
        Route("/files/{sha256:sha256}/{label:label}", "GET", parts.downloads.get, None, link),
        Route("/covers/{name}/{width}", "GET", parts.public_covers.get, None, open_),
        Route("/static/{name:static}", "GET", read(static_files.get_static_file), None, open_),
        Route("/v3/uploads/{upload:upload}", "POST HEAD PATCH DELETE OPTIONS", tus, Scope.WRITE, key),
        Route("/v3/uploads", "POST HEAD PATCH DELETE OPTIONS", tus, Scope.WRITE, key),
        Route("/v3/model/details", "GET", from_database(parts.model_details.get), Scope.READ, key),
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


def _pages(context: PageContext, workflows: ResolveWorkflow, table: Sequence[Route]) -> list[Route]:
    gallery, resolution = Gallery(context), Resolution(context, workflows.bodies)

    def page(show: Callable[[PageContext, PageRequest], Response]) -> Handler:
        """Answer from the database, in a thread."""
        return make_handler(context, partial(show, context), asks_database=True)

    def quick(show: Callable[[PageRequest], Response], *, needs_token: bool = True) -> Handler:
        return make_handler(context, show, needs_token=needs_token)

    signing_in = make_handler(context, partial(sign_in.sign_in, context), asks_database=True, needs_token=False)
    editing = make_handler(context, partial(edits.edit, context), asks_database=True, takes_picture=True)
    signing_out = make_handler(context, partial(sign_in.sign_out, context), asks_database=True, needs_token=False)
    read, write, admin, kind = Scope.READ, Scope.WRITE, Scope.ADMIN, Kind.PAGE
    return [
        Route("/", "GET", quick(gallery.show), read, kind),
        Route("/parts/results", "GET", quick(gallery.show_results), read, kind),
        Route("/parts/filters", "GET", quick(gallery.show_filters), read, kind),
        Route(selection.PATH, "GET", page(selection.show), read, kind),
        Route(selection.PATH, "POST", page(selection.change), write, kind),
        Route("/resolve", "GET", quick(resolution.show), read, kind),
        Route("/resolve", "POST", page_endpoint(context, resolution.answer), read, kind),
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
        Route("/keys", "GET", page(keys.show_keys), admin, kind),
        Route("/keys", "POST", page(keys.make_key), admin, kind),
        Route("/keys/revoke", "POST", page(keys.revoke_key), admin, kind),
        Route("/status", "GET", page(status.show), read, kind),
        Route("/docs", "GET", quick(partial(api_docs.show, context, table)), None, kind),
        Route(SIGN_IN, "GET", page(sign_in.show), None, kind),
        Route(SIGN_IN, "POST", signing_in, None, kind),
        Route("/sign-out", "POST", signing_out, None, kind),
        Route("/preferences", "POST", quick(partial(sign_in.choose, context), needs_token=False), None, kind),
    ]


def _hub(context: HubContext) -> list[Route]:
    repositories, viewer_of, base_of = context.repositories, context.viewer_of, context.base_of
    descriptions, trees = Descriptions(repositories, viewer_of), Trees(repositories, viewer_of, base_of)
    listing = HubSearch(context.catalog, repositories, viewer_of, base_of)
    downloads = HubDownloads(repositories, context.downloads, viewer_of)
    hub = partial(hub_endpoint, rate_limit=context.rate_limit)

    def read(handle: Callable[[Request], Response]) -> Handler:
        """Read from the database, in a thread."""
        return hub(read_endpoint(handle, context.gzip_cache, asks_database=True, heavy_work=context.heavy_work))

    api, file, repo = f"{HUB}/api", f"{HUB}/{{namespace}}/{{name}}", f"{HUB}/api/models/{{namespace}}/{{name}}"
    key, reads, get = Kind.KEY, Scope.READ, hub(downloads.get)
    return [
        Route(f"{file}/resolve/{{revision}}/{{path:label}}", "GET", get, reads, key),
        Route(f"{file}/raw/{{revision}}/{{path:label}}", "GET", get, reads, key),
        Route(f"{api}/models", "GET", read(listing.get), reads, key),
        Route(f"{api}/whoami-v2", "GET", read(descriptions.whoami), reads, key),
        Route(repo, "GET", read(descriptions.describe), reads, key),
        Route(f"{repo}/revision/{{revision}}", "GET", read(descriptions.describe), reads, key),
        Route(f"{repo}/tree/{{revision}}", "GET", read(trees.list_tree), reads, key),
        Route(f"{repo}/tree/{{revision}}/{{path:label}}", "GET", read(trees.list_tree), reads, key),
        Route(f"{repo}/paths-info/{{revision}}", "POST", hub(trees.list_paths), reads, key),
        Route(f"{repo}/refs", "GET", read(descriptions.list_refs), reads, key),
        Route(f"{repo}/commits/{{revision}}", "GET", read(descriptions.list_commits), reads, key),
        Route(f"{repo}/auth-check", "GET", read(descriptions.check_access), reads, key),
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
