"""The gallery: ``/``, whose query string is that of ``GET /v3/model``, so that a page and a call are the same question.

The results are what ``catalog.search`` answers, microseconds at any size. The counts beside the filters may take
milliseconds, so a keystroke's answer does not wait for them: the script asks for ``/parts/results`` first, and for
``/parts/filters`` when those are drawn. Both, and the page, are kept until the catalogue changes.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from urllib.parse import urlencode

from markupsafe import Markup

from modelyard import errors, wire
from modelyard.domain import TYPE_FAMILIES, ModelQuery, Source, Viewer, Visibility, fold, fold_base
from modelyard.index import Facets
from modelyard.web.cache import RevisionCache
from modelyard.web.pages.cards import SOURCE_LABELS, Cards, label_of_type
from modelyard.web.pages.page import Site, Visit, page, part
from modelyard.web.pages.templates import render
from modelyard.web.responses import Response

# Divides by 2, 3, 4 and 6: whole rows on most screens.
LIMIT = 24
_KEPT_BYTES_MAX = 16 * 1024 * 1024
_SHOWN_MAX = 12
_TYPES, _BASE, _SOURCE, _TAGS, _WHOSE, _NSFW, _INPAINTING, _TERMS, _CURSOR = (
    wire.NAMES[name]
    for name in (
        "types",
        "base_model",
        "source",
        "tags",
        "visibility",
        "is_nsfw",
        "is_inpainting",
        "terms",
        "start",
    )
)
Pairs = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a filter: choosing it, or taking it back, is following ``address``."""

    label: str
    count: int | None
    address: str
    is_chosen: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """The values of one filter."""

    name: str
    title: str
    choices: list[Choice]


@dataclass(frozen=True, slots=True)
class Asked:
    """A gallery's question: what it says, as pairs and as a query."""

    visit: Visit
    viewer: Viewer
    query: ModelQuery
    # Beside each pair, how an address spells it: a page has a hundred addresses that differ in one pair.
    pairs: Pairs
    spelled: list[str]

    @property
    def text(self) -> str:
        """The words searched for, as they were typed."""
        return dict(self.pairs).get(_TERMS, "")

    def with_pair(self, name: str, value: str, *, alone: bool) -> str:
        """Return the address of the same question with a value chosen; ``alone``: instead of the filter's others."""
        kept = [
            spelled
            for pair, spelled in zip(self.pairs, self.spelled, strict=True)
            if pair[0] != _CURSOR and not (alone and pair[0] == name)
        ]
        return "/?" + "&".join([*kept, _spelled((name, value))])

    def without(self, *names: str, value: str | None = None) -> str:
        """Return the address of the same question without some filters, or without one of their values."""
        kept = [
            spelled
            for pair, spelled in zip(self.pairs, self.spelled, strict=True)
            if pair[0] != _CURSOR and (pair[0] not in names or (value is not None and pair[1] != value))
        ]
        return "/?" + "&".join(kept) if kept else "/"


@lru_cache(maxsize=4096)
def _spelled(pair: tuple[str, str]) -> str:
    return urlencode([pair])


def address_of(pairs: Iterable[tuple[str, str]]) -> str:
    """Return the gallery's address for a question."""
    query = urlencode(list(pairs))
    return f"/?{query}" if query else "/"


def _size_of_response(key: tuple[object, ...], response: Response) -> int:
    return len(response.body) + sum(len(part) for part in key if isinstance(part, bytes))


def _size_of_facets(_: object, facets: Facets) -> int:
    return 100 * (len(facets.types) + len(facets.base_models) + len(facets.tags) + 1)


class Gallery:
    """Answers the gallery and its parts."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._cards = Cards()
        new_cache = partial(RevisionCache, _KEPT_BYTES_MAX, lambda: site.catalog.revision)
        self._responses: RevisionCache[tuple[object, ...], Response] = new_cache(_size_of_response)
        self._filters: RevisionCache[tuple[object, ...], str] = new_cache(lambda _, html: len(html))
        self._facets: RevisionCache[tuple[str | None, ModelQuery], Facets] = new_cache(_size_of_facets)
        self._bases: tuple[int, dict[str, str]] = (-1, {})

    def show(self, visit: Visit) -> Response:
        """Answer the whole page."""
        return self._kept("page", self._page, visit)

    def show_results(self, visit: Visit) -> Response:
        """Answer the models that match, and what was asked, without counts."""
        return self._kept("results", lambda asked: part(self._results(asked)), visit)

    def show_filters(self, visit: Visit) -> Response:
        """Answer the filters with their counts."""
        return self._kept("filters", lambda asked: part(self._filters_of(asked)), visit)

    def _kept(self, kind: str, answer: Callable[[Asked], Response], visit: Visit) -> Response:
        viewer = visit.reader
        revision = self._site.catalog.refresh()
        key = (kind, viewer.team, viewer.scopes, visit.shows_nsfw, visit.session is None, visit.query_string)
        return self._responses.get_or_make(key, revision, lambda: answer(self._asked(visit, viewer)))

    def _asked(self, visit: Visit, viewer: Viewer) -> Asked:
        query = wire.parse_query(visit.query_string, partial(self._site.catalog.known_types, viewer)).query
        if query.visibility is Visibility.PRIVATE and viewer.team is None:
            raise errors.MissingKey
        pairs = wire.given(visit.query_string)
        if wire.NAMES["limit"] not in dict(pairs):
            query = replace(query, limit=LIMIT)
        return Asked(visit, viewer, query, pairs, [*map(_spelled, pairs)])

    def _page(self, asked: Asked) -> Response:
        results = Markup(self._results(asked))  # noqa: S704 # a template's text, escaped there
        filters = Markup(self._filters_of(asked))  # noqa: S704 # the same
        return page(asked.visit, "gallery.html", asked=asked, results=results, filters=filters)

    # --- results

    def _results(self, asked: Asked) -> str:
        found = self._site.catalog.search(asked.viewer, asked.query)
        read = [self._cards.read(record) for record in found.records]
        rank_of = self._site.catalog.ranks_of([record.id for record in read])
        cards = [
            self._cards.render(record, seen, rank_of.get(seen.id))
            for record, seen in zip(found.records, read, strict=True)
        ]
        following = None
        if found.following is not None:
            following = asked.with_pair(_CURSOR, wire.format_cursor(found.following), alone=True)
        suggestion = None
        if not cards and asked.query.terms and asked.query.start is None:
            suggestion = self._site.catalog.suggestion(asked.viewer, asked.query)
        return render(
            "results.html",
            cards=cards,
            following=following,
            is_first=asked.query.start is None,
            first=asked.without(),
            text=asked.text,
            chosen=self._chosen(asked),
            everything=address_of([(_TERMS, asked.text)] if asked.text else []),
            suggestion=suggestion,
            suggested=asked.with_pair(_TERMS, suggestion, alone=True) if suggestion else "",
        )

    def _chosen(self, asked: Asked) -> list[Choice]:
        """Return the filters that act, each with the address without it."""
        return [
            Choice(self._label(name, value), None, asked.without(name, value=value), is_chosen=True)
            for name, value in asked.pairs
            if name not in (_TERMS, _CURSOR, wire.NAMES["limit"])
        ]

    def _label(self, name: str, value: str) -> str:
        if name == _TYPES:
            return "LoRA family" if value == "lora" else label_of_type(value)
        if name == _BASE:
            return self._base_names().get(fold_base(value), value)
        if name == _SOURCE:
            return SOURCE_LABELS[Source(value)]
        if name == _TAGS:
            return f"#{value}"
        return f"{name.rpartition('.')[2].replace('_', ' ')}: {value}"

    # --- filters

    def _filters_of(self, asked: Asked) -> str:
        """Return the filters of a question, which are the same beside every page of its answer."""
        revision = self._site.catalog.revision
        key = (asked.viewer.team, asked.visit.shows_nsfw, asked.without())
        return self._filters.get_or_make(key, revision, lambda: self._filters_made(asked))

    def _filters_made(self, asked: Asked) -> str:
        whole = self._facets_of(asked.viewer, asked.query)
        groups = [
            self._whose(asked),
            self._types(asked),
            self._base_models(asked),
            self._sources(asked),
            self._tags(asked, whole),
            self._more(asked),
        ]
        return render(
            "filters.html",
            total=whole.total,
            groups=[group for group in groups if group.choices],
            shows_nsfw=asked.visit.shows_nsfw,
            here=asked.without(),
        )

    def _facets_of(self, viewer: Viewer, query: ModelQuery) -> Facets:
        """Return how matches divide; the same counts stand beside every page of them."""
        query = replace(query, start=None, limit=LIMIT)
        revision = self._site.catalog.refresh()
        return self._facets.get_or_make(
            (viewer.team, query), revision, lambda: self._site.catalog.facets(viewer, query)
        )

    def _types(self, asked: Asked) -> Group:
        # What could be chosen besides: counted as if nothing of this filter were.
        counts = dict(self._facets_of(asked.viewer, replace(asked.query, types=frozenset())).types)
        family = TYPE_FAMILIES["lora"]
        chosen = {value for name, value in asked.pairs if name == _TYPES}
        offered = [("lora", sum(counts.get(name, 0) for name in family))] if family & counts.keys() else []
        offered += [(name, count) for name, count in counts.items() if name not in family]
        offered.sort(key=lambda pair: -pair[1])
        return Group("types", "Type", [self._choice(asked, _TYPES, *pair, pair[0] in chosen) for pair in offered])

    def _base_models(self, asked: Asked) -> Group:
        counts = self._facets_of(asked.viewer, replace(asked.query, base_model=None)).base_models
        offered = [(name, count) for name, count in counts if name]
        shown = offered[:_SHOWN_MAX] + [pair for pair in offered[_SHOWN_MAX:] if pair[0] == asked.query.base_model]
        choices = [self._choice(asked, _BASE, *pair, pair[0] == asked.query.base_model, alone=True) for pair in shown]
        return Group("base_models", "Base model", choices)

    def _sources(self, asked: Asked) -> Group:
        counts = self._facets_of(asked.viewer, replace(asked.query, source=None)).sources
        choices = [self._choice(asked, _SOURCE, *pair, pair[0] == asked.query.source, alone=True) for pair in counts]
        return Group("sources", "Source", choices if len(choices) > 1 or asked.query.source else [])

    def _tags(self, asked: Asked, whole: Facets) -> Group:
        counts = dict(whole.tags)
        chosen = {fold(value).strip(): value for name, value in asked.pairs if name == _TAGS}
        offered = [(tag, counts.get(tag, whole.total)) for tag in chosen]
        offered += [(tag, count) for tag, count in counts.items() if tag and tag not in chosen]
        shown = offered[: max(_SHOWN_MAX, len(chosen))]
        return Group(
            "tags",
            "Tags",
            [self._choice(asked, _TAGS, chosen.get(tag, tag), count, tag in chosen) for tag, count in shown],
        )

    def _whose(self, asked: Asked) -> Group:
        if asked.viewer.team is None:
            return Group("whose", "Whose", [])
        offered = (
            ("All", None),
            ("Public", Visibility.PUBLIC),
            (f"Only {asked.viewer.team}’s", Visibility.PRIVATE),
        )
        choices = [
            Choice(
                label,
                None,
                asked.with_pair(_WHOSE, value.value, alone=True) if value else asked.without(_WHOSE),
                asked.query.visibility is value,
            )
            for label, value in offered
        ]
        return Group("whose", "Whose", choices)

    def _more(self, asked: Asked) -> Group:
        safe, inpainting = asked.query.is_nsfw is False, asked.query.is_inpainting
        return Group(
            "more",
            "More",
            [
                Choice(
                    "Safe for work",
                    None,
                    asked.without(_NSFW) if safe else asked.with_pair(_NSFW, "false", alone=True),
                    safe,
                ),
                Choice(
                    "For inpainting",
                    None,
                    asked.without(_INPAINTING) if inpainting else asked.with_pair(_INPAINTING, "true", alone=True),
                    inpainting,
                ),
            ],
        )

    def _choice(
        self, asked: Asked, name: str, value: str, count: int, is_chosen: bool, *, alone: bool = False
    ) -> Choice:
        if is_chosen:
            address = asked.without(name, value=None if alone else value)
        else:
            address = asked.with_pair(name, value, alone=alone)
        return Choice(self._label(name, value), count, address, is_chosen)

    def _base_names(self) -> dict[str, str]:
        """Return how base models are spelled, by how filters compare them."""
        revision = self._site.catalog.revision
        if self._bases[0] != revision:
            self._bases = revision, {fold_base(base.name): base.name for base in self._site.catalog.store.base_models()}
        return self._bases[1]
