"""The block of text that A1111 and its relatives write."""

import json
import time
from contextlib import suppress

import pytest

from modelyard import errors
from modelyard.workflows import Need, read_needs
from modelyard.workflows.needs import NAME_CHARS_MAX


def needs_of(text: str) -> list[Need]:
    return [*read_needs(text.encode())]


def test_the_settings_name_models_with_their_hashes() -> None:
    text = """a cat, <lora:glow:0.8>, <lyco:old>
Negative prompt: bad, embedding:easy
Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 1, Size: 512x768, Model hash: 6ce0161689, \
Model: base_v1, VAE hash: 735e4c3a44, VAE: vae-ft.safetensors, Hires upscaler: 4x-Sharp, Refiner: fine [0123456789], \
ControlNet 0: "Module: canny, Model: control_canny [d14c016b], Weight: 1", \
Lora hashes: "glow: aaaabbbbcccc, shine: 0123456789ab", \
TI hashes: "easy: 1111222233, easy: 1111222233", Version: v1.10"""

    assert needs_of(text) == [
        Need("easy", "embeddings", ("1111222233",)),
        Need("glow", "loras", ("aaaabbbbcccc",)),
        Need("old", "loras"),
        Need("base_v1", "checkpoints", ("6ce0161689",)),
        Need("fine", "checkpoints", ("0123456789",)),
        Need("vae-ft.safetensors", "vae", ("735e4c3a44",)),
        Need("4x-Sharp", "upscale_models"),
        Need("shine", "loras", ("0123456789ab",)),
        Need("control_canny", "controlnet", ("d14c016b",)),
    ]


def test_the_site_writes_hashes_and_resources_as_json() -> None:
    hashes = json.dumps({"model": "6ce0161689", "lora:glow": "aaaabbbbcc", "embed:easy": "0123456789", "other": 5})
    resources = json.dumps(
        [
            {"type": "checkpoint", "modelVersionId": 290640, "modelName": "Pony, [V6]", "modelVersionName": "start"},
            {"type": "lora", "weight": 0.7, "air": "urn:air:sdxl:lora:civitai:1@2"},
            {"weight": 1},
            7,
        ]
    )
    settings = "Steps: 30, Sampler: Euler a, Model: base"
    text = f"x\n{settings}, Hashes: {hashes}, Civitai resources: {resources}, Civitai metadata: {{}}"

    assert needs_of(text) == [
        Need("base", "checkpoints", ("6ce0161689",)),
        Need("glow", "loras", ("aaaabbbbcc",)),
        Need("easy", "embeddings", ("0123456789",)),
        Need("Pony, [V6]", "checkpoints", version_id=290640),
        Need("urn:air:sdxl:lora:civitai:1@2", "loras", air="urn:air:sdxl:lora:civitai:1@2"),
    ]


def test_names_of_resources_have_a_length() -> None:
    longest, longer = "x" * NAME_CHARS_MAX, "x" * (NAME_CHARS_MAX + 1)
    resources = json.dumps([{"air": longest}, {"air": longer}, {"modelName": longer}, {"modelName": "a\x07"}])

    assert [Need(longest, None, air=longest)] == needs_of(f"x\nSteps: 30, Civitai resources: {resources}")


def test_values_that_stand_for_no_model_need_none() -> None:
    assert needs_of("x\nSteps: 1, VAE: Automatic, Hires upscaler: Latent (nearest), Model: None, Refiner: ") == []


@pytest.mark.parametrize("size", [30_000, 2**20])
def test_hostile_texts_take_no_time(size: int) -> None:
    for pattern in (
        "a:{,",
        'a:",',
        "a:[,",
        "Civitai resources: [[]",
        "<lora:",
        "embedding:",
        "Steps: 1, ",
        "a\n",
        "a: ",
    ):
        text = "x\nSteps: 1, " + pattern * (size // len(pattern))
        began = time.process_time()
        with suppress(errors.UnsupportedFile):  # the settings of a text are in its last 32 KiB
            read_needs(text.encode())
        assert time.process_time() - began < 3, pattern
