"""The files of the hub that are kept: small ones as blobs, weights as models of one team, after the usual checks.

    small        kept always: configurations, tokenizers, README.md
    weights      kept as models if the settings say so: an upload of the team, which the verifier inspects
    other        large and no model, such as an archive: kept as blobs if weights are kept

Nothing is removed to make room. When the limit is reached, files are passed on and not kept.
"""

import logging
import re
import secrets
from dataclasses import dataclass, replace
from pathlib import Path

from modelyard import errors
from modelyard.domain import FILE_EXTENSIONS, Scope, Verdict, Viewer, Visibility
from modelyard.store import Store, blob_claims, blobs, upstream
from modelyard.store.blobs import Blob
from modelyard.store.upstream import UpstreamFile
from modelyard.uploads.assembly import derive_upload_id
from modelyard.uploads.uploads import Uploads
from modelyard.upstream.snapshots import PUBLIC, Snapshot, SnapshotFile, has_room

log = logging.getLogger(__name__)

SMALL_BYTES_MAX = 10 * 2**20
_KIND = "final"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.\- ]")
_TITLE_CHARS_MAX = 100
# These run programs when they are loaded, or hold weights of other frameworks: kept as weights are, not as small files.
_WEIGHTS = frozenset({*FILE_EXTENSIONS, "pkl", "pickle", "joblib", "h5", "msgpack", "npz", "npy"})


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that is here. ``sha256`` names its blob; ``path`` is its local file, None if it is in an S3 store."""

    sha256: str
    size_bytes: int
    path: Path | None
    model_id: int | None


def is_small(file: SnapshotFile) -> bool:
    """Whether a file is kept always."""
    return file.size_bytes <= SMALL_BYTES_MAX and _extension_of(file) not in _WEIGHTS


def access_of(snapshot: Snapshot) -> str:
    """Return the kind of readers under which the files of a repository are kept."""
    return PUBLIC if snapshot.access == PUBLIC else "closed"


class LocalFiles:
    """The files of one store. Threads may share it."""

    def __init__(
        self,
        store: Store,
        uploads: Uploads,
        *,
        team: str,
        keeps_weights: bool,
        bytes_max: int,
        serves_suspicious: bool = False,
    ) -> None:
        self._store = store
        self._blobs = uploads.blobs
        self._uploads = uploads
        self._viewer = Viewer(team, frozenset({Scope.READ, Scope.WRITE}))
        self._keeps_weights = keeps_weights
        self._bytes_max = bytes_max
        self._serves_suspicious = serves_suspicious

    def find(self, snapshot: Snapshot, file: SnapshotFile) -> StoredFile | None:
        """Return the file if it is here. Raises SuspiciousFile if its safety is not proven."""
        with self._store.reading() as connection:
            row = upstream.find_file(connection, file.etag, access_of(snapshot))
            blob = blobs.find(connection, row.sha256) if row else None
        if row is None:
            return None
        if blob is None:
            # The verifier has not moved the bytes of the upload yet.
            arrived = self._uploads.incoming.path(_upload_id_of(snapshot, file))
            is_whole = arrived.is_file() and arrived.stat().st_size == row.size_bytes
            return StoredFile(row.sha256, row.size_bytes, arrived, row.model_id) if is_whole else None
        if not Verdict(blob.verdict).is_servable(serves_suspicious=self._serves_suspicious):
            raise errors.SuspiciousFile(file.path, blob.reason)
        path = self._blobs.path(row.sha256)
        return StoredFile(row.sha256, row.size_bytes, path, row.model_id) if path or self._is_remote(row) else None

    def _is_remote(self, row: UpstreamFile) -> bool:
        return self._blobs.path(row.sha256) is None and self._blobs.has(row.sha256)

    def read(self, stored: StoredFile) -> bytes:
        """Return the bytes of a small file. Raises Unavailable if they were removed a moment ago."""
        try:
            return stored.path.read_bytes() if stored.path else self._blobs.read(stored.sha256)
        except FileNotFoundError:
            raise errors.Unavailable("the file was removed meanwhile; ask again") from None

    def link(self, stored: StoredFile, disposition: str, expires_in_seconds: int) -> str | None:
        """Return an address in an S3 store; None for a file of this machine."""
        return self._blobs.link(stored.sha256, disposition, expires_in_seconds) if stored.path is None else None

    def is_wanted(self, file: SnapshotFile) -> bool:
        """Whether the file is kept once it is here whole, if there is room."""
        return is_small(file) or self._keeps_weights

    def has_room(self, file: SnapshotFile) -> bool:
        """Whether the limit has room for the file."""
        with self._store.reading() as connection:
            return has_room(upstream.usage(connection).size_bytes, file.size_bytes, self._bytes_max)

    def keep(self, snapshot: Snapshot, file: SnapshotFile, path: Path, sha256: str) -> None:
        """Keep a whole file of the folder of incomplete uploads, if there is room. ``path`` may stay there.

        A failure is logged: the file is whole, and callers get it all the same.
        """
        try:
            self._keep(snapshot, file, path, sha256)
        except errors.ModelyardError as problem:
            log.warning("%s of %s is passed on, not kept: %s", file.path, snapshot.repository, problem.message)

    def _keep(self, snapshot: Snapshot, file: SnapshotFile, path: Path, sha256: str) -> None:
        if not is_small(file) and _extension_of(file) in FILE_EXTENSIONS:
            self._keep_model(snapshot, file, path, sha256)
        else:
            self._keep_blob(snapshot, file, path, sha256)

    def _keep_model(self, snapshot: Snapshot, file: SnapshotFile, path: Path, sha256: str) -> None:
        """Make the model of weights. The verifier inspects them."""
        visibility = Visibility.PUBLIC if snapshot.access == PUBLIC else Visibility.PRIVATE
        stem, _, extension = file.path.replace("/", " ").rpartition(".")
        metadata = {
            "filename": f"{file.etag[:10]}.{extension}",
            "name": _NOT_IN_NAMES.sub("_", f"{snapshot.repository.partition('/')[2]} {stem}")[:100],
            "title": f"{snapshot.repository}: {file.path}"[:_TITLE_CHARS_MAX],
            "description": f"{file.path} of {snapshot.repository} at commit {snapshot.commit}",
            "visibility": visibility.value,
        }
        upload = self._uploads.create(
            self._viewer,
            _KIND,
            metadata,
            length_bytes=file.size_bytes,
            announced_sha256=sha256,
            upload_id=_upload_id_of(snapshot, file),
            path=path,
        )
        upload = self._uploads.complete(upload, file.size_bytes)
        with self._store.transaction() as transaction:
            row = _row_of(snapshot, file, sha256, transaction.now)
            upstream.put_file(transaction.connection, replace(row, model_id=upload.model_id))

    def _keep_blob(self, snapshot: Snapshot, file: SnapshotFile, path: Path, sha256: str) -> None:
        """Store a file that is no model."""
        copy_id = derive_upload_id("upstream blob", access_of(snapshot), file.etag)
        self._uploads.incoming.adopt(copy_id, path)
        owner = secrets.token_hex(16)
        with self._store.transaction() as transaction:
            blob_claims.claim(transaction.connection, [sha256], owner, transaction.now)
        self._blobs.keep(self._uploads.incoming.path(copy_id), sha256)
        with self._store.transaction() as transaction:
            connection = transaction.connection
            blob_claims.release(connection, owner)
            if blobs.find(connection, sha256) is None:
                blob = Blob(sha256, file.size_bytes, transaction.now, Verdict.CLEAN.value, "a file of another hub")
                blobs.put(connection, blob)
            if has_room(upstream.usage(connection).size_bytes, file.size_bytes, self._bytes_max):
                upstream.put_file(connection, _row_of(snapshot, file, sha256, transaction.now))


def fetch_id_of(snapshot: Snapshot, file: SnapshotFile) -> str:
    """Return the id of the file in which the bytes of a file arrive, the same in every process."""
    return derive_upload_id("upstream fetch", access_of(snapshot), file.etag)


def _upload_id_of(snapshot: Snapshot, file: SnapshotFile) -> str:
    return derive_upload_id("upstream", access_of(snapshot), file.etag)


def _row_of(snapshot: Snapshot, file: SnapshotFile, sha256: str, now: int) -> UpstreamFile:
    return UpstreamFile(file.etag, access_of(snapshot), sha256, file.size_bytes, snapshot.repository, file.path, now)


def _extension_of(file: SnapshotFile) -> str:
    return file.path.rpartition(".")[2].lower()
