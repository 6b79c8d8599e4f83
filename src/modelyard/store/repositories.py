"""Repositories: the names and files that teams send in the shape of the Hugging Face Hub.

A repository is a model, or empty until a commit brings the first file. Its weights are blobs; its small texts are
stored here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import sqlalchemy as sa

from modelyard.store import schema
from modelyard.store.queries import by_bytes

_REPOSITORY, _FILE = schema.repositories.c, schema.repository_files.c


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository of a team. ``model_id`` is None while it has no weights. ``created_at`` is in Unix seconds."""

    id: str
    team: str
    name: str
    visibility: str
    created_at: int
    model_id: int | None = None


@dataclass(frozen=True, slots=True)
class RepositoryFile:
    """A file of a repository: weights with the SHA-256 of their blob, lower case, or a text with its ``content``."""

    repository: str
    path: str
    size_bytes: int
    sha256: str | None = None
    content: bytes | None = None


def find(connection: sa.Connection, team: str, name: str) -> Repository | None:
    """Return the repository of a team with this name."""
    query = sa.select(schema.repositories).where(_REPOSITORY.team == team, _REPOSITORY.name == name)
    return _repository_of(connection.execute(query).one_or_none())


def of_model(connection: sa.Connection, model_id: int) -> Repository | None:
    """Return the repository of a model; None if the model came another way."""
    query = sa.select(schema.repositories).where(_REPOSITORY.model_id == model_id)
    return _repository_of(connection.execute(query).one_or_none())


def put(connection: sa.Connection, repository: Repository) -> None:
    """Insert a repository, or replace what is stored of it; its files stay."""
    values = {field.name: getattr(repository, field.name) for field in fields(Repository)}
    changed = connection.execute(sa.update(schema.repositories).where(_REPOSITORY.id == repository.id).values(values))
    if not changed.rowcount:
        connection.execute(sa.insert(schema.repositories).values(values))


def remove(connection: sa.Connection, repository_id: str) -> None:
    """Delete a repository and its list of files."""
    connection.execute(sa.delete(schema.repository_files).where(_FILE.repository == repository_id))
    connection.execute(sa.delete(schema.repositories).where(_REPOSITORY.id == repository_id))


def files(connection: sa.Connection, repository_id: str) -> list[RepositoryFile]:
    """Return the files of a repository, by path."""
    query = sa.select(schema.repository_files).where(_FILE.repository == repository_id).order_by(by_bytes(_FILE.path))
    return [RepositoryFile(*row) for row in connection.execute(query)]


def files_of_model(connection: sa.Connection, model_id: int) -> list[RepositoryFile]:
    """Return the files that came by commits to a model, by path."""
    repository = of_model(connection, model_id)
    return files(connection, repository.id) if repository else []


def put_files(connection: sa.Connection, rows: Sequence[RepositoryFile]) -> None:
    """Insert or replace files."""
    for row in rows:
        remove_file(connection, row.repository, row.path)
        values = {field.name: getattr(row, field.name) for field in fields(RepositoryFile)}
        connection.execute(sa.insert(schema.repository_files).values(values))


def remove_file(connection: sa.Connection, repository_id: str, path: str) -> bool:
    """Delete a file from the list; return whether it was there."""
    query = sa.delete(schema.repository_files).where(_FILE.repository == repository_id, _FILE.path == path)
    return bool(connection.execute(query).rowcount)


def _repository_of(row: Any) -> Repository | None:
    return None if row is None else Repository(*(getattr(row, field.name) for field in fields(Repository)))
