"""Text and image encoders."""

from typing import Unpack

from modelyard.inspection.findings import LIKELY, UNKNOWN
from modelyard.inspection.rules.rule import SD1, SD2, SD2_ALL, SDXL, SDXL_ALL, Details, Rule, Size

_CLIP_TEXT = "text_model.embeddings.token_embedding.weight"
_CLIP_VISION = "vision_model.embeddings.patch_embedding.weight"
_CLIP_L_BASES = (SD1, SDXL, "SD 3", "SD 3.5 Large", "Flux.1 D", "Flux.1 S")
_T5_BASES = ("Flux.1 D", "Flux.1 S", "SD 3", "SD 3.5 Large", "PixArt a", "PixArt E", "Chroma", "LTXV")
_EMBED = "model.embed_tokens.weight"
_Q = "model.layers.0.self_attn.q_proj.weight"


def _text(
    name: str,
    source: str,
    architecture: str,
    *needs: str,
    base: str = UNKNOWN,
    prefixes: tuple[str, ...] = ("",),
    **more: Unpack[Details],
) -> Rule:
    return Rule(name, "textencoder", needs, source, architecture, base, prefixes=prefixes, **more)


def _language_model(
    name: str, source: str, architecture: str, width: int, telling: str, candidates: tuple[str, ...]
) -> Rule:
    """Language models serve as text encoders, and as chat models: which of them a file is, its tensors do not say."""
    sizes = (Size(_EMBED, 1, (width,)),)
    return _text(name, source, architecture, _EMBED, _Q, telling, sizes=sizes, confidence=LIKELY, candidates=candidates)


ENCODER_RULES: tuple[Rule, ...] = (
    Rule("clip", "clip", (_CLIP_TEXT, _CLIP_VISION), "I (CLIP ViT-L/14): text and image tower", "clip"),
    Rule("clip-vision", "clipvision", (_CLIP_VISION,), "I (IP-Adapter's ViT-H)", "clip-vision", lacks=(_CLIP_TEXT,)),
    Rule(
        "clip-vision-openclip",
        "clipvision",
        ("visual.conv1.weight", "visual.ln_pre.weight"),
        "C",
        "clip-vision",
        lacks=("token_embedding.weight",),
    ),
    _text(
        "clip-l",
        "I: width 768",
        "clip-l",
        _CLIP_TEXT,
        sizes=(Size(_CLIP_TEXT, 1, (768,)),),
        prefixes=("", "text_encoders.clip_l.transformer."),
        candidates=_CLIP_L_BASES,
        cannot_tell="SD 1.x, SDXL, SD 3 and Flux.1 use one CLIP-L",
    ),
    _text(
        "clip-h",
        "C: width 1024",
        "clip-h",
        _CLIP_TEXT,
        base=SD2,
        sizes=(Size(_CLIP_TEXT, 1, (1024,)),),
        base_confidence=LIKELY,
        candidates=SD2_ALL,
    ),
    _text(
        "clip-bigg",
        "I (Juggernaut XL): width 1280",
        "clip-g",
        _CLIP_TEXT,
        prefixes=("", "text_encoders.clip_g.transformer."),
        base=SDXL,
        sizes=(Size(_CLIP_TEXT, 1, (1280,)),),
        base_confidence=LIKELY,
        candidates=(*SDXL_ALL, "SD 3", "SD 3.5 Large"),
        cannot_tell="SD 3 uses the same encoder",
    ),
    _text(
        "umt5-xxl",
        "C",
        "umt5-xxl",
        "encoder.block.0.layer.0.SelfAttention.q.weight",
        "shared.weight",
        sizes=(Size("shared.weight", 0, (256384,)),),
        candidates=("Wan Video 14B t2v", "Wan Video 1.3B t2v"),
        prefixes=("", "text_encoders.umt5xxl.transformer."),
    ),
    _text(
        "t5-xxl",
        "C: width 4096",
        "t5-xxl",
        "encoder.block.0.layer.0.SelfAttention.q.weight",
        sizes=(Size("encoder.block.0.layer.0.SelfAttention.q.weight", 1, (4096,)),),
        candidates=_T5_BASES,
        prefixes=("", "text_encoders.t5xxl.transformer."),
        cannot_tell="Flux.1, SD 3, PixArt and others use one T5-XXL",
    ),
    _text(
        "t5-xxl-gguf",
        "R (llama.cpp's names)",
        "t5-xxl",
        "enc.blk.0.attn_q.weight",
        "token_embd.weight",
        sizes=(Size("token_embd.weight", 1, (4096,)),),
        candidates=_T5_BASES,
    ),
    _language_model(
        "gemma2-2b", "C", "gemma2-2b", 2304, "model.layers.0.post_feedforward_layernorm.weight", candidates=("Lumina",)
    ),
    _language_model(
        "qwen2.5-vl-7b", "C, I", "qwen2.5-vl", 3584, "visual.patch_embed.proj.weight", candidates=("Qwen",)
    ),
)
