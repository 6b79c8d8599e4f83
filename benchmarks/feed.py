"""The change feed: the memory of idle streams, what they cost a page, and how late a change is at its readers.

A server with one worker runs as its users start it. This process holds the streams, and writes models to the same
database, as another worker of the node would.

    memory   what the worker shares with no other process, with the streams and before them
    page     p99 of `GET /v3/model` over one connection, in turns with the streams and without them
    late     from the commit of a model to its event at a reader

    python -m benchmarks.feed                    1,000 streams, 60 changes
    python -m benchmarks.feed --streams 100
    python -m benchmarks.feed --database postgresql://…    an empty database; this process is another node

Last figures: docs/decide/benchmarks.md
"""

import argparse
import asyncio
import http.client
import os
import re
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import cast

from benchmarks.search import machine
from benchmarks.serving import private_bytes
from modelyard.auth import Auth
from modelyard.domain import Scope
from modelyard.facts import Entry
from modelyard.store import Store, open_store
from tests.app_fixture import a_model
from tests.process_commands import serving

_MODELS = 1_000
_PAGES = 3_000
_PAUSE_SECONDS = 0.1
_ID = re.compile(rb"^id: (\d+)", re.MULTILINE)


class Readers:
    """Open streams. Each notes when it saw which revision."""

    def __init__(self, host: str, port: int, key: str, since: int) -> None:
        self._place = host, port
        self._head = (
            f"GET /v3/model/changes?since={since} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
            "Accept: text/event-stream\r\n\r\n"
        ).encode()
        self._readers: list[Reader] = []

    @property
    def seen_at(self) -> list[dict[int, float]]:
        """When each stream saw which revision."""
        return [reader.seen_at for reader in self._readers]

    async def open(self, count: int) -> None:
        """Open so many streams, and wait for the first event of each."""
        loop = asyncio.get_running_loop()
        for _ in range(count):
            reader = Reader(self._head)
            await loop.create_connection(lambda reader=reader: reader, *self._place)
            await reader.is_open.wait()
            self._readers.append(reader)

    async def close(self) -> None:
        """Close all streams."""
        for reader in self._readers:
            reader.transport.close()
        await asyncio.sleep(0)


class Reader(asyncio.Protocol):
    """One stream. It does little for an event: all readers share the machine with the server."""

    transport: asyncio.Transport

    def __init__(self, head: bytes) -> None:
        self._head = head
        self.seen_at: dict[int, float] = {}
        self.is_open = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        self.transport = cast("asyncio.Transport", transport)
        transport.write(self._head)

    def data_received(self, data: bytes) -> None:
        """Note the revisions of the events."""
        now = time.time()
        for revision in _ID.findall(data):
            self.seen_at.setdefault(int(revision), now)
            self.is_open.set()


def cpu_of(process_id: int) -> float:
    """Return the CPU seconds of a process."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def page_p99(host: str, port: int, key: str) -> float:
    """Return the p99 of a page in milliseconds."""
    connection = http.client.HTTPConnection(host, port, timeout=60)
    times = []
    for number in range(_PAGES):
        begun = time.perf_counter()
        connection.request("GET", f"/v3/model?pagination.cursor=c_{number % 900}", headers={"Authorization": key})
        connection.getresponse().read()
        times.append(time.perf_counter() - begun)
    connection.close()
    return statistics.quantiles(times, n=100, method="inclusive")[98] * 1000


def put(store: Store, id_: int) -> tuple[int, float]:
    """Write a model; return its revision, and when it was committed."""
    with store.transaction() as writing:
        writing.put([Entry(a_model(id_), {})])
    return writing.revision, time.time()


async def measure(store: Store, place: tuple[str, int], key: str, worker: int, streams: int, changes: int) -> None:
    """Print all figures."""
    without = [await asyncio.to_thread(page_p99, *place, key)]
    readers = Readers(*place, key, store.revision())
    await readers.open(1)
    before = private_bytes(worker)
    one = await late(store, readers, changes, first_id=10_000)
    await readers.open(streams - 1)
    await asyncio.sleep(1)
    grown = private_bytes(worker) - before
    print(
        f"memory of {streams - 1} idle streams   {grown / 2**20:.1f} MiB, {grown / (streams - 1) / 1024:.1f} KiB each"
    )
    idle = [await asyncio.to_thread(page_p99, *place, key)]
    cpu_seconds = cpu_of(worker)
    many = await late(store, readers, changes, first_id=20_000)
    cpu_seconds = (cpu_of(worker) - cpu_seconds) / changes / streams
    print(f"CPU of the worker for each change and reader   {cpu_seconds * 1e6:.0f} µs")
    idle.append(await asyncio.to_thread(page_p99, *place, key))
    await readers.close()
    await asyncio.sleep(2)
    without.append(await asyncio.to_thread(page_p99, *place, key))
    print(f"page p99, ms   without streams {min(without):.2f}, with {min(idle):.2f}")
    for name, times in (("1 reader", one), (f"{streams} readers", many)):
        cuts = statistics.quantiles(times, n=100, method="inclusive")
        print(f"late at {name}, ms   p50 {cuts[49]:.1f}   p99 {cuts[98]:.1f}   most {max(times):.1f}")


async def late(store: Store, readers: Readers, changes: int, first_id: int) -> list[float]:
    """Write models one by one; return how many milliseconds after the commit each reader saw each."""
    written = []
    for number in range(changes):
        written.append(await asyncio.to_thread(put, store, first_id + number))
        await asyncio.sleep(_PAUSE_SECONDS)
    await asyncio.sleep(2)
    return [(seen[revision] - at) * 1000 for seen in readers.seen_at for revision, at in written]


def main() -> None:
    """Run everything in a home of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, default=1_000)
    parser.add_argument("--changes", type=int, default=60)
    parser.add_argument("--database", default="", help="address of an empty PostgreSQL; SQLite without it")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        url = options.database or f"sqlite:///{home}/modelyard.sqlite"
        store = open_store(url)
        with store.transaction() as writing:
            writing.put([Entry(a_model(id_), {}) for id_ in range(1, _MODELS + 1)])
        key, _ = Auth(store).create_key("red", [Scope.READ])
        with serving(home, 1, key, MODELYARD_RATE_LIMIT_PER_MINUTE="0", MODELYARD_DATABASE_URL=url) as server:
            with server.one_connection_to_each(1) as connections:
                (worker,) = connections
            place = "127.0.0.1", server.port
            asyncio.run(measure(store, place, key, worker, options.streams, options.changes))
        store.close()


if __name__ == "__main__":
    main()
