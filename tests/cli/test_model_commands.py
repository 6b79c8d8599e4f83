"""The commands that change single models, and look-ups by many hashes, as whole transcripts."""

import contextlib
import fcntl
import io
import json
import os
import pty
import subprocess
import termios
from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelyard import settings
from modelyard.cli import home, run
from modelyard.domain import Licence
from modelyard.facts import Layer, Recommended
from tests.cli.test_transcripts import HARBOUR
from tests.cli.transcript import replay
from tests.process_commands import PROGRAM
from tests.scan_fixture import embedding

RM = """
$ modelyard rm 77
! 77  harbourLights_v2_770.safetensors  public, no team
! modelyard rm: nobody can answer the question here; remove without asking with --yes; see `modelyard rm --help`
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
! no model matches
"""


SHOW = """
$ modelyard show 77
Harbour Lights
77  harbourLights_v2_770.safetensors  public, no team, available
fact            value
version         v2
name in API     harbourLights_v2_770
type            Lora
base model      SDXL 1.0 Standard
creator         ada
tags            harbour, night, style
trigger words   harbour lights, at dusk
licence         commercial use: image
published       2023-07-01
updated         2023-07-01
added           TODAY
downloads       1,234
AIR             urn:air:sdxl:lora:civitai:7@77
Made at sea.
Use it at night.
file                           kind              size   SHA-256      checked   here
harbourLights_v2.safetensors   pruned fp16   228.6 MB   ABABABABAB             no
https://image.civitai.com/77.jpeg
$ modelyard show nothing
! modelyard: no model 'nothing'
[1]
"""
EDIT = """
$ modelyard edit 77 --title '夜 | Night' --tags 'a, b' --trigger-words 'x, y' --licence MIT --no-nsfw
! changed: 77  harbourLights_v2_770.safetensors
$ modelyard search 夜 '|' night
id   name in API            type   base model   version       size   downloads   status      tags
77   harbourLights_v2_770   Lora   SDXL 1.0     v2        228.6 MB       1,234   available   a, b
$ modelyard edit '夜 | Night' --recommended '{"weight": 0.5}' --licence '{"allow_commercial": ["rent"]}' --reset tags
! changed: 77  harbourLights_v2_770.safetensors
$ modelyard edit 77 --title x --reset title
! modelyard edit: --title: give a value or --reset, not both; see `modelyard edit --help`
[2]
$ modelyard edit 77 --recommended '{"strength": 1}'
! modelyard edit: --recommended: Object contains unknown field `strength`; see `modelyard edit --help`
[2]
$ modelyard edit 77 --licence '{'
! modelyard: --licence: Input data was truncated
[2]
$ modelyard edit 5 --title x
! modelyard: no model '5'
[1]
"""
HASHES = """
$ modelyard search --hash hashes.txt
hash                                                                      id   name in API            type   base model   version       size   downloads   status
ABABABABAB                                                                77   harbourLights_v2_770   Lora   SDXL 1.0     v2        228.6 MB       1,234   available
sha256:abababababababababababababababababababababababababababababababab   77   harbourLights_v2_770   Lora   SDXL 1.0     v2        228.6 MB       1,234   available
! 1 of 3 hashes match no model: 00000000
$ modelyard search --hash 00000000 --hash 01234567 --json
{
  "matches": {
    "00000000": [],
    "01234567": []
  },
  "models": []
}
$ modelyard search --hash hashes.txt lamp
! modelyard search: a list of hashes is looked up as it is; it accepts --team and --json only; see `modelyard search --help`
[2]
$ modelyard search --hash ABABABABAB --hash zebra
! modelyard search: 'zebra' is no hash; accepted: 8, 10, 12 or 64 hexadecimal digits, with or without 0x, sha256: or blake3:; see `modelyard search --help`
[2]
"""  # noqa: E501 # lines of a terminal have no limit


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


def test_show_shows_what_is_known_of_a_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    today = datetime.now(UTC).date().isoformat()
    assert SHOW.strip() == replay(SHOW, folder, capsys).replace(today, "TODAY")

    assert 0 == run(["show", "--json", "Harbour Lights"])
    shown = json.loads(capsys.readouterr().out)
    assert (77, "Harbour Lights", "ada", ["image"]) == (
        shown["id"],
        shown["title"],
        shown["creator"],
        shown["licence"]["allow_commercial"],
    )
    assert ["ABABABABAB"] == [file["hashes"]["autov2"] for file in shown["files"]]


def test_edit_changes_what_is_given_and_names_what_it_cannot_use(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert EDIT.strip() == replay(EDIT, folder, capsys)
    with home.open_store(settings.load(folder / "home")) as store:
        entry = store.entry(77)
    assert entry is not None
    facts = entry.layers[Layer.USER]
    assert ("夜 | Night", None, ("x", "y"), Licence(allow_commercial=("rent",)), Recommended(weight=0.5), False) == (
        facts.title,
        facts.tags,
        facts.trigger_words,
        facts.licence,
        facts.recommended,
        facts.is_nsfw,
    )


def test_a_list_of_hashes_is_looked_up_at_once(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = f"ABABABABAB\nsha256:{'ab' * 32}\n00000000\n"
    (folder / "hashes.txt").write_text(hashes)
    assert HASHES.strip() == replay(HASHES, folder, capsys)

    monkeypatch.setattr("sys.stdin", io.StringIO(hashes))
    assert 0 == run(["search", "--json", "--hash", "-"])
    assert {"ABABABABAB": [77], f"sha256:{'ab' * 32}": [77], "00000000": []} == json.loads(capsys.readouterr().out)[
        "matches"
    ]


RESOLVE = """
$ modelyard resolve workflow.json
needs                                folder   found by     id   name in API
style/HarbourLights_v2.safetensors   loras    file_name    77   harbourLights_v2_770
harbour lights.pt                             only words   77   harbourLights_v2_770
nowhere.pt                           vae
! 1 of 3 are here; missing: harbour lights.pt, nowhere.pt
! unknown loaders: OddLoader
$ modelyard resolve --missing workflow.json
needs               folder   found by     id   name in API
harbour lights.pt            only words   77   harbourLights_v2_770
nowhere.pt          vae
! 1 of 3 are here; missing: harbour lights.pt, nowhere.pt
! unknown loaders: OddLoader
$ modelyard resolve nothing.json
needs   folder   found by   id   name in API
! no model is needed
$ modelyard resolve empty.json
! modelyard: empty.json: the file is empty
[1]
$ modelyard resolve absent.json
! modelyard resolve: absent.json: No such file or directory; see `modelyard resolve --help`
[2]
"""


def test_resolve_lists_what_a_workflow_needs(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = [
        {"id": 1, "type": "LoraLoader", "widgets_values": ["style/HarbourLights_v2.safetensors", 1, 1]},
        {"id": 2, "type": "OddLoader", "widgets_values": ["harbour lights.pt"]},
        {"id": 3, "type": "VAELoader", "widgets_values": ["nowhere.pt"]},
    ]
    workflow = json.dumps({"nodes": nodes})
    (folder / "workflow.json").write_text(workflow)
    (folder / "empty.json").write_text("")
    (folder / "nothing.json").write_text('{"nodes": []}')
    assert RESOLVE.strip() == replay(RESOLVE, folder, capsys)

    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(workflow.encode())))
    assert 0 == run(["resolve", "--json", "-"])
    answer = json.loads(capsys.readouterr().out)
    assert (1, 2, [77]) == (
        answer["found"],
        answer["missing"],
        [model["id"] for model in answer["wanted"][0]["models"]],
    )


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


def test_a_type_that_nobody_knows_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["edit", "77", "--type", "lorra"])

    assert 2 == code
    err = capsys.readouterr().err
    assert "--type: 'lorra' is not accepted; accepted: " in err
    assert "did you mean lora?" in err


def test_a_port_that_is_no_number_is_refused_with_the_option_and_the_range(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == run(["serve", "--port", "x"])
    assert "'--port': 'x' is not accepted; accepted: a whole number from 0 to 65535" in capsys.readouterr().err


def test_a_copy_names_its_option_and_leaves_no_file_of_counters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--home", str(tmp_path / "home"), "--to"]
    refused = run(["database", "copy", *words, "mysql://localhost/x"])
    message = capsys.readouterr().err
    copied = run(["database", "copy", *words, f"sqlite:///{tmp_path}/new.sqlite"])

    assert (1, 0) == (refused, copied)
    assert message.startswith("modelyard: --to: ")
    assert ["new.sqlite"] == [path.name for path in tmp_path.glob("new*")]
