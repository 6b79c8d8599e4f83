"""Makes files of the chunks that hf-xet sent: the chunks of each segment, in order.

The segments of a file are in the row of its upload; the xorbs that hold the chunks lie beside the other uploads.
"""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from modelyard import errors, xet
from modelyard.blobs import Blobs, IncomingFiles
from modelyard.blobs.partial import PartialFile
from modelyard.store.uploads import Upload
from modelyard.xet import Chunk, Segment

# The declared value of an upload that holds its segments, as JSON.
SEGMENTS = "segments"
_OPEN_XORBS_MAX = 4
_WRITE_BYTES = 1 << 20
_decode_segments = msgspec.json.Decoder(list[Segment]).decode


def encode_segments(segments: Sequence[Segment]) -> str:
    """Return segments as the row of an upload holds them."""
    return msgspec.json.encode(segments).decode()


def xorb_upload_id(team: str, xorb: str) -> str:
    """Return the id of the upload that is a team's xorb. Another team's xorb of the same hash is another one."""
    return derive_upload_id("xorb", team, xorb)


def derive_upload_id(*names: str) -> str:
    """Return the id of an upload that is found by names, so that a client who sends it again finds it."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:32]


class Assembler:
    """Assembles the files of one store."""

    def __init__(self, storage: Blobs, incoming: IncomingFiles) -> None:
        self._blobs = storage
        self._incoming = incoming

    def assemble(self, upload: Upload, allow_bytes: Callable[[int], object]) -> None:
        """Write the bytes of an upload from its segments.

        They are not flushed to the disk: after a power cut, a second call writes them again. Raises InvalidValue if a
        xorb is missing or its chunks do not fit.
        """
        segments = _decode_segments(upload.declared[SEGMENTS])
        if self._incoming.size(upload.id) is None:
            self._incoming.create(upload.id, upload.length_bytes or 0)
        with self._incoming.open(upload.id) as partial, _OpenXorbs(upload.team, self._find) as xorbs:
            partial.restart(is_hashed=False)
            for segment in segments:
                allow_bytes(segment.size_bytes)
                descriptor, chunks = xorbs.open(segment.xorb)
                _write_segment(partial, segment, descriptor, chunks)

    def _find(self, upload_id: str) -> Path | None:
        """Return the file of a xorb. Another machine may have received it."""
        path = self._incoming.path(upload_id)
        if not path.is_file() and self._blobs.uploaded_size(upload_id) is not None:
            self._blobs.fetch_uploaded(upload_id, path)
        return path if path.is_file() else None


class _OpenXorbs:
    """The xorbs that segments were read from last, open. ``find`` returns the file of an upload."""

    def __init__(self, team: str, find: Callable[[str], Path | None]) -> None:
        self._team = team
        self._find = find
        self._open: OrderedDict[str, tuple[int, list[Chunk]]] = OrderedDict()

    def __enter__(self) -> "_OpenXorbs":
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor, _chunks in self._open.values():
            os.close(descriptor)

    def open(self, xorb: str) -> tuple[int, list[Chunk]]:
        """Return the descriptor and the chunks of a xorb. Raises InvalidValue if it is missing."""
        if xorb not in self._open:
            path = self._find(xorb_upload_id(self._team, xorb))
            if path is None:
                raise errors.InvalidValue(f"the xorb {xorb} is not here any more; upload the file again")
            if len(self._open) >= _OPEN_XORBS_MAX:
                os.close(self._open.popitem(last=False)[1][0])
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._open[xorb] = descriptor, []
            self._open[xorb] = descriptor, xet.read_chunks(descriptor)
        self._open.move_to_end(xorb)
        return self._open[xorb]


def _write_segment(partial: PartialFile, segment: Segment, descriptor: int, chunks: Sequence[Chunk]) -> None:
    """Append the chunks of a segment. Its size is checked before its first byte is written."""
    if segment.end > len(chunks):
        raise errors.InvalidValue(
            f"shard: a segment ends at chunk {segment.end}; the xorb {segment.xorb} has {len(chunks)}"
        )
    chosen = chunks[segment.first : segment.end]
    size_bytes = sum(chunk.size_bytes for chunk in chosen)
    if size_bytes != segment.size_bytes:
        raise errors.InvalidValue(f"shard: a segment of {segment.size_bytes:,} bytes, whose chunks have {size_bytes:,}")
    pieces: list[bytes] = []
    waiting_bytes = 0
    for chunk in chosen:
        pieces.append(xet.read_chunk(descriptor, chunk))
        waiting_bytes += chunk.size_bytes
        if waiting_bytes >= _WRITE_BYTES:
            partial.append(pieces)
            pieces, waiting_bytes = [], 0
    partial.append(pieces)
