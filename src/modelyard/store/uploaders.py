"""Which key sent a model, by the fingerprint of the key. Models that no key sent have no row."""

from collections.abc import Sequence

import sqlalchemy as sa

from modelyard.store import schema
from modelyard.store.queries import put_row

_UPLOADER = schema.uploaders.c


def put(connection: sa.Connection, model_id: int, key_fingerprint: str) -> None:
    """Note the key that sent a model; without effect if there is none."""
    if key_fingerprint:
        put_row(connection, schema.uploaders, {"model_id": model_id, "key_fingerprint": key_fingerprint})


def of_models(connection: sa.Connection, model_ids: Sequence[int]) -> dict[int, str]:
    """Return the fingerprints of the keys that sent these models."""
    rows = connection.execute(sa.select(schema.uploaders).where(_UPLOADER.model_id.in_(model_ids)))
    return {row.model_id: row.key_fingerprint for row in rows}
