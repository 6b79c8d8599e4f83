"""Every family is recognised by each of its layouts, spelled and quantised in each way, from the data of the families.

Not covered here: what marks say of files that no layout is printed of (tests/inspection/answers).
"""

from collections.abc import Iterator

import pytest

from modelyard import domain
from modelyard.inspection import Header, Tensor, identify
from modelyard.inspection.families import BY_INPUTS, Layout, family_of_id, read_families, read_layouts
from modelyard.inspection.findings import CERTAIN, LIKELY, UNKNOWN
from modelyard.inspection.recognition import recognise_model
from tests.inspection import fuzz

Shapes = dict[str, tuple[int, ...]]
# Kinds of files that serve every base, or whose base nothing tells.
WITHOUT_BASE = {"upscaler", "detection", "clip", "clipvision", "vaeapprox", "controlnet"}
SIZED = [layout for layout in read_layouts() if all(sizes is not None for sizes in layout.counts.values())]
NETWORKS = [layout for layout in SIZED if layout.family.type == "checkpoint"]


def layers_of(layout: Layout) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield a name and a size for each layer of a layout."""
    for pattern, sizes in layout.counts.items():
        number = 0
        for size, count in (sizes or {}).items():
            for _ in range(count):
                yield pattern.replace("#", str(number), 1).replace("#", "0"), size
                number += 1


def header_of(layout: Layout, prefix: str = "") -> Header:
    return Header({f"{prefix}{name}.weight": Tensor("F16", size) for name, size in layers_of(layout)})


def title(layout: Layout) -> str:
    return f"{layout.family.name}-{layout.number}"


def test_every_layout_is_its_familys_for_certain() -> None:
    for layout in SIZED:
        answer = recognise_model(header_of(layout))

        assert answer is not None, title(layout)
        assert (layout.family.type, True) == (answer.first.type, answer.is_whole), title(layout)
        assert layout.family in answer.families, title(layout)
        assert CERTAIN == answer.confidence, title(layout)


def test_no_two_families_share_a_layout_unless_their_records_say_so() -> None:
    shared = set()
    for layout in SIZED:
        answer = recognise_model(header_of(layout))
        assert answer is not None
        names = {family.name for family in answer.families}
        for family in answer.families:
            if not names <= {family.name, *family.siblings}:
                shared.add((family.name, *sorted(names)))

    assert set() == shared


def test_every_network_has_ids_for_notes_and_every_type_is_in_the_vocabulary() -> None:
    records = read_families().values()

    assert [] == [family.name for family in records if family.type == "checkpoint" and not family.ids]
    assert set() == {family.type for family in records} - set(domain.MODEL_TYPES) - {"vaeapprox"}
    assert set() == {family.variant for family in records} - set(domain.BASE_MODEL_TYPES) - {UNKNOWN, BY_INPUTS}
    assert set() == {family.type for family in records if not family.bases and not family.shared} - WITHOUT_BASE


def test_no_id_names_two_families() -> None:
    for family in read_families().values():
        for word in family.ids:
            assert family == family_of_id(word.upper()), word


def lora(layout: Layout, prefix: str, down: str, up: str) -> Header:
    shapes: Shapes = {}
    for name, size in layers_of(layout):
        if len(size) == 2:
            shapes[f"{prefix}{name}.{down}"] = (8, size[1])
            shapes[f"{prefix}{name}.{up}"] = (size[0], 8)
    return Header({name: Tensor("F16", shape) for name, shape in shapes.items()})


DIALECTS = [
    ("lora_unet_", "lora_down.weight", "lora_up.weight"),
    ("transformer.", "lora_A.weight", "lora_B.weight"),
    ("diffusion_model.", "lora_A.default.weight", "lora_B.default.weight"),
    ("lora_transformer_", "lora_down.weight", "lora_up.weight"),
    ("base_model.model.", "lora_A.weight", "lora_B.weight"),
    ("lycoris_", "hada_w1_b", "hada_w1_a"),
    ("lycoris_", "a2.weight", "b1.weight"),
]


@pytest.mark.parametrize(("prefix", "down", "up"), DIALECTS, ids=[" ".join(dialect[:2]) for dialect in DIALECTS])
def test_an_adapter_of_each_family_has_its_base_among_the_answers(prefix: str, down: str, up: str) -> None:
    for layout in NETWORKS[DIALECTS.index((prefix, down, up)) :: len(DIALECTS)]:
        base = identify(lora(layout, prefix, down, up)).base_model

        assert layout.family.bases[0] in (base.value, *base.candidates), title(layout)
        assert base.confidence <= LIKELY, title(layout)


VAE = {
    "decoder.conv_in.weight": (512, 4, 3, 3),
    "encoder.conv_in.weight": (128, 3, 3, 3),
    "decoder.conv_out.weight": (3, 128, 3, 3),
}
INSIDE = {f"first_stage_model.{name}": Tensor("F16", shape) for name, shape in VAE.items()}


def test_a_checkpoint_is_named_by_its_network_and_not_by_the_vae_inside() -> None:
    for layout in NETWORKS[::3]:
        answer = identify(Header({**header_of(layout, "model.diffusion_model.").tensors, **INSIDE}))

        assert ("checkpoint", "whole") == (answer.type.value, answer.part.value), title(layout)
        assert layout.family.bases[0] in (answer.base_model.value, *answer.base_model.candidates), title(layout)


def test_a_vae_inside_a_file_that_nothing_explains_does_not_name_the_file() -> None:
    foreign = {f"model.diffusion_model.new.{number}.weight": Tensor("F16", (8, 8)) for number in range(20)}

    assert UNKNOWN == identify(Header({**foreign, **INSIDE})).type.value
    assert "vae" == identify(Header(INSIDE)).type.value


def test_the_channels_of_the_input_tell_the_variant_of_a_unet() -> None:
    variants = {4: "Standard", 9: "Inpainting", 5: "Depth"}
    for layout in NETWORKS:
        if layout.family.variant == BY_INPUTS:
            tensors = {
                name.replace("input_blocks_0_0.", "input_blocks.0.0."): tensor
                for name, tensor in header_of(layout).tensors.items()
            }
            inputs = tensors.get("conv_in.weight") or tensors["input_blocks.0.0.weight"]

            assert variants[inputs.shape[1]] == identify(Header(tensors)).base_model_type.value, title(layout)


def quantised(layout: Layout, kind: str) -> Header:
    tensors: dict[str, Tensor] = {}
    for name, size in layers_of(layout):
        if len(size) != 2 or size[1] % 2:
            tensors[f"{name}.weight"] = Tensor("F16", size)
        elif kind == "fp8":
            tensors[f"{name}.weight"] = Tensor("F8_E4M3", size)
            tensors[f"{name}.scale_weight"] = Tensor("F32", (1, 1))
        elif kind == "nvfp4":
            tensors[f"{name}.weight"] = Tensor("U8", (size[0], size[1] // 2))
            tensors[f"{name}.weight_scale"] = Tensor("F8_E4M3", (size[0], max(size[1] // 16, 1)))
        else:
            tensors[f"{name}.weight"] = Tensor("U8", (size[0] * size[1] // 2, 1))
            tensors[f"{name}.weight.absmax"] = Tensor("F32", (size[0],))
    return Header(tensors)


@pytest.mark.parametrize("kind", ["fp8", "nvfp4", "nf4"])
def test_quantised_weights_are_recognised_as_the_weights_that_they_stand_for(kind: str) -> None:
    for name in ("flux1", "qwen-image", "krea-2", "wan-14b", "sdxl"):
        layout = next(layout for layout in NETWORKS if layout.family.name == name)

        answer = recognise_model(quantised(layout, kind))

        assert answer is not None
        assert (name, True) == (answer.first.name, answer.explained == 1)


def test_a_part_of_a_layout_is_no_certainty_and_a_file_of_other_layers_is_nothing() -> None:
    layout = next(layout for layout in NETWORKS if layout.family.name == "flux1")
    tensors = header_of(layout).tensors
    part = Header(dict(list(tensors.items())[::3]))
    foreign = Header({f"other.{number}.weight": Tensor("F16", (8, 8)) for number in range(len(tensors))})

    answer = recognise_model(part)

    assert answer is not None
    assert answer.confidence < CERTAIN
    assert recognise_model(foreign) is None
    assert recognise_model(Header({**tensors, **foreign.tensors})) is None


def test_headers_of_mixed_and_damaged_layers_raise_nothing_and_no_belief_is_without_evidence() -> None:
    assert fuzz.fuzz_layers(500, seed=19) > 50
