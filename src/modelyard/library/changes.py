"""What lies in the given places, compared with what is known: what has to be done, and what is as it was."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from modelyard.library.walk import FoundFile, ScanResult
from modelyard.store.files import FileRecord, FileState


@dataclass(frozen=True, slots=True)
class Plan:
    """What has to be done. Of each file what was found, and what is known of it.

    look        new, changed, unreadable the last time, or still without hashes where they are wanted
    beside      unchanged, but its side-cars are others
    renamed     the same file by inode, size and time, under another name
    back        missing the last time, and here again as it was
    gone        known and not there any more
    """

    look: tuple[FoundFile, ...] = ()
    beside: tuple[FoundFile, ...] = ()
    renamed: tuple[tuple[FoundFile, FileRecord], ...] = ()
    back: tuple[FileRecord, ...] = ()
    gone: tuple[FileRecord, ...] = ()
    unchanged: int = 0


def compare(scanned: ScanResult, known: Mapping[bytes, FileRecord], *, with_hashes: bool) -> Plan:
    """Return what has to be done, by paths, sizes, times and inodes alone."""
    look, beside, back, unchanged = [], [], [], 0
    fresh: list[FoundFile] = []
    for found in scanned.found:
        before = known.get(found.path)
        if before is None:
            fresh.append(found)
        elif _needs_look(found, before, with_hashes=with_hashes):
            look.append(found)
        elif before.state is FileState.MISSING:
            back.append(before)
        elif found.looks != before.sidecars:
            beside.append(found)
        else:
            unchanged += 1
    there = {found.path for found in scanned.found}
    gone = {
        path: before
        for path, before in known.items()
        if path not in there and before.is_there and not _is_unread(path, scanned.unread)
    }
    renamed = _renamed(fresh, gone)
    moved = {found.path for found, _ in renamed}
    look += [found for found in fresh if found.path not in moved]
    return Plan(tuple(look), tuple(beside), tuple(renamed), tuple(back), tuple(gone.values()), unchanged)


def _needs_look(found: FoundFile, before: FileRecord, *, with_hashes: bool) -> bool:
    if (found.size_bytes, found.mtime_ns, found.inode) != (before.size_bytes, before.mtime_ns, before.inode):
        return True
    # It changed while it was read, or could not be read: permissions change without a trace in what is compared.
    if before.state is FileState.CHANGED or not before.verdict:
        return True
    return with_hashes and before.hashes_pending


def _is_unread(path: bytes, unread: tuple[bytes, ...]) -> bool:
    """Whether it is not known what lies there: its folder could not be listed."""
    return any(path.startswith(folder.rstrip(b"/") + b"/") for folder in unread)


def _renamed(fresh: list[FoundFile], gone: dict[bytes, FileRecord]) -> list[tuple[FoundFile, FileRecord]]:
    """Take out of ``gone`` what has only another name now."""
    by_looks = {
        (before.inode, before.size_bytes, before.mtime_ns): before
        for before in gone.values()
        if before.verdict and before.state is not FileState.CHANGED
    }
    renamed = []
    for found in fresh:
        before = by_looks.pop((found.inode, found.size_bytes, found.mtime_ns), None)
        if before is not None and before.device == found.device:
            del gone[before.path]
            renamed.append((found, replace(before, path=found.path, sidecars=found.looks)))
    return renamed
