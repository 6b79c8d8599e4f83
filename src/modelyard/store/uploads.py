"""Records of uploads: the team, the declared fields, the progress. The bytes themselves lie beside the blobs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from modelyard.store import blob_claims, schema
from modelyard.store.queries import put_row

# The kind of an upload whose bytes this server fetches.
FETCH_UPLOAD = "fetch"
_UPLOAD = schema.uploads.c
_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(dict[str, str]).decode


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload. ``kind`` is "put", "tus", "part" and "final" of a tus concatenation, "xorb", "fetch", or "hub" for a
    commit.

    ``declared`` holds the uploader's fields, by the API's names. Hashes are lower case, times Unix seconds.
    ``inspection`` is the result of verification, as JSON, for a file that waits for its commit.
    """

    id: str
    team: str
    kind: str
    declared: Mapping[str, str]
    created_at: int
    expires_at: int
    length_bytes: int | None = None
    announced_sha256: str | None = None
    sha256: str | None = None
    received_at: int | None = None
    model_id: int | None = None
    inspection: str | None = None
    # Of the key that sends it.
    key_fingerprint: str = ""


def find(connection: sa.Connection, upload_id: str) -> Upload | None:
    """Return an upload."""
    row = connection.execute(sa.select(schema.uploads).where(_UPLOAD.id == upload_id)).one_or_none()
    return None if row is None else _upload_of(row)


def find_to_verify(connection: sa.Connection, upload_id: str, now: int) -> tuple[Upload | None, bool]:
    """Return an upload, and whether somebody removes an old copy of the bytes whose hash it has."""
    is_removed = blob_claims.is_being_removed(_UPLOAD.sha256, now).label("is_removed")
    row = connection.execute(sa.select(schema.uploads, is_removed).where(_UPLOAD.id == upload_id)).one_or_none()
    return (None, False) if row is None else (_upload_of(row), bool(row.is_removed))


def put(connection: sa.Connection, upload: Upload) -> None:
    """Insert or replace an upload."""
    put_row(connection, schema.uploads, _values_of(upload))


def add(connection: sa.Connection, upload: Upload, open_max: int) -> bool:
    """Insert an upload, unless its team has as many incomplete ones already; return whether it did."""
    values = _values_of(upload)
    row = sa.select(*(sa.literal(value, _UPLOAD[name].type) for name, value in values.items()))
    insert = sa.insert(schema.uploads).from_select(list(values), row.where(_open_count(upload.team) < open_max))
    return connection.execute(insert.execution_options(preserve_rowcount=True)).rowcount > 0


def remove(connection: sa.Connection, upload_id: str) -> bool:
    """Delete the record of an upload; return whether there was one."""
    gone = connection.execute(sa.delete(schema.uploads).where(_UPLOAD.id == upload_id))
    return bool(gone.rowcount)


def open_count(connection: sa.Connection, team: str) -> int:
    """Return how many uploads of a team are incomplete."""
    return int(connection.execute(sa.select(_open_count(team))).scalar_one())


def unfinished(connection: sa.Connection, team: str) -> list[Upload]:
    """Return a team's uploads whose bytes are not all here, the newest first."""
    query = sa.select(schema.uploads).where(_UPLOAD.team == team, _UPLOAD.received_at.is_(None))
    return [_upload_of(row) for row in connection.execute(query.order_by(_UPLOAD.created_at.desc(), _UPLOAD.id))]


def announced(connection: sa.Connection, team: str) -> list[Upload]:
    """Return a team's uploads by PUT that have no model yet, the newest first."""
    query = (
        sa.select(schema.uploads)
        .where(_UPLOAD.team == team, _UPLOAD.kind == "put", _UPLOAD.model_id.is_(None))
        .order_by(_UPLOAD.created_at.desc(), _UPLOAD.id)
    )
    return [_upload_of(row) for row in connection.execute(query)]


def of_model(connection: sa.Connection, model_id: int) -> Upload | None:
    """Return the upload that a model waits for."""
    row = connection.execute(sa.select(schema.uploads).where(_UPLOAD.model_id == model_id)).first()
    return None if row is None else _upload_of(row)


def for_commit(connection: sa.Connection, team: str, sha256: str) -> Upload | None:
    """Return a team's received file of this SHA-256 that waits for a commit."""
    query = sa.select(schema.uploads).where(
        _UPLOAD.team == team,
        _UPLOAD.kind == "hub",
        _UPLOAD.received_at.is_not(None),
        (_UPLOAD.announced_sha256 == sha256) | (_UPLOAD.sha256 == sha256),
    )
    row = connection.execute(query.order_by(_UPLOAD.created_at.desc(), _UPLOAD.id)).first()
    return None if row is None else _upload_of(row)


def keep_until(connection: sa.Connection, upload_ids: Sequence[str], expires_at: int) -> None:
    """Set when uploads expire."""
    connection.execute(sa.update(schema.uploads).where(_UPLOAD.id.in_(upload_ids)).values(expires_at=expires_at))


def expired(connection: sa.Connection, now: int) -> list[Upload]:
    """Return the expired uploads without a job."""
    is_worked_on = sa.exists().where(schema.jobs.c.subject == _UPLOAD.id)
    query = sa.select(schema.uploads).where(_UPLOAD.expires_at <= now, ~is_worked_on)
    return [_upload_of(row) for row in connection.execute(query)]


def ids(connection: sa.Connection) -> set[str]:
    """Return the ids of all uploads."""
    return set(connection.execute(sa.select(_UPLOAD.id)).scalars())


def settled_ids(connection: sa.Connection) -> set[str]:
    """Return the ids of the uploads that are verified, whatever came of it: nobody needs their files any more."""
    is_worked_on = sa.exists().where(schema.jobs.c.subject == _UPLOAD.id)
    is_verified = _UPLOAD.model_id.is_not(None) | _UPLOAD.inspection.is_not(None)
    query = sa.select(_UPLOAD.id).where(_UPLOAD.received_at.is_not(None), is_verified, ~is_worked_on)
    return set(connection.execute(query).scalars())


def _open_count(team: str) -> sa.ScalarSelect[int]:
    is_open = sa.and_(_UPLOAD.team == team, _UPLOAD.received_at.is_(None))
    return sa.select(sa.func.count()).select_from(schema.uploads).where(is_open).scalar_subquery()


def _values_of(upload: Upload) -> dict[str, Any]:
    values = {name: getattr(upload, name) for name in Upload.__slots__}
    return values | {"declared": _encode(dict(upload.declared)).decode()}


def _upload_of(row: Any) -> Upload:
    values = {name: getattr(row, name) for name in Upload.__slots__}
    return Upload(**values | {"declared": _decode(row.declared)})
