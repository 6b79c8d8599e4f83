"""Models of several files have one identity from all of their parts: pipelines of diffusers, and shards of a file.

Not covered here: which names are parts of one model (tests/library/test_parts.py).
"""

import json
import math
from pathlib import Path

import pytest

from modelyard.inspection import Inspection, Verdict, inspect_file, inspect_model, list_models
from modelyard.inspection.families import read_layouts
from tests.inspection.made_files import Shapes, gguf_header, write_safetensors
from tests.inspection.test_families import layers_of

LAYERS = list(layers_of(next(layout for layout in read_layouts() if layout.family.name == "flux1")))
FLUX: Shapes = {f"{name}.weight": ("F16", shape) for name, shape in LAYERS}
VAE: Shapes = {"decoder.conv_in.weight": ("F16", [512, 4, 3, 3])}


def inspect_folder(folder: Path) -> list[tuple[str, Inspection]]:
    models = list_models(folder)
    return [(model.path.name, inspect_model(model, with_hashes=False)) for model in models]


def write_shards(folder: Path, stem: str = "model") -> list[Path]:
    """Write three shards, each with every third layer of Flux."""
    folder.mkdir(parents=True)
    names = list(FLUX)
    return [
        write_safetensors(
            folder / f"{stem}-0000{number + 1}-of-00003.safetensors", {name: FLUX[name] for name in names[number::3]}
        )
        for number in range(3)
    ]


def write_pipeline(folder: Path, class_name: str, **index: object) -> Path:
    write_shards(folder / "transformer", "diffusion_pytorch_model")
    (folder / "vae").mkdir()
    write_safetensors(folder / "vae" / "diffusion_pytorch_model.safetensors", VAE)
    document = {"_class_name": class_name, "transformer": ["diffusers", "F"], "vae": ["diffusers", "A"], **index}
    (folder / "model_index.json").write_text(json.dumps(document))
    return folder


def test_shards_are_one_model_that_is_known_better_than_each_of_them(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "flux")

    ((name, inspection),) = inspect_folder(tmp_path / "flux")

    assert ("model.safetensors", "shards", Verdict.CLEAN) == (name, inspection.format, inspection.verdict)
    assert ("checkpoint", "Flux.1 D", 0.99) == (
        inspection.identity.type.value,
        inspection.identity.base_model.value,
        inspection.identity.type.confidence,
    )
    assert inspect_file(shards[0], with_hashes=False).identity.type.confidence < 0.99
    assert [shard.name for shard in shards] == [name for name, _ in inspection.files]


def test_the_index_file_says_how_many_shards_there_are(tmp_path: Path) -> None:
    """Whatever number the names end with; `modelyard add` asks the same file (tests/library/test_parts.py)."""
    folder = tmp_path / "flux"
    *present, last = write_shards(folder)
    last.unlink()
    assert "1 of 3 files is missing: model-00003-of-00003.safetensors" == inspect_folder(folder)[0][1].reason

    index = json.dumps({"weight_map": {shard.stem: shard.name for shard in present}, "by": "cafe"}).encode()
    for text in (index, index.replace(b"cafe", b"caf\xe9")):
        (folder / "model.safetensors.index.json").write_bytes(text)
        ((_, inspection),) = inspect_folder(folder)
        assert (Verdict.CLEAN, 2, ()) == (inspection.verdict, len(inspection.files), inspection.missing)


def test_a_split_gguf_is_one_model(tmp_path: Path) -> None:
    for number in range(3):
        tensors = {name: (1, shape, 2 * math.prod(shape)) for name, (_, shape) in list(FLUX.items())[number::3]}
        start, body = gguf_header(tensors, {"general.architecture": "flux"})
        with (tmp_path / f"flux-0000{number + 1}-of-00003.gguf").open("wb") as file:
            file.write(start)
            file.truncate(len(start) + body)

    ((name, inspection),) = inspect_folder(tmp_path)

    assert ("flux.gguf", Verdict.CLEAN, 3) == (name, inspection.verdict, len(inspection.files))
    assert ("Flux.1 D", 0.99) == (inspection.identity.base_model.value, inspection.identity.type.confidence)


@pytest.mark.parametrize(
    ("class_name", "index", "base"),
    [
        ("FluxPipeline", {}, "Flux.1 D"),
        ("FluxKontextPipeline", {}, "Flux.1 Kontext"),
        ("FluxPipeline", {"_name_or_path": "black-forest-labs/FLUX.1-Krea-dev"}, "Flux.1 Krea"),
        ("StableDiffusionPipeline", {"_name_or_path": "stable-diffusion-v1-5"}, "Flux.1 D"),
    ],
)
def test_a_pipeline_is_what_its_transformer_is_and_its_index_chooses_the_base(
    class_name: str, index: dict[str, object], base: str, tmp_path: Path
) -> None:
    ((name, inspection),) = inspect_folder(write_pipeline(tmp_path / "mine", class_name, **index))

    identity = inspection.identity
    assert ("mine", "pipeline", "checkpoint", base) == (
        name,
        inspection.format,
        identity.type.value,
        identity.base_model.value,
    )
    assert 4 == len(inspection.files)


def test_a_model_with_a_missing_file_is_not_sound(tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "mine", "FluxPipeline")
    (folder / "transformer" / "diffusion_pytorch_model-00002-of-00003.safetensors").unlink()
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()

    ((_, inspection),) = inspect_folder(folder)

    missing = ("transformer/diffusion_pytorch_model-00002-of-00003.safetensors", "vae/")
    assert (Verdict.ERROR, missing) == (inspection.verdict, inspection.missing)
    assert "Flux.1 D" == inspection.identity.base_model.value
    assert list(missing) == inspection.to_json()["missing"]


def test_a_broken_part_makes_the_model_broken_and_names_the_part(tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "mine", "FluxPipeline")
    (folder / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"<!DOCTYPE html><html>")

    ((_, inspection),) = inspect_folder(folder)

    assert Verdict.ERROR is inspection.verdict
    assert inspection.reason.startswith("vae/diffusion_pytorch_model.safetensors: this is an HTML page")


def test_an_index_that_is_none_leaves_single_files(tmp_path: Path) -> None:
    for content in ("[]", "{", '{"_class_name": 3}', "[" * 100_000):
        (tmp_path / "model_index.json").write_text(content)
        write_safetensors(tmp_path / "a.safetensors", VAE)

        assert ["a.safetensors"] == [model.path.name for model in list_models(tmp_path)]
