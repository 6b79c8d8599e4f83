"""The names that a file's path suggests."""

import pytest

from modelyard.library import names


@pytest.mark.parametrize(
    "part",
    [
        "unet",
        "vae",
        "transformer",
        "text_encoder",
        "text_encoder_2",
        "text_encoder_3",
        "image_encoder",
        "safety_checker",
    ],
)
def test_a_part_of_a_pipeline_is_named_after_the_pipeline(part: str) -> None:
    path = f"/models/night/{part}/diffusion_pytorch_model.safetensors".encode()

    assert f"night {part}" == names.guess(path, None, None).name


@pytest.mark.parametrize(
    "name",
    [
        "diffusion_pytorch_model",
        "pytorch_model",
        "model",
        "model.fp16",
        "diffusion_pytorch_model.non_ema",
        "adapter_model",
        "pytorch_lora_weights",
        "open_clip_pytorch_model",
        "model-00001-of-00002",
        "diffusion_pytorch_model-00001-of-00002",
    ],
)
def test_a_file_with_a_generic_name_is_named_after_its_folder(name: str) -> None:
    assert "night" == names.guess(f"/models/night/{name}.safetensors".encode(), None, None).name


def test_a_file_with_a_name_of_its_own_keeps_it() -> None:
    assert "valley" == names.guess(b"/models/night/valley.safetensors", None, None).name
