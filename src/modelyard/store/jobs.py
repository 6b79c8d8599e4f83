"""Background jobs as rows. A worker leases a row for some time; if the worker dies, the lease expires.

A one-time job (an upload to verify) has a row until it is done. A recurring job (cleanup, hashing) has one row for each
kind; its subject is empty, or the node if the job belongs to one machine. The row stays, and holds the last run, the
last failure, and the next run.

``take`` skips rows that another transaction has locked, if the database has row locks, so that several machines can
take jobs at once.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from modelyard.store import schema
from modelyard.store.queries import batches

# The kinds of jobs that other modules add; ``jobs.tasks`` has all kinds.
CHECK, FETCH, MIRROR, SEND, WEBHOOK = "check", "fetch", "mirror", "send", "webhook"

_JOB = schema.jobs.c
_LISTED: sa.Select[Any] = sa.select(
    _JOB.id, _JOB.kind, _JOB.subject, _JOB.attempts, _JOB.run_at, _JOB.lease_owner, _JOB.failure,
    _JOB.team, _JOB.created_at, _JOB.started_at, _JOB.finished_at, _JOB.failed_at,
)  # fmt: skip # in the order of Listed
_FAILURE_CHARS_MAX = 500
# Among the notes of a connection: it has added jobs, of which workers are told with the commit.
_NEWS = "new_jobs"
# The due time of a job that was given up.
NEVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Job:
    """A leased job: its kind, its subject, its team. ``attempts`` includes the current one."""

    id: int
    kind: str
    subject: str
    attempts: int
    owner: str
    team: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """A job with all fields that people see. Times are Unix seconds."""

    id: int
    kind: str
    subject: str
    attempts: int
    run_at: int
    owner: str | None
    failure: str
    team: str
    created_at: int
    started_at: int | None
    finished_at: int | None
    failed_at: int | None

    @property
    def state(self) -> str:
        """``waiting``, ``running``, or ``dead``: given up."""
        if self.run_at >= NEVER:
            return "dead"
        return "waiting" if self.owner is None else "running"


@dataclass(frozen=True, slots=True)
class Summary:
    """The state of the jobs of one kind: counts by state, and times in Unix seconds.

    ``waiting`` jobs have not failed; ``failed`` ones wait for their next attempt; ``given_up`` ones wait for a person.
    """

    kind: str
    waiting: int = 0
    running: int = 0
    failed: int = 0
    given_up: int = 0
    waiting_since: int | None = None
    running_since: int | None = None
    next_run_at: int | None = None
    last_run_at: int | None = None
    last_failure_at: int | None = None


def add(
    connection: sa.Connection,
    kind: str,
    subject: str,
    now: int,
    *,
    run_at: int | None = None,
    team: str = "",
    priority: int = 0,
) -> None:
    """Add a job, unless the same job is waiting or running."""
    values = {
        "kind": kind,
        "subject": subject,
        "team": team,
        "priority": priority,
        "created_at": now,
        "run_at": now if run_at is None else run_at,
        "attempts": 0,
        "failure": "",
    }
    is_there = sa.exists().where(_JOB.kind == kind, _JOB.subject == subject)
    row = sa.select(*(sa.literal(value, _JOB[name].type) for name, value in values.items())).where(~is_there)
    insert = sa.insert(schema.jobs).from_select(list(values), row).execution_options(preserve_rowcount=True)
    if connection.execute(insert).rowcount:
        _note_news(connection)


def add_many(connection: sa.Connection, kind: str, teams: Mapping[str, str], now: int) -> None:
    """Add jobs of one kind, of the teams by subject, but for those that are waiting or running."""
    present: set[str] = set()
    for subjects in batches(teams):
        same = sa.select(_JOB.subject).where(_JOB.kind == kind, _JOB.subject.in_(subjects))
        present.update(connection.execute(same).scalars())
    new = [
        {"kind": kind, "subject": subject, "team": team, "created_at": now, "run_at": now, "attempts": 0, "failure": ""}
        for subject, team in teams.items()
        if subject not in present
    ]
    if new:
        connection.execute(sa.insert(schema.jobs), new)
        _note_news(connection)


def next_due(connection: sa.Connection, kind: str, *, subject: str | None = None) -> int | None:
    """Return when the next job of a kind, or of one subject of it, is due and free; None if there is none."""
    run_at = sa.case((_JOB.leased_until > _JOB.run_at, _JOB.leased_until), else_=_JOB.run_at)
    query = sa.select(sa.func.min(run_at)).where(_JOB.kind == kind, _JOB.run_at < NEVER)
    at: int | None = connection.execute(query if subject is None else query.where(_JOB.subject == subject)).scalar()
    return at


def has_news(connection: sa.Connection) -> bool:
    """Whether a transaction of this connection added jobs that nobody was told of; they count as told after this."""
    return bool(connection.info.pop(_NEWS, False))


def _note_news(connection: sa.Connection) -> None:
    connection.info[_NEWS] = True


def exists(connection: sa.Connection, kind: str, subject: str) -> bool:
    """Whether the job exists, due or not."""
    same = sa.select(_JOB.id).where(_JOB.kind == kind, _JOB.subject == subject)
    return connection.execute(same).first() is not None


def take(
    connection: sa.Connection,
    kind: str,
    owner: str,
    now: int,
    lease_seconds: int,
    *,
    subject: str | None = None,
    turns: Mapping[str, int] | None = None,
    team_running_max: int = 0,
) -> Job | None:
    """Lease the oldest due job of a kind without a lease; jobs of a greater priority go first.

    ``turns`` holds the time of each team's last turn. With it, take the oldest job of the next team: the one with the
    fewest running jobs, then the one whose last turn is the longest ago. No team has more than ``team_running_max``
    running jobs; 0 is no limit.
    """
    conditions = _due(kind, now, subject)
    if turns is not None:
        team = _next_team(connection, kind, now, turns, team_running_max)
        if team is None:
            return None
        conditions = (*conditions, _JOB.team == team)
    oldest = sa.select(_JOB.id).where(*conditions).order_by(_JOB.priority.desc(), _JOB.run_at, _JOB.id).limit(1)
    lease = {
        "lease_owner": owner,
        "leased_until": now + lease_seconds,
        "started_at": now,
        "attempts": _JOB.attempts + 1,
    }
    taken = sa.update(schema.jobs).where(_JOB.id == oldest.with_for_update(skip_locked=True).scalar_subquery())
    leased = taken.values(**lease).returning(_JOB.id, _JOB.subject, _JOB.attempts, _JOB.team)
    row = connection.execute(leased).first()
    return None if row is None else Job(row.id, kind, row.subject, row.attempts, owner, row.team)


def extend(connection: sa.Connection, job: Job, until: int) -> bool:
    """Extend a lease; return whether the job's owner still had it."""
    return bool(connection.execute(_own(job).values(leased_until=until)).rowcount)


def release(connection: sa.Connection, owners: str, now: int) -> None:
    """Release the jobs of all owners whose names begin like this, so that others can continue them at once."""
    own = sa.update(schema.jobs).where(_JOB.lease_owner.startswith(owners, autoescape=True))
    connection.execute(own.values(leased_until=None, lease_owner=None, run_at=now))
    _note_news(connection)


def finish(connection: sa.Connection, job: Job) -> bool:
    """Delete a finished job; return whether its owner still had the lease."""
    gone = sa.delete(schema.jobs).where(_JOB.id == job.id, _JOB.lease_owner == job.owner)
    return bool(connection.execute(gone).rowcount)


def rest(connection: sa.Connection, job: Job, now: int, run_at: int) -> None:
    """End a run of a recurring job, and set its next run."""
    values = {"run_at": run_at, "leased_until": None, "lease_owner": None, "attempts": 0, "finished_at": now}
    connection.execute(_own(job).values(**values))


def postpone(
    connection: sa.Connection, job: Job, failure: str, run_at: int, *, counts: bool = True, now: int | None = None
) -> None:
    """Release a job for a later attempt, with the reason; ``counts``: whether this run counts as an attempt."""
    values: dict[str, Any] = {
        "run_at": run_at,
        "leased_until": None,
        "lease_owner": None,
        "failure": failure[:_FAILURE_CHARS_MAX],
        "attempts": job.attempts if counts else job.attempts - 1,
    }
    if failure and now is not None:
        values["failed_at"] = now
    connection.execute(_own(job).values(**values))


def bury(connection: sa.Connection, job: Job, failure: str, *, now: int | None = None) -> None:
    """Give a job up: its row stays, with the reason, until a person retries it."""
    postpone(connection, job, failure, NEVER, now=now)


def retry(connection: sa.Connection, id_: int, now: int) -> bool:
    """Make a job due now, with its attempts reset; return whether there is such a job."""
    afresh = {"run_at": now, "leased_until": None, "lease_owner": None, "attempts": 0}
    _note_news(connection)
    return bool(connection.execute(sa.update(schema.jobs).where(_JOB.id == id_).values(**afresh)).rowcount)


def listed(connection: sa.Connection) -> list[Listed]:
    """Return all unfinished jobs in the order in which they run; those given up come last."""
    return [Listed(*row) for row in connection.execute(_LISTED.order_by(_JOB.run_at, _JOB.id))]


def failures(connection: sa.Connection, limit: int) -> list[Listed]:
    """Return jobs that were given up, or wait for their next attempt after a failure; the last failures come first."""
    is_failed = (_JOB.run_at >= NEVER) | (_JOB.lease_owner.is_(None) & (_JOB.attempts > 0))
    newest_first = (sa.func.coalesce(_JOB.failed_at, 0).desc(), _JOB.id.desc())
    query = _LISTED.where(is_failed).order_by(*newest_first).limit(limit)
    return [Listed(*row) for row in connection.execute(query)]


def summaries(connection: sa.Connection) -> dict[str, Summary]:
    """Return the summary of the jobs of each kind."""
    is_given_up = _JOB.run_at >= NEVER
    is_running = ~is_given_up & _JOB.lease_owner.is_not(None)
    is_waiting = ~is_given_up & _JOB.lease_owner.is_(None)

    def number(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
        return sa.func.coalesce(sa.func.sum(sa.case((condition, 1), else_=0)), 0)

    query = sa.select(
        _JOB.kind,
        number(is_waiting & (_JOB.attempts == 0)),
        number(is_running),
        number(is_waiting & (_JOB.attempts > 0)),
        number(is_given_up),
        sa.func.min(sa.case((is_waiting, _JOB.created_at))),
        sa.func.min(sa.case((is_running, _JOB.started_at))),
        sa.func.min(sa.case((is_waiting, _JOB.run_at))),
        sa.func.max(_JOB.finished_at),
        sa.func.max(_JOB.failed_at),
    ).group_by(_JOB.kind)
    # PostgreSQL's sums are decimals.
    return {row[0]: Summary(row[0], *map(int, row[1:5]), *row[5:]) for row in connection.execute(query)}


def dead_count(connection: sa.Connection) -> int:
    """Return how many jobs were given up."""
    return int(connection.execute(sa.select(sa.func.count()).where(_JOB.run_at >= NEVER)).scalar_one())


def hurry(connection: sa.Connection, kind: str, subject: str, now: int) -> None:
    """Make a job due now that waits for a later time."""
    later = sa.update(schema.jobs).where(_JOB.kind == kind, _JOB.subject == subject, _JOB.run_at > now)
    connection.execute(later.values(run_at=now))
    _note_news(connection)


def find_subject(connection: sa.Connection, id_: int) -> tuple[str, str] | None:
    """Return the kind and the subject of a job; None if there is none."""
    row = connection.execute(sa.select(_JOB.kind, _JOB.subject).where(_JOB.id == id_)).first()
    return None if row is None else (row[0], row[1])


def set_priority(connection: sa.Connection, id_: int, priority: int) -> bool:
    """Set the priority of a job; return whether there is such a job."""
    chosen = sa.update(schema.jobs).where(_JOB.id == id_).values(priority=priority)
    return bool(connection.execute(chosen).rowcount)


def drop(connection: sa.Connection, kind: str, subject: str) -> None:
    """Delete a job that is not needed any more."""
    connection.execute(sa.delete(schema.jobs).where(_JOB.kind == kind, _JOB.subject == subject))


def drop_unused(connection: sa.Connection, kinds: Collection[str], before: int) -> None:
    """Delete the jobs of nodes that have not run since ``before``; a node that is running adds its jobs again."""
    last = sa.func.coalesce(_JOB.finished_at, _JOB.started_at, _JOB.created_at)
    is_unused = (_JOB.subject != "") & _JOB.lease_owner.is_(None) & (last < before)
    connection.execute(sa.delete(schema.jobs).where(_JOB.kind.in_(kinds), is_unused))


def count(connection: sa.Connection, kind: str) -> int:
    """Return how many jobs of a kind are unfinished."""
    return int(connection.execute(sa.select(sa.func.count()).where(_JOB.kind == kind)).scalar_one())


def _next_team(
    connection: sa.Connection, kind: str, now: int, turns: Mapping[str, int], running_max: int
) -> str | None:
    """Return the team whose turn it is; None if no team has a due job and fewer running jobs than it may have."""
    is_due = sa.and_(*_due(kind, now, None))
    query = sa.select(
        _JOB.team,
        sa.func.coalesce(sa.func.sum(sa.case((_JOB.leased_until > now, 1), else_=0)), 0),
        sa.func.min(sa.case((is_due, _JOB.run_at))),
    )
    rows = connection.execute(query.where(_JOB.kind == kind).group_by(_JOB.team)).all()
    running: dict[str, int] = {team: int(count) for team, count, _ in rows}
    due: dict[str, int] = {
        team: run_at
        for team, _, run_at in rows
        if run_at is not None and (not running_max or running[team] < running_max)
    }
    return min(due, key=lambda team: (running.get(team, 0), turns.get(team, 0), due[team], team), default=None)


def _due(kind: str, now: int, subject: str | None) -> tuple[sa.ColumnElement[bool], ...]:
    is_free = _JOB.leased_until.is_(None) | (_JOB.leased_until <= now)
    due = (_JOB.kind == kind, _JOB.run_at <= now, is_free)
    return due if subject is None else (*due, _JOB.subject == subject)


def _own(job: Job) -> sa.Update:
    return sa.update(schema.jobs).where(_JOB.id == job.id, _JOB.lease_owner == job.owner)
