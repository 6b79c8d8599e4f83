"""The gallery at ``/``. Its query string is that of ``GET /v3/model``: pages and API calls share their parameters.

``catalog.search`` returns the results within microseconds at any size. The counts beside the filters may take
milliseconds, so the script requests ``/parts/results`` first while a visitor types, and ``/parts/filters`` afterwards.
Both parts and the page are cached until the catalogue changes.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from urllib.parse import urlencode

from markupsafe import Markup

from modelyard import errors, wire
from modelyard.domain import NOT, TYPE_FAMILIES, ModelQuery, Source, Viewer, Visibility, fold, fold_base
from modelyard.index import Budget, Facets
from modelyard.web.cache import RevisionCache
from modelyard.web.pages.cards import Cards
from modelyard.web.pages.labels import SOURCE_LABELS, get_type_label, read_base_model_labels
from modelyard.web.pages.page import PageContext, PageRequest, render_page, render_part
from modelyard.web.pages.templates import render
from modelyard.web.responses import Response

# Divisible by 2, 3, 4 and 6, so that most screens show complete rows.
LIMIT = 24
_CACHE_BYTES_MAX = 16 * 1024 * 1024
_CHOICES_MAX = 12
_TYPES, _BASE, _SOURCE, _TAGS, _VISIBILITY, _NSFW, _INPAINTING, _WORDS, _CURSOR = (
    wire.NAMES[name]
    for name in (
        "types",
        "base_models",
        "sources",
        "tags",
        "visibility",
        "is_nsfw",
        "is_inpainting",
        "words",
        "start",
    )
)
Pairs = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a filter. Its link, ``address``, selects the value, or removes the selection."""

    label: str
    count: int | None
    address: str
    is_selected: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """The values of one filter."""

    name: str
    title: str
    choices: list[Choice]


@dataclass(frozen=True, slots=True)
class GallerySearch:
    """The parameters of a gallery request, as name-value pairs and as a query."""

    page_request: PageRequest
    viewer: Viewer
    query: ModelQuery
    pairs: Pairs
    # The URL encoding of each pair: a page has a hundred addresses that differ in one pair.
    encodings: list[str]

    @property
    def budget(self) -> Budget | None:
        """The budget of the request for questions to the index."""
        return self.page_request.request.budget

    @property
    def text(self) -> str:
        """The search words as the visitor typed them."""
        return dict(self.pairs).get(_WORDS, "")

    def with_pair(self, name: str, value: str, *, alone: bool) -> str:
        """Return the address of this search with one more value; ``alone``: it replaces the filter's other values."""
        encodings = [
            encoding
            for pair, encoding in zip(self.pairs, self.encodings, strict=True)
            if pair[0] != _CURSOR and not (alone and pair[0] == name)
        ]
        return "/?" + "&".join([*encodings, _encode((name, value))])

    def without(self, *names: str, value: str | None = None) -> str:
        """Return the address of this search without some filters, or without one of their values."""
        encodings = [
            encoding
            for pair, encoding in zip(self.pairs, self.encodings, strict=True)
            if pair[0] != _CURSOR and (pair[0] not in names or (value is not None and pair[1] != value))
        ]
        return "/?" + "&".join(encodings) if encodings else "/"


def _search_all_fields(query_string: bytes) -> bytes:
    """Return a query string that searches all fields, also if it is an older link to a search of names and tags."""
    if _WORDS.encode() in query_string:
        return query_string
    return query_string.replace(wire.NAMES["terms"].encode() + b"=", _WORDS.encode() + b"=")


@lru_cache(maxsize=4096)
def _encode(pair: tuple[str, str]) -> str:
    return urlencode([pair])


def build_address(pairs: Iterable[tuple[str, str]]) -> str:
    """Return the gallery's address for these parameters."""
    query = urlencode(list(pairs))
    return f"/?{query}" if query else "/"


def _size_of_response(key: tuple[object, ...], response: Response) -> int:
    return len(response.body) + sum(len(part) for part in key if isinstance(part, bytes))


class Gallery:
    """Renders the gallery and its parts."""

    def __init__(self, context: PageContext) -> None:
        self._context = context
        self._catalog = context.catalog
        self._cards = Cards()
        new_cache = partial(RevisionCache, _CACHE_BYTES_MAX, lambda: context.catalog.revision)
        self._responses: RevisionCache[tuple[object, ...], Response] = new_cache(_size_of_response)
        self._filters: RevisionCache[tuple[object, ...], str] = new_cache(lambda _, html: len(html))
        self._base_models: RevisionCache[str, dict[str, str]] = new_cache(lambda _, labels: 200 * (len(labels) + 1))

    def show(self, page_request: PageRequest) -> Response:
        """Show the complete page."""
        return self._respond("page", self._render_page, page_request)

    def show_results(self, page_request: PageRequest) -> Response:
        """Show the matching models and the active filters, without counts."""
        return self._respond("results", lambda search: render_part(self._render_results(search)), page_request)

    def show_filters(self, page_request: PageRequest) -> Response:
        """Show the filters with their counts."""
        return self._respond("filters", lambda search: render_part(self._get_filters(search)), page_request)

    def _respond(
        self, kind: str, make_response: Callable[[GallerySearch], Response], page_request: PageRequest
    ) -> Response:
        viewer = page_request.reader
        revision = self._catalog.refresh()
        has_session, query_string = page_request.session is not None, page_request.query_string
        key = (kind, viewer.team, viewer.scopes, page_request.shows_nsfw, has_session, query_string)
        return self._responses.get_or_make(
            key, revision, lambda: make_response(self._parse_search(page_request, viewer))
        )

    def _parse_search(self, page_request: PageRequest, viewer: Viewer) -> GallerySearch:
        query_string = _search_all_fields(page_request.query_string)
        query = wire.parse_query(query_string, partial(self._catalog.known_types, viewer)).query
        if query.visibility is Visibility.PRIVATE and viewer.team is None:
            raise errors.MissingKey
        pairs = wire.query_pairs(query_string)
        if wire.NAMES["limit"] not in dict(pairs):
            query = replace(query, limit=LIMIT)
        return GallerySearch(page_request, viewer, query, pairs, [*map(_encode, pairs)])

    def _render_page(self, search: GallerySearch) -> Response:
        results = Markup(self._render_results(search))  # noqa: S704 # a template's output, already escaped
        filters = Markup(self._get_filters(search))  # noqa: S704 # the same
        return render_page(
            search.page_request, "gallery.html", text=search.text, pairs=search.pairs, results=results, filters=filters
        )

    # --- results

    def _render_results(self, search: GallerySearch) -> str:
        page = self._catalog.search(search.viewer, search.query, search.budget)
        records = [self._cards.decode(body) for body in page.records]
        rank_of = self._catalog.ranks_of([record.id for record in records])
        cards = [
            self._cards.render(body, record, rank_of.get(record.id))
            for body, record in zip(page.records, records, strict=True)
        ]
        next_address = None
        if page.following is not None:
            next_address = search.with_pair(_CURSOR, wire.format_cursor(page.following), alone=True)
        suggestion = None
        if not cards and search.query.words and search.query.start is None:
            suggestion = self._catalog.suggestion(search.viewer, search.query, search.budget)
        return render(
            "results.html",
            cards=cards,
            next_address=next_address,
            is_first_page=search.query.start is None,
            first_address=search.without(),
            text=search.text,
            selection=self._list_selection(search),
            unfiltered_address=build_address([(_WORDS, search.text)] if search.text else []),
            suggestion=suggestion,
            suggestion_address=search.with_pair(_WORDS, suggestion, alone=True) if suggestion else "",
        )

    def _list_selection(self, search: GallerySearch) -> list[Choice]:
        """Return the active filters, each with the address of the search without it."""
        return [
            Choice(self._get_label(name, value), None, search.without(name, value=value), is_selected=True)
            for name, value in search.pairs
            if name not in (_WORDS, _CURSOR, wire.NAMES["limit"])
        ]

    def _get_label(self, name: str, value: str) -> str:
        if value.startswith(NOT) and name in (_TYPES, _BASE, _SOURCE, _VISIBILITY):
            return f"not {self._get_label(name, value.removeprefix(NOT))}"
        if name == _TYPES:
            return "LoRA family" if value == "lora" else get_type_label(value)
        if name == _BASE:
            return self._get_base_model_labels().get(fold_base(value), value)
        if name == _SOURCE:
            return SOURCE_LABELS[Source(value)]
        if name == _TAGS:
            return f"#{value}"
        return f"{name.rpartition('.')[2].replace('_', ' ')}: {value}"

    # --- filters

    def _get_filters(self, search: GallerySearch) -> str:
        """Return the filters of a search. They are the same on each of its pages."""
        key = (search.viewer.team, search.page_request.shows_nsfw, search.without())
        return self._filters.get_or_make(key, self._catalog.revision, lambda: self._render_filters(search))

    def _render_filters(self, search: GallerySearch) -> str:
        facets = self._get_facets(search, search.query)
        groups = [
            self._list_visibilities(search),
            self._list_types(search),
            self._list_base_models(search),
            self._list_sources(search),
            self._list_tags(search, facets),
            self._list_other_filters(search),
        ]
        return render(
            "filters.html",
            total=facets.total,
            is_exact=facets.is_exact,
            groups=[group for group in groups if group.choices],
            shows_nsfw=search.page_request.shows_nsfw,
            address=search.without(),
        )

    def _get_facets(self, search: GallerySearch, query: ModelQuery) -> Facets:
        """Return the counts of the matches by field; the index caches them."""
        return self._catalog.facets(search.viewer, query, budget=search.budget)

    def _list_types(self, search: GallerySearch) -> Group:
        # The counts ignore the selected types: they are for selecting one more.
        counts = dict(self._get_facets(search, replace(search.query, types=frozenset())).types)
        family = TYPE_FAMILIES["lora"]
        selection = {value for name, value in search.pairs if name == _TYPES}
        pairs = [("lora", sum(counts.get(name, 0) for name in family))] if family & counts.keys() else []
        pairs += [(name, count) for name, count in counts.items() if name not in family]
        pairs.sort(key=lambda pair: -pair[1])
        choices = [self._make_choice(search, _TYPES, *pair, pair[0] in selection) for pair in pairs]
        return Group("types", "Type", choices)

    def _list_base_models(self, search: GallerySearch) -> Group:
        selection = search.query.base_models
        counts = self._get_facets(search, replace(search.query, base_models=frozenset())).base_models
        pairs = [(name, count) for name, count in counts if name]
        pairs = pairs[:_CHOICES_MAX] + [pair for pair in pairs[_CHOICES_MAX:] if pair[0] in selection]
        choices = [self._make_choice(search, _BASE, *pair, pair[0] in selection, alone=True) for pair in pairs]
        return Group("base_models", "Base model", choices)

    def _list_sources(self, search: GallerySearch) -> Group:
        selection = search.query.sources
        counts = self._get_facets(search, replace(search.query, sources=frozenset())).sources
        choices = [self._make_choice(search, _SOURCE, *pair, pair[0] in selection, alone=True) for pair in counts]
        return Group("sources", "Source", choices if len(choices) > 1 or selection else [])

    def _list_tags(self, search: GallerySearch, facets: Facets) -> Group:
        counts = dict(facets.tags)
        selection = {fold(value).strip(): value for name, value in search.pairs if name == _TAGS}
        pairs = [(tag, counts.get(tag, facets.total)) for tag in selection]
        pairs += [(tag, count) for tag, count in counts.items() if tag and tag not in selection]
        choices = [
            self._make_choice(search, _TAGS, selection.get(tag, tag), count, tag in selection)
            for tag, count in pairs[: max(_CHOICES_MAX, len(selection))]
        ]
        return Group("tags", "Tags", choices)

    def _list_visibilities(self, search: GallerySearch) -> Group:
        if search.viewer.team is None:
            return Group("visibility", "Visibility", [])
        labels = (
            ("All", None),
            ("Public", Visibility.PUBLIC),
            (f"Private to {search.viewer.team}", Visibility.PRIVATE),
        )
        choices = [
            Choice(
                label,
                None,
                search.with_pair(_VISIBILITY, value.value, alone=True) if value else search.without(_VISIBILITY),
                search.query.visibility is value,
            )
            for label, value in labels
        ]
        return Group("visibility", "Visibility", choices)

    def _list_other_filters(self, search: GallerySearch) -> Group:
        is_safe, is_inpainting = search.query.is_nsfw is False, bool(search.query.is_inpainting)
        switches = (
            ("Safe for work", _NSFW, "false", is_safe),
            ("For inpainting", _INPAINTING, "true", is_inpainting),
        )
        choices = [
            Choice(
                label,
                None,
                search.without(name) if is_selected else search.with_pair(name, value, alone=True),
                is_selected,
            )
            for label, name, value, is_selected in switches
        ]
        return Group("other", "Other", choices)

    def _make_choice(
        self, search: GallerySearch, name: str, value: str, count: int, is_selected: bool, *, alone: bool = False
    ) -> Choice:
        if is_selected:
            address = search.without(name, value=None if alone else value)
        else:
            address = search.with_pair(name, value, alone=alone)
        return Choice(self._get_label(name, value), count, address, is_selected)

    def _get_base_model_labels(self) -> dict[str, str]:
        store = self._catalog.store
        return self._base_models.get_or_make("labels", self._catalog.revision, lambda: read_base_model_labels(store))
