"""The whole text of the metrics, for requests and work of fixed times."""

import os
from pathlib import Path

from modelyard.domain import Scope
from modelyard.store.backup import record_backup
from modelyard.store.jobs import Summary
from modelyard.web.metrics import Metrics
from modelyard.web.state_metrics import measure_processes
from tests.app_fixture import a_model, open_app


def text_of(metrics: bytes) -> str:
    """The text without the times at which counters were made."""
    return "\n".join(line for line in metrics.decode().splitlines() if "_created" not in line)


def test_requests_are_counted_by_route_method_status_and_time() -> None:
    metrics = Metrics()
    for seconds in (0.00005, 0.0002, 0.0004, 0.0009, 0.002, 0.004, 0.009, 0.04, 0.2, 0.9, 2):
        metrics.count("/v3/model", "GET", 200, seconds)
    metrics.count(None, "BREW", 404, 0.5)
    metrics.count(None, "SING", 404, 0.5)
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        metrics.count("/x", method, 405, 0.0001)

    assert REQUESTS.strip() == text_of(metrics.render(7))


def test_the_state_of_the_server_is_read_when_the_metrics_are(tmp_path: Path) -> None:
    with open_app(tmp_path) as yard:
        yard.put(a_model(1), a_model(2))
        key = yard.key("red", Scope.READ, Scope.WRITE)
        headers = {"authorization": f"Bearer {key}", "tus_resumable": "1.0.0", "upload_length": "8"}
        yard.ask("/v3/uploads", None, method="POST", **headers)
        body = b'{"name":"x"}'
        yard.ask("/v3/model?id=9", None, method="PATCH", body=body, authorization=f"Bearer {key}")
        sent = len(yard.ask("/v3/model").body)
        yard.ask("/v3/model")
        for path in ("/api/v1/models", "/hf/api/models"):
            yard.ask(path, accept_encoding="gzip")
        lines = yard.ask("/metrics", None).body.decode().splitlines()

    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert ("2.0", "0.0", "1.0", "0.0") == tuple(
        values[f"modelyard_{name}"]
        for name in ("models", "revision_lag", 'uploads{state="receiving"}', 'uploads{state="received"}')
    )
    assert len(body) == float(values["modelyard_received_bytes_total"])
    assert sent < float(values["modelyard_sent_bytes_total"])
    lookups = {name.partition("{")[2]: value for name, value in values.items() if "cache_lookups_total" in name}
    assert "1.0" == lookups['cache="models",result="hit"}'] == lookups['cache="models",result="miss"}']
    assert {"civitai", "gzip", "hub", "models"} == {name.split('"')[1] for name in lookups}
    assert min(float(values[f"modelyard_{name}"]) for name in ("segments", "disk_free_bytes")) > 0


def test_the_time_of_the_last_backup_is_a_metric_once_there_is_one(tmp_path: Path) -> None:
    with open_app(tmp_path) as yard:
        before = yard.ask("/metrics", None).body
        record_backup(yard.store.url, 1_700_000_000)
        after = yard.ask("/metrics", None).body

    assert b"last_backup" not in before
    assert b"\nmodelyard_last_backup_timestamp_seconds 1.7e+09\n" in after


def test_the_memory_of_the_children_of_a_process_is_read(tmp_path: Path) -> None:
    for number, (name, parent, pages) in enumerate((("a (b) c", 7, 10), ("d", 7, 5), ("e", 8, 99))):
        (tmp_path / str(number)).mkdir()
        fields = ["S", str(parent), *["0"] * 19, str(pages), "0"]
        (tmp_path / str(number) / "stat").write_text(f"{number} ({name}) {' '.join(fields)}")

    (tmp_path / "1" / "smaps_rollup").write_text("55d0-7ffd ---p 00000000 00:00 0 [rollup]\nRss: 20 kB\nPss: 12 kB\n")

    page_bytes = os.sysconf("SC_PAGE_SIZE")
    assert sorted([10 * page_bytes, 12 * 1024]) == sorted(measure_processes(7, tmp_path))


REQUESTS = """
# HELP modelyard_requests_total Requests answered.
# TYPE modelyard_requests_total counter
modelyard_requests_total{method="GET",route="/v3/model",status="200"} 11.0
modelyard_requests_total{method="other",route="unmatched",status="404"} 2.0
modelyard_requests_total{method="GET",route="/x",status="405"} 1.0
modelyard_requests_total{method="HEAD",route="/x",status="405"} 1.0
modelyard_requests_total{method="POST",route="/x",status="405"} 1.0
modelyard_requests_total{method="PUT",route="/x",status="405"} 1.0
modelyard_requests_total{method="PATCH",route="/x",status="405"} 1.0
modelyard_requests_total{method="DELETE",route="/x",status="405"} 1.0
modelyard_requests_total{method="OPTIONS",route="/x",status="405"} 1.0
# HELP modelyard_responses_cut_off_total Responses that ended before they were whole, by who ended them.
# TYPE modelyard_responses_cut_off_total counter
# HELP modelyard_request_seconds From the first byte of the request read to the answer handed to the socket.
# TYPE modelyard_request_seconds histogram
modelyard_request_seconds_bucket{le="0.0001",route="/v3/model"} 1.0
modelyard_request_seconds_bucket{le="0.00025",route="/v3/model"} 2.0
modelyard_request_seconds_bucket{le="0.0005",route="/v3/model"} 3.0
modelyard_request_seconds_bucket{le="0.001",route="/v3/model"} 4.0
modelyard_request_seconds_bucket{le="0.0025",route="/v3/model"} 5.0
modelyard_request_seconds_bucket{le="0.005",route="/v3/model"} 6.0
modelyard_request_seconds_bucket{le="0.01",route="/v3/model"} 7.0
modelyard_request_seconds_bucket{le="0.05",route="/v3/model"} 8.0
modelyard_request_seconds_bucket{le="0.25",route="/v3/model"} 9.0
modelyard_request_seconds_bucket{le="1.0",route="/v3/model"} 10.0
modelyard_request_seconds_bucket{le="+Inf",route="/v3/model"} 11.0
modelyard_request_seconds_count{route="/v3/model"} 11.0
modelyard_request_seconds_sum{route="/v3/model"} 3.15655
modelyard_request_seconds_bucket{le="0.0001",route="unmatched"} 0.0
modelyard_request_seconds_bucket{le="0.00025",route="unmatched"} 0.0
modelyard_request_seconds_bucket{le="0.0005",route="unmatched"} 0.0
modelyard_request_seconds_bucket{le="0.001",route="unmatched"} 0.0
modelyard_request_seconds_bucket{le="0.0025",route="unmatched"} 0.0
modelyard_request_seconds_bucket{le="0.005",route="unmatched"} 0.0
modelyard_request_seconds_bucket{le="0.01",route="unmatched"} 0.0
modelyard_request_seconds_bucket{le="0.05",route="unmatched"} 0.0
modelyard_request_seconds_bucket{le="0.25",route="unmatched"} 0.0
modelyard_request_seconds_bucket{le="1.0",route="unmatched"} 2.0
modelyard_request_seconds_bucket{le="+Inf",route="unmatched"} 2.0
modelyard_request_seconds_count{route="unmatched"} 2.0
modelyard_request_seconds_sum{route="unmatched"} 1.0
modelyard_request_seconds_bucket{le="0.0001",route="/x"} 7.0
modelyard_request_seconds_bucket{le="0.00025",route="/x"} 7.0
modelyard_request_seconds_bucket{le="0.0005",route="/x"} 7.0
modelyard_request_seconds_bucket{le="0.001",route="/x"} 7.0
modelyard_request_seconds_bucket{le="0.0025",route="/x"} 7.0
modelyard_request_seconds_bucket{le="0.005",route="/x"} 7.0
modelyard_request_seconds_bucket{le="0.01",route="/x"} 7.0
modelyard_request_seconds_bucket{le="0.05",route="/x"} 7.0
modelyard_request_seconds_bucket{le="0.25",route="/x"} 7.0
modelyard_request_seconds_bucket{le="1.0",route="/x"} 7.0
modelyard_request_seconds_bucket{le="+Inf",route="/x"} 7.0
modelyard_request_seconds_count{route="/x"} 7.0
modelyard_request_seconds_sum{route="/x"} 0.0007000000000000001
# HELP modelyard_catalog_revision The last revision of the catalogue that requests see.
# TYPE modelyard_catalog_revision gauge
modelyard_catalog_revision 7.0
# HELP modelyard_received_bytes_total Bytes of the bodies of requests.
# TYPE modelyard_received_bytes_total counter
modelyard_received_bytes_total 0.0
# HELP modelyard_sent_bytes_total Bytes of the bodies of responses, without what a proxy or the file store sends.
# TYPE modelyard_sent_bytes_total counter
modelyard_sent_bytes_total 0.0
# HELP modelyard_cache_lookups_total Answers that a cache in memory was asked for, by cache and by whether it had them.
# TYPE modelyard_cache_lookups_total counter
"""


def test_work_is_counted_by_kind_and_state() -> None:
    work = [
        Summary("check", 2, 3, 4, 5, 900, 940, next_run_at=1_100, last_run_at=800, last_failure_at=700),
        Summary("cleanup"),
        Summary("covers", 1, waiting_since=1_001),
    ]

    assert WORK.strip() == text_of(Metrics().render_jobs(work, 1_000.0))


WORK = """
# HELP modelyard_jobs Background work, by kind and state.
# TYPE modelyard_jobs gauge
modelyard_jobs{kind="check",state="waiting"} 2.0
modelyard_jobs{kind="check",state="running"} 3.0
modelyard_jobs{kind="check",state="failed"} 4.0
modelyard_jobs{kind="check",state="given_up"} 5.0
modelyard_jobs{kind="cleanup",state="waiting"} 0.0
modelyard_jobs{kind="cleanup",state="running"} 0.0
modelyard_jobs{kind="cleanup",state="failed"} 0.0
modelyard_jobs{kind="cleanup",state="given_up"} 0.0
modelyard_jobs{kind="covers",state="waiting"} 1.0
modelyard_jobs{kind="covers",state="running"} 0.0
modelyard_jobs{kind="covers",state="failed"} 0.0
modelyard_jobs{kind="covers",state="given_up"} 0.0
# HELP modelyard_jobs_waiting_seconds How long the oldest waiting work has waited.
# TYPE modelyard_jobs_waiting_seconds gauge
modelyard_jobs_waiting_seconds{kind="check"} 100.0
modelyard_jobs_waiting_seconds{kind="cleanup"} 0.0
modelyard_jobs_waiting_seconds{kind="covers"} 0.0
# HELP modelyard_jobs_running_seconds How long the oldest running work has run.
# TYPE modelyard_jobs_running_seconds gauge
modelyard_jobs_running_seconds{kind="check"} 60.0
modelyard_jobs_running_seconds{kind="cleanup"} 0.0
modelyard_jobs_running_seconds{kind="covers"} 0.0
# HELP modelyard_jobs_last_run_at When work that returns was done last, in Unix seconds.
# TYPE modelyard_jobs_last_run_at gauge
modelyard_jobs_last_run_at{kind="check"} 800.0
# HELP modelyard_jobs_next_run_at When work is due next, in Unix seconds.
# TYPE modelyard_jobs_next_run_at gauge
modelyard_jobs_next_run_at{kind="check"} 1100.0
# HELP modelyard_jobs_last_failure_at When work that is listed failed last, in Unix seconds.
# TYPE modelyard_jobs_last_failure_at gauge
modelyard_jobs_last_failure_at{kind="check"} 700.0
"""
