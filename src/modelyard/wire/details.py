"""The details of a model on the wire: everything that is known of it, its files, its versions and its layers."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from modelyard.domain import Licence, Model, Verdict
from modelyard.facts import (
    FACT_NAMES,
    Entry,
    Facts,
    Image,
    Layer,
    ModelFile,
    Recommended,
    Resource,
    format_date,
    resolve,
)
from modelyard.wire.air import air_of

_HASH_NAMES = ("autov1", "autov2", "autov3", "sha256", "blake3", "crc32")
# The strongest first.
LAYER_NAMES: Mapping[Layer, str] = {
    Layer.USER: "user",
    Layer.SIDECAR: "side-car",
    Layer.UPSTREAM: "upstream",
    Layer.HEADER: "header",
    Layer.GUESS: "guess",
}


class FileRecord(msgspec.Struct, frozen=True):
    """One file of a model. ``scan`` is the verdict of this server, null if it has not checked the file."""

    id: int | None
    name: str
    type: str | None
    size_bytes: int | None
    format: str | None
    precision: str | None
    size_kind: str | None
    is_primary: bool
    role: str | None
    hashes: dict[str, str]
    scan: Verdict | None
    is_here: bool


class VersionRecord(msgspec.Struct, frozen=True):
    """Another version of the same model, or the model itself."""

    id: int
    name: str
    base_model: str
    published_at: str | None
    size_bytes: int | None
    status: int


class VersionGroup(msgspec.Struct, frozen=True):
    """The versions of one model that the caller may see, the newest first."""

    id: str
    versions: list[VersionRecord]


class FactRecord(msgspec.Struct, frozen=True):
    """The value of a fact, and the layer that it comes from."""

    value: Any
    layer: str


class DetailsRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What the details of a model have besides the fields of the list. null: unknown."""

    title: str
    description: str
    creator: str
    version_group: VersionGroup | None
    files: list[FileRecord]
    trigger_words: Sequence[str]
    recommended: dict[str, Any] | None
    licence: Licence | None
    images: list[dict[str, Any]]
    published_at: str | None
    updated_at: str | None
    added_at: str | None
    size_bytes: int | None
    air: str | None
    facts: dict[str, FactRecord]
    layers: dict[str, dict[str, Any]]


def make_details(entry: Entry, files: list[FileRecord], versions: Sequence[Model]) -> DetailsRecord:
    """Return the details of a model. ``versions`` are those of its group that the caller may see."""
    model, facts = entry.model, resolve(entry.layers) if entry.layers else Facts()
    air = air_of(model, facts.upstream_model_id)
    return DetailsRecord(
        title=model.title,
        description=facts.description or "",
        creator=model.creator,
        version_group=VersionGroup(model.version_group, [_make_version(version) for version in versions])
        if model.version_group
        else None,
        files=files,
        trigger_words=model.trigger_words,
        recommended=_members(facts.recommended, Recommended) if facts.recommended else None,
        licence=model.licence,
        images=[_make_image(image) for image in facts.images or ()],
        published_at=_format_date(model.published_at),
        updated_at=_format_date(model.updated_at),
        added_at=_format_date(model.added_at),
        size_bytes=model.size_bytes,
        air=str(air) if air else None,
        facts=explain_facts(entry.layers),
        layers=explain_layers(entry.layers),
    )


def make_file(file: ModelFile, scan: Verdict | None, *, is_here: bool) -> FileRecord:
    """Return one file of a model."""
    hashes = {name: digits for name in _HASH_NAMES if file.hashes and (digits := getattr(file.hashes, name))}
    if file.hashes and file.hashes.short:
        hashes["autov2"] = file.hashes.short
    return FileRecord(
        file.id,
        file.name,
        file.type,
        file.size_bytes,
        file.format,
        file.precision,
        file.size_kind,
        file.is_primary,
        file.role,
        hashes,
        scan,
        is_here,
    )


def explain_facts(layers: Mapping[Layer, Facts]) -> dict[str, FactRecord]:
    """Return every fact with the layer that it comes from."""
    values = known_facts(resolve(layers)) if layers else {}
    return {name: FactRecord(value, list_values(layers, name)[0][0]) for name, value in values.items()}


def explain_layers(layers: Mapping[Layer, Facts]) -> dict[str, dict[str, Any]]:
    """Return the facts of each layer, the strongest first."""
    return {text: known_facts(layers[layer]) for layer, text in LAYER_NAMES.items() if layer in layers}


def list_values(layers: Mapping[Layer, Facts], name: str) -> list[tuple[str, Any]]:
    """Return the layers that have a value for a fact, with the value, the strongest layer first."""
    return [
        (text, value)
        for layer, text in LAYER_NAMES.items()
        if layer in layers and (value := getattr(layers[layer], name)) is not None
    ]


def known_facts(facts: Facts | None) -> dict[str, Any]:
    """Return the facts of a layer that it has."""
    values: dict[str, Any] = {} if facts is None else msgspec.to_builtins(facts)
    return {name: values[name] for name in FACT_NAMES if values.get(name) is not None}


def _make_version(model: Model) -> VersionRecord:
    published_at = _format_date(model.published_at)
    return VersionRecord(model.id, model.name, model.base_model, published_at, model.size_bytes, int(model.status))


def _make_image(image: Image) -> dict[str, Any]:
    return _members(image, Image) | {"resources": [_members(item, Resource) for item in image.resources]}


def _members(value: object, kind: type[Image | Resource | Recommended]) -> dict[str, Any]:
    return {name: getattr(value, name) for name in kind.__dataclass_fields__}


def _format_date(seconds: int | None) -> str | None:
    return None if seconds is None else format_date(seconds)
