"""The gallery at ``/``. Its query string is that of ``GET /v3/model``: pages and API calls share their parameters.

``catalog.list_models`` returns the results within microseconds at any size. The counts beside the filters may take
milliseconds, so the script requests ``/parts/results`` first while a visitor types, and ``/parts/filters`` afterwards.
Both parts and the page are cached until the catalogue changes.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from markupsafe import Markup

from modelyard import errors, wire
from modelyard.domain import ModelQuery, Scope, Visibility
from modelyard.index import Budget, ListedModel, OverBudgetError, question_budget
from modelyard.web.cache import RevisionCache
from modelyard.web.pages.cards import Cards
from modelyard.web.pages.gallery_filters import Choice, GalleryFilters, describe_filter, label_value
from modelyard.web.pages.gallery_search import (
    CURSOR,
    SINGLY,
    VERSIONS,
    WORDS,
    GallerySearch,
    build_address,
    read_search,
)
from modelyard.web.pages.labels import read_base_model_labels
from modelyard.web.pages.page import PageContext, PageRequest, render_page, render_part
from modelyard.web.pages.templates import render
from modelyard.web.responses import Response
from modelyard.workflows import BODY_BYTES_MAX

# Divisible by 2, 3, 4 and 6, so that most screens show complete rows.
LIMIT = 24
_CACHE_BYTES_MAX = 16 * 1024 * 1024
_RESULTS_BYTES_MAX = 2 * 1024 * 1024
_OFFERS_MAX = 4
# Of so many filters the page without matches says whether dropping one helps.
_DROPS_MAX = 8
_SORT_LABELS = {
    "popular": "Most popular",
    "newest": "Newest",
    "added": "Added here",
    "updated": "Updated",
    "name": "Name",
    "size": "Largest",
}


@dataclass(frozen=True, slots=True)
class _Sides:
    """What stands around the results: the filters, the bar above the grid, and the filters that the box offers."""

    filters: str
    bar: str

    def __len__(self) -> int:
        return len(self.filters) + len(self.bar)


def _search_all_fields(query_string: bytes) -> bytes:
    """Return a query string that searches all fields, also if it is an older link to a search of names and tags."""
    if WORDS.encode() in query_string:
        return query_string
    return query_string.replace(wire.NAMES["terms"].encode() + b"=", WORDS.encode() + b"=")


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
        self.cache_use = self._responses.use
        self._sides: RevisionCache[tuple[object, ...], _Sides] = new_cache(lambda _, sides: len(sides))
        # A page whose counts are too dear for the event loop is made once more, in a thread, with the same results.
        self._results: RevisionCache[tuple[object, ...], str] = RevisionCache(
            _RESULTS_BYTES_MAX, lambda: context.catalog.revision, lambda _, results: len(results)
        )
        self._base_models: RevisionCache[str, dict[str, str]] = new_cache(lambda _, labels: 200 * (len(labels) + 1))

    def show(self, page_request: PageRequest) -> Response:
        """Show the complete page."""
        return self._respond("page", self._render_page, page_request)

    def show_results(self, page_request: PageRequest) -> Response:
        """Show the matching models and the active filters, without counts."""
        return self._respond("results", lambda search: render_part(self._get_results(search)), page_request)

    def show_filters(self, page_request: PageRequest) -> Response:
        """Show the filters with their counts, and the bar above the grid."""

        def make_response(search: GallerySearch) -> Response:
            sides = self._get_sides(search)
            return render_part(sides.filters + sides.bar)

        return self._respond("filters", make_response, page_request)

    def _respond(
        self, kind: str, make_response: Callable[[GallerySearch], Response], page_request: PageRequest
    ) -> Response:
        key = (kind, *self._key_of(page_request))
        revision = self._catalog.refresh()
        return self._responses.get_or_make(key, revision, lambda: make_response(self._parse_search(page_request)))

    def _key_of(self, page_request: PageRequest) -> tuple[object, ...]:
        """Return everything that an answer depends on, but the catalogue."""
        viewer = page_request.reader
        preferences = page_request.shows_nsfw, page_request.hides_nsfw, page_request.is_list
        has_session, query_string = page_request.session is not None, page_request.query_string
        # The gallery of operators has a form, so each of their sessions has pages of its own.
        session = page_request.session
        is_operator = session is not None and self._context.auth.is_operator(viewer)
        token = session.token if session is not None and is_operator else ""
        return viewer.team, viewer.scopes, token, preferences, has_session, query_string

    def _parse_search(self, page_request: PageRequest) -> GallerySearch:
        viewer, query_string = page_request.reader, _search_all_fields(page_request.query_string)
        query = wire.parse_query(query_string, partial(self._catalog.known_types, viewer)).query
        if query.visibility is Visibility.PRIVATE and viewer.team is None:
            raise errors.MissingKey
        search = read_search(page_request, viewer, query, query_string)
        if wire.NAMES["limit"] not in dict(search.pairs):
            search = replace(search, query=replace(search.query, limit=LIMIT))
        return search

    def _render_page(self, search: GallerySearch) -> Response:
        results = Markup(self._get_results(search))  # noqa: S704 # a template's output, already escaped
        sides = self._get_sides(search)
        return render_page(
            search.page_request,
            "gallery.html",
            text=search.text,
            pairs=search.pairs,
            results=results,
            filters=Markup(sides.filters),  # noqa: S704 # the same
            bar=Markup(sides.bar),  # noqa: S704 # the same
            filter_count=len(search.filters),
            drop_bytes_max=BODY_BYTES_MAX,
            targets=self._list_targets(search.page_request),
        )

    def _list_targets(self, page_request: PageRequest) -> list[str]:
        """Return the generators that the visitor may send models to."""
        session = page_request.session
        may_write = session is not None and session.viewer.may(Scope.WRITE)
        return self._context.send_endpoints.sends.target_names if may_write else []

    # --- results

    def _get_results(self, search: GallerySearch) -> str:
        key = self._key_of(search.page_request)
        return self._results.get_or_make(key, self._catalog.revision, lambda: self._render_results(search))

    def _render_results(self, search: GallerySearch) -> str:
        page = self._catalog.list_models(search.viewer, search.query, search.budget, is_grouped=search.is_grouped)
        next_address = None
        if page.following is not None:
            next_address = search.with_pair(CURSOR, wire.format_cursor(page.following), alone=True)
        is_first_page = search.query.start is None
        suggestion, drops = None, []
        if not page.models and is_first_page:
            if search.query.words:
                suggestion = self._catalog.suggestion(search.viewer, search.query, search.budget)
            drops = self._list_drops(search)
        return render(
            "results.html",
            cards=self._cards.render_all(page.models),
            is_list=search.page_request.is_list,
            next_address=next_address,
            is_first_page=is_first_page,
            first_address=search.without(),
            text=search.text,
            selection=self._list_selection(search),
            unfiltered_address=build_address([(WORDS, search.text)] if search.text else []),
            suggestion=suggestion,
            suggestion_address=search.with_pair(WORDS, suggestion, alone=True) if suggestion else "",
            drops=drops,
            is_empty=not page.models and is_first_page and not search.text and not search.filters and not drops,
            may_write=search.page_request.session is not None,
            session=search.page_request.session,
            offers_covers=is_first_page and self._has_outside_covers(search, page.models),
        )

    def _has_outside_covers(self, search: GallerySearch, models: Iterable[ListedModel]) -> bool:
        """Whether a model shows a picture that an operator can download."""
        if search.page_request.session is None or not self._context.auth.is_operator(search.viewer):
            return False
        return any(self._cards.decode(model.record).cover_url.startswith("http") for model in models)

    def _list_selection(self, search: GallerySearch) -> list[Choice]:
        """Return the active filters, each with the address of the search without it."""
        return [
            Choice(self._get_label(name, value), None, search.without(name, value=value), is_selected=True)
            for name, value in search.filters
        ]

    def _list_drops(self, search: GallerySearch) -> list[Choice]:
        """Return the filters and words without which models match, with how many: for a search without matches."""
        drops = []
        for name, value in [*search.filters[:_DROPS_MAX], *([(WORDS, search.text)] if search.text else [])]:
            if name == WORDS and not search.filters:
                continue
            address = search.without(name, value=value)
            query = wire.parse_query(
                address.partition("?")[2].encode(), partial(self._catalog.known_types, search.viewer)
            ).query
            query = replace(query, is_nsfw=search.query.is_nsfw if query.is_nsfw is None else query.is_nsfw)
            count = self._catalog.estimate(search.viewer, query, _thrifty(search))
            label = f"“{value}”" if name == WORDS else self._get_label(name, value)
            drops += [Choice(label, count.number, address)] if count.number else []
        if search.page_request.hides_nsfw:
            count = self._catalog.estimate(search.viewer, replace(search.query, is_nsfw=None), _thrifty(search))
            address = search.with_pair(wire.NAMES["is_nsfw"], "true", alone=True)
            drops += [Choice("the choice to hide NSFW models", count.number, address)] if count.number else []
        return drops

    def _get_label(self, name: str, value: str) -> str:
        return label_value(name, value, self._get_base_model_labels())

    # --- filters

    def _get_sides(self, search: GallerySearch) -> _Sides:
        """Return the filters and the bar of a search. They are the same on each of its pages."""
        request = search.page_request
        preferences = request.shows_nsfw, request.hides_nsfw, request.is_list
        key = (search.viewer.team, preferences, search.without(), *search.finds.items())
        return self._sides.get_or_make(key, self._catalog.revision, lambda: self._render_sides(search))

    def _render_sides(self, search: GallerySearch) -> _Sides:
        filters = GalleryFilters(self._catalog, search, self._get_base_model_labels())
        facets = filters.facets
        groups = filters.list_groups()
        count, is_exact = facets.total, facets.is_exact
        if search.is_grouped and count:
            number = self._count_groups(search)
            count, is_exact = number or (count, False)
        rendered_filters = render(
            "filters.html",
            groups=groups,
            pairs=[pair for pair in search.pairs if pair[0] != CURSOR],
            counts_versions=count != facets.total,
            clear_address=build_address([(WORDS, search.text)] if search.text else []) if search.filters else "",
            count=count,
        )
        bar = render(
            "bar.html",
            count=count,
            is_exact=is_exact,
            is_grouped=search.is_grouped,
            noun="model" if search.is_grouped else "version",
            versions_address=search.without(VERSIONS) if not search.is_grouped else search.with_pair(VERSIONS, SINGLY),
            sorts=_SORT_LABELS,
            sort=search.query.sort,
            pairs=[pair for pair in search.pairs if pair[0] not in (CURSOR, wire.NAMES["sort"])],
            nsfw="hidden"
            if search.page_request.hides_nsfw
            else "shown"
            if search.page_request.shows_nsfw
            else "blurred",
            is_list=search.page_request.is_list,
            address=search.without(),
            offers=self._list_offers(search),
        )
        return _Sides(rendered_filters, bar)

    def _count_groups(self, search: GallerySearch) -> tuple[int, bool] | None:
        try:
            count = self._catalog.count_groups(search.viewer, search.query, search.budget)
        except OverBudgetError:
            if search.budget is not None and search.budget.is_quick:
                raise
            return None
        return count.number, count.is_exact

    def _list_offers(self, search: GallerySearch) -> list[Choice]:
        """Return the filters that words of the search name, or begin to name."""
        offers = []
        for field, value, count in islice(
            self._catalog.offer_filters(search.viewer, replace(search.query, start=None), _OFFERS_MAX), _OFFERS_MAX
        ):
            name = wire.NAMES[field]
            label = self._get_label(name, value)
            words = _words_without(search.query, value)
            pairs = [pair for pair in search.pairs if pair[0] not in (CURSOR, WORDS)]
            address = build_address([*([(WORDS, words)] if words else []), *dict.fromkeys([*pairs, (name, value)])])
            offers.append(Choice(f"{describe_filter(name)}: {label.removeprefix('#')}", count, address))
        return offers

    def _get_base_model_labels(self) -> dict[str, str]:
        store = self._catalog.store
        return self._base_models.get_or_make("labels", self._catalog.revision, lambda: read_base_model_labels(store))


def _thrifty(search: GallerySearch) -> Budget:
    return search.budget or question_budget()


def _words_without(query: ModelQuery, value: str) -> str:
    """Return the words of a search without those that name a value, or begin to."""
    letters = "".join(wire.parse_query(b"filter.search=" + value.encode(), list).query.words)
    for size in range(len(query.words), 0, -1):
        for at in range(len(query.words) - size + 1):
            part = "".join(query.words[at : at + size])
            if part == letters or (at + size == len(query.words) and letters.startswith(part)):
                return " ".join(query.words[:at] + query.words[at + size :])
    return " ".join(query.words)
