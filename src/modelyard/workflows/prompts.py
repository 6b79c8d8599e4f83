"""Prompts, and the block of text that A1111 and its relatives write into pictures → needs."""

import re
from itertools import islice
from typing import Any

import msgspec

from modelyard.workflows.loaders import CHECKPOINTS, CONTROLNET, LORAS, VAE
from modelyard.workflows.needs import NAME_CHARS_MAX, Need, NeedCollector, digits_of

EMBEDDINGS = "embeddings"
UPSCALE_MODELS = "upscale_models"
REFERENCES_MAX = 200
_PROMPT_CHARS_MAX = 65_536
_BLOCK_CHARS_MAX = 32_768
_BRACKETS_MAX = 64
_RESOURCE_TYPES = {
    "checkpoint": CHECKPOINTS,
    "lora": LORAS,
    "lycoris": LORAS,
    "embed": EMBEDDINGS,
    "embedding": EMBEDDINGS,
    "vae": VAE,
}

_EMBEDDING = re.compile(r"\bembedding:\s?([^\s,:()\[\]{}<>|\"']{1,260})")
_LORA = re.compile(r"<(?:lora|lyco):([^<>:]{1,260})(?::[^<>]{0,80})?>")
_SETTINGS = re.compile(r"(?:^|\n)(Steps: \d+, [^\n]*(?:\n[^\n]+)*)\Z")
# "Key: value" pairs; a value in quotes may hold commas. The bounds keep the cost of hostile text linear.
_PAIR = re.compile(
    r'\s*([\w /.()+-]{1,64}?):\s*("(?:\\.|[^"\\]){0,8192}"|\[[^\]]{0,2048}\]|\{[^}]{0,4096}\}|[^,]*)(?:,|$)'
)
_NAME_AND_HASH = re.compile(r"(.{1,260}?)\s*(?:\[([0-9a-f]{8,64})\])?", re.IGNORECASE)
_MODEL_OF_CONTROLNET = re.compile(r"\bmodel: ([^,\[]{1,260}?)\s*(?:\[([0-9a-f]{8,64})\])?(?:,|$)", re.IGNORECASE)
_NO_MODEL = {"", "none", "automatic", "auto", "latent", "nearest", "lanczos", "default"}


def read_references(text: str, node_id: str | None, needs: NeedCollector) -> None:
    """Collect the embeddings and LoRAs that a prompt names."""
    nodes = (node_id,) if node_id is not None else ()
    for pattern, directory, mark in ((_EMBEDDING, EMBEDDINGS, "embedding:"), (_LORA, LORAS, "<l")):
        if mark in text:
            for number, match in enumerate(pattern.finditer(text)):
                if number >= REFERENCES_MAX:
                    needs.truncate()
                    break
                name = match[1].strip()
                if name and name.isprintable():
                    needs.add(Need(name, directory, nodes=nodes))


def read_settings(text: str, needs: NeedCollector) -> bool:
    """Collect the needs of a block of settings; return whether the text has one."""
    match = _SETTINGS.search(text.rstrip()[-_BLOCK_CHARS_MAX:])
    read_references(text[:_PROMPT_CHARS_MAX], None, needs)
    if match is None:
        return False
    block = match[1].replace("\n", " ")
    settings: dict[str, str] = {}
    for pair in _PAIR.finditer(block):
        settings.setdefault(pair[1].strip(), _unquote(pair[2].strip()))
    for name_key, hash_key, directory in (
        ("Model", "Model hash", CHECKPOINTS),
        ("Refiner", "", CHECKPOINTS),
        ("VAE", "VAE hash", VAE),
        ("Hires upscaler", "", UPSCALE_MODELS),
    ):
        _add_named(settings.get(name_key, ""), settings.get(hash_key, ""), directory, needs)
    for key, directory in (("Lora hashes", LORAS), ("TI hashes", EMBEDDINGS)):
        for entry in settings.get(key, "").split(",")[:REFERENCES_MAX]:
            name, _, digits = entry.rpartition(":")
            _add_named(name.strip(), digits, directory, needs)
    for key, value in settings.items():
        if key.startswith("ControlNet") and (model := _MODEL_OF_CONTROLNET.search(value)):
            _add_named(model[1], model[2] or "", CONTROLNET, needs)
    _read_hashes(settings.get("Hashes", ""), settings, needs)
    _read_resources(_after(block, "Civitai resources:"), needs)
    return True


def _add_named(text: str, digits: str, directory: str | None, needs: NeedCollector) -> None:
    match = _NAME_AND_HASH.fullmatch(text.strip())
    name = match[1].strip() if match else ""
    if name.casefold().partition(" ")[0].strip("()") in _NO_MODEL or len(name) > NAME_CHARS_MAX:
        return
    values = [value for value in (digits_of(digits), digits_of(match[2]) if match else None) if value]
    needs.add(Need(name, directory, hashes=tuple(dict.fromkeys(values))))


def _read_hashes(text: str, settings: dict[str, str], needs: NeedCollector) -> None:
    """Collect ``{"model": "…", "lora:name": "…", "embed:name": "…", "vae": "…"}``."""
    names = {"model": (settings.get("Model", ""), CHECKPOINTS), "vae": (settings.get("VAE", ""), VAE)}
    directories = {"lora": LORAS, "lyco": LORAS, "embed": EMBEDDINGS}
    for key, digits in _decode(text, dict).items():
        kind, _, name = key.partition(":")
        if not isinstance(digits, str):
            continue
        if kind in directories and name:
            _add_named(name, digits, directories[kind], needs)
        elif kind in names:
            _add_named(names[kind][0] or digits, digits, names[kind][1], needs)


def _read_resources(text: str, needs: NeedCollector) -> None:
    """Collect ``[{"type": "lora", "modelVersionId": 1, "modelName": "…", "air": "urn:air:…"}]``."""
    for resource in _decode(text, list)[:REFERENCES_MAX]:
        if not isinstance(resource, dict):
            continue
        version, air, name = (resource.get(key) for key in ("modelVersionId", "air", "modelName"))
        version = version if isinstance(version, int) and 0 < version < 2**53 else None
        air = air if isinstance(air, str) and len(air) <= NAME_CHARS_MAX else None
        label = name if isinstance(name, str) and name.strip() else air or (f"version {version}" if version else "")
        if label and len(label) <= NAME_CHARS_MAX and label.isprintable():
            kind = resource.get("type")
            directory = _RESOURCE_TYPES.get(kind.lower()) if isinstance(kind, str) else None
            needs.add(Need(label, directory, air=air, version_id=version))


def _after(block: str, label: str) -> str:
    """Return the JSON list after a label; "" if there is none."""
    start = block.find(label)
    if start < 0:
        return ""
    text = block[start + len(label) :].lstrip()
    # The list ends at a bracket that nothing but another setting follows.
    for end in (match.end() for match in islice(re.finditer(r"\]", text), _BRACKETS_MAX)):
        if _decode(text[:end], list):
            return text[:end]
    return ""


def _decode(text: str, type_: type[Any]) -> Any:
    """Return a value of JSON, or an empty one if the text holds none of the type."""
    try:
        value = msgspec.json.decode(text.encode("utf-8", "replace")) if text else None
    except (msgspec.DecodeError, RecursionError):
        value = None
    return value if isinstance(value, type_) else type_()


def _unquote(text: str) -> str:
    if len(text) > 1 and text.startswith('"') and text.endswith('"'):
        return text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return text
