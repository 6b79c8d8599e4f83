"""From what sources say to what the catalogue keeps: layers are joined, the model is resolved, names are told apart.

One ``ModelWriter`` lives in one write transaction. It decides nothing about who may do what; that is the caller's.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from modelyard import errors
from modelyard.domain import (
    BaseModel,
    Entry,
    Facts,
    Hashes,
    Layer,
    Model,
    Record,
    Source,
    Status,
    Visibility,
    cover_path,
    fill_missing,
    fold_base,
    model_type,
    resolve,
)
from modelyard.store import WriteTransaction, covers, download_counts, refuse_unstorable

Result = Literal["added", "updated", "unchanged", "skipped"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the records about one model. ``id`` is None where it was skipped before it got one."""

    record: Record
    id: int | None
    result: Result
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ModelState:
    """What of a model is not a fact told by some layer: whose it is, and whether its file is here."""

    source: Source
    visibility: Visibility = Visibility.PUBLIC
    team: str | None = None
    status: Status = Status.AVAILABLE
    blob: str | None = None


def state_of(model: Model) -> ModelState:
    """Return the state of a model as it is."""
    return ModelState(model.source, model.visibility, model.team, model.status, model.blob)


class ModelWriter:
    """The entries that one transaction makes or changes; ``put`` writes them."""

    def __init__(self, writing: WriteTransaction, base_models: Iterable[BaseModel]) -> None:
        self._writing = writing
        self._bases = {fold_base(name): base for base in base_models for name in (base.name, *base.aliases)}
        self._entries: dict[int, Entry] = {}
        self._changed: dict[int, Entry] = {}
        self._downloads: dict[int, int] = {}
        # Covers that are kept here: found with a model, and fetched from an address ("" where that was not).
        self._covers: dict[int, str] = {}
        self._fetched: dict[str, str] = {}

    def load(self, ids: Collection[int]) -> None:
        """Read the entries that exist among ``ids``, all at once."""
        missing = [model_id for model_id in ids if model_id not in self._entries]
        self._entries |= self._writing.entries(missing)
        self._downloads |= download_counts.counts(self._writing.connection, missing)
        self._covers |= covers.of_models(self._writing.connection, missing)
        self._look_up(facts for id_ in missing if id_ in self._entries for facts in self._entries[id_].layers.values())

    def entry(self, model_id: int) -> Entry | None:
        """Return an entry as it is after what was set so far; ``load`` it first."""
        return self._entries.get(model_id)

    def take(self, batch: Sequence[Sequence[Record]]) -> list[Outcome]:
        """Join what sources say to what is known. One outcome for each run of records, which are about one model."""
        self.load([run[0].id for run in batch if run[0].id is not None])
        self._look_up(record.facts for run in batch for record in run)
        return [self._take(run) for run in batch]

    def _take(self, run: Sequence[Record]) -> Outcome:
        first = run[0]
        before = self._entries.get(first.id) if first.id is not None else None
        # A later word about the facts does not move a model to another owner, and does not let go of its file.
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
        """Make a model be what its layers and state say, and return it; ``model_id`` None gives it an id of ours.

        Raises InvalidValue for a model without a name, or with what no database keeps.
        """
        facts = resolve(layers)
        if not facts.name or not facts.sd_name:
            raise errors.InvalidValue("no name", field="name")
        if model_id is None:
            model_id = self._writing.next_own_id()
        entry = Entry(self._resolved(model_id, facts, layers, state), dict(layers))
        if self._entries.get(model_id) == entry:
            return entry
        refuse_unstorable(entry)
        self._note_base_model(entry.model.base_model)
        self._entries[model_id] = self._changed[model_id] = entry
        return entry

    def put(self) -> None:
        """Write what changed."""
        if self._changed:
            self._writing.put(list(self._changed.values()))
            self._changed = {}

    def _resolved(self, model_id: int, facts: Facts, layers: Mapping[Layer, Facts], state: ModelState) -> Model:
        base_model = facts.base_model or ""
        known = self._bases.get(fold_base(base_model))
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
            is_sdxl=known is not None and known.is_sdxl,
            is_nsfw=bool(facts.is_nsfw),
            tags=facts.tags or (),
            categories=facts.categories or (),
            cover_url=self._cover(model_id, facts, layers),
            # What is fetched from here counts beside what the source tells.
            rank=(facts.rank or 0) + self._downloads.get(model_id, 0),
            hashes=facts.hashes or Hashes(),
            blob=state.blob,
        )

    def _cover(self, model_id: int, facts: Facts, layers: Mapping[Layer, Facts]) -> str:
        """Return what the user says; else the cover that was found with the model; else what a source says.

        For an address that was fetched, the cover that it gave.
        """
        is_said = Layer.USER in layers and layers[Layer.USER].cover_url is not None
        if not is_said and model_id in self._covers:
            return cover_path(self._covers[model_id])
        self._look_up([facts])
        address = facts.cover_url or ""
        name = self._fetched.get(address)
        return cover_path(name) if name else address

    def _look_up(self, told: Iterable[Facts]) -> None:
        """Learn which of the addresses that are told were fetched."""
        outside = {facts.cover_url for facts in told if facts.cover_url and facts.cover_url.startswith("http")}
        if missing := outside - self._fetched.keys():
            self._fetched |= dict.fromkeys(missing, "") | covers.at_addresses(self._writing.connection, missing)

    def _note_base_model(self, name: str) -> None:
        """Keep a base model that nobody knew as its source spells it."""
        if name and fold_base(name) not in self._bases:
            unknown = self._bases[fold_base(name)] = BaseModel(name, architecture="", is_sdxl=False)
            self._writing.put_base_model(unknown)


def merge_layer(layer: Layer, newer: Facts, older: Facts | None) -> Facts:
    """Return what a layer says after it spoke again."""
    if older is None:
        return newer
    if layer is Layer.USER:
        # A user who empties a field means it: only silence keeps what was said before.
        return resolve({Layer.USER: newer, Layer.GUESS: older})
    return fill_missing(newer, older)
