"""How often models were fetched, and the secrets that links are signed with."""

from collections.abc import Collection, Mapping

import sqlalchemy as sa

from modelyard.store import schema

_DOWNLOAD = schema.downloads.c
# SQLite takes some 32,000 parameters a statement, PostgreSQL twice as many.
_IDS_AT_ONCE = 10_000


def counts(connection: sa.Connection, ids: Collection[int]) -> dict[int, int]:
    """Return how often each of the models was fetched; those never fetched are left out."""
    wanted = sorted(ids)
    found: dict[int, int] = {}
    for start in range(0, len(wanted), _IDS_AT_ONCE):
        query = sa.select(_DOWNLOAD.model_id, _DOWNLOAD.count)
        query = query.where(_DOWNLOAD.model_id.in_(wanted[start : start + _IDS_AT_ONCE]))
        found |= {row.model_id: row.count for row in connection.execute(query)}
    return found


def add(connection: sa.Connection, more_by_id: Mapping[int, int]) -> None:
    """Count more downloads of models that exist."""
    before = counts(connection, more_by_id)
    for model_id, more in more_by_id.items():
        if model_id in before:
            change = sa.update(schema.downloads).where(_DOWNLOAD.model_id == model_id)
            connection.execute(change.values(count=before[model_id] + more))
        else:
            connection.execute(sa.insert(schema.downloads).values(model_id=model_id, count=more))
