"""Bytes in and out under rough conditions: others' clients, a full disk, slow connections, other teams at every door.

Not covered here: the protocols one by one (test_tus.py, test_downloads.py, test_uploads.py).
"""

import contextlib
import hashlib
import resource
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelyard.domain import Scope
from tests import requirements
from tests.app_fixture import App, listening, open_app
from tests.pictures import picture
from tests.process_commands import serving
from tests.processes import files_of_at_most
from tests.transfers import ask, checking, find, lora_bytes, path_of, put_file, upload

from .test_tus import BODY, metadata

CONNECTIONS = 10_000


def test_aria2_fetches_over_eight_connections(tmp_path: Path) -> None:
    aria2c = requirements.program("aria2c")
    content = lora_bytes(fill=20_000_000, seed=5)
    with open_app(tmp_path) as yard, listening(yard) as address:
        model_id = upload(yard, "wide", content)["id"]
        checking(yard, tmp_path).verify_next()
        link = address.url + path_of(find(yard, model_id)["download_url"])
        words = ["-x", "8", "-s", "8", "-k", "1M", "--file-allocation=none", "--no-conf", "-q", "-d", str(tmp_path)]
        proof = f"--checksum=sha-256={hashlib.sha256(content).hexdigest()}"

        subprocess.run([aria2c, *words, proof, "-o", "fetched", link], check=True, timeout=120)

        # No file name given: the server's.
        subprocess.run([aria2c, *words, link], check=True, timeout=120)

    assert content == (tmp_path / "fetched").read_bytes()
    assert content == (tmp_path / f"wide_{model_id}.safetensors").read_bytes()


def test_the_vendors_client_lists_what_was_uploaded(tmp_path: Path) -> None:
    novita_client: Any = requirements.module("novita_client")
    with open_app(tmp_path) as yard, listening(yard) as address:
        uploaded = upload(yard, "mine", lora_bytes(), base_model="SD 1.5")
        checking(yard, tmp_path).verify_next()

        listed = novita_client.NovitaClient(yard.key(), address.url).query_model_v3(visibility="private").models
        others = novita_client.NovitaClient(yard.key("blue"), address.url).query_model_v3(visibility="private").models

    assert [(uploaded["id"], "mine", 1)] == [(model.id, model.name, model.status.value) for model in listed]
    assert [] == others


def test_a_disk_that_is_full_is_told_and_what_arrived_is_gone_on_with(tmp_path: Path) -> None:
    content = lora_bytes(fill=12_000_000)
    words = {"tus_resumable": "1.0.0"}
    with open_app(tmp_path) as yard:
        made = ask(yard, "/v3/uploads", method="POST", **words, upload_length=str(len(content)), content_length="0")
        path = path_of(made.headers["location"])

        def append(offset: int) -> tuple[int, str]:
            sent = ask(
                yard, path, method="PATCH", body=content[offset:], **words, upload_offset=str(offset), **_BODY_WORDS
            )
            return sent.status, sent.json["reason"] if sent.body else ""

        with files_of_at_most(8_000_000):
            full = append(0)
        told = int(ask(yard, path, method="HEAD", **words).headers["upload-offset"])
        gone_on = append(told)
        checking(yard, tmp_path).verify_next()
        (model,) = ask(yard, "/v3/model?filter.visibility=private").json["models"]

    assert (507, "INSUFFICIENT_STORAGE") == full
    assert 0 <= told <= 8_000_000
    assert (204, "") == gone_on
    assert (1, hashlib.sha256(content).hexdigest()[:10].upper()) == (model["status"], model["hash_sha256"])


_BODY_WORDS = {name.replace("-", "_"): value for name, value in BODY.items()}


def test_a_put_that_finds_the_disk_full_leaves_nothing_half(tmp_path: Path) -> None:
    content = lora_bytes(fill=12_000_000)
    with open_app(tmp_path) as yard:
        with files_of_at_most(8_000_000):
            full = put_file(yard, "mine", content)
        again = put_file(yard, "mine", content)

    assert (507, "INSUFFICIENT_STORAGE") == (full.status, full.json["reason"])
    assert 200 == again.status


_HALF = b"GET /healthz HTTP/1.1\r\nHost: here\r\nX-Slow: "


def test_ten_thousand_slow_connections_keep_nobody_waiting(tmp_path: Path) -> None:
    """As many as this machine lets one process have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(CONNECTIONS, hard - 500)
    with open_app(tmp_path) as yard:
        key = yard.key()
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with serving(tmp_path, 1, key) as served, contextlib.ExitStack() as stack:
            for _ in range(count):
                slow = stack.enter_context(socket.create_connection(("127.0.0.1", served.port), 60))
                slow.sendall(_HALF)
            with contextlib.closing(served.connect()) as quick:
                listed = [served.ids(quick) for _ in range(20)]
                # And one that gets there in the end: fresh, because a head that takes half a minute is given up.
                slow = stack.enter_context(socket.create_connection(("127.0.0.1", served.port), 60))
                slow.sendall(_HALF)
                listed.append(served.ids(quick))
                slow.sendall(b"yes\r\n\r\n")
                answered = slow.recv(64)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert 21 * [[]] == listed
    assert answered.startswith(b"HTTP/1.1 200 ")


NAMES = [
    'a"; filename="evil.exe',
    "a\r\nSet-Cookie: stolen=1",
    "a\nb.safetensors",
    "a\x00b.safetensors",
    "../../etc/passwd",
    "日本語\u202etxt.safetensors",
    "%0d%0aSet-Cookie: x",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_files_name_puts_nothing_into_headers(tmp_path: Path, name: str) -> None:
    content = lora_bytes()
    with open_app(tmp_path) as yard, listening(yard) as address:
        words = {"upload_length": str(len(content)), "upload_metadata": metadata(filename=name)}
        made = ask(yard, "/v3/uploads", method="POST", body=content, tus_resumable="1.0.0", **words, **_BODY_WORDS)
        if made.status == 415:  # an extension that is none of ours
            return
        assert 201 == made.status, made.body
        checking(yard, tmp_path).verify_next()
        (model,) = ask(yard, "/v3/model?filter.visibility=private").json["models"]

        link = path_of(model["download_url"])
        fetched = address.ask(link)
        injected = address.ask(link.replace("?", "%0d%0aSet-Cookie:%20x=1?"))

    assert (200, content) == (fetched.status, fetched.body)
    assert "set-cookie" not in fetched.headers
    disposition = fetched.headers["content-disposition"]
    assert disposition.isascii()
    assert disposition.isprintable()
    assert 2 == disposition.count('"')
    assert 403 == injected.status
    assert "set-cookie" not in injected.headers


@pytest.fixture(scope="module")
def owned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[App, dict[str, str]]]:
    """A yard in which red has a private model, an upload that is open, one that is announced, and a finished part."""
    home = tmp_path_factory.mktemp("owned")
    with open_app(home) as yard:
        model_id = str(upload(yard, "mine", lora_bytes())["id"])
        checking(yard, home).verify_next()
        words = {"tus_resumable": "1.0.0", "content_length": "0"}
        opened = ask(yard, "/v3/uploads", method="POST", upload_length="1000", **words)
        part = ask(yard, "/v3/uploads", method="POST", upload_length="0", upload_concat="partial", **words)
        link = find(yard, int(model_id))["download_url"]
        yield (
            yard,
            {"model": model_id, "upload": opened.headers["location"], "part": part.headers["location"], "link": link},
        )


_TUS: dict[str, str] = {"tus_resumable": "1.0.0"}
DOORS: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/v3/model/details?id={model}", {}),
    ("PATCH", "/v3/model?id={model}", {"body": {"name": "theirs"}}),
    ("DELETE", "/v3/model?id={model}", {}),
    ("PUT", "/v3/model/cover?id={model}", {"body": picture(64, 64)}),
    ("DELETE", "/v3/model/cover?id={model}", {}),
    ("HEAD", "{upload}", _TUS),
    ("PATCH", "{upload}", {**_TUS, **_BODY_WORDS, "upload_offset": "0", "body": b"x"}),
    ("DELETE", "{upload}", _TUS),
    ("HEAD", "{part}", _TUS),
    ("DELETE", "{part}", _TUS),
    ("POST", "/v3/uploads", {**_TUS, "upload_concat": "final;{part}"}),
    # Whoever has a link may fetch the file, and nothing else.
    ("GET", "{link}0", {}),
    ("PUT", "{link}", {"body": b"x"}),
]


@pytest.mark.parametrize(("method", "door", "given"), DOORS, ids=[f"{method} {door}" for method, door, _ in DOORS])
def test_another_team_finds_nothing_behind_any_door(
    owned: tuple[App, dict[str, str]], method: str, door: str, given: dict[str, Any]
) -> None:
    yard, places = owned
    filled = {name: value.format(**places) if isinstance(value, str) else value for name, value in given.items()}
    target = path_of(door.format(**places))

    theirs = ask(yard, target, "blue", method=method, **filled)
    nobodys = yard.ask(target, None, method=method, **{**filled, "body": b""})

    assert theirs.status in (403, 404, 405)
    assert nobodys.status in (401, 403, 404, 405)
    mine = find(yard, int(places["model"]))
    assert ("mine", 1, "") == (mine["name"], mine["status"], mine["cover_url"])
    assert 200 == ask(yard, path_of(places["upload"]), method="HEAD", **_TUS).status


def test_another_team_lists_nothing_of_it(owned: tuple[App, dict[str, str]]) -> None:
    yard, places = owned

    for question in (
        "",
        "filter.visibility=private",
        f"filter.model_version_id={places['model']}",
        "filter.query=mine",
    ):
        assert [] == ask(yard, f"/v3/model?{question}", "blue").json["models"]
    assert 0 == ask(yard, "/v3/model/facets", "blue").json["total"]
    with_key = yard.key("blue", Scope.READ, Scope.WRITE, Scope.ADMIN)
    assert 404 == yard.ask(f"/v3/model/details?id={places['model']}", None, authorization=with_key).status


def test_the_owner_still_has_it_all(owned: tuple[App, dict[str, str]]) -> None:
    yard, places = owned

    assert 200 == ask(yard, f"/v3/model/details?id={places['model']}").status
    assert 200 == yard.ask(path_of(places["link"]), None).status
