"""Cursors: where a page starts, as clients send it and as answers return it.

c_<matches to skip>
c_<base64 of [rank,"id"]>              in the document's order, by popularity
c_<base64 of ["sort",key,"id"]>        in another order; key is null where it is unknown
"""

import base64
import re

import msgspec

from modelyard.domain import POPULAR, REVERSED, SORTS, Offset, Position, SortPosition, split_sort

CURSOR_CHARS_MAX = 256
CURSOR_ALLOWED = "empty, c_0, c_<matches to skip>, or the next_cursor of an answer"
SORT_NAMES = tuple(sign + name for name in SORTS for sign in ("", REVERSED))
_POSITION = re.compile(rb'\[(-?[0-9]{1,19}),"([0-9]{1,19})"\]')
_ID = re.compile("[0-9]{1,19}")
_INT64_MAX = 2**63 - 1
_decode = msgspec.json.Decoder(tuple[str, int | str | None, str], strict=True).decode


def parse_cursor(value: str) -> Position | SortPosition | Offset | None:
    """Return where a page starts; None for the beginning. Raises ValueError."""
    # The vendor's Python SDK puts `c_` before every value, also before a complete cursor.
    text = value.removeprefix("c_").removeprefix("c_") if value.startswith("c_") else ""
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return Offset(int(text)) if int(text) else None
    padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
    decoded = base64.b64decode(padded, validate=True)
    match = _POSITION.fullmatch(decoded)
    if match is None:
        return _parse_sort_position(decoded)
    rank, model_id = int(match[1]), int(match[2])
    if abs(rank) > _INT64_MAX or model_id > _INT64_MAX:
        raise ValueError
    return Position(rank, model_id)


def _parse_sort_position(decoded: bytes) -> SortPosition:
    sort, key, digits = _decode(decoded)
    name, is_reversed = split_sort(sort)
    is_sound = (
        sort in SORT_NAMES
        and (name != POPULAR or is_reversed)
        and isinstance(key, str if name == "name" else (int, type(None)))
        and not (isinstance(key, int) and abs(key) > _INT64_MAX)
        and (key is not None or name != POPULAR)
        and _ID.fullmatch(digits)
        and int(digits) <= _INT64_MAX
    )
    if not is_sound:
        raise ValueError
    return SortPosition(sort, key, int(digits))


def sort_of(start: Position | SortPosition) -> str:
    """Return the order that a position is of."""
    return start.sort if isinstance(start, SortPosition) else POPULAR


def format_cursor(position: Position | SortPosition) -> str:
    """Return the cursor that starts after ``position``; by popularity, in the document's own form."""
    if isinstance(position, Position):
        text = f'[{position.rank},"{position.id}"]'.encode()
    else:
        text = msgspec.json.encode((position.sort, position.key, str(position.id)))
    return "c_" + base64.b64encode(text).decode()
