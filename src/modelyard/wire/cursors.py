"""Cursors: where a page starts, as clients send it and as answers return it."""

import base64
import re

from modelyard.domain import Offset, Position

CURSOR_CHARS_MAX = 256
CURSOR_ALLOWED = "empty, c_0, c_<matches to skip>, or the next_cursor of an answer"
_POSITION = re.compile(rb'\[(-?[0-9]{1,19}),"([0-9]{1,19})"\]')
_INT64_MAX = 2**63 - 1


def parse_cursor(value: str) -> Position | Offset | None:
    """Return where a page starts; None for the beginning. Raises ValueError."""
    # The vendor's Python SDK puts `c_` before every value, also before a complete cursor.
    text = value.removeprefix("c_").removeprefix("c_") if value.startswith("c_") else ""
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return Offset(int(text)) if int(text) else None
    padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
    match = _POSITION.fullmatch(base64.b64decode(padded, validate=True)) if text else None
    if match is None:
        raise ValueError
    rank, model_id = int(match[1]), int(match[2])
    if abs(rank) > _INT64_MAX or model_id > _INT64_MAX:
        raise ValueError
    return Position(rank, model_id)


def format_cursor(position: Position) -> str:
    """Return the cursor that starts after ``position``; the document's own form."""
    text = f'[{position.rank},"{position.id}"]'
    return "c_" + base64.b64encode(text.encode()).decode()
