"""``pg_dump`` and ``pg_restore`` get every form of a database URL that the documentation shows, and fit the server."""

import os
from pathlib import Path

import pytest

from modelyard import errors
from modelyard.store import backup, open_store, postgresql_programs
from tests import requirements
from tests.process_servers import PostgresServer, free_port, postgres_programs
from tests.processes import entry


@pytest.fixture
def _dump_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    if not (postgres_programs() / "pg_dump").exists():
        requirements.absent("the wheel of PostgreSQL has no pg_dump")
    monkeypatch.setenv("PATH", f"{postgres_programs()}:{os.environ['PATH']}")


@pytest.mark.usefixtures("_dump_programs")
@pytest.mark.parametrize(
    "form",
    [
        (
            "postgresql+psycopg://postgres@/{name}?host=127.0.0.1:{closed}&host=127.0.0.1:{port}"
            "&target_session_attrs=read-write"
        ),
        "postgresql+psycopg://postgres:secret@127.0.0.1:{port}/{name}",
        "postgresql://postgres@127.0.0.1:{port}/{name}?connect_timeout=20&application_name=me",
        "postgres://postgres@/{name}?host={sockets}&port={port}",
    ],
)
def test_a_database_of_every_form_of_url_is_backed_up_and_restored(
    postgres: PostgresServer, tmp_path: Path, form: str
) -> None:
    name, other = (postgres.make_database().rpartition("/")[2] for _ in range(2))
    values = {"port": postgres.port, "closed": free_port(), "sockets": postgres.sockets}
    store = open_store(form.format(name=name, **values))
    with store.transaction() as transaction:
        transaction.put([entry(1)])
    store.close()

    backup.backup(form.format(name=name, **values), tmp_path / "backup")
    backup.restore(tmp_path / "backup", form.format(name=other, **values), force=False)

    restored = open_store(form.format(name=other, **values))
    with restored.snapshot() as snapshot:
        assert 1 == snapshot.count
    restored.close()


def test_a_program_that_is_older_than_the_server_is_not_used_and_the_version_is_named(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "pg_dump"
    program.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(postgresql_programs, "_DEBIAN_FOLDERS", tmp_path / "none")
    url = postgres.make_database()

    with pytest.raises(errors.ConfigurationError, match=r"pg_dump 18 or newer is needed.*installed: 9\b") as raised:
        backup.backup(url, tmp_path / "backup")
    assert raised.value.message.endswith("apt-get install postgresql-client-18")
    assert not (tmp_path / "backup").exists()


@pytest.mark.usefixtures("_dump_programs")
def test_a_file_that_is_no_backup_is_refused_before_anything_changes(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.make_database()
    (tmp_path / "backup").write_text("no backup")

    with pytest.raises(errors.ConfigurationError, match="pg_restore failed: "):
        backup.restore(tmp_path / "backup", url, force=True)
