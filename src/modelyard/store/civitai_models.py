"""Models as Civitai's JSON, rendered before anybody asks for them.

A row is that of a group of versions, or of one version without a group. It is what everyone sees: a group with a
private version, or with a file on this server, has none. It is good as long as the group has as many versions as it
had, and none is newer: every change of a version, and every new one, has a greater revision. So nobody has to delete a
row that is not good any more, also no node of an older version.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from modelyard.domain import Visibility
from modelyard.store import schema
from modelyard.store.queries import batches

_MODEL, _ROW, _FILE = schema.models.c, schema.civitai_models.c, schema.files.c
# No parameter: PostgreSQL could not tell that what is grouped by is what is selected.
_NAME = sa.func.coalesce(_MODEL.version_group, sa.literal_column("'#'").concat(sa.cast(_MODEL.id, sa.Text)))
# A thousand objects of SQLAlchemy take longer than the query.
_FOUND = """
SELECT lead.id, stored.body FROM models AS lead
JOIN civitai_models AS stored ON stored.name = coalesce(lead.version_group, '#' || lead.id)
WHERE lead.id IN (?) AND stored.rendering = {rendering} AND CASE WHEN lead.version_group IS NULL
    THEN stored.revision = lead.revision
    ELSE stored.revision = (SELECT max(revision) FROM models WHERE version_group = lead.version_group)
    AND stored.versions = (SELECT count(*) FROM models WHERE version_group = lead.version_group) END
"""


@dataclass(frozen=True, slots=True)
class Group:
    """A group of versions as it is now. ``lead_id`` is one of them."""

    name: str
    lead_id: int
    versions: int
    revision: int


@dataclass(frozen=True, slots=True)
class Changed:
    """A model, and the revision that it is from."""

    revision: int
    model_id: int
    name: str


def find(connection: sa.Connection, ids: Sequence[int], rendering: int) -> dict[int, bytes]:
    """Return, by the id of a version, the body of its model, for those that have a good one."""
    query = _FOUND.format(rendering=rendering).replace("?", ",".join(map(str, sorted(ids))) or "NULL")
    cursor = connection.exec_driver_sql(query).cursor
    return {id_: bytes(body) for id_, body in cursor.fetchall()}


def list_changed(connection: sa.Connection, revision: int, model_id: int, limit: int) -> list[Changed]:
    """Return models that changed after a revision, or in it and with a greater id; in that order."""
    is_later = (_MODEL.revision > revision) | ((_MODEL.revision == revision) & (_MODEL.id > model_id))
    query = sa.select(_MODEL.revision, _MODEL.id, _NAME).where(_MODEL.revision >= revision, is_later)
    return [Changed(*row) for row in connection.execute(query.order_by(_MODEL.revision, _MODEL.id).limit(limit))]


def list_groups(connection: sa.Connection, names: Iterable[str], versions_max: int) -> list[Group]:
    """Return those of the groups that a row may be of: with up to so many versions, all public, and without files."""
    groups = []
    has_file = sa.exists().where(_FILE.model_id == _MODEL.id)
    is_own = (_MODEL.visibility != Visibility.PUBLIC.value) | _MODEL.blob.is_not(None) | has_file
    count, own = sa.func.count(), sa.func.sum(sa.case((is_own, 1), else_=0))
    for batch in batches(names):
        alone = [int(name[1:]) for name in batch if name.startswith("#")]
        is_of = _MODEL.version_group.in_(batch) | (_MODEL.id.in_(alone) & _MODEL.version_group.is_(None))
        query = sa.select(_NAME, sa.func.min(_MODEL.id), count, sa.func.max(_MODEL.revision)).where(is_of)
        rows = connection.execute(query.group_by(_NAME).having((own == 0) & (count <= versions_max)))
        groups += [Group(*row) for row in rows]
    return groups


def replace(
    connection: sa.Connection, names: Iterable[str], rendering: int, bodies: Iterable[tuple[Group, bytes]]
) -> None:
    """Replace the rows of groups; those without a body lose theirs."""
    for batch in batches(names):
        connection.execute(sa.delete(schema.civitai_models).where(_ROW.name.in_(batch)))
    rows: list[dict[str, Any]] = [
        {
            "name": group.name,
            "model_id": group.lead_id,
            "rendering": rendering,
            "versions": group.versions,
            "revision": group.revision,
            "body": body,
        }
        for group, body in bodies
    ]
    if rows:
        connection.execute(sa.insert(schema.civitai_models), rows)
