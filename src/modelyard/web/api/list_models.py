"""``GET /v3/model``, the most frequent request, and ``GET /v3/model/facets``.

header → viewer → query → page → bytes. Every step is synchronous and in memory. A search takes microseconds, so it runs
on the event loop: passing it to a thread would cost more than the search. What takes longer than a millisecond is over
the request's budget, and continues in ``heavy_work``.
"""

from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import quote

import msgspec

from modelyard import errors, wire
from modelyard.catalog import Catalog
from modelyard.domain import ModelQuery, Viewer, Visibility
from modelyard.index import Budget
from modelyard.web.auth import ViewerOf
from modelyard.web.cache import RevisionCache
from modelyard.web.consistency import revision_header
from modelyard.web.prefer_header import NOTHING, Preferences, applied_header, read_preferences
from modelyard.web.requests import Header, Request
from modelyard.web.responses import Response, digest_of
from modelyard.web.urls import BaseOf, LinksFor

_IGNORED, _TOTAL, _SUGGESTION, _FILTER_SUGGESTION = (
    name.lower().encode()
    for name in (wire.IGNORED_HEADER, wire.TOTAL_HEADER, wire.SUGGESTION_HEADER, wire.FILTER_SUGGESTION_HEADER)
)
_APPLIED = b"preference-applied"
# A thousand pages of average size.
CACHE_BYTES_MAX = 16 * 1024 * 1024
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class _Search:
    """The viewer, the query, the preferences and the budget of a request, and the response headers they bring."""

    viewer: Viewer
    query: ModelQuery
    preferences: Preferences
    budget: Budget
    headers: list[Header]


class Listing:
    """Returns pages of models, and caches them: many clients request the same first pages, and request them again.

    The cache has a page by team and query string until the catalogue changes. Download links expire, so the bytes in
    the cache have placeholders, which each response replaces by new links.
    """

    def __init__(self, catalog: Catalog, viewer_of: ViewerOf, links_for: LinksFor, base_of: BaseOf) -> None:
        self._catalog = catalog
        self._viewer_of = viewer_of
        self._links_for = links_for
        self._base_of = base_of
        self._cache: RevisionCache[tuple[str | None, bytes], Response] = RevisionCache(
            CACHE_BYTES_MAX, lambda: catalog.revision, lambda key, response: len(response.body) + len(key[1])
        )
        self.cache_use = self._cache.use

    def get(self, request: Request) -> Response:
        """Return a page of the models that match, and that the caller may see."""
        viewer = self._viewer_of(request)
        response = self._cached(viewer, request)
        if response.digest is not None:
            return response
        body = wire.fill_holes(response.body, self._links_for(request), self._base_of(request))
        return replace(response, body=body)

    def _cached(self, viewer: Viewer, request: Request) -> Response:
        """Return the response of the cache, or a new one. It has placeholders if it has no digest."""
        revision = self._catalog.refresh()
        if b"prefer" in request.headers:
            return self._page(_parse_search(self._catalog, viewer, request), revision)
        key = viewer.team, request.scope["query_string"]
        return self._cache.get_or_make(
            key, revision, lambda: self._page(_parse_search(self._catalog, viewer, request), revision)
        )

    def _page(self, search: _Search, revision: int) -> Response:
        viewer, query, headers = search.viewer, search.query, search.headers
        page = self._catalog.search(viewer, query, search.budget)
        if search.preferences.exact_count:
            count = self._catalog.estimate(viewer, query, search.budget)
            headers.append((_TOTAL, b"%d" % count.number if count.is_exact else b">=%d" % count.number))
            headers.append((_APPLIED, applied_header(search.preferences, is_exact=count.is_exact)))
        elif applied := applied_header(search.preferences):
            headers.append((_APPLIED, applied))
        if not page.records and (query.terms or query.words) and query.start is None:
            headers.extend(_suggestion(self._catalog, viewer, query, search.budget))
        if query.words and query.start is None:
            headers.extend(_filter_suggestion(self._catalog, viewer, query))
        headers.append(revision_header(revision))
        body = wire.join_page(page.records, page.following)
        return Response(body, headers=tuple(headers), digest=None if wire.has_holes(body) else digest_of(body))


def _suggestion(catalog: Catalog, viewer: Viewer, query: ModelQuery, budget: Budget) -> list[Header]:
    nearest = catalog.suggestion(viewer, query, budget)
    # Percent-encoded: a header is ASCII, and names of models are in every script.
    return [(_SUGGESTION, quote(nearest, safe=" ").encode())] if nearest else []


def _filter_suggestion(catalog: Catalog, viewer: Viewer, query: ModelQuery) -> list[Header]:
    suggestions = catalog.filter_suggestions(viewer, query)
    return [(_FILTER_SUGGESTION, wire.filter_suggestion_header(suggestions).encode())] if suggestions else []


def count_facets(catalog: Catalog, viewer_of: ViewerOf, request: Request) -> Response:
    """Return counts of the models that match, by type, source, base model and tag. Paging has no effect."""
    search = _parse_search(catalog, viewer_of(request), request)
    facets = catalog.facets(search.viewer, search.query, budget=search.budget)
    body = wire.FacetsAnswer(
        total=facets.total,
        types=_counts(facets.types),
        sources=_counts(facets.sources),
        base_models=_counts(facets.base_models),
        tags=_counts(facets.tags),
        estimated=not facets.is_exact,
    )
    if applied := applied_header(search.preferences, is_exact=facets.is_exact):
        search.headers.append((_APPLIED, applied))
    return Response(_encode(body), headers=tuple(search.headers))


def _counts(pairs: list[tuple[str, int]]) -> list[wire.Count]:
    return [wire.Count(name, count) for name, count in pairs]


def _parse_search(catalog: Catalog, viewer: Viewer, request: Request) -> _Search:
    prefer = request.headers.get(b"prefer")
    preferences = read_preferences(prefer) if prefer else NOTHING
    parsed = wire.parse_query(request.scope["query_string"], partial(catalog.known_types, viewer))
    if parsed.ignored and preferences.strict:
        raise _unknown_parameters(parsed.ignored)
    if parsed.query.visibility is Visibility.PRIVATE and viewer.team is None:
        raise errors.MissingKey
    headers: list[Header] = []
    if parsed.ignored:
        headers.append((_IGNORED, wire.ignored_header(parsed.ignored).encode()))
    return _Search(viewer, parsed.query, preferences, request.budget or Budget(), headers)


def _unknown_parameters(names: tuple[str, ...]) -> errors.InvalidRequest:
    unknown = [name[:64] for name in names[:20]]
    accepted = [parameter.name for parameter in wire.PARAMETERS]
    return errors.InvalidRequest(
        f"unknown: {', '.join(unknown)}; accepted: {', '.join(accepted)}",
        parameter=unknown[0],
        ignored=unknown,
        allowed=accepted,
    )
