"""The indexer: builds the segments on disk from the store, appends new revisions, and merges small segments.

The indexer answers no queries. Without it answers are still right, but a server takes longer to start. It runs as a
separate process beside the server, at the lowest priority, and inside commands that change many models.
"""

import gc
import heapq
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

import numpy as np

from modelyard import errors
from modelyard.domain import Model
from modelyard.index import Index
from modelyard.index.builder import Row, write_rows
from modelyard.index.directory import SegmentDirectory
from modelyard.index.reader import MERGE_GROWTH, Render
from modelyard.index.rows import living_rows, row_of
from modelyard.index.segment_file import DamagedSegmentError, SegmentWriter
from modelyard.store import Store

# Up to this many changed models are sorted in memory (about 3 KB each); for more, the indexer rebuilds, which streams.
APPEND_MODELS_MAX = 100_000
# The indexer appends a segment when there are this many new models, or when the last append is this old.
APPEND_MODELS_MIN = 512
APPEND_SECONDS = 5.0
_GC_THRESHOLD = 200_000

log = logging.getLogger(__name__)


class Indexer:
    """The writer of one home's segments."""

    def __init__(self, store: Store, folder: SegmentDirectory, render: Render, summarise: Render) -> None:
        self._store = store
        self.directory = folder
        self._render, self._summarise = render, summarise
        self._last_append = time.monotonic()
        self._merged: tuple[str, ...] | None = None

    def rebuild(self, *, pool: Executor | None = None, on_rows: Callable[[int], object] = int) -> None:
        """Rebuild all segments from the store, and make them current.

        Cost: about 145 s a million models on a loaded core (2026-11). Writers and readers go on
        meanwhile. The largest tier bounds the memory. ``on_rows`` receives numbers of rows.
        """
        with self._store.snapshot() as snapshot:
            revision = snapshot.revision
            models = snapshot.models(in_order=True)
            written = self._write(map(self._row, models), 0, revision, pool=pool, on_rows=on_rows)
        with self.directory.publishing():
            name = written.place()
            # Another process may have published a newer revision meanwhile; the new list must not fall behind it.
            names, revision = self._with_newer((name,), revision)
            self._publish(names, revision)
            self.directory.remove_unreferenced()

    def append(self, on_rows: Callable[[int], object] = int) -> bool:
        """Write the changes since the current list as one more segment; return whether there were any.

        Rebuild if there is no list, or if so many models changed that a rebuild costs no more.
        """
        current = self.directory.current()
        if current is None or self._store.changed_count(current.revision) > APPEND_MODELS_MAX:
            self.rebuild(on_rows=on_rows)
            return True
        with self.directory.publishing():
            current = self.directory.current()
            if current is None:
                return True  # another process withdrew the list meanwhile; the next call rebuilds
            names, revision = self._with_newer(current.names, current.revision)
            if revision == current.revision:
                return False
            self._publish(names, revision)
        return True

    def merge(self) -> bool:
        """Join the newest segments that are too small to stand alone; return whether any were."""
        segments = self.directory.open()
        if segments is None:
            return False
        current, stored = segments
        index = Index(self._render)
        index.open_segments(stored, current.revision)
        parts = index.segments
        first = _first_to_merge([part.segment.count + len(part.removed) for part in parts])
        if first is None:
            return False
        merged = parts[first:]
        # Without an older segment, removals hide nothing.
        removed = np.concatenate([part.removed for part in merged]) if first else np.empty(0, np.int64)
        rows = heapq.merge(*map(living_rows, merged), key=lambda row: (-row.rank, -row.id))
        after = stored[first].manifest.after
        written = self._write(rows, after, merged[-1].revision, removed=removed)
        with self.directory.publishing():
            now = self.directory.current()
            if now is None or now.names[: len(current.names)] != current.names:
                written.abandon()  # another process rebuilt meanwhile
                return False
            names = (*current.names[:first], written.place(), *now.names[len(current.names) :])
            self._publish(names, now.revision)
            self.directory.remove_unreferenced()
        return True

    def compact_now(self, on_rows: Callable[[int], object] = int) -> None:
        """Append and merge until the segments are up to date, unless another process is merging."""
        with self.directory.merging() as is_ours:
            while is_ours:
                try:
                    self.append(on_rows)
                    while self.merge():
                        pass
                    return
                except DamagedSegmentError as damage:
                    self._withdraw(damage)

    def is_behind(self) -> bool:
        """Whether there are changes to append or segments to merge. Costs reading a short file and a shared number."""
        current = self.directory.current()
        return current is None or current.names != self._merged or self._is_append_due()

    def _is_append_due(self) -> bool:
        current = self.directory.current()
        if current is None:
            return True
        if current.revision >= self._store.revision_hint():
            return False
        is_old = time.monotonic() - self._last_append > APPEND_SECONDS
        return is_old or self._store.changed_count(current.revision) >= APPEND_MODELS_MIN

    def update(self, on_rows: Callable[[int], object] = int) -> None:
        """Append new changes if there are many or the last append is old, and merge, unless another process merges."""
        with self.directory.merging() as is_ours:
            if not is_ours:
                return
            try:
                if self._is_append_due():
                    self.append(on_rows)
                    self._last_append = time.monotonic()
                while self.merge():
                    on_rows(0)
                current = self.directory.current()
                self._merged = current.names if current else None
            except DamagedSegmentError as damage:
                self._withdraw(damage)

    def _withdraw(self, damage: DamagedSegmentError) -> None:
        log.error("segment damaged, building anew: %s", damage)
        self.directory.invalidate(damage.folder)

    def _row(self, model: Model) -> Row:
        return row_of(model, self._render(model), self._summarise(model))

    def _with_newer(self, names: tuple[str, ...], revision: int) -> tuple[tuple[str, ...], int]:
        """Return the list with one more segment for the store's changes after ``revision``."""
        changes = self._store.changes(revision)
        if changes.revision == revision:
            return names, revision
        rows = sorted(map(self._row, changes.models), key=lambda row: (-row.rank, -row.id))
        removed = np.fromiter(changes.removed, np.int64, len(changes.removed))
        written = self._write(rows, revision, changes.revision, removed=removed)
        return (*names, written.place()), changes.revision

    def _write(
        self,
        rows: Iterable[Row],
        after: int,
        revision: int,
        *,
        removed: "np.typing.NDArray[np.int64] | None" = None,
        pool: Executor | None = None,
        on_rows: Callable[[int], object] = int,
    ) -> SegmentWriter:
        """Write a segment. The caller renames and publishes it under one lock, or another process could remove it."""
        with self._disk(), _rare_garbage_collection():
            writer = SegmentWriter(self.directory.new_path(after, revision))
            try:
                count, tiers = write_rows(writer, iter(rows), pool=pool, on_rows=on_rows)
                writer.append("removed", removed if removed is not None else b"")
                writer.finish(after=after, revision=revision, count=count, tiers=tiers)
            except BaseException:
                writer.abandon()
                raise
            return writer

    def _publish(self, names: tuple[str, ...], revision: int) -> None:
        with self._disk():
            self.directory.publish(names, revision)

    @contextmanager
    def _disk(self) -> Iterator[None]:
        """Raise Unavailable with one line of text for errors of the disk."""
        try:
            yield
        except OSError as problem:
            where = self.directory.path
            raise errors.Unavailable(f"the index in {where} cannot be written: {problem.strerror}") from problem


@contextmanager
def _rare_garbage_collection() -> Iterator[None]:
    """Make garbage collection rare while rows are made: they have no cycles, and there are 65,536 of them at a time.

    With Python's own threshold of 700, the search for cycles takes a sixth of the time of building (2026-11).
    """
    thresholds = gc.get_threshold()
    gc.set_threshold(_GC_THRESHOLD, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


def _first_to_merge(weights: list[int]) -> int | None:
    """Return where the run of segments starts that should become one: the oldest that what follows it outweighs a
    ``MERGE_GROWTH``-th of. None if every one stands alone."""
    newer = 0
    first = None
    for at in range(len(weights) - 1, -1, -1):
        if newer and weights[at] < MERGE_GROWTH * newer:
            first = at
        newer += weights[at]
    return first
