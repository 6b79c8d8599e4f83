"""Which families an adapter may be for where no layout has all its layers: some are renamed, or their sizes left out.

A row asks for layers by their names, and for the size of an input or an output; the first row that holds decides. What
the families' bases are is in their records alone.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from modelyard.inspection.adapters import ROLES, Adapter, width_of
from modelyard.inspection.families import Family, read_families
from modelyard.inspection.findings import LIKELY, NONE, PLAUSIBLE, UNKNOWN, Evidence, Finding
from modelyard.inspection.recognition import base_of


@dataclass(frozen=True, slots=True)
class _Row:
    """Families whose adapters have such layers. ``layers`` are searched for in the names, one a line."""

    name: str
    families: str
    layers: str
    and_layers: str = ""
    # The input of the first layer with one of these ends, and its size, 0 if no size is told; "linear1>": its output.
    ends: str = ""
    size: int = 0
    lacks: str = ""
    depth_min: int = 0
    confidence: float = LIKELY
    # Whether the base stays open: several families are equal in what is seen.
    is_open: bool = False

    def holds(self, adapter: Adapter) -> bool:
        """Whether an adapter has what the row asks for."""
        return (
            _has(adapter, self.layers)
            and (not self.and_layers or _has(adapter, self.and_layers))
            and not (self.lacks and _has(adapter, self.lacks))
            and (not self.depth_min or _depth(adapter) >= self.depth_min)
            and (not self.ends or self.size in ({_size(adapter, end) for end in self.ends.split()} - {None} or {0}))
        )

    @property
    def seen(self) -> str:
        """What the row looks at, as evidence."""
        return f"{self.ends.replace(' ', ' or ')}: {self.size or 'not told'}" if self.ends else "the layers' names"


def _has(adapter: Adapter, layers: str) -> bool:
    return adapter.has_layer(re.compile(layers, re.MULTILINE))


def _size(adapter: Adapter, end: str) -> int | None:
    if not end.endswith(">"):
        return adapter.input_width(end)
    outputs = (
        shape[0]
        for (_, layer), shapes in adapter.layers.items()
        for ending, shape in shapes.items()
        if layer.endswith(end[:-1]) and ROLES[ending] == "up" and shape
    )
    return next(outputs, None)


_BLOCK_NUMBER = re.compile(r"(?:^|_)transformer_blocks_(\d+)_")


def _depth(adapter: Adapter) -> int:
    numbers = (int(found[1]) for _, layer in adapter.layers if (found := _BLOCK_NUMBER.search(layer)))
    return max(numbers, default=0) + 1


def _by_size(name: str, layers: str, ends: str, families: dict[int, str]) -> Iterator[_Row]:
    """Rows that differ in a size."""
    return (_Row(name, words, layers, ends=ends, size=size) for size, words in families.items())


_FLUX = r"(double_blocks_\d+_(img|txt|processor)|single_blocks_\d+_(linear|modulation|processor|proj))"
_FLUX_ENDS = "img_attn_qkv img_attn_proj linear1 processor_qkv_lora1"
_HUNYUAN = r"(img|txt)_(mod_linear|mlp_fc[12])|individual_token_refiner"
_SINGLE = r"single_transformer_blocks_\d+_"
_JOINT = r"^transformer_blocks_\d+_(attn_(to_|add_|norm)|img_m|txt_m|ff_context)"
_JOINT_ENDS = "attn_add_k_proj attn_to_k attn_to_q"
_VIDEO = r"^transformer_blocks_\d+_attn[12]_to_"
_WAN = r"^blocks_\d+_(self|cross)_attn_[qkvo]$"
_WAN_14B = "wan-14b wan-i2v-14b wan2.2-i2v-14b"
_NEXT_DIT = r"^(layers|noise_refiner|context_refiner)_\d+_attention_"
_LATENT = (
    r"^(input_blocks|output_blocks|middle_block|down_blocks|up_blocks|mid_block|time_embed|label_emb|conv_in|conv_out)"
)
# Only SDXL has transformers of more than one block.
_DEEP = (
    r"(mid_block_attentions_0|middle_block_1|input_blocks_[78]_1)_transformer_blocks_[1-9]"
    r"|(input_blocks_7_1|input_blocks_8_1|output_blocks_[0-2]_1)_transformer_blocks_[2-9]"
)
_ROWS = (
    _Row("motion-lora", "motion-sd1 motion-sdxl", "motion_modules"),
    _Row("flux-layers", "hunyuan-image", _FLUX, _HUNYUAN, "_attn_qkv _attn_proj linear1", 3584),
    _Row("flux-layers", "hunyuan-video", _FLUX, _HUNYUAN),
    _Row("flux-layers", "chroma", _FLUX, "distilled_guidance_layer"),
    *_by_size("flux-layers", _FLUX, _FLUX_ENDS, {6144: "flux2", 4096: "flux2-klein-9b"}),
    # Three times the width for attention, six for the gated MLP; Flux.1 has 21,504.
    _Row("flux-layers", "flux2-klein-4b", _FLUX, ends="linear1>", size=27648),
    _Row("flux-layers", "flux1 flux1-schnell", _FLUX, r"_(img|txt)_mod_lin|vector_in|modulation_lin"),
    _Row("flux-layers", "flux1 flux1-schnell chroma", _FLUX),
    _Row(
        "single-transformer-layers", "auraflow", _SINGLE, r"joint_transformer_blocks_|single_transformer_blocks_\d+_ff_"
    ),
    *_by_size(
        "single-transformer-layers",
        _SINGLE,
        "attn_to_k attn_to_q proj_mlp",
        {3072: "flux1 flux1-schnell", 6144: "flux2", 4096: "flux2-klein-9b", 0: "flux1 flux1-schnell"},
    ),
    *_by_size("sd3-layers", "joint_blocks_", "attn_qkv", {2432: "sd3.5-large"}),
    _Row("sd3-layers", "sd3 sd3.5-medium", "joint_blocks_", ends="attn_qkv", size=1536, is_open=True),
    _Row("sd3-layers", "sd3 sd3.5-medium sd3.5-large", "joint_blocks_", is_open=True),
    _Row("joint-transformer-layers", "lens", _JOINT, "_attn_img_qkv"),
    *_by_size("joint-transformer-layers", _JOINT, _JOINT_ENDS, {2432: "sd3.5-large"}),
    _Row("joint-transformer-layers", "sd3 sd3.5-medium", _JOINT, ends=_JOINT_ENDS, size=1536, is_open=True),
    _Row("joint-transformer-layers", "qwen-image", _JOINT, r"_(img|txt)_m(lp|od)_"),
    _Row("joint-transformer-layers", "qwen-image", _JOINT, ends=_JOINT_ENDS, size=3072, depth_min=20),
    _Row("joint-transformer-layers", "flux1 flux1-schnell", _JOINT, "ff_context", _JOINT_ENDS, 3072),
    _Row("joint-transformer-layers", "flux1 qwen-image sd3", _JOINT, is_open=True),
    _Row("video-transformer-layers", "anima cosmos-predict2", _VIDEO, ends="attn2_to_k", size=1024, is_open=True),
    _Row("video-transformer-layers", "ltxv ltxv2", _VIDEO, ends="attn1_to_q", size=4096, lacks="audio|video"),
    *_by_size("video-transformer-layers", _VIDEO, "attn1_to_q attn1_to_k", {4096: "ltxv2", 2048: "ltxv"}),
    *(
        _Row("video-transformer-layers", "cogvideox", _VIDEO, ends="attn1_to_q", size=size, confidence=PLAUSIBLE)
        for size in (3072, 1920)
    ),
    _Row(
        "video-transformer-layers", "pixart-alpha pixart-sigma", _VIDEO, "", "attn1_to_q attn1_to_k", 1152, is_open=True
    ),
    # Named as those of a language model, which has no cross-attention.
    _Row("ace-step-layers", "ace-step", r"^layers_\d+_self_attn_[qkvo]_proj$", r"^layers_\d+_cross_attn_[qkvo]_proj$"),
    _Row("hidream-layers", "hidream", "double_stream_blocks|single_stream_blocks"),
    _Row("anima-layers", "anima", "llm_adapter_blocks"),
    _Row("cosmos-layers", "anima cosmos-predict2", r"^blocks_\d+_(self|cross)_attn_[qkv]_proj", is_open=True),
    *_by_size(
        "wan-layers",
        _WAN,
        "attn_q",
        {1536: "wan-1.3b", 3072: "wan2.2-5b", 5120: _WAN_14B},
    ),
    _Row("wan-layers", f"{_WAN_14B} wan-1.3b wan2.2-5b", _WAN, ends="attn_q", is_open=True),
    *_by_size(
        "z-image-layers",
        _NEXT_DIT,
        "attention_to_q",
        {3840: "z-image", 2304: "lumina2"},
    ),
    _Row("z-image-layers", "z-image lumina2", _NEXT_DIT, ends="attention_to_q", is_open=True),
    # Cross-attention reads the text: its input is the width of the text encoder.
    *_by_size(
        "latent-diffusion-layers",
        _LATENT,
        "attn2_to_k attn2_to_v",
        {768: "sd1", 1024: "sd2", 2048: "sdxl", 1280: "sdxl-refiner"},
    ),
    _Row("latent-diffusion-layers", "sdxl", _LATENT, _DEEP),
)


def find_base(adapter: Adapter) -> tuple[Finding, str]:
    """Return the base that an adapter's layers tell, and its architecture."""
    row = next((row for row in _ROWS if row.holds(adapter)), None)
    if row is not None:
        return _answer(row.name, row.families, row.seen, row.confidence, is_open=row.is_open)
    for rule, families, seen in _by_widths(adapter):
        return _answer(rule, families, seen, LIKELY)
    if _has(adapter, _LATENT):
        return _answer("latent-diffusion-layers", "sd1 sd2 sdxl", "no size tells the text width", LIKELY, is_open=True)
    return _answer("unknown-layers", "", "layers of no family we know", LIKELY)


def _by_widths(adapter: Adapter) -> Iterator[tuple[str, str, str]]:
    """What the adapted text encoders tell: one of width 768 is SD 1's, of 1024 SD 2's, two are SDXL's. Layers without
    names, as cloneofsimo's first LoRAs have, are read by their widths as well."""
    if adapter.dialect == "cloneofsimo":
        widths = {width_of(shapes) for shapes in adapter.layers.values()} & {768, 1024, 2048}
        if widths in ({768}, {1024}):
            width = widths.pop()
            yield "cloneofsimo", {768: "sd1", 1024: "sd2"}[width or 0], f"layers of width {width}"
        return
    if adapter.has_part("te2"):
        yield "text-encoder-layers", "sdxl", "a second text encoder"
    width = adapter.text_width("te")
    if width in (768, 1024):
        yield "text-encoder-layers", "sd1" if width == 768 else "sd2", f"text encoder of width {width}"


def _answer(rule: str, names: str, seen: str, confidence: float, *, is_open: bool = False) -> tuple[Finding, str]:
    families: list[Family] = [read_families()[name] for name in names.split()]
    says = families[0].note if len(families) == 1 else f"equal in what is seen: {', '.join(names.split())}"
    evidence = Evidence(rule, "tensor", "layers", seen, says if families else "")
    architectures = {family.architecture for family in families}
    base = base_of(families, confidence, (evidence,))
    if is_open:
        base = Finding(UNKNOWN, NONE, (evidence,), (*({base.value: None} | dict.fromkeys(base.candidates)),))
    return base, architectures.pop() if len(architectures) == 1 else UNKNOWN
