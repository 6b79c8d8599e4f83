"""The verification of one upload: bytes that are missing, times, and which verdicts make a model available."""

import errno
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelyard import blobs, errors, settings
from modelyard.cli import background
from modelyard.domain import Scope, Status, Viewer
from modelyard.store import jobs
from modelyard.store import uploads as upload_rows
from modelyard.store.uploads import Upload
from modelyard.uploads import verification
from modelyard.uploads.assembly import SEGMENTS, encode_segments, xorb_upload_id
from modelyard.uploads.cleanup import UploadCleaner
from modelyard.uploads.uploads import UploadLimits, Uploads
from modelyard.uploads.verification import UploadVerifier
from modelyard.xet import Segment
from tests.app_fixture import App, open_app
from tests.swift_server import SwiftServer
from tests.transfers import checking, find, lora_bytes, suspicious_bytes, upload
from tests.xet_files import xorb

START = 1_700_000_000.0
XORB = "b" * 64


class Clock:
    now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[App]:
    with open_app(tmp_path) as yard:
        yield yard


def row_of(yard: App) -> Upload:
    with yard.store.reading() as connection:
        (upload_id,) = upload_rows.ids(connection)
        row = upload_rows.find(connection, upload_id)
    assert row
    return row


def verifier_of(yard: App, home: Path, **given: Any) -> UploadVerifier:
    storage = blobs.open_storage("", home, {})
    return UploadVerifier(yard.store, given.pop("kept", storage.kept), storage.incoming, **given)


def change_row(yard: App, **values: object) -> Upload:
    row = replace(row_of(yard), **values)  # type: ignore[arg-type] # names of fields
    with yard.store.transaction() as transaction:
        upload_rows.put(transaction.connection, row)
    return row


def test_an_assembled_file_that_the_disk_cannot_keep_is_verified_again(
    yard: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = lora_bytes()
    file_id, xorb_id, sha256 = "f" * 32, xorb_upload_id("red", XORB), hashlib.sha256(content).hexdigest()
    segments = encode_segments([Segment(XORB, len(content), 0, 1)])
    verifier = verifier_of(yard, tmp_path)
    (tmp_path / "blobs" / "incoming").mkdir(parents=True)
    (tmp_path / "blobs" / "incoming" / xorb_id).write_bytes(xorb(content))
    row = Upload(
        file_id, "red", "hub", {SEGMENTS: segments}, START, START, length_bytes=len(content), received_at=START
    )
    with yard.store.transaction() as transaction:
        upload_rows.put(transaction.connection, row)

    def fail(_: Path) -> None:
        raise OSError(errno.EIO, "the disk is broken")

    with monkeypatch.context() as broken:
        broken.setattr(verification, "sync_file", fail)
        with pytest.raises(OSError, match="the disk is broken"):
            verifier.verify(file_id)
    before = blobs.open_storage("", tmp_path, {}).kept.has(sha256)
    verifier.verify(file_id)

    assert [False, True] == [before, blobs.open_storage("", tmp_path, {}).kept.has(sha256)]


def test_an_upload_that_is_unknown_or_has_no_model_is_done(yard: App, tmp_path: Path) -> None:
    upload(yard, "mine", lora_bytes())
    row = change_row(yard, model_id=None)
    verifier = verifier_of(yard, tmp_path)

    assert [None, None] == [verifier.verify("0" * 32), verifier.verify(row.id)]


def test_bytes_that_are_missing_are_looked_for_again_and_then_refused(yard: App, tmp_path: Path) -> None:
    model = upload(yard, "mine", lora_bytes())
    row = row_of(yard)
    (tmp_path / "blobs" / "incoming" / row.id).unlink()
    verifier = verifier_of(yard, tmp_path)
    results: list[str] = []
    for attempt in range(1, 20):
        try:
            verifier.verify(row.id, attempt=attempt)
        except FileNotFoundError:
            results.append("looks again")
        else:
            results.append("refused")
            break

    assert ["looks again"] * 4 + ["refused"] == results
    entry = yard.store.entry(model["id"])
    assert entry
    assert ("error: the bytes never came",) in [facts.evidence for facts in entry.layers.values()]
    with yard.store.reading() as connection:
        assert set() == upload_rows.ids(connection)


def test_bytes_that_are_not_sent_yet_are_waited_for_until_the_upload_expires(
    yard: App, tmp_path: Path, clock: Clock
) -> None:
    upload(yard, "mine", lora_bytes())
    row = change_row(yard, received_at=None, sha256=None, expires_at=int(START) + 10)
    (tmp_path / "blobs" / "incoming" / row.id).unlink()
    verifier = verifier_of(yard, tmp_path, clock=clock)
    waits = verifier.verify(row.id, attempt=50)
    clock.now += 10

    assert waits
    assert verifier.verify(row.id) is None
    with yard.store.reading() as connection:
        assert upload_rows.find(connection, row.id) is None


def test_the_time_at_which_the_bytes_arrived_stays(yard: App, tmp_path: Path) -> None:
    upload(yard, "mine", lora_bytes())
    row = change_row(yard, received_at=int(START))
    verifier_of(yard, tmp_path).verify(row.id)

    assert int(START) == row_of(yard).received_at


def test_bytes_that_vanish_after_they_were_kept_leave_the_upload_waiting(yard: App, tmp_path: Path) -> None:
    model = upload(yard, "mine", lora_bytes())
    storage = blobs.open_storage("", tmp_path, {})

    class Vanishing:
        def __getattr__(self, name: str) -> Any:
            return getattr(storage.kept, name)

        def has(self, _: str) -> bool:
            return False

    verifier = verifier_of(yard, tmp_path, kept=Vanishing())

    with pytest.raises(errors.Unavailable):
        verifier.verify(row_of(yard).id)
    assert 0 == find(yard, model["id"])["status"]
    assert None is verifier_of(yard, tmp_path).verify(row_of(yard).id)
    assert 1 == find(yard, model["id"])["status"]


@pytest.mark.parametrize(("setting", "status"), [("served", 1), ("refused", 0)])
def test_the_setting_says_whether_a_suspicious_file_is_available(
    yard: App, tmp_path: Path, setting: str, status: int
) -> None:
    model = upload(yard, "odd", suspicious_bytes(), file_extension="pt")
    config = replace(settings.load(tmp_path, {}), suspicious_files=setting)

    with background.open_resources(config) as resources:
        assert resources.verifier
        resources.verifier.verify(row_of(yard).id)

    assert status == find(yard, model["id"])["status"]


def test_what_another_node_has_verified_does_not_stay_where_it_was_received(
    yard: App, tmp_path: Path, swift: SwiftServer
) -> None:
    bucket = f"s3://{swift.make_bucket()}"
    here, there = (blobs.open_storage(bucket, tmp_path / name, swift.environment) for name in ("here", "there"))
    for storage in (here, there):
        storage.incoming.folder.mkdir(parents=True)
    uploads = Uploads(yard.store, here.kept, here.incoming, UploadLimits(1 << 30, 100, 0, 3600))
    ids = []
    for _ in range(2):
        row = uploads.create(Viewer("red", frozenset({Scope.WRITE})), "tus", {}, length_bytes=len(lora_bytes()))
        here.incoming.path(row.id).write_bytes(lora_bytes())
        uploads.complete(row, len(lora_bytes()))
        ids.append(row.id)
    cleaner = UploadCleaner(yard.store, here.kept, here.incoming)

    def finish(connection: Any) -> None:
        jobs.drop(connection, jobs.CHECK, ids[0])

    UploadVerifier(yard.store, there.kept, there.incoming).verify(ids[0], finish=finish)
    before = [name for name, _ in here.incoming.all()]
    cleaner.purge_expired()

    assert sorted(ids) == sorted(before)
    assert [ids[1]] == [name for name, _ in here.incoming.all()], "the one that waits to be verified stays"


@pytest.mark.parametrize(
    ("visibility", "is_first_available", "remaining"),
    [("private", True, 1), ("public", True, 2), ("private", False, 2)],
)
def test_two_clients_that_upload_one_file_make_one_model_unless_one_is_public_or_not_available(
    yard: App, tmp_path: Path, visibility: str, is_first_available: bool, remaining: int
) -> None:
    storage = blobs.open_storage("", tmp_path, {})
    uploads = Uploads(yard.store, storage.kept, storage.incoming, UploadLimits(1 << 30, 100, 0, 3600))
    rows = []
    for chosen in ("private", visibility):
        said = {"name": "night", "filename": "night.safetensors", "type_name": "lora", "visibility": chosen}
        row = uploads.create(Viewer("red", frozenset({Scope.WRITE})), "tus", said, length_bytes=len(lora_bytes()))
        storage.incoming.path(row.id).write_bytes(lora_bytes())
        rows.append(row)
    for row in rows:
        uploads.complete(row, len(lora_bytes()))
    verification = checking(yard, tmp_path)
    assert verification.verify_next()
    if not is_first_available:
        with yard.store.snapshot() as snapshot:
            (first,) = [model.id for model in snapshot.models() if model.status is Status.AVAILABLE]
        with yard.store.transaction() as writing:
            entry = writing.entries([first])[first]
            writing.put([replace(entry, model=replace(entry.model, status=Status.UNAVAILABLE))])
    assert verification.verify_next()
    with yard.store.snapshot() as snapshot:
        here = [model.visibility for model in snapshot.models()]

    assert sorted(["private", visibility])[:remaining] == sorted(here)
