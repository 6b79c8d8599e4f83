"""The real clients read repositories of another hub through this server, and read them again when the hub is gone.

Not covered here: each answer by itself (test_upstream.py), and hubs that answer badly (test_bad_upstreams.py).
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import hub_clients
from tests.app_fixture import Address, App, listening
from tests.hub_clients import HubClient
from tests.hub_stub import TOKEN, HubStub, StubRepository, hub_stub
from tests.web.hub.stocked import WEIGHTS, Stocked
from tests.web.hub.test_clients import guide_commands
from tests.web.hub.test_upstream import CONFIG, FILES, LARGE, REPOSITORY, away, opened

DOWNLOAD = "import sys, huggingface_hub; print(f'\"{huggingface_hub.hf_hub_download(*sys.argv[1:])}\"')"
# What from_single_file of diffusers asks for: all configurations of a repository that it knows by name.
SNAPSHOT = """
import json, pathlib, sys, huggingface_hub
folder = pathlib.Path(huggingface_hub.snapshot_download(sys.argv[1], allow_patterns=["**/*.json", "*.json"]))
print(json.dumps({str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.json")}))
"""
ERRORS = """
import json, sys, huggingface_hub
from huggingface_hub.utils import HfHubHTTPError
names = []
for repository, path, revision in json.loads(sys.argv[1]):
    try:
        huggingface_hub.hf_hub_download(repository, path, revision=revision)
        names.append("none")
    except Exception as problem:
        names.append(type(problem).__name__)
print(json.dumps(names))
"""


@pytest.fixture
def hub() -> Iterator[HubStub]:
    with hub_stub(stabilityai__sdxl=StubRepository(dict(FILES), LARGE)) as running:
        running.repositories["a/gated"] = StubRepository({"a": b"1"}, gated="manual")
        yield running


@pytest.fixture
def yard(tmp_path: Path, hub: HubStub, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    with opened(tmp_path, hub, monkeypatch) as yard:
        yield yard


@pytest.fixture
def address(yard: App) -> Iterator[Address]:
    with listening(yard) as running:
        yield running


@pytest.fixture(params=hub_clients.GENERATIONS)
def client(request: pytest.FixtureRequest, yard: App, address: Address, tmp_path: Path) -> HubClient:
    programs = hub_clients.installed(request.config, request.param)
    return HubClient(programs, f"{address.url}/hf", yard.key("red"), tmp_path / "home")


def test_clients_download_through_the_server_and_without_the_hub(
    client: HubClient, hub: HubStub, yard: App, tmp_path: Path
) -> None:
    weights = client.script(DOWNLOAD, REPOSITORY, LARGE[0])
    before = len(yard.lines())
    again = client.script(DOWNLOAD, REPOSITORY, LARGE[0])
    heads = [line["method"] for line in yard.lines()[before:] if "resolve" in str(line.get("route"))]
    configurations = client.script(SNAPSHOT, REPOSITORY)
    away(hub)
    other = HubClient(client.programs, client.endpoint, client.key, tmp_path / "other")

    assert FILES[LARGE[0]] == Path(weights).read_bytes()
    assert (weights, ["HEAD"]) == (again, heads)
    assert {"unet/config.json": CONFIG.decode()} == configurations == other.script(SNAPSHOT, REPOSITORY)
    secrets = {headers.get("Authorization") for _, _, headers in hub.requests}
    assert {f"Bearer {TOKEN}", None} == secrets


def test_the_commands_of_the_guide_run(client: HubClient, tmp_path: Path) -> None:
    for command in guide_commands():
        if REPOSITORY in command:
            client.hf(*(word.strip("'") for word in command.replace("dir sdxl", f"dir {tmp_path}/sdxl").split()))

    assert CONFIG == (tmp_path / "sdxl/unet/config.json").read_bytes()


def test_clients_know_the_errors_of_the_hub(client: HubClient) -> None:
    questions = [
        ("no/body", "a", "main"),
        (REPOSITORY, "no", "main"),
        (REPOSITORY, "a", "v9"),
        ("a/gated", "a", "main"),
    ]

    names = client.script(ERRORS, json.dumps(questions))

    assert ["RepositoryNotFoundError", "EntryNotFoundError", "RevisionNotFoundError", "GatedRepoError"] == [
        re.sub("^RemoteEntry", "Entry", name) for name in names
    ]


def test_the_hub_may_be_another_modelyard(
    stock: Stocked, stock_address: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = HubStub(url=f"{stock_address.url}/hf")
    public, private = f"red/{stock.dawn}", f"red/{stock.night}"
    described = stock.yard.ask(f"/hf/api/models/{private}?blobs=true").json
    weights = described["siblings"][1]["rfilename"]

    with opened(tmp_path, hub, monkeypatch, stock.yard.key("red"), hub_upstream_team="green") as yard:
        replies = [yard.ask(f"/hf/{private}/resolve/main/{weights}", team) for team in ("green", "blue")]
        readme = yard.ask(f"/hf/{public}/resolve/main/README.md", "blue")
        mine = yard.ask(f"/hf/api/models/{private}?blobs=true", "green").json

    assert [(200, WEIGHTS), (404, "RepoNotFound")] == [
        (replies[0].status, replies[0].body),
        (replies[1].status, replies[1].headers["x-error-code"]),
    ]
    assert readme.body.startswith(b"---\n")
    assert sorted(map(str, described["siblings"])) == sorted(map(str, mine["siblings"]))
    assert {name: described[name] for name in ("sha", "tags", "cardData")} == {
        name: mine[name] for name in ("sha", "tags", "cardData")
    }
