"""Whether a file is still the same one: its size, modification time and inode, compared with those noted earlier.

The device is not part of it, because its number may change when the machine restarts.
"""

import os
from typing import NamedTuple, Self


class Fingerprint(NamedTuple):
    """The state of a file when it was read. Two equal fingerprints are of the same file, not written in between."""

    size_bytes: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, file: os.stat_result | int | str | bytes | os.PathLike[str]) -> Self:
        """Return the fingerprint of a file, given its stat, its open descriptor or its path. Raises OSError."""
        status = file if isinstance(file, os.stat_result) else os.stat(file)  # noqa: PTH116  # it may be bytes or a number
        return cls(status.st_size, status.st_mtime_ns, status.st_ino)

    @classmethod
    def find(cls, path: str | bytes | os.PathLike[str]) -> Self | None:
        """Return the fingerprint of the file at a path, None where no file can be reached."""
        try:
            return cls.of(path)
        except OSError:
            return None

    def has_version(self, size_bytes: int, mtime_ns: int) -> bool:
        """Whether size and time are these. For records without an inode: which files were searched for covers."""
        return (self.size_bytes, self.mtime_ns) == (size_bytes, mtime_ns)
