"""The precision and the number of parameters of quantised files are those of the weights that they stand for."""

import math

import pytest

from modelyard.inspection import Header, Tensor, identify
from tests.inspection.test_families import NETWORKS, layers_of

SHAPES = {
    f"{name}.weight": size
    for name, size in layers_of(next(layout for layout in NETWORKS if layout.family.name == "flux1"))
}
PARAMETERS = sum(math.prod(shape) for shape in SHAPES.values())


def quantise(name: str, shape: tuple[int, ...], kind: str) -> dict[str, Tensor]:
    """Return the tensors that a weight becomes."""
    stem, (out, in_) = name.removesuffix("weight"), shape
    match kind:
        case "nf4" | "fp4":
            return {
                name: Tensor("U8", (out * in_ // 2, 1)),
                f"{name}.absmax": Tensor("F32", (out * in_ // 64,)),
                f"{name}.quant_map": Tensor("F32", (16,)),
                f"{name}.quant_state.bitsandbytes__{kind}": Tensor("U8", (180,)),
            }
        case "nvfp4" | "mxfp4":
            scale = Tensor("F8_E4M3", (out, in_ // 16)) if kind == "nvfp4" else Tensor("U8", (out, in_ // 32))
            return {
                name: Tensor("U8", (out, in_ // 2)),
                f"{name}_scale": scale,
                f"{name}_scale_2": Tensor("F32", ()),
                f"{stem}comfy_quant": Tensor("U8", (32,)),
            }
        case "awq int4":
            return {
                f"{stem}qweight": Tensor("I32", (in_, out // 8)),
                f"{stem}qzeros": Tensor("I32", (in_ // 64, out // 8)),
                f"{stem}scales": Tensor("F16", (in_ // 64, out)),
            }
        case "gptq int4" | "gptq int8":
            packed = 8 if kind == "gptq int4" else 4
            return {
                f"{stem}qweight": Tensor("I32", (in_ // packed, out)),
                f"{stem}qzeros": Tensor("I32", (in_ // 64, out // packed)),
                f"{stem}scales": Tensor("F16", (in_ // 64, out)),
                f"{stem}g_idx": Tensor("I32", (in_,)),
            }
        case "svdquant int4" | "svdquant fp4":
            more = {f"{stem}wtscale": Tensor("F16", (1,))} if kind == "svdquant fp4" else {}
            return more | {
                f"{stem}qweight": Tensor("I8", (out, in_ // 2)),
                f"{stem}wscales": Tensor("BF16", (in_ // 64, out)),
                f"{stem}smooth_factor": Tensor("BF16", (in_,)),
                f"{stem}proj_down": Tensor("BF16", (in_, 32)),
                f"{stem}proj_up": Tensor("BF16", (out, 32)),
            }
        case "int8":
            return {name: Tensor("I8", shape), f"{stem}SCB": Tensor("F32", (out,))}
    return {name: Tensor("F8_E4M3", shape), f"{stem}scale_weight": Tensor("F32", ())}


KINDS = (
    *("nf4", "fp4", "nvfp4", "mxfp4", "awq int4", "gptq int4", "gptq int8", "svdquant int4", "svdquant fp4", "int8"),
    "fp8_e4m3",
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_quantised_file_has_the_parameters_of_the_model_and_its_own_precision(kind: str) -> None:
    tensors: dict[str, Tensor] = {}
    for name, shape in SHAPES.items():
        tensors |= quantise(name, shape, kind) if min(shape) >= 64 else {name: Tensor("BF16", shape)}

    identity = identify(Header(tensors))

    assert (kind, PARAMETERS) == (identity.precision.value, identity.parameters)


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32", "Q4_K", "I64"])
def test_a_file_of_one_type_has_what_its_tensors_have(dtype: str) -> None:
    identity = identify(Header({name: Tensor(dtype, shape) for name, shape in SHAPES.items()}))

    names = {"BF16": "bf16", "F16": "fp16", "F32": "fp32"}
    assert (names.get(dtype, dtype), PARAMETERS) == (identity.precision.value, identity.parameters)


@pytest.mark.parametrize(
    "tensors",
    [
        {"a.qweight": Tensor("I32", (8, 8)), "a.scales": Tensor("F16", ())},
        {"a.qweight": Tensor("I32", (0, 8)), "a.scales": Tensor("F16", (8,)), "a.g_idx": Tensor("I32", (8,))},
        {"a.qweight": Tensor("I32", (8,)), "a.scales": Tensor("F16", (800,))},
        {"a.qweight": Tensor("I32", (8, 1)), "a.scales": Tensor("F16", (2**60,))},
        {"a.weight": Tensor("U8", (8, 8)), "a.weight_scale": Tensor("F32", ())},
    ],
)
def test_sizes_that_do_not_fit_are_counted_as_they_are(tensors: dict[str, Tensor]) -> None:
    first = next(iter(tensors.values()))

    assert first.parameters == identify(Header(tensors)).parameters


@pytest.mark.parametrize("kind", KINDS)
def test_each_family_is_known_and_counted_when_it_is_quantised(kind: str) -> None:
    for layout in NETWORKS[KINDS.index(kind) :: len(KINDS)]:
        tensors: dict[str, Tensor] = {}
        for name, shape in layers_of(layout):
            is_quantised = len(shape) == 2 and all(size % 64 == 0 for size in shape)
            weight = f"{name}.weight"
            tensors |= quantise(weight, shape, kind) if is_quantised else {weight: Tensor("BF16", shape)}

        identity = identify(Header(tensors))

        known = (identity.base_model.value, *identity.base_model.candidates)
        assert layout.family.bases[0] in known, f"{layout.family.name} {layout.number}"
        assert sum(math.prod(shape) for _, shape in layers_of(layout)) == identity.parameters, layout.family.name
