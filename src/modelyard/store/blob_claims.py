"""Who is about to store the bytes of a blob, and who is about to remove them: never both.

    to store     a claim of the owner, then the bytes, then the rows that need them, with which the claim ends
    to remove    in one transaction the blob's row goes and a claim without an owner comes; then the bytes go; then
                 the claim

Bytes are stored and removed outside transactions, because a file store may take seconds and all writers would wait. An
upload needs no claim of its own, as its row has the hash.
"""

from collections.abc import Collection

import sqlalchemy as sa

from modelyard import errors
from modelyard.store import transfer_tables
from modelyard.store.queries import batches

# A claim whose process died ends after this time.
CLAIM_SECONDS = 600
# A process that removes bytes stops this long after its claim, well before anybody may store the same bytes again.
REMOVAL_SECONDS = 60
_REMOVER = ""
_CLAIM = transfer_tables.blob_claims.c


def claim(connection: sa.Connection, sha256s: Collection[str], owner: str, now: int) -> None:
    """Claim blobs whose bytes the owner is about to store. Raises Unavailable while somebody removes one."""
    refuse_removed(connection, sha256s, now)
    rows = [{"sha256": sha256, "owner": owner, "ends_at": now + CLAIM_SECONDS} for sha256 in sorted(set(sha256s))]
    connection.execute(sa.insert(transfer_tables.blob_claims), rows)


def release(connection: sa.Connection, owner: str) -> None:
    """End the claims of an owner."""
    connection.execute(sa.delete(transfer_tables.blob_claims).where(_CLAIM.owner == owner))


def refuse_removed(connection: sa.Connection, sha256s: Collection[str], now: int) -> None:
    """Raise Unavailable while somebody removes the bytes of one of the blobs."""
    for batch in batches(sha256s):
        is_removed = (_CLAIM.owner == _REMOVER) & (_CLAIM.ends_at > now) & _CLAIM.sha256.in_(batch)
        if connection.execute(sa.select(_CLAIM.sha256).where(is_removed).limit(1)).first() is not None:
            raise removal_error()


def removal_error() -> errors.Unavailable:
    """Return the error for bytes that somebody removes just now."""
    return errors.Unavailable("an old copy of these bytes is being removed; try again in a moment")


def is_being_removed(sha256: sa.ColumnElement[str], now: int) -> sa.ColumnElement[bool]:
    """Return whether somebody removes the bytes of a blob."""
    return sa.exists().where(_CLAIM.sha256 == sha256, _CLAIM.owner == _REMOVER, _CLAIM.ends_at > now)


def is_claimed(sha256: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Return whether somebody is about to store the bytes of a blob."""
    return sa.exists().where(_CLAIM.sha256 == sha256, _CLAIM.owner != _REMOVER)


def claim_removals(connection: sa.Connection, sha256s: Collection[str], now: int) -> None:
    """Claim blobs whose rows are gone, and whose bytes the caller removes next."""
    for batch in batches(sha256s):
        is_old = (_CLAIM.owner == _REMOVER) & _CLAIM.sha256.in_(batch)
        connection.execute(sa.delete(transfer_tables.blob_claims).where(is_old))
        rows = [{"sha256": sha256, "owner": _REMOVER, "ends_at": now + CLAIM_SECONDS} for sha256 in batch]
        connection.execute(sa.insert(transfer_tables.blob_claims), rows)


def release_removals(connection: sa.Connection, sha256s: Collection[str]) -> None:
    """End the removal of blobs, whose bytes are gone."""
    for batch in batches(sha256s):
        is_done = (_CLAIM.owner == _REMOVER) & _CLAIM.sha256.in_(batch)
        connection.execute(sa.delete(transfer_tables.blob_claims).where(is_done))


def take_over(connection: sa.Connection, now: int) -> list[str]:
    """Forget claims whose processes died, and return the blobs whose removal they did not finish."""
    is_over = _CLAIM.ends_at <= now
    connection.execute(sa.delete(transfer_tables.blob_claims).where(is_over, _CLAIM.owner != _REMOVER))
    return list(connection.execute(sa.select(_CLAIM.sha256).where(is_over).order_by(_CLAIM.sha256)).scalars())
