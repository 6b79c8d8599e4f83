"""Which base an adapter is for, by the names and sizes of the layers it changes.

Letters of the sources as in ``modelyard.inspection.rules``.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from modelyard.inspection.adapters import ROLES, Adapter, width_of
from modelyard.inspection.findings import CERTAIN, LIKELY, NONE, PLAUSIBLE, UNKNOWN
from modelyard.inspection.rules.rule import FLUX, FLUX_ALL, SD1, SD1_ALL, SD2, SD2_ALL, SDXL, SDXL_ALL


@dataclass(frozen=True, slots=True)
class Base:
    """What an adapter's layers say about its base."""

    rule: str
    architecture: str
    base_model: str
    confidence: float  # of the base; the architecture is told by the layers' names and sizes themselves
    seen: str
    candidates: tuple[str, ...] = ()
    says: str = ""


@dataclass(frozen=True, slots=True)
class LayerRule:
    """A family of networks, told by a layer's name; ``base`` looks at sizes. The first rule that matches decides."""

    name: str
    layer: re.Pattern[str]
    source: str
    base: Callable[[Adapter, str], Base]


_UNKNOWN_WIDTH = "no size tells the text width"


def _by_width(
    ending: str, widths: Mapping[int, tuple[str, str, float, tuple[str, ...]]], otherwise: tuple[str, ...] = ()
) -> Callable[[Adapter, str], Base]:
    """Decide by the input size of a layer: width → (architecture, base, confidence, candidates)."""

    def base(adapter: Adapter, rule: str) -> Base:
        width = adapter.input_width(ending)
        if width is not None and width in widths:
            architecture, name, confidence, candidates = widths[width]
            return Base(rule, architecture, name, confidence, f"input of {ending}: {width}", candidates)
        return Base(rule, UNKNOWN, UNKNOWN, NONE, f"input of {ending}: {width or 'not told'}", otherwise)

    return base


def _always(
    architecture: str, name: str, confidence: float, candidates: tuple[str, ...] = (), says: str = ""
) -> Callable[[Adapter, str], Base]:
    def base(_: Adapter, rule: str) -> Base:
        return Base(rule, architecture, name, confidence, "the layers' names", candidates, says)

    return base


_DEEP_BLOCK = re.compile(r"(mid_block_attentions_0|middle_block_1|input_blocks_[78]_1)_transformer_blocks_[1-9]")
_SDXL_ONLY = re.compile(r"(input_blocks_7_1|input_blocks_8_1|output_blocks_[0-2]_1)_transformer_blocks_[2-9]")


def _stable_diffusion(adapter: Adapter, rule: str) -> Base:
    """Cross-attention reads the text: its input is the text encoder's width, 768, 1024 or 2048."""
    for ending in ("attn2_to_k", "attn2_to_v"):
        width = adapter.input_width(ending)
        seen = f"input of {ending}: {width}"
        if width == 768:
            return Base(rule, "sd1", SD1, LIKELY, seen, SD1_ALL)
        if width == 1024:
            return Base(rule, "sd2", SD2, CERTAIN, seen, SD2_ALL)
        if width == 2048:
            return Base(rule, "sdxl", SDXL, PLAUSIBLE, seen, SDXL_ALL)
        if width == 1280:
            return Base(rule, "sdxl-refiner", SDXL, LIKELY, seen, ("SDXL 1.0", "SDXL 0.9"))
    if adapter.has_layer(_DEEP_BLOCK) or adapter.has_layer(_SDXL_ONLY):
        return Base(rule, "sdxl", SDXL, PLAUSIBLE, "transformers deeper than one block", SDXL_ALL)
    text = _text_encoder_base(adapter, rule)
    if text is not None:
        return text
    return Base(rule, UNKNOWN, UNKNOWN, NONE, _UNKNOWN_WIDTH, (SD1, SD2, SDXL))


def _text_encoder_base(adapter: Adapter, rule: str) -> Base | None:
    """What the adapted text encoders say: one of width 768 is SD 1's, of 1024 SD 2's, two are SDXL's."""
    if adapter.has_part("te2"):
        return Base(rule, "sdxl", SDXL, PLAUSIBLE, "a second text encoder", SDXL_ALL)
    width = adapter.text_width("te")
    seen = f"text encoder of width {width}"
    if width == 768:
        return Base(rule, "sd1", SD1, LIKELY, seen, SD1_ALL)
    if width == 1024:
        return Base(rule, "sd2", SD2, LIKELY, seen, SD2_ALL)
    return None


_HUNYUAN_TELLING = re.compile(r"(img|txt)_(mod_linear|mlp_fc[12])|individual_token_refiner")
_FLUX_SINGLE = re.compile(r"single_blocks_\d+_linear1$", re.MULTILINE)


def _flux_original(adapter: Adapter, rule: str) -> Base:
    """Flux's original names are Chroma's, Flux.2's and Hunyuan Video's as well; sizes and a few layers tell them
    apart."""
    if adapter.has_layer(_HUNYUAN_TELLING):
        if any(adapter.input_width(ending) == 3584 for ending in ("_attn_qkv", "_attn_proj", "linear1")):
            return Base(rule, "hunyuan-image", "Other", LIKELY, "Hunyuan's names, width 3584: HunyuanImage 2.1")
        return Base(rule, "hunyuan-video", "Hunyuan Video", LIKELY, "Hunyuan Video's names of modulation and MLP")
    if adapter.has_layer(re.compile("distilled_guidance_layer")):
        return Base(rule, "chroma", "Chroma", CERTAIN, "the guidance network's layers")
    widths = {
        adapter.input_width(ending) for ending in ("img_attn_qkv", "img_attn_proj", "linear1", "processor_qkv_lora1")
    }
    if 6144 in widths:
        return Base(rule, "flux.2", "Flux.2 D", LIKELY, "width 6144")
    if 4096 in widths:
        return Base(
            rule, "flux.2", "Flux.2 Klein 9B", PLAUSIBLE, "width 4096", ("Flux.2 Klein 9B", "Flux.2 Klein 9B-base")
        )
    outputs = {
        shape[0]
        for (_, layer), shapes in adapter.layers.items()
        if _FLUX_SINGLE.match(layer)
        for ending, shape in shapes.items()
        if ROLES[ending] == "up" and shape
    }
    if 27648 in outputs:  # three times the width for attention, six for the gated MLP; Flux.1 has 21,504
        return Base(
            rule,
            "flux.2",
            "Flux.2 Klein 4B",
            PLAUSIBLE,
            "linear1 gives 27648",
            ("Flux.2 Klein 4B", "Flux.2 Klein 4B-base"),
        )
    if adapter.has_layer(re.compile(r"_(img|txt)_mod_lin|vector_in|modulation_lin")):
        return Base(rule, "flux.1", FLUX, PLAUSIBLE, "Flux.1's modulation layers", (*FLUX_ALL, "Flux.1 S"))
    return Base(
        rule,
        "flux.1",
        FLUX,
        PLAUSIBLE,
        "Flux.1's names",
        (*FLUX_ALL, "Flux.1 S", "Chroma"),
        "dev, schnell and Chroma cannot be told apart by these layers",
    )


_SINGLE = re.compile(r"single_transformer_blocks_\d+_")
_AURA = re.compile(r"joint_transformer_blocks_|single_transformer_blocks_\d+_ff_")


def _flux_diffusers(adapter: Adapter, rule: str) -> Base:
    if adapter.has_layer(_AURA):
        return Base(rule, "auraflow", "AuraFlow", LIKELY, "joint blocks", ("AuraFlow", "Pony V7"))
    width = adapter.input_width("attn_to_k") or adapter.input_width("attn_to_q") or adapter.input_width("proj_mlp")
    if width in (None, 3072):
        return Base(
            rule, "flux.1", FLUX, PLAUSIBLE, f"single blocks of width {width or 'not told'}", (*FLUX_ALL, "Flux.1 S")
        )
    if width == 6144:
        return Base(rule, "flux.2", "Flux.2 D", LIKELY, "width 6144")
    return Base(rule, UNKNOWN, UNKNOWN, NONE, f"single blocks of width {width}")


_BLOCK_NUMBER = re.compile(r"(?:^|_)transformer_blocks_(\d+)_", re.MULTILINE)


def _joint_transformer(adapter: Adapter, rule: str) -> Base:
    """SD 3, Qwen-Image and a Flux LoRA without single blocks share diffusers' names; width and depth tell."""
    width = (
        adapter.input_width("attn_add_k_proj") or adapter.input_width("attn_to_k") or adapter.input_width("attn_to_q")
    )
    if adapter.has_layer(re.compile("_attn_img_qkv")):
        return Base(rule, "lens", "Lens", LIKELY, "one layer for the image's query, key and value")
    if width == 1536:
        return Base(rule, "sd3", UNKNOWN, NONE, "width 1536", ("SD 3", "SD 3.5 Medium"), "equal in width")
    if width == 2432:
        return Base(rule, "sd3.5-large", "SD 3.5 Large", LIKELY, "width 2432", ("SD 3.5 Large", "SD 3.5 Large Turbo"))
    numbers = (int(found[1]) for _, layer in adapter.layers if (found := _BLOCK_NUMBER.search(layer)))
    depth = max(numbers, default=0) + 1
    if adapter.has_layer(re.compile(r"_(img|txt)_m(lp|od)_")) or (width == 3072 and depth > 19):
        return Base(rule, "qwen-image", "Qwen", LIKELY, f"{depth} blocks, width {width or 'not told'}")
    if adapter.has_layer(re.compile("ff_context")) and width == 3072:
        return Base(rule, "flux.1", FLUX, PLAUSIBLE, f"{depth} blocks, width 3072", (*FLUX_ALL, "Flux.1 S"))
    return Base(rule, UNKNOWN, UNKNOWN, NONE, f"{depth} blocks, width {width or 'not told'}", (FLUX, "Qwen", "SD 3"))


def _video_or_pixart(adapter: Adapter, rule: str) -> Base:
    width = adapter.input_width("attn1_to_q") or adapter.input_width("attn1_to_k")
    if width == 2048 and adapter.input_width("attn2_to_k") == 1024:
        seen = "width 2048, text width 1024"
        return Base(rule, "cosmos-predict2", UNKNOWN, NONE, seen, ("Other", "Anima"), "Cosmos Predict2 and Anima")
    if width == 4096 and not adapter.has_layer(re.compile("audio|video")):
        says = "LTX-Video 13B; LTX-2 has the same layers beside those for sound"
        return Base(rule, "ltxv", "LTXV", PLAUSIBLE, "input of attn1: 4096, no sound", ("LTXV", "LTXV2"), says)
    known = {
        1152: ("pixart", UNKNOWN, NONE, ("PixArt a", "PixArt E")),
        2048: ("ltxv", "LTXV", LIKELY, ()),
        4096: ("ltxv", "LTXV2", LIKELY, ()),
        3072: ("cogvideox", "CogVideoX", PLAUSIBLE, ()),
        1920: ("cogvideox", "CogVideoX", PLAUSIBLE, ()),
    }
    architecture, name, confidence, candidates = known.get(width or 0, (UNKNOWN, UNKNOWN, NONE, ()))
    return Base(rule, architecture, name, confidence, f"input of attn1: {width}", candidates)


_LDM_LAYERS = (
    r"(input_blocks|output_blocks|middle_block|down_blocks|up_blocks|mid_block|time_embed|label_emb|conv_in|conv_out)"
)

LAYER_RULES: tuple[LayerRule, ...] = (
    LayerRule(
        "motion-lora",
        re.compile("motion_modules"),
        "C",
        _always("animatediff", SD1, PLAUSIBLE, (SD1, SDXL), "made for AnimateDiff on SD 1.5 or SDXL"),
    ),
    LayerRule(
        "flux-layers",
        re.compile(r"(double_blocks_\d+_(img|txt|processor)|single_blocks_\d+_(linear|modulation|processor|proj))"),
        "I, S, K",
        _flux_original,
    ),
    LayerRule("single-transformer-layers", _SINGLE, "I, S", _flux_diffusers),
    LayerRule(
        "sd3-layers",
        re.compile("joint_blocks_"),
        "S, K",
        _by_width(
            "attn_qkv",
            {
                1536: ("sd3", UNKNOWN, NONE, ("SD 3", "SD 3.5 Medium")),
                2432: ("sd3.5-large", "SD 3.5 Large", LIKELY, ("SD 3.5 Large", "SD 3.5 Large Turbo")),
            },
            ("SD 3", "SD 3.5 Medium", "SD 3.5 Large"),
        ),
    ),
    LayerRule(
        "joint-transformer-layers",
        re.compile(r"^transformer_blocks_\d+_(attn_(to_|add_|norm)|img_m|txt_m|ff_context)", re.MULTILINE),
        "S, I",
        _joint_transformer,
    ),
    LayerRule(
        "video-transformer-layers",
        re.compile(r"^transformer_blocks_\d+_attn[12]_to_", re.MULTILINE),
        "C",
        _video_or_pixart,
    ),
    LayerRule(
        "hidream-layers",
        re.compile("double_stream_blocks|single_stream_blocks"),
        "S",
        _always("hidream", "HiDream", LIKELY),
    ),
    LayerRule("anima-layers", re.compile("llm_adapter_blocks"), "I", _always("anima", "Anima", LIKELY)),
    LayerRule(
        "cosmos-layers",
        re.compile(r"^blocks_\d+_(self|cross)_attn_[qkv]_proj", re.MULTILINE),
        "I, C",
        _always("cosmos-predict2", UNKNOWN, NONE, ("Anima", "Other"), "Anima and Cosmos Predict2 share these layers"),
    ),
    LayerRule(
        "wan-layers",
        re.compile(r"^blocks_\d+_(self|cross)_attn_[qkvo]$", re.MULTILINE),
        "S",
        _by_width(
            "attn_q",
            {
                1536: ("wan", "Wan Video 1.3B t2v", LIKELY, ()),
                3072: ("wan", "Wan Video 2.2 TI2V-5B", LIKELY, ()),
                5120: (
                    "wan",
                    "Wan Video 14B t2v",
                    PLAUSIBLE,
                    ("Wan Video 14B t2v", "Wan Video 14B i2v 480p", "Wan Video 2.2 T2V-A14B", "Wan Video 2.2 I2V-A14B"),
                ),
            },
        ),
    ),
    LayerRule(
        "z-image-layers",
        re.compile(r"^(layers|noise_refiner|context_refiner)_\d+_attention_", re.MULTILINE),
        "C, K",
        _by_width(
            "attention_to_q",
            {
                3840: ("z-image", "ZImageTurbo", PLAUSIBLE, ("ZImageTurbo", "ZImageBase")),
                2304: ("lumina2", "Lumina", LIKELY, ()),
            },
            ("ZImageTurbo", "ZImageBase", "Lumina"),
        ),
    ),
    LayerRule("latent-diffusion-layers", re.compile("^" + _LDM_LAYERS, re.MULTILINE), "K, S", _stable_diffusion),
)


def base_of(adapter: Adapter) -> Base:
    """Return what an adapter's layers say about its base."""
    if adapter.dialect == "cloneofsimo":
        # Its layers are numbers; a text encoder or cross-attention of width 768 is SD 1's.
        widths = {width_of(shapes) for shapes in adapter.layers.values()}
        if 768 in widths and not widths & {1024, 2048}:
            return Base("cloneofsimo", "sd1", SD1, LIKELY, "layers of width 768", SD1_ALL)
        if 1024 in widths and not widths & {768, 2048}:
            return Base("cloneofsimo", "sd2", SD2, LIKELY, "layers of width 1024", SD2_ALL)
        return Base("cloneofsimo", UNKNOWN, UNKNOWN, NONE, "no telling width")
    for rule in LAYER_RULES:
        if adapter.has_layer(rule.layer):
            return rule.base(adapter, rule.name)
    return _text_encoder_base(adapter, "text-encoder-layers") or Base(
        "unknown-layers", UNKNOWN, UNKNOWN, NONE, "layers of no family we know"
    )
