"""Parses the query string of the model list into a ModelQuery, and converts between positions and cursors.

The server and the client both use it. No other module holds the names of parameters. The parser, the OpenAPI document,
the documentation and the tests all read the table ``PARAMETERS``.

A rendered record is JSON with *holes*. A hole stands for a value that depends on the request: a signed link, or the
server's own address. It is written ``\\x01 key \\x02``. JSON text has no raw control characters, so no content looks
like a hole. The server sends a page without holes exactly as the index holds it.

    {"id":1,…,"status":1,␁d<sha256>/<percent-encoded label>␂"tags":[…],"cover_url":"␁b␂/covers/…",…}
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import quote, unquote_to_bytes

from modelyard import errors
from modelyard.domain import (
    DOCUMENTED_TYPES,
    HASH_LENGTHS,
    LIMIT_DEFAULT,
    LIMIT_MAX,
    QUERY_TERMS_MAX,
    TYPE_FAMILIES,
    ModelQuery,
    Offset,
    Position,
    Source,
    Visibility,
    fold,
    fold_base,
)

QUERY_STRING_BYTES_MAX = 8192
QUERY_CHARS_MAX = 256
CURSOR_CHARS_MAX = 256


# --- Parameters ------------------------------------------------------------------------------------------------------

# Exactly the spellings that Go's strconv.ParseBool accepts; the vendor's own server uses it.
_BOOLEANS: Mapping[str, bool] = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}
_BOOLEANS_ALLOWED = "true, True, TRUE, t, T, 1, false, False, FALSE, f, F, 0"
_CURSOR_ALLOWED = "empty, c_0, c_<matches to skip>, or the next_cursor of an answer"
_HASH_ALLOWED = "8, 10, 12 or 64 hexadecimal digits, with or without 0x, sha256: or blake3:"
_POSITION = re.compile(rb'\[(-?[0-9]{1,19}),"([0-9]{1,19})"\]')
_HEX = re.compile(r"[0-9A-F]+")
_INT64_MAX = 2**63 - 1

E = TypeVar("E", Visibility, Source)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One query parameter: its spellings, values and its meaning.

    ``parse`` converts one non-empty value, or raises InvalidParameter. A request may repeat one with ``many``.
    """

    name: str
    field: str
    schema: Mapping[str, object]
    meaning: str
    example: str
    parse: Callable[["Parameter", str], Any]
    allowed: str | tuple[str, ...]
    many: bool = False
    documented: bool = True
    aliases: tuple[str, ...] = ()

    @property
    def spellings(self) -> tuple[str, ...]:
        """The dotted name, the name in brackets (the vendor's JavaScript SDK), and recorded mistakes of clients."""
        head, _, tail = self.name.partition(".")
        return (self.name, f"{head}[{tail}]", *self.aliases)

    def refuse(self, text: str, problem: str = "") -> errors.InvalidParameter:
        """Return the error that names the value and the accepted values."""
        return errors.InvalidParameter(self.name, text, self.allowed, problem)


def _enum(parameter: Parameter, value: str, kind: type[E]) -> E:
    try:
        return kind(value)
    except ValueError:
        raise parameter.refuse(value) from None


def _visibility(parameter: Parameter, value: str) -> Visibility:
    return _enum(parameter, value, Visibility)


def _source(parameter: Parameter, value: str) -> Source:
    return _enum(parameter, value, Source)


def _boolean(parameter: Parameter, value: str) -> bool:
    try:
        return _BOOLEANS[value]
    except KeyError:
        raise parameter.refuse(value) from None


def _type_names(_: Parameter, value: str) -> tuple[str, ...]:
    # Only the catalogue knows all names; `parse_query` checks these against it.
    return tuple(name for part in value.split(",") if (name := part.strip()))


def _terms(parameter: Parameter, value: str) -> tuple[str, ...]:
    if len(value) > QUERY_CHARS_MAX:
        raise parameter.refuse(value, f"{len(value)} characters are too many")
    # Repeated terms have no effect, so they are removed; the order stays.
    terms = tuple(dict.fromkeys(fold(value).split()))
    if len(terms) > QUERY_TERMS_MAX:
        raise parameter.refuse(value, f"{len(terms)} terms are too many")
    return terms


def _tag(_: Parameter, value: str) -> str:
    return fold(value).strip()


def _base_model(_: Parameter, value: str) -> str | None:
    return fold_base(value) or None


def _id(parameter: Parameter, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise parameter.refuse(value)
    return int(value)


def _hash(parameter: Parameter, value: str) -> str:
    digits = value.strip().upper()
    for prefix in ("SHA256:", "BLAKE3:", "0X"):
        digits = digits.removeprefix(prefix)
    # `upper` makes the ligature ﬀ two letters F.
    if not value.isascii() or len(digits) not in HASH_LENGTHS or not _HEX.fullmatch(digits):
        raise parameter.refuse(value)
    return digits


def _limit(parameter: Parameter, value: str) -> int:
    # int() itself would take '+5', ' 5', '5_0' and other scripts' digits.
    if not (value.isascii() and value.isdigit() and len(value) <= 9 and 1 <= int(value) <= LIMIT_MAX):
        raise parameter.refuse(value)
    return int(value)


def _cursor(parameter: Parameter, value: str) -> Position | Offset | None:
    if len(value) > CURSOR_CHARS_MAX:
        raise parameter.refuse(value, f"{len(value)} characters are too many")
    # The vendor's Python SDK puts `c_` before every value, also before a complete cursor.
    text = value.removeprefix("c_").removeprefix("c_") if value.startswith("c_") else ""
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return Offset(int(text)) if int(text) else None
    try:
        padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
        match = _POSITION.fullmatch(base64.b64decode(padded, validate=True)) if text else None
    except (binascii.Error, ValueError):
        match = None
    if match is None:
        raise parameter.refuse(value)
    rank, model_id = int(match[1]), int(match[2])
    if abs(rank) > _INT64_MAX or model_id > _INT64_MAX:
        raise parameter.refuse(value)
    return Position(rank, model_id)


PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        "filter.visibility",
        "visibility",
        {"type": "string", "enum": [v.value for v in Visibility]},
        "`public` returns only public models, `private` only private models of the caller's team. Default: both.",
        "public",
        _visibility,
        tuple(Visibility),
    ),
    Parameter(
        "filter.source",
        "source",
        {"type": "string", "enum": [s.value for s in Source]},
        "The source of the model.",
        "civitai",
        _source,
        tuple(Source),
    ),
    Parameter(
        "filter.types",
        "types",
        {"type": "array", "items": {"type": "string"}},
        "Returns models of any of these types. Repeat the parameter or separate types by commas. `lora` means the "
        "family lora, locon and dora. Accepts every type in the catalogue besides the six of the vendor's document.",
        "lora",
        _type_names,
        DOCUMENTED_TYPES,
        many=True,
        aliases=("filter.type",),
    ),
    Parameter(
        "filter.is_sdxl",
        "is_sdxl",
        {"type": "boolean"},
        "True returns only models of the SDXL architecture, which includes Pony, Illustrious and NoobAI. False "
        "excludes them. Default: both.",
        "true",
        _boolean,
        _BOOLEANS_ALLOWED,
    ),
    Parameter(
        "filter.query",
        "terms",
        {
            "type": "string",
            "maxLength": QUERY_CHARS_MAX,
            "pattern": rf"^\s*(\S+\s+){{0,{QUERY_TERMS_MAX - 1}}}\S*\s*$",
        },
        "Searches sd_name, name and tags, and ignores case. Each word must be a part of at least one of them. "
        f"At most {QUERY_TERMS_MAX} words.",
        "realistic vision",
        _terms,
        f"up to {QUERY_CHARS_MAX} characters and {QUERY_TERMS_MAX} words",
    ),
    Parameter(
        "filter.is_inpainting",
        "is_inpainting",
        {"type": "boolean", "default": False},
        "True returns only checkpoints for inpainting. False has no effect.",
        "true",
        _boolean,
        _BOOLEANS_ALLOWED,
    ),
    Parameter(
        "filter.is_nsfw",
        "is_nsfw",
        {"type": "boolean"},
        "True returns only models marked not safe for work. False excludes them. Default: both.",
        "false",
        _boolean,
        _BOOLEANS_ALLOWED,
        documented=False,
    ),
    Parameter(
        "filter.tags",
        "tags",
        {"type": "array", "items": {"type": "string"}},
        "Returns models with this complete tag, and ignores case. If repeated, models must have all tags.",
        "anime",
        _tag,
        "a tag",
        many=True,
        documented=False,
    ),
    Parameter(
        "filter.base_model",
        "base_model",
        {"type": "string"},
        "Returns models with this base model. `SD_1.5` and `SD 1.5` are equal. An unknown base model matches nothing.",
        "SD_1.5",
        _base_model,
        "a base model's name",
        documented=False,
    ),
    Parameter(
        "filter.model_version_id",
        "id",
        {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
        "Returns the model with this id.",
        "114600",
        _id,
        "a model's id, decimal digits",
        documented=False,
    ),
    Parameter(
        "filter.hash",
        "hash",
        {"type": "string", "pattern": "^(0[xX]|[sS][hH][aA]256:|[bB][lL][aA][kK][eE]3:)?[0-9A-Fa-f]{8,64}$"},
        "Returns every model whose file has this AutoV1, AutoV2, AutoV3, SHA-256, BLAKE3 or CRC32. Ignores case, "
        "and accepts the prefixes `0x`, `sha256:` and `blake3:`.",
        "1A805277C8",
        _hash,
        _HASH_ALLOWED,
        documented=False,
    ),
    Parameter(
        "pagination.limit",
        "limit",
        {"type": "string", "pattern": "^0{0,6}([1-9][0-9]?|100)$", "default": str(LIMIT_DEFAULT)},
        f"The number of models on a page, from 1 to {LIMIT_MAX}.",
        "20",
        _limit,
        f"an integer from 1 to {LIMIT_MAX}",
    ),
    Parameter(
        "pagination.cursor",
        "start",
        {"type": "string", "maxLength": CURSOR_CHARS_MAX},
        "The start of the page. Empty and `c_0` mean the beginning, `c_<n>` skips n matches. Use `next_cursor` of an "
        "answer to get the next page.",
        "c_0",
        _cursor,
        _CURSOR_ALLOWED,
    ),
)
NAMES: Mapping[str, str] = {parameter.field: parameter.name for parameter in PARAMETERS}
_PARAMETER_BY_SPELLING = {spelling: parameter for parameter in PARAMETERS for spelling in parameter.spellings}


@dataclass(frozen=True, slots=True)
class ParsedQuery:
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


@dataclass(frozen=True, slots=True)
class _Part:
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
    parameter = _PARAMETER_BY_SPELLING.get(name)
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
            values.setdefault(parameter.field, []).append(part.value)
        elif parameter.field in values:
            raise parameter.refuse(part.text, "given more than once")
        else:
            values[parameter.field] = part.value
    types = {name for names in values.pop("types", ()) for name in names}
    if types:
        values["types"] = frozenset().union(*(TYPE_FAMILIES.get(name, {name}) for name in types))
    if "tags" in values:
        values["tags"] = tuple(dict.fromkeys(tag for tag in values["tags"] if tag))
    return ParsedQuery(
        ModelQuery(**values), tuple(dict.fromkeys(ignored)), frozenset(types.difference(DOCUMENTED_TYPES))
    )


def format_cursor(position: Position) -> str:
    """Return the cursor that starts after ``position``; the document's own form."""
    text = f'[{position.rank},"{position.id}"]'
    return "c_" + base64.b64encode(text.encode()).decode()


def ignored_header(names: Sequence[str]) -> str:
    """Return unknown names as a header value: percent-encoded, at most twenty, each cut after 64 characters."""
    return ", ".join(quote(name[:64], safe="[].~") for name in names[:20])
