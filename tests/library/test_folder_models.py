"""Models that consist of several files: pipelines of diffusers, and checkpoints in shards."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from modelyard import errors, library
from modelyard.blobs import open_storage
from modelyard.domain import ANONYMOUS, Hashes, ModelQuery, Scope, Status, Viewer, Visibility
from modelyard.facts import Layer
from modelyard.library import Ownership
from modelyard.library.walk import scan
from modelyard.registry.models import Edit, Models
from modelyard.store import model_texts
from tests.inspection.made_files import write_safetensors
from tests.scan_fixture import Shelf, embedding, hashes_of, opened

UNET = {
    "conv_in.weight": ("F16", [320, 4, 3, 3]),
    "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight": ("F16", [320, 768]),
}
FLUX = (
    {
        "img_in.weight": ("BF16", [3072, 64]),
        "double_blocks.0.img_attn.norm.key_norm.scale": ("BF16", [128]),
    },
    {"guidance_in.in_layer.weight": ("BF16", [3072, 256])},
)
SHARD = "diffusion_pytorch_model-0000{}-of-00002.safetensors"
CLASSES = {
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "safety_checker": [None, None],
}


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    new_shelf = opened(tmp_path)
    yield new_shelf
    new_shelf.catalog.close()


def pipeline(folder: Path, classes: Mapping[str, object] = CLASSES) -> Path:
    """Write a pipeline with a UNet and a VAE, both small."""
    for name in ("unet", "vae", "tokenizer"):
        (folder / name).mkdir(parents=True)
    write_safetensors(folder / "unet" / "diffusion_pytorch_model.safetensors", UNET)
    embedding(folder / "vae" / "diffusion_pytorch_model.safetensors", seed=5)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline", **classes}))
    return folder


def shards(folder: Path, *, with_index: bool = True) -> Path:
    folder.mkdir(parents=True)
    for number, shapes in enumerate(FLUX, 1):
        write_safetensors(folder / SHARD.format(number), shapes)
    if with_index:
        weights = {name: SHARD.format(number) for number, shapes in enumerate(FLUX, 1) for name in shapes}
        index = {"metadata": {"total_size": 1}, "weight_map": weights}
        (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def verdict(shelf: Shelf) -> str:
    return (shelf.entry().layers[Layer.HEADER].evidence or ("",))[0]


def roles(shelf: Shelf) -> dict[str, str | None]:
    return {file.name: file.role for file in shelf.entry().layers[Layer.HEADER].files or ()}


# --- found -----------------------------------------------------------------------------------------------------------


def test_a_pipeline_is_one_model_with_the_name_of_its_folder(shelf: Shelf) -> None:
    folder = pipeline(shelf.folder / "diffusers" / "my-sd15")
    report = shelf.add()
    model = shelf.model()

    assert (2, {"added": 1, "part": 1}, True) == (report.found, report.results, report.is_complete)
    assert ("my-sd15", "my-sd15", "checkpoint", "SD 1.5") == (
        model.name,
        model.sd_name,
        model.type.name,
        model.base_model,
    )
    assert (Status.AVAILABLE, None, "") == (model.status, model.blob, model.hashes.short)
    assert {
        "unet/diffusion_pytorch_model.safetensors": "unet",
        "vae/diffusion_pytorch_model.safetensors": "vae",
    } == roles(shelf)
    assert "clean: all 2 files are there and sound" == verdict(shelf)
    size = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    assert size == shelf.entry().layers[Layer.HEADER].size_bytes


def test_a_pipeline_is_found_by_the_hash_of_each_of_its_files(shelf: Shelf) -> None:
    folder = pipeline(shelf.folder / "my-sd15")
    shelf.add()
    for path in folder.rglob("*.safetensors"):
        for digits in hashes_of(path).spellings():
            page = shelf.catalog.search(ANONYMOUS, ModelQuery(hash=digits))
            assert 1 == len(page.records)


@pytest.mark.parametrize("with_index", [True, False], ids=["with an index", "by their names"])
def test_shards_are_one_model_whose_tensors_are_read_together(shelf: Shelf, with_index: bool) -> None:
    shards(shelf.folder / "diffusion_models" / "flux", with_index=with_index)
    shelf.add()
    model = shelf.model()

    assert ("flux", "Flux.1 D", Status.AVAILABLE) == (model.name, model.base_model, model.status)
    assert {SHARD.format(1): "shard 1 of 2", SHARD.format(2): "shard 2 of 2"} == roles(shelf)


def test_shards_beside_other_models_have_the_name_of_their_files(shelf: Shelf) -> None:
    folder = shelf.folder / "unet"
    folder.mkdir()
    for number in (1, 2):
        embedding(folder / f"wan-Q4-0000{number}-of-00002.safetensors", seed=number)
        embedding(folder / f"wan-Q8-0000{number}-of-00002.safetensors", seed=number + 10)
    embedding(folder / "other.safetensors", seed=9)
    shelf.add()

    assert {"other", "wan-Q4", "wan-Q8"} == {model.name for model in shelf.models()}


def test_shards_alone_in_a_folder_of_a_type_have_the_name_of_their_files(shelf: Shelf) -> None:
    for number in (1, 2):
        embedding(shelf.folder / "text_encoders" / f"t5-0000{number}-of-00002.safetensors", seed=number)
    shelf.add()

    assert "t5" == shelf.model().name


@pytest.mark.parametrize("name", ["a-00001-of-00001", "a-00003-of-00002", "a-1-of-99999", "best-of-2"])
def test_names_that_are_no_shards_are_models(shelf: Shelf, name: str) -> None:
    embedding(shelf.folder / f"{name}.safetensors")
    shelf.add()

    assert (name, Status.AVAILABLE) == (shelf.model().name, shelf.model().status)


def test_a_shard_in_a_component_is_a_part_of_the_pipeline(shelf: Shelf) -> None:
    folder = pipeline(shelf.folder / "big")
    shutil.rmtree(folder / "unet")
    shards(folder / "unet")
    shelf.add()

    assert ("big", "Flux.1 D") == (shelf.model().name, shelf.model().base_model)
    assert {f"unet/{SHARD.format(1)}", f"unet/{SHARD.format(2)}", "vae/diffusion_pytorch_model.safetensors"} == set(
        roles(shelf)
    )


def test_a_part_of_a_pipeline_is_not_linked_to_a_version(shelf: Shelf) -> None:
    shelf.import_from_civitai(5, Hashes(sha256="AB" * 32))
    folder = pipeline(shelf.folder / "night")
    shelf.add()
    part = folder / "unet" / "diffusion_pytorch_model.safetensors"

    with pytest.raises(errors.InvalidValue, match="it is a part of a model that consists of several files"):
        library.link(shelf.catalog.store, os.fsencode(part), 5)


def test_a_checkpoint_beside_a_pipeline_is_a_model_of_its_own(shelf: Shelf) -> None:
    folder = pipeline(shelf.folder / "my-sd15")
    embedding(folder / "v1-5-pruned.safetensors", seed=8)
    shelf.add()

    assert {"my-sd15", "v1-5-pruned"} == {model.name for model in shelf.models()}


def test_a_pipeline_in_a_cache_of_the_hub_has_the_name_of_its_repository(shelf: Shelf) -> None:
    folder = pipeline(shelf.folder / "models--someone--tiny-sd" / "snapshots" / "0a1b2c")
    blobs = shelf.folder / "models--someone--tiny-sd" / "blobs"
    blobs.mkdir()
    for number, path in enumerate([*folder.rglob("*.safetensors"), folder / "model_index.json"]):
        path.rename(blobs / str(number))
        path.symlink_to(os.path.relpath(blobs / str(number), path.parent))
    shelf.add()

    assert ("tiny-sd", Status.AVAILABLE) == (shelf.model().name, shelf.model().status)


# --- not complete ----------------------------------------------------------------------------------------------------


def test_a_pipeline_without_a_component_is_unavailable_and_says_which(shelf: Shelf) -> None:
    folder = pipeline(shelf.folder / "my-sd15")
    shutil.rmtree(folder / "vae")
    shelf.add()

    assert Status.UNAVAILABLE is shelf.model().status
    assert "error: 1 of 2 files is missing: vae/" == verdict(shelf)

    embedding(folder / "vae" / "diffusion_pytorch_model.safetensors", seed=5)
    shelf.add()
    assert (Status.AVAILABLE, "clean: all 2 files are there and sound") == (shelf.model().status, verdict(shelf))


def test_a_missing_shard_makes_the_model_unavailable_until_it_comes(shelf: Shelf) -> None:
    folder = shards(shelf.folder / "flux")
    second = folder / SHARD.format(2)
    content = second.read_bytes()
    second.unlink()
    shelf.add()
    assert (Status.UNAVAILABLE, f"error: 1 of 2 files is missing: {SHARD.format(2)}") == (
        shelf.model().status,
        verdict(shelf),
    )

    second.write_bytes(content)
    shelf.add()
    assert Status.AVAILABLE is shelf.model().status

    second.unlink()
    report = shelf.add()
    assert (Status.UNAVAILABLE, 1) == (shelf.model().status, report.results["gone"])


def test_a_broken_part_makes_the_model_unavailable(shelf: Shelf) -> None:
    folder = pipeline(shelf.folder / "my-sd15")
    (folder / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"no model")
    report = shelf.add()

    assert Status.UNAVAILABLE is shelf.model().status
    assert verdict(shelf).startswith("error: vae/diffusion_pytorch_model.safetensors: ")
    assert not report.is_complete


def test_one_complete_variant_of_a_component_is_enough(shelf: Shelf) -> None:
    folder = pipeline(shelf.folder / "my-sd15")
    embedding(folder / "unet" / "diffusion_pytorch_model.fp16-00001-of-00002.safetensors", seed=3)
    shelf.add()

    assert Status.AVAILABLE is shelf.model().status


def test_a_lone_shard_that_is_named_is_never_available(shelf: Shelf) -> None:
    folder = shards(shelf.folder / "flux")
    shelf.add(folder / SHARD.format(1))
    assert (1, Status.UNAVAILABLE) == (len(shelf.models()), shelf.model().status)

    shelf.add(folder / SHARD.format(2))
    assert Status.AVAILABLE is shelf.model().status


# --- followed --------------------------------------------------------------------------------------------------------


def test_a_folder_that_moves_keeps_its_model(shelf: Shelf) -> None:
    folder = pipeline(shelf.folder / "my-sd15")
    shelf.add()
    before = shelf.model()
    folder.rename(shelf.folder / "renamed")
    shelf.add()

    assert before == shelf.model()
    shutil.rmtree(shelf.folder / "renamed" / "vae")
    shelf.add()
    assert Status.UNAVAILABLE is shelf.model().status


def test_the_same_scan_again_changes_nothing(shelf: Shelf) -> None:
    pipeline(shelf.folder / "my-sd15")
    shards(shelf.folder / "flux")
    shelf.add()
    before = [shelf.entry(model.id) for model in shelf.models()]
    report = shelf.add()

    assert (4, {}) == (report.unchanged, report.results)
    assert before == [shelf.entry(model.id) for model in shelf.models()]


def test_a_scan_of_one_component_keeps_the_pipeline(shelf: Shelf) -> None:
    folder = pipeline(shelf.folder / "my-sd15")
    shelf.add()
    before = shelf.entry()
    for path in (folder / "unet", folder / "vae" / "diffusion_pytorch_model.safetensors"):
        assert {} == shelf.add(path).results
    assert before == shelf.entry()


def test_a_part_of_a_pipeline_that_is_added_first_waits_for_the_others(shelf: Shelf) -> None:
    folder = pipeline(shelf.folder / "my-sd15")
    shelf.add(folder / "unet")
    assert ("my-sd15", Status.UNAVAILABLE) == (shelf.model().name, shelf.model().status)

    shelf.add(folder)
    assert ("my-sd15", Status.AVAILABLE) == (shelf.model().name, shelf.model().status)


def test_files_that_were_models_become_parts_when_the_index_comes(shelf: Shelf) -> None:
    folder = pipeline(shelf.folder / "my-sd15")
    index = (folder / "model_index.json").read_text()
    (folder / "model_index.json").unlink()
    shelf.add()
    assert 2 == len(shelf.models())

    (folder / "model_index.json").write_text(index)
    shelf.add()
    assert ("my-sd15", Status.AVAILABLE, None, "") == (
        shelf.model().name,
        shelf.model().status,
        shelf.model().blob,
        shelf.model().hashes.short,
    )


def test_parts_become_models_again_when_the_index_goes(shelf: Shelf) -> None:
    folder = pipeline(shelf.folder / "my-sd15")
    shelf.add()
    (folder / "model_index.json").unlink()
    shelf.add()

    available = {model.name for model in shelf.models() if model.status is Status.AVAILABLE}
    assert {"my-sd15 unet", "my-sd15 vae"} == available


def test_a_copy_of_a_part_is_a_model_of_its_own(shelf: Shelf) -> None:
    folder = pipeline(shelf.folder / "my-sd15")
    shelf.add()
    shutil.copy(folder / "vae" / "diffusion_pytorch_model.safetensors", shelf.folder / "kl.safetensors")
    shelf.add()

    assert {("my-sd15", None), ("kl", hashes_of(shelf.folder / "kl.safetensors").sha256)} == {
        (model.name, model.blob and model.blob.upper()) for model in shelf.models()
    }


def test_parts_without_hashes_wait_and_are_hashed_later(shelf: Shelf) -> None:
    pipeline(shelf.folder / "my-sd15")
    shelf.add(with_hashes=False)
    assert (Status.UNAVAILABLE, "waiting: 2 of 2 files are not hashed yet") == (shelf.model().status, verdict(shelf))

    assert 2 == library.hash_pending(shelf.catalog.store, lambda: False)
    assert (Status.AVAILABLE, "clean: all 2 files are there and sound") == (shelf.model().status, verdict(shelf))
    assert all(file.hashes for file in shelf.entry().layers[Layer.HEADER].files or ())


def test_a_teams_pipeline_is_private_and_stays_its_own(shelf: Shelf) -> None:
    pipeline(shelf.folder / "my-sd15")
    red = Ownership(team="red", visibility=Visibility.PRIVATE)
    shelf.add(owner=red)
    model = shelf.model()
    assert ("red", red.visibility) == (model.team, model.visibility)

    shelf.add()
    assert model == shelf.model()
    assert [] == shelf.catalog.search(ANONYMOUS, ModelQuery()).records


def test_a_status_that_the_owner_set_stays_until_the_files_change(shelf: Shelf) -> None:
    folder = pipeline(shelf.folder / "my-sd15")
    shelf.add(owner=Ownership(team="red", visibility=Visibility.PRIVATE))
    storage = open_storage("", shelf.home, {})
    models = Models(shelf.catalog.store, storage.kept, storage.incoming)
    viewer = Viewer("red", frozenset(Scope))
    models.edit(viewer, shelf.model().id, Edit(status=Status.UNAVAILABLE))
    os.utime(folder / "unet" / "diffusion_pytorch_model.safetensors")
    shelf.add()
    assert Status.UNAVAILABLE is shelf.model().status

    models.edit(viewer, shelf.model().id, Edit(status=Status.AVAILABLE))
    assert Status.AVAILABLE is shelf.model().status


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "index",
    [
        b"",
        b"[]",
        b"{}",
        b'{"_class_name": 3}',
        b'{"_class_name": "X", "../../etc": ["a", "B"], "a\\u0000b": ["a", "B"], "c": "d", "e": [1, 2, 3]}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_a_strange_index_of_a_pipeline_costs_no_file(shelf: Shelf, index: bytes) -> None:
    folder = pipeline(shelf.folder / "my-sd15")
    (folder / "model_index.json").write_bytes(index)
    shelf.add()

    assert all(model.status is Status.AVAILABLE for model in shelf.models())


@pytest.mark.parametrize(
    "weights",
    [{"a": "../../secret.safetensors"}, {"a": 5}, [], {str(n): f"m-{n:05}-of-02000.safetensors" for n in range(2000)}],
    ids=["a path", "a number", "a list", "too many"],
)
def test_a_strange_list_of_shards_is_not_followed(shelf: Shelf, weights: object) -> None:
    folder = shards(shelf.folder / "flux")
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps({"weight_map": weights}))
    shelf.add()

    assert (Status.AVAILABLE, 2) == (shelf.model().status, len(roles(shelf)))


def test_an_index_behind_a_link_to_the_outside_is_not_read(shelf: Shelf, tmp_path: Path) -> None:
    folder = pipeline(shelf.folder / "my-sd15")
    (folder / "model_index.json").rename(tmp_path / "outside.json")
    (folder / "model_index.json").symlink_to(tmp_path / "outside.json")

    result = scan([os.fsencode(shelf.folder)])
    assert [None, None] == [file.part for file in result.files]
    assert ["link to a file outside the given folders; add its target by its own path"] == [
        skip.reason for skip in result.skipped
    ]


def test_every_database_follows_the_parts_of_a_model(url: str, tmp_path: Path) -> None:
    shelf = opened(tmp_path, url)
    folder = pipeline(shelf.folder / "my-sd15")
    vae = folder / "vae" / "diffusion_pytorch_model.safetensors"
    shelf.add()
    before = shelf.entry()
    folder.rename(shelf.folder / "renamed")
    shelf.add()
    assert before == shelf.entry()

    (shelf.folder / "renamed" / vae.relative_to(folder)).unlink()
    shelf.add()
    assert (before.model.id, Status.UNAVAILABLE) == (shelf.model().id, shelf.model().status)
    shelf.catalog.close()


def texts_of(shelf: Shelf) -> tuple[dict[str, bytes], int]:
    """The small files of the one model, and the revision of the catalogue."""
    with shelf.catalog.store.reading() as connection:
        return model_texts.find(connection, shelf.model().id), shelf.catalog.refresh()


def test_the_configurations_of_a_pipeline_are_kept_with_its_model(shelf: Shelf) -> None:
    folder = pipeline(shelf.folder / "my-sd15")
    config, vocabulary = folder / "unet" / "config.json", folder / "tokenizer" / "merges.txt"
    config.write_text("{}")
    vocabulary.write_text("a b")
    (folder / "unet" / "large.json").write_bytes(b" " * ((4 << 20) + 1))
    (folder / "secret.txt").symlink_to("/etc/hostname")
    (folder / "notes.md").write_text("no")
    os.mkfifo(folder / "pipe.json")
    shelf.add()
    first, before = texts_of(shelf)
    config.write_text('{"a": 1}')
    vocabulary.unlink()
    shelf.add()
    second, after = texts_of(shelf)
    shelf.add()

    index = (folder / "model_index.json").read_bytes()
    assert {"model_index.json": index, "tokenizer/merges.txt": b"a b", "unet/config.json": b"{}"} == first
    assert {"model_index.json": index, "unet/config.json": b'{"a": 1}'} == second
    assert before < after == texts_of(shelf)[1]
