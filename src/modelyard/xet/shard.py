"""Shards: which chunks of which xorbs make a file, and the file's SHA-256.

    header        48 bytes, a u64 version at 32
    file section  per file a header: hash [32], u32 flags, u32 number of entries
                    entries: xorb's hash [32], u32 flags, u32 bytes, u32 first chunk, u32 chunk behind the last
                    with bit 31 of the flags: as many entries for verification, which this reader skips
                    with bit 30: the file's SHA-256 [32]
                  ends with a header of 32 × 0xFF
    the rest      descriptions of the xorbs, which this reader does not need

Every part of the file section has 48 bytes; numbers are little-endian. ``FileSection`` reads a shard as it arrives and
keeps no byte behind the file section.
"""

import struct
from dataclasses import dataclass

from modelyard import errors

SHARD_BYTES_MAX = 72 << 20
FILE_SECTION_BYTES_MAX = 8 << 20
# Each file becomes an upload and a job. A commit has no more, and clients send fewer at once.
FILES_MAX = 1000
_VERSION = 2
_PART_BYTES = 48
_HAS_VERIFICATION, _HAS_SHA256 = 1 << 31, 1 << 30
_END = b"\xff" * 32


@dataclass(frozen=True, slots=True)
class Segment:
    """Neighbouring chunks of one xorb: from ``first`` to the one before ``end``. ``xorb`` is its hash as in URLs."""

    xorb: str
    size_bytes: int
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class File:
    """A file: its segments in order, and the SHA-256 that the client says it has; None if the client says none."""

    segments: tuple[Segment, ...]
    sha256: str | None

    @property
    def size_bytes(self) -> int:
        """The bytes of all segments."""
        return sum(segment.size_bytes for segment in self.segments)


class FileSection:
    """Collects the file section of a shard. ``feed`` it the bytes in order, then ask for the ``files``."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._position = 0
        self._files: list[File] = []
        self._is_complete = False
        self._has_header = False

    def feed(self, data: bytes) -> None:
        """Read the next bytes. Raises InvalidValue if this is no shard, TooLarge if its file section is too long."""
        if self._is_complete:
            return
        self._buffer += data
        self._parse()
        if len(self._buffer) > FILE_SECTION_BYTES_MAX and not self._is_complete:
            raise errors.TooLarge("the shard's list of files", FILE_SECTION_BYTES_MAX)

    def files(self) -> list[File]:
        """Return the files. Raises InvalidValue if the shard ended before its file section did."""
        if not self._is_complete:
            raise errors.InvalidValue("shard: it ends before its list of files does")
        return self._files

    def _parse(self) -> None:
        if not self._has_header:
            if len(self._buffer) < _PART_BYTES:
                return
            (version,) = struct.unpack_from("<Q", self._buffer, 32)
            if version != _VERSION:
                raise errors.InvalidValue(f"shard: version {version}; accepted: {_VERSION}")
            self._has_header, self._position = True, _PART_BYTES
        while not self._is_complete and self._parse_file():
            pass

    def _parse_file(self) -> bool:
        """Read one file, if all of its bytes are here; return whether they were."""
        at = self._position
        if len(self._buffer) < at + _PART_BYTES:
            return False
        if self._buffer[at : at + 32] == _END:
            self._is_complete = True
            self._buffer.clear()
            return True
        flags, count = struct.unpack_from("<II", self._buffer, at + 32)
        parts = 1 + count * (2 if flags & _HAS_VERIFICATION else 1) + bool(flags & _HAS_SHA256)
        if parts * _PART_BYTES > FILE_SECTION_BYTES_MAX:
            raise errors.TooLarge("the shard's list of files", FILE_SECTION_BYTES_MAX)
        end = at + parts * _PART_BYTES
        if len(self._buffer) < end:
            return False
        if len(self._files) >= FILES_MAX:
            raise errors.InvalidValue(f"shard: more than {FILES_MAX:,} files; accepted: up to {FILES_MAX:,}")
        segments = tuple(self._segment(at + _PART_BYTES * number) for number in range(1, count + 1))
        sha256 = hash_text(bytes(self._buffer[end - _PART_BYTES : end - 16])) if flags & _HAS_SHA256 else None
        self._files.append(File(segments, sha256))
        self._position = end
        return True

    def _segment(self, at: int) -> Segment:
        _, size_bytes, first, end = struct.unpack_from("<IIII", self._buffer, at + 32)
        if first >= end:
            raise errors.InvalidValue(f"shard: a segment from chunk {first} to {end}; accepted: at least one chunk")
        return Segment(hash_text(bytes(self._buffer[at : at + 32])), size_bytes, first, end)


def hash_text(raw: bytes) -> str:
    """Return a hash as URLs have it: the digits of four 64-bit numbers, each little-endian in ``raw``."""
    return "".join(raw[start : start + 8][::-1].hex() for start in range(0, 32, 8))
