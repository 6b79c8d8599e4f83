"""`modelyard jobs`: work that is to be done, being done, or given up."""

import datetime
import time

import click

from modelyard import errors
from modelyard.cli import options, output
from modelyard.jobs import tasks
from modelyard.store import jobs as work


@click.group(invoke_without_command=True, epilog="Example: modelyard jobs retry --all")
@options.home_option
@options.json_option
@click.pass_context
def jobs(context: click.Context, as_json: bool) -> None:
    """List background work: what is waiting, running or given up, and when work that returns ran last and runs next."""
    if context.invoked_subcommand is not None:
        return
    with options.opened_store(options.read_settings()) as opened, opened.reading() as connection:
        listed = work.listed(connection)
    now = time.time()
    if as_json:
        output.write_json([_json_of(job, now) for job in listed])
        return
    output.write_table(
        ("id", "kind", "subject", "team", "state", "for", "attempts", "last run", "next", "failure"),
        (
            (
                str(job.id),
                job.kind,
                job.subject,
                job.team,
                job.state,
                _duration(_state_seconds(job, now)),
                str(job.attempts),
                output.shown_time(job.finished_at) if job.finished_at else "",
                _next_run(job),
                job.failure,
            )
            for job in listed
        ),
        numeric=("id", "attempts"),
    )


def _json_of(job: work.Listed, now: float) -> dict[str, object]:
    seconds = _state_seconds(job, now)
    return {
        "id": job.id,
        "kind": job.kind,
        "subject": job.subject,
        "state": job.state,
        "attempts": job.attempts,
        "owner": job.owner,
        "run_at": None if job.state == "dead" or tasks.is_sleeping(job) else job.run_at,
        "failure": job.failure,
        "team": job.team,
        "seconds": None if seconds is None else round(seconds),
        "last_run_at": job.finished_at,
        "last_failure_at": job.failed_at,
    }


def _state_seconds(job: work.Listed, now: float) -> float | None:
    """Return for how long work has been waiting, running or given up; None where it only waits for its next run."""
    if job.state == "running":
        since = job.started_at
    elif job.state == "dead":
        since = job.failed_at
    else:
        since = None if tasks.is_returning(job.kind) else job.created_at
    return None if since is None else max(0.0, now - since)


def _next_run(job: work.Listed) -> str:
    if job.state == "dead":
        return ""
    return "when needed" if tasks.is_sleeping(job) else output.shown_time(job.run_at)


def _duration(seconds: float | None) -> str:
    return "" if seconds is None else str(datetime.timedelta(seconds=round(seconds)))


@jobs.command(epilog="Example: modelyard jobs retry 17")
@options.home_option
@click.argument("job_ids", metavar="ID…", nargs=-1, type=click.IntRange(1))
@click.option("--all", "all_dead", is_flag=True, help="Everything that was given up.")
def retry(job_ids: tuple[int, ...], all_dead: bool) -> None:
    """Have work tried again at once, from the first attempt on."""
    if bool(job_ids) == all_dead:
        raise click.UsageError("name jobs by their ids, or --all")
    with options.opened_store(options.read_settings()) as opened, opened.transaction() as writing:
        if all_dead:
            job_ids = tuple(job.id for job in work.listed(writing.connection) if job.state == "dead")
        missing = [id_ for id_ in job_ids if not work.retry(writing.connection, id_, writing.now)]
        if missing:
            raise errors.NotFound(f"no jobs {', '.join(map(str, missing))}", jobs=missing)
    output.remark(f"{len(job_ids)} to be tried again")
