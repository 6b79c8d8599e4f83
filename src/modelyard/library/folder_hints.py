"""What a folder's name says about the models in it: their type and base model."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from modelyard.paths import display_path


@dataclass(frozen=True, slots=True)
class FolderHint:
    """What the place of a file lets guess."""

    type: str | None
    base_model: str | None
    evidence: str


# The folders' names of A1111, Forge, SD.Next, ComfyUI, InvokeAI, Stability Matrix and SwarmUI, folded: lower case, no
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
    """Return what the folders that a file lies in are for; None where their names say nothing.

    The folder right below the last ``models`` decides; without one, the first known folder from the root down. A
    folder that an ``extra_model_paths.yaml`` names is what that says.
    """
    folder = os.path.dirname(path)
    while kinds and len(folder) > 1:
        if folder in kinds and (type_ := _TYPES_BY_FOLDER.get(_folded(kinds[folder]))):
            return FolderHint(type_, None, f"extra_model_paths.yaml calls its folder {kinds[folder]!r}")
        folder = os.path.dirname(folder)
    names = display_path(os.path.dirname(path)).split("/")
    folded = [_folded(name) for name in names]
    if "models" in folded:
        start = len(folded) - folded[::-1].index("models")
        base = _BASES_BY_FOLDER.get(folded[start]) if len(folded) > start + 1 else None
        at = start + 1 if base else start
        candidates = range(at, min(at + 1, len(folded)))
    else:
        base = None
        candidates = range(max(len(display_path(root).split("/")) - 1, 0), len(folded))
    for number in candidates:
        if type_ := _TYPES_BY_FOLDER.get(folded[number]):
            return FolderHint(type_, base, f"it lies in a folder called {names[number]!r}")
    return None


def _folded(name: str) -> str:
    return _IGNORED_IN_FOLDERS.sub("", name).casefold()
