"""Where a storage URL puts files."""

import hashlib
from pathlib import Path

import httpx2
import pytest

from modelyard import errors
from modelyard.blobs import open_storage, s3
from modelyard.blobs.folder import FolderBlobs
from modelyard.blobs.s3 import S3Blobs
from tests.swift_server import SwiftServer

UPLOAD = "0" * 32


@pytest.mark.parametrize(
    ("url", "folder"), [("", "/home/blobs"), ("/data/files", "/data/files"), ("file:///data/files", "/data/files")]
)
def test_a_folder_has_the_arrivals_in_it(url: str, folder: str) -> None:
    storage = open_storage(url, Path("/home"), {})

    assert isinstance(storage.kept, FolderBlobs)
    assert Path(folder, "incoming", UPLOAD) == storage.incoming.path(UPLOAD)


def test_an_upload_into_a_folder_that_cannot_be_created_is_refused_with_the_reason() -> None:
    """As on a disk that was mounted read-only after the server had started."""
    storage = open_storage("/proc/modelyard/files", Path("/home"), {})
    with pytest.raises(errors.Unavailable, match="the folder of unfinished uploads cannot be created"):
        storage.incoming.create(UPLOAD)


def test_a_bucket_has_the_arrivals_in_the_home(tmp_path: Path) -> None:
    storage = open_storage("s3://bucket/prefix", tmp_path, {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"})

    assert isinstance(storage.kept, S3Blobs)
    assert tmp_path / "blobs" / "incoming" / UPLOAD == storage.incoming.path(UPLOAD)


@pytest.mark.parametrize("url", ["http://example.org/x", "gs://bucket", "s3://", "ftp://x"])
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="accepted"):
        open_storage(url, Path("/home"), {})


@pytest.mark.parametrize(("size_bytes", "is_in_parts"), [(0, False), (8 << 20, False), ((8 << 20) + 1, True)])
def test_a_large_file_is_put_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size_bytes: int, is_in_parts: bool
) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(size_bytes)
    calls = []
    monkeypatch.setattr("obstore.put", lambda *_, **options: calls.append(options))
    monkeypatch.setattr("obstore.head", lambda *_: {"size": size_bytes})

    s3.put_file(s3.bucket_of("s3://bucket", {}), path, "key")

    assert [{"use_multipart": is_in_parts, "chunk_size": 8 << 20, "max_concurrency": 4}] == calls


def test_clients_get_addresses_of_the_store_that_they_can_reach(swift: SwiftServer, tmp_path: Path) -> None:
    public_url = swift.environment["AWS_ENDPOINT_URL"].replace("127.0.0.1", "localhost")
    kept = open_storage(f"s3://{swift.make_bucket()}/files", tmp_path, swift.environment, public_url).kept
    content = b"weights"
    sha256 = hashlib.sha256(content).hexdigest()
    (tmp_path / "file").write_bytes(content)
    kept.keep(tmp_path / "file", sha256)

    link = kept.link(sha256, 'attachment; filename="a.bin"', 60)
    upload_link = kept.upload_link(UPLOAD, 60)

    assert link is not None
    assert upload_link is not None
    assert {f"{public_url}/"} == {address[: len(public_url) + 1] for address in (link, upload_link)}
    answer = httpx2.get(link)
    assert (200, content) == (answer.status_code, answer.content)
    assert 'attachment; filename="a.bin"' == answer.headers["content-disposition"]
    assert 200 == httpx2.put(upload_link, content=content).status_code
    assert len(content) == kept.uploaded_size(UPLOAD)


def test_what_the_store_has_of_an_upload_is_copied_there_and_not_sent_again(swift: SwiftServer, tmp_path: Path) -> None:
    kept = open_storage(f"s3://{swift.make_bucket()}/files", tmp_path, swift.environment).kept
    (tmp_path / "received").write_bytes(b"sent once")
    kept.share_uploaded(UPLOAD, tmp_path / "received")
    # Other bytes, so that one sees which were stored.
    (tmp_path / "here").write_bytes(b"SENT TWICE"[:9])
    (tmp_path / "longer").write_bytes(b"of another size")

    kept.keep(tmp_path / "here", "a" * 64, UPLOAD)
    kept.keep(tmp_path / "longer", "b" * 64, UPLOAD)

    assert (b"sent once", b"of another size") == (kept.read("a" * 64), kept.read("b" * 64))
    assert not (tmp_path / "here").exists()
