"""What steers a diffusion model from beside it: ControlNets, IP-Adapters, T2I-Adapters, motion modules."""

from typing import Unpack

from modelyard.inspection.findings import CERTAIN, LIKELY, UNKNOWN
from modelyard.inspection.header import Header
from modelyard.inspection.rules.rule import FLUX, SD1, SD1_ALL, SD2, SD2_ALL, SDXL, SDXL_ALL, Details, Rule, Size

_HINT = "input_hint_block.0.weight"
_LDM_EARLY = "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
_LDM_LATE = "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
_D_HINT = "controlnet_cond_embedding.conv_in.weight"
_D_EARLY = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"
_D_LATE = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight"
_CONTROL = ("control_model.", "")


def _controlnet(
    name: str,
    source: str,
    architecture: str,
    base: str,
    *needs: str,
    prefixes: tuple[str, ...] = ("",),
    **more: Unpack[Details],
) -> Rule:
    return Rule(name, "controlnet", needs, source, architecture, base, prefixes=prefixes, **more)


CONTROL_RULES: tuple[Rule, ...] = (
    _controlnet(
        "control-lora",
        "S: a marker tensor",
        "sdxl",
        SDXL,
        "lora_controlnet",
        _HINT,
        prefixes=_CONTROL,
        candidates=SDXL_ALL,
    ),
    _controlnet(
        "controlnet-sdxl",
        "T: as SDXL's encoder half",
        "sdxl",
        SDXL,
        _HINT,
        _LDM_LATE,
        lacks=(_LDM_EARLY,),
        sizes=(Size(_LDM_LATE, 1, (2048,)),),
        prefixes=_CONTROL,
        candidates=SDXL_ALL,
    ),
    _controlnet(
        "controlnet-sd2",
        "T: text width 1024",
        "sd2",
        SD2,
        _HINT,
        _LDM_EARLY,
        sizes=(Size(_LDM_EARLY, 1, (1024,)),),
        prefixes=_CONTROL,
        candidates=SD2_ALL,
        base_confidence=CERTAIN,
    ),
    _controlnet(
        "controlnet-sd1",
        "T: text width 768",
        "sd1",
        SD1,
        _HINT,
        _LDM_EARLY,
        sizes=(Size(_LDM_EARLY, 1, (768,)),),
        prefixes=_CONTROL,
        candidates=SD1_ALL,
        base_confidence=LIKELY,
    ),
    _controlnet(
        "controlnet-sdxl-diffusers",
        "S, T",
        "sdxl",
        SDXL,
        _D_HINT,
        _D_LATE,
        lacks=(_D_EARLY,),
        sizes=(Size(_D_LATE, 1, (2048,)),),
        candidates=SDXL_ALL,
    ),
    _controlnet(
        "controlnet-sd2-diffusers",
        "T",
        "sd2",
        SD2,
        _D_HINT,
        _D_EARLY,
        sizes=(Size(_D_EARLY, 1, (1024,)),),
        candidates=SD2_ALL,
        base_confidence=CERTAIN,
    ),
    _controlnet(
        "controlnet-sd1-diffusers",
        "I (hard edge detection)",
        "sd1",
        SD1,
        _D_HINT,
        _D_EARLY,
        sizes=(Size(_D_EARLY, 1, (768,)),),
        candidates=SD1_ALL,
        base_confidence=LIKELY,
    ),
    _controlnet(
        "controlnet-flux-instantx",
        "I (InstantX union)",
        "flux.1",
        FLUX,
        "controlnet_x_embedder.weight",
        "transformer_blocks.0.attn.norm_added_k.weight",
        lacks=("img_in.weight",),
        sizes=(Size("controlnet_x_embedder.weight", 0, (3072,)),),
        confidence=CERTAIN,
        base_confidence=LIKELY,
    ),
    _controlnet(
        "controlnet-flux-xlabs",
        "I (XLabs canny)",
        "flux.1",
        FLUX,
        "controlnet_blocks.0.weight",
        "double_blocks.0.img_attn.norm.key_norm.scale",
        base_confidence=LIKELY,
    ),
    _controlnet(
        "controlnet-flux-mistoline",
        "MistoLine: five of Flux's double blocks",
        "flux.1",
        FLUX,
        "controlnet_blocks.0.linear.weight",
        "double_blocks.0.img_attn.norm.key_norm.scale",
        base_confidence=LIKELY,
    ),
    _controlnet(
        "controlnet-unknown",
        "the names of the injecting layers",
        UNKNOWN,
        UNKNOWN,
        "controlnet_blocks.0.weight",
        confidence=LIKELY,
    ),
)

_IP_K = "ip_adapter.1.to_k_ip.weight"


def _ip_adapter(name: str, architecture: str, base: str, width: int, **more: Unpack[Details]) -> Rule:
    more["sizes"] = (Size(_IP_K, 1, (width,)),)
    source = "I: the width of the keys is the text width of the base"
    return Rule(name, "ipadapter", (_IP_K,), source, architecture, base, **more)


ADAPTER_RULES: tuple[Rule, ...] = (
    _ip_adapter("ip-adapter-sd1", "sd1", SD1, 768, candidates=SD1_ALL, base_confidence=LIKELY),
    _ip_adapter("ip-adapter-sd2", "sd2", SD2, 1024, candidates=SD2_ALL, base_confidence=CERTAIN),
    _ip_adapter("ip-adapter-sdxl", "sdxl", SDXL, 2048, candidates=SDXL_ALL),
    Rule(
        "ip-adapter-flux-xlabs",
        "ipadapter",
        ("double_blocks.0.processor.ip_adapter_double_stream_k_proj.weight",),
        "I (XLabs)",
        "flux.1",
        FLUX,
        base_confidence=LIKELY,
    ),
    Rule(
        "ip-adapter-flux",
        "ipadapter",
        ("ip_adapter.0.to_k_ip.weight",),
        "I (InstantX)",
        "flux.1",
        FLUX,
        sizes=(Size("ip_adapter.0.to_k_ip.weight", 0, (3072,)),),
        confidence=LIKELY,
    ),
    Rule(
        "t2i-adapter-sdxl",
        "t2iadapter",
        ("body.0.block1.weight", "conv_in.weight"),
        "C: pixels folded 16 × 16",
        "sdxl",
        SDXL,
        prefixes=("", "adapter."),
        sizes=(Size("conv_in.weight", 1, (256, 768)),),
        candidates=SDXL_ALL,
    ),
    Rule(
        "t2i-adapter-sd1",
        "t2iadapter",
        ("body.0.block1.weight", "conv_in.weight"),
        "C: pixels folded 8 × 8",
        "sd1",
        SD1,
        prefixes=("", "adapter."),
        sizes=(Size("conv_in.weight", 1, (64, 192)),),
        base_confidence=LIKELY,
    ),
    Rule(
        "t2i-adapter-diffusers-sdxl",
        "t2iadapter",
        ("adapter.body.0.resnets.0.block1.weight",),
        "C",
        "sdxl",
        SDXL,
        sizes=(Size("adapter.conv_in.weight", 1, (256, 768)),),
        candidates=SDXL_ALL,
    ),
    Rule(
        "t2i-adapter-diffusers-sd1",
        "t2iadapter",
        ("adapter.body.0.resnets.0.block1.weight",),
        "C",
        "sd1",
        SD1,
        sizes=(Size("adapter.conv_in.weight", 1, (64, 192)),),
        base_confidence=LIKELY,
    ),
    Rule(
        "flux-redux",
        "other",
        ("redux_up.weight", "redux_down.weight"),
        "C: Flux.1 Redux, an image prompt",
        "flux.1",
        FLUX,
        confidence=LIKELY,
    ),
    Rule(
        "fooocus-inpaint-head",
        "other",
        ("head",),
        "R (Fooocus): mask and image beside SDXL's 4 latent channels",
        "sdxl",
        SDXL,
        sizes=(Size("head", 0, (320,)), Size("head", 1, (5,))),
        when=lambda header, _: len(header.tensors) == 1,
        confidence=LIKELY,
        variant="Inpainting",
    ),
)

# --- motion --------------------------------------------------------------------------------------------------------

_MOTION = "down_blocks.0.motion_modules.0.temporal_transformer.norm.weight"


def _sd1_motion(header: Header, prefix: str) -> bool:
    return any(name.startswith(f"{prefix}down_blocks.3.motion_modules.") for name in header.tensors)


MOTION_RULES: tuple[Rule, ...] = (
    Rule(
        "animatediff-sd1",
        "motionmodule",
        (_MOTION,),
        "I, C: four levels, as SD 1",
        "sd1",
        SD1,
        when=_sd1_motion,
        prefixes=("", "module."),
        base_confidence=LIKELY,
    ),
    Rule(
        "animatediff-sdxl",
        "motionmodule",
        (_MOTION,),
        "C: three levels, as SDXL",
        "sdxl",
        SDXL,
        candidates=SDXL_ALL,
        prefixes=("", "module."),
        base_confidence=LIKELY,
    ),
)
