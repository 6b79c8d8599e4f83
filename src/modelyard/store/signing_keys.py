"""The secrets that sign links, and when each stops being accepted."""

from dataclasses import dataclass

import sqlalchemy as sa

from modelyard.store import schema

_KEY = schema.signing_keys.c


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A secret that signs links. ``ends_at`` is None for the one that signs now."""

    id: int
    secret: bytes
    created_at: int
    ends_at: int | None


def signing_keys(connection: sa.Connection) -> list[SigningKey]:
    """Return the secrets, oldest first, including expired ones."""
    query = sa.select(_KEY.id, _KEY.secret, _KEY.created_at, _KEY.ends_at).order_by(_KEY.id)
    return [SigningKey(row.id, bytes(row.secret), row.created_at, row.ends_at) for row in connection.execute(query)]


def add_signing_key(connection: sa.Connection, secret: bytes, now: int, *, others_end_at: int) -> None:
    """Make a secret the one that signs; links signed with older ones are valid until ``others_end_at`` at most."""
    # Insert it before deleting others: SQLite reuses the id of the last row once that row is deleted, and a server
    # that has cached the id would continue with the old secret.
    connection.execute(sa.insert(schema.signing_keys).values(secret=secret, created_at=now))
    is_other = _KEY.secret != secret
    ends_later = _KEY.ends_at.is_(None) | (_KEY.ends_at > others_end_at)
    connection.execute(sa.update(schema.signing_keys).where(is_other & ends_later).values(ends_at=others_end_at))
    connection.execute(sa.delete(schema.signing_keys).where(_KEY.ends_at <= now))
