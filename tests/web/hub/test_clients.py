"""The real clients read repositories: each generation of huggingface_hub, its command, and npm's ``@huggingface/hub``.

Not covered here: each answer by itself (test_descriptions.py, test_downloads.py and others).
"""

from pathlib import Path

from tests.hub_clients import HubClient
from tests.web.hub.stocked import WEIGHTS, Stocked

READS = (Path(__file__).parent / "python_reads.py").read_text(encoding="utf-8")
WEIGHTS_NAME = "night_{}.safetensors"


def test_python_reads(stock: Stocked, client: HubClient) -> None:
    shards, weights = f"public/{stock.shards}", WEIGHTS_NAME.format(stock.night)
    commit = stock.yard.ask(f"/hf/api/models/{stock.private}").json["sha"]
    parts = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]

    told = client.script(READS, stock.private, shards, f"blue/{stock.secret}", str(client.home / "local"))

    assert "red" == told["whoami"]
    assert sorted([stock.private, stock.public, shards, "public/7"]) == told["listed"]
    # The most downloaded is first, and each download counts.
    assert told["listed"] == sorted(told["paged"])
    assert [[commit], [stock.private], [stock.public]] == [told[name] for name in ("full", "found", "by_base")]
    assert {commit} == {told["commit"], told["by_commit"], *told["refs"], *told["commits"]}
    assert told["tags"] == ["diffusers", "lora", "style", "base_model:stable-diffusion-v1-5/stable-diffusion-v1-5"]
    assert {"README.md", weights} == {*told["files"]} == told["sizes"].keys()
    assert [weights] == [*told["lfs"]]
    assert [True, False, False] == told["exists"]
    assert [["README.md", told["sizes"]["README.md"]], [weights, len(WEIGHTS)]] == told["paths"]
    assert ["README.md", *parts] == told["tree"] == told["snapshot"]
    assert ["filling"] == told["tensors"]
    assert Path(told["path"]).read_bytes() == WEIGHTS == (client.home / "local" / weights).read_bytes()
    assert {"README.md", weights} <= {*told["local"]}
    assert [f"{stock.private}/README.md", f"{stock.private}/{weights}"] == told["opened"]
    assert WEIGHTS[:8].hex() == told["bytes"]
    assert "night, neon sign" == told["card"]["instance_prompt"]
    repository, entry, revision = (f"{name}NotFoundError" for name in ("Repository", "Entry", "Revision"))
    assert [repository, repository, entry, revision, repository] == told["errors"]
