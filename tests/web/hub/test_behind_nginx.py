"""The clients behind nginx, which has TLS and a path prefix, before a server of two workers."""

import os
import subprocess
from pathlib import Path

import pytest

from tests import hub_clients, nginx, npm, requirements
from tests.app_fixture import open_app
from tests.hub_clients import HubClient
from tests.process_commands import serving
from tests.process_servers import free_port
from tests.transfers import WRITER
from tests.web.hub.test_uploading_clients import MIB, UPLOAD_BY_JAVASCRIPT, safetensors_of

LISTS = """
import json
from huggingface_hub import HfApi
print(json.dumps(sorted(model.id for model in HfApi().list_models(author="red"))))
"""
FILE = "night.safetensors"
WAYS = (("2.x", "xet"), ("1.x", "xet"), ("0.36", "lfs"))


def test_the_clients_work_behind_nginx(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    port, home = free_port(), tmp_path / "yard"
    home.mkdir()
    with open_app(home) as yard:
        key = yard.key("red", *WRITER)
    settings = {
        "MODELYARD_PUBLIC_URL": f"https://127.0.0.1:{port}/yard",
        "MODELYARD_TRUSTED_PROXIES": "127.0.0.1",
        "MODELYARD_RATE_LIMIT_PER_MINUTE": "0",
    }
    path = tmp_path / FILE
    path.write_bytes(safetensors_of(os.urandom(2 * MIB)))
    with (
        serving(home, 2, key, **settings) as server,
        nginx.proxying(request.config, tmp_path, port, server.port, "/yard") as proxy,
    ):
        trust = {"SSL_CERT_FILE": str(proxy.authority), "REQUESTS_CA_BUNDLE": str(proxy.authority)}
        downloads = []
        for number, (generation, way) in enumerate(WAYS):
            environment = {"HF_HUB_DISABLE_XET": "1"} if way == "lfs" else {}
            programs = hub_clients.installed(request.config, generation)
            client = HubClient(programs, f"{proxy.url}/hf", key, tmp_path / f"{number}", trust | environment)
            client.hf("upload", f"red/{number}-{way}", str(path), FILE)
            client.hf("download", f"red/{number}-{way}", FILE, "--local-dir", str(client.home / "down"))
            downloads.append((client.home / "down" / FILE).read_bytes())
        upload_by_javascript(request.config, path, f"{proxy.url}/hf", key, proxy.authority)
        listed = client.script(LISTS)

    assert [path.read_bytes()] * len(WAYS) == downloads
    assert len(WAYS) + 1 == len(listed)


def upload_by_javascript(config: pytest.Config, path: Path, endpoint: str, key: str, authority: Path) -> None:
    script = npm.installed(config, hub_clients.JAVASCRIPT) / "upload-behind-nginx.mjs"
    script.write_text(UPLOAD_BY_JAVASCRIPT)
    run = subprocess.run(
        [requirements.program("node"), script, path, "red/by-javascript", "lfs"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={
            "PATH": os.environ["PATH"],
            "HF_TOKEN": key.replace("sk_", "hf_", 1),
            "HF_ENDPOINT": endpoint,
            "NODE_EXTRA_CA_CERTS": str(authority),
        },
    )
    assert 0 == run.returncode, run.stderr
