"""What a person can do when another server refuses a file: the words of each refusal, and which token it names."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelyard.fetches import Hosts
from modelyard.outbound import origin_of
from tests.app_fixture import App, open_app
from tests.fetch_fixture import LOCAL, Fetching
from tests.transfers import ask
from tests.upstream import Upstream, serve_upstream


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with serve_upstream() as server:
        yield server


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[App]:
    with open_app(tmp_path, **LOCAL) as app:
        yield app


def problem_of(fetching: Fetching, **body: Any) -> str:
    """Ask for a file, do the work, and return why it failed."""
    reply = ask(fetching.yard, "/v3/model", method="POST", body=body)
    assert 202 == reply.status, reply.body
    fetching.run()
    (record,) = ask(fetching.yard, reply.headers["location"]).json["fetches"]
    assert "failed" == record["state"]
    assert "t0ken" not in record["problem"]
    return str(record["problem"])


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "HF_TOKEN is not valid any more, or may not read this"),
        (403, "the account of HF_TOKEN may not have it: look at {page} for what it needs"),
    ],
)
def test_a_token_that_does_not_help_is_named(
    yard: App, tmp_path: Path, upstream: Upstream, status: int, words: str
) -> None:
    fetching = Fetching(yard, tmp_path, upstream, tokens={origin_of(upstream.url): "t0ken"})
    fetching.fetcher._hosts = Hosts("https://civitai.com", upstream.url)
    upstream.put("/owner/repo/resolve/main/a.safetensors", lambda on: on.reply(b"", status))

    problem = problem_of(fetching, hub="owner/repo:a.safetensors")

    refusal = f"127.0.0.1 refuses the file (status {status}); "
    assert refusal + words.format(page=f"{upstream.url}/owner/repo") == problem


def test_a_server_that_no_token_is_for_is_named(yard: App, tmp_path: Path, upstream: Upstream) -> None:
    fetching = Fetching(yard, tmp_path, upstream)
    fetching.fetcher._hosts = Hosts()
    url = upstream.put("/a.safetensors", lambda on: on.reply(b"", 403))

    problem = problem_of(fetching, source_url=url)

    assert "127.0.0.1 refuses the file (status 403); this server has no token for 127.0.0.1" == problem


def says(answer: object) -> Any:
    return lambda on: on.reply(json.dumps(answer).encode(), content_type="application/json")


@pytest.mark.parametrize(
    ("answer", "air", "words"),
    [
        ({"id": 77, "modelId": 7, "model": {"name": "a", "type": "LORA"}, "files": []}, "7@77", "says of civitai:7@77"),
        ({"id": 77, "modelId": 8, "model": {"name": "a", "type": "LORA"}}, "7@77", "is one of model 8, not of 7"),
        ({}, "77", "127.0.0.1 says of civitai:77 nothing that has a model file"),
    ],
)
def test_a_version_that_has_no_such_file_is_told_of(
    yard: App, tmp_path: Path, upstream: Upstream, answer: dict[str, Any], air: str, words: str
) -> None:
    file = {"id": 9, "name": "a.safetensors", "type": "Model", "sizeKB": 1, "primary": True, "hashes": {}}
    upstream.put("/api/v1/model-versions/77", says({"files": [file]} | answer if answer else {}))

    assert words in problem_of(Fetching(yard, tmp_path, upstream), air=f"civitai:{air}")


def test_a_repository_that_leads_in_a_circle_is_left(yard: App, tmp_path: Path, upstream: Upstream) -> None:
    path = "/owner/repo/resolve/main/a.safetensors"
    upstream.put(path, lambda on: on.reply(b"", 307, location=path))

    problem = problem_of(Fetching(yard, tmp_path, upstream), hub="owner/repo:a.safetensors")

    assert "owner/repo leads from one name to another without end" in problem
