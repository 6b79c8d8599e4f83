"""Work for later. Whoever does it leases it for a while; a lease that runs out, because its owner died, is anybody's.

Taking a job skips rows that another transaction has locked, where the database knows such locks, so that several
machines can take jobs at once.
"""

from dataclasses import dataclass

import sqlalchemy as sa

from modelyard.store import schema

# The kinds of work.
CHECK = "check"

_JOB = schema.jobs.c
_FAILURE_CHARS_MAX = 500
# When work is due that was given up.
NEVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work: what to do, with what. ``attempts`` counts this one too."""

    id: int
    kind: str
    subject: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Listed:
    """A piece of work as people are shown it."""

    id: int
    kind: str
    subject: str
    attempts: int
    run_at: int
    owner: str | None
    failure: str

    @property
    def state(self) -> str:
        """``waiting``, ``running``, or ``dead``: given up."""
        if self.run_at >= NEVER:
            return "dead"
        return "waiting" if self.owner is None else "running"


def add(connection: sa.Connection, kind: str, subject: str, now: int, *, run_at: int | None = None) -> None:
    """Ask for a piece of work, once: asking again changes nothing while it is not done."""
    known = sa.select(_JOB.id).where(_JOB.kind == kind, _JOB.subject == subject)
    if connection.execute(known).first() is None:
        connection.execute(
            sa.insert(schema.jobs).values(
                kind=kind,
                subject=subject,
                created_at=now,
                run_at=now if run_at is None else run_at,
                attempts=0,
                failure="",
            )
        )


def is_due(connection: sa.Connection, kind: str, now: int) -> bool:
    """Whether there is work of a kind for somebody to take."""
    return connection.execute(_due(kind, now)).first() is not None


def take(connection: sa.Connection, kind: str, owner: str, now: int, lease_seconds: int) -> Job | None:
    """Lease the oldest piece of work of a kind that is due and nobody's."""
    row = connection.execute(_due(kind, now).with_for_update(skip_locked=True)).first()
    if row is None:
        return None
    lease = {"lease_owner": owner, "leased_until": now + lease_seconds, "attempts": row.attempts + 1}
    connection.execute(sa.update(schema.jobs).where(_JOB.id == row.id).values(**lease))
    return Job(row.id, kind, row.subject, row.attempts + 1)


def extend(connection: sa.Connection, job: Job, owner: str, until: int) -> bool:
    """Lengthen a lease; return whether it still was the owner's."""
    mine = sa.update(schema.jobs).where(_JOB.id == job.id, _JOB.lease_owner == owner).values(leased_until=until)
    return bool(connection.execute(mine).rowcount)


def finish(connection: sa.Connection, job: Job) -> None:
    """Take a piece of work that is done off the list."""
    connection.execute(sa.delete(schema.jobs).where(_JOB.id == job.id))


def postpone(connection: sa.Connection, job: Job, failure: str, run_at: int, *, counts: bool = True) -> None:
    """Give a piece of work back, to be tried again later, with the reason why; ``counts``: as an attempt."""
    values = {
        "run_at": run_at,
        "leased_until": None,
        "lease_owner": None,
        "failure": failure[:_FAILURE_CHARS_MAX],
        "attempts": job.attempts if counts else job.attempts - 1,
    }
    connection.execute(sa.update(schema.jobs).where(_JOB.id == job.id).values(**values))


def bury(connection: sa.Connection, job: Job, failure: str) -> None:
    """Give a piece of work up: it stays, with the reason why, until somebody has it tried again."""
    postpone(connection, job, failure, NEVER)


def retry(connection: sa.Connection, id_: int, now: int) -> bool:
    """Have a piece of work tried again at once, from the first attempt on; return whether there is such."""
    afresh = {"run_at": now, "leased_until": None, "lease_owner": None, "attempts": 0}
    return bool(connection.execute(sa.update(schema.jobs).where(_JOB.id == id_).values(**afresh)).rowcount)


def listed(connection: sa.Connection) -> list[Listed]:
    """Return all work that is not done, what was given up last, each in the order in which it will be done."""
    query = sa.select(
        _JOB.id, _JOB.kind, _JOB.subject, _JOB.attempts, _JOB.run_at, _JOB.lease_owner, _JOB.failure
    ).order_by(_JOB.run_at, _JOB.id)
    return [Listed(*row) for row in connection.execute(query)]


def dead_count(connection: sa.Connection) -> int:
    """Return how many pieces of work were given up."""
    return int(connection.execute(sa.select(sa.func.count()).where(_JOB.run_at >= NEVER)).scalar_one())


def drop(connection: sa.Connection, kind: str, subject: str) -> None:
    """Take work off the list that is not wanted any more."""
    connection.execute(sa.delete(schema.jobs).where(_JOB.kind == kind, _JOB.subject == subject))


def count(connection: sa.Connection, kind: str) -> int:
    """Return how many pieces of work of a kind are not done."""
    return int(connection.execute(sa.select(sa.func.count()).where(_JOB.kind == kind)).scalar_one())


def _due(kind: str, now: int) -> "sa.Select[tuple[int, str, int]]":
    is_free = _JOB.leased_until.is_(None) | (_JOB.leased_until <= now)
    due = sa.select(_JOB.id, _JOB.subject, _JOB.attempts).where(_JOB.kind == kind, _JOB.run_at <= now, is_free)
    return due.order_by(_JOB.run_at, _JOB.id).limit(1)
