"""Records of files that the server fetches from other servers.

The row stays after the fetch: it says what became of it, and whose quota the file counts in. The bytes arrive in the
upload with the same id; the job has this id as its subject.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import sqlalchemy as sa

from modelyard.store import schema

OPEN, DONE, FAILED, CANCELLED = "open", "done", "failed", "cancelled"
_PROBLEM_CHARS_MAX = 500
_FETCH = schema.fetches.c


@dataclass(frozen=True, slots=True)
class Fetch:
    """A fetch. ``team`` is empty if the operator fetches for everyone. ``source`` has no secret.

    ``state`` is ``open`` until the file is verified; ``problem`` says why it failed, or why it waits. ``validator`` is
    the ETag or date that the bytes so far belong to. ``failures`` are those in a row without a new byte.
    """

    id: str
    team: str
    source: str
    model_id: int
    created_at: int
    state: str = OPEN
    problem: str = ""
    validator: str = ""
    size_bytes: int | None = None
    received_bytes: int = 0
    failures: int = 0
    sha256: str | None = None
    finished_at: int | None = None


_COLUMNS = [_FETCH[field.name] for field in fields(Fetch)]


def find(connection: sa.Connection, fetch_id: str) -> Fetch | None:
    """Return a fetch."""
    row = connection.execute(sa.select(*_COLUMNS).where(_FETCH.id == fetch_id)).one_or_none()
    return None if row is None else Fetch(*row)


def add(connection: sa.Connection, fetch: Fetch) -> None:
    """Insert a fetch."""
    connection.execute(sa.insert(schema.fetches).values({f.name: getattr(fetch, f.name) for f in fields(Fetch)}))


def update(connection: sa.Connection, fetch_id: str, **values: Any) -> bool:
    """Change an open fetch; return whether it is still open."""
    if "problem" in values:
        values["problem"] = values["problem"][:_PROBLEM_CHARS_MAX]
    is_open = (_FETCH.id == fetch_id, _FETCH.state == OPEN)
    return bool(connection.execute(sa.update(schema.fetches).where(*is_open).values(**values)).rowcount)


def close(
    connection: sa.Connection, fetch_id: str, state: str, now: int, *, problem: str = "", sha256: str = ""
) -> bool:
    """End an open fetch; return whether it was open."""
    return update(connection, fetch_id, state=state, problem=problem, sha256=sha256 or None, finished_at=now)


def of_team(connection: sa.Connection, team: str, limit: int) -> Sequence[Fetch]:
    """Return the fetches of a team, the newest first."""
    query = sa.select(*_COLUMNS).where(_FETCH.team == team)
    return [Fetch(*row) for row in connection.execute(query.order_by(_FETCH.created_at.desc(), _FETCH.id).limit(limit))]


def by_ids(connection: sa.Connection, fetch_ids: Sequence[str]) -> dict[str, Fetch]:
    """Return the fetches that exist among some ids."""
    query = sa.select(*_COLUMNS).where(_FETCH.id.in_(fetch_ids))
    return {row.id: Fetch(*row) for row in connection.execute(query)}


def open_of_model(connection: sa.Connection, model_id: int) -> Fetch | None:
    """Return the open fetch of a model, the oldest if there are several."""
    return _first(connection, _FETCH.model_id == model_id, _FETCH.state == OPEN)


def newest_of_model(connection: sa.Connection, model_id: int, team: str) -> Fetch | None:
    """Return a team's newest fetch of a model."""
    query = sa.select(*_COLUMNS).where(_FETCH.model_id == model_id, _FETCH.team == team)
    row = connection.execute(query.order_by(_FETCH.created_at.desc(), _FETCH.id).limit(1)).first()
    return None if row is None else Fetch(*row)


def open_of_source(connection: sa.Connection, team: str, source: str) -> Fetch | None:
    """Return a team's open fetch from a source."""
    return _first(connection, _FETCH.team == team, _FETCH.source == source, _FETCH.state == OPEN)


def done_of_source(connection: sa.Connection, team: str, source: str) -> Fetch | None:
    """Return a team's first finished fetch from a source."""
    return _first(connection, _FETCH.team == team, _FETCH.source == source, _FETCH.state == DONE)


def _first(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> Fetch | None:
    query = sa.select(*_COLUMNS).where(*conditions).order_by(_FETCH.created_at, _FETCH.id).limit(1)
    row = connection.execute(query).first()
    return None if row is None else Fetch(*row)


def listed_versions(
    connection: sa.Connection, type_names: Sequence[str], base_models: Sequence[str], after: tuple[int, int], limit: int
) -> list[tuple[int, int, int | None, bool]]:
    """Return listed versions, the most popular first: id, rank, size in bytes, and whether the file is here.

    ``after`` is the rank and the id of the version before. ``base_models`` are compared without case.
    """
    model = schema.models.c
    rank, model_id = after
    conditions = [
        model.source == "civitai",
        model.team.is_(None),
        (model.rank < rank) | ((model.rank == rank) & (model.id > model_id)),
    ]
    if type_names:
        conditions.append(model.type_name.in_(type_names))
    if base_models:
        conditions.append(sa.func.lower(model.base_model).in_([name.lower() for name in base_models]))
    query = sa.select(model.id, model.rank, model.size_bytes, model.blob.is_not(None)).where(*conditions)
    rows = connection.execute(query.order_by(model.rank.desc(), model.id).limit(limit))
    return [(row[0], row[1], row[2], bool(row[3])) for row in rows]


def failed_models(connection: sa.Connection, model_ids: Sequence[int]) -> set[int]:
    """Return the models among these whose fetch failed."""
    query = sa.select(_FETCH.model_id).where(_FETCH.model_id.in_(model_ids), _FETCH.state == FAILED)
    return set(connection.execute(query).scalars())
