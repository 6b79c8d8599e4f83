"""The versions of one model."""

import sqlalchemy as sa

from modelyard.domain import Model, Visibility
from modelyard.store import rows, schema

VERSIONS_MAX = 500
_MODEL = schema.models.c


def versions(connection: sa.Connection, group: str, team: str | None) -> list[Model]:
    """Return the models of a version group that ``team`` may see, the newest first."""
    is_visible = (_MODEL.visibility == Visibility.PUBLIC.value) | (_MODEL.team == team)
    query = sa.select(*rows.MODEL_COLUMNS).where(_MODEL.version_group == group, is_visible)
    newest = sa.func.coalesce(_MODEL.published_at, 0).desc()
    return list(rows.models_of(connection.execute(query.order_by(newest, _MODEL.id.desc()).limit(VERSIONS_MAX))))
