"""``/models``: pages of models. Every filter counts before the page is made, and each model comes once."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import urlencode

import msgspec

from modelyard import errors, wire
from modelyard.catalog import Catalog
from modelyard.domain import POPULAR, ModelQuery, Offset, Position, SortPosition, Viewer, fold, fold_base
from modelyard.index import NO_LEADS, Budget, Leads, ListedModel
from modelyard.store import version_groups
from modelyard.web.auth import ViewerOf
from modelyard.web.cache import LRUCache, RevisionCache
from modelyard.web.civitai.parameters import (
    Parameters,
    is_digits,
    read_choice,
    read_list,
    read_number,
    read_query,
    read_text,
)
from modelyard.web.civitai.versions import Versions
from modelyard.web.requests import Request
from modelyard.web.responses import Response, digest_of
from modelyard.web.routing import NotAtHandError
from modelyard.web.urls import BaseOf
from modelyard.wire.cursors import parse_cursor, sort_of

LIMIT_MAX = 100
CACHE_BYTES_MAX = 16 * 1024 * 1024
# A page ends when its body is this large: an import of another catalogue reads 32 MiB.
PAGE_BYTES_MAX = 8 * 1024 * 1024
# The event loop joins and compresses so much in about 5 ms.
_AT_HAND_BYTES_MAX = 1024 * 1024
_FOUND_MAX = 64
# Counts of downloads change without a new revision of the catalogue.
_PAGE_SECONDS = 300
SORTS = {"Highest Rated": POPULAR, "Most Downloaded": POPULAR, "Newest": "newest"}
PERIODS = {"AllTime": 0, "Year": 365, "Month": 31, "Week": 7, "Day": 1}
_DAY_SECONDS = 86_400
IDS_MAX = 100
_PAGE_MAX = 1_000_000
_IGNORED = wire.IGNORED_HEADER.lower().encode()
_ID_AT = len(b'{"id":')
# The index knows no creators and no days. It narrows by words and years, and so many of its matches are looked through
# for one page.
_ROWS_MAX = 1_000
_STEP_ROWS = 500
# A page by its number walks over all models before it.
SKIP_MAX = 10_000
_KNOWN = frozenset(
    {"limit", "cursor", "page", "query", "tag", "username", "types", "baseModels", "ids", "sort", "period", "nsfw",
     "primaryFileOnly", "token"}
)  # fmt: skip # a list of names
_encode = msgspec.json.Encoder().encode

_Position = Position | SortPosition


@dataclass(frozen=True, slots=True)
class Search:
    """A request for models. ``username`` is folded, ``since`` is in Unix seconds; empty and 0 restrict nothing."""

    query: ModelQuery
    page: int = 1
    # How many models come before the page, for a page that is named by its number.
    skip: int = 0
    username: str = ""
    since: int = 0
    ids: tuple[int, ...] | None = None
    primary_only: bool = False
    ignored: tuple[str, ...] = ()

    @property
    def is_dear(self) -> bool:
        """Whether the index alone cannot answer it, or only after a walk."""
        return bool(self.skip or self.username or self.since or self.ids is not None)


@dataclass(frozen=True, slots=True)
class _Items:
    """The models of a page as its body begins, with their digest: other queries may list the same models."""

    content: bytes
    digest: bytes


class CivitaiSearch:
    """The handler of the route. It caches pages until the catalogue changes."""

    def __init__(self, catalog: Catalog, versions: Versions, viewer_of: ViewerOf, base_of: BaseOf) -> None:
        self._catalog = catalog
        self._versions = versions
        self._viewer_of = viewer_of
        self._base_of = base_of
        self._cache: RevisionCache[tuple[str | None, str, bytes, int], Response] = RevisionCache(
            CACHE_BYTES_MAX // 2, lambda: catalog.revision, lambda key, response: len(response.body) + len(key[2])
        )
        self.cache_use = self._cache.use
        self._items: LRUCache[tuple[object, ...], _Items] = LRUCache(CACHE_BYTES_MAX // 2)
        # Which models a page has whose bodies were not at hand, for the thread that gets them.
        self._found: LRUCache[tuple[object, ...], tuple[Search, Leads]] = LRUCache(_FOUND_MAX)

    def get(self, request: Request) -> Response:
        """Return a page of the models that match, and that the caller may see. It may ask the database."""
        viewer, revision = self._viewer_of(request), self._catalog.refresh()
        key = viewer.team, self._base_of(request), request.query_string, int(time.time()) // _PAGE_SECONDS
        return self._cache.get_or_make(key, revision, lambda: self._page(viewer, request))

    def get_at_hand(self, request: Request) -> Response:
        """Return the same page if it is in memory, or all its models are. Raises NotAtHandError."""
        viewer, revision = self._viewer_of(request), self._catalog.refresh()
        key = viewer.team, self._base_of(request), request.query_string, int(time.time()) // _PAGE_SECONDS
        return self._cache.get_or_make(key, revision, lambda: self._page_at_hand(viewer, request))

    def _page(self, viewer: Viewer, request: Request) -> Response:
        parameters, revision = read_query(request), self._catalog.revision
        found = self._found.get((revision, viewer, request.query_string))
        if found is None:
            search = read_search(self._catalog, viewer, parameters)
            page = self._find(viewer, search, request.budget or Budget()) if search.query.limit else NO_LEADS
        else:
            search, page = found
        base, following = self._base_of(request), page.following
        numbers = {lead: number for number, lead in enumerate(page.ids)}
        bodies: list[bytes] = []
        size_bytes = 0
        for lead, body in self._versions.render_models(viewer, page.ids, base, primary_only=search.primary_only):
            bodies.append(body)
            size_bytes += len(body)
            if size_bytes > PAGE_BYTES_MAX and search.ids is None:
                following = page.position_after(numbers[lead])
                break
        items = _join(bodies)
        if following == page.following:
            key = revision, viewer.team, base, search.primary_only, page.ids
            self._items.put(key, items, len(items.content))
        return _make_page(items, following, parameters, search, f"{base}{request.path}")

    def _page_at_hand(self, viewer: Viewer, request: Request) -> Response:
        # The revision is read before the models: what is cached is never older.
        parameters, revision = read_query(request), self._catalog.revision
        search = read_search(self._catalog, viewer, parameters)
        if search.is_dear:
            raise NotAtHandError
        page = self._catalog.list_leads(viewer, search.query, request.budget) if search.query.limit else NO_LEADS
        base = self._base_of(request)
        key = revision, viewer.team, base, search.primary_only, page.ids
        items = self._items.get(key)
        if items is None:
            found = self._versions.find_bodies(viewer, page.ids, base, primary_only=search.primary_only)
            bodies = [body for body in found if body is not None]
            if len(bodies) < len(found) or sum(map(len, bodies)) > _AT_HAND_BYTES_MAX:
                self._found.put((revision, viewer, request.query_string), (search, page), 1)
                raise NotAtHandError
            items = _join(bodies)
            self._items.put(key, items, len(items.content))
        return _make_page(items, page.following, parameters, search, f"{base}{request.path}")

    def _find(self, viewer: Viewer, search: Search, budget: Budget) -> Leads:
        """Return the versions that stand for the models of the page."""
        if search.ids is not None:
            return replace(NO_LEADS, ids=tuple(self._find_by_ids(viewer, search, budget)))
        if not search.is_dear:
            return self._catalog.list_leads(viewer, search.query, budget)
        query, positions = search.query, list[_Position]()
        passed = rows = 0
        following = query.start if not isinstance(query.start, Offset) else None
        while rows <= search.skip + _ROWS_MAX and len(positions) < query.limit:
            step = min(search.skip - passed + query.limit, _STEP_ROWS)
            listing = self._catalog.list_models(viewer, replace(query, limit=step), budget, is_grouped=True)
            rows += len(listing.models)
            some = [_position_of(query.sort, listed) for listed in self._select(search, listing.models)]
            skipped = min(search.skip - passed, len(some))
            passed += skipped
            room = query.limit - len(positions)
            positions += some[skipped : skipped + room]
            following = positions[-1] if len(some) - skipped > room else listing.following
            if listing.following is None:
                break
            query = replace(query, start=listing.following)
        return Leads(tuple(position.id for position in positions), following, positions.__getitem__)

    def _select(self, search: Search, models: Sequence[ListedModel]) -> list[ListedModel]:
        """Return the models with the creator and the date that the search asks for."""
        if search.since:
            models = [listed for listed in models if (listed.published_at or 0) >= search.since]
        if search.username and models:
            with self._catalog.store.reading() as connection:
                creators = version_groups.creators_of(connection, [id_of(listed.record) for listed in models])
            models = [listed for listed in models if fold(creators.get(id_of(listed.record), "")) == search.username]
        return [*models]

    def _find_by_ids(self, viewer: Viewer, search: Search, budget: Budget) -> list[int]:
        """Return the best matching version of each of the models with these ids."""
        leads = []
        with self._catalog.store.reading() as connection:
            groups = [version_groups.find_model(connection, id_, viewer.team) for id_ in search.ids or ()]
        for group in groups:
            hits: list[ListedModel] = []
            for version_id in group:
                query = replace(search.query, id=version_id, start=None, limit=1)
                hits += self._catalog.list_models(viewer, query, budget, is_grouped=False).models
            if selected := self._select(search, hits):
                leads.append(id_of(max(selected, key=lambda listed: listed.rank).record))
        return list(dict.fromkeys(leads))[: search.query.limit]


def _join(bodies: Sequence[bytes]) -> _Items:
    content = b'{"items":[' + b",".join(bodies)
    return _Items(content, digest_of(content))


def _make_page(
    items: _Items, following: _Position | None, parameters: Parameters, search: Search, address: str
) -> Response:
    """Return the page at an address."""
    metadata: dict[str, object] = {"currentPage": search.page, "pageSize": search.query.limit}
    if following is not None:
        cursor = wire.format_cursor(following)
        others = {name: values for name, values in parameters.items() if name not in ("cursor", "page", "token")}
        query = urlencode({**others, "cursor": cursor}, doseq=True)
        metadata |= {"nextCursor": cursor, "nextPage": f"{address}?{query}"}
    end = b'],"metadata":%b}' % _encode(metadata)
    ignored = ((_IGNORED, wire.ignored_header(search.ignored).encode()),) if search.ignored else ()
    return Response(
        items.content + end,
        headers=ignored,
        digest=digest_of(items.digest + end),
        shared_digest=items.digest,
        shared_bytes=len(items.content),
    )


def id_of(record: bytes) -> int:
    """Return the id of a rendered record, its first field."""
    return int(record[_ID_AT : record.index(b",", _ID_AT)])


def _position_of(sort: str, listed: ListedModel) -> _Position:
    model_id = id_of(listed.record)
    return Position(listed.rank, model_id) if sort == POPULAR else SortPosition(sort, listed.published_at, model_id)


def read_search(catalog: Catalog, viewer: Viewer, parameters: Parameters) -> Search:
    """Return the search of a request. Raises InvalidParameter."""
    username = fold(read_text(parameters, "username"))
    words = " ".join(filter(None, (read_text(parameters, "query"), username)))
    query = wire.parse_query(urlencode({"filter.search": words}).encode(), set).query if words else ModelQuery()
    period = read_choice(parameters, "period", [*PERIODS], "AllTime")
    since = int(time.time()) - PERIODS[period] * _DAY_SECONDS if PERIODS[period] else 0
    sort = SORTS[read_choice(parameters, "sort", [*SORTS], "Highest Rated")]
    limit, page = (
        read_number(parameters, "limit", LIMIT_MAX, 0, LIMIT_MAX),
        read_number(parameters, "page", 1, 1, _PAGE_MAX),
    )
    start = _read_cursor(read_text(parameters, "cursor"), sort)
    skip = (page - 1) * limit if start is None else 0
    if skip > SKIP_MAX:
        raise errors.InvalidParameter("page", str(page), f"up to {SKIP_MAX:,} models before the page; use nextCursor")
    tag = fold(read_text(parameters, "tag"))
    query = replace(
        query,
        limit=limit,
        start=start,
        sort=sort,
        tags=(tag,) if tag else (),
        types=_read_types(catalog, viewer, read_list(parameters, "types")),
        base_models=frozenset(map(fold_base, read_list(parameters, "baseModels"))),
        years=_years_since(since),
        is_nsfw=False if read_choice(parameters, "nsfw", ["true", "false"], "true") == "false" else None,
    )
    return Search(
        query,
        page,
        skip,
        username,
        since,
        _read_ids(parameters),
        read_choice(parameters, "primaryFileOnly", ["true", "false"], "false") == "true",
        tuple(name for name in parameters if name not in _KNOWN),
    )


def _read_cursor(text: str, sort: str) -> _Position | None:
    try:
        start = parse_cursor(text) if text else None
    except ValueError:
        start = Offset(-1)
    is_other = isinstance(start, Position | SortPosition) and sort_of(start) != sort
    if isinstance(start, Offset) or is_other:
        raise errors.InvalidParameter("cursor", text, "the nextCursor of an answer with the same sort")
    return start


def _read_types(catalog: Catalog, viewer: Viewer, words: Sequence[str]) -> frozenset[str]:
    names = {word.casefold() for word in words}
    accepted = catalog.known_types(viewer) if names else names
    for word in words:
        if word.casefold() not in accepted:
            raise errors.InvalidParameter("types", word, sorted(accepted))
    return frozenset(names)


def _read_ids(parameters: Parameters) -> tuple[int, ...] | None:
    texts = read_list(parameters, "ids")
    for text in texts:
        if not is_digits(text):
            raise errors.InvalidParameter("ids", text, "ids of models, decimal digits")
    if len(texts) > IDS_MAX:
        raise errors.InvalidParameter("ids", f"{len(texts)} ids", f"up to {IDS_MAX} ids")
    return tuple(dict.fromkeys(map(int, texts))) or None


def _years_since(since: int) -> frozenset[str]:
    """Return the years from a date to today; none for no date."""
    if not since:
        return frozenset()
    years = [datetime.fromtimestamp(seconds, UTC).year for seconds in (since, time.time())]
    return frozenset(map(str, range(years[0], years[1] + 1)))
