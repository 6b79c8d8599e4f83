"""Verifies an upload: hashes and inspects its bytes, keeps them, and gives its model what was found.

    bytes hashed and inspected → compared with what was announced → kept by their hash
      → in one transaction: the model has its file, its facts and its status; the job is done

Every step can be repeated: after a process that died, the next one finds either the arrived bytes or, where they were
moved already, the kept ones under the hash that was written down before the move.
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
from modelyard.domain import Facts
from modelyard.inspection import THUMBNAIL, Inspection, inspect_file, thumbnail_of
from modelyard.registry import models
from modelyard.registry.facts import facts_from_inspection
from modelyard.registry.names import extension_of_format
from modelyard.store import Store, blobs, uploads
from modelyard.store.blobs import Blob
from modelyard.store.uploads import Upload

# How soon bytes that are to go to the file store directly are looked for again.
WAIT_SECONDS = 2.0
# How often bytes that arrived are looked for before they count as lost: a store that wakes up may not know them yet.
_LOOKS_MAX = 5

_Finish = Callable[[sa.Connection], object]

log = logging.getLogger(__name__)


class UploadVerifier:
    """Verifies uploads of one store."""

    def __init__(
        self,
        store: Store,
        kept: Blobs,
        incoming: IncomingFiles,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._blobs = kept
        self._incoming = incoming
        self._clock = clock
        self._covers = Covers(store, kept, incoming)

    def verify(
        self,
        upload_id: str,
        *,
        attempt: int = 1,
        finish: _Finish = lambda _: None,
        allow_bytes: Callable[[int], object] = int,
    ) -> float | None:
        """Verify one upload; return None when that is done, or after how many seconds to try again.

        ``finish`` is called in the transaction that holds the result. ``allow_bytes`` is told how many bytes are going
        to be read. Raises FileNotFoundError where bytes that arrived are not there, as a later attempt may find them.
        """
        with self._store.reading() as connection:
            upload = uploads.find(connection, upload_id)
        if upload is None or upload.model_id is None:
            return None
        path = self._bytes_of(upload, allow_bytes)
        if path is None:
            if upload.received_at is None and upload.expires_at > self._clock():
                return WAIT_SECONDS  # announced and registered, and not put into the file store yet
            if upload.received_at is not None and attempt < _LOOKS_MAX:
                raise FileNotFoundError("the bytes are not where they were put")
            self._refuse(finish, upload, upload.model_id, "error: the bytes never came")
            return None
        allow_bytes(path.stat().st_size)
        inspection = inspect_file(path)
        assert inspection.hashes is not None, "it was inspected with its hashes"
        sha256 = inspection.hashes.sha256.lower()
        for announced in (upload.announced_sha256, upload.sha256):
            if announced is not None and announced != sha256:
                reason = f"mismatch: announced SHA-256 {announced}, received {sha256}"
                self._refuse(finish, upload, upload.model_id, reason)
                return None
        cover = self._cover_of(path, inspection)
        with self._store.transaction() as writing:
            # Written down before the bytes move: whoever goes on after us finds them by it.
            uploads.put(writing.connection, replace(upload, sha256=sha256))
        if path == self._incoming.path(upload.id):
            allow_bytes(inspection.size_bytes)
            self._blobs.keep(path, sha256)
        self._accept(finish, upload, upload.model_id, inspection, sha256, cover)
        return None

    def _cover_of(self, path: Path, inspection: Inspection) -> str | None:
        """Keep the picture in a file's header; None where there is none that can be used."""
        if THUMBNAIL not in inspection.metadata or not inspection.is_sound:
            return None
        try:
            picture = thumbnail_of(path)
            return self._covers.keep(render(picture)) if picture else None
        except (errors.UnsupportedFile, errors.TooLarge) as problem:
            log.info("no cover from an upload: %s", problem.message)
            return None

    def _bytes_of(self, upload: Upload, allow_bytes: Callable[[int], object]) -> Path | None:
        """Return a local file with the upload's bytes; None where they are nowhere."""
        arrived = self._incoming.path(upload.id)
        if upload.sha256 is not None and self._blobs.has(upload.sha256):
            here = self._blobs.path(upload.sha256) or (arrived if arrived.is_file() else None)
            if here is not None:
                return here
        is_complete = upload.received_at is not None and arrived.is_file()
        if is_complete:
            return arrived
        size_bytes = self._blobs.uploaded_size(upload.id)
        if size_bytes is not None:
            allow_bytes(size_bytes)
            self._blobs.fetch_uploaded(upload.id, arrived)
            return arrived
        return None

    def _accept(
        self, finish: _Finish, upload: Upload, model_id: int, inspection: Inspection, sha256: str, cover: str | None
    ) -> None:
        with self._store.transaction() as writing:
            if not self._blobs.has(sha256):
                raise errors.Unavailable("what was kept is not there")
            blobs.put(
                writing.connection,
                Blob(sha256, inspection.size_bytes, writing.now, inspection.verdict.value, inspection.reason),
            )
            models.apply_inspection(
                writing,
                model_id,
                facts_from_inspection(inspection),
                sha256=sha256,
                is_sound=inspection.is_sound,
                extension=extension_of_format(inspection.format),
                cover=cover,
            )
            uploads.put(
                writing.connection, replace(upload, sha256=sha256, received_at=upload.received_at or writing.now)
            )
            finish(writing.connection)
        self._incoming.remove(upload.id)
        self._blobs.forget_uploaded(upload.id)

    def _refuse(self, finish: _Finish, upload: Upload, model_id: int, reason: str) -> None:
        with self._store.transaction() as writing:
            models.apply_inspection(writing, model_id, Facts(evidence=(reason,)))
            uploads.remove(writing.connection, upload.id)
            finish(writing.connection)
        self._incoming.remove(upload.id)
        self._blobs.forget_uploaded(upload.id)
