"""Guesses the type and base model of a model from the names of the folders that its file lies in."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from modelyard.paths import display_path


@dataclass(frozen=True, slots=True)
class FolderHint:
    """The type and base model that a folder suggests, with the reason."""

    type: str | None
    base_model: str | None
    evidence: str


# The folder names of A1111, Forge, SD.Next, ComfyUI, InvokeAI, Stability Matrix and SwarmUI, folded: lower case, no
# "-", "_" or space.
_TYPES_BY_FOLDER: Mapping[str, str] = {
    "stablediffusion": "checkpoint", "checkpoints": "checkpoint", "checkpoint": "checkpoint", "main": "checkpoint",
    "lora": "lora", "loras": "lora", "lycoris": "locon", "locon": "locon",
    "vae": "vae", "vaes": "vae", "vaeapprox": "vae", "approxvae": "vae",
    "controlnet": "controlnet", "controlnets": "controlnet", "controllora": "controlnet",
    "t2iadapter": "t2iadapter", "t2iadapters": "t2iadapter",
    "ipadapter": "ipadapter", "ipadapters": "ipadapter", "ipadapters15": "ipadapter", "ipadaptersxl": "ipadapter",
    "esrgan": "upscaler", "realesrgan": "upscaler", "bsrgan": "upscaler", "swinir": "upscaler", "dat": "upscaler",
    "hat": "upscaler", "scunet": "upscaler", "ldsr": "upscaler", "upscalemodels": "upscaler", "upscalers": "upscaler",
    "upscaler": "upscaler", "spandrelimagetoimage": "upscaler",
    "embeddings": "textualinversion", "embedding": "textualinversion", "textualinversion": "textualinversion",
    "hypernetworks": "hypernetwork", "hypernetwork": "hypernetwork",
    "diffusionmodels": "unet", "unet": "unet",
    "textencoders": "textencoder", "textencoder": "textencoder", "clip": "textencoder", "t5encoder": "textencoder",
    "clipvision": "clipvision",
    "animatediffmodels": "motionmodule", "animatediffmotionlora": "motionmodule", "motionmodules": "motionmodule",
    "adetailer": "detection", "afterdetailer": "detection", "ultralytics": "detection",
}  # fmt: skip # one table


# InvokeAI's models/<base>/<type>/.
_BASES_BY_FOLDER: Mapping[str, str] = {
    "sd1": "SD 1.5", "sd2": "SD 2.1", "sdxl": "SDXL 1.0", "sdxlrefiner": "SDXL 1.0", "sd3": "SD 3", "flux": "Flux.1 D",
}  # fmt: skip # one table


_IGNORED_IN_FOLDERS = re.compile(r"[-_ ]")


def hint_of(path: bytes, root: bytes, kinds: Mapping[bytes, str]) -> FolderHint | None:
    """Return the hint of the folders that a file lies in; None if their names suggest nothing.

    The folder directly below the last ``models`` decides; without one, the first folder in the table, from the root
    down. An ``extra_model_paths.yaml`` wins over the folder's name.
    """
    folder = os.path.dirname(path)
    while kinds and len(folder) > 1:
        if folder in kinds and (type_ := _TYPES_BY_FOLDER.get(_fold(kinds[folder]))):
            return FolderHint(type_, None, f"extra_model_paths.yaml calls its folder {kinds[folder]!r}")
        folder = os.path.dirname(folder)
    names = display_path(os.path.dirname(path)).split("/")
    folds = [_fold(name) for name in names]
    if "models" in folds:
        start = len(folds) - folds[::-1].index("models")
        base = _BASES_BY_FOLDER.get(folds[start]) if len(folds) > start + 1 else None
        first = start + 1 if base else start
        candidates = range(first, min(first + 1, len(folds)))
    else:
        base = None
        candidates = range(max(len(display_path(root).split("/")) - 1, 0), len(folds))
    for number in candidates:
        if type_ := _TYPES_BY_FOLDER.get(folds[number]):
            return FolderHint(type_, base, f"it lies in a folder called {names[number]!r}")
    return None


def is_type_folder(folder: bytes) -> bool:
    """Whether a folder's name says which kind of model lies in it, so that it is no model's own folder."""
    return _fold(display_path(os.path.basename(folder.rstrip(b"/")))) in {*_TYPES_BY_FOLDER, "models"}


def _fold(name: str) -> str:
    return _IGNORED_IN_FOLDERS.sub("", name).casefold()
