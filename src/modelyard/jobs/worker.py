"""A worker takes due jobs from a dispatcher, runs them one after the other, and records their results.

    due row → lease, renewed while the work goes on → function, in an executor → done: off the list, or its next run
                 │ lost: the run is ended                → away: tried again, no attempt is counted
                 │                                       → failed, or over its limit: tried again, in the end given up

Several workers may work on one store. Each gives the teams their turns, beginning with the one with the fewest running
jobs, so that a team with hundreds of pieces of work holds up another's one by a single piece.
"""

import itertools
import logging
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from modelyard import errors
from modelyard.jobs.dispatcher import Assignment, Dispatcher
from modelyard.jobs.executors import Allowed, Done, Failed, Message, Paused
from modelyard.jobs.kinds import Kind, Resources, Trigger
from modelyard.jobs.loop import backoff_seconds, run_loop
from modelyard.store import jobs
from modelyard.store.jobs import Job

ATTEMPTS_MAX = 10
# How long a job may continue after it was asked to stop.
STOP_SECONDS = 10.0
_AWAY_SECONDS = 5
_RETRY_SECONDS_MAX = 600
# How soon a running job is asked to stop.
_SLICE_SECONDS = 0.2

log = logging.getLogger(__name__)


class Executor(Protocol):
    """Runs functions."""

    is_lost: bool

    def start(self, kind: Kind, job: Job) -> None: ...
    def wait(self, seconds: float) -> Message | None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...


class Worker:
    """Does the work of some kinds, on one store."""

    def __init__(
        self,
        resources: Resources,
        kinds: Sequence[Kind],
        executor: Executor,
        *,
        node: str,
        clock: Callable[[], float] | None = None,
        dispatcher: Dispatcher | None = None,
    ) -> None:
        """Take the kinds in the order in which they are looked for; ``node`` names the machine and its home.

        Workers of one process that do the same kinds share a ``dispatcher``: only one of those that are idle looks.
        """
        self._store = resources.store
        self._kinds = kinds
        self._executor = executor
        self._dispatcher = dispatcher or Dispatcher(resources, kinds, node=node, clock=clock)
        self._owner = f"{name_process()}{next(_NUMBERS)}"
        self._stopping = threading.Event()
        # By kind, how often in a row something that it needs was away.
        self._pauses: Counter[str] = Counter()

    def run(self, stopping: threading.Event) -> None:
        """Work until ``stopping`` is set or the executor is lost; the caller then makes a new one."""
        self._stopping = stopping
        self.register()
        self._dispatcher.follow(stopping)
        run_loop(" and ".join(kind.label for kind in self._kinds), self._step, stopping)

    def register(self) -> None:
        """Put the rows of work that returns on the list, so that it is shown before it runs."""
        with suppress(errors.Unavailable), self._store.transaction() as transaction:
            for kind in self._kinds:
                if kind.trigger is not Trigger.ROWS:
                    jobs.add(transaction.connection, kind.name, self._dispatcher.subject(kind) or "", transaction.now)

    def run_next(self) -> bool:
        """Do one piece of work, if any is due; return whether one was."""
        assignment = self._dispatcher.lease(self._owner)
        if assignment is not None:
            self._do(assignment)
        return assignment is not None

    def _step(self) -> float | None:
        assignment = self._dispatcher.next_job(self._owner, self._stopping)
        if assignment is not None:
            self._do(assignment)
        return None if self._executor.is_lost else 0.0

    def _do(self, assignment: Assignment) -> None:
        """Run a leased job, and record its result."""
        kind, job = assignment.kind, assignment.job
        if kind.trigger is Trigger.ROWS and job.attempts > ATTEMPTS_MAX:
            # No failure is recorded: every process that tried it died.
            self._fail(kind, job, f"its {kind.name} never came to an end")
            return
        message = self._run(kind, job)
        if isinstance(message, Done) and message.again_seconds is None:
            self._dispatcher.note_done(assignment)
        self._settle(kind, job, message)

    def _run(self, kind: Kind, job: Job) -> Message:
        """Run a job to its end, or end it; renew its lease meanwhile."""
        self._executor.start(kind, job)
        renew_seconds = kind.lease_seconds / 3
        now = time.monotonic()
        end_at, renew_at, stop_at = now + kind.limit_seconds, now + renew_seconds, None
        while True:
            message = self._executor.wait(_SLICE_SECONDS)
            now = time.monotonic()
            if isinstance(message, Allowed):
                end_at = now + kind.limit_seconds + message.seconds
            elif message is not None:
                return message
            if self._stopping.is_set() and stop_at is None:
                self._executor.stop()
                stop_at = now + STOP_SECONDS
            if stop_at is not None and now >= stop_at:
                self._executor.kill()
                return Paused("the server stopped")
            if now >= end_at:
                self._executor.kill()
                return Failed(f"it was ended: no sign of life for {kind.limit_seconds:g} s")
            if now >= renew_at:
                renew_at = now + renew_seconds
                if not self._renew(kind, job):
                    self._executor.kill()
                    return Failed("its lease was lost")

    def _renew(self, kind: Kind, job: Job) -> bool:
        """Renew a lease; return whether it is still ours. If the database is away, assume that it is."""
        with suppress(errors.Unavailable), self._store.transaction() as transaction:
            return jobs.extend(transaction.connection, job, transaction.now + kind.lease_seconds)
        return True

    def _settle(self, kind: Kind, job: Job, message: Message) -> None:
        """Record the result of a job."""
        match message:
            case Done(again_seconds, is_finished):
                self._pauses.pop(kind.name, None)
                if not is_finished:
                    self._note_done(kind, job, again_seconds)
            case Paused(reason):
                self._pauses[kind.name] += 1
                self._pause(kind, job, reason)
            case Failed(reason, is_lost):
                if is_lost or self._executor.is_lost:
                    log.error("%s of %s: %s", kind.label, job.subject or "everything", reason)
                self._fail(kind, job, reason)

    def _note_done(self, kind: Kind, job: Job, again_seconds: float | None) -> None:
        with self._store.transaction() as transaction:
            if kind.trigger is not Trigger.ROWS:
                pause_seconds = kind.period_seconds if again_seconds is None else again_seconds
                jobs.rest(transaction.connection, job, transaction.now, transaction.now + int(pause_seconds))
            elif again_seconds is None:
                jobs.finish(transaction.connection, job)
            else:
                jobs.postpone(transaction.connection, job, "", transaction.now + int(again_seconds), counts=False)

    def _pause(self, kind: Kind, job: Job, reason: str) -> None:
        """Try again when what is away may be there; that is no failed attempt, however long it lasts."""
        is_row = kind.trigger is Trigger.ROWS
        wait_seconds = _AWAY_SECONDS if is_row else round(backoff_seconds(self._pauses[kind.name]))
        if not self._stopping.is_set():
            log.warning("%s paused, retrying in %d s: %s", kind.label, wait_seconds, reason)
        else:
            wait_seconds = 0
        with self._store.transaction() as transaction:
            run_at = transaction.now + wait_seconds
            jobs.postpone(transaction.connection, job, reason, run_at, counts=False, now=transaction.now)

    def _fail(self, kind: Kind, job: Job, reason: str) -> None:
        """Try again later, and less often the longer it fails; in the end give it up, for a person to look at."""
        with self._store.transaction() as transaction:
            if kind.trigger is Trigger.ROWS and job.attempts >= ATTEMPTS_MAX:
                jobs.bury(transaction.connection, job, reason, now=transaction.now)
            else:
                run_at = transaction.now + min(2 ** min(job.attempts, 20), _RETRY_SECONDS_MAX)
                jobs.postpone(transaction.connection, job, reason, run_at, now=transaction.now)


def name_process() -> str:
    """Return how the names of all workers of this process begin."""
    return f"{socket.gethostname()}:{os.getpid()}:"


# Owners of one process.
_NUMBERS = itertools.count(1)
