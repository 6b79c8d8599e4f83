"""Merges the facts of sources into layers, and resolves models from their layers.

A ``ModelWriter`` belongs to one write transaction. It checks no permissions: ``models`` and its callers do.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from modelyard import errors
from modelyard.domain import BaseModel, Hashes, Model, Source, Status, Visibility, cover_path, fold_base, model_type
from modelyard.facts import Entry, Facts, Layer, Record, fill_missing, resolve, resolve_details
from modelyard.registry.names import keep_name
from modelyard.store import WriteTransaction, covers

Result = Literal["added", "updated", "unchanged", "skipped"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of importing the records about one model. ``id`` is None for a model that was skipped as new."""

    record: Record
    id: int | None
    result: Result
    reason: str = ""


# The entries that an import would have written so far, by id.
Rehearsal = dict[int, Entry]


@dataclass(frozen=True, slots=True)
class ModelState:
    """The part of a model that comes from no layer: its source, owner, visibility, status and blob."""

    source: Source
    visibility: Visibility = Visibility.PUBLIC
    team: str | None = None
    status: Status = Status.AVAILABLE
    blob: str | None = None
    # When the model was first stored; None: it is new.
    added_at: int | None = None


def state_of(model: Model) -> ModelState:
    """Return the state of a model."""
    return ModelState(model.source, model.visibility, model.team, model.status, model.blob, model.added_at)


class ModelWriter:
    """The entries that one transaction makes or changes. ``put`` writes them."""

    def __init__(self, transaction: WriteTransaction) -> None:
        self._transaction = transaction
        # By folded name and alias; read when a base model has to be looked up.
        self._bases: dict[str, BaseModel] | None = None
        self._entries: dict[int, Entry] = {}
        self._changed: dict[int, Entry] = {}
        self._downloads: dict[int, int] = {}
        # Names of covers on this server: by model, and by the address they were fetched from ("": not fetched).
        self._cover_by_id: dict[int, str] = {}
        self._cover_by_address: dict[str, str] = {}

    def load(self, ids: Collection[int]) -> None:
        """Read the entries that exist among ``ids``, all at once."""
        missing = [model_id for model_id in ids if model_id not in self._entries]
        self._entries |= self._transaction.entries(missing)
        counts, names = covers.counts_and_covers(self._transaction.connection, missing)
        self._downloads |= counts
        self._cover_by_id |= names
        self._look_up(facts for id_ in missing if id_ in self._entries for facts in self._entries[id_].layers.values())

    def entry(self, model_id: int) -> Entry | None:
        """Return an entry with the changes so far. ``load`` it first."""
        return self._entries.get(model_id)

    def take(self, batch: Sequence[Sequence[Record]], rehearsal: Rehearsal | None = None) -> list[Outcome]:
        """Merge records into their models. Each run of records is about one model and has one outcome.

        In a rehearsal, the entries that earlier batches would have written count as stored.
        """
        ids = [run[0].id for run in batch if run[0].id is not None]
        self._read_bases()
        self.load(ids)
        if rehearsal is not None:
            self._entries |= {model_id: rehearsal[model_id] for model_id in ids if model_id in rehearsal}
        self._look_up(record.facts for run in batch for record in run)
        outcomes = [self._take(run) for run in batch]
        if rehearsal is not None:
            rehearsal |= self._changed
        return outcomes

    def _take(self, run: Sequence[Record]) -> Outcome:
        first = run[0]
        before = self._entries.get(first.id) if first.id is not None else None
        # A later record changes facts only. The model keeps its owner and its file.
        state = (
            state_of(before.model) if before else ModelState(first.source, first.visibility, first.team, first.status)
        )
        layers = dict(before.layers) if before else {}
        for record in run:
            layers[record.layer] = merge_layer(record.layer, record.facts, layers.get(record.layer))
        try:
            after = self.set(first.id, layers, state)
        except errors.InvalidValue as problem:
            return Outcome(first, None, "skipped", problem.message)
        if before is None:
            return Outcome(first, after.model.id, "added")
        return Outcome(first, after.model.id, "unchanged" if after == before else "updated")

    def set(self, model_id: int | None, layers: Mapping[Layer, Facts], state: ModelState) -> Entry:
        """Resolve a model from its layers and state, and return it. For ``model_id`` None it gets an id of ours.

        Raises InvalidValue for a model without a name, or with a value that a database cannot store.
        """
        facts = resolve(layers)
        if not facts.name or not facts.sd_name:
            raise errors.InvalidValue("no name", field="name")
        if model_id is None:
            model_id = self._transaction.next_own_id()
        entry = Entry(self._resolved(model_id, facts, layers, state), dict(layers))
        if self._entries.get(model_id) == entry:
            return entry
        self._transaction.check(entry)
        if not self._keeps_base_model(model_id, entry.model.base_model):
            self._note_base_model(entry.model.base_model)
        self._entries[model_id] = self._changed[model_id] = entry
        return entry

    def put(self) -> None:
        """Write the entries that changed."""
        if self._changed:
            self._transaction.put(list(self._changed.values()))
            self._changed = {}

    def _resolved(self, model_id: int, facts: Facts, layers: Mapping[Layer, Facts], state: ModelState) -> Model:
        base_model = facts.base_model or ""
        return Model(
            id=model_id,
            name=facts.name or "",
            sd_name=facts.sd_name or "",
            type=facts.type or model_type("unknown"),
            source=state.source,
            visibility=state.visibility,
            team=state.team,
            status=state.status,
            base_model=base_model,
            base_model_type=facts.base_model_type or "",
            is_sdxl=self._is_sdxl(model_id, base_model),
            is_nsfw=bool(facts.is_nsfw),
            tags=facts.tags or (),
            categories=facts.categories or (),
            cover_url=self._cover(model_id, facts, layers),
            # Downloads from this server count in addition to those of the source.
            rank=(facts.rank or 0) + self._downloads.get(model_id, 0),
            hashes=facts.hashes or Hashes(),
            blob=state.blob,
            added_at=self._find_added_at(model_id, state),
            **resolve_details(facts, layers, state.team),
        )

    def _read_bases(self) -> dict[str, BaseModel]:
        if self._bases is None:
            bases = self._transaction.base_models()
            self._bases = {fold_base(name): base for base in bases for name in (base.name, *base.aliases)}
        return self._bases

    def _keeps_base_model(self, model_id: int, name: str) -> bool:
        """Whether the base model of a model stays, and none was read: then nothing has to be looked up."""
        before = self._entries.get(model_id)
        return self._bases is None and before is not None and before.model.base_model == name

    def _is_sdxl(self, model_id: int, name: str) -> bool:
        if self._keeps_base_model(model_id, name):
            return self._entries[model_id].model.is_sdxl
        base = self._read_bases().get(fold_base(name))
        return base is not None and base.is_sdxl

    def _find_added_at(self, model_id: int, state: ModelState) -> int | None:
        """Return when the model was first stored: now, if it is new; None, if a version stored it that did not note."""
        before = self._entries.get(model_id)
        return before.model.added_at if before else state.added_at or self._transaction.now

    def _cover(self, model_id: int, facts: Facts, layers: Mapping[Layer, Facts]) -> str:
        """Return the user's cover; else the cover found with the file; else the cover of a source.

        For an address that was fetched, return the path of the fetched cover.
        """
        has_user_cover = Layer.USER in layers and layers[Layer.USER].cover_url is not None
        if not has_user_cover and model_id in self._cover_by_id:
            return cover_path(self._cover_by_id[model_id])
        self._look_up([facts])
        address = facts.cover_url or ""
        name = self._cover_by_address.get(address)
        return cover_path(name) if name else address

    def _look_up(self, layers: Iterable[Facts]) -> None:
        """Read which of the layers' cover addresses were fetched."""
        addresses = (facts.cover_url for facts in layers)
        known = self._cover_by_address
        # No difference of sets: Python would walk all known addresses for each model.
        if missing := {url for url in addresses if url and url not in known and url.startswith("http")}:
            self._cover_by_address |= dict.fromkeys(missing, "") | covers.at_addresses(
                self._transaction.connection, missing
            )

    def _note_base_model(self, name: str) -> None:
        """Store a base model that is new, as its source spells it."""
        bases = self._read_bases()
        if name and fold_base(name) not in bases:
            base = bases[fold_base(name)] = BaseModel(name, architecture="", is_sdxl=False)
            self._transaction.put_base_model(base)


def merge_layer(layer: Layer, newer: Facts, older: Facts | None) -> Facts:
    """Return a layer after another record of the same source."""
    if older is None:
        return newer
    if layer is Layer.USER:
        # A user may empty a field on purpose: only a missing field keeps its value.
        return resolve({Layer.USER: newer, Layer.GUESS: older})
    return fill_missing(keep_name(newer, older), older)
