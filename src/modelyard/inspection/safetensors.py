"""Read and judge a safetensors frame, without loading a tensor.

    8 bytes     N, the header's length, unsigned, little-endian
    N bytes     JSON: {"name": {"dtype": "F16", "shape": [4, 768], "data_offsets": [begin, end]}, …,
                "__metadata__": {"key": "text", …}}, may be padded with spaces at its end
    the rest    the tensors' bytes; offsets count from here, and the tensors cover it without gap or overlap

Limit, then parse, then validate, in this order; every rejection says what is wrong and where. The rules are the
reference parser's, and three more, because two readers must not see two different files: no name twice, metadata is
text to text, names are valid Unicode.

Nearly all headers are written in one plain form. msgspec reads it six times faster than ``json``, into the two classes
that a header needs; it says neither which name is there twice nor what is wrong. So a header that is not plain, or not
sound, is read again by ``json``, which is the only one to refuse it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from operator import mul
from typing import Any, BinaryIO, NoReturn

import msgspec

from modelyard.errors import CorruptFile
from modelyard.inspection.header import Header, Tensor

LENGTH_BYTES = 8
HEADER_LIMIT_BYTES = 100_000_000  # the reference parser's limit
# JSON costs memory by its brackets and commas, not by its bytes: 100 MB of "[[[…" would take 6 GB. The largest real
# header seen has 0.3 M of them; two million cost at most about 300 MB.
STRUCTURE_LIMIT = 2_000_000
METADATA_KEY = "__metadata__"

# Bits per number, from the reference parser's table.
DTYPE_BITS: Mapping[str, int] = {
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "F64": 64,
    "I64": 64,
    "U64": 64,
    "C64": 64,
}
# Sizes are 64-bit in every reader written in a compiled language; a product beyond that wraps around there.
_SIZE_MAX = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Frame:
    """A sound file's header and where its tensors begin."""

    header: Header
    body_offset: int


class _RepeatedName(Exception):
    """A JSON object names something twice."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def read_frame(reader: BinaryIO, size_bytes: int, limit_bytes: int = HEADER_LIMIT_BYTES) -> Frame:
    """Read the header at the start of ``reader`` and check it against the file's size. Only the header is read."""
    reader.seek(0)
    start = reader.read(LENGTH_BYTES)
    length = check_length(start, size_bytes, limit_bytes)
    raw = reader.read(length)
    if len(raw) < length:
        raise CorruptFile("header", f"is announced with {length:,} bytes and ends after {len(raw):,}")
    body_offset = LENGTH_BYTES + length
    return Frame(parse_header(raw, size_bytes - body_offset), body_offset)


def check_length(start: bytes, size_bytes: int, limit_bytes: int = HEADER_LIMIT_BYTES) -> int:
    """Return the header's length, announced by the file's first eight bytes, if such a header can be read."""
    if len(start) < LENGTH_BYTES:
        raise CorruptFile("header length", f"needs {LENGTH_BYTES} bytes, the file has {len(start)}")
    length = int.from_bytes(start[:LENGTH_BYTES], "little")
    if length > limit_bytes:
        raise CorruptFile("header length", f"{length:,} bytes is over the limit of {limit_bytes:,}")
    if length < 2:
        raise CorruptFile("header length", f"{length} bytes cannot hold a JSON object")
    if LENGTH_BYTES + length > size_bytes:
        raise CorruptFile(
            "header length", f"{length:,} bytes end at {LENGTH_BYTES + length:,}, the file at {size_bytes:,}"
        )
    return length


def parse_header(raw: bytes, body_bytes: int) -> Header:
    """Parse a header and check that its tensors cover ``body_bytes`` bytes exactly."""
    text = _decode(raw)
    plain = _parse_plain(text)
    if plain is not None:
        metadata, entries = plain
        return Header(_plain_tensors(entries, body_bytes), metadata)
    document = _parse_json(text)
    metadata = _metadata(document.pop(METADATA_KEY, None))
    return Header(_tensors(document, body_bytes), metadata)


def _decode(raw: bytes) -> str:
    if raw[:1] != b"{":
        raise CorruptFile("header, byte 0", "does not begin with '{'")
    # A shorter header cannot have more of them than it has bytes.
    structure = sum(map(raw.count, (b"[", b"{", b",", b":"))) if len(raw) > STRUCTURE_LIMIT else 0
    if structure > STRUCTURE_LIMIT:
        raise CorruptFile("header", f"has {structure:,} brackets and commas, over the limit of {STRUCTURE_LIMIT:,}")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise CorruptFile(f"header, byte {error.start}", "is not UTF-8") from None


class _Entry(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A tensor's entry."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


_ENTRIES = msgspec.json.Decoder(dict[str, _Entry])
_METADATA_FIRST = '{"' + METADATA_KEY + '":'


def _parse_plain(text: str) -> tuple[dict[str, str], dict[str, _Entry]] | None:
    """A header's metadata and entries if its metadata stands first and no name has escapes; ``None`` for every other.

    An entry has four colons, with the one behind its name. So there are four times as many colons as different names
    only if no name and no key is there twice.
    """
    try:
        metadata, text = _cut_metadata(text)
        if "\\" in text:
            return None
        entries = _ENTRIES.decode(text)
    except (msgspec.DecodeError, CorruptFile, _RepeatedName, ValueError, RecursionError):
        return None
    return (metadata, entries) if text.count(":") == 4 * len(entries) else None


def _plain_tensors(entries: Mapping[str, _Entry], body_bytes: int) -> dict[str, Tensor]:
    """Check every entry, then that the entries cover the body. Entries of one type and shape are checked once."""
    tensors: dict[str, Tensor] = {}
    checked: dict[tuple[str, tuple[int, ...]], tuple[Tensor, int]] = {}
    position, in_order = 0, True
    for name, entry in entries.items():
        key = entry.dtype, entry.shape
        begin, end = entry.data_offsets
        tensor, size = checked.get(key, _NOT_CHECKED)
        if size != end - begin:
            document = {"dtype": entry.dtype, "shape": list(entry.shape), "data_offsets": [begin, end]}
            tensor, *_ = _check_entry(name, document)
            checked[key] = tensor, end - begin
        tensors[name] = tensor
        # Writers list tensors in the order of their bytes, so most files need no sorting.
        in_order = in_order and begin == position
        position = end
    if not in_order or position != body_bytes:
        _check_cover(sorted((*entry.data_offsets, name) for name, entry in entries.items()), body_bytes)
    return tensors


_NOT_CHECKED = Tensor("", ()), None


def _cut_metadata(text: str) -> tuple[dict[str, str], str]:
    """The metadata, if it is what the text begins with, and the text without it."""
    if not text.startswith(_METADATA_FIRST):
        return {}, text
    metadata, end = _JSON.raw_decode(text, len(_METADATA_FIRST))
    _refuse_lone_surrogates(text[:end] + "}")
    if text[end : end + 2] != ',"':
        raise ValueError("no tensor follows the metadata at once")
    return _metadata(metadata), "{" + text[end + 1 :]


def _parse_json(text: str) -> dict[str, object]:
    # Escaped halves of surrogate pairs parse in Python and in no other reader, and cannot be written out again.
    if "\\ud" in text or "\\uD" in text:
        _refuse_lone_surrogates(text)
    try:
        # Trailing spaces are legal padding; other text behind the object is not, and json refuses it.
        document = _JSON.decode(text)
    except _RepeatedName as error:
        raise CorruptFile("header", f"names {_shown(error.name)} twice") from None
    except json.JSONDecodeError as error:
        raise CorruptFile(f"header, character {error.pos}", f"is not JSON: {error.msg}") from None
    except RecursionError:
        raise CorruptFile("header", "is nested too deep") from None
    except ValueError as error:  # a number of more digits than Python converts, or NaN
        raise CorruptFile("header", f"is not JSON we accept: {error}") from None
    if not isinstance(document, dict):  # cannot be: it begins with '{'; tells the type checker so
        raise CorruptFile("header", "is not a JSON object")
    return document


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _RepeatedName(name)
            seen.add(name)
    return made


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")


_JSON = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)


def _refuse_lone_surrogates(text: str) -> None:
    try:
        json.dumps(json.loads(text), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise CorruptFile("header", "holds half of a surrogate pair, which is no character") from None
    except (ValueError, RecursionError):
        return  # what is wrong is said by the parse that follows


def _metadata(metadata: object) -> dict[str, str]:
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise CorruptFile(METADATA_KEY, f"is {_kind(metadata)}, not an object")
    for key, value in metadata.items():
        if type(value) is not str:
            raise CorruptFile(f"{METADATA_KEY}, {_shown(key)}", f"is {_kind(value)}, not text")
    return metadata


def _tensors(document: Mapping[str, object], body_bytes: int) -> dict[str, Tensor]:
    checked = {name: _check_entry(name, entry) for name, entry in document.items()}
    _check_cover(sorted((begin, end, name) for name, (_, begin, end) in checked.items()), body_bytes)
    return {name: tensor for name, (tensor, _, _) in checked.items()}


def _check_cover(spans: list[tuple[int, int, str]], body_bytes: int) -> None:
    """Sorted spans begin at zero and each where the one before it ends, up to the end of the body."""
    position, before = 0, ""
    for begin, end, name in spans:
        if begin != position:
            relation = "overlaps" if begin < position else "leaves a gap after"
            neighbour = f"tensor {_shown(before)}, which ends at {position:,}" if before else "the header"
            raise CorruptFile(f"tensor {_shown(name)}", f"begins at {begin:,} and {relation} {neighbour}")
        position, before = end, name
    where = f"tensor {_shown(before)}" if before else "tensors"
    if position > body_bytes:
        raise CorruptFile(where, f"ends at {position:,}, but only {body_bytes:,} bytes follow the header")
    if position < body_bytes:
        raise CorruptFile(
            where, f"ends at {position:,}, and {body_bytes - position:,} bytes follow that belong to none"
        )


def _check_entry(name: str, entry: object) -> tuple[Tensor, int, int]:
    """Return an entry's tensor and where its bytes begin and end; raise CorruptFile if anything is wrong."""
    where = "tensor " + _shown(name)
    if type(entry) is not dict:
        raise CorruptFile(where, f"is {_kind(entry)}, not an object")
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    missing = ", ".join(key for key in ("dtype", "shape", "data_offsets") if entry.get(key) is None)
    if missing:
        raise CorruptFile(where, f"lacks {missing}")
    if type(dtype) is not str or dtype not in DTYPE_BITS:
        raise CorruptFile(f"{where}, dtype", f"{_shown(dtype)} is not a type that safetensors defines")
    if type(shape) is not list:
        raise CorruptFile(f"{where}, shape", f"{_shown(shape)} is not a list")
    needed = _count_bits(f"{where}, shape", dtype, shape)
    where = f"{where}, data_offsets"
    if type(offsets) is not list or len(offsets) != 2 or any(type(offset) is not int for offset in offsets):
        raise CorruptFile(where, f"{_shown(offsets)} is not a pair of numbers")
    begin, end = offsets
    if not 0 <= begin <= end <= _SIZE_MAX:
        raise CorruptFile(where, f"{_shown(offsets)} is not a span of bytes")
    if needed != (end - begin) * 8:
        raise CorruptFile(
            where,
            f"{begin:,} to {end:,} is {end - begin:,} bytes, {_shown(shape)} of {dtype} needs {needed // 8:,}",
        )
    return Tensor(dtype, tuple(shape)), begin, end


def _count_bits(where: str, dtype: str, shape: list[Any]) -> int:
    """How many bits a tensor takes; raise CorruptFile if these are no whole bytes, or more than 64 bits can count."""
    for size in shape:
        if type(size) is not int or size < 0:
            raise CorruptFile(where, f"{_shown(size)} is not a size")
    numbers = 1
    # One after the other: the whole product of a hundred thousand hostile sizes takes half a minute.
    is_too_large = any((numbers := product) > _SIZE_MAX for product in accumulate(shape, mul, initial=1))
    needed = numbers * DTYPE_BITS[dtype]
    if is_too_large or needed > _SIZE_MAX:
        raise CorruptFile(where, f"{_shown(shape)} of {dtype} is larger than 64 bits can count")
    if needed % 8:
        raise CorruptFile(where, f"{_shown(shape)} of {dtype} does not end on a whole byte")
    return needed


def _kind(value: object) -> str:
    kinds = {str: "text", int: "a number", float: "a number", bool: "true or false", list: "a list", dict: "an object"}
    return kinds.get(type(value), "null")


def _shown(value: object) -> str:
    """A value from the file, short enough for a message."""
    # Cut before it is written out: its text could be as long as the header.
    text = ascii(value[:80] if isinstance(value, str) else value[:8] if isinstance(value, list) else value)
    return text if len(text) <= 90 else text[:90] + "…"
