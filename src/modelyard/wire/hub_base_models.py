"""The names of base models on the Hugging Face Hub, by the names of the catalogue (``modelyard.base_models``)."""

from collections.abc import Mapping
from functools import lru_cache

from modelyard.domain import fold_base

_HUB_IDS: Mapping[str, tuple[str, ...]] = {
    "CompVis/stable-diffusion-v1-4": ("SD 1.4",),
    "stable-diffusion-v1-5/stable-diffusion-v1-5": ("SD 1.5",),
    "stabilityai/stable-diffusion-2-base": ("SD 2.0",),
    "stabilityai/stable-diffusion-2": ("SD 2.0 768",),
    "stabilityai/stable-diffusion-2-1-base": ("SD 2.1",),
    "stabilityai/stable-diffusion-2-1": ("SD 2.1 768",),
    "stabilityai/stable-diffusion-2-1-unclip": ("SD 2.1 Unclip",),
    "stabilityai/stable-diffusion-3-medium": ("SD 3",),
    "stabilityai/stable-diffusion-3.5-large": ("SD 3.5", "SD 3.5 Large"),
    "stabilityai/stable-diffusion-3.5-large-turbo": ("SD 3.5 Large Turbo",),
    "stabilityai/stable-diffusion-3.5-medium": ("SD 3.5 Medium",),
    "stabilityai/stable-diffusion-xl-base-0.9": ("SDXL 0.9",),
    "stabilityai/stable-diffusion-xl-base-1.0": ("SDXL 1.0",),
    "stabilityai/sdxl-turbo": ("SDXL Turbo",),
    "ByteDance/SDXL-Lightning": ("SDXL Lightning",),
    "ByteDance/Hyper-SD": ("SDXL Hyper", "SD 1.5 Hyper"),
    "segmind/SSD-1B": ("SDXL Distilled",),
    "AstraliteHeart/pony-diffusion-v6": ("Pony",),
    "OnomaAIResearch/Illustrious-xl-early-release-v0": ("Illustrious",),
    "Laxhar/noobai-XL-1.1": ("NoobAI",),
    "fal/AuraFlow": ("AuraFlow",),
    "purplesmartai/pony-v7-base": ("Pony V7",),
    "stabilityai/stable-cascade": ("Stable Cascade",),
    "stabilityai/stable-video-diffusion-img2vid": ("SVD",),
    "stabilityai/stable-video-diffusion-img2vid-xt": ("SVD XT",),
    "black-forest-labs/FLUX.1-dev": ("Flux.1 D",),
    "black-forest-labs/FLUX.1-schnell": ("Flux.1 S",),
    "black-forest-labs/FLUX.1-Krea-dev": ("Flux.1 Krea",),
    "black-forest-labs/FLUX.1-Kontext-dev": ("Flux.1 Kontext",),
    "black-forest-labs/FLUX.2-dev": ("Flux.2 D",),
    "lodestones/Chroma": ("Chroma",),
    "Kwai-Kolors/Kolors-diffusers": ("Kolors",),
    "Alpha-VLLM/Lumina-Image-2.0": ("Lumina",),
    "PixArt-alpha/PixArt-XL-2-1024-MS": ("PixArt a",),
    "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS": ("PixArt E",),
    "playgroundai/playground-v2.5-1024px-aesthetic": ("Playground v2",),
    "Tencent-Hunyuan/HunyuanDiT-v1.2-Diffusers": ("Hunyuan 1",),
    "tencent/HunyuanVideo": ("Hunyuan Video",),
    "HiDream-ai/HiDream-I1-Full": ("HiDream",),
    "Qwen/Qwen-Image": ("Qwen",),
    "Tongyi-MAI/Z-Image-Turbo": ("ZImageTurbo",),
    "Wan-AI/Wan2.1-T2V-14B": ("Wan Video", "Wan Video 14B t2v"),
    "Wan-AI/Wan2.1-T2V-1.3B": ("Wan Video 1.3B t2v",),
    "Wan-AI/Wan2.1-I2V-14B-480P": ("Wan Video 14B i2v 480p",),
    "Wan-AI/Wan2.1-I2V-14B-720P": ("Wan Video 14B i2v 720p",),
    "Wan-AI/Wan2.2-TI2V-5B": ("Wan Video 2.2 TI2V-5B",),
    "Wan-AI/Wan2.2-I2V-A14B": ("Wan Video 2.2 I2V-A14B",),
    "Wan-AI/Wan2.2-T2V-A14B": ("Wan Video 2.2 T2V-A14B",),
    "Lightricks/LTX-Video": ("LTXV",),
    "genmo/mochi-1-preview": ("Mochi",),
    "THUDM/CogVideoX-5b": ("CogVideoX",),
}
_HUB_ID_BY_NAME = {fold_base(name): hub_id for hub_id, names in _HUB_IDS.items() for name in names}
_NAMES_BY_HUB_ID = {
    hub_id.casefold(): frozenset(fold_base(name) for name in names) for hub_id, names in _HUB_IDS.items()
}


@lru_cache(maxsize=1024)
def hub_id_of(base_model: str) -> str | None:
    """Return the hub's name of a base model; None if the hub has none that we know."""
    return _HUB_ID_BY_NAME.get(fold_base(base_model))


def names_of(hub_id: str) -> frozenset[str]:
    """Return the folded names of the base models that have this name on the hub."""
    return _NAMES_BY_HUB_ID.get(hub_id.casefold(), frozenset())
