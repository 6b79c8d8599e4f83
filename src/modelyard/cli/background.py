"""What background work needs, and its workers: in the processes of a server, and beside a command."""

import contextlib
import functools
import socket
import threading
from collections.abc import Iterator

from modelyard.cli import context, home
from modelyard.covers import Covers
from modelyard.jobs import tasks
from modelyard.jobs.dispatcher import Dispatcher
from modelyard.jobs.executors import ForkedExecutor, ThreadExecutor
from modelyard.jobs.kinds import Resources
from modelyard.jobs.loop import run_loop
from modelyard.jobs.worker import Worker
from modelyard.settings import Settings
from modelyard.uploads.cleanup import UploadCleaner
from modelyard.uploads.verification import UploadVerifier


@contextlib.contextmanager
def open_resources(config: Settings) -> Iterator[Resources]:
    """Open what verifying, cleaning up and hashing need, and close the store after use."""
    storage = context.open_storage(config)
    with home.open_store(config) as store:
        store.look_rarely()
        yield Resources(
            store,
            UploadVerifier(
                store,
                storage.kept,
                storage.incoming,
                serves_suspicious=config.suspicious_files == "served",
                requires_signature=config.require_signature == "yes",
            ),
            UploadCleaner(
                store,
                storage.kept,
                storage.incoming,
                history_seconds=config.change_history_seconds,
                audit_seconds=config.audit_history_seconds,
            ),
            Covers(store, storage.kept, storage.incoming),
            outbound=context.create_outbound(config),
        )


def work_in_child(config: Settings, process: str, stop: threading.Event) -> None:
    """Do a process's kinds of work until ``stop`` is set. A child process runs their functions, and can be killed.

    Nothing may be open in this process yet. If the child is killed, another replaces it once the store is closed.
    """
    kinds = {kind.name: kind for kind in tasks.kinds_of(process)}

    def work() -> float:
        executor = ForkedExecutor(kinds, functools.partial(open_resources, config))
        try:
            with home.open_store(config) as store:
                store.look_rarely()
                Worker(Resources(store), [*kinds.values()], executor, node=name_node(config)).run(stop)
        finally:
            executor.close()
        return 0.0

    run_loop(process, work, stop)


def work_in_thread(
    config: Settings, process: str, resources: Resources, stop: threading.Event, dispatcher: Dispatcher | None = None
) -> None:
    """Do a process's kinds of work in a thread of this process, until ``stop`` is set or a function hangs."""
    kinds, executor = tasks.kinds_of(process), ThreadExecutor(resources)
    Worker(resources, kinds, executor, node=name_node(config), dispatcher=dispatcher).run(stop)


def start_threads(
    config: Settings, process: str, resources: Resources, stop: threading.Event, count: int
) -> list[threading.Thread]:
    """Start so many threads that do a process's kinds of work until ``stop`` is set; one of them looks for all."""
    dispatcher = Dispatcher(resources, tasks.kinds_of(process), node=name_node(config))

    def work() -> None:
        try:
            run_loop(process, lambda: work_in_thread(config, process, resources, stop, dispatcher), stop)
        finally:
            # Without one of its threads the process would do less than it should; another process takes its place.
            stop.set()

    threads = [threading.Thread(target=work, name=f"modelyard-{process}", daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def name_node(config: Settings) -> str:
    """Return the name of this machine and home. Only this node works on the files that lie here."""
    return f"{socket.gethostname()}:{config.home}"
