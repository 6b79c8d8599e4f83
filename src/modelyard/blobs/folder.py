"""Blobs in a local folder: one file for each SHA-256, two levels of folders deep."""

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from modelyard import errors
from modelyard.blobs.fsync import make_folder, sync_file, sync_folder
from modelyard.condition import Condition

_NAME = re.compile(r"[0-9a-f]{64}")


class FolderBlobs:
    """Blobs as files. Processes and threads may share the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.condition = Condition()

    def check(self) -> None:
        """Write, read and remove a small file. Raises StorageRefused with the reason."""
        path = self._folder / f".check-{uuid.uuid4().hex}"
        try:
            make_folder(self._folder)
            path.write_bytes(b"modelyard")
            path.read_bytes()
        except OSError as problem:
            reason = f"{self._folder}: {problem.strerror}"
            raise errors.StorageRefused("the folder of the files cannot be written", detail=reason) from problem
        finally:
            with suppress(OSError):
                path.unlink()

    def probe(self) -> None:
        """Note whether the folder can be listed; a mount that is gone has nothing to list."""
        with suppress(errors.Unavailable), self.condition.watching():
            try:
                with os.scandir(self._folder) as entries:
                    next(entries, None)
            except FileNotFoundError:
                self._make()
            except OSError as problem:
                raise errors.Unavailable("the folder of the files cannot be read", detail=str(problem)) from problem

    def _make(self) -> None:
        try:
            make_folder(self._folder)
        except OSError as problem:
            reason = f"{self._folder}: {problem.strerror}"
            raise errors.Unavailable("the folder of the files cannot be created", detail=reason) from problem

    def has(self, sha256: str) -> bool:
        """Whether the folder has the blob."""
        return self._place(sha256).is_file()

    def size(self, sha256: str) -> int | None:
        """Return the number of bytes of the blob; None if there is none."""
        status = self._status(sha256)
        return None if status is None else status.st_size

    def stored_at(self, sha256: str) -> float | None:
        """Return when the blob was stored; None if there is none."""
        status = self._status(sha256)
        # The rename of a received file sets the time of the change, and not that of the modification.
        return None if status is None else max(status.st_mtime, status.st_ctime)

    def _status(self, sha256: str) -> os.stat_result | None:
        try:
            return self._place(sha256).stat()
        except FileNotFoundError:
            return None

    def keep(self, path: Path, sha256: str, shared_name: str = "") -> None:  # noqa: ARG002 # the protocol's signature
        """Store a hashed file by moving it; from another file system, copy it first."""
        target = self._place(sha256)
        if target.is_file():
            # Another process may have renamed the file a moment ago, and not have flushed the folder yet.
            self._sync_name(target)
            path.unlink(missing_ok=True)
            return
        make_folder(self._folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        sync_file(path)
        if path.stat().st_dev != target.parent.stat().st_dev:
            copied = target.with_name(f".{sha256}.{os.getpid()}")
            shutil.copyfile(path, copied)
            sync_file(copied)
            copied.replace(target)
            path.unlink()
        else:
            path.replace(target)
        # Read-only, so that no program changes a blob by mistake. A group that may read the folder may read the blob.
        target.chmod(target.stat().st_mode & 0o440)
        self._sync_name(target)

    def path(self, sha256: str) -> Path | None:
        """Return the path of the blob; None if there is none."""
        target = self._place(sha256)
        return target if target.is_file() else None

    def read(self, sha256: str) -> bytes:
        """Return all bytes of the blob."""
        return self._place(sha256).read_bytes()

    def open(self, sha256: str) -> BinaryIO:
        """Open the blob."""
        return self._place(sha256).open("rb")

    def link(self, sha256: str, disposition: str, expires_in_seconds: int) -> str | None:  # noqa: ARG002 # the protocol's signature
        """Return None: a folder has no server of its own that could send a blob."""
        return None

    def upload_link(self, name: str, expires_in_seconds: int) -> str | None:  # noqa: ARG002 # the protocol's signature
        """Return None: a folder has no server of its own that could receive an upload."""
        return None

    def share_uploaded(self, name: str, path: Path) -> None:
        """Do nothing: machines that share this folder share the uploads in it."""

    def fetch(self, sha256: str, path: Path) -> None:
        """Copy the blob into a local file. Raises FileNotFoundError if there is none."""
        shutil.copyfile(self._place(sha256), path)

    def uploaded_size(self, name: str) -> int | None:  # noqa: ARG002 # the protocol's signature
        """Return None: clients cannot put uploads into a folder."""
        return None

    def fetch_uploaded(self, name: str, path: Path) -> None:
        """Raise FileNotFoundError: clients cannot put uploads into a folder."""
        raise FileNotFoundError(name, path)

    def forget_uploaded(self, name: str) -> None:
        """Do nothing: clients cannot put uploads into a folder."""

    def remove(self, sha256: str) -> None:
        """Remove the blob, if there is one."""
        self._place(sha256).unlink(missing_ok=True)

    def all(self) -> Iterator[tuple[str, int]]:
        """Yield the hash and the size of every blob."""
        for path in sorted(self._folder.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]/*")):
            if _NAME.fullmatch(path.name):
                yield path.name, path.stat().st_size

    def _sync_name(self, path: Path) -> None:
        for folder in (path.parent, path.parent.parent, self._folder):
            sync_folder(folder)

    def _place(self, sha256: str) -> Path:
        # Only this function turns text into a path, and it accepts nothing but a hash.
        assert _NAME.fullmatch(sha256), "a blob is named by 64 lower-case hexadecimal digits"
        return self._folder / sha256[:2] / sha256[2:4] / sha256
