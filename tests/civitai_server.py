"""A stand-in for civitai.com: replays recorded models page by page on a local port, and fails where a test says so."""

import contextlib
import json
import lzma
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.real_input import data_dir

NOW = 1_700_000_000.0


def recorded_models(count: int) -> list[dict[str, Any]]:
    """Return recorded models: the answers chosen for their oddities first."""
    folder = data_dir() / "civitai"
    odd = [json.loads(path.read_bytes()) for path in sorted((folder / "answers").iterdir())]
    with lzma.open(folder / "models.jsonl.xz") as lines:
        return (odd + [json.loads(line) for line in islice(lines, count)])[:count]


@dataclass
class CivitaiServer:
    """What is answered, what is to go wrong with the next requests, and what was asked."""

    models: Sequence[dict[str, Any]]
    failures: list[str] = field(default_factory=list)
    fails_always: str = ""
    address: str = ""
    elsewhere: str = ""
    asked: list[dict[str, list[str]]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    authorizations: list[tuple[str, str | None]] = field(default_factory=list)
    # What happens to the text of every page on its way.
    damage: Callable[[bytes], bytes] = bytes
    at_once: int = 0
    at_once_max: int = 0


@contextlib.contextmanager
def civitai_server(models: Sequence[dict[str, Any]]) -> Iterator[CivitaiServer]:
    """Run the server while the context lasts."""
    state = CivitaiServer(models)

    class Handler(_Handler):
        server_state = state

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{server.server_port}/api/v1"
    # The same server by another name: another host, as far as a client can know.
    state.elsewhere = f"http://localhost:{server.server_port}/api/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server_state: CivitaiServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # http.server's name
        state = self.server_state
        state.at_once += 1
        state.at_once_max = max(state.at_once_max, state.at_once)
        parameters = parse_qs(urlsplit(self.path).query)
        state.asked.append(parameters)
        state.lines.append(self.path)
        state.authorizations.append((self.headers["Host"], self.headers["Authorization"]))
        try:
            failure = state.failures.pop(0) if state.failures else state.fails_always
            if failure:
                self._fail(failure)
            else:
                self._send(200, state.damage(json.dumps(self._page(parameters)).encode()))
        finally:
            state.at_once -= 1

    def _page(self, parameters: dict[str, list[str]]) -> dict[str, Any]:
        # Opaque, and of the form of the real ones.
        start = int(parameters.get("cursor", ["0|0|0"])[0].split("|")[2])
        kinds = parameters.get("types")
        models = [model for model in self.server_state.models if not kinds or model["type"] in kinds]
        end = start + int(parameters["limit"][0])
        metadata: dict[str, Any] = {"pageSize": end - start}
        if end < len(models):
            metadata["nextCursor"] = f"75363|932023|{end}"
        return {"items": models[start:end], "metadata": metadata}

    def _fail(self, failure: str) -> None:
        kind, _, argument = failure.partition(" ")
        match kind:
            case "429":
                self._send(429, b"slow down", {"Retry-After": argument} if argument else {})
            case "429-date":
                self._send(429, b"slow down", {"Retry-After": formatdate(NOW + float(argument), usegmt=True)})
            case "500" | "502" | "503" | "400" | "401" | "403" | "404":
                self._send(int(kind), b'{"error": "' + (argument or "broken").encode() + b'"}')
            case "html":
                self._send(200, b"<!DOCTYPE html><title>Just a moment...</title>", {"Content-Type": "text/html"})
            case "cut":
                self._cut({"Content-Length": "100000"}, b'{"items": [{"id": 1, "name": "cut')
            case "cut-chunked":
                self._cut({"Transfer-Encoding": "chunked"}, b'20\r\n{"items": [{"id"')
            case "cut-json":
                self._send(200, b'{"items": [{"id": 1, "na')
            case "bad-gzip":
                self._send(200, b"\x1f\x8b no gzip", {"Content-Encoding": "gzip"})
            case "no-answer":
                self.close_connection = True
            case "no-items":
                self._send(200, b'{"error": "internal"}')
            case "same-cursor":
                cursor = parse_qs(urlsplit(self.path).query).get("cursor", [""])[0]
                self._send(200, json.dumps({"items": [], "metadata": {"nextCursor": cursor}}).encode())
            case "elsewhere":
                path = self.path.removeprefix("/api/v1")
                self._send(302, b"", {"Location": self.server_state.elsewhere + path})
            case "circle":
                self._send(302, b"", {"Location": self.path})
            case "endless":
                self._endless()
            case _:
                raise AssertionError(f"no such failure: {failure}")

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | (headers or {})).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _cut(self, headers: dict[str, str], body: bytes) -> None:
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def _endless(self) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(100):
                self.wfile.write(b" " * 2**20)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # http.server's name
        """Say nothing: requests are in the state."""
