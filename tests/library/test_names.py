"""The names that a file's path suggests."""

import pytest

from modelyard.domain import model_type
from modelyard.facts import Facts
from modelyard.library import names
from modelyard.library.folder_hints import FolderHint
from modelyard.library.trainers import Training


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


@pytest.mark.parametrize(
    ("path", "stem", "extension"),
    [
        (b"/models/night.safetensors", "night", "safetensors"),
        (b"/models/a\x01b.pt", "a b", "pt"),
        (b"/models/ .pt", "model", "pt"),
        (b"/models/" + b"n" * 240 + b".pt", "n" * 200, "pt"),
    ],
)
def test_a_path_is_split_into_a_printable_stem_and_an_extension(path: bytes, stem: str, extension: str) -> None:
    assert (stem, extension) == names.split_name(path)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"/unet/model.safetensors", "unet"),
        (b"/model.safetensors", "model"),
        (b"/a/style/model.safetensors", "style"),
        (b"/a/" + b"n" * 240 + b"/model.safetensors", "n" * 200),
    ],
)
def test_a_generic_name_gives_way_to_what_folders_there_are(path: bytes, name: str) -> None:
    assert name == names.guess(path, None, None).name


def test_a_guess_has_what_the_folder_and_the_trainer_say() -> None:
    hint = FolderHint("lora", "SDXL 1.0", "it lies there")
    training = Training("kohya", "hero", 0)
    unnamed = Training("kohya", None, 0)

    guesses = [names.guess(b"/x/a.pt", *given) for given in ((hint, training), (None, unnamed), (hint, None))]

    assert [
        Facts(
            name="hero", type=model_type("lora"), base_model="SDXL 1.0", file_name="a.pt", evidence=("it lies there",)
        ),
        Facts(name="a", file_name="a.pt"),
        Facts(name="a", type=model_type("lora"), base_model="SDXL 1.0", file_name="a.pt", evidence=("it lies there",)),
    ] == guesses
