"""Read a GGUF header: metadata and tensor table, never a tensor.

    4 bytes     "GGUF"
    u32         version: 1 (counts and lengths in 32 bits), 2 and 3 (64 bits)
    u64 u64     how many tensors, how many metadata entries
    entries     text key, u32 value type, value (an array: u32 type, u64 count, values)
    tensors     text name, u32 dimensions, u64 each (fastest first), u32 type, u64 offset from the data section
    padding     to ``general.alignment`` (32 if not given), then the data section

A count or length is a claim: nothing is allocated for it before the bytes are there, and the whole header is held under
``limit_bytes``.
"""

import struct
from dataclasses import dataclass, field
from typing import BinaryIO

from modelyard.errors import CorruptFile, UnsupportedFile
from modelyard.inspection.header import Header, Tensor

HEADER_LIMIT_BYTES = 100_000_000
TENSORS_MAX = 100_000
ENTRIES_MAX = 100_000
NAME_BYTES_MAX = 65_535
TEXT_KEPT_BYTES = 4096
DIMENSIONS_MAX = 8  # the reference has 4
_ARRAY_SHOWN = 8
_ARRAY_DEPTH_MAX = 3
_ARRAYS_OF_TEXT_MAX = 4_000_000  # tokenizers have up to 262,144 words, and several such arrays

# Metadata value types: struct format, or None for text (8) and arrays (9).
_TEXT, _ARRAY = 8, 9
_VALUE_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

# Tensor types: name, numbers a block, bytes a block (ggml.h; types that were removed there are not listed).
_TENSOR_TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
}


@dataclass(slots=True)
class _Cursor:
    """Where the reader stands in the header, and how much of it may be read."""

    reader: BinaryIO
    left: int
    size: int
    at: int = 0
    wide: bool = True
    texts_left: int = field(default=_ARRAYS_OF_TEXT_MAX)

    def read(self, count: int, where: str) -> bytes:
        self._spend(count, where)
        data = self.reader.read(count)
        if len(data) < count:
            raise CorruptFile(where, f"the file ends at {self.at + len(data):,}")
        self.at += count
        return data

    def skip(self, count: int, where: str) -> None:
        self._spend(count, where)
        self.at += count
        self.reader.seek(self.at)

    def _spend(self, count: int, where: str) -> None:
        if self.at + count > self.size:
            raise CorruptFile(where, f"needs {count:,} bytes at {self.at:,}, the file ends at {self.size:,}")
        if count > self.left:
            raise CorruptFile(where, "the header is over its limit in size")
        self.left -= count

    def u32(self, where: str) -> int:
        return int.from_bytes(self.read(4, where), "little")

    def length(self, where: str) -> int:
        return int.from_bytes(self.read(8 if self.wide else 4, where), "little")

    def text(self, where: str, bytes_max: int) -> str:
        """Read a text; of a longer one than ``kept_max`` bytes only the start is kept."""
        length = self.length(where)
        start = self.read(min(length, bytes_max), where)
        if length > bytes_max:
            self.skip(length - bytes_max, where)
        return start.decode(errors="replace")


def read_header(reader: BinaryIO, size_bytes: int, limit_bytes: int = HEADER_LIMIT_BYTES) -> Header:
    """Read the header at the start of ``reader`` and check its tensors against the file's size."""
    reader.seek(0)
    cursor = _Cursor(reader, limit_bytes, size_bytes)
    if cursor.read(4, "magic") != b"GGUF":
        raise CorruptFile("magic", "is not 'GGUF'")
    version = cursor.u32("version")
    if version not in (1, 2, 3):
        if version.to_bytes(4, "little")[:3] == b"\0\0\0":
            raise UnsupportedFile("GGUF for big-endian machines is not read here", version=version)
        raise CorruptFile("version", f"{version} is not one of 1, 2, 3")
    cursor.wide = version > 1
    tensor_count, entry_count = cursor.length("tensor count"), cursor.length("metadata count")
    if tensor_count > TENSORS_MAX:
        raise CorruptFile("tensor count", f"{tensor_count:,} is over the limit of {TENSORS_MAX:,}")
    if entry_count > ENTRIES_MAX:
        raise CorruptFile("metadata count", f"{entry_count:,} is over the limit of {ENTRIES_MAX:,}")
    metadata: dict[str, str] = {}
    for number in range(entry_count):
        key = cursor.text(f"metadata entry {number}, key", NAME_BYTES_MAX)
        if key in metadata:
            raise CorruptFile(f"metadata entry {number}", f"names {_shown(key)} again")
        metadata[key] = _value(cursor, cursor.u32(f"metadata {_shown(key)}"), f"metadata {_shown(key)}", 0)
    tensors, spans = _tensor_table(cursor, tensor_count)
    _check_spans(spans, cursor.at, metadata.get("general.alignment", "32"), size_bytes)
    return Header(tensors, metadata)


def _value(cursor: _Cursor, kind: int, where: str, depth: int) -> str:
    """Read a metadata value; numbers and arrays are written out as text, arrays shortened."""
    if kind == _TEXT:
        return cursor.text(where, TEXT_KEPT_BYTES)
    if kind == _ARRAY:
        return _array(cursor, where, depth + 1)
    if kind not in _VALUE_FORMATS:
        raise CorruptFile(where, f"has the unknown value type {kind}")
    form = "<" + _VALUE_FORMATS[kind]
    return str(struct.unpack(form, cursor.read(struct.calcsize(form), where))[0])


def _array(cursor: _Cursor, where: str, depth: int) -> str:
    if depth > _ARRAY_DEPTH_MAX:
        raise CorruptFile(where, "nests arrays too deep")
    kind, count = cursor.u32(where), cursor.length(where)
    first_count = min(count, _ARRAY_SHOWN)
    first = [_value(cursor, kind, where, depth) for _ in range(first_count)]
    if kind in _VALUE_FORMATS:
        cursor.skip((count - first_count) * struct.calcsize("<" + _VALUE_FORMATS[kind]), where)
    else:
        cursor.texts_left -= count
        if cursor.texts_left < 0:
            raise CorruptFile(where, "has more texts than any tokenizer")
        for _ in range(count - first_count):
            if kind == _TEXT:
                cursor.skip(cursor.length(where), where)
            else:
                _value(cursor, kind, where, depth)
    more = f", … ({count:,})" if count > first_count else ""
    return "[" + ", ".join(first) + more + "]"


def _tensor_table(cursor: _Cursor, count: int) -> tuple[dict[str, Tensor], list[tuple[int, int, str]]]:
    tensors: dict[str, Tensor] = {}
    spans = []
    for number in range(count):
        name = cursor.text(f"tensor {number}, name", NAME_BYTES_MAX)
        where = f"tensor {_shown(name)}"
        if name in tensors:
            raise CorruptFile(where, "is listed twice")
        dimensions = cursor.u32(where)
        if dimensions > DIMENSIONS_MAX:
            raise CorruptFile(where, f"has {dimensions:,} dimensions")
        row = struct.Struct(f"<{dimensions}{'Q' if cursor.wide else 'I'}IQ")
        *sizes, kind, offset = row.unpack(cursor.read(row.size, where))
        if kind not in _TENSOR_TYPES:
            raise CorruptFile(where, f"has the unknown type {kind}")
        dtype, block, block_bytes = _TENSOR_TYPES[kind]
        # The reference lists the fastest dimension first; everyone else's shapes have it last.
        tensor = Tensor(dtype, tuple(reversed(sizes)))
        numbers = tensor.parameters
        if sizes and sizes[0] % block:
            raise CorruptFile(where, f"rows of {sizes[0]:,} are not whole blocks of {dtype}")
        tensors[name] = tensor
        spans.append((offset, numbers // block * block_bytes, name))
    return tensors, spans


def _check_spans(spans: list[tuple[int, int, str]], header_end: int, alignment: str, size_bytes: int) -> None:
    """Every tensor inside the file, aligned, none over another."""
    step = int(alignment) if alignment.isdecimal() and len(alignment) <= 10 else 0
    if step <= 0 or step & (step - 1):
        raise CorruptFile("metadata 'general.alignment'", f"{alignment[:40]} is not a power of two")
    body = -(-header_end // step) * step
    position, before = 0, ""
    for offset, size, name in sorted(spans):
        where = f"tensor {_shown(name)}"
        if offset % step:
            raise CorruptFile(where, f"offset {offset:,} is not a multiple of {step}")
        if offset < position:
            raise CorruptFile(where, f"begins at {offset:,}, inside tensor {_shown(before)}")
        if body + offset + size > size_bytes:
            raise CorruptFile(where, f"ends at {body + offset + size:,}, the file at {size_bytes:,}")
        position, before = offset + size, name


def _shown(name: str) -> str:
    return ascii(name[:80])
