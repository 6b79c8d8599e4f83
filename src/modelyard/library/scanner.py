"""Scans folders: from their paths to a report of the result for each file."""

import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from modelyard import errors
from modelyard.domain import Skipped
from modelyard.library.changes import Plan, compare
from modelyard.library.folder_hints import FolderHint, hint_of
from modelyard.library.matches import merge_matching_models
from modelyard.library.probe import ProbeResult, probe, probe_all
from modelyard.library.reconcile import FileOutcome, Ownership, Reconciler
from modelyard.library.walk import MISSING_FOLDER, NOT_UNDERSTOOD, FoundFile, ScanResult, scan
from modelyard.paths import display_path, is_inside
from modelyard.store import Store, files
from modelyard.store.files import Duplicates, FileRecord, FileState

# A batch is one transaction. Hashing is slow, so a batch also ends after some seconds: less is lost by an interruption.
_BATCH_FILES = 2_000
_BATCH_SECONDS = 2.0


class ScanProgress(Protocol):
    """The caller's view of a running scan."""

    def planned(self, files: int, bytes_to_hash: int) -> None:
        """The scan will probe this many files and hash this many bytes."""

    def hashed(self, count: int) -> None:
        """The scan hashed this many more bytes."""

    def looked(self, outcome: FileOutcome) -> None:
        """One more file is done and stored."""

    def skipped(self, skipped: Skipped) -> None:
        """The scan skipped a file or a folder."""

    def is_over(self) -> bool:
        """Whether the scan shall stop; called after each block of bytes and each file."""


@dataclass(slots=True)
class _Counts:
    results: Counter[str] = field(default_factory=Counter)
    paths: set[bytes] = field(default_factory=set)
    skipped: list[Skipped] = field(default_factory=list)
    merged: int = 0
    roots: tuple[bytes, ...] = ()
    # Broken or dangerous files, and files that the caller named although they are no models, with the reasons.
    refused: dict[bytes, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScanReport:
    """The result of a scan. ``results`` counts files by result; ``pending`` files are not hashed yet.

    ``refused`` are broken and dangerous files, in this scan or since an earlier one, and paths of the caller that are
    no models, with the reasons.
    """

    found: int
    unchanged: int
    results: Mapping[str, int]
    merged: int
    pending: int
    skipped: tuple[Skipped, ...]
    duplicates: tuple[Duplicates, ...]
    refused: Mapping[bytes, str] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether nothing was refused, and each folder of an extra_model_paths.yaml was scanned."""
        return not self.refused and not any(skip.reason in (MISSING_FOLDER, NOT_UNDERSTOOD) for skip in self.skipped)

    def to_json(self) -> dict[str, object]:
        """Return the object that ``modelyard add --json`` prints."""
        return {
            "found": self.found,
            "unchanged": self.unchanged,
            **{result: self.results.get(result, 0) for result in RESULTS},
            "merged": self.merged,
            "pending": self.pending,
            "skipped": [{"path": skip.where, "reason": skip.reason, "detail": skip.detail} for skip in self.skipped],
            "refused": [{"path": display_path(path), "reason": reason} for path, reason in self.refused.items()],
            "duplicates": [duplicates_json(group) for group in self.duplicates],
        }


RESULTS = ("added", "part", "matched", "updated", "moved", "gone", "broken", "later", "other")


def duplicates_json(group: Duplicates) -> dict[str, object]:
    """Return one group of duplicates as JSON."""
    return {
        "same": "bytes" if group.is_same_bytes else "tensors",
        "hash": group.hash,
        "files": [
            {"path": display_path(file.path), "model": file.model_id, "size_bytes": file.size_bytes}
            for file in group.files
        ],
    }


class Scanner:
    """Scans folders for one store. It reports to ``progress`` in the thread that scans."""

    def __init__(
        self,
        store: Store,
        owner: Ownership,
        progress: ScanProgress,
        *,
        with_hashes: bool = True,
        dry_run: bool = False,
        processes: int | None = None,
    ) -> None:
        self._store = store
        self._owner = owner
        self._progress = progress
        self._with_hashes = with_hashes and not dry_run
        self._dry_run = dry_run
        self._catalogue = store.identity
        self._processes = processes or len(os.sched_getaffinity(0))

    def run(self, paths: Iterable[bytes]) -> ScanReport:
        """Make the catalogue match the files in the paths. Raises Interrupted if ``progress`` stops the scan."""
        result = scan(paths, trained=self._owner.source.value == "training")
        counts = _Counts(roots=result.roots)
        self._report_skips(result.skipped, counts)
        with self._store.reading() as connection:
            records = files.below(connection, result.roots)
        plan = compare(result, records, with_hashes=self._with_hashes, node=self._store.node)
        paths = {file.path for file in result.files}
        counts.refused = {
            path: record.reason
            for path, record in records.items()
            if path in paths and record.reason and _is_refused(record, result.roots)
        }
        self._apply_moves(plan, counts)
        self._probe_files(plan, result, counts)
        if not self._dry_run:
            counts.merged += merge_matching_models(self._store)
        return self._make_report(result, plan, counts)

    def _report_skips(self, skips: Iterable[Skipped], counts: _Counts) -> None:
        for skip in skips:
            counts.skipped.append(skip)
            self._progress.skipped(skip)

    def _apply_moves(self, plan: Plan, counts: _Counts) -> None:
        """Store the removals, returns and renames, which need no probe."""
        for start in range(0, max(len(plan.removals), len(plan.returns), len(plan.renames)), _BATCH_FILES):
            self._write(partial(_take_moves, plan=plan, batch=slice(start, start + _BATCH_FILES)), counts)
        if plan.takeovers and not self._dry_run:
            with self._store.transaction() as transaction:
                ids = [record.id for record in plan.takeovers if record.id is not None]
                files.set_node(transaction.connection, ids, self._store.node)

    def _probe_files(self, plan: Plan, result: ScanResult, counts: _Counts) -> None:
        bytes_to_hash = sum(file.fingerprint.size_bytes for file in plan.changes) if self._with_hashes else 0
        self._progress.planned(len(plan.changes) + len(plan.sidecar_changes), bytes_to_hash)
        for batch in _batches(self._iter_probes(plan), self._progress.is_over):
            self._report_skips((skip for item in batch for skip in item.sidecars.skipped), counts)
            hints = {item.file.path: hint for item in batch if (hint := _find_hint(item.file, result))}
            self._write(partial(Reconciler.take, probes=batch, owner=self._owner, hints=hints), counts)

    def _iter_probes(self, plan: Plan) -> Iterator[ProbeResult]:
        probe_headers = partial(probe_all, with_hashes=False, processes=self._processes, catalogue=self._catalogue)
        # A file with other sidecars keeps its hashes.
        yield from probe_headers(plan.sidecar_changes)
        if self._with_hashes:
            # One file after the other: hashing has a thread for each hash, and shares one disk.
            for file in plan.changes:
                yield probe(file, with_hashes=True, catalogue=self._catalogue, on_bytes=self._on_bytes)
        else:
            yield from probe_headers(plan.changes)

    def _on_bytes(self, count: int) -> None:
        self._progress.hashed(count)
        if self._progress.is_over():
            raise errors.Interrupted

    def _write(self, reconcile: Callable[[Reconciler], list[FileOutcome]], counts: _Counts) -> None:
        outcomes: list[FileOutcome] = []
        with self._store.transaction() as transaction:
            reconciler = Reconciler(transaction, self._store.node)
            outcomes = reconcile(reconciler)
            if self._dry_run:
                raise errors.Rollback
            reconciler.finish()
        for outcome in outcomes:
            # A moved file that was read again and is the same counts once.
            is_counted = outcome.result == "updated" and outcome.path in counts.paths
            if not is_counted:
                counts.results[outcome.result] += 1
            counts.paths.add(outcome.path)
            counts.refused.pop(outcome.path, None)
            if outcome.result == "broken" or (outcome.result == "other" and outcome.path in counts.roots):
                counts.refused[outcome.path] = outcome.reason
            self._progress.looked(outcome)

    def _make_report(self, result: ScanResult, plan: Plan, counts: _Counts) -> ScanReport:
        with self._store.reading() as connection:
            groups = files.duplicates(connection, self._owner.team) if counts.paths else []
            pending = files.pending_count(connection, result.roots)
        return ScanReport(
            found=len(result.files),
            unchanged=plan.unchanged_count,
            results=dict(counts.results),
            merged=counts.merged,
            pending=pending,
            skipped=tuple(counts.skipped),
            duplicates=tuple(group for group in groups if any(file.path in counts.paths for file in group.files)),
            refused=counts.refused,
        )


def _is_refused(record: FileRecord, roots: Collection[bytes]) -> bool:
    """Whether a file is broken, or is no model and was named by the caller."""
    is_no_model = record.model_id is None and bool(record.verdict)
    return record.state is FileState.BROKEN and (not is_no_model or record.path in roots)


def _take_moves(reconciler: Reconciler, plan: Plan, batch: slice) -> list[FileOutcome]:
    # Renames first: they free the names that other files had.
    return [
        *reconciler.take_renames(plan.renames[batch]),
        *reconciler.take_removals(plan.removals[batch]),
        *reconciler.take_returns(plan.returns[batch]),
    ]


def _batches(probes: Iterator[ProbeResult], is_over: Callable[[], bool]) -> Iterator[list[ProbeResult]]:
    """Yield full batches, or the probes of two seconds; after an interruption, first the probes made until then."""
    batch: list[ProbeResult] = []
    start = time.monotonic()
    try:
        for probe_result in probes:
            batch.append(probe_result)
            if is_over():
                raise errors.Interrupted
            if len(batch) >= _BATCH_FILES or time.monotonic() - start >= _BATCH_SECONDS:
                yield batch
                batch = []
                start = time.monotonic()
    except errors.Interrupted:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _find_hint(file: FoundFile, result: ScanResult) -> FolderHint | None:
    root = next((root for root in result.roots if is_inside(file.path, root)), b"")
    return hint_of(file.path, root, result.kinds)
