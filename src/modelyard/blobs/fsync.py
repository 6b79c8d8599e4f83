"""Making what was written survive a power cut, and saying that a disk is full in our own words."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelyard import errors

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def sync_file(path: Path) -> None:
    """Have the disk write what it was given of a file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Have the disk write which names are in a folder."""
    sync_file(path)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, so that a power cut takes none of them."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)


@contextmanager
def translate_disk_full() -> Iterator[None]:
    """Raise StorageFull where the disk, a quota or a limit on files takes no more bytes."""
    try:
        yield
    except OSError as problem:
        if problem.errno in _FULL:
            raise errors.StorageFull from problem
        raise
