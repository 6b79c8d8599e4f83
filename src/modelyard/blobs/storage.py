"""Where file bytes are kept: in a folder, or in an S3-compatible store, chosen by the settings."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from modelyard import errors
from modelyard.blobs.folder import FolderBlobs
from modelyard.blobs.partial import IncomingFiles
from modelyard.blobs.s3 import open_s3


class Blobs(Protocol):
    """Where bytes are kept. ``sha256`` is 64 lower-case hexadecimal digits everywhere."""

    def has(self, sha256: str) -> bool:
        """Whether the bytes are kept here."""

    def keep(self, path: Path, sha256: str) -> None:
        """Keep the file's bytes, which the caller has hashed, and take the file away. Keeping twice keeps once.

        When it returns the bytes survive a power cut. If it fails, the file is still there or the bytes are kept.
        """

    def path(self, sha256: str) -> Path | None:
        """Return the local file that has the bytes; None where there is none."""

    def read(self, sha256: str) -> bytes:
        """Return the bytes whole: for small ones. Raises FileNotFoundError where they are not kept."""

    def link(self, sha256: str, disposition: str, expires_in_seconds: int) -> str | None:
        """Return an address that gives the bytes to whoever has it; None where this process has to hand them out."""

    def upload_link(self, name: str, expires_in_seconds: int) -> str | None:
        """Return an address that takes the bytes of an upload by PUT; None where this process has to take them."""

    def share_uploaded(self, name: str, path: Path) -> None:
        """Put what arrived in a local file where every machine can fetch it, as if it had been put at its address."""

    def fetch(self, sha256: str, path: Path) -> None:
        """Copy the bytes into a local file. Raises FileNotFoundError where they are not here."""

    def uploaded_size(self, name: str) -> int | None:
        """Return how many bytes were put at an upload's address; None for none."""

    def fetch_uploaded(self, name: str, path: Path) -> None:
        """Copy what was put at an upload's address into a local file, and make it survive a power cut."""

    def forget_uploaded(self, name: str) -> None:
        """Remove what was put at an upload's address, if anything was."""

    def remove(self, sha256: str) -> None:
        """Remove the bytes; without effect if they are not here."""

    def all(self) -> Iterator[tuple[str, int]]:
        """Yield the hash and the size of everything that is kept."""


@dataclass(frozen=True, slots=True)
class Storage:
    """Where bytes are kept, and where they arrive."""

    kept: Blobs
    incoming: IncomingFiles


def open_storage(url: str, home: Path, environ: Mapping[str, str]) -> Storage:
    """Return the places that a URL names: empty for a folder under ``home``, a path, or ``s3://bucket/prefix``.

    Raises ConfigurationError for what names no place.
    """
    if url.startswith("s3://"):
        return Storage(open_s3(url, environ), IncomingFiles(home / "blobs" / "incoming"))
    if "://" in url and not url.startswith("file://"):
        raise errors.ConfigurationError(f"blobs: {url!r} is not supported; accepted: a folder, or s3://bucket/prefix")
    folder = Path(url.removeprefix("file://")) if url else home / "blobs"
    # In one file system, so that keeping what arrived is a rename.
    return Storage(FolderBlobs(folder), IncomingFiles(folder / "incoming"))
