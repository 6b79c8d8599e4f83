"""Homes and a PostgreSQL database that older commits made are opened, migrated and served by this code.

``make_archive.py`` made the archives by the code of these commits: an import, keys of three teams, the same file
uploaded by two teams, a cover and a change. Nothing is fetched here.
"""

import hashlib
import http.client
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modelyard import errors
from modelyard.cli import run
from modelyard.store import backup, open_store
from tests.process_commands import Served, serving
from tests.process_servers import PostgresServer, postgres_programs
from tests.processes import entry
from tests.transfers import path_of

ARCHIVES = Path(__file__).parent
EXAMPLE = ARCHIVES.parents[1] / "docs" / "examples" / "loras" / "night-harbour.safetensors"
ARCHIVE_BYTES_MAX = 200_000
# The first commit that has to be opened, on both databases, and the last one before the present format of the index.
OLD = [(commit, database) for commit in ("28bd30e", "b771815") for database in ("sqlite", "postgresql")]


@dataclass(frozen=True)
class OldHome:
    """A home of an older commit, the settings of its database, and the keys that it made."""

    home: Path
    settings: dict[str, str]
    keys: dict[str, str]


@pytest.fixture(params=OLD, ids="-".join)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OldHome]:
    commit, database = request.param
    with tarfile.open(ARCHIVES / f"{commit}.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    home, keys = tmp_path / database / "home", json.loads((tmp_path / database / "keys.json").read_text())
    if database == "sqlite":
        yield OldHome(home, {}, keys)
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.make_database()
    command = [
        str(server.programs / "psql"),
        "--quiet",
        "--set=ON_ERROR_STOP=1",
        f"--file={home.parent}/postgresql.sql",
    ]
    address = ["--host=127.0.0.1", f"--port={server.port}", "--username=postgres", url.rpartition("/")[2]]
    subprocess.run([*command, *address], check=True, capture_output=True, timeout=60)
    yield OldHome(home, {"MODELYARD_DATABASE_URL": url}, keys)
    server.drop_database(url)


def ask(server: Served, key: str, target: str, method: str = "GET", body: str | None = None) -> tuple[int, bytes]:
    with closing(server.connect()) as connection:
        connection.request(method, target, body, {"Authorization": f"Bearer {key}"})
        answer: http.client.HTTPResponse = connection.getresponse()
        return answer.status, answer.read()


def models(server: Served, key: str, visibility: str) -> list[dict[str, Any]]:
    status, body = ask(server, key, f"/v3/model?filter.visibility={visibility}")
    assert 200 == status, body
    listed: list[dict[str, Any]] = json.loads(body)["models"]
    return listed


def test_what_an_older_commit_made_is_served_and_can_be_changed(old: OldHome) -> None:
    with serving(old.home, 1, old.keys["red"], **old.settings) as server:
        public = models(server, old.keys["blue"], "public")
        (red,), (blue,) = (models(server, old.keys[team], "private") for team in ("red", "blue"))
        status, content = ask(server, old.keys["red"], path_of(red["download_url"]))
        cover_status, cover = ask(server, old.keys["red"], path_of(red["cover_url"]))
        change = ask(server, old.keys["red"], f"/v3/model?id={red['id']}", "PATCH", '{"name": "new name"}')
        foreign = ask(server, old.keys["blue"], f"/v3/model?id={red['id']}", "PATCH", '{"name": "blue was here"}')
        (again,) = models(server, old.keys["red"], "private")

    assert {"lora"} == {model["type"]["name"] for model in public}
    assert ("night of red", "night of blue") == (red["name"], blue["name"])
    assert ["old", "home"] == red["tags"]
    assert (200, EXAMPLE.read_bytes()) == (status, content)
    assert (200, b"RIFF") == (cover_status, cover[:4])
    assert [200, 404] == [change[0], foreign[0]]
    assert "new name" == again["name"]


def test_its_keys_its_index_and_its_backup_are_in_order(
    old: OldHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELYARD_HOME", str(old.home))
    for name, value in old.settings.items():
        monkeypatch.setenv(name, value)
        monkeypatch.setenv("PATH", f"{postgres_programs()}:{os.environ['PATH']}")

    assert 0 == run(["reindex"])
    assert 0 == run(["verify"])
    assert 0 == run(["backup", str(tmp_path / "backup")])
    if not old.settings:
        monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "restored"))
        assert 0 == run(["restore", str(tmp_path / "backup")])
    capsys.readouterr()
    assert 0 == run(["key", "list", "--json"])

    assert set(old.keys) == {key["team"] for key in json.loads(capsys.readouterr().out)}


def test_the_archives_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in ARCHIVES.glob("*.tar.xz")}

    assert {commit for commit, _ in OLD} == {name.partition(".")[0] for name in sizes}
    assert max(sizes.values()) <= ARCHIVE_BYTES_MAX, sizes
    assert hashlib.sha256(EXAMPLE.read_bytes()).hexdigest().startswith("2bafe8bdf6"), "the example that they have"


# SQLite's restore replaces the whole file.
@pytest.mark.parametrize("old", [pair for pair in OLD if pair[1] != "sqlite"], ids="-".join, indirect=True)
def test_its_backup_may_replace_a_database_of_this_version(
    old: OldHome, tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tables that the backup does not know refer to those that it has."""
    monkeypatch.setenv("PATH", f"{postgres_programs()}:{os.environ['PATH']}")
    url = postgres.make_database()
    newest = open_store(url)
    with newest.transaction() as transaction:
        transaction.put([entry(1)])
    newest.close()
    backup.backup(old.settings["MODELYARD_DATABASE_URL"], tmp_path / "backup")

    with pytest.raises(errors.ConfigurationError, match="--force"):
        backup.restore(tmp_path / "backup", url, force=False)
    backup.restore(tmp_path / "backup", url, force=True)

    restored = open_store(url)
    with restored.snapshot() as snapshot:
        assert {"night of red", "night of blue"} <= {model.name for model in snapshot.models()}
    assert restored.entry(1) is None
    restored.close()
    postgres.drop_database(url)
