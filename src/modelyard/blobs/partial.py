"""The files of incomplete uploads: one file for each upload; one writer at a time appends to it.

The length of the file is the offset of the upload, so a request needs no transaction. The server fsyncs bytes before it
acknowledges them. The lock is on the file itself, so it ends with the process that holds it.
"""

import fcntl
import hashlib
import os
import re
import shutil
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from modelyard import errors
from modelyard.blobs.fsync import make_folder, sync_folder, translate_disk_full
from modelyard.blobs.shared_parts import SharedParts

_ID = re.compile(r"[0-9a-f]{32}")
# Uploads leave this much free space for the database and the log.
_RESERVE_BYTES = 256 * 1024 * 1024
# The state of a running SHA-256 takes a few hundred bytes.
_RUNNING_MAX = 10_000
_COPY_BYTES = 1 << 20
# POSIX lets one call write at least 16 pieces, Linux 1,024.
_PIECES_MAX = 1_000


# How soon a client asks again for an upload whose node is away.
_NODE_AWAY_SECONDS = 5


def bytes_elsewhere(upload_id: str) -> errors.Unavailable:
    """Return the error for an upload that the database knows, and whose bytes are not on this machine."""
    return errors.Unavailable(
        "the bytes of this upload are on another node, which does not answer; try again later",
        upload=upload_id,
        retry_after_seconds=_NODE_AWAY_SECONDS,
    )


class IncomingFiles:
    """The folder of incomplete uploads. Processes and threads may share it."""

    def __init__(self, folder: Path, shared: SharedParts | None = None) -> None:
        """Open the folder. With ``shared``, other machines can continue the uploads that this one received."""
        self.folder = folder
        self._shared = shared
        self._turn = threading.Lock()
        # By upload, the running SHA-256 and the number of bytes it covers. Another process has to hash them again.
        self._running: OrderedDict[str, tuple[int, hashlib._Hash]] = OrderedDict()

    def path(self, upload_id: str) -> Path:
        """Return the path of an upload's file, whether or not it exists."""
        # Only this function turns text into a path, and it accepts nothing but an upload id.
        if not _ID.fullmatch(upload_id):
            raise errors.UploadNotFound(upload_id)
        return self.folder / upload_id

    def create(self, upload_id: str, expected_bytes: int = 0) -> None:
        """Make an empty file. Raises StorageFull if the expected bytes do not fit, Unavailable without a folder."""
        try:
            make_folder(self.folder)
        except OSError as problem:
            reason = f"{self.folder}: {problem.strerror}"
            raise errors.Unavailable("the folder of unfinished uploads cannot be created", detail=reason) from problem
        self.refuse_if_full(expected_bytes)
        with translate_disk_full():
            self.path(upload_id).touch(exist_ok=False)
            sync_folder(self.folder)
        self._remember(upload_id, 0, hashlib.sha256())

    def adopt(self, upload_id: str, path: Path) -> None:
        """Make a whole file of this folder the file of an upload. It keeps its own name too, if a disk allows it."""
        target = self.path(upload_id)
        target.unlink(missing_ok=True)
        try:
            target.hardlink_to(path)
        except OSError:  # a file system without hard links
            path.rename(target)

    def refuse_if_full(self, expected_bytes: int) -> None:
        """Raise StorageFull if this many more bytes do not fit on the disk."""
        if self.free_bytes() < expected_bytes:
            raise errors.StorageFull

    def free_bytes(self) -> int:
        """Return how many more bytes fit on the disk."""
        make_folder(self.folder)
        return shutil.disk_usage(self.folder).free - _RESERVE_BYTES

    def size(self, upload_id: str) -> int | None:
        """Return the number of bytes received; None if the upload has no file."""
        try:
            return self.path(upload_id).stat().st_size
        except FileNotFoundError:
            return None

    def open(self, upload_id: str) -> "PartialFile":
        """Open the file to append. Raises UploadLocked if another writer has it, UploadNotFound if there is none."""
        return PartialFile(self, upload_id)

    def open_anywhere(self, upload_id: str, *, is_whole: bool = False) -> "PartialFile":
        """Open the file of an upload that the database knows, also if another machine began it.

        It then has the bytes that are shared. ``is_whole``: the caller has all bytes, and needs none of them.
        Raises UploadLocked, and Unavailable if the bytes are on another machine only.
        """
        try:
            partial = self.open(upload_id)
        except errors.UploadNotFound:
            if self._shared is None and not is_whole:
                raise bytes_elsewhere(upload_id) from None
            with suppress(FileExistsError):
                self.create(upload_id)
            partial = self.open(upload_id)
        if self._shared is not None and not is_whole:
            try:
                for block in self._shared.read(upload_id, partial.size_bytes):
                    partial.write(block)
            except BaseException:
                partial.close()
                raise
        return partial

    def size_anywhere(self, upload_id: str) -> int:
        """Return how many bytes of an upload were received. Raises Unavailable if only another machine knows."""
        size_bytes = self.size(upload_id)
        if self._shared is not None:
            return max(size_bytes or 0, self._shared.size(upload_id))
        if size_bytes is None:
            raise bytes_elsewhere(upload_id)
        return size_bytes

    def share(self, upload_id: str, size_bytes: int) -> None:
        """Let other machines continue an upload after its first ``size_bytes`` bytes, if the setting says so."""
        if self._shared is not None:
            self._shared.save(upload_id, self.path(upload_id), size_bytes)

    def request_release(self, upload_id: str) -> None:
        """Ask the writer of an upload, in any process of this machine, to release the file."""
        self._asked(upload_id).touch()

    def withdraw_request(self, upload_id: str) -> None:
        """Withdraw the release request."""
        self._asked(upload_id).unlink(missing_ok=True)

    def is_release_requested(self, upload_id: str, since_ns: int) -> bool:
        """Whether another request asked for the release since a time, in nanoseconds of the clock."""
        try:
            return self._asked(upload_id).stat().st_mtime_ns > since_ns
        except FileNotFoundError:
            return False

    def _asked(self, upload_id: str) -> Path:
        return self.path(upload_id).with_suffix(".asked")

    def sha256(self, upload_id: str, size_bytes: int) -> str | None:
        """Return the hash of the received bytes, lower case, if this process received all of them."""
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
        """Remove the file of an upload, if there is one, and its shared bytes."""
        self.path(upload_id).unlink(missing_ok=True)
        if self._shared is not None:
            self._shared.remove(upload_id)
        self.withdraw_request(upload_id)
        with self._turn:
            self._running.pop(upload_id, None)

    def all(self) -> Iterator[tuple[str, float]]:
        """Yield the id of every upload with a file, and the time of the file's last change."""
        if self.folder.is_dir():
            for path in sorted(self.folder.iterdir()):
                with suppress(FileNotFoundError):
                    if _ID.fullmatch(path.name):
                        yield path.name, path.stat().st_mtime

    def running(self, upload_id: str, size_bytes: int) -> "hashlib._Hash | None":
        """Return the running hash, if it covers exactly the bytes in the file."""
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
    """The open file of an upload; no other writer can open it meanwhile.

    Not for several threads at once, except that one may ``hash`` the pieces that another one may ``append``.
    """

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
        self._is_hash_true = True
        self._begun_digest = None if self._digest is None else self._digest.copy()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, data: "bytes | bytearray | memoryview") -> None:
        """Append bytes and hash them. Raises StorageFull if the disk is full; bytes written before stay."""
        self.append((data,))
        self.hash((data,))

    def append(self, pieces: "Sequence[bytes | bytearray | memoryview]") -> None:
        """Append pieces without hashing them; ``hash`` has to be called with the same ones."""
        views = [memoryview(piece) for piece in pieces if piece]
        try:
            with translate_disk_full():
                while views:
                    written = os.writev(self.descriptor, views[:_PIECES_MAX])
                    self.size_bytes += written
                    while views and written >= len(views[0]):
                        written -= len(views.pop(0))
                    if written:
                        views[0] = views[0][written:]
        except BaseException:
            # The hash may cover more than what was written. Whoever needs it reads the file.
            self._is_hash_true = False
            raise

    def hash(self, pieces: "Sequence[bytes | bytearray | memoryview]") -> None:
        """Add pieces to the running hash."""
        if self._digest is not None:
            for piece in pieces:
                self._digest.update(piece)

    @property
    def sha256(self) -> str | None:
        """The hash of all bytes, lower case; None if this process did not write all of them."""
        return self._digest.hexdigest() if self._digest is not None and self._is_hash_true else None

    def sync(self) -> None:
        """Flush the file to the disk; after this, the server may acknowledge the bytes."""
        with translate_disk_full():
            os.fsync(self.descriptor)

    def restart(self, *, is_hashed: bool = True) -> None:
        """Discard all bytes received so far. Without ``is_hashed``, ``hash`` does nothing, and ``sha256`` is None."""
        self._begun_bytes, self._begun_digest = 0, hashlib.sha256() if is_hashed else None
        self.truncate_to_start()

    def truncate(self, size_bytes: int) -> None:
        """Discard the bytes after this size, and their hash; a file that is shorter stays as it is."""
        if size_bytes < self.size_bytes:
            os.ftruncate(self.descriptor, size_bytes)
            self.size_bytes = self._begun_bytes = os.lseek(self.descriptor, 0, os.SEEK_END)
            self._digest = self._incoming.running(self._id, size_bytes)
            self._begun_digest = None if self._digest is None else self._digest.copy()

    def truncate_to_start(self) -> None:
        """Discard the bytes written since this object opened the file."""
        os.ftruncate(self.descriptor, self._begun_bytes)
        os.lseek(self.descriptor, 0, os.SEEK_END)
        self.size_bytes = self._begun_bytes
        self._digest = None if self._begun_digest is None else self._begun_digest.copy()
        self._is_hash_true = True

    def close(self) -> None:
        """Close the file, so that other writers can open it."""
        if self.descriptor < 0:
            return
        if self._digest is not None and self._is_hash_true:
            self._incoming.remember(self._id, self.size_bytes, self._digest)
        os.close(self.descriptor)
        self.descriptor = -1
