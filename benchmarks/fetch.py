"""Fetching a model file from another server, beside curl on the same link.

    python -m benchmarks.fetch [--mb 1024] [--rounds 5]

The other server is a process of its own, which sends a random safetensors file with sendfile: first as fast as the
loopback allows, then as a link of 1 Gbit/s would. Both write the file to the same disk and fsync it. A fetch counts
from its job to the transaction that hands the file to verification: it asks, receives, computes the SHA-256, records
its progress, and compares the length. Verification reads the file again and is not counted. The ways take turns, and
the median of the rounds counts; CPU is that of the fetching process.
"""

import argparse
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from benchmarks.transfer import make_model
from modelyard import blobs
from modelyard.fetches import Fetcher, Fetches, Hosts
from modelyard.fetches.fetches import FetchRequest
from modelyard.fetches.sources import parse_source
from modelyard.outbound import AddressPolicy, Outbound, origin_of
from modelyard.store import Store, jobs, open_store
from modelyard.uploads.uploads import UploadLimits, Uploads

LINK_BYTES_PER_SECOND = 125_000_000
_PIECE_BYTES = 1 << 20
_TEAM = "bench"
# By the clock and of the processor.
Seconds = tuple[float, float]


class Run:
    """The run of a job that nobody stops."""

    def __init__(self, fetch_id: str) -> None:
        self._id = fetch_id

    def is_stopping(self) -> bool:
        return False

    def allow_bytes(self, size_bytes: int) -> None:
        """Nobody watches it."""

    def finish(self, connection: sa.Connection) -> None:
        jobs.drop(connection, jobs.FETCH, self._id)


class Node:
    """A home with a fetcher."""

    def __init__(self, store: Store, home: Path, origin: str) -> None:
        storage = blobs.open_storage("", home, {})
        received = Uploads(store, storage.kept, storage.incoming, UploadLimits(10**12, 1000, 0, 3600))
        policy = AddressPolicy(origins={origin})
        outbound = Outbound(policy)
        self._store = store
        self._incoming = storage.incoming
        self._fetches = Fetches(store, storage.kept, storage.incoming, policy)
        self._fetcher = Fetcher(store, storage.kept, storage.incoming, received, outbound, Hosts())

    def fetch(self, url: str) -> Seconds:
        """Fetch a file; return the seconds, and remove it."""
        fetch, _ = self._fetches.add(FetchRequest(parse_source(url), _TEAM))
        began, began_cpu = time.perf_counter(), time.process_time()
        assert self._fetcher.fetch(fetch.id, Run(fetch.id)) is None
        seconds = time.perf_counter() - began, time.process_time() - began_cpu
        with self._store.reading() as connection:
            assert jobs.exists(connection, jobs.CHECK, fetch.id), self._fetches.get(_TEAM, fetch.id).problem
        self._fetches.cancel(_TEAM, fetch.id)
        return seconds


def fetch_by_curl(url: str, path: Path) -> Seconds:
    """Fetch a file by curl, and have the disk write it; return the seconds, and remove it."""
    began, began_cpu = time.perf_counter(), _cpu_of_children()
    subprocess.run(["curl", "--silent", "--show-error", "--fail", "--output", str(path), url], check=True)
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    seconds = time.perf_counter() - began, _cpu_of_children() - began_cpu
    path.unlink()
    return seconds


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@contextmanager
def serve(path: Path, bytes_per_second: int) -> Iterator[str]:
    """Serve one file by a process of its own; give its address. Without a rate it is as fast as it can be."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, number = listener.getsockname()[1], listener.fileno()
        words = [sys.executable, "-m", "benchmarks.fetch", "--serve", str(path), str(number), str(bytes_per_second)]
        with subprocess.Popen(words, pass_fds=[number]) as process:
            try:
                yield f"http://127.0.0.1:{port}/model.safetensors"
            finally:
                process.terminate()


def answer_forever(path: Path, listener: socket.socket, bytes_per_second: int) -> None:
    """Answer each connection with the file."""
    size = path.stat().st_size
    head = f'HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nETag: "1"\r\nConnection: close\r\n\r\n'.encode()
    with path.open("rb") as file:
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(head)
                _send(connection, file.fileno(), size, bytes_per_second)


def _send(connection: socket.socket, file: int, size: int, bytes_per_second: int) -> None:
    began, offset = time.perf_counter(), 0
    while offset < size:
        offset += os.sendfile(connection.fileno(), file, offset, min(_PIECE_BYTES, size - offset))
        if bytes_per_second and (pause := offset / bytes_per_second - (time.perf_counter() - began)) > 0:
            time.sleep(pause)


def measure(name: str, megabytes: int, rounds: int, ways: Mapping[str, Callable[[], Seconds]]) -> None:
    """Let the ways take turns, and print the median round of each."""
    results: dict[str, list[Seconds]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            results[way].append(run())
    middle = {way: statistics.median(seconds for seconds, _ in rows) for way, rows in results.items()}
    cpu = {way: statistics.median(seconds for _, seconds in rows) for way, rows in results.items()}
    for way in ways:
        print(f"{name:9} {way:6} {megabytes / middle[way]:6.0f} MiB/s, {cpu[way]:5.2f} s of CPU")
    pairs = zip(results["curl"], results["fetch"], strict=True)
    ratio = statistics.median(by_curl / by_fetch for (by_curl, _), (by_fetch, _) in pairs)
    print(f"{name:9} fetch has {ratio:.2f} times the throughput of curl, the median of the rounds (wanted: 0.9)")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        path, number, rate = arguments.serve
        answer_forever(Path(path), socket.socket(fileno=int(number)), int(rate))
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, load {os.getloadavg()[0]:.1f} at the start")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        file = folder / "model.safetensors"
        make_model(file, arguments.mb << 20)
        store = open_store(f"sqlite:///{folder}/modelyard.sqlite")
        for link, rate in (("loopback", 0), ("1 Gbit/s", LINK_BYTES_PER_SECOND)):
            with serve(file, rate) as url:
                node = Node(store, folder, origin_of(url))
                ways: dict[str, Callable[[], Seconds]] = {
                    "curl": lambda url=url: fetch_by_curl(url, folder / "copy"),
                    "fetch": lambda url=url, node=node: node.fetch(url),
                }
                measure(link, arguments.mb, arguments.rounds, ways)
        store.close()
    print(f"load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
