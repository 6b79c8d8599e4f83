"""The parts of uvicorn that our HTTP protocol relies on, and what it does with a connection.

Not covered here: the same over sockets (test_errors.py, test_server.py, test_slow_clients.py).
"""

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from modelyard.web import server
from modelyard.web.bodies import Disconnected
from modelyard.web.connection_limits import ConnectionLimits
from modelyard.web.http_protocol import WAITING_BODY_BYTES_MAX, HTTPProtocol, WaitingBody

CALLED_BY_ASYNCIO = ("connection_made", "connection_lost", "data_received")
CALLED_BY_HTTPTOOLS = ("on_message_begin", "on_headers_complete", "on_message_complete")
CALLED_BY_A_REQUEST = ("on_response_complete",)


def names_in(function: object) -> set[str]:
    assert inspect.isfunction(function)
    return {*function.__code__.co_names}


@pytest.mark.parametrize("name", [*CALLED_BY_ASYNCIO, *CALLED_BY_HTTPTOOLS, *CALLED_BY_A_REQUEST, "send_400_response"])
def test_uvicorn_has_each_method_that_is_overridden_with_the_same_parameters(name: str) -> None:
    theirs, ours = getattr(HttpToolsProtocol, name), getattr(HTTPProtocol, name)

    assert [*inspect.signature(theirs).parameters] == [*inspect.signature(ours).parameters]


def test_no_private_method_or_attribute_of_uvicorn_is_overridden() -> None:
    overridden = {name for name in vars(HTTPProtocol) if hasattr(HttpToolsProtocol, name) and not name.startswith("__")}

    assert {*CALLED_BY_ASYNCIO, *CALLED_BY_HTTPTOOLS, *CALLED_BY_A_REQUEST, "send_400_response"} == overridden


def test_uvicorn_sends_a_400_response_from_where_it_parses() -> None:
    assert {"feed_data", "send_400_response"} <= names_in(HttpToolsProtocol.data_received)


def test_uvicorn_has_the_attributes_that_are_used() -> None:
    assert "transport" in names_in(HttpToolsProtocol.connection_made)
    assert {"client"} <= names_in(HttpToolsProtocol.connection_made)
    assert "on_response_complete" in names_in(HttpToolsProtocol.on_headers_complete)
    assert {"cycle", "response_complete"} <= names_in(HttpToolsProtocol.on_message_complete)
    assert {"loop", "transport"} <= names_in(HttpToolsProtocol.__init__)
    assert {"headers"} <= names_in(HttpToolsProtocol.on_message_begin)
    assert {"headers"} <= names_in(HttpToolsProtocol.on_header)
    assert b"HTTP/1.1 431 " == httptools_impl.STATUS_LINE[431][:13]


def test_uvicorn_pauses_a_connection_at_our_limit() -> None:
    assert {"HIGH_WATER_LIMIT", "pause_reading"} <= names_in(HttpToolsProtocol.on_body)
    assert WAITING_BODY_BYTES_MAX == httptools_impl.HIGH_WATER_LIMIT


def test_uvicorn_sends_nothing_where_the_client_is_gone() -> None:
    cycle = httptools_impl.RequestResponseCycle
    assert "disconnected" in names_in(cycle.send)
    assert "disconnected" in names_in(HttpToolsProtocol.connection_lost)


def test_uvicorn_keeps_a_body_where_it_is_replaced() -> None:
    assert {"cycle", "body"} <= names_in(HttpToolsProtocol.on_body)
    assert {"body", "bytes", "bytearray"} <= names_in(httptools_impl.RequestResponseCycle.receive)
    assert "RequestResponseCycle" in names_in(HttpToolsProtocol.on_headers_complete)


# --- what it does with a connection: the bytes that it sends, and the timers that close it


class RecordedLoop:
    """The running loop, except that the timers of our protocol only are noted."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.timers: list[RecordedTimer] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def call_later(self, seconds: float, call: Callable[..., object], *values: Any) -> Any:
        if call.__name__ != "_close":
            return self._loop.call_later(seconds, call, *values)
        self.timers.append(RecordedTimer(seconds, call, self.timers))
        return self.timers[-1]


@dataclass(eq=False)
class RecordedTimer:
    seconds: float
    call: Callable[[], object]
    timers: "list[RecordedTimer]"

    def cancel(self) -> None:
        self.timers.remove(self)

    def ring(self) -> None:
        self.cancel()
        self.call()


class RecordedTransport(asyncio.Transport):
    """What was sent to the client, and whether the connection is closed."""

    def __init__(self, address: str) -> None:
        super().__init__({"peername": (address, 40_000), "sockname": ("127.0.0.1", 80)})
        self.sent = b""
        self.is_closed = self.has_ended = False

    def write(self, data: Any) -> None:
        self.sent += data

    def write_eof(self) -> None:
        self.has_ended = True

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


@dataclass
class Connection:
    protocol: HTTPProtocol
    transport: RecordedTransport
    loop: RecordedLoop

    @property
    def seconds(self) -> list[float]:
        """The timers that are running."""
        return [timer.seconds for timer in self.loop.timers]

    async def receive(self, data: bytes) -> list[float]:
        """Give bytes to the protocol, let the application answer, and return the timers."""
        self.protocol.data_received(data)
        for _ in range(10):
            await asyncio.sleep(0)
        return self.seconds


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Answer; ``/read`` is answered after its body and with it, other paths before it."""
    more = scope["path"] == "/read"
    body = b""
    while more:
        message = await receive()
        more = message["more_body"]
        body += message["body"]
    headers = [(b"content-length", b"%d" % (len(body) + 2))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body + b"ok", "more_body": False})


def connect(
    limits: ConnectionLimits | None = None, address: str = "203.0.113.9", application: Any = hello
) -> Connection:
    server_ = server.server(application, limits or ConnectionLimits(100))
    server_.config.load()
    loop = RecordedLoop()
    kind: Any = server_.config.http_protocol_class
    connection = Connection(kind(server_.config, ServerState(), {}, loop), RecordedTransport(address), loop)
    connection.protocol.connection_made(connection.transport)
    return connection


def refusal(status: str, reason: str, message: str, metadata: str = "{}", header: str = "") -> bytes:
    code = status.partition(" ")[0]
    body = f'{{"code":{code},"reason":"{reason}","message":"{message}","metadata":{metadata}}}'
    return (
        f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        f"access-control-allow-origin: *\r\nx-content-type-options: nosniff\r\n{header}connection: close\r\n\r\n{body}"
    ).encode()


def test_a_request_has_half_a_minute_for_its_head_and_none_for_the_pause_before_it() -> None:
    async def serve() -> None:
        connection = connect()
        assert [30] == connection.seconds
        assert [30] == await connection.receive(b"GET / HTTP/1.1\r\n")
        assert [] == await connection.receive(b"Host: x\r\n\r\n")
        assert connection.transport.sent.endswith(b"\r\n\r\nok")
        assert [30] == await connection.receive(b"GET / HTTP/1.1\r\n")
        connection.loop.timers[0].ring()
        assert connection.transport.is_closed
        connection.protocol.connection_lost(None)

    asyncio.run(serve())


def test_a_body_that_nobody_reads_has_ten_seconds() -> None:
    async def serve() -> None:
        connection = connect()
        assert [10] == await connection.receive(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
        assert connection.transport.sent.endswith(b"ok")
        assert [30] == await connection.receive(b"cd")
        connection.protocol.connection_lost(None)
        assert [] == connection.seconds

    asyncio.run(serve())


def test_a_body_that_is_read_has_no_timer_of_the_protocol() -> None:
    async def serve() -> None:
        connection = connect()
        assert [] == await connection.receive(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
        assert b"" == connection.transport.sent
        assert [] == await connection.receive(b"cd")
        assert connection.transport.sent.endswith(b"abcdok")
        connection.protocol.connection_lost(None)

    asyncio.run(serve())


def test_pieces_of_a_body_that_wait_are_received_in_order() -> None:
    async def serve() -> None:
        connection = connect()
        connection.protocol.data_received(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nab")
        connection.protocol.data_received(b"cd")
        assert isinstance(connection.protocol.cycle.body, WaitingBody)
        await connection.receive(b"ef")
        assert connection.transport.sent.endswith(b"abcdefok")
        connection.protocol.connection_lost(None)

    asyncio.run(serve())


def test_the_application_is_told_where_nobody_is_there_for_the_rest_of_a_body() -> None:
    """A large file would be read to its end for nobody."""
    pieces: list[str] = []

    async def leave_after_the_first_piece() -> None:
        async def send_pieces(_scope: Any, _receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]})
            try:
                for piece in ("a", "b", "c"):
                    await send({"type": "http.response.body", "body": piece.encode(), "more_body": True})
                    pieces.append(piece)
                    connection.protocol.connection_lost(None)
            except Disconnected:
                pieces.append("gone")

        connection = connect(application=send_pieces)
        await connection.receive(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    asyncio.run(leave_after_the_first_piece())

    assert ["a", "gone"] == pieces


def test_a_piece_that_waits_alone_is_not_copied() -> None:
    piece = bytes(range(200))
    body = WaitingBody()
    body += piece

    assert (bytes(body), len(body)) == (piece, 200)
    assert bytes(body) is piece


@pytest.mark.parametrize(("size_bytes", "is_refused"), [(65_536, False), (65_537, True)])
def test_a_head_may_have_64_kib_each_time(size_bytes: int, is_refused: bool) -> None:
    start = b"GET / HTTP/1.1\r\nHost: x\r\n"

    async def serve() -> None:
        connection = connect()
        for _ in range(2):  # a request on the same connection counts anew
            await connection.receive(start + b"X: " + bytes(50_000).replace(b"\0", b"x") + b"\r\n")
            await connection.receive(b"\r\n")
        assert connection.transport.sent.count(b"ok") == 2
        await connection.receive(start)
        connection.transport.sent = b""
        for _ in range(8):
            await connection.receive(b"X: " + b"x" * 8_000 + b"\r\n")
        filled = len(start) + 8 * 8_005
        seconds = await connection.receive(b"Y: " + b"x" * (size_bytes - filled - 5) + b"\r\n")
        assert ([2] if is_refused else [30]) == seconds
        assert is_refused == connection.transport.has_ended
        expected = refusal(
            "431 Request Header Fields Too Large",
            "INVALID_ARGUMENT",
            "the request's head is too large",
            '{"limit_bytes":65536}',
        )
        assert (expected if is_refused else b"") == connection.transport.sent
        connection.protocol.connection_lost(None)

    asyncio.run(serve())


def test_a_refused_connection_is_told_why_and_closed_after_two_seconds() -> None:
    limits = ConnectionLimits(1)

    async def serve() -> None:
        first, second = connect(limits), connect(limits)
        assert ([30], [2]) == (first.seconds, second.seconds)
        message = "the server has its maximum of 1 connections; try again later"
        expected = refusal("503 Service Unavailable", "UNAVAILABLE", message, header="retry-after: 5\r\n")
        assert expected == second.transport.sent
        assert (True, False) == (second.transport.has_ended, second.transport.is_closed)
        assert [2] == await second.receive(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert expected == second.transport.sent
        second.loop.timers[0].ring()
        assert second.transport.is_closed
        for connection in (first, second, second):
            connection.protocol.connection_lost(None)
        assert [30] == connect(limits).seconds

    asyncio.run(serve())


def test_sixty_four_refused_connections_linger_and_further_ones_are_closed_at_once() -> None:
    async def serve() -> None:
        limits = ConnectionLimits(1)
        connections = [connect(limits) for _ in range(66)]
        assert [False] * 65 + [True] == [connection.transport.is_closed for connection in connections]
        for connection in connections:
            connection.protocol.connection_lost(None)

    asyncio.run(serve())


def test_what_is_not_http_is_answered_once() -> None:
    async def serve() -> None:
        connection = connect()
        assert [2] == await connection.receive(b"\x16\x03\x01\r\n\r\n")
        expected = refusal("400 Bad Request", "INVALID_ARGUMENT", "Invalid HTTP request received.")
        assert expected == connection.transport.sent
        await connection.receive(b"more\r\n\r\n")
        assert expected == connection.transport.sent
        connection.protocol.connection_lost(None)

    asyncio.run(serve())


@pytest.mark.parametrize("is_late", [False, True])
def test_trailers_are_no_headers(is_late: bool) -> None:
    """A proxy removes headers that only it may send, and lets trailers pass."""
    head = b"POST /read HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    trailer = b"0\r\nremote-user: mallory\r\nhost: b\r\n\r\n"

    async def send() -> tuple[list[Any], bytes, list[Any]]:
        connection = connect()
        for data in (head, trailer) if is_late else (head + trailer,):
            await connection.receive(data)
        first = connection.protocol.scope["headers"]
        await connection.receive(b"GET / HTTP/1.1\r\nhost: c\r\n\r\n")
        return first, connection.transport.sent, connection.protocol.scope["headers"]

    headers, sent, following = asyncio.run(send())

    assert [(b"host", b"a"), (b"transfer-encoding", b"chunked")] == headers
    assert 2 == sent.count(b"HTTP/1.1 200")
    assert [(b"host", b"c")] == following
