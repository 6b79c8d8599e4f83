"""Programs of Civitai, unchanged, and our own import, with this server as their address."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.facts import Layer
from modelyard.store import open_store
from tests import requirements
from tests.app_fixture import Address, App, listening
from tests.web.civitai.test_answers import upstream_models
from tests.web.hub.stocked import WEIGHTS, stocked

civitapy = requirements.module("civitapy")


@pytest.fixture(scope="module")
def address(recorded: App) -> Iterator[Address]:
    with listening(recorded) as opened:
        yield opened


def test_civitapy_lists_and_finds(recorded: App, address: Address) -> None:
    client = civitapy.CivitAIClient(base_url=f"{address.url}/api/v1", token=recorded.key("red"))
    version = recorded.ask("/api/v1/model-versions/5067").json
    sha256 = version["files"][0]["hashes"]["SHA256"]

    async def walk() -> list[int]:
        pages = client.models_list_paginated_async(limit=10, types="LORA", nsfw=True)
        return [model.id async for model in pages]

    assert {"LORA", "Checkpoint"} <= set(client.enums()["ModelType"])
    assert [4476] == [model["id"] for model in client.models_list(ids=[4476], nsfw=True)["items"]]
    assert "TextualInversion" == client.models_get(4476)["type"]
    assert version == client.model_versions_get(5067)
    assert version == client.model_versions_by_hash(sha256)
    assert client.model_versions_by_hash("0" * 64) is None
    assert [version] == client.model_versions_by_hash_bulk([sha256])
    (pair,) = client.model_versions_by_hash_ids([sha256])
    assert (5067, sha256) == (pair.model_version_id, pair.hash)
    assert "red" == client.users_me()["username"]
    assert 3 == len(client.tags_list(limit=3)["items"])
    assert 1 == len(client.creators_list()["items"])
    assert 4 == len(client.images_list(limit=4)["items"])
    assert sorted(m["id"] for m in upstream_models() if m["type"] == "LORA") == sorted(client._run(walk()))


def test_civitapy_downloads_and_verifies(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    with stocked(tmp_path / "home") as stock, listening(stock.yard) as address:
        client = civitapy.CivitAIClient(
            base_url=f"{address.url}/api/v1",
            token=stock.yard.key("red"),
            download_dir=str(tmp_path / "files"),
            verify_hash=True,
        )
        (path,) = client.download_model_version(stock.night)

    assert hashlib.sha256(WEIGHTS).digest() == hashlib.sha256(Path(path).read_bytes()).digest()


def run_import(home: Path, address: str, *options: str) -> dict[str, int]:
    """Import from a server into a home folder, and return the counts."""
    command = [sys.executable, "-m", "modelyard", "import", "civitai", "--fetch", "--address", f"{address}/api/v1"]
    run = subprocess.run(
        [*command, "--json", "--nsfw", *options],
        env={**os.environ, "MODELYARD_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == run.returncode, run.stderr
    counts: dict[str, int] = json.loads(run.stdout)
    return counts


def test_an_import_from_this_server_keeps_what_upstream_said(recorded: App, address: Address, tmp_path: Path) -> None:
    first, second = (run_import(tmp_path, address.url) for _ in range(2))

    store = open_store(f"sqlite:///{tmp_path}/modelyard.sqlite")
    try:
        for model in upstream_models():
            for version in model["modelVersions"]:
                ours, theirs = recorded.catalog.store.entry(version["id"]), store.entry(version["id"])
                assert (ours is None) == (theirs is None)
                if ours and theirs:
                    assert ours.layers[Layer.UPSTREAM] == theirs.layers[Layer.UPSTREAM]
    finally:
        store.close()
    assert (first["added"], 0) == (second["unchanged"], second["added"])
    assert first["added"] > 70
