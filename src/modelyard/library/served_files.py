"""Files that stay where they are, handed out: which still are what was hashed, and what becomes of the other models.

A file is known by its looks: size, time of change and inode. One that looks different is not what was checked, and is
not handed out; whoever adds its folder again looks at it anew.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from modelyard.registry import models
from modelyard.store import Store, files
from modelyard.store.files import FileRecord, FileState


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What tells that a file is still the one that was hashed."""

    size_bytes: int
    mtime_ns: int
    inode: int

    def are_of(self, descriptor: int) -> bool:
        """Whether an open file looks so."""
        status = os.fstat(descriptor)
        return (status.st_size, status.st_mtime_ns, status.st_ino) == (self.size_bytes, self.mtime_ns, self.inode)


def find(store: Store, sha256: str) -> tuple[Path, Fingerprint] | None:
    """Return a sound file with these bytes, and its looks, to be compared once it is open; None where there is none."""
    with store.reading() as connection:
        known = [file for file in files.with_sha256(connection, [sha256]) if is_sound(file)]
    for file in known:
        if files.is_as_recorded(file):
            return Path(os.fsdecode(file.path)), Fingerprint(file.size_bytes, file.mtime_ns, file.inode)
    return None


def is_sound(file: FileRecord) -> bool:
    """Whether a file was there, hashed, and neither broken nor dangerous when it was last looked at."""
    return file.state is FileState.PRESENT and not file.hashes_pending


def mark_missing(store: Store, sha256: str) -> None:
    """Note files with these bytes that changed or are gone, and have models without any other be unavailable.

    A file whose whole folder is not there may be on another machine, or on a disk that is away: nothing is noted of it.
    """
    with store.reading() as connection:
        if not _lost(files.with_sha256(connection, [sha256])):
            return
    with store.transaction() as writing:
        known = files.with_sha256(writing.connection, [sha256])
        lost = _lost(known)
        files.put(writing.connection, [(file, None) for file in lost.values()])
        there = {file.model_id for file in known if is_sound(file) and file.path not in lost}
        lost_ids = {file.model_id for file in lost.values() if file.model_id is not None}
        models.mark_unavailable(writing, lost_ids - there)


def _lost(known: list[FileRecord]) -> dict[bytes, FileRecord]:
    """Return, by path, what is to be noted of the sound files that are not what they were."""
    lost = {}
    for file in known:
        if is_sound(file) and not files.is_as_recorded(file) and os.path.isdir(os.path.dirname(file.path)):
            state = FileState.CHANGED if os.path.lexists(file.path) else FileState.MISSING
            lost[file.path] = replace(file, state=state)
    return lost
