"""The API's spelling, and nothing else: query string → ModelQuery, Model ⇄ JSON, Position ⇄ cursor, error → answer.

The server and the client both use it; no other module knows a parameter's name or a JSON key. ``PARAMETERS`` is the
one table that the parser, the OpenAPI document, the documentation and the tests read.

A rendered record is JSON with *holes*: what only a request can know (a signed link, the server's own address) is left
out as ``\\x01 key \\x02``. JSON text has no raw control characters, so a hole cannot be confused with content, and
a page without holes is sent as it lies in the index.

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

# What Go's strconv.ParseBool takes, the set the vendor's own server is built on, plus nothing.
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
    """One query parameter: how it is spelled, what it takes, what it means.

    ``read`` turns one non-empty value into the domain's, or raises InvalidParameter. ``many`` may be repeated.
    """

    name: str
    field: str
    schema: Mapping[str, object]
    meaning: str
    example: str
    read: Callable[["Parameter", str], Any]
    allowed: str | tuple[str, ...]
    many: bool = False
    documented: bool = True
    aliases: tuple[str, ...] = ()

    @property
    def spellings(self) -> tuple[str, ...]:
        """Dotted, in brackets (the vendor's JavaScript SDK), and the recorded mistakes of real clients."""
        head, _, tail = self.name.partition(".")
        return (self.name, f"{head}[{tail}]", *self.aliases)

    def refuse(self, given: str, problem: str = "") -> errors.InvalidParameter:
        """Return the error that says what was given and what is accepted."""
        return errors.InvalidParameter(self.name, given, self.allowed, problem)


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
    # Which names exist only the catalogue knows; `parse_query` checks them against it.
    return tuple(name for part in value.split(",") if (name := part.strip()))


def _terms(parameter: Parameter, value: str) -> tuple[str, ...]:
    if len(value) > QUERY_CHARS_MAX:
        raise parameter.refuse(value, f"{len(value)} characters are too many")
    # Not the set of them: two equal terms ask the same thing, and are left out below, in the order given.
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
    # The vendor's Python SDK puts `c_` before whatever it is given, a whole cursor included.
    text = value.removeprefix("c_").removeprefix("c_") if value.startswith("c_") else ""
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return Offset(int(text)) if int(text) else None
    try:
        padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
        found = _POSITION.fullmatch(base64.b64decode(padded, validate=True)) if text else None
    except (binascii.Error, ValueError):
        found = None
    if found is None:
        raise parameter.refuse(value)
    rank, model_id = int(found[1]), int(found[2])
    if abs(rank) > _INT64_MAX or model_id > _INT64_MAX:
        raise parameter.refuse(value)
    return Position(rank, model_id)


PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        "filter.visibility",
        "visibility",
        {"type": "string", "enum": [v.value for v in Visibility]},
        "Only public models, or only the caller's team's private ones. Not given: both.",
        "public",
        _visibility,
        tuple(Visibility),
    ),
    Parameter(
        "filter.source",
        "source",
        {"type": "string", "enum": [s.value for s in Source]},
        "Where the model came from.",
        "civitai",
        _source,
        tuple(Source),
    ),
    Parameter(
        "filter.types",
        "types",
        {"type": "array", "items": {"type": "string"}},
        "Model types, repeated or separated by commas: any of them. `lora` means the family lora, locon and dora. "
        "Besides the documented six, every type the catalogue knows.",
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
        "True: only models of the SDXL architecture (Pony, Illustrious and NoobAI are). False: none of them. "
        "Not given: both.",
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
        "Searches sd_name, name and tags, whatever the case. Every word must occur as a part of one of them. "
        f"At most {QUERY_TERMS_MAX} words.",
        "realistic vision",
        _terms,
        f"up to {QUERY_CHARS_MAX} characters and {QUERY_TERMS_MAX} words",
    ),
    Parameter(
        "filter.is_inpainting",
        "is_inpainting",
        {"type": "boolean", "default": False},
        "True: only checkpoints made for inpainting. False or not given: no restriction.",
        "true",
        _boolean,
        _BOOLEANS_ALLOWED,
    ),
    Parameter(
        "filter.is_nsfw",
        "is_nsfw",
        {"type": "boolean"},
        "True: only models marked not safe for work. False: none of them. Not given: both.",
        "false",
        _boolean,
        _BOOLEANS_ALLOWED,
        documented=False,
    ),
    Parameter(
        "filter.tags",
        "tags",
        {"type": "array", "items": {"type": "string"}},
        "One whole tag, whatever its case; repeated: all of them.",
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
        "The base model; `SD_1.5` and `SD 1.5` are the same. One that nobody uses matches nothing.",
        "SD_1.5",
        _base_model,
        "a base model's name",
        documented=False,
    ),
    Parameter(
        "filter.model_version_id",
        "id",
        {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
        "The model with this id.",
        "114600",
        _id,
        "a model's id, decimal digits",
        documented=False,
    ),
    Parameter(
        "filter.hash",
        "hash",
        {"type": "string", "pattern": "^(0[xX]|[sS][hH][aA]256:|[bB][lL][aA][kK][eE]3:)?[0-9A-Fa-f]{8,64}$"},
        "Every model whose file has this AutoV1, AutoV2, AutoV3, SHA-256, BLAKE3 or CRC32, whatever its case, "
        "with or without `0x`, `sha256:` or `blake3:`.",
        "1A805277C8",
        _hash,
        _HASH_ALLOWED,
        documented=False,
    ),
    Parameter(
        "pagination.limit",
        "limit",
        {"type": "string", "pattern": "^0{0,6}([1-9][0-9]?|100)$", "default": str(LIMIT_DEFAULT)},
        f"Models a page, 1 to {LIMIT_MAX}.",
        "20",
        _limit,
        f"an integer from 1 to {LIMIT_MAX}",
    ),
    Parameter(
        "pagination.cursor",
        "start",
        {"type": "string", "maxLength": CURSOR_CHARS_MAX},
        "Where the page starts: empty or `c_0` for the beginning, `next_cursor` of an answer, or `c_<n>` to skip n "
        "matches.",
        "c_0",
        _cursor,
        _CURSOR_ALLOWED,
    ),
)
NAMES: Mapping[str, str] = {parameter.field: parameter.name for parameter in PARAMETERS}
_PARAMETER_BY_SPELLING = {spelling: parameter for parameter in PARAMETERS for spelling in parameter.spellings}


@dataclass(frozen=True, slots=True)
class ParsedQuery:
    """A parsed query string: the question, and the names in it that mean nothing here."""

    query: ModelQuery
    ignored: tuple[str, ...] = ()
    # Types outside the document's six: which of them exist depends on who asks.
    strange_types: frozenset[str] = frozenset()


def _decoded(text: bytes) -> str:
    if b"+" in text:
        text = text.replace(b"+", b" ")
    if b"%" in text:
        text = unquote_to_bytes(text)
    try:
        return text.decode()
    except UnicodeDecodeError:
        shown = text.decode(errors="backslashreplace")
        raise errors.InvalidParameter("query string", shown, "percent-encoded UTF-8") from None


@dataclass(frozen=True, slots=True)
class _Given:
    """One ``name=value`` of a query string, read. ``parameter`` is None where the name means nothing."""

    name: str
    text: str
    parameter: Parameter | None
    value: Any
    is_empty: bool


@lru_cache(maxsize=1024)
def _read_part(part: bytes) -> _Given:
    name_bytes, _, value_bytes = part.partition(b"=")
    name, text = _decoded(name_bytes), _decoded(value_bytes)
    parameter = _PARAMETER_BY_SPELLING.get(name)
    value = parameter.read(parameter, text) if parameter and text else None
    return _Given(name, text, parameter, value, is_empty=not text)


def parse_query(query_string: bytes, known_types: Callable[[], Iterable[str]]) -> ParsedQuery:
    """Parse the query string of ``GET /v3/model``.

    ``known_types`` is asked only for a type outside the document's six: the names this caller may know of.
    Raises InvalidParameter or RequestTooLong.
    """
    if len(query_string) > QUERY_STRING_BYTES_MAX:
        raise errors.RequestTooLong(
            f"the query string has {len(query_string)} bytes; accepted: up to {QUERY_STRING_BYTES_MAX}",
            limit_bytes=QUERY_STRING_BYTES_MAX,
        )
    asked = _parsed(query_string)
    if asked.strange_types:
        known = set(known_types()).union(DOCUMENTED_TYPES)
        for name in sorted(asked.strange_types - known):
            allowed = [*DOCUMENTED_TYPES, *sorted(known.difference(DOCUMENTED_TYPES))]
            raise errors.InvalidParameter("filter.types", name, allowed)
    return asked


def given(query_string: bytes) -> list[tuple[str, str]]:
    """Return what a query string that can be parsed says: names as documented, a pair for each value, nothing empty."""
    pairs: list[tuple[str, str]] = []
    for part in query_string.split(b"&"):
        read = _read_part(part)
        if read.parameter is not None and not read.is_empty:
            texts = read.text.split(",") if read.parameter.field == "types" else [read.text]
            pairs += [(read.parameter.name, text.strip()) for text in texts if text.strip()]
    return list(dict.fromkeys(pairs))


# A first page, a poll, a page that a second client walks over: most questions have been asked before. And those that
# have not differ in their cursor and search words from others, so `_read_part` knows the rest. Seven parameters cost
# 0.3 µs to parse the second time, 5 µs with one that is new, 23 µs when all are (2026-11).
@lru_cache(maxsize=1024)
def _parsed(query_string: bytes) -> ParsedQuery:
    values: dict[str, Any] = {}
    ignored: list[str] = []
    for part in query_string.split(b"&"):
        given = _read_part(part)
        parameter = given.parameter
        if parameter is None:
            if part:
                ignored.append(given.name)
        elif given.is_empty:
            continue  # empty = not given: the vendor's page sends every filter, most of them empty
        elif parameter.many:
            values.setdefault(parameter.field, []).append(given.value)
        elif parameter.field in values:
            raise parameter.refuse(given.text, "given more than once")
        else:
            values[parameter.field] = given.value
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
    """Return the names that meant nothing as a header value: percent-encoded, at most twenty, each cut at 64."""
    return ", ".join(quote(name[:64], safe="[].~") for name in names[:20])


# --- Answers ---------------------------------------------------------------------------------------------------------


# --- Errors ----------------------------------------------------------------------------------------------------------
