"""Records of stored blobs: one row for each SHA-256, however many models point at it.

``modelyard.blobs`` stores the bytes themselves; this module knows whether anything still points at them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from modelyard.domain import Verdict
from modelyard.store import blob_claims, schema
from modelyard.store.queries import batches, put_row, visible_to

_BLOB, _MODEL, _UPLOAD = schema.blobs.c, schema.models.c, schema.uploads.c
_FETCH = schema.fetches.c
_REPOSITORY, _REPOSITORY_FILE = schema.repositories.c, schema.repository_files.c


@dataclass(frozen=True, slots=True)
class Blob:
    """A stored blob with the verdict of inspection. ``sha256`` is lower case; times are Unix seconds."""

    sha256: str
    size_bytes: int
    stored_at: int
    verdict: str
    reason: str
    unused_since: int | None = None

    @property
    def is_sound(self) -> bool:
        """Whether the server may send the bytes."""
        return Verdict(self.verdict).is_sound


def find(connection: sa.Connection, sha256: str) -> Blob | None:
    """Return the record of a blob."""
    row = connection.execute(sa.select(schema.blobs).where(_BLOB.sha256 == sha256)).one_or_none()
    return None if row is None else _blob_of(row)


def find_many(connection: sa.Connection, sha256s: Iterable[str]) -> dict[str, Blob]:
    """Return the records of those of the blobs that there are, by SHA-256."""
    by_sha256: dict[str, Blob] = {}
    for batch in batches(sha256s):
        rows = connection.execute(sa.select(schema.blobs).where(_BLOB.sha256.in_(batch)))
        by_sha256.update((row.sha256, _blob_of(row)) for row in rows)
    return by_sha256


def put(connection: sa.Connection, blob: Blob) -> None:
    """Insert or replace the record of a blob."""
    put_row(connection, schema.blobs, {name: getattr(blob, name) for name in Blob.__slots__})


def remove_many(connection: sa.Connection, sha256s: Iterable[str]) -> None:
    """Delete the records of blobs."""
    for batch in batches(sha256s):
        connection.execute(sa.delete(schema.blobs).where(_BLOB.sha256.in_(batch)))


def mark_unused(connection: sa.Connection, now: int) -> None:
    """Set ``unused_since`` for blobs that nothing points at, and clear it for blobs in use."""
    used = _is_used()
    connection.execute(sa.update(schema.blobs).where(used, _BLOB.unused_since.is_not(None)).values(unused_since=None))
    connection.execute(sa.update(schema.blobs).where(~used, _BLOB.unused_since.is_(None)).values(unused_since=now))


def unused(connection: sa.Connection, since: int, after: str = "", limit: int | None = None) -> list[Blob]:
    """Return the blobs that nothing points at, and that ``mark_unused`` marked at ``since`` or before, by hash."""
    query = sa.select(schema.blobs).where(~_is_used(), _BLOB.unused_since <= since, _BLOB.sha256 > after)
    return [_blob_of(row) for row in connection.execute(query.order_by(_BLOB.sha256).limit(limit))]


def total(connection: sa.Connection) -> tuple[int, int]:
    """Return the number of all blobs, and the sum of their sizes in bytes."""
    query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(_BLOB.size_bytes), 0)).select_from(schema.blobs)
    count, size_bytes = connection.execute(query).one()
    return int(count), int(size_bytes)


def bytes_of_team(connection: sa.Connection, team: str) -> int:
    """Return how many bytes a team's models, repositories and uploads take; each blob counts once."""
    by_model = sa.select(_MODEL.blob).where(_MODEL.team == team, _MODEL.blob.is_not(None))
    in_repository = _files_of_team(team).where(_REPOSITORY_FILE.sha256.is_not(None))
    waiting = sa.select(_UPLOAD.sha256).where(_UPLOAD.team == team, _UPLOAD.kind == "hub", _UPLOAD.sha256.is_not(None))
    # A fetched file may be that of a listed version, which belongs to no team.
    fetched = sa.select(_FETCH.sha256).where(_FETCH.team == team, _FETCH.sha256.is_not(None))
    stored = sa.select(sa.func.coalesce(sa.func.sum(_BLOB.size_bytes), 0)).where(
        _BLOB.sha256.in_(by_model.union(in_repository.with_only_columns(_REPOSITORY_FILE.sha256), waiting, fetched))
    )
    texts = _files_of_team(team).where(_REPOSITORY_FILE.sha256.is_(None))
    texts = texts.with_only_columns(sa.func.coalesce(sa.func.sum(_REPOSITORY_FILE.size_bytes), 0))
    # The row of a finished upload stays for a while; its bytes already count as a blob.
    is_kept = sa.exists().where(_BLOB.sha256 == _UPLOAD.sha256)
    incoming = sa.select(sa.func.coalesce(sa.func.sum(_UPLOAD.length_bytes), 0)).where(_UPLOAD.team == team, ~is_kept)
    return sum(int(connection.execute(query).scalar_one()) for query in (stored, texts, incoming))


def team_has(connection: sa.Connection, sha256: str, team: str) -> bool:
    """Whether these bytes are stored, sound, and in a model or a repository of the team."""
    of_model = sa.exists().where(_MODEL.blob == sha256, _MODEL.team == team)
    of_repository = _files_of_team(team).where(_REPOSITORY_FILE.sha256 == sha256).exists()
    blob = find(connection, sha256)
    return blob is not None and blob.is_sound and bool(connection.execute(sa.select(of_model | of_repository)).scalar())


def _files_of_team(team: str) -> sa.Select[Any]:
    is_here = _REPOSITORY.id == _REPOSITORY_FILE.repository
    return sa.select(_REPOSITORY_FILE.path).join(schema.repositories, is_here).where(_REPOSITORY.team == team)


def models_named(connection: sa.Connection, sha256: str, sd_name: str, team: str | None) -> Sequence[int]:
    """Return the ids of the available models with these bytes, as this file or a further one, that ``team`` may see."""
    is_visible = visible_to(_MODEL, team)
    is_main = (_MODEL.blob == sha256) & (_MODEL.sd_name == sd_name)
    # The further files of a model that lie in a folder; the label of a link is signed, so it may be any name.
    file = schema.files.c
    is_further = _MODEL.id.in_(sa.select(file.model_id).where(file.sha256 == sha256, visible_to(file, team)))
    # Those of a repository.
    committed = sa.select(_REPOSITORY.model_id).join(
        schema.repository_files, _REPOSITORY_FILE.repository == _REPOSITORY.id
    )
    is_committed = _MODEL.id.in_(committed.where(_REPOSITORY_FILE.sha256 == sha256))
    query = sa.select(_MODEL.id).where(is_main | is_further | is_committed, _MODEL.status == 1, is_visible)
    return connection.execute(query.order_by(_MODEL.id)).scalars().all()


def models_of_team(connection: sa.Connection, sha256: str, team: str, name: str) -> Sequence[int]:
    """Return the ids of a team's models that have these bytes and this name."""
    query = sa.select(_MODEL.id).where(_MODEL.blob == sha256, _MODEL.team == team, _MODEL.name == name)
    return connection.execute(query.order_by(_MODEL.id)).scalars().all()


def _is_used() -> sa.ColumnElement[bool]:
    by_model = sa.exists().where(_MODEL.blob == _BLOB.sha256)
    by_upload = sa.exists().where(_UPLOAD.sha256 == _BLOB.sha256)
    by_cover = sa.exists().where(schema.cover_pictures.c.sha256 == _BLOB.sha256)
    by_repository = sa.exists().where(_REPOSITORY_FILE.sha256 == _BLOB.sha256)
    by_upstream = sa.exists().where(schema.upstream_files.c.sha256 == _BLOB.sha256)
    by_deleted_model = sa.exists().where(schema.deleted_models.c.blob == _BLOB.sha256)
    by_deleted_file = sa.exists().where(schema.deleted_repository_files.c.sha256 == _BLOB.sha256)
    is_claimed = blob_claims.is_claimed(_BLOB.sha256)
    return (
        by_model | by_upload | by_cover | by_repository | by_upstream | by_deleted_model | by_deleted_file | is_claimed
    )


def _blob_of(row: Any) -> Blob:
    return Blob(row.sha256, row.size_bytes, row.stored_at, row.verdict, row.reason, row.unused_since)
