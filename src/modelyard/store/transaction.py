"""The write transaction, which makes every change to the record.

All changes of one transaction get the same revision, the next one. Only one transaction writes at a time, so the order
of commits is the order of revisions, and a follower at revision N has seen all earlier ones.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from modelyard import errors
from modelyard.domain import OWN_ID_MAX, OWN_ID_MIN, BaseModel, Model, Scope, Visibility
from modelyard.facts import Entry
from modelyard.store import api_keys, jobs, rows, schema, withdrawals
from modelyard.store.audit import Actor, AuditTrail
from modelyard.store.dialect import Dialect, Ending, Revisions, revisions_of
from modelyard.store.queries import by_bytes


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes that bring a follower to ``revision``: first ``removed``, then ``models``."""

    revision: int
    models: list[Model]
    removed: list[int]


class WriteTransaction:
    """An open write transaction. It uses up ``revision`` only if it puts or removes a model."""

    def __init__(
        self, connection: sa.Connection, dialect: Dialect, counters: dict[str, int], now: int, process: Actor
    ) -> None:
        """``process`` is who acts if neither a request nor a piece of background work does."""
        self._connection = connection
        self._dialect = dialect
        self._now = now
        self._process = process
        self.audit = AuditTrail()
        self._counters = counters
        self._before = revisions_of(self._counters)
        self._first_own_id = counters[schema.NEXT_OWN_ID]
        self._put_or_removed = False
        self._keys_changed = False
        # Whether it brings models, keys or jobs; known when it is finished.
        self.has_news = False
        # By model, the entry that was checked last, and its layers as rows.
        self._checked: dict[int, tuple[Entry, list[tuple[object, ...]]]] = {}
        # The entries that were read, and None for an id without one: nobody else writes meanwhile.
        self._stored: dict[int, Entry | None] = {}
        self._revision_by_id: dict[int, int] = {}
        # Ids that this transaction has given, and whose models it has not put yet.
        self._new_ids: set[int] = set()
        # What followers apply.
        self._models: dict[int, Model] = {}
        self._removed: set[int] = set()

    @property
    def connection(self) -> sa.Connection:
        """The connection, for tables other than the models; changes made through it move no revision."""
        return self._connection

    @property
    def now(self) -> int:
        """When the transaction began, in Unix seconds."""
        return self._now

    @property
    def revision(self) -> int:
        """The next revision, which the models that this transaction puts or removes get."""
        return self._before.models + 1

    def entries(self, ids: Collection[int]) -> dict[int, Entry]:
        """Return those of the entries that exist, by id."""
        if all(id_ in self._stored for id_ in ids):
            return {id_: entry for id_ in ids if (entry := self._stored[id_]) is not None}
        entries, revision_by_id = _entries_with_revisions(self._connection, self._dialect, ids)
        self._revision_by_id |= revision_by_id
        self._stored |= {id_: entries.get(id_) for id_ in ids}
        return entries

    def check(self, entry: Entry) -> None:
        """Raise InvalidValue unless every database can store the entry.

        Call it before ``put``, so that one bad record does not undo the others. Its result is not made again there.
        """
        rows.refuse_unstorable_model(entry.model)
        self._checked[entry.model.id] = entry, rows.layer_rows_of(entry)

    def put(self, entries: Sequence[Entry], *, rewrite: bool = False) -> None:
        """Insert or replace whole entries, layers included, at this revision, and insert their new teams.

        ``rewrite`` also writes layers that did not change, in the form of this version. Raises InvalidValue before it
        writes anything if an entry cannot be stored.
        """
        if not entries:
            return
        # Of two entries with one id the last one wins, as if the caller had put them one after the other.
        by_id = {entry.model.id: entry for entry in entries}
        for entry in by_id.values():
            if self._checked.get(entry.model.id, (None,))[0] is not entry:
                self.check(entry)
        model_rows = [rows.row_of(entry.model, self.revision) for entry in by_id.values()]
        layer_rows = [row for id_ in by_id for row in self._checked.pop(id_)[1]]
        self._put_or_removed = True
        stored = {id_: before for id_ in by_id if (before := self._stored.get(id_)) is not None}
        self._make_teams(
            {
                entry.model.team
                for id_, entry in by_id.items()
                if id_ not in stored or stored[id_].model.team != entry.model.team
            }
        )
        if len(stored) == len(by_id) and not rewrite:
            self._replace(stored, by_id, model_rows, layer_rows)
        else:
            self._insert(by_id, model_rows, layer_rows)
        self._pass_own_id(max(by_id))
        self._stored |= by_id
        self._revision_by_id |= dict.fromkeys(by_id, self.revision)
        self._removed -= by_id.keys()
        self._new_ids -= by_id.keys()
        self._models |= {model.id: model for model in rows.models_of(row[:-1] for row in model_rows)}

    def _insert(
        self, by_id: Mapping[int, Entry], model_rows: Sequence[rows.Row], layer_rows: Sequence[rows.Row]
    ) -> None:
        """Insert entries, or replace those that exist, whatever they are."""
        if self._new_ids.issuperset(by_id):
            # Nothing is there that they could replace.
            self._dialect.put_rows(self._connection, model_rows, layer_rows, [])
            self._put_new_file_hashes([entry.model for entry in by_id.values()])
            self.audit.note_put({}, {id_: entry.model.team for id_, entry in by_id.items()}, self.revision)
            return
        ids = {"ids": self._dialect.ids_parameter(by_id)}
        before = self._connection.execute(self._dialect.by_ids.audiences, ids).all()
        self._dialect.put_rows(self._connection, model_rows, layer_rows, list(by_id))
        self._put_file_hashes([entry.model for entry in by_id.values()])
        self._connection.execute(self._dialect.by_ids.forget_removed, ids)
        self._note_audiences(withdrawals.audiences_of(before), _owners_of(before), by_id)

    def _replace(
        self,
        stored: Mapping[int, Entry],
        by_id: Mapping[int, Entry],
        model_rows: Sequence[rows.Row],
        layer_rows: Sequence[rows.Row],
    ) -> None:
        """Replace entries that this transaction has read: only what differs is written."""
        stored_rows = {row for entry in stored.values() for row in rows.layer_rows_of(entry)}
        keys = {row[:2] for row in layer_rows}
        dropped = sorted({int(row[0]) for row in stored_rows if row[:2] not in keys})  # type: ignore[call-overload] # an id
        changed = [row for row in layer_rows if row not in stored_rows or row[0] in dropped]
        self._dialect.put_rows(self._connection, model_rows, changed, dropped)
        moved = [
            entry.model for id_, entry in by_id.items() if entry.model.file_hashes != stored[id_].model.file_hashes
        ]
        if moved:
            self._put_file_hashes(moved)
        before = {id_: withdrawals.audience_of(entry.model) for id_, entry in stored.items()}
        owners = {id_: (entry.model.team, self._revision_by_id[id_]) for id_, entry in stored.items()}
        self._note_audiences(before, owners, by_id)

    def _note_audiences(
        self, before: Mapping[int, str], owners: Mapping[int, tuple[str | None, int]], by_id: Mapping[int, Entry]
    ) -> None:
        after = {id_: withdrawals.audience_of(entry.model) for id_, entry in by_id.items()}
        withdrawals.note_changes(self._connection, before, after, self.revision, self._now)
        teams = {id_: entry.model.team for id_, entry in by_id.items()}
        self.audit.note_put(owners, teams, self.revision)

    def _put_file_hashes(self, models: Sequence[Model]) -> None:
        """Replace the hashes of the models' further files."""
        ids = self._dialect.ids_parameter([model.id for model in models])
        self._connection.execute(self._dialect.by_ids.forget_file_hashes, {"ids": ids})
        self._put_new_file_hashes(models)

    def _put_new_file_hashes(self, models: Sequence[Model]) -> None:
        pairs = [{"digits": digits, "model_id": model.id} for model in models for digits in model.file_hashes]
        if pairs:
            self._connection.execute(sa.insert(schema.model_hashes), pairs)

    def remove(self, ids: Collection[int]) -> None:
        """Delete those of the models that exist, and insert a tombstone and a withdrawal for each at this revision."""
        statement, parameters = self._dialect.by_ids.remove, {"ids": self._dialect.ids_parameter(ids)}
        gone = self._connection.execute(statement, parameters).all()
        audiences = withdrawals.audiences_of(gone)
        if audiences:
            removed = [{"id": id_, "revision": self.revision} for id_ in audiences]
            self._connection.execute(sa.insert(schema.tombstones), removed)
            withdrawals.note_withdrawals(self._connection, audiences, self.revision, self._now)
            self.audit.note_removal(_owners_of(gone))
            self._put_or_removed = True
            self._stored |= dict.fromkeys(audiences)
            self._models = {id_: model for id_, model in self._models.items() if id_ not in audiences}
            self._removed |= audiences.keys()

    def next_own_id(self) -> int:
        """Return a new id for a model of this catalogue; no model has or ever had it."""
        id_ = self._counters[schema.NEXT_OWN_ID]
        if id_ > OWN_ID_MAX:
            raise errors.Unavailable("all ids that this catalogue can give are taken")
        self._counters[schema.NEXT_OWN_ID] = id_ + 1
        self._new_ids.add(id_)
        return id_

    def sd_name_taken(self, sd_name: str, team: str | None, besides: int | None = None) -> bool:
        """Whether a public model or one of the team's, other than ``besides``, has the name.

        With ``team`` None the name will be public, and a model of any team counts.
        """
        parameters = {"sd_name": sd_name, "team": team, "besides": -1 if besides is None else besides}
        return self._connection.execute(_SD_NAME_TAKEN, parameters).first() is not None

    def base_models(self) -> list[BaseModel]:
        """Return all base models, by name."""
        return base_models_of(self._connection)

    def put_base_model(self, base_model: BaseModel) -> None:
        """Insert or replace a base model by its name."""
        self._upsert(schema.base_models, "name", rows.row_of_base_model(base_model))

    def remember(self, key: str, value: str | None) -> None:
        """Store a note under a key; None deletes it."""
        if value is None:
            self._connection.execute(sa.delete(schema.notes).where(schema.notes.c.key == key))
        else:
            self._upsert(schema.notes, "key", {"key": key, "value": value})

    def add_key(
        self,
        digest: bytes,
        *,
        team: str,
        scopes: frozenset[Scope],
        hint: str,
        expires_at: int | None,
        name: str = "",
        purpose: str = "",
        provider: str = "",
    ) -> api_keys.Key:
        """Insert an API key by its digest, and its team if it is new."""
        rows.refuse_team_name(team)
        self._make_teams({team})
        self._keys_changed = True
        key = api_keys.add(
            self._connection,
            digest,
            team=team,
            scopes=scopes,
            hint=hint,
            created_at=self._now,
            expires_at=expires_at,
            name=name,
            purpose=purpose,
            provider=provider,
        )
        self.audit.note("person.create" if provider else "key.create", _describe_key(key), team)
        return key

    def replace_key(self, id_: int, expires_at: int, replaced_by: int) -> api_keys.Key | None:
        """Let an API key that has a successor expire at a time, or earlier if it does so anyway.

        None if it is revoked, if it has another successor, or if there is none.
        """
        self._keys_changed = True
        key = api_keys.replace(self._connection, id_, expires_at, replaced_by)
        if key is not None:
            self.audit.note("key.expire", _describe_key(key), key.team)
        return key

    def put_person(
        self, digest: bytes, *, team: str, scopes: frozenset[Scope], name: str, provider: str
    ) -> api_keys.Key:
        """Store a person who signs in without a key, or their new name and scopes. A revoked one stays as it is."""
        changed = api_keys.change_person(self._connection, digest, name, scopes)
        if changed is not None:
            self._keys_changed = True
            self.audit.note("person.edit", _describe_key(changed), team)
            return changed
        revoked = api_keys.find_by_digest(self._connection, digest)
        if revoked is not None:
            return revoked
        hint = f"({provider})"
        return self.add_key(digest, team=team, scopes=scopes, hint=hint, expires_at=None, name=name, provider=provider)

    def restore_person(self, id_: int) -> api_keys.Key | None:
        """Let a person sign in again whose row was revoked; None if there is no such person."""
        self._keys_changed = True
        restored = api_keys.restore(self._connection, id_)
        if restored is not None:
            self.audit.note("person.restore", _describe_key(restored), restored.team)
        return restored

    def revoke_key(self, id_: int) -> api_keys.Key | None:
        """Revoke an API key; None if there is no such key. A key revoked before keeps its first time."""
        self._keys_changed = True
        key = api_keys.revoke(self._connection, id_, self._now)
        if key is not None:
            self.audit.note("person.revoke" if key.provider else "key.revoke", _describe_key(key), key.team)
        return key

    def end_session(self, session: str, expires_at: int) -> bool:
        """End a session before its cookie expires. Return False if it ended before."""
        is_new = api_keys.end_session(self._connection, session, expires_at, self._now)
        self._keys_changed |= is_new
        return is_new

    def touch_keys(self, used_at_by_id: dict[int, int]) -> None:
        """Store when keys were last used. This moves no revision, as it changes no permission."""
        api_keys.touch(self._connection, used_at_by_id)

    def finish(self) -> Revisions:
        """Write the new revisions and return them; the store commits after this."""
        committed = Revisions(self._before.models + self._put_or_removed, self._before.keys + self._keys_changed)
        self.has_news = committed != self._before or jobs.has_news(self._connection)
        own_id = self._counters[schema.NEXT_OWN_ID]
        ending = Ending(
            revisions=None if committed == self._before else committed,
            news=committed if self.has_news else None,
            next_own_id=None if own_id == self._first_own_id else own_id,
            audit_rows=self.audit.make_rows(self._process, self._now, self._before.models),
        )
        if self.has_news or ending.next_own_id is not None or ending.audit_rows:
            self._dialect.end_writing(self._connection, ending)
        return committed

    def changes(self) -> Changes:
        """Return what this transaction changes in the models, for the followers of this process."""
        return Changes(self.revision, list(self._models.values()), sorted(self._removed))

    def _make_teams(self, names: Iterable[str | None]) -> None:
        made = [{"name": name, "created_at": self._now} for name in sorted(filter(None, names))]
        if made:
            self._connection.execute(self._dialect.insert(schema.teams).on_conflict_do_nothing(), made)

    def _pass_own_id(self, id_: int) -> None:
        # An entry from a backup or another catalogue may have an id of our range: never assign that id again.
        if OWN_ID_MIN <= id_ <= OWN_ID_MAX and id_ >= self._counters[schema.NEXT_OWN_ID]:
            self._counters[schema.NEXT_OWN_ID] = id_ + 1

    def _upsert(self, table: sa.Table, key: str, values: dict[str, object]) -> None:
        insert = self._dialect.insert(table).values(values)
        changed = {name: insert.excluded[name] for name in values if name != key}
        self._connection.execute(insert.on_conflict_do_update(index_elements=[key], set_=changed))


def _owners_of(rows_of_models: Iterable[Any]) -> dict[int, tuple[str | None, int]]:
    return {id_: (team, revision) for id_, _, team, revision in rows_of_models}


def _describe_key(key: api_keys.Key) -> str:
    return f"{key.hint} {key.name}".rstrip()


def read_counter(connection: sa.Connection, name: str) -> int:
    """Return a counter of the database."""
    value: int = connection.execute(_READ_COUNTER, {"counter": name}).scalar_one()
    return value


def write_counter(connection: sa.Connection, name: str, value: int) -> None:
    """Set a counter of the database."""
    connection.execute(_WRITE_COUNTER, {"counter": name, "number": value})


_READ_COUNTER = sa.select(schema.counters.c.value).where(schema.counters.c.name == sa.bindparam("counter"))
_WRITE_COUNTER = (
    sa.update(schema.counters)
    .where(schema.counters.c.name == sa.bindparam("counter"))
    .values(value=sa.bindparam("number"))
)


_MODEL = schema.models.c
_TEAM = sa.bindparam("team", type_=sa.Text)
_SD_NAME_TAKEN = (
    sa.select(_MODEL.id)
    .where(
        _MODEL.sd_name == sa.bindparam("sd_name"),
        _TEAM.is_(None) | (_MODEL.visibility == Visibility.PUBLIC.value) | (_MODEL.team == _TEAM),
        _MODEL.id != sa.bindparam("besides"),
    )
    .limit(1)
)


def base_models_of(connection: sa.Connection) -> list[BaseModel]:
    """Return all base models, by name."""
    table = schema.base_models.c
    query = sa.select(table.name, table.architecture, table.is_sdxl, table.aliases).order_by(by_bytes(table.name))
    return [rows.base_model_of(row) for row in connection.execute(query)]


def entries_by_id(connection: sa.Connection, dialect: Dialect, ids: Collection[int]) -> dict[int, Entry]:
    """Return those of the entries that exist, by id."""
    return _entries_with_revisions(connection, dialect, ids)[0]


def _entries_with_revisions(
    connection: sa.Connection, dialect: Dialect, ids: Collection[int]
) -> tuple[dict[int, Entry], dict[int, int]]:
    parameters = {"ids": dialect.ids_parameter(ids)}
    layers = rows.layers_of(connection.execute(dialect.by_ids.layers, parameters))
    model_rows = connection.execute(dialect.by_ids.models, parameters).all()
    models = rows.models_of(row[:-1] for row in model_rows)
    entries = {model.id: Entry(model, layers.get(model.id, {})) for model in models}
    return entries, {row.id: row.revision for row in model_rows}
