"""`modelyard jobs`: work that is to be done, being done, or given up."""

import click

from modelyard import errors
from modelyard.cli import options, output
from modelyard.store import jobs as work


@click.group(invoke_without_command=True, epilog="Example: modelyard jobs retry --all")
@options.home_option
@options.json_option
@click.pass_context
def jobs(context: click.Context, as_json: bool) -> None:
    """List the work that is not done: what it is, when it is tried again, why it failed, and what was given up."""
    if context.invoked_subcommand is not None:
        return
    with options.opened_store(options.read_settings()) as opened, opened.reading() as connection:
        listed = work.listed(connection)
    if as_json:
        output.write_json(
            [
                {
                    "id": job.id,
                    "kind": job.kind,
                    "subject": job.subject,
                    "state": job.state,
                    "attempts": job.attempts,
                    "owner": job.owner,
                    "run_at": None if job.state == "dead" else job.run_at,
                    "failure": job.failure,
                }
                for job in listed
            ]
        )
        return
    output.write_table(
        ("id", "kind", "subject", "state", "attempts", "next", "failure"),
        (
            (
                str(job.id),
                job.kind,
                job.subject,
                job.state,
                str(job.attempts),
                "" if job.state == "dead" else output.shown_time(job.run_at),
                job.failure,
            )
            for job in listed
        ),
        numeric=("id", "attempts"),
    )


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
