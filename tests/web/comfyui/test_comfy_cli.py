"""comfy-cli downloads files from the links of this server."""

import os
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests import environments
from tests.app_fixture import listening, open_app
from tests.transfers import ask, checking, lora_bytes, upload

PACKAGE = "comfy-cli==1.23.0"


def test_comfy_cli_downloads_a_file_from_its_link(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    home, workspace = tmp_path / "home", tmp_path / "ComfyUI"
    home.mkdir()
    (workspace / "models" / "loras").mkdir(parents=True)
    with open_app(home) as yard, listening(yard) as address:
        verification = checking(yard, home)
        upload(yard, "night", lora_bytes())
        while verification.verify_next():
            pass
        link = urlsplit(ask(yard, "/v3/model").json["models"][0]["download_url"])
        url = f"{address.url}{link.path}?{link.query}"
        to = ("--relative-path", "models/loras", "--filename", "night.safetensors")
        words = ("--skip-prompt", "--workspace", str(workspace), "model", "download", "--url", url, *to)
        done = subprocess.run(
            [environments.installed(request.config, "comfy-cli", (PACKAGE,)) / "comfy", *words],
            env={**os.environ, "HOME": str(tmp_path), "DO_NOT_TRACK": "1"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert 0 == done.returncode, done.stdout + done.stderr
    assert lora_bytes() == (workspace / "models" / "loras" / "night.safetensors").read_bytes()
