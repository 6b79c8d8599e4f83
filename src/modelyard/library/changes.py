"""Compares the files in the scanned folders with the records of earlier scans, and plans what to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from modelyard.library.walk import FoundFile, ScanResult
from modelyard.store.files import FileRecord, FileState


@dataclass(frozen=True, slots=True)
class Plan:
    """The changes since the last scan.

    changes            files to probe: new, changed, unreadable at the last scan, or without the hashes that are needed
    sidecar_changes    unchanged files with other sidecars than before, or without a recorded change time
    renames            files that are a record whose path is gone; some are among the changes as well
    returns            files that were missing at the last scan, and are back unchanged
    removals           records of files that are gone
    takeovers          unchanged files that another node found last
    """

    changes: Sequence[FoundFile] = ()
    sidecar_changes: Sequence[FoundFile] = ()
    renames: Sequence[tuple[FoundFile, FileRecord]] = ()
    returns: Sequence[FileRecord] = ()
    removals: Sequence[FileRecord] = ()
    takeovers: Sequence[FileRecord] = ()
    unchanged_count: int = 0


def compare(scan: ScanResult, records: Mapping[bytes, FileRecord], *, with_hashes: bool, node: str = "") -> Plan:
    """Return the plan, by paths and fingerprints alone: no file is opened.

    A file that is not in the folders of ``node`` is gone only if this node found it last: another node may have a
    folder of the same name.
    """
    changes, sidecar_changes, returns, takeovers, unchanged_count = [], [], [], [], 0
    new_files: list[FoundFile] = []
    for file in scan.files:
        record = records.get(file.path)
        if record is None:
            new_files.append(file)
        elif _needs_probe(file, record, with_hashes=with_hashes):
            changes.append(file)
        elif record.state is FileState.MISSING:
            returns.append(record)
        elif file.sidecar_digest != record.sidecars or record.fingerprint.ctime_ns is None:
            sidecar_changes.append(file)
        else:
            unchanged_count += 1
            if record.node != node:
                takeovers.append(record)
    paths = {file.path for file in scan.files}
    removals = {
        path: record
        for path, record in records.items()
        if path not in paths and record.is_there and record.is_of(node) and not _is_unreadable(path, scan.unreadable)
    }
    renames = _pop_renames(new_files, removals)
    new_paths = {file.path for file, _ in renames}
    changes += [file for file in new_files if file.path not in new_paths]
    # Some file systems change the time when they rename a file. Only its bytes can tell that it was not written too.
    # A rename says nothing about hashes and sidecars either.
    for file, record in renames:
        if _needs_probe(file, record, with_hashes=with_hashes):
            changes.append(file)
        elif file.sidecar_digest != record.sidecars:
            sidecar_changes.append(file)
    return Plan(changes, sidecar_changes, renames, returns, list(removals.values()), takeovers, unchanged_count)


def _needs_probe(file: FoundFile, record: FileRecord, *, with_hashes: bool) -> bool:
    if not file.fingerprint.is_as_recorded(record.fingerprint):
        return True
    # The last probe failed: the file changed while it was read, or was unreadable. Permissions are in no fingerprint.
    if record.state is FileState.CHANGED or not record.verdict:
        return True
    return with_hashes and record.hashes_pending


def _is_unreadable(path: bytes, folders: tuple[bytes, ...]) -> bool:
    """Whether a path lies in a folder that could not be listed."""
    return any(path.startswith(folder.rstrip(b"/") + b"/") for folder in folders)


def _pop_renames(new_files: list[FoundFile], removals: dict[bytes, FileRecord]) -> list[tuple[FoundFile, FileRecord]]:
    """Return the new files that are removed files under another name, and take these out of the removals."""
    by_name = {
        record.fingerprint.name: record
        for record in removals.values()
        if record.verdict and record.state is not FileState.CHANGED
    }
    renames = []
    for file in new_files:
        record = by_name.pop(file.fingerprint.name, None)
        if record is not None and record.device == file.device:
            del removals[record.path]
            renames.append((file, replace(record, path=file.path)))
    return renames
