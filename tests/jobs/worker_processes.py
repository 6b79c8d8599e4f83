"""What processes of their own do for test_worker.py: work on jobs whose subjects say what happens to them."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from modelyard import settings
from modelyard.cli import background
from modelyard.inspection import hashing, safetensors
from modelyard.jobs import tasks
from modelyard.jobs.executors import ForkedExecutor
from modelyard.jobs.kinds import Kind, Resources, Run, Trigger
from modelyard.jobs.worker import Worker
from modelyard.store import jobs, open_store

KIND = "made up"


def note(path: Path, _: Resources, run: Run) -> None:
    """Write the subject down, or hang, or end the process, as the subject says."""
    if run.job.subject.startswith("hang"):
        while True:
            pass
    if run.job.subject.startswith("exit"):
        os._exit(int(run.job.subject.split()[1]))
    if run.job.subject.startswith("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    with path.open("a") as file:
        file.write(f"{run.job.subject}\n")


@contextmanager
def resources_of(url: str) -> Iterator[Resources]:
    """Open the store of a child."""
    store = open_store(url)
    yield Resources(store)
    store.close()


def work(url: str, path: Path, limit_seconds: float) -> None:
    """Work as a process of a server does, until this one is ended."""
    kind = Kind(KIND, KIND, "test", partial(note, path), Trigger.ROWS, poll_seconds=0.02, limit_seconds=limit_seconds)
    while True:
        executor = ForkedExecutor({KIND: kind}, partial(resources_of, url))
        store = open_store(url)
        Worker(Resources(store), [kind], executor, node="test").run(threading.Event())
        store.close()
        executor.close()


def verify_and_hang(home: Path, reader: str) -> None:
    """Verify uploads as a server's process does, with a reader that never returns."""
    module, name = {"header": (safetensors, "read_frame"), "hashes": (hashing, "hash_reader")}[reader]
    setattr(module, name, hang)
    config = settings.load(home, {})
    kind = replace(next(kind for kind in tasks.KINDS if kind.name == jobs.CHECK), limit_seconds=0.5)
    executor = ForkedExecutor({kind.name: kind}, partial(background.open_resources, config))
    store = open_store(config.database_url)
    Worker(Resources(store), [kind], executor, node="test").run(threading.Event())


def hang(*_: object, **__: object) -> None:
    """Never return."""
    while True:
        pass
