"""How precise a model's weights are and how many numbers they have, quantised weights as the weights they stand for.

    bitsandbytes   weight U8 [n/2, 1], weight.absmax, weight.quant_state.bitsandbytes__nf4 (or fp4)
    nvfp4, mxfp4   weight U8 [out, in/2], weight_scale F8_E4M3 (nvfp4) or a power of two (mxfp4)
    nunchaku       qweight I8 [out, in/2], wscales; fp4 has wtscale or wcscales; low-rank parts beside it are no weights
    GPTQ           qweight I32 [in/8, out], scales [groups, out], g_idx [in]
    AWQ            qweight I32 [in, out/8], scales [groups, out]

GGUF's types say it themselves, and so do types of 8 bits. What stands beside a quantised weight is not counted.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from modelyard.inspection.findings import CERTAIN, LIKELY, Evidence, Finding
from modelyard.inspection.header import Header, Tensor

_PRECISIONS = {
    "F64": "fp64",
    "F32": "fp32",
    "F16": "fp16",
    "BF16": "bf16",
    "F8_E4M3": "fp8_e4m3",
    "F8_E5M2": "fp8_e5m2",
    "F8_E4M3FNUZ": "fp8_e4m3fnuz",
    "F8_E5M2FNUZ": "fp8_e5m2fnuz",
    "F4": "fp4",
    "I8": "int8",
    "U8": "uint8",
}
# Types in which numbers of fewer bits are packed, and those whose scales stand beside them.
_PACKED = frozenset({"U8", "I8", "I32"})
_SCALED = frozenset({*_PACKED, "F4", "F8_E4M3", "F8_E5M2"})
_BESIDE = (
    *(".absmax", ".nested_absmax", ".quant_map", ".nested_quant_map", ".weight_scale", ".weight_scale_2", ".SCB"),
    *(".weight_scale_inv", ".scale_weight", ".scale_input", ".input_scale", ".comfy_quant", ".qzeros", ".scales"),
    *(".g_idx", ".smooth_factor", ".smooth_factor_orig", ".wscales", ".wzeros", ".wtscale", ".wcscales"),
    *(".lora_down", ".lora_up", ".proj_down", ".proj_up", "scaled_fp8", "spiece_model"),
)


@dataclass(frozen=True, slots=True)
class Precision:
    """The precision that most of the weights have, and how many numbers all of them have."""

    finding: Finding
    parameters: int


def read_precision(header: Header) -> Precision:
    """Return the precision of a header's weights, and their number."""
    tensors = header.tensors
    numbers: Counter[str] = Counter()
    counts = Counter(tensors.values())
    if _SCALED.isdisjoint(tensor.dtype for tensor in counts):
        for tensor, count in counts.items():
            numbers[tensor.dtype] += tensor.parameters * count
        return Precision(_find_most(numbers, len(tensors)), numbers.total())
    for name, tensor in tensors.items():
        if name.endswith(_BESIDE) or ".quant_state." in name:
            continue
        kind, packed = _packing(name, tensor, tensors) if tensor.dtype in _PACKED else (tensor.dtype, 1)
        numbers[kind] += tensor.parameters * packed
    return Precision(_find_most(numbers, len(tensors)), numbers.total())


def _packing(name: str, tensor: Tensor, tensors: Mapping[str, Tensor]) -> tuple[str, int]:
    """How the numbers of a weight are packed, and how many are in each that the tensor has."""
    if name.endswith(".qweight"):
        stem = name.removesuffix("qweight")
        if stem + "scales" in tensors:
            return _integer_packing(stem, tensor, tensors)
        is_float = stem + "wtscale" in tensors or stem + "wcscales" in tensors
        return "svdquant fp4" if is_float else "svdquant int4", 8 if tensor.dtype == "I32" else 2
    if name + ".absmax" in tensors:
        return "fp4" if name + ".quant_state.bitsandbytes__fp4" in tensors else "nf4", 2
    scale = tensors.get(name + "_scale")
    if tensor.dtype == "U8" and scale is not None and len(scale.shape) == len(tensor.shape):
        return "nvfp4" if scale.dtype == "F8_E4M3" else "mxfp4", 2
    return tensor.dtype, 1


def _integer_packing(stem: str, tensor: Tensor, tensors: Mapping[str, Tensor]) -> tuple[str, int]:
    """GPTQ packs the inputs of a weight, AWQ its outputs: the scales have an output each."""
    outputs, index = tensors[stem + "scales"].shape[-1:], tensors.get(stem + "g_idx")
    rows, columns = (*tensor.shape, 0, 0)[:2]
    if not rows or not columns or not outputs:
        return tensor.dtype, 1
    if outputs[0] > columns:
        name, packed = "awq", outputs[0] // columns
    else:
        name, packed = "gptq", index.shape[0] // rows if index is not None and len(index.shape) == 1 else 8
    return (f"{name} int{32 // packed}", packed) if packed in (4, 8, 16) else (tensor.dtype, 1)


def _find_most(numbers: Counter[str], tensors: int) -> Finding:
    """The type that most of the numbers have."""
    total = numbers.total()
    if not total:
        return Finding()
    kind, count = numbers.most_common(1)[0]
    if kind == "unknown":
        return Finding()
    share = count / total
    evidence = Evidence("dtypes", "tensor", f"{tensors} tensors", f"{share:.1%} {kind}")
    return Finding(_PRECISIONS.get(kind, kind), CERTAIN if share >= 0.9 else LIKELY, (evidence,))
