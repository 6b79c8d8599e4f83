"""Files in the user's folders are sent only while they are the files that were hashed.

Not covered here: how scans make models (test_scanner.py), and how files are sent (tests/web/api/test_files.py).
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelyard import blobs
from modelyard.domain import Visibility
from modelyard.fingerprint import Fingerprint
from modelyard.library import served_files
from modelyard.library.reconcile import Ownership
from modelyard.store import blobs as stored_blobs
from modelyard.store import files
from modelyard.store.files import FileState
from tests.app_fixture import App, open_app
from tests.scan_fixture import Shelf, embedding, hashes_of, opened
from tests.transfers import Verification, ask, find, path_of, suspicious_bytes, upload


@dataclass
class Served:
    shelf: Shelf
    yard: App
    file: Path
    model_id: int

    def link(self, team: str = "red") -> str:
        return path_of(find(self.yard, self.model_id, team)["download_url"])

    def status(self) -> int:
        status: int = find(self.yard, self.model_id)["status"]
        return status


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    shelf = opened(tmp_path)
    file = embedding(shelf.folder / "night.safetensors")
    shelf.add()
    with open_app(shelf.home) as yard:
        yield Served(shelf, yard, file, shelf.model().id)
    shelf.catalog.close()


def test_a_file_is_handed_out_from_where_it_lies(served: Served) -> None:
    full = served.yard.ask(served.link(), None)
    part = served.yard.ask(served.link(), None, range="bytes=10-19")

    assert (200, served.file.read_bytes()) == (full.status, full.body)
    assert (206, served.file.read_bytes()[10:20]) == (part.status, part.body)
    assert [served.file] == [path for path in served.shelf.folder.rglob("*") if path.is_file()]


def test_a_file_that_is_swapped_before_it_is_opened_is_not_sent(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the swap comes after the look-up of its path."""
    link = served.link()
    is_as_recorded = files.is_as_recorded

    def swap_after_look_up(record: files.FileRecord) -> bool:
        is_same = is_as_recorded(record)
        _swap(served.file)
        return is_same

    monkeypatch.setattr(files, "is_as_recorded", swap_after_look_up)
    reply = served.yard.ask(link, None)

    assert 503 == reply.status
    assert bytes(8) not in reply.body


@pytest.mark.parametrize(("setting", "status"), [("refused", 403), ("served", 200)])
def test_a_suspicious_file_in_its_folder_is_sent_only_where_the_setting_says_so(
    setting: str, status: int, tmp_path: Path
) -> None:
    shelf = opened(tmp_path)
    (shelf.folder / "yolo.pt").write_bytes(suspicious_bytes())
    shelf.add()
    with open_app(shelf.home, suspicious_files=setting) as yard:
        link = path_of(find(yard, shelf.model().id)["download_url"])
        replies = [yard.ask(link, None), yard.ask(link, None, method="HEAD"), yard.ask(link, None, range="bytes=0-3")]
        details = ask(yard, f"/v3/model/details?id={shelf.model().id}", "blue").json
    shelf.catalog.close()

    assert [status, status, 403 if status == 403 else 206] == [reply.status for reply in replies]
    assert "FILE_SUSPICIOUS" == replies[0].json["reason"] if status == 403 else suspicious_bytes() == replies[0].body
    assert {"verdict": "suspicious", "reason": "imports models.yolo.Model, which weights do not need"} == details[
        "check"
    ]


def _rewrite(file: Path) -> None:
    file.write_bytes(file.read_bytes()[::-1] + b"more")


def _swap(file: Path) -> None:
    """Replace the file by another of the same size, with the old one's time."""
    before = file.stat()
    other = file.with_name("other")
    other.write_bytes(bytes(before.st_size))
    other.replace(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def _touch_up(file: Path) -> None:
    """Write other bytes into the file: only its time differs."""
    file.write_bytes(bytes(file.stat().st_size))
    os.utime(file, ns=(1, 1))


@pytest.mark.parametrize("change", [Path.unlink, _rewrite, _swap, _touch_up])
def test_a_file_that_is_not_what_was_hashed_is_gone_and_its_model_unavailable(served: Served, change: object) -> None:
    link = served.link()
    change(served.file)  # type: ignore[operator] # one of the four above

    first = served.yard.ask(link, None)
    again = served.yard.ask(link, None)

    assert (410, "FILE_GONE") == (first.status, first.json["reason"])
    assert 404 == again.status
    assert 0 == served.status()


@pytest.mark.parametrize("change", [Path.unlink, _rewrite, _swap, _touch_up])
def test_an_owner_cannot_make_a_model_available_whose_file_is_not_what_was_hashed(
    served: Served, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    file = embedding(tmp_path / "own" / "secret.safetensors", seed=9)
    served.shelf.add(file, owner=Ownership(team="red", visibility=Visibility.PRIVATE))
    model_id = served.shelf.models()[-1].id
    target = f"/v3/model?id={model_id}"
    withdrawal = ask(served.yard, target, method="PATCH", body={"status": 0})
    offer = ask(served.yard, target, method="PATCH", body={"status": 1})
    ask(served.yard, target, method="PATCH", body={"status": 0})
    change(file)
    refusal = ask(served.yard, target, method="PATCH", body={"status": 1})

    assert [200, 200, 409] == [withdrawal.status, offer.status, refusal.status]
    assert 0 == find(served.yard, model_id)["status"]


def test_adding_its_folder_again_makes_it_available_again(served: Served) -> None:
    content = served.file.read_bytes()
    link = served.link()
    served.file.unlink()
    served.yard.ask(link, None)
    served.file.write_bytes(content)

    served.shelf.add()

    assert 1 == served.status()
    assert 200 == served.yard.ask(served.link(), None).status


def test_nothing_is_noted_of_a_file_whose_folder_is_away(served: Served, tmp_path: Path) -> None:
    link = served.link()
    served.shelf.folder.rename(tmp_path / "away")
    away = served.yard.ask(link, None)
    (tmp_path / "away").rename(served.shelf.folder)

    assert 410 == away.status
    assert 1 == served.status()
    assert 200 == served.yard.ask(link, None).status


def test_a_second_file_with_the_same_bytes_takes_its_place(served: Served) -> None:
    copy = served.shelf.folder / "deeper" / "copy.safetensors"
    copy.parent.mkdir()
    copy.write_bytes(served.file.read_bytes())
    served.shelf.add()
    link = served.link()

    served.file.unlink()

    assert 200 == served.yard.ask(link, None).status
    assert 1 == served.status()


def test_a_model_stays_available_when_only_one_of_its_two_files_was_changed(served: Served) -> None:
    copy = served.shelf.folder / "copy.safetensors"
    copy.write_bytes(served.file.read_bytes())
    served.shelf.add()
    served.file.unlink()

    served_files.mark_missing(served.shelf.catalog.store, sha256_of(copy))

    assert 1 == served.status()
    with served.shelf.catalog.store.reading() as connection:
        assert {served.file: FileState.MISSING, copy: FileState.PRESENT} == {
            Path(os.fsdecode(record.path)): record.state for record in files.with_sha256(connection, [sha256_of(copy)])
        }


def test_a_changed_file_is_noted_as_changed_and_not_as_missing(served: Served) -> None:
    sha256 = sha256_of(served.file)
    _rewrite(served.file)

    served_files.mark_missing(served.shelf.catalog.store, sha256)

    with served.shelf.catalog.store.reading() as connection:
        assert [FileState.CHANGED] == [record.state for record in files.with_sha256(connection, [sha256])]


@pytest.mark.parametrize(("verdict", "status"), [("clean", 1), ("dangerous", 0)])
def test_kept_bytes_hold_a_model_available_only_if_they_are_sound(served: Served, verdict: str, status: int) -> None:
    sha256 = sha256_of(served.file)
    with served.shelf.catalog.store.transaction() as writing:
        stored_blobs.put(writing.connection, stored_blobs.Blob(sha256, 1, writing.now, verdict, ""))
    served.file.unlink()

    served_files.mark_missing(served.shelf.catalog.store, sha256)

    assert status == served.status()


def test_a_file_that_is_broken_or_of_another_inode_is_not_handed_out(served: Served) -> None:
    sha256 = sha256_of(served.file)
    record = served_files.find(served.shelf.catalog.store, sha256)
    assert record is not None
    _swap(served.file)
    with served.file.open("rb") as file:
        is_same = record.fingerprint == Fingerprint.of(file.fileno())
    served.file.with_suffix(".sha256").write_text("ab" * 32)
    os.utime(served.file, ns=(1, 1))
    served.shelf.add()

    assert (os.fsencode(served.file), False) == (record.path, is_same)
    assert None is served_files.find(served.shelf.catalog.store, sha256_of(served.file))


def test_what_is_kept_too_is_handed_out_when_the_file_is_gone(served: Served) -> None:
    storage = blobs.open_storage("", served.shelf.home, {})
    upload(served.yard, "uploaded", served.file.read_bytes())
    Verification(served.shelf.catalog.store, storage.kept, storage.incoming).verify_next()
    link = served.link()

    served.file.unlink()

    assert 200 == served.yard.ask(link, None).status
    assert 1 == served.status()


def test_a_teams_file_is_that_teams(served: Served, tmp_path: Path) -> None:
    own = tmp_path / "own"
    file = embedding(own / "secret.safetensors", seed=9)
    served.shelf.add(own, owner=Ownership(team="red", visibility=Visibility.PRIVATE))
    (model,) = ask(served.yard, "/v3/model?filter.visibility=private").json["models"]

    assert file.read_bytes() == served.yard.ask(path_of(model["download_url"]), None).body
    assert [] == ask(served.yard, "/v3/model?filter.visibility=private", "blue").json["models"]
    assert 404 == ask(served.yard, f"/v3/model/details?id={model['id']}", "blue").status


def test_a_model_that_its_owner_made_private_stays_so_when_its_files_are_looked_at_again(
    served: Served, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    first, second = embedding(own / "a.safetensors", seed=9), embedding(own / "b.safetensors", seed=9)
    served.shelf.add(own, owner=Ownership(team="red", visibility=Visibility.PUBLIC))
    model_id = served.shelf.models()[-1].id
    answer = ask(served.yard, f"/v3/model?id={model_id}", method="PATCH", body={"visibility": "private"})
    for file in (first, second):
        file.with_suffix(".txt").write_text("notes")
    served.shelf.add(own)
    served.shelf.import_from_civitai(77, hashes_of(first))
    for file in (first, second):
        os.utime(file, ns=(1, 1))
    served.shelf.add(own)

    assert 200 == answer.status
    assert [(77, Visibility.PUBLIC, None), (model_id, Visibility.PRIVATE, hashes_of(first).sha256)] == [
        (model.id, model.visibility, model.blob and model.blob.upper())
        for model in served.shelf.models()
        if model.id != served.model_id
    ]


def test_collecting_leaves_files_where_they_are(served: Served) -> None:
    storage = blobs.open_storage("", served.shelf.home, {})

    removals = Verification(served.shelf.catalog.store, storage.kept, storage.incoming).collect_garbage(
        0, dry_run=False
    )

    assert [] == removals
    assert 200 == served.yard.ask(served.link(), None).status


def test_files_that_stay_where_they_are_fill_no_teams_quota(tmp_path: Path) -> None:
    shelf = opened(tmp_path)
    file = embedding(shelf.folder / "own.safetensors")
    shelf.add(owner=Ownership(team="red", visibility=Visibility.PRIVATE))
    with open_app(shelf.home, team_quota_bytes=file.stat().st_size) as yard:
        upload(yard, "another", embedding(tmp_path / "another.safetensors", seed=1).read_bytes())
    shelf.catalog.close()
