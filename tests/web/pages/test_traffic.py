"""What the status page says of requests: rates and latencies between samples, and how they are drawn."""

import pytest

from modelyard.web.metrics import Metrics
from modelyard.web.pages.status import HEIGHT, WIDTH, charts_of
from modelyard.web.pages.traffic import SAMPLES_MAX, Beat, Pulse, Sample, quantile

INF = float("inf")


def pulse_of(*samples: Sample) -> Pulse:
    pulse = Pulse(Metrics())
    pulse.samples.extend(samples)
    return pulse


def test_a_beat_is_what_was_counted_between_two_samples() -> None:
    pulse = pulse_of(
        Sample(0.0, 10, {0.1: 10, INF: 10}),
        Sample(5.0, 30, {0.1: 30, INF: 30}),
        Sample(7.0, 30, {0.1: 30, INF: 30}),
    )

    assert [Beat(4.0, 0.05, pytest.approx(0.099)), Beat(0.0, None, None)] == pulse.beats()


def test_a_worker_that_was_replaced_makes_no_negative_rate() -> None:
    pulse = pulse_of(Sample(0.0, 50, {0.1: 50, INF: 50}), Sample(5.0, 10, {0.1: 10, INF: 10}))

    assert [Beat(0.0, None, None)] == pulse.beats()


def test_one_sample_is_no_beat_and_old_samples_are_forgotten() -> None:
    pulse = pulse_of(*(Sample(float(at), at, {}) for at in range(SAMPLES_MAX + 9)))

    assert [] == pulse_of(Sample(0.0, 1, {})).beats()
    assert SAMPLES_MAX - 1 == len(pulse.beats())


def test_a_sample_counts_requests_and_their_times_at_the_time_of_the_clock() -> None:
    pulse = Pulse(Metrics(), clock=lambda: 17.0)
    pulse.sample()

    assert [Sample(17.0, 0.0, {})] == [*pulse.samples]


@pytest.mark.parametrize(
    ("up_to", "share", "value"),
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
def test_a_quantile_lies_within_its_bucket(up_to: dict[float, float], share: float, value: float | None) -> None:
    assert (None if value is None else pytest.approx(value)) == quantile(up_to, share)


def test_a_chart_ends_at_its_right_edge_and_its_top_is_the_greatest_value() -> None:
    rates, latency = charts_of([Beat(4.0, 0.002, 0.004), Beat(8.0, None, None), Beat(2.0, 0.001, 0.05)])

    assert ("8", "2.0") == (rates.top, rates.lines[0].now)
    heights = [float(point.partition(",")[2]) for point in rates.lines[0].points.split()]
    assert [HEIGHT / 2, 0.0, HEIGHT * 3 / 4] == heights
    assert [f"{WIDTH:.1f}"] * 3 == [
        line.points.split()[-1].partition(",")[0] for line in (*rates.lines, *latency.lines)
    ]
    assert ("50 ms", ["50 ms", "1.00 ms"]) == (latency.top, [line.now for line in latency.lines])
    assert [f"{HEIGHT:.1f}"] == [latency.lines[0].points.split()[1].partition(",")[2]]


def test_a_chart_of_a_quiet_server_lies_on_the_ground() -> None:
    rates, latency = charts_of([Beat(0.0, None, None)] * 2)

    assert ("1", "–") == (rates.top, latency.lines[0].now)
    assert {f"{HEIGHT:.1f}"} == {point.partition(",")[2] for point in rates.lines[0].points.split()}
