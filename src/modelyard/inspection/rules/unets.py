"""Latent-diffusion UNets: SD 1.x, SD 2.x, SDXL, its refiner, and their kin."""

from typing import Unpack

from modelyard.inspection.findings import CERTAIN, LIKELY, PLAUSIBLE
from modelyard.inspection.rules.rule import (
    SD1,
    SD1_ALL,
    SD1_NOTE,
    SD2,
    SD2_ALL,
    SD2_NOTE,
    SDXL,
    SDXL_ALL,
    SDXL_NOTE,
    Details,
    Rule,
    Size,
)

_LDM = ("model.diffusion_model.", "diffusion_model.", "")
_DIFFUSERS = ("", "unet.", "model.")

_IN = "input_blocks.0.0.weight"
_LDM_EARLY = "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
_LDM_LATE = "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
_D_IN = "conv_in.weight"
_D_EARLY = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"
_D_LATE = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight"


def _unet(name: str, source: str, *needs: str, architecture: str, base_model: str, **more: Unpack[Details]) -> Rule:
    """A rule for a latent-diffusion UNet in the names of the original code."""
    needs = (_IN, *needs)
    return Rule(name, "checkpoint", needs, source, architecture, base_model, prefixes=_LDM, input_tensor=_IN, **more)


def _diffusers_unet(
    name: str, source: str, *needs: str, architecture: str, base_model: str, **more: Unpack[Details]
) -> Rule:
    """The same in diffusers' names."""
    needs = (_D_IN, *needs)
    return Rule(
        name, "checkpoint", needs, source, architecture, base_model, prefixes=_DIFFUSERS, input_tensor=_D_IN, **more
    )


UNET_RULES: tuple[Rule, ...] = (
    Rule(
        "sd1-kohya-delta",
        "lora",
        ("unet.conv_in.weight", "te.text_model.embeddings.token_embedding.weight"),
        "M: sd1-kohya, the layout a kohya LoRA has once its factors are multiplied out",
        "sd1",
        SD1,
        candidates=SD1_ALL,
        confidence=PLAUSIBLE,
        cannot_tell="a whole model saved in this layout would look the same; none is known",
        sizes=(Size("unet." + _D_EARLY, 1, (768,)),),
    ),
    _unet(
        "svd-unet",
        "C, S",
        "input_blocks.1.0.time_stack.emb_layers.1.bias",
        architecture="svd",
        base_model="SVD",
        candidates=("SVD", "SVD XT"),
        variant="Standard",
        cannot_tell="SVD and SVD XT differ in training only",
    ),
    _unet(
        "sdxl-refiner-unet",
        "C: width 384, text width 1280",
        _LDM_LATE,
        sizes=(Size(_IN, 0, (384,)), Size(_LDM_LATE, 1, (1280,))),
        architecture="sdxl-refiner",
        base_model=SDXL,
        candidates=("SDXL 1.0", "SDXL 0.9"),
        variant="Refiner",
        base_confidence=LIKELY,
    ),
    _unet(
        "sdxl-unet",
        "C, T, M: text width 2048, no attention at the first level",
        _LDM_LATE,
        lacks=(_LDM_EARLY,),
        sizes=(Size(_IN, 0, (320,)), Size(_LDM_LATE, 1, (2048,))),
        architecture="sdxl",
        base_model=SDXL,
        candidates=SDXL_ALL,
        cannot_tell=SDXL_NOTE,
    ),
    _unet(
        "sd2-unclip-unet",
        "S: an image embedder beside SD 2's text width 1024",
        _LDM_EARLY,
        "label_emb.0.0.weight",
        sizes=(Size(_LDM_EARLY, 1, (1024,)),),
        architecture="sd2",
        base_model="SD 2.1 Unclip",
    ),
    _unet(
        "sd2-unet",
        "C, T: text width 1024",
        _LDM_EARLY,
        sizes=(Size(_LDM_EARLY, 1, (1024,)),),
        architecture="sd2",
        base_model=SD2,
        candidates=SD2_ALL,
        cannot_tell=SD2_NOTE,
        base_confidence=CERTAIN,
    ),
    _unet(
        "sd1-unet",
        "C, T, M: text width 768",
        _LDM_EARLY,
        sizes=(Size(_LDM_EARLY, 1, (768,)),),
        architecture="sd1",
        base_model=SD1,
        candidates=SD1_ALL,
        cannot_tell=SD1_NOTE,
        base_confidence=LIKELY,
    ),
    _diffusers_unet(
        "kolors-unet",
        "C: SDXL's UNet with a projection of the text",
        "encoder_hid_proj.weight",
        _D_LATE,
        architecture="kolors",
        base_model="Kolors",
    ),
    _diffusers_unet(
        "sdxl-refiner-diffusers",
        "C: width 384",
        "add_embedding.linear_1.weight",
        sizes=(Size(_D_IN, 0, (384,)),),
        architecture="sdxl-refiner",
        base_model=SDXL,
        candidates=("SDXL 1.0", "SDXL 0.9"),
        variant="Refiner",
        base_confidence=LIKELY,
    ),
    _diffusers_unet(
        "sdxl-diffusers",
        "I (Juggernaut XL), M",
        "add_embedding.linear_1.weight",
        _D_LATE,
        lacks=(_D_EARLY,),
        sizes=(Size(_D_LATE, 1, (2048,)),),
        architecture="sdxl",
        base_model=SDXL,
        candidates=SDXL_ALL,
        cannot_tell=SDXL_NOTE,
    ),
    _diffusers_unet(
        "svd-diffusers",
        "diffusers: a temporal block behind each residual block",
        "down_blocks.0.resnets.0.temporal_res_block.conv1.weight",
        architecture="svd",
        base_model="SVD",
        candidates=("SVD", "SVD XT"),
        variant="Standard",
        cannot_tell="SVD and SVD XT differ in training only",
    ),
    _diffusers_unet(
        "i2vgen-xl-diffusers",
        "diffusers",
        "image_latents_proj_in.0.weight",
        "transformer_in.proj_in.weight",
        architecture="i2vgen-xl",
        base_model="Other",
    ),
    _diffusers_unet(
        "sd2-unclip-diffusers",
        "diffusers: an image embedder beside SD 2's text width 1024",
        _D_EARLY,
        "class_embedding.linear_1.weight",
        sizes=(Size(_D_EARLY, 1, (1024,)),),
        architecture="sd2",
        base_model="SD 2.1 Unclip",
    ),
    _diffusers_unet(
        "sd2-diffusers",
        "C",
        _D_EARLY,
        sizes=(Size(_D_EARLY, 1, (1024,)),),
        lacks=("controlnet_down_blocks.0.weight", "transformer_in.proj_in.weight"),
        architecture="sd2",
        base_model=SD2,
        candidates=SD2_ALL,
        cannot_tell=SD2_NOTE,
        base_confidence=CERTAIN,
    ),
    _diffusers_unet(
        "sd1-diffusers",
        "C",
        _D_EARLY,
        sizes=(Size(_D_EARLY, 1, (768,)),),
        lacks=("controlnet_down_blocks.0.weight",),
        architecture="sd1",
        base_model=SD1,
        candidates=SD1_ALL,
        cannot_tell=SD1_NOTE,
        base_confidence=LIKELY,
    ),
)
