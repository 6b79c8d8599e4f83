"""Records of models that their teams deleted: what restores each, for ``KEPT_SECONDS``.

A deletion removes the row of the model, so no reader of models needs a condition. The bytes of the model's file stay
as long as its record here.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from modelyard.facts import Entry
from modelyard.store import schema

KEPT_SECONDS = 30 * 86_400

_DELETED, _MODEL, _BLOB = schema.deleted_models.c, schema.models.c, schema.blobs.c
_FILE = schema.deleted_repository_files.c
_COVER_NAME = re.compile(r"/covers/([0-9a-f]{32})/")
_encode = msgspec.json.encode
_decode_entry = msgspec.json.Decoder(Entry).decode
_decode_files = msgspec.json.Decoder(list[int]).decode
_decode_covers = msgspec.json.Decoder(dict[int, str]).decode


@dataclass(frozen=True, slots=True)
class DeletedModel:
    """A deleted model of a team, with what its row was linked to.

    ``files`` are ids of its files in folders; ``covers`` has the names of the covers found for it, by origin.
    """

    entry: Entry
    team: str
    deleted_at: int
    files: list[int]
    covers: Mapping[int, str]
    downloads: int = 0

    @property
    def expires_at(self) -> int:
        """When the model can no longer be restored, in Unix seconds."""
        return self.deleted_at + KEPT_SECONDS


def put(connection: sa.Connection, model: DeletedModel) -> None:
    """Insert or replace the record of a deleted model."""
    model_id = model.entry.model.id
    remove(connection, [model_id])
    connection.execute(
        sa.insert(schema.deleted_models).values(
            model_id=model_id,
            team=model.team,
            entry=_encode(model.entry).decode(),
            files=_encode(model.files).decode(),
            covers=_encode(dict(model.covers)).decode(),
            downloads=model.downloads,
            blob=model.entry.model.blob,
            deleted_at=model.deleted_at,
        )
    )


def find(connection: sa.Connection, team: str, model_id: int) -> DeletedModel | None:
    """Return a deleted model of a team."""
    query = sa.select(schema.deleted_models).where(_DELETED.model_id == model_id, _DELETED.team == team)
    row = connection.execute(query).one_or_none()
    return None if row is None else _deleted_of(row)


def of_team(connection: sa.Connection, team: str, limit: int) -> list[DeletedModel]:
    """Return the models that a team deleted, the last first."""
    query = sa.select(schema.deleted_models).where(_DELETED.team == team)
    query = query.order_by(_DELETED.deleted_at.desc(), _DELETED.model_id.desc()).limit(limit)
    return [_deleted_of(row) for row in connection.execute(query)]


def remove(connection: sa.Connection, model_ids: Collection[int]) -> None:
    """Forget deleted models; nobody can restore them any more."""
    connection.execute(sa.delete(schema.deleted_models).where(_DELETED.model_id.in_(model_ids)))


def remove_expired(connection: sa.Connection, now: int) -> None:
    """Forget the models that were deleted ``KEPT_SECONDS`` ago or earlier."""
    connection.execute(sa.delete(schema.deleted_models).where(_DELETED.deleted_at <= now - KEPT_SECONDS))


def sizes_of_team(connection: sa.Connection, team: str) -> list[tuple[int, str, int]]:
    """Return id, SHA-256 and size of the stored files that only deleted models of a team need, the last first."""
    own = sa.select(_DELETED.model_id, _DELETED.deleted_at, _DELETED.blob).where(_DELETED.team == team)
    further = sa.select(_DELETED.model_id, _DELETED.deleted_at, _FILE.sha256).where(
        _DELETED.team == team, _FILE.model_id == _DELETED.model_id
    )
    needed = own.union(further).subquery()
    of_model = sa.exists().where(_MODEL.blob == needed.c.blob, _MODEL.team == team)
    of_repository = sa.exists().where(
        schema.repository_files.c.sha256 == needed.c.blob,
        schema.repositories.c.id == schema.repository_files.c.repository,
        schema.repositories.c.team == team,
    )
    query = (
        sa.select(needed.c.model_id, needed.c.blob, _BLOB.size_bytes)
        .where(_BLOB.sha256 == needed.c.blob, ~of_model, ~of_repository)
        .order_by(needed.c.deleted_at.desc(), needed.c.model_id.desc(), needed.c.blob)
    )
    return [(row.model_id, row.blob, row.size_bytes) for row in connection.execute(query)]


def make_room(connection: sa.Connection, team: str, bytes_max: int) -> None:
    """Forget the models that a team deleted first, until the files that only the others need fit ``bytes_max``."""
    size_by_blob: dict[str, int] = {}
    over: list[int] = []
    for model_id, blob, size_bytes in sizes_of_team(connection, team):
        if over or sum(size_by_blob.values()) + (0 if blob in size_by_blob else size_bytes) > bytes_max:
            over.append(model_id)
        size_by_blob[blob] = size_bytes
    if over:
        remove(connection, over)


def cover_names(connection: sa.Connection) -> set[str]:
    """Return the names of the covers that deleted models need when they are restored."""
    names: set[str] = set()
    for entry, covers in connection.execute(sa.select(_DELETED.entry, _DELETED.covers)):
        names |= {*_COVER_NAME.findall(entry), *_decode_covers(covers).values()}
    return names


def _deleted_of(row: Any) -> DeletedModel:
    return DeletedModel(
        _decode_entry(row.entry),
        row.team,
        row.deleted_at,
        _decode_files(row.files),
        _decode_covers(row.covers),
        row.downloads,
    )
