"""Verifies an upload: hashes, inspects and stores its bytes, and records the results with its model.

    hash and inspect the bytes → compare with the announced hash → store the bytes by their hash
      → one transaction: set the file, facts and status of the model, and finish the job

Every step can be repeated. If a process dies, the next one finds the bytes where they arrived or, after the move, under
the hash that was recorded before the move.
"""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa

from modelyard import errors
from modelyard.blobs import Blobs, IncomingFiles
from modelyard.blobs.fsync import sync_file, translate_disk_full
from modelyard.covers import Covers, render
from modelyard.domain import OWN_ID_MIN
from modelyard.facts import Facts
from modelyard.inspection import THUMBNAIL, Inspection, inspect_file, thumbnail_of
from modelyard.registry import inspections
from modelyard.registry.facts import facts_from_inspection
from modelyard.registry.names import extension_of_format
from modelyard.registry.repositories import VerifiedFile
from modelyard.registry.signatures import UNSIGNED
from modelyard.store import Store, WriteTransaction, blob_claims, blobs, fetches, uploads
from modelyard.store.blobs import Blob
from modelyard.store.fetches import DONE, FAILED
from modelyard.store.uploads import FETCH_UPLOAD, Upload
from modelyard.uploads.assembly import SEGMENTS, Assembler
from modelyard.uploads.uploads import HUB

# Seconds between two searches for bytes that a client sends directly to the file store.
WAIT_SECONDS = 2.0
# Searches for arrived bytes before they count as lost: a file store that has just started may not list them yet.
_LOOKS_MAX = 5

_Finish = Callable[[sa.Connection], object]

log = logging.getLogger(__name__)


class UploadVerifier:
    """Verifies uploads of one store."""

    def __init__(
        self,
        store: Store,
        storage: Blobs,
        incoming: IncomingFiles,
        *,
        serves_suspicious: bool = False,
        requires_signature: bool = False,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """A model of a file that is not proven safe becomes available only if ``serves_suspicious``.

        If ``requires_signature``, no model does before a commit brings its signature.
        """
        self._store = store
        self._blobs = storage
        self._incoming = incoming
        self._serves_suspicious = serves_suspicious
        self._requires_signature = requires_signature
        self._clock = clock or store.now
        self._covers = Covers(store, storage, incoming)
        self._assembler = Assembler(storage, incoming)

    def verify(
        self,
        upload_id: str,
        *,
        attempt: int = 1,
        finish: _Finish = lambda _: None,
        allow_bytes: Callable[[int], object] = int,
    ) -> float | None:
        """Verify one upload; return None if it is done, or the number of seconds until the next attempt.

        It calls ``finish`` in the transaction that holds the result, and ``allow_bytes`` with the number of bytes that
        it will read. Raises FileNotFoundError if arrived bytes are missing; a later attempt may find them.
        """
        with self._store.reading_once() as connection:
            upload, is_removed = uploads.find_to_verify(connection, upload_id, int(self._clock()))
        if upload is None or (upload.model_id is None and upload.kind != HUB):
            return None
        try:
            path = self._bytes_of(upload, allow_bytes)
        except errors.InvalidRequest as problem:
            self._refuse(finish, upload, f"error: {problem.message}")
            return None
        if path is None:
            if upload.received_at is None and upload.expires_at > self._clock():
                return WAIT_SECONDS  # the client has announced and registered it, and not sent it to the file store yet
            if upload.received_at is not None and attempt < _LOOKS_MAX:
                raise FileNotFoundError("the bytes are not where they were put")
            self._refuse(finish, upload, "error: the bytes never came")
            return None
        allow_bytes(path.stat().st_size)
        inspection = _inspect(path, is_flushed=SEGMENTS not in upload.declared)
        assert inspection.hashes is not None, "it was inspected with its hashes"
        sha256 = inspection.hashes.sha256.lower()
        for announced in (upload.announced_sha256, upload.sha256):
            # A source that another server lists may say the first digits only.
            if announced is not None and not sha256.startswith(announced):
                reason = f"mismatch: announced SHA-256 {announced}, received {sha256}"
                self._refuse(finish, upload, reason)
                return None
        if _is_listed(upload) and not self._is_servable(inspection):
            self._refuse(finish, upload, f"{inspection.verdict.value}: {inspection.reason}")
            return None
        if _is_listed(upload) and self._requires_signature:
            self._refuse(finish, upload, UNSIGNED)
            return None
        cover = self._cover_of(path, inspection)
        self._record_hash(upload, sha256, is_removed=is_removed)
        if path == self._incoming.path(upload.id):
            allow_bytes(inspection.size_bytes)
            # A client can still replace what it put at a presigned address.
            self._blobs.keep(path, sha256, upload.id if upload.kind != "put" else "")
        self._accept(finish, upload, inspection, sha256, cover)
        return None

    def _record_hash(self, upload: Upload, sha256: str, *, is_removed: bool) -> None:
        """Record the hash before the bytes move: after a crash, the next process finds them by it, and garbage
        collection leaves them. Raises Unavailable while it removes an old copy."""
        if upload.sha256 == sha256:
            # The process that received the bytes has recorded it, so no removal has begun since the look at the row.
            if is_removed:
                raise blob_claims.removal_error()
            return
        with self._store.transaction() as transaction:
            blob_claims.refuse_removed(transaction.connection, [sha256], transaction.now)
            uploads.put(transaction.connection, replace(upload, sha256=sha256))

    def _cover_of(self, path: Path, inspection: Inspection) -> str | None:
        """Store the picture in a file's header and return its name; None if there is none, or it cannot be used."""
        if THUMBNAIL not in inspection.metadata or not self._is_servable(inspection):
            return None
        try:
            picture = thumbnail_of(path)
            return self._covers.keep(render(picture)) if picture else None
        except (errors.UnsupportedFile, errors.TooLarge) as problem:
            log.info("no cover from an upload: %s", problem.message)
            return None

    def _is_servable(self, inspection: Inspection) -> bool:
        return inspection.verdict.is_servable(serves_suspicious=self._serves_suspicious)

    def _bytes_of(self, upload: Upload, allow_bytes: Callable[[int], object]) -> Path | None:
        """Return a local file with the upload's bytes, or None if they are missing."""
        arrived = self._incoming.path(upload.id)
        if upload.sha256 is not None and self._blobs.has(upload.sha256):
            here = self._blobs.path(upload.sha256) or (arrived if arrived.is_file() else None)
            if here is None and upload.kind == HUB:
                # A commit names a file that the team has already.
                self._blobs.fetch(upload.sha256, arrived)
                return arrived
            if here is not None:
                return here
        if SEGMENTS in upload.declared:
            self._assembler.assemble(upload, allow_bytes)
        is_complete = upload.received_at is not None and arrived.is_file()
        if is_complete:
            return arrived
        size_bytes = self._blobs.uploaded_size(upload.id)
        if size_bytes is not None:
            allow_bytes(size_bytes)
            self._blobs.fetch_uploaded(upload.id, arrived)
            return arrived
        return None

    def _accept(self, finish: _Finish, upload: Upload, inspection: Inspection, sha256: str, cover: str | None) -> None:
        if not self._blobs.has(sha256):
            raise errors.Unavailable("what was kept is not there")
        with self._store.transaction() as transaction:
            blobs.put(
                transaction.connection,
                Blob(sha256, inspection.size_bytes, transaction.now, inspection.verdict.value, inspection.reason),
            )
            result = VerifiedFile(
                sha256,
                inspection.size_bytes,
                facts_from_inspection(inspection),
                is_sound=inspection.is_sound,
                is_servable=self._is_servable(inspection) and not (self._requires_signature and upload.kind != HUB),
                extension=extension_of_format(inspection.format),
                cover=cover,
            )
            upload = replace(upload, sha256=sha256, received_at=upload.received_at or transaction.now)
            if upload.model_id is None:
                upload = replace(upload, inspection=result.to_json())
            else:
                upload = replace(upload, model_id=self._give_model(transaction, upload, upload.model_id, result))
            uploads.put(transaction.connection, upload)
            if upload.kind == FETCH_UPLOAD:
                problem = UNSIGNED if self._is_servable(inspection) else result.verdict
                _close_fetch(transaction, upload, result, problem)
            finish(transaction.connection)
        self._incoming.remove(upload.id)
        self._blobs.forget_uploaded(upload.id)

    def _give_model(self, transaction: WriteTransaction, upload: Upload, model_id: int, result: VerifiedFile) -> int:
        """Give a model its verified file, and return its id, or that of the older model that is the same."""
        older_id = inspections.merge_same_model(transaction, model_id, result.sha256) if upload.kind == "tus" else None
        inspections.apply_inspection(
            transaction,
            model_id,
            result.facts,
            sha256=result.sha256,
            is_available=result.is_servable,
            extension=result.extension,
            cover=result.cover,
        )
        return older_id or model_id

    def _refuse(self, finish: _Finish, upload: Upload, reason: str) -> None:
        with self._store.transaction() as transaction:
            if upload.model_id is not None and not _is_listed(upload):
                inspections.apply_inspection(transaction, upload.model_id, Facts(evidence=(reason,)))
            fetches.close(transaction.connection, upload.id, FAILED, transaction.now, problem=reason)
            uploads.remove(transaction.connection, upload.id)
            if upload.kind == HUB:
                # The commit that waits for the file says why.
                result = VerifiedFile(upload.announced_sha256 or "", 0, Facts(evidence=(reason,)))
                uploads.put(transaction.connection, replace(upload, length_bytes=0, inspection=result.to_json()))
            finish(transaction.connection)
        self._incoming.remove(upload.id)
        self._blobs.forget_uploaded(upload.id)


def _inspect(path: Path, *, is_flushed: bool) -> Inspection:
    """Inspect a file. The disk writes the bytes of a new one meanwhile, so that the wait before the move is short."""
    if is_flushed:
        return inspect_file(path)
    with ThreadPoolExecutor(1) as flusher, translate_disk_full():
        flush = flusher.submit(sync_file, path)
        inspection = inspect_file(path)
        # The system reports a failed write only once, so this report must not be lost.
        flush.result()
    return inspection


def _is_listed(upload: Upload) -> bool:
    """Whether an upload brings the file of a version that another server lists. The version stays what it is."""
    return upload.kind == FETCH_UPLOAD and upload.model_id is not None and upload.model_id < OWN_ID_MIN


def _close_fetch(transaction: WriteTransaction, upload: Upload, result: VerifiedFile, problem: str) -> None:
    """End the fetch of an upload. Its row has the hash from now on, and the upload is of no more use."""
    state, problem = (DONE, "") if result.is_servable else (FAILED, problem)
    fetches.close(transaction.connection, upload.id, state, transaction.now, problem=problem, sha256=result.sha256)
    uploads.remove(transaction.connection, upload.id)
