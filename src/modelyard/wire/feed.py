"""The change feed on the wire: where a reader is in it, and the answers.

12          after revision 12
12-345      after the model 345 of revision 12, which has more
12-345-800  the same, for a reader that began without any model at revision 800; the second number may be missing
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from modelyard import errors
from modelyard.domain import LIMIT_DEFAULT, POPULAR
from modelyard.wire.parameters import PARAMETER_BY_SPELLING
from modelyard.wire.queries import ParsedQuery, parse_query

LIMIT_MAX = 1000
_LIMIT_DEFAULT = 100
# How pages are cut, which the feed decides itself.
_PAGING = ("limit", "start", "sort")

SINCE_ALLOWED = "0, a revision, or the next of an answer"
_SINCE = re.compile(r"([0-9]{1,18})(?:-([0-9]{0,19}))?(?:-([0-9]{1,18}))?")
_INT64_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class FeedPosition:
    """Where a reader is: after a revision, or after the model with an id in it.

    A reader that began with nothing knows nothing that was withdrawn up to ``base``, the revision at that time.
    """

    revision: int = 0
    model_id: int | None = None
    base: int | None = None

    def __str__(self) -> str:
        id_ = "" if self.model_id is None else self.model_id
        if self.base is not None:
            return f"{self.revision}-{id_}-{self.base}"
        return str(self.revision) if self.model_id is None else f"{self.revision}-{id_}"


def parse_since(text: str, name: str = "since") -> FeedPosition:
    """Return a reader's position. Raises InvalidParameter."""
    match = _SINCE.fullmatch(text)
    if match is None or int(match[2] or 0) > _INT64_MAX:
        raise errors.InvalidParameter(name, text, SINCE_ALLOWED)
    return FeedPosition(
        int(match[1]), int(match[2]) if match[2] else None, int(match[3]) if match[3] is not None else None
    )


def parse_changes_query(
    query_string: bytes, known_types: Callable[[], Iterable[str]]
) -> tuple[FeedPosition, int, ParsedQuery]:
    """Parse the query string of the feed: where it begins, the limit, and the filters of the list of models.

    Parameters that cut or order pages are ignored. Raises InvalidParameter or RequestTooLong.
    """
    values: dict[bytes, str] = {}
    filters: list[bytes] = []
    for part in query_string.split(b"&"):
        name, _, value = part.partition(b"=")
        if name not in (b"since", b"limit"):
            filters.append(part)
        elif name in values:
            raise errors.InvalidParameter(name.decode(), value.decode("latin-1"), "one value", "given more than once")
        else:
            values[name] = value.decode("latin-1")
    parsed = parse_query(b"&".join(filters), known_types)
    names = (part.partition(b"=")[0].decode("latin-1") for part in filters)
    paging = [name for name in names if (known := PARAMETER_BY_SPELLING.get(name)) and known.field in _PAGING]
    query = replace(parsed.query, limit=LIMIT_DEFAULT, start=None, sort=POPULAR)
    return (
        parse_since(values.get(b"since") or "0"),
        _parse_limit(values.get(b"limit") or str(_LIMIT_DEFAULT)),
        parsed._replace(query=query, ignored=tuple(dict.fromkeys((*parsed.ignored, *paging)))),
    )


def _parse_limit(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= LIMIT_MAX:
        return int(text)
    raise errors.InvalidParameter("limit", text, f"1 to {LIMIT_MAX}")


def change_json(revision: int, model_id: int, record: bytes | None) -> bytes:
    """Return one change: a model's record, with its holes, or without one that the model is removed."""
    if record is None:
        return b'{"revision":%d,"id":%d,"change":"removed"}' % (revision, model_id)
    return b'{"revision":%d,"id":%d,"change":"put","model":%b}' % (revision, model_id, record)


def join_changes(changes: Iterable[bytes], following: FeedPosition, newest: int, *, has_more: bool) -> bytes:
    """Return the answer's body, with the holes of its records."""
    next_ = str(following)
    return b'{"changes":[%b],"next":%b,"newest":%d,"more":%b}' % (
        b",".join(changes),
        (next_ if next_.isdigit() else f'"{next_}"').encode(),
        newest,
        b"true" if has_more else b"false",
    )
