"""The vendor's JavaScript SDK, as it is on npm, runs against this server with nothing changed but its address."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import requirements
from tests.app_fixture import Address, App

# Calls what standard input lists, one after the other, and prints what each gave or threw.
SCRIPT = """
const { NovitaSDK } = require("novita-sdk");
const { url, key, calls } = JSON.parse(require("fs").readFileSync(0, "utf8"));
(async () => {
  const sdk = new NovitaSDK(key);
  sdk.setBaseUrl(url);
  const said = [];
  for (const query of calls) {
    try { said.push({ answer: await sdk.getModels(query) }); }
    catch (error) {
      said.push({ code: error.code, reason: error.reason, message: error.msg, metadata: error.metadata });
    }
  }
  console.log(JSON.stringify(said));
})();
"""

GetModels = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def get_models(sdk_folder: Path, real_address: Address, real_yard: App) -> GetModels:
    def call(*queries: dict[str, Any], key: str | None = None) -> list[dict[str, Any]]:
        asked = {"url": real_address.url, "key": key or real_yard.key(), "calls": queries}
        run = subprocess.run(
            [requirements.program("node"), "-e", SCRIPT],
            cwd=sdk_folder,
            env=os.environ | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert 0 == run.returncode, run.stderr
        said: list[dict[str, Any]] = json.loads(run.stdout)
        return said

    return call


@pytest.mark.parametrize(
    ("query", "same_as"),
    [
        ({"pagination": {}}, ""),
        ({"pagination": {"limit": 2}}, "pagination.limit=2"),
        ({"pagination": {"cursor": "c_0"}, "filter": {"types": "checkpoint"}}, "filter.types=checkpoint"),
        ({"pagination": {"limit": 5, "cursor": "c_20"}}, "pagination.limit=5&pagination.cursor=c_20"),
        ({"pagination": {}, "filter": {"visibility": "private"}}, "filter.visibility=private"),
        ({"pagination": {}, "filter": {"source": "training"}}, "filter.source=training"),
        ({"pagination": {}, "filter": {"types": "lora"}}, "filter.types=lora"),
        ({"pagination": {}, "filter": {"is_sdxl": True}}, "filter.is_sdxl=true"),
        ({"pagination": {}, "filter": {"is_sdxl": False}}, "filter.is_sdxl=false"),
        ({"pagination": {}, "filter": {"is_inpainting": True}}, "filter.is_inpainting=true"),
        ({"pagination": {}, "filter": {"query": "Realistic Vision 手"}}, "filter.query=realistic+vision+%E6%89%8B"),
        ({"pagination": {}, "filter": {"query": "a&b=c#d%"}}, "filter.query=a%26b%3Dc%23d%25"),
    ],
)
def test_each_argument_of_get_models_does_what_it_says(
    get_models: GetModels, real_yard: App, query: dict[str, Any], same_as: str
) -> None:
    assert [{"answer": real_yard.ask(f"/v3/model?{same_as}").json}] == get_models(query)


def test_its_cursors_walk_the_whole_of_a_kind(get_models: GetModels, real_yard: App) -> None:
    walked: list[int] = []
    cursor = "c_0"
    while cursor:
        (said,) = get_models({"filter": {"types": "textualinversion"}, "pagination": {"limit": 100, "cursor": cursor}})
        walked += [model["id"] for model in said["answer"]["models"]]
        cursor = said["answer"]["pagination"]["next_cursor"]

    total = real_yard.ask("/v3/model?filter.types=textualinversion", prefer="count=exact").headers["modelyard-total"]
    assert int(total) == len(walked) == len(set(walked))


def test_its_error_carries_what_the_server_said(get_models: GetModels) -> None:
    (wrong_key,) = get_models({"pagination": {}}, key="sk_wrong")
    (wrong_value,) = get_models({"pagination": {"limit": 101}})

    assert {"code": 401, "reason": "INVALID_API_KEY", "message": "invalid api-key", "metadata": {}} == wrong_key
    assert (400, "INVALID_ARGUMENT") == (wrong_value["code"], wrong_value["reason"])
    assert "pagination.limit" == wrong_value["metadata"]["parameter"]
