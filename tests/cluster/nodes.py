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
from tests.cluster.databases import LONG_SECONDS, Databases, running_databases, wait
from tests.cluster.network import Network
from tests.pgbouncer import running_bouncer
from tests.process_commands import PROGRAM, SOURCE, environment
from tests.process_servers import free_port, postgres_programs
from tests.swift_server import SwiftServer, swift_server

# What every request is answered within. The longest that we wait for ourselves is a writer's turn and a connection.
ANSWER_SECONDS_MAX = 90.0
_RESTART_SECONDS = 0.5
# Nodes may send webhooks to this machine.
_OUTBOUND = {"MODELYARD_OUTBOUND_NETWORKS": "127.0.0.0/8", "MODELYARD_OUTBOUND_ALLOW_HTTP": "yes"}
_WRONG_CLOCK = Path(__file__).with_name("wrong_clock")


@dataclass
class Node:
    """One node; ``kill`` ends all its processes at once, and whoever supervises it starts it again."""

    home: Path
    port: int
    environment: Mapping[str, str]
    network: Network
    # By how much its clock is wrong from its next start on.
    wrong_seconds: float = 0.0
    # By how much that of its process is.
    running_wrong_seconds: float = 0.0
    # How often it was started, and the last start after which it answered a read.
    starts: int = 0
    answered_start: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _ended: threading.Event = field(default_factory=threading.Event)
    _supervisor: threading.Thread | None = None

    def start(self) -> None:
        """Start it, and see to it that it runs."""
        self.home.mkdir(exist_ok=True)
        self._ended.clear()
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)
        self._supervisor.start()

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def stop(self) -> None:
        """End it until it is started."""
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
            wrong_seconds = self.wrong_seconds
            clock = {"PYTHONPATH": f"{SOURCE}:{_WRONG_CLOCK}", "WRONG_CLOCK_SECONDS": str(wrong_seconds)}
            self.starts += 1
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    command,
                    env={**environment(), **self.environment, **clock},
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
                self.running_wrong_seconds = wrong_seconds
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
    # What an operator's commands have in their environment.
    environment: Mapping[str, str]
    folder: Path

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command as the operator, on no node."""
        command = [*PROGRAM, *map(str, words), "--home", str(self.folder / "operator")]
        programs = {"PATH": f"{postgres_programs()}:{os.environ['PATH']}"}
        variables = {**environment(), **self.environment, **programs}
        return subprocess.run(command, env=variables, check=False, capture_output=True, text=True, timeout=LONG_SECONDS)

    def mend(self) -> None:
        """Make everything whole again; wait until every node says so, and has every revision."""
        for node in self.nodes:
            node.network.mend()
        self.databases.wait_until_followed()
        for node in self.nodes:
            wait(lambda node=node: self._is_current(node), f"a node does not heal:\n{_tail(node)}")  # type: ignore[misc] # mypy cannot infer a lambda with a default

    def wait_until_ready(self) -> None:
        """Wait until every node says that it is ready."""
        for node in self.nodes:
            wait(lambda node=node: node.readiness()[0] == "ready", f"a node does not start:\n{_tail(node)}")  # type: ignore[misc] # mypy cannot infer a lambda with a default

    def _is_current(self, node: Node) -> bool:
        revision = self.databases.revision()
        status, has = node.readiness()
        return status == "ready" and has >= revision


@contextmanager
def running_cluster(folder: Path, node_count: int = 3, *, has_bouncer: bool = False) -> Iterator[Cluster]:
    """Give nodes on a primary with two replicas, and on Swift; nothing is in the catalogue.

    With a bouncer, the last node reaches the primary through a PgBouncer, and listens at the servers themselves.
    """
    with ExitStack() as stack:
        for name in ("swift", "operator"):
            (folder / name).mkdir()
        swift = stack.enter_context(swift_server(folder / "swift"))
        storage = {**swift.environment, "MODELYARD_STORAGE_URL": f"s3://{swift.make_bucket()}/files"}
        databases = stack.enter_context(running_databases(folder))
        networks = [Network(databases.ports) for _ in range(node_count)]
        if has_bouncer:
            bouncer = stack.enter_context(running_bouncer(databases.ports[0], 20))
            databases.followers.append(lambda primary: bouncer.lead_to(databases.ports[primary]))
            networks[-1] = Network([*databases.ports, bouncer.port])
        nodes = []
        for number, network in enumerate(networks):
            network.start()
            stack.callback(network.close)
            settings = {**storage, **_database_settings(network.ports, len(databases.ports)), **_OUTBOUND}
            nodes.append(Node(folder / f"node{number}", free_port(), settings, network))
        for node in nodes:
            stack.callback(node.stop)
            node.start()
        url = database_url(databases.ports)
        operator = {**storage, "MODELYARD_DATABASE_URL": url}
        cluster = Cluster(nodes, databases, swift, url, operator, folder)
        cluster.wait_until_ready()
        yield cluster


def _database_settings(ports: list[int], server_count: int) -> dict[str, str]:
    """Return the settings of a node that reaches the servers at the first ports, and a bouncer at one more."""
    servers = database_url(ports[:server_count])
    if len(ports) == server_count:
        return {"MODELYARD_DATABASE_URL": servers}
    bouncer = f"postgresql+psycopg://postgres@127.0.0.1:{ports[-1]}/modelyard"
    return {"MODELYARD_DATABASE_URL": bouncer, "MODELYARD_DATABASE_LISTEN_URL": servers}


def database_url(ports: list[int]) -> str:
    """Return the URL that finds the primary among servers."""
    hosts = "&".join(f"host=127.0.0.1:{port}" for port in ports)
    return f"postgresql+psycopg://postgres@/modelyard?{hosts}&target_session_attrs=read-write"


def _tail(node: Node) -> str:
    return node.log.read_text()[-3000:] if node.log.exists() else ""
