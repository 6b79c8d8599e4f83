"""Where a storage URL puts files."""

from pathlib import Path

import pytest

from modelyard import errors
from modelyard.blobs import open_storage, s3
from modelyard.blobs.folder import FolderBlobs
from modelyard.blobs.s3 import S3Blobs

UPLOAD = "0" * 32


@pytest.mark.parametrize(
    ("url", "folder"), [("", "/home/blobs"), ("/data/files", "/data/files"), ("file:///data/files", "/data/files")]
)
def test_a_folder_has_the_arrivals_in_it(url: str, folder: str) -> None:
    storage = open_storage(url, Path("/home"), {})

    assert isinstance(storage.kept, FolderBlobs)
    assert Path(folder, "incoming", UPLOAD) == storage.incoming.path(UPLOAD)


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
