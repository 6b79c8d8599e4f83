"""Names of files and folders choose among what tensors and notes leave open, and do nothing else."""

import json
import os
from pathlib import Path

import pytest

from modelyard.inspection import Header, Tensor, identify, inspect_file
from modelyard.inspection.families import read_families
from modelyard.inspection.findings import PLAUSIBLE
from modelyard.inspection.model_names import _NAMES_IN_NOTES
from tests.inspection.made_files import write_safetensors
from tests.inspection.test_families import NETWORKS, header_of, lora


def network(family: str) -> Header:
    return header_of(next(layout for layout in NETWORKS if layout.family.name == family))


SDXL = network("sdxl")


@pytest.mark.parametrize(
    ("family", "name", "base"),
    [
        ("sdxl", "checkpoints/ponyDiffusionV6XL.safetensors", "Pony"),
        ("sdxl", "pony/anything.safetensors", "Pony"),
        ("sdxl", "checkpoints/ponytail_xl.safetensors", "SDXL 1.0"),
        ("sdxl", "illustriousXL_v01.safetensors", "Illustrious"),
        ("sdxl", "hassaku_ilXL.safetensors", "Illustrious"),
        ("sdxl", "skill_v1.safetensors", "SDXL 1.0"),
        ("sdxl", "noobaiXLVpred.safetensors", "NoobAI"),
        ("flux1", "flux1-kontext-dev.safetensors", "Flux.1 Kontext"),
        ("flux1", "flux1-dev.safetensors", "Flux.1 D"),
        ("z-image", "z_image_base_bf16.safetensors", "ZImageBase"),
        ("z-image", "z_image_bf16.safetensors", "ZImageTurbo"),
        ("wan-14b", "wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors", "Wan Video 2.2 T2V-A14B"),
        ("svd", "svd_xt_1_1.safetensors", "SVD XT"),
    ],
)
def test_a_name_chooses_a_base_that_the_tensors_leave_open_and_is_a_guess(family: str, name: str, base: str) -> None:
    answer = identify(network(family), name).base_model

    assert base == answer.value
    assert answer.confidence <= PLAUSIBLE
    assert answer.evidence[-1].rule in ("file-name", "layout", f"{family}-diffusers", "svd-diffusers")


def test_a_name_that_contradicts_the_tensors_is_shown_and_not_followed() -> None:
    alone, named = identify(SDXL), identify(SDXL, "flux1-dev.safetensors")

    assert (alone.base_model.value, alone.type) == (named.base_model.value, named.type)
    assert ("file-name", "contradicts the tensors; not followed") == (
        named.base_model.evidence[-1].rule,
        named.base_model.evidence[-1].says,
    )


def test_a_note_is_followed_before_a_name() -> None:
    noted = Header(SDXL.tensors, {"ss_sd_model_name": "noobaiXL.safetensors"})

    assert "NoobAI" == identify(noted, "pony_style.safetensors").base_model.value


def test_a_name_alone_says_nothing() -> None:
    strange = Header({"strange.weight": Tensor("F16", (3, 5))})

    assert identify(strange) == identify(strange, "loras/flux1-dev-pony.safetensors")


def test_an_adapters_name_chooses_too() -> None:
    layout = next(layout for layout in NETWORKS if layout.family.name == "sdxl")

    answer = identify(lora(layout, "unet.", "lora_A.weight", "lora_B.weight"), "my_pony_style.safetensors").base_model

    assert ("Pony", PLAUSIBLE) == (answer.value, answer.confidence)


def test_each_base_that_a_name_tells_is_one_of_a_family() -> None:
    bases = {base for family in read_families().values() for base in family.bases}

    assert set() == {named.base_model for _, named in _NAMES_IN_NOTES} - bases


def test_only_the_start_of_a_long_note_and_the_end_of_a_long_name_are_looked_at() -> None:
    noted = Header(SDXL.tensors, {"ss_sd_model_name": "wan " * 100_000 + "pony"})

    assert "SDXL 1.0" == identify(noted, "pony" + "wan " * 100_000).base_model.value


def test_a_name_that_is_no_text_can_be_stored(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/pony\xff.safetensors"
    write_safetensors(Path(os.fsdecode(path)), {name: ("F16", tensor.shape) for name, tensor in SDXL.tensors.items()})

    answer = inspect_file(path, with_hashes=False)

    assert "Pony" == answer.identity.base_model.value
    assert json.dumps(answer.to_json(), ensure_ascii=False).encode()
