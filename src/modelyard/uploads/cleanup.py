"""Deletes expired uploads, bytes without a row, and files that no model needs."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from modelyard.blobs import Blobs, IncomingFiles
from modelyard.store import Store, blobs, covers, deleted_models, uploads

# An incoming file without a row belongs to an upload that a crash interrupted, or that a request is creating now.
_STRAY_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class RemovedBlob:
    """A blob that cleanup removed, or would remove in a dry run."""

    sha256: str
    size_bytes: int


class UploadCleaner:
    """Deletes expired uploads and unused blobs of one store."""

    def __init__(
        self, store: Store, storage: Blobs, incoming: IncomingFiles, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._blobs = storage
        self._incoming = incoming
        self._clock = clock

    def purge_expired(self) -> None:
        """Delete expired uploads, bytes without an upload, and old records of deleted models; mark unused files."""
        with self._store.transaction() as transaction:
            deleted_models.remove_expired(transaction.connection, transaction.now)
            expired = uploads.expired(transaction.connection, transaction.now)
            for upload in expired:
                uploads.remove(transaction.connection, upload.id)
            blobs.mark_unused(transaction.connection, transaction.now)
        for upload in expired:
            self._incoming.remove(upload.id)
            self._blobs.forget_uploaded(upload.id)
        with self._store.reading() as connection:
            upload_ids = uploads.ids(connection)
        for upload_id, changed_at in self._incoming.all():
            if upload_id not in upload_ids and changed_at < self._clock() - _STRAY_SECONDS:
                self._incoming.remove(upload_id)

    def collect_garbage(self, grace_seconds: int, *, dry_run: bool) -> list[RemovedBlob]:
        """Remove the blobs that nothing has used for ``grace_seconds``; a dry run only returns them.

        The transaction that finds a blob unused also deletes its bytes, so nobody can start to use it in between.
        """
        collected = []
        with self._store.transaction() as transaction:
            since = transaction.now - grace_seconds
            covers.collect(transaction.connection, transaction.now, since, dry_run=dry_run)
            if not dry_run or grace_seconds == 0:
                blobs.mark_unused(transaction.connection, transaction.now)
            for blob in blobs.unused(transaction.connection, since):
                collected.append(RemovedBlob(blob.sha256, blob.size_bytes))
                if not dry_run:
                    blobs.remove(transaction.connection, blob.sha256)
                    self._blobs.remove(blob.sha256)
        return collected
