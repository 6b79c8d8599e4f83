"""Deleting a model of a team and restoring it, the same on SQLite and PostgreSQL.

Not covered here: the pages (tests/web/pages/test_deleted.py), the bytes and the quota (tests/uploads/test_uploads.py).
"""

from pathlib import Path

import pytest

from modelyard import errors
from modelyard.blobs import IncomingFiles
from modelyard.blobs.folder import FolderBlobs
from modelyard.covers import render
from modelyard.covers.covers import Covers
from modelyard.domain import Scope, Viewer, Visibility
from modelyard.facts import Entry, Facts, Layer
from modelyard.library import Ownership
from modelyard.registry.models import Models, add_downloads, give_covers
from modelyard.store import Store, covers
from modelyard.store.covers import Origin
from modelyard.uploads.cleanup import UploadCleaner
from tests.app_fixture import a_private
from tests.pictures import picture
from tests.scan_fixture import embedding, opened

OWN = 1_000_000_001
RED, BLUE = (Viewer(team, frozenset({Scope.READ, Scope.WRITE})) for team in ("red", "blue"))


@pytest.fixture
def models(store: Store, tmp_path: Path) -> Models:
    return Models(store, FolderBlobs(tmp_path), IncomingFiles(tmp_path))


def put_own(store: Store) -> Entry:
    layers = {
        Layer.UPSTREAM: Facts(name="own", sd_name="own.pt", type=a_private(OWN, "red").type, base_model="SDXL 1.0"),
        Layer.USER: Facts(tags=("mine",), description="Two\nlines"),
    }
    with store.transaction() as transaction:
        transaction.put([Entry(a_private(OWN, "red", name="own", sd_name="own.pt"), layers)])
        add_downloads(transaction, {OWN: 5})
    entry = store.entry(OWN)
    assert entry is not None
    return entry


def test_a_restored_model_is_as_it_was(store: Store, models: Models, tmp_path: Path) -> None:
    put_own(store)
    name = Covers(store, FolderBlobs(tmp_path), IncomingFiles(tmp_path)).keep(render(picture()))
    with store.transaction() as transaction:
        give_covers(transaction, Origin.BESIDE, {OWN: name})
    before = store.entry(OWN)
    models.remove(RED, OWN)
    assert store.entry(OWN) is None
    with store.transaction() as transaction:
        covers.collect(transaction.connection, transaction.now, transaction.now, dry_run=False)

    assert [OWN] == [deleted.entry.model.id for deleted in models.list_deleted(RED)]
    assert before == models.restore(RED, OWN) == store.entry(OWN)
    assert [] == models.list_deleted(RED)
    assert before is not None
    assert 5 == before.model.rank


def test_another_team_neither_sees_restores_nor_purges_a_deleted_model(store: Store, models: Models) -> None:
    put_own(store)
    models.remove(RED, OWN)

    assert [] == models.list_deleted(BLUE)
    for act in (models.restore, models.purge):
        with pytest.raises(errors.ModelNotFound):
            act(BLUE, OWN)
        with pytest.raises(errors.Forbidden):
            act(Viewer("red"), OWN)
    assert 1 == len(models.list_deleted(RED))


def test_a_purged_model_and_one_that_an_operator_removed_are_gone(store: Store, models: Models) -> None:
    put_own(store)
    models.remove(RED, OWN)
    models.purge(RED, OWN)
    with pytest.raises(errors.ModelNotFound):
        models.restore(RED, OWN)
    put_own(store)
    models.remove_as_operator(OWN)

    assert [] == models.list_deleted(RED)


def test_a_model_that_came_back_by_an_import_is_not_replaced(store: Store, models: Models) -> None:
    put_own(store)
    models.remove(RED, OWN)
    put_own(store)

    with pytest.raises(errors.ModelExists):
        models.restore(RED, OWN)


def test_after_thirty_days_a_deleted_model_is_forgotten(store: Store, models: Models, tmp_path: Path) -> None:
    put_own(store)
    models.remove(RED, OWN)
    cleaner = UploadCleaner(store, FolderBlobs(tmp_path), IncomingFiles(tmp_path))
    cleaner.purge_expired()
    before = len(models.list_deleted(RED))
    with store.transaction() as transaction:
        transaction.connection.exec_driver_sql(f"UPDATE deleted_models SET deleted_at = deleted_at - {30 * 86_400}")
    cleaner.purge_expired()

    assert (1, []) == (before, models.list_deleted(RED))


def test_a_model_of_a_folder_has_its_file_again(tmp_path: Path) -> None:
    shelf = opened(tmp_path)
    embedding(shelf.folder / "own.safetensors")
    shelf.add(owner=Ownership(team="red", visibility=Visibility.PRIVATE))
    model = shelf.model()
    registry = Models(shelf.catalog.store, FolderBlobs(tmp_path), IncomingFiles(tmp_path))
    registry.remove(RED, model.id)
    shelf.add(owner=Ownership(team="red", visibility=Visibility.PRIVATE))
    removed = shelf.models()
    registry.restore(RED, model.id)
    shelf.add(owner=Ownership(team="red", visibility=Visibility.PRIVATE))

    assert ([], model) == (removed, shelf.model())
    shelf.catalog.close()
