"""Opens a database: its tables are migrated, and its models renewed."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from modelyard import errors
from modelyard.store import migrate, origins, reasons
from modelyard.store.damage import damage_error, is_damage
from modelyard.store.dialect import Dialect
from modelyard.store.lineage import Lineage
from modelyard.store.postgresql_pool import CONNECTIONS
from modelyard.store.renewal import ProgressFactory, no_progress, renew
from modelyard.store.store import Store


def open_store(
    url: str,
    *,
    clock: Callable[[], float] = time.time,
    replicas: str = "",
    listen_url: str = "",
    connections: int = CONNECTIONS,
    progress: ProgressFactory = no_progress,
    home: Path | None = None,
    accepts_older: bool = False,
) -> Store:
    """Open the database of a SQLAlchemy URL, migrate its tables, and renew what an older version stored.

    Raises DatabaseUnavailable if it cannot be opened, DatabaseDamaged, or ConfigurationError if a newer version made
    it. Several processes may call this at once. ``replicas`` is the URL of replicas of this database, which snapshots
    and changes come from. ``listen_url`` is the address of PostgreSQL itself, where ``url`` is that of a pooler, and
    ``connections`` is how many this process opens at most beside the one that listens. ``progress`` shows how far the
    renewal is, if that takes long. ``home`` keeps what this node has seen of the database: raises Unavailable for one
    that lacks some of it, unless ``accepts_older``.
    """
    open_lineage = partial(Lineage, home, accepts_older=accepts_older)
    store = _open_migrated(migrate.dialect_of(url, listen_url, connections), clock, replicas, open_lineage)
    try:
        renew(store, progress)
    except BaseException:
        store.close()
        raise
    return store


def _open_migrated(
    dialect: Dialect, clock: Callable[[], float], replicas: str, open_lineage: Callable[[str], Lineage]
) -> Store:
    try:
        migrate.migrate(dialect)
        lineage = None
        if dialect.check_servers is not None:
            with dialect.engine.connect() as connection:
                lineage = open_lineage(origins.read_catalogue(connection))
        return Store(dialect, clock, _replicas_of(dialect, replicas) if replicas else None, lineage)
    except BaseException as problem:
        dialect.engine.dispose()
        if not isinstance(problem, sa.exc.DBAPIError | OSError | dialect.engine.dialect.loaded_dbapi.Error):
            raise
        name = dialect.engine.url.render_as_string(hide_password=True)
        reason = problem.orig if isinstance(problem, sa.exc.DBAPIError) else problem
        if is_damage(reason):
            raise damage_error(dialect.engine.url, reason) from problem
        sentence = reasons.describe(reason)
        advice = "" if sentence == reasons.UNKNOWN else f"; {sentence}"
        message = f"{name} cannot be opened: {str(reason).strip()}{advice}"
        raise errors.DatabaseUnavailable(message, reason=sentence) from problem


def _replicas_of(dialect: Dialect, url: str) -> Dialect:
    followers = migrate.dialect_of(url)
    if "sqlite" in (followers.engine.dialect.name, dialect.engine.dialect.name):
        raise errors.ConfigurationError("database_replica_url: only PostgreSQL has replicas")
    return followers
