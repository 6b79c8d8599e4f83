"""Gives due jobs to the workers of one process, one after the other: of all that are idle, one looks.

    idle workers ── wait for their turn ──> the one whose turn it is: looks, waits for news, leases a job
                                              │ has one: it runs it, and the next worker's turn begins
                                              └ nothing due: sleeps until a notification, or until work is due

An idle process wakes up when somebody commits work, when work becomes due, and every half minute in case a
notification was lost. Without notifications it looks as often as its kinds say.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import sqlalchemy as sa

from modelyard.jobs.kinds import Kind, Resources, Trigger
from modelyard.store import jobs
from modelyard.store.jobs import Job

# How often the database is asked for work while no notification says that there is some; one may be lost.
_QUIET_SECONDS = 30.0
_WAIT_SECONDS_MIN = 0.01


@dataclass(slots=True)
class _Schedule:
    """When a kind is looked for next, and the catalogue's revision after the last run."""

    look_at: float = 0.0
    # Until this time there is nothing to do unless the store tells of news.
    quiet_until: float = 0.0
    news: int | None = None
    revision: int = -1


@dataclass(frozen=True, slots=True)
class Assignment:
    """A leased job, with its kind. ``revision`` is the catalogue's before it began, for work after changes."""

    kind: Kind
    job: Job
    revision: int


class Dispatcher:
    """Leases the jobs of some kinds for the workers of one process, which share it."""

    def __init__(
        self, resources: Resources, kinds: Sequence[Kind], *, node: str, clock: Callable[[], float] | None = None
    ) -> None:
        """Take the kinds in the order in which they are looked for; ``node`` names the machine and its home."""
        self.kinds = kinds
        self._schedules = {kind.name: _Schedule() for kind in kinds}
        self._resources = resources
        self._store = resources.store
        self._node = node
        self._clock = clock or resources.store.now
        self._turn = threading.Lock()
        self._wakeup = _Wakeup()
        self._stopping: threading.Event | None = None
        # When each team had its last turn.
        self._turns: dict[str, int] = {}

    def follow(self, stopping: threading.Event) -> None:
        """Wake up at news of the store, and when ``stopping`` is set. Call it before ``next_job``."""
        with self._turn:
            if self._stopping is None:
                self._store.subscribe_to_news(self._wakeup.ring)
            if self._stopping is not stopping:
                self._stopping = stopping
                threading.Thread(target=self._ring_at, args=(stopping,), name="modelyard-stop", daemon=True).start()

    def next_job(self, owner: str, stopping: threading.Event) -> Assignment | None:
        """Wait for this worker's turn and for a due job, and lease it; None if the process stops first."""
        with self._turn:
            while not stopping.is_set():
                if (assignment := self._lease(owner)) is not None:
                    return assignment
                self._wakeup.wait(self._idle_seconds())
        return None

    def lease(self, owner: str) -> Assignment | None:
        """Lease a job if any is due; do not wait for one."""
        with self._turn:
            return self._lease(owner)

    def note_done(self, assignment: Assignment) -> None:
        """Do not look for work after changes before the catalogue changes again."""
        self._schedules[assignment.kind.name].revision = assignment.revision

    def subject(self, kind: Kind) -> str | None:
        """Return the subject of work that returns; None where rows are pieces of work."""
        if kind.trigger is Trigger.ROWS:
            return None
        return self._node if kind.is_node_bound else ""

    def _ring_at(self, stopping: threading.Event) -> None:
        stopping.wait()
        self._wakeup.ring()

    def _idle_seconds(self) -> float:
        """Return for how long there is nothing to look for, if no news arrives."""
        news = self._store.news_hint()
        look_at = min(_next_look(schedule, news) for schedule in self._schedules.values())
        return max(_WAIT_SECONDS_MIN, look_at - time.monotonic())

    def _lease(self, owner: str) -> Assignment | None:
        for kind in self.kinds:
            schedule = self._schedules[kind.name]
            if time.monotonic() < schedule.look_at:
                continue
            if (assignment := self._lease_kind(kind, schedule, owner)) is not None:
                return assignment
            schedule.look_at = time.monotonic() + kind.poll_seconds
        return None

    def _lease_kind(self, kind: Kind, schedule: _Schedule, owner: str) -> Assignment | None:
        news = self._store.news_hint()
        if news is not None and news == schedule.news and time.monotonic() < schedule.quiet_until:
            return None
        # If the database is away, this look did not take place.
        schedule.news, schedule.quiet_until = news, 0.0
        revision = self._store.revision_hint() if kind.trigger is Trigger.CHANGE else 0
        due_in_seconds: float | None = None
        if kind.trigger is not Trigger.CHANGE or revision != schedule.revision:
            if kind.is_wanted is None or kind.is_wanted(self._resources):
                job, due_in_seconds = self._take(kind, owner)
                if job is not None:
                    return Assignment(kind, job, revision)
            else:
                schedule.revision = revision
        quiet_seconds = _QUIET_SECONDS if due_in_seconds is None else min(due_in_seconds, _QUIET_SECONDS)
        schedule.quiet_until = time.monotonic() + quiet_seconds
        return None

    def _take(self, kind: Kind, owner: str) -> tuple[Job | None, float | None]:
        """Lease a due job. Without one, return in how many seconds one is due, as far as that is known."""
        subject = self.subject(kind)
        # Without the lock of writers: an idle server asks now and then.
        with self._store.reading_once() as connection:
            due_at, now = jobs.next_due(connection, kind.name, subject=subject), self._clock()
            is_due = due_at is not None and due_at <= int(now)
            is_new = due_at is None and subject is not None and not jobs.exists(connection, kind.name, subject)
        if not (is_due or is_new):
            return None, None if due_at is None else due_at - now
        if subject is None and not kind.team_running_max:
            with self._store.leasing() as connection:
                job = self._lease_row(connection, kind, owner, int(self._store.now()))
        else:
            with self._store.transaction() as transaction:
                if subject is not None:
                    jobs.add(transaction.connection, kind.name, subject, transaction.now)
                job = self._lease_row(transaction.connection, kind, owner, transaction.now)
        if job is not None and kind.fairness_key:
            self._turns[job.team] = max(self._turns.values(), default=0) + 1
        return job, 0.0

    def _lease_row(self, connection: sa.Connection, kind: Kind, owner: str, now: int) -> Job | None:
        return jobs.take(
            connection,
            kind.name,
            owner,
            now,
            kind.lease_seconds,
            subject=self.subject(kind),
            turns=self._turns if kind.fairness_key else None,
            team_running_max=kind.team_running_max,
        )


def _next_look(schedule: _Schedule, news: int | None) -> float:
    is_quiet = news is not None and news == schedule.news
    return max(schedule.look_at, schedule.quiet_until) if is_quiet else schedule.look_at


class _Wakeup:
    """Wakes one waiting thread up. ``ring`` may be called at any time, also by a handler of signals."""

    def __init__(self) -> None:
        self._rings: queue.SimpleQueue[None] = queue.SimpleQueue()

    def ring(self) -> None:
        """End the wait of now, or the next one."""
        if self._rings.empty():
            self._rings.put(None)

    def wait(self, seconds: float) -> None:
        """Wait so long, or until somebody rings."""
        with suppress(queue.Empty):
            self._rings.get(timeout=seconds)
