"""Running the application under uvicorn: the socket, the protocol's limits, the end.

uvicorn answers on its own what it cannot parse; here that answer has our shape too, and what it keeps while a request's
head is arriving has a limit in bytes and in time.
"""

import asyncio
import errno
import os
import socket

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from modelyard import errors, wire

# The head of a request that is not complete yet. nginx takes 32 KiB by default; the longest query string answered is 8.
HEAD_BYTES_MAX = 65_536
HEAD_SECONDS_MAX = 30
# Of a body that arrives faster than it is taken.
BODY_BYTES_WAITING_MAX = 1024 * 1024
# Longer than load balancers keep an idle connection (60 s), so that we never close one under a request of theirs.
KEEP_ALIVE_SECONDS = 75
# Listings are done in microseconds; what may still be in flight is a slow reader of a page.
SHUTDOWN_SECONDS_MAX = 30
LINGER_SECONDS = 2
_BACKLOG = 2048


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, with limits on the head and the one error shape.

    A subclass because uvicorn offers no other way in; it overrides only methods that asyncio and the parser call.
    """

    head_bytes = 0
    head_timer: asyncio.TimerHandle | None = None
    reads_head = False
    has_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self.head_timer = self.loop.call_later(HEAD_SECONDS_MAX, self._end)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and refuse a head that grows over its limit. What comes after a refusal is thrown away."""
        if self.has_refused:
            return
        super().data_received(data)
        if self.reads_head and not self.has_refused:
            self.head_bytes += len(data)
            if self.head_bytes > HEAD_BYTES_MAX:
                self._refuse(wire.error_answer(431, "INVALID_ARGUMENT", "the request's head is too large", _LIMIT))
            elif self.head_timer is None:
                self.head_timer = self.loop.call_later(HEAD_SECONDS_MAX, self._end)

    def on_message_begin(self) -> None:
        """Note that a head has begun."""
        self.reads_head = True
        self.head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that the head is complete."""
        self.reads_head = False
        self._stop_head_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Gather a body until reading pauses. uvicorn does so at 64 KiB, and pausing costs more than hashing those."""
        if (self.parser.should_upgrade() and self._should_upgrade()) or self.cycle.response_complete:
            return
        self.cycle.body += body
        if len(self.cycle.body) > BODY_BYTES_WAITING_MAX:
            self.flow.pause_reading()
        self.cycle.message_event.set()

    def send_400_response(self, msg: str) -> None:
        """Answer what could not be parsed; ``msg`` is uvicorn's sentence."""
        self._refuse(wire.error_answer(400, "INVALID_ARGUMENT", msg, {}))

    def _refuse(self, refusal: wire.ErrorAnswer) -> None:
        head = [
            STATUS_LINE[refusal.status],
            b"content-type: application/json\r\n",
            b"content-length: %d\r\n" % len(refusal.body),
            b"access-control-allow-origin: *\r\n",
            b"connection: close\r\n\r\n",
        ]
        self.transport.write(b"".join(head) + refusal.body)
        self.has_refused = True
        self._stop_head_timer()
        # Closing on a client that still sends would reset the connection, and the answer could be lost on its way.
        self.transport.write_eof()
        self.head_timer = self.loop.call_later(LINGER_SECONDS, self._end)

    def _end(self) -> None:
        self.head_timer = None
        self.transport.close()

    def _stop_head_timer(self) -> None:
        if self.head_timer is not None:
            self.head_timer.cancel()
            self.head_timer = None


_LIMIT = {"limit_bytes": HEAD_BYTES_MAX}


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises ConfigurationError where the address cannot be had, with what to do about it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name != "nt":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise errors.ConfigurationError(_advice(error, host, port), host=host, port=port) from error
    return listening


def _advice(error: OSError, host: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {port} on {host} is taken; stop what uses it, or choose another with --port"
        case errno.EACCES:
            return f"port {port} on {host} is not allowed for this user; choose one above 1023 with --port"
        case errno.EADDRNOTAVAIL:
            return f"{host} is no address of this machine; choose another with --host"
        case _:
            return f"cannot listen on {host}:{port}: {error.strerror or error}"


def server(app: ASGIApp) -> uvicorn.Server:
    """Return a uvicorn server for ``app``; ``run(sockets=[listen(…)])`` serves until SIGTERM or SIGINT.

    On that signal it stops listening, finishes the requests in flight, and returns. What uvicorn itself says goes where
    ``Log.take_over`` has led it.
    """
    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,  # the edge writes a line a request, without what is the caller's own
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS_MAX,
    )
    return uvicorn.Server(config)
