"""What only SQLite does: the file, its settings, and the counters beside it.

The contract it shares with PostgreSQL is in test_store.py. A power cut cannot be made here: that ``synchronous`` is
FULL is what stands for it.
"""

import multiprocessing
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from modelyard import errors
from modelyard.store import Store, sqlite
from tests import processes
from tests.databases import Open, sqlite_url
from tests.processes import entry, wait_for

SPAWNED = multiprocessing.get_context("spawn")


def run(target: object, *arguments: object) -> int | None:
    """Run a function of tests/processes.py in a process of its own, and return its exit code."""
    process = SPAWNED.Process(target=target, args=arguments)  # type: ignore[arg-type] # any function with arguments
    process.start()
    process.join()
    return process.exitcode


def test_every_connection_is_set_up_to_lose_nothing(tmp_path: Path, open_at: Open) -> None:
    open_at(sqlite_url(tmp_path))
    engine = sqlite.dialect(sa.make_url(sqlite_url(tmp_path))).engine

    with engine.connect() as connection:
        asked = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in asked}
    engine.dispose()

    assert {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 15_000} == found


def test_what_another_process_had_acknowledged_is_known_without_a_query(tmp_path: Path, open_at: Open) -> None:
    store = open_at(sqlite_url(tmp_path))
    assert 0 == store.revision_hint()  # this polls, and the next second does not

    assert 0 == run(processes.put_in_turn, sqlite_url(tmp_path), 1, 1)

    with sqlite3.connect(tmp_path / "modelyard.sqlite") as connection:
        counters = dict(connection.execute("SELECT name, value FROM counters"))
    connection.close()
    assert counters["model_revision"] == store.revision_hint() == 1


def test_a_writer_that_died_before_it_told_is_noticed_within_seconds(tmp_path: Path, open_at: Open) -> None:
    store = open_at(sqlite_url(tmp_path))
    assert 0 == store.revision_hint()

    assert run(processes.die_before_telling, sqlite_url(tmp_path)) == -9

    assert wait_for(lambda: store.revision_hint() == 1)
    assert entry(1) == store.entry(1)


def test_counters_that_were_deleted_cost_a_second(tmp_path: Path, open_at: Open) -> None:
    store = open_at(sqlite_url(tmp_path))
    (tmp_path / "modelyard.sqlite-counters").unlink()

    run(processes.put_in_turn, sqlite_url(tmp_path), 1, 3)

    assert wait_for(lambda: store.revision_hint() == 3)


def test_counters_left_over_from_another_database_are_put_right(tmp_path: Path, open_at: Open) -> None:
    """Else a follower would look for changes that never come, at every request."""
    first = open_at(sqlite_url(tmp_path))
    for id_ in (1, 2):
        with first.transaction() as writing:
            writing.put([entry(id_)])
            writing.add_key(bytes([id_]), team="acme", scopes=frozenset(), hint="", expires_at=None)
    first.close()
    for path in tmp_path.glob("modelyard.sqlite*"):
        if not path.name.endswith("-counters"):
            path.unlink()

    second = open_at(sqlite_url(tmp_path))

    assert (0, 0) == (second.revision_hint(), second.keys_hint())
    with second.transaction() as writing:
        writing.put([entry(1)])
    assert 1 == second.revision_hint()


@pytest.mark.parametrize("left", ["models", "keys"])
def test_one_counter_that_is_left_over_is_put_right_too(tmp_path: Path, open_at: Open, left: str) -> None:
    first = open_at(sqlite_url(tmp_path))
    with first.transaction() as writing:
        if left == "models":
            writing.put([entry(1)])
        else:
            writing.add_key(b"1", team="acme", scopes=frozenset(), hint="", expires_at=None)
    first.close()
    for path in tmp_path.glob("modelyard.sqlite*"):
        if not path.name.endswith("-counters"):
            path.unlink()

    second = open_at(sqlite_url(tmp_path))

    assert (0, 0) == (second.revision_hint(), second.keys_hint())


def test_a_full_disk_is_said_and_loses_nothing_that_was_acknowledged(tmp_path: Path, open_at: Open) -> None:
    assert processes.FILE_FULL == run(processes.write_until_full, sqlite_url(tmp_path), 1_200_000)

    store = open_at(sqlite_url(tmp_path))

    with store.snapshot() as snapshot:
        ids = sorted(model.id for model in snapshot.models())
    assert list(range(len(ids))) == ids
    assert 100 * store.revision() == len(ids) > 0
    with sqlite3.connect(tmp_path / "modelyard.sqlite") as connection:
        assert [("ok",)] == connection.execute("PRAGMA integrity_check").fetchall()
    connection.close()


def test_layers_go_with_their_model(tmp_path: Path, open_at: Open) -> None:
    store = open_at(sqlite_url(tmp_path))
    with store.transaction() as writing:
        writing.put([entry(1), entry(2)])
    with store.transaction() as writing:
        writing.remove([1])

    with sqlite3.connect(tmp_path / "modelyard.sqlite") as connection:
        assert [(2,)] == connection.execute("SELECT model_id FROM layers").fetchall()
    connection.close()


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path, open_at: Open) -> None:
    path, content = tmp_path / "modelyard.sqlite", b"no database" * 1000
    path.write_bytes(content)

    with pytest.raises(
        errors.DatabaseDamaged, match=r"modelyard.sqlite is damaged \(file is not a database\): stop the server"
    ):
        open_at(sqlite_url(tmp_path))

    assert content == path.read_bytes()


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path, open_at: Open) -> None:
    (tmp_path / "modelyard.sqlite").mkdir()

    with pytest.raises(errors.ConfigurationError, match="cannot be opened: unable to open database file"):
        open_at(sqlite_url(tmp_path))


def test_a_folder_that_cannot_be_written_is_refused(open_at: Open) -> None:
    """Linux's /proc is one in which not even root may make files."""
    with pytest.raises(errors.ConfigurationError, match="cannot be opened: unable to open database file"):
        open_at("sqlite:////proc/modelyard.sqlite")


def test_a_path_may_hold_what_urls_and_configurations_treat_specially(tmp_path: Path, open_at: Open) -> None:
    folder = tmp_path / "50% of ü & %(here)s"
    folder.mkdir()

    store = open_at(sqlite_url(folder))

    assert 0 == store.revision()
    assert (folder / "modelyard.sqlite").exists()


def test_the_driver_of_the_other_database_is_not_needed(tmp_path: Path) -> None:
    """An installation without the extra ``postgres`` opens SQLite, and says what PostgreSQL would need."""
    program = (
        "import sys, importlib.abc\n"
        "class Absent(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('psycopg', 'psycopg_binary'): raise ModuleNotFoundError(name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from modelyard import errors, store\n"
        f"store.open_store({sqlite_url(tmp_path)!r}).close()\n"
        "try: store.open_store('postgresql://127.0.0.1/x')\n"
        "except errors.ConfigurationError as problem: print(problem)\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert "" == done.stderr
    assert "pip install 'modelyard[postgres]'" in done.stdout


def put_many(store: Store) -> None:
    """Write models to a database that cannot grow: SQLite answers as it does on a full disk."""
    with store.transaction() as writing:
        pages = writing.connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        writing.connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        writing.put([entry(number + 1) for number in range(500)])


def test_the_error_of_a_full_disk_says_so(tmp_path: Path, open_at: Open) -> None:
    store = open_at(sqlite_url(tmp_path))

    with pytest.raises(errors.Unavailable, match="the disk of the database is full"):
        put_many(store)
