"""Which address answers what: one list, which the router is built from and tests walk.

    path               {name} is one word between slashes, {name:type} is spelled as ``PARAMETERS`` says
    methods            GET answers HEAD too, and OPTIONS is answered everywhere
    handler            read, stored or fresh: reads; changing: takes a small body; page: HTML; others send by themselves
    scope              what the caller has to be allowed
    kind               how the caller is known

Paths without parameters are looked up; those with some are tried from the top, so what is asked for often comes first.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from starlette.convertors import StringConvertor, register_url_convertor

from modelyard.catalog import Catalog
from modelyard.domain import Scope
from modelyard.web import static_files
from modelyard.web.access_log import Observations
from modelyard.web.api import account, health, list_models
from modelyard.web.api.covers import Sending, Showing
from modelyard.web.api.edit_models import Registering
from modelyard.web.api.files import Downloads
from modelyard.web.api.tus import Resumable
from modelyard.web.bodies import changing
from modelyard.web.consistency import Freshness, stamped
from modelyard.web.metrics import Metrics
from modelyard.web.openapi import document
from modelyard.web.pages import api_docs, keys, model, sign_in, status, upload
from modelyard.web.pages import edit as edits
from modelyard.web.pages.gallery import Gallery
from modelyard.web.pages.page import SIGN_IN, Site, Visit, showing
from modelyard.web.requests import Answer, Exchange, Handler
from modelyard.web.routing import Kind, Route, reading

PARAMETERS = {
    "upload": "[0-9a-f]{32}",
    "sha256": "[0-9a-f]{64}",
    # A file's name may hold anything, encoded: slashes and ends of lines too.
    "label": "(?s:.+)",
    "static": "|".join(map(re.escape, static_files.static_names())),
}
for name, regex in PARAMETERS.items():
    register_url_convertor(name, type(name, (StringConvertor,), {"regex": regex})())


@dataclass(frozen=True, slots=True)
class Parts:
    """What the handlers belong to."""

    catalog: Catalog
    viewer_of: list_models.ViewerOf
    listing: list_models.Listing
    registering: Registering
    resumable: Resumable
    downloads: Downloads
    covers: Showing
    sending: Sending
    ready: health.Ready
    metrics: Metrics
    observations: Observations
    site: Site


def routes(parts: Parts) -> list[Route]:
    """Return every route there is."""
    return [*_api(parts), *_pages(parts.site)]


def _api(parts: Parts) -> list[Route]:
    catalog, viewer_of, tus = parts.catalog, parts.viewer_of, parts.resumable.answer
    models, files, covers, sent_covers = parts.registering, parts.downloads, parts.covers, parts.sending
    freshness, squeeze = Freshness(catalog), parts.site.squeeze

    def read(answer: Callable[[Exchange], Answer]) -> Handler:
        return reading(answer, squeeze)

    def fresh(answer: Callable[[Exchange], Answer]) -> Handler:
        """Answer from the index: the answer says its revision, and a request may wait for one."""
        return reading(answer, squeeze, freshness)

    def stored(answer: Callable[[Exchange], Answer]) -> Handler:
        """Answer from the database, which is asked in a thread; the rest as above."""
        return reading(stamped(catalog, answer), squeeze, freshness, asks_database=True)

    facets = stamped(catalog, partial(list_models.count_facets, catalog, viewer_of))
    metadata = partial(account.show_metadata, catalog, viewer_of)
    metrics = partial(health.show_metrics, parts.metrics, parts.observations, catalog)
    key, link, open_ = Kind.KEY, Kind.LINK, Kind.OPEN
    return [
        Route("/v3/model", "GET", fresh(parts.listing.show), Scope.READ, key),
        Route("/v3/model", "POST", changing(models.register), Scope.WRITE, key),
        Route("/v3/model", "PATCH", changing(models.change), Scope.WRITE, key),
        Route("/v3/model", "DELETE", changing(models.remove), Scope.WRITE, key),
        Route("/files/{sha256:sha256}/{label:label}", "GET", files.answer, None, link),
        Route("/covers/{name}/{width}", "GET", covers.answer, None, open_),
        Route("/static/{name:static}", "GET", read(static_files.show_static), None, open_),
        Route("/v3/uploads/{upload:upload}", "POST HEAD PATCH DELETE OPTIONS", tus, Scope.WRITE, key),
        Route("/v3/uploads", "POST HEAD PATCH DELETE OPTIONS", tus, Scope.WRITE, key),
        Route("/v3/model/details", "GET", stored(models.details), Scope.READ, key),
        Route("/v3/model/facets", "GET", fresh(facets), Scope.READ, key),
        Route("/v3/model/cover", "PUT", sent_covers.put, Scope.WRITE, key),
        Route("/v3/model/cover", "DELETE", changing(sent_covers.remove), Scope.WRITE, key),
        Route("/v3/model/uploader", "POST", changing(models.announce), Scope.WRITE, key),
        Route("/v3/model/uploader/{upload:upload}", "PUT", models.put, None, link),
        Route("/v3/metadata", "GET", stored(metadata), Scope.READ, key),
        Route("/v3/user", "GET", read(partial(account.show_user, viewer_of)), Scope.READ, key),
        Route("/healthz", "GET", read(health.show_health), None, open_),
        Route("/readyz", "GET", read(parts.ready.show), None, open_),
        Route("/metrics", "GET", reading(metrics, squeeze, asks_database=True), None, open_),
        Route("/openapi.json", "GET", read(document.show_openapi), None, open_),
    ]


def _pages(site: Site) -> list[Route]:
    gallery = Gallery(site)

    def page(show: Callable[[Site, Visit], Answer]) -> Handler:
        """Answer from the database, in a thread."""
        return showing(site, partial(show, site), waits=True)

    def quick(show: Callable[[Visit], Answer], *, proven: bool = True) -> Handler:
        return showing(site, show, proven=proven)

    signing_in = showing(site, partial(sign_in.sign_in, site), waits=True, proven=False)
    read, write, admin, kind = Scope.READ, Scope.WRITE, Scope.ADMIN, Kind.PAGE
    return [
        Route("/", "GET", quick(gallery.show), read, kind),
        Route("/parts/results", "GET", quick(gallery.show_results), read, kind),
        Route("/parts/filters", "GET", quick(gallery.show_filters), read, kind),
        Route("/models/{id}", "GET", page(model.show), read, kind),
        Route("/models/{id}/edit", "GET", page(edits.show_edit), write, kind),
        Route("/models/{id}/edit", "POST", page(edits.edit), write, kind),
        Route("/models/{id}/delete", "POST", page(edits.delete), write, kind),
        Route("/undo", "POST", page(edits.undo), write, kind),
        Route("/upload", "GET", page(upload.show_upload), write, kind),
        Route("/uploaded/{upload}", "GET", page(upload.show_uploaded), write, kind),
        Route("/keys", "GET", page(keys.show_keys), admin, kind),
        Route("/keys", "POST", page(keys.make_key), admin, kind),
        Route("/keys/revoke", "POST", page(keys.revoke_key), admin, kind),
        Route("/status", "GET", page(status.show), read, kind),
        Route("/docs", "GET", quick(partial(api_docs.show, site)), None, kind),
        Route(SIGN_IN, "GET", quick(sign_in.show), None, kind),
        Route(SIGN_IN, "POST", signing_in, None, kind),
        Route("/sign-out", "POST", quick(sign_in.sign_out, proven=False), None, kind),
        Route("/preferences", "POST", quick(sign_in.choose, proven=False), None, kind),
    ]
