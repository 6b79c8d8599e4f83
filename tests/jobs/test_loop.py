"""The loop of background work: how long it waits, and when it ends."""

from collections.abc import Callable
from threading import Event

import pytest

from modelyard import errors
from modelyard.jobs.loop import backoff_seconds, run_loop


class Stop(Event):
    """An event that notes how long somebody waited for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        return self.is_set()


def steps(*results: float | Exception | None) -> Callable[[], float | None]:
    left = iter(results)

    def step() -> float | None:
        result = next(left)
        if isinstance(result, Exception):
            raise result
        return result

    return step


def test_waits_double_up_to_half_a_minute() -> None:
    assert [1, 2, 4, 8, 16, 30, 30, 30] == [backoff_seconds(failures) for failures in (1, 2, 3, 4, 5, 6, 7, 1_000)]


def test_the_loop_waits_as_long_as_each_step_says_and_ends_with_none() -> None:
    stop = Stop()
    run_loop("work", steps(3.0, 0.0, -1.0, 0.5, None), stop)

    assert [3.0, 0.5] == stop.waits


def test_what_is_away_is_tried_again_later_and_later_and_a_success_begins_anew(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stop, away = Stop(), errors.Unavailable("the bucket is away")
    run_loop("work", steps(away, errors.DatabaseUnavailable("gone"), away, 0.0, away, None), stop)

    assert [1.0, 2.0, 4.0, 1.0] == stop.waits
    assert [
        "work paused, retrying in 1 s: the bucket is away",
        "work paused, retrying in 2 s: gone",
        "work paused, retrying in 4 s: the bucket is away",
        "work paused, retrying in 1 s: the bucket is away",
    ] == [record.getMessage() for record in caplog.records]


def test_another_error_ends_the_loop() -> None:
    with pytest.raises(errors.NotFound):
        run_loop("work", steps(errors.NotFound("x")), Stop())


def test_a_loop_that_is_stopped_does_nothing() -> None:
    stop = Stop()
    stop.set()
    run_loop("work", steps(), stop)

    assert [] == stop.waits
