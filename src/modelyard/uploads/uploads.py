"""Uploads: files on their way from a team to a model. Limits are checked before disk space is taken.

    created ──bytes──> complete ──┐
                                  ├─ registered: a model with status 0, and a job that verifies its file
    POST /v3/model, or tus ───────┘     └─ verified: hashed, inspected, stored → status 1, or the reason why not

A file that comes for a commit (kind "hub") is verified first: the result waits in its row until the commit makes the
model. A xorb holds chunks of such files, and expires an hour after it was needed.

``blobs.IncomingFiles`` has the bytes, ``registry.models`` makes the models, ``verification`` inspects the files in
a process of its own.
"""

import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa

from modelyard import errors
from modelyard.blobs import Blobs, IncomingFiles
from modelyard.blobs.partial import bytes_elsewhere
from modelyard.domain import Viewer
from modelyard.registry import models
from modelyard.registry.fields import parse_upload_metadata
from modelyard.registry.models import writing_team
from modelyard.store import Store, blobs, deleted_models, jobs, uploaders, uploads
from modelyard.store.jobs import CHECK
from modelyard.store.uploads import Upload
from modelyard.uploads.assembly import SEGMENTS

PART, HUB, XORB = "part", "hub", "xorb"
# The kinds whose metadata become those of a model.
MODEL_KINDS = ("put", "tus", "final")


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """The limits of a team. 0 for ``team_quota_bytes`` is no limit."""

    upload_bytes_max: int
    team_open_uploads_max: int
    team_quota_bytes: int
    expires_in_seconds: int


class Uploads:
    """The uploads of one store. Threads may share it."""

    def __init__(
        self,
        store: Store,
        storage: Blobs,
        incoming: IncomingFiles,
        limits: UploadLimits,
        *,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._store = store
        self.blobs = storage
        self.incoming = incoming
        self.limits = limits
        self._clock = clock or store.now

    def create(
        self,
        viewer: Viewer,
        kind: str,
        metadata: Mapping[str, str],
        *,
        length_bytes: int | None = None,
        announced_sha256: str | None = None,
        upload_id: str | None = None,
        path: Path | None = None,
    ) -> Upload:
        """Make an upload. Raises an error if its metadata is not accepted, or if it is over a limit of the team.

        ``path`` has its bytes, if they are in the folder of incomplete uploads already.
        """
        team = writing_team(viewer)
        if kind in MODEL_KINDS:
            parse_upload_metadata(metadata)
        self.refuse_long(length_bytes or 0)
        upload = self._new(viewer, kind, metadata, length_bytes, announced_sha256)
        if upload_id is not None:
            upload = replace(upload, id=upload_id)
        # The file comes first: an upload without its file cannot continue, while cleanup removes a file without a row.
        if path is None:
            self.incoming.create(upload.id, length_bytes or 0)
        else:
            self.incoming.adopt(upload.id, path)
        try:
            with self._store.transaction() as transaction:
                self._refuse_over_quota(transaction.connection, team, length_bytes or 0)
                if not uploads.add(transaction.connection, upload, self.limits.team_open_uploads_max):
                    raise errors.TooManyUploads(self.limits.team_open_uploads_max, 60)
                # Its model or commit comes later, and has a row of its own. Chunks are nothing that a person changes.
                if kind != XORB:
                    transaction.audit.note("upload.create", upload.id, team)
        except BaseException:
            self.incoming.remove(upload.id)
            raise
        return upload

    def find(self, team: str | None, upload_id: str) -> Upload:
        """Return an upload of a team; of any team if ``team`` is None. Raises UploadNotFound or UploadExpired."""
        with self._store.reading_once() as connection:
            upload = uploads.find(connection, upload_id)
        if upload is None or (team is not None and upload.team != team):
            raise errors.UploadNotFound(upload_id)
        if upload.received_at is None and upload.expires_at <= self._clock():
            raise errors.UploadExpired(upload_id, upload.expires_at)
        return upload

    def set_length(self, upload: Upload, length_bytes: int, *, received_bytes: int = 0) -> None:
        """Set the length of an upload, before its bytes arrive; ``received_bytes`` are on the disk already."""
        self.refuse_long(length_bytes)
        self.incoming.refuse_if_full(max(0, length_bytes - received_bytes))
        with self._store.transaction() as transaction:
            current = uploads.find(transaction.connection, upload.id)
            if current is None:
                raise errors.UploadNotFound(upload.id)
            if current.received_at is not None and current.model_id is not None:
                raise errors.UploadComplete("the bytes of this upload are here already", upload=upload.id)
            uploads.put(transaction.connection, replace(current, length_bytes=0))
            self._refuse_over_quota(transaction.connection, upload.team, length_bytes)
            uploads.put(transaction.connection, replace(current, length_bytes=length_bytes, received_at=None))

    def complete(self, begun: Upload, size_bytes: int) -> Upload:
        """Note that all bytes of an upload are on disk; one by tus becomes a model. A second call has no effect."""
        upload_id = begun.id
        sha256 = self.incoming.sha256(upload_id, size_bytes)
        if begun.received_at is None and _has_own_bytes(begun):
            # Another machine may verify the file, when this one does not run any more.
            self.blobs.share_uploaded(upload_id, self.incoming.path(upload_id))
        if begun.received_at is None and begun.kind == PART:
            self.incoming.share(upload_id, size_bytes)
        with self._store.transaction() as transaction:
            upload = uploads.find(transaction.connection, upload_id)
            if upload is None:
                raise errors.UploadNotFound(upload_id)
            if upload.received_at is not None:
                return upload
            upload = replace(upload, received_at=transaction.now, sha256=sha256)
            if upload.kind in ("tus", "final"):
                entry = models.create(transaction, upload.team, parse_upload_metadata(upload.declared))
                uploaders.put(transaction.connection, entry.model.id, upload.key_fingerprint)
                upload = replace(upload, model_id=entry.model.id)
            if upload.model_id is not None or upload.kind == HUB:
                jobs.add(transaction.connection, CHECK, upload.id, transaction.now, team=upload.team)
            uploads.put(transaction.connection, upload)
        return upload

    def concatenate(
        self,
        viewer: Viewer,
        part_ids: list[str],
        metadata: Mapping[str, str],
        *,
        kind: str = "final",
        announced_sha256: str | None = None,
    ) -> Upload:
        """Make one upload of complete parts, in order, and remove the parts. Each part is taken once.

        The limits are checked before any byte is written. While the bytes are copied, the disk has them twice.
        """
        team = writing_team(viewer)
        if kind in MODEL_KINDS:
            parse_upload_metadata(metadata)
        for part_id, count in Counter(part_ids).items():
            if count > 1:
                raise errors.InvalidRequest(
                    f"upload {part_id} is named {count} times; accepted: each part once", upload=part_id
                )
        parts = [self.find(team, part_id) for part_id in part_ids]
        for part in parts:
            if part.kind != PART or part.received_at is None:
                raise errors.InvalidRequest(f"upload {part.id} is no complete part", upload=part.id)
        length_bytes = sum(part.length_bytes or 0 for part in parts)
        self.refuse_long(length_bytes)
        with self._store.reading() as connection:
            # The parts are part of the quota already, and the new upload replaces them.
            self._refuse_over_quota(connection, team, 0)
        upload = self._new(viewer, kind, metadata, length_bytes, announced_sha256)
        self.incoming.create(upload.id, length_bytes)
        try:
            self._bring_parts(team, parts)
            self.incoming.concatenate(upload.id, part_ids)
            with self._store.transaction() as transaction:
                # Another upload may have taken a part meanwhile.
                for part_id in part_ids:
                    if not uploads.remove(transaction.connection, part_id):
                        raise errors.UploadNotFound(part_id)
                uploads.put(transaction.connection, upload)
                transaction.audit.note("upload.join", upload.id, team)
        except BaseException:
            self.incoming.remove(upload.id)
            raise
        for part_id in part_ids:
            self.incoming.remove(part_id)
        return self.complete(upload, length_bytes)

    def _bring_parts(self, team: str, parts: list[Upload]) -> None:
        """Make sure that the bytes of all parts are on this node. Raises Unavailable if some are on another one."""
        for part in parts:
            if self.incoming.size(part.id) != part.length_bytes:
                # Another upload may have taken it meanwhile.
                self.find(team, part.id)
                with self.incoming.open_anywhere(part.id) as partial:
                    partial.sync()
                    if partial.size_bytes != part.length_bytes:
                        raise bytes_elsewhere(part.id)

    def cancel(self, viewer: Viewer, upload_id: str) -> None:
        """Remove an upload and its bytes. Raises UploadComplete if the upload has become a model."""
        upload = self.find(writing_team(viewer), upload_id)
        if upload.model_id is not None:
            raise errors.UploadComplete("this upload has become a model; remove the model", model=upload.model_id)
        with self._store.transaction() as transaction:
            uploads.remove(transaction.connection, upload_id)
            if upload.kind != XORB:
                transaction.audit.note("upload.cancel", upload_id, upload.team)
        self.incoming.remove(upload_id)
        self.blobs.forget_uploaded(upload_id)

    def _new(
        self,
        viewer: Viewer,
        kind: str,
        metadata: Mapping[str, str],
        length_bytes: int | None,
        announced_sha256: str | None = None,
    ) -> Upload:
        now = int(self._clock())
        return Upload(
            id=secrets.token_hex(16),
            team=writing_team(viewer),
            kind=kind,
            declared=metadata,
            created_at=now,
            expires_at=now + self.limits.expires_in_seconds,
            length_bytes=length_bytes,
            announced_sha256=announced_sha256,
            key_fingerprint=viewer.key_fingerprint,
        )

    def refuse_long(self, length_bytes: int) -> None:
        """Raise TooLarge for a file that is larger than an upload may be."""
        if length_bytes > self.limits.upload_bytes_max:
            raise errors.TooLarge("the file", self.limits.upload_bytes_max)

    def _refuse_over_quota(self, connection: sa.Connection, team: str, length_bytes: int) -> None:
        limit = self.limits.team_quota_bytes
        # What the operator fetches is no team's.
        if limit and team:
            used = blobs.bytes_of_team(connection, team)
            if used + length_bytes > limit:
                raise errors.QuotaExceeded(limit, used, length_bytes)
            if length_bytes:
                # Files of deleted models may stay as long as the quota has room for them.
                deleted_models.make_room(connection, team, limit - used - length_bytes)


def _has_own_bytes(upload: Upload) -> bool:
    """Whether the file of an upload is needed as it is: not a part, nor one that is made of chunks later."""
    return upload.kind != PART and SEGMENTS not in upload.declared
