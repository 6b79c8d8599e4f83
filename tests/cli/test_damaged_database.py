"""A damaged database is one line that says what to do, whatever command meets it. Never a traceback.

Not here: damage of the index, which is built again (tests/index/test_segments.py).
"""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from modelyard.cli import run
from modelyard.store import open_store
from tests.processes import entry

WHAT_TO_DO = "restore a backup with `modelyard restore --force PATH`"
COMMANDS = (
    "key list",
    "key create --team red",
    "jobs",
    "search night",
    "reindex",
    "explain 1",
    "verify",
    "gc",
    "signing-key rotate",
    "backup PATH/backup",
    "serve --port 0",
)


def flip_first_page(path: Path) -> None:
    """The header of the file."""
    content = bytearray(path.read_bytes())
    content[:100] = bytes(100 * [0xFF])
    path.write_bytes(content)


def flip_other_pages(path: Path) -> None:
    """The first bytes of each other page, which say what kind of page it is."""
    content = bytearray(path.read_bytes())
    for start in range(4096, len(content), 4096):
        content[start : start + 64] = bytes(64 * [0xFF])
    path.write_bytes(content)


def flip_texts(path: Path) -> None:
    """Texts of rows, which have another meaning to us and none to SQLite."""
    content = path.read_bytes()
    path.write_bytes(content.replace(b'["pastel"]', b'["past\xff]]'))


@pytest.fixture(scope="module")
def whole_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    store = open_store(f"sqlite:///{home}/modelyard.sqlite")
    with store.transaction() as transaction:
        transaction.put([entry(number, tags=("pastel",)) for number in range(1, 40)])
    store.close()
    with closing(sqlite3.connect(home / "modelyard.sqlite")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return home


@pytest.mark.parametrize("flip", [flip_first_page, flip_other_pages])
def test_every_command_says_in_one_line_what_to_do(
    whole_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flip: Callable[[Path], None]
) -> None:
    home = tmp_path / "home"
    for command in COMMANDS:
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(whole_home, home)
        flip(home / "modelyard.sqlite")
        code = run([*command.replace("PATH", str(tmp_path)).split(), "--home", str(home)])
        err = capsys.readouterr().err
        messages = [line for line in err.splitlines() if line.startswith("modelyard: ")]

        assert (code, len(messages)) == (1, 1), command
        assert WHAT_TO_DO in messages[0], command
        assert "Traceback" not in err, command


@pytest.mark.parametrize("command", ["search night", "reindex"])
def test_texts_that_cannot_be_read_are_damage_too(
    whole_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    home = shutil.copytree(whole_home, tmp_path / "home")
    flip_texts(home / "modelyard.sqlite")

    assert run([*command.split(), "--home", str(home)]) == 1
    assert WHAT_TO_DO in capsys.readouterr().err
