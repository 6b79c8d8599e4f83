"""Guesses the name of a model from the path of its file, or from the name that its trainer wrote."""

import os
import re

from modelyard.domain import model_type, split_extension
from modelyard.facts import Facts
from modelyard.library.folder_hints import FolderHint
from modelyard.library.trainers import Training
from modelyard.paths import display_path

_NAME_CHARS_MAX = 200
# Programs give every model's file these names; the name of the folder tells the models apart.
_GENERIC_NAMES = re.compile(
    r"(diffusion_)?(pytorch_)?model(\.(fp16|bf16|fp32|non_ema|ema))*|adapter_model|pytorch_lora_weights"
    r"|(open_clip_)?pytorch_model.*|model-\d+-of-\d+|diffusion_pytorch_model-\d+-of-\d+",
    re.IGNORECASE,
)
_PART_FOLDERS = frozenset(
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
    """Return the facts that a file's path suggests; a trained model has the name that its trainer wrote."""
    stem, _ = split_name(path)
    name = training.output_name if training and training.output_name else _guess_name(path, stem)
    return Facts(
        name=name[:_NAME_CHARS_MAX],
        type=model_type(hint.type) if hint and hint.type else None,
        base_model=hint.base_model if hint else None,
        file_name=display_path(os.path.basename(path)),
        evidence=(hint.evidence,) if hint else None,
    )


def split_name(path: bytes) -> tuple[str, str]:
    """Return stem and extension of a file for use in a model's name: printable, the stem never empty."""
    name = "".join(c if c.isprintable() else " " for c in display_path(os.path.basename(path))).strip()
    stem, extension = split_extension(name)
    return stem.strip()[:_NAME_CHARS_MAX] or "model", extension


def _guess_name(path: bytes, stem: str) -> str:
    if not _GENERIC_NAMES.fullmatch(stem):
        return stem
    folders = [name for name in display_path(os.path.dirname(path)).split("/") if name]
    if not folders:
        return stem
    if folders[-1] in _PART_FOLDERS and len(folders) > 1:
        return f"{folders[-2]} {folders[-1]}"
    return folders[-1]
