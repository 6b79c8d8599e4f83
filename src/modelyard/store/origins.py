"""Which models are those of other catalogues: their names there, ``<catalogue>/<id>``, and their ids here."""

from collections.abc import Collection

import sqlalchemy as sa

from modelyard.store import schema
from modelyard.store.queries import batches

_ORIGIN = schema.origins.c


def find_ids(connection: sa.Connection, origins: Collection[str]) -> dict[str, int]:
    """Return the ids of the models that have these origins."""
    ids: dict[str, int] = {}
    for batch in batches(origins):
        rows = connection.execute(sa.select(schema.origins).where(_ORIGIN.origin.in_(batch)))
        ids.update((row.origin, row.model_id) for row in rows)
    return ids


def find_origins(connection: sa.Connection, model_ids: Collection[int]) -> dict[int, str]:
    """Return the origins of those of the models that have one."""
    origins: dict[int, str] = {}
    for batch in batches(model_ids):
        rows = connection.execute(sa.select(schema.origins).where(_ORIGIN.model_id.in_(batch)))
        origins.update((row.model_id, row.origin) for row in rows)
    return origins


def put(connection: sa.Connection, origins: dict[int, str]) -> None:
    """Store the origins of new models."""
    if origins:
        connection.execute(
            sa.insert(schema.origins), [{"model_id": id_, "origin": origin} for id_, origin in origins.items()]
        )


def read_catalogue(connection: sa.Connection) -> str:
    """Return the name that only this database has; in origins it names the catalogue."""
    query = sa.select(schema.notes.c.value).where(schema.notes.c.key == "identity")
    name: str = connection.execute(query).scalar_one()
    return name
