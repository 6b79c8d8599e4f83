"""The server under the application: its socket, its limits of time, its end, and what several workers share.

Not covered here: what is not HTTP (test_errors.py), the command that starts it (test_cli.py).
"""

import asyncio
import json
import os
import platform
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from modelyard import errors, settings
from modelyard.web import http_protocol, server
from modelyard.web.access_log import RequestLog
from modelyard.web.app import create_app
from modelyard.web.log import Log, open_log
from modelyard.web.metrics import Metrics, shared_by_workers
from modelyard.web.requests import Request, open_request
from tests import requirements
from tests.app_fixture import Address, App, a_model, listening
from tests.processes import wait_for


@pytest.fixture
def address(yard: App) -> Iterator[Address]:
    yard.put(a_model(1))
    with listening(yard) as bound:
        yield bound


# --- listening


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_few_bytes_of_a_connection_wait_in_the_kernel(host: str) -> None:
    with server.listen(host, 0) as bound, socket.create_connection(bound.getsockname()[:2]):
        connection, _ = bound.accept()
        with connection:
            unsent_max = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)

    assert server.UNSENT_BYTES_MAX == unsent_max


def test_memory_of_pieces_that_are_freed_stays_with_the_server() -> None:
    if platform.libc_ver()[0] != "glibc":
        requirements.absent("other C libraries than glibc keep memory by rules of their own")
    code = """
        import asyncio, resource
        from modelyard.web import server

        def faults() -> int:
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

        def take_pieces():
            return [bytes([1]) * (256 * 1024) for _ in range(16)]

        async def app(scope, receive, send):
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})

        async def main():
            started = server.server(app)
            started.config.load()
            started.lifespan = started.config.lifespan_class(started.config)
            with server.listen("127.0.0.1", 0) as bound:
                await started.startup([bound])
                take_pieces()
                before = faults()
                for _ in range(20):
                    take_pieces()
                print(faults() - before)
                await started.shutdown([bound])

        asyncio.run(main())
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", dedent(code)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=environment)

    # The pieces have 20,480 pages.
    assert int(said.stdout) < 2_000


def test_a_port_that_is_taken_is_told_with_what_to_do() -> None:
    with server.listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(errors.ConfigurationError, match=rf"port {port} on 127.0.0.1 is taken.*--port"):
            server.listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_an_address_of_another_machine_is_told(host: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=rf"{host}"):
        server.listen(host, 0)


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_an_address_of_each_family_is_listened_on(host: str, family: socket.AddressFamily) -> None:
    with server.listen(host, 0) as listening_socket:
        assert (family, host) == (listening_socket.family, listening_socket.getsockname()[0])


def test_a_name_that_is_no_address_is_told() -> None:
    with pytest.raises(errors.ConfigurationError, match=r"cannot listen on no\.such\.host\.invalid"):
        server.listen("no.such.host.invalid", 0)


# --- connections


def test_a_connection_is_kept_and_requests_may_follow_each_other_unanswered(yard: App, address: Address) -> None:
    request = f"GET /v3/model?pagination.limit=1 HTTP/1.1\r\nHost: x\r\nAuthorization: {yard.key()}\r\n".encode()
    with socket.create_connection((address.host, address.port), timeout=60) as connection:
        connection.sendall((request + b"\r\n") * 4 + request + b"Connection: close\r\n\r\n")
        received = b"".join(iter(lambda: connection.recv(65_536), b""))

    assert 5 == received.count(b"HTTP/1.1 200 OK")
    assert 5 == received.count(b'"pagination"')


def test_idle_connections_outlast_those_of_load_balancers(yard: App) -> None:
    """nginx and most others reuse a connection for 60 s; the one who closes first loses requests of the other."""
    assert 60 < server.server(yard.app).config.timeout_keep_alive


def test_a_body_sent_with_get_is_passed_over(yard: App, address: Address) -> None:
    body = b"x" * 300_000
    head = f"GET /v3/user HTTP/1.1\r\nHost: x\r\nAuthorization: {yard.key()}\r\nContent-Length: {len(body)}\r\n\r\n"
    after = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with socket.create_connection((address.host, address.port), timeout=60) as connection:
        connection.sendall(head.encode() + body + after.encode())
        received = b"".join(iter(lambda: connection.recv(65_536), b""))

    assert 2 == received.count(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("begun", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"])
def test_who_does_not_finish_a_request_is_not_waited_for(
    yard: App, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS_MAX", 0.3)
    with listening(yard) as bound, socket.create_connection((bound.host, bound.port), timeout=60) as connection:
        connection.sendall(begun)
        began = time.monotonic()

        assert b"" == connection.recv(1)
        assert 0.2 < time.monotonic() - began < 60


def test_who_sends_a_request_piece_by_piece_in_time_is_answered(yard: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS_MAX", 5)
    with listening(yard) as bound, socket.create_connection((bound.host, bound.port), timeout=60) as connection:
        for _ in range(4):  # together they take longer than the limit, which is a request's, not the connection's
            for piece in (b"G", b"ET /healthz HTT", b"P/1.1\r\nHost: x\r", b"\n\r\n"):
                connection.sendall(piece)
                time.sleep(0.35)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 OK")


def test_an_upgrade_is_not_taken_up(address: Address) -> None:
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "x" * 24}

    assert 200 == address.ask("/healthz", headers).status


# --- the end


def test_ready_says_what_it_answers_from_while_it_takes_requests(yard: App) -> None:
    yard.put(a_model(1))
    before = yard.ask("/readyz", None)
    with listening(yard) as bound:
        during = bound.ask("/readyz")
    after = yard.ask("/readyz", None)

    assert (503, "UNAVAILABLE") == (before.status, before.json["reason"]) == (after.status, after.json["reason"])
    assert (200, {"status": "ready", "revision": 1, "stale_seconds": 0.0}) == (during.status, during.json)


def refuses(bound: Address) -> bool:
    try:
        socket.create_connection((bound.host, bound.port), timeout=60).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_slow_readers_answer_is_finished_after_the_order_to_stop(yard: App) -> None:
    yard.put(*(a_model(number, tags=(f"{number}" * 5000,)) for number in range(1, 101)))
    whole = yard.ask("/v3/model?pagination.limit=100").body
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(60)
        running = listening(yard)
        bound = running.__enter__()
        connection.connect((bound.host, bound.port))
        connection.sendall(
            f"GET /v3/model?pagination.limit=100 HTTP/1.1\r\nHost: x\r\nAuthorization: {yard.key()}\r\n\r\n".encode()
        )
        received = connection.recv(100)
        stopper = threading.Thread(target=running.__exit__, args=(None, None, None))
        stopper.start()
        assert wait_for(lambda: refuses(bound))
        while chunk := connection.recv(20_000):
            received += chunk
        stopper.join(60)

    assert not stopper.is_alive()
    assert len(whole) > 500_000, "an answer that fits the sockets' buffers shows nothing"
    assert whole == received.partition(b"\r\n\r\n")[2]


def test_the_last_use_of_keys_is_written_at_the_end(yard: App) -> None:
    with listening(yard) as bound:
        bound.ask("/v3/user", {"Authorization": yard.key()})

    (key,) = yard.access.list_keys()
    assert key.last_used_at is not None


# --- the log


def a_request(number: int) -> Request:
    scope: Any = {"type": "http", "method": "GET", "path": "/x", "path_template": "/x", "headers": []}
    return replace(open_request(scope, f"request-{number}", time.perf_counter_ns()), status=200)


def observed(log: Log, count: int, *, then: float = 0.0) -> None:
    """Observe requests on an event loop, and let it run on for so many seconds."""

    async def happen() -> None:
        request_log = RequestLog(log, Metrics())
        for number in range(count):
            request_log.add(a_request(number))
        await asyncio.sleep(then)

    asyncio.run(happen())


def test_a_request_is_logged_within_a_moment() -> None:
    stream = StringIO()
    observed(open_log("info", stream), 3, then=0.4)

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert ["request-0", "request-1", "request-2"] == [line["request_id"] for line in lines]
    assert {"event", "level", "timestamp", "method", "route", "status", "us", "team", "request_id"} == set(lines[0])


def test_many_requests_do_not_wait_for_the_moment() -> None:
    stream = StringIO()
    observed(open_log("info", stream), 1000)

    assert 900 < stream.getvalue().count("\n") <= 1000


def test_a_failure_is_logged_after_what_came_before_it(yard: App) -> None:
    def fails(_sha256: str, _label: str) -> str:
        raise RuntimeError

    async def happen() -> None:
        for target in (b"/v3/user", b"/v3/model"):
            await yard.answer(target, headers=[(b"authorization", yard.key().encode())])

    yard.put(a_model(1, blob="0" * 64))
    read = settings.load(Path("/nonexistent"), {})
    yard.app = create_app(yard.catalog, yard.access, read, link_for=fails, log=yard.log)
    asyncio.run(happen())

    assert ["request", "failed", "request"] == [line["event"] for line in yard.lines()]


@pytest.mark.parametrize(("level", "told"), [("debug", 1), ("info", 1), ("warning", 0), ("error", 0)])
def test_a_quieter_level_tells_of_no_request(level: str, told: int) -> None:
    stream = StringIO()
    observed(open_log(level, stream), 1, then=0.4)

    assert told == stream.getvalue().count("request-0")


class Terminal(StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_lines_are_for_people() -> None:
    stream = Terminal()
    observed(open_log("info", stream), 1, then=0.4)

    assert "GET" in stream.getvalue()
    assert "{" not in stream.getvalue()


def test_what_libraries_say_goes_into_the_same_log() -> None:
    code = """if True:
        import logging, structlog, sys
        from modelyard.web.log import open_log
        open_log("info", sys.stdout).take_over()
        logging.getLogger("uvicorn.error").info("from uvicorn")
        logging.getLogger("asyncio").warning("from asyncio")
        logging.getLogger("asyncio").info("too quiet")
        structlog.get_logger("modelyard.indexer").warning("from us", number=7)
        try: 1 / 0
        except ZeroDivisionError: logging.getLogger("uvicorn.error").exception("failed")
    """
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    lines = [json.loads(line) for line in said.stdout.splitlines()]
    assert ["from uvicorn", "from asyncio", "from us", "failed"] == [line["event"] for line in lines]
    assert 7 == lines[2]["number"]
    assert "ZeroDivisionError" in lines[3]["exception"]
    assert "" == said.stderr


# --- figures of several workers


def test_workers_count_together() -> None:
    with shared_by_workers():
        for _ in range(2):
            child = os.fork()
            if child == 0:
                Metrics().count("/v3/model", "GET", 200, 0.001)
                os._exit(0)
            os.waitpid(child, 0)
        metrics = Metrics()
        metrics.count("/v3/model", "GET", 200, 0.001)
        figures = metrics.render(7).decode()

    assert 'modelyard_requests_total{method="GET",route="/v3/model",status="200"} 3.0' in figures
    assert 'modelyard_request_seconds_count{route="/v3/model"} 3.0' in figures
    assert "modelyard_catalog_revision 7.0" in figures


def test_a_process_alone_counts_by_itself() -> None:
    metrics = Metrics()
    metrics.count("/v3/model", "GET", 200, 0.001)

    assert 'modelyard_requests_total{method="GET",route="/v3/model",status="200"} 1.0' in metrics.render(1).decode()
