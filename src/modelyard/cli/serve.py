"""`modelyard serve`: the server, in several processes."""

import contextlib
import dataclasses
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator

import click

from modelyard import auth, demo, errors
from modelyard.cli import background, context, home, options, output
from modelyard.jobs import tasks
from modelyard.jobs.kinds import Resources
from modelyard.jobs.supervisor import Supervisor, run_in_subprocess
from modelyard.sends import LINK_SECONDS, Sender
from modelyard.settings import Settings
from modelyard.store import Store
from modelyard.targets import parse_targets
from modelyard.web import app, log, metrics, server, startup
from modelyard.web.api.files import make_links
from modelyard.web.caller_times import SharedTimes
from modelyard.web.civitai.stored_models import StoredModels
from modelyard.web.civitai.versions import Versions
from modelyard.web.connection_limits import ConnectionLimits
from modelyard.web.rate_limit import RateLimit
from modelyard.web.sessions import Sessions
from modelyard.web.urls import open_signer
from modelyard.webhooks.planner import WebhookPlanner

# An address that listens on all interfaces, and the one to show for it.
_LOCAL_ADDRESSES = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 # compared with, not listened on

# One that waits for a generator without an answer holds up no other send.
_SENDERS = 2
_HASHER_NICENESS = 10
_INDEXER_NICENESS = 19


@click.command(epilog="Example: modelyard serve --demo")
@options.home_and_quiet_options
@click.option("--host", help="The address to listen on; 0.0.0.0 means all network interfaces.")
@click.option("--port", type=click.IntRange(0, 65_535), help="The port to listen on; 0 lets the system choose.")
@click.option("--workers", type=click.IntRange(1, 256), help="The number of processes that answer requests.")
@click.option(
    "--demo", "with_demo", is_flag=True, help="Serve invented models to try it out, from a home of their own."
)
@options.json_option
def serve(host: str | None, port: int | None, workers: int | None, with_demo: bool, as_json: bool) -> None:
    """Run the server, with the API and the pages, until SIGTERM or Ctrl-C. It finishes open requests first."""
    config = home.load_demo_settings() if with_demo else home.load_settings()
    config = dataclasses.replace(
        config,
        host=config.host if host is None else host,
        port=config.port if port is None else port,
        workers=config.workers if workers is None else workers,
    )
    app.check_settings(config)
    for name, nearest in home.find_unknown_variables().items():
        output.warn(f"the variable {name} is no setting and is ignored; the nearest is {nearest}")
    _raise_file_limit()
    # Listen first: if the port is taken, the user sees it before anything slow begins.
    started_at = time.time()
    with server.listen(config.host, config.port) as listener:
        # Whoever supervises this process starts it again; nobody is answered before.
        with home.open_store(config, wait_seconds=0) as store:
            # Opened without a demo too, so that an unusable database is reported once, and here.
            _check_connections(config, store)
            demo_key = demo.prepare(store, config.home, output.remark) if with_demo else None
            code = _create_code(store, demo_key) if demo_key else ""
        if with_demo:
            output.remark(f"the demo has a home of its own; for other commands: export MODELYARD_HOME={config.home}")
        greet = _create_greeting(_format_address(listener), demo_key, code, as_json=as_json)
        # Build the index here, where the user sees the progress; the workers only open it. A process of its own does
        # it, because a fork after it would lack the threads of the file store's client.
        run_in_subprocess(lambda: _prepare(config))
        # Made before the workers are forked, which share them.
        times = SharedTimes()
        jobs = {
            "worker": (config.workers, lambda: _run_worker(config, listener, greet, started_at, times)),
            tasks.INDEXER: (1, lambda: _run_indexer(config)),
            tasks.VERIFIER: (config.verifiers, lambda: _run_verifier(config)),
            tasks.HASHER: (1, lambda: _run_hasher(config)),
        }
        if config.fetchers or config.targets or config.webhook_senders:
            jobs[tasks.FETCHER] = (1, lambda: _run_fetcher(config))
        with metrics.shared_by_workers():
            Supervisor(jobs, output.warn).run()


def _check_connections(config: Settings, store: Store) -> None:
    """Compare the connections that this node opens at most with those of the database server.

    Raises ConfigurationError if the server never accepts as many. Warns if other programs have too many of them now.
    """
    slots = store.connection_slots()
    if slots is None:
        return
    accepted, in_use = slots
    node_max = count_connections(config)
    advice = "raise max_connections of PostgreSQL, or lower workers, verifiers or database_connections"
    if node_max > accepted:
        raise errors.ConfigurationError(
            f"this node opens up to {node_max} connections, and the database server accepts {accepted}; {advice}"
        )
    if node_max + in_use > accepted:
        output.warn(
            f"this node opens up to {node_max} connections; the database server accepts {accepted},"
            f" and others have {in_use} now; {advice}"
        )


def count_connections(config: Settings) -> int:
    """Return how many connections to PostgreSQL a node opens at most; docs/operate/scale.md has the formula."""
    worker = config.database_connections + 1
    background = 2 * home.COMMAND_CONNECTIONS  # a process and its child
    return config.workers * worker + config.verifiers * background + background + home.COMMAND_CONNECTIONS + 1 + worker


def _prepare(config: Settings) -> None:
    """Try the file store, and make the index ready: download or build what is missing.

    Raises StorageRefused if the operator has to act. A store that is away may come back: the server starts without it.
    """
    try:
        context.open_storage(config).kept.check()
    except errors.StorageRefused:
        raise
    except errors.Unavailable as problem:
        output.warn(f"transfers of files wait for the file store: {problem}")
    with context.open_catalog(config) as catalog:
        catalog.load(context.show_indexing)


def _raise_file_limit() -> None:
    """Allow as many open files as the system does. Each connection is one, and the usual limit is a thousand."""
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))


def _create_code(store: Store, key: str) -> str:
    """Return the code of a link that signs in one browser with a key."""
    return Sessions(auth.Auth(store), open_signer(store), RateLimit(0)).create_code(key)


def _create_greeting(address: str, demo_key: str | None, code: str, *, as_json: bool) -> Callable[[], None]:
    """Return a function for all workers. The first one that accepts requests prints where the server answers."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    os.write(write_end, b"1")

    def greet() -> None:
        # The pipe outlives workers: one that takes the place of another finds it empty.
        with contextlib.suppress(BlockingIOError):
            os.read(read_end, 1)
            if as_json:
                sign_in = f"{address}/sign-in?code={code}" if code else None
                output.write_json({"address": address, "docs": f"{address}/docs", "key": demo_key, "sign_in": sign_in})
                return
            click.echo(f"Modelyard answers at {address}, with API docs at {address}/docs")
            if demo_key:
                click.echo(f"curl -H 'Authorization: Bearer {demo_key}' '{address}/v3/model?pagination.limit=3'")
            click.echo(f"The gallery is at {address}/")
            if code:
                click.echo(f"Sign in, once and within an hour: {address}/sign-in?code={code}")

    return greet


def _run_worker(
    config: Settings, listener: socket.socket, greet: Callable[[], None], started_at: float, times: SharedTimes
) -> None:
    """Answer requests on the socket until a signal stops it."""
    request_log = log.open_log(config.log_level, form=config.log_format)
    request_log.take_over()
    with _open_when_possible(config, listener) as store:
        catalog = context.create_catalog(config, store)
        catalog.load()
        keys = auth.Auth(store, anonymous=config.anonymous_access, operator_team=config.operator_team)
        keys.load()
        limits = ConnectionLimits(config.connections_max, config.address_connections_max, config.trusted_proxies)
        web_server = server.server(
            app.create_app(catalog, keys, config, log=request_log, started_at=started_at, times=times), limits, greet
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            # uvicorn handles both signals while it runs, and raises the one that stopped it again at its end. That
            # would end this process before the store is closed, as if it had failed. A signal that comes before
            # uvicorn runs must reach it too.
            signal.signal(number, lambda *_: web_server.stop())
        with catalog.serving():
            web_server.run(sockets=[listener])


@contextlib.contextmanager
def _open_when_possible(config: Settings, listener: socket.socket) -> Iterator[Store]:
    """Open the store of a worker. Until that is possible, every request is answered with 503 and the reason."""

    def probe() -> None:
        with home.open_store(config, wait_seconds=0):
            pass

    with contextlib.ExitStack() as stack:
        store = None
        while store is None:
            try:
                store = stack.enter_context(home.open_store(config, config.database_connections, wait_seconds=0))
            except (errors.Unavailable, errors.DatabaseUnavailable) as problem:
                startup.answer_until(listener, probe, problem)
        yield store


def _run_indexer(config: Settings) -> None:
    """Keep the index's segments up to date until a signal stops it. All other processes go first."""
    stop = _prepare_job(config)
    os.nice(_INDEXER_NICENESS)
    with context.open_catalog(config) as catalog:
        catalog.store.look_rarely()
        renderer = StoredModels(catalog.store, Versions(catalog))
        resources = Resources(catalog.store, catalog=catalog, civitai_models=renderer)
        background.work_in_thread(config, tasks.INDEXER, resources, stop)


def _run_verifier(config: Settings) -> None:
    """Verify uploads, and clean up, until a signal stops it."""
    background.work_in_child(config, tasks.VERIFIER, _prepare_job(config))


def _run_fetcher(config: Settings) -> None:
    """Fetch files from other servers, send files to generators, and send webhooks, until a signal stops it."""
    stop = _prepare_job(config)
    with home.open_store(config, config.database_connections) as store:
        store.look_rarely()
        resources = Resources(
            store,
            fetcher=context.create_fetcher(config, store),
            sender=_create_sender(config, store),
            webhook_planner=WebhookPlanner(store),
            webhook_sender=context.create_webhook_sender(config, store),
        )
        threads = background.start_threads(config, tasks.FETCHER, resources, stop, config.fetchers)
        if config.targets:
            threads += background.start_threads(config, tasks.SENDER, resources, stop, _SENDERS)
        if config.webhook_senders:
            threads += background.start_threads(config, tasks.WEBHOOK_PLANNER, resources, stop, 1)
            threads += background.start_threads(config, tasks.WEBHOOK_SENDER, resources, stop, config.webhook_senders)
        for thread in threads:
            thread.join()


def _create_sender(config: Settings, store: Store) -> Sender:
    signer = open_signer(store)

    def link_for(base: str, sha256: str, label: str, key_fingerprint: str) -> str:
        signer.refresh()
        return make_links(signer, base, key_fingerprint, LINK_SECONDS)(sha256, label)

    return Sender(store, parse_targets(config.targets), link_for)


def _run_hasher(config: Settings) -> None:
    """Hash files, find covers and merge matches until a signal stops it. Processes that answer requests go first."""
    stop = _prepare_job(config)
    os.nice(_HASHER_NICENESS)
    background.work_in_child(config, tasks.HASHER, stop)


def _prepare_job(config: Settings) -> threading.Event:
    """Send a job's messages to the log, and return the event that a stop signal sets."""
    log.open_log(config.log_level, form=config.log_format).take_over()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _format_address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    host = _LOCAL_ADDRESSES.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
