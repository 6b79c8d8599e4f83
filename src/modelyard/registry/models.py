"""The verbs that change models: every other part calls a function of this module to change one.

``Models`` has what an owner does over the API. The functions work inside a transaction of the caller, who writes
other rows in it as well. ``FileModels`` makes models of the files that a scan finds.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from modelyard import errors
from modelyard.blobs import Blobs, IncomingFiles
from modelyard.domain import Hashes, Scope, Status, Viewer, Visibility, cover_path, model_type
from modelyard.facts import Entry, Facts, Layer, Record, complete_files, fill_missing, format_date, resolve
from modelyard.registry.fields import UploadMetadata, parse_upload_metadata
from modelyard.registry.names import fallback_name, sd_name_of
from modelyard.registry.origins import OriginIds
from modelyard.registry.signatures import refuse_unsigned
from modelyard.registry.writer import ModelState, ModelWriter, Outcome, Rehearsal, merge_layer, state_of
from modelyard.signatures import NO_POLICY, SignaturePolicy
from modelyard.store import (
    Store,
    WriteTransaction,
    audit,
    blobs,
    covers,
    deleted_models,
    deleted_repositories,
    download_counts,
    fetches,
    files,
    jobs,
    model_texts,
    uploaders,
    uploads,
)
from modelyard.store.covers import Origin
from modelyard.store.deleted_models import DeletedModel
from modelyard.store.jobs import CHECK, FETCH, MIRROR
from modelyard.store.uploads import Upload


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of a model: facts for the user's layer, visibility and status. None leaves a value as it is.

    ``resets`` are names of facts that the user's layer loses: the model shows the value of the next layer again.
    """

    facts: Facts = field(default_factory=Facts)
    visibility: Visibility | None = None
    status: Status | None = None
    resets: Collection[str] = ()
    # The name of a stored cover, which becomes the model's.
    cover: str | None = None


class Models:
    """The models of one store, as their owners change them. Threads may share it."""

    def __init__(
        self,
        store: Store,
        storage: Blobs,
        incoming: IncomingFiles,
        signatures: SignaturePolicy = NO_POLICY,
    ) -> None:
        self._store = store
        self.signatures = signatures
        self._storage = storage
        self._incoming = incoming

    def get_owned(self, viewer: Viewer, model_id: int) -> Entry:
        """Return a model that the viewer may change. Raises ModelNotFound for any other model."""
        team = writing_team(viewer)
        return _owned(self._store.entry(model_id), team, model_id)

    def register(self, viewer: Viewer, fields: Mapping[str, str], announced_sha256: str | None) -> Entry:
        """Make the model of an announced upload. Name, extension and, if it is given, the hash select the upload."""
        team = writing_team(viewer)
        metadata = parse_upload_metadata(fields)
        name = fields.get("name", "")
        with self._store.transaction() as transaction:
            connection = transaction.connection
            candidates = [
                upload
                for upload in uploads.announced(connection, team)
                if upload.declared.get("name") == name
                and parse_upload_metadata(upload.declared).extension == metadata.extension
                and announced_sha256 in (None, upload.announced_sha256)
            ]
            if not candidates:
                raise errors.InvalidValue(
                    f"no file was announced for the model {name!r} with this extension; call"
                    " POST /v3/model/uploader for an upload_url first",
                    field="name",
                    given=name,
                )
            upload = candidates[0]
            sha256 = upload.announced_sha256 or upload.sha256
            if sha256 and blobs.models_of_team(connection, sha256, team, metadata.facts.name or ""):
                raise errors.ModelExists(f"the team already has this file as {name!r}", name=name)
            entry = create(transaction, team, metadata)
            uploaders.put(connection, entry.model.id, viewer.key_fingerprint)
            uploads.put(connection, replace(upload, model_id=entry.model.id))
            # The job finds out by itself whether bytes have arrived in the file store directly.
            if upload.received_at is not None or self._storage.upload_link(upload.id, 1):
                jobs.add(connection, CHECK, upload.id, transaction.now, team=upload.team)
        return entry

    def edit(self, viewer: Viewer, model_id: int, edit: Edit) -> Entry:
        """Change a model of the viewer's team."""
        team = writing_team(viewer)
        is_required = self.signatures.is_required
        return self._edit(model_id, edit, lambda entry: _owned(entry, team, model_id), needs_signature=is_required)

    def edit_as_operator(self, model_id: int, edit: Edit) -> Entry:
        """Change a model of any team, or of none: for the commands of this machine, never for a request."""
        return self._edit(model_id, edit, lambda entry: _existing(entry, model_id))

    def _edit(
        self, model_id: int, edit: Edit, check: Callable[[Entry | None], Entry], *, needs_signature: bool = False
    ) -> Entry:
        with self._store.transaction() as transaction:
            writer = ModelWriter(transaction)
            writer.load([model_id])
            entry = check(writer.entry(model_id))
            state = state_of(entry.model)
            if edit.visibility is not None:
                state = replace(state, visibility=edit.visibility)
            if edit.status is not None:
                if edit.status is Status.AVAILABLE and not _has_file(transaction, entry):
                    raise errors.ModelFileMissing(model_id)
                if edit.status is Status.AVAILABLE and needs_signature:
                    refuse_unsigned(transaction.connection, entry.model, self.signatures)
                state = replace(state, status=edit.status)
            facts = replace(edit.facts, updated_at=format_date(transaction.now))
            if edit.cover is not None:
                if not covers.exists(transaction.connection, edit.cover):
                    raise errors.CoverRemoved
                facts = replace(facts, cover_url=cover_path(edit.cover))
            if facts.name == "":
                facts = replace(facts, name=fallback_name(model_id))
            user = merge_layer(Layer.USER, facts, entry.layers.get(Layer.USER))
            layers = {**entry.layers, Layer.USER: replace(user, **dict.fromkeys(edit.resets))}
            if not resolve(layers).name:
                raise errors.InvalidValue("name: no other source names this model; accepted: a name", field="name")
            edited = writer.set(model_id, layers, state)
            writer.put()
            if edit.visibility is not None:
                files.set_visibility(transaction.connection, model_id, edit.visibility)
        return edited

    def remove(self, viewer: Viewer, model_id: int) -> None:
        """Remove a model of the viewer's team, and the upload that it may be waiting for.

        ``restore`` brings the model back, for as long as ``list_deleted`` has it.
        """
        team = writing_team(viewer)
        with self._store.transaction() as transaction:
            entry = _owned(transaction.entries([model_id]).get(model_id), team, model_id)
            # A model without a file never was of use: its upload was not complete, or the file was refused.
            if entry.model.blob or entry.model.status:
                _keep_record(transaction, entry, team)
            upload = remove_model(transaction, model_id)
        self._forget(upload)

    def remove_as_operator(self, model_id: int) -> None:
        """Remove a model of any team for good: for the commands of this machine, never for a request."""
        with self._store.transaction() as transaction:
            _existing(transaction.entries([model_id]).get(model_id), model_id)
            upload = remove_model(transaction, model_id)
        self._forget(upload)

    def _forget(self, upload: Upload | None) -> None:
        if upload is not None:
            self._incoming.remove(upload.id)
            self._storage.forget_uploaded(upload.id)

    def list_deleted(self, viewer: Viewer, limit: int = 200) -> list[DeletedModel]:
        """Return the models that the viewer's team deleted and can restore, the last first."""
        team = writing_team(viewer)
        with self._store.reading() as connection:
            return deleted_models.of_team(connection, team, limit)

    def purge(self, viewer: Viewer, model_id: int) -> None:
        """Delete a deleted model of the viewer's team for good. Raises ModelNotFound."""
        team = writing_team(viewer)
        with self._store.transaction() as transaction:
            if deleted_models.find(transaction.connection, team, model_id) is None:
                raise errors.ModelNotFound(str(model_id))
            deleted_models.remove(transaction.connection, [model_id])
            transaction.audit.note("model.purge", str(model_id), team)

    def restore(self, viewer: Viewer, model_id: int) -> Entry:
        """Put a deleted model of the viewer's team back. If its file is gone, the model is unavailable.

        Raises ModelNotFound, or ModelExists if there is a model with this id.
        """
        team = writing_team(viewer)
        with self._store.transaction() as transaction:
            connection = transaction.connection
            deleted = deleted_models.find(connection, team, model_id)
            if deleted is None:
                raise errors.ModelNotFound(str(model_id))
            if transaction.entries([model_id]):
                raise errors.ModelExists(f"the model {model_id} exists", model=model_id)
            # Files, covers and downloads refer to the model, so it is there before them, and resolved again after.
            transaction.put([deleted.entry])
            files.link_again(connection, deleted.files, model_id)
            covers.give_existing(connection, model_id, deleted.covers)
            if deleted.downloads:
                download_counts.add(connection, {model_id: deleted.downloads})
            deleted_repositories.restore(connection, model_id, team)
            model_texts.restore(connection, model_id)
            deleted_models.remove(connection, [model_id])
            return _resolve_restored(transaction, deleted.entry)


def _resolve_restored(transaction: WriteTransaction, entry: Entry) -> Entry:
    """Resolve a restored model again, with the files, covers and names that are here now."""
    if not entry.layers:
        return entry
    state = state_of(entry.model)
    if state.blob is not None and not _has_file(transaction, entry):
        state = replace(state, status=Status.UNAVAILABLE, blob=None)
    writer = ModelWriter(transaction)
    writer.load([entry.model.id])
    restored = writer.set(entry.model.id, entry.layers, state)
    writer.put()
    return restored


def _keep_record(transaction: WriteTransaction, entry: Entry, team: str) -> None:
    """Record what restores a model that is about to be removed."""
    connection, model_id = transaction.connection, entry.model.id
    records = files.of_models(connection, [model_id]).get(model_id, [])
    file_ids = [record.id for record in records if record.id is not None]
    downloads = download_counts.counts(connection, [model_id]).get(model_id, 0)
    found = covers.found_for(connection, model_id)
    deleted_models.put(connection, DeletedModel(entry, team, transaction.now, file_ids, found, downloads))
    deleted_repositories.put(connection, model_id)
    model_texts.put_deleted(connection, model_id)


def remove_model(transaction: WriteTransaction, model_id: int) -> Upload | None:
    """Remove a model and the row of the upload that it may be waiting for; return the upload."""
    transaction.remove([model_id])
    upload = uploads.of_model(transaction.connection, model_id)
    if upload is not None:
        uploads.remove(transaction.connection, upload.id)
        fetches.close(transaction.connection, upload.id, fetches.CANCELLED, transaction.now, problem="deleted")
        for kind in (CHECK, FETCH, MIRROR):
            jobs.drop(transaction.connection, kind, upload.id)
    return upload


def writing_team(viewer: Viewer) -> str:
    """Return the team of a viewer who may write. Raises MissingKey or Forbidden."""
    if viewer.team is None:
        raise errors.MissingKey
    if not viewer.may(Scope.WRITE):
        raise errors.Forbidden(Scope.WRITE)
    return viewer.team


def create(transaction: WriteTransaction, team: str | None, metadata: UploadMetadata) -> Entry:
    """Make the model of an upload. It is unavailable until its file is verified."""
    model_id = transaction.next_own_id()
    name = metadata.facts.name or fallback_name(model_id)
    sd_name = sd_name_of(metadata.facts.name or "", model_id, metadata.extension)
    guess = Facts(name=name, sd_name=sd_name, type=model_type("unknown"), title=metadata.title)
    layers = {
        Layer.GUESS: guess,
        Layer.USER: replace(metadata.facts, name=name, updated_at=format_date(transaction.now)),
    }
    writer = ModelWriter(transaction)
    entry = writer.set(model_id, layers, ModelState(metadata.source, metadata.visibility, team, Status.UNAVAILABLE))
    writer.put()
    return entry


def import_records(
    transaction: WriteTransaction, batch: Sequence[Sequence[Record]], rehearsal: Rehearsal | None = None
) -> list[Outcome]:
    """Merge records into their models. Each sequence of records is about one model and has one outcome.

    A rehearsal writes nothing, and receives the entries that would have been written.
    """
    ids = OriginIds(transaction.connection, batch)
    writer = ModelWriter(transaction)
    outcomes = iter(writer.take([ids.with_ids(run) for run in batch if not ids.is_own(run[0])], rehearsal))
    if rehearsal is None:
        writer.put()
    in_order = [
        Outcome(run[0], None, "skipped", "it is a model of this catalogue") if ids.is_own(run[0]) else next(outcomes)
        for run in batch
    ]
    if rehearsal is None:
        ids.put_new(in_order)
    return in_order


def put_rehearsed(transaction: WriteTransaction, entries: Sequence[Entry]) -> None:
    """Write entries of a rehearsal, to ask the database about them before the transaction is rolled back."""
    transaction.put(entries)


def mark_unavailable(transaction: WriteTransaction, model_ids: Collection[int]) -> None:
    """Make models unavailable whose files are gone, except those that have a sound blob."""
    writer = ModelWriter(transaction)
    writer.load(model_ids)
    for model_id in model_ids:
        entry = writer.entry(model_id)
        if entry is not None and not _has_sound_blob(transaction, entry):
            writer.set(model_id, entry.layers, replace(state_of(entry.model), status=Status.UNAVAILABLE))
    writer.put()


def make_available(transaction: WriteTransaction, model_id: int) -> None:
    """Make a model available, whose file and signature were verified."""
    writer = ModelWriter(transaction)
    writer.load([model_id])
    entry = writer.entry(model_id)
    if entry is not None:
        writer.set(model_id, entry.layers, replace(state_of(entry.model), status=Status.AVAILABLE))
    writer.put()


def add_downloads(transaction: WriteTransaction, count_by_id: Mapping[int, int]) -> None:
    """Count downloads of the models that still exist. That changes their rank."""
    transaction.audit.verb = audit.COUNT
    existing = [*transaction.entries(count_by_id)]
    download_counts.add(transaction.connection, {model_id: count_by_id[model_id] for model_id in existing})
    refresh(transaction, existing)


def give_covers(transaction: WriteTransaction, origin: Origin, name_by_id: Mapping[int, str | None]) -> None:
    """Note which cover was found with each model, and show it. None: no cover was found there."""
    existing = [*transaction.entries(name_by_id)]
    for model_id in existing:
        covers.give(transaction.connection, model_id, origin, name_by_id[model_id])
    refresh(transaction, existing)


def refresh(transaction: WriteTransaction, model_ids: Collection[int]) -> None:
    """Resolve models again from their layers, with the downloads and covers that are recorded now."""
    writer = ModelWriter(transaction)
    writer.load(model_ids)
    for model_id in model_ids:
        entry = writer.entry(model_id)
        # A model without layers was put as it is: there is nothing to resolve it from.
        if entry is not None and entry.layers:
            writer.set(model_id, entry.layers, state_of(entry.model))
    writer.put()


class FileModels:
    """The models that one transaction of a scan makes of files or changes; ``put`` writes them."""

    def __init__(self, transaction: WriteTransaction) -> None:
        self._transaction = transaction
        self._writer = ModelWriter(transaction)
        self._merged: set[int] = set()

    def load(self, ids: Collection[int]) -> None:
        """Read the models that exist among ``ids``, all at once."""
        self._writer.load(ids)

    def entry(self, model_id: int | None) -> Entry | None:
        """Return a model as it is after the changes so far; None if there is none. ``load`` it first."""
        return None if model_id is None or model_id in self._merged else self._writer.entry(model_id)

    def next_id(self) -> int:
        """Return an id for a model that is new."""
        return self._transaction.next_own_id()

    def put_file(self, model_id: int, layers: Mapping[Layer, Facts], state: ModelState) -> Entry:
        """Replace the layers that a file fills. A sidecar that says less than before takes nothing away."""
        before = self.entry(model_id)
        merged = {**before.layers, **layers} if before else dict(layers)
        if before and Layer.SIDECAR in layers:
            merged[Layer.SIDECAR] = merge_layer(Layer.SIDECAR, layers[Layer.SIDECAR], before.layers.get(Layer.SIDECAR))
        return self._writer.set(model_id, merged, state)

    def rename_file(self, model_id: int, file_name: str | None) -> None:
        """Note the new name of a model's file. The model keeps its own name, which calls may use."""
        entry = self.entry(model_id)
        guess = entry.layers.get(Layer.GUESS) if entry else None
        if entry and guess and guess.file_name:
            layers = {**entry.layers, Layer.GUESS: replace(guess, file_name=file_name)}
            self._writer.set(model_id, layers, state_of(entry.model))

    def set_files(self, model_id: int, sha256s: Sequence[str], reason: str | None = None) -> None:
        """Make a model available if a sound file or blob of it exists, else unavailable for a reason.

        ``sha256s`` are those of its sound files. It serves the best of them, in the order of its record.
        """
        entry = self.entry(model_id)
        if entry is None:
            return
        has_blob = _has_sound_blob(self._transaction, entry)
        is_available = bool(sha256s) or has_blob
        layers = dict(entry.layers)
        blob = entry.model.blob
        best = _find_best(entry, sha256s, blob)
        if best is not None and not has_blob and best != blob:
            blob = best
            header = layers.get(Layer.HEADER) or Facts()
            layers[Layer.HEADER] = replace(header, hashes=Hashes(sha256=blob.upper(), autov2=blob[:10].upper()))
        if reason is not None and not is_available:
            layers[Layer.HEADER] = replace(layers.get(Layer.HEADER) or Facts(), evidence=(reason,))
        status = Status.AVAILABLE if is_available else Status.UNAVAILABLE
        self._writer.set(model_id, layers, replace(state_of(entry.model), status=status, blob=blob))

    def merge(self, from_id: int, to_id: int) -> bool:
        """Make the first model part of the second; return whether both exist.

        The second keeps its name, unless a user named the first. ``remove_merged`` removes the first.
        """
        old, target = self.entry(from_id), self.entry(to_id)
        if old is None or target is None:
            return False
        layers = dict(target.layers)
        for layer in (Layer.HEADER, Layer.SIDECAR, Layer.USER):
            if layer in old.layers:
                layers[layer] = fill_missing(layers[layer], old.layers[layer]) if layer in layers else old.layers[layer]
        state = state_of(target.model)
        if old.model.blob and not target.model.blob:
            state = replace(state, blob=old.model.blob, status=old.model.status)
        self._writer.set(to_id, layers, state)
        self._merged.add(from_id)
        return True

    def put(self) -> None:
        """Write the models that are new or changed. Their files can point at them after this."""
        self._writer.put()

    def touch(self, model_id: int) -> None:
        """Give a model that is stored this transaction's revision: something else that answers have of it changed."""
        entry = self.entry(model_id)
        if entry is not None:
            self._transaction.put([entry])

    def remove_merged(self) -> None:
        """Remove the models that were merged into others. No file may point at them any more."""
        self._transaction.remove(self._merged)


def _find_best(entry: Entry, sha256s: Sequence[str], blob: str | None) -> str | None:
    """Return the best of the files by their hashes: first in the model's record, then the one that is served now."""
    files_of_model = complete_files(resolve(entry.layers)) if entry.layers else ()
    digests = [(file.hashes.sha256 or "").lower() if file.hashes else "" for file in files_of_model]
    order = {sha256: number for number, sha256 in reversed([*enumerate(digests)]) if sha256}
    return min(sha256s, key=lambda sha256: (order.get(sha256, len(digests)), sha256 != blob), default=None)


def _existing(entry: Entry | None, model_id: int) -> Entry:
    if entry is None:
        raise errors.ModelNotFound(str(model_id))
    return entry


def _owned(entry: Entry | None, team: str, model_id: int) -> Entry:
    """Return the entry if it belongs to the team. Raises ModelNotFound otherwise."""
    if entry is None or entry.model.team != team:
        raise errors.ModelNotFound(str(model_id))
    return entry


def _has_file(transaction: WriteTransaction, entry: Entry) -> bool:
    """Whether a sound blob of the model is stored, or its files lie in a scanned folder."""
    header = entry.layers.get(Layer.HEADER)
    if header is not None and header.has_parts:
        records = files.of_models(transaction.connection, [entry.model.id]).get(entry.model.id, [])
        present = {record.part for record in records if record.is_servable and files.is_as_recorded(record)}
        return present.issuperset(file.name for file in header.files or ())
    if entry.model.blob is None:
        return False
    blob = blobs.find(transaction.connection, entry.model.blob)
    return blob.is_sound if blob else bool(files.paths_of(transaction.connection, entry.model.blob))


def _has_sound_blob(transaction: WriteTransaction, entry: Entry) -> bool:
    blob = blobs.find(transaction.connection, entry.model.blob) if entry.model.blob else None
    return blob is not None and blob.is_sound
