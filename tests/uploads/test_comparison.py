"""A database and a file store that do not fit, as after the restore of an older backup: both ways, by the commands."""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelyard.blobs import Storage, open_storage
from modelyard.cli import run
from modelyard.domain import Verdict
from modelyard.facts import Entry, Facts, Layer
from modelyard.registry.stored_files import LOST
from modelyard.store import Store, blobs, open_store
from modelyard.store.blobs import Blob
from modelyard.uploads.comparison import StoreComparer
from tests.app_fixture import App, a_private, open_app
from tests.processes import wait_for
from tests.swift_server import SwiftServer

DAY = 86_400
BLOCKS = (b"first", b"second")


@dataclass
class Bench:
    yard: App
    storage: Storage
    home: Path

    def store(self, content: bytes) -> str:
        """Put bytes into the file store, without a row."""
        sha256 = hashlib.sha256(content).hexdigest()
        path = self.home / sha256
        path.write_bytes(content)
        self.storage.kept.keep(path, sha256)
        return sha256

    def status(self, model_id: int) -> int:
        entry = self.yard.store.entry(model_id)
        assert entry is not None
        return int(entry.model.status)

    def comparer(self, store: Store | None = None) -> StoreComparer:
        return StoreComparer(store or self.yard.store, self.storage.kept)


@pytest.fixture(params=["folder", "s3"])
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Two models with files."""
    url = ""
    if request.param == "s3":
        swift: SwiftServer = request.getfixturevalue("swift")
        for name, value in swift.environment.items():
            monkeypatch.setenv(name, value)
        url = f"s3://{swift.make_bucket()}/files"
        monkeypatch.setenv("MODELYARD_STORAGE_URL", url)
    with open_app(tmp_path, storage_url=url) as yard:
        bench = Bench(yard, open_storage(url, tmp_path, os.environ), tmp_path)
        for number, content in enumerate(BLOCKS):
            sha256 = bench.store(content)
            with yard.store.transaction() as transaction:
                blobs.put(transaction.connection, Blob(sha256, len(content), transaction.now, Verdict.CLEAN.value, ""))
            model = a_private(1_000_000_001 + number, "red", blob=sha256)
            layers = {Layer.USER: Facts(name=model.name, sd_name=model.sd_name)}
            with yard.store.transaction() as transaction:
                transaction.put([Entry(model, layers)])
        yield bench


def test_models_whose_bytes_are_lost_are_unavailable_until_they_are_back(bench: Bench) -> None:
    lost, kept = 1_000_000_001, 1_000_000_002
    sha256 = hashlib.sha256(BLOCKS[0]).hexdigest()
    assert ([], [], 0, 0) == values(bench)

    bench.storage.kept.remove(sha256)
    assert ([sha256], [], 1, 0) == values(bench)
    assert (0, 1) == (bench.status(lost), bench.status(kept))
    entry = bench.yard.store.entry(lost)
    assert entry is not None
    assert (LOST,) == entry.layers[Layer.HEADER].evidence
    # Nothing changes twice.
    assert ([sha256], [], 0, 0) == values(bench)

    bench.store(BLOCKS[0])
    assert ([], [], 0, 1) == values(bench)
    assert (1, 1) == (bench.status(lost), bench.status(kept))
    restored = bench.yard.store.entry(lost)
    assert restored is not None
    assert LOST not in (restored.layers[Layer.HEADER].evidence or ())


def values(bench: Bench) -> tuple[list[str], list[str], int, int]:
    result = bench.comparer().compare()
    lost, unknown = ([file.sha256 for file in files] for files in (result.lost, result.unknown))
    return lost, unknown, result.unavailable_models, result.available_models


def test_files_that_no_row_knows_are_listed_and_removed_after_the_grace(bench: Bench) -> None:
    sha256 = bench.store(b"of nobody")
    assert ([], [sha256], 0, 0) == values(bench)

    assert [] == bench.comparer().remove_unknown(DAY, dry_run=False)
    with closing(open_store(bench.yard.store.url, clock=lambda: time.time() + 2 * DAY)) as later_store:
        later = bench.comparer(later_store)
        assert [sha256] == [file.sha256 for file in later.remove_unknown(DAY, dry_run=True)]
        assert bench.storage.kept.has(sha256)
        assert [sha256] == [file.sha256 for file in later.remove_unknown(DAY, dry_run=False)]
    assert not bench.storage.kept.has(sha256)
    assert ([], [], 0, 0) == values(bench)


def test_the_commands_say_what_differs(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    home = ["--home", str(bench.home)]
    unknown = bench.store(b"of nobody")
    assert 0 == run(["verify", "--files", *home])
    assert f"unknown: {unknown}" in capsys.readouterr().err

    bench.storage.kept.remove(hashlib.sha256(BLOCKS[0]).hexdigest())
    assert 1 == run(["verify", "--files", "--json", *home])
    result = capsys.readouterr()
    assert {"part": "files", "problem": "1 lost"} in json.loads(result.out)
    assert "1 models became unavailable, because their bytes are lost" in result.err
    assert "modelyard: the file store lacks files that the database names" in result.err

    def is_removed() -> bool:
        assert 0 == run(["gc", "--unknown", "--grace", "0s", *home])
        return unknown in capsys.readouterr().out

    # A store says when it got a file in whole seconds, and Swift rounds them up.
    assert wait_for(is_removed)
