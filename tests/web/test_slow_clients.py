"""Clients that send slowly, or open many connections, do not shut others out: a real server and real sockets.

Limits of time are made short; those of the product are in ``bodies`` and ``http_protocol``. Not here: the head of a
request (test_server.py), the limits of a fast body (test_errors.py).
"""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from modelyard.web import bodies, http_protocol
from modelyard.web.connection_limits import ConnectionLimits
from tests.app_fixture import Address, App, a_model, listening
from tests.transfers import WRITER

SLOW_CLIENTS = 300


@contextmanager
def connected(address: Address, count: int, source: str = "127.0.0.1") -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                socket.create_connection((address.host, address.port), timeout=60, source_address=(source, 0))
            )
            for _ in range(count)
        ]


def slow_request(path: str = "/v3/model", method: str = "POST", **headers: str) -> bytes:
    """A request whose body of a thousand bytes has only begun."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Content-Length: 1000"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", "{"]).encode()


def answer_of(connection: socket.socket) -> tuple[int, dict[str, object]]:
    """Return the status and the body of the answer that ends with the connection."""
    received = b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body) if body.startswith(b"{") else {}


def test_slow_bodies_without_a_key_are_answered_at_once_and_closed_soon(
    yard: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "DRAIN_SECONDS_MAX", 0.5)
    yard.put(a_model(1))
    with listening(yard) as address, connected(address, SLOW_CLIENTS) as connections:
        for connection in connections:
            connection.sendall(slow_request())
        others = address.ask("/v3/model", {"Authorization": "Bearer " + yard.key()})
        statuses = [answer_of(connection)[0] for connection in connections]

    assert others.status == 200
    assert statuses == SLOW_CLIENTS * [401]


@pytest.mark.parametrize("path", ["/sign-in", "/keys", "/keys/revoke"])
def test_a_slow_form_is_not_waited_for(yard: App, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Only the form to sign in is read without a session; that of another page leads there at once."""
    monkeypatch.setattr(bodies, "SMALL_BODY_SECONDS_MAX", 0.3)
    monkeypatch.setattr(http_protocol, "DRAIN_SECONDS_MAX", 0.3)
    with listening(yard) as address, connected(address, 1) as (connection,):
        connection.sendall(slow_request(path))
        status, _ = answer_of(connection)

    assert status == (408 if path == "/sign-in" else 303)


def test_a_slow_body_with_a_key_has_a_deadline_that_its_bytes_do_not_move(
    yard: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "SMALL_BODY_SECONDS_MAX", 1.0)
    monkeypatch.setattr(http_protocol, "DRAIN_SECONDS_MAX", 0.3)
    with listening(yard) as address, connected(address, 1) as (connection,):
        connection.sendall(slow_request(Authorization="Bearer " + yard.key("red", *WRITER)))
        connection.settimeout(0.1)
        received = b""
        while not received:
            connection.sendall(b" ")
            try:
                received = connection.recv(65_536)
            except TimeoutError:
                continue
        connection.settimeout(60)

    assert b"408" == received.split()[1]
    assert b"the request's body took longer than 1 seconds" in received


def test_a_key_that_may_not_write_is_refused_before_the_body(yard: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "DRAIN_SECONDS_MAX", 0.3)
    with listening(yard) as address, connected(address, 1) as (connection,):
        connection.sendall(slow_request(Authorization="Bearer " + yard.key()))
        status, body = answer_of(connection)

    assert (status, body["reason"]) == (403, "API_NOT_ALLOWED")


def test_an_upload_of_a_slow_client_that_goes_on_is_taken(yard: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole body takes much longer than every limit, and each part of it is fast enough."""
    monkeypatch.setattr(bodies, "SMALL_BODY_SECONDS_MAX", 0.2)
    monkeypatch.setattr(bodies, "RATE_SECONDS", 3.0)
    monkeypatch.setattr(bodies, "RATE_BYTES_MIN", 100)
    monkeypatch.setattr(http_protocol, "DRAIN_SECONDS_MAX", 0.3)
    key = "Bearer " + yard.key("red", *WRITER)
    head = {"Tus-Resumable": "1.0.0", "Upload-Length": "1000", "Authorization": key}
    with listening(yard) as address:
        path = address.ask("/v3/uploads", head, method="POST").headers["location"].partition(str(address.port))[2]
        tus = {"Tus_Resumable": "1.0.0", "Upload_Offset": "0", "Content_Type": "application/offset+octet-stream"}
        with connected(address, 1) as (connection,):
            connection.sendall(slow_request(path, "PATCH", Authorization=key, **tus))
            for _ in range(9):
                time.sleep(0.45)
                connection.sendall(bytes(111))
            slow = connection.recv(65_536)
        with connected(address, 1) as (connection,):
            connection.sendall(slow_request("/v3/uploads", Authorization=key, Upload_Length="1000", **tus))
            too_slow, body = answer_of(connection)

    assert b"204" == slow.split()[1]
    assert (too_slow, body["message"]) == (408, "the body came slower than 100 bytes a minute")


def test_connections_over_the_limit_get_503_and_places_become_free(yard: App) -> None:
    limits = ConnectionLimits(20)
    with listening(yard, limits) as address:
        with connected(address, 20), connected(address, 5) as refused:
            answers = [answer_of(connection) for connection in refused]
        give_up_at = time.monotonic() + 60
        while (status := address.ask("/healthz").status) != 200 and time.monotonic() < give_up_at:
            time.sleep(0.02)

    assert status == 200
    assert {(code, body["reason"], body["message"]) for code, body in answers} == {
        (503, "UNAVAILABLE", "the server has its maximum of 20 connections; try again later")
    }


def test_one_address_cannot_take_all_connections_and_a_proxy_can() -> None:
    limits = ConnectionLimits(100, trusted_proxies="10.1.0.0/16")

    results = {address: [limits.add(address) for _ in range(26)][-1] for address in ("203.0.113.9", "10.1.0.7", "::1")}

    assert results == {
        "203.0.113.9": "your address has its maximum of 25 connections; close some first",
        "10.1.0.7": "",
        "::1": "",
    }


def test_an_address_over_its_limit_is_served_again_when_it_has_closed_connections() -> None:
    limits = ConnectionLimits(100, per_address_max=1)
    results = [limits.add("203.0.113.9"), limits.add("203.0.113.9")]
    for _ in range(2):
        limits.remove("203.0.113.9")
    results.append(limits.add("203.0.113.9"))

    assert results == ["", "your address has its maximum of 1 connections; close some first", ""]
