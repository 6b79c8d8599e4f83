"""Model files made from headers: real frames with sparse bodies, so that 7 GB take a few kilobytes of disk."""

import io
import json
import lzma
import math
import pickle
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelyard.inspection.safetensors import DTYPE_BITS

Shapes = Mapping[str, tuple[str, Sequence[int]]]

# The rank for recorded layouts that leave it open (-1), and the shape for recorded names without one.
RANK = 8
NO_SHAPE = (4, 4)


def recorded_header(path: Path) -> tuple[dict[str, tuple[str, list[int]]], dict[str, str]]:
    """Read a recorded header: with types and offsets, with shapes alone, or names alone; fill in what it lacks."""
    found: dict[str, Any] = json.loads(lzma.decompress(path.read_bytes()))
    metadata = found.pop("__metadata__", {})
    shapes = {}
    for name, entry in found.items():
        dtype, shape = (entry["dtype"], entry["shape"]) if isinstance(entry, dict) else ("F16", entry)
        shapes[name] = (dtype, list(NO_SHAPE) if shape is None else [RANK if size == -1 else size for size in shape])
    return shapes, metadata


def header_bytes(shapes: Shapes, metadata: Mapping[str, str] | None = None) -> tuple[bytes, int]:
    """Return a safetensors header with contiguous offsets, and the size of the body that belongs to it."""
    entries: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    position = 0
    for name, (dtype, shape) in shapes.items():
        size = math.prod(shape) * DTYPE_BITS[dtype] // 8
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, position + size]}
        position += size
    raw = json.dumps(entries).encode()
    return raw + b" " * (-len(raw) % 8), position


def write_safetensors(path: Path, shapes: Shapes, metadata: Mapping[str, str] | None = None) -> Path:
    """Write a sound safetensors file whose body is a hole."""
    raw, body = header_bytes(shapes, metadata)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        file.truncate(8 + len(raw) + body)
    return path


def frame(header: bytes, body: bytes = b"") -> bytes:
    """Return a safetensors file of these parts, sound or not."""
    return struct.pack("<Q", len(header)) + header + body


_STORAGES = {"F32": "FloatStorage", "F16": "HalfStorage", "BF16": "BFloat16Storage", "I64": "LongStorage"}


def _text(text: str) -> bytes:
    raw = text.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def _number(number: int) -> bytes:
    return b"J" + struct.pack("<i", number) if number < 1 << 31 else b"\x8a\x08" + struct.pack("<q", number)


def _sizes(sizes: Sequence[int]) -> bytes:
    return b"(" + b"".join(_number(size) for size in sizes) + b"t"


def state_dict_pickle(shapes: Shapes, wrapper: str = "") -> bytes:
    """Assemble the pickle that torch.save writes for a state dict, opcode by opcode, without torch."""
    out = b"\x80\x02" + ((b"}" + _text(wrapper)) if wrapper else b"")
    out += b"ccollections\nOrderedDict\n)R("
    for key, (name, (dtype, shape)) in enumerate(shapes.items()):
        storage = b"(" + _text("storage") + f"ctorch\n{_STORAGES[dtype]}\n".encode() + _text(str(key)) + _text("cpu")
        storage += _number(math.prod(shape)) + b"tQ"
        strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
        out += _text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + _number(0)
        out += _sizes(shape) + _sizes(strides) + b"\x89ccollections\nOrderedDict\n)RtR"
    return out + b"u" + (b"s" if wrapper else b"") + b"."


def write_torch_zip(path: Path, content: bytes, folder: str = "archive") -> Path:
    """Write torch's zip form around a pickle, without the storages."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{folder}/data.pkl", content)
        archive.writestr(f"{folder}/version", "3\n")
    return path


def legacy_torch(content: bytes) -> bytes:
    """Return torch's form before 1.6: five pickles, then the storages."""
    start = b"".join(pickle.dumps(each, 2) for each in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    return start + content + pickle.dumps(["0"], 2) + bytes(64)


def gguf(
    shapes: Mapping[str, tuple[int, Sequence[int], int]], metadata: Mapping[str, str], alignment: int = 32
) -> bytes:
    """Return a GGUF file: name → (type number, shape as torch has it, bytes)."""
    start, body = gguf_header(shapes, metadata, alignment)
    return start + bytes(body)


def gguf_header(
    shapes: Mapping[str, tuple[int, Sequence[int], int]], metadata: Mapping[str, str], alignment: int = 32
) -> tuple[bytes, int]:
    """Return what stands before the tensors of a GGUF file, and how many bytes these have."""

    def text(value: str) -> bytes:
        raw = value.encode()
        return struct.pack("<Q", len(raw)) + raw

    out = io.BytesIO()
    out.write(b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(metadata)))
    for key, value in metadata.items():
        out.write(text(key) + struct.pack("<I", 8) + text(value))
    offset = 0
    for name, (kind, shape, size) in shapes.items():
        sizes = b"".join(struct.pack("<Q", each) for each in reversed(shape))
        out.write(text(name) + struct.pack("<I", len(shape)) + sizes + struct.pack("<IQ", kind, offset))
        offset += -(-size // alignment) * alignment
    out.write(bytes(-out.tell() % alignment))
    return out.getvalue(), offset
