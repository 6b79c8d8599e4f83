"""Opening what checks and keeps files. Apart from ``opening``, which commands import that need no files."""

import contextlib
import ipaddress
import os
from collections.abc import Iterator

from modelyard import blobs, settings
from modelyard.uploads.verification import Checking
from modelyard.cli import options
from modelyard.covers import Covers, Guard
from modelyard.store import Store


@contextlib.contextmanager
def opened_checking(read: settings.Settings) -> Iterator[Checking]:
    """Open what checks the files of a home folder, and close its store after use."""
    where = blobs.open_places(read.blobs, read.home, os.environ)
    with options.opened_store(read) as opened:
        yield Checking(opened, where.kept, where.incoming)


def guard_of(read: settings.Settings) -> Guard:
    """Return from where covers may be fetched."""
    return Guard(tuple(map(ipaddress.ip_network, filter(None, read.cover_networks.split(",")))))


def covers_of(opened: Store, read: settings.Settings) -> Covers:
    """Return the covers of an open store."""
    where = blobs.open_places(read.blobs, read.home, os.environ)
    return Covers(opened, where.kept, where.incoming)
