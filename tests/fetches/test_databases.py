"""Fetches on both databases: an interruption is continued by another node, and no file is fetched twice."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelyard.store import jobs
from tests.app_fixture import App, open_app
from tests.fetch_fixture import LOCAL, Fetching, RemoteFile
from tests.transfers import ask, lora_bytes, path_of
from tests.upstream import Upstream, serve_upstream

CONTENT = lora_bytes(fill=300_000)
LONG_SECONDS = 30.0


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with serve_upstream() as server:
        yield server


@pytest.fixture
def nodes(tmp_path: Path, url: str, upstream: Upstream) -> Iterator[tuple[Fetching, Fetching]]:
    """Two processes of one machine: one home, one database, a store and a worker each."""
    with (
        open_app(tmp_path, database_url=url, **LOCAL) as first,
        open_app(tmp_path, database_url=url, **LOCAL) as second,
    ):
        yield Fetching(first, tmp_path, upstream), Fetching(second, tmp_path, upstream)


def request(yard: App, source_url: str) -> tuple[int, str]:
    """Ask for a file; return the id of its model, and the path of the fetch."""
    reply = ask(yard, "/v3/model", method="POST", body={"source_url": source_url})
    assert 202 == reply.status, reply.body
    return reply.json["id"], reply.headers["location"]


def state_of(yard: App, location: str) -> dict[str, Any]:
    (record,) = ask(yard, location).json["fetches"]
    return {name: record[name] for name in ("state", "received_bytes", "size_bytes")}


def make_due(node: Fetching) -> None:
    with node.yard.store.transaction() as transaction:
        for job in jobs.listed(transaction.connection):
            jobs.retry(transaction.connection, job.id, transaction.now)


def test_another_node_continues_what_was_cut_off(nodes: tuple[Fetching, Fetching], upstream: Upstream) -> None:
    first, second = nodes
    remote = RemoteFile(CONTENT, cuts=(100_000,))
    model_id, location = request(first.yard, upstream.put("/a.safetensors", remote))

    first.run_once()
    between = state_of(second.yard, location)
    make_due(second)
    second.run_once()  # the rest
    second.run_once()  # its verification

    assert {"state": "receiving", "received_bytes": 100_000, "size_bytes": len(CONTENT)} == between
    assert {"state": "done", "received_bytes": len(CONTENT), "size_bytes": len(CONTENT)} == state_of(
        first.yard, location
    )
    assert [None, "bytes=100000-"] == remote.ranges
    first.yard.catalog.refresh()
    model = ask(first.yard, f"/v3/model/details?id={model_id}").json
    assert CONTENT == first.yard.ask(path_of(model["download_url"]), None).body


def test_two_nodes_fetch_each_file_once(nodes: tuple[Fetching, Fetching], upstream: Upstream) -> None:
    """Both requests wait for each other, so they are made at the same time."""
    both = threading.Barrier(2)

    def answer(on: Any) -> None:
        both.wait(LONG_SECONDS)
        on.reply(CONTENT)

    locations = [request(nodes[0].yard, upstream.put(f"/{name}.safetensors", answer))[1] for name in "ab"]
    threads = [threading.Thread(target=node.run_once) for node in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG_SECONDS)
    nodes[0].run()

    assert ["done", "done"] == [state_of(nodes[1].yard, location)["state"] for location in locations]
    assert {"/a.safetensors": 1, "/b.safetensors": 1} == dict(upstream.asked)
