"""The README.md of a repository, made from the details of its model.

The front matter is YAML; each value is JSON, which YAML includes. A description comes from strangers: no line of it can
end the front matter, because it stands behind it.
"""

import re
from collections.abc import Sequence

import msgspec

from modelyard.domain import Model
from modelyard.facts import Facts
from modelyard.licences import format_licence
from modelyard.web.hub.entries import FileEntry
from modelyard.wire import hub_tags
from modelyard.wire.hub_base_models import hub_id_of

CardFields = dict[str, object]
# The characters that YAML 1.1 does not allow in a text; its readers refuse a whole file for one of them.
_NOT_PRINTABLE = re.compile("[^\x09\x0a\x0d\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_LOADERS = {
    "lora": "pipeline.load_lora_weights({repository}, weight_name={path})",
    "textualinversion": "pipeline.load_textual_inversion({repository}, weight_name={path})",
}
_COMFYUI_FOLDERS = {
    "checkpoint": "checkpoints",
    "lora": "loras",
    "locon": "loras",
    "dora": "loras",
    "vae": "vae",
    "controlnet": "controlnet",
    "upscaler": "upscale_models",
    "textualinversion": "embeddings",
    "hypernetwork": "hypernetworks",
    "unet": "diffusion_models",
    "textencoder": "text_encoders",
    "clip": "text_encoders",
    "clipvision": "clip_vision",
}


def card_fields(model: Model, model_tags: Sequence[str]) -> CardFields:
    """Return the front matter, as ``cardData`` has it too."""
    hub_id = hub_id_of(model.base_model)
    licence, words = model.licence, ", ".join(model.trigger_words)
    fields: dict[str, object | None] = {
        "license": hub_tags.licence_of(model),
        "license_name": licence.name if licence and not licence.id else None,
        "license_link": licence.url if licence else None,
        "tags": [tag for tag in model_tags if not tag.startswith(("base_model:", "license:"))],
        "base_model": hub_id,
        "pipeline_tag": hub_tags.PIPELINE_TAG,
        "library_name": hub_tags.library_of(model.type.name),
        "instance_prompt": words or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def make_card(repository: str, model: Model, facts: Facts, fields: CardFields, files: Sequence[FileEntry]) -> bytes:
    """Return the README.md."""
    title = _line(model.title or model.name or model.sd_name)
    sections = [
        "\n".join(
            ("---", *(f"{name}: {msgspec.json.encode(value).decode()}" for name, value in fields.items()), "---")
        ),
        f"# {title}",
        f"Version: {_line(model.name)}" if model.name and model.name != model.title else "",
        (facts.description or "").strip(),
        "Trigger words: " + ", ".join(f"`{_line(word)}`" for word in model.trigger_words)
        if model.trigger_words
        else "",
        _usage(repository, model, files),
        _file_table(files),
        f"## Licence\n\n{_line(format_licence(model.licence))}" if model.licence else "",
    ]
    text = "\n\n".join(filter(None, sections)) + "\n"
    return _NOT_PRINTABLE.sub("", text).encode()


def _line(text: str) -> str:
    return " ".join(text.split())


def _usage(repository: str, model: Model, files: Sequence[FileEntry]) -> str:
    if not files:
        return ""
    path = files[0].path
    lines = ["## Use", "", "```sh", f"hf download {repository} {_shell_word(path)}", "```"]
    if code := diffusers_code(repository, model, files):
        lines += ["", "With diffusers:", "", "```python", code, "```"]
    folder = _COMFYUI_FOLDERS.get(model.type.name)
    if folder:
        lines += ["", f"With ComfyUI: put the file into `models/{folder}`."]
    return "\n".join(lines)


def diffusers_code(repository: str, model: Model, files: Sequence[FileEntry]) -> str:
    """Return the Python code that loads a model with diffusers; empty if diffusers does not load this type."""
    if not files or not hub_tags.library_of(model.type.name):
        return ""
    kind = "lora" if model.type.name in {"lora", "locon", "dora"} else model.type.name
    base = hub_id_of(model.base_model) or "…"
    names = {"repository": repr(repository), "path": repr(files[0].path)}
    if loader := _LOADERS.get(kind):
        return "\n".join(
            (
                "from diffusers import DiffusionPipeline",
                "",
                f"pipeline = DiffusionPipeline.from_pretrained({base!r})",
                loader.format(**names),
            )
        )
    if kind == "checkpoint":
        pipeline = "StableDiffusionXLPipeline" if model.is_sdxl else "StableDiffusionPipeline"
        return "\n".join(
            (
                f"from diffusers import {pipeline}",
                "from huggingface_hub import hf_hub_download",
                "",
                "file = hf_hub_download({repository}, {path})".format(**names),
                f"pipeline = {pipeline}.from_single_file(file)",
            )
        )
    return ""


def _shell_word(text: str) -> str:
    return text if re.fullmatch(r"[\w./+=@-]+", text, re.ASCII) else "'" + text.replace("'", "'\\''") + "'"


def _file_table(files: Sequence[FileEntry]) -> str:
    if not files:
        return ""
    rows = (f"| `{entry.path}` | {entry.size_bytes} | `{entry.sha256}` |" for entry in files)
    return "\n".join(("## Files", "", "| File | Bytes | SHA-256 |", "|---|---|---|", *rows))
