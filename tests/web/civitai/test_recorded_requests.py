"""Requests that programs of Civitai sent, recorded, and sent again to this server."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests import requirements
from tests.app_fixture import App
from tests.real_input import data_dir

# Their answers are files, which the recorded catalogue does not have.
FILES = ("/file/", "/api/download/")


def recorded_requests() -> list[dict[str, Any]]:
    """The requests of civitapy, pycivitai and civitdl, and of our own import."""
    path = data_dir().parent / "recorded" / "civitai-requests.jsonl"
    if not path.is_file():
        requirements.absent(f"no recorded requests at {path}")
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return [request for request in map(json.loads, lines) if not request["path"].startswith(FILES)]


def test_recorded_requests_are_answered_as_upstream_answered_them(recorded: App) -> None:
    requests = recorded_requests()
    replies = []
    for request in requests:
        headers = {name.lower().replace("-", "_"): value for name, value in request["req_headers"].items()}
        headers.pop("accept_encoding")
        if "authorization" in headers:
            headers["authorization"] = f"Bearer {recorded.key('red')}"
        replies.append(recorded.ask(request["path"], None, method=request["method"], **headers))

    assert [(request["path"], request["status"]) for request in requests] == [
        (request["path"], reply.status) for request, reply in zip(requests, replies, strict=True)
    ]
    assert {"application/json"} == {reply.headers["content-type"] for reply in replies}
    for request, reply in zip(requests, replies, strict=True):
        path = urlsplit(request["path"]).path
        if path == "/api/v1/enums":
            continue
        names = {"items", "metadata"} if path.count("/") == 3 else {"id", "name"}
        assert names <= reply.json.keys(), path
