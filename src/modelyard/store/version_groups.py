"""The versions of one model."""

from collections.abc import Sequence
from itertools import groupby

import sqlalchemy as sa

from modelyard.domain import OWN_ID_MIN, Model
from modelyard.store import rows, schema
from modelyard.store.queries import by_bytes, visible_to

VERSIONS_MAX = 500
_MODEL = schema.models.c
_NEWEST_FIRST = (sa.func.coalesce(_MODEL.published_at, 0).desc(), _MODEL.id.desc())


def versions(connection: sa.Connection, group: str, team: str | None) -> list[Model]:
    """Return the models of a version group that ``team`` may see, the newest first."""
    is_visible = visible_to(_MODEL, team)
    query = sa.select(*rows.MODEL_COLUMNS).where(_MODEL.version_group == group, is_visible)
    return list(rows.models_of(connection.execute(query.order_by(*_NEWEST_FIRST).limit(VERSIONS_MAX))))


def list_groups(
    connection: sa.Connection, ids: Sequence[int], team: str | None
) -> dict[int, tuple[tuple[int, int], ...]]:
    """Return, for each of the models, the versions of its group that ``team`` may see, each with its revision.

    The newest is the first, up to ``VERSIONS_MAX``. A model without a group has itself. Models that ``team`` may not
    see are left out. Up to 1,000 ids.
    """
    is_visible = visible_to(_MODEL, team)
    leads = connection.execute(
        sa.select(_MODEL.id, _MODEL.revision, _MODEL.version_group).where(_MODEL.id.in_(ids), is_visible)
    ).all()
    group_names = {lead.version_group for lead in leads if lead.version_group}
    members = connection.execute(
        sa.select(_MODEL.id, _MODEL.revision, _MODEL.version_group)
        .where(_MODEL.version_group.in_(group_names), is_visible)
        .order_by(_MODEL.version_group, *_NEWEST_FIRST)
    )
    groups = {
        name: tuple((row.id, row.revision) for row in rows)[:VERSIONS_MAX]
        for name, rows in groupby(members, key=lambda row: row.version_group)
    }
    return {lead.id: groups.get(lead.version_group, ((lead.id, lead.revision),)) for lead in leads}


def find_model(connection: sa.Connection, model_id: int, team: str | None) -> list[int]:
    """Return the versions of the model with an id of Civitai, or with the id of one of its versions here.

    The newest is the first. Those that ``team`` may not see are left out; a model without any has none.
    """
    if not 0 <= model_id <= rows.INT64_MAX:
        return []
    is_visible = visible_to(_MODEL, team)
    query = sa.select(_MODEL.id).where(is_visible).order_by(*_NEWEST_FIRST).limit(VERSIONS_MAX)
    if model_id < OWN_ID_MIN:
        of_model = list(connection.scalars(query.where(_MODEL.version_group == f"civitai:{model_id}")))
        # A version that nobody knows a model of is a model of its own.
        return of_model or list(connection.scalars(query.where(_MODEL.id == model_id, _MODEL.version_group.is_(None))))
    groups = list_groups(connection, [model_id], team)
    return [id_ for id_, _ in groups.get(model_id, ())]


def creators_of(connection: sa.Connection, ids: Sequence[int]) -> dict[int, str]:
    """Return the creators of models that have one, by id. Up to 1,000 ids."""
    query = sa.select(_MODEL.id, _MODEL.creator).where(_MODEL.id.in_(ids), _MODEL.creator.is_not(None))
    return {row.id: row.creator for row in connection.execute(query)}


def count_creators(connection: sa.Connection, team: str | None) -> list[tuple[str, int]]:
    """Return the creators of the models that ``team`` may see, each with how many models it has, the most first.

    Cost: a walk over all models.
    """
    is_visible = visible_to(_MODEL, team)
    model = sa.func.coalesce(_MODEL.version_group, sa.cast(_MODEL.id, sa.Text))
    count = sa.func.count(sa.distinct(model)).label("count")
    query = sa.select(_MODEL.creator, count).where(_MODEL.creator.is_not(None), is_visible).group_by(_MODEL.creator)
    return [
        (creator, number)
        for creator, number in connection.execute(query.order_by(count.desc(), by_bytes(_MODEL.creator)))
    ]
