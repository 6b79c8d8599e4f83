"""Several nodes on one database: how soon a write is seen, what reads, a new node and a failover cost.

Three nodes of one worker each, on PostgreSQL 18 with two replicas of which one has every commit before it is
acknowledged, and on Swift, all on this machine, as the tests run them (tests/cluster). CPU a request is that of the
process that answers, read from the system before and after; the clients' is not in it. Times by the clock hold for a
machine that does all of this at once: nodes, databases, file store and clients share its cores.

    python -m benchmarks.cluster                       all parts; a new node at 100,000 models; about 5 minutes
    python -m benchmarks.cluster --parts node --models 1000000
    python -m benchmarks.cluster --parts freshness,reads,failover

The figures are in docs/decide/benchmarks.md, under "Past one machine".
"""

import argparse
import http.client
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import islice, pairwise
from pathlib import Path

import psutil

from benchmarks import synthesis
from modelyard.auth import Auth
from modelyard.blobs import open_shared
from modelyard.catalog import open_catalog
from modelyard.domain import Scope
from modelyard.jobs import tasks
from modelyard.store import open_store
from tests.cluster.load import Load, Oracle
from tests.cluster.nodes import Cluster, Node, running_cluster
from tests.process_servers import postgres_server
from tests.swift_server import swift_server

_WRITES = 300
# Clients and requests of all nodes together: with more of them a machine of two cores would measure its own crowding.
_REQUESTS = 12_000
_CLIENTS = 6
_TARGET = "/v3/model?filter.types=lora&pagination.limit=20"


class Client:
    """One connection to a node, opened again when it breaks."""

    def __init__(self, node: Node, key: str) -> None:
        self._node = node
        self._words = {"Authorization": f"Bearer {key}"}
        self._connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=90)

    def ask(self, method: str, target: str, body: bytes | None = None, **headers: str) -> tuple[int, int]:
        """Return status and revision; status 0 where there was no answer."""
        given = self._words | {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            self._connection.request(method, target, body, given)
            answer = self._connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return 0, -1
        return answer.status, int(answer.headers.get("modelyard-revision", -1))


def freshness(cluster: Cluster, key: str, model_id: int) -> Iterator[tuple[str, str]]:
    """From a write's acknowledgement on one node to the first answer of the others that has it, under load."""
    waits: list[float] = []
    asked: list[float] = []
    missed = 0
    writer = Client(cluster.nodes[0], key)
    others = [Client(node, key) for node in cluster.nodes[1:]]
    with reading(cluster, key):
        for number in range(_WRITES):
            status, revision = rename(writer, model_id, number)
            assert status == 200, status
            began = time.perf_counter()
            threads = [threading.Thread(target=see, args=(other, revision, began, waits)) for other in others]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        for number in range(_WRITES):
            status, revision = rename(writer, model_id, _WRITES + number)
            began = time.perf_counter()
            status, seen = others[number % len(others)].ask("GET", _TARGET, modelyard_min_revision=str(revision))
            asked.append(time.perf_counter() - began)
            missed += status != 200 or seen < revision
    yield "written on one node, seen on the other two", distribution(waits)
    yield "the same, asked for by Modelyard-Min-Revision: answered in", distribution(asked)
    yield "answers without the write among those", f"{missed} of {len(asked)}"


def rename(client: Client, model_id: int, number: int) -> tuple[int, int]:
    return client.ask("PATCH", f"/v3/model?id={model_id}", json.dumps({"name": f"w0_n{number}"}).encode())


def see(client: Client, revision: int, began: float, waits: list[float]) -> None:
    while client.ask("GET", _TARGET)[1] < revision:
        pass
    waits.append(time.perf_counter() - began)


@contextmanager
def reading(cluster: Cluster, key: str) -> Iterator[None]:
    """Ask every node some fifty times a second meanwhile."""
    ended = threading.Event()

    def read(node: Node) -> None:
        client = Client(node, key)
        while not ended.wait(0.02):
            client.ask("GET", _TARGET)

    threads = [threading.Thread(target=read, args=(node,)) for node in cluster.nodes]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def reads(cluster: Cluster, key: str) -> Iterator[tuple[str, str]]:
    """CPU a request with one, two and three nodes answering, and with one whose database is away."""
    cpu_request(cluster.nodes, key)  # everybody's first page is the dearest
    alone = 0.0
    for count in (1, 2, 3):
        # In turn, as if each had a machine of its own: so it is seen whether nodes cost each other anything.
        each = [min(cpu_request([node], key) for _ in range(2)) for node in cluster.nodes[:count]]
        at_once = min(cpu_request(cluster.nodes[:count], key) for _ in range(2))
        alone = alone or each[0]
        for name, cost in (("in turn", sum(each) / count), ("at once, crowding this machine", at_once)):
            yield f"CPU a request, of {count} nodes {name}", f"{cost * 1e6:.1f} µs ({cost / alone:.2f} of one node's)"
    for server in cluster.databases.servers:
        server.kill()
    while cluster.nodes[0].readiness()[0] != "degraded":
        time.sleep(0.1)
    cost = min(cpu_request(cluster.nodes[:1], key) for _ in range(3))
    yield "CPU a request, the database away", f"{cost * 1e6:.1f} µs ({cost / alone:.2f} of one node's)"


def cpu_request(nodes: list[Node], key: str) -> float:
    """Return the CPU seconds that nodes take a request, of many that are divided among them."""
    before = [cpu_of(node) for node in nodes]
    threads = [
        threading.Thread(target=ask_often, args=(nodes[number % len(nodes)], key, _REQUESTS // _CLIENTS))
        for number in range(_CLIENTS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = 0.0
    for node, earlier in zip(nodes, before, strict=True):
        later = cpu_of(node)
        spent += max(later[pid] - earlier.get(pid, 0.0) for pid in later)
    return spent / _REQUESTS


def ask_often(node: Node, key: str, count: int) -> None:
    client = Client(node, key)
    for _ in range(count):
        status, _ = client.ask("GET", _TARGET)
        assert status == 200, status


def cpu_of(node: Node) -> dict[int, float]:
    """Return the CPU seconds so far of each of a node's processes."""
    assert node._process is not None
    found = {}
    for process in psutil.Process(node._process.pid).children(recursive=True):
        times = process.cpu_times()
        found[process.pid] = times.user + times.system
    return found


def failover(cluster: Cluster, key: str, model_id: int) -> Iterator[tuple[str, str]]:
    """The primary is killed and a replica promoted, under reads and writes through all nodes."""
    ended = threading.Event()
    written: list[float] = []
    answers: list[int] = []

    def write(node: Node) -> None:
        client = Client(node, key)
        while not ended.is_set():
            if rename(client, model_id, len(written))[0] == 200:
                written.append(time.perf_counter())

    def read(node: Node) -> None:
        client = Client(node, key)
        while not ended.wait(0.005):
            answers.append(client.ask("GET", _TARGET)[0])

    threads = [threading.Thread(target=act, args=(node,)) for node in cluster.nodes for act in (write, read)]
    gaps = []
    for thread in threads:
        thread.start()
    for _ in range(3):
        time.sleep(3)
        began = time.perf_counter()
        cluster.databases.fail_over()
        time.sleep(5)
        times = sorted([began, *(at for at in written if at > began)])
        gaps.append(max(b - a for a, b in pairwise(times)))
    ended.set()
    for thread in threads:
        thread.join()
    failed = sum(status != 200 for status in answers)
    yield "longest gap between acknowledged writes, three failovers", ", ".join(f"{gap:.2f} s" for gap in gaps)
    yield "reads that failed meanwhile", f"{failed} of {len(answers):,}"


def node_starts(count: int, folder: Path) -> Iterator[tuple[str, str]]:
    """A new node's index: built from the database, and fetched as another node published it."""
    (folder / "swift").mkdir()
    with ExitStack() as stack:
        swift = stack.enter_context(swift_server(folder / "swift"))
        server = stack.enter_context(postgres_server(folder))
        shared = open_shared(f"s3://{swift.make_bucket()}/files", swift.environment)
        assert shared is not None
        store = stack.enter_context(closing(open_store(server.make_database())))
        entries = synthesis.entries(count)
        while some := list(islice(entries, 2_000)):
            with store.transaction() as writing:
                writing.put(some)
        (folder / "first").mkdir()
        (folder / "second").mkdir()
        first = open_catalog(store, folder / "first", shared=shared)
        built = timed(first.load)
        assert first._replicator is not None
        published = timed(first._replicator.publish)
        second = open_catalog(store, folder / "second", shared=shared)
        fetched = timed(second.load)
        assert second.segments() == first.segments()
        size = sum(file.size_bytes for file in shared.all("index/"))
    yield f"a node at {count:,} models, from the database", f"{built:.1f} s"
    yield "the same, from published segments", f"{fetched:.1f} s ({fetched / built:.2f} of that; {size / 1e6:,.0f} MB)"
    (period,) = (kind.period_seconds for kind in tasks.KINDS if kind.name == "replication")
    yield "publishing them", f"{published:.1f} s; one looks whether to every {period:.0f} s"


def timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def distribution(seconds: list[float]) -> str:
    """Return a distribution's figures, in milliseconds."""
    ordered = sorted(seconds)
    at = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
    shown = [f"{name} {ordered[int(share * (len(ordered) - 1))] * 1e3:.1f}" for name, share in at.items()]
    return f"{', '.join(shown)}, most {ordered[-1] * 1e3:.1f} ms, of {len(ordered)}"


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--models", type=int, default=100_000, help="how many models the new node has")
    reader.add_argument("--parts", default="freshness,reads,failover,node")
    given = reader.parse_args()
    parts = given.parts.split(",")
    with tempfile.TemporaryDirectory() as folder:
        if {"freshness", "reads", "failover"} & set(parts):
            (Path(folder) / "cluster").mkdir()
            with running_cluster(Path(folder) / "cluster") as cluster:
                store = open_store(cluster.url)
                key, _ = Auth(store).create_key("red", [Scope.READ, Scope.WRITE])
                with store.transaction() as writing:
                    writing.put(list(islice(synthesis.entries(10_000), 10_000)))
                store.close()
                time.sleep(3)
                model_id = Load(cluster, key, Oracle(), 0)._made(0)
                if "freshness" in parts:
                    show(freshness(cluster, key, model_id))
                if "failover" in parts:
                    show(failover(cluster, key, model_id))
                if "reads" in parts:
                    show(reads(cluster, key))
        if "node" in parts:
            (Path(folder) / "node").mkdir()
            show(node_starts(given.models, Path(folder) / "node"))


def show(measured: Iterator[tuple[str, str]]) -> None:
    for name, figure in measured:
        print(f"{name:<62} {figure}", flush=True)


if __name__ == "__main__":
    main()
