"""What nobody thought of: generated query strings, headers, requests and calls. No 500, no other shape, none slow.

Not covered here: the meaning of what is accepted (test_api.py), damaged files (tests/attacks).
"""

import asyncio
import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks as openapi_checks

from modelyard import wire
from modelyard.domain import Scope
from modelyard.web.openapi import document
from tests.app_fixture import Address, App, Reply, a_model, a_private, listening, open_app

SECONDS_MAX = 30.0
REASONS = {(status, reason) for status, reason in wire.ERROR_ANSWERS.values()}
relaxed = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with open_app(tmp_path_factory.mktemp("fuzzed")) as opened:
        opened.put(*(a_model(number, tags=("anime",)) for number in range(1, 60)), a_private(1_000_000_001, "red"))
        yield opened


@pytest.fixture(scope="module")
def fuzzed_address(fuzzed: App) -> Iterator[Address]:
    with listening(fuzzed) as address:
        yield address


def check(reply: Reply) -> None:
    """Whether an answer is one that may be given: a page, or a caller's mistake in the one shape."""
    if reply.status == 200:
        assert ["models", "pagination"] == list(reply.json)
        return
    body = reply.json
    assert ["code", "reason", "message", "metadata"] == list(body)
    assert reply.status == body["code"] < 500
    assert (reply.status, body["reason"]) in REASONS


# --- query strings

names = st.one_of(
    st.sampled_from([spelling for parameter in wire.PARAMETERS for spelling in parameter.spellings]),
    st.text(max_size=20),
)
values = st.one_of(
    st.sampled_from([parameter.example for parameter in wire.PARAMETERS]),
    st.sampled_from(["", "true", "0", "c_0", "c_5", "c_c_5", "lora,vae", "%", "%00", "+", "%F0%9F%98%80", "c_W10="]),
    st.text(max_size=40),
    st.integers().map(str),
    st.floats().map(str),
    st.binary(max_size=40),
)


def piece(part: str | bytes, *, escaped: bool) -> bytes:
    raw = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
    return quote_from_bytes(raw).encode() if escaped else raw


query_strings = st.one_of(
    st.binary(max_size=300),
    st.lists(st.tuples(names, values, st.booleans()), max_size=8).map(
        lambda pairs: b"&".join(
            piece(name, escaped=escaped) + b"=" + piece(value, escaped=escaped) for name, value, escaped in pairs
        )
    ),
    st.tuples(names, st.integers(8000, 9000)).map(lambda long: piece(long[0], escaped=True) + b"=" + b"a" * long[1]),
)


@given(query_strings)
@relaxed
def test_any_query_string_is_a_page_or_a_callers_mistake(fuzzed: App, query_string: bytes) -> None:
    bearer = [(b"authorization", fuzzed.key().encode())]
    began = time.perf_counter()
    reply = asyncio.run(fuzzed.answer(b"/v3/model?" + query_string, headers=bearer))

    check(reply)
    assert time.perf_counter() - began < SECONDS_MAX


@pytest.mark.parametrize(
    "query_string",
    [
        "filter.query=" + "+".join("abcdefghijklmnop"),
        "filter.query=" + "a" * 256,
        "filter.query=" + "%EF%B7%BA" * 256,  # one character that NFKC makes eighteen of
        "&".join(f"filter.tags={number}" for number in range(500)),
        "filter.types=" + ",".join(["lora"] * 1600),
        "&" * 8000,
        "filter.types=lora&" * 450,
        "=" * 8000,
        "%" * 8000,
        "pagination.cursor=c_" + "9" * 18,
        "filter.query=e&pagination.cursor=c_1000000000",
    ],
    ids=lambda query_string: query_string[:30],
)
def test_the_worst_questions_that_are_within_the_limits_are_not_slow(fuzzed: App, query_string: str) -> None:
    began = time.perf_counter()
    reply = fuzzed.ask(f"/v3/model?{query_string}", prefer="count=exact", accept_encoding="gzip")

    check(reply) if not reply.headers.get("content-encoding") else None
    assert time.perf_counter() - began < SECONDS_MAX


# --- headers

header_names = st.sampled_from(
    b"authorization accept-encoding if-none-match prefer x-request-id origin host content-length content-type accept "
    b"range x-forwarded-for".split()
)
header_values = st.one_of(
    st.binary(max_size=60),
    st.binary(min_size=2000, max_size=6000),
    st.sampled_from([b"*", b'"x"', b"gzip;q=", b"Bearer ", b"handling=strict", b"count=exact,,", b"W/", b'"'])
    .flatmap(lambda text: st.integers(1, 2000).map(lambda times: text * times))
    .map(lambda text: text[:20_000]),
)


@given(st.lists(st.tuples(header_names, header_values), max_size=6), st.booleans())
@relaxed
def test_any_headers_are_answered(fuzzed: App, headers: list[tuple[bytes, bytes]], with_key: bool) -> None:
    key = [(b"authorization", fuzzed.key().encode())] if with_key else []
    began = time.perf_counter()
    reply = asyncio.run(fuzzed.answer(b"/v3/model?pagination.limit=100", headers=[*key, *headers]))

    assert time.perf_counter() - began < SECONDS_MAX
    assert reply.status in {200, 304, 400, 401}
    if reply.status >= 400:
        check(reply)
    assert not any("\r" in value or "\n" in value for value in reply.headers.values())


# --- the socket


def talk(address: Address, sent: bytes) -> bytes:
    """Send bytes, say that no more come, and read what is answered."""
    with socket.create_connection((address.host, address.port), timeout=60) as connection:
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65_536), b""))
        except ConnectionError:
            return b""  # the server had heard enough


def request(target: bytes, headers: list[tuple[bytes, bytes]], body: bytes = b"") -> bytes:
    lines = [b"GET " + target + b" HTTP/1.1", b"Host: x", *(name + b": " + value for name, value in headers)]
    return b"\r\n".join([*lines, b"", b""]) + body


mutations = st.one_of(
    st.tuples(st.just("cut"), st.integers(0, 400), st.just(b"")),
    st.tuples(st.sampled_from(["insert", "replace"]), st.integers(0, 400), st.binary(min_size=1, max_size=30)),
)


@given(
    st.one_of(st.binary(max_size=400), query_strings.map(lambda query: b"/v3/model?" + query)),
    st.lists(mutations, max_size=4),
    st.lists(st.tuples(header_names, header_values), max_size=3),
)
@settings(relaxed, max_examples=120)
def test_any_bytes_on_the_socket_leave_the_server_answering(
    fuzzed: App,
    fuzzed_address: Address,
    target: bytes,
    changes: list[tuple[str, int, bytes]],
    headers: list[tuple[bytes, bytes]],
) -> None:
    sent = request(target, [(b"Authorization", fuzzed.key().encode()), *headers])
    for kind, at, with_what in changes:
        rest = b"" if kind == "cut" else sent[at + (len(with_what) if kind == "replace" else 0) :]
        sent = sent[:at] + with_what + rest
    began = time.perf_counter()
    received = talk(fuzzed_address, sent)

    assert time.perf_counter() - began < SECONDS_MAX + 2  # a refusal lingers, so that it is read
    for line in received.split(b"\r\n"):
        assert not line.startswith(b"HTTP/1.1 5")
    assert b"Traceback" not in received
    assert 200 == fuzzed_address.ask("/healthz").status


# --- the OpenAPI document

schema = schemathesis.openapi.from_dict(json.loads(document.get_openapi(None).body))  # type: ignore[arg-type] # unused
# Which types and cursors there are only the catalogue knows, so the document calls more of them good than are, and what
# `Prefer` and an empty value mean is not for a schema to say. Methods that a route has not: test_errors.py.
CHECKED: list[Callable[..., Any]] = [
    not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.response_schema_conformance,
]


@schemathesis.serializer("application/offset+octet-stream", "application/x-ndjson")
def _octets(_: Any, value: Any) -> bytes:
    """What tus and the hub call bytes."""
    return value if isinstance(value, bytes) else str(value).encode()


@schema.parametrize()
@settings(deadline=None, derandomize=True, max_examples=30, suppress_health_check=list(HealthCheck))
def test_the_server_keeps_to_its_openapi_document(
    case: schemathesis.Case, fuzzed: App, fuzzed_address: Address
) -> None:
    bearer = {"Authorization": f"Bearer {fuzzed.key('red', Scope.READ, Scope.WRITE)}"}
    # Waiting for a revision that never comes takes a second and ends in 503: test_freshness.py.
    case.headers.pop(wire.MIN_REVISION_HEADER, None)
    answer = case.call_and_validate(fuzzed_address.url, headers=bearer, checks=CHECKED)
    assert answer.elapsed < SECONDS_MAX
