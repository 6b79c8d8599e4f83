"""Recognises the format of a file by its bytes, never by its name.

Only the first ``HEAD_BYTES`` and the last ``TAIL_BYTES`` are read. A polyglot is a file in two formats, such as
a safetensors file that is also a zip. Its first bytes decide its format; the other formats are reported beside it.
"""

import os
import re
import tarfile
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO

HEAD_BYTES = 4096
# A zip's end record is 22 bytes and is followed by a comment of at most 65,535.
TAIL_BYTES = 22 + 65_535

_ZIP_LOCAL = b"PK\x03\x04"
_ZIP_CENTRAL = b"PK\x01\x02"
_ZIP_END = b"PK\x05\x06"
_TAR_MAGIC_OFFSET = 257


class FileFormat(StrEnum):
    """The formats of files."""

    SAFETENSORS = "safetensors"
    ZIP = "zip"
    PICKLE = "pickle"
    GGUF = "gguf"
    GGML = "ggml"
    NPY = "npy"
    ONNX = "onnx"
    HDF5 = "hdf5"
    TAR = "tar"
    SEVEN_ZIP = "7z"
    RAR = "rar"
    GZIP = "gzip"
    BZIP2 = "bzip2"
    XZ = "xz"
    ZSTANDARD = "zstandard"
    IMAGE = "image"
    VIDEO = "video"
    PDF = "pdf"
    PROGRAM = "program"
    HTML = "html"
    JSON = "json"
    XML = "xml"
    LFS_POINTER = "git-lfs pointer"
    TEXT = "text"
    EMPTY = "empty"
    UNKNOWN = "unknown"


# (where, bytes, format), tried in this order.
_MAGIC: tuple[tuple[int, bytes, FileFormat], ...] = (
    (0, _ZIP_LOCAL, FileFormat.ZIP),
    (0, _ZIP_END, FileFormat.ZIP),  # a zip without members
    (0, b"GGUF", FileFormat.GGUF),
    (0, b"lmgg", FileFormat.GGML),
    (0, b"fmgg", FileFormat.GGML),
    (0, b"tjgg", FileFormat.GGML),
    (0, b"\x93NUMPY", FileFormat.NPY),
    (0, b"\x89HDF\r\n\x1a\n", FileFormat.HDF5),
    (0, b"7z\xbc\xaf\x27\x1c", FileFormat.SEVEN_ZIP),
    (0, b"Rar!\x1a\x07", FileFormat.RAR),
    (0, b"\x1f\x8b\x08", FileFormat.GZIP),
    (0, b"BZh", FileFormat.BZIP2),
    (0, b"\xfd7zXZ\x00", FileFormat.XZ),
    (0, b"\x28\xb5\x2f\xfd", FileFormat.ZSTANDARD),
    (0, b"\x89PNG\r\n\x1a\n", FileFormat.IMAGE),
    (0, b"\xff\xd8\xff", FileFormat.IMAGE),
    (0, b"GIF87a", FileFormat.IMAGE),
    (0, b"GIF89a", FileFormat.IMAGE),
    (8, b"WEBP", FileFormat.IMAGE),
    (4, b"ftypavif", FileFormat.IMAGE),
    (4, b"ftypheic", FileFormat.IMAGE),
    (4, b"ftyp", FileFormat.VIDEO),
    (0, b"\x1aE\xdf\xa3", FileFormat.VIDEO),
    (0, b"%PDF-", FileFormat.PDF),
    (0, b"\x7fELF", FileFormat.PROGRAM),
    (0, b"MZ", FileFormat.PROGRAM),
    (0, b"#!", FileFormat.PROGRAM),
    (0, b"version https://git-lfs", FileFormat.LFS_POINTER),
    (_TAR_MAGIC_OFFSET, b"ustar", FileFormat.TAR),
)

# ONNX is a protocol buffer without a magic number: field 1 (the IR version, 1–20), then field 2 (the producer's name,
# which is printable) or field 7/8. Seen in every export of PyTorch, tf2onnx and onnx itself.
_ONNX = re.compile(rb"\x08[\x01-\x14](?:\x12[\x01-\x40][ -~]{2}|\x3a|\x42)")
_MARKUP = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(!doctype html|html|head|body|\?xml|!--|error|[a-z]+[ >])", re.IGNORECASE)
_PICKLE_PROTOCOL_2_UP = re.compile(rb"\x80[\x02-\x05]")
# Protocols 0 and 1 have no magic number. These opcodes can begin a pickle: containers, numbers, text, an import.
# Whether it is one is for the pickle walk to say (modelyard.inspection.pickles), so this only proposes.
_PICKLE_OPENING = frozenset(b"(]})cGIJKLMNSTUVXPQi\x80\x82\x83\x84\x88\x89\x8a\x8b\x8c\x8d\x8e\x95\x96")
_TEXT_CONTROL = bytes(set(range(32)) - {9, 10, 12, 13, 27})


@dataclass(frozen=True, slots=True)
class Recognised:
    """The format, and every other format that the same bytes can be read as."""

    format: FileFormat
    also: tuple[FileFormat, ...] = ()
    # The bytes have no magic number and begin as a pickle of protocol 0 or 1 may: only a walk can tell.
    maybe_pickle: bool = False


def recognise(reader: BinaryIO, size_bytes: int) -> Recognised:
    """Recognise a file by its bytes; does not reset the position. Reads at most ``HEAD_BYTES + TAIL_BYTES``."""
    reader.seek(0)
    head = reader.read(HEAD_BYTES)
    tail = b""
    if size_bytes > len(head):
        reader.seek(max(0, size_bytes - TAIL_BYTES), os.SEEK_SET)
        tail = reader.read(TAIL_BYTES)
    return recognise_bytes(head, tail or head, size_bytes)


def recognise_bytes(head: bytes, tail: bytes, size_bytes: int) -> Recognised:
    """Recognise a file by its first and last bytes and its size."""
    format_ = _of_head(head, size_bytes)
    also = []
    if format_ is not FileFormat.ZIP and ends_as_zip(tail, size_bytes):
        also.append(FileFormat.ZIP)
    if format_ is not FileFormat.TAR and is_tar(head):
        also.append(FileFormat.TAR)
    unmarked = format_ in (FileFormat.TEXT, FileFormat.UNKNOWN)
    return Recognised(format_, tuple(also), maybe_pickle=unmarked and head[0] in _PICKLE_OPENING)


def _of_head(head: bytes, size_bytes: int) -> FileFormat:
    if not head:
        return FileFormat.EMPTY
    # Before pickle: a safetensors header of 640 bytes begins with 80 02, as a pickle does.
    if claims_safetensors(head, size_bytes):
        return FileFormat.SAFETENSORS
    for offset, magic, format_ in _MAGIC:
        if head.startswith(magic, offset):
            return format_
    # Before pickle: the first member's name can be a pickle. torch loads the pickles in the archive.
    if is_tar(head):
        return FileFormat.TAR
    if _PICKLE_PROTOCOL_2_UP.match(head):
        return FileFormat.PICKLE
    if _ONNX.match(head):
        return FileFormat.ONNX
    if markup := _MARKUP.match(head):
        word = markup[1].lower()
        return FileFormat.XML if word.startswith((b"?xml", b"error")) else FileFormat.HTML
    if head.lstrip()[:1] in (b"{", b"[") and _is_text(head):
        return FileFormat.JSON
    return FileFormat.TEXT if _is_text(head) else FileFormat.UNKNOWN


def claims_safetensors(head: bytes, size_bytes: int) -> bool:
    """Whether the file begins as safetensors does: a length, then ``{``. The claim may be broken."""
    length = int.from_bytes(head[:8], "little")
    # A length over 2^48 is text or noise, not a damaged length; below it, the reader says what is wrong with it.
    return size_bytes >= 9 and head[8:9] == b"{" and 0 < length < 1 << 48


def is_tar(head: bytes) -> bool:
    """Whether tar readers would find an archive here: its first block has the right checksum, whatever its magic."""
    try:
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return False
    return True


def ends_as_zip(tail: bytes, size_bytes: int) -> bool:
    """Whether zip readers, which begin at a file's end, would find an archive here.

    The four bytes of the end record occur by chance in tensors, so its numbers have to fit: the comment ends the file
    and a central directory ends where the record begins.
    """
    at = tail.rfind(_ZIP_END)
    while at >= 0:
        record = tail[at : at + 22]
        if len(record) == 22:
            comment = int.from_bytes(record[20:22], "little")
            directory_bytes = int.from_bytes(record[12:16], "little")
            members = int.from_bytes(record[10:12], "little")
            position = size_bytes - len(tail) + at
            if at + 22 + comment == len(tail) and members and 46 * members <= directory_bytes <= position:
                begin = at - directory_bytes
                # Where the directory begins before the tail, its signature cannot be looked at: the numbers have to
                # do.
                if begin < 0 or tail.startswith(_ZIP_CENTRAL, begin):
                    return True
        at = tail.rfind(_ZIP_END, 0, at)
    return False


def _is_text(head: bytes) -> bool:
    if head.translate(None, _TEXT_CONTROL) != head:
        return False
    try:
        head[: len(head) - 3].decode() if len(head) == HEAD_BYTES else head.decode()
    except UnicodeDecodeError:
        return False
    return True
