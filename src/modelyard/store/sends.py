"""Records of sends: a generator fetches a model's file from here, because a team asked for it.

The row stays after the send: it says what became of it. The job has its id as its subject.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import sqlalchemy as sa

from modelyard.store import schema

OPEN, DONE, FAILED = "open", "done", "failed"
_PROBLEM_CHARS_MAX = 500
_SEND = schema.sends.c


@dataclass(frozen=True, slots=True)
class Send:
    """A send. ``state`` is ``open``, ``done`` or ``failed``; ``problem`` says why it failed, or why it waits.

    ``base`` is the address of this server in the link, ``key_fingerprint`` names the key that the link is made for.
    ``task`` is the generator's own name of its work, None before it has taken the file. ``failures`` are those in a row
    without an answer.
    """

    id: str
    team: str
    model_id: int
    target: str
    base: str
    key_fingerprint: str
    created_at: int
    state: str = OPEN
    problem: str = ""
    task: str | None = None
    done_bytes: int | None = None
    total_bytes: int | None = None
    failures: int = 0
    finished_at: int | None = None


_COLUMNS = [_SEND[field.name] for field in fields(Send)]


def find(connection: sa.Connection, send_id: str) -> Send | None:
    """Return a send."""
    row = connection.execute(sa.select(*_COLUMNS).where(_SEND.id == send_id)).one_or_none()
    return None if row is None else Send(*row)


def add(connection: sa.Connection, send: Send) -> None:
    """Insert a send."""
    connection.execute(sa.insert(schema.sends).values({f.name: getattr(send, f.name) for f in fields(Send)}))


def update(connection: sa.Connection, send_id: str, **values: Any) -> None:
    """Change an open send."""
    if "problem" in values:
        values["problem"] = values["problem"][:_PROBLEM_CHARS_MAX]
    is_open = (_SEND.id == send_id, _SEND.state == OPEN)
    connection.execute(sa.update(schema.sends).where(*is_open).values(**values))


def of_team(connection: sa.Connection, team: str, limit: int) -> Sequence[Send]:
    """Return the sends of a team, the newest first."""
    query = sa.select(*_COLUMNS).where(_SEND.team == team)
    return [Send(*row) for row in connection.execute(query.order_by(_SEND.created_at.desc(), _SEND.id).limit(limit))]


def by_ids(connection: sa.Connection, send_ids: Sequence[str]) -> dict[str, Send]:
    """Return the sends that exist among some ids."""
    rows = [Send(*row) for row in connection.execute(sa.select(*_COLUMNS).where(_SEND.id.in_(send_ids)))]
    return {send.id: send for send in rows}


def open_of_team(connection: sa.Connection, team: str) -> dict[tuple[int, str], Send]:
    """Return the open sends of a team by model and target."""
    query = sa.select(*_COLUMNS).where(_SEND.team == team, _SEND.state == OPEN)
    rows = [Send(*row) for row in connection.execute(query)]
    return {(send.model_id, send.target): send for send in rows}


def newest_of_model(connection: sa.Connection, model_id: int, team: str) -> Send | None:
    """Return a team's newest send of a model."""
    query = sa.select(*_COLUMNS).where(_SEND.model_id == model_id, _SEND.team == team)
    row = connection.execute(query.order_by(_SEND.created_at.desc(), _SEND.id).limit(1)).first()
    return None if row is None else Send(*row)


def remove_ended(connection: sa.Connection, before: int) -> None:
    """Forget the sends that ended before a time."""
    connection.execute(sa.delete(schema.sends).where(_SEND.finished_at < before))
