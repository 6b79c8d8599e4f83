"""The home folder of a command: its settings and its store. Imports no index, so that `modelyard key` starts fast.

What a home has is for its owner only: the database has the secret that signs links, and files may be private to a team.
Folders have mode 0700 and files 0600, whatever the umask of the caller is.
"""

import contextlib
import difflib
import os
import stat
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import click
import sqlalchemy as sa

from modelyard import errors, settings, store
from modelyard.cli import options, output
from modelyard.cli.progress import Progress
from modelyard.store.audit import BY_COMMAND, BY_SERVER, Actor
from modelyard.store.reasons import NO_SLOT

DEMO_FOLDER = "demo"
_PRIVATE_UMASK = 0o077
_OTHERS = 0o007
# What one thread at work needs: a view of the record, and a write meanwhile.
COMMAND_CONNECTIONS = 2
_SLOT_SECONDS_MAX, _SLOT_RETRY_SECONDS = 60.0, 0.5
_NODE_FILE = "node"
# Variables that are no settings: those of commands that ask a server, and those of tests.
_OTHER_VARIABLES = frozenset({"MODELYARD_URL", "MODELYARD_KEY"})
_TEST_PREFIX = "MODELYARD_TEST_"
_SQLITE_SUFFIXES = ("", "-wal", "-shm", "-journal", "-counters")


def load_settings() -> settings.Settings:
    """Return the settings of the command's home folder. Create the folder if it is missing, and close it to others."""
    return _open_home(settings.load(options.home_of_command()))


def load_demo_settings() -> settings.Settings:
    """Return the settings of the demo's own home, a folder of the command's home: no invented model is among real ones.

    Raises ConfigurationError if the environment names a database, because the demo would be written into it.
    """
    loaded = settings.load(load_settings().home / DEMO_FOLDER)
    if loaded.database_url != settings.load(loaded.home, {}).database_url:
        raise errors.ConfigurationError(
            "--demo fills a database of its own; unset MODELYARD_DATABASE_URL, or run `modelyard serve` without --demo"
        )
    return _open_home(loaded)


def find_unknown_variables(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables with our prefix that are no settings, each with the nearest name of one.

    Other programs may set some, such as Kubernetes for a service that is called modelyard, so they are not refused.
    """
    names = [setting.environment_name for setting in settings.SETTINGS]
    return {
        name: difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]
        for name in sorted(environ)
        if name.startswith(settings.ENVIRONMENT_PREFIX)
        and not name.startswith(_TEST_PREFIX)
        and name not in _OTHER_VARIABLES
        and name not in names
    }


def _open_home(loaded: settings.Settings) -> settings.Settings:
    # Before the first file is made. Child processes inherit it, and SQLite gives its log the mode of the database.
    os.umask(_PRIVATE_UMASK)
    try:
        loaded.home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.ConfigurationError(
            f"cannot create the home folder {loaded.home}: {error.strerror}; choose another folder with --home"
        ) from error
    _close_to_others(loaded)
    return loaded


def _close_to_others(config: settings.Settings) -> None:
    """Take the permissions of other users away. Raises ConfigurationError where this user may not do that."""
    home_paths = (config.home, config.home / settings.FILE_NAME, *_database_files(config))
    paths = [(path, _PRIVATE_UMASK) for path in home_paths]
    # An operator may give a group or an ACL, such as nginx's, the folders of files outside the home.
    paths += [(path, _OTHERS) for path in _storage_folders(config)]
    changed_paths = [path for path, closed_bits in paths if _close(path, closed_bits)]
    if changed_paths:
        names = ", ".join(map(str, changed_paths[:3])) + (" and more" if len(changed_paths) > 3 else "")
        output.warn(f"other users of this machine had access to {names}; they have none any more")


def _database_files(config: settings.Settings) -> Iterator[Path]:
    with contextlib.suppress(sa.exc.ArgumentError):  # opening the store says what is wrong with the URL
        url = sa.make_url(config.database_url)
        if url.get_backend_name() == "sqlite" and url.database:
            yield from (Path(url.database + suffix) for suffix in _SQLITE_SUFFIXES)


def _storage_folders(config: settings.Settings) -> Iterator[Path]:
    """Yield the folders that Modelyard makes in a storage folder. The folder itself may be shared or a mount point."""
    if config.storage_url and "://" not in config.storage_url.removeprefix("file://"):
        folder = Path(config.storage_url.removeprefix("file://"))
        yield from (folder / "incoming", *folder.glob("[0-9a-f][0-9a-f]"))


def _close(path: Path, closed_bits: int) -> bool:
    """Take permissions away from a file or folder, and return whether it had some of them."""
    try:
        status = path.stat()
    except OSError:  # not there, or not reachable: whoever opens it says so
        return False
    if not status.st_mode & closed_bits:
        return False
    problem = "it is shared by all users" if status.st_mode & stat.S_ISVTX else ""
    if not problem:
        try:
            path.chmod(stat.S_IMODE(status.st_mode) & ~closed_bits)
            problem = "its file system has no permissions" if path.stat().st_mode & closed_bits else ""
        except OSError as error:
            problem = f"its permissions cannot be changed: {error.strerror}"
    if problem:
        mode = "u=rwX,go=" if closed_bits == _PRIVATE_UMASK else "o="
        raise errors.ConfigurationError(
            f"other users of this machine have access to {path}, and {problem};"
            f" run `chmod {mode} {path}` as its owner, or choose another folder with --home"
        )
    return True


@contextlib.contextmanager
def open_store(
    config: settings.Settings,
    connections: int = COMMAND_CONNECTIONS,
    wait_seconds: float = _SLOT_SECONDS_MAX,
    *,
    accepts_older: bool = False,
) -> Iterator[store.Store]:
    """Open the store of a home folder, and close it after use. ``connections`` is how many it opens at most.

    If the database server has no free connection, wait so long for one: a burst of requests of the nodes may have them.
    ``accepts_older``: use the database although it lacks what this node has seen.
    """
    database = _open_store(config, connections, wait_seconds, accepts_older=accepts_older)
    database.process = _describe_process()
    if config.added_files == "node":
        database.node = _name_node(config.home)
    with contextlib.closing(database):
        yield database


def _open_store(
    config: settings.Settings, connections: int, wait_seconds: float, *, accepts_older: bool
) -> store.Store:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            return store.open_store(
                config.database_url,
                replicas=config.database_replica_url,
                listen_url=config.database_listen_url,
                connections=connections,
                progress=_show_renewal,
                home=config.home,
                accepts_older=accepts_older,
            )
        except errors.DatabaseUnavailable as problem:
            if problem.facts.get("reason") != NO_SLOT or time.monotonic() > deadline:
                raise
        time.sleep(_SLOT_RETRY_SECONDS)


def _name_node(folder: Path) -> str:
    """Return the name of the node with this home; the first call makes one. A copy of the home is the same node."""
    path = folder / _NODE_FILE
    if not path.exists():
        new = folder / f".{_NODE_FILE}.{os.getpid()}"
        new.write_text(uuid.uuid4().hex, encoding="utf-8")
        with contextlib.suppress(FileExistsError):  # another process was first
            path.hardlink_to(new)
        new.unlink()
    return path.read_text(encoding="utf-8").strip()


def _describe_process() -> Actor:
    """Return who changes what this command changes, for the audit."""
    context = click.get_current_context(silent=True)
    command = context.command_path if context is not None else ""
    return Actor(BY_SERVER if command == "modelyard serve" else BY_COMMAND, command)


@contextlib.contextmanager
def _show_renewal(models: int) -> Iterator[Callable[[int], object]]:
    """Show how many of the models of an older version have this version's form."""
    with Progress() as progress:
        yield progress.add_bar("renewing", models, "models").advance
