"""`modelyard reindex` and `modelyard verify`: the index, which can always be made again from the database."""

import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor

import click

from modelyard import errors
from modelyard.cli import context, options, output
from modelyard.index import DamagedSegmentError
from modelyard.store import integrity


@click.command(epilog="Example: modelyard reindex")
@options.home_option
def reindex() -> None:
    """Build the index anew from the database, on all cores.

    Nothing else needs this: an index that is missing, damaged or of an older version is noticed and built again. A
    server may go on answering meanwhile, and goes over to the new index by itself.
    """
    started = time.monotonic()
    # Spawned, not forked: the store has threads and connections open.
    spawned = multiprocessing.get_context("spawn")
    with (
        context.opened_catalog(options.read_settings()) as rebuilt,
        ProcessPoolExecutor(os.cpu_count(), mp_context=spawned) as pool,
    ):
        rebuilt.rebuild(context.indexing, pool)
    output.remark(f"the index is built, in {time.monotonic() - started:.1f} s")


@click.command(epilog="Example: modelyard verify")
@options.home_option
@options.json_option
def verify(as_json: bool) -> None:
    """Check every byte of the index against its checksums, and the database by its own check.

    What is damaged of the index is withdrawn, and built anew by the server that runs or by the next start. A damaged
    database has to be restored from a backup. The exit code is 1 if anything is damaged.
    """
    read = options.read_settings()
    of_database = integrity.problems(read.database_url)
    problems = {} if of_database is None else {"database": "; ".join(of_database)}
    if not of_database:
        with context.opened_catalog(read) as checked:
            for name, found in checked.verify().items():
                problems[name] = found.problem if isinstance(found, DamagedSegmentError) else ""
    if as_json:
        output.write_json([{"part": part, "problem": problem} for part, problem in problems.items()])
    else:
        output.write_table(("part", "found"), ((part, problem or "whole") for part, problem in problems.items()))
    if of_database:
        raise errors.DatabaseDamaged("the database is damaged: restore it from a backup")
    if any(problems.values()):
        raise errors.IndexDamaged("the index is damaged and withdrawn; it is built anew at the next start")
