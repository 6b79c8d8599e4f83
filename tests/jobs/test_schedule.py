"""What the worker does with each result of a run: when the next run is, what is noted, and what is logged."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from modelyard.jobs import tasks
from modelyard.jobs.executors import Allowed, Done, Failed, Message, Paused
from modelyard.jobs.kinds import Kind, Resources, Run, Trigger
from modelyard.jobs.worker import Worker
from modelyard.store import Store, jobs, open_store
from modelyard.store.jobs import NEVER

NOW = 1_000_000


@dataclass
class Executor:
    """Gives the messages that a test wants, and notes what it is told."""

    messages: list[Message | None]
    is_lost: bool = False
    calls: list[str] = field(default_factory=list)

    def start(self, kind: Kind, job: jobs.Job) -> None:
        self.calls.append(f"start {kind.name} {job.subject}".rstrip())

    def wait(self, _: float) -> Message | None:
        return self.messages.pop(0)

    def stop(self) -> None:
        self.calls.append("stop")

    def kill(self) -> None:
        self.calls.append("kill")

    def close(self) -> None:
        self.calls.append("close")


def nothing(_: Resources, __: Run) -> None:
    """Nobody calls it: the executor has the results."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(f"sqlite:///{tmp_path}/modelyard.sqlite", clock=lambda: float(NOW))
    yield store
    store.close()


def run_once(store: Store, kind: Kind, executor: Executor, **given: Any) -> bool:
    return Worker(Resources(store), [kind], executor, node="here", clock=lambda: float(NOW), **given).run_next()


def only_job(store: Store) -> dict[str, object] | None:
    with store.reading() as connection:
        rows = jobs.listed(connection)
    if not rows:
        return None
    (row,) = rows
    shown = {
        "next": "never" if row.run_at == NEVER else row.run_at - NOW,
        "attempts": row.attempts,
        "failure": row.failure,
        "owner": row.owner,
        "failed": row.failed_at and row.failed_at - NOW,
        "finished": row.finished_at and row.finished_at - NOW,
    }
    return {name: value for name, value in shown.items() if value not in (None, "")}


ROWS = Kind("work", "the work", "here", nothing, Trigger.ROWS)
PERIOD = Kind("work", "the work", "here", nothing, Trigger.PERIOD, period_seconds=60.0)


@pytest.mark.parametrize(
    ("kind", "attempts", "message", "expected"),
    [
        (ROWS, 0, Done(None), None),
        (ROWS, 0, Done(7.0), {"next": 7, "attempts": 0}),
        (ROWS, 0, Failed("broken"), {"next": 2, "attempts": 1, "failure": "broken", "failed": 0}),
        (ROWS, 3, Failed("broken"), {"next": 16, "attempts": 4, "failure": "broken", "failed": 0}),
        (ROWS, 7, Paused("away"), {"next": 5, "attempts": 7, "failure": "away", "failed": 0}),
        (PERIOD, 0, Done(None), {"next": 60, "attempts": 0, "finished": 0}),
        (PERIOD, 0, Done(0.0), {"next": 0, "attempts": 0, "finished": 0}),
        (PERIOD, 0, Failed("broken"), {"next": 2, "attempts": 1, "failure": "broken", "failed": 0}),
        (PERIOD, 0, Paused("away"), {"next": 1, "attempts": 0, "failure": "away", "failed": 0}),
    ],
    ids=range(9),
)
def test_a_result_decides_when_the_next_run_is(
    store: Store, kind: Kind, attempts: int, message: Message, expected: dict[str, object] | None
) -> None:
    add_job(store, "x" if kind is ROWS else "", attempts)
    executor = Executor([Allowed(0.0), None, message])

    assert run_once(store, kind, executor)
    assert expected == only_job(store)
    assert [f"start work{' x' if kind is ROWS else ''}"] == executor.calls


def add_job(store: Store, subject: str, attempts: int) -> None:
    with store.transaction() as transaction:
        connection = transaction.connection
        jobs.add(connection, "work", subject, NOW)
        for _ in range(attempts):
            job = jobs.take(connection, "work", "other", NOW, 60)
            assert job
            jobs.postpone(connection, job, "", NOW)


def test_work_is_given_up_after_its_last_attempt(store: Store) -> None:
    add_job(store, "x", 0)
    runs = 0
    while (job := only_job(store)) is not None and job["next"] != "never":
        with store.transaction() as transaction:
            transaction.connection.exec_driver_sql(f"UPDATE jobs SET run_at = {NOW}")
        assert run_once(store, ROWS, Executor([Failed(f"broken {runs}")]))
        runs += 1

    assert 10 == runs
    assert {"next": "never", "attempts": 10, "failure": "broken 9", "failed": 0} == job


def test_work_that_never_came_to_an_end_is_given_up_without_another_run(store: Store) -> None:
    add_job(store, "x", 10)
    executor = Executor([])

    assert run_once(store, ROWS, executor)
    assert [] == executor.calls
    assert {"next": "never", "attempts": 11, "failure": "its work never came to an end", "failed": 0} == only_job(store)


def test_nothing_due_is_nothing_done(store: Store) -> None:
    assert not run_once(store, ROWS, Executor([]))


@pytest.mark.parametrize(("is_lost_now", "is_lost_before"), [(True, False), (False, True), (False, False)])
def test_a_run_whose_process_was_lost_is_logged(
    store: Store, caplog: pytest.LogCaptureFixture, is_lost_now: bool, is_lost_before: bool
) -> None:
    add_job(store, "x", 0)
    run_once(store, ROWS, Executor([Failed("killed", is_lost_now)], is_lost=is_lost_before))

    assert ["the work of x: killed"] * (is_lost_now or is_lost_before) == [
        record.getMessage() for record in caplog.records
    ]


def test_a_silent_run_is_ended(store: Store) -> None:
    add_job(store, "x", 0)
    executor = Executor([None] * 10_000)
    kind = Kind("work", "the work", "here", nothing, Trigger.ROWS, limit_seconds=0.0)

    assert run_once(store, kind, executor)
    assert ["start work x", "kill"] == executor.calls
    assert "it was ended: no sign of life for 0 s" == (only_job(store) or {})["failure"]


def test_a_lease_is_renewed_and_a_run_that_lost_it_is_ended(store: Store) -> None:
    add_job(store, "x", 0)

    class Losing(Executor):
        def wait(self, seconds: float) -> Message | None:
            if len(self.messages) == 1:
                with store.transaction() as transaction:
                    transaction.connection.exec_driver_sql("UPDATE jobs SET lease_owner = 'other'")
            elif len(self.messages) == 2:
                with store.reading() as connection:
                    self.leases = connection.exec_driver_sql("SELECT leased_until FROM jobs").scalars().all()
            return super().wait(seconds)

    executor = Losing([None, None, None])
    kind = Kind("work", "the work", "here", nothing, Trigger.ROWS, lease_seconds=0)

    assert run_once(store, kind, executor)
    assert [NOW] == executor.leases
    assert ["start work x", "kill"] == executor.calls
    assert {"attempts": 1, "owner": "other", "next": 0} == only_job(store)


def test_a_worker_that_is_stopped_tells_the_run_and_gives_the_work_back(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    add_job(store, "x", 0)
    stopping = threading.Event()

    class Stopping(Executor):
        def wait(self, seconds: float) -> Message | None:
            stopping.set()
            return super().wait(seconds)

    executor = Stopping([None, Paused("the server stopped")])
    Worker(Resources(store), [ROWS], executor, node="here", clock=lambda: float(NOW)).run(stopping)

    assert ["start work x", "stop"] == executor.calls
    assert {"next": 0, "attempts": 0, "failure": "the server stopped", "failed": 0} == only_job(store)
    assert [] == caplog.records


def test_work_that_returns_is_registered_and_work_of_rows_is_not(store: Store) -> None:
    kinds = [
        ROWS,
        Kind("a", "a", "here", nothing, Trigger.PERIOD, is_node_bound=True),
        Kind("b", "b", "here", nothing, Trigger.CHANGE),
    ]
    Worker(Resources(store), kinds, Executor([]), node="here", clock=lambda: float(NOW)).register()

    with store.reading() as connection:
        assert [("a", "here"), ("b", "")] == [(row.kind, row.subject) for row in jobs.listed(connection)]


def describe_kind(kind: Kind) -> str:
    words = [f"every {kind.period_seconds:g} s" if kind.period_seconds else kind.trigger.value]
    words += [f"looks each {kind.poll_seconds:g} s", f"lease {kind.lease_seconds} s", f"limit {kind.limit_seconds:g} s"]
    words += [f"fair to each {kind.fairness_key}"] if kind.fairness_key else []
    words += [f"at most {kind.team_running_max}"] if kind.team_running_max else []
    words += ["on each node"] if kind.is_node_bound else []
    words += ["if wanted"] if kind.is_wanted else []
    return f"{kind.process}: {kind.name} ({kind.label}): {', '.join(words)}"


KINDS = """
verifier: check (verification): rows, looks each 0.2 s, lease 60 s, limit 600 s, fair to each team
fetcher: fetch (fetching): rows, looks each 0.5 s, lease 15 s, limit 600 s, fair to each team
mirror: mirror (mirroring): rows, looks each 0.1 s, lease 15 s, limit 600 s
sender: send (sending): rows, looks each 0.5 s, lease 15 s, limit 600 s, fair to each team
webhook-planner: webhook-planning (planning of webhooks): period, looks each 0.2 s, lease 15 s, limit 600 s, if wanted
webhook-sender: webhook (webhooks): rows, looks each 0.2 s, lease 15 s, limit 600 s, fair to each team, at most 2
verifier: cleanup (cleanup): every 60 s, looks each 1 s, lease 60 s, limit 600 s, on each node
hasher: covers (covers): change, looks each 1 s, lease 60 s, limit 600 s, on each node, if wanted
hasher: cover-import (download of covers): rows, looks each 1 s, lease 60 s, limit 600 s
hasher: hashing (hashing): change, looks each 1 s, lease 60 s, limit 600 s, on each node, if wanted
hasher: matching (matching): change, looks each 1 s, lease 60 s, limit 600 s, if wanted
indexer: indexing (indexing): period, looks each 0.5 s, lease 60 s, limit 3600 s, on each node, if wanted
indexer: replication (replication): every 60 s, looks each 1 s, lease 60 s, limit 3600 s, on each node, if wanted
indexer: civitai (rendering of Civitai's lists): every 5 s, looks each 1 s, lease 60 s, limit 600 s, if wanted
"""


def test_this_is_the_work_of_each_process() -> None:
    assert KINDS.strip().split("\n") == [describe_kind(kind) for kind in tasks.KINDS]
    for process in sorted({kind.process for kind in tasks.KINDS}):
        assert [kind for kind in tasks.KINDS if kind.process == process] == [*tasks.kinds_of(process)]


def test_a_run_may_take_longer_for_a_large_file() -> None:
    allowed: list[float] = []
    run = Run(jobs.Job(1, "work", "x", 1, "me", ""), lambda: False, allowed.append)
    run.allow_bytes(50_000_000)

    assert [10.0] == allowed
