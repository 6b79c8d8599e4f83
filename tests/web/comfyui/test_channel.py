"""The channel of ComfyUI-Manager: its list, who may read it, and the Manager's own code that reads it.

The Manager's program for ComfyUI cannot run here, because it needs ComfyUI. Its module that fetches lists, and its
function that decides where a file goes, run as they are.
"""

import base64
import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelyard.domain import Scope
from modelyard.web.comfyui.channel import OTHER_LISTS
from tests import environments
from tests.app_fixture import App, a_model, listening, open_app
from tests.transfers import WRITER, checking, dangerous_bytes, lora_bytes, upload

MANAGER = ("comfyui-manager==4.3", "aiohttp==3.14.5")
FIELDS = {"name", "type", "base", "save_path", "description", "reference", "filename", "url", "size"}
DAY = 86_400
# The Manager's own modules, without the package around them, which needs ComfyUI.
PROGRAM = """
import ast, asyncio, importlib.util, json, os, pathlib, sys, types, urllib.request
package = pathlib.Path(importlib.util.find_spec("comfyui_manager").submodule_search_locations[0])
spec = importlib.util.spec_from_file_location("manager_util", package / "common" / "manager_util.py")
util = importlib.util.module_from_spec(spec)
spec.loader.exec_module(util)
url, root = sys.argv[1:3]
listed = asyncio.run(util.get_data(f"{url}/model-list.json", silent=True))["models"]
lists = {name: asyncio.run(util.get_data(f"{url}/{name}", silent=True)) for name in sys.argv[3:]}
tree = ast.parse((package / "glob" / "utils" / "model_utils.py").read_text())
tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("get_model_")]
folders = types.SimpleNamespace(folder_names_and_paths={}, models_dir=root)
space = {"os": os, "folder_paths": folders, "logging": None}
exec(compile(tree, "model_utils", "exec"), space)
files = {}
for model in listed:
    path = pathlib.Path(space["get_model_path"](model))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(urllib.request.urlopen(model["url"]).read())
    files[str(path.relative_to(root))] = path.stat().st_size
print(json.dumps({"models": listed, "files": files}))
"""


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Red has a private model, a public one and a dangerous one; blue has one; and one has no file here."""
    home = tmp_path_factory.mktemp("channel")
    with open_app(home, comfyui_manager_lists="empty") as opened:
        verification = checking(opened, home)
        upload(opened, "night", lora_bytes(), title="Night", base_model="SD 1.5", tags=["lamp"])
        upload(opened, "dawn", lora_bytes(seed=1), visibility="public", base_model="SDXL 1.0")
        upload(opened, "secret", lora_bytes(seed=2), "blue")
        upload(opened, "bad", dangerous_bytes(), file_extension="pt")
        while verification.verify_next():
            pass
        opened.put(a_model(7))
        yield opened


def listed(yard: App, query: str = "", team: str = "red") -> list[dict[str, Any]]:
    return list(yard.ask(f"/comfyui-manager/{yard.key(team, *WRITER)}/model-list.json{query}", None).json["models"])


def test_a_model_has_all_nine_fields(yard: App) -> None:
    (model,) = [model for model in listed(yard) if model["name"].startswith("Night")]

    assert set(model) == FIELDS
    url = model.pop("url")
    assert url.startswith("http://")
    assert model["filename"] in url
    number = model["reference"].rpartition("/")[2]
    digest = model["description"].rpartition(" ")[2]
    assert model == {
        "name": "Night",
        "type": "lora",
        "base": "SD 1.5",
        "save_path": "loras",
        "description": f"Tags: lamp. SHA-256 begins with {digest}",
        "reference": f"http://127.0.0.1/models/{number}",
        "filename": f"night_{number}.safetensors",
        "size": "0.01MB",
    }


def test_only_safetensors_that_are_here_and_that_the_key_may_see_are_listed(yard: App) -> None:
    assert {"Night", "dawn"} == {model["name"] for model in listed(yard)}
    assert {"secret", "dawn"} == {model["name"] for model in listed(yard, team="blue")}


def test_filters_of_the_api_narrow_the_list(yard: App) -> None:
    assert ["dawn"] == [model["name"] for model in listed(yard, "?filter.base_model=SDXL+1.0")]
    assert ["Night"] == [model["name"] for model in listed(yard, "?filter.query=night&pagination.limit=1")]
    refused = yard.ask(f"/comfyui-manager/{yard.key('red')}/model-list.json?filter.is_sdxl=yes", None)
    assert (400, "INVALID_ARGUMENT") == (refused.status, refused.json["reason"])


def test_links_are_good_for_two_days_at_least(yard: App) -> None:
    now = yard.access._clock()
    for model in listed(yard):
        expires = int(model["url"].partition("expires=")[2].partition("&")[0])
        assert expires >= now + 2 * DAY


def test_the_key_may_be_the_password_of_basic(yard: App) -> None:
    key = yard.key("red", *WRITER)
    names = {model["name"] for model in listed(yard)}
    for authorization in (f"Bearer {key}", key, "Basic " + base64.b64encode(f"any:{key}".encode()).decode()):
        reply = yard.ask("/comfyui-manager/model-list.json", None, authorization=authorization)
        assert names == {model["name"] for model in reply.json["models"]}


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        ("/comfyui-manager/sk_nobody/model-list.json", {}, 401),
        ("/comfyui-manager/model-list.json", {}, 401),
        ("/comfyui-manager/model-list.json", {"authorization": "Basic ###"}, 401),
        ("/comfyui-manager/model-list.json", {"authorization": "Basic " + base64.b64encode(b"x").decode()}, 401),
        ("/comfyui-manager/sk_nobody/alter-list.json", {}, 401),
    ],
)
def test_others_are_refused(yard: App, target: str, headers: dict[str, str], status: int) -> None:
    assert status == yard.ask(target, None, **headers).status


def test_a_key_that_may_not_read_is_refused(yard: App) -> None:
    key = yard.access.create_key("red", [Scope.WRITE])[0]

    assert 403 == yard.ask(f"/comfyui-manager/{key}/model-list.json", None).status


def test_no_log_and_no_error_has_the_key(yard: App) -> None:
    key = yard.key("red", *WRITER)
    listed(yard)
    refused = [
        yard.ask(f"/comfyui-manager/{key}/{rest}", None, method=method)
        for method, rest in (("GET", "nothing.json"), ("GET", "a/b"), ("POST", "model-list.json"))
    ]

    assert [404, 404, 405] == [reply.status for reply in refused]
    assert not any(key in reply.body.decode() for reply in refused)
    text = json.dumps(yard.lines())
    assert key not in text
    assert "/comfyui-manager/{key}/model-list.json" in text


def test_names_lead_nowhere_else(tmp_path: Path) -> None:
    with open_app(tmp_path) as yard:
        verification = checking(yard, tmp_path)
        upload(yard, "night", lora_bytes())
        while verification.verify_next():
            pass
        (model_id,) = [model["id"] for model in yard.ask("/v3/model").json["models"]]
        with yard.store.transaction() as transaction:
            (entry,) = transaction.entries([model_id]).values()
            entry = replace(entry, model=replace(entry.model, sd_name="..\\../x:night.safetensors"))
            transaction.put([entry])

        (model,) = listed(yard)

    assert ("__.._x_night.safetensors", "loras") == (model["filename"], model["save_path"])


def test_the_other_lists_are_empty_or_the_projects(yard: App, tmp_path: Path) -> None:
    key = yard.key("red", *WRITER)
    empty = {name: yard.ask(f"/comfyui-manager/{key}/{name}", None).body for name in OTHER_LISTS}
    with open_app(tmp_path) as other:
        replies = {name: other.ask(f"/comfyui-manager/{other.key()}/{name}", None) for name in OTHER_LISTS}

    assert OTHER_LISTS == empty
    project = "https://raw.githubusercontent.com/ltdrdata/ComfyUI-Manager/main/"
    assert {name: (307, project + name) for name in OTHER_LISTS} == {
        name: (reply.status, reply.headers["location"]) for name, reply in replies.items()
    }


def test_the_managers_own_code_reads_the_list_and_stores_the_files(
    yard: App, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with listening(yard) as address:
        url = f"{address.url}/comfyui-manager/{yard.key('red', *WRITER)}"
        command = [installed(request.config), "-c", PROGRAM, url, str(tmp_path), *OTHER_LISTS]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert all(set(model) == FIELDS for model in answer["models"])
    files = {f"loras/{model['filename']}" for model in answer["models"]}
    assert files == set(answer["files"])
    assert {len(lora_bytes()), len(lora_bytes(seed=1))} == set(answer["files"].values())


def installed(config: pytest.Config) -> Path:
    """Return the interpreter of an environment with the Manager, without what its other modules need."""
    manager, *others = MANAGER
    return environments.installed(config, "comfyui-manager", ("--no-deps", manager), others) / "python"
