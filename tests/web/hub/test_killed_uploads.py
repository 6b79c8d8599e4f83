"""Uploads by the real clients to a server that is killed in the middle, and started again.

The client talks through a line that stops in the middle of the file. A server that is killed while an upload is checked
is in ``tests/uploads``.
"""

import http.client
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests import hub_clients
from tests.app_fixture import open_app
from tests.hub_clients import HubClient
from tests.process_commands import Served, serving
from tests.transfers import WRITER
from tests.web.hub.test_uploading_clients import MIB, safetensors_of

FILE = "night.safetensors"
SIZE_BYTES = 5 * MIB


class Line:
    """Passes connections on, until it has passed a number of bytes to the server; then it holds all of them."""

    def __init__(self, server_port: int, bytes_max: int) -> None:
        self._server_port = server_port
        self._bytes_left: float = bytes_max
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.is_full = threading.Event()
        self._may_pass = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._start(self._accept)

    def _start(self, work: Callable[..., None], *values: object) -> None:
        self._threads.append(threading.Thread(target=work, args=values, daemon=True))
        self._threads[-1].start()

    def cut(self) -> None:
        """Close what is held."""
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def repair(self, server_port: int) -> None:
        """Pass everything on to another server, also the connections that wait."""
        self._server_port, self._bytes_left = server_port, float("inf")
        self._may_pass.set()

    def close(self) -> None:
        """End all threads, and close all sockets: one that is left fails the test in which it is collected."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._may_pass.set()
        for thread in self._threads:  # also those that start meanwhile
            self.cut()
            thread.join(10)
        for one in (self._listener, *self._sockets):
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                self._start(self._connect, client)

    def _connect(self, client: socket.socket) -> None:
        if self.is_full.is_set():
            self._may_pass.wait()
        with suppress(OSError):
            server = socket.create_connection(("127.0.0.1", self._server_port))
            self._sockets.append(server)
            self._start(self._pump, server, client, False)
            self._pump(client, server, True)

    def _pump(self, source: socket.socket, target: socket.socket, is_counted: bool) -> None:
        with suppress(OSError):
            while block := source.recv(65_536):
                if is_counted and not self._passes(len(block)):
                    return
                target.sendall(block)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _passes(self, size_bytes: int) -> bool:
        with self._lock:
            self._bytes_left -= size_bytes
            if self._bytes_left <= 0:
                self.is_full.set()
            return self._bytes_left > 0


@contextmanager
def line_to(server: Served, bytes_max: int) -> Iterator[Line]:
    line = Line(server.port, bytes_max)
    try:
        yield line
    finally:
        line.close()


def kill(server: Served) -> None:
    """End all processes of a server as a power cut does."""
    for process in (server.parent, *server.children()):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


@pytest.mark.parametrize(("generation", "way"), [("2.x", "xet"), ("0.36", "lfs")])
def test_an_upload_ends_after_the_server_was_killed_in_its_middle(
    request: pytest.FixtureRequest, tmp_path: Path, generation: str, way: str
) -> None:
    """The client tries again by itself or, if it gives up, when its user repeats the command."""
    home, path = tmp_path / "yard", tmp_path / FILE
    home.mkdir()
    path.write_bytes(safetensors_of(os.urandom(SIZE_BYTES)))
    programs = hub_clients.installed(request.config, generation)
    with open_app(home) as yard:
        key = yard.key("red", *WRITER)
    environment = {"HF_HUB_DISABLE_XET": "1"} if way == "lfs" else {}

    with (
        ThreadPoolExecutor(1) as pool,
        serving(home, 1, key, exit_status=-signal.SIGKILL) as server,
        line_to(server, path.stat().st_size // 2) as line,
    ):
        client = HubClient(programs, f"http://127.0.0.1:{line.port}/hf", key, tmp_path / "client", environment)
        upload = pool.submit(client.hf, "upload", "red/night", str(path), FILE)
        assert line.is_full.wait(60)
        kill(server)
        line.cut()
        with serving(home, 1, key) as again:
            half = files_of(again)
            line.repair(again.port)
            with suppress(AssertionError):
                upload.result()
            if FILE not in files_of(again):
                client.hf("upload", "red/night", str(path), FILE)
            client.hf("download", "red/night", FILE, "--local-dir", str(tmp_path / "down"))

    assert FILE not in half
    assert path.read_bytes() == (tmp_path / "down" / FILE).read_bytes()


def files_of(server: Served) -> list[str]:
    """Return the files of the repository."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("GET", "/hf/api/models/red/night", headers={"Authorization": f"Bearer {server.key}"})
    described = json.loads(connection.getresponse().read())
    connection.close()
    return [file["rfilename"] for file in described.get("siblings", [])]
