"""API keys as rows. The table holds the SHA-256 of a key, never the key itself.

A person who signs in without a key has a row too, so that sessions, links and the list of keys know one thing only. Its
digest is made from the person's name at the ``provider``, and no key has it.
"""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from modelyard.domain import Scope
from modelyard.store import schema


@dataclass(frozen=True, slots=True)
class Key:
    """An API key without its secret. Times are Unix seconds; ``hint`` shows people the first characters of the key."""

    id: int
    team: str
    scopes: frozenset[Scope]
    created_at: int
    expires_at: int | None
    revoked_at: int | None
    last_used_at: int | None
    hint: str
    # What people call the key, and what it is for; empty if nobody said.
    name: str = ""
    purpose: str = ""
    # What the person signs in by whom the row stands for; empty for a key.
    provider: str = ""
    # The id of the key that took its place.
    replaced_by: int | None = None


@dataclass(frozen=True, slots=True)
class KeyRing:
    """All keys at one keys' revision, with the digest of each, and the ids of the sessions that ended early."""

    revision: int
    keys: list[tuple[bytes, Key]]
    ended_sessions: frozenset[str] = frozenset()


def keys_of(connection: sa.Connection) -> list[tuple[bytes, Key]]:
    """Return every key, oldest first, revoked and expired ones included."""
    query = sa.select(schema.api_keys).order_by(schema.api_keys.c.id)
    return [(bytes(row.digest), _key_of(row)) for row in connection.execute(query)]


def add(
    connection: sa.Connection,
    digest: bytes,
    *,
    team: str,
    scopes: frozenset[Scope],
    hint: str,
    created_at: int,
    expires_at: int | None,
    name: str = "",
    purpose: str = "",
    provider: str = "",
) -> Key:
    """Insert a key and return it."""
    values = {
        "digest": digest,
        "team": team,
        "scopes": " ".join(sorted(scopes)),
        "hint": hint,
        "created_at": created_at,
        "expires_at": expires_at,
        "name": name or None,
        "purpose": purpose or None,
        "provider": provider or None,
    }
    row = connection.execute(sa.insert(schema.api_keys).values(values).returning(schema.api_keys)).one()
    return _key_of(row)


def find_by_digest(connection: sa.Connection, digest: bytes) -> Key | None:
    """Return the row of a digest; None if there is none."""
    row = connection.execute(sa.select(schema.api_keys).where(schema.api_keys.c.digest == digest)).one_or_none()
    return None if row is None else _key_of(row)


def revoke(connection: sa.Connection, id_: int, revoked_at: int) -> Key | None:
    """Revoke a key and return it; None if there is no such key. A key that was revoked before keeps its first time."""
    column = schema.api_keys.c
    change = (
        sa.update(schema.api_keys)
        .where(column.id == id_)
        .values(revoked_at=sa.func.coalesce(column.revoked_at, revoked_at))
        .returning(schema.api_keys)
    )
    row = connection.execute(change).one_or_none()
    return None if row is None else _key_of(row)


def replace(connection: sa.Connection, id_: int, expires_at: int, replaced_by: int) -> Key | None:
    """Let a key that has a successor expire at a time, or earlier if it does so anyway, and return it.

    None if there is no such key, or if it was revoked or has a successor.
    """
    column = schema.api_keys.c
    earlier = sa.case((column.expires_at < expires_at, column.expires_at), else_=expires_at)
    is_key = sa.and_(column.id == id_, column.revoked_at.is_(None), column.replaced_by.is_(None))
    values = {"expires_at": earlier, "replaced_by": replaced_by}
    change = sa.update(schema.api_keys).where(is_key).values(values).returning(schema.api_keys)
    row = connection.execute(change).one_or_none()
    return None if row is None else _key_of(row)


def restore(connection: sa.Connection, id_: int) -> Key | None:
    """Undo the revocation of a person and return the row; None if there is no such person."""
    column = schema.api_keys.c
    change = (
        sa.update(schema.api_keys)
        .where(column.id == id_, column.provider.is_not(None))
        .values(revoked_at=None)
        .returning(schema.api_keys)
    )
    row = connection.execute(change).one_or_none()
    return None if row is None else _key_of(row)


def change_person(connection: sa.Connection, digest: bytes, name: str, scopes: frozenset[Scope]) -> Key | None:
    """Store the name and the scopes of a person and return the row; None if there is none that is not revoked."""
    column = schema.api_keys.c
    change = (
        sa.update(schema.api_keys)
        .where(column.digest == digest, column.provider.is_not(None), column.revoked_at.is_(None))
        .values(name=name, scopes=" ".join(sorted(scopes)))
        .returning(schema.api_keys)
    )
    row = connection.execute(change).one_or_none()
    return None if row is None else _key_of(row)


def touch(connection: sa.Connection, used_at_by_id: dict[int, int]) -> None:
    """Store when keys were last used; an older time than the stored one changes nothing."""
    column = schema.api_keys.c
    used_at: sa.BindParameter[int] = sa.bindparam("used_at")
    change = (
        sa.update(schema.api_keys)
        .where(column.id == sa.bindparam("key_id"), sa.func.coalesce(column.last_used_at, 0) < used_at)
        .values(last_used_at=used_at)
    )
    connection.execute(change, [{"key_id": id_, "used_at": at} for id_, at in sorted(used_at_by_id.items())])


def end_session(connection: sa.Connection, session: str, expires_at: int, now: int) -> bool:
    """Store that a session ended, and forget the sessions whose cookies have expired. Return whether it is new."""
    column = schema.ended_sessions.c
    connection.execute(sa.delete(schema.ended_sessions).where(column.expires_at <= now))
    # Only one transaction writes at a time.
    if connection.execute(sa.select(column.id).where(column.id == session)).first() is not None:
        return False
    connection.execute(sa.insert(schema.ended_sessions).values(id=session, expires_at=expires_at))
    return True


def ended_sessions(connection: sa.Connection) -> frozenset[str]:
    """Return the ids of the sessions that ended before their cookies expire."""
    return frozenset(connection.execute(sa.select(schema.ended_sessions.c.id)).scalars())


def _key_of(row: Any) -> Key:
    return Key(
        id=row.id,
        team=row.team,
        scopes=frozenset(Scope(name) for name in row.scopes.split()),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
        hint=row.hint,
        name=row.name or "",
        purpose=row.purpose or "",
        provider=row.provider or "",
        replaced_by=row.replaced_by,
    )
