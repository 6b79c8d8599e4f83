"""The filters, fields and records of the Python client, typed."""

from typing import Any, TypedDict

import msgspec

from modelyard.domain import Licence
from modelyard.facts import Image, Recommended
from modelyard.wire.details import FactRecord, FileRecord, VersionGroup


class Filters(TypedDict, total=False):
    """The filters of ``GET /v3/model``, by their names after ``filter.``, with ``_`` for a dot.

    A list matches any of its values, except that a model must have all ``tags``. A value with ``!`` before it excludes.
    """

    search: str
    visibility: str | list[str]
    source: str | list[str]
    types: str | list[str]
    is_sdxl: bool
    is_inpainting: bool
    is_nsfw: bool
    query: str
    tags: str | list[str]
    base_model: str | list[str]
    model_version_id: int
    hash: str
    licence: str | list[str]
    licence_commercial: str | list[str]
    licence_credit: str | list[str]
    licence_derivatives: str | list[str]
    size: str | list[str]
    published: str | list[str]


class AuditFilters(TypedDict, total=False):
    """The filters of ``GET /v3/audit``, by their names after ``filter.``. Times are Unix seconds or ISO 8601."""

    since: int | str
    until: int | str
    verb: str
    model: int
    key: str
    team: str


class LicenceFields(TypedDict, total=False):
    """What a licence allows. None: unknown."""

    id: str | None
    name: str | None
    url: str | None
    allow_commercial: list[str] | None
    allow_no_credit: bool | None
    allow_derivatives: bool | None
    allow_different_licence: bool | None


class RecommendedFields(TypedDict, total=False):
    """The values that an owner recommends for generation."""

    weight: float | None
    weight_min: float | None
    weight_max: float | None
    clip_skip: int | None
    sampler: str | None
    steps: int | None
    cfg: float | None


class Changes(TypedDict, total=False):
    """The fields of a model that its team may change. None takes the team's own value back."""

    name: str | None
    title: str | None
    description: str | None
    trigger_words: list[str] | None
    licence: LicenceFields | str | None
    recommended: RecommendedFields | None
    version_group: str | None
    type_name: str | None
    base_model: str | None
    base_model_type: str | None
    tags: list[str] | None
    categories: list[str] | None
    cover_url: str | None
    is_nsfw: bool | None
    visibility: str
    status: int


class UploadFields(TypedDict, total=False):
    """What an owner says of a model that is uploaded. ``tags`` and ``trigger_words`` are separated by commas."""

    name: str
    title: str
    description: str
    trigger_words: str
    type_name: str
    base_model: str
    base_model_type: str
    visibility: str
    source: str
    tags: str
    is_nsfw: str


class FetchSource(TypedDict, total=False):
    """Where the server gets a file: one of ``source_url``, ``air``, ``hub`` and ``version_id``, a listed version.

    ``file_sha256`` is the hash that the file has to have, in base64.
    """

    source_url: str
    air: str
    hub: str
    version_id: int
    file_sha256: str


class User(msgspec.Struct, frozen=True):
    """The team of a key, None without a key, and the scopes."""

    team: str | None
    scopes: tuple[str, ...]


class ModelKind(msgspec.Struct, frozen=True):
    """A model's type: ``name`` is the value for filters, ``display_name`` is for people."""

    name: str
    display_name: str


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One model, with the fields of the API's record.

    ``download_url`` is None if the server cannot give the file to this key; the record then has no such field.
    """

    id: int
    name: str
    hash_sha256: str
    sd_name: str
    type: ModelKind
    categories: tuple[str, ...]
    status: int
    download_url: str | None = None
    tags: tuple[str, ...]
    cover_url: str
    source: str
    base_model: str
    base_model_type: str
    download_url_ttl: int
    sd_name_in_api: str
    is_sdxl: bool
    is_nsfw: bool
    visibility: str


class Need(msgspec.Struct, frozen=True):
    """A model that a workflow needs. ``how`` says by what ``models`` were found, best first.

    "words" only offers models, "none" has none. None: the workflow does not say.
    """

    name: str
    directory: str | None
    hash: str | None
    url: str | None
    nodes: list[str]
    how: str
    models: list[Model]


class Needs(msgspec.Struct, frozen=True):
    """What a workflow needs. ``is_truncated``: it names more than are listed."""

    needs: list[Need] = msgspec.field(name="wanted")
    found_count: int = msgspec.field(name="found")
    missing_count: int = msgspec.field(name="missing")
    unknown_nodes: list[str]
    is_truncated: bool = msgspec.field(name="truncated", default=False)


class Check(msgspec.Struct, frozen=True):
    """The result of the verification of a model's file; the verdict is ``waiting`` until there is one."""

    verdict: str
    reason: str


class Details(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the server knows of a model. None: unknown; ``check`` is None for models of other teams.

    ``facts`` has each fact with the layer that it comes from, and ``layers`` what each source says.
    """

    model: Model
    title: str = ""
    description: str = ""
    creator: str = ""
    version_group: VersionGroup | None = None
    files: tuple[FileRecord, ...] = ()
    trigger_words: tuple[str, ...] = ()
    recommended: Recommended | None = None
    licence: Licence | None = None
    images: tuple[Image, ...] = ()
    published_at: str | None = None
    updated_at: str | None = None
    added_at: str | None = None
    size_bytes: int | None = None
    air: str | None = None
    facts: dict[str, FactRecord] = {}
    layers: dict[str, dict[str, Any]] = {}
    check: Check | None
    declared: dict[str, Any]
    found: dict[str, Any]
