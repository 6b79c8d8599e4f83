"""The catalogue and the files of a home folder. Commands that need neither import `home` alone, which is faster."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping

from modelyard import blobs, catalog, errors, settings, store
from modelyard.cli import home
from modelyard.cli.progress import Progress
from modelyard.covers import Covers
from modelyard.fetches import Fetcher, Fetches, Hosts
from modelyard.outbound import AddressPolicy, HostTurns, Outbound
from modelyard.outbound import create_policy as create_address_policy
from modelyard.uploads.cleanup import UploadCleaner
from modelyard.uploads.comparison import StoreComparer
from modelyard.uploads.uploads import UploadLimits, Uploads
from modelyard.webhooks.sender import WebhookSender


@contextlib.contextmanager
def open_catalog(config: settings.Settings, *, accepts_older: bool = False) -> Iterator[catalog.Catalog]:
    """Open the catalogue of a home folder, and close its store after use.

    ``accepts_older``: use the database although it lacks what this node has seen.
    """
    with home.open_store(config, accepts_older=accepts_older) as database:
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


@contextlib.contextmanager
def open_comparer(config: settings.Settings) -> Iterator[StoreComparer]:
    """Open what compares the database with the file store, and close its store after use."""
    with home.open_store(config) as database:
        yield StoreComparer(database, open_storage(config).kept)


def create_covers(config: settings.Settings, database: store.Store) -> Covers:
    """Return the covers of a home folder, over its open store."""
    storage = open_storage(config)
    return Covers(database, storage.kept, storage.incoming)


def create_outbound(config: settings.Settings, environ: Mapping[str, str] = os.environ) -> Outbound:
    """Return the guard of this server's requests to other servers, with the tokens of the environment."""
    return Outbound(create_policy(config), _read_tokens(create_hosts(config), environ))


def create_policy(config: settings.Settings) -> AddressPolicy:
    """Return which addresses this server may request."""
    return create_address_policy(config.outbound_networks, allow_http=config.outbound_allow_http == "yes")


def create_webhook_sender(config: settings.Settings, database: store.Store) -> WebhookSender:
    """Return what sends the messages of webhooks. Hosts get no tokens, and one that hangs holds up no other webhook."""
    turns = HostTurns(max(1, config.webhook_senders))
    return WebhookSender(database, Outbound(create_policy(config), turns=turns), clock=database.now)


def create_hosts(config: settings.Settings) -> Hosts:
    """Return the servers of sources that are no addresses."""
    return Hosts(config.civitai_url, config.hub_url)


def create_fetches(config: settings.Settings, database: store.Store) -> Fetches:
    """Return the fetches of a home folder, for its operator."""
    storage = open_storage(config)
    return Fetches(database, storage.kept, storage.incoming, create_policy(config))


def create_fetcher(
    config: settings.Settings, database: store.Store, *, pace: Callable[[int], object] | None = None
) -> Fetcher:
    """Return what fetches files into a home folder. ``pace`` gets the number of bytes of every block, and may wait."""
    storage, outbound = open_storage(config), create_outbound(config)
    limits = UploadLimits(
        config.upload_bytes_max, config.team_open_uploads_max, config.team_quota_bytes, config.upload_expires_in_seconds
    )
    received = Uploads(database, storage.kept, storage.incoming, limits)
    return Fetcher(database, storage.kept, storage.incoming, received, outbound, create_hosts(config), pace=pace)


def _read_tokens(hosts: Hosts, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the tokens of the server for other servers, by origin."""
    tokens = {}
    for origin, name in hosts.token_names.items():
        token = environ.get(name, "").strip()
        if not (token.isascii() and token.isprintable()):
            raise errors.ConfigurationError(f"{name} holds characters that no token has")
        if token:
            tokens[origin] = token
    return tokens


def open_storage(config: settings.Settings) -> blobs.Storage:
    """Return the storage of a home folder's files."""
    is_shared = config.unfinished_uploads == "store"
    return blobs.open_storage(config.storage_url, config.home, os.environ, shares_unfinished=is_shared)
