"""What a run of a job becomes, in this process: done, paused or failed, with signs of life meanwhile."""

import logging
import threading
from collections.abc import Callable

import pytest

from modelyard import errors
from modelyard.jobs.executors import Allowed, Done, Failed, Message, Paused, ThreadExecutor, perform
from modelyard.jobs.kinds import Kind, Resources, Run, Trigger
from modelyard.store import Store, audit
from modelyard.store.jobs import Job

JOB = Job(1, "work", "it", 3, "me", "")


def kind_of(function: Callable[[Resources, Run], float | None]) -> Kind:
    return Kind("work", "the work", "here", function, Trigger.ROWS)


def fail_with(problem: Exception) -> Callable[[Resources, Run], float | None]:
    def fail(_: Resources, __: Run) -> None:
        raise problem

    return fail


@pytest.fixture
def resources(store: Store) -> Resources:
    return Resources(store)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("problem", "message", "level"),
    [
        (errors.Unavailable("the disk is away"), Paused("the disk is away"), None),
        (errors.DatabaseUnavailable("no database"), Paused("no database"), None),
        (errors.DatabaseDamaged("a page is damaged"), Failed("a page is damaged"), logging.ERROR),
        (errors.NotFound("no such thing"), Failed("NotFound: no such thing"), logging.WARNING),
        (ZeroDivisionError("a bug"), Failed("ZeroDivisionError: a bug"), logging.WARNING),
    ],
)
def test_an_error_pauses_or_fails_the_run(
    resources: Resources, caplog: pytest.LogCaptureFixture, problem: Exception, message: Message, level: int | None
) -> None:
    assert message == perform(kind_of(fail_with(problem)), JOB, resources, lambda: False, lambda _: None)
    assert ([] if level is None else [level]) == [record.levelno for record in caplog.records]


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_thread_tells_signs_of_life_and_the_result_and_can_be_asked_to_stop(resources: Resources) -> None:
    executor, begun = ThreadExecutor(resources), threading.Event()

    def work(_: Resources, run: Run) -> float:
        run.allow_bytes(10_000_000)
        begun.set()
        while not run.is_stopping():
            begun.wait(0.001)
        return 7.0

    for _ in range(2):  # the wish to stop is of one run
        begun.clear()
        executor.start(kind_of(work), JOB)
        assert begun.wait(60)
        assert Allowed(2.0) == executor.wait(60)
        assert executor.wait(0) is None
        executor.stop()
        assert Done(7.0) == executor.wait(60)
    assert not executor.is_lost
    executor.kill()
    assert executor.is_lost
    executor.close()


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_what_a_thread_does_after_a_job_is_not_by_the_job(resources: Resources) -> None:
    before = audit.ACTOR.get()
    perform(kind_of(lambda *_: None), JOB, resources, lambda: False, lambda _: None)

    assert before is audit.ACTOR.get()
