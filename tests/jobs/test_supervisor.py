"""Several workers behind one socket: what was acknowledged anywhere, the next request on every worker sees.

The server is the real command. Work per page is held here too, counted and not timed. Not covered: signals and ports
(test_cli.py), kills at random instants (test_crashes.py).
"""

import json
import os
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelyard.auth import Auth
from modelyard.catalog import open_catalog
from modelyard.domain import ANONYMOUS, ModelQuery, Offset, Scope, Source, Viewer, model_type
from modelyard.facts import Facts, Layer, Record
from modelyard.index import Index, SegmentDirectory
from modelyard.index import segment as segment_module
from modelyard.index.budget import Spend
from modelyard.store import Store, open_store
from tests.app_fixture import a_model, a_private
from tests.process_commands import PROGRAM, Served, environment, serving

WORKERS = 3


@dataclass(frozen=True)
class Home:
    """A served home, and its store as another process has it."""

    folder: Path
    store: Store
    server: Served


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    store = open_store(f"sqlite:///{tmp_path}/modelyard.sqlite")
    key, _ = Auth(store).create_key("red", [Scope.READ, Scope.WRITE])
    with serving(tmp_path, WORKERS, key) as server:
        yield Home(tmp_path, store, server)
    store.close()


def a_record(number: int, rank: int) -> Record:
    facts = Facts(name="v1", sd_name=f"file{number}.safetensors", type=model_type("LORA"), rank=rank)
    return Record(number, Source.CIVITAI, Layer.UPSTREAM, facts)


def test_what_was_acknowledged_the_next_request_on_every_worker_sees(home: Home) -> None:
    writing = open_catalog(home.store)
    with home.server.one_connection_to_each(WORKERS) as connections:
        for number in range(1, 41):
            (outcome,) = writing.register_many([a_record(number, rank=number)])
            assert outcome.result == "added"

            for worker, connection in connections.items():
                assert home.server.ids(connection)[0] == number, f"write {number}, worker {worker}"
        for number in range(40, 30, -1):
            (outcome,) = writing.register_many([a_record(number, rank=-number)])
            for connection in connections.values():
                assert home.server.ids(connection)[0] == number - 1
    assert SegmentDirectory(home.folder / "index", "", "").is_served()


def test_what_a_command_imported_every_worker_sees(home: Home, tmp_path: Path) -> None:
    versions = [
        {"id": n, "name": "v1", "files": [{"id": n, "name": f"f{n}.safetensors", "type": "Model"}]}
        for n in range(1, 701)
    ]
    (tmp_path / "answer.json").write_text(json.dumps({"id": 1, "name": "m", "type": "LORA", "modelVersions": versions}))
    with home.server.one_connection_to_each(WORKERS) as connections:
        command = [*PROGRAM, "import", "civitai", str(tmp_path / "answer.json"), "--home", str(home.folder)]
        subprocess.run(command, env=environment(), check=True, capture_output=True)

        for connection in connections.values():
            assert home.server.ids(connection, "pagination.limit=2&pagination.cursor=c_698") == [2, 1]


def test_a_worker_that_dies_is_replaced_and_the_new_one_answers_at_once(home: Home) -> None:
    writing = open_catalog(home.store)
    list(writing.register_many([a_record(1, rank=1)]))
    with home.server.one_connection_to_each(WORKERS) as connections:
        victim = next(iter(connections))
        before = set(home.server.children())

        os.kill(victim, signal.SIGKILL)

        deadline = time.monotonic() + 120
        while not set(home.server.children()) - before:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        others = [connection for worker, connection in connections.items() if worker != victim]
        assert [[1], [1]] == [home.server.ids(connection) for connection in others]
    list(writing.register_many([a_record(2, rank=2)]))
    with home.server.one_connection_to_each(WORKERS) as connections:
        assert victim not in connections
        assert [[2, 1]] * WORKERS == [home.server.ids(connection) for connection in connections.values()]


def test_the_title_of_a_process_says_what_it_is(home: Home) -> None:
    def title(pid: int) -> str:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()

    titles = Counter(map(title, home.server.children()))

    assert "modelyard: server" == title(home.server.parent)
    assert {"modelyard: indexer", "modelyard: verifier", "modelyard: hasher"} <= titles.keys()
    assert WORKERS == titles["modelyard: worker"]


def test_requests_wait_for_a_start_rather_than_fail(home: Home) -> None:
    """The port is open before the index is: who connects early is answered, not refused."""
    with socket.create_connection(("127.0.0.1", home.server.port), timeout=60) as early:
        early.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

        assert early.recv(100).startswith(b"HTTP/1.1 ")


# --- Work per page ---------------------------------------------------------------------------------------------------


class Work:
    """What a page of 20 takes: sets asked for, texts looked at, records cut out."""

    def __init__(self, index: Index) -> None:
        self.counts: Counter[str] = Counter()
        (part,) = index.segments
        self.index = index
        segment = part.segment
        one, text, rendered = segment.one, segment.text, segment.rendered

        def counted_one(tier: int, key: int, spend: Spend = int) -> object:
            self.counts["sets"] += 1
            return one(tier, key, spend)

        def counted_text(row: int) -> bytes:
            self.counts["texts"] += 1
            return text(row)

        def counted_records(rows: Sequence[int], is_summary: bool) -> list[bytes]:
            self.counts["records"] += len(rows)
            return rendered(rows, is_summary)

        segment.one = counted_one  # type: ignore[method-assign,assignment] # counted, then done as it was
        segment.text = counted_text
        segment.rendered = counted_records  # type: ignore[method-assign] # the same

    def of(self, query: ModelQuery, viewer: Viewer = ANONYMOUS) -> Counter[str]:
        self.counts.clear()
        self.index.search(viewer, query)
        return self.counts


@pytest.fixture(scope="module")
def work() -> Iterator[Work]:
    """Five tiers: 64, 256, 1024, 4096 and 8000 rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment_module, "TIER_FIRST", 64)
        index = Index(lambda _: b"{}")
        kinds = ("LORA", "Checkpoint", "LORA", "LORA")
        index.load(
            [
                a_model(
                    n,
                    rank=n,
                    type=model_type("VAE" if n % 3_000 == 0 else kinds[n % 4]),
                    tags=(f"t{n % 10}", "everywhere"),
                )
                for n in range(1, 8_001)
            ]
            + [a_private(9_000, "red", rank=0)],
            1,
        )
        yield Work(index)


TIERS = 5
PAGE_OF_20 = {
    "no filter": (ModelQuery(), {"sets": 1, "records": 20}),
    "frequent type": (ModelQuery(types=frozenset({"lora"})), {"sets": 2, "records": 20}),
    "a union of types": (ModelQuery(types=frozenset({"lora", "dora"})), {"sets": 3, "records": 20}),
    "a rare type, through all tiers": (ModelQuery(types=frozenset({"vae"})), {"sets": 2 * TIERS, "records": 2}),
    "a type nobody has": (ModelQuery(types=frozenset({"poses"})), {"sets": 2 * TIERS, "records": 0}),
    "a term on every row": (ModelQuery(terms=("everywhere",)), {"sets": 9, "texts": 20, "records": 20}),
    "a deep page": (ModelQuery(start=a_model(4_000, rank=4_000).position), {"sets": 1, "records": 20}),
    "a deep offset": (ModelQuery(start=Offset(7_000)), {"sets": TIERS, "records": 20}),
    "a term of three letters": (ModelQuery(terms=("ev", "ery")), {"sets": 3, "texts": 0, "records": 20}),
}


@pytest.mark.parametrize("question", PAGE_OF_20)
def test_a_page_takes_no_more_work_than_it_should(work: Work, question: str) -> None:
    query, most = PAGE_OF_20[question]
    work.of(query)  # unions are joined at the first time, and kept

    done = work.of(query)

    assert done["records"] == most["records"]
    assert done["sets"] <= most["sets"], done
    assert done["texts"] <= most.get("texts", 0), done
