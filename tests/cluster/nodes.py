"""Nodes as their operators run them: the real command, started again whenever it ends, on networks of their own."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.app_fixture import Reply
from tests.cluster.databases import Databases, running_databases, wait
from tests.cluster.network import Network
from tests.process_commands import PROGRAM, environment
from tests.process_servers import free_port
from tests.swift_server import SwiftServer, swift_server

# What every request is answered within. The longest that we wait for ourselves is a writer's turn and a connection.
ANSWER_SECONDS_MAX = 90.0
_RESTART_SECONDS = 0.5


@dataclass
class Node:
    """One node; ``kill`` ends all its processes at once, and whoever supervises it starts it again."""

    home: Path
    port: int
    environment: Mapping[str, str]
    network: Network
    _process: subprocess.Popen[bytes] | None = None
    _ended: threading.Event = field(default_factory=threading.Event)
    _held: threading.Event = field(default_factory=threading.Event)
    _supervisor: threading.Thread | None = None

    def start(self) -> None:
        """Start it, and see to it that it runs."""
        self.home.mkdir(exist_ok=True)
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)
        self._supervisor.start()

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def stop(self) -> None:
        """End it for good."""
        self._ended.set()
        if self._supervisor is not None:
            while self._supervisor.is_alive():
                self.kill()
                self._supervisor.join(0.1)

    def ask(
        self, method: str, target: str, body: bytes = b"", seconds: float = ANSWER_SECONDS_MAX, **headers: str
    ) -> Reply:
        """Send one request over a connection of its own. Raises OSError or HTTPException where none can be had."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            connection.request(method, target, body or None, {k.replace("_", "-"): v for k, v in headers.items()})
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def readiness(self) -> tuple[str, int]:
        """What it says of itself, and its revision; "" where it does not answer."""
        with contextlib.suppress(OSError, http.client.HTTPException, json.JSONDecodeError):
            reply = self.ask("GET", "/readyz", seconds=10)
            if reply.status == 200:
                return reply.json["status"], reply.json["revision"]
        return "", -1

    @property
    def log(self) -> Path:
        """Where it writes what happens to it."""
        return self.home / "node.log"

    def _supervise(self) -> None:
        command = [*PROGRAM, "serve", "--home", str(self.home), "--port", str(self.port), "--workers", "1"]
        while not self._ended.is_set():
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    command,
                    env={**environment(), **self.environment},
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
                self._process.wait()
            # Others of its processes may be a moment behind it, and hold its locks.
            self.kill()
            self._ended.wait(_RESTART_SECONDS)


@dataclass
class Cluster:
    """Nodes, and what they run on."""

    nodes: list[Node]
    databases: Databases
    swift: SwiftServer
    url: str

    def mend(self) -> None:
        """Make everything whole again; wait until every node says so, and has every revision."""
        for node in self.nodes:
            node.network.mend()
        self.databases.wait_until_followed()
        for node in self.nodes:
            wait(lambda node=node: self._is_current(node), f"a node does not heal:\n{_tail(node)}")  # type: ignore[misc] # mypy cannot infer a lambda with a default

    def _is_current(self, node: Node) -> bool:
        revision = self.databases.revision()
        status, has = node.readiness()
        return status == "ready" and has >= revision


@contextmanager
def running_cluster(folder: Path, node_count: int = 3) -> Iterator[Cluster]:
    """Give nodes on a primary with two replicas, and on Swift; nothing is in the catalogue."""
    with ExitStack() as stack:
        (folder / "swift").mkdir()
        swift = stack.enter_context(swift_server(folder / "swift"))
        bucket = swift.make_bucket()
        databases = stack.enter_context(running_databases(folder))
        nodes = []
        for number in range(node_count):
            network = Network(databases.ports)
            network.start()
            stack.callback(network.close)
            given = {
                **swift.environment,
                "MODELYARD_DATABASE_URL": database_url(network.ports),
                "MODELYARD_STORAGE_URL": f"s3://{bucket}/files",
            }
            nodes.append(Node(folder / f"node{number}", free_port(), given, network))
        for node in nodes:
            stack.callback(node.stop)
            node.start()
        cluster = Cluster(nodes, databases, swift, database_url(databases.ports))
        for node in nodes:
            wait(lambda node=node: node.readiness()[0] == "ready", f"a node does not start:\n{_tail(node)}")  # type: ignore[misc] # as above
        yield cluster


def database_url(ports: list[int]) -> str:
    """Return the URL that finds the primary among servers."""
    hosts = "&".join(f"host=127.0.0.1:{port}" for port in ports)
    return f"postgresql+psycopg://postgres@/modelyard?{hosts}&target_session_attrs=read-write"


def _tail(node: Node) -> str:
    return node.log.read_text()[-3000:] if node.log.exists() else ""
