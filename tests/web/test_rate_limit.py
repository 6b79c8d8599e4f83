"""The limit of requests per minute at its edges, with a clock that stands still."""

import pytest

from modelyard import errors
from modelyard.domain import Viewer
from modelyard.web.rate_limit import RateLimit, caller_of
from modelyard.web.requests import Request


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


@pytest.mark.parametrize(("others", "is_forgotten"), [(9_998, False), (9_999, True)])
def test_ten_thousand_busy_callers_are_all_forgotten(others: int, is_forgotten: bool) -> None:
    limit = RateLimit(1, Clock())
    limit.take("red")
    for number in range(others):
        limit.take(str(number))
    limit.take("one more")

    if is_forgotten:
        limit.take("red")
    else:
        with pytest.raises(errors.RateLimited):
            limit.take("red")


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


@pytest.mark.parametrize(("team", "caller"), [("red", "red"), (None, "address 203.0.113.9")])
def test_requests_are_counted_by_team_or_by_address(team: str | None, caller: str) -> None:
    request = Request({"client": ("203.0.113.9", 1)}, {}, "1", 0, viewer=Viewer(team))

    assert caller == caller_of(request)
