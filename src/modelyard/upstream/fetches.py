"""One fetch of a file for all who ask for it at the same time.

    asker ──join──> Fetch ──a thread──> bytes of the hub ──append──> incoming file ──hash──> kept, or removed
    asker ──join──┘   └─ each asker reads the file as it grows, and gets the last byte when the hash is right

The file is locked by the process that writes it. Another process of this machine watches it grow instead of asking the
hub, so its askers share the fetch too. Whatever goes wrong, the file is removed: nothing half is kept, and no asker
gets a whole file with a wrong hash.
"""

import hashlib
import logging
import os
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from modelyard import errors
from modelyard.blobs import IncomingFiles
from modelyard.blobs.partial import PartialFile
from modelyard.outbound import Answer, TemporaryFailure
from modelyard.retry import Retry, RetryPolicy
from modelyard.upstream.client import FETCHES_MAX
from modelyard.upstream.files import LocalFiles, fetch_id_of
from modelyard.upstream.snapshots import Snapshot, SnapshotFile

log = logging.getLogger(__name__)

# Fetches of this process that one caller has started.
_RUNNING_OF_CALLER_MAX = 24
_WATCH_SECONDS = 0.02
# A cut-off download continues; an attempt that brings so many bytes starts the count again.
_RETRIES = RetryPolicy(attempts_max=3, wait_seconds_first=0.2, wait_seconds_max=2.0, retry_after_seconds_max=5.0)
_PROGRESS_BYTES_MIN = 1 << 20
_HASH_BLOCK_BYTES = 1 << 20


class OpenFile(Protocol):
    """Asks the hub for a file from a byte on."""

    def __call__(self, repository: str, commit: str, path: str, first: int = 0) -> Answer:
        """Return the hub's answer."""


class Fetch:
    """A file on its way. Only its thread changes it; askers read. ``error`` says why it ended without success."""

    def __init__(self, snapshot: Snapshot, file: SnapshotFile, caller: str) -> None:
        self.snapshot = snapshot
        self.file = file
        self.caller = caller
        self.received_bytes = 0
        self.is_started = False
        self.is_verified = False
        self.is_ended = False
        self.error: errors.ModelyardError | None = None
        self.descriptor = -1
        self.askers = 0

    @property
    def readable_bytes(self) -> int:
        """How many bytes askers may have. The last one comes with the proof of the hash."""
        return self.file.size_bytes if self.is_verified else min(self.received_bytes, self.file.size_bytes - 1)

    @property
    def missing_bytes(self) -> int:
        """How many bytes it still needs on the disk."""
        return self.file.size_bytes - self.received_bytes


class Fetches:
    """The fetches of this process. Threads may share it."""

    def __init__(self, open_file: OpenFile, incoming: IncomingFiles, files: LocalFiles) -> None:
        self._open_file = open_file
        self._incoming = incoming
        self._files = files
        self._lock = threading.Lock()
        self._running: dict[str, Fetch] = {}

    def join(self, snapshot: Snapshot, file: SnapshotFile, caller: str) -> Fetch:
        """Return the fetch of a file, started now or by somebody else. Call ``leave`` after use.

        Raises RateLimited if the caller has started too many, or all callers together have, or if those of the caller
        need more than half of the free disk.
        """
        fetch_id = fetch_id_of(snapshot, file)
        with self._lock:
            fetch = self._running.get(fetch_id)
            if fetch is None:
                by_caller = Counter(running.caller for running in self._running.values())
                if len(self._running) >= FETCHES_MAX or by_caller[caller] >= _RUNNING_OF_CALLER_MAX:
                    raise errors.RateLimited(5)
                missing_bytes = [each.missing_bytes for each in self._running.values() if each.caller == caller]
                if missing_bytes and sum(missing_bytes) + file.size_bytes > self._incoming.free_bytes() // 2:
                    raise errors.RateLimited(5)
                fetch = self._running[fetch_id] = Fetch(snapshot, file, caller)
                # A thread that ends with the process: what it has not finished is removed later.
                threading.Thread(target=self._run, args=(fetch_id, fetch), daemon=True).start()
            fetch.askers += 1
        return fetch

    def leave(self, fetch: Fetch) -> None:
        """Note that an asker needs a fetch no more. One that nobody needs ends, unless its file is kept."""
        with self._lock:
            fetch.askers -= 1
            self._close(fetch)

    def _run(self, fetch_id: str, fetch: Fetch) -> None:
        try:
            self._fetch(fetch_id, fetch)
        except errors.ModelyardError as problem:
            fetch.error = problem
        except errors.Interrupted:
            fetch.error = errors.Unavailable("nobody waited for the file any more; ask again")
        except Exception:
            log.exception("fetching %s of %s failed", fetch.file.path, fetch.snapshot.repository)
            fetch.error = errors.Unavailable("the file could not be fetched; ask again")
        with self._lock:
            del self._running[fetch_id]
            fetch.is_ended = True
            self._close(fetch)

    def _close(self, fetch: Fetch) -> None:
        if fetch.is_ended and not fetch.askers and fetch.descriptor >= 0:
            os.close(fetch.descriptor)
            fetch.descriptor = -1

    def _fetch(self, fetch_id: str, fetch: Fetch) -> None:
        while not self._is_here(fetch):
            try:
                partial = self._open_partial(fetch_id, fetch.file)
            except errors.UploadLocked:
                self._watch(fetch_id, fetch)
                if fetch.is_verified:
                    return
                continue
            if partial is None:
                continue
            with partial:
                try:
                    # Another process may have kept it before this one had the lock.
                    if not self._is_here(fetch):
                        self._receive_and_keep(fetch, partial, self._incoming.path(fetch_id))
                finally:
                    self._incoming.remove(fetch_id)
            return

    def _is_here(self, fetch: Fetch) -> bool:
        """Whether the file is kept already; then askers get that one."""
        stored = self._files.find(fetch.snapshot, fetch.file)
        if stored is None:
            return False
        if stored.path is None:
            raise errors.Unavailable("the file was stored at this moment; ask again")
        try:
            _open_descriptor(fetch, os.open(stored.path, os.O_RDONLY | os.O_CLOEXEC))
        except FileNotFoundError:
            raise errors.Unavailable("the file was moved at this moment; ask again") from None
        fetch.received_bytes, fetch.is_started, fetch.is_verified = fetch.file.size_bytes, True, True
        return True

    def _open_partial(self, fetch_id: str, file: SnapshotFile) -> PartialFile | None:
        """Open and lock the file, empty; None if another process removed or kept it at this moment."""
        with suppress(FileExistsError):
            self._incoming.create(fetch_id, file.size_bytes)
        try:
            partial = self._incoming.open(fetch_id)
        except errors.UploadNotFound:
            return None
        with suppress(FileNotFoundError):
            if self._incoming.path(fetch_id).stat().st_ino == os.fstat(partial.descriptor).st_ino:
                partial.restart()
                return partial
        partial.close()
        return None

    def _receive_and_keep(self, fetch: Fetch, partial: PartialFile, path: Path) -> None:
        snapshot, file = fetch.snapshot, fetch.file
        is_wanted = self._files.is_wanted(file) and self._files.has_room(file)
        _open_descriptor(fetch, os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        etag = self._receive(fetch, partial, is_wanted=is_wanted)
        if etag != file.etag:
            log.warning("%s of %s: the hub lists %s and sends %s", file.path, snapshot.repository, file.etag, etag)
            raise errors.UpstreamFailed(f"the hub sent other bytes of {file.path[:200]} than it has listed")
        if is_wanted:
            partial.sync()
            assert partial.sha256 is not None, "this process wrote all bytes"
            self._files.keep(snapshot, file, path, partial.sha256)
        fetch.is_verified = True

    def _receive(self, fetch: Fetch, partial: PartialFile, *, is_wanted: bool) -> str:
        """Append all bytes of the file, and return its hash as the hub spells it."""
        file, retry = fetch.file, Retry(_RETRIES)
        git_hash = hashlib.sha1(b"blob %d\0" % file.size_bytes, usedforsecurity=False)
        while True:
            before_bytes = partial.size_bytes
            try:
                self._append(fetch, partial, git_hash, is_wanted=is_wanted)
            except (TemporaryFailure, errors.Unavailable) as problem:
                if partial.size_bytes >= before_bytes + _PROGRESS_BYTES_MIN:
                    retry.reset()
                if not before_bytes and not partial.size_bytes:
                    raise  # the hub does not answer: its askers learn it at once
                log.info("%s of %s was cut off: %s", file.path, fetch.snapshot.repository, problem.message)
                if not retry.wait():
                    raise
                continue
            return partial.sha256 or "" if file.sha256 else git_hash.hexdigest()

    def _append(self, fetch: Fetch, partial: PartialFile, git_hash: "hashlib._Hash", *, is_wanted: bool) -> None:
        file, first = fetch.file, partial.size_bytes
        if file.size_bytes == first:
            return
        with self._open_file(fetch.snapshot.repository, fetch.snapshot.commit, file.path, first) as answer:
            skip_bytes = first if answer.status == 200 else 0
            expected_bytes = file.size_bytes - first + skip_bytes
            if answer.length_bytes not in (None, expected_bytes):
                raise _wrong_length(file)
            fetch.is_started = True
            while block := _read(answer):
                skipped, block = block[:skip_bytes], block[skip_bytes:]
                skip_bytes -= len(skipped)
                if partial.size_bytes + len(block) > file.size_bytes:
                    raise _wrong_length(file)
                partial.write(block)
                git_hash.update(block)
                fetch.received_bytes = partial.size_bytes
                if not fetch.askers and not is_wanted:
                    raise errors.Interrupted
        if partial.size_bytes < file.size_bytes:
            raise errors.Unavailable(f"the hub ended {file.path[:200]} too early")

    def _watch(self, fetch_id: str, fetch: Fetch) -> None:
        """Follow the file while another process of this machine writes it."""
        if fetch.descriptor < 0:
            with suppress(FileNotFoundError):
                path = self._incoming.path(fetch_id)
                _open_descriptor(fetch, os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        pause = threading.Event()
        while self._is_locked(fetch_id):
            if fetch.descriptor >= 0:
                fetch.received_bytes = os.fstat(fetch.descriptor).st_size
                fetch.is_started = fetch.received_bytes > 0
            pause.wait(_WATCH_SECONDS)
        if fetch.descriptor < 0 or not fetch.is_started:
            return
        fetch.received_bytes = os.fstat(fetch.descriptor).st_size
        if fetch.received_bytes != fetch.file.size_bytes or _hash_file(fetch.descriptor, fetch.file) != fetch.file.etag:
            raise errors.Unavailable("another process could not fetch the file; ask again")
        fetch.is_verified = True

    def _is_locked(self, fetch_id: str) -> bool:
        try:
            self._incoming.open(fetch_id).close()
        except errors.UploadLocked:
            return True
        except errors.UploadNotFound:
            return False
        return False


def _open_descriptor(fetch: Fetch, descriptor: int) -> None:
    """Give a fetch the file that its askers read."""
    if fetch.descriptor >= 0:
        os.close(fetch.descriptor)
    fetch.descriptor = descriptor


def _read(answer: Answer) -> bytes:
    try:
        return answer.read()
    except errors.DownloadFailed as problem:
        raise errors.UpstreamFailed(f"the hub behind this server cannot be used: {problem.message}") from None


def _wrong_length(file: SnapshotFile) -> errors.UpstreamFailed:
    log.warning("the hub sends %s with another length than the %d bytes that it lists", file.path, file.size_bytes)
    return errors.UpstreamFailed(f"the hub sends {file.path[:200]} with another length than it has listed")


def _hash_file(descriptor: int, file: SnapshotFile) -> str:
    """Return the hash of an open file as the hub spells it."""
    digest = hashlib.sha256() if file.sha256 else hashlib.sha1(b"blob %d\0" % file.size_bytes, usedforsecurity=False)
    offset = 0
    while block := os.pread(descriptor, _HASH_BLOCK_BYTES, offset):
        digest.update(block)
        offset += len(block)
    return digest.hexdigest()
