"""Keeping the segments on disk up with the store: building them, adding what is new, merging what is small.

Nothing here answers questions, and nothing is lost if it never runs: answers are right without it, only slower to
start. It runs as a process of its own beside the server, at the lowest priority, and within commands that change much
at once.
"""

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
from modelyard.index.reader import MERGE_GROWTH, living_rows, row_of
from modelyard.index.segment_file import DamagedSegmentError, SegmentWriter
from modelyard.store import Store

# So many changed models are read whole and sorted in memory (about 3 KB each); more are a rebuild, which streams.
APPEND_MODELS_MAX = 100_000
# The server's own process writes what is new when it is so many models, or so old.
APPEND_MODELS_MIN = 512
APPEND_SECONDS = 5.0

log = logging.getLogger(__name__)


class Indexer:
    """The writer of one home's segments."""

    def __init__(self, store: Store, folder: SegmentDirectory, render: Callable[[Model], bytes]) -> None:
        self._store = store
        self.directory = folder
        self._render = render
        self._last_append = time.monotonic()
        self._merged: tuple[str, ...] | None = None

    def rebuild(self, *, pool: Executor | None = None, on_rows: Callable[[int], object] = int) -> None:
        """Build all segments anew from the store, and make them current. Cost: about 60 s a million models on a core.

        Writers and readers go on meanwhile. Memory is bounded by the largest tier. ``on_rows`` is told of progress.
        """
        with self._store.snapshot() as snapshot:
            revision = snapshot.revision
            models = snapshot.models(in_order=True)
            written = self._write(map(self._row, models), 0, revision, pool=pool, on_rows=on_rows)
        with self.directory.publishing():
            name = written.place()
            # Others may have gone beyond this revision with what the new list leaves out; it must not fall behind them.
            names, revision = self._with_newer((name,), revision)
            self._publish(names, revision)
            self.directory.remove_unreferenced()

    def append(self, on_rows: Callable[[int], object] = int) -> bool:
        """Write what is newer than the current list as one more segment; return whether there was anything.

        Builds anew where there is no list, or where so much is new that it costs no more, and tells ``on_rows`` of it.
        """
        current = self.directory.current()
        if current is None or self._store.changed_count(current.revision) > APPEND_MODELS_MAX:
            self.rebuild(on_rows=on_rows)
            return True
        with self.directory.publishing():
            current = self.directory.current()
            if current is None:
                return True  # withdrawn meanwhile; the next look builds anew
            names, revision = self._with_newer(current.names, current.revision)
            if revision == current.revision:
                return False
            self._publish(names, revision)
        return True

    def merge(self) -> bool:
        """Join the newest segments that are too small to stand alone; return whether any were."""
        opened = self.directory.open()
        if opened is None:
            return False
        current, stored = opened
        index = Index(self._render)
        index.open_segments(stored, current.revision)
        parts = index.segments
        first = _first_to_merge([part.segment.count + len(part.removed) for part in parts])
        if first is None:
            return False
        merged = parts[first:]
        # Without an older segment there is nothing left for a removal to hide.
        removed = np.concatenate([part.removed for part in merged]) if first else np.empty(0, np.int64)
        rows = heapq.merge(*map(living_rows, merged), key=lambda row: (-row.rank, -row.id))
        after = stored[first].manifest.after
        written = self._write(rows, after, merged[-1].revision, removed=removed)
        with self.directory.publishing():
            now = self.directory.current()
            if now is None or now.names[: len(current.names)] != current.names:
                written.abandon()  # built anew meanwhile
                return False
            names = (*current.names[:first], written.place(), *now.names[len(current.names) :])
            self._publish(names, now.revision)
            self.directory.remove_unreferenced()
        return True

    def compact_now(self, on_rows: Callable[[int], object] = int) -> None:
        """Bring the segments fully up to date, merged, unless another process is at it."""
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
        """Whether there is something to write or to merge. Costs the reading of a short file and of a shared number."""
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
        """Write what is newer, if it is much or old enough, and merge, unless another process does."""
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
        return row_of(model, self._render(model))

    def _with_newer(self, names: tuple[str, ...], revision: int) -> tuple[tuple[str, ...], int]:
        """Return the list with one more segment for what the store has beyond ``revision``."""
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
        """Write a segment. It is placed under the lock under which it is listed, or another's sweep could take it."""
        with self._disk():
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
        """Say in one line what the disk refuses: room, or the right to write."""
        try:
            yield
        except OSError as problem:
            where = self.directory.path
            raise errors.Unavailable(f"the index in {where} cannot be written: {problem.strerror}") from problem


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
