"""Bytes that are still arriving: one file an upload, appended to by one writer at a time.

A file's length is the truth about how far an upload is: it needs no transaction a request, and what was acknowledged
was fsynced before. The lock is the file's own, so that it ends with the process that held it, however that ends.
"""

import fcntl
import hashlib
import os
import re
import shutil
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

from modelyard import errors
from modelyard.blobs.fsync import make_folder, sync_folder, translate_disk_full

_ID = re.compile(r"[0-9a-f]{32}")
# Room that is left for the database and the log, whatever is uploaded.
_RESERVE_BYTES = 256 * 1024 * 1024
# The state of a running SHA-256 takes a few hundred bytes.
_RUNNING_MAX = 10_000
_COPY_BYTES = 1 << 20


class IncomingFiles:
    """The folder of what arrives. Processes may share it; threads too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._turn = threading.Lock()
        # SHA-256 so far, by upload, and how many bytes it has seen. Of this process: another one hashes again.
        self._running: OrderedDict[str, tuple[int, hashlib._Hash]] = OrderedDict()

    def path(self, upload_id: str) -> Path:
        """Return where an upload's bytes lie, whether or not there are any."""
        # The one place where text becomes a path: nothing but an id of ours may.
        if not _ID.fullmatch(upload_id):
            raise errors.UploadNotFound(upload_id)
        return self.folder / upload_id

    def create(self, upload_id: str, expected_bytes: int = 0) -> None:
        """Make an empty file, or raise StorageFull where as much as is expected has no room."""
        make_folder(self.folder)
        self.refuse_if_full(expected_bytes)
        with translate_disk_full():
            self.path(upload_id).touch(exist_ok=False)
            sync_folder(self.folder)
        self._remember(upload_id, 0, hashlib.sha256())

    def refuse_if_full(self, expected_bytes: int) -> None:
        """Raise StorageFull where so many more bytes have no room."""
        if shutil.disk_usage(self.folder).free < expected_bytes + _RESERVE_BYTES:
            raise errors.StorageFull

    def size(self, upload_id: str) -> int | None:
        """Return how many bytes have arrived; None where nothing was begun, or it is over."""
        try:
            return self.path(upload_id).stat().st_size
        except FileNotFoundError:
            return None

    def open(self, upload_id: str) -> "PartialFile":
        """Begin to append; raise Locked while somebody else does, UploadNotFound where nothing was begun."""
        return PartialFile(self, upload_id)

    def request_release(self, upload_id: str) -> None:
        """Ask whoever writes to an upload, in whichever process of this machine, to let go of it."""
        self._asked(upload_id).touch()

    def withdraw_request(self, upload_id: str) -> None:
        """Take that back."""
        self._asked(upload_id).unlink(missing_ok=True)

    def is_release_requested(self, upload_id: str, since_ns: int) -> bool:
        """Whether somebody has asked for an upload since a time, in nanoseconds of the clock."""
        try:
            return self._asked(upload_id).stat().st_mtime_ns > since_ns
        except FileNotFoundError:
            return False

    def _asked(self, upload_id: str) -> Path:
        return self.path(upload_id).with_suffix(".asked")

    def sha256(self, upload_id: str, size_bytes: int) -> str | None:
        """Return the hash of what arrived, lower case, if this process saw all of it."""
        with self._turn:
            seen_bytes, digest = self._running.get(upload_id, (-1, None))
        return digest.hexdigest() if digest is not None and seen_bytes == size_bytes else None

    def concatenate(self, upload_id: str, part_ids: list[str]) -> None:
        """Append the bytes of other uploads, in order, within the kernel where it can."""
        with self.open(upload_id) as target, translate_disk_full():
            os.ftruncate(target.descriptor, 0)
            for part_id in part_ids:
                try:
                    part = self.path(part_id).open("rb")
                except FileNotFoundError:
                    raise errors.UploadNotFound(part_id) from None
                with part:
                    while os.copy_file_range(part.fileno(), target.descriptor, 1 << 30):
                        pass
            os.fsync(target.descriptor)
        self._remember(upload_id, -1, hashlib.sha256())

    def remove(self, upload_id: str) -> None:
        """Remove what arrived; without effect if there is nothing."""
        self.path(upload_id).unlink(missing_ok=True)
        self.withdraw_request(upload_id)
        with self._turn:
            self._running.pop(upload_id, None)

    def all(self) -> Iterator[tuple[str, float]]:
        """Yield the id and the time of the last change of everything that arrives."""
        if self.folder.is_dir():
            for path in sorted(self.folder.iterdir()):
                with suppress(FileNotFoundError):
                    if _ID.fullmatch(path.name):
                        yield path.name, path.stat().st_mtime

    def running(self, upload_id: str, size_bytes: int) -> "hashlib._Hash | None":
        """Return the running hash, if it has seen exactly the bytes that are there."""
        with self._turn:
            seen_bytes, digest = self._running.get(upload_id, (-1, None))
        if size_bytes == 0:
            return hashlib.sha256()
        return digest.copy() if digest is not None and seen_bytes == size_bytes else None

    def _remember(self, upload_id: str, seen_bytes: int, digest: "hashlib._Hash") -> None:
        with self._turn:
            self._running[upload_id] = seen_bytes, digest
            self._running.move_to_end(upload_id)
            while len(self._running) > _RUNNING_MAX:
                self._running.popitem(last=False)

    def remember(self, upload_id: str, seen_bytes: int, digest: "hashlib._Hash") -> None:
        """Keep a running hash for the next request of the upload."""
        self._remember(upload_id, seen_bytes, digest)


class PartialFile:
    """An upload being written to; nobody else can while it is open. Not for several threads at once."""

    def __init__(self, incoming: IncomingFiles, upload_id: str) -> None:
        self._incoming = incoming
        self._id = upload_id
        try:
            self.descriptor = os.open(incoming.path(upload_id), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            raise errors.UploadNotFound(upload_id) from None
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self.descriptor)
            raise errors.UploadLocked(upload_id) from None
        self.size_bytes = self._begun_bytes = os.lseek(self.descriptor, 0, os.SEEK_END)
        self._digest = incoming.running(upload_id, self.size_bytes)
        self._begun_digest = None if self._digest is None else self._digest.copy()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, data: "bytes | bytearray | memoryview") -> None:
        """Append bytes and hash them. Raises StorageFull where there is no room; what was written before stays."""
        view = memoryview(data)
        with translate_disk_full():
            while view:
                written = os.write(self.descriptor, view)
                if self._digest is not None:
                    self._digest.update(view[:written])
                self.size_bytes += written
                view = view[written:]

    def sync(self) -> None:
        """Have the disk write everything: after this, it may be acknowledged."""
        with translate_disk_full():
            os.fsync(self.descriptor)

    def restart(self) -> None:
        """Throw away what arrived so far."""
        self._begun_bytes, self._begun_digest = 0, hashlib.sha256()
        self.truncate_to_start()

    def truncate_to_start(self) -> None:
        """Take back what was written since this was opened."""
        os.ftruncate(self.descriptor, self._begun_bytes)
        os.lseek(self.descriptor, 0, os.SEEK_END)
        self.size_bytes = self._begun_bytes
        self._digest = None if self._begun_digest is None else self._begun_digest.copy()

    def close(self) -> None:
        """Let others write."""
        if self.descriptor < 0:
            return
        if self._digest is not None:
            self._incoming.remember(self._id, self.size_bytes, self._digest)
        os.close(self.descriptor)
        self.descriptor = -1
