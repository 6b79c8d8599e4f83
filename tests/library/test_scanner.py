"""Scans turn files into models: matched by hash, and followed when they move, change, break or disappear.

Not covered here: the command and its processes (test_watcher.py), sidecars (test_sidecars.py), layers
(tests/registry/test_layers.py), what a file is (tests/inspection).
"""

import json
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from modelyard import library
from modelyard import paths as modelyard_paths
from modelyard.blobs import open_storage
from modelyard.domain import ANONYMOUS, OWN_ID_MIN, Hashes, ModelQuery, Scope, Source, Status, Viewer, Visibility
from modelyard.facts import Facts, Layer, ModelFile, Record
from modelyard.library import Ownership, folder_hints, probe, served_files, walk
from modelyard.registry.models import Edit, Models
from modelyard.store import blobs, files, lookup
from modelyard.store.files import FileState
from tests.attacks import pickles
from tests.inspection import expectations
from tests.inspection.made_files import recorded_header, write_safetensors
from tests.real_input import data_dir
from tests.scan_fixture import Heard, Shelf, embedding, hashes_of, opened

RED = Ownership(Source.UPLOADING, "red", Visibility.PRIVATE)
TRAINED = Ownership(Source.TRAINING, "red", Visibility.PRIVATE)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    new_shelf = opened(tmp_path)
    yield new_shelf
    new_shelf.catalog.close()


def files_of(shelf: Shelf) -> dict[str, files.FileRecord]:
    with shelf.catalog.store.reading() as connection:
        records = files.below(connection, [b"/"])
    return {path.decode(errors="replace").rpartition("/")[2]: record for path, record in records.items()}


def put_blob(shelf: Shelf, sha256: str, verdict: str = "clean") -> None:
    """Record that these bytes are stored, as after an upload."""
    with shelf.catalog.store.transaction() as writing:
        blobs.put(writing.connection, blobs.Blob(sha256, 1, writing.now, verdict, ""))


# --- Found ---


def test_a_file_becomes_a_model_that_is_available_and_says_what_it_is(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "embeddings" / "night.safetensors")
    report = shelf.add()
    model = shelf.model()

    assert (1, {"added": 1}, 0) == (report.found, report.results, report.pending)
    assert ("night", "night.safetensors", "textualinversion") == (model.name, model.sd_name, model.type.name)
    assert ("SD 1.5", Status.AVAILABLE, Source.UPLOADING) == (model.base_model, model.status, model.source)
    assert (Visibility.PUBLIC, None) == (model.visibility, model.team)
    assert model.id >= OWN_ID_MIN
    assert hashes_of(path) == model.hashes
    assert hashes_of(path).sha256 == (model.blob or "").upper()


def test_nothing_is_written_beside_the_files(shelf: Shelf) -> None:
    embedding(shelf.folder / "a" / "night.safetensors")
    before = {path: path.stat() for path in shelf.folder.rglob("*")}
    shelf.add()

    after = {path: path.stat() for path in shelf.folder.rglob("*")}
    assert {path: status.st_mtime_ns for path, status in before.items()} == {p: s.st_mtime_ns for p, s in after.items()}


def test_a_team_s_files_are_private_to_it_unless_they_are_said_to_be_public(shelf: Shelf) -> None:
    shelf.add(embedding(shelf.folder / "a.safetensors", 1), owner=RED)
    shelf.add(embedding(shelf.folder / "b.safetensors", 2), owner=Ownership(Source.UPLOADING, "red", Visibility.PUBLIC))

    assert [("a.safetensors", Visibility.PRIVATE, "red"), ("b.safetensors", Visibility.PUBLIC, "red")] == [
        (model.sd_name, model.visibility, model.team) for model in shelf.models()
    ]


def test_a_suspicious_file_is_a_model_and_not_refused_by_the_next_scan(shelf: Shelf) -> None:
    (shelf.folder / "detector.pt").write_bytes(b"\x80\x02cmodels.yolo\nModel\n.")
    first, second = shelf.add(), shelf.add()

    (record,) = files_of(shelf).values()
    assert "suspicious" == record.verdict
    assert ({}, {}, 1) == (first.refused, second.refused, second.unchanged)


def test_files_of_one_name_get_names_of_their_own(shelf: Shelf) -> None:
    embedding(shelf.folder / "a" / "night.safetensors", 1)
    embedding(shelf.folder / "b" / "night.safetensors", 2)
    shelf.add()
    first, second = shelf.models()

    assert ["night.safetensors", f"night_{second.id}.safetensors"] == [first.sd_name, second.sd_name]


def test_a_file_that_every_program_calls_alike_is_called_by_its_folder(shelf: Shelf) -> None:
    embedding(shelf.folder / "Juggernaut" / "unet" / "diffusion_pytorch_model.fp16.safetensors", 1)
    embedding(shelf.folder / "by-night" / "pytorch_lora_weights.safetensors", 2)
    shelf.add()

    assert {"Juggernaut unet", "by-night"} == {model.name for model in shelf.models()}


def test_downloads_that_are_not_finished_are_passed_by(shelf: Shelf) -> None:
    embedding(shelf.folder / "a.safetensors.part")
    embedding(shelf.folder / "b.safetensors.crdownload")
    embedding(shelf.folder / "c.safetensors")
    (shelf.folder / "c.safetensors.aria2").write_bytes(b"control file")
    report = shelf.add()

    assert 0 == report.found
    assert {walk.UNFINISHED_DOWNLOAD} == {skip.reason for skip in report.skipped}


def test_packages_of_programs_are_no_models(shelf: Shelf) -> None:
    embedding(shelf.folder / "venv" / "lib" / "x.safetensors")
    (shelf.folder / "venv" / "pyvenv.cfg").touch()
    embedding(shelf.folder / ".cache" / "x.safetensors")
    embedding(shelf.folder / "lib" / "site-packages" / "x.safetensors")

    assert 0 == shelf.add().found


def test_a_file_given_by_its_name_is_added_alone(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "a.safetensors", 1)
    embedding(shelf.folder / "b.safetensors", 2)
    shelf.add(path)

    assert ["a.safetensors"] == [model.sd_name for model in shelf.models()]


def test_a_file_given_by_its_name_is_known_the_next_time_and_noted_when_it_is_gone(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    shelf.add(path)
    again = shelf.add(path)
    bytes_hashed = shelf.heard.bytes_hashed
    path.unlink()
    gone = shelf.add(path)

    assert (1, {}, 0) == (again.unchanged, again.results, bytes_hashed)
    assert ({"gone": 1}, Status.UNAVAILABLE) == (gone.results, shelf.model().status)


def test_adding_a_folder_touches_no_folder_whose_name_begins_with_its_name(url: str, tmp_path: Path) -> None:
    """Of the characters that follow, some sort before "/" and some after it."""
    shelf = opened(tmp_path, url)
    neighbours = [tmp_path / f"models{end}" for end in ("!", "-old", ".bak", "0", ":", "A", "_", "é", "\udcff")]
    for seed, folder in enumerate([shelf.folder, *neighbours]):
        embedding(folder / f"{seed}.safetensors", seed)
    shelf.add(shelf.folder, *neighbours)
    first = shelf.add(*neighbours, with_hashes=False)
    report = shelf.add()
    with shelf.catalog.store.reading() as connection:
        below = files.below(connection, [os.fsencode(shelf.folder)])
    statuses = {model.status for model in shelf.models()}
    shelf.catalog.close()

    assert (9, {}) == (first.unchanged, first.results)
    assert (1, {}) == (report.unchanged, report.results)
    assert [os.fsencode(shelf.folder / "0.safetensors")] == list(below)
    assert {Status.AVAILABLE} == statuses


def test_files_of_a_neighbouring_folder_that_wait_for_hashes_are_not_counted(shelf: Shelf, tmp_path: Path) -> None:
    embedding(shelf.folder / "night.safetensors", 1)
    embedding(tmp_path / "models-old" / "day.safetensors", 2)
    shelf.add(tmp_path / "models-old", with_hashes=False)

    assert 1 == shelf.add(with_hashes=False).pending


def test_a_name_that_is_not_utf8_is_kept_to_the_byte_and_shown_without(shelf: Shelf) -> None:
    raw = os.fsencode(shelf.folder) + b"/caf\xe9.safetensors"
    embedding(shelf.folder / "x.safetensors").rename(os.fsdecode(raw))
    shelf.add()
    again = shelf.add()

    assert "caf�.safetensors" == shelf.model().sd_name
    assert 1 == again.unchanged
    with shelf.catalog.store.reading() as connection:
        assert [raw] == list(files.below(connection, [os.fsencode(shelf.folder)]))
        assert [Path(os.fsdecode(raw))] == files.paths_of(connection, shelf.model().blob or "")


# --- Links ---


def test_a_link_beside_its_target_is_the_same_file(shelf: Shelf) -> None:
    target = embedding(shelf.folder / "a" / "night.safetensors")
    (shelf.folder / "alias.safetensors").symlink_to(target)
    report = shelf.add()

    assert (1, 1) == (report.found, len(shelf.models()))


def test_a_link_gives_a_name_to_a_file_without_one(shelf: Shelf) -> None:
    """Hugging Face's cache: blobs/<hash>, and snapshots that link to them."""
    blob = embedding(shelf.folder / "blobs" / "0a1b2c")
    (shelf.folder / "snapshots").mkdir()
    (shelf.folder / "snapshots" / "night.safetensors").symlink_to(blob)
    shelf.add()

    assert "night.safetensors" == shelf.model().sd_name


def test_loops_of_links_end(shelf: Shelf) -> None:
    (shelf.folder / "a").mkdir()
    (shelf.folder / "a" / "up").symlink_to(shelf.folder)
    (shelf.folder / "self.safetensors").symlink_to("self.safetensors")
    (shelf.folder / "one").symlink_to(shelf.folder / "two")
    (shelf.folder / "two").symlink_to(shelf.folder / "one")
    embedding(shelf.folder / "a" / "night.safetensors")

    assert 1 == shelf.add().found


def test_a_link_that_leads_outside_is_told_and_not_followed(shelf: Shelf, tmp_path: Path) -> None:
    outside = embedding(tmp_path / "elsewhere" / "secret.safetensors")
    (shelf.folder / "file.safetensors").symlink_to(outside)
    (shelf.folder / "folder").symlink_to(outside.parent)
    report = shelf.add()

    assert 0 == report.found
    assert [walk.OUTSIDE_LINK] * 2 == [skip.reason for skip in report.skipped]


def test_a_place_that_is_given_as_a_link_is_its_target(shelf: Shelf, tmp_path: Path) -> None:
    embedding(shelf.folder / "night.safetensors")
    (tmp_path / "link").symlink_to(shelf.folder)
    shelf.add(tmp_path / "link")

    assert 1 == shelf.add(shelf.folder).unchanged
    assert 1 == len(shelf.models())


# --- The same again ---


def test_what_is_unchanged_is_not_read_again(shelf: Shelf) -> None:
    embedding(shelf.folder / "night.safetensors")
    shelf.add()
    again = shelf.add()

    assert (1, {}, 0) == (again.unchanged, again.results, shelf.heard.bytes_hashed)


def test_a_changed_file_is_inspected_again_and_is_the_same_model(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors", 1)
    shelf.add()
    before = shelf.model()
    embedding(path, 2, width=1280)
    shelf.add()
    after = shelf.model()

    assert before.id == after.id
    assert hashes_of(path) == after.hashes
    assert before.blob != after.blob


def test_a_file_that_is_gone_makes_its_model_unavailable_and_available_when_it_is_back(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    shelf.add()
    away = path.rename(shelf.home / "away")
    report = shelf.add()

    assert {"gone": 1} == report.results
    assert Status.UNAVAILABLE == shelf.model().status
    assert FileState.MISSING == files_of(shelf)["night.safetensors"].state

    away.rename(path)
    shelf.add()

    assert Status.AVAILABLE == shelf.model().status
    assert path.stat().st_size == shelf.heard.bytes_hashed, "a rename changes a time that a write would change too"


@pytest.mark.parametrize(
    ("verdict", "status"),
    [("clean", Status.AVAILABLE), ("suspicious", Status.AVAILABLE), ("dangerous", Status.UNAVAILABLE)],
)
def test_a_model_whose_bytes_are_kept_stays_available_without_its_file_if_they_are_sound(
    shelf: Shelf, verdict: str, status: Status
) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    shelf.add()
    put_blob(shelf, shelf.model().blob or "", verdict)
    path.unlink()
    shelf.add()

    assert status == shelf.model().status


def test_a_folder_that_is_gone_makes_all_its_models_unavailable(shelf: Shelf) -> None:
    embedding(shelf.folder / "night.safetensors")
    shelf.add()
    shutil.rmtree(shelf.folder)
    shelf.add()

    assert Status.UNAVAILABLE == shelf.model().status


def test_a_model_stays_available_while_another_file_of_it_is_there(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "a.safetensors")
    embedding(shelf.folder / "b.safetensors")
    shelf.add()
    path.unlink()
    shelf.add()

    assert Status.AVAILABLE == shelf.model().status


def test_a_file_in_a_renamed_folder_is_recognised_without_being_read(shelf: Shelf) -> None:
    (shelf.folder / "night").mkdir()
    embedding(shelf.folder / "night" / "night.safetensors")
    shelf.add()
    before = shelf.model()
    (shelf.folder / "night").rename(shelf.folder / "day")
    report = shelf.add()

    assert ({"moved": 1}, 0) == (report.results, shelf.heard.bytes_hashed)
    assert before == shelf.model()


def test_bytes_that_changed_with_size_and_time_put_back_are_noticed(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors", 1)
    status = path.stat()
    shelf.add()
    before = shelf.model()
    embedding(path, 2)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    found = served_files.find(shelf.catalog.store, before.blob or "")
    report = shelf.add()

    assert (status.st_size, status.st_mtime_ns) == (path.stat().st_size, path.stat().st_mtime_ns)
    assert found is None
    assert {"updated": 1} == report.results
    assert hashes_of(path) == shelf.model().hashes != before.hashes


@pytest.mark.parametrize(
    "change", [lambda path: path.chmod(0o600), lambda path: path.with_name("link").hardlink_to(path)]
)
def test_other_permissions_and_links_change_no_model(shelf: Shelf, change: Callable[[Path], object]) -> None:
    path = embedding(shelf.folder / "night.safetensors", 1)
    shelf.add()
    before = shelf.model()
    change(path)
    shelf.add()

    assert before == shelf.model()
    assert path.stat().st_size == shelf.heard.bytes_hashed


def test_a_record_of_an_older_version_gets_the_change_time_without_hashing(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors", 1)
    shelf.add()
    before = shelf.model()
    with shelf.catalog.store.transaction() as transaction:
        transaction.connection.execute(sa.text("UPDATE files SET ctime_ns = NULL"))
    is_served = served_files.find(shelf.catalog.store, before.blob or "") is not None
    shelf.add()

    assert is_served
    assert (before, 0) == (shelf.model(), shelf.heard.bytes_hashed)
    assert path.stat().st_ctime_ns == files_of(shelf)["night.safetensors"].fingerprint.ctime_ns
    assert 1 == shelf.add().unchanged


def test_a_renamed_file_is_recognised_and_its_bytes_are_checked(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    shelf.add()
    before = shelf.model()
    path.rename(shelf.folder / "day.safetensors")
    report = shelf.add()

    size_bytes = (shelf.folder / "day.safetensors").stat().st_size
    assert ({"moved": 1}, size_bytes) == (report.results, shelf.heard.bytes_hashed)
    assert replace(before, file_names=("day.safetensors",)) == shelf.model()
    assert "day.safetensors" == shelf.entry().layers[Layer.GUESS].file_name


def test_a_file_that_was_moved_to_another_disk_is_recognised_by_its_hash(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    shelf.add()
    before = shelf.model()
    (shelf.folder / "other").mkdir()
    # A copy has another inode, as on another disk.
    shutil.copy(path, shelf.folder / "other" / "night.safetensors")
    path.unlink()
    report = shelf.add()

    assert 1 == report.results["moved"]
    assert before == shelf.model()
    assert [shelf.folder / "other" / "night.safetensors"] == [
        Path(os.fsdecode(record.path)) for record in files_of(shelf).values()
    ]


def test_a_file_that_was_moved_and_only_listed_is_recognised_when_it_is_hashed(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    shelf.add()
    before = shelf.model()
    (shelf.folder / "other").mkdir()
    shutil.copy(path, shelf.folder / "other" / "day.safetensors")
    path.unlink()
    shelf.add(with_hashes=False)

    assert [Status.UNAVAILABLE] * 2 == [model.status for model in shelf.models()]

    assert {"moved": 1} == shelf.add().results
    assert before == shelf.model()
    assert ["day.safetensors"] == [*files_of(shelf)]


def test_a_folder_s_life_is_the_same_on_both_databases(url: str, tmp_path: Path) -> None:
    shelf = opened(tmp_path, url)
    path = embedding(shelf.folder / "known.safetensors", 1)
    shelf.import_from_civitai(77, hashes_of(path), tags=("anime",))
    twin = embedding(shelf.folder / "caf\udce9" / "twin.safetensors", 2)
    embedding(shelf.folder / "b.safetensors", 2)
    embedding(shelf.folder / "c.safetensors", 2, metadata={"note": "mine"})
    first = shelf.add(with_hashes=False)
    hashed = library.hash_pending(shelf.catalog.store, lambda: False)
    path.rename(shelf.folder / "renamed.safetensors")
    twin.unlink()
    embedding(shelf.folder / "later.safetensors", 3)
    shelf.say(min(model.id for model in shelf.models() if model.id >= OWN_ID_MIN), name="Mine")
    after = shelf.add()
    shelf.import_from_civitai(78, hashes_of(shelf.folder / "later.safetensors"))
    last = shelf.add()
    models = [(model.id, model.name, model.status.value) for model in shelf.models() if model.id < OWN_ID_MIN]
    own = sorted((model.name, model.status.value) for model in shelf.models() if model.id >= OWN_ID_MIN)
    with shelf.catalog.store.reading() as connection:
        groups = files.duplicates(connection, None)
    shelf.catalog.close()

    assert ({"added": 4}, 4, 4) == (first.results, first.pending, hashed)
    assert {"moved": 1, "gone": 1, "added": 1} == after.results
    assert (4, 1) == (last.unchanged, last.merged)
    assert [(77, "v1", 1), (78, "v1", 1)] == models
    assert [("Mine", 1), ("c", 1)] == own
    assert [False] == [group.is_same_bytes for group in groups]


def test_a_model_of_an_import_loses_a_file_that_was_replaced(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors", 1)
    shelf.import_from_civitai(77, hashes_of(path))
    shelf.add()
    embedding(path, 2, width=1280)
    shelf.add()
    outside, own = shelf.models()

    assert (77, Status.UNAVAILABLE) == (outside.id, outside.status)
    assert (hashes_of(path), Status.AVAILABLE) == (own.hashes, own.status)


def test_a_model_loses_one_of_its_two_files_when_that_is_replaced(shelf: Shelf) -> None:
    first_path = embedding(shelf.folder / "a.safetensors", 1)
    second_path = embedding(shelf.folder / "b.safetensors", 1)
    shelf.add()
    before = shelf.model()
    embedding(second_path, 2)
    shelf.add()
    first, second = shelf.models()

    assert before == first
    assert hashes_of(first_path) == first.hashes
    assert (hashes_of(second_path), "b.safetensors") == (second.hashes, second.sd_name)


def test_a_model_whose_bytes_are_kept_does_not_become_what_replaces_its_file(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors", 1)
    shelf.add()
    before = shelf.model()
    put_blob(shelf, before.blob or "")
    embedding(path, 2)
    shelf.add()
    first, second = shelf.models()

    assert before == first
    assert hashes_of(path) == second.hashes


def test_a_copy_of_a_file_that_was_then_changed_is_a_model_of_its_own(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors", 1)
    shelf.add()
    before = shelf.model()
    copy = Path(shutil.copy(path, shelf.folder / "copied.safetensors"))
    embedding(path, 2)
    report = shelf.add()
    first, second = shelf.models()
    evidence = " ".join(shelf.entry(second.id).layers[Layer.HEADER].evidence or ())

    assert {"updated": 1, "added": 1} == report.results
    assert (before.id, hashes_of(path)) == (first.id, first.hashes)
    assert hashes_of(copy) == second.hashes
    assert {"night.safetensors": first.id, "copied.safetensors": second.id} == {
        name: record.model_id for name, record in files_of(shelf).items()
    }
    assert "the same tensors" not in evidence


def test_a_missing_file_that_comes_back_with_other_bytes_stays_on_record_beside_its_copy(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors", 1)
    shelf.add()
    path.rename(shelf.home / "away")
    shelf.add()
    copy = Path(shutil.copy(shelf.home / "away", shelf.folder / "copied.safetensors"))
    embedding(path, 2)
    shelf.add()
    again = shelf.add()

    assert (2, {}) == (again.unchanged, again.results)
    assert [hashes_of(path), hashes_of(copy)] == [model.hashes for model in shelf.models()]


def test_two_files_that_exchange_their_bytes_exchange_their_models(shelf: Shelf) -> None:
    one, other = (embedding(shelf.folder / f"{name}.safetensors", seed) for seed, name in enumerate("ab"))
    shelf.add()
    before = shelf.models()
    embedding(one, 1)
    embedding(other, 0)
    shelf.add()

    assert [(model.id, model.hashes, Status.AVAILABLE) for model in before] == [
        (model.id, model.hashes, model.status) for model in shelf.models()
    ]
    assert [model.id for model in reversed(before)] == [
        files_of(shelf)[f"{name}.safetensors"].model_id for name in "ab"
    ]


def test_a_model_that_its_owner_removed_is_not_made_again(shelf: Shelf) -> None:
    embedding(shelf.folder / "night.safetensors")
    shelf.add(owner=RED)
    shelf.remove("red", shelf.model().id)
    shelf.add(owner=RED)

    assert [] == shelf.models()


def test_a_removed_model_is_not_made_again_when_a_sidecar_of_its_file_changes(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    shelf.add(owner=RED)
    shelf.remove("red", shelf.model().id)
    path.with_suffix(".txt").write_text("notes")
    report = shelf.add(owner=RED)

    assert ({"updated": 1}, []) == (report.results, shelf.models())
    assert ({"found": 1, "unchanged": 1}, []) == (
        {name: shelf.add(owner=RED).to_json()[name] for name in ("found", "unchanged")},
        shelf.models(),
    )


def test_a_removed_model_is_not_made_again_when_its_file_is_hashed(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    shelf.add(owner=RED, with_hashes=False)
    shelf.remove("red", shelf.model().id)
    library.hash_pending(shelf.catalog.store, lambda: False)
    record = files_of(shelf)["night.safetensors"]

    assert [] == shelf.models()
    assert (hashes_of(path).sha256, None, False) == (
        (record.sha256 or "").upper(),
        record.model_id,
        record.hashes_pending,
    )


def test_other_bytes_in_the_place_of_a_removed_model_s_file_are_a_model(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors", 1)
    shelf.add(owner=RED)
    old_id = shelf.model().id
    shelf.remove("red", old_id)
    embedding(path, 2)
    shelf.add(owner=RED)

    assert hashes_of(path) == shelf.model().hashes
    assert old_id != shelf.model().id


def test_what_is_already_here_stays_whose_it_is(shelf: Shelf) -> None:
    embedding(shelf.folder / "night.safetensors")
    shelf.add(owner=RED)
    embedding(shelf.folder / "night.safetensors", 3)
    shelf.add()

    record = files_of(shelf)["night.safetensors"]

    assert ("red", Visibility.PRIVATE) == (shelf.model().team, shelf.model().visibility)
    assert ("red", Visibility.PRIVATE, Source.UPLOADING) == (record.team, record.visibility, record.source)


def test_a_file_that_a_team_added_as_public_stays_that_team_s_when_the_operator_adds_it(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors", 1)
    shelf.add(owner=Ownership(Source.TRAINING, "red", Visibility.PUBLIC))
    path.with_suffix(".txt").write_text("notes")
    shelf.add()
    record = files_of(shelf)["night.safetensors"]

    assert ("red", Visibility.PUBLIC, Source.TRAINING) == (record.team, record.visibility, record.source)


def test_a_file_has_the_visibility_that_its_owner_gave_the_model(shelf: Shelf) -> None:
    first = embedding(shelf.folder / "a.safetensors")
    shutil.copy(first, shelf.folder / "b.safetensors")
    shelf.add(owner=Ownership(Source.TRAINING, "red", Visibility.PUBLIC))
    storage = open_storage("", shelf.home, {})
    models = Models(shelf.catalog.store, storage.kept, storage.incoming)
    models.edit(Viewer("red", frozenset(Scope)), shelf.model().id, Edit(Facts(), visibility=Visibility.PRIVATE))
    with shelf.catalog.store.reading() as connection:
        groups = [files.duplicates(connection, team) for team in (None, "red")]

    assert [0, 1] == [len(group) for group in groups]
    assert {Visibility.PRIVATE} == {record.visibility for record in files_of(shelf).values()}


def test_a_renamed_file_gets_the_hashes_and_sidecars_that_it_has_not_had(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "a.safetensors")
    shelf.add(with_hashes=False)
    path = path.rename(shelf.folder / "b.safetensors")
    hashed = shelf.add()
    path.rename(shelf.folder / "c.safetensors")
    (shelf.folder / "c.txt").write_text("beside c")
    shelf.add()

    assert (0, 1, "beside c") == (hashed.pending, hashed.results["moved"], shelf.entry().layers[Layer.SIDECAR].notes)


# --- One model, not two ---


@pytest.mark.parametrize("hash_name", ["sha256", "autov2", "autov3"])
def test_a_file_is_the_model_that_an_import_brought(shelf: Shelf, hash_name: str) -> None:
    path = embedding(shelf.folder / "renamed by me.safetensors")
    shelf.import_from_civitai(
        77, Hashes(**{hash_name: getattr(hashes_of(path), hash_name)}), tags=("anime",), base_model="Pony"
    )
    report = shelf.add()
    model = shelf.model()

    assert {"matched": 1} == report.results
    assert (77, ("anime",), "Pony", "night_77.safetensors") == (model.id, model.tags, model.base_model, model.sd_name)
    assert Status.AVAILABLE == model.status
    assert hashes_of(path).sha256 == (model.blob or "").upper()
    assert {Layer.UPSTREAM, Layer.HEADER} == set(shelf.entry().layers)


def test_a_short_autov3_as_civitai_answers_it_matches(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    shelf.import_from_civitai(77, Hashes(autov3=(hashes_of(path).autov3 or "")[:12]))
    shelf.add()

    assert 77 == shelf.model().id


def test_a_model_of_other_bytes_is_not_matched_by_the_beginning_of_its_hash(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    short = hashes_of(path).short
    shelf.import_from_civitai(77, Hashes(sha256=short + "0" * 54, autov2=short))
    report = shelf.add()
    again = shelf.add()

    assert ({"added": 1}, 0) == (report.results, again.merged)
    assert (77, None) == (shelf.models()[0].id, shelf.models()[0].blob)


def test_a_file_is_rather_a_model_of_an_import_than_one_of_ours(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "a.safetensors")
    shelf.add()
    # By AutoV3 alone nothing is joined later.
    shelf.import_from_civitai(77, Hashes(autov3=hashes_of(path).autov3))
    shutil.copy(path, shelf.folder / "b.safetensors")
    report = shelf.add()

    assert {"matched": 1} == report.results
    assert (77, Status.AVAILABLE) == (files_of(shelf)["b.safetensors"].model_id, shelf.entry(77).model.status)


def test_a_model_that_an_import_brought_later_is_the_one_that_was_here(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    shelf.add()
    shelf.say(shelf.model().id, tags=("mine",))
    shelf.import_from_civitai(77, hashes_of(path), tags=("anime",))
    report = shelf.add()
    model = shelf.model()

    assert 1 == report.merged
    assert (77, Status.AVAILABLE, ("mine",)) == (model.id, model.status, model.tags)
    assert hashes_of(path).sha256 == (model.blob or "").upper()
    assert 77 == files_of(shelf)["night.safetensors"].model_id


def test_a_team_s_private_file_does_not_open_a_public_model_for_download(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    shelf.import_from_civitai(77, hashes_of(path), base_model="Pony")
    shelf.add(owner=RED)
    public, private = shelf.models()

    assert (77, None) == (public.id, public.blob)
    assert ("red", Visibility.PRIVATE) == (private.team, private.visibility)
    # What the tensors cannot tell is known by the hash.
    assert "Pony" == private.base_model
    assert public.sd_name != private.sd_name


def test_what_is_copied_of_a_public_model_is_not_its_rank_name_or_file(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    shelf.import_from_civitai(77, hashes_of(path), base_model="Pony", rank=7, size_bytes=9, file_name="theirs.pt")
    shelf.add(owner=RED)
    facts = shelf.entry(shelf.models()[-1].id).layers[Layer.UPSTREAM]

    assert "Pony" == facts.base_model
    assert [None] * 5 == [facts.sd_name, facts.rank, facts.hashes, facts.size_bytes, facts.file_name]


def test_nothing_is_copied_of_another_team_s_private_model(shelf: Shelf, tmp_path: Path) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    facts = Facts(name="secret", sd_name="secret.safetensors", hashes=hashes_of(path), base_model="Pony")
    record = Record(77, Source.UPLOADING, Layer.UPSTREAM, facts, Visibility.PRIVATE, "blue")
    for _ in shelf.catalog.register_many([record]):
        pass
    shelf.add(owner=RED)
    public = shelf.add(Path(shutil.copy(path, tmp_path)))

    assert 0 == public.merged
    assert ["Pony", "SD 1.5", "SD 1.5"] == [model.base_model for model in shelf.models()]


def test_two_teams_files_of_one_name_keep_it_and_a_public_one_does_not(shelf: Shelf, tmp_path: Path) -> None:
    for seed, owner in enumerate((RED, Ownership(Source.UPLOADING, "blue", Visibility.PRIVATE), Ownership())):
        shelf.add(embedding(tmp_path / str(seed) / "night.safetensors", seed).parent, owner=owner)
    red, blue, public = shelf.models()

    assert ["night.safetensors", "night.safetensors", f"night_{public.id}.safetensors"] == [
        model.sd_name for model in (red, blue, public)
    ]


def test_files_of_two_teams_that_are_added_together_both_keep_their_name(shelf: Shelf, tmp_path: Path) -> None:
    blue = Ownership(Source.UPLOADING, "blue", Visibility.PRIVATE)
    paths = [tmp_path / "red" / "night.safetensors", tmp_path / "blue" / "night.safetensors"]
    for seed, (path, owner) in enumerate(zip(paths, (RED, blue), strict=True)):
        shelf.add(embedding(path, seed), owner=owner)
        shelf.remove(owner.team or "", shelf.model().id)
        # Other bytes are another model, and the record says whose.
        embedding(path, seed + 10)
    shelf.add(*paths)

    assert {"red": "night.safetensors", "blue": "night.safetensors"} == {
        model.team: model.sd_name for model in shelf.models()
    }


def test_duplicates_of_another_team_s_private_files_and_of_what_is_gone_or_no_model_are_not_told(
    url: str, tmp_path: Path
) -> None:
    shelf = opened(tmp_path, url)
    blue = Ownership(Source.UPLOADING, "blue", Visibility.PRIVATE)
    folders = {name: tmp_path / name for name in ("red", "blue", "gone", "arguments")}
    for name in ("a", "b"):
        embedding(folders["red"] / f"{name}.safetensors", 1)
        embedding(folders["blue"] / f"{name}.safetensors", 2)
        embedding(folders["gone"] / f"{name}.safetensors", 3)
        folders["arguments"].mkdir(exist_ok=True)
        (folders["arguments"] / f"{name}.bin").write_bytes(pickle.dumps({"learning_rate": 1e-4}))
    shelf.add(folders["red"], owner=RED)
    shelf.add(folders["blue"], owner=blue)
    shelf.add(folders["gone"], folders["arguments"])
    (folders["gone"] / "b.safetensors").unlink()
    shelf.add(folders["gone"])
    with shelf.catalog.store.reading() as connection:
        by_team = {team: files.duplicates(connection, team) for team in ("red", "blue", None)}
    shelf.catalog.close()

    assert {"red": ["red"], "blue": ["blue"], None: []} == {
        team: [Path(os.fsdecode(group.files[0].path)).parent.name for group in groups]
        for team, groups in by_team.items()
    }


def test_an_import_does_not_take_a_private_model_s_file_and_waits_for_one_that_is_gone(
    url: str, tmp_path: Path
) -> None:
    shelf = opened(tmp_path, url)
    private = embedding(shelf.folder / "private.safetensors", 1)
    gone = embedding(shelf.folder / "gone.safetensors", 2)
    shelf.add(private, owner=RED)
    shelf.add(gone)
    gone.rename(tmp_path / "away")
    shelf.add(gone)
    shelf.import_from_civitai(77, hashes_of(private))
    shelf.import_from_civitai(78, hashes_of(tmp_path / "away"))
    before = shelf.add()
    count = len(shelf.models())
    (tmp_path / "away").rename(gone)
    shelf.add()
    model_ids = [model.id for model in shelf.models() if model.id < OWN_ID_MIN or model.team == "red"]
    shelf.catalog.close()

    assert (0, 4) == (before.merged, count)
    assert [77, 78, OWN_ID_MIN] == model_ids


def test_a_team_s_private_file_does_not_open_its_own_public_model_for_download(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "a.safetensors")
    shelf.add(path, owner=Ownership(Source.UPLOADING, "red", Visibility.PUBLIC))
    copy = Path(shutil.copy(path, shelf.folder / "b.safetensors"))
    path.unlink()
    shelf.add(path)
    shelf.add(copy, owner=RED)

    assert [(Visibility.PUBLIC, Status.UNAVAILABLE), (Visibility.PRIVATE, Status.AVAILABLE)] == [
        (model.visibility, model.status) for model in shelf.models()
    ]


def test_a_public_file_does_not_join_a_team_s_private_model(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "a.safetensors")
    shelf.add(path, owner=RED)
    shutil.copy(path, shelf.folder / "b.safetensors")
    shelf.add(shelf.folder / "b.safetensors")

    assert [("red", Visibility.PRIVATE), (None, Visibility.PUBLIC)] == [
        (model.team, model.visibility) for model in shelf.models()
    ]


def test_files_of_the_same_bytes_are_one_model_and_told(shelf: Shelf) -> None:
    embedding(shelf.folder / "a.safetensors")
    embedding(shelf.folder / "b.safetensors")
    report = shelf.add()
    (group,) = report.duplicates

    assert 1 == len(shelf.models())
    assert (True, ["a.safetensors", "b.safetensors"]) == (
        group.is_same_bytes,
        [Path(os.fsdecode(file.path)).name for file in group.files],
    )


def test_files_of_the_same_tensors_under_another_header_are_told(shelf: Shelf) -> None:
    embedding(shelf.folder / "a.safetensors")
    embedding(shelf.folder / "b.safetensors", metadata={"note": "mine"})
    report = shelf.add()
    (group,) = report.duplicates
    first, second = shelf.models()

    assert not group.is_same_bytes
    assert f"the same tensors as model {first.id}" in " ".join(
        shelf.entry(second.id).layers[Layer.HEADER].evidence or ()
    )
    assert first.hashes.sha256 != second.hashes.sha256


# --- Of no use ---


def test_a_broken_file_is_listed_as_unavailable_with_the_reason(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    path.write_bytes(path.read_bytes()[:-10])
    report = shelf.add()

    assert {"broken": 1} == report.results
    assert Status.UNAVAILABLE == shelf.model().status
    assert "error: " in (shelf.entry().layers[Layer.HEADER].evidence or ("",))[0]
    with shelf.catalog.store.reading() as connection:
        assert [] == files.paths_of(connection, shelf.model().blob or "")


def test_a_truncated_file_is_whole_again_when_it_is(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    content = path.read_bytes()
    path.write_bytes(content[:-10])
    shelf.add()
    broken = shelf.model()
    path.write_bytes(content)
    shelf.add()

    assert (broken.id, Status.AVAILABLE) == (shelf.model().id, shelf.model().status)


def test_a_dangerous_file_is_never_available(shelf: Shelf) -> None:
    (shelf.folder / "night.pt").write_bytes(pickles.system(2))
    shelf.add()

    assert (Status.UNAVAILABLE, "dangerous") == (shelf.model().status, files_of(shelf)["night.pt"].verdict)
    assert (shelf.entry().layers[Layer.HEADER].evidence or ("",))[0].startswith("dangerous: ")
    with shelf.catalog.store.reading() as connection:
        assert [] == files.paths_of(connection, shelf.model().blob or "")


def test_what_only_has_the_extension_of_a_model_makes_none(shelf: Shelf) -> None:
    (shelf.folder / "vocabulary.bin").write_bytes(os.urandom(64) + b"\xff" * 64)
    (shelf.folder / "training_args.bin").write_bytes(pickle.dumps({"learning_rate": 1e-4}))
    report = shelf.add(with_hashes=False)

    assert ({"other": 2}, [], 0) == (report.results, shelf.models(), report.pending)
    assert 2 == shelf.add().unchanged


def test_what_is_no_model_is_none_when_a_file_beside_it_changes(shelf: Shelf) -> None:
    path = shelf.folder / "training_args.bin"
    path.write_bytes(pickle.dumps({"learning_rate": 1e-4}))
    shelf.add()
    path.with_suffix(".txt").write_text("notes")
    shelf.add()

    assert [] == shelf.models()


def test_weights_in_a_file_of_any_such_name_are_a_model(shelf: Shelf) -> None:
    (shelf.folder / "pytorch_lora_weights.bin").write_bytes(pickles.weights_in_a_zip())

    assert {"added": 1} == shelf.add().results


def test_a_dangerous_file_of_such_a_name_is_told(shelf: Shelf) -> None:
    (shelf.folder / "training_args.bin").write_bytes(pickles.system(2))

    assert {"broken": 1} == shelf.add().results


@pytest.fixture
def nobody() -> Iterator[int]:
    """The user that tests act as where the superuser may read everything."""
    before = os.geteuid()
    yield 65_534 if before == 0 else before
    os.seteuid(before)


def test_a_file_that_cannot_be_read_is_told_and_tried_again(shelf: Shelf, nobody: int) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    for folder in path.parents:
        if folder.owner() == path.owner() and not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    path.chmod(0)
    (file,) = walk.scan([os.fsencode(path)]).files
    os.seteuid(nobody)
    result = probe.probe(file, with_hashes=True)
    os.seteuid(0 if nobody == 65_534 else nobody)

    assert (FileState.BROKEN, "", False) == (result.state, result.verdict, result.is_model)
    assert "cannot be read" in result.reason


def test_a_file_that_vanishes_is_no_model(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    (file,) = walk.scan([os.fsencode(path)]).files
    path.unlink()

    assert FileState.MISSING == probe.probe(file, with_hashes=True).state


def test_a_file_that_grows_while_it_is_read_is_looked_at_later(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors")

    def grow(_: int) -> None:
        with path.open("ab") as writer:
            writer.write(b"more")

    (file,) = walk.scan([os.fsencode(path)]).files
    result = probe.probe(file, with_hashes=True, on_bytes=grow)

    assert (FileState.CHANGED, None) == (result.state, result.sha256)


def test_a_file_that_grows_is_no_model_until_it_holds_still(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    content = path.read_bytes()

    def grow() -> None:
        with path.open("ab") as file:
            file.write(b"more")

    scanner = library.Scanner(shelf.catalog.store, Ownership(), Heard(when_hashed=grow))
    report = scanner.run([os.fsencode(shelf.folder)])

    assert ({"later": 1}, []) == (report.results, shelf.models())

    path.write_bytes(content)

    assert {"added": 1} == shelf.add().results
    assert hashes_of(path) == shelf.model().hashes


@pytest.mark.parametrize("with_hashes", [True, False])
def test_files_that_vanish_between_scan_and_look_are_no_models(shelf: Shelf, with_hashes: bool) -> None:
    embedding(shelf.folder / "a.safetensors")
    embedding(shelf.folder / "b.safetensors")
    progress = Heard(when_planned=lambda: shutil.rmtree(shelf.folder))
    scanner = library.Scanner(shelf.catalog.store, Ownership(), progress, with_hashes=with_hashes)
    report = scanner.run([os.fsencode(shelf.folder)])

    assert ({"gone": 2}, [], {}) == (report.results, shelf.models(), files_of(shelf))


def test_a_file_that_our_reader_stumbles_over_keeps_no_other_out(shelf: Shelf) -> None:
    calls = []

    def stumble() -> None:
        if not calls:
            calls.append(True)
            raise LookupError("no such tensor")

    embedding(shelf.folder / "a.safetensors", 1)
    embedding(shelf.folder / "b.safetensors", 2)
    scanner = library.Scanner(shelf.catalog.store, Ownership(), Heard(when_hashed=stumble))
    report = scanner.run([os.fsencode(shelf.folder)])

    assert {"broken": 1, "added": 1} == report.results
    assert (
        "a bug in our reader, not a fault of the file: LookupError: no such tensor"
        in files_of(shelf)["a.safetensors"].reason
    )
    assert {"added": 1} == shelf.add().results
    assert ["a.safetensors", "b.safetensors"] == sorted(model.sd_name for model in shelf.models())


def test_a_model_whose_file_can_no_longer_be_read_is_unavailable_and_says_why(shelf: Shelf) -> None:
    def stumble() -> None:
        raise LookupError("no such tensor")

    path = embedding(shelf.folder / "night.safetensors", 1)
    shelf.add()
    embedding(path, 2)
    report = library.Scanner(shelf.catalog.store, Ownership(), Heard(when_hashed=stumble)).run(
        [os.fsencode(shelf.folder)]
    )
    evidence = shelf.entry().layers[Layer.HEADER].evidence

    assert ({"broken": 1}, Status.UNAVAILABLE) == (report.results, shelf.model().status)
    assert ("error: a bug in our reader, not a fault of the file: LookupError: no such tensor",) == evidence


def test_a_model_stays_available_when_one_of_its_two_files_can_no_longer_be_read(shelf: Shelf) -> None:
    def stumble() -> None:
        raise LookupError("no such tensor")

    path = embedding(shelf.folder / "a.safetensors", 1)
    embedding(shelf.folder / "b.safetensors", 1)
    shelf.add()
    before = shelf.entry()
    embedding(path, 2)
    library.Scanner(shelf.catalog.store, Ownership(), Heard(when_hashed=stumble)).run([os.fsencode(shelf.folder)])

    assert before == shelf.entry()


def test_recorded_files_are_listed_as_what_they_are(shelf: Shelf) -> None:
    files_with_type = [file for file in expectations.expectations(data_dir()) if file.type]
    for number, file in enumerate(files_with_type):
        folder = shelf.folder / str(number)
        folder.mkdir()
        if file.is_header and ".pth" not in file.name:
            shapes, metadata = recorded_header(file.path)
            write_safetensors(folder / "model.safetensors", shapes, metadata)
        elif not file.is_header:
            shutil.copy(file.path, folder)
    report = shelf.add(with_hashes=False)
    with shelf.catalog.store.reading() as connection:
        records = files.below(connection, [os.fsencode(shelf.folder)])
    types = {
        int(Path(os.fsdecode(path)).parent.name): shelf.entry(record.model_id).model.type.name
        for path, record in records.items()
    }

    assert report.found == report.results["added"] == len(types) >= 30
    assert {number: expectations.TYPES[files_with_type[number].type or ""] for number in types} == types


def test_damaged_files_are_listed_as_unavailable_and_sound_ones_as_available(shelf: Shelf) -> None:
    odd = data_dir() / "odd" / "safetensors"
    shutil.copytree(odd, shelf.folder / "odd")
    shelf.add()
    expected = {item["file"]: item["expect"] == "valid" for item in json.loads((odd / "INDEX.json").read_text())}

    assert expected == {name: record.state is FileState.PRESENT for name, record in files_of(shelf).items()}


# --- Without hashes first ---


def test_without_hashes_models_are_listed_at_once_and_available_when_they_are_hashed(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    report = shelf.add(with_hashes=False)
    model = shelf.model()

    assert (1, Status.UNAVAILABLE, "textualinversion") == (report.pending, model.status, model.type.name)
    assert None is model.hashes.sha256

    shelf.add()

    assert (model.id, Status.AVAILABLE) == (shelf.model().id, shelf.model().status)
    assert hashes_of(path) == shelf.model().hashes


def test_a_changed_file_that_is_only_listed_has_no_hashes_until_it_is_hashed(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors", 1)
    shelf.add()
    before = shelf.model()
    embedding(path, 2)
    report = shelf.add(with_hashes=False)
    model, record = shelf.model(), files_of(shelf)["night.safetensors"]

    assert (before.id, Hashes(), None, Status.UNAVAILABLE) == (model.id, model.hashes, model.blob, model.status)
    assert (None, None, True, 1) == (record.sha256, record.autov3, record.hashes_pending, report.pending)

    shelf.add()

    assert (hashes_of(path), Status.AVAILABLE) == (shelf.model().hashes, shelf.model().status)


def test_a_changed_file_of_an_import_s_model_is_another_model_though_it_is_only_listed(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors", 1)
    shelf.import_from_civitai(77, hashes_of(path))
    shelf.add()
    embedding(path, 2)
    shelf.add(with_hashes=False)
    outside, own = shelf.models()

    assert [(77, Status.UNAVAILABLE), (own.id, Status.UNAVAILABLE)] == [
        (model.id, model.status) for model in (outside, own)
    ]
    assert own.id == files_of(shelf)["night.safetensors"].model_id


def test_files_that_went_before_they_were_hashed_wait_for_nothing(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    shelf.add(with_hashes=False)
    path.unlink()

    assert 0 == shelf.add(with_hashes=False).pending


def test_files_that_wait_for_hashes_are_told_once_each_in_order(url: str, tmp_path: Path) -> None:
    shelf = opened(tmp_path, url)
    for seed in range(3):
        embedding(shelf.folder / f"{seed}.safetensors", seed)
    shelf.add(with_hashes=False)
    with shelf.catalog.store.reading() as connection:
        first, *others = files.pending(connection, 10)
        next_one = files.pending(connection, 1, after=first.id or 0)
    shelf.catalog.close()

    assert [os.fsencode(shelf.folder / f"{seed}.safetensors") for seed in range(3)] == [
        record.path for record in (first, *others)
    ]
    assert others[:1] == next_one


def test_what_was_listed_without_hashes_is_hashed_in_the_background(shelf: Shelf) -> None:
    embedding(shelf.folder / "night.safetensors", 1)
    embedding(shelf.folder / "day.safetensors", 2)
    shelf.add(with_hashes=False)
    done = library.hash_pending(shelf.catalog.store, lambda: False)

    assert (2, {Status.AVAILABLE}) == (done, {model.status for model in shelf.models()})
    assert 2 == shelf.add().unchanged


def test_hashing_in_the_background_can_be_ended_within_a_file(shelf: Shelf) -> None:
    embedding(shelf.folder / "night.safetensors")
    shelf.add(with_hashes=False)
    answers = iter([False])
    done = library.hash_pending(shelf.catalog.store, lambda: next(answers, True))

    assert (0, Status.UNAVAILABLE) == (done, shelf.model().status)


def test_a_file_whose_hashing_never_ends_goes_to_the_end_of_the_queue_and_is_named(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    sizes = [
        embedding(shelf.folder / f"{width:04}.safetensors", width=width).stat().st_size for width in (768, 1024, 1280)
    ]
    shelf.add(with_hashes=False)
    order: list[int] = []

    def hash_until_killed(size: int) -> None:
        order.append(size)
        if size == sizes[0]:
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            library.hash_pending(shelf.catalog.store, lambda: False, on_file=hash_until_killed)

    assert [sizes[0], sizes[1], sizes[2], sizes[0]] == order
    assert 1 == sum(model.status is Status.UNAVAILABLE for model in shelf.models())
    assert f"hashing of {shelf.folder}/0768.safetensors did not end" in caplog.text


def test_a_file_that_was_listed_first_joins_the_model_that_its_hash_names(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    shelf.import_from_civitai(77, hashes_of(path))
    shelf.add(with_hashes=False)
    placeholder = shelf.models()[-1]
    shelf.say(placeholder.id, tags=("mine",))
    shelf.add()

    assert (77, ("mine",), Status.AVAILABLE) == (shelf.model().id, shelf.model().tags, shelf.model().status)


def test_a_model_that_was_only_listed_does_not_become_the_one_whose_bytes_replaced_its_file(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors", 1)
    shelf.add(with_hashes=False)
    model = shelf.model()
    shelf.say(model.id, tags=("mine",))
    embedding(path, 2)
    shelf.import_from_civitai(77, hashes_of(path))
    shelf.add()

    assert [(77, (), Status.AVAILABLE), (model.id, ("mine",), Status.UNAVAILABLE)] == [
        (model.id, model.tags, model.status) for model in shelf.models()
    ]


def test_files_that_turn_out_the_same_become_one_model(shelf: Shelf) -> None:
    embedding(shelf.folder / "a.safetensors")
    embedding(shelf.folder / "b.safetensors")
    shelf.add(with_hashes=False)

    assert 2 == len(shelf.models())

    shelf.add()

    assert 1 == len(shelf.models())
    assert {shelf.model().id} == {record.model_id for record in files_of(shelf).values()}


def test_many_files_are_looked_at_by_several_processes(shelf: Shelf) -> None:
    for number in range(probe.POOL_FILES_MIN):
        embedding(shelf.folder / f"{number % 7}" / f"{number}.safetensors", number)
    model_files = walk.scan([os.fsencode(shelf.folder)]).files
    results = list(probe.probe_all(model_files, with_hashes=False, processes=2))

    assert [file.path for file in model_files] == [result.file.path for result in results]
    assert {"clean"} == {result.verdict for result in results}


def test_a_dry_run_changes_nothing(shelf: Shelf) -> None:
    embedding(shelf.folder / "night.safetensors")
    report = shelf.add(dry_run=True)

    assert ({"added": 1}, [], {}) == (report.results, shelf.models(), files_of(shelf))


# --- What trainers make ---


@pytest.mark.parametrize(
    ("metadata", "name", "finished_at", "training"),
    [
        (
            {"ss_network_module": "networks.lora", "ss_output_name": "cat", "ss_training_finished_at": "1699325939.25"},
            "cat",
            1_699_325_939,
            "trained with kohya",
        ),
        (
            {"ot_branch": "master", "modelspec.date": "2024-02-03T04:05:06"},
            "out",
            1_706_933_106,
            "trained with OneTrainer",
        ),
        (
            {"software": '{"name": "ai-toolkit"}', "training_info": '{"step": 2000, "epoch": 9}', "name": "cat"},
            "cat",
            1_600_000_000,
            "trained with ai-toolkit, 2000 steps, 9 epochs",
        ),
    ],
)
def test_a_trained_model_is_named_by_time_and_hash(
    shelf: Shelf, metadata: dict[str, str], name: str, finished_at: int, training: str
) -> None:
    path = embedding(shelf.folder / "out.safetensors", metadata=metadata)
    os.utime(path, (1_600_000_000, 1_600_000_000))
    shelf.add(owner=TRAINED)
    model = shelf.model()

    assert Source.TRAINING == model.source
    assert name == model.name
    assert f"model_{finished_at}_{(model.hashes.sha256 or '')[:10]}.safetensors" == model.sd_name
    assert training == (shelf.entry().layers[Layer.GUESS].evidence or ())[-1]


def test_what_trainers_keep_for_themselves_is_no_model(shelf: Shelf) -> None:
    embedding(shelf.folder / "cat-000010-state" / "model.safetensors")
    embedding(shelf.folder / "optimizer.pt")
    embedding(shelf.folder / "cat.safetensors", 1)

    assert 1 == shelf.add(owner=TRAINED).found


# --- Layouts ---


@pytest.mark.parametrize(
    ("folder", "type_name"),
    [
        ("stable-diffusion-webui/models/Lora/style/x.pt", "lora"),
        ("stable-diffusion-webui/embeddings/x.pt", "textualinversion"),
        ("ComfyUI/models/upscale_models/x.pth", "upscaler"),
        ("ComfyUI/models/diffusion_models/flux/x.safetensors", "unet"),
        ("Data/Models/StableDiffusion/x.safetensors", "checkpoint"),
        ("SwarmUI/Models/Stable-Diffusion/OfficialStableDiffusion/x.safetensors", "checkpoint"),
        ("invokeai/models/sdxl/controlnet/x/diffusion_pytorch_model.safetensors", "controlnet"),
        # The folder below `models` decides, not one that somebody made in it.
        ("models/Lora/controlnet/x.safetensors", "lora"),
        ("downloads/x.safetensors", None),
    ],
)
def test_the_place_of_a_file_is_a_hint(folder: str, type_name: str | None) -> None:
    hint = folder_hints.hint_of(b"/srv/" + folder.encode(), b"/srv", {})

    assert type_name == (hint.type if hint else None)


def test_invokeai_s_folders_hint_at_the_base_as_well() -> None:
    hint = folder_hints.hint_of(b"/srv/models/sd-1/lora/x.safetensors", b"/srv", {})

    assert hint is not None
    assert ("lora", "SD 1.5") == (hint.type, hint.base_model)


def test_a_hint_is_weaker_than_what_the_file_shows(shelf: Shelf) -> None:
    embedding(shelf.folder / "models" / "Lora" / "night.safetensors")
    shelf.add()

    assert "textualinversion" == shelf.model().type.name
    assert "lora" == (shelf.entry().layers[Layer.GUESS].type or shelf.model().type).name


def test_comfyui_s_extra_paths_say_what_their_folders_hold(shelf: Shelf) -> None:
    (shelf.folder / "extra_model_paths.yaml").write_text(
        "mine:\n    base_path: things\n    loras: |\n        soft\n        softer\n    upscale_models: big\n"
    )
    scan = walk.scan([os.fsencode(shelf.folder)])
    inside = os.fsencode(shelf.folder) + b"/things/softer/deep/x.pt"
    hint = folder_hints.hint_of(inside, scan.roots[0], scan.kinds)

    assert hint is not None
    assert "lora" == hint.type


def test_extra_paths_given_by_name_give_the_folders_they_name(shelf: Shelf, tmp_path: Path) -> None:
    embedding(tmp_path / "elsewhere" / "soft" / "a.safetensors", 1)
    embedding(tmp_path / "elsewhere" / "untold" / "b.safetensors", 2)
    yaml = shelf.folder / "extra_model_paths.yaml"
    yaml.write_text(f"mine:\n  base_path: {tmp_path}/elsewhere\n  loras: soft\n  vae: not/there\n")
    embedding(shelf.folder / "c.safetensors", 3)
    shelf.add(yaml)

    assert ["a.safetensors"] == [model.sd_name for model in shelf.models()]
    assert ["extra_model_paths.yaml calls its folder 'loras'"] == [*(shelf.entry().layers[Layer.GUESS].evidence or ())]


def test_extra_paths_that_are_no_yaml_are_told(shelf: Shelf) -> None:
    (shelf.folder / "extra_model_paths.yaml").write_bytes(b"a: [\xff")

    assert [modelyard_paths.NOT_READABLE] == [skip.reason for skip in shelf.add().skipped]


# --- The version that a sidecar names ---


def write_version(path: Path, id_: int) -> None:
    """Write what Civitai answers for a version whose only file is an archive with other bytes."""
    content = {"id": id_, "name": "v1", "files": [{"hashes": {"SHA256": "AB" * 32}}]}
    path.with_suffix(".civitai.info").write_text(json.dumps(content))


def test_the_id_of_a_known_version_in_a_sidecar_ties_all_its_files_to_it(shelf: Shelf) -> None:
    high, low = (embedding(shelf.folder / f"{name}.safetensors", seed) for seed, name in enumerate(("high", "low")))
    write_version(high, 77)
    write_version(low, 77)
    shelf.import_from_civitai(77, Hashes(sha256="AB" * 32))
    shelf.add()
    before, other = shelf.model(), hashes_of(low)
    again = shelf.add()
    shutil.copy(low, shelf.folder / "copy.safetensors")
    high.unlink()
    shelf.add()
    after = shelf.model()

    assert (77, Status.AVAILABLE) == (before.id, before.status)
    assert [77, 77, 77] == [record.model_id for record in files_of(shelf).values()]
    assert (2, {}) == (again.unchanged, again.results)
    assert (77, Status.AVAILABLE, other.sha256) == (after.id, after.status, (after.blob or "").upper())


def test_a_sidecar_that_names_a_version_later_takes_all_equal_files_and_edits_along(shelf: Shelf) -> None:
    first = embedding(shelf.folder / "a.safetensors")
    shutil.copy(first, shelf.folder / "b.safetensors")
    shelf.add()
    shelf.say(shelf.model().id, tags=("mine",))
    shelf.import_from_civitai(77, Hashes(sha256="AB" * 32))
    write_version(first, 77)
    shelf.add()

    assert (77, ("mine",), Status.AVAILABLE) == (shelf.model().id, shelf.model().tags, shelf.model().status)
    assert [77, 77] == [record.model_id for record in files_of(shelf).values()]


def test_a_sidecar_ties_no_private_file_and_no_unknown_version(shelf: Shelf) -> None:
    write_version(embedding(shelf.folder / "a.safetensors"), 77)
    write_version(embedding(shelf.folder / "b.safetensors", 1), 78)
    shelf.import_from_civitai(77, Hashes(sha256="AB" * 32))
    shelf.add(owner=RED)

    assert [77, True, True] == [model.id if model.id == 77 else model.id >= OWN_ID_MIN for model in shelf.models()]


def test_a_wrong_checksum_beside_one_of_two_equal_files_leaves_the_model_available(shelf: Shelf) -> None:
    first = embedding(shelf.folder / "a.safetensors")
    shutil.copy(first, shelf.folder / "b.safetensors")
    shelf.add()
    (shelf.folder / "b.safetensors.sha256").write_text("ab" * 32)
    shelf.add()

    assert Status.AVAILABLE is shelf.model().status


@pytest.mark.parametrize("is_imported_first", [True, False])
def test_each_file_of_a_version_is_known_by_its_hash(shelf: Shelf, is_imported_first: bool) -> None:
    paths = [embedding(shelf.folder / f"wan_{name}.safetensors", seed) for seed, name in enumerate(("high", "low"))]
    hashes = [hashes_of(path) for path in paths]
    version_files = tuple(ModelFile(path.name, hashes=digests) for path, digests in zip(paths, hashes, strict=True))

    def import_version() -> None:
        shelf.import_from_civitai(77, hashes[0], files=version_files)
        library.merge_matching_models(shelf.catalog.store)

    if is_imported_first:
        import_version()
    shelf.add()
    if not is_imported_first:
        import_version()

    with shelf.catalog.store.reading() as connection:
        records = files.below(connection, [os.fsencode(shelf.folder)])
        ids = [
            lookup.model_ids(connection, (digests.sha256 or "")[:length]) for digests in hashes for length in (10, 64)
        ]
    assert {77} == {record.model_id for record in records.values()}
    assert 4 * [[77]] == ids
    digits = {form for digests in hashes for form in digests.spellings()}
    assert {1} == {shelf.catalog.count(ANONYMOUS, ModelQuery(hash=form)) for form in digits}


@pytest.mark.parametrize("order", [("full", "pruned"), ("pruned", "full")])
def test_a_version_serves_the_best_of_its_files_whichever_came_first(shelf: Shelf, order: tuple[str, ...]) -> None:
    paths = {name: embedding(shelf.folder / name / "x.safetensors", seed) for seed, name in enumerate(order, 1)}
    files = tuple(ModelFile(f"{name}.safetensors", hashes=hashes_of(paths[name])) for name in ("full", "pruned"))
    shelf.import_from_civitai(5, hashes_of(paths["full"]), files=files)
    for name in order:
        shelf.add(paths[name])

    assert hashes_of(paths["full"]).sha256 == (shelf.model().blob or "").upper()
    paths["full"].unlink()
    shelf.add(shelf.folder)
    assert hashes_of(paths["pruned"]).sha256 == (shelf.model().blob or "").upper()
