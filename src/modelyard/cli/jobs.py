"""`modelyard jobs`: background jobs that wait, run or failed."""

import datetime
import time

import click

from modelyard import errors
from modelyard.cli import context, home, options, output
from modelyard.fetches.sources import describe_source
from modelyard.jobs import tasks
from modelyard.store import Store
from modelyard.store import fetches as fetch_store
from modelyard.store import jobs as job_store
from modelyard.store import sends as send_store
from modelyard.store.fetches import Fetch
from modelyard.store.sends import Send

_FETCHES = (job_store.FETCH, job_store.MIRROR)
# The greatest priority that callers of the API may give is smaller.
_FIRST = 100


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
        fetches = fetch_store.by_ids(connection, [job.subject for job in open_jobs if job.kind in _FETCHES])
        sends = send_store.by_ids(connection, [job.subject for job in open_jobs if job.kind == job_store.SEND])
    now = time.time()
    if as_json:
        output.write_json([_job_json(job, now) | _fetch_json(fetches.get(job.subject)) for job in open_jobs])
        return
    output.write_table(
        ("id", "kind", "subject", "team", "state", "for", "attempts", "last run", "next", "failure"),
        (
            (
                str(job.id),
                job.kind,
                _describe_subject(job, fetches.get(job.subject), sends.get(job.subject)),
                job.team,
                tasks.describe_state(job),
                _format_duration(_state_seconds(job, now)),
                str(job.attempts),
                output.format_time(job.finished_at) if job.finished_at else "",
                _format_next_run(job),
                job.failure or getattr(fetches.get(job.subject) or sends.get(job.subject), "problem", ""),
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


def _fetch_json(fetch: Fetch | None) -> dict[str, object]:
    if fetch is None:
        return {}
    source = describe_source(fetch.source)
    sizes = {"received_bytes": fetch.received_bytes, "size_bytes": fetch.size_bytes}
    return {"fetch": {"source": source, "model_id": fetch.model_id, **sizes, "problem": fetch.problem}}


def _describe_subject(job: job_store.Listed, fetch: Fetch | None, send: Send | None) -> str:
    """Return what a job is about; of a fetch, its source and how much of the file is here."""
    if send is not None:
        return f"model {send.model_id} to {send.target}"
    if fetch is None:
        return job.subject
    source = describe_source(fetch.source)
    if not fetch.size_bytes:
        return source
    return f"{source} {fetch.received_bytes / fetch.size_bytes:.0%} of {output.format_size(fetch.size_bytes)}"


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
        by_id = {job.id: job for job in job_store.listed(connection)}
        missing_ids = [id_ for id_ in job_ids if not job_store.retry(connection, id_, transaction.now)]
        if missing_ids:
            raise errors.NotFound(f"there are no jobs {', '.join(map(str, missing_ids))}", jobs=missing_ids)
        for id_ in job_ids:
            job = by_id[id_]
            transaction.audit.note("job.retry", f"{id_} {job.kind} {job.subject}".rstrip(), job.team or None)
    if as_json:
        output.write_json({"retried": list(job_ids)})
        return
    if not job_ids:
        output.remark("no job has failed for good")
        return
    output.remark(f"{output.count(len(job_ids), 'job')} will run again")


@jobs.command(epilog="Example: modelyard jobs cancel 17")
@options.home_and_quiet_options
@click.argument("job_ids", metavar="ID…", nargs=-1, required=True, type=click.IntRange(1))
@options.json_option
def cancel(job_ids: tuple[int, ...], as_json: bool) -> None:
    """End fetches: their bytes are removed, and the models that were made for them."""
    config = home.load_settings()
    with home.open_store(config) as store:
        fetches = context.create_fetches(config, store)
        for job_id in job_ids:
            fetch = _find_fetch(store, job_id)
            fetches.cancel(fetch.team, fetch.id)
    if as_json:
        output.write_json({"cancelled": list(job_ids)})
        return
    output.remark("1 fetch was cancelled" if len(job_ids) == 1 else f"{len(job_ids)} fetches were cancelled")


@jobs.command(epilog="Example: modelyard jobs first 17")
@options.home_and_quiet_options
@click.argument("job_ids", metavar="ID…", nargs=-1, required=True, type=click.IntRange(1))
@options.json_option
def first(job_ids: tuple[int, ...], as_json: bool) -> None:
    """Do these jobs before the others of their kind."""
    with home.open_store(home.load_settings()) as store, store.transaction() as transaction:
        missing_ids = [id_ for id_ in job_ids if not job_store.set_priority(transaction.connection, id_, _FIRST)]
        if missing_ids:
            raise errors.NotFound(f"there are no jobs {', '.join(map(str, missing_ids))}", jobs=missing_ids)
    if as_json:
        output.write_json({"first": list(job_ids)})
        return
    output.remark("1 job goes first" if len(job_ids) == 1 else f"{len(job_ids)} jobs go first")


def _find_fetch(store: Store, job_id: int) -> Fetch:
    """Return the fetch of a job. Raises NotFound if there is no such job, or if it is no fetch."""
    with store.reading() as connection:
        job = job_store.find_subject(connection, job_id)
        fetch = fetch_store.find(connection, job[1]) if job is not None else None
    if fetch is None:
        raise errors.NotFound(f"there is no fetch with the job {job_id}", jobs=[job_id])
    return fetch
