"""The audit: who changed what, recorded in the transaction of the change.

    a model         one row, with the revision that the model had before and has after
    many models     one row for each team and verb of the transaction, with the number of models
    another thing   one row, with its name as ``subject``: a key, a session, a webhook

A request and a piece of background work say in a context variable who acts; ``asyncio.to_thread`` hands it on. Every
other change is by the process that opened the store.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, fields
from typing import Any

import sqlalchemy as sa

from modelyard.domain import Viewer
from modelyard.store.metadata import ID, METADATA

BY_KEY, BY_COMMAND, BY_JOB, BY_SERVER = "key", "command", "job", "server"
CREATE, EDIT, DELETE, COUNT = "model.create", "model.edit", "model.delete", "model.count"
# A transaction with more models of a team and a verb has one row for all of them.
MODEL_ROWS_MAX = 20

rows = sa.Table(
    "audit",
    METADATA,
    # The order of the changes.
    sa.Column("number", ID, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    # Whose admins see the row; null for what belongs to no team.
    sa.Column("team", sa.Text),
    # "key", "command", "job" or "server", and the route, the command or the kind of job.
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("via", sa.Text, nullable=False),
    sa.Column("verb", sa.Text, nullable=False),
    # Null for a change of many models, and of something else.
    sa.Column("model_id", ID),
    sa.Column("models", sa.Integer, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    # Of the model; of the catalogue, for many models. Null for a model that was not there, or is not there any more.
    sa.Column("revision_before", sa.BigInteger),
    sa.Column("revision_after", sa.BigInteger),
    sa.Column("key_fingerprint", sa.Text, nullable=False),
    sa.Column("person", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Index(None, "team", "number"),
    sa.Index(None, "model_id", "number"),
    sa.Index(None, "key_fingerprint", "number"),
    sa.Index(None, "at"),
)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes something: a key's owner, a command, a piece of background work, or the server by itself."""

    kind: str
    via: str = ""
    team: str | None = None
    key_fingerprint: str = ""
    person: str = ""
    address: str = ""
    request_id: str = ""


# Returns the actor at the end of a change: a request knows its caller only after it has read the key.
ACTOR: ContextVar[Callable[[], Actor] | None] = ContextVar("modelyard_actor", default=None)


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One change. Times are Unix seconds."""

    number: int
    at: int
    team: str | None
    actor: str
    via: str
    verb: str
    model_id: int | None
    models: int
    subject: str
    revision_before: int | None
    revision_after: int | None
    key_fingerprint: str
    person: str
    address: str
    request_id: str


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which rows to return. None and "" select all; ``verb`` may be a group such as ``model``."""

    team: str | None = None
    since: int | None = None
    until: int | None = None
    verb: str = ""
    model_id: int | None = None
    key_fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class _ModelChange:
    verb: str
    team: str | None
    revision_before: int | None
    revision_after: int | None


@dataclass(frozen=True, slots=True)
class _Event:
    verb: str
    subject: str
    team: str | None
    viewer: Viewer | None


class AuditTrail:
    """What one transaction changes."""

    def __init__(self) -> None:
        # Says that models changed by themselves, such as by being downloaded; they have one row together.
        self.verb = ""
        self._models: dict[int, _ModelChange] = {}
        self._events: list[_Event] = []

    def note_put(
        self, before: Mapping[int, tuple[str | None, int]], teams: Mapping[int, str | None], revision: int
    ) -> None:
        """Note models that were put: ``before`` has the team and the revision of those that existed."""
        for model_id, team in teams.items():
            earlier = self._models.get(model_id)
            old_team, old_revision = before.get(model_id, (team, None))
            if earlier is not None:
                old_revision = earlier.revision_before
            verb = self.verb or (CREATE if old_revision is None else EDIT)
            self._models[model_id] = _ModelChange(verb, old_team or team, old_revision, revision)

    def note_removal(self, before: Mapping[int, tuple[str | None, int]]) -> None:
        """Note models that were removed, with their team and revision."""
        for model_id, (team, revision) in before.items():
            earlier = self._models.pop(model_id, None)
            old_revision = revision if earlier is None else earlier.revision_before
            # A model that this transaction made itself was never there.
            if old_revision is not None:
                self._models[model_id] = _ModelChange(DELETE, team, old_revision, None)

    def note(self, verb: str, subject: str, team: str | None, viewer: Viewer | None = None) -> None:
        """Note a change of something else. A ``viewer`` is who acts, if the actor does not know them yet."""
        self._events.append(_Event(verb, subject, team, viewer))

    def make_rows(self, process: Actor, now: int, revision_before: int) -> list[dict[str, Any]]:
        """Return the rows to insert; each has all columns but the number."""
        if not (self._models or self._events):
            return []
        actor_of = ACTOR.get()
        actor = process if actor_of is None else actor_of()
        common: dict[str, Any] = {
            "at": now,
            "actor": actor.kind,
            "via": actor.via,
            "key_fingerprint": actor.key_fingerprint,
            "person": actor.person,
            "address": actor.address,
            "request_id": actor.request_id,
            "model_id": None,
            "models": 0,
            "subject": "",
            "revision_before": None,
            "revision_after": None,
        }
        values = [common | row for row in self._model_rows(actor.team, revision_before)]
        for event in self._events:
            row = common | {"verb": event.verb, "subject": event.subject, "team": event.team}
            if event.viewer is not None:
                row |= {"key_fingerprint": event.viewer.key_fingerprint, "person": event.viewer.user}
            values.append(row)
        return values

    def _model_rows(self, actor_team: str | None, revision_before: int) -> list[dict[str, Any]]:
        groups = Counter((change.verb, change.team) for change in self._models.values())
        batches = {group for group, count in groups.items() if count > MODEL_ROWS_MAX or group[0] == self.verb}
        result: list[dict[str, Any]] = [
            {
                "verb": change.verb,
                "team": change.team or actor_team,
                "model_id": model_id,
                "models": 1,
                "revision_before": change.revision_before,
                "revision_after": change.revision_after,
            }
            for model_id, change in self._models.items()
            if (change.verb, change.team) not in batches
        ]
        for verb, team in sorted(batches, key=str):
            result.append(
                {
                    "verb": verb,
                    "team": team or actor_team,
                    "models": groups[verb, team],
                    "revision_before": revision_before,
                    "revision_after": revision_before + 1,
                }
            )
        return result


_ROW = rows.c
_ROWS: sa.Select[Any] = sa.select(*[_ROW[item.name] for item in fields(AuditRow)])


def read_rows(connection: sa.Connection, query: AuditQuery, before: int | None, limit: int) -> list[AuditRow]:
    """Return the newest rows that a query selects, of those before a number."""
    conditions = [
        None if query.team is None else _ROW.team == query.team,
        None if query.since is None else _ROW.at >= query.since,
        None if query.until is None else _ROW.at < query.until,
        None if query.model_id is None else _ROW.model_id == query.model_id,
        None if not query.key_fingerprint else _ROW.key_fingerprint == query.key_fingerprint,
        None if not query.verb else _is_verb(query.verb),
        None if before is None else _ROW.number < before,
    ]
    statement = _ROWS.where(*[condition for condition in conditions if condition is not None])
    return [AuditRow(*row) for row in connection.execute(statement.order_by(_ROW.number.desc()).limit(limit))]


def _is_verb(verb: str) -> sa.ColumnElement[bool]:
    return _ROW.verb == verb if "." in verb else _ROW.verb.startswith(f"{verb}.", autoescape=True)


def prune(connection: sa.Connection, before: int) -> int:
    """Delete rows from before a time, and return how many."""
    return connection.execute(sa.delete(rows).where(_ROW.at < before)).rowcount
