"""Whether a file is still the same one: its size, times and inode, compared with those noted earlier.

A program can change bytes and put the modification time back. It cannot set the change time (ctime), which the system
sets at every write. The change time also moves when a file is renamed, linked, or given other permissions: its bytes
have to be read again then, and if they are the same, it is the same file.

The device is not part of it, because its number may change when the machine restarts.
"""

import os
from typing import NamedTuple, Self


class Fingerprint(NamedTuple):
    """The state of a file when it was read. Two equal fingerprints are of the same file, not written in between.

    ``ctime_ns`` is None in records of versions before 0.1 that did not note it.
    """

    size_bytes: int
    mtime_ns: int
    inode: int
    ctime_ns: int | None = None

    @classmethod
    def of(cls, file: os.stat_result | int | str | bytes | os.PathLike[str]) -> Self:
        """Return the fingerprint of a file, given its stat, its open descriptor or its path. Raises OSError."""
        status = file if isinstance(file, os.stat_result) else os.stat(file)  # noqa: PTH116  # it may be bytes or a number
        return cls(status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns)

    @classmethod
    def find(cls, path: str | bytes | os.PathLike[str]) -> Self | None:
        """Return the fingerprint of the file at a path, None where no file can be reached."""
        try:
            return cls.of(path)
        except OSError:
            return None

    @property
    def name(self) -> tuple[int, int, int]:
        """Size, modification time and inode: a renamed file has the same ones as before."""
        return self[:3]

    def is_as_recorded(self, recorded: Self) -> bool:
        """Whether a file with this fingerprint is the recorded one, not written since. A missing time is ignored.

        Hashing every file again because a record has no change time would take days; the next scan notes the time.
        """
        return self == (recorded if recorded.ctime_ns is not None else recorded._replace(ctime_ns=self.ctime_ns))

    def has_version(self, size_bytes: int, mtime_ns: int) -> bool:
        """Whether size and time are these. For records without an inode: which files were searched for covers."""
        return (self.size_bytes, self.mtime_ns) == (size_bytes, mtime_ns)
