"""The record and the files somewhere else: copied between databases, backed up and restored, and what is refused.

``pg_dump`` and ``pg_restore`` are Debian's or the wheel's, whichever is there; without them their tests are skipped.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from modelyard import blobs, errors
from modelyard.auth import Auth
from modelyard.blobs import open_storage
from modelyard.catalog import open_catalog
from modelyard.cli import run
from modelyard.domain import ANONYMOUS, ModelQuery, Scope
from modelyard.facts import Entry
from modelyard.store import Store, backup, copy, open_store, postgresql_programs, presence, schema
from tests import requirements
from tests.app_fixture import a_private
from tests.databases import EVERY_ORDER, Open, sqlite_url
from tests.process_servers import PostgresServer, postgres_programs
from tests.processes import entry, wait_for
from tests.swift_server import SwiftServer

MODELS = 60


def filled(store: Store) -> str:
    """Fill a database with a bit of everything; return a key to it."""
    for start in range(1, MODELS, 20):
        with store.transaction() as writing:
            writing.put([entry(number) for number in range(start, start + 20)])
    with store.transaction() as writing:
        writing.put([Entry(a_private(1_000_000_007, "red", tags=("ü", "二")), {})])
        writing.remove([1, 2])
        # Locales other than C do not put these in the order of their bytes.
        for name in ("B", "a-b", "ab", "Ä", "_a"):
            writing.remember(f"order {name}", name)
        writing.remember("import", "somewhere")
    return Auth(store).create_key("red", [Scope.READ])[0]


def everything(store: Store, besides: str = "") -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables, but for what a database says of itself, and the row with the key ``besides``."""
    own_notes = ("identity", "publisher", "copy_of", backup.LAST_BACKUP_NOTE, besides)

    with store.reading() as connection:
        return {
            table.name: sorted(
                (tuple(row) for row in connection.execute(sa.select(table)) if row[0] not in own_notes),
                key=repr,
            )
            for table in schema.metadata.sorted_tables
        }


@pytest.fixture(params=["sqlite", "en_US.UTF-8", "C"])
def target_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database: PostgreSQL of the usual locale, and of one that orders by bytes."""
    if request.param == "sqlite":
        (tmp_path / "target").mkdir()
        return sqlite_url(tmp_path / "target")
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.make_database(locale=request.param)


@pytest.fixture
def another_url(url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[], str]:
    """Make another database of the same kind."""
    if url.startswith("sqlite"):
        (tmp_path / "other").mkdir()
        return lambda: sqlite_url(tmp_path / "other")
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.make_database


# --- migrate ---------------------------------------------------------------------------------------------------------


@EVERY_ORDER
def test_a_copy_has_every_row_and_an_identity_of_its_own(store: Store, target_url: str, open_at: Open) -> None:
    key = filled(store)
    target = open_at(target_url)

    counts = copy.copy(store, target)

    assert MODELS - 1 == counts["models"]
    assert everything(store) == everything(target)
    assert store.identity != target.identity
    assert "red" == Auth(target).viewer_of(key).team
    # Ids go on where they were.
    assert Auth(store).create_key("blue", [Scope.READ])[1].id == Auth(target).create_key("blue", [Scope.READ])[1].id
    with store.transaction() as one, target.transaction() as other:
        assert one.next_own_id() == other.next_own_id()


def test_a_copy_has_no_time_of_a_backup_as_nobody_backed_it_up(
    url: str, store: Store, target_url: str, open_at: Open
) -> None:
    backup.record_backup(url, 1_700_000_000)
    target = open_at(target_url)

    copy.copy(store, target)

    assert ("1700000000", None) == (
        store.get_property(backup.LAST_BACKUP_NOTE),
        target.get_property(backup.LAST_BACKUP_NOTE),
    )


def test_a_copy_that_was_interrupted_goes_on(store: Store, target_url: str, open_at: Open) -> None:
    filled(store)
    target = open_at(target_url)
    copied: list[int] = []

    def die_in_the_middle(rows: int) -> None:
        copied.append(rows)
        if len(copied) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy.copy(store, target, die_in_the_middle)
    again: list[int] = []
    copy.copy(store, target, again.append)

    assert everything(store) == everything(target)
    assert copy.count_rows(store) - 1 == sum(copied) + sum(again)  # but for the identity


def test_a_source_that_went_on_is_copied_anew(store: Store, target_url: str, open_at: Open) -> None:
    filled(store)
    target = open_at(target_url)

    def die(rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy.copy(store, target, die)
    with store.transaction() as writing:
        writing.remove([3])
    copy.copy(store, target)

    assert everything(store) == everything(target)


def test_a_target_with_models_of_its_own_is_refused(store: Store, target_url: str, open_at: Open) -> None:
    target = open_at(target_url)
    with target.transaction() as writing:
        writing.put([entry(1)])

    with pytest.raises(errors.ConfigurationError, match="is not empty: it has models of its own"):
        copy.copy(store, target)


def test_a_target_with_keys_of_its_own_is_refused(store: Store, target_url: str, open_at: Open) -> None:
    target = open_at(target_url)
    with target.transaction() as writing:
        writing.add_key(b"1", team="acme", scopes=frozenset(), hint="", expires_at=None)

    with pytest.raises(errors.ConfigurationError, match="is not empty: it has api_keys of its own"):
        copy.copy(store, target)
    assert 1 == len(target.key_ring().keys)


def test_what_is_written_to_the_source_meanwhile_is_not_lost(store: Store, target_url: str, open_at: Open) -> None:
    """The copy reads one view of the source, and says that it is complete only if the source has nothing more."""
    filled(store)
    target = open_at(target_url)
    written: list[int] = []

    def write(rows: int) -> None:
        if not written:
            written.append(5_000)
            with store.transaction() as writing:
                writing.put([entry(5_000)])

    with pytest.raises(errors.Conflict, match="differs from what the source has now"):
        copy.copy(store, target, write)
    copy.copy(store, target)

    assert everything(store) == everything(target)


def test_a_complete_copy_is_compared_again_and_never_overwritten(store: Store, target_url: str, open_at: Open) -> None:
    filled(store)
    target = open_at(target_url)
    copy.copy(store, target)
    again: list[int] = []

    counts = copy.copy(store, target, again.append)
    with target.transaction() as writing:
        writing.put([entry(5_000)])
    before = everything(target)

    assert MODELS - 1 == counts["models"]
    with pytest.raises(errors.Conflict, match="it was complete once: name an empty database to copy again"):
        copy.copy(store, target)
    assert ([], before) == (again, everything(target))


@pytest.mark.parametrize("served", ["--from", "--to"])
def test_a_database_that_a_node_serves_is_neither_copied_nor_restored(
    postgres: PostgresServer, tmp_path: Path, open_at: Open, capsys: pytest.CaptureFixture[str], served: str
) -> None:
    urls = {"--from": postgres.make_database(), "--to": postgres.make_database()}
    node = open_at(urls[served])
    assert node.revision_hint() == 0
    assert wait_for(lambda: holds_presence(node))
    arguments = [word for option, url in urls.items() for word in (option, url)]

    assert 1 == run(["database", "copy", "--home", str(tmp_path), *arguments])
    assert f"servers use {urls[served]}; stop them on all nodes first" in capsys.readouterr().err
    with pytest.raises(errors.ConfigurationError, match="stop them on all nodes first"):
        presence.refuse_database_in_use(urls[served])
    node.close()
    # The server ends the session of a closed connection a moment later.
    assert wait_for(lambda: not holds_presence(node))
    assert 0 == run(["database", "copy", "--home", str(tmp_path), *arguments])


def holds_presence(node: Store) -> bool:
    try:
        presence.refuse_database_in_use(node.url)
    except errors.ConfigurationError:
        return True
    return False


def test_a_target_that_is_written_to_meanwhile_is_noticed(store: Store, target_url: str, open_at: Open) -> None:
    filled(store)
    target = open_at(target_url)

    def interfere(rows: int) -> None:
        with target.transaction() as writing:
            writing.connection.execute(sa.text("UPDATE models SET name = 'other' WHERE id = 5"))

    with pytest.raises(errors.Conflict, match="the copy of models differs"):
        copy.copy(store, target, interfere)


def test_the_command_copies_record_and_files(tmp_path: Path, postgres: PostgresServer, open_at: Open) -> None:
    home, url = tmp_path / "home", postgres.make_database()
    home.mkdir()
    store = open_at(f"sqlite:///{home}/modelyard.sqlite")
    filled(store)
    sha256 = keep(home, b"content")

    arguments = ["database", "copy", "--home", str(home), "--to", url, "--blobs-to", str(tmp_path / "elsewhere")]

    assert 0 == run(arguments)
    assert everything(store) == everything(open_at(url))
    assert b"content" == open_storage(str(tmp_path / "elsewhere"), home, {}).kept.read(sha256)
    assert [] == [path for path in (tmp_path / "elsewhere").iterdir() if path.name.startswith(".copying")]


def test_the_command_copies_files_from_another_place_and_answers_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    open_store(f"sqlite:///{home}/modelyard.sqlite").close()
    keep(home, b"of the home")
    storage = open_storage(str(tmp_path / "from"), here, {}).kept
    (here / "arrived").write_bytes(b"content")
    sha256 = hashlib.sha256(b"content").hexdigest()
    storage.keep(here / "arrived", sha256)
    command = ["database", "copy", "--json", "--home", str(home), "--to", f"sqlite:///{tmp_path}/copy.sqlite"]

    assert 0 == run([*command, "--blobs-from", str(tmp_path / "from"), "--blobs-to", str(tmp_path / "to")])

    answer = json.loads(capsys.readouterr().out)
    assert (0, True) == (answer["models"], answer["with_files"])
    assert [(sha256, len(b"content"))] == list(open_storage(str(tmp_path / "to"), here, {}).kept.all())


def test_files_alone_are_copied_and_go_on_where_they_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, target = tmp_path / "home", tmp_path / "to"
    home.mkdir()
    command = ["database", "copy-files", "--json", "--home", str(home), "--to", str(target)]
    # A run that was killed days ago has left half a file.
    (target / ".copying-1").mkdir(parents=True)
    os.utime(target / ".copying-1", (0, 0))

    answers = []
    for content in (b"one", b"two"):
        keep(home, content)
        assert 0 == run(command)
        answers.append(json.loads(capsys.readouterr().out))

    assert [{"files": 1, "copied": 1}, {"files": 2, "copied": 1}] == answers
    assert [] == [path.name for path in target.iterdir() if path.name.startswith(".copying")]


def test_the_command_refuses_what_makes_no_sense(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = str(tmp_path)

    assert 1 == run(["database", "copy", "--home", home, "--to", "mysql://db/x"])
    assert 1 == run(["database", "copy", "--home", home, "--to", f"sqlite:///{home}/modelyard.sqlite"])
    assert 2 == run(["database", "copy", "--home", home])

    said = capsys.readouterr().err
    assert "'mysql' is not supported" in said
    assert "both are the same database" in said


def keep(home: Path, content: bytes) -> str:
    path = home / "arrived"
    path.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    open_storage("", home, {}).kept.keep(path, sha256)
    return sha256


def test_files_go_to_a_file_store_and_back_and_only_once(tmp_path: Path, swift: SwiftServer) -> None:
    folder = open_storage("", tmp_path, {}).kept
    there = open_storage(f"s3://{swift.make_bucket()}/x", tmp_path, swift.environment).kept
    back = open_storage(str(tmp_path / "back"), tmp_path, {}).kept
    hashes = [keep(tmp_path, os.urandom(size)) for size in (1, 100_000)]

    assert (2, 2) == blobs.copy(folder, there, tmp_path / "scratch")
    assert (2, 0) == blobs.copy(folder, there, tmp_path / "scratch")
    assert (2, 2) == blobs.copy(there, back, tmp_path / "scratch")
    assert [folder.read(sha256) for sha256 in hashes] == [back.read(sha256) for sha256 in hashes]


def test_a_file_that_is_not_what_its_name_says_is_not_copied(tmp_path: Path) -> None:
    folder, target = (open_storage(str(tmp_path / name), tmp_path, {}).kept for name in ("one", "two"))
    (tmp_path / "arrived").write_bytes(b"damaged")
    folder.keep(tmp_path / "arrived", hashlib.sha256(b"whole").hexdigest())

    with pytest.raises(errors.HashMismatch):
        blobs.copy(folder, target, tmp_path / "scratch")

    assert [] == list(target.all())


# --- backup and restore ----------------------------------------------------------------------------------------------


@pytest.fixture
def _dump_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs of the wheel, where it has them, so that they fit its server."""
    programs = postgres_programs()
    if not (programs / "pg_dump").exists():
        requirements.absent("the wheel of PostgreSQL has no pg_dump")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")


@pytest.mark.usefixtures("_dump_programs")
def test_a_backup_taken_while_somebody_writes_is_of_one_moment(
    url: str, store: Store, tmp_path: Path, open_at: Open
) -> None:
    """Two models are always written together; a backup never has one without the other."""
    filled(store)
    ended = threading.Event()
    count = 0

    def write() -> None:
        nonlocal count
        while not ended.is_set():
            count += 1
            with store.transaction() as writing:
                writing.put([entry(10, name=f"g{count}"), entry(11, name=f"g{count}")])

    thread = threading.Thread(target=write)
    thread.start()
    try:
        backup.backup(url, tmp_path / "backup")
    finally:
        ended.set()
        thread.join()
    before = store.identity
    if not url.startswith("sqlite"):
        store.close()
    backup.restore(tmp_path / "backup", url, force=True)

    restored = open_at(url)
    with restored.snapshot() as snapshot:
        names = [model.name for model in snapshot.models() if model.id in (10, 11)]
        assert MODELS - 1 == snapshot.count
    assert 1 == len(set(names))
    assert before != restored.identity


@pytest.mark.usefixtures("_dump_programs")
def test_the_time_of_the_last_backup_is_in_the_database_once_the_backup_is_complete(
    url: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(store)
    monkeypatch.setenv("MODELYARD_DATABASE_URL", url)
    revision = store.revision()
    folder = tmp_path / "missing"
    times = []

    for path in (folder / "monday", tmp_path / "monday", tmp_path / "monday", tmp_path / "tuesday"):
        run(["backup", "--quiet", "--home", str(tmp_path), str(path)])
        times.append(store.get_property(backup.LAST_BACKUP_NOTE))

    first, second = int(times[1] or ""), int(times[3] or "")
    assert [None, str(first), str(first), str(second)] == times
    assert time.time() - 60 <= first <= second <= time.time() + 1
    assert revision == store.revision()


def test_a_backup_of_a_database_that_takes_no_writes_is_complete_and_says_that_its_time_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    store = open_store(f"sqlite:///{home}/modelyard.sqlite")
    with store.transaction() as transaction:
        transaction.connection.execute(
            sa.text("CREATE TRIGGER no_notes BEFORE INSERT ON notes BEGIN SELECT RAISE(ABORT, 'no writes'); END")
        )
    store.close()

    assert 0 == run(["backup", "--home", str(home), str(tmp_path / "monday")])

    assert (tmp_path / "monday").is_file()
    reason = f"sqlite:///{home}/modelyard.sqlite cannot be written: no writes"
    assert [
        f"the backup is complete, but its time was not stored for the status page: {reason}",
        f"backed up to {tmp_path / 'monday'}",
    ] == capsys.readouterr().err.splitlines()


def test_an_index_of_what_came_after_the_backup_is_not_used_after_it(tmp_path: Path) -> None:
    """The database goes back to an earlier revision, which the index on disk has left behind."""
    url = sqlite_url(tmp_path)
    store = open_store(url)
    filled(store)
    backup.backup(url, tmp_path / "backup")
    with store.transaction() as writing:
        writing.put([entry(number) for number in range(2_000, 2_010)])
    newer = open_catalog(store, tmp_path)
    newer.load()
    newer.close()

    assert 0 == run(["restore", "--home", str(tmp_path), "--force", str(tmp_path / "backup")])

    catalog = open_catalog(open_store(url), tmp_path)
    assert MODELS - 2 == catalog.count(ANONYMOUS, ModelQuery())
    catalog.close()


def test_the_commands_back_up_and_restore_record_and_files(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    home.mkdir()
    store = open_store(f"sqlite:///{home}/modelyard.sqlite")
    filled(store)
    sha256 = keep(home, b"content")

    assert 0 == run(["backup", "--home", str(home), "--with-files", str(tmp_path / "monday")])
    assert 0 == run(["restore", "--home", str(other), str(tmp_path / "monday")])

    restored = open_store(f"sqlite:///{other}/modelyard.sqlite")
    assert everything(store, schema.NEXT_OWN_ID) == everything(restored, schema.NEXT_OWN_ID)
    assert b"content" == open_storage("", other, {}).kept.read(sha256)
    store.close()
    restored.close()


def no_file(folder: Path) -> None:
    """Nothing is there."""


def not_a_database(folder: Path) -> None:
    (folder / "backup").write_bytes(b"PGDMP or not " * 1000)


def cut_short(folder: Path) -> None:
    store = open_store(sqlite_url(folder))
    filled(store)
    store.close()
    backup.backup(sqlite_url(folder), folder / "backup")
    content = (folder / "backup").read_bytes()
    (folder / "backup").write_bytes(content[: len(content) // 2])


def of_another_program(folder: Path) -> None:
    connection = sqlite3.connect(folder / "backup")
    connection.execute("CREATE TABLE things (x)")
    connection.close()


@pytest.mark.parametrize("spoil", [no_file, not_a_database, cut_short, of_another_program])
def test_what_is_no_backup_is_refused_and_nothing_is_done(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    spoil(tmp_path)
    (tmp_path / "new").mkdir()

    with pytest.raises(errors.ConfigurationError):
        backup.restore(tmp_path / "backup", sqlite_url(tmp_path / "new"), force=False)

    assert [] == list((tmp_path / "new").iterdir())


def test_a_database_that_is_there_is_replaced_only_when_told_to(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    store = open_store(url)
    backup.backup(url, tmp_path / "backup")
    store.close()

    with pytest.raises(errors.ConfigurationError, match="--force replaces it"):
        backup.restore(tmp_path / "backup", url, force=False)
    with pytest.raises(errors.ConfigurationError, match="is there already; name a file that is not"):
        backup.backup(url, tmp_path / "backup")
    with pytest.raises(errors.ConfigurationError, match="is no database"):
        backup.backup(f"sqlite:///{tmp_path}/none.sqlite", tmp_path / "other")


def test_keys_that_a_restore_brings_back_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    store = open_store(sqlite_url(home).replace(str(home), str(home)))
    auth = Auth(store)
    revoked, other = auth.create_key("red", [Scope.WRITE])[1], auth.create_key("blue", [Scope.READ])[1]
    store.close()
    assert 0 == run(["backup", "--home", str(home), str(tmp_path / "backup")])
    assert 0 == run(["key", "revoke", "--home", str(home), str(revoked.id)])
    capsys.readouterr()
    assert 0 == run(["restore", "--force", "--home", str(home), str(tmp_path / "backup")])

    assert capsys.readouterr().err.splitlines() == [
        f"restored from {tmp_path / 'backup'}",
        "these keys were revoked after the backup and work again; revoke them with: modelyard key revoke ID",
        f"  {revoked.id}  {revoked.hint}  team red, scopes write",
    ]
    assert revoked.id != other.id


@pytest.mark.usefixtures("_dump_programs")
@pytest.mark.parametrize("is_replaced", [True, False])
def test_after_a_restore_no_id_is_given_that_was_given_after_the_backup(
    url: str, store: Store, tmp_path: Path, open_at: Open, another_url: Callable[[], str], is_replaced: bool
) -> None:
    def give(to: Store) -> tuple[int, int]:
        with to.transaction() as writing:
            model_id = writing.next_own_id()
        return model_id, Auth(to).create_key("red", [Scope.READ])[1].id

    give(store)
    backup.backup(url, tmp_path / "backup")
    given = [give(store) for _ in range(3)]
    store.close()
    restored_url = url if is_replaced else another_url()

    backup.restore(tmp_path / "backup", restored_url, force=True)

    model_id, key_id = give(open_at(restored_url))
    assert model_id > max(id_ for id_, _ in given)
    assert key_id > max(id_ for _, id_ in given)


def test_a_database_that_another_program_writes_to_is_not_replaced(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    store = open_store(url)
    filled(store)
    backup.backup(url, tmp_path / "backup")
    before = everything(store)

    with store.transaction(), pytest.raises(errors.ConfigurationError, match="another program writes to it"):
        backup.restore(tmp_path / "backup", url, force=True)

    assert before == everything(store)
    store.close()


def test_a_backup_into_a_folder_that_is_missing_names_that_folder(tmp_path: Path) -> None:
    open_store(sqlite_url(tmp_path)).close()

    with pytest.raises(errors.ConfigurationError, match=r"none does not exist; create it first"):
        backup.backup(sqlite_url(tmp_path), tmp_path / "none" / "backup")


def test_a_home_that_is_served_is_not_restored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = sqlite_url(tmp_path)
    catalog = open_catalog(open_store(url), tmp_path)
    backup.backup(url, tmp_path / "backup")
    with catalog.serving():
        assert 1 == run(["restore", "--home", str(tmp_path), "--force", str(tmp_path / "backup")])
    catalog.close()

    assert "a server runs on" in capsys.readouterr().err


def test_without_postgresqls_programs_it_is_said_which_one_is_needed(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.make_database()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(postgresql_programs, "_DEBIAN_FOLDERS", tmp_path)
    assert shutil.which("pg_dump") is None

    with pytest.raises(errors.ConfigurationError, match=r"pg_dump 18 or newer is needed.*it is not installed"):
        backup.backup(url, tmp_path / "backup")


@pytest.mark.usefixtures("_dump_programs")
def test_a_backup_of_postgresql_is_refused_where_there_is_something(
    postgres: PostgresServer, tmp_path: Path, open_at: Open
) -> None:
    url, empty = postgres.make_database(), postgres.make_database()
    filled(open_at(url))
    backup.backup(url, tmp_path / "backup")

    with pytest.raises(errors.ConfigurationError, match="is not empty; --force replaces"):
        backup.restore(tmp_path / "backup", url, force=False)
    with pytest.raises(errors.ConfigurationError, match="pg_restore failed"):
        backup.restore(Path(__file__), empty, force=False)
    backup.restore(tmp_path / "backup", empty, force=False)

    assert everything(open_at(url), schema.NEXT_OWN_ID) == everything(open_at(empty), schema.NEXT_OWN_ID)


def test_what_the_database_does_not_give_away(tmp_path: Path) -> None:
    """A password in the URL is in no message."""
    with pytest.raises(errors.ConfigurationError) as raised:
        backup.backup("postgresql://modelyard:secret@127.0.0.1:1/modelyard", tmp_path / "backup")

    assert "secret" not in raised.value.message
