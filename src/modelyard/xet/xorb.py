"""Xorbs: chunks one after the other, each behind a header of 8 bytes.

    0  u8    version, 0
    1  u24   bytes of the data that follow
    4  u8    scheme: 0 raw, 1 an LZ4 frame, 2 an LZ4 frame of the bytes grouped by 4
    5  u24   bytes of the chunk

Older clients put a footer behind the last chunk. It begins with ``XETBLOB`` and is not needed.
"""

import os
from dataclasses import dataclass

import lz4.frame
import numpy as np

from modelyard import errors

# 64 MiB of chunks that cannot be compressed, and their headers.
XORB_BYTES_MAX = 65 << 20
CHUNK_BYTES_MAX = 128 << 10
# The smallest chunk that clients cut has 8 KiB; a file's last one may be smaller.
CHUNKS_MAX = 64 << 10
_HEADER_BYTES = 8
_FOOTER = b"XETBLOB"
_RAW, _LZ4, _GROUPED_LZ4 = 0, 1, 2
# LZ4 stores bytes that it cannot compress as they are, in a frame with a header, a checksum and block sizes.
_FRAME_BYTES_MAX = 64


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk of a xorb: where its data lie, and how many bytes they become."""

    offset: int
    stored_bytes: int
    scheme: int
    size_bytes: int


def read_chunks(descriptor: int) -> list[Chunk]:
    """Return the chunks of a xorb, by their headers. Raises InvalidValue if the file is no xorb."""
    end = os.fstat(descriptor).st_size
    if end > XORB_BYTES_MAX:
        raise errors.TooLarge("the xorb", XORB_BYTES_MAX)
    chunks: list[Chunk] = []
    offset = 0
    while offset < end:
        header = os.pread(descriptor, _HEADER_BYTES, offset)
        if header.startswith(_FOOTER) and chunks:
            break
        chunk = _parse_header(header, offset, len(chunks))
        offset = chunk.offset + chunk.stored_bytes
        if offset > end:
            raise _refuse(len(chunks), f"ends at {offset}, behind the xorb's {end} bytes")
        chunks.append(chunk)
        if len(chunks) > CHUNKS_MAX:
            raise errors.InvalidValue(f"xorb: it has more than {CHUNKS_MAX:,} chunks")
    if not chunks:
        raise errors.InvalidValue("xorb: it has no chunk")
    return chunks


def _parse_header(header: bytes, offset: int, number: int) -> Chunk:
    if len(header) < _HEADER_BYTES:
        raise _refuse(number, "has no complete header")
    stored_bytes, size_bytes = int.from_bytes(header[1:4], "little"), int.from_bytes(header[5:8], "little")
    version, scheme = header[0], header[4]
    if version != 0:
        raise _refuse(number, f"has version {version}; accepted: 0")
    if scheme not in (_RAW, _LZ4, _GROUPED_LZ4):
        raise _refuse(number, f"has compression scheme {scheme}; accepted: 0, 1, 2")
    if not 0 < size_bytes <= CHUNK_BYTES_MAX:
        raise _refuse(number, f"has {size_bytes:,} bytes; accepted: 1 to {CHUNK_BYTES_MAX:,}")
    if stored_bytes > size_bytes + _FRAME_BYTES_MAX or (scheme == _RAW and stored_bytes != size_bytes):
        raise _refuse(number, f"stores {size_bytes:,} bytes in {stored_bytes:,}")
    return Chunk(offset + _HEADER_BYTES, stored_bytes, scheme, size_bytes)


def read_chunk(descriptor: int, chunk: Chunk) -> bytes:
    """Return the bytes of a chunk. Raises InvalidValue if they cannot be decompressed to its size."""
    data = os.pread(descriptor, chunk.stored_bytes, chunk.offset)
    if len(data) != chunk.stored_bytes:
        raise errors.InvalidValue("xorb: a chunk ends early")
    if chunk.scheme == _RAW:
        return data
    plain = _decompress(data, chunk.size_bytes)
    return _ungroup(plain) if chunk.scheme == _GROUPED_LZ4 else plain


def _decompress(frame: bytes, size_bytes: int) -> bytes:
    decompressor = lz4.frame.LZ4FrameDecompressor()
    try:
        # One byte more than the chunk may have shows a frame that is too long.
        plain: bytes = decompressor.decompress(frame, max_length=size_bytes + 1)
    except (RuntimeError, ValueError) as problem:
        raise errors.InvalidValue(f"xorb: a chunk is no LZ4 frame: {problem}") from None
    if len(plain) != size_bytes or not decompressor.eof:
        raise errors.InvalidValue(f"xorb: a chunk does not decompress to its {size_bytes:,} bytes")
    return plain


def _ungroup(grouped: bytes) -> bytes:
    """Return bytes in their order. In groups, the bytes at 0, 4, 8… come first, then those at 1, 5, 9…"""
    source = np.frombuffer(grouped, np.uint8)
    target = np.empty_like(source)
    start = 0
    for number in range(4):
        lane = target[number::4]
        lane[:] = source[start : start + len(lane)]
        start += len(lane)
    return target.tobytes()


def _refuse(number: int, problem: str) -> errors.InvalidValue:
    return errors.InvalidValue(f"xorb: chunk {number} {problem}")
