"""An upload whose bytes lie on another node: it is refused for now, and a client that sends a file waits and goes on.

Two nodes with homes of their own share a database. The balancer is the client's transport.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from modelyard.client import Client
from modelyard.client.client import CHUNK_BYTES
from tests.app_fixture import Address, App, listening, open_app
from tests.databases import sqlite_url
from tests.transfers import WRITER, lora_bytes


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
