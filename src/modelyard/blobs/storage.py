"""Opens the blob store that the settings name: a folder, or an S3-compatible store."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from modelyard import errors
from modelyard.blobs.folder import FolderBlobs
from modelyard.blobs.partial import IncomingFiles
from modelyard.blobs.s3 import bucket_of, open_s3
from modelyard.blobs.shared_parts import SharedParts
from modelyard.condition import Condition


class Blobs(Protocol):
    """A blob store. ``sha256`` is always 64 lower-case hexadecimal digits.

    ``condition`` says whether the last calls of this process worked.
    """

    condition: Condition

    def check(self) -> None:
        """Write, read and remove a small file. Raises Unavailable with the reason if that does not work."""

    def probe(self) -> None:
        """Try a cheap read, and note in ``condition`` whether it worked."""

    def has(self, sha256: str) -> bool:
        """Whether the store has the blob."""

    def size(self, sha256: str) -> int | None:
        """Return the number of bytes of the blob; None if there is none."""

    def stored_at(self, sha256: str) -> float | None:
        """Return when the blob was stored, in Unix seconds by the store's clock; None if there is none."""

    def keep(self, path: Path, sha256: str, shared_name: str = "") -> None:
        """Store the bytes of a file that the caller has hashed, and remove the file; repeating it is harmless.

        ``shared_name`` names a received upload of the same bytes, which no client can change: a store may copy it.
        When this returns, the blob survives a power cut. If it fails, the file still exists or the blob is stored.
        """

    def path(self, sha256: str) -> Path | None:
        """Return the local file of the blob; None if there is none."""

    def read(self, sha256: str) -> bytes:
        """Return all bytes of a small blob. Raises FileNotFoundError if there is none."""

    def open(self, sha256: str) -> BinaryIO:
        """Return a reader of the blob that can seek and fetches only what is read. Raises FileNotFoundError."""

    def link(self, sha256: str, disposition: str, expires_in_seconds: int) -> str | None:
        """Return an address that any client can download the blob from; None if this server has to send it."""

    def upload_link(self, name: str, expires_in_seconds: int) -> str | None:
        """Return an address that a client can PUT an upload to; None if this server has to receive it."""

    def share_uploaded(self, name: str, path: Path) -> None:
        """Put a received upload at its address, where every machine can fetch it."""

    def fetch(self, sha256: str, path: Path) -> None:
        """Copy the blob into a local file. Raises FileNotFoundError if there is none."""

    def uploaded_size(self, name: str) -> int | None:
        """Return the size of the file at an upload's address; None if there is none."""

    def fetch_uploaded(self, name: str, path: Path) -> None:
        """Copy the file at an upload's address into a local file, and flush it."""

    def forget_uploaded(self, name: str) -> None:
        """Remove the file at an upload's address, if there is one."""

    def remove(self, sha256: str) -> None:
        """Remove the blob, if there is one."""

    def all(self) -> Iterator[tuple[str, int]]:
        """Yield the hash and the size of every blob."""


@dataclass(frozen=True, slots=True)
class Storage:
    """The blob store, and the folder of incomplete uploads."""

    kept: Blobs
    incoming: IncomingFiles


def open_storage(
    url: str, home: Path, environ: Mapping[str, str], public_url: str = "", *, shares_unfinished: bool = False
) -> Storage:
    """Return the storage of a URL: empty for a folder under ``home``, a path, or ``s3://bucket/prefix``.

    ``public_url`` is where clients reach an S3-compatible store, if not where this server does. With
    ``shares_unfinished`` the bytes of unfinished uploads are in that store too.
    Raises ConfigurationError for any other URL.
    """
    if url.startswith("s3://"):
        shared = SharedParts(bucket_of(url, environ)) if shares_unfinished else None
        return Storage(open_s3(url, environ, public_url), IncomingFiles(home / "blobs" / "incoming", shared))
    if "://" in url and not url.startswith("file://"):
        raise errors.ConfigurationError(f"blobs: {url!r} is not supported; accepted: a folder, or s3://bucket/prefix")
    folder = _folder_of(url, home)
    # Uploads lie in the same file system, so that storing one as a blob is a rename.
    return Storage(FolderBlobs(folder), IncomingFiles(folder / "incoming"))


def local_folder(url: str, home: Path) -> Path | None:
    """Return the folder of the blobs of a storage URL; None if they are in an S3-compatible store."""
    return None if url.startswith("s3://") else _folder_of(url, home)


def _folder_of(url: str, home: Path) -> Path:
    return Path(url.removeprefix("file://")) if url else home / "blobs"
