"""The parameters of a query in Civitai's shape. An empty value is no value; of a repeated one the last counts."""

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs

from modelyard import errors
from modelyard.web.requests import Request

DIGITS_MAX = 18
_QUERY_BYTES_MAX = 8192
Parameters = Mapping[str, list[str]]


def read_query(request: Request) -> dict[str, list[str]]:
    """Return the values of the query's parameters. Raises RequestTooLong."""
    query = request.query_string
    if len(query) > _QUERY_BYTES_MAX:
        raise errors.RequestTooLong(
            f"the query string has {len(query)} bytes; accepted: up to {_QUERY_BYTES_MAX}", limit_bytes=_QUERY_BYTES_MAX
        )
    return parse_qs(query.decode("latin-1"), keep_blank_values=True)


def read_text(parameters: Parameters, name: str) -> str:
    """Return the text of a parameter; empty without it."""
    return parameters.get(name, [""])[-1].strip()


def read_list(parameters: Parameters, name: str) -> list[str]:
    """Return the values of a parameter that is repeated, or has commas between its values."""
    values = [value.strip() for text in parameters.get(name, ()) for value in text.split(",")]
    return [value for value in values if value]


def read_choice(parameters: Parameters, name: str, values: Sequence[str], default: str) -> str:
    """Return one of the values, in any case. Raises InvalidParameter."""
    text = read_text(parameters, name)
    value = {value.casefold(): value for value in values}.get(text.casefold()) if text else default
    if value is None:
        raise errors.InvalidParameter(name, text, values)
    return value


def read_number(parameters: Parameters, name: str, default: int, least: int, most: int) -> int:
    """Return a whole number from ``least`` to ``most``. Raises InvalidParameter."""
    text = read_text(parameters, name)
    if not text:
        return default
    if not (is_digits(text) and least <= int(text) <= most):
        raise errors.InvalidParameter(name, text, f"{least} to {most:,}")
    return int(text)


def is_digits(text: str) -> bool:
    """Whether a text is a decimal number that databases can store."""
    return text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX
