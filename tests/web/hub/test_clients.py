"""The real clients read repositories: each generation of huggingface_hub, its command, and npm's ``@huggingface/hub``.

Not covered here: each answer by itself (test_descriptions.py, test_downloads.py and others).
"""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests import hub_clients, npm, requirements
from tests.app_fixture import Address
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


GUIDE = Path(__file__).parents[3] / "docs" / "use" / "huggingface.md"


def guide_commands() -> list[str]:
    return re.findall(r"^hf (.*)$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_commands_of_the_guide_run(stock: Stocked, client: HubClient, tmp_path: Path) -> None:
    # Those of repositories of another hub are run by test_upstream_clients.py.
    commands = [command for command in guide_commands() if "stabilityai/" not in command]
    if "0.36" in str(client.programs):
        # These came with 1.x.
        commands = [command for command in commands if not command.startswith(("models ls", "cache verify"))]

    printed = []
    for command in commands:
        words = command.replace("public/7", stock.private).replace("--local-dir night", f"--local-dir {tmp_path}/local")
        printed.append(client.hf(*words.split()))

    assert "red" in printed[0]
    assert WEIGHTS == (tmp_path / "local" / WEIGHTS_NAME.format(stock.night)).read_bytes()
    if "0.36" not in str(client.programs):
        assert "text-to-i" in printed[1]
    assert all(version.partition("==")[2] in GUIDE.read_text() for version in hub_clients.GENERATIONS.values())


def test_a_second_download_is_one_request_without_bytes(stock: Stocked, client: HubClient) -> None:
    weights = WEIGHTS_NAME.format(stock.night)
    download = "import sys, huggingface_hub; print(f'\"{huggingface_hub.hf_hub_download(*sys.argv[1:])}\"')"
    first = client.script(download, stock.private, weights)
    before = len(stock.yard.lines())

    assert first == client.script(download, stock.private, weights)
    requests = [line for line in stock.yard.lines()[before:] if "resolve" in str(line.get("path", line))]
    assert ["HEAD"] == [line["method"] for line in requests]


def test_an_interrupted_download_continues(stock: Stocked, client: HubClient) -> None:
    weights = WEIGHTS_NAME.format(stock.night)
    sha256 = stock.yard.ask(f"/hf/{stock.private}/resolve/main/{weights}", method="HEAD").headers["etag"].strip('"')
    blobs = client.home / "hub" / f"models--{stock.private.replace('/', '--')}" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{sha256}.incomplete").write_bytes(WEIGHTS[:50_000])
    download = "import sys, huggingface_hub; print(f'\"{huggingface_hub.hf_hub_download(*sys.argv[1:])}\"')"

    assert WEIGHTS == Path(client.script(download, stock.private, weights)).read_bytes()


JAVASCRIPT_READS = (Path(__file__).parent / "javascript_reads.mjs").read_text(encoding="utf-8")


def test_javascript_reads(
    request: pytest.FixtureRequest, stock: Stocked, stock_address: Address, tmp_path: Path
) -> None:
    node = requirements.program("node")
    folder = npm.installed(request.config, hub_clients.JAVASCRIPT)
    weights = WEIGHTS_NAME.format(stock.night)
    script = folder / "reads.mjs"
    script.write_text(JAVASCRIPT_READS, encoding="utf-8")
    key = stock.yard.key("red").replace("sk_", "hf_", 1)
    arguments = [f"{stock_address.url}/hf", key, stock.private, weights, str(tmp_path / "cache")]

    run = subprocess.run([node, script, *arguments], capture_output=True, text=True, timeout=60, check=False)

    assert 0 == run.returncode, run.stderr
    told = json.loads(run.stdout.splitlines()[-1])
    assert stock.private in told["listed"]
    assert [True, False] == told["exists"]
    assert {"README.md", weights} == {*told["files"]}
    assert [len(WEIGHTS)] * 2 == [told["bytes"], told["size"]]
    assert ["red", stock.private, ["filling"]] == [told["whoami"], told["described"], told["tensors"]]
    assert {"README.md", weights} <= {*told["snapshot"]}


def test_the_guide_names_the_versions_and_the_commands_that_the_tests_run() -> None:
    """Each version of the table is one that is installed here, each command is in a test or in the guide's own."""
    pinned = [*hub_clients.GENERATIONS.values(), *hub_clients.COMPANIONS]
    installed = {tuple(pin.rsplit("==", 1)) for pin in pinned} | {tuple(hub_clients.JAVASCRIPT.rsplit("@", 1))}
    guide = (Path(__file__).parents[3] / "docs/use/huggingface.md").read_text()
    rows = re.findall(r"^\| (.+) \| ([0-9][0-9., ]+) \| (.+) \|$", guide.partition("## Versions")[2], re.MULTILINE)
    programs = [path.read_text() for path in Path(__file__).parent.iterdir() if path.suffix in (".py", ".mjs")]
    sources = "".join(programs) + guide.partition("## Versions")[0]

    versions = {(re.findall("`([^`]+)`", client)[-1], one) for client, listed, _ in rows for one in listed.split(", ")}
    commands = {word.split()[-1] for _, _, text in rows for word in re.findall("`([^`=]+)`", text)}
    assert installed == versions
    assert [] == sorted(command for command in commands if command not in sources)
