"""Finds models by the names of their repositories. Other than ``lookup``, it knows who may see a model."""

import sqlalchemy as sa

from modelyard.domain import FILE_EXTENSIONS, Visibility
from modelyard.store import repositories, rows, schema
from modelyard.wire import hub

PUBLIC = hub.PUBLIC
_MODEL = schema.models.c


def find(connection: sa.Connection, namespace: str, name: str, team: str | None) -> int | None:
    """Return the id of the model with this name that ``team`` may see; None if there is none.

    ``name`` is the model's id, the name of a repository of the team, or its ``sd_name`` with or without the extension.
    A namespace is ``PUBLIC``, or that of the own team: those of other teams are empty for everybody else. A model that
    is not visible takes as long as one that does not exist, because the database compares both.
    """
    conditions = []
    if namespace == PUBLIC:
        conditions.append(_MODEL.visibility == Visibility.PUBLIC.value)
    if team is not None and namespace == team:
        conditions.append(_MODEL.team == team)
    if not conditions:
        return None
    visible = sa.or_(*conditions)
    if name.isascii() and name.isdigit() and len(name) < 19:
        by_id = sa.select(_MODEL.id).where(_MODEL.id == min(int(name), rows.INT64_MAX), visible)
        model_id = connection.execute(by_id).scalar_one_or_none()
        if model_id is not None:
            return int(model_id)
    if namespace == team:
        repository = repositories.find(connection, namespace, name)
        if repository is not None:
            return repository.model_id
    names = [name, *(f"{name}.{extension}" for extension in FILE_EXTENSIONS)]
    query = sa.select(_MODEL.id, _MODEL.sd_name).where(_MODEL.sd_name.in_(names), visible)
    matches = connection.execute(query.order_by(_MODEL.rank.desc(), _MODEL.id.desc())).all()
    best = min(matches, key=lambda row: names.index(row.sd_name), default=None)
    return None if best is None else int(best.id)
