"""Writes and opens a segment as a folder of ``.npy`` files, which numpy maps, with a manifest and checksums.

    <segment>/
        neg_ranks.npy  neg_ids.npy  text.npy  …      one file an array, as segment.py draws them
        set_keys_0.npy  set_blob_0.npy  …            the arrays of tier 0, and so on
        checksums.npy                                (blocks, 8) uint8: BLAKE3, cut, of every 64 KiB of data
        manifest.json                                written last, its own checksum in front: format, revision, counts,
                                                     and the arrays' lengths

The writer makes the folder under a temporary name, flushes it, and renames it, so that a reader sees it complete or not
at all. Opening a segment checks the small arrays, and those that every search reads, as a whole. It checks the three
large arrays block by block, each block before its first use. So a flipped byte raises an error and is never returned.
"""

import io
import json
import mmap
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from modelyard.index.segment import Segment
from modelyard.index.segment_arrays import DTYPES, Array, SegmentArrays, TierArrays, kind_of
from modelyard.index.string_column import Check

# Increase this whenever an array's meaning changes; the indexer rebuilds segments of another format.
FORMAT: Final = 8
BLOCK_BYTES = 1 << 16  # Segment cuts records knowing this, see Check.good
CHECK_BYTES = 8

# Every segment has these, even one without rows that only removes models.
_COLUMNS = (*(field.name for field in fields(SegmentArrays)), "removed")
# These are large, and a query reads a few places of them, so they are checked block by block.
_BY_BLOCK = (
    *("text", "further", "records", "summaries", "name_keys"),
    *("set_blob", "order_rows", "order_places", "order_keys"),
)


class DamagedSegmentError(Exception):
    """A segment on disk does not match its manifest; the indexer has to rebuild it."""

    def __init__(self, folder: Path, problem: str) -> None:
        super().__init__(f"{folder}: {problem}")
        self.folder = folder
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of a segment. ``lengths`` are the arrays' elements, in the order of ``checksums``' blocks."""

    format: int
    after: int
    revision: int
    count: int
    tiers: int
    lengths: dict[str, int]


class SegmentWriter:
    """Writes a segment's arrays and their checksums, and renames the folder at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._making = folder.with_name(f"making-{os.getpid()}-{folder.name}")
        shutil.rmtree(self._making, ignore_errors=True)
        self._making.mkdir(parents=True)
        self._files: dict[str, BinaryIO] = {}
        self._lengths: dict[str, int] = {}
        self._checksums: dict[str, bytes] = {}

    def append(self, name: str, values: bytes | bytearray | Array) -> None:
        """Append values to an array; raw bytes are appended unchanged."""
        file = self._files.get(name)
        if file is None:
            # "wb+": ``close_array`` reads the file again for the checksums.
            file = self._files[name] = (self._making / f"{name}.npy").open("wb+")
            file.write(_header(name, 0))
        if isinstance(values, np.ndarray):
            values = np.ascontiguousarray(values, DTYPES[kind_of(name)]).tobytes()
        file.write(values)
        self._lengths[name] = self._lengths.get(name, 0) + len(values) // np.dtype(DTYPES[kind_of(name)]).itemsize

    def close_array(self, name: str) -> None:
        """Write the length of one array, compute its checksums, flush and close its file."""
        file = self._files[name]
        header = _header(name, self._lengths[name])
        file.seek(0)
        file.write(header)
        file.flush()
        self._checksums[name] = b"".join(_block_sums(file, len(header)))
        os.fsync(file.fileno())
        file.close()
        del self._files[name]

    def finish(self, *, after: int, revision: int, count: int, tiers: int) -> None:
        """Close all arrays, write the manifest, and flush. The folder keeps its temporary name."""
        for name in list(self._files):
            self.close_array(name)
        self._lengths |= {name: 0 for name in _COLUMNS if name not in self._lengths}
        sums = np.frombuffer(b"".join(self._checksums.get(name, b"") for name in self._lengths), np.uint8)
        saved = io.BytesIO()
        np.save(saved, sums.reshape(-1, CHECK_BYTES))
        with (self._making / "checksums.npy").open("wb") as file:
            file.write(saved.getbuffer())
            _flush(file)
        manifest = Manifest(FORMAT, after, revision, count, tiers, self._lengths)
        body = {field.name: getattr(manifest, field.name) for field in fields(Manifest)}
        body["checksums"] = blake3(saved.getbuffer()).hexdigest()
        write_sealed(self._making / "manifest.json", json.dumps(body, indent=1))
        flush_folder(self._making)

    def place(self) -> str:
        """Rename the finished folder and return its name. Until it is in the list, any process may remove it."""
        self._making.rename(self.folder)
        flush_folder(self.folder.parent)
        return self.folder.name

    def abandon(self) -> None:
        """Remove the unfinished folder."""
        for file in self._files.values():
            # On a full disk, closing raises again, because it cannot write the buffer.
            with suppress(OSError):
                file.close()
        shutil.rmtree(self._making, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """An open segment folder: its manifest, the segment over its mapped arrays, and their checks."""

    folder: Path
    manifest: Manifest
    segment: Segment
    removed: Array
    checks: Mapping[str, Check]


def open_segment(folder: Path) -> StoredSegment:
    """Map a segment's arrays. Raises DamagedSegmentError if a file does not match the manifest or its checksums.

    Cost: about 15 ms per million models, for the arrays that it checks as a whole.
    """
    try:
        manifest, sums = _read_manifest(folder)
        mapped = {name: _map(folder, name, length) for name, length in manifest.lengths.items()}
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise DamagedSegmentError(folder, str(problem)) from problem
    checks: dict[str, Check] = {}
    first = 0
    for name, array in mapped.items():
        blocks = -(-array.nbytes // BLOCK_BYTES)
        checked = _BlockCheck(folder, name, array, sums[first : first + blocks])
        first += blocks
        if kind_of(name) in _BY_BLOCK:
            checks[name] = checked
        else:
            checked.touch(0, array.nbytes)
    for name, at in (
        ("text", "text_at"),
        ("further", "further_at"),
        ("records", "record_at"),
        ("summaries", "summary_at"),
        ("name_keys", "name_key_at"),
    ):
        # Reading a piece checks its first and last blocks only, see Check.good; longer pieces are rare.
        if np.diff(mapped[at]).max(initial=0) > BLOCK_BYTES:
            checks[name].touch(0, mapped[name].nbytes)
    arrays = SegmentArrays(**{field.name: mapped[field.name] for field in fields(SegmentArrays)})
    tiers = [
        TierArrays(**{field.name: mapped[f"{field.name}_{number}"] for field in fields(TierArrays)})
        for number in range(manifest.tiers)
    ]
    return StoredSegment(folder, manifest, Segment(arrays, tiers, checks=checks), mapped["removed"], checks)


def verify(folder: Path) -> int:
    """Check every byte of a segment; return the number of bytes. Raises DamagedSegmentError."""
    stored = open_segment(folder)
    sizes = {n: length * np.dtype(DTYPES[kind_of(n)]).itemsize for n, length in stored.manifest.lengths.items()}
    for name, check in stored.checks.items():
        check.touch(0, sizes[name])
    return sum(sizes.values())


def _read_manifest(folder: Path) -> tuple[Manifest, Array]:
    text = read_sealed(folder / "manifest.json")
    if text is None:
        raise DamagedSegmentError(folder, "manifest.json does not agree with its own checksum")
    body = json.loads(text)
    expected = body.pop("checksums")
    manifest = Manifest(**body)
    if manifest.format != FORMAT:
        raise DamagedSegmentError(folder, f"format {manifest.format}, not {FORMAT}")
    written = (folder / "checksums.npy").read_bytes()
    if blake3(written).hexdigest() != expected:
        raise DamagedSegmentError(folder, "checksums.npy does not agree with the manifest")
    return manifest, np.load(io.BytesIO(written), allow_pickle=False)


def write_sealed(path: Path, text: str) -> None:
    """Write a text with its checksum in front, and flush it."""
    with path.open("w", encoding="ascii") as file:
        file.write(f"{blake3(text.encode()).hexdigest()}\n{text}")
        _flush(file)


def read_sealed(path: Path) -> str | None:
    """Return the text of a file written by ``write_sealed``; None if the checksum does not match."""
    seal, _, text = path.read_bytes().partition(b"\n")
    return text.decode() if seal == blake3(text).hexdigest().encode() else None


def _header(name: str, length: int) -> bytes:
    """Return the header of an array's file. numpy pads it, so that its size stays the same as the array grows."""
    dtype = np.lib.format.dtype_to_descr(np.dtype(DTYPES[kind_of(name)]))
    written = io.BytesIO()
    np.lib.format.write_array_header_1_0(written, {"descr": dtype, "fortran_order": False, "shape": (length,)})
    return written.getvalue()


def _map(folder: Path, name: str, length: int) -> Array:
    dtype = np.dtype(DTYPES[kind_of(name)])
    path = folder / f"{name}.npy"
    if not length and not path.exists():
        return np.empty(0, dtype)
    # Every byte of the header is known, so compare it; this code never parses a header that another program wrote.
    header = _header(name, length)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if file.read(len(header)) != header or size != len(header) + length * dtype.itemsize:
            raise DamagedSegmentError(folder, f"{name}.npy is not the file of {length} {dtype}")
        if not length:
            return np.empty(0, dtype)
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(mapped, dtype, length, len(header))


class _BlockCheck:
    """The checksums of one array, and the blocks that passed the check."""

    def __init__(self, folder: Path, name: str, array: Array, sums: Array) -> None:
        self._folder, self._name = folder, name
        self._bytes: npt.NDArray[np.uint8] = array.view(np.uint8)
        self._sums = sums
        self.good = bytearray(len(sums))

    def touch(self, start: int, end: int) -> None:
        """Check the blocks of the bytes from ``start`` to ``end`` that were not checked before."""
        first, after = start // BLOCK_BYTES, -(-end // BLOCK_BYTES)
        # Nearly every call reads bytes of one block that has passed the check.
        if after - first == 1 and self.good[first]:
            return
        for block in range(first, after):
            if not self.good[block]:
                content = self._bytes[block * BLOCK_BYTES : (block + 1) * BLOCK_BYTES]
                if _sum(content.data) != self._sums[block].tobytes():
                    raise DamagedSegmentError(self._folder, f"{self._name}.npy: block {block} is damaged")
                self.good[block] = 1


def _sum(block: bytes | memoryview) -> bytes:
    return blake3(block).digest(CHECK_BYTES)


def _block_sums(file: BinaryIO, start: int) -> Iterator[bytes]:
    file.seek(start)
    while block := file.read(BLOCK_BYTES):
        yield _sum(block)


def _flush(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Flush the names in a folder, so that a rename survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
