"""Limits of requests and failures per minute: at their edges, with a clock that stands still, and over HTTP."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from modelyard import errors, settings
from modelyard.domain import Scope, Viewer
from modelyard.web import caller_times
from modelyard.web.caller_times import CALLERS_MAX, LocalTimes, SharedTimes
from modelyard.web.rate_limit import RateLimit, address_of, caller_of, counter_of
from modelyard.web.requests import Request
from tests.app_fixture import App, Reply, a_model, open_app


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_the_allowance_of_a_minute_may_be_used_at_once_and_refills_evenly() -> None:
    clock = Clock()
    limit = RateLimit(3, clock)
    for _ in range(3):
        limit.take("red")
    limit.take("blue")

    for waited, rest in ((0.0, 20), (0.5, 20), (1.5, 19), (19.5, 1)):
        clock.now = 1_000 + waited
        with pytest.raises(errors.RateLimited) as refusal:
            limit.take("red")
        assert rest == refusal.value.facts["retry_after_seconds"]
    clock.now = 1_020
    limit.take("red")
    with pytest.raises(errors.RateLimited):
        limit.take("red")
    clock.now = 2_000
    for _ in range(3):
        limit.take("red")
    with pytest.raises(errors.RateLimited):
        limit.take("red")


def test_a_limit_of_zero_is_none() -> None:
    limit = RateLimit(0, Clock())

    for _ in range(100):
        limit.take("red")


def test_any_number_of_callers_take_bounded_memory_and_those_with_nothing_left_are_not_forgotten() -> None:
    times = LocalTimes()
    for limit in (RateLimit(2, Clock(), times=times), RateLimit(2, Clock(), times=SharedTimes())):
        limit.charge("red", 2)
        for number in range(3 * CALLERS_MAX):
            limit.take(str(number))
        with pytest.raises(errors.RateLimited):
            limit.take("red")
    assert CALLERS_MAX >= len(times)


def test_processes_that_share_times_have_one_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four workers take from one key at once: together they are allowed what one is."""
    # On a busy machine one that does not run may hold the lock for long, and others would go on without it.
    monkeypatch.setattr(caller_times, "_LOCK_ATTEMPTS", 10**9)
    times = SharedTimes()
    read_end, write_end = os.pipe()
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            os.write(write_end, bytes([_take_all(RateLimit(120, lambda: 1_000.0, times=times))]))
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)

    assert 120 == sum(os.read(read_end, 4))
    with pytest.raises(errors.RateLimited):
        RateLimit(120, lambda: 1_000.0, times=times).take("red")
    os.close(read_end)
    os.close(write_end)


def _take_all(limit: RateLimit) -> int:
    count = 0
    with suppress(errors.RateLimited):
        while count < 255:
            limit.take("red")
            count += 1
    return count


def test_ten_thousand_idle_callers_do_not_make_a_busy_one_forgotten() -> None:
    clock = Clock()
    limit = RateLimit(1, clock)
    for number in range(9_999):
        limit.take(str(number))
    clock.now += 60
    limit.take("red")
    limit.take("one more")

    with pytest.raises(errors.RateLimited):
        limit.take("red")


@pytest.mark.parametrize(("requests", "taken"), [(0, 3), (1, 2), (2, 1), (3, 0), (10, 0)])
def test_a_dear_request_counts_as_several(requests: int, taken: int) -> None:
    limit = RateLimit(3, Clock())
    limit.charge("red", requests)

    for _ in range(taken):
        limit.take("red")
    with pytest.raises(errors.RateLimited) as refusal:
        limit.take("red")
    assert 20 == refusal.value.facts["retry_after_seconds"], "however dear it was"


def test_a_dear_request_is_free_without_a_limit_and_adds_to_earlier_ones() -> None:
    unlimited, clock = RateLimit(0, Clock()), Clock()
    unlimited.charge("red", 1_000)
    unlimited.take("red")
    limit = RateLimit(6, clock)
    limit.charge("red", 2)
    clock.now += 10
    limit.charge("red", 2)

    for _ in range(3):
        limit.take("red")
    with pytest.raises(errors.RateLimited):
        limit.take("red")


@pytest.mark.parametrize(
    ("viewer", "caller", "counter"),
    [(Viewer("red", key_fingerprint="ab"), "red", "ab"), (Viewer(None), "address 203.0.113.9", "address 203.0.113.9")],
)
def test_requests_are_counted_by_key_and_take_turns_by_team(viewer: Viewer, caller: str, counter: str) -> None:
    request = Request({"client": ("203.0.113.9", 1)}, {}, "1", 0, viewer=viewer)

    assert (caller, counter) == (caller_of(request), counter_of(request))


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("2001:db8:1:2:3:4:5:6", "address 2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "address 2001:db8:1:2::/64"),
        ("::ffff:203.0.113.9", "address 203.0.113.9"),
        ("", "address "),
    ],
)
def test_a_client_of_ipv6_has_a_network_of_addresses(address: str, name: str) -> None:
    assert name == address_of(Request({"client": (address, 1)}, {}, "1", 0))


# --- Over HTTP


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[App]:
    with open_app(tmp_path, rate_limit_per_minute=10, failures_per_minute=3, trusted_proxies="127.0.0.1/32") as opened:
        opened.put(a_model(1), a_model(2))
        yield opened


def limits(reply: Reply) -> tuple[str, str]:
    return reply.headers["ratelimit-policy"], reply.headers["ratelimit"].partition(";t=")[0]


def test_every_answer_of_a_limited_key_says_what_is_left(yard: App) -> None:
    targets = ("/v3/model", "/v3/nothing", "/v3/model?pagination.limit=x", "/v3/user", "/static/page.js", "/healthz")
    replies = [yard.ask(target) for target in targets]
    not_changed = yard.ask("/v3/model", if_none_match=replies[0].headers["etag"])
    hub = yard.ask("/hf/api/whoami-v2")

    policy = '"key";q=10;w=60'
    assert [200, 404, 400, 200, 200, 200] == [reply.status for reply in replies]
    assert [(policy, f'"key";r={left}') for left in (9, 8, 7)] == [limits(replies[n]) for n in (0, 2, 3)]
    assert (304, policy) == (not_changed.status, limits(not_changed)[0])
    assert '"fixed window";"api";q=10;w=60' == hub.headers["ratelimit-policy"]
    # Nobody asks for a key there.
    assert not [reply.status for n, reply in enumerate(replies) if n in (1, 4, 5) and "ratelimit" in reply.headers]


def test_a_key_without_requests_left_is_told_when_there_are_more(tmp_path: Path) -> None:
    with open_app(tmp_path, rate_limit_per_minute=1) as yard:
        replies = [yard.ask("/v3/user") for _ in range(2)]

    assert [200, 429] == [reply.status for reply in replies]
    assert ('"key";q=1;w=60', '"key";r=0') == limits(replies[1])
    assert replies[1].headers["retry-after"] == replies[1].headers["ratelimit"].partition(";t=")[2]


def test_keys_of_one_team_have_limits_of_their_own(tmp_path: Path) -> None:
    with open_app(tmp_path, rate_limit_per_minute=1) as yard:
        keys = [yard.access.create_key("red", [Scope.READ])[0] for _ in range(2)]

        assert [200, 200] == [yard.ask("/v3/user", None, authorization=f"Bearer {key}").status for key in keys]


def test_without_a_limit_no_answer_has_the_headers(tmp_path: Path) -> None:
    with open_app(tmp_path) as yard:
        assert "ratelimit" not in yard.ask("/v3/user").headers


def wrong_key(yard: App, address: str) -> int:
    return yard.ask("/v3/model", None, authorization="Bearer sk_x", x_forwarded_for=address).status


def wrong_sign_in(yard: App, address: str) -> int:
    return yard.ask("/sign-in", None, method="POST", body=b"key=sk_x", x_forwarded_for=address).status


def wrong_code(yard: App, address: str) -> int:
    return {200: 401}.get(status := yard.ask("/sign-in?code=x", None, x_forwarded_for=address).status, status)


@pytest.mark.parametrize("fail", [wrong_key, wrong_sign_in, wrong_code])
def test_wrong_keys_and_sign_ins_are_limited_by_address(yard: App, fail: Callable[[App, str], int]) -> None:
    statuses = [fail(yard, "203.0.113.9") for _ in range(4)]

    assert [401, 401, 401, 429] == statuses
    assert 401 == fail(yard, "203.0.113.10")
    assert 200 == yard.ask("/v3/model", x_forwarded_for="203.0.113.9").status
    assert 429 == wrong_sign_in(yard, "203.0.113.9")


def test_addresses_of_one_network_of_ipv6_have_one_limit(yard: App) -> None:
    statuses = [wrong_key(yard, f"2001:db8::{number:x}") for number in range(4)]

    assert [401, 401, 401, 429] == statuses
    assert 401 == wrong_key(yard, "2001:db8:0:1::1")


def test_the_limit_of_failures_is_on_by_default(tmp_path: Path) -> None:
    assert 0 < settings.load(tmp_path, {}).failures_per_minute
