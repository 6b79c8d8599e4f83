"""A server as its own processes, by the real command, and what its workers hold of a client's connections."""

import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

SOURCE = Path(__file__).parents[1] / "src"
PROGRAM = (sys.executable, "-c", "from modelyard.cli import main; main()")


@dataclass(frozen=True)
class Served:
    port: int
    parent: int
    key: str

    def children(self) -> list[int]:
        """The processes that the server has started: its workers, and who keeps the index up."""
        children = Path(f"/proc/{self.parent}/task/{self.parent}/children").read_text().split()
        return [int(child) for child in children]

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ids(self, connection: http.client.HTTPConnection, query: str = "pagination.limit=100") -> list[int]:
        """Return the ids of the page that a query asks for, over one connection."""
        connection.request("GET", f"/v3/model?{query}", headers={"Authorization": f"Bearer {self.key}"})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        return [model["id"] for model in json.loads(body)["models"]]

    def holder(self, connection: http.client.HTTPConnection) -> int | None:
        """Return the worker that has the other end of a connection."""
        assert connection.sock is not None
        ours = connection.sock.getsockname()[1]
        wanted = (f"0100007F:{self.port:04X}", f"0100007F:{ours:04X}")
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if (fields[1], fields[2]) == wanted:
                for child in self.children():
                    if f"socket:[{fields[9]}]" in _open_files(child):
                        return child
        return None

    @contextmanager
    def one_connection_to_each(self, workers: int) -> Iterator[dict[int, http.client.HTTPConnection]]:
        """Connect until every worker has taken a connection."""
        with ExitStack() as stack:
            found: dict[int, http.client.HTTPConnection] = {}
            for _ in range(400):
                connection = stack.enter_context(closing(self.connect()))
                self.ids(connection, "pagination.limit=1")
                if holder := self.holder(connection):
                    found.setdefault(holder, connection)
                if len(found) == workers:
                    break
            assert len(found) == workers, found.keys()
            yield found


def _open_files(process: int) -> set[str]:
    found = set()
    try:
        for link in Path(f"/proc/{process}/fd").iterdir():
            try:
                found.add(str(link.readlink()))
            except OSError:
                continue
    except OSError:
        return set()
    return found


def environment() -> dict[str, str]:
    """Return this process's environment without settings of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MODELYARD_")}
    return {**kept, "PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1"}


@contextmanager
def serving(
    home: Path,
    workers: int,
    key: str,
    *,
    exit_status: int = 0,
    log: IO[str] | int = subprocess.DEVNULL,
    **settings: str,
) -> Iterator[Served]:
    """Run ``modelyard serve`` on a free port, and end it as its operator does. ``settings`` are in its environment.

    ``exit_status`` is what it has to end with: another one if the test kills it. ``log`` is a file for its log.
    """
    command = [*PROGRAM, "serve", "--home", str(home), "--port", "0", "--workers", str(workers)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=log, text=True, env={**environment(), **settings}
    ) as parent:
        try:
            assert parent.stdout is not None
            address = re.search(r"http://127\.0\.0\.1:(\d+)", parent.stdout.readline())
            assert address is not None, "it did not start"
            yield Served(int(address[1]), parent.pid, key)
            parent.terminate()
            assert parent.wait(120) == exit_status
        finally:
            parent.kill()
