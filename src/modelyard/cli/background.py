"""Opening what background work needs, and running its workers: in the processes of a server, and beside a command."""

import contextlib
import functools
import os
import socket
import threading
from collections.abc import Iterator

from modelyard import blobs, settings
from modelyard.cli import options
from modelyard.covers import Covers
from modelyard.jobs import tasks
from modelyard.jobs.executors import ForkedExecutor, ThreadExecutor
from modelyard.jobs.kinds import Resources
from modelyard.jobs.loop import run_loop
from modelyard.jobs.worker import Worker
from modelyard.uploads.cleanup import UploadCleaner
from modelyard.uploads.verification import UploadVerifier


@contextlib.contextmanager
def opened_resources(read: settings.Settings) -> Iterator[Resources]:
    """Open what verifying, cleaning up and hashing need, and close the store after use."""
    where = blobs.open_storage(read.storage_url, read.home, os.environ)
    with options.opened_store(read) as opened:
        yield Resources(
            opened,
            UploadVerifier(opened, where.kept, where.incoming),
            UploadCleaner(opened, where.kept, where.incoming),
            Covers(opened, where.kept, where.incoming),
        )


def work_in_child(read: settings.Settings, process: str, stopping: threading.Event) -> None:
    """Do a process's kinds of work, their functions in a child that can be killed, until ``stopping`` is set.

    Nothing may be open in this process yet. A child that was killed is replaced, after the store is closed again.
    """
    kinds = {kind.name: kind for kind in tasks.kinds_of(process)}

    def work() -> float:
        executor = ForkedExecutor(kinds, functools.partial(opened_resources, read))
        try:
            with options.opened_store(read) as opened:
                Worker(Resources(opened), [*kinds.values()], executor, node=node_of(read)).run(stopping)
        finally:
            executor.close()
        return 0.0

    run_loop(process, work, stopping)


def work_in_thread(read: settings.Settings, process: str, resources: Resources, stopping: threading.Event) -> None:
    """Do a process's kinds of work in a thread of this one, until ``stopping`` is set or a function hangs."""
    kinds = tasks.kinds_of(process)
    Worker(resources, kinds, ThreadExecutor(resources), node=node_of(read)).run(stopping)


def node_of(read: settings.Settings) -> str:
    """Return the name of this machine and home: of what lies here, and is no other node's to work on."""
    return f"{socket.gethostname()}:{read.home}"
