"""Filters of webhooks: query strings with filters of the model list."""

from modelyard import errors, wire
from modelyard.domain import MODEL_TYPES
from modelyard.wire import ParsedQuery

FILTER_CHARS_MAX = 2048
_PREFIX = "filter."


def check_filter(text: str) -> None:
    """Raise InvalidValue for a text that is no query string of filters."""
    if len(text) > FILTER_CHARS_MAX:
        raise errors.InvalidValue(
            f"filter: {len(text):,} characters; accepted: up to {FILTER_CHARS_MAX:,}", field="filter"
        )
    if not text.isprintable():
        raise errors.InvalidValue("filter: it has control characters; accepted: a query string", field="filter")
    try:
        parse_filter(text)
    except errors.InvalidRequest as problem:
        raise errors.InvalidValue(f"filter: {problem.message}", field="filter") from None
    for part in filter(None, text.split("&")):
        name = part.partition("=")[0]
        if not name.startswith(_PREFIX) or parse_filter(part).ignored:
            raise errors.InvalidValue(
                f"filter: {name[:64]!r} is not accepted; accepted: filters of GET /v3/model, such as filter.types=lora",
                field="filter",
                given=name[:64],
            )


def parse_filter(text: str) -> ParsedQuery:
    """Return the query of a filter. Raises InvalidParameter or RequestTooLong."""
    return wire.parse_query(text.encode(), MODEL_TYPES.keys)
