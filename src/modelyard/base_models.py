"""The base models that a new database starts with. Users can add others.

Names have Civitai's spelling. ``architecture`` groups base models whose weights have the same shapes: a LoRA for one
mostly fits the others. SDXL is an architecture here: Pony, Illustrious and NoobAI were trained from it and belong to
it; Pony V7 was trained from AuraFlow and does not.
"""

from collections.abc import Iterable, Mapping

from modelyard.domain import BaseModel

SDXL = "SDXL"

# Aliases: how file headers, side-cars and other front ends spell the same. `_` and a space are one to
# `domain.fold_base`, and so are upper and lower case.
_NAMES: Mapping[str, tuple[str | tuple[str, ...], ...]] = {
    "SD 1": (
        "SD 1.4",
        ("SD 1.5", "sd1", "sd15", "sd1.5", "sd-1.5", "sd-1", "sd1.x", "stable diffusion 1.5", "stable-diffusion-v1"),
        ("SD 1.5 LCM", "sd15 lcm"),
        ("SD 1.5 Hyper", "sd15 hyper"),
    ),
    "SD 2": (
        "SD 2.0",
        "SD 2.0 768",
        ("SD 2.1", "sd2", "sd21", "sd2.1", "sd-2", "sd-2.1", "sd2.x", "stable diffusion 2.1"),
        "SD 2.1 768",
        "SD 2.1 Unclip",
    ),
    "SD 3": (
        ("SD 3", "sd3", "sd-3", "stable diffusion 3"),
        ("SD 3.5", "sd3.5", "sd-3.5"),
        "SD 3.5 Large",
        "SD 3.5 Large Turbo",
        "SD 3.5 Medium",
    ),
    SDXL: (
        "SDXL 0.9",
        ("SDXL 1.0", "sdxl", "sd xl", "sd-xl", "sdxl1.0", "sdxl-1.0", "stable diffusion xl"),
        ("SDXL 1.0 LCM", "sdxl lcm"),
        ("SDXL Turbo", "sdxl 1.0 turbo"),
        ("SDXL Lightning", "sdxl 1.0 lightning"),
        ("SDXL Hyper", "sdxl 1.0 hyper"),
        # Segmind's smaller students of SDXL: the same text encoders and latents, fewer blocks.
        ("SDXL Distilled", "ssd-1b"),
        ("Pony", "pony xl", "ponyxl", "pony v6", "pony diffusion v6 xl"),
        ("Illustrious", "illustrious xl", "illustriousxl", "ilxl"),
        ("NoobAI", "noobai xl", "noobaixl", "noob"),
    ),
    "AuraFlow": ("AuraFlow", ("Pony V7", "ponyv7", "pony 7")),
    "Stable Cascade": (("Stable Cascade", "stable-cascade", "wuerstchen v3"),),
    "SVD": (("SVD", "stable video diffusion"), "SVD XT"),
    "Flux.1": (
        ("Flux.1 D", "flux", "flux.1", "flux1", "flux.1 dev", "flux.1-dev", "flux1 dev", "flux dev", "flux1.d"),
        ("Flux.1 S", "flux.1 schnell", "flux.1-schnell", "flux1 schnell", "flux schnell", "flux1.s"),
        ("Flux.1 Krea", "flux krea", "flux.1 krea dev"),
        ("Flux.1 Kontext", "flux kontext", "flux.1 kontext dev"),
    ),
    "Flux.2": (
        ("Flux.2 D", "flux.2", "flux2", "flux.2 dev", "flux.2-dev", "flux2 dev"),
        "Flux.2 Klein 9B",
        "Flux.2 Klein 9B-base",
        "Flux.2 Klein 4B",
        "Flux.2 Klein 4B-base",
    ),
    "Flux 3": ("Flux 3 Video",),
    "Chroma": ("Chroma",),
    "Kolors": ("Kolors",),
    "Lumina": (("Lumina", "lumina 2", "lumina2"),),
    "PixArt": (("PixArt a", "pixart alpha", "pixart-alpha"), ("PixArt E", "pixart sigma", "pixart-sigma")),
    "Playground": (("Playground v2", "playground v2.5", "playground"),),
    "Hunyuan DiT": (("Hunyuan 1", "hunyuan dit", "hunyuan-dit"),),
    "Hunyuan Video": (("Hunyuan Video", "hunyuanvideo"),),
    "Hunyuan3D": ("Hunyuan3D",),
    "HiDream": (("HiDream", "hidream i1", "hidream-i1"), "HiDream-O1"),
    "Qwen": (("Qwen", "qwen image", "qwen-image"), "Qwen 2", "Qwen 3"),
    "Z Image": (("ZImageTurbo", "z image turbo", "z-image-turbo"), ("ZImageBase", "z image base", "z-image-base")),
    "Wan Video": (
        ("Wan Video", "wan", "wan 2.1", "wan2.1"),
        "Wan Video 1.3B t2v",
        "Wan Video 14B t2v",
        "Wan Video 14B i2v 480p",
        "Wan Video 14B i2v 720p",
        "Wan Video 2.2 TI2V-5B",
        "Wan Video 2.2 I2V-A14B",
        "Wan Video 2.2 T2V-A14B",
        "Wan Video 2.5 T2V",
        "Wan Video 2.5 I2V",
        "Wan Image 2.7",
        "Wan Video 2.7",
    ),
    "LTXV": (("LTXV", "ltx video", "ltx-video"), "LTXV2", "LTXV 2.3"),
    "Mochi": ("Mochi",),
    "CogVideoX": ("CogVideoX",),
    "Anima": ("Anima",),
    "ODOR": ("ODOR",),
    "Upscaler": ("Upscaler",),
    # Offered by their makers' servers only: no weights to keep, and yet what a record may be about.
    "Remote": ("Imagen4", "Nano Banana", "OpenAI", "Seedream", "Sora 2", "Veo 3", "Kling", "Vidu Q1", "Seedance"),
    "": ("Other",),
}


def _known() -> Iterable[BaseModel]:
    for architecture, spellings in _NAMES.items():
        for spelling in spellings:
            name, *aliases = (spelling,) if isinstance(spelling, str) else spelling
            yield BaseModel(name, architecture, architecture == SDXL, tuple(aliases))


KNOWN = tuple(_known())
