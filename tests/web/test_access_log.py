"""When requests are logged, and what a line says of one."""

import asyncio
import json
import time
from io import StringIO
from typing import Any

import pytest

from modelyard.domain import Viewer
from modelyard.web.access_log import RequestLog
from modelyard.web.log import open_log
from modelyard.web.metrics import Metrics
from modelyard.web.requests import Request


def a_request(number: int, **scope: Any) -> Request:
    request = Request({"method": "GET"} | scope, {}, f"request-{number}", time.perf_counter_ns() - 10**9)
    request.viewer, request.status = Viewer("red"), 200
    return request


def test_a_line_has_the_route_the_team_and_the_microseconds() -> None:
    stream, metrics = StringIO(), Metrics()
    log = RequestLog(open_log("info", stream), metrics)

    async def serve() -> None:
        log.add(a_request(1, path_template="/v3/model"))
        log.add(a_request(2, method="M" * 17))
        log.flush()
        log.flush()

    asyncio.run(serve())
    first, second = map(json.loads, stream.getvalue().splitlines())

    assert ("GET", "/v3/model", 200, "red", "request-1") == tuple(
        first[name] for name in ("method", "route", "status", "team", "request_id")
    )
    assert 1_000_000 <= first["us"] < 60_000_000
    assert ("M" * 16, None) == (second["method"], second["route"])
    assert b'modelyard_request_seconds_bucket{le="1.0",route="/v3/model"} 0.0' in metrics.render(0)
    assert b'modelyard_requests_total{method="other",route="unmatched",status="200"} 1.0' in metrics.render(0)


def test_a_full_batch_is_logged_at_once_and_the_rest_a_moment_later() -> None:
    stream = StringIO()
    log = RequestLog(open_log("info", stream), Metrics())
    counts: list[int] = []

    async def serve() -> None:
        for number in range(65):
            log.add(a_request(number))
            counts.append(stream.getvalue().count("\n"))
        for _ in range(3_000):
            if stream.getvalue().count("\n") == 65:
                break
            await asyncio.sleep(0.02)

    asyncio.run(serve())

    assert [0] * 63 + [64, 64] == counts
    assert 65 == stream.getvalue().count("\n")


@pytest.mark.parametrize(
    ("access_log", "logged"),
    [("all", ["a", "b", "c", "d"]), ("on", ["a", "d"]), ("off", [])],
)
def test_the_setting_says_which_requests_are_logged_and_all_are_counted(access_log: str, logged: list[str]) -> None:
    stream, metrics = StringIO(), Metrics()
    log = RequestLog(open_log("info", stream), metrics, access_log)
    requests = {"a": ("/v3/model", 200), "b": ("/healthz", 200), "c": ("/static/{name}", 304), "d": ("/readyz", 503)}

    async def serve() -> None:
        for id_, (route, status) in requests.items():
            request = a_request(1, path_template=route)
            request.id, request.status = id_, status
            log.add(request)
        log.flush()

    asyncio.run(serve())

    assert logged == [json.loads(line)["request_id"] for line in stream.getvalue().splitlines()]
    assert 4 == metrics.render(0).count(b"modelyard_requests_total{")


def test_a_line_of_text_has_the_fields_of_a_line_of_json() -> None:
    stream = StringIO()
    log = RequestLog(open_log("info", stream, "text"), Metrics())

    async def serve() -> None:
        log.add(a_request(1, path_template="/v3/model"))
        log.flush()

    asyncio.run(serve())

    (line,) = stream.getvalue().splitlines()
    assert all(f"{field}=" in line for field in ("method", "route", "status", "us", "team", "request_id"))
    assert "\x1b" not in line
