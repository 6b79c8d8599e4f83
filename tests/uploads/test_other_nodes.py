"""An upload whose bytes lie on another node: it is refused for now, and a client that sends a file waits and goes on.

Two nodes with homes of their own share a database. The balancer is the client's transport. With the setting
`unfinished_uploads=store`, and a store that both share, the other node continues.
"""

import base64
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from modelyard import errors
from modelyard.blobs import open_storage
from modelyard.blobs.s3 import bucket_of
from modelyard.blobs.shared_parts import SharedParts
from modelyard.client import Client
from modelyard.client.client import CHUNK_BYTES
from tests.app_fixture import Address, App, listening, open_app
from tests.databases import sqlite_url
from tests.swift_server import SwiftServer
from tests.transfers import WRITER, Verification, ask, lora_bytes, path_of


@dataclass
class Nodes:
    first: Address
    second: Address
    key: str


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    with ExitStack() as stack:
        yards: list[App] = []
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            yards.append(stack.enter_context(open_app(tmp_path / name, database_url=sqlite_url(tmp_path))))
        key = yards[0].key("red", *WRITER)
        for yard in yards:
            yard.access.load()
        yield Nodes(*(stack.enter_context(listening(yard)) for yard in yards), key)


@dataclass
class Balancer(httpx2.BaseTransport):
    """Sends requests to one node, and while that is away to the other."""

    nodes: Nodes
    is_away: bool = False
    waits: list[float] = field(default_factory=list)
    inner: httpx2.HTTPTransport = field(default_factory=httpx2.HTTPTransport)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        # The node goes when it has the first chunk.
        address = self.nodes.second if self.is_away else self.nodes.first
        request.url = request.url.copy_with(host=address.host, port=address.port)
        response = self.inner.handle_request(request)
        if request.method == "PATCH" and response.status_code == 204 and not self.waits:
            self.is_away = True
        return response

    def sleep(self, seconds: float) -> None:
        """Note a wait; the node is back after more of them than a client makes for other reasons."""
        self.waits.append(seconds)
        if len(self.waits) == 12:
            self.is_away = False

    def close(self) -> None:
        self.inner.close()


def test_an_upload_of_a_node_that_is_away_is_refused_for_now(nodes: Nodes) -> None:
    headers = {"Authorization": f"Bearer {nodes.key}", "Tus-Resumable": "1.0.0"}
    body = {**headers, "Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    created = nodes.first.ask("/v3/uploads", {**headers, "Upload-Length": "8"}, method="POST")
    path = "/v3/uploads/" + created.headers["location"].rpartition("/")[2]

    for method, sent in (("HEAD", headers), ("PATCH", body)):
        refused = nodes.second.ask(path, sent, method=method)
        assert (503, "5") == (refused.status, refused.headers["retry-after"])
    part = nodes.first.ask("/v3/uploads", {**headers, "Upload-Length": "0", "Upload-Concat": "partial"}, method="POST")
    joined = {**headers, "Upload-Concat": f"final;/v3/uploads/{part.headers['location'].rpartition('/')[2]}"}
    refused = nodes.second.ask("/v3/uploads", joined, method="POST")
    assert (503, "5") == (refused.status, refused.headers["retry-after"])
    assert 201 == nodes.first.ask("/v3/uploads", joined, method="POST").status
    assert 404 == nodes.second.ask("/v3/uploads", joined, method="POST").status, "it was taken"
    assert 200 == nodes.first.ask(path, headers, method="HEAD").status
    assert 404 == nodes.second.ask("/v3/uploads/" + "0" * 32, headers, method="HEAD").status


def test_a_client_waits_for_the_node_and_goes_on_with_the_upload(nodes: Nodes, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(lora_bytes(fill=2 * CHUNK_BYTES))
    balancer = Balancer(nodes)

    with Client(nodes.first.url, nodes.key, transport=balancer, sleep=balancer.sleep) as client:
        model = client.upload(path)

    assert 12 == len(balancer.waits)
    assert {5.0} == set(balancer.waits)
    assert "a_1000000000.safetensors" == model.sd_name


def test_a_file_that_one_put_sends_is_taken_by_any_node(tmp_path: Path) -> None:
    with ExitStack() as stack:
        yards: list[App] = []
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            yards.append(stack.enter_context(open_app(tmp_path / name, database_url=sqlite_url(tmp_path))))
        first, second = yards
        said = {"model_name": "night", "file_extension": "safetensors"}
        address = ask(first, "/v3/model/uploader", method="POST", body=said).json["upload_url"]
        content = lora_bytes()
        sent = second.ask(path_of(address), None, method="PUT", body=content, content_length=str(len(content)))

    assert 200 == sent.status, sent.body
    assert f'"{hashlib.sha256(content).hexdigest()}"' == sent.headers["etag"]


@pytest.fixture
def bucket(swift: SwiftServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a bucket, with what opens it in the environment."""
    for name, value in swift.environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://{swift.make_bucket()}"


@pytest.fixture
def sharing(tmp_path: Path, bucket: str) -> Iterator[tuple[App, App]]:
    """Two nodes with a database and a bucket, which has the bytes of unfinished uploads too."""
    shared = {"database_url": sqlite_url(tmp_path), "storage_url": bucket, "unfinished_uploads": "store"}
    with ExitStack() as stack:
        yards = []
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            yards.append(stack.enter_context(open_app(tmp_path / name, **shared)))
        yield yards[0], yards[1]


def test_uploads_survive_the_node_that_received_them(sharing: tuple[App, App], bucket: str, tmp_path: Path) -> None:
    """One that goes on, and one that is made of parts, of which each node has received one."""
    first, second = sharing
    content, tus = lora_bytes(fill=100_000), {"tus_resumable": "1.0.0"}
    body_type = {**tus, "content_type": "application/offset+octet-stream"}
    declared = {**tus, "upload_metadata": f"filename {base64.b64encode(b'night.safetensors').decode()}"}

    def send(yard: App, path: str, offset: int, body: bytes) -> int:
        return ask(yard, path, method="PATCH", body=body, upload_offset=str(offset), **body_type).status

    def create(yard: App, **headers: str) -> str:
        created = ask(yard, "/v3/uploads", method="POST", **headers)
        assert 201 == created.status, created.body
        return "/v3/uploads/" + created.headers["location"].rpartition("/")[2]

    empty, going = (create(first, upload_length=str(len(content)), **declared) for _ in range(2))
    answers = [
        send(first, going, 0, content[:30_000]),
        send(second, going, 30_000, content[30_000:50_000]),  # the balancer sent it there
        send(first, going, 50_000, content[50_000:70_000]),
    ]
    parts = []
    for yard, part in zip(sharing, (content[:60_000], content[60_000:]), strict=True):
        parts.append(create(yard, upload_length=str(len(part)), upload_concat="partial", **tus))
        answers.append(send(yard, parts[-1], 0, part))
    shutil.rmtree(tmp_path / "first" / "blobs")

    offsets = [ask(second, path, method="HEAD", **tus).headers["upload-offset"] for path in (empty, going)]
    answers.append(send(second, going, 70_000, content[70_000:]))
    joined = create(second, upload_concat=f"final;{' '.join(parts)}", **declared)
    storage = open_storage(bucket, tmp_path / "second", os.environ, shares_unfinished=True)
    verification = Verification(second.store, storage.kept, storage.incoming)
    while verification.verify_next():
        pass
    ids = [ask(second, path, method="HEAD", **tus).headers["modelyard-model"] for path in (going, joined)]

    assert [204] * 6 == answers
    assert ["0", "70000"] == offsets
    sha256 = hashlib.sha256(content).hexdigest()
    assert [1, 1] == [ask(second, f"/v3/model?id={id_}").json["models"][0]["status"] for id_ in ids]
    assert content == storage.kept.read(sha256)
    assert [0, 0, 0] == [storage.incoming.size_anywhere(path.rpartition("/")[2]) for path in (going, *parts)]


class _Behind(SharedParts):
    """Of a node that looked before another one put its bytes."""

    def size(self, upload_id: str) -> int:  # noqa: ARG002 # the part's signature
        return 0


def test_shared_bytes_stay_when_two_nodes_receive_the_same_ones(bucket: str, tmp_path: Path) -> None:
    shared, behind = (make(bucket_of(bucket, os.environ)) for make in (SharedParts, _Behind))
    upload_id, path, content = "0" * 32, tmp_path / "received", os.urandom(90)
    path.write_bytes(content)

    for size_bytes in (90, 40):  # the second request has less, and ends later
        behind.save(upload_id, path, size_bytes)
    size_bytes, blocks = shared.size(upload_id), [*shared.read(upload_id, 0)]
    reading = shared.read(upload_id, 10)
    first = next(reading)
    shared.remove(upload_id)  # by another node, as the upload is cancelled

    assert (90, [content[:40], content[40:]]) == (size_bytes, blocks)
    assert content[10:40] == first
    with pytest.raises(errors.Unavailable, match="this upload ends just now"):
        next(reading)
    path.unlink()
    with pytest.raises(errors.UploadNotFound):
        shared.save(upload_id, path, 40)
    assert 0 == shared.size(upload_id)
