"""One request on a connection to a checked IP address, and its streamed answer.

The standard library's http.client is used, and not httpx2: here the connection has to go to an IP address that was
checked, a timer has to be able to close it, and a body of 600 MB takes a quarter of the CPU time (decision 0025).
"""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache
from typing import Self
from urllib.parse import quote

import msgspec

from modelyard import errors
from modelyard.outbound.addresses import PORTS, parse_url
from modelyard.retry import parse_retry_after

BLOCK_BYTES = 256 * 1024
JSON_BYTES_MAX = 8 * 2**20
# Temporary statuses; the caller retries them. All others are final.
_TEMPORARY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_NO_HTTP = (http.client.BadStatusLine, http.client.UnknownProtocol)


class TemporaryFailure(errors.Unavailable):
    """The address may answer later. ``after_seconds`` is what its server's Retry-After asks for, or None."""

    def __init__(self, problem: str, after_seconds: float | None = None) -> None:
        super().__init__(problem)
        self.after_seconds = after_seconds


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a request. ``lookup_seconds`` is for the addresses of the host's name.

    ``seconds_max`` is for the whole answer, None if its length decides. The header has to be here after
    ``header_seconds``. ``idle_seconds`` is the longest pause between two blocks.
    """

    seconds_max: float | None = 60.0
    header_seconds: float = 30.0
    idle_seconds: float = 30.0
    connect_seconds: float = 10.0
    lookup_seconds: float = 30.0


class Answer:
    """The answer of a server. Its body is read in blocks. Close it after use."""

    def __init__(self, url: str, response: http.client.HTTPResponse, resources: ExitStack, deadline: "_Deadline"):
        self.url = url
        self.status = response.status
        # Values by name, in any case.
        self.headers = response.headers
        self._response = response
        self._resources = resources
        self._deadline = deadline

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._resources.close()

    def abort(self, seconds: float) -> None:
        """End the connection from another thread, because nothing of use came for so many seconds.

        Whoever reads gets a TemporaryFailure. A server may send the frame of a body for ever, and never its bytes.
        """
        self._deadline.end(seconds)

    def on_close(self, call: Callable[[], object]) -> None:
        """Call this when the connection is closed."""
        self._resources.callback(call)

    @property
    def host(self) -> str:
        """The host that answered, after redirects."""
        return parse_url(self.url).hostname or ""

    @property
    def length_bytes(self) -> int | None:
        """The length of the body that is still to be read; None if the server does not say it."""
        return self._response.length

    @property
    def retry_after_seconds(self) -> float | None:
        """The seconds that the server asks to wait, or None."""
        return parse_retry_after(self.headers.get("Retry-After"))

    def refuse_status(self, *accepted: int) -> None:
        """Raise TemporaryFailure for a temporary status, DownloadFailed for others that are not accepted."""
        if self.status in accepted:
            return
        if self.status in _TEMPORARY_STATUSES:
            raise TemporaryFailure(f"status {self.status}", self.retry_after_seconds)
        raise errors.DownloadFailed(f"the address answers with status {self.status}")

    def read(self) -> bytes:
        """Return the next block as soon as it is here; empty at the end. Raises TemporaryFailure if it is cut off."""
        encoding = self.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise errors.DownloadFailed(f"{self.host} answers in the encoding {encoding[:20]!r}, not in plain bytes")
        try:
            block = self._response.read1(BLOCK_BYTES)
        except (OSError, http.client.HTTPException) as problem:
            raise self._deadline.explain(self.host, problem) from None
        if not block:
            if self._deadline.is_late:
                # A body without a length looks complete when it is cut off.
                raise self._deadline.explain(self.host, None)
            if self._response.length:
                raise TemporaryFailure(f"{self.host} cut off {self._response.length:,} bytes before the end")
        return block

    def read_all(self, bytes_max: int, what: str = "the answer") -> bytes:
        """Return the body. Raises TooLarge before more than ``bytes_max`` bytes are in memory."""
        if int(self._response.length or 0) > bytes_max:
            raise errors.TooLarge(what, bytes_max)
        body = bytearray()
        while block := self.read():
            body += block
            if len(body) > bytes_max:
                raise errors.TooLarge(what, bytes_max)
        return bytes(body)

    def read_json(self, bytes_max: int = JSON_BYTES_MAX) -> object:
        """Return the body as JSON. Raises DownloadFailed if it is something else."""
        body = self.read_all(bytes_max)
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            kind = "HTML" if body.lstrip()[:1] == b"<" else "something else"
            raise errors.DownloadFailed(f"{self.host} answers with {kind}, not with JSON") from None


class _Deadline:
    """Closes a connection that takes too long, whatever it is doing. Only the look-up of a name has none."""

    def __init__(self) -> None:
        self._sock: socket.socket | None = None
        self._timer: threading.Timer | None = None
        self._seconds = 0.0
        self.is_late = False

    def start(self, sock: socket.socket, seconds: float) -> None:
        """End the connection after so many seconds."""
        self.cancel()
        self._sock, self._seconds = sock, seconds
        self._timer = threading.Timer(max(0.0, seconds), self.end, (seconds,))
        self._timer.daemon = True
        self._timer.start()

    def cancel(self) -> None:
        """Let the connection live."""
        if self._timer is not None:
            self._timer.cancel()

    def explain(self, host: str, problem: Exception | None) -> TemporaryFailure:
        """Return the error for a failed connection."""
        if self.is_late:
            return TemporaryFailure(f"{host} took longer than {self._seconds:.0f} seconds")
        is_empty = isinstance(problem, http.client.RemoteDisconnected)
        if isinstance(problem, _NO_HTTP) and not is_empty:
            # Its message is what the server sent: up to 64 KB of any bytes.
            return TemporaryFailure(f"{host} answers with something that is not HTTP")
        return TemporaryFailure(f"{host}: {type(problem).__name__}: {problem}".rstrip(": "))

    def end(self, seconds: float) -> None:
        """End the connection now, which took longer than so many seconds."""
        self._seconds = seconds
        self.is_late = True
        with suppress(OSError):  # it is closed already
            if self._sock is not None:
                self._sock.shutdown(socket.SHUT_RDWR)


def request(
    method: str,
    url: str,
    addresses: Sequence[str],
    headers: Mapping[str, str],
    body: bytes | None,
    limits: Limits,
) -> Answer:
    """Make one request to one of the IP addresses. Follows no redirect. Raises TemporaryFailure if nothing answers."""
    parsed = parse_url(url)
    host, port = parsed.hostname or "", parsed.port or PORTS[parsed.scheme]
    deadline = _Deadline()
    with ExitStack() as resources:
        resources.callback(deadline.cancel)
        sock = _connect(addresses, port, limits)
        raw = sock.dup()  # TLS takes the socket over; the timer closes the connection by this one
        resources.callback(raw.close)
        resources.callback(sock.close)
        deadline.start(raw, min(limits.header_seconds, limits.seconds_max or limits.header_seconds))
        try:
            connection = http.client.HTTPConnection(host, port)
            resources.callback(connection.close)
            if parsed.scheme == "https":
                # The certificate must be the host's, whichever IP address the connection goes to.
                sock = _tls_context().wrap_socket(sock, server_hostname=host)
                resources.callback(sock.close)
            connection.sock = sock
            target = (parsed.path or "/") + (f"?{parsed.query}" if parsed.query else "")
            connection.request(method, quote(target, safe="/%:@!$&'()*+,;=~?-._"), body=body, headers=dict(headers))
            response = connection.getresponse()
            resources.callback(response.close)
        except (OSError, http.client.HTTPException) as problem:
            raise deadline.explain(host, problem) from None
        if deadline.is_late:
            # A header that is cut off reads as a whole one.
            raise deadline.explain(host, None)
        if limits.seconds_max is None:
            deadline.cancel()
        else:
            deadline.start(raw, limits.seconds_max)
        return Answer(url, response, resources.pop_all(), deadline)


def _connect(addresses: Sequence[str], port: int, limits: Limits) -> socket.socket:
    problem: OSError | None = None
    end_at = time.monotonic() + limits.connect_seconds
    for number, numeric in enumerate(addresses):
        # A host may name any number of addresses that do not answer; together they get one limit.
        seconds = (end_at - time.monotonic()) / (len(addresses) - number)
        try:
            sock = socket.create_connection((numeric, port), max(0.01, seconds))
        except OSError as error:
            problem = error
        else:
            sock.settimeout(limits.idle_seconds)
            return sock
    raise TemporaryFailure(f"cannot be reached: {problem}")


@cache
def _tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()
