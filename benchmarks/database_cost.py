"""What one node costs its database: statements and wakeups of an idle node, and writes over a slow network.

A server with one worker on PostgreSQL 18, all on this machine, through a small TCP proxy of this program that delays
every round trip. Statements are counted in the log of the database. A wakeup is a voluntary switch of a thread of the
server, as /proc counts them; memory is the proportional set size (PSS) of each process, by its title.

    python -m benchmarks.database_cost            about 3 minutes
    python -m benchmarks.database_cost --idle 20 --writes 50

The figures are in docs/decide/benchmarks.md, under "Several nodes".
"""

import argparse
import base64
import http.client
import json
import selectors
import socket
import statistics
import tempfile
import threading
import time
from collections import deque
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa

from modelyard.auth import Auth
from modelyard.domain import Scope
from modelyard.store import open_store
from tests.process_commands import Served, serving
from tests.process_servers import PostgresServer, postgres_server
from tests.transfers import lora_bytes


class SlowNetwork:
    """Connections to a port of 127.0.0.1 whose round trips take ``delay_seconds`` longer."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.delay_seconds = 0.0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", self._target))
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        waiting: deque[tuple[float, socket.socket, bytes]] = deque()
        with client, server, selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            while True:
                timeout = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
                for key, _ in selector.select(timeout):
                    data = key.fileobj.recv(65_536)  # type: ignore[union-attr] # a socket
                    if not data:
                        return
                    waiting.append((time.monotonic() + self.delay_seconds / 2, key.data, data))
                while waiting and waiting[0][0] <= time.monotonic():
                    _, target, data = waiting.popleft()
                    target.sendall(data)


def count_statements(server: PostgresServer, offset: int) -> int:
    """Return how many statements the log has after an offset."""
    lines = server.log.read_bytes()[offset:].decode(errors="replace").splitlines()
    return len([line for line in lines if "LOG:  statement:" in line or "LOG:  execute" in line])


def processes_of(served: Served) -> dict[int, str]:
    """Return the titles of the server's processes, by id."""
    found, remaining = {}, [served.parent]
    while remaining:
        process = remaining.pop()
        found[process] = Path(f"/proc/{process}/cmdline").read_bytes().rstrip(b"\0").decode()
        children = Path(f"/proc/{process}/task").glob("*/children")
        remaining += [int(child) for path in children for child in path.read_text().split()]
    return found


def count_wakeups(processes: dict[int, str]) -> int:
    """Return how often the threads of the processes have gone to sleep so far."""
    statuses = [path.read_text() for process in processes for path in Path(f"/proc/{process}/task").glob("*/status")]
    name = "\nvoluntary_ctxt_switches:"
    return sum(int(status.partition(name)[2].split()[0]) for status in statuses)


def memory_of(process: int) -> float:
    """Return the proportional set size of a process, in MiB."""
    text = Path(f"/proc/{process}/smaps_rollup").read_text()
    return int(text.partition("\nPss:")[2].split()[0]) / 1024


def ask(served: Served, method: str, target: str, body: bytes, **headers: str) -> http.client.HTTPResponse:
    """Send a request over a connection of its own."""
    given = {"Authorization": f"Bearer {served.key}", **{k.replace("_", "-"): v for k, v in headers.items()}}
    with closing(served.connect()) as connection:
        connection.request(method, target, body, given)
        answer = connection.getresponse()
        answer.read()
    assert answer.status < 300, answer.status
    return answer


def send_upload(served: Served, seed: int) -> int:
    """Upload a file by one request of tus; return the id of its model."""
    content = lora_bytes(seed=seed)
    metadata = f"filename {base64.b64encode(b'night.safetensors').decode()}"
    words = {"Tus_Resumable": "1.0.0", "Upload_Length": str(len(content)), "Upload_Metadata": metadata}
    kind = "application/offset+octet-stream"
    answer = ask(served, "POST", "/v3/uploads", content, Content_Type=kind, **words)
    path = "/v3/uploads/" + (answer.getheader("Location") or "").rpartition("/")[2]
    return int(ask(served, "HEAD", path, b"", Tus_Resumable="1.0.0").getheader("Modelyard-Model") or 0)


def rename(served: Served, model_id: int, name: str) -> float:
    """Rename a model; return the seconds that it took."""
    begin = time.monotonic()
    ask(served, "PATCH", f"/v3/model?id={model_id}", json.dumps({"name": name}).encode())
    return time.monotonic() - begin


def measure(server: PostgresServer, home: Path, idle_seconds: float, writes: int) -> None:
    """Print all figures."""
    url = server.make_database()
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {sa.make_url(url).database} SET log_statement = 'all'")
    engine.dispose()
    store = open_store(url)
    key, _ = Auth(store).create_key("red", [Scope.READ, Scope.WRITE])
    store.close()
    network = SlowNetwork(server.port)
    slow_url = url.replace(f":{server.port}/", f":{network.port}/")
    with serving(home, 1, key, MODELYARD_DATABASE_URL=slow_url) as served:
        model_id = send_upload(served, 1)
        time.sleep(15)
        processes = processes_of(served)
        offset, switches = server.log.stat().st_size, count_wakeups(processes)
        time.sleep(idle_seconds)
        statements, wakeups = count_statements(server, offset), count_wakeups(processes) - switches
        print(f"idle: {statements / idle_seconds:.1f} statements/s, {wakeups / idle_seconds:.1f} wakeups/s")
        for process, title in sorted(processes.items(), key=lambda item: item[1]):
            print(f"{title or 'modelyard'}: {memory_of(process):.0f} MiB")
        for milliseconds in (0, 1, 5):
            network.delay_seconds = milliseconds / 1000
            rename(served, model_id, "first")
            took = sorted(rename(served, model_id, f"name {number}") for number in range(writes))
            median, late = statistics.median(took) * 1000, took[int(len(took) * 0.95)] * 1000
            print(f"PATCH at {milliseconds} ms to the database: median {median:.1f} ms, 95th percentile {late:.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--idle", type=float, default=30.0, help="for how many seconds an idle node is watched")
    parser.add_argument("--writes", type=int, default=100, help="how many changes are timed at each delay")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, postgres_server(Path(folder)) as server:
        (Path(folder) / "home").mkdir()
        measure(server, Path(folder) / "home", chosen.idle, chosen.writes)


if __name__ == "__main__":
    main()
