"""The verb: places → what became of everything in them."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from modelyard import errors
from modelyard.domain import Skipped
from modelyard.library.changes import Plan, compare
from modelyard.library.folder_hints import FolderHint, hint_of
from modelyard.library.matching import merge_matching_models
from modelyard.library.probe import ProbeResult, look_at_all, probe
from modelyard.library.reconcile import FileOutcome, Ownership, Reconciler
from modelyard.library.walk import FoundFile, ScanResult, scan
from modelyard.paths import display_path, is_inside
from modelyard.store import Store, files
from modelyard.store.files import Duplicates

# One transaction's worth; with hashing, which is slow, sooner: what was done is not done again after an interruption.
_BATCH_FILES = 2_000
_BATCH_SECONDS = 2.0


class ScanProgress(Protocol):
    """Who is told how far it is."""

    def planned(self, files: int, bytes_to_hash: int) -> None:
        """So many files are to be looked at, and so many bytes of them to be hashed."""

    def hashed(self, count: int) -> None:
        """So many more bytes are hashed."""

    def looked(self, settled: FileOutcome) -> None:
        """One more file is done and on record."""

    def skipped(self, skipped: Skipped) -> None:
        """Something was passed by."""

    def is_over(self) -> bool:
        """Whether nobody waits any more: asked between blocks of bytes and between files."""


@dataclass(slots=True)
class _Counts:
    results: Counter[str] = field(default_factory=Counter)
    touched: set[bytes] = field(default_factory=set)
    skipped: list[Skipped] = field(default_factory=list)
    merged: int = 0


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What became of the places. ``results`` counts files; ``pending`` are listed and not hashed yet."""

    found: int
    unchanged: int
    results: Mapping[str, int]
    merged: int
    pending: int
    skipped: tuple[Skipped, ...]
    duplicates: tuple[Duplicates, ...]

    def to_json(self) -> dict[str, object]:
        """Return the object that ``modelyard add --json`` prints."""
        return {
            "found": self.found,
            "unchanged": self.unchanged,
            **{result: self.results.get(result, 0) for result in RESULTS},
            "merged": self.merged,
            "pending": self.pending,
            "skipped": [{"path": each.where, "reason": each.reason, "detail": each.detail} for each in self.skipped],
            "duplicates": [duplicates_json(group) for group in self.duplicates],
        }


RESULTS = ("added", "matched", "updated", "moved", "gone", "broken", "later", "other")


def duplicates_json(group: Duplicates) -> dict[str, object]:
    """Return one group of duplicates as JSON tells it."""
    return {
        "same": "bytes" if group.is_same_bytes else "tensors",
        "hash": group.hash,
        "files": [
            {"path": display_path(file.path), "model": file.model_id, "size_bytes": file.size_bytes}
            for file in group.files
        ],
    }


class Scanner:
    """Takes files in where they lie, for one store. ``told`` is told of the progress, by the thread that works."""

    def __init__(
        self,
        store: Store,
        owner: Ownership,
        told: ScanProgress,
        *,
        with_hashes: bool = True,
        dry_run: bool = False,
        processes: int | None = None,
    ) -> None:
        self._store = store
        self._owner = owner
        self._told = told
        self._with_hashes = with_hashes and not dry_run
        self._dry_run = dry_run
        self._catalogue = store.identity
        self._processes = processes or len(os.sched_getaffinity(0))

    def run(self, paths: Iterable[bytes]) -> ScanReport:
        """Update the catalogue to the files at these paths. Raises Interrupted if it is asked to stop."""
        scanned = scan(paths, trained=self._owner.source.value == "training")
        counts = _Counts()
        self._skip(scanned.skipped, counts)
        with self._store.reading() as connection:
            known = files.below(connection, scanned.roots)
        plan = compare(scanned, known, with_hashes=self._with_hashes)
        self._settle_changes(plan, counts)
        self._look_at(plan, scanned, counts)
        if not self._dry_run:
            counts.merged += merge_matching_models(self._store)
        return self._report(scanned, plan, counts)

    def _skip(self, some: Iterable[Skipped], counts: _Counts) -> None:
        for skipped in some:
            counts.skipped.append(skipped)
            self._told.skipped(skipped)

    def _settle_changes(self, plan: Plan, counts: _Counts) -> None:
        """What needs no look: gone, back, renamed."""
        for start in range(0, max(len(plan.gone), len(plan.back), len(plan.renamed)), _BATCH_FILES):
            part = slice(start, start + _BATCH_FILES)

            def settle(settling: Reconciler, part: slice = part) -> list[FileOutcome]:
                # Renamed first: a name that another file had is free then.
                return [
                    *settling.take_renamed(plan.renamed[part]),
                    *settling.take_gone(plan.gone[part]),
                    *settling.take_back(plan.back[part]),
                ]

            self._write(settle, counts)

    def _look_at(self, plan: Plan, scanned: ScanResult, counts: _Counts) -> None:
        whole = sum(found.size_bytes for found in plan.look) if self._with_hashes else 0
        self._told.planned(len(plan.look) + len(plan.beside), whole)
        for batch in _batches(self._looks(plan), self._told.is_over):
            self._skip((skipped for each in batch for skipped in each.told.skipped), counts)
            hints = {each.found.path: said for each in batch if (said := _hint_of(each.found, scanned))}

            def settle(
                settling: Reconciler, batch: Sequence[ProbeResult] = batch, hints: Mapping[bytes, FolderHint] = hints
            ) -> list[FileOutcome]:
                return settling.take(batch, self._owner, hints)

            self._write(settle, counts)

    def _looks(self, plan: Plan) -> Iterator[ProbeResult]:
        # The side-cars of files that are known cost no hash.
        yield from look_at_all(plan.beside, with_hashes=False, processes=self._processes, catalogue=self._catalogue)
        if self._with_hashes:
            # Hashing has threads of its own, one a hash, and a disk: files go one after the other.
            for found in plan.look:
                yield probe(found, with_hashes=True, catalogue=self._catalogue, on_bytes=self._on_bytes)
        else:
            yield from look_at_all(plan.look, with_hashes=False, processes=self._processes, catalogue=self._catalogue)

    def _on_bytes(self, count: int) -> None:
        self._told.hashed(count)
        if self._told.is_over():
            raise errors.Interrupted

    def _write(self, settle: Callable[[Reconciler], list[FileOutcome]], counts: _Counts) -> None:
        settled: list[FileOutcome] = []
        with self._store.transaction() as writing:
            settling = Reconciler(writing)
            settled = settle(settling)
            if self._dry_run:
                raise errors.Rollback
            settling.finish()
        for each in settled:
            counts.results[each.result] += 1
            counts.touched.add(each.path)
            self._told.looked(each)

    def _report(self, scanned: ScanResult, plan: Plan, counts: _Counts) -> ScanReport:
        with self._store.reading() as connection:
            groups = files.duplicates(connection, self._owner.team) if counts.touched else []
            pending = files.pending_count(connection, scanned.roots)
        return ScanReport(
            found=len(scanned.found),
            unchanged=plan.unchanged,
            results=dict(counts.results),
            merged=counts.merged,
            pending=pending,
            skipped=tuple(counts.skipped),
            duplicates=tuple(group for group in groups if any(file.path in counts.touched for file in group.files)),
        )


def _batches(looks: Iterator[ProbeResult], is_over: Callable[[], bool]) -> Iterator[list[ProbeResult]]:
    """Yield looks by the batch: a full one, or what two seconds brought; broken off, what was seen until then."""
    batch: list[ProbeResult] = []
    began = time.monotonic()
    try:
        for each in looks:
            batch.append(each)
            if is_over():
                raise errors.Interrupted
            if len(batch) >= _BATCH_FILES or time.monotonic() - began >= _BATCH_SECONDS:
                yield batch
                batch = []
                began = time.monotonic()
    except errors.Interrupted:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _hint_of(found: FoundFile, scanned: ScanResult) -> FolderHint | None:
    root = next((root for root in scanned.roots if is_inside(found.path, root)), b"")
    return hint_of(found.path, root, scanned.kinds)
