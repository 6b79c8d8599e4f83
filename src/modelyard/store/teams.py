"""What a team has in the database: the space that it uses, its newest models, and whether it sees a size."""

from dataclasses import dataclass

import sqlalchemy as sa

from modelyard.domain import Model
from modelyard.store import blobs, deleted_models, rows, schema

_MODEL, _DOWNLOAD = schema.models.c, schema.downloads.c


@dataclass(frozen=True, slots=True)
class Usage:
    """How much a team has. ``size_bytes`` counts against its quota, ``deleted_bytes`` does not."""

    models: int
    public: int
    downloads: int
    size_bytes: int
    deleted_bytes: int


def usage(connection: sa.Connection, team: str) -> Usage:
    """Return how much a team has."""
    is_public = _MODEL.visibility == "public"
    counts = sa.select(sa.func.count(), sa.func.count().filter(is_public)).where(_MODEL.team == team)
    models, public = connection.execute(counts).one()
    count = sa.select(sa.func.coalesce(sa.func.sum(_DOWNLOAD.count), 0))
    count = count.where(_DOWNLOAD.model_id.in_(sa.select(_MODEL.id).where(_MODEL.team == team)))
    size_by_blob = {blob: size for _, blob, size in deleted_models.sizes_of_team(connection, team)}
    return Usage(
        models,
        public,
        int(connection.execute(count).scalar_one()),
        blobs.bytes_of_team(connection, team),
        sum(size_by_blob.values()),
    )


def newest_models(connection: sa.Connection, team: str, limit: int) -> list[Model]:
    """Return the models of a team that this catalogue stored last."""
    query = sa.select(*rows.MODEL_COLUMNS).where(_MODEL.team == team)
    query = query.order_by(sa.func.coalesce(_MODEL.added_at, 0).desc(), _MODEL.id.desc()).limit(limit)
    return list(rows.models_of(connection.execute(query)))


def sees_size(connection: sa.Connection, team: str | None, size_bytes: int) -> bool:
    """Whether a model that the team may see has a file of this size. Another size is never the same file."""
    is_visible = (_MODEL.visibility == "public") | (_MODEL.team == team)
    query = sa.select(_MODEL.id).where(_MODEL.size_bytes == size_bytes, is_visible).limit(1)
    return connection.execute(query).first() is not None
