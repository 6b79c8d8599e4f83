"""Parses the query string of the model list into a ModelQuery. The server, the pages and the commands use it."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from modelyard import errors
from modelyard.domain import DOCUMENTED_TYPES, NOT, POPULAR, TYPE_FAMILIES, ModelQuery, Offset
from modelyard.wire.cursors import format_cursor, sort_of
from modelyard.wire.parameters import NAMES, PARAMETER_BY_SPELLING, Parameter

QUERY_STRING_BYTES_MAX = 8192


class ParsedQuery(NamedTuple):
    """A parsed query string: the query, and the names of unknown parameters."""

    query: ModelQuery
    ignored: tuple[str, ...] = ()
    # Types that are not among the document's six. The caller decides which of them exist.
    strange_types: frozenset[str] = frozenset()


def _decoded(text: bytes) -> str:
    if b"+" in text:
        text = text.replace(b"+", b" ")
    if b"%" in text:
        text = unquote_to_bytes(text)
    try:
        return text.decode()
    except UnicodeDecodeError:
        readable = text.decode(errors="backslashreplace")
        raise errors.InvalidParameter("query string", readable, "percent-encoded UTF-8") from None


class _Part(NamedTuple):
    """One ``name=value`` of a query string, parsed. ``parameter`` is None if the name is unknown."""

    name: str
    text: str
    parameter: Parameter | None
    value: Any
    is_empty: bool


@lru_cache(maxsize=1024)
def _parse_part(part: bytes) -> _Part:
    name_bytes, _, value_bytes = part.partition(b"=")
    name, text = _decoded(name_bytes), _decoded(value_bytes)
    parameter = PARAMETER_BY_SPELLING.get(name)
    value = parameter.parse(parameter, text) if parameter and text else None
    return _Part(name, text, parameter, value, is_empty=not text)


def parse_query(query_string: bytes, known_types: Callable[[], Iterable[str]]) -> ParsedQuery:
    """Parse the query string of ``GET /v3/model``.

    ``known_types`` returns the names of the types that this caller may see. It is called only if the query string has a
    type that is not among the document's six.
    Raises InvalidParameter or RequestTooLong.
    """
    if len(query_string) > QUERY_STRING_BYTES_MAX:
        raise errors.RequestTooLong(
            f"the query string has {len(query_string)} bytes; accepted: up to {QUERY_STRING_BYTES_MAX}",
            limit_bytes=QUERY_STRING_BYTES_MAX,
        )
    result = _parsed(query_string)
    if result.strange_types:
        names = set(known_types()).union(DOCUMENTED_TYPES)
        for name in sorted(result.strange_types - names):
            allowed = [*DOCUMENTED_TYPES, *sorted(names.difference(DOCUMENTED_TYPES))]
            raise errors.InvalidParameter("filter.types", name, allowed)
    return result


def query_pairs(query_string: bytes) -> list[tuple[str, str]]:
    """Return the documented name and the value of each parameter in a valid query string, without empty values."""
    pairs: list[tuple[str, str]] = []
    for part_bytes in query_string.split(b"&"):
        part = _parse_part(part_bytes)
        if part.parameter is not None and not part.is_empty:
            texts = part.text.split(",") if part.parameter.field == "types" else [part.text]
            pairs += [(part.parameter.name, text.strip()) for text in texts if text.strip()]
    return list(dict.fromkeys(pairs))


# Clients repeat most queries: first pages, polls, and pages that another client has read. New queries mostly differ in
# cursor and search words only, so `_parse_part` has their other parameters in its cache. Parsing seven parameters takes
# 0.3 µs the second time, 5 µs with one new parameter, and 23 µs if all are new (2026-11).
@lru_cache(maxsize=1024)
def _parsed(query_string: bytes) -> ParsedQuery:
    values: dict[str, Any] = {}
    repeated: dict[str, list[_Part]] = {}
    ignored: list[str] = []
    for part_bytes in query_string.split(b"&"):
        part = _parse_part(part_bytes)
        parameter = part.parameter
        if parameter is None:
            if part_bytes:
                ignored.append(part.name)
        elif part.is_empty:
            continue  # the vendor's page sends every filter, most of them empty
        elif parameter.many:
            repeated.setdefault(parameter.name, []).append(part)
        elif parameter.field in values:
            raise parameter.refuse(part.text, "given more than once")
        else:
            values[parameter.field] = part.value
    for parts in repeated.values():
        parameter = parts[0].parameter
        if parameter is not None and parameter.collect is not None:
            values[parameter.field] = parameter.collect(parameter, [part.value for part in parts])
    _check_order(values)
    if values.get("terms") and values.get("words"):
        problem = f"{NAMES['words']} and {NAMES['terms']} are given together"
        raise errors.InvalidParameter(NAMES["words"], " ".join(values["words"]), "one of the two", problem)
    types = {name.removeprefix(NOT) for name in values.get("types", ())}
    strange = types.difference(DOCUMENTED_TYPES, *TYPE_FAMILIES.values())
    return ParsedQuery(ModelQuery(**values), tuple(dict.fromkeys(ignored)), frozenset(strange))


def _check_order(values: dict[str, Any]) -> None:
    """Refuse a position of another order."""
    start, sort = values.get("start"), values.get("sort", POPULAR)
    if start is not None and not isinstance(start, Offset) and sort_of(start) != sort:
        name = NAMES["start"]
        problem = f"the cursor is of sort={sort_of(start)} and not of sort={sort}"
        raise errors.InvalidParameter(
            name, format_cursor(start), f"a cursor of sort={sort}, empty, or c_<matches to skip>", problem
        )


def filter_suggestion_header(suggestions: Iterable[tuple[str, str, int]]) -> str:
    """Return fields, values and counts as a header value, such as ``filter.base_model=Pony;count=2536``."""
    return ", ".join(f"{NAMES[field]}={quote(value, safe='')};count={count}" for field, value, count in suggestions)


def ignored_header(names: Sequence[str]) -> str:
    """Return unknown names as a header value: percent-encoded, at most twenty, each cut after 64 characters."""
    return ", ".join(quote(name[:64], safe="[].~") for name in names[:20])
