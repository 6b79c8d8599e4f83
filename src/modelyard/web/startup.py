"""Answers while a worker cannot open the database: 503 with the reason and ``Retry-After``; ``/healthz`` says 200.

A worker that accepted connections and did not answer them would look like one that hangs.
"""

import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.types import Receive, Scope, Send

from modelyard import errors, wire

_RETRY_SECONDS = 1.0
_RETRY_AFTER = b"2"
_STOP_SECONDS_MAX = 5

log = logging.getLogger(__name__)


class _WaitingApp:
    """The ASGI application of a worker without a database."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 # ASGI's signature
        if scope["type"] != "http":
            return
        status, body = 200, b'{"status":"ok"}'
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        if scope["path"] != "/healthz":
            status, body = 503, wire.render_error(errors.Unavailable(self.reason)).body
            headers.append((b"retry-after", _RETRY_AFTER))
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def answer_until(listener: socket.socket, probe: Callable[[], None], problem: errors.ModelyardError) -> None:
    """Answer the requests of a socket until ``probe`` works; it raises Unavailable or DatabaseUnavailable before.

    Ends the process on SIGTERM or SIGINT. The socket stays open. Other errors of the probe are raised.
    """
    app = _WaitingApp(_sentence_of(problem))
    log.warning("waiting for the database: %s", problem)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_STOP_SECONDS_MAX,
        )
    )
    ended = threading.Event()
    failures: list[BaseException] = []

    def try_on() -> None:
        while not ended.wait(_RETRY_SECONDS):
            try:
                probe()
            except (errors.Unavailable, errors.DatabaseUnavailable) as again:
                app.reason = _sentence_of(again)
                continue
            except BaseException as failure:  # it is raised below, in the thread of the caller
                failures.append(failure)
            break
        server.should_exit = True

    def stop(_number: int, _frame: FrameType | None) -> None:
        sys.exit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn handles both while it runs, and raises the one that ended it again.
        signal.signal(number, stop)
    thread = threading.Thread(target=try_on, name="modelyard-waiting", daemon=True)
    thread.start()
    try:
        # uvicorn closes the sockets that it is given.
        server.run(sockets=[listener.dup()])
    finally:
        ended.set()
        thread.join()
    if failures:
        raise failures[0]


def _sentence_of(problem: errors.ModelyardError) -> str:
    """Return the reason without the address of the database, which not every caller may know."""
    if isinstance(problem, errors.DatabaseUnavailable):
        return str(problem.facts.get("reason", "the database cannot be opened"))
    return problem.message
