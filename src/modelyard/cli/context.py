"""Opening the catalogue of a home folder. Apart from ``options``, which commands import that need no index."""

import contextlib
import os
from collections.abc import Callable, Iterator

from modelyard import blobs, catalog, settings, store
from modelyard.cli import options, progress


@contextlib.contextmanager
def opened_catalog(read: settings.Settings) -> Iterator[catalog.Catalog]:
    """Open the catalogue of a home folder, and close its store after use."""
    with options.opened_store(read) as opened:
        yield catalog_of(read, opened)


def catalog_of(read: settings.Settings, opened: store.Store) -> catalog.Catalog:
    """Return the catalogue of a home folder, over its open store."""
    shared = blobs.open_shared(read.storage_url, os.environ)
    return catalog.open_catalog(opened, read.home, ttl_seconds=read.download_url_ttl_seconds, shared=shared)


@contextlib.contextmanager
def indexing(models: int) -> Iterator[Callable[[int], object]]:
    """Draw the building of an index of so many models as a bar, on a terminal."""
    with progress.metered("indexing", models) as (meter, _):
        yield meter.models
