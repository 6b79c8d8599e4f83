"""`modelyard jobs`: background jobs that wait, run or failed."""

import datetime
import time

import click

from modelyard import errors
from modelyard.cli import home, options, output
from modelyard.jobs import tasks
from modelyard.store import jobs as job_store


@click.group(invoke_without_command=True, epilog="Example: modelyard jobs retry --all")
@options.home_and_quiet_options
@options.json_option
@click.pass_context
def jobs(context: click.Context, as_json: bool) -> None:
    """List background jobs: those that wait, run or have failed, and when periodic jobs ran last and run next."""
    if context.invoked_subcommand is not None:
        return
    with home.open_store(home.load_settings()) as store, store.reading() as connection:
        open_jobs = job_store.listed(connection)
    now = time.time()
    if as_json:
        output.write_json([_job_json(job, now) for job in open_jobs])
        return
    output.write_table(
        ("id", "kind", "subject", "team", "state", "for", "attempts", "last run", "next", "failure"),
        (
            (
                str(job.id),
                job.kind,
                job.subject,
                job.team,
                tasks.describe_state(job),
                _format_duration(_state_seconds(job, now)),
                str(job.attempts),
                output.format_time(job.finished_at) if job.finished_at else "",
                _format_next_run(job),
                job.failure,
            )
            for job in open_jobs
        ),
        numeric=("id", "attempts"),
        prose=("failure",),
    )


def _job_json(job: job_store.Listed, now: float) -> dict[str, object]:
    seconds = _state_seconds(job, now)
    return {
        "id": job.id,
        "kind": job.kind,
        "subject": job.subject,
        "state": tasks.describe_state(job),
        "attempts": job.attempts,
        "owner": job.owner,
        "run_at": None if job.state == "dead" or tasks.is_sleeping(job) else job.run_at,
        "failure": job.failure,
        "team": job.team,
        "seconds": None if seconds is None else round(seconds),
        "last_run_at": job.finished_at,
        "last_failure_at": job.failed_at,
    }


def _state_seconds(job: job_store.Listed, now: float) -> float | None:
    """Return how long a job has waited, run or been dead, None for a periodic job that waits for its next run."""
    if job.state == "running":
        since = job.started_at
    elif job.state == "dead":
        since = job.failed_at
    else:
        since = None if tasks.is_returning(job.kind) else job.created_at
    return None if since is None else max(0.0, now - since)


def _format_next_run(job: job_store.Listed) -> str:
    if job.state == "dead":
        return ""
    return "when needed" if tasks.is_sleeping(job) else output.format_time(job.run_at)


def _format_duration(seconds: float | None) -> str:
    return "" if seconds is None else str(datetime.timedelta(seconds=round(seconds)))


@jobs.command(epilog="Example: modelyard jobs retry 17")
@options.home_and_quiet_options
@click.argument("job_ids", metavar="ID…", nargs=-1, type=click.IntRange(1))
@click.option("--all", "all_dead", is_flag=True, help="Retry every job that has failed for good.")
@options.json_option
def retry(job_ids: tuple[int, ...], all_dead: bool, as_json: bool) -> None:
    """Run failed jobs again at once, with all their attempts."""
    if bool(job_ids) == all_dead:
        raise click.UsageError("give the ids of jobs, or --all")
    with home.open_store(home.load_settings()) as store, store.transaction() as transaction:
        connection = transaction.connection
        if all_dead:
            job_ids = tuple(job.id for job in job_store.listed(connection) if job.state == "dead")
        missing_ids = [id_ for id_ in job_ids if not job_store.retry(connection, id_, transaction.now)]
        if missing_ids:
            raise errors.NotFound(f"there are no jobs {', '.join(map(str, missing_ids))}", jobs=missing_ids)
    if as_json:
        output.write_json({"retried": list(job_ids)})
        return
    output.remark(f"{len(job_ids)} jobs will run again")
