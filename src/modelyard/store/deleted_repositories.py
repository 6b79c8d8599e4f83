"""The repositories of deleted models: what restores their names and files, as long as ``deleted_models`` has the model.

The name of a repository is free when its model is deleted. The rows here go with the record of the model.
"""

import secrets

import sqlalchemy as sa

from modelyard.store import repositories, schema
from modelyard.store.repositories import Repository

_REPOSITORY, _FILE = schema.repositories.c, schema.repository_files.c
_DELETED, _DELETED_FILE = schema.deleted_repositories.c, schema.deleted_repository_files.c
_FILE_COLUMNS = ("path", "size_bytes", "sha256", "content")


def put(connection: sa.Connection, model_id: int) -> None:
    """Copy the repository of a model that is about to be removed, if it has one."""
    repository = repositories.of_model(connection, model_id)
    if repository is None:
        return
    connection.execute(
        sa.insert(schema.deleted_repositories).values(
            model_id=model_id,
            name=repository.name,
            visibility=repository.visibility,
            created_at=repository.created_at,
        )
    )
    files = sa.select(sa.literal(model_id), *(_FILE[name] for name in _FILE_COLUMNS))
    files = files.where(_FILE.repository == repository.id)
    connection.execute(sa.insert(schema.deleted_repository_files).from_select(["model_id", *_FILE_COLUMNS], files))


def restore(connection: sa.Connection, model_id: int, team: str) -> None:
    """Put the repository of a restored model back. If its name has another one now, its name is the model's id."""
    row = connection.execute(sa.select(schema.deleted_repositories).where(_DELETED.model_id == model_id)).one_or_none()
    if row is None:
        return
    is_free = repositories.find(connection, team, row.name) is None
    name = row.name if is_free else str(model_id)
    repository = Repository(secrets.token_hex(16), team, name, row.visibility, row.created_at, model_id)
    repositories.put(connection, repository)
    files = sa.select(sa.literal(repository.id), *(_DELETED_FILE[name] for name in _FILE_COLUMNS))
    files = files.where(_DELETED_FILE.model_id == model_id)
    connection.execute(sa.insert(schema.repository_files).from_select(["repository", *_FILE_COLUMNS], files))
