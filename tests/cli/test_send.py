"""`modelyard send`: a generator fetches the file from the server by the link that it is given."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelyard.cli import run
from tests.app_fixture import App, listening, open_app
from tests.transfers import WRITER, checking, lora_bytes, upload
from tests.upstream import Upstream, serve_upstream


@pytest.fixture
def comfyui() -> Iterator[tuple[Upstream, dict[str, bytes]]]:
    """A stand-in for ComfyUI that fetches what it is asked to, and its files by their names."""
    files: dict[str, bytes] = {}

    def fetch(handler: Any) -> None:
        request = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        with urllib.request.urlopen(request["source_url"]) as answer:
            files[request["filename"]] = answer.read()
        handler.reply(b'{"task_id":"t1","status":"created"}', 202)

    with serve_upstream() as upstream:
        upstream.put("/api/v1/app/version", lambda handler: handler.reply(b"", 404))
        upstream.put("/api/assets/download", fetch)
        upstream.put("/api/tasks/t1", lambda handler: handler.reply(b'{"status":"completed"}'))
        yield upstream, files


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[App]:
    with open_app(tmp_path) as opened:
        verification = checking(opened, tmp_path)
        upload(opened, "night", lora_bytes())
        while verification.verify_next():
            pass
        yield opened


def test_a_generator_has_the_file_when_the_command_says_so(
    yard: App, comfyui: tuple[Upstream, dict[str, bytes]], capsys: pytest.CaptureFixture[str]
) -> None:
    upstream, files = comfyui
    host = upstream.url.removeprefix("http://")
    with listening(yard) as address:
        words = ("--url", address.url, "--key", yard.key("red", *WRITER))
        code = run(["send", "night", "--to", host, *words])
        missing = run(["send", "night", "nowhere", "--to", host, "--json", *words])
        out, err = capsys.readouterr()

    (name,) = files
    first, _, rest = out.partition("\n")
    assert (0, f"{name} is at {upstream.url} now") == (code, first)
    assert lora_bytes() == files[name]
    results = json.loads(rest)
    assert (1, [upstream.url, None]) == (missing, [result.get("target") for result in results])
    assert err.startswith("nowhere: ")
    assert "signature" not in out + err


def test_a_generator_that_refuses_is_named_with_its_reason(
    yard: App, comfyui: tuple[Upstream, dict[str, bytes]], capsys: pytest.CaptureFixture[str]
) -> None:
    upstream, _ = comfyui
    upstream.put("/api/tasks/t1", lambda handler: handler.reply(b'{"status":"failed","error_message":"disk full"}'))
    with listening(yard) as address:
        words = ("--url", address.url, "--key", yard.key("red", *WRITER))
        failed = run(["send", "night", "--to", upstream.url, *words])
        upstream.put("/api/assets/download", lambda handler: handler.reply(b"<html>", 404))
        absent = run(["send", "night", "--to", upstream.url, *words])
    lines = capsys.readouterr().err.splitlines()

    assert (1, 1) == (failed, absent)
    pull = "`modelyard pull --layout comfyui --root FOLDER`"
    reason = f"it has no POST /api/assets/download; run {pull} on its machine instead"
    assert [
        f"night: ComfyUI at {upstream.url} failed: disk full",
        f"night: the ComfyUI at {upstream.url} cannot fetch files: {reason}",
    ] == lines


def test_an_address_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == run(["send", "night", "--to", "ftp://comfy"])
    assert "'ftp://comfy' is not accepted" in capsys.readouterr().err
