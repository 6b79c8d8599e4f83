"""Readers of the formats in which hf-xet sends files: xorbs hold chunks, and shards say how chunks make files.

A client's bytes are untrusted: every reader checks a size before it takes memory.
"""

from modelyard.xet.shard import (
    FILE_SECTION_BYTES_MAX,
    FILES_MAX,
    SHARD_BYTES_MAX,
    File,
    FileSection,
    Segment,
    hash_text,
)
from modelyard.xet.xorb import CHUNK_BYTES_MAX, CHUNKS_MAX, XORB_BYTES_MAX, Chunk, read_chunk, read_chunks

__all__ = [
    "CHUNKS_MAX",
    "CHUNK_BYTES_MAX",
    "FILES_MAX",
    "FILE_SECTION_BYTES_MAX",
    "SHARD_BYTES_MAX",
    "XORB_BYTES_MAX",
    "Chunk",
    "File",
    "FileSection",
    "Segment",
    "hash_text",
    "read_chunk",
    "read_chunks",
]
