"""``/api/models``: pages of models, by search and filters, from the index.

A page is made of the summaries that the index has, and of the counts of downloads that the database has. ``full=true``
describes each model with its files and commit.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import msgspec

from modelyard import errors, wire
from modelyard.catalog import Catalog
from modelyard.domain import (
    POPULAR,
    REVERSED,
    TYPE_FAMILIES,
    ModelQuery,
    Offset,
    Position,
    SortPosition,
    Viewer,
    Visibility,
    fold,
)
from modelyard.index import Budget
from modelyard.store import download_counts, repository_names
from modelyard.web.auth import ViewerOf
from modelyard.web.cache import RevisionCache
from modelyard.web.hub.descriptions import describe
from modelyard.web.hub.repositories import Repositories
from modelyard.web.hub.requests import is_true, read_query
from modelyard.web.requests import Request
from modelyard.web.responses import Response, digest_of
from modelyard.web.urls import BaseOf
from modelyard.wire import hub_summaries
from modelyard.wire.cursors import parse_cursor, sort_of
from modelyard.wire.hub_base_models import names_of
from modelyard.wire.hub_tags import LIBRARY, LIBRARY_TYPES, NSFW, PIPELINE_TAG

LIMIT_MAX = 1_000
CACHE_BYTES_MAX = 16 * 1024 * 1024
# How long a page shows the counts of downloads of when it was made.
COUNTS_SECONDS = 300
# A full description reads the layers of a model; the client follows the link to the next page.
_FULL_LIMIT_MAX = 100
_SORTS = {
    "downloads": POPULAR,
    "likes": POPULAR,
    "likes7d": POPULAR,
    "trendingScore": POPULAR,
    "createdAt": "added",
    "lastModified": "updated",
}
_FULL_FIELDS = frozenset({"sha", "siblings", "cardData", "usedStorage", "author", "lastModified"})
_ALWAYS = frozenset({"_id", "id", "modelId"})
_ID_DIGITS_MAX = 18
_encode = msgspec.json.Encoder().encode


class _Listed(msgspec.Struct):
    id: str


_decode_listed = msgspec.json.Decoder(list[_Listed]).decode


class HubSearch:
    """The handler of the route. It runs in a thread.

    It caches pages until the catalogue changes, and for a few minutes, because the counts of downloads change too.
    """

    def __init__(self, catalog: Catalog, repositories: Repositories, viewer_of: ViewerOf, base_of: BaseOf) -> None:
        self.catalog = catalog
        self.repositories = repositories
        self.viewer_of = viewer_of
        self.base_of = base_of
        self._cache: RevisionCache[tuple[str | None, str, bytes, int], Response] = RevisionCache(
            CACHE_BYTES_MAX, lambda: catalog.revision, lambda key, response: len(response.body) + len(key[2])
        )
        self.cache_use = self._cache.use

    def get(self, request: Request) -> Response:
        """Return a page of the models that match, and that the caller may see."""
        viewer, revision = self.viewer_of(request), self.catalog.refresh()
        key = viewer.team, self.base_of(request), request.query_string, int(time.time()) // COUNTS_SECONDS
        return self._cache.get_or_make(key, revision, lambda: self._page(viewer, request))

    def _page(self, viewer: Viewer, request: Request) -> Response:
        parameters = read_query(request)
        query = read_search(self.catalog, viewer, parameters)
        if query is None:
            return Response(b"[]")
        is_full = is_true(parameters, "full") or is_true(parameters, "cardData")
        expanded = frozenset(parameters.get("expand", ()))
        if is_full or expanded & _FULL_FIELDS:
            query = replace(query, limit=min(query.limit, _FULL_LIMIT_MAX))
        page = self.catalog.list_summaries(viewer, query, request.budget or Budget())
        body = self._join(page.records)
        if is_full or expanded & _FULL_FIELDS:
            body = _encode(self._describe_fully(viewer, _decode_listed(body)))
        if expanded:
            body = _encode(
                [
                    {name: model[name] for name in model if name in expanded or name in _ALWAYS}
                    for model in msgspec.json.decode(body)
                ]
            )
        response = Response(body, digest=digest_of(body))
        return response if page.following is None else self._with_next(response, request, parameters, page.following)

    def _join(self, summaries: Sequence[bytes]) -> bytes:
        ids = hub_summaries.ids_of(summaries)
        with self.catalog.store.reading() as connection:
            counts = download_counts.list_counts(connection, ids)
        return hub_summaries.join_summaries(
            summaries, {number: counts[id_] for number, id_ in enumerate(ids) if id_ in counts}
        )

    def _describe_fully(self, viewer: Viewer, models: Sequence[_Listed]) -> list[dict[str, Any]]:
        descriptions = []
        for model in models:
            # A model may be removed while the page is made.
            with suppress(errors.RepositoryNotFound):
                descriptions.append(describe(self.repositories.find(viewer, *model.id.split("/"))))
        return descriptions

    def _with_next(
        self,
        response: Response,
        request: Request,
        parameters: Mapping[str, list[str]],
        following: Position | SortPosition,
    ) -> Response:
        query = urlencode({**parameters, "cursor": wire.format_cursor(following)}, doseq=True)
        link = f'<{self.base_of(request)}{request.path}?{query}>; rel="next"'
        return replace(response, headers=(*response.headers, (b"link", link.encode())))


def read_search(catalog: Catalog, viewer: Viewer, parameters: Mapping[str, list[str]]) -> ModelQuery | None:
    """Return the query of a request; None if it can have no matches. Raises InvalidParameter."""
    words = " ".join(parameters.get("search", ()))
    query = wire.parse_query(urlencode({"filter.search": words}).encode(), set).query
    sort = _read_sort(parameters)
    changes: dict[str, Any] = {"limit": _read_limit(parameters), "sort": sort, "start": _read_start(parameters, sort)}
    if (author := parameters.get("author", [""])[-1]) and (visibility := _visibility_of(author, viewer)) is None:
        return None
    if author:
        changes["visibility"] = visibility
    if any(tag != PIPELINE_TAG for tag in parameters.get("pipeline_tag", ())):
        return None
    tags = [part for text in parameters.get("filter", ()) for part in text.split(",")]
    known_types = catalog.known_types(viewer) if tags else set()
    for values in tags:
        if not _add_filter(changes, values.strip(), known_types):
            return None
    return replace(query, **changes)


def _visibility_of(author: str, viewer: Viewer) -> Visibility | None:
    if author == repository_names.PUBLIC:
        return Visibility.PUBLIC
    return Visibility.PRIVATE if viewer.team is not None and author == viewer.team else None


def _add_filter(changes: dict[str, Any], tag: str, known_types: set[str]) -> bool:
    """Add a tag to the changes of a query; return whether the query can still have matches."""
    kind, _, value = tag.partition(":")
    if tag in ("", PIPELINE_TAG):
        return True
    if tag == NSFW:
        changes["is_nsfw"] = True
    elif tag == LIBRARY:
        return _narrow(changes, "types", LIBRARY_TYPES)
    elif tag.casefold() in known_types:
        return _narrow(changes, "types", TYPE_FAMILIES.get(tag.casefold(), frozenset({tag.casefold()})))
    elif kind == "base_model":
        # The hub also writes how a model was made of its base: base_model:adapter:<id>.
        return _narrow(changes, "base_models", names_of(value.rpartition(":")[2]))
    elif kind == "license":
        return _narrow(changes, "licences", frozenset({value.casefold()}))
    elif kind == "civitai":
        version = value.rpartition("@")[2]
        if not (version.isascii() and version.isdigit() and len(version) <= _ID_DIGITS_MAX):
            return False
        changes["id"] = int(version)
    else:
        changes["tags"] = (*changes.get("tags", ()), fold(tag))
    return True


def _narrow(changes: dict[str, Any], field: str, values: frozenset[str]) -> bool:
    changes[field] = values & changes[field] if field in changes else values
    return bool(changes[field])


def _read_limit(parameters: Mapping[str, list[str]]) -> int:
    text = parameters.get("limit", [str(LIMIT_MAX)])[-1]
    if not (text.isascii() and text.isdigit() and len(text) <= _ID_DIGITS_MAX and int(text) > 0):
        raise errors.InvalidParameter("limit", text, f"1 to {LIMIT_MAX}")
    return min(int(text), LIMIT_MAX)


def _read_sort(parameters: Mapping[str, list[str]]) -> str:
    text = parameters.get("sort", ["downloads"])[-1]
    name = {_snake(sort): sort for sort in _SORTS}.get(_snake(text))
    if name is None:
        raise errors.InvalidParameter("sort", text, list(_SORTS))
    is_ascending = parameters.get("direction", ["-1"])[-1] == "1"
    return (REVERSED if is_ascending else "") + _SORTS[name]


def _snake(text: str) -> str:
    return text.replace("_", "").casefold()


def _read_start(parameters: Mapping[str, list[str]], sort: str) -> Position | SortPosition | Offset | None:
    text = parameters.get("cursor", [""])[-1]
    try:
        start = parse_cursor(text) if text else None
    except ValueError:
        start = Offset(-1)
    if start == Offset(-1) or (isinstance(start, Position | SortPosition) and sort_of(start) != sort):
        raise errors.InvalidParameter("cursor", text, "the cursor of a Link header")
    return start
