"""What a backup and a restore leave in folders, which programs they call, and what they say where they refuse.

Not covered here: that a backup is of one moment, and real PostgreSQL (test_copy_and_backup.py).
"""

import errno
import json
import os
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from modelyard import errors
from modelyard.auth import Auth
from modelyard.cli import run
from modelyard.domain import Scope
from modelyard.store import backup, open_store
from tests.databases import sqlite_url
from tests.process_servers import PostgresServer
from tests.processes import entry


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The URL of a database with one model, in a folder of its own."""
    (tmp_path / "home").mkdir(mode=0o700)
    url = sqlite_url(tmp_path / "home")
    store = open_store(url)
    with store.transaction() as writing:
        writing.put([entry(1)])
    store.close()
    return url


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def count_models(url: str) -> int:
    store = open_store(url)
    with store.snapshot() as snapshot:
        count = snapshot.count
    store.close()
    return count


def test_a_backup_is_one_file_that_needs_no_log(url: str, backups: Path) -> None:
    backup.backup(url, backups / "monday")

    assert ["monday"] == names(backups)
    assert b"\x01\x01" == (backups / "monday").read_bytes()[18:20]  # 2 would be the write-ahead log


@pytest.mark.parametrize("failing", ["fsync", "rename"])
def test_a_backup_that_cannot_be_written_leaves_nothing(
    url: str, backups: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(*((os, "fsync") if failing == "fsync" else (Path, "rename")), refuse)
    with pytest.raises(errors.ConfigurationError) as refused:
        backup.backup(url, backups / "monday")

    assert f"{backups / 'monday'} cannot be written: No space left on device" == refused.value.message
    assert [] == names(backups)


@pytest.mark.parametrize("length", [250, 256])
def test_a_backup_that_cannot_be_created_names_the_target_and_the_reason(url: str, backups: Path, length: int) -> None:
    """As in a folder of somebody else, which a test of root cannot have. The longer name cannot be looked at either."""
    target = backups / ("m" * length)
    with pytest.raises(errors.ConfigurationError) as refused:
        backup.backup(url, target)

    assert f"{target} cannot be written: File name too long" == refused.value.message
    assert [] == names(backups)


def test_a_backup_onto_a_full_disk_names_the_target(url: str, backups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect

    def connect_to_few_pages(path: object, **options: bool) -> sqlite3.Connection:
        connection = connect(path, **options)  # type: ignore[call-overload] # as it was called
        connection.execute("PRAGMA max_page_count=2")
        return connection  # type: ignore[no-any-return] # the same

    monkeypatch.setattr(sqlite3, "connect", connect_to_few_pages)
    with pytest.raises(errors.ConfigurationError) as refused:
        backup.backup(url, backups / "monday")

    assert f"{backups / 'monday'} cannot be written: database or disk is full" == refused.value.message
    assert [] == names(backups)


def test_a_command_that_completes_a_backup_has_to_succeed(
    url: str, backups: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del url
    home = str(tmp_path / "home")
    refusals = []
    for command in ("false", "no-such-program --now", "sh -c 'exit 3'", "'"):
        assert run(["backup", "--home", home, "--then", command, str(backups / "monday")])
        refusals.append(capsys.readouterr().err.splitlines()[-1])
        assert [] == names(backups)
    both = run(["backup", "--home", home, "--then", "true", "--with-files", str(backups / "monday")])
    code = run(["backup", "--home", home, "--then", f"touch '{backups}/the files'", str(backups / "monday")])

    assert [
        "modelyard: there is no backup: false ended with the code 1",
        "modelyard: there is no backup: no-such-program cannot be run: No such file or directory",
        "modelyard: there is no backup: sh ended with the code 3",
    ] == refusals[:3]
    assert "No closing quotation" in refusals[3]
    assert (2, 0) == (both, code)
    assert ["monday", "the files"] == names(backups)


def test_a_restore_that_cannot_be_written_leaves_the_database(
    url: str, backups: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.backup(url, backups / "monday")
    store = open_store(url)
    with store.transaction() as writing:
        writing.put([entry(2)])
    store.close()
    before = names(tmp_path / "home")

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", refuse)
        with pytest.raises(errors.ConfigurationError) as refused:
            backup.restore(backups / "monday", url, force=True)

    assert f"{tmp_path}/home/modelyard.sqlite cannot be written: Input/output error" == refused.value.message
    assert [name for name in before if name == "modelyard.sqlite"] == names(tmp_path / "home")[:1]
    assert 2 == count_models(url)


def test_a_restore_takes_the_old_logs_away(url: str, backups: Path, tmp_path: Path) -> None:
    backup.backup(url, backups / "monday")
    home = tmp_path / "other"
    home.mkdir()
    backup.restore(backups / "monday", sqlite_url(home), force=False)
    # The database is damaged, and has a log: neither may be used with the new one.
    (home / "modelyard.sqlite").write_bytes(b"damaged")
    for suffix in ("-wal", "-shm", "-counters"):
        (home / f"modelyard.sqlite{suffix}").write_bytes(b"old")

    backup.restore(backups / "monday", sqlite_url(home), force=True)

    assert 1 == count_models(sqlite_url(home))
    assert not [path for path in home.iterdir() if path.read_bytes() == b"old"]
    assert (0, [Path("monday")]) == (
        len([path for path in home.iterdir() if path.name.startswith(".")]),
        [path.relative_to(backups) for path in backups.iterdir()],
    )


def test_each_reason_why_a_file_is_no_backup_is_told_apart(url: str, backups: Path, tmp_path: Path) -> None:
    backup.backup(url, backups / "monday")
    whole = (backups / "monday").read_bytes()
    page = int.from_bytes(whole[16:18], "big")
    (backups / "damaged").write_bytes(whole[:page] + bytes(page) + whole[2 * page :])
    (backups / "text").write_bytes(b"no database " * 1000)
    (tmp_path / "new").mkdir()
    with sqlite3.connect(backups / "other") as connection:
        connection.execute("CREATE TABLE models (x)")
    connection.close()

    def refusal(name: str) -> str:
        with pytest.raises(errors.ConfigurationError) as refused:
            backup.restore(backups / name, sqlite_url(tmp_path / "new"), force=False)
        return refused.value.message.removeprefix(f"{backups / name} ")

    assert [
        "is no file",
        "is no backup of a SQLite database: file is not a database",
        "is no database of Modelyard",
    ] == [refusal(name) for name in ("none", "text", "other")]
    assert refusal("damaged").startswith("is damaged: ")
    assert [] == names(tmp_path / "new")


def test_the_commands_answer_as_json(
    url: str, backups: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = str(tmp_path / "home")
    store = open_store(url)
    key = Auth(store).create_key("red", [Scope.READ, Scope.WRITE])[1]
    store.close()
    answers = []
    for command in (
        ["backup", "--json", "--home", home, str(backups / "monday")],
        ["backup", "--json", "--with-files", "--home", home, str(backups / "tuesday")],
        ["key", "revoke", "--home", home, str(key.id)],
        ["restore", "--json", "--force", "--home", home, str(backups / "tuesday")],
        ["restore", "--json", "--force", "--home", home, str(backups / "monday")],
    ):
        assert 0 == run(command)
        answers.append(capsys.readouterr())

    assert [
        {"path": str(backups / "monday"), "with_files": False},
        {"path": str(backups / "tuesday"), "with_files": True},
        {"path": str(backups / "tuesday"), "valid_again": [key.id]},
        {"path": str(backups / "monday"), "valid_again": []},
    ] == [json.loads(answers[number].out) for number in (0, 1, 3, 4)]
    assert f"  {key.id}  {key.hint}  team red, scopes read,write" == answers[3].err.splitlines()[-1]
    assert ["files", "record"] == names(backups / "tuesday")


def test_a_folder_that_is_there_is_not_backed_up_into(
    url: str, backups: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del url
    code = run(["backup", "--with-files", "--home", str(tmp_path / "home"), str(backups)])

    assert (1, f"modelyard: cannot create {backups}: File exists\n") == (code, capsys.readouterr().err)


# --- PostgreSQL's programs


def program(folder: Path, text: str) -> None:
    version = '[ "$1" = --version ] && { echo "pg_dump (PostgreSQL) 99.1"; exit; }'
    (folder / "pg_dump").write_text(f"#!/bin/sh\n{version}\n{text}\n")
    (folder / "pg_dump").chmod(0o755)


@pytest.mark.parametrize("password", ["se@cr et", None])
def test_the_password_is_in_the_environment_of_pg_dump_and_not_in_its_arguments(
    backups: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres: PostgresServer, password: str | None
) -> None:
    address = sa.make_url(postgres.make_database()).set(password=password)
    program(tmp_path, 'for a; do echo "$a"; done >"$OUT"; echo "${PGPASSWORD-none}" >>"$OUT"; echo x >"${4#--file=}"')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("OUT", str(tmp_path / "arguments"))
    monkeypatch.delenv("PGPASSWORD", raising=False)
    backup.backup(address.render_as_string(hide_password=False), backups / "monday")
    making = backups / f".monday.{os.getpid()}"
    database, *others = (tmp_path / "arguments").read_text().splitlines()

    assert ["--format=custom", "--no-owner", f"--file={making}", password or "none"] == others
    assert database.startswith("--dbname=")
    assert f"dbname='{address.database}'" in database
    assert "password" not in database
    assert "cr et" not in database
    assert ["monday"] == names(backups)


def test_a_program_that_fails_is_told_with_the_beginning_of_what_it_said(
    backups: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres: PostgresServer
) -> None:
    program(tmp_path, 'echo x >"${4#--file=}"; printf %03000d 7 >&2; exit 3')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(errors.ConfigurationError) as refused:
        backup.backup(postgres.make_database(), backups / "monday")

    assert "pg_dump failed: " + "0" * 2_000 == refused.value.message
    assert [] == names(backups)
