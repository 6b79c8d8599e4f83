"""What was seen of files becomes models: matched by hash, merged, named, in one write transaction.

A file with hashes is the model that has its SHA-256, if whoever may see the one may see the other; a public file never
joins a team's private model, and a private file never a public one, whose download it would become. Otherwise it is a
model of ours. Where a known model has the same bytes or tensors and cannot be joined, what upstream says of it is
copied: what the tensors cannot tell (Pony or Illustrious) is known by the hash.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from modelyard import errors
from modelyard.domain import OWN_ID_MIN, Entry, Facts, Hashes, Layer, Model, Source, Status, Visibility, fill_missing
from modelyard.inspection import Verdict
from modelyard.library import names
from modelyard.library.folder_hints import FolderHint
from modelyard.library.probe import ProbeResult, contradicted
from modelyard.library.served_files import is_sound
from modelyard.library.trainers import trained_name
from modelyard.library.walk import FoundFile
from modelyard.registry.models import FileModels
from modelyard.registry.writer import ModelState, state_of
from modelyard.store import WriteTransaction, blobs, files
from modelyard.store.files import FileRecord, FileState

Result = Literal["added", "updated", "matched", "moved", "broken", "gone", "later", "other"]


@dataclass(frozen=True, slots=True)
class Ownership:
    """Whose models files become: everybody's, as the operator's own, or a team's."""

    source: Source = Source.UPLOADING
    team: str | None = None
    visibility: Visibility = Visibility.PUBLIC


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """What became of one file."""

    path: bytes
    result: Result
    model_id: int | None = None
    reason: str = ""


class Reconciler:
    """One transaction's work on files; ``finish`` writes what changed."""

    def __init__(self, writing: WriteTransaction) -> None:
        self._writing = writing
        self._connection = writing.connection
        self._models = FileModels(writing)
        # Names given in this transaction, with the teams that alone see them; None is everybody.
        self._names: dict[str, set[str | None]] = {}
        self._rows: dict[bytes, FileRecord] = {}
        self._changed: dict[bytes, tuple[FileRecord, str | None]] = {}
        self._by_hash: dict[str, list[int]] = {}
        self._files: dict[int, dict[bytes, FileRecord]] = {}
        self._missing: dict[str, list[FileRecord]] = {}
        self._forgotten: set[int] = set()

    # --- what was looked at

    def take(
        self, looks: Sequence[ProbeResult], owner: Ownership, hints: Mapping[bytes, FolderHint]
    ) -> list[FileOutcome]:
        """Make of each look what it is."""
        self._rows |= files.at_paths(self._connection, [look.found.path for look in looks])
        hashed = [look for look in looks if look.sha256]
        sha256s = [look.sha256 for look in hashed if look.sha256]
        autov3s = [look.autov3 for look in hashed if look.autov3]
        self._by_hash = files.models_by_hash(self._connection, sha256s, autov3s)
        for known in files.with_sha256(self._connection, sha256s):
            # One that is looked at itself is not missing any more, whatever became of its bytes.
            is_missing = known.state is FileState.MISSING and known.path not in self._rows
            if is_missing and known.sha256:
                self._missing.setdefault(known.sha256, []).append(known)
        ids = {id_ for found in self._by_hash.values() for id_ in found}
        ids |= {row.model_id for row in self._rows.values() if row.model_id is not None}
        self._load(ids)
        return [self._take(look, owner, hints.get(look.found.path)) for look in looks]

    def _load(self, ids: Iterable[int]) -> None:
        wanted = [id_ for id_ in ids if id_ not in self._files]
        self._models.load(wanted)
        of_models = files.of_models(self._connection, wanted)
        for id_ in wanted:
            self._files[id_] = {known.path: known for known in of_models.get(id_, [])}

    def _take(self, look: ProbeResult, owner: Ownership, hint: FolderHint | None) -> FileOutcome:
        row = self._rows.get(look.found.path)
        if look.state is FileState.MISSING:
            return FileOutcome(look.found.path, "gone")
        if row is not None:
            entry = self._models.entry(row.model_id)
            # Who added it first says whose it is, and the owner of its model by now who may see it.
            owner = Ownership(row.source, row.team, entry.model.visibility if entry else row.visibility)
            look = _with_known_hashes(look, row, entry)
            if row.model_id is None and row.verdict and _is_same(look.found, row):
                # Its model was removed, by somebody who knew why, or it never was one.
                self._put(look, row, owner, None)
                return FileOutcome(look.found.path, "updated")
        if look.state is FileState.CHANGED or not look.verdict or not (look.is_model or row):
            return self._put_aside(look, row, owner)
        model_id, is_joined = self._model_of(look, row, owner)
        try:
            entry = self._set(model_id, look, row, owner, hint)
        except errors.InvalidValue as problem:
            return self._put_aside(replace(look, state=FileState.BROKEN, reason=problem.message), row, owner)
        result: Result = "added" if model_id is None else "matched" if is_joined else "updated"
        # Only now is it known by its hash which file this is.
        is_first_hash = look.sha256 is not None and (row is None or row.hashes_pending)
        if is_first_hash and self._forget_moved(look.sha256 or ""):
            result = "moved"
        if row is not None and row.model_id not in (None, entry.model.id):
            self._leave(row, entry, is_same_file=row.hashes_pending and _is_same(look.found, row))
        self._put(look, row, owner, entry.model.id)
        if look.state is FileState.BROKEN:
            return FileOutcome(look.found.path, "broken", entry.model.id, look.reason)
        return FileOutcome(look.found.path, result, entry.model.id)

    def _put_aside(self, look: ProbeResult, row: FileRecord | None, owner: Ownership) -> FileOutcome:
        """Note a file that makes no model now; the model it was is without it."""
        self._put(look, row, owner, row.model_id if row else None)
        if row is not None and row.model_id is not None and look.state is FileState.BROKEN:
            self._refresh_status(row.model_id, because=f"error: {look.reason}")
        result: Result = "broken"
        if look.state is FileState.CHANGED:
            result = "later"
        elif look.verdict and not look.is_model:
            result = "other"
        return FileOutcome(look.found.path, result, row.model_id if row else None, look.reason)

    def _model_of(self, look: ProbeResult, row: FileRecord | None, owner: Ownership) -> tuple[int | None, bool]:
        """Return the model that a file is, None for one to be made, and whether it was known before the file."""
        known = self._entries_with_hash((look.sha256 or "").upper())
        if look.sha256:
            known += self._entries_with_hash(look.sha256[:10].upper())
            # A model that is known by AutoV3 alone can be this file; one with another SHA-256 cannot.
            third = self._entries_with_hash((look.autov3 or "")[:12])
            known += [entry for entry in third if not entry.model.hashes.short]
        fitting = sorted(
            {entry.model.id for entry in known if _may_join(owner, entry.model)},
            key=lambda id_: (id_ >= OWN_ID_MIN, id_),
        )
        if fitting:
            is_own = row is not None and row.model_id in fitting and fitting[0] >= OWN_ID_MIN
            chosen = row.model_id if is_own and row is not None else fitting[0]
            return chosen, row is None or row.model_id != chosen
        if row is not None and row.model_id is not None and self._stays(row, look):
            return row.model_id, False
        return None, False

    def _entries_with_hash(self, key: str) -> list[Entry]:
        return [entry for id_ in self._by_hash.get(key, []) if (entry := self._models.entry(id_))]

    def _stays(self, row: FileRecord, look: ProbeResult) -> bool:
        """Whether a file is still the same model: with the same bytes, or with others if it alone makes one of ours."""
        assert row.model_id is not None, "asked of a file with a model"
        entry = self._models.entry(row.model_id)
        if entry is None:
            return False
        if look.sha256 is not None and look.sha256 == row.sha256:
            return True
        if row.model_id < OWN_ID_MIN:
            return False
        others = [known for path, known in self._files.get(row.model_id, {}).items() if path != row.path]
        is_kept_elsewhere = entry.model.blob is not None and blobs.find(self._connection, entry.model.blob) is not None
        return not is_kept_elsewhere and not any(known.is_there for known in others)

    # --- the model

    def _set(
        self, model_id: int | None, look: ProbeResult, row: FileRecord | None, owner: Ownership, hint: FolderHint | None
    ) -> Entry:
        before = self._models.entry(model_id)
        model_id = self._models.next_id() if model_id is None else model_id
        layers = {} if before else dict(self._known_elsewhere(look))
        layers[Layer.HEADER] = self._header(look, model_id)
        if look.told.facts is not None:
            layers[Layer.SIDECAR] = look.told.facts
        # A second file of a model says nothing of its name.
        if model_id >= OWN_ID_MIN and (before is None or (row is not None and row.model_id == model_id)):
            layers[Layer.GUESS] = self._guess(
                model_id, look, owner, hint, before.layers.get(Layer.GUESS) if before else None
            )
        is_usable = look.state is FileState.PRESENT and look.sha256 is not None
        status = Status.AVAILABLE if is_usable else Status.UNAVAILABLE
        state = state_of(before.model) if before else ModelState(owner.source, owner.visibility, owner.team)
        if before is not None and row is not None and _is_same(look.found, row) and row.state is look.state:
            # Nothing about the file itself is new: what its owner made of the model stays.
            status = before.model.status if not row.hashes_pending else status
        state = replace(state, status=status, blob=look.sha256)
        entry = self._models.put_file(model_id, layers, state)
        self._note_hashes(before, entry)
        return entry

    def _note_hashes(self, before: Entry | None, after: Entry) -> None:
        """Have the files that follow match the hashes that a model has now, and no others.

        A file that was copied and then changed has given its model other hashes: the copy is not that model.
        """
        for key in _hash_keys(before.model.hashes) if before else ():
            if after.model.id in self._by_hash.get(key, ()):
                self._by_hash[key].remove(after.model.id)
        for key in _hash_keys(after.model.hashes):
            self._by_hash.setdefault(key, []).append(after.model.id)

    def _header(self, look: ProbeResult, model_id: int) -> Facts:
        same = [id_ for id_ in self._by_hash.get((look.autov3 or "")[:12], []) if look.autov3 and id_ != model_id]
        lines = [f"the same tensors as model {id_} (AutoV3 {(look.autov3 or '')[:12]})" for id_ in dict.fromkeys(same)]
        return replace(look.header, evidence=(*(look.header.evidence or ()), *lines)) if lines else look.header

    def _known_elsewhere(self, look: ProbeResult) -> Mapping[Layer, Facts]:
        """Return what upstream says of a model with these bytes or tensors that the file may not join."""
        keys = ((look.sha256 or "").upper(), (look.sha256 or "")[:10].upper(), (look.autov3 or "")[:12])
        for id_ in (id_ for key in keys if key for id_ in self._by_hash.get(key, [])):
            entry = self._models.entry(id_)
            if entry and entry.model.visibility is Visibility.PUBLIC and Layer.UPSTREAM in entry.layers:
                told = entry.layers[Layer.UPSTREAM]
                bare = replace(told, sd_name=None, rank=None, hashes=None, size_bytes=None, file_name=None)
                return {Layer.UPSTREAM: bare}
        return {}

    def _guess(
        self, model_id: int, look: ProbeResult, owner: Ownership, hint: FolderHint | None, older: Facts | None
    ) -> Facts:
        training = look.training if owner.source is Source.TRAINING else None
        found = names.guess(look.found.path, hint, training)
        stem, extension = names.split_name(look.found.path)
        if training is not None and look.sha256:
            name = trained_name(training.finished_at, look.sha256, extension or "safetensors")
            stem, extension = names.split_name(name.encode())
        elif older is not None and older.sd_name:
            # A name that calls may use by now: it stays when the file is renamed.
            return replace(fill_missing(found, older), name=older.name, sd_name=older.sd_name)
        name = names.sd_name(stem, extension)
        if self._is_taken(name, owner, model_id):
            name = names.sd_name(stem, extension, model_id)
        self._names.setdefault(name, set()).add(owner.team if owner.visibility is Visibility.PRIVATE else None)
        if training is not None and training.trainer:
            progress = [f"{training.steps} steps"] if training.steps else []
            progress += [f"{training.epochs} epochs"] if training.epochs else []
            told = ", ".join([f"trained with {training.trainer}", *progress])
            found = replace(found, evidence=(*(found.evidence or ()), told))
        return replace(found, sd_name=name)

    def _is_taken(self, name: str, owner: Ownership, model_id: int) -> bool:
        team = owner.team if owner.visibility is Visibility.PRIVATE else None
        given = self._names.get(name, ())
        if given and (team is None or None in given or team in given):
            return True
        return self._writing.sd_name_taken(name, team, model_id)

    # --- files that come and go

    def take_gone(self, gone: Iterable[FileRecord]) -> list[FileOutcome]:
        """Note files that are not there any more; a model without any is unavailable."""
        return [self._mark(known, FileState.MISSING, "gone", "the file is not there any more") for known in gone]

    def take_back(self, back: Iterable[FileRecord]) -> list[FileOutcome]:
        """Note files that are there again as they were."""
        return [self._mark(known, FileState.BROKEN if known.reason else FileState.PRESENT, "updated") for known in back]

    def _mark(self, known: FileRecord, state: FileState, result: Result, reason: str = "") -> FileOutcome:
        marked = replace(known, state=state)
        self._changed[known.path] = marked, None
        if known.model_id is not None:
            self._load([known.model_id])
            self._files[known.model_id][known.path] = marked
            self._refresh_status(known.model_id)
        return FileOutcome(known.path, result, known.model_id, reason)

    def take_renamed(self, renamed: Iterable[tuple[FoundFile, FileRecord]]) -> list[FileOutcome]:
        """Note that files have another name; the models keep theirs, which calls may use."""
        settled = []
        for found, known in renamed:
            marked = replace(known, path=found.path)
            self._changed[found.path] = marked, None
            if known.model_id is not None:
                self._load([known.model_id])
                self._models.rename_file(known.model_id, names.guess(found.path, None, None).file_name)
            settled.append(FileOutcome(found.path, "moved", known.model_id))
        return settled

    def _refresh_status(self, model_id: int, because: str | None = None) -> None:
        """Make a model available if a sound file of it is there, and unavailable if none is."""
        has_file = any(is_sound(known) for known in self._files.get(model_id, {}).values())
        self._models.set_has_file(model_id, has_file, because)

    def _leave(self, row: FileRecord, joined: Entry, *, is_same_file: bool) -> None:
        """A file turned out to be another model than it was. Its old one is that model, or has lost its file."""
        assert row.model_id is not None, "it was a model"
        self._files.get(row.model_id, {}).pop(row.path, None)
        if is_same_file and row.model_id >= OWN_ID_MIN and not self._files.get(row.model_id):
            self.merge(row.model_id, joined.model.id)
        else:
            self._refresh_status(row.model_id)

    def merge(self, from_id: int, to_id: int) -> None:
        """Make one model of two: what was said of the first is said of the second, and its files are the second's."""
        self._load([from_id, to_id])
        if not self._models.merge(from_id, to_id):
            return
        files.move_to_model(self._connection, from_id, to_id)
        for path, (known, inspection) in self._changed.items():
            if known.model_id == from_id:
                self._changed[path] = replace(known, model_id=to_id), inspection
        for path, known in self._files.pop(from_id, {}).items():
            self._files.setdefault(to_id, {})[path] = replace(known, model_id=to_id)

    def _forget_moved(self, sha256: str) -> bool:
        """Forget the missing files with these bytes, which are at another path now; return whether there were any."""
        moved = self._missing.pop(sha256, [])
        self._forgotten |= {known.id for known in moved if known.id is not None}
        return bool(moved)

    def _put(self, look: ProbeResult, row: FileRecord | None, owner: Ownership, model_id: int | None) -> None:
        found = look.found
        known = FileRecord(
            path=found.path,
            size_bytes=found.size_bytes,
            mtime_ns=found.mtime_ns,
            inode=found.inode,
            device=found.device,
            state=look.state,
            source=owner.source,
            visibility=owner.visibility,
            team=owner.team,
            sidecars=found.looks,
            verdict=look.verdict,
            reason="" if look.state is FileState.PRESENT else look.reason,
            sha256=look.sha256,
            autov3=look.autov3,
            hashes_pending=look.is_model and bool(look.verdict) and look.sha256 is None,
            model_id=model_id,
            id=row.id if row else None,
        )
        self._changed[found.path] = known, look.inspection
        if model_id is not None:
            self._files.setdefault(model_id, {})[found.path] = known

    def finish(self) -> None:
        """Write everything, models before the files that point at them."""
        self._models.put()
        files.forget(self._connection, self._forgotten)
        files.put(self._connection, list(self._changed.values()))
        self._models.remove_merged()


def _is_same(found: FoundFile, row: FileRecord) -> bool:
    return (found.size_bytes, found.mtime_ns, found.inode) == (row.size_bytes, row.mtime_ns, row.inode)


def _hash_keys(hashes: Hashes) -> list[str]:
    """Return what a model with these hashes is found by, as ``files.models_by_hash`` spells it."""
    return [key for key in (hashes.sha256 or hashes.short, (hashes.autov3 or "")[:12]) if key]


def _may_join(owner: Ownership, model: Model) -> bool:
    if owner.visibility is Visibility.PUBLIC:
        return model.visibility is Visibility.PUBLIC
    return model.visibility is Visibility.PRIVATE and model.team == owner.team


def _with_known_hashes(look: ProbeResult, row: FileRecord, entry: Entry | None) -> ProbeResult:
    """A file that did not change keeps its hashes when only its side-cars were read again."""
    if look.sha256 is not None or row.sha256 is None or not _is_same(look.found, row):
        return look
    header = entry.layers.get(Layer.HEADER) if entry else None
    facts = replace(look.header, hashes=header.hashes) if header else look.header
    look = replace(look, sha256=row.sha256, autov3=row.autov3, header=facts)
    if look.told.checksum in (None, row.sha256) or look.state is not FileState.PRESENT:
        return look
    reason = contradicted(row.sha256, look.told.checksum)
    evidence = (f"{Verdict.ERROR}: {reason}", *(facts.evidence or ()))
    header = replace(facts, evidence=evidence)
    return replace(look, state=FileState.BROKEN, verdict=Verdict.ERROR.value, reason=reason, header=header)
