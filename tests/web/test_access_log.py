"""When requests are logged, and what a line says of one."""

import asyncio
import json
import time
from io import StringIO
from typing import Any

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
    assert 1_000_000 <= first["us"] < 1_900_000
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
