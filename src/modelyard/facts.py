"""What sources say of a model: facts in layers, and how they become one.

Plain values; no I/O, no names of the API.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

from modelyard.domain import DATE_SECONDS_MAX, Hashes, Licence, Model, ModelType, Source, Status, Visibility

_INT64_MAX = 2**63 - 1


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
class Resource:
    """A model that an image was made with. None: the source does not say."""

    name: str | None = None
    type: str | None = None
    weight: float | None = None
    hash: str | None = None
    version_id: int | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """An example image of a model: its address, and how it was made. None: the source does not say."""

    url: str
    width: int | None = None
    height: int | None = None
    is_nsfw: bool | None = None
    prompt: str | None = None
    negative_prompt: str | None = None
    seed: int | None = None
    sampler: str | None = None
    steps: int | None = None
    cfg: float | None = None
    resources: tuple[Resource, ...] = ()


@dataclass(frozen=True, slots=True)
class Recommended:
    """The values that a source recommends for generation. None: the source does not say."""

    weight: float | None = None
    weight_min: float | None = None
    weight_max: float | None = None
    clip_skip: int | None = None
    sampler: str | None = None
    steps: int | None = None
    cfg: float | None = None


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
    # The name of all versions together: the upstream model's, or the display title of an own model.
    title: str | None = None
    # Plain text, never HTML.
    description: str | None = None
    creator: str | None = None
    trigger_words: tuple[str, ...] | None = None
    recommended: Recommended | None = None
    images: tuple[Image, ...] | None = None
    # The owner's name for the versions of one model. Versions of an upstream model have its id instead.
    version_group: str | None = None
    # In ISO 8601, as the source spells it.
    published_at: str | None = None
    updated_at: str | None = None
    licence: Licence | None = None
    notes: str | None = None
    evidence: tuple[str, ...] | None = None

    @property
    def has_parts(self) -> bool:
        """Whether the facts are of a model that consists of several files."""
        return any(file.role for file in self.files or ())


@dataclass(frozen=True, slots=True)
class Record:
    """One model as one source describes it. With ``id`` None the catalogue chooses the id.

    ``origin`` names a model of another catalogue, ``<catalogue>/<id>``: records with it are about the same model here.
    """

    id: int | None
    source: Source
    layer: Layer
    facts: Facts
    visibility: Visibility = Visibility.PUBLIC
    team: str | None = None
    status: Status = Status.AVAILABLE
    origin: str | None = None


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
        if name == "images" and value and before:
            value = _merge_images(value, before)
        merged[name] = before if value is None or value in ("", ()) else value
    return Facts(**merged)  # type: ignore[arg-type] # each value comes from the field of the same name


def _merge_images(newer: tuple[Image, ...], older: tuple[Image, ...]) -> tuple[Image, ...]:
    """Return the newer images, with what only an older record says of them.

    Some answers list few of a model's images. If all are known, none is removed, and the order stays.
    """
    by_url = {image.url: image for image in older}
    filled = {image.url: _fill_image(image, by_url.get(image.url)) for image in newer}
    return tuple(filled.get(image.url, image) for image in (older if filled.keys() <= by_url.keys() else newer))


def _fill_image(newer: Image, older: Image | None) -> Image:
    if older is None:
        return newer
    names = [field.name for field in fields(Image)]
    return Image(**{n: getattr(older, n) if getattr(newer, n) in (None, ()) else getattr(newer, n) for n in names})


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


def resolve_details(facts: Facts, layers: Mapping[Layer, Facts], team: str | None) -> dict[str, Any]:
    """Return the fields of a model that search and orders use besides those that the API lists, by name.

    ``facts`` are resolved from ``layers``; ``team`` owns the model.
    """
    size_bytes = facts.size_bytes
    return {
        "file_hashes": _list_file_hashes(facts) if facts.files else (),
        "title": facts.title or "",
        "creator": facts.creator or "",
        "trigger_words": facts.trigger_words or (),
        "file_names": _list_file_names(facts),
        "published_at": parse_date(facts.published_at),
        "updated_at": max(filter(None, (_date_of(layer) for layer in layers.values())), default=None),
        "size_bytes": size_bytes if size_bytes is not None and 0 <= size_bytes <= _INT64_MAX else None,
        "licence": facts.licence,
        "version_group": _name_version_group(facts, team),
    }


def parse_date(text: str | None) -> int | None:
    """Return the Unix seconds of a date in ISO 8601; None for other text. A date without a zone is in UTC."""
    if not text:
        return None
    try:
        date = datetime.fromisoformat(text)
        seconds = int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds <= DATE_SECONDS_MAX else None


def format_date(seconds: int) -> str:
    """Return Unix seconds in ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _date_of(facts: Facts) -> int | None:
    """Return when a layer says that the model changed last; a model that never changed has its date of publication."""
    return parse_date(facts.updated_at) or parse_date(facts.published_at)


def _list_file_hashes(facts: Facts) -> tuple[str, ...]:
    """Return every form of the hashes that only the further files of a model have."""
    forms = {form for file in facts.files or () if file.hashes for form in file.hashes.spellings()}
    if not forms:
        return ()
    return tuple(sorted(forms - (facts.hashes.spellings() if facts.hashes else frozenset())))


def complete_files(facts: Facts) -> tuple[ModelFile, ...]:
    """Return the files of a model. The hashes of a file that is the only one are stored once, as those of the model."""
    files = facts.files or ()
    if len(files) == 1 and files[0].hashes is None and files[0].role is None:
        return (replace(files[0], hashes=facts.hashes),)
    return files


def _list_file_names(facts: Facts) -> tuple[str, ...]:
    names = [file.name for file in facts.files or ()]
    return tuple(dict.fromkeys(filter(None, names or [facts.file_name or ""])))


def _name_version_group(facts: Facts, team: str | None) -> str:
    """Return the group's name: ``<team>/<name>`` of an own group, ``civitai:<id>`` of an upstream model's versions.

    A team's name has no colon, so that groups of two teams, or of a team and Civitai, are never the same.
    """
    if facts.version_group:
        # An owner may send the whole name back.
        return f"{team or ''}/{facts.version_group.removeprefix(f'{team}/')}"
    return f"civitai:{facts.upstream_model_id}" if facts.upstream_model_id is not None else ""
