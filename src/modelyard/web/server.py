"""Runs the application under uvicorn: the socket, the time limits and the shutdown."""

import asyncio
import errno
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from modelyard import errors
from modelyard.web.allocator import keep_freed_memory
from modelyard.web.connection_limits import ConnectionLimits
from modelyard.web.http_protocol import HTTPProtocol
from modelyard.web.middleware import EdgeMiddleware

# Longer than load balancers keep an idle connection (60 s), so that they never send a request on a closed one.
KEEP_ALIVE_SECONDS = 75
# A list of models takes microseconds. Only a client that reads slowly can still be served at this time.
SHUTDOWN_SECONDS_MAX = 30
# How many bytes of a connection may wait in the kernel to be sent. Without it the kernel takes up to 4 MiB for each.
UNSENT_BYTES_MAX = 512 * 1024
_BACKLOG = 2048
CONNECTIONS_MAX = 20_000
# How often the header Date is renewed.
_TICK_SECONDS = 1.0
# A thread that computes gives way to the event loop after this time; Python's own 5 ms are the time of many pages.
_SWITCH_SECONDS = 0.0005


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises ConfigurationError, which says what to do, if the address is not available.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name != "nt":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            # The connections inherit it.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX)
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


class Server(uvicorn.Server):
    """A uvicorn server that calls ``on_started`` when it accepts requests, and ends streams when it stops."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_stopping = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then report it."""
        sys.setswitchinterval(_SWITCH_SECONDS)
        keep_freed_memory()
        await super().startup(sockets)
        if self.started:
            self._on_started()

    async def main_loop(self) -> None:
        """Return when the server must stop. uvicorn's own loop looks ten times a second."""
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_stopping.wait(), _TICK_SECONDS)

    def stop(self) -> None:
        """Stop soon, from any thread or handler of signals, also before the server runs."""
        self.should_exit = True
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: the server has stopped
                self._loop.call_soon_threadsafe(self._is_stopping.set)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal to stop."""
        super().handle_exit(sig, frame)
        self.stop()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, which uvicorn would wait for, then stop."""
        if isinstance(self.config.app, EdgeMiddleware):
            self.config.app.stop()
        await super().shutdown(sockets)


def server(
    app: ASGIApp, limits: ConnectionLimits | None = None, on_started: Callable[[], None] = lambda: None
) -> Server:
    """Return a uvicorn server for ``app``, which refuses connections over the limits.

    ``run(sockets=[listen(…)])`` serves until SIGTERM or SIGINT. On that signal it stops listening, finishes the
    requests in flight, and returns. ``Log.take_over`` sets where uvicorn's own log lines go.
    """
    config = uvicorn.Config(
        app,
        # uvicorn makes a protocol for each connection; they share the limits.
        http=type("LimitedProtocol", (HTTPProtocol,), {"limits": limits or ConnectionLimits(CONNECTIONS_MAX)}),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,  # the request log has a line for each request, without private data of the caller
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS_MAX,
    )
    return Server(config, on_started)
