"""What sources say of a model: facts in layers, and how they become one.

Plain values; no I/O, no names of the API.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, fields

from modelyard.domain import Hashes, Model, ModelType, Source, Status, Visibility


class Layer(enum.IntEnum):
    """Where a fact came from. The greater value wins."""

    GUESS = 1
    HEADER = 2
    UPSTREAM = 3
    SIDECAR = 4
    USER = 5


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model, as its source describes it. None: the source does not say.

    ``size_kind`` is "full" or "pruned"; ``format`` and ``precision`` are the source's words. If a model consists of
    several files, ``role`` says what each is, such as ``unet`` or ``shard 1 of 2``, and ``name`` is a relative path.
    """

    name: str
    id: int | None = None
    type: str | None = None
    size_bytes: int | None = None
    format: str | None = None
    precision: str | None = None
    size_kind: str | None = None
    is_primary: bool = False
    hashes: Hashes | None = None
    role: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of one layer. None: the layer has no value. An empty value is a value.

    The API answers the first group; a model's page shows the second as well.
    """

    name: str | None = None
    sd_name: str | None = None
    type: ModelType | None = None
    base_model: str | None = None
    base_model_type: str | None = None
    is_nsfw: bool | None = None
    tags: tuple[str, ...] | None = None
    categories: tuple[str, ...] | None = None
    cover_url: str | None = None
    rank: int | None = None
    hashes: Hashes | None = None

    file_name: str | None = None
    size_bytes: int | None = None
    # All files of a model that has several, the one that ``sd_name`` names first.
    files: tuple[ModelFile, ...] | None = None
    upstream_model_id: int | None = None
    upstream_model_name: str | None = None
    trigger_words: tuple[str, ...] | None = None
    published_at: str | None = None
    licence: str | None = None
    notes: str | None = None
    evidence: tuple[str, ...] | None = None

    @property
    def has_parts(self) -> bool:
        """Whether the facts are of a model that consists of several files."""
        return any(file.role for file in self.files or ())


@dataclass(frozen=True, slots=True)
class Record:
    """One model as one source describes it. With ``id`` None the catalogue chooses the id."""

    id: int | None
    source: Source
    layer: Layer
    facts: Facts
    visibility: Visibility = Visibility.PUBLIC
    team: str | None = None
    status: Status = Status.AVAILABLE


@dataclass(frozen=True, slots=True)
class Entry:
    """One model as it is stored: the resolved model and its layers."""

    model: Model
    layers: Mapping[Layer, Facts]


FACT_NAMES = tuple(f.name for f in fields(Facts))


# Facts about the file that ``sd_name`` names, not about the model.
_FILE_FACTS = frozenset({"hashes", "file_name", "size_bytes"})


def fill_missing(newer: Facts, older: Facts) -> Facts:
    """Return ``newer`` with its missing and empty values filled from ``older``, an earlier record of the same source.

    An upstream that lost its tags, or that answers half a record after an outage, removes nothing. 0 and false are
    values. If the file is a different one, the facts about the old file are not used.
    """
    is_other_file = bool(newer.sd_name and older.sd_name and newer.sd_name != older.sd_name)
    merged: dict[str, object] = {}
    for name in FACT_NAMES:
        value, before = getattr(newer, name), getattr(older, name)
        if name in _FILE_FACTS and is_other_file:
            before = None
        if name == "hashes" and value is not None and before is not None:
            value = _merge_hashes(value, before)
        merged[name] = before if value is None or value in ("", ()) else value
    return Facts(**merged)  # type: ignore[arg-type] # each value comes from the field of the same name


def resolve(layers: Mapping[Layer, Facts]) -> Facts:
    """Return each fact from the strongest layer that has a value for it."""
    ordered = [layers[layer] for layer in sorted(layers, reverse=True)]
    if len(ordered) == 1:
        return ordered[0]
    resolved: dict[str, object] = {}
    for name in FACT_NAMES:
        values = [value for facts in ordered if (value := getattr(facts, name)) is not None]
        if name == "hashes" and len(values) > 1:
            for weaker in values[1:]:
                values[0] = _merge_hashes(values[0], weaker)
        resolved[name] = values[0] if values else None
    return Facts(**resolved)  # type: ignore[arg-type] # each value comes from the field of the same name


def _merge_hashes(stronger: Hashes, weaker: Hashes) -> Hashes:
    """Return the hashes of both if they are of one file, else the stronger ones."""
    pairs = [(getattr(stronger, f.name), getattr(weaker, f.name)) for f in fields(Hashes)]
    # AutoV2 is the beginning of SHA-256. Sources give AutoV3 whole, or its first 12 digits.
    if any(one and other and not _agree(one, other) for one, other in [*pairs, (stronger.short, weaker.short)]):
        return stronger
    return Hashes(*(max(one or "", other or "", key=len) or None for one, other in pairs))


def _agree(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)
