"""Deletes expired uploads, bytes without a row, and files that no model needs."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modelyard import errors
from modelyard.blobs import Blobs, IncomingFiles
from modelyard.store import Store, audit, blob_claims, blobs, covers, deleted_models, uploads, upstream, withdrawals
from modelyard.store.blobs import Blob
from modelyard.store.upstream import UpstreamUsage

# An incoming file without a row belongs to an upload that a crash interrupted, or that a request is creating now.
_STRAY_SECONDS = 3600
HISTORY_SECONDS = 90 * 86_400
_BATCH_BLOBS = 20
AUDIT_SECONDS = 365 * 86_400


@dataclass(frozen=True, slots=True)
class RemovedBlob:
    """A blob that cleanup removed, or would remove in a dry run."""

    sha256: str
    size_bytes: int


class UploadCleaner:
    """Deletes expired uploads and unused blobs of one store."""

    def __init__(
        self,
        store: Store,
        storage: Blobs,
        incoming: IncomingFiles,
        *,
        clock: Callable[[], float] = time.time,
        history_seconds: int = HISTORY_SECONDS,
        audit_seconds: int = AUDIT_SECONDS,
    ) -> None:
        """Open the cleaner. The feed knows removed models for ``history_seconds``; the audit has ``audit_seconds``."""
        self._store = store
        self._blobs = storage
        self._incoming = incoming
        self._clock = clock
        self._history_seconds = history_seconds
        self._audit_seconds = audit_seconds

    def purge_expired(self) -> None:
        """Delete expired uploads, bytes without an upload, and old records of removed models; mark unused files."""
        with self._store.transaction() as transaction:
            deleted_models.remove_expired(transaction.connection, transaction.now)
            withdrawals.cover_unnoted(transaction.connection)
            withdrawals.prune(transaction.connection, transaction.now - self._history_seconds)
            audit.prune(transaction.connection, transaction.now - self._audit_seconds)
            expired = uploads.expired(transaction.connection, transaction.now)
            for upload in expired:
                uploads.remove(transaction.connection, upload.id)
            blobs.mark_unused(transaction.connection, transaction.now)
        for upload in expired:
            self._incoming.remove(upload.id)
            self._blobs.forget_uploaded(upload.id)
        with self._store.reading() as connection:
            settled_ids = uploads.settled_ids(connection)
            upload_ids = uploads.ids(connection)
        stray_before = self._clock() - _STRAY_SECONDS
        for upload_id, changed_at in self._incoming.all():
            # Another machine may have verified what this one received.
            is_stray = upload_id not in upload_ids and changed_at < stray_before
            if upload_id in settled_ids or is_stray:
                self._incoming.remove(upload_id)

    def drop_hub_repository(self, repository: str, *, dry_run: bool) -> tuple[int, UpstreamUsage]:
        """Forget what is kept of a repository of the hub; return the number of its entries, and what else is kept.

        The bytes are unused after this, unless another repository has the same. Models of weights stay.
        """
        removed = 0
        with self._store.transaction() as transaction:
            removed = upstream.remove(transaction.connection, repository)
            if dry_run:
                raise errors.Rollback
        with self._store.reading() as connection:
            return removed, upstream.usage(connection)

    def collect_garbage(self, grace_seconds: int, *, dry_run: bool) -> list[RemovedBlob]:
        """Remove the blobs that nothing has used for ``grace_seconds``; a dry run only returns them.

        Few at a time: first their rows, in a transaction, then their bytes, outside it, as writers wait for each other.
        """
        with self._store.transaction() as transaction:
            since = transaction.now - grace_seconds
            covers.collect(transaction.connection, transaction.now, since, dry_run=dry_run)
            if not dry_run or grace_seconds == 0:
                blobs.mark_unused(transaction.connection, transaction.now)
            if dry_run:
                return [_removed(blob) for blob in blobs.unused(transaction.connection, since)]
            leftovers = blob_claims.take_over(transaction.connection, transaction.now)
        for start in range(0, len(leftovers), _BATCH_BLOBS):
            self._remove_leftovers(leftovers[start : start + _BATCH_BLOBS])
        collected: list[RemovedBlob] = []
        after = ""
        while batch := self._remove_batch(since, after):
            collected += map(_removed, batch)
            after = batch[-1].sha256
        return collected

    def _remove_batch(self, since: int, after: str) -> list[Blob]:
        """Remove some unused blobs, and return them."""
        started = time.monotonic()
        with self._store.transaction() as transaction:
            batch = blobs.unused(transaction.connection, since, after, _BATCH_BLOBS)
            sha256s = [blob.sha256 for blob in batch]
            blobs.remove_many(transaction.connection, sha256s)
            blob_claims.claim_removals(transaction.connection, sha256s, transaction.now)
        self._remove_bytes(sha256s, started)
        return batch

    def _remove_leftovers(self, sha256s: Sequence[str]) -> None:
        """Remove the bytes that a process which died did not remove."""
        started = time.monotonic()
        with self._store.transaction() as transaction:
            blob_claims.claim_removals(transaction.connection, sha256s, transaction.now)
        self._remove_bytes(sha256s, started)

    def _remove_bytes(self, sha256s: Sequence[str], started: float) -> None:
        """Remove bytes whose rows are gone. What takes too long is left to another run, and so is what fails."""
        # A node of an older version does not know of claims.
        with self._store.reading() as connection:
            rows = blobs.find_many(connection, sha256s)
        removed = []
        try:
            for sha256 in sha256s:
                if time.monotonic() - started > blob_claims.REMOVAL_SECONDS:
                    break
                if sha256 not in rows:
                    self._blobs.remove(sha256)
                removed.append(sha256)
        finally:
            with self._store.transaction() as transaction:
                blob_claims.release_removals(transaction.connection, removed)


def _removed(blob: Blob) -> RemovedBlob:
    return RemovedBlob(blob.sha256, blob.size_bytes)
