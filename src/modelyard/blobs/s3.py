"""Blobs in an S3-compatible store, through obstore.

    <prefix>/blobs/ab/cd/<sha256>     a blob
    <prefix>/incoming/<id>            an upload that a client put at a presigned address, until it is verified

Endpoint, region and keys come from the usual variables: AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN.
"""

import datetime
import io
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from modelyard import errors
from modelyard.blobs.fsync import make_folder, sync_file, translate_disk_full
from modelyard.blobs.presigned_links import add_parameters
from modelyard.blobs.range_reader import RangeReader
from modelyard.blobs.s3_errors import call_store, iterate_store, no_bucket
from modelyard.condition import Condition

# The client uploads files larger than a part in parts, four at once: memory is four parts, 32 MiB.
_PART_BYTES = 8 * 1024 * 1024
_PARTS_AT_ONCE = 4
_NAME = re.compile(r"[0-9a-f]{64}")
_TIMEOUT = "60s"
# What a store copies in one request.
_COPY_BYTES_MAX = 5 << 30
_READ_BYTES = 1 << 20

T = TypeVar("T")


class S3Blobs:
    """Blobs as objects of a bucket. Processes, machines and threads may share it."""

    def __init__(self, store: S3Store, secret_key: str = "", public_store: S3Store | None = None) -> None:
        """Open the bucket. Without the ``secret_key``, links do not have the name of the file.

        ``public_store`` is the same bucket at the address that clients reach.
        """
        self._store = store
        self._public_store = public_store or store
        self._secret_key = secret_key
        self.condition = Condition()

    def has(self, sha256: str) -> bool:
        """Whether the bucket has the blob."""
        return self._size(_key(sha256)) is not None

    def size(self, sha256: str) -> int | None:
        """Return the number of bytes of the blob; None if there is none."""
        return self._size(_key(sha256))

    def stored_at(self, sha256: str) -> float | None:
        """Return when the blob was stored; None if there is none."""
        try:
            return self._call(lambda: obstore.head(self._store, _key(sha256)))["last_modified"].timestamp()
        except FileNotFoundError:
            return None

    def keep(self, path: Path, sha256: str, shared_name: str = "") -> None:
        """Store a hashed file and remove it; a large file is uploaded in parts and appears after the last one.

        If the bucket has its bytes under ``shared_name``, it copies them, and they are not sent again.
        """
        size_bytes = path.stat().st_size
        if self._size(_key(sha256)) != size_bytes and not (
            shared_name and self._copy_shared(shared_name, sha256, size_bytes)
        ):
            self._call(lambda: put_file(self._store, path, _key(sha256)))
        path.unlink(missing_ok=True)

    def _copy_shared(self, name: str, sha256: str, size_bytes: int) -> bool:
        """Copy a received upload within the bucket; return whether the bucket has the whole blob then."""
        if size_bytes > _COPY_BYTES_MAX or self._size(_incoming(name)) != size_bytes:
            return False
        try:
            call_store(lambda: obstore.copy(self._store, _incoming(name), _key(sha256)))
        except (FileNotFoundError, errors.Unavailable):
            return False  # some stores do not copy, or not what was sent in parts
        return self._size(_key(sha256)) == size_bytes

    def path(self, sha256: str) -> Path | None:  # noqa: ARG002 # the protocol's signature
        """Return None: a bucket has no local files."""
        return None

    def read(self, sha256: str) -> bytes:
        """Return all bytes of the blob."""
        return bytes(self._call(lambda: obstore.get(self._store, _key(sha256)).bytes()))

    def open(self, sha256: str) -> BinaryIO:
        """Return a reader that fetches a MiB at a time."""
        size_bytes = self.size(sha256)
        if size_bytes is None:
            raise FileNotFoundError(sha256)

        def fetch(start: int, end: int) -> bytes:
            return bytes(self._call(lambda: obstore.get_range(self._store, _key(sha256), start=start, end=end)))

        return io.BufferedReader(RangeReader(fetch, size_bytes), _READ_BYTES)

    def link(self, sha256: str, disposition: str, expires_in_seconds: int) -> str | None:
        """Return a presigned GET address. ``disposition`` is the header that the store answers with."""
        signed = call_store(lambda: obstore.sign(self._public_store, "GET", _key(sha256), _span(expires_in_seconds)))
        return add_parameters(signed, self._secret_key, {"response-content-disposition": disposition})

    def upload_link(self, name: str, expires_in_seconds: int) -> str | None:
        """Return a presigned PUT address."""
        return call_store(lambda: obstore.sign(self._public_store, "PUT", _incoming(name), _span(expires_in_seconds)))

    def share_uploaded(self, name: str, path: Path) -> None:
        """Put a received upload into the bucket, where every machine can fetch it."""
        self._call(lambda: put_file(self._store, path, _incoming(name)))

    def fetch(self, sha256: str, path: Path) -> None:
        """Copy the blob into a local file. Raises FileNotFoundError if there is none."""
        make_folder(path.parent)
        self._call(lambda: fetch_file(self._store, _key(sha256), path))

    def uploaded_size(self, name: str) -> int | None:
        """Return the size of the file at an upload's address; None if there is none."""
        return self._size(_incoming(name))

    def fetch_uploaded(self, name: str, path: Path) -> None:
        """Copy the file at an upload's address into a local file, and flush it."""
        # A machine that only verifies has received nothing yet.
        make_folder(path.parent)
        self._call(lambda: fetch_file(self._store, _incoming(name), path))
        sync_file(path)

    def forget_uploaded(self, name: str) -> None:
        """Remove the file at an upload's address, if there is one."""
        self._delete(_incoming(name))

    def remove(self, sha256: str) -> None:
        """Remove the blob, if there is one."""
        self._delete(_key(sha256))

    def all(self) -> Iterator[tuple[str, int]]:
        """Yield the hash and the size of every blob."""
        for entries in iterate_store(obstore.list(self._store, prefix="blobs/")):
            for entry in entries:
                name = entry["path"].rpartition("/")[2]
                if _NAME.fullmatch(name):
                    yield name, entry["size"]

    def check(self) -> None:
        """Write, read and remove a small object. Raises Unavailable with the reason."""
        key = _incoming(f"check-{uuid.uuid4().hex}")
        try:
            self._call(lambda: obstore.put(self._store, key, b"modelyard"))
        except FileNotFoundError as problem:
            raise self._note_no_bucket(problem) from problem
        self._call(lambda: obstore.get(self._store, key).bytes())
        self._delete(key)

    def probe(self) -> None:
        """Ask the bucket for a name, which costs less than ``check``; the result is in ``condition``."""
        with suppress(errors.Unavailable):
            self._call(lambda: next(iter(obstore.list(self._store, prefix="incoming/", chunk_size=1)), None))

    def _note_no_bucket(self, problem: Exception) -> errors.StorageRefused:
        error = no_bucket(problem)
        self.condition.note_failure(error)
        return error

    def _call(self, call: Callable[[], T]) -> T:
        with self.condition.watching():
            return call_store(call)

    def _size(self, key: str) -> int | None:
        return self._call(lambda: _size(self._store, key))

    def _delete(self, key: str) -> None:
        try:
            self._call(lambda: obstore.delete(self._store, key))
        except FileNotFoundError:
            return


def open_s3(url: str, environ: Mapping[str, str], public_url: str = "") -> S3Blobs:
    """Return the blobs in the bucket and prefix of ``s3://bucket/prefix``.

    ``public_url`` is where clients reach the store. Raises ConfigurationError if the URL names no bucket.
    """
    public_store = bucket_of(url, {**environ, "AWS_ENDPOINT_URL_S3": public_url}) if public_url else None
    return S3Blobs(bucket_of(url, environ), environ.get("AWS_SECRET_ACCESS_KEY", ""), public_store)


def bucket_of(url: str, environ: Mapping[str, str]) -> S3Store:
    """Return the bucket and prefix that ``s3://bucket/prefix`` names. Raises ConfigurationError where it names none."""
    parsed = urlsplit(url)
    if not parsed.netloc:
        raise errors.ConfigurationError("blobs: no bucket; accepted: s3://bucket/prefix")
    endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or ""
    credentials = {
        "access_key_id": environ.get("AWS_ACCESS_KEY_ID"),
        "secret_access_key": environ.get("AWS_SECRET_ACCESS_KEY"),
        "session_token": environ.get("AWS_SESSION_TOKEN"),
        "region": environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1",
        "endpoint": endpoint or None,
    }
    options: dict[str, Any] = {name: value for name, value in credentials.items() if value}
    try:
        return _open_bucket(parsed.netloc, parsed.path, endpoint, options)
    except (BaseError, ValueError) as problem:
        reason = " ".join(str(problem).partition("Debug source")[0].split())
        raise errors.ConfigurationError(f"{url}: the file store cannot be opened: {reason}") from problem


def _open_bucket(bucket: str, path: str, endpoint: str, options: dict[str, Any]) -> S3Store:
    return S3Store(
        bucket,
        prefix=path.strip("/") or None,
        # Stores other than Amazon's rarely have a host name a bucket.
        virtual_hosted_style_request=not endpoint,
        client_options={"allow_http": endpoint.startswith("http://"), "timeout": _TIMEOUT},
        # A store answers 501 to a request that it does not support; by default obstore would retry it for minutes.
        retry_config={"max_retries": 3, "retry_timeout": datetime.timedelta(seconds=20)},
        **options,
    )


def put_file(store: S3Store, path: Path, key: str) -> None:
    """Put a file; a large one is uploaded in parts and appears after the last one."""
    size_bytes = path.stat().st_size
    try:
        call_store(
            lambda: obstore.put(
                store,
                key,
                path,
                use_multipart=size_bytes > _PART_BYTES,
                chunk_size=_PART_BYTES,
                max_concurrency=_PARTS_AT_ONCE,
            )
        )
    except FileNotFoundError as problem:
        if not path.exists():
            raise
        # A store that is starting answers this, as does a store without the bucket.
        raise no_bucket(problem) from problem
    if _size(store, key) != size_bytes:
        raise errors.Unavailable("the file store did not keep all bytes")


def fetch_file(store: S3Store, key: str, path: Path) -> None:
    """Copy an object into a local file, a part at a time. Raises FileNotFoundError where there is none."""
    with translate_disk_full(), path.open("wb") as file:
        for chunk in iterate_store(call_store(lambda: obstore.get(store, key)).stream(min_chunk_size=4 << 20)):
            file.write(chunk)


def _size(store: S3Store, key: str) -> int | None:
    try:
        return call_store(lambda: obstore.head(store, key))["size"]
    except FileNotFoundError:
        return None


def _key(sha256: str) -> str:
    assert _NAME.fullmatch(sha256), "a blob is named by 64 lower-case hexadecimal digits"
    return f"blobs/{sha256[:2]}/{sha256[2:4]}/{sha256}"


def _incoming(name: str) -> str:
    return f"incoming/{quote(name, safe='')}"


def _span(seconds: int) -> datetime.timedelta:
    # S3's own limit is seven days.
    return datetime.timedelta(seconds=min(seconds, 7 * 86_400))
