"""Makes models of probed files in one write transaction: matches them by hash, merges and names them.

A file belongs to the model with its SHA-256, if the same people may see both: a public file never joins a team's
private model, and a private file never a public model, whose download it would become. Otherwise the file becomes a
model of its own. If an existing model has the same bytes or tensors and may not be joined, its upstream facts are
copied: only the hash tells Pony from Illustrious, the tensors do not.
"""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from modelyard import errors
from modelyard.domain import OWN_ID_MIN, Hashes, Model, Source, Status, Visibility
from modelyard.facts import Entry, Facts, Layer, fill_missing
from modelyard.library import names
from modelyard.library.folder_hints import FolderHint
from modelyard.library.folder_models import Part, list_files, summarize
from modelyard.library.probe import ProbeResult, is_unchanged, keep_hashes
from modelyard.library.walk import FoundFile
from modelyard.registry.models import FileModels
from modelyard.registry.names import sd_name_of_file, sd_name_of_training
from modelyard.registry.writer import ModelState, state_of
from modelyard.store import WriteTransaction, blobs, files, model_texts
from modelyard.store.files import UNLINKED, FileRecord, FileState

_NO_FACTS = Facts()
Result = Literal["added", "part", "updated", "matched", "moved", "broken", "gone", "later", "other"]


@dataclass(frozen=True, slots=True)
class Ownership:
    """The owner of the models that files become: the operator, for everybody, or a team."""

    source: Source = Source.UPLOADING
    team: str | None = None
    visibility: Visibility = Visibility.PUBLIC


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """The result for one file."""

    path: bytes
    result: Result
    model_id: int | None = None
    reason: str = ""


class Reconciler:
    """The changes of one transaction; ``finish`` writes them."""

    def __init__(self, writing: WriteTransaction, node: str = "") -> None:
        """Begin in a transaction; ``node`` is the one that finds the files."""
        self._node = node
        self._writing = writing
        self._connection = writing.connection
        self._models = FileModels(writing)
        # Names used in this transaction, with the teams that see them; None is everybody.
        self._names: dict[str, set[str | None]] = {}
        self._rows: dict[bytes, FileRecord] = {}
        self._changed: dict[bytes, tuple[FileRecord, str | None]] = {}
        self._by_hash: dict[str, list[int]] = {}
        self._files: dict[int, dict[bytes, FileRecord]] = {}
        self._missing: dict[str, list[FileRecord]] = {}
        self._forgotten: set[int] = set()
        # The models of several files, by their folder, and who owns each.
        self._folders: dict[bytes, tuple[int, Ownership]] = {}
        self._texts: dict[int, Mapping[str, bytes]] = {}

    # --- probed files

    def take(
        self, probes: Sequence[ProbeResult], owner: Ownership, hints: Mapping[bytes, FolderHint]
    ) -> list[FileOutcome]:
        """Turn each probed file into a model, or into a record of why it is none."""
        self._rows |= files.at_paths(self._connection, [probe.file.path for probe in probes])
        sha256s = [probe.sha256 for probe in probes if probe.sha256]
        autov3s = [probe.autov3 for probe in probes if probe.sha256 and probe.autov3]
        self._by_hash = files.models_by_hash(self._connection, sha256s, autov3s)
        for record in files.with_sha256(self._connection, sha256s):
            if record.is_there and record.sha256 and record.model_id is not None and record.model_id < OWN_ID_MIN:
                # A version has several files, and an import may know the hash of none.
                ids_with_hash = self._by_hash.setdefault(record.sha256.upper(), [])
                if record.model_id not in ids_with_hash:
                    ids_with_hash.append(record.model_id)
            # A file that is probed now is not missing, whatever its bytes are now.
            is_missing = record.state is FileState.MISSING and record.path not in self._rows
            if is_missing and record.sha256:
                self._missing.setdefault(record.sha256, []).append(record)
        self._load_folders({probe.file.part.folder for probe in probes if probe.file.part})
        ids = {id_ for model_ids in self._by_hash.values() for id_ in model_ids}
        ids |= {row.model_id for row in self._rows.values() if row.model_id is not None}
        ids |= {id_ for probe in probes for id_ in probe.sidecars.version_ids if id_ < OWN_ID_MIN}
        ids |= {row.linked_id for row in self._rows.values() if row.linked_id}
        self._load(ids)
        return [self._take(probe, owner, hints.get(probe.file.path)) for probe in probes]

    def _load_folders(self, folders: Collection[bytes]) -> None:
        records = [record for record in files.in_folders(self._connection, folders) if record.model_id is not None]
        self._load({record.model_id for record in records if record.model_id is not None})
        for record in records:
            entry = self._models.entry(record.model_id)
            if entry is not None and record.folder is not None:
                owner = Ownership(record.source, record.team, entry.model.visibility)
                self._folders.setdefault(record.folder, (entry.model.id, owner))

    def _load(self, ids: Iterable[int]) -> None:
        new_ids = [id_ for id_ in ids if id_ not in self._files]
        self._models.load(new_ids)
        of_models = files.of_models(self._connection, new_ids)
        for id_ in new_ids:
            self._files[id_] = {record.path: record for record in of_models.get(id_, [])}

    def _take(self, probe: ProbeResult, owner: Ownership, hint: FolderHint | None) -> FileOutcome:
        row = self._rows.get(probe.file.path)
        if probe.state is FileState.MISSING:
            return FileOutcome(probe.file.path, "gone")
        if row is not None:
            entry = self._models.entry(row.model_id)
            # The first scan decided the owner; the model's owner may have changed its visibility since.
            owner = Ownership(row.source, row.team, entry.model.visibility if entry else row.visibility)
            probe = keep_hashes(probe, row, entry)
            if row.model_id is None and row.verdict and is_unchanged(probe, row):
                # A person removed its model, or it never was one: make none again.
                self._put_record(probe, row, owner, None)
                return FileOutcome(probe.file.path, "updated")
        if probe.file.part is not None and probe.verdict and (probe.is_model or row):
            return self._take_part(probe, probe.file.part, row, owner, hint)
        if probe.state is FileState.CHANGED or not probe.verdict or not (probe.is_model or row):
            return self._put_without_model(probe, row, owner)
        model_id, is_joined = self._find_model(probe, row, owner)
        try:
            entry = self._set_model(model_id, probe, row, owner, hint)
        except errors.InvalidValue as problem:
            return self._put_without_model(replace(probe, state=FileState.BROKEN, reason=problem.message), row, owner)
        result: Result = "added" if model_id is None else "matched" if is_joined else "updated"
        # The first hash of a file shows whether it is a missing one under another path.
        is_first_hash = probe.sha256 is not None and (row is None or row.hashes_pending)
        if is_first_hash and self._forget_missing(probe.sha256 or ""):
            result = "moved"
        if row is not None and row.model_id not in (None, entry.model.id):
            is_same_file = is_unchanged(probe, row) and (row.hashes_pending or probe.sha256 == row.sha256)
            self._leave_model(row, entry, is_same_file=is_same_file)
        self._put_record(probe, row, owner, entry.model.id)
        if probe.state is FileState.BROKEN:
            return FileOutcome(probe.file.path, "broken", entry.model.id, probe.reason)
        if result == "matched" and len(self._files[entry.model.id]) > 1:
            self._refresh_status(entry.model.id)  # it may be better than the file that the version serves
        return FileOutcome(probe.file.path, result, entry.model.id)

    def _take_part(
        self, probe: ProbeResult, part: Part, row: FileRecord | None, owner: Ownership, hint: FolderHint | None
    ) -> FileOutcome:
        """Give a file to the model that it is a part of; the first part makes the model."""
        moved_id = row.model_id if row is not None and row.folder is not None else None
        model_id, owner = self._folders.get(part.folder, (moved_id, owner))
        before = self._models.entry(model_id)
        if before is None:
            model_id = self._models.next_id()
        assert model_id is not None, "a model that exists, or a new id"
        self._folders[part.folder] = model_id, owner
        layers: dict[Layer, Facts] = {}
        if before is None:
            folder = os.path.join(os.path.dirname(part.folder), os.fsencode(part.label))
            layers[Layer.GUESS] = self._name_guess(model_id, names.guess(folder, hint, None), part.label, "", owner)
        if probe.sidecars.facts is not None and part.headers:
            layers[Layer.SIDECAR] = probe.sidecars.facts
        self._put_record(probe, row, owner, model_id)
        known = before.layers.get(Layer.HEADER) if before else None
        header = replace(probe.model or known or Facts(), files=list_files(part, known, probe.header.hashes))
        entry = self._put_folder_model(model_id, header, owner, layers)
        if probe.texts is not None:
            self._texts[model_id] = probe.texts
        if row is not None and row.model_id not in (None, model_id):
            self._models.put()  # the rows of files can point at a new model then
            self._leave_model(row, entry, is_same_file=is_unchanged(probe, row))
            # The model that it was is merged into this one; its hashes are those of a part.
            self._put_folder_model(model_id, header, owner)
        if probe.state is FileState.BROKEN:
            return FileOutcome(probe.file.path, "broken", model_id, probe.reason)
        result: Result = "added" if before is None else "part" if row is None or row.model_id != model_id else "updated"
        return FileOutcome(probe.file.path, result, model_id)

    def _put_folder_model(
        self, model_id: int, header: Facts, owner: Ownership, layers: Mapping[Layer, Facts] | None = None
    ) -> Entry:
        before = self._models.entry(model_id)
        header, status = summarize(header, self._files.get(model_id, {}).values())
        state = state_of(before.model) if before else ModelState(owner.source, owner.visibility, owner.team)
        if before is None or before.layers.get(Layer.HEADER) != header:
            state = replace(state, status=status, blob=None)  # else: keep the status that the model's owner set
        return self._models.put_file(model_id, {**(layers or {}), Layer.HEADER: header}, state)

    def _put_without_model(self, probe: ProbeResult, row: FileRecord | None, owner: Ownership) -> FileOutcome:
        """Record a file that is no model now; a model that it was loses it."""
        self._put_record(probe, row, owner, row.model_id if row else None)
        if row is not None and row.model_id is not None and probe.state is FileState.BROKEN:
            self._refresh_status(row.model_id, reason=f"error: {probe.reason}")
        result: Result = "broken"
        if probe.state is FileState.CHANGED:
            result = "later"
        elif probe.verdict and not probe.is_model:
            result = "other"
        return FileOutcome(probe.file.path, result, row.model_id if row else None, probe.reason)

    def _find_model(self, probe: ProbeResult, row: FileRecord | None, owner: Ownership) -> tuple[int | None, bool]:
        """Return the id of the model that a file belongs to, None for a new one, and whether the file joins it now."""
        if row is not None and row.linked_id and self._is_known_version(row.linked_id, owner):
            return row.linked_id, row.model_id != row.linked_id
        is_unlinked = row is not None and row.linked_id == UNLINKED
        matches = self._entries_with_hash((probe.sha256 or "").upper())
        if probe.sha256:
            matches += self._entries_with_hash(probe.sha256[:10].upper())
            # A model without SHA-256 may match by AutoV3; one with another SHA-256 is another file.
            third = self._entries_with_hash((probe.autov3 or "")[:12])
            matches += [entry for entry in third if not entry.model.hashes.short]
        # A copy of a part is no file of the model that has the part.
        matches = [entry for entry in matches if not entry.layers.get(Layer.HEADER, _NO_FACTS).has_parts]
        candidates = sorted(
            {
                entry.model.id
                for entry in matches
                if _may_join(owner, entry.model) and not (is_unlinked and entry.model.id < OWN_ID_MIN)
            },
            key=lambda id_: (id_ >= OWN_ID_MIN, id_),
        )
        if not is_unlinked and (not candidates or candidates[0] >= OWN_ID_MIN):
            # A hash of an imported version is stronger than a sidecar, and both are stronger than a model of ours.
            versions = sorted(id_ for id_ in probe.sidecars.version_ids if self._is_known_version(id_, owner))
            candidates = versions + candidates
        if candidates:
            is_own = row is not None and row.model_id in candidates and candidates[0] >= OWN_ID_MIN
            model_id = row.model_id if is_own and row is not None else candidates[0]
            return model_id, row is None or row.model_id != model_id
        if row is not None and row.model_id is not None and self._keeps_model(row, probe):
            return row.model_id, False
        return None, False

    def _is_known_version(self, model_id: int, owner: Ownership) -> bool:
        entry = self._models.entry(model_id) if model_id < OWN_ID_MIN else None
        return entry is not None and _may_join(owner, entry.model)

    def _has_other_file(self, entry: Entry, probe: ProbeResult) -> bool:
        """Whether another file of the model is the one that the model serves, with other bytes than the probed one."""
        if entry.model.blob in (None, probe.sha256):
            return False
        others = self._files.get(entry.model.id, {}).values()
        return any(
            record.is_servable and record.sha256 == entry.model.blob and record.path != probe.file.path
            for record in others
        )

    def _entries_with_hash(self, key: str) -> list[Entry]:
        return [entry for id_ in self._by_hash.get(key, []) if (entry := self._models.entry(id_))]

    def _keeps_model(self, row: FileRecord, probe: ProbeResult) -> bool:
        """Whether a file stays its model: by the same bytes, or as the only file of a model of ours."""
        assert row.model_id is not None, "the caller checks it"
        entry = self._models.entry(row.model_id)
        if entry is None or row.folder is not None or (row.linked_id == UNLINKED and row.model_id < OWN_ID_MIN):
            return False
        if probe.sha256 is not None and probe.sha256 == row.sha256:
            return True
        if row.model_id < OWN_ID_MIN:
            return False
        others = [record for path, record in self._files.get(row.model_id, {}).items() if path != row.path]
        is_stored = entry.model.blob is not None and blobs.find(self._connection, entry.model.blob) is not None
        return not is_stored and not any(record.is_there for record in others)

    # --- the model

    def _set_model(
        self,
        model_id: int | None,
        probe: ProbeResult,
        row: FileRecord | None,
        owner: Ownership,
        hint: FolderHint | None,
    ) -> Entry:
        before = self._models.entry(model_id)
        if before is not None and self._has_other_file(before, probe):
            return before
        model_id = self._models.next_id() if model_id is None else model_id
        is_unlinked = row is not None and row.linked_id == UNLINKED
        layers = {} if before or is_unlinked else dict(self._copy_upstream_facts(probe))
        layers[Layer.HEADER] = self._make_header_facts(probe, model_id)
        if probe.sidecars.facts is not None:
            layers[Layer.SIDECAR] = probe.sidecars.facts
        # Only the first file of a model gives it its name.
        if model_id >= OWN_ID_MIN and (before is None or (row is not None and row.model_id == model_id)):
            older = before.layers.get(Layer.GUESS) if before else None
            layers[Layer.GUESS] = self._make_guess(model_id, probe, owner, hint, older)
        is_usable = probe.state is FileState.PRESENT and probe.sha256 is not None
        # Another file with these bytes may be sound: a checksum beside this one says nothing about it.
        is_usable = is_usable or any(
            record.is_servable and record.sha256 == probe.sha256 and record.path != probe.file.path
            for record in self._files.get(model_id, {}).values()
        )
        status = Status.AVAILABLE if is_usable else Status.UNAVAILABLE
        state = state_of(before.model) if before else ModelState(owner.source, owner.visibility, owner.team)
        if before and row and row.state is probe.state and is_unchanged(probe, row):
            # The file is unchanged: keep the status that the model's owner set.
            status = before.model.status if not row.hashes_pending else status
        state = replace(state, status=status, blob=probe.sha256)
        entry = self._models.put_file(model_id, layers, state)
        self._update_hashes(before, entry)
        return entry

    def _update_hashes(self, before: Entry | None, after: Entry) -> None:
        """Match the files after this one by the hashes that a model has now.

        If a file was copied and then changed, its model has new hashes, and the copy is another model.
        """
        for key in _hash_keys(before.model.hashes) if before else ():
            if after.model.id in self._by_hash.get(key, ()):
                self._by_hash[key].remove(after.model.id)
        for key in _hash_keys(after.model.hashes):
            self._by_hash.setdefault(key, []).append(after.model.id)

    def _make_header_facts(self, probe: ProbeResult, model_id: int) -> Facts:
        ids = [id_ for id_ in self._by_hash.get((probe.autov3 or "")[:12], []) if probe.autov3 and id_ != model_id]
        lines = [f"the same tensors as model {id_} (AutoV3 {(probe.autov3 or '')[:12]})" for id_ in dict.fromkeys(ids)]
        return replace(probe.header, evidence=(*(probe.header.evidence or ()), *lines)) if lines else probe.header

    def _copy_upstream_facts(self, probe: ProbeResult) -> Mapping[Layer, Facts]:
        """Return the upstream facts of a model with these bytes or tensors that the file may not join."""
        keys = ((probe.sha256 or "").upper(), (probe.sha256 or "")[:10].upper(), (probe.autov3 or "")[:12])
        for id_ in (id_ for key in keys if key for id_ in self._by_hash.get(key, [])):
            entry = self._models.entry(id_)
            if entry and entry.model.visibility is Visibility.PUBLIC and Layer.UPSTREAM in entry.layers:
                facts = entry.layers[Layer.UPSTREAM]
                facts = replace(facts, sd_name=None, rank=None, hashes=None, size_bytes=None, file_name=None)
                return {Layer.UPSTREAM: facts}
        return {}

    def _make_guess(
        self, model_id: int, probe: ProbeResult, owner: Ownership, hint: FolderHint | None, older: Facts | None
    ) -> Facts:
        training = probe.training if owner.source is Source.TRAINING else None
        facts = names.guess(probe.file.path, hint, training)
        stem, extension = names.split_name(probe.file.path)
        if training is not None and probe.sha256:
            name = sd_name_of_training(training.finished_at, probe.sha256, extension or "safetensors")
            stem, extension = names.split_name(name.encode())
        elif older is not None and older.sd_name:
            # Calls may use the name already: keep it if the file is renamed.
            return replace(fill_missing(facts, older), name=older.name, sd_name=older.sd_name)
        facts = self._name_guess(model_id, facts, stem, extension, owner)
        if training is not None and training.trainer:
            progress = [f"{training.steps} steps"] if training.steps else []
            progress += [f"{training.epochs} epochs"] if training.epochs else []
            evidence = ", ".join([f"trained with {training.trainer}", *progress])
            facts = replace(facts, evidence=(*(facts.evidence or ()), evidence))
        return facts

    def _name_guess(self, model_id: int, facts: Facts, stem: str, extension: str, owner: Ownership) -> Facts:
        """Return the facts with a file name that no other model has."""
        name = sd_name_of_file(stem, extension)
        if self._is_taken(name, owner, model_id):
            name = sd_name_of_file(stem, extension, model_id)
        self._names.setdefault(name, set()).add(owner.team if owner.visibility is Visibility.PRIVATE else None)
        return replace(facts, sd_name=name)

    def _is_taken(self, name: str, owner: Ownership, model_id: int) -> bool:
        team = owner.team if owner.visibility is Visibility.PRIVATE else None
        teams = self._names.get(name, ())
        if teams and (team is None or None in teams or team in teams):
            return True
        return self._writing.sd_name_taken(name, team, model_id)

    # --- files that are removed, come back or move

    def take_removals(self, records: Iterable[FileRecord]) -> list[FileOutcome]:
        """Record files as missing; a model without any other file becomes unavailable."""
        return [self._mark(record, FileState.MISSING, "gone", "the file is not there any more") for record in records]

    def take_returns(self, records: Iterable[FileRecord]) -> list[FileOutcome]:
        """Record missing files as present again."""
        return [
            self._mark(
                replace(record, node=self._node), FileState.BROKEN if record.reason else FileState.PRESENT, "updated"
            )
            for record in records
        ]

    def _mark(self, record: FileRecord, state: FileState, result: Result, reason: str = "") -> FileOutcome:
        record = replace(record, state=state)
        self._changed[record.path] = record, None
        if record.model_id is not None:
            self._load([record.model_id])
            self._files[record.model_id][record.path] = record
            self._refresh_status(record.model_id)
        return FileOutcome(record.path, result, record.model_id, reason)

    def take_renames(self, renames: Iterable[tuple[FoundFile, FileRecord]]) -> list[FileOutcome]:
        """Record the new paths of files; their models keep their names, because calls may use them."""
        outcomes = []
        for file, record in renames:
            # A file that became a part, or another one, is probed as well, because its digest changed.
            folder = file.part.folder if file.part and record.folder else record.folder
            self._changed[file.path] = replace(record, path=file.path, folder=folder), None
            if record.model_id is not None and record.folder is None:
                self._load([record.model_id])
                self._models.rename_file(record.model_id, names.guess(file.path, None, None).file_name)
            outcomes.append(FileOutcome(file.path, "moved", record.model_id))
        return outcomes

    def _refresh_status(self, model_id: int, reason: str | None = None) -> None:
        """Make a model available if it has a sound file, else unavailable."""
        entry = self._models.entry(model_id)
        header = entry.layers.get(Layer.HEADER) if entry else None
        if header is not None and header.has_parts:
            self._put_folder_model(model_id, header, Ownership())
            return
        records = [record for record in self._files.get(model_id, {}).values() if record.is_servable]
        self._models.set_files(model_id, [record.sha256 for record in records if record.sha256], reason)

    def _leave_model(self, row: FileRecord, target: Entry, *, is_same_file: bool) -> None:
        """Move a file from its old model to another: the old model is merged into that one, or loses the file."""
        assert row.model_id is not None, "the caller checks it"
        self._files.get(row.model_id, {}).pop(row.path, None)
        others = self._files.get(row.model_id, {}).values()
        is_alone = all(record.sha256 is not None and record.sha256 == row.sha256 for record in others)
        if is_same_file and row.model_id >= OWN_ID_MIN and is_alone and row.folder is None:
            self.merge(row.model_id, target.model.id)
        else:
            self._refresh_status(row.model_id)

    def merge(self, from_id: int, to_id: int) -> None:
        """Merge one model into another, which gets its facts and its files."""
        self._load([from_id, to_id])
        if not self._models.merge(from_id, to_id):
            return
        files.move_to_model(self._connection, from_id, to_id)
        for path, (record, inspection) in self._changed.items():
            if record.model_id == from_id:
                self._changed[path] = replace(record, model_id=to_id), inspection
        for path, record in self._files.pop(from_id, {}).items():
            self._files.setdefault(to_id, {})[path] = replace(record, model_id=to_id)

    def _forget_missing(self, sha256: str) -> bool:
        """Forget the missing files with these bytes, which have another path now; return whether there were any."""
        records = self._missing.pop(sha256, [])
        self._forgotten |= {record.id for record in records if record.id is not None}
        return bool(records)

    def _put_record(self, probe: ProbeResult, row: FileRecord | None, owner: Ownership, model_id: int | None) -> None:
        file = probe.file
        record = FileRecord(
            path=file.path,
            fingerprint=file.fingerprint,
            device=file.device,
            state=probe.state,
            source=owner.source,
            visibility=owner.visibility,
            team=owner.team,
            sidecars=file.sidecar_digest,
            verdict=probe.verdict,
            reason="" if probe.state is FileState.PRESENT else probe.reason,
            sha256=probe.sha256,
            autov3=probe.autov3,
            hashes_pending=probe.is_model and bool(probe.verdict) and probe.sha256 is None,
            model_id=model_id,
            folder=file.part.folder if file.part and model_id is not None else None,
            part=file.part.name if file.part and model_id is not None else None,
            linked_id=row.linked_id if row else None,
            node=self._node,
            id=row.id if row else None,
        )
        self._changed[file.path] = record, probe.inspection
        if model_id is not None:
            self._files.setdefault(model_id, {})[file.path] = record

    def finish(self) -> None:
        """Write all changes; models first, because files refer to them."""
        self._models.put()
        for model_id, texts in self._texts.items():
            if model_texts.put(self._connection, model_id, texts):
                self._models.touch(model_id)
        files.forget(self._connection, self._forgotten)
        files.put(self._connection, list(self._changed.values()))
        self._models.remove_merged()


def _hash_keys(hashes: Hashes) -> list[str]:
    """Return the keys of ``files.models_by_hash`` for a model with these hashes."""
    return [key for key in (hashes.sha256 or hashes.short, (hashes.autov3 or "")[:12]) if key]


def _may_join(owner: Ownership, model: Model) -> bool:
    if owner.visibility is Visibility.PUBLIC:
        return model.visibility is Visibility.PUBLIC
    return model.visibility is Visibility.PRIVATE and model.team == owner.team
