"""Invented catalogues of any size straight into segments, without a store, in bounded memory.

Models are invented in the order of their ids and segments want rank order, so rows are first spilt into files by rank,
a hundred thousand or so each, which are then read, sorted and written one after the other.
"""

import marshal
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from benchmarks import synthesis
from modelyard import wire
from modelyard.index import SegmentDirectory
from modelyard.index.builder import Row, write_rows
from modelyard.index.rows import row_of
from modelyard.index.segment_file import SegmentWriter

IDENTITY, RENDERING = "invented", "1"
_SPILL_ROWS = 100_000
_SAMPLE_MODELS = 50_000


@dataclass(frozen=True)
class Built:
    """What building took: seconds of CPU and of the clock, the process's peak memory, the segment's size."""

    models: int
    cpu_seconds: float
    seconds: float
    peak_bytes: int
    segment_bytes: int


def folder_of(home: Path) -> SegmentDirectory:
    """Return the segments of an invented catalogue."""
    return SegmentDirectory(home / "index", IDENTITY, RENDERING)


def spill(count: int, seed: int, folder: Path) -> None:
    """Write the rows of ``count`` models into files by rank; the first file has the greatest ranks."""
    files = -(-count // _SPILL_ROWS)
    ranks = np.sort([model.rank for model in synthesis.models(min(count, _SAMPLE_MODELS), seed)])[::-1]
    bounds = -ranks[[len(ranks) * number // files for number in range(1, files)]]
    with ExitStack() as stack:
        spilt = [stack.enter_context((folder / f"{number:05d}").open("wb", 1 << 20)) for number in range(files)]
        batch: list[Row] = []
        for model in synthesis.models(count, seed):
            batch.append(row_of(model, wire.pack_record(model)))
            if len(batch) == 10_000:
                _spill(batch, bounds, spilt)
        _spill(batch, bounds, spilt)


def _spill(batch: list[Row], bounds: "np.ndarray[tuple[int], np.dtype[np.int64]]", spilt: list[BinaryIO]) -> None:
    places = np.searchsorted(bounds, [-row.rank for row in batch], side="right")
    for row, place in zip(batch, places.tolist(), strict=True):
        marshal.dump(tuple(row), spilt[place])
    batch.clear()


def rows_in_order(folder: Path) -> Iterator[Row]:
    """Yield what was spilt, by rank."""
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            rows: list[Row] = []
            try:
                while True:
                    rows.append(Row(*marshal.load(file)))
            except EOFError:
                rows.sort(key=lambda row: (-row.rank, -row.id))
        path.unlink()
        yield from rows


def build(count: int, seed: int, home: Path) -> Built:
    """Make ``home`` hold the segment of ``count`` models. Peak memory is of the building, not of the inventing, only if
    this runs in a process that did nothing else; see ``scale``."""
    spilt = Path(tempfile.mkdtemp(dir=home))
    try:
        spill(count, seed, spilt)
        return build_spilt(spilt, home)
    finally:
        shutil.rmtree(spilt)


def build_spilt(spilt: Path, home: Path) -> Built:
    """Make ``home`` hold the segment of what was spilt."""
    folder = folder_of(home)
    started, cpu = time.monotonic(), time.process_time()
    writer = SegmentWriter(folder.new_path(0, 1))
    count, tiers = write_rows(writer, rows_in_order(spilt))
    writer.append("removed", b"")
    writer.finish(after=0, revision=1, count=count, tiers=tiers)
    with folder.publishing():
        folder.publish((writer.place(),), 1)
    return Built(
        count,
        time.process_time() - cpu,
        time.monotonic() - started,
        peak_bytes(),
        sum(file.stat().st_size for file in writer.folder.iterdir()),
    )


def peak_bytes() -> int:
    """Return the most memory that this process ever had; pages of mapped files are in it."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
