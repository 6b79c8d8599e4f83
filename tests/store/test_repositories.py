"""Rows of repositories, on both databases: names, files, and the bytes that they count for."""

import pytest

from modelyard import errors
from modelyard.facts import Entry
from modelyard.store import Store, blobs, repositories, uploads
from modelyard.store.blobs import Blob
from modelyard.store.repositories import Repository, RepositoryFile
from modelyard.store.uploads import Upload
from tests.app_fixture import a_private
from tests.databases import EVERY_ORDER

ONE, TWO = "1" * 64, "2" * 64


def put_repository(store: Store) -> Repository:
    """A repository of red: the model's file, further weights, and a text."""
    repository = Repository("a" * 32, "red", "night", "private", 5, 1_000_000_001)
    with store.transaction() as transaction:
        transaction.put([Entry(a_private(1_000_000_001, "red", blob=ONE, sd_name="night.pt"), {})])
        for sha256, size_bytes in ((ONE, 100), (TWO, 20)):
            blobs.put(transaction.connection, Blob(sha256, size_bytes, 1, "clean", ""))
        repositories.put(transaction.connection, repository)
        rows = [
            RepositoryFile(repository.id, "b.pt", 20, TWO),
            RepositoryFile(repository.id, "a.pt", 100, ONE),
            RepositoryFile(repository.id, "a.txt", 3, content=b"abc"),
        ]
        repositories.put_files(transaction.connection, rows)
    return repository


@EVERY_ORDER
def test_a_repository_is_found_by_its_name_and_by_its_model(store: Store) -> None:
    repository = put_repository(store)

    with store.reading() as connection:
        assert repository == repositories.find(connection, "red", "night")
        assert repository == repositories.of_model(connection, 1_000_000_001)
        assert repositories.find(connection, "blue", "night") is None
        names = [(file.path, file.content) for file in repositories.files_of_model(connection, 1_000_000_001)]
    assert [("a.pt", None), ("a.txt", b"abc"), ("b.pt", None)] == names


def test_a_team_has_one_repository_of_a_name(store: Store) -> None:
    put_repository(store)

    with pytest.raises(errors.ConstraintViolation), store.transaction() as transaction:
        repositories.put(transaction.connection, Repository("b" * 32, "red", "night", "private", 5))


def test_each_blob_and_each_text_counts_once(store: Store) -> None:
    put_repository(store)
    with store.transaction() as transaction:
        waiting = Upload("c" * 32, "red", "hub", {}, 1, 2, length_bytes=20, sha256=TWO, received_at=1)
        uploads.put(transaction.connection, waiting)
        uploads.put(transaction.connection, Upload("d" * 32, "red", "xorb", {}, 1, 2, length_bytes=7))

    with store.reading() as connection:
        assert (100 + 20 + 3 + 7, 0) == tuple(blobs.bytes_of_team(connection, team) for team in ("red", "blue"))
        assert (True, False) == tuple(blobs.team_has(connection, TWO, team) for team in ("red", "blue"))
        assert [1_000_000_001] == blobs.models_named(connection, TWO, "b.pt", "red")
        assert [] == blobs.models_named(connection, TWO, "b.pt", "blue")


def test_a_removed_model_takes_its_repository_along(store: Store) -> None:
    put_repository(store)

    with store.transaction() as transaction:
        transaction.remove([1_000_000_001])

    with store.reading() as connection:
        assert repositories.find(connection, "red", "night") is None
        assert [] == repositories.files(connection, "a" * 32)
