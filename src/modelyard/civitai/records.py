"""Converts Civitai's answers about models into records, one per version.

Reads the answers of ``/models``, ``/models/{id}``, ``/model-versions/{id}`` and ``/model-versions/by-hash/{hash}`` of
every year since 2022, from bytes or from parsed JSON. It uses no files, networks or the catalogue.

Each version becomes one record, described by one of its files. Rows of the vendor's API confirm this rule and the names
that follow from it: its `realisticVisionV40_v40VAE-inpainting_81543.safetensors` is Civitai's
file 81543 of version 114600, which is the full SafeTensor, although Civitai marks the pruned one as primary.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from modelyard import json_text
from modelyard.civitai.images import ImageAnswer, find_cover_url, read_images
from modelyard.civitai.markup import TEXT_CHARS_MAX, text_of_html
from modelyard.domain import (
    OWN_ID_MAX,
    OWN_ID_MIN,
    Hashes,
    Licence,
    ModelType,
    Skipped,
    Source,
    is_placeholder,
    model_type,
)
from modelyard.facts import Facts, Layer, ModelFile, Recommended, Record
from modelyard.licences import read_commercial_use
from modelyard.registry.names import file_id_of, sd_name_of_version, split_version_file

# The location of a problem with a complete answer. A reader that knows the file and line replaces it.
THE_ANSWER = "answer"

NOT_JSON = "not JSON"
NO_USABLE_FILE = "no usable file"
DAMAGED = "damaged record"
NOT_AN_ANSWER = "not a Civitai answer"
NO_VERSIONS = "model without versions"
PRIVATE = "private model of a team"

# --- The answers' shapes ---------------------------------------------------------------------------------------------
#
# These classes hold only the fields that we use. Any field may be missing or null, because each year's answers lack
# some fields. A field with another type counts as missing; without a default, its record is damaged. The limits are far
# above real lengths (longest name 177, file name 137, tag 218 characters, 103 tags of a model), so they reject only
# hostile answers.

_SHARED_CHARS_MAX = 2_000_000
_Name = Annotated[str, Meta(max_length=1024)]
_Count = Annotated[int, Meta(ge=0, le=2**53)]
_Weight = Annotated[float, Meta(ge=-100, le=100)]
# An id of ours is that of another Modelyard's own model.
_Id = Annotated[int, Meta(ge=1, le=OWN_ID_MAX)]


# A catalogue, and an id there.
_Origin = Annotated[str, Meta(pattern=r"^[0-9A-Za-z-]{1,64}/[0-9]{1,10}$")]


class _Stats(Struct):
    downloadCount: _Count | None = None


class _FileFormat(Struct):
    format: _Name | None = None
    size: _Name | None = None
    fp: _Name | None = None


class _File(Struct):
    id: _Count
    name: _Name
    type: _Name | None = None
    sizeKB: Annotated[float, Meta(ge=0, le=2**43)] | None = None
    metadata: _FileFormat | None = None
    hashes: dict[str, Any] | None = None
    primary: bool | None = None


class _Creator(Struct):
    username: _Name | None = None


class _Settings(Struct):
    strength: _Weight | None = None
    minStrength: _Weight | None = None
    maxStrength: _Weight | None = None


class _VersionsModel(Struct):
    name: _Name | None = None
    type: _Name | None = None
    nsfw: bool | str | None = None
    description: str | None = None
    creator: _Creator | None = None
    allowNoCredit: bool | None = None
    allowCommercialUse: str | list[str] | None = None
    allowDerivatives: bool | None = None
    allowDifferentLicense: bool | None = None


class _Catalogue(Struct):
    """What another Modelyard says of a version.

    ``unknown`` names the fields that hold a guess or a substitute. ``origin`` is the name of a model that is not
    Civitai's, among all catalogues, and ``group`` that of its versions together.
    """

    unknown: Annotated[list[str], Meta(max_length=64)] = []
    origin: _Origin | None = None
    group: _Origin | None = None
    source: Source = Source.UPLOADING
    is_private: bool = False


class _Version(Struct):
    id: _Id
    name: _Name | None = None
    modelId: _Id | None = None
    model: _VersionsModel | None = None
    baseModel: _Name | None = None
    baseModelType: _Name | None = None
    trainedWords: Annotated[list[Any], Meta(max_length=4096)] | None = None
    nsfwLevel: int | None = None
    publishedAt: _Name | None = None
    createdAt: _Name | None = None
    updatedAt: _Name | None = None
    description: str | None = None
    creator: _Creator | None = None
    settings: _Settings | None = None
    clipSkip: _Count | None = None
    stats: _Stats | None = None
    files: list[_File] | None = None
    images: list[ImageAnswer] | None = None
    modelyard: _Catalogue | None = None


class _Model(Struct):
    id: _Id
    name: _Name | None = None
    type: _Name | None = None
    nsfw: bool | str | None = None
    nsfwLevel: int | None = None
    tags: Annotated[list[Any], Meta(max_length=4096)] | None = None
    description: str | None = None
    creator: _Creator | None = None
    modelVersions: list[Any] | None = None
    allowNoCredit: bool | None = None
    allowCommercialUse: str | list[str] | None = None
    allowDerivatives: bool | None = None
    allowDifferentLicense: bool | None = None


# --- From an answer to its versions ----------------------------------------------------------------------------------


def convert(answer: bytes | object) -> Iterator[Record | Skipped]:
    """Yield a record for each version in an answer, in order, and a Skipped for each unusable part.

    ``answer`` is JSON text or parsed JSON: a model, a version, a page ``{"items": […]}`` or a list of them. If we
    guess facts of a version, a second record with the same id follows in the layer of guesses.
    """
    if isinstance(answer, bytes | bytearray | memoryview):
        try:
            answer = json_text.decode(bytes(answer))
        except msgspec.DecodeError as error:
            yield Skipped(THE_ANSWER, NOT_JSON, str(error))
            return
        except RecursionError:
            yield Skipped(THE_ANSWER, NOT_JSON, "nested too deeply")
            return
    yield from _converted(answer)


def _converted(answer: object) -> Iterator[Record | Skipped]:
    match answer:
        case {"items": [*items]} | [*items]:
            for number, item in enumerate(items):
                yield from _item(item, f"item {number}")
        case _:
            yield from _item(answer, THE_ANSWER)


def _item(answer: object, where: str) -> Iterator[Record | Skipped]:
    match answer:
        case {"modelVersions": _}:
            yield from _model_records(answer, _named("model", answer, where))
        case {"files": _} | {"modelId": _} | {"model": _}:
            yield from _version_records(answer, None, _named("version", answer, where))
        case {"error": error}:
            yield Skipped(where, "Civitai answered with an error", str(error)[:200])
        case _:
            yield Skipped(where, NOT_AN_ANSWER)


def _named(what: str, answer: object, otherwise: str) -> str:
    match answer:
        case {"id": int(number)}:
            return f"{what} {number}"
        case _:
            return otherwise


def _model_records(answer: object, where: str) -> Iterator[Record | Skipped]:
    try:
        model = json_text.convert(answer, _Model)
    except msgspec.ValidationError as error:
        yield Skipped(where, DAMAGED, str(error))
        return
    if not model.modelVersions:
        yield Skipped(where, NO_VERSIONS)
        return
    shared = Facts(
        type=_type(model.type),
        is_nsfw=_is_nsfw(model.nsfw, model.nsfwLevel),
        tags=_words(model.tags),
        upstream_model_id=model.id,
        title=model.name,
        # Each version stores it, and an answer can have any number of versions.
        description=(_description(model.description) or "")[: _SHARED_CHARS_MAX // len(model.modelVersions)] or None,
        creator=_creator(model.creator),
        licence=_licence(model),
    )
    for number, version in enumerate(model.modelVersions):
        yield from _version_records(version, shared, f"{where}, {_named('version', version, f'version at {number}')}")


def _version_records(answer: object, shared: Facts | None, where: str) -> Iterator[Record | Skipped]:
    """Yield the records of one version. ``shared`` holds the facts of its model; None if the answer has no model."""
    try:
        version = json_text.convert(answer, _Version)
    except msgspec.ValidationError as error:
        yield Skipped(where, DAMAGED, str(error))
        return
    catalogue = version.modelyard or _Catalogue()
    if catalogue.is_private:
        yield Skipped(where, PRIVATE)
        return
    if version.id >= OWN_ID_MIN and catalogue.origin is None:
        yield Skipped(where, DAMAGED, f"the id {version.id} is not Civitai's")
        return
    shared = _forget_unknown(version, catalogue.unknown, shared or _version_facts(version))
    files = _model_files(version.files or [], shared.type)
    if not files:
        types = ", ".join(sorted({file.type or "untyped" for file in version.files or []}))
        yield Skipped(where, NO_USABLE_FILE, f"only {types}" if types else "none at all")
        return
    if version.id >= OWN_ID_MIN:
        facts = replace(_facts(version, shared, files), upstream_model_id=None, version_group=catalogue.group)
        if file_id_of(files[0].name) == files[0].id:
            facts = replace(facts, sd_name=".".join(split_version_file(files[0].name)))
        yield Record(None, catalogue.source, Layer.UPSTREAM, facts, origin=catalogue.origin)
        return
    yield Record(version.id, Source.CIVITAI, Layer.UPSTREAM, _facts(version, shared, files))
    guess = _guessed(version, shared, files[0])
    if guess:
        yield Record(version.id, Source.CIVITAI, Layer.GUESS, guess)


# The fields of a version that another Modelyard may name, besides type and nsfw of the model.
_FORGETTABLE = ("name", "baseModel", "baseModelType", "createdAt", "publishedAt")


def _forget_unknown(version: _Version, names: list[str], shared: Facts) -> Facts:
    """Remove the values of a version that its catalogue does not know, and return the facts of the model without."""
    if not names:
        return shared
    for name in _FORGETTABLE:
        if name in names:
            setattr(version, name, None)
    is_nsfw = None if "nsfw" in names else shared.is_nsfw
    return replace(shared, is_nsfw=is_nsfw, type=None if "type" in names else shared.type)


def _version_facts(version: _Version) -> Facts:
    model = version.model or _VersionsModel()
    return Facts(
        type=_type(model.type),
        is_nsfw=_is_nsfw(model.nsfw, None),
        upstream_model_id=version.modelId,
        title=model.name,
        description=_description(model.description),
        creator=_creator(model.creator or version.creator),
        licence=_licence(model),
    )


def _type(spelling: str | None) -> ModelType | None:
    """Return the type of a word; None for a placeholder."""
    return None if is_placeholder(spelling or "") else model_type((spelling or "").strip())


# The first two bits of a level are PG and PG-13.
_SAFE_LEVELS = 0b11


def _is_nsfw(flag: bool | str | None, level: int | None) -> bool | None:
    """Return whether a model or version is not safe for work. Its flag may be older than its level."""
    if level is not None and level & ~_SAFE_LEVELS:
        return True
    return flag.casefold() not in ("", "none", "false") if isinstance(flag, str) else flag


def _facts(version: _Version, shared: Facts, files: list[_File]) -> Facts:
    file, base_model = files[0], _base_model(version)
    return Facts(
        name=version.name or None,
        sd_name=sd_name_of_version(file.name, file.id),
        type=None if _is_other(shared.type) else shared.type,
        base_model=None if _is_other(base_model) else base_model,
        # None, not "", so that a guess can fill it. No answer recorded in July 2023 has this field.
        base_model_type=version.baseModelType or None,
        is_nsfw=_is_nsfw(shared.is_nsfw, version.nsfwLevel),
        tags=shared.tags,
        cover_url=find_cover_url(version.images or []),
        rank=version.stats.downloadCount if version.stats else None,
        hashes=_hashes(file.hashes),
        files=_list_files(files),
        file_name=file.name,
        size_bytes=_size_bytes(file),
        upstream_model_id=shared.upstream_model_id,
        title=shared.title,
        description=_join_descriptions(shared.description, _description(version.description)),
        creator=shared.creator,
        recommended=_recommended(version),
        images=read_images(version.images or []) or None,
        trigger_words=_words(version.trainedWords),
        published_at=version.publishedAt or version.createdAt,
        updated_at=version.updatedAt,
        licence=shared.licence,
    )


# --- The file of a version -------------------------------------------------------------------------------------------

# A file of the type "VAE" is the model only if the model is a VAE; with a checkpoint it is an accessory. "Training
# Data", "Config", "Archive" and "Text Encoder" are never the model.
_MODEL_FILES = frozenset({"Model", "Pruned Model", "Negative"})
_SIZE_ORDER = {"full": 0, None: 1, "pruned": 2}


def _model_files(files: list[_File], kind: ModelType | None) -> list[_File]:
    """Return the files that are the model, the one that its record describes first."""
    types = _MODEL_FILES | {"VAE"} if kind is not None and kind.name == "vae" else _MODEL_FILES
    return sorted((file for file in files if file.type in types), key=_file_order)


def _list_files(files: list[_File]) -> tuple[ModelFile, ...]:
    """Return the files of a version. Nine versions of ten have one, and the hashes of the version are those of it."""
    if len(files) > 1:
        return tuple(_model_file(file, _hashes(file.hashes)) for file in files)
    return (_model_file(files[0], None),)


def _model_file(file: _File, hashes: Hashes | None) -> ModelFile:
    file_format = file.metadata or _FileFormat()
    return ModelFile(
        file.name,
        file.id,
        file.type,
        _size_bytes(file),
        file_format.format,
        file_format.fp,
        file_format.size or ("pruned" if file.type == "Pruned Model" else None),
        bool(file.primary),
        hashes,
    )


def _size_bytes(file: _File) -> int | None:
    # No model has 0 bytes: another Modelyard writes 0 where it does not know the size.
    return round(file.sizeKB * 1024) or None if file.sizeKB is not None else None


def _file_order(file: _File) -> tuple[bool, int, float, int]:
    """Order files best first: SafeTensor, then full before unstated before pruned, then larger, then lower id."""
    file_format = file.metadata or _FileFormat()
    safe = file_format.format == "SafeTensor" or (not file_format.format and file.name.lower().endswith(".safetensors"))
    size = file_format.size or ("pruned" if file.type == "Pruned Model" else None)
    return not safe, _SIZE_ORDER.get(size, 1), -(file.sizeKB or 0.0), file.id


_HASH_FIELDS = {
    "AutoV1": ("autov1", (8,)),
    "AutoV2": ("autov2", (10,)),
    "AutoV3": ("autov3", (12, 64)),
    "SHA256": ("sha256", (64,)),
    "BLAKE3": ("blake3", (64,)),
    "CRC32": ("crc32", (8,)),
}
_HEX = re.compile(r"[0-9A-F]+")


def _hashes(values: Mapping[str, Any] | None) -> Hashes | None:
    fields = {}
    for name, value in (values or {}).items():
        if name in _HASH_FIELDS and isinstance(value, str):
            field, lengths = _HASH_FIELDS[name]
            digits = value.strip().upper()
            if len(digits) in lengths and _HEX.fullmatch(digits):
                fields[field] = digits
    return Hashes(**fields) if fields else None


# --- Single facts ----------------------------------------------------------------------------------------------------


_WORD_CHARS_MAX = 1024


def _words(items: list[Any] | None) -> tuple[str, ...] | None:
    """Return the words of a list. Some answers list tags as objects, some as names."""
    if items is None:
        return None
    texts = [item.get("name") if isinstance(item, dict) else item for item in items]
    words = [text.strip() for text in texts if isinstance(text, str) and len(text) <= _WORD_CHARS_MAX]
    return tuple(dict.fromkeys(word for word in words if word))


def _base_model(version: _Version) -> str | None:
    word = (version.baseModel or "").strip()
    return None if is_placeholder(word) else word


def _is_other(value: ModelType | str | None) -> bool:
    """Whether Civitai says that it has no word for a type or base model. A file's tensors know better."""
    return (value.name if isinstance(value, ModelType) else (value or "").casefold()) == "other"


def _description(source: str | None) -> str | None:
    return (text_of_html(source) or None) if source else None


def _join_descriptions(model: str | None, version: str | None) -> str | None:
    """Return the description of a model and that of the version below it."""
    if version is None:
        return model
    return "\n\n".join(filter(None, (model, version)))[:TEXT_CHARS_MAX].rstrip() or None


def _creator(creator: _Creator | None) -> str | None:
    return (" ".join((creator.username or "").split()) or None) if creator else None


def _recommended(version: _Version) -> Recommended | None:
    if version.settings is None and version.clipSkip is None:
        return None
    settings = version.settings or _Settings()
    recommended = Recommended(
        settings.strength, settings.minStrength, settings.maxStrength, clip_skip=version.clipSkip or None
    )
    return None if recommended == Recommended() else recommended


def _licence(model: _Model | _VersionsModel) -> Licence | None:
    """Return Civitai's four permissions, or None if the answer has none."""
    licence = Licence(
        allow_commercial=read_commercial_use(model.allowCommercialUse),
        allow_no_credit=model.allowNoCredit,
        allow_derivatives=model.allowDerivatives,
        allow_different_licence=model.allowDifferentLicense,
    )
    return None if licence == Licence() else licence


# Matches the word, not the letters. Of 5,366 checkpoint versions recorded in July 2023, 140 have it in a version or
# file name. 139 are inpainting models, most by the suffix "-inpainting" that Civitai gives the file of a version whose
# base model type is Inpainting. The other one is "ThinPaintLine", which a search for the letters would match too. This
# misses models without the word in a name (FLUX.1 Fill), and wrongly matches a version named "not for inpainting".
_INPAINTING = re.compile(r"(?<![A-Za-z])in[Pp]aint|In[Pp]aint|(?<![A-Z])INPAINT")


def _guessed(version: _Version, shared: Facts, file: _File) -> Facts | None:
    """Return facts that we can guess and that Civitai does not give, or None."""
    # The vendor's own rows also use the file name if the version has no name.
    name_with_word, base_model = _name_of_inpainting(version, shared), _base_model(version)
    guess = Facts(
        name=None if version.name else split_version_file(file.name)[0],
        type=shared.type if _is_other(shared.type) else None,
        base_model=base_model if _is_other(base_model) else None,
        base_model_type="Inpainting" if name_with_word else None,
        evidence=(f"the name {name_with_word!r} says inpainting",) if name_with_word else None,
    )
    return None if guess == Facts() else guess


def _name_of_inpainting(version: _Version, shared: Facts) -> str | None:
    """Return the name with the word inpainting, if this is a checkpoint and Civitai gives no base model type."""
    if version.baseModelType or shared.type is None or shared.type.name != "checkpoint":
        return None
    names = [version.name or "", *(file.name for file in version.files or [] if file.type in _MODEL_FILES)]
    return next((name for name in names if _INPAINTING.search(name)), None)
