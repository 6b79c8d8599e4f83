"""Diffusion transformers: Flux, SD 3, and the newer families."""

from typing import Unpack

from modelyard.inspection.findings import CERTAIN, LIKELY, PLAUSIBLE
from modelyard.inspection.rules.rule import FLUX, FLUX_ALL, Details, Rule, Size

_DIT = ("model.diffusion_model.", "diffusion_model.", "net.", "model.model.", "transformer.", "model.", "")
_FLUX_NORM = "double_blocks.0.img_attn.norm.key_norm.scale"
_JOINT = "joint_blocks.0.context_block.attn.qkv.weight"
_WAN_K = "blocks.0.cross_attn.k.weight"


def _transformer(name: str, source: str, architecture: str, base: str, *needs: str, **more: Unpack[Details]) -> Rule:
    """A rule for a diffusion transformer."""
    return Rule(name, "checkpoint", needs, source, architecture, base, prefixes=_DIT, **more)


def _flux(name: str, base: str, *needs: str, **more: Unpack[Details]) -> Rule:
    return _transformer(name, "C, S, M", "flux.1", base, "img_in.weight", _FLUX_NORM, *needs, **more)


def _wan(name: str, base: str, width: int, **more: Unpack[Details]) -> Rule:
    more["sizes"] = (Size("head.modulation", -1, (width,)),)
    return _transformer(name, "C, S", "wan", base, "head.modulation", _WAN_K, **more)


TRANSFORMER_RULES: tuple[Rule, ...] = (
    _transformer(
        "flux2-klein-9b",
        "C, I: as Flux.2, width 4096",
        "flux.2",
        "Flux.2 Klein 9B",
        "double_stream_modulation_img.lin.weight",
        sizes=(Size("img_in.weight", 0, (4096,)),),
        candidates=("Flux.2 Klein 9B", "Flux.2 Klein 9B-base"),
        cannot_tell="the base and the distilled model are equal in shape",
        confidence=LIKELY,
    ),
    _flux(
        "flux1-fill",
        FLUX,
        "guidance_in.in_layer.weight",
        sizes=(Size("img_in.weight", 1, (384,)),),
        variant="Inpainting",
        cannot_tell="384 input channels: Flux.1 Fill's image, mask and latent",
    ),
    _flux(
        "flux1-control",
        FLUX,
        "guidance_in.in_layer.weight",
        sizes=(Size("img_in.weight", 1, (128,)),),
        cannot_tell="128 input channels: Flux.1 Canny and Depth are equal in shape",
    ),
    _flux(
        "flux1-dev",
        FLUX,
        "guidance_in.in_layer.weight",
        sizes=(Size("img_in.weight", 1, (64,)),),
        variant="Standard",
        candidates=FLUX_ALL,
        cannot_tell="dev, Kontext and Krea are equal in shape",
    ),
    _transformer(
        "flux1-schnell-nunchaku",
        "S: SVDQuant's names, no guidance embedder",
        "flux.1",
        "Flux.1 S",
        "single_transformer_blocks.0.norm.linear.qweight",
        "transformer_blocks.0.mlp_context_fc1.bias",
        "time_text_embed.timestep_embedder.linear_1.weight",
        lacks=("time_text_embed.guidance_embedder.linear_1.weight",),
        confidence=LIKELY,
    ),
    _transformer(
        "flux1-nunchaku",
        "S: SVDQuant's names",
        "flux.1",
        FLUX,
        "single_transformer_blocks.0.norm.linear.qweight",
        "transformer_blocks.0.mlp_context_fc1.bias",
        candidates=(*FLUX_ALL, "Flux.1 S"),
        confidence=LIKELY,
    ),
    _transformer(
        "auraflow",
        "C",
        "auraflow",
        "AuraFlow",
        "double_layers.0.attn.w1q.weight",
        "positional_encoding",
        candidates=("AuraFlow", "Pony V7"),
        cannot_tell="Pony V7 is trained from AuraFlow and has its shape",
    ),
    _transformer("cascade-c", "C, S", "stable-cascade", "Stable Cascade", "clf.1.weight", "clip_txt_mapper.weight"),
    _transformer("cascade-b", "C, S", "stable-cascade", "Stable Cascade", "clf.1.weight", "clip_mapper.weight"),
    _transformer("hunyuan-dit", "C", "hunyuan-dit", "Hunyuan 1", "mlp_t5.0.weight", "x_embedder.proj.weight"),
    _transformer(
        "hunyuan-image",
        "S",
        "hunyuan-image",
        "Other",
        "byt5_in.fc1.weight",
        "double_blocks.0.img_attn_k_norm.weight",
        lacks=("cond_type_embedding.weight",),
        confidence=LIKELY,
    ),
    _transformer(
        "hunyuan-video",
        "C, S",
        "hunyuan-video",
        "Hunyuan Video",
        "txt_in.individual_token_refiner.blocks.0.norm1.weight",
        "img_in.proj.weight",
    ),
    _transformer("mochi", "C, S", "mochi", "Mochi", "t5_yproj.weight", "blocks.0.attn.k_norm_x.weight"),
    _transformer(
        "ltxv2",
        "C: an audio stream beside the video",
        "ltxv",
        "LTXV2",
        "audio_adaln_single.linear.weight",
        "adaln_single.emb.timestep_embedder.linear_1.bias",
    ),
    _transformer(
        "ltxv",
        "C, S",
        "ltxv",
        "LTXV",
        "adaln_single.emb.timestep_embedder.linear_1.bias",
        "transformer_blocks.0.attn2.to_k.weight",
        "patchify_proj.weight",
    ),
    _transformer("pixart-alpha", "C", "pixart", "PixArt a", "t_block.1.weight", "ar_embedder.mlp.0.weight"),
    _transformer(
        "pixart-sigma",
        "C",
        "pixart",
        "PixArt E",
        "t_block.1.weight",
        "y_embedder.y_embedding",
        lacks=("ar_embedder.mlp.0.weight",),
        candidates=("PixArt E", "PixArt a"),
        confidence=LIKELY,
        cannot_tell="PixArt alpha at 512 pixels has no size condition either",
    ),
    _transformer(
        "lumina2",
        "C, S",
        "lumina2",
        "Lumina",
        "cap_embedder.1.weight",
        "noise_refiner.0.attention.k_norm.weight",
        sizes=(Size("cap_embedder.1.weight", 0, (2304,)),),
    ),
    _transformer(
        "anima",
        "C: Cosmos Predict2 with a language-model adapter",
        "anima",
        "Anima",
        "llm_adapter.blocks.0.cross_attn.q_proj.weight",
        "blocks.0.mlp.layer1.weight",
    ),
    _transformer(
        "cosmos-predict2",
        "C",
        "cosmos-predict2",
        "Other",
        "blocks.0.mlp.layer1.weight",
        "x_embedder.proj.1.weight",
        confidence=LIKELY,
    ),
    _transformer(
        "cosmos", "C, S", "cosmos", "Other", "blocks.block0.blocks.0.block.attn.to_q.0.weight", confidence=LIKELY
    ),
    _transformer("cogvideox", "C", "cogvideox", "CogVideoX", "blocks.0.norm1.linear.weight", "patch_embed.proj.weight"),
    _wan("wan-1.3b", "Wan Video 1.3B t2v", 1536, confidence=LIKELY),
    _wan(
        "wan-14b-image",
        "Wan Video 14B i2v 480p",
        5120,
        confidence=CERTAIN,
        base_confidence=PLAUSIBLE,
        candidates=("Wan Video 14B i2v 480p", "Wan Video 14B i2v 720p", "Wan Video 2.2 I2V-A14B"),
        cannot_tell="480p, 720p and 2.2's experts are equal in shape",
        when=lambda header, prefix: (header.shape(prefix + "patch_embedding.weight") or (0, 0))[1] == 36,
    ),
    _wan(
        "wan-14b",
        "Wan Video 14B t2v",
        5120,
        base_confidence=PLAUSIBLE,
        candidates=("Wan Video 14B t2v", "Wan Video 2.2 T2V-A14B"),
        cannot_tell="2.1 and 2.2's experts are equal in shape",
    ),
)
