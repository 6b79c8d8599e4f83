"""Request rates and latencies on the status page: their computation from counter readings, and their charts."""

import pytest

from modelyard.web.metrics import Metrics
from modelyard.web.pages.status import HEIGHT, WIDTH, make_charts
from modelyard.web.pages.traffic import READINGS_MAX, CounterReading, TrafficHistory, TrafficSample, estimate_quantile

INF = float("inf")


def history_of(*readings: CounterReading) -> TrafficHistory:
    history = TrafficHistory(Metrics())
    history.readings.extend(readings)
    return history


def test_a_sample_is_the_difference_of_two_readings() -> None:
    history = history_of(
        CounterReading(0.0, 10, {0.1: 10, INF: 10}),
        CounterReading(5.0, 30, {0.1: 30, INF: 30}),
        CounterReading(7.0, 30, {0.1: 30, INF: 30}),
    )

    assert [TrafficSample(4.0, 0.05, pytest.approx(0.099)), TrafficSample(0.0, None, None)] == history.list_samples()


def test_a_replaced_worker_causes_no_negative_rate() -> None:
    history = history_of(CounterReading(0.0, 50, {0.1: 50, INF: 50}), CounterReading(5.0, 10, {0.1: 10, INF: 10}))

    assert [TrafficSample(0.0, None, None)] == history.list_samples()


def test_one_reading_makes_no_sample_and_old_readings_are_dropped() -> None:
    history = history_of(*(CounterReading(float(at), at, {}) for at in range(READINGS_MAX + 9)))

    assert [] == history_of(CounterReading(0.0, 1, {})).list_samples()
    assert READINGS_MAX - 1 == len(history.list_samples())


def test_a_reading_has_the_counters_and_the_time_of_the_clock() -> None:
    history = TrafficHistory(Metrics(), clock=lambda: 17.0)
    history.read_counters()

    assert [CounterReading(17.0, 0.0, {})] == [*history.readings]


@pytest.mark.parametrize(
    ("buckets", "share", "value"),
    [
        ({}, 0.5, None),
        ({1.0: 0, INF: 0}, 0.5, None),
        ({1.0: 10, 2.0: 10, INF: 10}, 0.5, 0.5),
        ({1.0: 0, 2.0: 10, INF: 10}, 0.5, 1.5),
        ({1.0: 5, 2.0: 10, INF: 10}, 0.5, 1.0),
        ({1.0: 5, 2.0: 10, INF: 10}, 0.99, 1.98),
        ({1.0: 5, 2.0: 5, INF: 10}, 0.99, 2.0),
        ({INF: 10}, 0.5, 0.0),
    ],
)
def test_a_quantile_lies_within_its_bucket(buckets: dict[float, float], share: float, value: float | None) -> None:
    assert (None if value is None else pytest.approx(value)) == estimate_quantile(buckets, share)


def test_a_chart_ends_at_its_right_edge_and_its_top_is_the_greatest_value() -> None:
    rates, latency = make_charts(
        [TrafficSample(4.0, 0.002, 0.004), TrafficSample(8.0, None, None), TrafficSample(2.0, 0.001, 0.05)]
    )

    assert ("8", "2.0") == (rates.top, rates.lines[0].now)
    heights = [float(point.partition(",")[2]) for point in rates.lines[0].points.split()]
    assert [HEIGHT / 2, 0.0, HEIGHT * 3 / 4] == heights
    assert [f"{WIDTH:.1f}"] * 3 == [
        line.points.split()[-1].partition(",")[0] for line in (*rates.lines, *latency.lines)
    ]
    assert ("50 ms", ["50 ms", "1.00 ms"]) == (latency.top, [line.now for line in latency.lines])
    assert [f"{HEIGHT:.1f}"] == [latency.lines[0].points.split()[1].partition(",")[2]]


def test_a_chart_without_requests_is_a_line_at_zero() -> None:
    rates, latency = make_charts([TrafficSample(0.0, None, None)] * 2)

    assert ("1", "–") == (rates.top, latency.lines[0].now)
    assert {f"{HEIGHT:.1f}"} == {point.partition(",")[2] for point in rates.lines[0].points.split()}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.0, "0.00 ms"),
        (0.001234, "1.23 ms"),
        (0.00999, "9.99 ms"),
        (0.01, "10 ms"),
        (0.05, "50 ms"),
        (1.5, "1,500 ms"),
    ],
)
def test_a_latency_is_shown_with_the_digits_that_matter(seconds: float | None, text: str) -> None:
    _, latency = make_charts([TrafficSample(1.0, 0.001, 0.001), TrafficSample(1.0, 0.001, seconds)])

    assert text == latency.lines[0].now


def test_the_points_of_a_chart_stand_at_equal_distances_up_to_the_right_edge() -> None:
    rates, latency = make_charts([TrafficSample(0.5, 0.0002, 0.0004), TrafficSample(1.0, None, 0.0008)])

    assert ("1", "595.0,70.0 600.0,0.0") == (rates.top, rates.lines[0].points)
    assert ("1.00 ms", "595.0,84.0 600.0,28.0") == (latency.top, latency.lines[0].points)
    assert "595.0,112.0 600.0,140.0" == latency.lines[1].points
    assert ("99th percentile", "median", "595.0") == (
        latency.lines[0].name,
        latency.lines[1].name,
        rates.lines[0].start,
    )
