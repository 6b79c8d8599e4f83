"""Deletes what uploads leave behind: those that expired, bytes without a row, and files that no model needs."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from modelyard.blobs import Blobs, IncomingFiles
from modelyard.store import Store, blobs, covers, uploads

# What arrives without a row beside it is a begin that died in between, or one that is just being made.
_STRAY_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class RemovedBlob:
    """What was, or would be, removed."""

    sha256: str
    size_bytes: int


class UploadCleaner:
    """Deletes what is not needed, of one store."""

    def __init__(
        self, store: Store, kept: Blobs, incoming: IncomingFiles, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._blobs = kept
        self._incoming = incoming
        self._clock = clock

    def purge_expired(self) -> None:
        """Delete uploads that expired and bytes without an upload; mark the files that no model points at."""
        with self._store.transaction() as writing:
            expired = uploads.expired(writing.connection, writing.now)
            for upload in expired:
                uploads.remove(writing.connection, upload.id)
            blobs.mark_unused(writing.connection, writing.now)
        for upload in expired:
            self._incoming.remove(upload.id)
            self._blobs.forget_uploaded(upload.id)
        with self._store.reading() as connection:
            upload_ids = uploads.ids(connection)
        for upload_id, changed_at in self._incoming.all():
            if upload_id not in upload_ids and changed_at < self._clock() - _STRAY_SECONDS:
                self._incoming.remove(upload_id)

    def collect_garbage(self, grace_seconds: int, *, dry_run: bool) -> list[RemovedBlob]:
        """Remove the blobs that nothing has pointed at for ``grace_seconds``; only say which for a dry run.

        The bytes go within the transaction that found them unused: nobody can come to need them in between.
        """
        collected = []
        with self._store.transaction() as writing:
            since = writing.now - grace_seconds
            covers.collect(writing.connection, writing.now, since, dry_run=dry_run)
            if not dry_run or grace_seconds == 0:
                blobs.mark_unused(writing.connection, writing.now)
            for blob in blobs.unused(writing.connection, since):
                collected.append(RemovedBlob(blob.sha256, blob.size_bytes))
                if not dry_run:
                    blobs.remove(writing.connection, blob.sha256)
                    self._blobs.remove(blob.sha256)
        return collected
