"""The repository of a pipeline in a folder: its weights and its configurations, under their paths."""

import json
import os
from pathlib import Path

import pytest
import sqlalchemy as sa

from modelyard.blobs import open_storage
from modelyard.domain import Scope, Viewer, Visibility
from modelyard.library import Ownership, Scanner
from modelyard.registry.models import Models
from modelyard.store import model_texts, open_store, schema
from tests.app_fixture import open_app
from tests.scan_fixture import Heard, embedding


def test_a_pipeline_has_its_configurations(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "my-sd15"
    (folder / "vae").mkdir(parents=True)
    embedding(folder / "vae" / "diffusion_pytorch_model.safetensors", seed=5)
    index = json.dumps({"_class_name": "StableDiffusionPipeline", "vae": ["diffusers", "AutoencoderKL"]})
    (folder / "model_index.json").write_text(index)
    (folder / "vae" / "config.json").write_text("{}")
    (folder / "vae" / "a\\b.json").write_text("{}")
    with open_app(tmp_path) as yard:

        def add() -> str:
            Scanner(yard.store, Ownership(), Heard(), processes=1).run([os.fsencode(folder)])
            return str(yard.ask("/hf/api/models").json[0]["id"])

        repository = add()
        described = yard.ask(f"/hf/api/models/{repository}").json
        read = yard.ask(f"/hf/{repository}/resolve/main/model_index.json")
        (folder / "vae" / "config.json").write_text('{"a":1}')
        changed = yard.ask(f"/hf/api/models/{add()}").json

    names = ["README.md", "vae/diffusion_pytorch_model.safetensors", "model_index.json", "vae/config.json"]
    assert names == [file["rfilename"] for file in described["siblings"]]
    assert (index, described["sha"]) == (read.body.decode(), read.headers["x-repo-commit"])
    assert described["sha"] != changed["sha"]


@pytest.mark.parametrize("others", [(), ("another.safetensors",)])
def test_shards_in_a_folder_of_their_own_have_its_configuration(tmp_path: Path, others: tuple[str, ...]) -> None:
    """The small files beside several models are of none of them."""
    folder = tmp_path / "models" / "flux"
    folder.mkdir(parents=True)
    shards = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    for seed, name in enumerate((*shards, *others)):
        embedding(folder / name, seed)
    (folder / "config.json").write_text('{"a":1}')
    with open_app(tmp_path) as yard:
        Scanner(yard.store, Ownership(), Heard(), processes=1).run([os.fsencode(folder)])
        models = yard.ask("/hf/api/models?full=true").json
        files = {model["id"]: [file["rfilename"] for file in model["siblings"][1:]] for model in models}
        read = {name: yard.ask(f"/hf/{name}/resolve/main/config.json").status for name in files}

    configuration = [] if others else ["config.json"]
    assert sorted([[*shards, *configuration], *([name] for name in others)]) == sorted(files.values())
    assert {404 if others else 200} == set(read.values())


def test_a_restored_pipeline_has_its_configurations(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "my-sd15"
    (folder / "unet").mkdir(parents=True)
    embedding(folder / "unet" / "diffusion_pytorch_model.safetensors", seed=5)
    index = json.dumps({"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]})
    (folder / "model_index.json").write_text(index)
    store = open_store(url)
    viewer = Viewer("red", frozenset({Scope.READ, Scope.WRITE}))
    owner = Ownership(visibility=Visibility.PRIVATE, team="red")
    Scanner(store, owner, Heard(), processes=1).run([os.fsencode(folder)])
    storage = open_storage("", tmp_path, os.environ)
    with store.reading() as connection:
        model_id = connection.scalars(sa.select(schema.models.c.id)).one()
        before = model_texts.find(connection, model_id)

    models = Models(store, storage.kept, storage.incoming)
    models.remove(viewer, model_id)
    models.restore(viewer, model_id)

    with store.reading() as connection:
        after = model_texts.find(connection, model_id)
    store.close()
    assert {"model_index.json": index.encode()} == before == after
