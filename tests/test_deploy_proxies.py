"""deploy/nginx-site.conf and deploy/Caddyfile before a server with the settings of deploy/modelyard.env, for real.

Replaced are the ports, the name of the machine, the certificate and the folders; everything else is as an operator
installs it.
"""

import http.client
import json
import os
import re
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from tests import nginx, requirements
from tests.app_fixture import open_app
from tests.pictures import picture
from tests.process_commands import serving
from tests.process_servers import free_port
from tests.transfers import WRITER, lora_bytes, sha256_base64

DEPLOY = Path(__file__).parents[1] / "deploy"
NAME = "models.example.org"
REQUESTS_MAX = 90
MIB = 2**20


@dataclass(frozen=True)
class Front:
    """A proxy and the server behind it, as a client sees them."""

    port: int
    http_port: int
    key: str
    trust: ssl.SSLContext
    sends_files: bool

    def connect(self, address: str = "127.0.0.1") -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=60, context=self.trust, source_address=(address, 0)
        )

    def ask(
        self,
        method: str,
        target: str,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        address: str = "127.0.0.1",
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        with closing(self.connect(address)) as connection:
            connection.request(method, target, body, {"Authorization": f"Bearer {self.key}", **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()


def replace_all(text: str, replacements: Mapping[str, str]) -> str:
    """Replace texts that all have to be there."""
    for old, new in replacements.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def settings_of(port: int, storage: Path, *, has_nginx: bool) -> dict[str, str]:
    """Return the settings of the example, with this test's port and folder."""
    lines = (DEPLOY / "modelyard.env").read_text(encoding="utf-8").splitlines()
    settings = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    settings |= {
        "MODELYARD_STORAGE_URL": str(storage),
        "MODELYARD_PUBLIC_URL": f"https://127.0.0.1:{port}",
        "MODELYARD_RATE_LIMIT_PER_MINUTE": str(REQUESTS_MAX - 10),
        "MODELYARD_OPERATOR_TEAM": "red",
        # What people would do who let this proxy sign them in.
        "MODELYARD_PROXY_NETWORKS": "127.0.0.0/8",
        "MODELYARD_PROXY_TEAMS": "* guests admin",
    }
    if not has_nginx:
        settings["MODELYARD_X_ACCEL_PREFIX"] = ""
    return {name: value for name, value in settings.items() if name not in {"MODELYARD_HOME", "MODELYARD_WORKERS"}}


@contextmanager
def nginx_before(
    config: pytest.Config, folder: Path, ports: tuple[int, int], upstream: int, storage: Path
) -> Iterator[Path]:
    authority = nginx.make_certificates(folder)
    site = re.sub(r"(?m)^\s+listen \[::\].*$", "", (DEPLOY / "nginx-site.conf").read_text(encoding="utf-8"))
    site = replace_all(
        site,
        {
            "listen 443 ssl": f"listen {ports[0]} ssl",
            "listen 80;": f"listen {ports[1]};",
            "127.0.0.1:8080": f"127.0.0.1:{upstream}",
            f"/etc/letsencrypt/live/{NAME}/fullchain.pem": f"{folder}/certificate.pem",
            f"/etc/letsencrypt/live/{NAME}/privkey.pem": f"{folder}/key.pem",
            "/srv/modelyard-files/": f"{storage}/",
            NAME: "127.0.0.1",
        },
    )
    user = "root" if os.geteuid() == 0 else ""
    with nginx.running(config, folder, site, ports[0], authority, user):
        yield authority


@contextmanager
def caddy_before(folder: Path, ports: tuple[int, int], upstream: int) -> Iterator[Path]:
    program, authority = requirements.program("caddy"), nginx.make_certificates(folder)
    site = replace_all(
        (DEPLOY / "Caddyfile").read_text(encoding="utf-8"),
        {
            f"{NAME} {{": f"https://127.0.0.1 {{\n\ttls {folder}/certificate.pem {folder}/key.pem",
            "127.0.0.1:8080": f"127.0.0.1:{upstream}",
        },
    )
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n\thttp_port {ports[1]}\n\thttps_port {ports[0]}\n}}\n{site}")
    command = [program, "run", "--config", folder / "Caddyfile", "--adapter", "caddyfile"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    with (
        (folder / "caddy.log").open("w") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            nginx.wait_for_tls(ports[0], authority, process)
            yield authority
        finally:
            # Asked to end, it would wait for connections that nobody uses any more.
            process.kill()


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def front(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    if request.param == "caddy":
        requirements.program("caddy")
    folder, ports = tmp_path_factory.mktemp(request.param), (free_port(), free_port())
    home, storage = folder / "home", folder / "files"
    home.mkdir()
    storage.mkdir()
    with open_app(home) as yard:
        key = yard.key("red", *WRITER)
    has_nginx = request.param == "nginx"
    with serving(home, 1, key, **settings_of(ports[0], storage, has_nginx=has_nginx)) as server:
        proxy = (
            nginx_before(request.config, folder, ports, server.port, storage)
            if has_nginx
            else caddy_before(folder, ports, server.port)
        )
        with proxy as authority:
            trust = ssl.create_default_context(cafile=str(authority))
            yield Front(*ports, key, trust, has_nginx)


@pytest.fixture(scope="module")
def file() -> bytes:
    return lora_bytes(3 * MIB)


@pytest.fixture(scope="module")
def model(front: Front, file: bytes) -> dict[str, object]:
    """A model whose file came through the proxy."""
    announcement = {"model_name": "night", "file_sha256": sha256_base64(file), "file_extension": "safetensors"}
    status, _, body = front.ask("POST", "/v3/model/uploader", json.dumps(announcement))
    assert 200 == status, body
    upload_url = json.loads(body)["upload_url"]
    assert upload_url.startswith(f"https://127.0.0.1:{front.port}/")
    assert 200 == front.ask("PUT", target_of(upload_url), file)[0]
    registration = {"name": "night", "file_extension": "safetensors", "type_name": "lora", "visibility": "private"}
    status, _, body = front.ask("POST", "/v3/model", json.dumps(registration))
    assert 200 == status, body
    model: dict[str, object] = json.loads(body)
    return model


def target_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def test_a_file_goes_up_and_comes_down(front: Front, file: bytes, model: dict[str, object]) -> None:
    query = f"/v3/model?filter.model_version_id={model['id']}"
    # Waits for the verification, a change at a time.
    for _ in range(20):
        (listed,) = json.loads(front.ask("GET", query)[2])["models"]
        if listed["status"] == 1:
            break
        front.ask("GET", f"/v3/model/changes?since={listed_revision(front)}", headers={"Prefer": "wait=5"})

    status, headers, content = front.ask("GET", target_of(listed["download_url"]))
    part_status, _, part = front.ask("GET", target_of(listed["download_url"]), headers={"Range": "bytes=1000-1999"})

    assert (200, file) == (status, content)
    assert (206, file[1000:2000]) == (part_status, part)
    assert headers["Content-Disposition"].startswith("attachment")
    # nginx makes a tag of the time and the size of a file that it sends.
    # It says the SHA-256 too.
    assert f"sha-256=:{sha256_base64(file)}:" == headers["Repr-Digest"]
    assert front.sends_files == bool(re.fullmatch('"[0-9a-f]+-[0-9a-f]+"', headers["ETag"]))


def listed_revision(front: Front) -> str:
    return front.ask("GET", "/v3/model?pagination.limit=1")[1]["Modelyard-Revision"]


def test_a_cover_of_the_largest_size_goes_through_and_larger_bodies_do_not(
    front: Front, model: dict[str, object]
) -> None:
    small = picture(64, 80, "JPEG")
    # What follows the end of a picture is not looked at.
    cover = small + bytes(16 * MIB - len(small))

    status, _, body = front.ask("PUT", f"/v3/model/cover?id={model['id']}", cover)
    try:
        too_large = front.ask("POST", "/v3/model/resolve", bytes(34 * MIB), {"Content-Type": "image/png"})[0]
    except OSError:  # it answers and closes the connection while the body is sent
        too_large = 413

    assert 200 == status, body
    assert json.loads(body)["cover_url"].startswith(f"https://127.0.0.1:{front.port}/covers/")
    assert 413 == too_large


def test_the_folder_of_files_cannot_be_asked_for(front: Front, file: bytes, model: dict[str, object]) -> None:
    sha256 = json.loads(front.ask("GET", f"/v3/model/details?id={model['id']}")[2])["model"]["hash_sha256"].lower()

    assert 404 == front.ask("GET", f"/modelyard-files/{sha256[:2]}/{sha256[2:4]}/{sha256}")[0]
    assert 404 == front.ask("GET", "/modelyard-files/")[0]


def test_a_person_signs_in_by_a_key(front: Front) -> None:
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Origin": f"https://127.0.0.1:{front.port}",
        "Authorization": "",
    }
    status, answer, _ = front.ask("POST", "/sign-in", urlencode({"key": front.key, "to": "/team"}), headers)
    cookie = answer["Set-Cookie"]
    page_status, _, page = front.ask("GET", "/team", headers={"Cookie": cookie.partition(";")[0], "Authorization": ""})

    assert (303, "/team") == (status, answer["Location"])
    assert cookie.startswith("__Host-")
    assert "Secure" in cookie
    assert 200 == page_status
    assert b"red" in page


def test_nobody_signs_in_by_headers_of_their_own(front: Front) -> None:
    status, headers, _ = front.ask("GET", "/sign-in", headers={"Remote-User": "mallory", "Remote-Groups": "admins"})

    assert (200, None) == (status, headers["Set-Cookie"])


def test_http_leads_to_https_and_answers_are_for_https_only(front: Front) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", front.http_port, timeout=60)) as connection:
        connection.request("GET", "/docs", headers={"Host": "127.0.0.1"})
        answer = connection.getresponse()

    assert answer.status in {301, 308}
    assert answer.headers["Location"].startswith("https://127.0.0.1")
    assert front.ask("GET", "/healthz")[1]["Strict-Transport-Security"].startswith("max-age=")


def test_an_event_comes_while_the_stream_is_open(front: Front, model: dict[str, object]) -> None:
    with closing(front.connect()) as connection:
        headers = {"Authorization": f"Bearer {front.key}", "Accept": "text/event-stream"}
        connection.request("GET", f"/v3/model/changes?since={listed_revision(front)}", headers=headers)
        stream = connection.getresponse()
        assert 200 == stream.status
        assert 200 == front.ask("PATCH", f"/v3/model?id={model['id']}", json.dumps({"name": "new name"}))[0]
        event = b""
        deadline = time.monotonic() + 60
        while b"new name" not in event:
            line = stream.readline()
            assert line, event
            assert time.monotonic() < deadline, event
            event += line

    assert b"event: put" in event


def test_each_client_has_its_own_limit_whatever_it_says(front: Front) -> None:
    """The last test: after it, an address has no requests left."""

    def ask_with_wrong_key(address: str, claim: str) -> int:
        headers = {"Authorization": "Bearer sk_wrong", "X-Forwarded-For": claim}
        return front.ask("GET", "/v3/model", headers=headers, address=address)[0]

    statuses = {ask_with_wrong_key("127.0.0.2", f"192.0.2.{number}") for number in range(REQUESTS_MAX)}

    assert {401, 429} == statuses
    assert 401 == ask_with_wrong_key("127.0.0.3", "127.0.0.2")
