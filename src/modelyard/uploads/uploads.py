"""The verbs of what comes in: begin, receive, register, edit, remove. Limits are checked before room is taken.

    announced / begun ──bytes──> received ──┐
                                            ├─ registered: a model with status 0, and a job to check it
    POST /v3/model, or the end of tus ──────┘          └─ checking: hashed, inspected, kept → status 1, or the reason

The bytes are ``blobs.Incoming``'s; what is in the file is for ``checking`` to find out, in a process of its own.
"""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from modelyard import errors
from modelyard.blobs import Blobs, IncomingFiles
from modelyard.domain import Entry, Facts, Layer, Scope, Status, Viewer, Visibility, model_type
from modelyard.registry.fields import UploadMetadata, parse_upload_metadata
from modelyard.registry.names import sd_name_of
from modelyard.registry.writer import ModelState, ModelWriter, merge_layer, state_of
from modelyard.store import Store, WriteTransaction, blobs, files, jobs, uploads
from modelyard.store.jobs import CHECK
from modelyard.store.uploads import Upload


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What a team may do; ``0`` for ``team_quota_bytes`` is any number."""

    upload_bytes_max: int
    team_open_uploads_max: int
    team_quota_bytes: int
    expires_in_seconds: int


@dataclass(frozen=True, slots=True)
class Edit:
    """What of a model is to change: facts of the user's layer, and what is not a fact. None is no change."""

    facts: Facts
    visibility: Visibility | None = None
    status: Status | None = None


class Uploads:
    """What comes in, for one store and one place of blobs. Threads may share it."""

    def __init__(
        self,
        store: Store,
        kept: Blobs,
        incoming: IncomingFiles,
        limits: UploadLimits,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self.blobs = kept
        self.incoming = incoming
        self.limits = limits
        self._clock = clock

    # --- bytes

    def create(
        self,
        viewer: Viewer,
        kind: str,
        declared: Mapping[str, str],
        *,
        length_bytes: int | None = None,
        announced_sha256: str | None = None,
    ) -> Upload:
        """Make room for an upload. Raises what its declaration or the team's limits have against it."""
        team = _writer(viewer)
        if kind != "part":
            parse_upload_metadata(declared)
        self._refuse_long(length_bytes or 0)
        now = int(self._clock())
        upload = Upload(
            id=secrets.token_hex(16),
            team=team,
            kind=kind,
            declared=declared,
            created_at=now,
            expires_at=now + self.limits.expires_in_seconds,
            length_bytes=length_bytes,
            announced_sha256=announced_sha256,
        )
        # The file first: a row without its file would be an upload that cannot go on; a file without its row is swept.
        self.incoming.create(upload.id, length_bytes or 0)
        try:
            with self._store.transaction() as writing:
                if uploads.open_count(writing.connection, team) >= self.limits.team_open_uploads_max:
                    raise errors.TooManyUploads(self.limits.team_open_uploads_max, 60)
                self._refuse_over_quota(writing, team, length_bytes or 0)
                uploads.put(writing.connection, upload)
        except BaseException:
            self.incoming.remove(upload.id)
            raise
        return upload

    def find(self, team: str | None, upload_id: str) -> Upload:
        """Return a team's upload; of any team's for None. Raises UploadNotFound, UploadExpired."""
        with self._store.reading() as connection:
            upload = uploads.find(connection, upload_id)
        if upload is None or (team is not None and upload.team != team):
            raise errors.UploadNotFound(upload_id)
        if upload.received_at is None and upload.expires_at <= self._clock():
            raise errors.UploadExpired(upload_id, upload.expires_at)
        return upload

    def set_length(self, upload: Upload, length_bytes: int) -> None:
        """Note how long an announced upload will be, now that its bytes are about to come."""
        self._refuse_long(length_bytes)
        self.incoming.refuse_if_full(length_bytes)
        with self._store.transaction() as writing:
            current = uploads.find(writing.connection, upload.id)
            if current is None:
                raise errors.UploadNotFound(upload.id)
            if current.received_at is not None and current.model_id is not None:
                raise errors.Conflict("the bytes of this upload are here already", upload=upload.id)
            uploads.put(writing.connection, replace(current, length_bytes=0))
            self._refuse_over_quota(writing, upload.team, length_bytes)
            uploads.put(writing.connection, replace(current, length_bytes=length_bytes, received_at=None))

    def complete(self, upload_id: str, size_bytes: int) -> Upload:
        """Note that all bytes of an upload are here and on disk. By tus, that makes its model; doing it twice, one."""
        sha256 = self.incoming.sha256(upload_id, size_bytes)
        with self._store.reading() as connection:
            known = uploads.find(connection, upload_id)
        if known is not None and known.received_at is None and known.kind != "part":
            # Whoever checks it may be another machine, and this one may be gone by then.
            self.blobs.share_uploaded(upload_id, self.incoming.path(upload_id))
        with self._store.transaction() as writing:
            upload = uploads.find(writing.connection, upload_id)
            if upload is None:
                raise errors.UploadNotFound(upload_id)
            if upload.received_at is not None:
                return upload
            upload = replace(upload, received_at=writing.now, sha256=sha256)
            if upload.kind in ("tus", "final"):
                entry = self._make(writing, upload.team, parse_upload_metadata(upload.declared))
                upload = replace(upload, model_id=entry.model.id)
            if upload.model_id is not None:
                jobs.add(writing.connection, CHECK, upload.id, writing.now, team=upload.team)
            uploads.put(writing.connection, upload)
        return upload

    def concatenate(self, viewer: Viewer, part_ids: list[str], declared: Mapping[str, str]) -> Upload:
        """Make one upload of finished parts, in order; the parts are gone after it."""
        team = _writer(viewer)
        parse_upload_metadata(declared)
        parts = [self.find(team, part_id) for part_id in part_ids]
        for part in parts:
            if part.kind != "part" or part.received_at is None:
                raise errors.InvalidRequest(f"upload {part.id} is no finished part", upload=part.id)
        length_bytes = sum(part.length_bytes or 0 for part in parts)
        self._refuse_long(length_bytes)
        now = int(self._clock())
        upload = Upload(
            id=secrets.token_hex(16),
            team=team,
            kind="final",
            declared=declared,
            created_at=now,
            expires_at=now + self.limits.expires_in_seconds,
            length_bytes=length_bytes,
        )
        self.incoming.create(upload.id, length_bytes)
        try:
            self.incoming.concatenate(upload.id, part_ids)
            with self._store.transaction() as writing:
                # Twice the same part is one row to remove; a part that went into another upload meanwhile is gone.
                for part_id in dict.fromkeys(part_ids):
                    if not uploads.remove(writing.connection, part_id):
                        raise errors.UploadNotFound(part_id)
                # The same part any number of times: more bytes than the parts had.
                self._refuse_over_quota(writing, team, length_bytes)
                uploads.put(writing.connection, upload)
        except BaseException:
            self.incoming.remove(upload.id)
            raise
        for part_id in part_ids:
            self.incoming.remove(part_id)
        return self.complete(upload.id, length_bytes)

    def cancel(self, viewer: Viewer, upload_id: str) -> None:
        """Forget an upload and its bytes. One whose model was made is done, and stays."""
        upload = self.find(_writer(viewer), upload_id)
        if upload.model_id is not None:
            raise errors.Conflict("this upload is a model by now; remove that", model=upload.model_id)
        with self._store.transaction() as writing:
            uploads.remove(writing.connection, upload_id)
        self.incoming.remove(upload_id)
        self.blobs.forget_uploaded(upload_id)

    # --- models

    def register(self, viewer: Viewer, declared: Mapping[str, str], announced_sha256: str | None) -> Entry:
        """Make the model of an announced upload, found by its name, extension and hash as far as they are said."""
        team = _writer(viewer)
        read = parse_upload_metadata(declared)
        with self._store.transaction() as writing:
            waiting = [
                upload
                for upload in uploads.announced(writing.connection, team)
                if upload.declared.get("name") == read.facts.name
                and parse_upload_metadata(upload.declared).extension == read.extension
                and announced_sha256 in (None, upload.announced_sha256)
            ]
            if not waiting:
                raise errors.InvalidValue(
                    f"no file was announced for the model {read.facts.name!r} with this extension; ask"
                    " POST /v3/model/uploader for an upload_url first",
                    field="name",
                    given=read.facts.name,
                )
            upload = waiting[0]
            kept = upload.announced_sha256 or upload.sha256
            if kept and blobs.models_of_team(writing.connection, kept, team, read.facts.name or ""):
                raise errors.Conflict(f"the team has this file as {read.facts.name!r} already", name=read.facts.name)
            entry = self._make(writing, team, read)
            uploads.put(writing.connection, replace(upload, model_id=entry.model.id))
            # Bytes that went to the file store directly are looked for by the check itself.
            if upload.received_at is not None or self.blobs.upload_link(upload.id, 1):
                jobs.add(writing.connection, CHECK, upload.id, writing.now, team=upload.team)
        return entry

    def get_owned(self, viewer: Viewer, model_id: int) -> Entry:
        """Return a model that the viewer may change. Raises ModelNotFound for any other."""
        team = _writer(viewer)
        entry = self._store.entry(model_id)
        if entry is None or entry.model.team != team:
            raise errors.ModelNotFound(str(model_id))
        return entry

    def edit(self, viewer: Viewer, model_id: int, edit: Edit) -> Entry:
        """Change a model of the viewer's team as its owner says."""
        with self._store.transaction() as writing:
            entry = _own(writing, viewer, model_id)
            state = state_of(entry.model)
            if edit.visibility is not None:
                state = replace(state, visibility=edit.visibility)
            if edit.status is not None:
                if edit.status is Status.AVAILABLE and not self._can_be_available(writing, entry):
                    raise errors.Conflict("the model's file is not here, or is not sound", model=model_id)
                state = replace(state, status=edit.status)
            layers = dict(entry.layers)
            layers[Layer.USER] = merge_layer(Layer.USER, edit.facts, layers.get(Layer.USER))
            registration = ModelWriter(writing, self._store.base_models())
            registration.load([model_id])
            changed = registration.set(model_id, layers, state)
            registration.put()
        return changed

    def remove(self, viewer: Viewer, model_id: int) -> None:
        """Remove a model of the viewer's team, and the upload it may be waiting for."""
        with self._store.transaction() as writing:
            _own(writing, viewer, model_id)
            writing.remove([model_id])
            upload = uploads.of_model(writing.connection, model_id)
            if upload is not None:
                uploads.remove(writing.connection, upload.id)
                jobs.drop(writing.connection, CHECK, upload.id)
        if upload is not None:
            self.incoming.remove(upload.id)
            self.blobs.forget_uploaded(upload.id)

    def restore(self, viewer: Viewer, entry: Entry) -> Entry:
        """Put a model of the viewer's team back as it was when it was removed; without its file, if that is gone.

        Raises Conflict where there is such a model.
        """
        team = _writer(viewer)
        model = entry.model
        if model.team != team:
            raise errors.ModelNotFound(str(model.id))
        with self._store.transaction() as writing:
            registration = ModelWriter(writing, self._store.base_models())
            registration.load([model.id])
            if registration.entry(model.id) is not None:
                raise errors.Conflict("the model is there", model=model.id)
            state = state_of(model)
            if model.blob is not None and not self._can_be_available(writing, entry):
                state = replace(state, status=Status.UNAVAILABLE, blob=None)
            restored = registration.set(model.id, entry.layers, state)
            registration.put()
        return restored

    def _make(self, writing: WriteTransaction, team: str, declared: UploadMetadata) -> Entry:
        model_id = writing.next_own_id()
        guess = Facts(
            name=declared.facts.name,
            sd_name=sd_name_of(declared.facts.name or "", model_id, declared.extension),
            type=model_type("unknown"),
        )
        layers = {Layer.GUESS: guess, Layer.USER: declared.facts}
        state = ModelState(declared.source, declared.visibility, team, Status.UNAVAILABLE)
        registration = ModelWriter(writing, self._store.base_models())
        entry = registration.set(model_id, layers, state)
        registration.put()
        return entry

    def _can_be_available(self, writing: WriteTransaction, entry: Entry) -> bool:
        if entry.model.blob is None:
            return False
        blob = blobs.find(writing.connection, entry.model.blob)
        return blob.is_sound if blob else bool(files.paths_of(writing.connection, entry.model.blob))

    def _refuse_long(self, length_bytes: int) -> None:
        if length_bytes > self.limits.upload_bytes_max:
            raise errors.TooLarge("the file", self.limits.upload_bytes_max)

    def _refuse_over_quota(self, writing: WriteTransaction, team: str, length_bytes: int) -> None:
        limit = self.limits.team_quota_bytes
        if limit:
            used = blobs.bytes_of_team(writing.connection, team)
            if used + length_bytes > limit:
                raise errors.QuotaExceeded(limit, used, length_bytes)


def _writer(viewer: Viewer) -> str:
    """Return the team of a viewer who may write."""
    if viewer.team is None:
        raise errors.MissingKey
    if not viewer.may(Scope.WRITE):
        raise errors.Forbidden(Scope.WRITE)
    return viewer.team


def _own(writing: WriteTransaction, viewer: Viewer, model_id: int) -> Entry:
    team = _writer(viewer)
    entry = writing.entries([model_id]).get(model_id)
    if entry is None or entry.model.team != team:
        raise errors.ModelNotFound(str(model_id))
    return entry
