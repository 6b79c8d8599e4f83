"""Every error of every route has one shape, carries its facts, and tells no secret.

Not covered here: which value of which parameter is refused (test_api.py), and what nobody thought of (test_fuzz.py).
"""

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard import errors, wire
from modelyard.domain import Scope
from modelyard.web.bodies import JSON_BYTES_MAX
from modelyard.web.http_protocol import HEAD_BYTES_MAX
from modelyard.web.rate_limit import RateLimit
from modelyard.web.urls import LinkFor
from tests.app_fixture import Address, App, Reply, a_model, listening, open_app

KEYED = ("/v3/model", "/v3/model/facets", "/v3/user", "/v3/metadata")
ROUTES = (*KEYED, "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs")


def shape_of(reply: Reply) -> tuple[int, str]:
    """Check the one shape, and return what tells the errors apart."""
    body = reply.json
    assert {"code": int, "reason": str, "message": str, "metadata": dict} == {
        name: type(value) for name, value in body.items()
    }
    assert ["code", "reason", "message", "metadata"] == list(body)
    assert reply.status == body["code"]
    assert "application/json" == reply.headers["content-type"]
    assert str(len(reply.body)) == reply.headers["content-length"]
    assert body["message"]
    assert (reply.status, body["reason"]) in wire.ERROR_ANSWERS.values()
    assert "*" == reply.headers["access-control-allow-origin"]
    assert reply.headers["x-request-id"]
    return reply.status, body["reason"]


# --- the table itself


def every_error() -> list[type[errors.ModelyardError]]:
    found = [errors.ModelyardError]
    for kind in found:
        found.extend(kind.__subclasses__())
    return [kind for kind in found if kind.__module__ == "modelyard.errors"]


EXAMPLES: list[errors.ModelyardError] = [
    errors.ModelyardError("x"),
    errors.InvalidRequest("x"),
    errors.InvalidParameter("p", "given", ("a", "b")),
    errors.InvalidValue("x"),
    errors.RequestTooLong("x"),
    errors.Unauthenticated("x"),
    errors.MissingKey(),
    errors.InvalidKey(),
    errors.Forbidden("write"),
    errors.InvalidSignature(),
    errors.CrossSiteRequest(),
    errors.SignInRefused("no"),
    errors.FinalUpload("u"),
    errors.SuspiciousFile("night.pt", "imports models.yolo.Model"),
    errors.RepositoryGated("a/b", "x"),
    errors.Gone("x"),
    errors.LinkExpired(7),
    errors.LinkRevoked(),
    errors.UploadExpired("u", 7),
    errors.FeedPruned(7),
    errors.FileGone("night.safetensors"),
    errors.UploadNotFound("u"),
    errors.WebhookNotFound("w"),
    errors.OffsetConflict(1, 2),
    errors.UploadLocked("u"),
    errors.RangeNotSatisfiable(9),
    errors.QuotaExceeded(9, 8, 7),
    errors.TooManyUploads(3, 60),
    errors.CoverRemoved(),
    errors.StorageFull(),
    errors.NotFound("x"),
    errors.RouteNotFound("/x"),
    errors.ModelNotFound("7"),
    errors.RepositoryNotFound("red/night"),
    errors.RevisionNotFound("v2", 40 * "0"),
    errors.EntryNotFound("a.txt", 40 * "0"),
    errors.MethodNotAllowed("PUT", ("GET",)),
    errors.Conflict("x"),
    errors.ModelExists("x"),
    errors.ModelFileMissing(7),
    errors.UploadComplete("x"),
    errors.RepositoryChanged("0" * 40, "1" * 40),
    errors.AmbiguousKey("sk_abcd", [1, 2]),
    errors.AmbiguousName("night", ["1 (a.pt)", "2 (b.pt)"]),
    errors.ConstraintViolation(),
    errors.TooLarge("file", 5),
    errors.UnsupportedFile("x"),
    errors.CorruptFile("header", "cut short"),
    errors.FileRefused(7, "dangerous", "imports os.system"),
    errors.UnsupportedMediaType("image/*"),
    errors.HashMismatch("a", "b"),
    errors.RateLimited(3),
    errors.TooManyStreams(4),
    errors.Unavailable("x"),
    errors.StorageRefused("x"),
    errors.DownloadFailed("x"),
    errors.AddressRefused("x"),
    errors.UpstreamRefused("x"),
    errors.UpstreamFailed("x"),
    errors.NothingImported("x"),
    errors.DatabaseDamaged("x"),
    errors.IndexDamaged("x"),
    errors.ConfigurationError("x"),
    errors.DatabaseUnavailable("x"),
]


def test_every_class_of_error_has_an_example_here() -> None:
    assert set(every_error()) == {type(error) for error in EXAMPLES}


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_every_error_renders_in_the_one_shape(error: errors.ModelyardError) -> None:
    answer = wire.render_error(error)

    body = json.loads(answer.body)
    assert ["code", "reason", "message", "metadata"] == list(body)
    assert answer.status == body["code"]
    assert (answer.status, body["reason"]) in wire.ERROR_ANSWERS.values()


def test_an_error_tells_its_facts() -> None:
    body = json.loads(wire.render_error(errors.InvalidParameter("filter.source", "x", ("a", "b"))).body)

    assert {"parameter": "filter.source", "given": "x", "allowed": ["a", "b"]} == body["metadata"]
    assert "filter.source: 'x' is not accepted; accepted: a, b" == body["message"]


def test_our_own_mistake_tells_nothing() -> None:
    answer = wire.render_error(errors.ModelyardError("password is hunter2"))

    assert b"hunter2" not in answer.body


# --- every route


METHODS = {"/v3/model": ["GET", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS"]}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"])
@pytest.mark.parametrize("route", ROUTES)
def test_a_method_a_route_has_not_is_405_and_told_what_is_possible(yard: App, route: str, method: str) -> None:
    allowed = METHODS.get(route, ["GET", "HEAD", "OPTIONS"])

    reply = yard.ask(route, method=method)

    if method in allowed:
        assert 405 != reply.status
        return
    assert (405, "METHOD_NOT_ALLOWED") == shape_of(reply)
    assert ", ".join(allowed) == reply.headers["allow"]
    assert {"given": method, "allowed": allowed} == reply.json["metadata"]


@pytest.mark.parametrize(
    "path",
    [
        "/v3/models",
        "/v3/nonexistent",
        "/v3",
        "/static/none.css",
        "/static/../app.py",
        "/v3/model/7",
        "/v3/user%0A",
        "/%00",
        "/%FF%C3",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_a_path_no_route_has_is_404(yard: App, path: str, method: str) -> None:
    assert (404, "API_NOT_FOUND") == shape_of(yard.ask(path, method=method))


@pytest.mark.parametrize("route", KEYED)
def test_no_key_is_401(yard: App, route: str) -> None:
    reply = yard.ask(route, team=None)

    assert (401, "MISSING_API_KEY") == shape_of(reply)
    assert "Bearer" == reply.headers["www-authenticate"]


@pytest.mark.parametrize("route", KEYED)
@pytest.mark.parametrize(
    "authorization", ["Bearer sk_wrong", "sk_wrong", "Basic dTpw", "Bearer a b", "Bearer \xff", "x" * 5000]
)
def test_a_key_that_is_none_of_ours_is_401(yard: App, route: str, authorization: str) -> None:
    reply = yard.ask(route, team=None, authorization=authorization)

    assert (401, "INVALID_API_KEY") == shape_of(reply)
    assert "invalid api-key" == reply.json["message"]
    assert {} == reply.json["metadata"]
    assert "Bearer" == reply.headers["www-authenticate"]


@pytest.mark.parametrize("route", KEYED)
def test_two_authorization_headers_are_no_key(yard: App, route: str) -> None:
    good = f"Bearer {yard.key()}".encode()

    reply = asyncio.run(yard.answer(route.encode(), headers=[(b"authorization", good), (b"authorization", good)]))

    assert (401, "INVALID_API_KEY") == shape_of(reply)


@pytest.mark.parametrize("route", KEYED)
def test_a_good_key_without_the_scope_is_403(yard: App, route: str) -> None:
    reply = yard.ask(route, authorization=f"Bearer {yard.key('red', Scope.WRITE)}")

    assert (403, "API_NOT_ALLOWED") == shape_of(reply)
    assert {"scope": "read"} == reply.json["metadata"]


def test_a_query_string_over_its_limit_is_414_and_one_at_it_is_not(yard: App) -> None:
    at_limit = yard.ask("/v3/model?x=" + "a" * (wire.QUERY_STRING_BYTES_MAX - 2))
    over = yard.ask("/v3/model?x=" + "a" * (wire.QUERY_STRING_BYTES_MAX - 1))

    assert 200 == at_limit.status
    assert (414, "INVALID_ARGUMENT") == shape_of(over)
    assert {"limit_bytes": wire.QUERY_STRING_BYTES_MAX} == over.json["metadata"]


def test_a_caller_over_its_rate_is_429_and_told_when_to_come_back(tmp_path: Path) -> None:
    with open_app(tmp_path, rate_limit_per_minute=3) as yard:
        statuses = [yard.ask("/v3/model").status for _ in range(3)]
        over = yard.ask("/v3/model")
        another_team = yard.ask("/v3/model", "blue")

    assert [200] * 3 == statuses
    assert (429, "RATE_LIMIT_EXCEEDED") == shape_of(over)
    assert 1 <= int(over.headers["retry-after"]) <= 20
    assert 200 == another_team.status


def test_trying_keys_is_limited_too(tmp_path: Path) -> None:
    with open_app(tmp_path, rate_limit_per_minute=2) as yard:
        reasons = [shape_of(yard.ask("/v3/user", None, authorization=f"sk_{n}"))[1] for n in range(3)]

    assert ["INVALID_API_KEY", "INVALID_API_KEY", "RATE_LIMIT_EXCEEDED"] == reasons


def test_an_allowance_comes_back_evenly() -> None:
    now = 100.0
    limit = RateLimit(60, clock=lambda: now)
    for _ in range(60):
        limit.take("a")
    with pytest.raises(errors.RateLimited) as refused:
        limit.take("a")
    now += refused.value.retry_after_seconds
    limit.take("a")

    assert 1 == refused.value.retry_after_seconds
    with pytest.raises(errors.RateLimited):
        limit.take("a")


# --- what is wrong before a handler is asked


def test_a_host_that_is_none_is_400(yard: App) -> None:
    assert (400, "INVALID_ARGUMENT") == shape_of(yard.ask("/v3/user", host="not a host!"))


@pytest.mark.parametrize("body", [b"", b"{", b'{"model_name":7}', b"\xff", b"[]"])
def test_a_body_that_cannot_be_used_is_400(yard: App, body: bytes) -> None:
    authorization = f"Bearer {yard.key('red', Scope.WRITE)}"
    reply = yard.ask("/v3/model/uploader", method="POST", body=body, authorization=authorization)

    assert (400, "INVALID_REQUEST_BODY") == shape_of(reply)


def test_a_body_over_its_limit_is_413(yard: App) -> None:
    authorization = f"Bearer {yard.key('red', Scope.WRITE)}"
    body = b" " * (JSON_BYTES_MAX + 1)
    reply = yard.ask("/v3/model/uploader", method="POST", body=body, authorization=authorization)

    assert (413, "FILE_EXCEEDS_MAX_SIZE") == shape_of(reply)


def test_a_method_that_a_path_with_a_parameter_has_not_is_405(yard: App) -> None:
    reply = yard.ask("/models/7/delete", method="PUT")

    assert (405, "METHOD_NOT_ALLOWED") == shape_of(reply)
    assert "POST, OPTIONS" == reply.headers["allow"]


# --- what goes wrong inside


def link_that_fails(error: Exception) -> LinkFor:
    def link_for(_sha256: str, _label: str) -> str:
        raise error

    return link_for


def test_our_own_mistake_is_a_500_whose_id_finds_it_in_the_log(tmp_path: Path) -> None:
    with open_app(tmp_path, link_for=link_that_fails(RuntimeError("hunter2 at /secret/path"))) as yard:
        yard.put(a_model(1, blob="0" * 64))
        reply = yard.ask("/v3/model")
        logged = yard.lines()

    assert (500, "INTERNAL") == shape_of(reply)
    assert b"hunter2" not in reply.body
    (failure,) = [line for line in logged if line["event"] == "failed"]
    (request,) = [line for line in logged if line["event"] == "request"]
    assert {"id": failure["request_id"]} == reply.json["metadata"]
    assert failure["request_id"] == request["request_id"] == reply.headers["x-request-id"]
    assert "hunter2" in failure["exception"]


def test_a_part_that_is_away_is_503(tmp_path: Path) -> None:
    with open_app(tmp_path, link_for=link_that_fails(errors.Unavailable("no answer from the files"))) as yard:
        yard.put(a_model(1, blob="0" * 64))
        reply = yard.ask("/v3/model")

    assert (503, "UNAVAILABLE") == shape_of(reply)
    assert "1" == reply.headers["retry-after"]


# --- what does not get as far as the application


@pytest.fixture
def address(yard: App) -> Iterator[Address]:
    with listening(yard) as bound:
        yield bound


def exchange(address: Address, sent: bytes) -> Reply:
    """Send bytes, and read until the server closes."""
    with socket.create_connection((address.host, address.port), timeout=60) as connection:
        connection.sendall(sent)
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Reply(int(status_line.split()[1]), headers, body)


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /v3/model HTTP/9.9\r\n\r\n",
        b"GET /v3/model HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /v3/model HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET /v3/model HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /v3/model\x00 HTTP/1.1\r\n\r\n",
        b"GET /caf\xc3\xa9 HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_what_is_not_http_is_400_in_the_same_shape(address: Address, sent: bytes) -> None:
    reply = exchange(address, sent)

    body = reply.json
    assert (400, "INVALID_ARGUMENT", {}) == (body["code"], body["reason"], body["metadata"])
    assert 400 == reply.status
    assert "application/json" == reply.headers["content-type"]
    assert "close" == reply.headers["connection"]


@pytest.mark.parametrize(
    "begun", [b"GET /" + b"a" * 2 * HEAD_BYTES_MAX, b"GET / HTTP/1.1\r\n" + b"x: " + b"a" * 2 * HEAD_BYTES_MAX]
)
def test_a_head_without_end_is_431(address: Address, begun: bytes) -> None:
    reply = exchange(address, begun)

    assert (431, 431, {"limit_bytes": HEAD_BYTES_MAX}) == (reply.status, reply.json["code"], reply.json["metadata"])


def test_a_long_query_string_is_414_over_the_wire_too(yard: App, address: Address) -> None:
    bearer = {"Authorization": f"Bearer {yard.key()}"}

    assert (414, "INVALID_ARGUMENT") == shape_of(address.ask(f"/v3/model?x={9000 * 'a'}", bearer))


@pytest.mark.parametrize(("chars", "shown"), [(64, "x" * 64), (65, "x" * 64 + "…")])
def test_a_long_value_is_shortened(chars: int, shown: str) -> None:
    error = errors.InvalidParameter("p", "x" * chars, ["a", "b"])

    assert f"p: '{shown}' is not accepted; accepted: a, b" == error.message
    assert {"parameter": "p", "given": shown, "allowed": ["a", "b"]} == error.facts
    assert "p: too many; accepted: one" == errors.InvalidParameter("p", "x", "one", "too many").message
