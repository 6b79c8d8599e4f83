"""Xorbs and shards as hf-xet 1.8 writes them, made by hand."""

import hashlib
import struct

import lz4.frame

END = b"\xff" * 32 + b"\0" * 16
RAW, LZ4, GROUPED = 0, 1, 2


def chunk(content: bytes, scheme: int = RAW, *, size: int | None = None, stored: bytes | None = None) -> bytes:
    """A chunk with its header. ``size`` and ``stored`` are what a hostile client says instead."""
    if stored is None:
        grouped = b"".join(content[number::4] for number in range(4)) if scheme == GROUPED else content
        stored = content if scheme == RAW else lz4.frame.compress(grouped)
    length = len(content) if size is None else size
    return b"\0" + len(stored).to_bytes(3, "little") + bytes([scheme]) + length.to_bytes(3, "little") + stored


def xorb(*contents: bytes) -> bytes:
    """A xorb of chunks, each in another scheme than the one before it."""
    return b"".join(chunk(content, number % 3) for number, content in enumerate(contents))


def raw_hash(text: str) -> bytes:
    """The 32 bytes of a hash as URLs have it."""
    return b"".join(bytes.fromhex(text[start : start + 16])[::-1] for start in range(0, 64, 16))


def shard(
    *files: tuple[bytes | str, list[tuple[str, int, int, int]]], is_verified: bool = True, has_sha256: bool = True
) -> bytes:
    """A shard of files: the content or the SHA-256, and the segments (xorb, bytes, first chunk, chunk behind)."""
    parts = [b"HFRepoMetaData\0UigEj".ljust(32, b"\x7b") + struct.pack("<QQ", 2, 0)]
    for content, segments in files:
        flags = (1 << 31 if is_verified else 0) | (1 << 30 if has_sha256 else 0)
        parts.append(b"\x11" * 32 + struct.pack("<IIQ", flags, len(segments), 0))
        parts += [raw_hash(name) + struct.pack("<IIII", 0, *numbers) for name, *numbers in segments]
        parts += [b"\x22" * 48 for _ in segments if is_verified]
        digest = content if isinstance(content, str) else hashlib.sha256(content).hexdigest()
        parts.append(raw_hash(digest) + b"\0" * 16 if has_sha256 else b"")
    return b"".join([*parts, END, b"the descriptions of the xorbs" * 10])
