"""Verifies an upload: hashes, inspects and stores its bytes, and records the results with its model.

    hash and inspect the bytes → compare with the announced hash → store the bytes by their hash
      → one transaction: set the file, facts and status of the model, and finish the job

Every step can be repeated. If a process dies, the next one finds the bytes where they arrived or, after the move, under
the hash that was recorded before the move.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa

from modelyard import errors
from modelyard.blobs import Blobs, IncomingFiles
from modelyard.covers import Covers, render
from modelyard.facts import Facts
from modelyard.inspection import THUMBNAIL, Inspection, inspect_file, thumbnail_of
from modelyard.registry import models
from modelyard.registry.facts import facts_from_inspection
from modelyard.registry.names import extension_of_format
from modelyard.registry.repositories import VerifiedFile
from modelyard.store import Store, WriteTransaction, blobs, uploads
from modelyard.store.blobs import Blob
from modelyard.store.uploads import Upload
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
        clock: Callable[[], float] = time.time,
    ) -> None:
        """A model of a file that is not proven safe becomes available only if ``serves_suspicious``."""
        self._store = store
        self._blobs = storage
        self._incoming = incoming
        self._serves_suspicious = serves_suspicious
        self._clock = clock
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
        with self._store.reading() as connection:
            upload = uploads.find(connection, upload_id)
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
        inspection = inspect_file(path)
        assert inspection.hashes is not None, "it was inspected with its hashes"
        sha256 = inspection.hashes.sha256.lower()
        for announced in (upload.announced_sha256, upload.sha256):
            if announced is not None and announced != sha256:
                reason = f"mismatch: announced SHA-256 {announced}, received {sha256}"
                self._refuse(finish, upload, reason)
                return None
        cover = self._cover_of(path, inspection)
        with self._store.transaction() as transaction:
            # Record the hash before the bytes move: after a crash, the next process finds them by it.
            uploads.put(transaction.connection, replace(upload, sha256=sha256))
        if path == self._incoming.path(upload.id):
            allow_bytes(inspection.size_bytes)
            self._blobs.keep(path, sha256)
        self._accept(finish, upload, inspection, sha256, cover)
        return None

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
        with self._store.transaction() as transaction:
            if not self._blobs.has(sha256):
                raise errors.Unavailable("what was kept is not there")
            blobs.put(
                transaction.connection,
                Blob(sha256, inspection.size_bytes, transaction.now, inspection.verdict.value, inspection.reason),
            )
            result = VerifiedFile(
                sha256,
                inspection.size_bytes,
                facts_from_inspection(inspection),
                is_sound=inspection.is_sound,
                is_servable=self._is_servable(inspection),
                extension=extension_of_format(inspection.format),
                cover=cover,
            )
            upload = replace(upload, sha256=sha256, received_at=upload.received_at or transaction.now)
            if upload.model_id is None:
                upload = replace(upload, inspection=result.to_json())
            else:
                upload = replace(upload, model_id=self._give_model(transaction, upload, upload.model_id, result))
            uploads.put(transaction.connection, upload)
            finish(transaction.connection)
        self._incoming.remove(upload.id)
        self._blobs.forget_uploaded(upload.id)

    def _give_model(self, transaction: WriteTransaction, upload: Upload, model_id: int, result: VerifiedFile) -> int:
        """Give a model its verified file, and return its id, or that of the older model that is the same."""
        older_id = models.merge_same_model(transaction, model_id, result.sha256) if upload.kind == "tus" else None
        models.apply_inspection(
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
            if upload.model_id is not None:
                models.apply_inspection(transaction, upload.model_id, Facts(evidence=(reason,)))
            uploads.remove(transaction.connection, upload.id)
            if upload.kind == HUB:
                # The commit that waits for the file says why.
                result = VerifiedFile(upload.announced_sha256 or "", 0, Facts(evidence=(reason,)))
                uploads.put(transaction.connection, replace(upload, length_bytes=0, inspection=result.to_json()))
            finish(transaction.connection)
        self._incoming.remove(upload.id)
        self._blobs.forget_uploaded(upload.id)
