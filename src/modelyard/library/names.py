"""What a model is called that only a file tells of: a name for people, and a name for calls that no other model has."""

import os
import re

from modelyard.domain import Facts, model_type
from modelyard.library.folder_hints import FolderHint
from modelyard.library.trainers import Training
from modelyard.paths import display_path

_NAME_CHARS_MAX = 200
# What programs call the file of every model: the folder's name says which one it is.
_EVERYONES_NAMES = re.compile(
    r"(diffusion_)?(pytorch_)?model(\.(fp16|bf16|fp32|non_ema|ema))*|adapter_model|pytorch_lora_weights"
    r"|(open_clip_)?pytorch_model.*|model-\d+-of-\d+|diffusion_pytorch_model-\d+-of-\d+",
    re.IGNORECASE,
)
_PARTS_OF_A_MODEL = frozenset(
    {
        "unet",
        "vae",
        "transformer",
        "text_encoder",
        "text_encoder_2",
        "text_encoder_3",
        "image_encoder",
        "safety_checker",
    }
)


def guess(path: bytes, hint: FolderHint | None, training: Training | None) -> Facts:
    """Return what name and place of a file let guess; of a trained one, what its trainer called it."""
    stem, _ = split_name(path)
    name = training.output_name if training and training.output_name else _name_of(path, stem)
    return Facts(
        name=name[:_NAME_CHARS_MAX],
        type=model_type(hint.type) if hint and hint.type else None,
        base_model=hint.base_model if hint else None,
        file_name=display_path(os.path.basename(path)),
        evidence=(hint.evidence,) if hint else None,
    )


def split_name(path: bytes) -> tuple[str, str]:
    """Return stem and extension of a file as catalogue names have them: printable, and never empty."""
    name = "".join(c if c.isprintable() else " " for c in display_path(os.path.basename(path))).strip()
    stem, dot, extension = name.rpartition(".")
    return (stem.strip()[:_NAME_CHARS_MAX] or "model", extension) if dot else (name[:_NAME_CHARS_MAX] or "model", "")


def sd_name(stem: str, extension: str, model_id: int | None = None) -> str:
    """Return the name in the catalogue; with the model's id in it, where another one has the plain name."""
    marked = stem if model_id is None else f"{stem}_{model_id}"
    return f"{marked}.{extension}" if extension else marked


def _name_of(path: bytes, stem: str) -> str:
    if not _EVERYONES_NAMES.fullmatch(stem):
        return stem
    folders = [name for name in display_path(os.path.dirname(path)).split("/") if name]
    if not folders:
        return stem
    if folders[-1] in _PARTS_OF_A_MODEL and len(folders) > 1:
        return f"{folders[-2]} {folders[-1]}"
    return folders[-1]
