"""Which models were withdrawn from whom, so that the change feed names a model to those who could see it before.

    audience      ``EVERYONE`` for a public model, its team for a private one
    withdrawals   models that an audience could see and cannot see any more, with the revision of that change
    horizons      the last revision of an audience whose withdrawals were deleted

A model has no withdrawal for an audience that sees it now. The write transaction maintains that: each change of a model
passes through it.
"""

import heapq
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from modelyard.domain import Model, Visibility
from modelyard.store import rows, schema
from modelyard.store.metadata import ID, METADATA
from modelyard.store.queries import batches, visible_to

EVERYONE = ""

withdrawals = sa.Table(
    "withdrawals",
    METADATA,
    sa.Column("model_id", ID, primary_key=True, autoincrement=False),
    sa.Column("audience", sa.Text, primary_key=True),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("withdrawn_at", sa.BigInteger, nullable=False),
    sa.Index(None, "audience", "revision", "model_id"),
    sa.Index(None, "withdrawn_at"),
    sqlite_with_rowid=False,
)
horizons = sa.Table(
    "withdrawal_horizons",
    METADATA,
    sa.Column("audience", sa.Text, primary_key=True),
    sa.Column("revision", sa.BigInteger, nullable=False),
)
_MODEL, _WITHDRAWAL, _HORIZON = schema.models.c, withdrawals.c, horizons.c
# Literals, not parameters: an index of a part of a table is used where the statement names the part.
_IS_PUBLIC, _IS_PRIVATE = sa.text("visibility = 'public'"), sa.text("visibility = 'private'")
sa.Index("ix_models_public_revision", _MODEL.revision, _MODEL.id, sqlite_where=_IS_PUBLIC, postgresql_where=_IS_PUBLIC)
sa.Index(
    "ix_models_private_revision",
    _MODEL.team,
    _MODEL.revision,
    _MODEL.id,
    sqlite_where=_IS_PRIVATE,
    postgresql_where=_IS_PRIVATE,
)


@dataclass(frozen=True, slots=True)
class Change:
    """A model that a team sees as it is since ``revision``, or, without a model, does not see any more."""

    revision: int
    model_id: int
    model: Model | None


@dataclass(frozen=True, slots=True)
class Bounds:
    """The last revision that changed what a team sees, and the last one before which withdrawals may be missing."""

    newest: int
    horizon: int


def audience_of(model: Model) -> str:
    """Return who sees a model."""
    return EVERYONE if model.visibility is Visibility.PUBLIC else model.team or EVERYONE


def audiences_of(rows_of_models: Iterable[Any]) -> dict[int, str]:
    """Return who sees each model, by id, of rows that begin with id, visibility and team."""
    return {
        id_: EVERYONE if visibility == Visibility.PUBLIC.value else team for id_, visibility, team, *_ in rows_of_models
    }


def note_changes(
    connection: sa.Connection, before: Mapping[int, str], after: Mapping[int, str], revision: int, now: int
) -> None:
    """Note who sees models that were put: ``before`` the change, for those that existed, and ``after`` it."""
    moved = {id_: audience for id_, audience in after.items() if before.get(id_) != audience}
    ids_by_audience: dict[str, list[int]] = {}
    for id_, audience in moved.items():
        ids_by_audience.setdefault(audience, []).append(id_)
    for audience, ids in ids_by_audience.items():
        # What everyone sees is withdrawn from nobody.
        sees = sa.true() if audience == EVERYONE else _WITHDRAWAL.audience == audience
        for batch in batches(ids):
            connection.execute(sa.delete(withdrawals).where(_WITHDRAWAL.model_id.in_(batch), sees))
    note_withdrawals(
        connection,
        {id_: before[id_] for id_, audience in moved.items() if id_ in before and audience != EVERYONE},
        revision,
        now,
    )


def note_withdrawals(connection: sa.Connection, audiences: Mapping[int, str], revision: int, now: int) -> None:
    """Note models, by id, that their audiences do not see any more."""
    lost = [
        {"model_id": id_, "audience": audience, "revision": revision, "withdrawn_at": now}
        for id_, audience in audiences.items()
    ]
    if lost:
        connection.execute(sa.insert(withdrawals), lost)


def prune(connection: sa.Connection, before: int) -> int:
    """Delete withdrawals from before a time, and move the horizons of their audiences; return how many."""
    is_old = _WITHDRAWAL.withdrawn_at < before
    last = sa.select(_WITHDRAWAL.audience, sa.func.max(_WITHDRAWAL.revision)).where(is_old)
    for audience, revision in connection.execute(last.group_by(_WITHDRAWAL.audience)).all():
        raise_horizon(connection, audience, revision)
    return connection.execute(sa.delete(withdrawals).where(is_old)).rowcount


def cover_unnoted(connection: sa.Connection) -> None:
    """Move the horizon of everyone over removals that have no withdrawal: a node of an older version notes none.

    Nobody knows any more who saw those models, so all readers begin again. Removals up to a horizon are left out: their
    withdrawals may have been deleted.
    """
    removal = schema.tombstones.c
    last = sa.select(sa.func.coalesce(sa.func.max(_HORIZON.revision), 0)).scalar_subquery()
    is_noted = sa.exists().where(_WITHDRAWAL.model_id == removal.id)
    unnoted = sa.select(sa.func.max(removal.revision)).where(removal.revision > last, ~is_noted)
    revision = connection.execute(unnoted).scalar()
    if revision is not None:
        raise_horizon(connection, EVERYONE, revision)


def raise_horizon(connection: sa.Connection, audience: str, revision: int) -> None:
    """Note that withdrawals of an audience may be missing up to a revision."""
    own = _HORIZON.audience == audience
    horizon = connection.execute(sa.select(_HORIZON.revision).where(own)).scalar()
    if horizon is None:
        connection.execute(sa.insert(horizons).values(audience=audience, revision=revision))
    elif horizon < revision:
        connection.execute(sa.update(horizons).where(own).values(revision=revision))


def bounds(connection: sa.Connection, team: str | None) -> Bounds:
    """Return the bounds of what changed for a team, or for callers without one. Changes of others move none."""
    audiences = _audiences(team)
    horizon = connection.execute(sa.select(sa.func.max(_HORIZON.revision)).where(_HORIZON.audience.in_(audiences)))
    newest = [horizon.scalar() or 0]
    parts = [sa.select(_MODEL.revision).where(condition) for condition in _visible_parts(team)]
    parts += [sa.select(_WITHDRAWAL.revision).where(_WITHDRAWAL.audience == audience) for audience in audiences]
    for part in parts:
        last = connection.execute(part.order_by(part.selected_columns[0].desc()).limit(1)).scalar()
        newest.append(last or 0)
    return Bounds(max(newest), newest[0])


def changes(connection: sa.Connection, team: str | None, after: tuple[int, int], limit: int) -> list[Change]:
    """Return up to ``limit`` changes of what a team sees, after a revision and an id, in this order."""
    place, number = sa.tuple_(sa.literal(after[0]), sa.literal(after[1])), limit
    seen = sa.tuple_(_MODEL.revision, _MODEL.id) > place
    lost = sa.tuple_(_WITHDRAWAL.revision, _WITHDRAWAL.model_id) > place
    is_seen_still = sa.exists().where(_MODEL.id == _WITHDRAWAL.model_id, visible_to(_MODEL, team))
    parts = [
        [(revision, id_, True) for revision, id_ in connection.execute(query.limit(number))]
        for query in (
            sa.select(_MODEL.revision, _MODEL.id).where(condition, seen).order_by(_MODEL.revision, _MODEL.id)
            for condition in _visible_parts(team)
        )
    ] + [
        [(revision, id_, False) for revision, id_ in connection.execute(query.limit(number))]
        for query in (
            sa.select(_WITHDRAWAL.revision, _WITHDRAWAL.model_id)
            .where(_WITHDRAWAL.audience == audience, lost, ~is_seen_still)
            .order_by(_WITHDRAWAL.revision, _WITHDRAWAL.model_id)
            for audience in _audiences(team)
        )
    ]
    page = list(heapq.merge(*parts))[:limit]
    models = _models(connection, [id_ for _, id_, is_seen in page if is_seen])
    return [Change(revision, id_, models[id_] if is_seen else None) for revision, id_, is_seen in page]


def _audiences(team: str | None) -> list[str]:
    return [EVERYONE] if team is None else [EVERYONE, team]


def _visible_parts(team: str | None) -> list[sa.ColumnElement[bool]]:
    public = sa.and_(_IS_PUBLIC)
    return [public] if team is None else [public, sa.and_(_IS_PRIVATE, _MODEL.team == team)]


def _models(connection: sa.Connection, ids: Collection[int]) -> dict[int, Model]:
    models: dict[int, Model] = {}
    for batch in batches(ids):
        query = sa.select(*rows.MODEL_COLUMNS).where(_MODEL.id.in_(batch))
        models |= {model.id: model for model in rows.models_of(connection.execute(query))}
    return models
