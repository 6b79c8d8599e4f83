"""The write transaction, which makes every change to the record.

All changes of one transaction get the same revision, the next one. Only one transaction writes at a time, so the order
of commits is the order of revisions, and a follower at revision N has seen all earlier ones.
"""

from collections.abc import Collection, Iterable, Sequence

import sqlalchemy as sa

from modelyard import errors
from modelyard.domain import OWN_ID_MAX, OWN_ID_MIN, BaseModel, Model, Scope, Visibility
from modelyard.facts import Entry
from modelyard.store import api_keys, rows, schema
from modelyard.store.dialect import Dialect, Revisions, read_revisions


class WriteTransaction:
    """An open write transaction. It uses up ``revision`` only if it puts or removes a model."""

    def __init__(self, connection: sa.Connection, dialect: Dialect, now: int) -> None:
        self._connection = connection
        self._dialect = dialect
        self._now = now
        self._before = read_revisions(connection)
        self._put_or_removed = False
        self._keys_changed = False
        # By model, the entry that was checked last, and its layers as rows.
        self._checked: dict[int, tuple[Entry, list[tuple[object, ...]]]] = {}

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
        return entries_by_id(self._connection, self._dialect, ids)

    def check(self, entry: Entry) -> None:
        """Raise InvalidValue unless every database can store the entry.

        Call it before ``put``, so that one bad record does not undo the others. Its result is not made again there.
        """
        rows.refuse_unstorable_model(entry.model)
        self._checked[entry.model.id] = entry, rows.layer_rows_of(entry)

    def put(self, entries: Sequence[Entry]) -> None:
        """Insert or replace whole entries, layers included, at this revision, and insert their new teams.

        Raises InvalidValue before it writes anything if an entry cannot be stored.
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
        self._make_teams({entry.model.team for entry in by_id.values()})
        self._dialect.put_rows(self._connection, model_rows, layer_rows)
        self._put_file_hashes([entry.model for entry in by_id.values()])
        self._connection.execute(self._dialect.by_ids.forget_removed, {"ids": self._dialect.ids_parameter(by_id)})
        self._pass_own_id(max(by_id))

    def _put_file_hashes(self, models: Sequence[Model]) -> None:
        """Replace the hashes of the models' further files."""
        ids = self._dialect.ids_parameter([model.id for model in models])
        self._connection.execute(self._dialect.by_ids.forget_file_hashes, {"ids": ids})
        pairs = [{"digits": digits, "model_id": model.id} for model in models for digits in model.file_hashes]
        if pairs:
            self._connection.execute(sa.insert(schema.model_hashes), pairs)

    def remove(self, ids: Collection[int]) -> None:
        """Delete those of the models that exist, and insert a tombstone for each at this revision."""
        gone = self._connection.execute(self._dialect.by_ids.remove, {"ids": self._dialect.ids_parameter(ids)})
        removed = [{"id": id_, "revision": self.revision} for id_ in gone.scalars()]
        if removed:
            self._connection.execute(sa.insert(schema.tombstones), removed)
            self._put_or_removed = True

    def next_own_id(self) -> int:
        """Return a new id for a model of this catalogue; no model has or ever had it."""
        id_ = read_counter(self._connection, schema.NEXT_OWN_ID)
        if id_ > OWN_ID_MAX:
            raise errors.Unavailable("all ids that this catalogue can give are taken")
        write_counter(self._connection, schema.NEXT_OWN_ID, id_ + 1)
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
    ) -> api_keys.Key:
        """Insert an API key by its digest, and its team if it is new."""
        rows.refuse_team_name(team)
        self._make_teams({team})
        self._keys_changed = True
        return api_keys.add(
            self._connection,
            digest,
            team=team,
            scopes=scopes,
            hint=hint,
            created_at=self._now,
            expires_at=expires_at,
            name=name,
            purpose=purpose,
        )

    def revoke_key(self, id_: int) -> api_keys.Key | None:
        """Revoke an API key; None if there is no such key. A key revoked before keeps its first time."""
        self._keys_changed = True
        return api_keys.revoke(self._connection, id_, self._now)

    def end_session(self, session: str, expires_at: int) -> None:
        """End a session before its cookie expires."""
        self._keys_changed = True
        api_keys.end_session(self._connection, session, expires_at, self._now)

    def touch_keys(self, used_at_by_id: dict[int, int]) -> None:
        """Store when keys were last used. This moves no revision, as it changes no permission."""
        api_keys.touch(self._connection, used_at_by_id)

    def finish(self) -> Revisions:
        """Write the new revisions and return them; the store commits after this."""
        if not self._put_or_removed and not self._keys_changed:
            return self._before
        models, keys_ = self._before.models + self._put_or_removed, self._before.keys + self._keys_changed
        if self._put_or_removed:
            write_counter(self._connection, schema.MODEL_REVISION, models)
        if self._keys_changed:
            write_counter(self._connection, schema.KEYS_REVISION, keys_)
        self._dialect.end_writing(self._connection)
        return Revisions(models, keys_)

    def _make_teams(self, names: Iterable[str | None]) -> None:
        made = [{"name": name, "created_at": self._now} for name in sorted(filter(None, names))]
        if made:
            self._connection.execute(self._dialect.insert(schema.teams).on_conflict_do_nothing(), made)

    def _pass_own_id(self, id_: int) -> None:
        # An entry from a backup or another catalogue may have an id of our range: never assign that id again.
        if OWN_ID_MIN <= id_ <= OWN_ID_MAX and id_ >= read_counter(self._connection, schema.NEXT_OWN_ID):
            write_counter(self._connection, schema.NEXT_OWN_ID, id_ + 1)

    def _upsert(self, table: sa.Table, key: str, values: dict[str, object]) -> None:
        insert = self._dialect.insert(table).values(values)
        changed = {name: insert.excluded[name] for name in values if name != key}
        self._connection.execute(insert.on_conflict_do_update(index_elements=[key], set_=changed))


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
    query = sa.select(table.name, table.architecture, table.is_sdxl, table.aliases).order_by(table.name)
    return [rows.base_model_of(row) for row in connection.execute(query)]


def entries_by_id(connection: sa.Connection, dialect: Dialect, ids: Collection[int]) -> dict[int, Entry]:
    """Return those of the entries that exist, by id."""
    parameters = {"ids": dialect.ids_parameter(ids)}
    layers = rows.layers_of(connection.execute(dialect.by_ids.layers, parameters))
    models = rows.models_of(connection.execute(dialect.by_ids.models, parameters))
    return {model.id: Entry(model, layers.get(model.id, {})) for model in models}
