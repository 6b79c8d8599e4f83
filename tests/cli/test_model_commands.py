"""The commands that change single models: `rm`, `link` and `unlink`, as whole transcripts."""

import contextlib
import fcntl
import io
import json
import os
import pty
import subprocess
import termios
from pathlib import Path

import pytest

from modelyard.cli import run
from tests.cli.test_transcripts import HARBOUR
from tests.cli.transcript import replay
from tests.process_commands import PROGRAM
from tests.scan_fixture import embedding

RM = """
$ modelyard rm 77
! 77  harbourLights_v2_770.safetensors  public, no team
! Usage: modelyard rm [OPTIONS] MODEL...
! Try 'modelyard rm --help' for help.
! Error: nobody can answer the question here; remove without asking with --yes
[2]
$ modelyard rm --yes 77 night nothing
! modelyard: no model 'nothing'
[1]
$ modelyard rm --yes 77 night 77
! 77  harbourLights_v2_770.safetensors  public, no team
! 1000000000  night.safetensors  private, team red
! removed: 2
$ modelyard search --json
{
  "models": [],
  "pagination": {
    "next_cursor": ""
  }
}
$ modelyard add --team red models
files       number
found            1
unchanged        1
$ modelyard search --team red
id   name in API   type   base model   version   tags
! no model matches
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("sys.stdin", io.StringIO())
    model = {**HARBOUR, "modelVersions": [HARBOUR["modelVersions"][0]]}  # type: ignore[index] # a list
    (tmp_path / "answer.json").write_text(json.dumps(model))
    embedding(tmp_path / "models" / "night.safetensors")
    assert 0 == run(["import", "civitai", "answer.json"])
    assert 0 == run(["add", "--team", "red", "models"])
    return tmp_path


def test_rm_removes_what_it_names_and_nothing_if_one_name_is_wrong(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert RM.strip() == replay(RM, folder, capsys)


@pytest.mark.parametrize(
    ("answer", "code", "last_line"), [(b"n", 1, "nothing was removed"), (b"y", 0, "removed: 1"), (b"\x03", 130, "^C")]
)
def test_rm_asks_at_a_terminal(folder: Path, answer: bytes, code: int, last_line: str) -> None:
    terminal, theirs = pty.openpty()
    command = [*PROGRAM, "rm", "77"]
    with subprocess.Popen(
        command,
        cwd=folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=_take_terminal,  # noqa: PLW1509 # no other thread of the test holds a lock
    ) as process:
        os.close(theirs)
        shown = b""
        while b"[y/N]" not in shown:
            shown += os.read(terminal, 1024)
        os.write(terminal, answer + b"\n")
        with contextlib.suppress(OSError):  # the terminal ends with the process
            while piece := os.read(terminal, 1024):
                shown += piece
    os.close(terminal)
    assert code == process.returncode
    assert last_line in shown.decode().rstrip().splitlines()[-1]


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_link_and_unlink_say_what_the_file_is_now(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    embedding(folder / "day.safetensors", seed=3)
    assert 0 == run(["add", "day.safetensors"])
    capsys.readouterr()

    def err(*arguments: str) -> tuple[int, str]:
        return run(list(arguments)), capsys.readouterr().err

    assert (0, "day.safetensors is a file of version 77 now\n") == err("link", "day.safetensors", "77")
    assert (0, "day.safetensors is the model 1000000002 now\n") == err("unlink", "day.safetensors")
    assert (2, "modelyard: day.safetensors: it belongs to no version\n") == err("unlink", "day.safetensors")
    assert (1, "modelyard: no model '5'\n") == err("link", "day.safetensors", "5")
    night = "models/night.safetensors"
    assert (2, f"modelyard: {night}: the file is private and the version public\n") == err("link", night, "77")
