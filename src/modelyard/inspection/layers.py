"""A file's layers in one form, however it spells them: names without prefix, the sizes of the weights, their counts.

    model.diffusion_model.double_blocks.7.img_attn.qkv.weight  →  double_blocks_#_img_attn_qkv  9216x3072  19
    lora_unet_double_blocks_7_img_attn_qkv.lora_down.weight    →  the same, its size from the two factors

Dots and underscores are alike, numbers are counted, quantised weights have the size that they stand for. What is known
of families does not belong here.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from modelyard.inspection.adapters import ROLES, Adapter, Shape
from modelyard.inspection.header import Header, Tensor

# Prefixes of the one network that a file is about, where other programs give one. Longer ones first.
PREFIXES = (
    *("model.diffusion_model.", "model.model.", "diffusion_model.", "first_stage_model.", "control_model."),
    *("text_encoders.clip_g.transformer.", "text_encoders.clip_l.transformer.", "text_encoders.t5xxl.transformer."),
    *("text_encoders.umt5xxl.transformer.", "base_model.model.", "transformer.", "text_model.", "module.", "unet."),
    *("adapter.", "model.", "net.", "vae."),
)
# What lies beside a quantised weight, and is no layer.
_BESIDE = re.compile(
    r"\.(absmax|nested_absmax|quant_map|nested_quant_map|quant_state\..*|scales?|weight_scale(_\d)?|scale_weight"
    r"|scale_input|input_scale|comfy_quant|zeros|qzeros|g_idx|smooth_factor(_orig)?|wscales|wzeros|wtscale|wcscales"
    r"|lora_down|lora_up|proj_down|proj_up|bias|rotation)$"
)
_QUANTISED = re.compile(r"\.weight\.(absmax|quant_state\.)|\.weight_scale$|\.comfy_quant$")
# Wrappers of a language model that sees, and of a layer whose attention is a part of its own.
_SPELLINGS = (
    ("model.language_model.", "model."),
    ("language_model.model.", "model."),
    ("language_model.lm_head", "lm_head"),
    (".processor.", "."),
)
# In two searches, because one for both, which looks behind itself at every place, takes three times as long.
_NUMBER = re.compile(r"_\d+(?![^_\n])")
_FIRST_NUMBER = re.compile(r"\n\d+(?![^_\n])")


@dataclass(frozen=True, slots=True)
class Layers:
    """How many layers there are of each name and size; the size of an adapted layer is its output and input, ``None``
    where the file does not tell it."""

    counts: Mapping[tuple[str, Shape | None], int]
    is_adapter: bool = False

    @property
    def total(self) -> int:
        """How many layers there are."""
        return sum(self.counts.values())


def layers_of(header: Header) -> Layers:
    """Return a header's layers. Cost: a pass over the names, and one search in all of them."""
    names: list[str] = []
    sizes: list[Shape | None] = []
    tensors = header.tensors
    for name, tensor in tensors.items():
        dtype, shape = tensor
        if len(shape) < 2:
            continue
        if name.endswith(".weight"):
            stem = name[:-7]
        elif name.endswith(".qweight"):
            stem, shape = name[:-8], ()
        elif _BESIDE.search(name):
            continue
        else:
            stem = name
        names.append(stem)
        sizes.append(_logical(name, tensor, tensors) if dtype in _PACKED else shape or None)
    return _counted(names, sizes)


_PACKED = frozenset({"U8", "I8", "I32"})


def _logical(name: str, tensor: Tensor, tensors: Mapping[str, Tensor]) -> Shape | None:
    """The size that a packed weight stands for: two 4-bit numbers a byte are half the columns."""
    shape = tensor.shape
    if tensor.dtype == "I8":
        return shape if not name.endswith(".qweight") else None
    if tensor.dtype == "U8" and name + "_scale" in tensors:
        return (*shape[:-1], 2 * shape[-1])
    return None


def adapted_layers(adapter: Adapter) -> Layers:
    """Return the layers of the main network that an adapter changes."""
    pairs = [(layer, size_of(shapes)) for (part, layer), shapes in adapter.layers.items() if part in ("unet", "")]
    counted = _counted([layer for layer, _ in pairs], [size for _, size in pairs])
    return Layers(counted.counts, is_adapter=True)


def without_sizes(layers: Layers) -> Layers:
    """Return the same layers by their names alone."""
    counts: Counter[tuple[str, Shape | None]] = Counter()
    for (name, _), count in layers.counts.items():
        counts[name, None] += count
    return Layers(counts, layers.is_adapter)


def size_of(shapes: Mapping[str, Shape]) -> Shape | None:
    """Return an adapted layer's output and input size, ``None`` where its factors do not tell both."""
    down = up = None
    for ending, shape in shapes.items():
        role = ROLES.get(ending)
        if len(shape) < 2:
            continue
        if role == "down" or ending in ("hada_w1_b", "a2.weight"):
            down = shape[1]
        elif role == "up" or ending in ("hada_w1_a", "b1.weight"):
            up = shape[0]
        elif ending == "diff":
            return shape[0], shape[1]
    if up is not None and down is not None:
        return up, down
    first, second = _factor(shapes, "lokr_w1"), _factor(shapes, "lokr_w2")
    return (first[0] * second[0], first[1] * second[1]) if first and second else None


def _factor(shapes: Mapping[str, Shape], name: str) -> Shape | None:
    """The size of a Kronecker factor, whole or split in two."""
    whole, left, right = shapes.get(name), shapes.get(name + "_a"), shapes.get(name + "_b")
    if whole is not None and len(whole) >= 2:
        return whole
    if left is not None and right is not None and len(left) >= 2 and len(right) >= 2:
        return left[0], right[1]
    return None


def _counted(names: list[str], sizes: Iterable[Shape | None]) -> Layers:
    text = "\n".join(names)
    if text.count("\n") >= len(names):
        text = "\n".join(name.replace("\n", " ") for name in names)
    for word, spelling in _SPELLINGS:
        text = text.replace(word, spelling)
    patterns = _NUMBER.sub("_#", "\n" + text.replace(".", "_"))
    return Layers(Counter(zip(_FIRST_NUMBER.sub("\n#", patterns)[1:].split("\n"), sizes, strict=False)))


def prefixes_of(layers: Layers) -> tuple[str, ...]:
    """Return the prefixes that names of layers have, none first."""
    names = "\n" + "\n".join(name for name, _ in layers.counts)
    return ("", *(prefix for prefix in PREFIXES if "\n" + _joined(prefix) in names))


def without_prefix(layers: Layers, prefix: str) -> Layers:
    """Return the layers whose names begin with a prefix, without it."""
    start = _joined(prefix)
    found = ((name, size, count) for (name, size), count in layers.counts.items() if name.startswith(start))
    return Layers({(name[len(start) :], size): count for name, size, count in found})


def _joined(prefix: str) -> str:
    return prefix.replace(".", "_")
