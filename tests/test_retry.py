"""Retries: the waits between attempts, what Retry-After means, and when there is no attempt left.

Not covered here: which failures a caller retries (test_client.py, civitai/test_client.py, covers/test_download.py).
"""

import pytest

from modelyard.retry import Retry, RetryPolicy, parse_retry_after

NOW = 1_700_000_000.0


def a_policy(waits: list[float], attempts_max: int = 6, chance: float = 1.0) -> RetryPolicy:
    return RetryPolicy(attempts_max, 0.5, 3.0, 60.0, sleep=waits.append, chance=lambda: chance)


@pytest.mark.parametrize(("chance", "expected"), [(1.0, [0.5, 1.0, 2.0, 3.0, 3.0]), (0.0, [0.25, 0.5, 1.0, 1.5, 1.5])])
def test_waits_double_to_their_maximum_and_half_of_each_is_random(chance: float, expected: list[float]) -> None:
    waits: list[float] = []
    retry = Retry(a_policy(waits, chance=chance))

    results = [retry.wait() for _ in range(6)]

    assert [True, True, True, True, True, False] == results
    assert expected == waits


def test_retry_after_replaces_the_wait_up_to_its_maximum() -> None:
    waits: list[float] = []
    retry = Retry(a_policy(waits))

    for seconds in (7.0, 0.0, 86_400.0):
        retry.wait(seconds)

    assert [7.0, 0.0, 60.0] == waits


def test_progress_starts_the_count_again() -> None:
    waits: list[float] = []
    retry = Retry(a_policy(waits, attempts_max=3))

    results = [retry.wait(), retry.wait()]
    retry.reset()
    results += [retry.wait(), retry.wait(), retry.wait()]

    assert [True, True, True, True, False] == results
    assert [0.5, 1.0, 0.5, 1.0] == waits


def test_the_caller_gets_the_wait_before_it_begins() -> None:
    events: list[object] = []
    policy = RetryPolicy(2, 0.5, 3.0, 60.0, sleep=lambda seconds: events.append(("sleep", seconds)))

    Retry(policy).wait(4.0, lambda seconds: events.append(("wait", seconds)))

    assert [("wait", 4.0), ("sleep", 4.0)] == events


def test_one_attempt_waits_never() -> None:
    waits: list[float] = []

    assert not Retry(a_policy(waits, attempts_max=1)).wait()
    assert [] == waits


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        (" 12 ", 12.0),
        ("9" * 400, 999_999_999.0),
        ("²", None),
        ("1.5", None),
        ("-1", None),
        ("Tue, 14 Nov 2023 22:14:02 GMT", 42.0),
        ("Tue, 14 Nov 2023 22:14:02 -0000", 42.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
        *((text, None) for text in (None, "", "soon", "-1", "1.5", "\xb2", "Tue, 99 Nov 2023 22:14:02 GMT")),
        ("Mon, 99999999999999999999 Jan 2024 00:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, seconds: float | None) -> None:
    assert seconds == parse_retry_after(text, lambda: NOW)
