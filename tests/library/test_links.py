"""Linking files to versions by hand."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard import errors, library
from modelyard.domain import OWN_ID_MIN, Hashes, Status, Visibility
from modelyard.library import Ownership
from tests.scan_fixture import Shelf, embedding, hashes_of, opened

VERSION = 667788


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    new_shelf = opened(tmp_path)
    new_shelf.import_from_civitai(VERSION, Hashes(sha256="AB" * 32))
    yield new_shelf
    new_shelf.catalog.close()


def link(shelf: Shelf, path: Path, version: int = VERSION) -> None:
    library.link(shelf.catalog.store, os.fsencode(path), version)


def test_a_linked_file_is_the_versions_and_stays_it(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "pair.safetensors")
    shelf.add()
    assert 2 == len(shelf.models())

    link(shelf, path)
    sha256 = hashes_of(path).sha256
    assert (VERSION, Status.AVAILABLE, sha256) == (
        shelf.model().id,
        shelf.model().status,
        (shelf.model().blob or "").upper(),
    )
    assert {} == shelf.add().results
    os.utime(path)
    shelf.add()
    path.rename(shelf.folder / "moved.safetensors")
    shelf.add()
    assert VERSION == shelf.model().id


def test_a_file_that_is_unlinked_is_a_model_of_its_own_whatever_its_hash_says(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "pair.safetensors")
    shelf.import_from_civitai(5, hashes_of(path))
    shelf.add()
    outcome = library.unlink(shelf.catalog.store, os.fsencode(path))

    models = {model.id: model for model in shelf.models()}
    assert outcome.model_id is not None
    assert outcome.model_id >= OWN_ID_MIN
    assert ("pair", Status.AVAILABLE) == (models[outcome.model_id].name, models[outcome.model_id].status)
    os.utime(path)
    shelf.add()
    library.merge_matching_models(shelf.catalog.store)
    assert {5, VERSION, outcome.model_id} == {model.id for model in shelf.models()}

    link(shelf, path, 5)
    assert {5, VERSION} == {model.id for model in shelf.models()}


@pytest.mark.parametrize(
    ("version", "kind", "message"),
    [
        (4, errors.ModelNotFound, "no model '4'"),
        (
            OWN_ID_MIN,
            errors.InvalidValue,
            f"{OWN_ID_MIN} is a model of this catalogue; accepted: the id of an imported",
        ),
    ],
)
def test_a_link_to_what_is_no_version_is_refused(
    shelf: Shelf, version: int, kind: type[errors.ModelyardError], message: str
) -> None:
    path = embedding(shelf.folder / "pair.safetensors")
    shelf.add()
    with pytest.raises(kind) as refusal:
        link(shelf, path, version)
    assert message in refusal.value.message


def test_a_private_file_is_never_linked_to_a_public_version(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "pair.safetensors")
    shelf.add(owner=Ownership(team="red", visibility=Visibility.PRIVATE))
    with pytest.raises(errors.InvalidValue, match="the file is private and the version public"):
        link(shelf, path)


def test_a_file_that_is_unknown_or_has_changed_is_refused(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "pair.safetensors")
    with pytest.raises(errors.InvalidValue, match="add it first"):
        link(shelf, path)
    shelf.add()
    with pytest.raises(errors.InvalidValue, match="it belongs to no version"):
        library.unlink(shelf.catalog.store, os.fsencode(path))
    embedding(path, seed=4)
    with pytest.raises(errors.InvalidValue, match="it is gone or has changed"):
        link(shelf, path)
