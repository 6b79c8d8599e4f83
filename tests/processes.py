"""What other processes do in tests of the store. Small, because every process imports it anew."""

import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.queues import Queue
from typing import Any

from modelyard import errors
from modelyard.auth import Auth
from modelyard.domain import Model, Scope, Source, model_type
from modelyard.facts import Entry, Facts, Layer
from modelyard.store import open_store

FILE_FULL = 27


def entry(id_: int, **given: Any) -> Entry:
    """Return an entry whose model and one layer say the same."""
    name = f"model_{id_}.safetensors"
    values: dict[str, Any] = {"name": "v1", "sd_name": name, "type": model_type("LORA"), "source": Source.CIVITAI}
    model = Model(id_, **(values | given))
    return Entry(model, {Layer.UPSTREAM: Facts(name=model.name, sd_name=model.sd_name, type=model.type)})


def open_database(url: str) -> None:
    """Open the database, and leave."""
    open_store(url).close()


def put_in_turn(url: str, first_id: int, count: int, own_ids: bool = False) -> None:
    """Put models, one a transaction."""
    store = open_store(url)
    for id_ in range(first_id, first_id + count):
        with store.transaction() as writing:
            writing.put([entry(writing.next_own_id() if own_ids else id_)])
    store.close()


def put_and_remove(url: str, first_id: int, rounds: int) -> None:
    """Put three models and remove one, a transaction each round; two of three stay."""
    store = open_store(url)
    for id_ in range(first_id, first_id + 3 * rounds, 3):
        with store.transaction() as writing:
            writing.put([entry(id_), entry(id_ + 1), entry(id_ + 2)])
        with store.transaction() as writing:
            writing.remove([id_])
    store.close()


def die_before_commit(url: str) -> None:
    """End as by ``kill -9`` with a transaction open."""
    with open_store(url).transaction() as writing:
        writing.put([entry(1), entry(2)])
        os.kill(os.getpid(), signal.SIGKILL)


def die_before_telling(url: str) -> None:
    """End as by ``kill -9`` after a commit, before other processes are told."""
    with open_store(url).transaction(before_telling=lambda: os.kill(os.getpid(), signal.SIGKILL)) as writing:
        writing.put([entry(1)])


def make_key(url: str, team: str, made: "Queue[str]") -> None:
    """Make a key that may read, and tell it."""
    store = open_store(url)
    made.put(Auth(store).create_key(team, {Scope.READ})[0])
    store.close()


def write_until_full(url: str, bytes_max: int) -> None:
    """Put models until files may not grow, and leave with FILE_FULL if that was said as it should be."""
    store = open_store(url)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_max, bytes_max))
    acknowledged = 0
    try:
        while True:
            with store.transaction() as writing:
                writing.put([entry(id_) for id_ in range(acknowledged, acknowledged + 100)])
            acknowledged += 100
    except errors.Unavailable:
        sys.exit(FILE_FULL)


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> bool:
    """Return whether the condition came true within the time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """Let this process write no file beyond a size, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
