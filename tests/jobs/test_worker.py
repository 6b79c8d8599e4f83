"""The worker: whose turn it is, what is ended, what several workers share, and when work that returns runs.

Back-off and giving up of uploads are in test_jobs.py; machines that die, in tests/cluster.
"""

import logging
import multiprocessing
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelyard import errors, settings
from modelyard.cli import background
from modelyard.jobs.executors import ThreadExecutor
from modelyard.jobs.kinds import Kind, Resources, Run, Trigger
from modelyard.jobs.loop import run_loop
from modelyard.jobs.worker import Worker
from modelyard.store import Store, jobs, open_store
from modelyard.store.jobs import Listed
from tests.app_fixture import open_app
from tests.jobs import worker_processes
from tests.jobs.worker_processes import KIND
from tests.transfers import lora_bytes, upload

SPAWNED = multiprocessing.get_context("spawn")
PATIENCE_SECONDS = 90.0


@pytest.fixture
def clock() -> list[float]:
    """The time of the store and of the worker, to be moved on."""
    return [1_000_000.0]


@pytest.fixture
def timed(tmp_path: Path, clock: list[float]) -> Iterator[Store]:
    store = open_store(f"sqlite:///{tmp_path}/modelyard.sqlite", clock=lambda: clock[0])
    yield store
    store.close()


def worker_of(store: Store, kind: Kind, clock: list[float]) -> Worker:
    resources = Resources(store)
    return Worker(resources, [kind], ThreadExecutor(resources), node="here", clock=lambda: clock[0])


def add(store: Store, subjects: list[str], team: str = "") -> None:
    with store.transaction() as writing:
        for subject in subjects:
            jobs.add(writing.connection, KIND, subject, writing.now, team=team)


def listed(store: Store) -> list[Listed]:
    with store.reading() as connection:
        return jobs.listed(connection)


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.02)


@contextmanager
def processes(count: int, url: str, path: Path, limit_seconds: float = 60.0) -> Iterator[None]:
    path.touch()
    started = [SPAWNED.Process(target=worker_processes.work, args=(url, path, limit_seconds)) for _ in range(count)]
    for process in started:
        process.start()
    try:
        yield
    finally:
        for process in started:
            process.terminate()
            process.join()


# --- Turns ---


def test_a_team_with_much_work_holds_up_another_team_by_one_piece(timed: Store, clock: list[float]) -> None:
    done: list[str] = []
    kind = Kind(
        KIND, KIND, "test", lambda _, run: done.append(run.job.team), Trigger.ROWS, poll_seconds=0, fairness_key="team"
    )
    add(timed, [f"red {number}" for number in range(500)], "red")
    clock[0] += 60
    add(timed, ["blue"], "blue")
    add(timed, ["green 1", "green 2"], "green")
    worker = worker_of(timed, kind, clock)

    for _ in range(6):
        assert worker.run_next()

    assert ["red", "blue", "green", "red", "green", "red"] == done


def test_a_team_with_running_work_lets_others_go_first(timed: Store, clock: list[float]) -> None:
    add(timed, ["red 1", "red 2"], "red")
    clock[0] += 1
    add(timed, ["blue"], "blue")

    with timed.transaction() as writing:
        leased = [jobs.take(writing.connection, KIND, "one", writing.now, 60, turns={}) for _ in range(3)]

    assert ["red", "blue", "red"] == [job.team for job in leased if job]


# --- Ends ---


def test_work_that_hangs_is_ended_and_told_and_the_next_is_done(url: str, tmp_path: Path) -> None:
    store = open_store(url)
    add(store, ["hang", "next"])
    with processes(1, url, tmp_path / "notes", limit_seconds=0.5):
        until(lambda: ["hang"] == [job.subject for job in listed(store)])
        until(lambda: listed(store)[0].failure)
    (hung,) = listed(store)
    store.close()

    assert "next\n" == (tmp_path / "notes").read_text()
    assert "it was ended: no sign of life for 0.5 s" == hung.failure


@pytest.mark.parametrize("reader", ["header", "hashes"])
def test_a_check_of_an_upload_that_hangs_is_ended_whatever_it_does(reader: str, tmp_path: Path) -> None:
    with open_app(tmp_path) as yard:
        upload(yard, "slow", lora_bytes())
        process = SPAWNED.Process(target=worker_processes.verify_and_hang, args=(tmp_path, reader))
        process.start()
        until(lambda: any(job.failure for job in listed(yard.store)))
        process.terminate()
        process.join()
        failures = [job.failure for job in listed(yard.store)]

    assert ["it was ended: no sign of life for 0.5 s"] == failures


@pytest.mark.parametrize(
    ("subject", "failure"), [("die", "by signal 9"), ("exit 0", "with exit code 0"), ("exit 3", "with exit code 3")]
)
def test_work_that_ends_its_process_is_told_and_the_next_is_done(tmp_path: Path, subject: str, failure: str) -> None:
    url = f"sqlite:///{tmp_path}/modelyard.sqlite"
    store = open_store(url)
    add(store, [subject, "next"])
    with processes(1, url, tmp_path / "notes"):
        until(lambda: [subject] == [job.subject for job in listed(store)])
        until(lambda: listed(store)[0].failure)
    (dead,) = listed(store)
    store.close()

    assert (subject, f"its process ended {failure}") == (dead.subject, dead.failure)


def test_the_nodes_of_two_homes_have_names_of_their_own(tmp_path: Path) -> None:
    names = [background.name_node(settings.load(tmp_path / home)) for home in ("one", "two", "one")]

    assert names[0] == names[2]
    assert names[0] != names[1]
    assert socket.gethostname() in names[0]


def test_several_workers_do_each_piece_once(url: str, tmp_path: Path) -> None:
    store = open_store(url)
    subjects = [f"piece {number:02}" for number in range(40)]
    with processes(2, url, tmp_path / "notes"):
        add(store, subjects)
        until(lambda: not listed(store))
    store.close()

    assert subjects == sorted((tmp_path / "notes").read_text().splitlines())


def test_who_lost_the_lease_changes_nothing(timed: Store, clock: list[float]) -> None:
    def work(resources: Resources, run: Run) -> None:
        clock[0] += 3600
        with resources.store.transaction() as writing:
            assert jobs.take(writing.connection, KIND, "another", writing.now, 60)
        with resources.store.transaction() as writing:
            writing.remember("result", "of the first")
            run.finish(writing.connection)

    add(timed, ["one"])
    worker_of(timed, Kind(KIND, KIND, "test", work, Trigger.ROWS), clock).run_next()
    (job,) = listed(timed)

    assert ("another", 2, "running") == (job.owner, job.attempts, job.state)
    assert timed.get_property("result") is None


def test_work_is_given_back_when_the_worker_is_stopped(timed: Store, clock: list[float]) -> None:
    stopping = threading.Event()

    def work(_: Resources, run: Run) -> float:
        stopping.set()
        until(run.is_stopping)
        return 0.0

    add(timed, ["one"])
    worker_of(timed, Kind(KIND, KIND, "test", work, Trigger.ROWS), clock).run(stopping)

    assert [("one", "waiting", 0)] == [(job.subject, job.state, job.attempts) for job in listed(timed)]


# --- Work that returns ---


def test_work_with_a_period_runs_when_it_is_over_and_shows_when_it_ran(timed: Store, clock: list[float]) -> None:
    runs: list[float] = []
    kind = Kind(KIND, KIND, "test", lambda *_: runs.append(clock[0]), Trigger.PERIOD, period_seconds=60, poll_seconds=0)
    worker = worker_of(timed, kind, clock)

    outcomes = []
    for seconds in (0, 30, 30, 1):
        clock[0] += seconds
        outcomes.append(worker.run_next())
    (job,) = listed(timed)

    assert [True, False, True, False] == outcomes
    assert (1_000_060, 1_000_120, 0) == (job.finished_at, job.run_at, job.attempts)


def test_work_after_changes_runs_once_for_each_change(timed: Store, clock: list[float]) -> None:
    kind = Kind(KIND, KIND, "test", lambda *_: None, Trigger.CHANGE, poll_seconds=0, is_node_bound=True)
    worker = worker_of(timed, kind, clock)

    assert [True, False] == [worker.run_next(), worker.run_next()]
    assert ["here"] == [job.subject for job in listed(timed)]


def test_work_that_returns_is_never_given_up_and_keeps_its_last_failure(timed: Store, clock: list[float]) -> None:
    is_broken = True

    def work(*_: object) -> None:
        if is_broken:
            raise ValueError("no such luck")

    kind = Kind(KIND, KIND, "test", work, Trigger.PERIOD, period_seconds=60, poll_seconds=0)
    worker = worker_of(timed, kind, clock)
    for _ in range(15):
        clock[0] += 3600
        assert worker.run_next()
    (failed,) = listed(timed)
    is_broken = False
    clock[0] += 3600
    worker.run_next()
    (done,) = listed(timed)

    assert (15, "waiting", "ValueError: no such luck") == (failed.attempts, failed.state, failed.failure)
    assert (0, "ValueError: no such luck", failed.failed_at) == (done.attempts, done.failure, done.failed_at)


def test_work_that_needs_what_is_away_is_paused_and_no_attempt_counts(
    timed: Store, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    def work(*_: object) -> None:
        raise errors.Unavailable("the file store is away")

    kind = Kind(KIND, "hashing", "test", work, Trigger.PERIOD, period_seconds=60, poll_seconds=0)
    worker = worker_of(timed, kind, clock)
    for _ in range(3):
        clock[0] += 60
        worker.run_next()
    (job,) = listed(timed)

    assert (0, "the file store is away") == (job.attempts, job.failure)
    assert [f"hashing paused, retrying in {seconds} s: the file store is away" for seconds in (1, 2, 4)] == [
        record.message for record in caplog.records if record.levelno == logging.WARNING
    ]


# --- The loop ---


class Waits(threading.Event):
    """An event that is waited for in no time; it is set after so many waits."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.seconds: list[float | None] = []
        self._count = count

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout)
        if len(self.seconds) == self._count:
            self.set()
        return self.is_set()


def test_the_loop_waits_longer_while_something_is_away_and_begins_again_after() -> None:
    answers = iter([0.2, *[errors.Unavailable("away")] * 7, 0.2, errors.Unavailable("away"), 0.2])

    def step() -> float:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    waits = Waits(11)
    run_loop("testing", step, waits)

    assert [0.2, 1, 2, 4, 8, 16, 30, 30, 0.2, 1, 0.2] == waits.seconds
