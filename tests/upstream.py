"""A real HTTP server for tests, in the place of servers that Modelyard asks."""

import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class UpstreamHandler(BaseHTTPRequestHandler):
    """Answers by what the server's table says of a path."""

    server: Any

    def do_GET(self) -> None:
        server = self.server
        server.asked[self.path] += 1
        server.headers_seen.append(dict(self.headers))
        server.answers.get(self.path, server.answer_others)(self)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def reply_missing(self) -> None:
        self.reply(b"", 404)

    def reply(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"content_length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class Upstream:
    """A server that others are asked for."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.asked: Counter[str] = server.asked
        self.headers_seen: list[dict[str, str]] = server.headers_seen
        self.url = f"http://127.0.0.1:{server.server_address[1]}"

    def encrypt(self, context: ssl.SSLContext) -> None:
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def put(self, path: str, answer: Callable[[Any], None]) -> str:
        self._server.answers[path] = answer
        return self.url + path

    def answer_others(self, answer: Callable[[Any], None]) -> None:
        """Answer paths that the table does not have."""
        self._server.answer_others = answer


@contextmanager
def serve_upstream() -> Iterator[Upstream]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), UpstreamHandler)
    server.daemon_threads = True
    server.answers, server.asked, server.headers_seen = {}, Counter(), []
    server.answer_others = UpstreamHandler.reply_missing
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield Upstream(server)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
