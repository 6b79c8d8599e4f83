"""Side-cars: what other programs laid beside a model file → facts, and claims about its hash.

    .civitai.info     a Civitai version's answer, as A1111's helpers keep it
    .metadata.json    LoRA Manager
    .cm-info.json     Stability Matrix
    .swarm.json       SwarmUI: ModelSpec's names
    .json             A1111's user metadata
    .md .txt          notes
    .yaml             the configuration of an SD 1 or 2 checkpoint
    .sha256           a checksum: a claim that the file's own hash has to meet

What a person edits wins over what a program fetched. Nothing here raises because of what a file holds; what cannot be
read is ``Skipped``. The file's own facts (its name, size, hashes) are never taken from beside it.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from modelyard.domain import FACT_NAMES, Facts, Skipped, model_type
from modelyard.inspection import header_metadata
from modelyard.paths import NOT_READABLE, display_path, read_yaml

BYTES_MAX = 8 << 20
_NOTES_CHARS_MAX = 20_000
_TEXT_CHARS_MAX = 1_000
_WORDS_MAX = 500
# As many and as long as a user may give: they are searched for.
_TAGS_MAX, _TAG_CHARS_MAX = 100, 100
_CONFIGURATION_BYTES_MAX = 1 << 16
NOT_AS_NAMED = "not the side-car that its name says"
_SHA256 = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{64}(?![0-9A-Fa-f])")


@dataclass(frozen=True, slots=True)
class SidecarFacts:
    """What lies beside a file says of it. ``checksum`` must be met; ``claims`` are other SHA-256, by who told them.

    All hashes are lower case.
    """

    facts: Facts | None = None
    checksum: str | None = None
    claims: Mapping[str, frozenset[str]] = field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True, slots=True)
class _Read:
    """One side-car, read. ``coarse`` facts speak only where no other side-car does."""

    facts: Facts = field(default_factory=Facts)
    coarse: Facts = field(default_factory=Facts)
    claims: frozenset[str] = frozenset()


def read_sidecars(paths: Iterable[bytes], previews: Iterable[bytes] = (), *, catalogue: str = "") -> SidecarFacts:
    """Read the side-cars of one file, and note its previews; they are not opened.

    What ``catalogue`` wrote itself, and nobody edited since, tells it nothing.
    """
    found: list[tuple[int, str, _Read]] = []
    skipped: list[Skipped] = []
    checksum = None
    for path in paths:
        name = display_path(os.path.basename(path))
        try:
            raw = _bytes_of(path)
            if name.endswith(".sha256"):
                checksum = checksum or _checksum(raw)
                continue
            if catalogue and is_untouched(raw, catalogue):
                continue
            strength, suffix = _kind_of(name)
            found.append((strength, name, _READERS[suffix](raw)))
        except OSError as problem:
            skipped.append(Skipped(display_path(path), NOT_READABLE, problem.strerror or ""))
        except (ValueError, TypeError, RecursionError) as problem:
            skipped.append(Skipped(display_path(path), NOT_AS_NAMED, str(problem)[:200]))
    found.sort(key=lambda each: each[0])
    facts = _joined([read.facts for _, _, read in found] + [read.coarse for _, _, read in found])
    evidence = [f"side-car {name}" for _, name, read in found if read.facts != Facts() or read.coarse != Facts()]
    evidence += [f"preview {display_path(os.path.basename(path))}" for path in previews]
    said = replace(facts, evidence=tuple(evidence)) if evidence else None
    return SidecarFacts(said, checksum, {name: read.claims for _, name, read in found if read.claims}, tuple(skipped))


def _bytes_of(path: bytes) -> bytes:
    # A named pipe would block, a link could lead anywhere.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as file:
        raw = file.read(BYTES_MAX + 1)
    if len(raw) > BYTES_MAX:
        raise ValueError(f"longer than {BYTES_MAX:,} bytes")
    return raw


def _checksum(raw: bytes) -> str:
    told = _SHA256.search(raw[:10_000].decode("utf-8", "replace"))
    if told is None:
        raise ValueError("it holds no SHA-256")
    return told[0].lower()


def _kind_of(name: str) -> tuple[int, str]:
    for strength, suffix in enumerate(_READERS):
        if name.endswith(suffix) and not (suffix == ".json" and name.endswith(_OTHER_JSON)):
            return strength, suffix
    raise ValueError("not a name of a side-car")


def _joined(told: list[Facts]) -> Facts:
    """The first that says something about a fact wins; notes are kept from all."""
    merged: dict[str, Any] = {}
    for name in FACT_NAMES:
        merged[name] = next((value for facts in told if (value := getattr(facts, name)) not in (None, "", ())), None)
    texts = dict.fromkeys(facts.notes for facts in told if facts.notes)
    merged["notes"] = "\n\n".join(texts)[:_NOTES_CHARS_MAX] or None
    return Facts(**merged)


# --- What we wrote ourselves -----------------------------------------------------------------------------------------

MARK = "modelyard"


def marked(said: Mapping[str, Any], catalogue: str) -> dict[str, Any]:
    """Return what a side-car says with a mark: which catalogue wrote it, and a digest of what it wrote."""
    rest = {name: value for name, value in said.items() if name != MARK}
    return {**rest, MARK: {"catalogue": catalogue, "digest": _digest(rest)}}


def is_untouched(raw: bytes, catalogue: str) -> bool:
    """Whether a side-car is what the catalogue wrote."""
    if MARK.encode() not in raw:
        return False
    try:
        said = _object(raw)
    except (ValueError, RecursionError):
        return False
    return said == marked(said, catalogue)


def _digest(said: Mapping[str, Any]) -> str:
    return hashlib.blake2b(msgspec.json.encode(said, order="sorted"), digest_size=16).hexdigest()


# --- One reader a kind -----------------------------------------------------------------------------------------------


def _read_a1111(raw: bytes) -> _Read:
    said = _object(raw)
    description, own_notes = _long(said.get("description")), _long(said.get("notes"))
    facts = Facts(
        notes="\n\n".join(filter(None, (description, own_notes))) or None,
        trigger_words=_words(said.get("activation text")),
        upstream_model_id=_id(said.get("modelId")),
    )
    coarse = Facts(base_model=_A1111_BASES.get(str(said.get("sd version"))))
    return _Read(facts, coarse, _hashes(said.get("sha256")))


def _read_swarm(raw: bytes) -> _Read:
    said = {key.removeprefix("modelspec."): value for key, value in _object(raw).items() if isinstance(value, str)}
    claims = header_metadata.claims({"modelspec.architecture": said.get("architecture", "")})
    claim = claims[0] if claims else None
    return _Read(
        Facts(
            name=_text(said.get("title")),
            notes=_long(said.get("description")) or _long(said.get("usage_hint")),
            trigger_words=_words(said.get("trigger_phrase")),
            tags=_tags(said.get("tags")),
            licence=_text(said.get("license")),
            published_at=_text(said.get("date")),
        ),
        Facts(
            type=model_type(claim.type) if claim and claim.type else None,
            base_model=claim.base_model if claim else None,
        ),
    )


def _read_metadata_json(raw: bytes) -> _Read:
    said = _object(raw)
    if not {"file_name", "model_name", "base_model", "sha256", "civitai"} & said.keys():
        raise ValueError("it has none of LoRA Manager's fields")
    civitai = said.get("civitai")
    version = _of_version(civitai) if isinstance(civitai, dict) and civitai else _Read()
    model_name, base_model = _text(said.get("model_name")), _text(said.get("base_model"))
    own = Facts(
        name=version.facts.name or model_name,
        upstream_model_name=model_name if version.facts.name else None,
        base_model=base_model if base_model not in ("Unknown", "Other") else None,
        tags=_tags(said.get("tags")),
        notes="\n\n".join(filter(None, (_long(said.get("notes")), _long(said.get("modelDescription"))))) or None,
        type=_type(said.get("sub_type") or said.get("model_type")),
    )
    return _Read(_joined([own, version.facts]), claims=_hashes(said.get("sha256")))


def _read_stability_matrix(raw: bytes) -> _Read:
    said = _object(raw)
    hashes = said.get("Hashes")
    return _Read(
        Facts(
            name=_text(said.get("UserTitle")) or _text(said.get("VersionName")),
            upstream_model_id=_id(said.get("ModelId")),
            upstream_model_name=_text(said.get("ModelName")),
            type=_type(said.get("ModelType")),
            base_model=_text(said.get("BaseModel")),
            is_nsfw=_boolean(said.get("Nsfw")),
            tags=_tags(said.get("Tags")),
            trigger_words=_words(said.get("TrainedWords")),
            notes=_long(said.get("VersionDescription")) or _long(said.get("ModelDescription")),
            cover_url=_address(said.get("ThumbnailImageUrl")),
        ),
        claims=_hashes(hashes.get("SHA256")) if isinstance(hashes, dict) else frozenset(),
    )


def _read_civitai(raw: bytes) -> _Read:
    return _of_version(_object(raw))


def _of_version(said: Mapping[str, Any]) -> _Read:
    """Read a Civitai version's answer, whole or not."""
    model = said.get("model")
    model = model if isinstance(model, dict) else {}
    files = said.get("files")
    told = [file.get("hashes") for file in files if isinstance(file, dict)] if isinstance(files, list) else []
    claims = frozenset[str]().union(*(_hashes(each.get("SHA256")) for each in told if isinstance(each, dict)))
    return _Read(
        Facts(
            name=_text(said.get("name")),
            upstream_model_id=_id(said.get("modelId")),
            upstream_model_name=_text(model.get("name")),
            type=_type(model.get("type")),
            base_model=_text(said.get("baseModel")),
            base_model_type=_text(said.get("baseModelType")),
            is_nsfw=_boolean(model.get("nsfw")),
            tags=_tags(model.get("tags")),
            trigger_words=_words(said.get("trainedWords")),
            published_at=_text(said.get("publishedAt")) or _text(said.get("createdAt")),
            notes=_long(said.get("description")),
            cover_url=_cover(said.get("images")),
        ),
        claims=claims,
    )


def _read_text(raw: bytes) -> _Read:
    return _Read(Facts(notes=_long(raw.decode("utf-8", "replace").removeprefix("\ufeff").strip())))


def _read_configuration(raw: bytes) -> _Read:
    """The shape that an SD 1 or 2 checkpoint's configuration gives its UNet."""
    if len(raw) > _CONFIGURATION_BYTES_MAX:
        raise ValueError(f"longer than {_CONFIGURATION_BYTES_MAX:,} bytes")
    unet: Any = read_yaml(raw)
    for key in ("model", "params", "unet_config", "params"):
        unet = unet.get(key) if isinstance(unet, dict) else None
    if not isinstance(unet, dict):
        raise ValueError("it is no configuration of a checkpoint")
    return _Read(
        coarse=Facts(
            type=model_type("checkpoint"),
            base_model={"768": "SD 1.5", "1024": "SD 2.1"}.get(_text(unet.get("context_dim")) or ""),
            base_model_type={"9": "Inpainting", "8": "Pix2Pix", "5": "Depth"}.get(_text(unet.get("in_channels")) or ""),
        )
    )


# The strongest first: what people edit, then what programs keep, then what was fetched, then notes.
_READERS = {
    ".json": _read_a1111,
    ".swarm.json": _read_swarm,
    ".metadata.json": _read_metadata_json,
    ".cm-info.json": _read_stability_matrix,
    ".civitai.info": _read_civitai,
    ".md": _read_text,
    ".txt": _read_text,
    ".yaml": _read_configuration,
}
_OTHER_JSON = (".swarm.json", ".metadata.json", ".cm-info.json")
# What A1111's editor offers for "sd version"; nothing finer.
_A1111_BASES = {"SD1": "SD 1.5", "SD2": "SD 2.1", "SDXL": "SDXL 1.0"}


# --- Values ----------------------------------------------------------------------------------------------------------


def _object(raw: bytes) -> dict[str, Any]:
    said = msgspec.json.decode(raw.removeprefix(b"\xef\xbb\xbf"))
    if not isinstance(said, dict):
        raise ValueError("it is no JSON object")
    return said


def _clean(text: str) -> str:
    # PostgreSQL takes no NUL, and nobody a lone surrogate.
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def _text(told: object) -> str | None:
    return (" ".join(_clean(told).split())[:_TEXT_CHARS_MAX] or None) if isinstance(told, str) else None


def _long(told: object) -> str | None:
    return (_clean(told).strip()[:_NOTES_CHARS_MAX] or None) if isinstance(told, str) else None


def _words(told: object) -> tuple[str, ...] | None:
    if isinstance(told, str):
        told = told.split(",")
    if not isinstance(told, list):
        return None
    names = [each.get("name") if isinstance(each, dict) else each for each in told[:_WORDS_MAX]]
    return (
        tuple(dict.fromkeys(word.strip(", ") for name in names if (word := _text(name)) and word.strip(", "))) or None
    )


def _tags(told: object) -> tuple[str, ...] | None:
    return tuple(word for word in _words(told) or () if len(word) <= _TAG_CHARS_MAX)[:_TAGS_MAX] or None


def _type(told: object) -> Any:
    text = _text(told)
    return model_type(text) if text and text.casefold() not in ("unknown", "other") and not text.isdecimal() else None


def _id(told: object) -> int | None:
    number = _number(told)
    return number if number is not None and 0 < number < 2**53 else None


def _number(told: object) -> int:
    return told if isinstance(told, int) and not isinstance(told, bool) else -1


def _boolean(told: object) -> bool | None:
    return told if isinstance(told, bool) else None


def _hashes(told: object) -> frozenset[str]:
    text = told.strip().lower() if isinstance(told, str) else ""
    return frozenset({text}) if _SHA256.fullmatch(text) else frozenset()


def _address(told: object) -> str | None:
    text = _text(told)
    return text if text and text.startswith(("https://", "http://")) and " " not in text else None


def _cover(images: object) -> str | None:
    """The first picture that is safe to show: told as a word until 2023, as a bit since."""
    for image in images if isinstance(images, list) else ():
        if isinstance(image, dict) and image.get("type", "image") == "image":
            level, word = image.get("nsfwLevel"), image.get("nsfw")
            is_safe = level in (1, "None") if level else word in (False, "None", "false")
            if is_safe and (url := _address(image.get("url"))):
                return url
    return None
