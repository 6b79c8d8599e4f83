"""Finds models by the names of their repositories. Other than ``lookup``, it knows who may see a model."""

from collections.abc import Sequence
from functools import lru_cache

import msgspec
import sqlalchemy as sa

from modelyard.domain import FILE_EXTENSIONS, OWN_ID_MIN, Licence, Visibility
from modelyard.store import repositories, rows, schema

# The namespace of the models that everybody may see.
PUBLIC = "public"
_MODEL = schema.models.c
_UPSTREAM_GROUP = "civitai:"
_decode_licence = msgspec.json.Decoder(Licence).decode
_LISTED = (
    "SELECT models.id, licence, version_group, added_at, updated_at, downloads.count"
    " FROM models LEFT JOIN downloads ON downloads.model_id = models.id WHERE models.id IN (?)"
)


class ListedRow(msgspec.Struct, frozen=True, gc=False):
    """What a page of repositories needs besides the index. ``licence`` is an id, or "other"; 0 is an unknown date."""

    licence: str | None
    upstream_model_id: str | None
    added_at: int
    updated_at: int
    downloads: int


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


def list_rows(connection: sa.Connection, ids: Sequence[int]) -> dict[int, ListedRow]:
    """Return the rows of a page of models by id. Whoever asks has found the models in the index."""
    # A thousand parameters, and a thousand objects of SQLAlchemy, take four times as long as the query.
    query = _LISTED.replace("?", ",".join(str(int(id_)) for id_ in ids) or "NULL")
    cursor = connection.exec_driver_sql(query).cursor
    return {
        id_: ListedRow(
            licence and _licence_id(licence),
            group.removeprefix(_UPSTREAM_GROUP) if _is_upstream(id_, group) else None,
            added_at or 0,
            updated_at or 0,
            count or 0,
        )
        for id_, licence, group, added_at, updated_at, count in cursor.fetchall()
    }


def changed_ids(connection: sa.Connection, after: int, limit: int) -> list[int]:
    """Return ids of models that changed after a revision, up to a number of them. Removed ones are not in it."""
    return list(connection.scalars(sa.select(_MODEL.id).where(_MODEL.revision > after).limit(limit)))


@lru_cache(maxsize=1024)
def _licence_id(licence: str) -> str:
    return _decode_licence(licence).id or "other"


def _is_upstream(model_id: int, group: str | None) -> bool:
    return model_id < OWN_ID_MIN and group is not None and group.startswith(_UPSTREAM_GROUP)
