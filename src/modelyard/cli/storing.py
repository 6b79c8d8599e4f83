"""Opening what checks and keeps files. Apart from ``opening``, which commands import that need no files."""

import contextlib
import ipaddress
import os
from collections.abc import Iterator

from modelyard import blobs, settings
from modelyard.cli import options
from modelyard.covers import AddressPolicy, Covers
from modelyard.store import Store
from modelyard.uploads.cleanup import UploadCleaner


@contextlib.contextmanager
def opened_cleaner(read: settings.Settings) -> Iterator[UploadCleaner]:
    """Open what deletes the files that a home folder does not need, and close its store after use."""
    where = blobs.open_storage(read.storage_url, read.home, os.environ)
    with options.opened_store(read) as opened:
        yield UploadCleaner(opened, where.kept, where.incoming)


def guard_of(read: settings.Settings) -> AddressPolicy:
    """Return from where covers may be fetched."""
    return AddressPolicy(tuple(map(ipaddress.ip_network, filter(None, read.cover_allowed_networks.split(",")))))


def covers_of(opened: Store, read: settings.Settings) -> Covers:
    """Return the covers of an open store."""
    where = blobs.open_storage(read.storage_url, read.home, os.environ)
    return Covers(opened, where.kept, where.incoming)
