"""One contract for the places that keep bytes: a folder, and an S3-compatible store (Swift, from its wheel)."""

import hashlib
import os
import resource
import shutil
import signal
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from modelyard import errors
from modelyard.blobs import Blobs, IncomingFiles, open_shared, open_storage
from modelyard.blobs.presigned_links import add_parameters
from modelyard.web.api.files import content_disposition
from tests.app_fixture import open_app
from tests.pictures import picture, size_of
from tests.swift_server import SwiftServer
from tests.transfers import Verification, ask, find, lora_bytes, path_of, sha256_base64


@pytest.fixture(params=["folder", "s3"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    if request.param == "folder":
        return open_storage("", tmp_path, {}).kept
    server: SwiftServer = request.getfixturevalue("swift")
    return open_storage(f"s3://{server.make_bucket()}/some/prefix", tmp_path, server.environment).kept


def test_covers_are_kept_in_the_file_store(swift: SwiftServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in swift.environment.items():
        monkeypatch.setenv(name, value)
    with open_app(tmp_path, storage_url=f"s3://{swift.make_bucket()}") as yard:
        made = ask(yard, "/v3/uploads", method="POST", tus_resumable="1.0.0", upload_length="0", content_length="0")
        told = ask(yard, path_of(made.headers["location"]), method="HEAD", tus_resumable="1.0.0")
        model_id = int(told.headers["modelyard-model"])

        sent = ask(yard, f"/v3/model/cover?id={model_id}", method="PUT", body=picture())
        shown = yard.ask(path_of(sent.json["cover_url"]), None)

    assert 200 == sent.status, sent.body
    assert ("WEBP", (640, 800)) == size_of(shown.body)
    assert [] == [path for path in (tmp_path / "blobs").rglob("*") if path.suffix == ".webp" or len(path.name) == 64]


def a_file(folder: Path, content: bytes) -> tuple[Path, str]:
    path = folder / "arrived"
    path.write_bytes(content)
    return path, hashlib.sha256(content).hexdigest()


def bytes_of(kept: Blobs, sha256: str) -> bytes:
    path = kept.path(sha256)
    if path is not None:
        return path.read_bytes()
    link = kept.link(sha256, "attachment", 60)
    assert link is not None
    with urllib.request.urlopen(link, timeout=60) as answer:
        content: bytes = answer.read()
    return content


def test_a_blob_is_read_like_a_file(kept: Blobs, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    path, sha256 = a_file(tmp_path, content)
    kept.keep(path, sha256)

    with kept.open(sha256) as reader:
        first = reader.read(10)
        end = reader.seek(-5, os.SEEK_END)
        last = reader.read(10)
        reader.seek(0)
        assert (content[:10], 2_999_995, content[-5:], content) == (first, end, last, reader.read())
    with pytest.raises(FileNotFoundError):
        kept.open("0" * 64)


@pytest.mark.parametrize("size", [0, 1, 1_000_000, 20_000_000])
def test_what_is_kept_comes_back(kept: Blobs, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    path, sha256 = a_file(tmp_path, content)

    kept.keep(path, sha256)

    assert kept.has(sha256)
    assert content == bytes_of(kept, sha256)
    assert not path.exists()
    assert [(sha256, size)] == list(kept.all())


def test_small_ones_are_read_whole(kept: Blobs, tmp_path: Path) -> None:
    path, sha256 = a_file(tmp_path, b"small")
    kept.keep(path, sha256)

    assert b"small" == kept.read(sha256)
    with pytest.raises(FileNotFoundError):
        kept.read(64 * "0")


def test_keeping_twice_keeps_once(kept: Blobs, tmp_path: Path) -> None:
    for _ in range(2):
        path, sha256 = a_file(tmp_path, b"the same")
        kept.keep(path, sha256)

    assert [(sha256, 8)] == list(kept.all())
    assert not path.exists()


def test_what_is_removed_is_gone_and_removing_again_is_no_error(kept: Blobs, tmp_path: Path) -> None:
    path, sha256 = a_file(tmp_path, b"gone")
    kept.keep(path, sha256)

    kept.remove(sha256)
    kept.remove(sha256)

    assert not kept.has(sha256)
    assert [] == list(kept.all())


def test_what_was_never_kept_is_not_here(kept: Blobs) -> None:
    assert not kept.has("0" * 64)
    assert kept.path("0" * 64) is None
    assert kept.uploaded_size("f" * 32) is None


def test_an_address_for_an_upload_takes_it(swift: SwiftServer, tmp_path: Path) -> None:
    kept = open_storage(f"s3://{swift.make_bucket()}", tmp_path, swift.environment).kept
    link = kept.upload_link("a" * 32, 60)
    assert link is not None

    request = urllib.request.Request(link, b"put by a client", {"Content-Type": "binary/octet-stream"}, method="PUT")
    urllib.request.urlopen(request, timeout=60).close()
    kept.fetch_uploaded("a" * 32, tmp_path / "fetched")
    size = kept.uploaded_size("a" * 32)
    kept.forget_uploaded("a" * 32)

    assert (15, b"put by a client") == (size, (tmp_path / "fetched").read_bytes())
    assert kept.uploaded_size("a" * 32) is None


def test_a_store_that_is_away_is_unavailable(tmp_path: Path) -> None:
    away = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    kept = open_storage("s3://bucket", tmp_path, away).kept

    with pytest.raises(errors.Unavailable):
        kept.has("0" * 64)


@pytest.mark.parametrize("url", ["s3://", "gs://bucket", "http://x"])
def test_a_place_that_is_none_is_told_to_the_operator(tmp_path: Path, url: str) -> None:
    with pytest.raises(errors.ConfigurationError):
        open_storage(url, tmp_path, {})


def test_one_writes_at_a_time_and_the_hash_goes_along(tmp_path: Path) -> None:
    incoming = IncomingFiles(tmp_path / "incoming")
    incoming.create("0" * 32)
    with incoming.open("0" * 32) as appending:
        appending.write(b"one ")
        with pytest.raises(errors.UploadLocked):
            incoming.open("0" * 32)
    with incoming.open("0" * 32) as appending:
        appending.write(b"two")

    assert hashlib.sha256(b"one two").hexdigest() == incoming.sha256("0" * 32, 7)
    assert IncomingFiles(tmp_path / "incoming").sha256("0" * 32, 7) is None


def test_an_upload_that_begins_anew_has_only_its_new_bytes(tmp_path: Path) -> None:
    incoming = IncomingFiles(tmp_path / "incoming")
    incoming.create("0" * 32)
    with incoming.open("0" * 32) as appending:
        appending.write(b"something long")
    with incoming.open("0" * 32) as appending:
        appending.restart()
        appending.write(b"short")

    assert b"short" == incoming.path("0" * 32).read_bytes()
    assert hashlib.sha256(b"short").hexdigest() == incoming.sha256("0" * 32, 5)


def test_bytes_that_are_taken_back_leave_what_was_there_and_its_hash(tmp_path: Path) -> None:
    incoming = IncomingFiles(tmp_path / "incoming")
    incoming.create("0" * 32)
    with incoming.open("0" * 32) as appending:
        appending.write(b"first")
    with incoming.open("0" * 32) as appending:
        appending.write(b" wrong")
        appending.truncate_to_start()
        appending.write(b" right")

    assert b"first right" == incoming.path("0" * 32).read_bytes()
    assert hashlib.sha256(b"first right").hexdigest() == incoming.sha256("0" * 32, 11)


def test_bytes_are_taken_back_from_a_file_whose_beginning_another_process_wrote(tmp_path: Path) -> None:
    incoming = IncomingFiles(tmp_path / "incoming")
    incoming.create("0" * 32)
    with incoming.open("0" * 32) as appending:
        appending.write(b"first")
    with IncomingFiles(tmp_path / "incoming").open("0" * 32) as appending:
        appending.write(b" wrong")
        appending.truncate_to_start()

        assert (5, None) == (appending.size_bytes, appending.sha256)
    assert b"first" == incoming.path("0" * 32).read_bytes()


def test_pieces_are_written_while_another_thread_hashes_them(tmp_path: Path) -> None:
    incoming = IncomingFiles(tmp_path / "incoming")
    incoming.create("0" * 32)
    pieces = [bytes([number % 251]) * (number % 5) for number in range(3_000)]
    with incoming.open("0" * 32) as appending, ThreadPoolExecutor() as threads:
        for step in [threads.submit(appending.append, pieces), threads.submit(appending.hash, pieces)]:
            step.result()

    content = b"".join(pieces)
    assert content == incoming.path("0" * 32).read_bytes()
    assert hashlib.sha256(content).hexdigest() == incoming.sha256("0" * 32, len(content))


def test_a_write_that_fails_leaves_no_hash_of_more_than_is_there(tmp_path: Path) -> None:
    incoming = IncomingFiles(tmp_path / "incoming")
    incoming.create("0" * 32)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with incoming.open("0" * 32) as appending:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4, limits[1]))
        try:
            appending.hash([b"first", b"second"])
            with pytest.raises(errors.StorageFull):
                appending.append([b"first", b"second"])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)

    assert b"firs" == incoming.path("0" * 32).read_bytes()
    assert incoming.sha256("0" * 32, 4) is None
    with incoming.open("0" * 32) as appending:
        assert 4 == appending.size_bytes
        appending.write(b"t")
    assert incoming.sha256("0" * 32, 5) is None


def test_a_removed_upload_is_forgotten_with_its_hash_and_its_requests(tmp_path: Path) -> None:
    incoming = IncomingFiles(tmp_path / "incoming")
    incoming.create("0" * 32)
    with incoming.open("0" * 32) as appending:
        appending.write(b"x")
    incoming.request_release("0" * 32)

    incoming.remove("0" * 32)

    assert incoming.sha256("0" * 32, 1) is None
    assert [] == list((tmp_path / "incoming").iterdir())


def test_the_hash_of_bytes_that_this_process_did_not_see_is_not_known(tmp_path: Path) -> None:
    incoming = IncomingFiles(tmp_path / "incoming")
    incoming.create("0" * 32)
    with incoming.open("0" * 32) as appending:
        appending.write(b"mine")
    with IncomingFiles(tmp_path / "incoming").open("0" * 32) as appending:
        appending.write(b" another's")
    with incoming.open("0" * 32) as appending:
        appending.write(b" mine")

    assert b"mine another's mine" == incoming.path("0" * 32).read_bytes()
    assert incoming.sha256("0" * 32, 19) is None


def test_the_hash_of_a_joined_file_is_left_to_its_check(tmp_path: Path) -> None:
    incoming = IncomingFiles(tmp_path / "incoming")
    for upload_id in ("0" * 32, "1" * 32):
        incoming.create(upload_id)
    with incoming.open("1" * 32) as appending:
        appending.write(b"part")

    incoming.concatenate("0" * 32, ["1" * 32, "1" * 32])

    assert b"partpart" == incoming.path("0" * 32).read_bytes()
    assert incoming.sha256("0" * 32, 8) is None


def test_room_is_left_for_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    incoming = IncomingFiles(tmp_path / "incoming")
    free = 300 * 1024 * 1024
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    room = 44 * 1024 * 1024

    incoming.create("0" * 32, room)
    with pytest.raises(errors.StorageFull):
        incoming.create("1" * 32, room + 1)
    free = 200 * 1024 * 1024
    with pytest.raises(errors.StorageFull):
        incoming.create("1" * 32)

    assert ["0" * 32] == [path.name for path in (tmp_path / "incoming").iterdir()]


@pytest.mark.parametrize("upload_id", ["../x", "", "a" * 31, "A" * 32, "a" * 32 + "\n", "a/b"])
def test_an_id_that_is_none_names_no_file(tmp_path: Path, upload_id: str) -> None:
    with pytest.raises(errors.UploadNotFound):
        IncomingFiles(tmp_path).path(upload_id)


def test_a_model_goes_in_and_out_by_presigned_addresses(
    swift: SwiftServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in swift.environment.items():
        monkeypatch.setenv(name, value)
    url, content = f"s3://{swift.make_bucket()}", lora_bytes(fill=9_000_000)
    with open_app(tmp_path, storage_url=url) as yard:
        place = open_storage(url, tmp_path, swift.environment)
        check = Verification(yard.store, place.kept, place.incoming)
        said = {"model_name": "far", "file_extension": "safetensors", "file_sha256": sha256_base64(content)}
        announced = ask(yard, "/v3/model/uploader", method="POST", body=said).json["upload_url"]
        put = urllib.request.Request(announced, content, method="PUT")
        urllib.request.urlopen(put, timeout=60).close()
        body = {"name": "far", "file_extension": "safetensors", "type_name": "lora"}
        model_id = ask(yard, "/v3/model", method="POST", body=body).json["id"]
        before = find(yard, model_id)
        check.verify_next()
        after = find(yard, model_id)
        redirect = yard.ask(path_of(after["download_url"]), None)

    with urllib.request.urlopen(redirect.headers["location"], timeout=60) as answer:
        fetched = answer.read()
    assert ((0, 1), 307) == ((before["status"], after["status"]), redirect.status)
    assert "no-store" in redirect.headers["cache-control"]
    assert content == fetched


def test_a_bucket_that_is_missing_is_unavailable(swift: SwiftServer, tmp_path: Path) -> None:
    kept = open_storage("s3://no-such-bucket", tmp_path, swift.environment).kept
    shared = open_shared("s3://no-such-bucket", swift.environment)
    path, sha256 = a_file(tmp_path, b"one")
    assert shared is not None

    for put in (
        lambda: kept.keep(path, sha256),
        lambda: kept.share_uploaded("a", path),
        lambda: shared.write("name", b"x"),
        lambda: shared.send({"name": path}),
    ):
        with pytest.raises(errors.Unavailable, match="the file store has no such bucket"):
            put()
    assert path.exists()
    assert shared.read("name") is None


def test_a_local_file_that_is_missing_is_no_fault_of_the_bucket(swift: SwiftServer, tmp_path: Path) -> None:
    kept = open_storage(f"s3://{swift.make_bucket()}", tmp_path, swift.environment).kept

    with pytest.raises(FileNotFoundError):
        kept.share_uploaded("a", tmp_path / "missing")


def test_a_received_upload_is_shared_by_its_name(swift: SwiftServer, tmp_path: Path) -> None:
    kept = open_storage(f"s3://{swift.make_bucket()}/prefix", tmp_path, swift.environment).kept
    path, _ = a_file(tmp_path, b"received")

    kept.share_uploaded("a/b", path)
    kept.fetch_uploaded("a/b", tmp_path / "fetched")

    assert (8, b"received") == (kept.uploaded_size("a/b"), (tmp_path / "fetched").read_bytes())
    assert path.exists()
    assert [] == list(kept.all())
    with pytest.raises(FileNotFoundError):
        kept.fetch_uploaded("b", tmp_path / "fetched")


def test_a_bucket_is_named_by_a_url(swift: SwiftServer, tmp_path: Path) -> None:
    environ = {**swift.environment, "AWS_ENDPOINT_URL_S3": swift.environment["AWS_ENDPOINT_URL"]}
    elsewhere = {**environ, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    shared = open_shared(f"s3://{swift.make_bucket()}/some/prefix/", elsewhere)
    assert shared is not None

    shared.write("folder/one", b"1")
    shared.send({"folder/two": a_file(tmp_path, b"22")[0]})
    shared.fetch({"folder/two": tmp_path / "fetched"})

    assert b"1" == shared.read("folder/one")
    assert b"22" == (tmp_path / "fetched").read_bytes()
    assert {"folder/one": 1, "folder/two": 2} == {file.name: file.size_bytes for file in shared.all("folder")}
    assert all(file.changed_at.timestamp() > time.time() - 3_600 for file in shared.all("folder"))
    with pytest.raises(FileNotFoundError):
        shared.fetch({"folder/three": tmp_path / "fetched"})
    shared.remove(["folder/one", "folder/two"])
    shared.remove([])
    assert [] == list(shared.all(""))
    assert open_shared("", environ) is None
    assert open_shared(str(tmp_path), environ) is None


def test_a_folder_has_no_addresses_for_clients(tmp_path: Path) -> None:
    kept = open_storage("", tmp_path, {}).kept

    assert [None, None, None] == [kept.link("0" * 64, "", 1), kept.upload_link("a", 1), kept.uploaded_size("a")]
    with pytest.raises(FileNotFoundError):
        kept.fetch_uploaded("a", tmp_path / "fetched")


@pytest.mark.parametrize("sha256", ["", "0" * 63, "0" * 65, "A" * 64, "../" + "0" * 61, "0" * 64 + "\n"])
def test_a_name_that_is_no_hash_names_no_blob(kept: Blobs, sha256: str) -> None:
    with pytest.raises(AssertionError, match="64 lower-case"):
        kept.has(sha256)


def test_files_of_other_programs_are_no_blobs(tmp_path: Path) -> None:
    kept = open_storage("", tmp_path, {}).kept
    path, sha256 = a_file(tmp_path, b"one")
    kept.keep(path, sha256)
    for name in ("notes.txt", f"{'0' * 64}.part"):
        (tmp_path / "blobs" / sha256[:2] / sha256[2:4] / name).touch()

    assert [(sha256, 3)] == list(kept.all())


def test_a_blob_is_read_only_and_no_more_readable_than_its_file_was(tmp_path: Path) -> None:
    kept = open_storage("", tmp_path, {}).kept
    modes = {}
    for mode in (0o600, 0o660, 0o777):
        path, sha256 = a_file(tmp_path, b"%d" % mode)
        path.chmod(mode)
        kept.keep(path, sha256)
        blob = kept.path(sha256)
        assert blob is not None
        modes[mode] = blob.stat().st_mode & 0o777

    assert {0o600: 0o400, 0o660: 0o440, 0o777: 0o440} == modes


def test_the_hashes_of_the_ten_thousand_newest_uploads_are_remembered(tmp_path: Path) -> None:
    incoming = IncomingFiles(tmp_path)
    names = [f"{number:032x}" for number in range(10_001)]
    for name in names[:-1]:
        incoming.remember(name, 1, hashlib.sha256(b"1"))
    incoming.remember(names[0], 1, hashlib.sha256(b"1"))  # the newest now

    incoming.remember(names[-1], 1, hashlib.sha256(b"1"))

    hashes = [incoming.sha256(name, 1) for name in names]
    assert [1] == [number for number, sha256 in enumerate(hashes) if sha256 is None]


def test_an_upload_without_a_file_has_no_size_and_cannot_be_opened(tmp_path: Path) -> None:
    incoming = IncomingFiles(tmp_path / "incoming")
    missing, target = "0" * 32, "1" * 32
    assert [] == list(incoming.all())
    incoming.create(target)

    assert (None, 0) == (incoming.size(missing), incoming.size(target))
    with pytest.raises(errors.UploadNotFound) as opened:
        incoming.open(missing)
    with pytest.raises(errors.UploadNotFound) as joined:
        incoming.concatenate(target, [missing])
    assert [missing, missing] == [opened.value.facts["upload"], joined.value.facts["upload"]]
    with pytest.raises(FileExistsError):
        incoming.create(target)


def test_a_file_may_be_closed_twice(tmp_path: Path) -> None:
    incoming = IncomingFiles(tmp_path / "incoming")
    incoming.create("0" * 32)
    with incoming.open("0" * 32) as partial:
        partial.close()

    assert -1 == partial.descriptor
    with incoming.open("0" * 32) as partial:
        assert 0 == partial.size_bytes


def test_a_request_to_release_counts_from_a_time_on(tmp_path: Path) -> None:
    incoming = IncomingFiles(tmp_path / "incoming")
    incoming.create("0" * 32)
    assert not incoming.is_release_requested("0" * 32, 0)
    incoming.request_release("0" * 32)
    (asked,) = tmp_path.rglob("*.asked")
    os.utime(asked, ns=(5_000, 5_000))

    assert [True, False] == [incoming.is_release_requested("0" * 32, since) for since in (4_999, 5_000)]
    assert ["0" * 32] == [upload_id for upload_id, _ in incoming.all()]
    incoming.withdraw_request("0" * 32)
    incoming.withdraw_request("0" * 32)
    assert not incoming.is_release_requested("0" * 32, 0)


@pytest.mark.parametrize(
    "name",
    [
        "night.safetensors",
        'a "b" 100%.pt',
        "日本語 & x=1;+.safetensors",
        "a\r\nset-cookie: x=y.pt",
        "../../etc/passwd",
        "é" * 300,
    ],
)
def test_a_presigned_link_answers_with_the_name_of_the_file(swift: SwiftServer, tmp_path: Path, name: str) -> None:
    kept = open_storage(f"s3://{swift.make_bucket()}/some prefix", tmp_path, swift.environment).kept
    path, sha256 = a_file(tmp_path, b"bytes")
    kept.keep(path, sha256)
    disposition = content_disposition(name).decode()
    link = kept.link(sha256, disposition, 60)
    assert link is not None

    with urllib.request.urlopen(link, timeout=60) as answer:
        assert (b"bytes", disposition) == (answer.read(), answer.headers["content-disposition"])
        assert answer.headers["set-cookie"] is None
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(link.replace("attachment", "inline"), timeout=60)


def test_a_link_that_another_secret_signed_stays_as_it_is() -> None:
    link = (
        "https://store.example.org/bucket/key?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20261127T120000Z"
        "&X-Amz-Credential=id%2F20261127%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Expires=60"
        "&X-Amz-SignedHeaders=host&X-Amz-Signature=" + "0" * 64
    )

    assert [link, link] == [add_parameters(link, secret, {"response-content-type": "x"}) for secret in ("", "secret")]
