"""`modelyard serve`: the server, in one process or several."""

import contextlib
import dataclasses
import os
import resource
import signal
import socket
import threading

import click

from modelyard import auth, demo, settings
from modelyard.cli import background, context, options, output
from modelyard.jobs import tasks
from modelyard.jobs.kinds import Resources
from modelyard.jobs.supervisor import Supervisor, run_in_subprocess
from modelyard.web import app, log, metrics, server

_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 # compared with, not listened on

_HASHER_NICENESS = 10
_INDEXER_NICENESS = 19


@click.command(epilog="Example: modelyard serve --demo")
@options.home_option
@click.option("--host", help="The address to listen on; 0.0.0.0 for all of this machine's.")
@click.option("--port", type=click.IntRange(0, 65_535), help="The port to listen on; 0 lets the system choose.")
@click.option("--workers", type=click.IntRange(1, 256), help="How many processes answer.")
@click.option("--demo", "with_demo", is_flag=True, help="Fill an empty catalogue with invented models to try it on.")
def serve(host: str | None, port: int | None, workers: int | None, with_demo: bool) -> None:
    """Answer GET /v3/model, and the page to try it on, until SIGTERM or Ctrl-C; requests in flight are finished."""
    read = options.read_settings()
    read = dataclasses.replace(
        read,
        host=read.host if host is None else host,
        port=read.port if port is None else port,
        workers=read.workers if workers is None else workers,
    )
    _allow_connections()
    # First of all: that the port is taken is to be known before anything slow is done.
    with server.listen(read.host, read.port) as listening:
        with options.opened_store(read) as opened:
            # Also where there is no demo: a database that cannot be used is to be told here, once.
            demo_key = demo.prepare(opened, read.home, output.remark) if with_demo else None
        address = _address(listening)
        click.echo(f"Modelyard answers at {address}, the page to try it on is {address}/docs")
        if demo_key:
            click.echo(f"curl -H 'Authorization: Bearer {demo_key}' '{address}/v3/model?pagination.limit=3'")
        # Built now, where a person can watch: the workers then only open it. Apart, because the threads of a file
        # store's client would be missing in what is forked after them.
        run_in_subprocess(lambda: _build(read))
        jobs = {
            "worker": (read.workers, lambda: _answer(read, listening)),
            tasks.INDEXER: (1, lambda: _index(read)),
            tasks.VERIFIER: (1, lambda: _verify(read)),
            tasks.HASHER: (1, lambda: _hash(read)),
        }
        with metrics.shared_by_workers():
            Supervisor(jobs, output.remark).run()


def _build(read: settings.Settings) -> None:
    """Make the index ready, by fetching or building what is missing."""
    with context.opened_catalog(read) as built:
        built.load(context.indexing)


def _allow_connections() -> None:
    """Take as many open files as the system allows: each connection is one, and the usual limit is a thousand."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _answer(read: settings.Settings, listening: socket.socket) -> None:
    """Serve on the socket until a signal ends it."""
    writing_log = log.open_log(read.log_level)
    writing_log.take_over()
    with options.opened_store(read) as opened:
        serving = context.catalog_of(read, opened)
        serving.load()
        keys = auth.Auth(opened, anonymous=read.anonymous_access)
        keys.load()
        running = server.server(app.create_app(serving, keys, read, log=writing_log))
        for number in (signal.SIGTERM, signal.SIGINT):
            # uvicorn handles both while it runs, and when it is done raises the one it was ended by once more, which
            # would end us before the store is closed, as if stopping were a failure. One that comes before it runs
            # must be known to it.
            signal.signal(number, lambda *_: setattr(running, "should_exit", True))
        with serving.serving():
            running.run(sockets=[listening])


def _index(read: settings.Settings) -> None:
    """Keep the segments on disk up to date until a signal ends it; every other process goes first."""
    stopping = _begun(read)
    os.nice(_INDEXER_NICENESS)
    with context.opened_catalog(read) as opened:
        background.work_in_thread(read, tasks.INDEXER, Resources(opened.store, catalog=opened), stopping)


def _begun(read: settings.Settings) -> threading.Event:
    """Lead what a job says into the log, and return what a signal that ends it sets."""
    log.open_log(read.log_level).take_over()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    return ended


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    host = _EVERY_ADDRESS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _verify(read: settings.Settings) -> None:
    """Verify uploads and clean up until a signal ends it."""
    background.work_in_child(read, tasks.VERIFIER, _begun(read))


def _hash(read: settings.Settings) -> None:
    """Hash files, find covers and merge matches until a signal ends it; processes that answer go first."""
    stopping = _begun(read)
    os.nice(_HASHER_NICENESS)
    background.work_in_child(read, tasks.HASHER, stopping)
