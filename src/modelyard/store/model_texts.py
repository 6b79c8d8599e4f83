"""Small files of models that lie in folders, such as the configurations of a pipeline, as the last scan read them."""

from collections.abc import Mapping

import sqlalchemy as sa

from modelyard.store import schema
from modelyard.store.queries import by_bytes

_TEXT = schema.model_texts.c


def find(connection: sa.Connection, model_id: int) -> dict[str, bytes]:
    """Return the small files of a model by path."""
    query = sa.select(_TEXT.path, _TEXT.content).where(_TEXT.model_id == model_id).order_by(by_bytes(_TEXT.path))
    return {row.path: row.content for row in connection.execute(query)}


def put(connection: sa.Connection, model_id: int, texts: Mapping[str, bytes]) -> bool:
    """Replace the small files of a model; return whether they changed."""
    if find(connection, model_id) == dict(texts):
        return False
    connection.execute(sa.delete(schema.model_texts).where(_TEXT.model_id == model_id))
    rows = [{"model_id": model_id, "path": path, "content": content} for path, content in texts.items()]
    if rows:
        connection.execute(sa.insert(schema.model_texts), rows)
    return True


def put_deleted(connection: sa.Connection, model_id: int) -> None:
    """Copy the small files of a model that is about to be removed, as long as ``deleted_models`` has the model."""
    _copy(connection, schema.model_texts, schema.deleted_model_texts, model_id)


def restore(connection: sa.Connection, model_id: int) -> None:
    """Put the small files of a restored model back, as they were when it was deleted."""
    _copy(connection, schema.deleted_model_texts, schema.model_texts, model_id)


def _copy(connection: sa.Connection, source: sa.Table, target: sa.Table, model_id: int) -> None:
    rows = sa.select(source.c.model_id, source.c.path, source.c.content).where(source.c.model_id == model_id)
    connection.execute(sa.insert(target).from_select(["model_id", "path", "content"], rows))
