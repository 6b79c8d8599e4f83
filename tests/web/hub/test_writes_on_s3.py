"""Commits of files in an S3-compatible store, verified by another machine than the one that received them."""

import urllib.request
from pathlib import Path

import pytest

from tests.app_fixture import open_app
from tests.library.test_folder_models import shards
from tests.swift_server import SwiftServer
from tests.transfers import ask, checking, lora_bytes
from tests.web.hub.bench import Bench, copied, text, weights
from tests.xet_files import shard, xorb

XORB = "0123456789abcdef" * 4


def test_files_of_a_commit_are_verified_by_another_machine(
    swift: SwiftServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in swift.environment.items():
        monkeypatch.setenv(name, value)
    url = f"s3://{swift.make_bucket()}"
    by_lfs, by_xet = lora_bytes(fill=900), lora_bytes(fill=500)
    with open_app(tmp_path, storage_url=url) as yard:
        bench = Bench(yard, checking(yard, tmp_path / "other", url))
        bench.create()
        bench.send(by_lfs)
        bench.cas(f"/v1/xorbs/default/{XORB}", xorb(by_xet[:200], by_xet[200:]))
        bench.cas("/v2/shards", shard((by_xet, [(XORB, len(by_xet), 0, 2)])))
        bench.checking.verify_next()

        committed = bench.commit(
            weights("a.safetensors", by_lfs), weights("b.safetensors", by_xet), text("model_index.json", b"{}")
        )

        assert 200 == committed.status, committed.body
        paths = {"a.safetensors": by_lfs, "b.safetensors": by_xet}
        replies = {path: bench.ask(f"/red/night/resolve/main/{path}", method="GET") for path in paths}
        assert [302, 302] == [reply.status for reply in replies.values()]
        for path, content in paths.items():
            with urllib.request.urlopen(replies[path].headers["location"], timeout=60) as answer:
                assert content == answer.read()
        assert 200 == bench.commit(copied("c.json", "model_index.json")).status
        assert 4 + 1 == len(bench.files())


def test_shards_in_a_bucket_are_one_model(swift: SwiftServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in swift.environment.items():
        monkeypatch.setenv(name, value)
    url = f"s3://{swift.make_bucket()}"
    folder = shards(tmp_path / "night")
    contents = {path.name: path.read_bytes() for path in sorted(folder.glob("*.safetensors"))}
    with open_app(tmp_path, storage_url=url) as yard:
        bench = Bench(yard, checking(yard, tmp_path / "other", url))
        bench.create()
        for content in contents.values():
            bench.send(content)

        committed = bench.commit(*(weights(path, content) for path, content in contents.items()))

        assert 200 == committed.status, committed.body
        (model,) = ask(yard, "/v3/model?filter.visibility=private").json["models"]
        assert ("Flux.1 D", 1) == (model["base_model"], model["status"])
