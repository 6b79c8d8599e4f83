"""Who looks for work, and who is woken up: idle workers of a process, and processes that wait for each other.

What is leased, and in which order, is in test_worker.py; that a worker with PostgreSQL asks nothing while it waits, in
tests/store/test_postgresql.py.
"""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from modelyard.jobs.dispatcher import Dispatcher
from modelyard.jobs.executors import ThreadExecutor
from modelyard.jobs.kinds import Kind, Resources, Run, Trigger
from modelyard.jobs.worker import Worker
from modelyard.store import Store, jobs, open_store
from modelyard.store.wakeup_pipes import WakeupPipe, wake_all
from tests.processes import wait_for

KIND = "errand"


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """The store of the workers, and the one of another process."""
    url = f"sqlite:///{tmp_path}/modelyard.sqlite"
    opened = open_store(url), open_store(url)
    yield opened
    for store in opened:
        store.close()


@contextmanager
def working(store: Store, kind: Kind, count: int) -> Iterator[None]:
    """Run so many workers that share a dispatcher."""
    resources, stop = Resources(store), threading.Event()
    dispatcher = Dispatcher(resources, [kind], node="here")
    workers = [
        Worker(resources, [kind], ThreadExecutor(resources), node="here", dispatcher=dispatcher) for _ in range(count)
    ]
    threads = [threading.Thread(target=worker.run, args=(stop,)) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), "a worker did not stop"


def add(store: Store, *subjects: str) -> None:
    with store.transaction() as transaction:
        for subject in subjects:
            jobs.add(transaction.connection, KIND, subject, transaction.now)


def test_one_of_the_idle_workers_looks_for_all_and_work_of_another_process_wakes_it_up(
    stores: tuple[Store, Store], tmp_path: Path
) -> None:
    """They also end at once, although none of them looks now and then whether it must."""
    own, other = stores
    looks: list[str] = []
    sa.event.listen(
        own._dialect.engine,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, *_: looks.append(statement) if "min(" in statement else None,
    )
    is_released = threading.Event()
    running: list[str] = []

    def work(_: Resources, run: Run) -> None:
        running.append(run.job.subject)
        is_released.wait(60)

    with working(own, Kind(KIND, KIND, "test", work, Trigger.ROWS, poll_seconds=0.0), 30):
        assert wait_for(lambda: own.news_hint() is not None and len(looks) > 0)
        add(other, "one", "two", "three")
        assert wait_for(lambda: len(running) == 3), "they do not run at the same time"
        is_released.set()
        assert wait_for(lambda: not _listed(other))

    # One at the start, some for each of the three jobs; 60 if each of the 30 had looked.
    assert len(looks) < 30
    shutil.rmtree(tmp_path / "modelyard.sqlite-listeners")
    assert own.news_hint() is None, "nobody can tell this process of news any more, so it has to look"


def _listed(store: Store) -> list[jobs.Listed]:
    with store.reading() as connection:
        return jobs.listed(connection)


def test_a_pipe_that_nobody_reads_is_deleted_and_one_that_is_full_holds_up_no_writer(tmp_path: Path) -> None:
    folder = tmp_path / "listeners"
    wake_all(folder)  # nobody has ever waited
    waiting, gone = WakeupPipe(folder), WakeupPipe(folder)
    kept = gone._path.with_name("left")
    gone._path.rename(kept)  # as after a kill: its file stays
    gone.close()

    for _ in range(70_000):
        wake_all(folder)
    (folder / "notes").write_text("of somebody else")
    (folder / "link").symlink_to(folder / "notes")
    wake_all(folder)
    names = [path.name for path in folder.iterdir()]
    waiting.close()

    assert {waiting._path.name, "link", "notes"} == set(names)
    assert "of somebody else" == (folder / "notes").read_text()
    assert {"link", "notes"} == {path.name for path in folder.iterdir()}


def test_a_store_without_named_pipes_looks_as_often_as_the_kinds_say(
    stores: tuple[Store, Store], tmp_path: Path
) -> None:
    own, other = stores
    (tmp_path / "modelyard.sqlite-listeners").write_text("a file where the folder should be")
    done: list[str] = []
    kind = Kind(KIND, KIND, "test", lambda _, run: done.append(run.job.subject), Trigger.ROWS, poll_seconds=0.01)
    with working(own, kind, 2):
        assert wait_for(lambda: own._hints._rings)
        add(other, "one")
        assert wait_for(lambda: ["one"] == done)

    assert own.news_hint() is None
