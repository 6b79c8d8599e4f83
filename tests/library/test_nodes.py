"""Files in folders belong to the node that found them, or to all: whose scan can find that they are gone."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard import settings
from modelyard.cli import home
from modelyard.library import served_files
from tests.scan_fixture import Shelf, embedding, opened


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    shelf = opened(tmp_path)
    yield shelf
    shelf.catalog.close()


def scan_as(shelf: Shelf, node: str) -> list[int]:
    """Scan as a node; return the status of each model."""
    shelf.catalog.store.node = node
    shelf.add()
    return [int(model.status) for model in shelf.models()]


def test_an_empty_folder_of_the_same_name_on_another_node_makes_nothing_unavailable(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "a.safetensors")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert [1] == scan_as(shelf, "first")

    # The other node has the folder, and not the file.
    shutil.move(path, shelf.home / "aside")
    assert [1] == scan_as(shelf, "second")
    served_files.mark_missing(shelf.catalog.store, sha256)
    assert served_files.is_on_other_node(shelf.catalog.store, sha256)
    assert [1] == [int(model.status) for model in shelf.models()]

    assert [0] == scan_as(shelf, "first")
    assert not served_files.is_on_other_node(shelf.catalog.store, sha256)


def test_a_file_belongs_to_the_node_that_found_it_last(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "a.safetensors")
    scan_as(shelf, "first")
    assert [1] == scan_as(shelf, "second")
    path.unlink()

    assert [1] == scan_as(shelf, "first")
    assert [0] == scan_as(shelf, "second")


def test_a_file_that_is_back_belongs_to_the_node_that_finds_it(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "a.safetensors")
    scan_as(shelf, "first")
    shutil.move(path, shelf.home / "aside")
    assert [0] == scan_as(shelf, "first")
    shutil.move(shelf.home / "aside", path)
    assert [1] == scan_as(shelf, "second")
    path.unlink()

    assert [1] == scan_as(shelf, "first")
    assert [0] == scan_as(shelf, "second")


def test_files_of_folders_that_all_nodes_see_are_found_gone_by_each(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "a.safetensors")
    assert [1] == scan_as(shelf, "")
    path.unlink()

    assert [0] == scan_as(shelf, "")


def test_a_home_has_one_name_and_another_home_another(tmp_path: Path) -> None:
    nodes = []
    for folder, owner in (("a", "node"), ("a", "node"), ("b", "node"), ("a", "shared")):
        (tmp_path / folder).mkdir(exist_ok=True)
        with home.open_store(settings.load(tmp_path / folder, {"MODELYARD_ADDED_FILES": owner})) as store:
            nodes.append(store.node)

    first, again, other, shared = nodes
    assert first == again != ""
    assert other not in ("", first)
    assert "" == shared
