"""Flushes files and folders, so that they survive a power cut, and translates the errors of a full disk."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelyard import errors

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def sync_file(path: Path) -> None:
    """Flush a file to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Flush the names in a folder to the disk."""
    sync_file(path)


def make_folder(path: Path) -> None:
    """Make a folder and its missing parents, and flush them, so that they survive a power cut."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)


@contextmanager
def translate_disk_full() -> Iterator[None]:
    """Raise StorageFull if the disk is full, or a quota or a file size limit is reached."""
    try:
        yield
    except OSError as problem:
        if problem.errno in _FULL:
            raise errors.StorageFull from problem
        raise
