"""``GET /v3/model``, the main job and the hot path, and ``GET /v3/model/facets`` beside it.

header → viewer → query → page → bytes, every step synchronous and in memory; the catalogue's answer takes microseconds,
so it runs on the loop: handing it to a thread would cost more than it does.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import quote

import msgspec

from modelyard import errors, wire
from modelyard.auth import Auth
from modelyard.catalog import Catalog
from modelyard.domain import ModelQuery, Viewer, Visibility
from modelyard.web.cache import Kept
from modelyard.web.consistency import revision_header
from modelyard.web.prefer_header import NOTHING, Preferences, applied, read_preferences
from modelyard.web.rate_limit import RateLimit
from modelyard.web.requests import Answer, Exchange, Header, digest_of

LinkFor = Callable[[str, str], str]
LinksFor = Callable[[Exchange], LinkFor]
BaseOf = Callable[[Exchange], str]
ViewerOf = Callable[[Exchange], Viewer]
_IGNORED, _TOTAL, _SUGGESTION = (
    name.lower().encode() for name in (wire.IGNORED_HEADER, wire.TOTAL_HEADER, wire.SUGGESTION_HEADER)
)
# A thousand pages of usual length.
KEPT_BYTES_MAX = 16 * 1024 * 1024
_encode = msgspec.json.Encoder().encode


class Count(msgspec.Struct, frozen=True):
    """How many matches have a value."""

    name: str
    count: int


class FacetsAnswer(msgspec.Struct, frozen=True):
    """How the matches divide, the most frequent value first; base models and tags as filters compare them."""

    total: int
    types: list[Count]
    sources: list[Count]
    base_models: list[Count]
    tags: list[Count]


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked, by whom, and the headers that say how it was understood."""

    viewer: Viewer
    query: ModelQuery
    preferences: Preferences
    headers: list[Header]


class Listing:
    """Answers pages of models, and keeps the answers: the same first pages, polls and walks come from many clients.

    An answer is kept for its question and team until the catalogue changes; links, which are good for a while only, are
    put in each time.
    """

    def __init__(self, catalog: Catalog, viewer_of: ViewerOf, links_for: LinksFor, base_of: BaseOf) -> None:
        self._catalog = catalog
        self._viewer_of = viewer_of
        self._links_for = links_for
        self._base_of = base_of
        self._kept: Kept[tuple[str | None, bytes], tuple[int, Answer]] = Kept(KEPT_BYTES_MAX)

    def show(self, exchange: Exchange) -> Answer:
        """Answer one page of the models that match, for whoever calls."""
        viewer = self._viewer_of(exchange)
        answer = self._answer(viewer, exchange)
        if answer.digest is not None:
            return answer
        body = wire.fill_holes(answer.body, self._links_for(exchange), self._base_of(exchange))
        return replace(answer, body=body)

    def _answer(self, viewer: Viewer, exchange: Exchange) -> Answer:
        """Return the answer, kept or new; without a digest, it has holes to be filled."""
        revision = self._catalog.refresh()
        if b"prefer" in exchange.headers:
            return self._page(_question_of(self._catalog, viewer, exchange), revision)
        asked = viewer.team, exchange.scope["query_string"]
        kept = self._kept.get(asked)
        if kept is not None and kept[0] == revision:
            return kept[1]
        answer = self._page(_question_of(self._catalog, viewer, exchange), revision)
        # The catalogue may have gone on meanwhile; then this answer is of no known revision.
        if self._catalog.revision == revision:
            self._kept.put(asked, (revision, answer), len(answer.body) + len(asked[1]))
        return answer

    def _page(self, asked: _Question, revision: int) -> Answer:
        viewer, query, headers = asked.viewer, asked.query, asked.headers
        page = self._catalog.search(viewer, query)
        if asked.preferences.exact_count:
            headers.append((_TOTAL, b"%d" % self._catalog.count(viewer, query)))
        if not page.records and query.terms and query.start is None:
            headers.extend(_suggestion(self._catalog, viewer, query))
        headers.append(revision_header(revision))
        body = wire.join_page(page.records, page.following)
        return Answer(body, headers=tuple(headers), digest=None if wire.has_holes(body) else digest_of(body))


def _suggestion(catalog: Catalog, viewer: Viewer, query: ModelQuery) -> list[Header]:
    nearest = catalog.suggestion(viewer, query)
    # Percent-encoded: a header carries ASCII, and the catalogue's words are in every script.
    return [(_SUGGESTION, quote(nearest, safe=" ").encode())] if nearest else []


def count_facets(catalog: Catalog, viewer_of: ViewerOf, exchange: Exchange) -> Answer:
    """Answer how the models that match divide by type, source, base model and tag; where a page starts is no matter."""
    asked = _question_of(catalog, viewer_of(exchange), exchange)
    found = catalog.facets(asked.viewer, asked.query)
    body = FacetsAnswer(
        total=found.total,
        types=_counts(found.types),
        sources=_counts(found.sources),
        base_models=_counts(found.base_models),
        tags=_counts(found.tags),
    )
    return Answer(_encode(body), headers=tuple(asked.headers))


def _counts(found: list[tuple[str, int]]) -> list[Count]:
    return [Count(name, count) for name, count in found]


def _question_of(catalog: Catalog, viewer: Viewer, exchange: Exchange) -> _Question:
    prefer = exchange.headers.get(b"prefer")
    preferences = read_preferences(prefer) if prefer else NOTHING
    asked = wire.parse_query(exchange.scope["query_string"], partial(catalog.known_types, viewer))
    if asked.ignored and preferences.strict:
        raise _unknown_parameters(asked.ignored)
    if asked.query.visibility is Visibility.PRIVATE and viewer.team is None:
        raise errors.MissingKey
    headers: list[Header] = []
    if asked.ignored:
        headers.append((_IGNORED, wire.ignored_header(asked.ignored).encode()))
    if prefer and (honoured := applied(preferences)):
        headers.append((b"preference-applied", honoured))
    return _Question(viewer, asked.query, preferences, headers)


def caller(access: Auth, rate_limit: RateLimit, exchange: Exchange) -> Viewer:
    """Return who is calling, whatever they may do.

    Raises MissingKey, InvalidKey or RateLimited. A caller without a good key is counted by address, so that
    trying keys is limited too.
    """
    try:
        authorization = exchange.headers.get(b"authorization")
        viewer = access.viewer_of(authorization.decode("latin-1") if authorization else None)
    except errors.Unauthenticated:
        rate_limit.take("address " + exchange.caller_address)
        raise
    if viewer.team is None:
        rate_limit.take("address " + exchange.caller_address)
    else:
        exchange.team = viewer.team
        rate_limit.take(viewer.team)
    return viewer


def _unknown_parameters(names: tuple[str, ...]) -> errors.InvalidRequest:
    shown = [name[:64] for name in names[:20]]
    known = [parameter.name for parameter in wire.PARAMETERS]
    return errors.InvalidRequest(
        f"unknown: {', '.join(shown)}; accepted: {', '.join(known)}",
        parameter=shown[0],
        ignored=shown,
        allowed=known,
    )
