"""Reads sidecars, the files that other programs write beside a model file: facts, and claims about its hash.

    .civitai.info     a Civitai version's answer, as extensions of A1111 store it
    .metadata.json    LoRA Manager
    .cm-info.json     Stability Matrix
    .swarm.json       SwarmUI: ModelSpec's names
    .json             A1111's user metadata
    .md .txt          notes
    .yaml             the configuration of an SD 1 or 2 checkpoint
    .sha256           a checksum: a file with another hash is broken

Facts that a person edits win over facts that a program downloaded. No content raises an exception: an unreadable
sidecar is ``Skipped``. Name, size and hashes come from the model file itself, never from a sidecar.
"""

import codecs
import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from modelyard import json_text
from modelyard.civitai.images import ImageAnswer, find_cover_url, read_images
from modelyard.civitai.markup import TEXT_CHARS_MAX, text_of_html
from modelyard.domain import Licence, Skipped, is_placeholder, model_type
from modelyard.facts import FACT_NAMES, Facts, Recommended
from modelyard.inspection import header_metadata
from modelyard.licences import parse_licence, read_commercial_use
from modelyard.paths import NOT_READABLE, display_path, read_yaml

BYTES_MAX = 8 << 20
_NOTES_CHARS_MAX = 20_000
_TEXT_CHARS_MAX = 1_000
_WORDS_MAX = 500
# The limits of tags that a user sends, because tags are searched for.
_TAGS_MAX, _TAG_CHARS_MAX = 100, 100
_CONFIGURATION_BYTES_MAX = 1 << 16
_IMAGES_MAX = 200
NOT_AS_NAMED = "content does not match the sidecar's name"
_HTML = re.compile(r"</(?:p|div|a|b|strong|ul|ol|h[1-6])>|<br\b", re.IGNORECASE)
_SHA256 = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{64}(?![0-9A-Fa-f])")


@dataclass(frozen=True, slots=True)
class SidecarFacts:
    """The content of a file's sidecars. A file with another hash than ``checksum`` is broken.

    ``claims`` are other SHA-256 hashes, by the name of the sidecar. All hashes are lower case. ``version_ids`` are the
    Civitai versions that the sidecars describe.
    """

    facts: Facts | None = None
    checksum: str | None = None
    claims: Mapping[str, frozenset[str]] = field(default_factory=dict)
    version_ids: frozenset[int] = frozenset()
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True, slots=True)
class _Sidecar:
    """The content of one sidecar. ``coarse`` facts count only where no other sidecar has the fact."""

    facts: Facts = field(default_factory=Facts)
    coarse: Facts = field(default_factory=Facts)
    claims: frozenset[str] = frozenset()
    version_id: int | None = None


def read_sidecars(paths: Iterable[bytes], previews: Iterable[bytes] = (), *, catalogue: str = "") -> SidecarFacts:
    """Read the sidecars of one file, and name its previews as evidence without opening them.

    A sidecar that ``catalogue`` wrote itself is ignored, unless a person edited it.
    """
    sidecars: list[tuple[int, str, _Sidecar]] = []
    skipped: list[Skipped] = []
    checksum = None
    for path in paths:
        name = display_path(os.path.basename(path))
        try:
            raw = _read_bytes(path)
            if name.lower().endswith(".sha256"):
                checksum = checksum or _parse_checksum(raw)
                continue
            if catalogue and is_untouched(raw, catalogue):
                continue
            strength, suffix = _find_kind(name)
            sidecars.append((strength, name, _READERS[suffix](raw)))
        except OSError as problem:
            skipped.append(Skipped(display_path(path), NOT_READABLE, problem.strerror or ""))
        except (ValueError, TypeError, RecursionError) as problem:
            skipped.append(Skipped(display_path(path), NOT_AS_NAMED, str(problem)[:200]))
    sidecars.sort(key=lambda item: item[0])
    facts = _merge([content.facts for _, _, content in sidecars] + [content.coarse for _, _, content in sidecars])
    evidence = [f"sidecar {name}" for _, name, content in sidecars if {content.facts, content.coarse} != {Facts()}]
    evidence += [f"preview {display_path(os.path.basename(path))}" for path in previews]
    claims = {name: content.claims for _, name, content in sidecars if content.claims}
    facts = replace(facts, evidence=tuple(evidence))
    version_ids = frozenset(content.version_id for _, _, content in sidecars if content.version_id is not None)
    return SidecarFacts(facts if evidence else None, checksum, claims, version_ids, tuple(skipped))


def _read_bytes(path: bytes) -> bytes:
    # A named pipe would block, a link could lead anywhere.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as file:
        raw = file.read(BYTES_MAX + 1)
    if len(raw) > BYTES_MAX:
        raise ValueError(f"longer than {BYTES_MAX:,} bytes")
    return _read_as_utf8(raw)


def _read_as_utf8(raw: bytes) -> bytes:
    """Return text without its byte order mark; Windows' Notepad and PowerShell write UTF-16 with one."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16", "replace").encode()
    return raw.removeprefix(codecs.BOM_UTF8)


def _parse_checksum(raw: bytes) -> str:
    match = _SHA256.search(raw[:10_000].decode("utf-8", "replace"))
    if match is None:
        raise ValueError("it holds no SHA-256")
    return match[0].lower()


def _find_kind(name: str) -> tuple[int, str]:
    name = name.lower()
    for strength, suffix in enumerate(_READERS):
        if name.endswith(suffix) and not (suffix == ".json" and name.endswith(_OTHER_JSON)):
            return strength, suffix
    raise ValueError("not the name of a sidecar")


def _merge(layers: list[Facts]) -> Facts:
    """Return each fact from the first that has it, and the notes of all."""
    merged: dict[str, Any] = {}
    for name in FACT_NAMES:
        merged[name] = next((value for facts in layers if (value := getattr(facts, name)) not in (None, "", ())), None)
    texts = dict.fromkeys(facts.notes for facts in layers if facts.notes)
    merged["notes"] = "\n\n".join(texts)[:_NOTES_CHARS_MAX] or None
    return Facts(**merged)


# --- Sidecars of this catalogue --------------------------------------------------------------------------------------

MARK = "modelyard"


def add_mark(content: Mapping[str, Any], catalogue: str) -> dict[str, Any]:
    """Return a sidecar's content with a mark: which catalogue wrote it, and a digest of the content."""
    rest = {name: value for name, value in content.items() if name != MARK}
    return {**rest, MARK: {"catalogue": catalogue, "digest": _digest(rest)}}


def is_untouched(raw: bytes, catalogue: str) -> bool:
    """Whether the catalogue wrote a sidecar and nobody edited it."""
    if MARK.encode() not in raw:
        return False
    try:
        content = parse_object(raw)
    except (ValueError, RecursionError):
        return False
    return content == add_mark(content, catalogue)


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.blake2b(msgspec.json.encode(content, order="sorted"), digest_size=16).hexdigest()


# --- A reader for each kind ------------------------------------------------------------------------------------------


def _read_a1111(raw: bytes) -> _Sidecar:
    doc = parse_object(raw)
    weight = _parse_number(doc.get("preferred weight"))
    facts = Facts(
        description=_parse_own_description(doc.get("description")),
        notes=_parse_notes(doc.get("notes")),
        recommended=Recommended(weight=weight) if weight else None,
        trigger_words=_parse_words(doc.get("activation text")),
        upstream_model_id=_parse_id(doc.get("modelId")),
    )
    coarse = Facts(base_model=_A1111_BASES.get(str(doc.get("sd version"))))
    return _Sidecar(facts, coarse, _parse_hashes(doc.get("sha256")))


def _read_swarm(raw: bytes) -> _Sidecar:
    doc = {key.removeprefix("modelspec."): value for key, value in parse_object(raw).items() if isinstance(value, str)}
    claims = header_metadata.claims({"modelspec.architecture": doc.get("architecture", "")})
    claim = claims[0] if claims else None
    return _Sidecar(
        Facts(
            name=_parse_text(doc.get("title")),
            description=_parse_own_description(doc.get("description")),
            creator=_parse_text(doc.get("author")),
            notes=_parse_notes(doc.get("usage_hint")),
            trigger_words=_parse_words(doc.get("trigger_phrase")),
            tags=_parse_tags(doc.get("tags")),
            licence=parse_licence(licence) if (licence := _parse_text(doc.get("license"))) else None,
            published_at=_parse_text(doc.get("date")),
        ),
        Facts(
            type=model_type(claim.type) if claim and claim.type else None,
            base_model=claim.base_model if claim else None,
        ),
    )


def _read_metadata_json(raw: bytes) -> _Sidecar:
    doc = parse_object(raw)
    if not {"file_name", "model_name", "base_model", "sha256", "civitai"} & doc.keys():
        raise ValueError("it has none of LoRA Manager's fields")
    civitai = doc.get("civitai")
    version = _read_version(civitai) if isinstance(civitai, dict) and civitai else _Sidecar()
    model_name, base_model = _parse_text(doc.get("model_name")), _parse_word(doc.get("base_model"))
    own = Facts(
        name=version.facts.name or model_name,
        title=model_name if version.facts.name else None,
        base_model=base_model,
        tags=_parse_tags(doc.get("tags")),
        description=_parse_description(doc.get("modelDescription")) or version.facts.description,
        notes=_parse_notes(doc.get("notes")),
        recommended=_parse_usage_tips(doc.get("usage_tips")),
        type=_parse_type(doc.get("sub_type") or doc.get("model_type")),
    )
    claims = _parse_hashes(doc.get("sha256"))
    return _Sidecar(_merge([own, version.facts]), claims=claims, version_id=version.version_id)


def _read_stability_matrix(raw: bytes) -> _Sidecar:
    doc = parse_object(raw)
    hashes = doc.get("Hashes")
    return _Sidecar(
        Facts(
            name=_parse_text(doc.get("UserTitle")) or _parse_text(doc.get("VersionName")),
            upstream_model_id=_parse_id(doc.get("ModelId")),
            title=_parse_text(doc.get("ModelName")),
            type=_parse_type(doc.get("ModelType")),
            base_model=_parse_word(doc.get("BaseModel")),
            is_nsfw=_parse_boolean(doc.get("Nsfw")),
            tags=_parse_tags(doc.get("Tags")),
            trigger_words=_parse_words(doc.get("TrainedWords")),
            description=_parse_description(doc.get("ModelDescription"), doc.get("VersionDescription")),
            cover_url=_parse_address(doc.get("ThumbnailImageUrl")),
        ),
        claims=_parse_hashes(hashes.get("SHA256")) if isinstance(hashes, dict) else frozenset(),
        version_id=_parse_id(doc.get("VersionId")),
    )


def _read_version(doc: Mapping[str, Any]) -> _Sidecar:
    """Read a Civitai version's answer, complete or not.

    ``civitai.records`` refuses an answer with a damaged field; here the other fields still count.
    """
    if doc.get("skeleton_file") is True:
        return _Sidecar()  # the helper of A1111 found no such model, and wrote down the file's own name
    model = doc.get("model")
    model = model if isinstance(model, dict) else {}
    images = [json_text.convert(image, ImageAnswer) for image in _list_objects(doc.get("images"))]
    files = doc.get("files")
    hashes = [file.get("hashes") for file in files if isinstance(file, dict)] if isinstance(files, list) else []
    claims = frozenset[str]().union(*(_parse_hashes(item.get("SHA256")) for item in hashes if isinstance(item, dict)))
    return _Sidecar(
        Facts(
            name=_parse_text(doc.get("name")),
            upstream_model_id=_parse_id(doc.get("modelId")),
            title=_parse_text(model.get("name")),
            type=_parse_type(model.get("type")),
            base_model=_parse_word(doc.get("baseModel")),
            base_model_type=_parse_text(doc.get("baseModelType")),
            is_nsfw=_parse_boolean(model.get("nsfw")),
            tags=_parse_tags(model.get("tags")),
            trigger_words=_parse_words(doc.get("trainedWords")),
            published_at=_parse_text(doc.get("publishedAt")) or _parse_text(doc.get("createdAt")),
            updated_at=_parse_text(doc.get("updatedAt")),
            description=_parse_description(model.get("description"), doc.get("description")),
            creator=_parse_creator(model.get("creator")) or _parse_creator(doc.get("creator")),
            licence=_parse_permissions(model),
            images=read_images(images) or None,
            cover_url=_parse_address(find_cover_url(images)),
        ),
        claims=claims,
        version_id=_parse_id(doc.get("id")),
    )


def _read_text(raw: bytes) -> _Sidecar:
    return _Sidecar(Facts(notes=_parse_notes(raw.decode("utf-8", "replace").strip())))


def _read_configuration(raw: bytes) -> _Sidecar:
    """Read the base model from the shape of the UNet in a checkpoint's configuration (SD 1 and 2)."""
    if len(raw) > _CONFIGURATION_BYTES_MAX:
        raise ValueError(f"longer than {_CONFIGURATION_BYTES_MAX:,} bytes")
    unet: Any = read_yaml(raw)
    for key in ("model", "params", "unet_config", "params"):
        unet = unet.get(key) if isinstance(unet, dict) else None
    if not isinstance(unet, dict):
        raise ValueError("it is no configuration of a checkpoint")
    base_model = {"768": "SD 1.5", "1024": "SD 2.1"}.get(_parse_text(unet.get("context_dim")) or "")
    purposes = {"9": "Inpainting", "8": "Pix2Pix", "5": "Depth"}
    purpose = purposes.get(_parse_text(unet.get("in_channels")) or "")
    return _Sidecar(coarse=Facts(type=model_type("checkpoint"), base_model=base_model, base_model_type=purpose))


# The strongest first: sidecars that people edit, that programs edit, that programs download, then notes.
_READERS = {
    ".json": _read_a1111,
    ".swarm.json": _read_swarm,
    ".metadata.json": _read_metadata_json,
    ".cm-info.json": _read_stability_matrix,
    ".civitai.info": lambda raw: _read_version(parse_object(raw)),
    ".md": _read_text,
    ".txt": _read_text,
    ".yaml": _read_configuration,
}
_OTHER_JSON = (".swarm.json", ".metadata.json", ".cm-info.json")
# The choices of "sd version" in A1111's editor.
_A1111_BASES = {"SD1": "SD 1.5", "SD2": "SD 2.1", "SDXL": "SDXL 1.0"}


# --- Values ----------------------------------------------------------------------------------------------------------


def parse_object(raw: bytes) -> dict[str, Any]:
    """Return a JSON object. Raises ValueError for other content, and RecursionError for deep nesting."""
    doc = json_text.decode(_read_as_utf8(raw))
    if not isinstance(doc, dict):
        raise ValueError("it is no JSON object")
    return doc


def _clean(text: str) -> str:
    # PostgreSQL refuses NUL, and UTF-8 has no lone surrogates.
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def _parse_text(value: object) -> str | None:
    return (" ".join(_clean(value).split())[:_TEXT_CHARS_MAX] or None) if isinstance(value, str) else None


def _parse_word(value: object) -> str | None:
    """Return a word of a vocabulary; None where the other program does not know, or has no word for it."""
    text = _parse_text(value)
    return None if text is None or is_placeholder(text) or text.casefold() == "other" else text


def _parse_notes(value: object) -> str | None:
    return (_clean(value).strip()[:_NOTES_CHARS_MAX] or None) if isinstance(value, str) else None


def _parse_words(value: object) -> tuple[str, ...] | None:
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list):
        return None
    names = [item.get("name") if isinstance(item, dict) else item for item in value[:_WORDS_MAX]]
    words = (text.strip(", ") for name in names if (text := _parse_text(name)))
    return tuple(dict.fromkeys(filter(None, words))) or None


def _parse_tags(value: object) -> tuple[str, ...] | None:
    return tuple(word for word in _parse_words(value) or () if len(word) <= _TAG_CHARS_MAX)[:_TAGS_MAX] or None


def _parse_type(value: object) -> Any:
    text = _parse_word(value)
    return model_type(text) if text and not text.isdecimal() else None


def _parse_id(value: object) -> int | None:
    return value if isinstance(value, int) and value is not True and 0 < value < 2**53 else None


def _parse_boolean(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _parse_hashes(value: object) -> frozenset[str]:
    text = value.strip().lower() if isinstance(value, str) else ""
    return frozenset({text}) if _SHA256.fullmatch(text) else frozenset()


def _parse_address(value: object) -> str | None:
    text = _parse_text(value)
    return text if text and text.startswith(("https://", "http://")) and " " not in text else None


def _list_objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value[:_IMAGES_MAX] if isinstance(item, dict)] if isinstance(value, list) else []


def _parse_number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and value is not True and value is not False and -100 <= value <= 100
    return float(value) if is_number else None  # type: ignore[arg-type] # is_number says so


def _parse_description(*sources: object) -> str | None:
    """Return the text of descriptions in HTML: of the model, then of the version."""
    texts = dict.fromkeys(text_of_html(_clean(source)) for source in sources if isinstance(source, str))
    return "\n\n".join(filter(None, texts))[:TEXT_CHARS_MAX].rstrip() or None


def _parse_own_description(source: object) -> str | None:
    """Return what a person wrote: plain text, which may have angle brackets, or HTML that a program copied there."""
    is_html = isinstance(source, str) and _HTML.search(source)
    return _parse_description(source) if is_html else _parse_notes(source)


def _parse_creator(value: object) -> str | None:
    return _parse_text(value.get("username")) if isinstance(value, dict) else None


def _parse_permissions(model: Mapping[str, Any]) -> Licence | None:
    uses = model.get("allowCommercialUse")
    if isinstance(uses, list):
        uses = [use for use in uses if isinstance(use, str)]
    licence = Licence(
        allow_commercial=read_commercial_use(uses) if isinstance(uses, str | list) else None,
        allow_no_credit=_parse_boolean(model.get("allowNoCredit")),
        allow_derivatives=_parse_boolean(model.get("allowDerivatives")),
        allow_different_licence=_parse_boolean(model.get("allowDifferentLicense")),
    )
    return None if licence == Licence() else licence


def _parse_usage_tips(value: object) -> Recommended | None:
    """Return the values of LoRA Manager's ``usage_tips``, a JSON text."""
    try:
        tips = json_text.decode(value.encode()) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return None
    if not isinstance(tips, dict):
        return None
    clip_skip = _parse_number(tips.get("clip_skip"))
    recommended = Recommended(
        _parse_number(tips.get("strength")),
        _parse_number(tips.get("strength_min")),
        _parse_number(tips.get("strength_max")),
        clip_skip=int(clip_skip) if clip_skip else None,
    )
    return None if recommended == Recommended() else recommended
