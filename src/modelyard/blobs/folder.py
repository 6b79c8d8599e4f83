"""Bytes in a folder of this machine, one file a SHA-256, two levels of folders deep."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from modelyard.blobs.fsync import make_folder, sync_file, sync_folder

_NAME = re.compile(r"[0-9a-f]{64}")


class FolderBlobs:
    """Blobs as files. Processes and threads may share the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def has(self, sha256: str) -> bool:
        """Whether the bytes are kept here."""
        return self._place(sha256).is_file()

    def keep(self, path: Path, sha256: str) -> None:
        """Keep a hashed file's bytes by moving the file; from another file system they are copied first."""
        place = self._place(sha256)
        if place.is_file():
            # Another process may have named it a moment ago, and not have flushed the name yet.
            self._sync_name(place)
            path.unlink(missing_ok=True)
            return
        make_folder(self._folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        sync_file(path)
        if path.stat().st_dev != place.parent.stat().st_dev:
            copied = place.with_name(f".{sha256}.{os.getpid()}")
            shutil.copyfile(path, copied)
            sync_file(copied)
            copied.replace(place)
            path.unlink()
        else:
            path.replace(place)
        # Nobody writes to what is kept, not even by mistake.
        place.chmod(0o444)
        self._sync_name(place)

    def path(self, sha256: str) -> Path | None:
        """Return the local file that has the bytes; None where there is none."""
        place = self._place(sha256)
        return place if place.is_file() else None

    def read(self, sha256: str) -> bytes:
        """Return the bytes whole."""
        return self._place(sha256).read_bytes()

    def link(self, sha256: str, disposition: str, expires_in_seconds: int) -> str | None:  # noqa: ARG002 # the protocol's signature
        """Return None: a folder gives nothing by itself."""
        return None

    def upload_link(self, name: str, expires_in_seconds: int) -> str | None:  # noqa: ARG002 # the protocol's signature
        """Return None: a folder takes nothing by itself."""
        return None

    def share_uploaded(self, name: str, path: Path) -> None:
        """Do nothing: who shares this folder shares what arrives in it."""

    def fetch(self, sha256: str, path: Path) -> None:
        """Copy the bytes into a local file. Raises FileNotFoundError where they are not here."""
        shutil.copyfile(self._place(sha256), path)

    def uploaded_size(self, name: str) -> int | None:  # noqa: ARG002 # the protocol's signature
        """Return None: nothing is put here by others."""
        return None

    def fetch_uploaded(self, name: str, path: Path) -> None:
        """Raise FileNotFoundError: nothing is put here by others."""
        raise FileNotFoundError(name, path)

    def forget_uploaded(self, name: str) -> None:
        """Do nothing: nothing is put here by others."""

    def remove(self, sha256: str) -> None:
        """Remove the bytes; without effect if they are not here."""
        self._place(sha256).unlink(missing_ok=True)

    def all(self) -> Iterator[tuple[str, int]]:
        """Yield the hash and the size of everything that is kept."""
        for path in sorted(self._folder.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]/*")):
            if _NAME.fullmatch(path.name):
                yield path.name, path.stat().st_size

    def _sync_name(self, place: Path) -> None:
        for folder in (place.parent, place.parent.parent, self._folder):
            sync_folder(folder)

    def _place(self, sha256: str) -> Path:
        # The one place where text becomes a path: nothing but a hash may.
        assert _NAME.fullmatch(sha256), "a blob is named by 64 lower-case hexadecimal digits"
        return self._folder / sha256[:2] / sha256[2:4] / sha256
