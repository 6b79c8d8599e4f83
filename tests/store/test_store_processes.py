"""Many processes on one database: opening it, writing it, following it, and dying in the middle of it."""

import multiprocessing
import signal
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from modelyard.domain import OWN_ID_MIN, Model
from modelyard.store import Store
from tests import processes
from tests.databases import Open
from tests.processes import entry, wait_for

SPAWNED = multiprocessing.get_context("spawn")


def started(target: Callable[..., None], *arguments: Any) -> Any:
    process = SPAWNED.Process(target=target, args=arguments)
    process.start()
    return process


def codes(running: list[Any]) -> list[int | None]:
    for process in running:
        process.join()
    return [process.exitcode for process in running]


def ids_in(store: Store) -> set[int]:
    with store.snapshot() as snapshot:
        return {model.id for model in snapshot.models()}


def test_several_processes_may_open_an_empty_database_at_once(url: str, open_at: Open) -> None:
    assert [0] * 4 == codes([started(processes.open_database, url) for _ in range(4)])

    engine = sa.create_engine(url)
    with engine.connect() as connection:
        identities = connection.execute(sa.text("SELECT count(*) FROM notes WHERE key = 'identity'")).scalar()
    engine.dispose()
    assert 1 == identities
    assert 0 == open_at(url).revision()


def test_two_writers_lose_nothing_and_take_every_revision_once(url: str, store: Store) -> None:
    writers = [started(processes.put_in_turn, url, 0, 40, True) for _ in range(2)]

    assert [0, 0] == codes(writers)
    assert set(range(OWN_ID_MIN, OWN_ID_MIN + 80)) == ids_in(store)
    assert 80 == store.revision()


def test_a_follower_ends_with_what_is_there_and_never_sees_a_transaction_in_part(url: str, store: Store) -> None:
    """Each round of a writer puts three and then removes the first, so that a whole view has no round with one."""
    writers = [started(processes.put_and_remove, url, first, 30) for first in (0, 1_000)]
    followed: dict[int, Model] = {}
    at = 0

    while (at < 120 and any(writer.is_alive() for writer in writers)) or at < store.revision():
        if store.revision_hint() <= at:
            continue
        changes = store.changes(at)
        assert changes.revision > at
        at = changes.revision
        for id_ in changes.removed:
            followed.pop(id_, None)
        followed.update((model.id, model) for model in changes.models)
        rounds: dict[int, int] = {}
        for id_ in followed:
            rounds[id_ // 1_000 * 1_000 + id_ % 1_000 // 3] = rounds.get(id_ // 1_000 * 1_000 + id_ % 1_000 // 3, 0) + 1
        assert set(rounds.values()) <= {2, 3}

    assert [0, 0] == codes(writers)
    assert 120 == at
    with store.snapshot() as snapshot:
        assert followed == {model.id: model for model in snapshot.models()}


def test_a_writer_that_is_killed_leaves_nothing_and_keeps_nobody_waiting(url: str, store: Store) -> None:
    assert [-signal.SIGKILL] == codes([started(processes.die_before_commit, url)])

    assert set() == ids_in(store)
    with store.transaction() as writing:
        writing.put([entry(5)])
    assert (1, {5}) == (store.revision(), ids_in(store))


def test_a_writer_that_died_after_its_commit_is_noticed(url: str, store: Store) -> None:
    assert 0 == store.revision_hint()

    assert [-signal.SIGKILL] == codes([started(processes.die_before_telling, url)])

    assert wait_for(lambda: store.revision_hint() == 1)


def test_what_another_process_wrote_is_known_soon(url: str, store: Store) -> None:
    assert 0 == store.revision_hint()

    codes([started(processes.put_in_turn, url, 1, 2)])

    assert wait_for(lambda: store.revision_hint() == 2)
