"""The parameters of a gallery request, and the addresses of searches that differ from it in one filter."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from urllib.parse import parse_qsl, urlencode

from modelyard import wire
from modelyard.domain import ModelQuery, Viewer
from modelyard.index import Budget
from modelyard.web.pages.page import PageRequest

# Parameters of the page, beside those of ``GET /v3/model``: VERSIONS shows each version as a card of its own, and FIND
# before the name of a filter lists its values that have this text.
VERSIONS, SINGLY, FIND = "versions", "singly", "find."
WORDS, CURSOR, LIMIT = (wire.NAMES[name] for name in ("words", "start", "limit"))
Pairs = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class GallerySearch:
    """The parameters of a gallery request, as name-value pairs and as a query."""

    page_request: PageRequest
    viewer: Viewer
    query: ModelQuery
    pairs: Pairs
    # The URL encoding of each pair: a page has a hundred addresses that differ in one pair.
    encodings: list[str]
    # The address of this search, to which a pair can be added.
    stem: str
    # The texts by which the values of long filters are found, by the name of the filter.
    finds: dict[str, str]

    @property
    def budget(self) -> Budget | None:
        """The budget of the request for questions to the index."""
        return self.page_request.request.budget

    @property
    def text(self) -> str:
        """The search words as the visitor typed them."""
        return dict(self.pairs).get(WORDS, "")

    @property
    def is_grouped(self) -> bool:
        """Whether the versions of a model are one card."""
        return (VERSIONS, SINGLY) not in self.pairs

    @property
    def filters(self) -> Pairs:
        """The active filters."""
        return [pair for pair in self.pairs if pair[0] not in (WORDS, CURSOR, LIMIT, VERSIONS, wire.NAMES["sort"])]

    def with_pair(self, name: str, value: str, *, alone: bool = False, instead: str | None = None) -> str:
        """Return the address of this search with one more value; ``alone``: it replaces the filter's other values.

        ``instead`` is one value of the filter that it replaces.
        """
        if (not alone and instead is None) or not any(pair[0] == name for pair in self.pairs):
            return self.stem + _encode((name, value))
        encodings = [
            encoding
            for pair, encoding in zip(self.pairs, self.encodings, strict=True)
            if pair[0] != CURSOR and not (pair[0] == name and (alone or pair[1] == instead))
        ]
        return "/?" + "&".join([*encodings, _encode((name, value))])

    def without(self, *names: str, value: str | None = None) -> str:
        """Return the address of this search without some filters, or without one of their values."""
        encodings = [
            encoding
            for pair, encoding in zip(self.pairs, self.encodings, strict=True)
            if pair[0] != CURSOR and (pair[0] not in names or (value is not None and pair[1] != value))
        ]
        return "/?" + "&".join(encodings) if encodings else "/"


def read_search(page_request: PageRequest, viewer: Viewer, query: ModelQuery, query_string: bytes) -> GallerySearch:
    """Return the search of a query string that ``wire.parse_query`` has accepted as ``query``."""
    if page_request.hides_nsfw and query.is_nsfw is None:
        query = replace(query, is_nsfw=False)
    pairs, finds = wire.query_pairs(query_string), {}
    if VERSIONS.encode() in query_string or FIND.encode() in query_string:
        for name, value in parse_qsl(query_string.decode("ascii", "replace")):
            if (name, value) == (VERSIONS, SINGLY) and (name, value) not in pairs:
                pairs.append((name, value))
            elif name.startswith(FIND) and value.strip():
                finds[name.removeprefix(FIND)] = value.strip()[:100]
    encodings = [*map(_encode, pairs)]
    stem = "".join(f"{code}&" for pair, code in zip(pairs, encodings, strict=True) if pair[0] != CURSOR)
    return GallerySearch(page_request, viewer, query, pairs, encodings, f"/?{stem}", finds)


def build_address(pairs: Iterable[tuple[str, str]]) -> str:
    """Return the gallery's address for these parameters."""
    query = urlencode(list(pairs))
    return f"/?{query}" if query else "/"


@lru_cache(maxsize=4096)
def _encode(pair: tuple[str, str]) -> str:
    return urlencode([pair])
