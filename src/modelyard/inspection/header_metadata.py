"""What trainers and publishers wrote into a header: kohya's ``ss_*``, ModelSpec's ``modelspec.*``, and others.

Notes are words, not tensors: they can be wrong, copied or renamed. They decide only what tensors cannot (Pony or
Illustrious, trigger words), never against them.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from modelyard.inspection import families
from modelyard.inspection.findings import LIKELY, PLAUSIBLE, Evidence, Finding
from modelyard.inspection.model_names import named_bases

TRIGGER_WORDS_MAX = 30
WORD_LENGTH_MAX = 120
# What is in the model_index.json of a pipeline.
CLASS_NAME, ORIGIN = "_class_name", "_name_or_path"
METADATA_ENTRIES_MAX = 200
METADATA_VALUE_MAX = 2_000
METADATA_TOTAL_MAX = 64_000
_TAG_FREQUENCY_MAX = 8 << 20


@dataclass(frozen=True, slots=True)
class Claim:
    """What a note says; ``None`` where it is silent."""

    evidence: Evidence
    confidence: float
    architecture: str | None = None
    base_model: str | None = None
    type: str | None = None
    variant: str | None = None

    @property
    def is_note(self) -> bool:
        """Whether it was written into the file, and is not only the name of the file."""
        return self.evidence.source == "metadata"


# ModelSpec's architecture ids, in the spellings of the specification, of kohya and of SwarmUI, before the "/". Lower
# case; "_" and "-" alike. → architecture, base model, variant.
_ARCHITECTURES: Mapping[str, tuple[str, str, str | None]] = {
    "stable-diffusion-v1": ("sd1", "SD 1.5", None),
    "stable-diffusion-v1-inpainting": ("sd1", "SD 1.5", "Inpainting"),
    "stable-diffusion-v2-512": ("sd2", "SD 2.x", None),
    "stable-diffusion-v2-768-v": ("sd2", "SD 2.x", None),
    "stable-diffusion-v2-inpainting": ("sd2", "SD 2.x", "Inpainting"),
    "stable-diffusion-v2-depth": ("sd2", "SD 2.x", "Depth"),
    "stable-diffusion-v2-unclip": ("sd2", "SD 2.1 Unclip", None),
    "stable-diffusion-xl-v0-9-base": ("sdxl", "SDXL 0.9", None),
    "stable-diffusion-xl-v0-9-refiner": ("sdxl-refiner", "SDXL 0.9", "Refiner"),
    "stable-diffusion-xl-v1-base": ("sdxl", "SDXL 1.0", None),
    "stable-diffusion-xl-v1-refiner": ("sdxl-refiner", "SDXL 1.0", "Refiner"),
    "stable-diffusion-xl-v1-inpainting": ("sdxl", "SDXL 1.0", "Inpainting"),
    "stable-diffusion-xl-turbo-v1": ("sdxl", "SDXL Turbo", None),
    "stable-diffusion-v3-medium": ("sd3", "SD 3", None),
    "stable-diffusion-3-medium": ("sd3", "SD 3", None),
    "stable-diffusion-3-m": ("sd3", "SD 3", None),
    "stable-diffusion-v3.5-medium": ("sd3.5-medium", "SD 3.5 Medium", None),
    "stable-diffusion-3-5-medium": ("sd3.5-medium", "SD 3.5 Medium", None),
    "stable-diffusion-v3.5-large": ("sd3.5-large", "SD 3.5 Large", None),
    "stable-diffusion-3-5-large": ("sd3.5-large", "SD 3.5 Large", None),
    "stable-diffusion-3-large": ("sd3.5-large", "SD 3.5 Large", None),
    "stable-cascade-v1-stage-b": ("stable-cascade", "Stable Cascade", None),
    "stable-cascade-v1-stage-c": ("stable-cascade", "Stable Cascade", None),
    "stable-video-diffusion-img2vid-v1": ("svd", "SVD", None),
    "flux-1-dev": ("flux.1", "Flux.1 D", None),
    "flux.1-dev": ("flux.1", "Flux.1 D", None),
    "flux-1-schnell": ("flux.1", "Flux.1 S", None),
    "flux.1-schnell": ("flux.1", "Flux.1 S", None),
    "flux-1-kontext": ("flux.1", "Flux.1 Kontext", None),
    "flux.1-dev-kontext": ("flux.1", "Flux.1 Kontext", None),
    "flux-2-dev": ("flux.2", "Flux.2 D", None),
    "flux.2-dev": ("flux.2", "Flux.2 D", None),
    "chroma": ("chroma", "Chroma", None),
    "lumina-2": ("lumina2", "Lumina", None),
    "qwen-image": ("qwen-image", "Qwen", None),
    "z-image": ("z-image", "ZImageTurbo", None),
    "auraflow-v1": ("auraflow", "AuraFlow", None),
    "hunyuan-video": ("hunyuan-video", "Hunyuan Video", None),
}
_SPEC_TYPES: Mapping[str, str] = {
    "lora": "lora",
    "textual-inversion": "textualinversion",
    "controlnet": "controlnet",
    "control-lora": "controlnet",
    "vae": "vae",
}
# kohya's ss_base_model_version.
_KOHYA_BASES: Mapping[str, tuple[str, str]] = {
    "sd_v1": ("sd1", "SD 1.5"),
    "sd_1.5": ("sd1", "SD 1.5"),
    "sd1": ("sd1", "SD 1.5"),
    "sd_v2": ("sd2", "SD 2.x"),
    "sd_v2_v": ("sd2", "SD 2.x"),
    "sd2": ("sd2", "SD 2.x"),
    "sdxl_base_v0-9": ("sdxl", "SDXL 0.9"),
    "sdxl_base_v1-0": ("sdxl", "SDXL 1.0"),
    "sdxl_1.0": ("sdxl", "SDXL 1.0"),
    "sdxl": ("sdxl", "SDXL 1.0"),
    "sd3": ("sd3", "SD 3"),
    "sd3_m": ("sd3", "SD 3"),
    "sd3_5-large": ("sd3.5-large", "SD 3.5 Large"),
    "sd3_5-medium": ("sd3.5-medium", "SD 3.5 Medium"),
    "flux1": ("flux.1", "Flux.1 D"),
    "flux1_dev": ("flux.1", "Flux.1 D"),
    "chroma": ("chroma", "Chroma"),
    "lumina2": ("lumina2", "Lumina"),
    "qwen_image": ("qwen-image", "Qwen"),
    "z_image": ("z-image", "ZImageTurbo"),
}
# Keys whose values name the model that was trained on, or that this one was made of.
_NAME_KEYS = (
    *("ss_sd_model_name", "sd_checkpoint_name", "ss_base_model_name", "base_model", "modelspec.title"),
    *(ORIGIN, CLASS_NAME),
)


def claims(metadata: Mapping[str, str]) -> list[Claim]:
    """Return what the notes say about type and base, the most exact first."""
    result: list[Claim] = []
    for key in (
        "ss_sd_model_name",
        "sd_checkpoint_name",
        "ss_base_model_name",
        "base_model",
        "modelspec.title",
        ORIGIN,
        CLASS_NAME,
    ):
        if text := metadata.get(key):
            result.extend(_of_model_name(key, text[:500]))
    if text := metadata.get("modelspec.architecture"):
        result.extend(_of_architecture(text))
    if text := metadata.get("ss_base_model_version"):
        base = _KOHYA_BASES.get(text.strip().lower())
        evidence = Evidence("kohya", "metadata", "ss_base_model_version", text[:200])
        if base is not None:
            result.append(Claim(evidence, LIKELY, *base))
        elif family := families.family_of_id(text):
            # The name of one model; kohya's few words above name whole families.
            exact = Evidence("modelspec", "metadata", "ss_base_model_version", text[:200])
            result.insert(0, Claim(exact, LIKELY, family.architecture, family.bases[0]))
    if (text := metadata.get("ss_v2")) and text.lower() == "true":
        result.append(Claim(Evidence("kohya", "metadata", "ss_v2", text), LIKELY, "sd2", "SD 2.x"))
    return result


def _of_model_name(key: str, text: str) -> list[Claim]:
    for named in named_bases(text, is_note=True):
        says = "the name of the model it was trained on"
        if key in (CLASS_NAME, ORIGIN):
            says = "model_index.json"
        evidence = Evidence("trained-on", "metadata", key, text[:200], says)
        return [Claim(evidence, LIKELY, named.architecture, named.base_model)]
    return []


def claim_of_name(name: str, base: Finding) -> Claim | None:
    """Return the base model that the name of a file tells: one of the candidates, or else one that contradicts them."""
    bases = list(named_bases(name[-300:], is_note=False))
    fitting = (named for named in bases if named.base_model in (base.value, *base.candidates))
    named = next(fitting, bases[0] if bases and base.is_known else None)
    if named is None:
        return None
    evidence = Evidence("file-name", "name", "name of the file", name[-200:])
    return Claim(evidence, PLAUSIBLE, named.architecture, named.base_model)


def _of_architecture(text: str) -> list[Claim]:
    name, _, kind = text.strip().lower().replace("_", "-").partition("/")
    entry = _ARCHITECTURES.get(name)
    if entry is None and (family := families.family_of_id(name)):
        entry = family.architecture, family.bases[0], None
    type_ = _SPEC_TYPES.get(kind) if kind else None
    if entry is None and type_ is None:
        return []
    architecture, base, variant = entry or (None, None, None)
    evidence = Evidence("modelspec", "metadata", "modelspec.architecture", text[:200])
    return [Claim(evidence, LIKELY if entry else PLAUSIBLE, architecture, base, type_, variant)]


def trigger_words(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Return the words that call an adapter up: those the author names, then those that every caption had.

    ``ss_tag_frequency`` counts tags by folder of the training set. A word that was taught on purpose stands in each
    of a folder's captions, so it is one of the most frequent; the ones at 95 % of the highest count are taken.
    """
    words: dict[str, None] = {}
    for key in ("modelspec.trigger_phrase", "trigger_phrase", "trained_words", "ss_trigger_words", "activation text"):
        for word in re.split(r"[,\n]", metadata.get(key, "")[:4_000]):
            _add(words, word)
    for _, tag in sorted(_frequent_tags(metadata.get("ss_tag_frequency", "")), key=lambda pair: -pair[0]):
        _add(words, tag)
    return tuple(words)[:TRIGGER_WORDS_MAX]


def _add(words: dict[str, None], word: str) -> None:
    word = " ".join(word.split())[:WORD_LENGTH_MAX]
    if word and word.isprintable():
        words.setdefault(word)


def _frequent_tags(text: str) -> list[tuple[int, str]]:
    if not text or len(text) > _TAG_FREQUENCY_MAX:
        return []
    try:
        folders = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if not isinstance(folders, dict):
        return []
    result = []
    for tags in folders.values():
        counts = [(count, tag) for tag, count in tags.items() if type(count) is int] if isinstance(tags, dict) else []
        if counts:
            most = max(count for count, _ in counts)
            result.extend(sorted((pair for pair in counts if pair[0] >= most * 0.95), reverse=True)[:TRIGGER_WORDS_MAX])
    return result


def bounded(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata shortened to what is worth keeping: no pictures, no training logs of megabytes.

    A value that is cut ends with the number of characters it had.
    """
    result: dict[str, str] = {}
    total = 0
    for key, value in metadata.items():
        # PostgreSQL takes no NUL in text.
        name, text = key[:200].replace("\0", "\N{REPLACEMENT CHARACTER}"), value
        if text.startswith("data:") or len(text) > METADATA_VALUE_MAX:
            keep = 40 if text.startswith("data:") else METADATA_VALUE_MAX
            text = f"{text[:keep]}… ({len(value):,} characters)"
        total += len(name) + len(text)
        if len(result) >= METADATA_ENTRIES_MAX or total > METADATA_TOTAL_MAX:
            break
        result[name] = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return result
