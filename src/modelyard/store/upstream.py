"""What this server keeps of another hub: snapshots of repositories, the commits of their branches, and files.

A file is known by its hash on the hub, and by who may read it: the bytes of a private repository are no answer for a
repository that only claims to have the same hash. The bytes themselves are blobs, which ``modelyard.blobs`` stores.
"""

from dataclasses import dataclass, fields
from typing import Any

import sqlalchemy as sa

from modelyard.store import schema

_REVISION, _SNAPSHOT, _FILE = schema.upstream_revisions.c, schema.upstream_snapshots.c, schema.upstream_files.c


@dataclass(frozen=True, slots=True)
class UpstreamFile:
    """A file that is kept. ``etag`` is its hash on the hub, ``sha256`` that of its blob, both lower case.

    ``model_id`` is the model that weights have become; the row ends with the model.
    """

    etag: str
    access: str
    sha256: str
    size_bytes: int
    repository: str
    path: str
    stored_at: int
    model_id: int | None = None


@dataclass(frozen=True, slots=True)
class UpstreamUsage:
    """How much is kept."""

    repositories: int
    files: int
    size_bytes: int


def find_commit(connection: sa.Connection, upstream: str, repository: str, revision: str) -> str | None:
    """Return the commit that a branch or tag had when it was asked for last."""
    query = sa.select(_REVISION.commit).where(
        _REVISION.upstream == upstream, _REVISION.repository == repository, _REVISION.revision == revision
    )
    return connection.execute(query).scalar_one_or_none()


def put_commit(connection: sa.Connection, upstream: str, repository: str, revision: str, commit: str) -> None:
    """Replace the commit of a branch or tag."""
    key = {"upstream": upstream, "repository": repository, "revision": revision}
    connection.execute(sa.delete(schema.upstream_revisions).filter_by(**key))
    connection.execute(sa.insert(schema.upstream_revisions).values(**key, commit=commit))


def find_snapshot(connection: sa.Connection, upstream: str, repository: str, commit: str) -> bytes | None:
    """Return the snapshot of a repository at a commit, as it was stored."""
    query = sa.select(_SNAPSHOT.content).where(
        _SNAPSHOT.upstream == upstream, _SNAPSHOT.repository == repository, _SNAPSHOT.commit == commit
    )
    return connection.execute(query).scalar_one_or_none()


def put_snapshot(
    connection: sa.Connection, upstream: str, repository: str, commit: str, content: bytes, now: int
) -> None:
    """Insert or replace the snapshot of a repository at a commit."""
    key = {"upstream": upstream, "repository": repository, "commit": commit}
    values = {"content": content, "size_bytes": len(content), "stored_at": now}
    connection.execute(sa.delete(schema.upstream_snapshots).filter_by(**key))
    connection.execute(sa.insert(schema.upstream_snapshots).values(**key, **values))


def find_file(connection: sa.Connection, etag: str, access: str) -> UpstreamFile | None:
    """Return a file by its hash on the hub."""
    query = sa.select(schema.upstream_files).where(_FILE.etag == etag, _FILE.access == access)
    return _file_of(connection.execute(query).one_or_none())


def put_file(connection: sa.Connection, file: UpstreamFile) -> None:
    """Insert or replace a file."""
    connection.execute(sa.delete(schema.upstream_files).where(_FILE.etag == file.etag, _FILE.access == file.access))
    values = {field.name: getattr(file, field.name) for field in fields(UpstreamFile)}
    connection.execute(sa.insert(schema.upstream_files).values(values))


def usage(connection: sa.Connection) -> UpstreamUsage:
    """Return how much is kept: the files, weights too, and the snapshots."""
    files = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(_FILE.size_bytes), 0)).select_from(
        schema.upstream_files
    )
    snapshots = sa.select(
        sa.func.count(_SNAPSHOT.repository.distinct()), sa.func.coalesce(sa.func.sum(_SNAPSHOT.size_bytes), 0)
    )
    file_count, file_bytes = connection.execute(files).one()
    repository_count, snapshot_bytes = connection.execute(snapshots).one()
    return UpstreamUsage(int(repository_count), int(file_count), int(file_bytes) + int(snapshot_bytes))


def remove(connection: sa.Connection, repository: str) -> int:
    """Delete everything that is kept of a repository but its models; return how many rows there were.

    ``modelyard gc`` removes the bytes that nothing points at after this.
    """
    tables = (schema.upstream_files, schema.upstream_snapshots, schema.upstream_revisions)
    return sum(
        connection.execute(sa.delete(table).where(table.c.repository == repository)).rowcount for table in tables
    )


def is_team(connection: sa.Connection, name: str) -> bool:
    """Whether a team has this name."""
    return connection.execute(sa.select(schema.teams.c.name).where(schema.teams.c.name == name)).first() is not None


def _file_of(row: Any) -> UpstreamFile | None:
    return None if row is None else UpstreamFile(*(getattr(row, field.name) for field in fields(UpstreamFile)))
