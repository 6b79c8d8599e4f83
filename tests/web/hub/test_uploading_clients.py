"""Uploads by the real clients: each generation of huggingface_hub by LFS and by xet, and JavaScript's; two workers."""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import hub_clients, npm, requirements
from tests.app_fixture import open_app
from tests.hub_clients import HubClient
from tests.library.test_folder_models import shards
from tests.process_commands import Served, serving
from tests.transfers import WRITER, dangerous_bytes

MIB = 1 << 20
UPLOAD_BY_JAVASCRIPT = """
import { createRepo, uploadFile } from "@huggingface/hub";
import { readFileSync } from "fs";
const [path, name, way] = process.argv.slice(2);
const { HF_TOKEN: accessToken, HF_ENDPOINT: hubUrl } = process.env;
const repo = { type: "model", name };
await createRepo({ repo, accessToken, hubUrl });
const content = new Blob([readFileSync(path)]);
const file = { path: "from-js.safetensors", content };
const { commit } = await uploadFile({ repo, accessToken, hubUrl, useXet: way === "xet", file });
console.log(JSON.stringify(commit));
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("uploads")
    with open_app(home) as yard:
        key = yard.key("red", *WRITER)
    with serving(home, 2, key) as running:
        yield running


@pytest.fixture(params=hub_clients.GENERATIONS)
def uploader(request: pytest.FixtureRequest, server: Served, tmp_path: Path) -> HubClient:
    """A generation of huggingface_hub with an empty cache."""
    programs = hub_clients.installed(request.config, request.param)
    return HubClient(programs, f"http://127.0.0.1:{server.port}/hf", server.key, tmp_path / "home")


@pytest.mark.parametrize("way", ["xet", "lfs"])
def test_what_is_uploaded_is_downloaded(
    request: pytest.FixtureRequest, uploader: HubClient, tmp_path: Path, way: str
) -> None:
    name = request.node.callspec.id.replace(".", "").replace("-", "_")
    path = tmp_path / "night.safetensors"
    path.write_bytes(safetensors_of(os.urandom(5 * MIB)))
    client = HubClient(
        uploader.programs,
        uploader.endpoint,
        uploader.key,
        uploader.home,
        {"HF_HUB_DISABLE_XET": "1"} if way == "lfs" else {},
    )
    repository = f"red/{name}"

    client.hf("upload", repository, str(path), "night.safetensors")
    client.hf("download", repository, "night.safetensors", "--local-dir", str(tmp_path / "down"))

    assert path.read_bytes() == (tmp_path / "down" / "night.safetensors").read_bytes()


def test_a_folder_of_shards_is_one_model(
    request: pytest.FixtureRequest, server: Served, uploader: HubClient, tmp_path: Path
) -> None:
    name = "shards-" + request.node.callspec.id.replace(".", "")
    uploader.hf("upload", f"red/{name}", str(shards(tmp_path / "night")), ".")

    connection = server.connect()
    connection.request(
        "GET",
        f"/v3/model?filter.visibility=private&filter.query={name}",
        headers={"Authorization": f"Bearer {server.key}"},
    )
    (model,) = json.loads(connection.getresponse().read())["models"]
    connection.close()
    assert (name, "Flux.1 D", 1) == (model["name"], model["base_model"], model["status"])


def test_a_dangerous_file_is_refused_in_the_clients_words(uploader: HubClient, tmp_path: Path) -> None:
    path = tmp_path / "bad.ckpt"
    path.write_bytes(dangerous_bytes())

    with pytest.raises(AssertionError, match=r"the server refused bad\.ckpt: dangerous: "):
        uploader.hf("upload", "red/bad", str(path), "bad.ckpt")


@pytest.mark.parametrize("way", ["xet", "lfs"])
def test_javascript_uploads(request: pytest.FixtureRequest, server: Served, tmp_path: Path, way: str) -> None:
    node = requirements.program("node")
    folder = npm.installed(request.config, hub_clients.JAVASCRIPT)
    script = folder / f"upload-{way}.mjs"
    script.write_text(UPLOAD_BY_JAVASCRIPT)
    path = tmp_path / "night.safetensors"
    path.write_bytes(safetensors_of(os.urandom(MIB)))
    environment = {
        "PATH": os.environ["PATH"],
        "HF_TOKEN": server.key.replace("sk_", "hf_", 1),
        "HF_ENDPOINT": f"http://127.0.0.1:{server.port}/hf",
    }

    run = subprocess.run(
        [node, script, path, f"red/js-{way}", way],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
    )

    assert 0 == run.returncode, run.stderr
    connection = server.connect()
    connection.request(
        "GET", f"/hf/api/models/red/js-{way}?blobs=true", headers={"Authorization": f"Bearer {server.key}"}
    )
    described = json.loads(connection.getresponse().read())
    connection.close()
    assert json.loads(run.stdout.splitlines()[-1])["oid"] == described["sha"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == described["siblings"][1]["lfs"]["sha256"]


def safetensors_of(content: bytes) -> bytes:
    """A LoRA whose one tensor has these bytes."""
    name = "lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight"
    shape = {"dtype": "F32", "shape": [len(content) // 32, 8], "data_offsets": [0, len(content)]}
    header = json.dumps({name: shape}).encode()
    return len(header).to_bytes(8, "little") + header + content
