"""The folders in which programs look for models of each type."""

import re
from collections.abc import Mapping

_FOLDER = re.compile(r"[a-z0-9][a-z0-9_-]{0,40}", re.ASCII)
OTHERS = "etc"

# The folder of each type, below the program's own folder. Other types go to a folder with the type's name.
LAYOUTS: Mapping[str, Mapping[str, str]] = {
    "comfyui": {
        "checkpoint": "models/checkpoints",
        "lora": "models/loras",
        "locon": "models/loras",
        "dora": "models/loras",
        "vae": "models/vae",
        "controlnet": "models/controlnet",
        "upscaler": "models/upscale_models",
        "textualinversion": "models/embeddings",
        "hypernetwork": "models/hypernetworks",
        "unet": "models/diffusion_models",
        "textencoder": "models/text_encoders",
        "clip": "models/text_encoders",
        "clipvision": "models/clip_vision",
        "ipadapter": "models/ipadapter",
    },
    "a1111": {
        "checkpoint": "models/Stable-diffusion",
        "lora": "models/Lora",
        "locon": "models/Lora",
        "dora": "models/Lora",
        "vae": "models/VAE",
        "controlnet": "models/ControlNet",
        "upscaler": "models/ESRGAN",
        "textualinversion": "embeddings",
        "hypernetwork": "models/hypernetworks",
    },
}


def comfyui_folder(type_name: str) -> str:
    """Return the folder of a type below ComfyUI's folder of models: one or more plain names, never a way out of it."""
    folder = LAYOUTS["comfyui"].get(type_name)
    if folder is not None:
        return folder.removeprefix("models/")
    return type_name if _FOLDER.fullmatch(type_name) else OTHERS
