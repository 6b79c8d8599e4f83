"""What was acknowledged survives a power cut: at each answer, the disk already has the bytes and their name.

Every test reads what a power cut at that moment would leave (durability.py), so that it fails if any one flush of a
file or of a folder is left out, or comes after the answer.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modelyard.blobs import FolderBlobs, IncomingFiles, open_storage
from modelyard.catalog import open_catalog
from modelyard.cli import run
from modelyard.index.directory import SegmentDirectory
from modelyard.store import backup, open_store

from .app_fixture import App, Reply, open_app
from .databases import sqlite_url
from .durability import Disk, Remains, Witness, watched
from .pictures import picture
from .processes import entry
from .scan_fixture import embedding, opened
from .swift_server import SwiftServer
from .transfers import WRITER, ask, checking, exchange_messages, find, lora_bytes, path_of, sha256_base64, upload

CONTENT = lora_bytes(fill=50_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Bench:
    yard: App
    home: Path
    disk: Disk
    witness: Witness

    def tus(self, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        return ask(self.yard, path, method=method, body=body, tus_resumable="1.0.0", **headers)

    def append(self, path: str, offset: int, body: bytes) -> Reply:
        return self.tus("PATCH", path, body, upload_offset=str(offset), content_type="application/offset+octet-stream")

    def create(self, length: int, **headers: str) -> str:
        made = self.tus("POST", "/v3/uploads", upload_length=str(length), **headers)
        assert 201 == made.status, made.body
        return path_of(made.headers["location"])

    def arrived(self, path: str) -> bytes | None:
        """The bytes of an upload that a power cut would have left when the last answer began."""
        return self.witness.remains.read(self.home / "blobs" / "incoming" / path.rpartition("/")[2])


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with open_app(tmp_path) as yard:
        yard.key("red", *WRITER)
        with watched(tmp_path) as disk:
            yard.app = witness = Witness(yard.app, disk)
            yield Bench(yard, tmp_path, disk, witness)


def blob_in(remains: Remains, sha256: str = SHA256) -> bytes | None:
    return remains.read(remains.root / "blobs" / sha256[:2] / sha256[2:4] / sha256)


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


# --- Uploads


def test_an_upload_that_was_created_is_there_in_folders_made_for_it(bench: Bench) -> None:
    assert not (bench.home / "blobs").exists()

    path = bench.create(10)

    assert b"" == bench.arrived(path)


def test_every_acknowledged_offset_is_on_disk(bench: Bench) -> None:
    path = bench.create(len(CONTENT))
    left = []
    for at in range(0, len(CONTENT), 20_000):
        assert 204 == bench.append(path, at, CONTENT[at : at + 20_000]).status
        left.append(bench.arrived(path))

    assert [CONTENT[:20_000], CONTENT[:40_000], CONTENT] == left


def test_the_first_bytes_of_a_creation_are_on_disk(bench: Bench) -> None:
    made = bench.tus(
        "POST",
        "/v3/uploads",
        CONTENT[:1000],
        upload_length=str(len(CONTENT)),
        content_type="application/offset+octet-stream",
    )

    assert (201, "1000") == (made.status, made.headers["upload-offset"])
    assert CONTENT[:1000] == bench.arrived(path_of(made.headers["location"]))


def test_the_offset_after_an_interruption_is_on_disk(bench: Bench) -> None:
    path = bench.create(len(CONTENT))
    messages = [
        {"type": "http.request", "body": CONTENT[:7000], "more_body": True},
        {"type": "http.disconnect"},
    ]
    headers = {
        "authorization": f"Bearer {bench.yard.key('red', *WRITER)}",
        "tus-resumable": "1.0.0",
        "upload-offset": "0",
        "content-type": "application/offset+octet-stream",
        "content-length": str(len(CONTENT)),
    }
    exchange_messages(bench.yard, "PATCH", path, headers, messages)

    told = bench.tus("HEAD", path)

    assert "7000" == told.headers["upload-offset"]
    assert CONTENT[:7000] == bench.arrived(path)


def test_an_upload_whose_writer_died_before_it_flushed_is_flushed_before_it_counts_as_complete(bench: Bench) -> None:
    path = bench.create(len(CONTENT))
    (bench.home / "blobs" / "incoming" / path.rpartition("/")[2]).write_bytes(CONTENT)

    complete = bench.tus("HEAD", path)
    left = bench.arrived(path)

    assert str(len(CONTENT)) == complete.headers["upload-offset"]
    assert "modelyard-model" in bench.tus("HEAD", path).headers
    assert CONTENT == left


def test_an_upload_joined_of_parts_is_on_disk(bench: Bench) -> None:
    parts = []
    for piece in (CONTENT[:12_345], CONTENT[12_345:]):
        path = bench.create(len(piece), upload_concat="partial")
        assert 204 == bench.append(path, 0, piece).status
        parts.append(path)

    final = bench.tus("POST", "/v3/uploads", upload_concat="final;" + " ".join(parts))

    assert 201 == final.status, final.body
    assert CONTENT == bench.arrived(path_of(final.headers["location"]))


def test_a_file_that_was_put_is_on_disk(bench: Bench) -> None:
    announcement = {"model_name": "m", "file_extension": "safetensors", "file_sha256": sha256_base64(CONTENT)}
    url = path_of(ask(bench.yard, "/v3/model/uploader", method="POST", body=announcement).json["upload_url"])

    put = bench.yard.ask(url, None, method="PUT", body=CONTENT, content_length=str(len(CONTENT)))

    assert 200 == put.status
    assert CONTENT == bench.arrived(url.partition("?")[0])


def test_a_model_is_available_only_when_its_file_is_kept_on_disk(bench: Bench) -> None:
    model_id = upload(bench.yard, "m", CONTENT)["id"]

    checking(bench.yard, bench.home).verify_next()

    assert 1 == find(bench.yard, model_id)["status"]
    assert CONTENT == blob_in(bench.disk.remains())
    assert [] == bench.disk.early_names


def test_a_cover_that_was_sent_is_on_disk_in_each_width(bench: Bench) -> None:
    model_id = upload(bench.yard, "m", CONTENT)["id"]

    sent = ask(bench.yard, f"/v3/model/cover?id={model_id}", method="PUT", body=picture())

    kept = [path for path in files_below(bench.home / "blobs") if len(path.name) == 64]
    assert 200 == sent.status, sent.body
    assert kept
    assert [path.read_bytes() for path in kept] == [bench.witness.remains.read(path) for path in kept]


# --- Kept files


def a_file(path: Path) -> Path:
    path.write_bytes(CONTENT)
    return path


@pytest.mark.parametrize("is_first", [True, False])
def test_what_is_kept_survives_with_every_folder_above_it(tmp_path: Path, is_first: bool) -> None:
    kept = FolderBlobs(tmp_path / "new" / "blobs")
    if not is_first:
        other = lora_bytes(seed=1)
        (tmp_path / "other").write_bytes(other)
        kept.keep(tmp_path / "other", hashlib.sha256(other).hexdigest())
    with watched(tmp_path) as disk:
        kept.keep(a_file(tmp_path / "arrived"), SHA256)
        left = disk.remains().read(kept.path(SHA256) or tmp_path)

    assert CONTENT == left
    assert [] == disk.early_names


def test_what_is_kept_from_another_file_system_survives(tmp_path: Path) -> None:
    elsewhere = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        assert elsewhere.stat().st_dev != tmp_path.stat().st_dev
        with watched(tmp_path) as disk:
            kept = FolderBlobs(tmp_path / "blobs")
            kept.keep(a_file(elsewhere / "arrived"), SHA256)
            left = blob_in(disk.remains())
        assert [] == files_below(elsewhere)
    finally:
        shutil.rmtree(elsewhere)

    assert CONTENT == left
    assert [] == disk.early_names
    assert [SHA256] == [path.name for path in files_below(tmp_path)]


def test_what_another_process_named_and_did_not_flush_yet_is_flushed_before_it_counts_as_kept(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    kept = FolderBlobs(tmp_path / "blobs")
    with watched(tmp_path) as disk:
        place = tmp_path / "blobs" / SHA256[:2] / SHA256[2:4] / SHA256
        place.parent.mkdir(parents=True)
        a_file(place)
        disk.flush(str(place))
        kept.keep(a_file(tmp_path / "arrived"), SHA256)
        left = blob_in(disk.remains())

    assert CONTENT == left
    assert not (tmp_path / "arrived").exists()


def test_a_kept_file_cannot_be_written_to(tmp_path: Path) -> None:
    kept = FolderBlobs(tmp_path / "blobs")

    kept.keep(a_file(tmp_path / "arrived"), SHA256)

    path = kept.path(SHA256)
    assert path is not None
    assert 0o400 == path.stat().st_mode & 0o737, "only the group may have what the folder gives it"


def test_arriving_files_are_found_after_a_power_cut_in_a_folder_that_was_just_made(tmp_path: Path) -> None:
    with watched(tmp_path) as disk:
        incoming = IncomingFiles(tmp_path / "blobs" / "incoming")
        incoming.create("a" * 32)
        left = disk.remains()

    assert b"" == left.read(incoming.path("a" * 32))


def test_what_was_put_into_the_file_store_is_on_disk_when_it_was_fetched(swift: SwiftServer, tmp_path: Path) -> None:
    kept = open_storage(f"s3://{swift.make_bucket()}", tmp_path, swift.environment).kept
    kept.share_uploaded("a" * 32, a_file(tmp_path / "arrived"))
    (tmp_path / "fetched").touch()
    with watched(tmp_path) as disk:
        kept.fetch_uploaded("a" * 32, tmp_path / "fetched")
        left = disk.remains()

    assert CONTENT == left.read(tmp_path / "fetched")


# --- Other files that commands and servers write


def test_an_index_that_is_listed_is_on_disk(tmp_path: Path) -> None:
    store = open_store(sqlite_url(tmp_path))
    with store.transaction() as writing:
        writing.put([entry(number) for number in range(1, 50)])
    with watched(tmp_path) as disk:
        catalog = open_catalog(store, tmp_path)
        catalog.flush()
        left = disk.remains()
    catalog.close()

    written = [path for path in files_below(tmp_path / "index") if path.suffix != ".lock"]
    assert {"CURRENT", "manifest.json", "checksums.npy"} <= {path.name for path in written}
    before = within(disk.remains_by_name[str(tmp_path / "index" / "CURRENT")], tmp_path / "index")
    segments = [path for path in written if path.name != "CURRENT"]
    assert [path.read_bytes() for path in segments] == [before.read(path) for path in segments]
    # The index folder itself may go: what is in it is made again from the database.
    assert [path.read_bytes() for path in written] == [within(left, tmp_path / "index").read(path) for path in written]
    assert [] == disk.early_names


def within(remains: Remains, folder: Path) -> Remains:
    """What a power cut would leave below a folder, if the folder itself is there."""
    return Remains(folder, folder.stat().st_ino, remains.names, remains.contents)


def test_an_index_that_was_fetched_is_on_disk_before_it_is_listed(tmp_path: Path) -> None:
    source = open_store(sqlite_url(tmp_path))
    with source.transaction() as writing:
        writing.put([entry(number) for number in range(1, 50)])
    catalog = open_catalog(source, tmp_path)
    catalog.flush()
    catalog.close()
    made = SegmentDirectory(tmp_path / "index", source.identity, "")
    (segment,) = [path for path in (tmp_path / "index").iterdir() if path.is_dir()]
    with watched(tmp_path) as disk:
        fetched = SegmentDirectory(tmp_path / "other", source.identity, "")
        shutil.copytree(segment, tmp_path / "fetched")
        assert fetched.install({segment.name: tmp_path / "fetched"}, 1)
        left = within(disk.remains(), tmp_path / "other")

    assert made.path != fetched.path
    assert (fetched.path / "CURRENT").read_bytes() == left.read(fetched.path / "CURRENT")
    before = within(disk.remains_by_name[str(fetched.path / "CURRENT")], fetched.path)
    assert segment.name in before.names[before.inode]


def test_a_backup_is_on_disk_under_its_name(tmp_path: Path) -> None:
    store = open_store(sqlite_url(tmp_path))
    with store.transaction() as writing:
        writing.put([entry(1)])
    with watched(tmp_path) as disk:
        backup.backup(sqlite_url(tmp_path), tmp_path / "monday")
        left = disk.remains()
    store.close()

    assert (tmp_path / "monday").read_bytes() == left.read(tmp_path / "monday")
    assert [] == disk.early_names


def test_a_database_that_was_restored_is_on_disk_under_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    url = sqlite_url(tmp_path / "home")
    open_store(url).close()
    backup.backup(url, tmp_path / "monday")
    taken: list[tuple[bytes | None, bytes]] = []
    target = tmp_path / "home" / "modelyard.sqlite"
    with watched(tmp_path) as disk:

        def open_noting(given: str) -> Any:
            taken.append((disk.remains().read(target), target.read_bytes()))
            return open_store(given)

        # From here on SQLite flushes what it does, out of sight.
        monkeypatch.setattr(backup, "open_store", open_noting)
        backup.restore(tmp_path / "monday", url, force=True)

    ((left, expected),) = taken
    assert expected == left
    assert [] == disk.early_names


def test_a_side_car_never_replaces_another_before_its_own_bytes_are_on_disk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shelf = opened(tmp_path)
    embedding(shelf.folder / "night.safetensors")
    shelf.add()
    shelf.catalog.close()
    command = ["export", "sidecars", "--home", str(shelf.home), "--format", "a1111", "--json", str(shelf.folder)]
    with watched(tmp_path) as disk:
        assert 0 == run(command)

    assert 1 == json.loads(capsys.readouterr().out)["written"]
    assert [] == disk.early_names


def test_a_disk_forgets_what_was_not_flushed(tmp_path: Path) -> None:
    (tmp_path / "before").write_bytes(b"there")
    with watched(tmp_path) as disk:
        with (tmp_path / "file").open("wb") as file:
            file.write(b"one")
            file.flush()
            unnamed = disk.remains()
            os.fsync(file.fileno())
            file.write(b"two")
        folder = os.open(tmp_path, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        named = disk.remains()
        (tmp_path / "file").replace(tmp_path / "renamed")
        left = disk.remains()

    assert (b"there", None) == (unnamed.read(tmp_path / "before"), unnamed.read(tmp_path / "file"))
    assert b"one" == named.read(tmp_path / "file")
    assert (b"one", None) == (left.read(tmp_path / "file"), left.read(tmp_path / "renamed"))
    assert [str(tmp_path / "renamed")] == disk.early_names
