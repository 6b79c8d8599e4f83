"""The home folder of a command: its settings and its store. Imports no index, so that `modelyard key` starts fast."""

import contextlib
from collections.abc import Iterator

from modelyard import errors, settings, store
from modelyard.cli import options


def load_settings() -> settings.Settings:
    """Return the settings of the command's home folder, and create the folder if it is missing."""
    loaded = settings.load(options.home_of_command())
    try:
        loaded.home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.ConfigurationError(
            f"cannot create the home folder {loaded.home}: {error.strerror}; choose another folder with --home"
        ) from error
    return loaded


@contextlib.contextmanager
def open_store(config: settings.Settings) -> Iterator[store.Store]:
    """Open the store of a home folder, and close it after use."""
    with contextlib.closing(store.open_store(config.database_url, replicas=config.database_replica_url)) as database:
        yield database
