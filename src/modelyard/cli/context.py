"""The catalogue and the files of a home folder. Commands that need neither import `home` alone, which is faster."""

import contextlib
import ipaddress
import os
from collections.abc import Callable, Iterator

from modelyard import blobs, catalog, settings, store
from modelyard.cli import home
from modelyard.cli.progress import Progress
from modelyard.covers import AddressPolicy, Covers
from modelyard.uploads.cleanup import UploadCleaner


@contextlib.contextmanager
def open_catalog(config: settings.Settings) -> Iterator[catalog.Catalog]:
    """Open the catalogue of a home folder, and close its store after use."""
    with home.open_store(config) as database:
        yield create_catalog(config, database)


def create_catalog(config: settings.Settings, database: store.Store) -> catalog.Catalog:
    """Return the catalogue of a home folder, over its open store."""
    shared = blobs.open_shared(config.storage_url, os.environ)
    return catalog.open_catalog(database, config.home, ttl_seconds=config.download_url_ttl_seconds, shared=shared)


@contextlib.contextmanager
def show_indexing(models: int) -> Iterator[Callable[[int], object]]:
    """Show the progress of building an index of so many models."""
    with Progress() as progress:
        yield progress.add_bar("indexing", models, "models").advance


@contextlib.contextmanager
def open_cleaner(config: settings.Settings) -> Iterator[UploadCleaner]:
    """Open what removes the files that a home folder does not need, and close its store after use."""
    storage = open_storage(config)
    with home.open_store(config) as database:
        yield UploadCleaner(database, storage.kept, storage.incoming)


def create_covers(config: settings.Settings, database: store.Store) -> Covers:
    """Return the covers of a home folder, over its open store."""
    storage = open_storage(config)
    return Covers(database, storage.kept, storage.incoming)


def create_address_policy(config: settings.Settings) -> AddressPolicy:
    """Return the policy that says from which addresses covers may be fetched."""
    return AddressPolicy(tuple(map(ipaddress.ip_network, filter(None, config.cover_allowed_networks.split(",")))))


def open_storage(config: settings.Settings) -> blobs.Storage:
    """Return the storage of a home folder's files."""
    return blobs.open_storage(config.storage_url, config.home, os.environ)
