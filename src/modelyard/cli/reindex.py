"""`modelyard reindex`: build the index again from the database."""

import multiprocessing
import os
import signal
import time
from concurrent.futures import ProcessPoolExecutor

import click

from modelyard import errors
from modelyard.cli import context, home, options, output
from modelyard.index import SegmentDirectory


@click.command(epilog="Example: modelyard reindex")
@options.home_and_quiet_options
@click.option(
    "--accept-database",
    is_flag=True,
    help="Use the database although it lacks changes that this node has seen. Stop the server of this node first.",
)
@options.json_option
def reindex(as_json: bool, accept_database: bool) -> None:
    """Build the index again from the database, on all cores.

    You rarely need this: Modelyard notices an index that is missing, damaged or of an older version, and builds it
    again. A running server keeps answering and switches to the new index by itself.
    """
    config = home.load_settings()
    if accept_database and SegmentDirectory(config.home / "index", "", "").is_served():
        raise errors.ConfigurationError(f"a server runs on {config.home}; stop it first")
    started_at = time.monotonic()
    # Spawned, not forked: the store has threads and connections open.
    spawn = multiprocessing.get_context("spawn")
    with (
        context.open_catalog(config, accepts_older=accept_database) as catalog,
        # Ctrl-C ends the pool's processes without a traceback of each.
        ProcessPoolExecutor(
            os.cpu_count(), mp_context=spawn, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_DFL)
        ) as pool,
    ):
        catalog.rebuild(context.show_indexing, pool)
    seconds = time.monotonic() - started_at
    if as_json:
        output.write_json({"seconds": round(seconds, 3)})
        return
    output.remark(f"index built in {seconds:.1f} s")
