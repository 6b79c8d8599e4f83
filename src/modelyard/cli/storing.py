"""Opening what checks and keeps files. Apart from ``opening``, which commands import that need no files."""

import contextlib
import os
from collections.abc import Iterator

from modelyard import blobs, settings
from modelyard.checking import Checking
from modelyard.cli import options


@contextlib.contextmanager
def opened_checking(read: settings.Settings) -> Iterator[Checking]:
    """Open what checks the files of a home folder, and close its store after use."""
    where = blobs.open_places(read.blobs, read.home, os.environ)
    with options.opened_store(read) as opened:
        yield Checking(opened, where.kept, where.incoming)
