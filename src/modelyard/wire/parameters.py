"""The parameters of the model list: names, values and meaning.

No other module holds the names of parameters. The parser, the OpenAPI document, the documentation and the tests all
read the table ``PARAMETERS``.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelyard import errors
from modelyard.domain import (
    COMMERCIAL_USES,
    DOCUMENTED_TYPES,
    HASH_LENGTHS,
    LIMIT_DEFAULT,
    LIMIT_MAX,
    NOT,
    POPULAR,
    QUERY_TERMS_MAX,
    SIZE_CLASSES,
    TYPE_FAMILIES,
    UNKNOWN,
    Offset,
    Position,
    SortPosition,
    Source,
    Visibility,
    fold,
    fold_base,
    words_of,
)
from modelyard.wire.cursors import CURSOR_ALLOWED, CURSOR_CHARS_MAX, SORT_NAMES, parse_cursor

QUERY_CHARS_MAX = 256
SEARCH_WORDS_MAX = 32
_UNKNOWN = "`unknown` means models whose licence does not say; they match no other value."


# --- Parameters ------------------------------------------------------------------------------------------------------

# Exactly the spellings that Go's strconv.ParseBool accepts; the vendor's own server uses it.
_BOOLEANS: Mapping[str, bool] = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}
_BOOLEANS_ALLOWED = "true, True, TRUE, t, T, 1, false, False, FALSE, f, F, 0"
HASH_ALLOWED = "8, 10, 12 or 64 hexadecimal digits, with or without 0x, sha256: or blake3:"
_HASH_PREFIX = re.compile("^(sha256:|blake3:)?(0x)?")
_YEAR = re.compile(rf"[0-9]{{4}}|{UNKNOWN}")
_HEX = re.compile(r"[0-9A-F]+")
_REPEATED = "Repeat the parameter for models of any of several values; a value after `!` excludes models with it."


@dataclass(frozen=True, slots=True)
class Parameter:
    """One query parameter: its spellings, values and its meaning.

    ``parse`` converts one non-empty value, or raises InvalidParameter. A request may repeat a parameter that has
    ``collect``, which makes one value of theirs.
    """

    name: str
    field: str
    schema: Mapping[str, object]
    meaning: str
    example: str
    parse: Callable[["Parameter", str], Any]
    allowed: str | tuple[str, ...]
    collect: Callable[["Parameter", Sequence[Any]], Any] | None = None
    documented: bool = True
    aliases: tuple[str, ...] = ()

    @property
    def many(self) -> bool:
        """Whether a request may repeat the parameter."""
        return self.collect is not None

    @property
    def spellings(self) -> tuple[str, ...]:
        """The dotted name, the name in brackets (the vendor's JavaScript SDK), and recorded mistakes of clients."""
        head, _, tail = self.name.partition(".")
        return (self.name, f"{head}[{tail}]", *self.aliases) if tail else (self.name, *self.aliases)

    def refuse(self, text: str, problem: str = "") -> errors.InvalidParameter:
        """Return the error that names the value and the accepted values."""
        return errors.InvalidParameter(self.name, text, self.allowed, problem)


def _choice(parameter: Parameter, value: str) -> str:
    if value.removeprefix(NOT) not in parameter.allowed:
        raise parameter.refuse(value)
    return value


def _any_of(_: Parameter, values: Sequence[str | None]) -> frozenset[str]:
    return frozenset(filter(None, values))


def _visibility(parameter: Parameter, value: str) -> Visibility:
    choice = Visibility(_choice(parameter, value).removeprefix(NOT))
    if not value.startswith(NOT):
        return choice
    return Visibility.PRIVATE if choice is Visibility.PUBLIC else Visibility.PUBLIC


def _boolean(parameter: Parameter, value: str) -> bool:
    try:
        return _BOOLEANS[value]
    except KeyError:
        raise parameter.refuse(value) from None


def _type_names(parameter: Parameter, value: str) -> tuple[str, ...]:
    # Only the catalogue knows all names; `parse_query` checks these against it.
    names = tuple(name for part in value.split(",") if (name := part.strip()))
    if NOT in names:
        raise parameter.refuse(value)
    return names


def _types_of(_: Parameter, values: Sequence[tuple[str, ...]]) -> frozenset[str]:
    return frozenset(expanded for names in values for name in names for expanded in _family(name))


def _family(name: str) -> Iterable[str]:
    if name.startswith(NOT):
        return (NOT + member for member in _family(name.removeprefix(NOT)))
    return TYPE_FAMILIES.get(name, (name,))


def _terms(parameter: Parameter, value: str) -> tuple[str, ...]:
    if len(value) > QUERY_CHARS_MAX:
        raise parameter.refuse(value, f"{len(value)} characters are too many")
    # Repeated terms have no effect, so they are removed; the order stays.
    terms = tuple(dict.fromkeys(fold(value).split()))
    if len(terms) > QUERY_TERMS_MAX:
        raise parameter.refuse(value, f"{len(terms)} terms are too many")
    return terms


def _words(parameter: Parameter, value: str) -> tuple[str, ...]:
    if len(value) > QUERY_CHARS_MAX:
        raise parameter.refuse(value, f"{len(value)} characters are too many")
    words: list[str] = []
    for part in fold(value).split():
        digits = _HASH_PREFIX.sub("", part)
        is_hash = len(digits) in HASH_LENGTHS and _HEX.fullmatch(digits.upper())
        words += (digits,) if is_hash else words_of(part)
    words = list(dict.fromkeys(words))
    if len(words) > SEARCH_WORDS_MAX:
        raise parameter.refuse(value, f"{len(words)} words are too many")
    return tuple(words)


def _tag(_: Parameter, value: str) -> str:
    return fold(value).strip()


def _tags_of(_: Parameter, values: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, values)))


def _base_model(_: Parameter, value: str) -> str | None:
    sign = NOT if value.startswith(NOT) else ""
    name = fold_base(value.removeprefix(NOT))
    return sign + name if name else None


def _licence(_: Parameter, value: str) -> str | None:
    sign = NOT if value.startswith(NOT) else ""
    name = fold(value.removeprefix(NOT)).strip()
    return sign + name if name else None


def _year(parameter: Parameter, value: str) -> str:
    if not _YEAR.fullmatch(value.removeprefix(NOT)):
        raise parameter.refuse(value)
    return value


def _id(parameter: Parameter, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise parameter.refuse(value)
    return int(value)


def parse_hash(value: str) -> str:
    """Return a hash's digits in upper case. Raises ValueError."""
    digits = value.strip().upper()
    for prefix in ("SHA256:", "BLAKE3:", "0X"):
        digits = digits.removeprefix(prefix)
    # `upper` makes the ligature ﬀ two letters F.
    if not value.isascii() or len(digits) not in HASH_LENGTHS or not _HEX.fullmatch(digits):
        raise ValueError
    return digits


def _hash(parameter: Parameter, value: str) -> str:
    try:
        return parse_hash(value)
    except ValueError:
        raise parameter.refuse(value) from None


def _limit(parameter: Parameter, value: str) -> int:
    # int() itself would take '+5', ' 5', '5_0' and other scripts' digits.
    if not (value.isascii() and value.isdigit() and len(value) <= 9 and 1 <= int(value) <= LIMIT_MAX):
        raise parameter.refuse(value)
    return int(value)


def _sort(parameter: Parameter, value: str) -> str:
    if value not in SORT_NAMES:
        raise parameter.refuse(value)
    return value


def _cursor(parameter: Parameter, value: str) -> Position | SortPosition | Offset | None:
    if len(value) > CURSOR_CHARS_MAX:
        raise parameter.refuse(value, f"{len(value)} characters are too many")
    try:
        return parse_cursor(value)
    except ValueError:
        raise parameter.refuse(value) from None


def _choices_schema(values: Iterable[str]) -> Mapping[str, object]:
    return {"type": "array", "items": {"type": "string", "enum": _signed(values)}}


def _signed(values: Iterable[str]) -> list[str]:
    return [sign + value for value in values for sign in ("", NOT)]


def _licence_parameter(field: str, values: tuple[str, ...], meaning: str) -> Parameter:
    return Parameter(
        f"filter.licence.{field}",
        field,
        _choices_schema((*values, UNKNOWN)),
        f"{meaning} {_UNKNOWN} {_REPEATED}",
        values[0],
        _choice,
        (*values, UNKNOWN),
        _any_of,
        documented=False,
        aliases=(f"filter[licence][{field}]",),
    )


PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        "filter.visibility",
        "visibility",
        {"type": "string", "enum": _signed(Visibility)},
        "`public` returns only public models, `private` only private models of the caller's team. `!public` means "
        "`private`, and the reverse. Default: both.",
        "public",
        _visibility,
        tuple(Visibility),
    ),
    Parameter(
        "filter.source",
        "sources",
        _choices_schema(Source),
        f"The source of the model. {_REPEATED}",
        "civitai",
        _choice,
        tuple(Source),
        _any_of,
    ),
    Parameter(
        "filter.types",
        "types",
        {"type": "array", "items": {"type": "string"}},
        "Returns models of any of these types. Repeat the parameter or separate types by commas. A type after `!` is "
        "excluded. `lora` means the family lora, locon and dora. Accepts every type in the catalogue besides the six "
        "of the vendor's document.",
        "lora",
        _type_names,
        DOCUMENTED_TYPES,
        _types_of,
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
        "filter.search",
        "words",
        {"type": "string", "maxLength": QUERY_CHARS_MAX},
        "Searches title, sd_name, name, tags, trigger words, creator and the names of files, and ignores case and what "
        "separates words (spaces and punctuation). Each word must be a part of at least one of them; a word that is a "
        f"hash may also be a hash of a file. At most {SEARCH_WORDS_MAX} words, and not together with `filter.query`.",
        "realistic vision",
        _words,
        f"up to {QUERY_CHARS_MAX} characters and {SEARCH_WORDS_MAX} words",
        documented=False,
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
        _tags_of,
        documented=False,
    ),
    Parameter(
        "filter.base_model",
        "base_models",
        {"type": "array", "items": {"type": "string"}},
        "Returns models with this base model. `SD_1.5` and `SD 1.5` are equal. An unknown base model matches nothing. "
        f"{_REPEATED}",
        "SD_1.5",
        _base_model,
        "a base model's name",
        _any_of,
        documented=False,
    ),
    Parameter(
        "filter.licence",
        "licences",
        {"type": "array", "items": {"type": "string"}},
        f"Returns models with this licence, by its id, and ignores case. {_UNKNOWN} {_REPEATED}",
        "apache-2.0",
        _licence,
        "a licence's id, or unknown",
        _any_of,
        documented=False,
    ),
    _licence_parameter(
        "commercial",
        COMMERCIAL_USES,
        "Returns models whose licence allows this use: generated images are sold, the model is rented out as a "
        "service, the model is sold. `!rent` returns every model that is not known to allow it.",
    ),
    _licence_parameter(
        "credit", ("required", "not_required"), "Returns models whose licence requires credit, or does not."
    ),
    _licence_parameter(
        "derivatives", ("allowed", "not_allowed"), "Returns models whose licence allows derivatives, or does not."
    ),
    Parameter(
        "filter.size",
        "sizes",
        _choices_schema((*SIZE_CLASSES, UNKNOWN)),
        f"Returns models whose file has a size between these bounds. {_REPEATED}",
        "100-500mb",
        _choice,
        (*SIZE_CLASSES, UNKNOWN),
        _any_of,
        documented=False,
    ),
    Parameter(
        "filter.published",
        "years",
        {"type": "array", "items": {"type": "string", "pattern": f"^!?([0-9]{{4}}|{UNKNOWN})$"}},
        f"Returns models that were published in this year (UTC), or in a year that is not known. {_REPEATED}",
        "2025",
        _year,
        "a year of four digits, or unknown",
        _any_of,
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
        "Returns every model that has a file with this AutoV1, AutoV2, AutoV3, SHA-256, BLAKE3 or CRC32. 12 digits "
        "are the first of AutoV3 or of SHA-256. Ignores case, and accepts the prefixes `0x`, `sha256:` and `blake3:`.",
        "1A805277C8",
        _hash,
        HASH_ALLOWED,
        documented=False,
    ),
    Parameter(
        "sort",
        "sort",
        {"type": "string", "enum": list(SORT_NAMES), "default": POPULAR},
        "The order of the models: the most popular first, the newest by publication first, the latest update first, by "
        "name (the title, else `sd_name`), the largest first, the last added to this catalogue first. `-` means the "
        "other direction. Models without the date or the size are last in both directions.",
        "newest",
        _sort,
        SORT_NAMES,
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
        "answer to get the next page. A cursor belongs to the order of its answer.",
        "c_0",
        _cursor,
        CURSOR_ALLOWED,
    ),
)
NAMES: Mapping[str, str] = {parameter.field: parameter.name for parameter in PARAMETERS}
PARAMETER_BY_SPELLING = {spelling: parameter for parameter in PARAMETERS for spelling in parameter.spellings}
