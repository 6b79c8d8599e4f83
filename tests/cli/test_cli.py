"""The commands, as a person or a script meets them: arguments in; standard output, standard error and exit code out.

Most run in this process through ``cli.run``; what is about processes (signals, pipes, terminals, ports) starts real
ones. Not here: what a Civitai record becomes (test_civitai), what fetching survives (test_fetch), the API (test_api).
"""

import json
import os
import pty
import re
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest

from modelyard import wire
from modelyard.catalog import BATCH_RECORDS
from modelyard.cli import cli, run
from modelyard.store import sqlite
from tests.civitai_server import civitai_server, recorded_models
from tests.scan_fixture import embedding, hashes_of

SOURCE = Path(__file__).parents[2] / "src"
PROGRAM = (sys.executable, "-c", "from modelyard.cli import main; main()")


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Modelyard = Callable[..., Result]
# A process that has not ended by then never will, however busy the machine is.
PROCESS_SECONDS_MAX = 600


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [
        name for name in os.environ if name.startswith(("MODELYARD_", "CIVITAI_")) and name != "MODELYARD_TEST_DATA"
    ]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def modelyard(home: Path, capsys: pytest.CaptureFixture[str]) -> Modelyard:
    """Run a command in this process."""

    def run_here(*arguments: str | Path) -> Result:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Result(code, captured.out, captured.err)

    return run_here


@contextmanager
def started(*arguments: str | Path, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a command as a process of its own, and end it if it has not ended."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1"}
    given: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    with subprocess.Popen([*PROGRAM, *map(str, arguments)], **(given | options)) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def until(condition: Callable[[], Any], seconds: float = PROCESS_SECONDS_MAX) -> Any:
    """Return what the condition comes to once that is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come to that in time")


def a_model(number: int, **changes: Any) -> dict[str, Any]:
    files = [{"id": number, "name": f"file{number}.safetensors", "type": "Model"}]
    version = {"id": number, "name": "v1", "files": files, "stats": {"downloadCount": number}, "baseModel": "SD 1.5"}
    return {"id": number, "name": "m", "type": "LORA", "tags": ["pastel"], "modelVersions": [version]} | changes


def written(path: Path, *models: object) -> Path:
    path.write_text("".join(json.dumps(model) + "\n" for model in models))
    return path


def commands() -> list[tuple[str, ...]]:
    """Every command and group, by its words."""

    def below(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield words
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found is not None
                yield from below(found, (*words, name))

    return list(below(cli, ()))


def command_of(words: tuple[str, ...]) -> click.Command:
    """Return the command with these words."""
    command: click.Command = cli
    for name in words:
        assert isinstance(command, click.Group)
        below = command.get_command(click.Context(command), name)
        assert below is not None
        command = below
    return command


# --- All commands ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_explains_itself_with_an_example(modelyard: Modelyard, words: tuple[str, ...]) -> None:
    result = modelyard(*words, "--help")

    assert result.code == 0
    assert " ".join(("Usage: modelyard", *words)) in result.out
    assert "Example" in result.out
    assert "--home" in result.out


def test_every_command_can_be_quiet_and_writes_json_and_names_the_variable_of_the_server() -> None:
    for words in commands():
        command = command_of(words)
        options = {option for parameter in command.params for option in parameter.opts}

        assert {"--quiet", "-q", "--home"} <= options, words
        if not isinstance(command, click.Group):
            assert "--json" in options, words
        if "--url" in options or words == ("login",):
            assert "MODELYARD_URL" in command.get_help(click.Context(command)), words


def test_a_quiet_command_writes_its_result_and_its_errors_only(modelyard: Modelyard, tmp_path: Path) -> None:
    path = embedding(tmp_path / "models" / "night.safetensors")
    (path.parent / "broken.safetensors").write_text("broken")
    added = modelyard("--quiet", "add", path.parent)
    backed_up = modelyard("backup", "-q", tmp_path / "copy")
    again = modelyard("backup", "-q", tmp_path / "copy")
    missing = modelyard("search", "nothing", "--quiet")

    assert "not usable" in added.err
    assert re.search(r"^added +1$", added.out, re.MULTILINE)
    assert (0, "", "") == (backed_up.code, backed_up.out, backed_up.err)
    assert (1, "") == (again.code, again.out)
    assert "is there already" in again.err
    assert "" == missing.err


def test_commands_that_change_something_say_so_as_json(modelyard: Modelyard, tmp_path: Path) -> None:
    path = embedding(tmp_path / "models" / "night.safetensors")
    modelyard("add", path.parent)
    id_ = modelyard("search", "--json").json["models"][0]["id"]
    modelyard("import", "civitai", written(tmp_path / "1.jsonl", a_model(1)))

    assert {"id": id_, "sd_name": "night.safetensors"} == modelyard("edit", id_, "--title", "Night", "--json").json
    assert {"path": str(tmp_path / "copy"), "with_files": False} == modelyard(
        "backup", tmp_path / "copy", "--json"
    ).json
    assert {"path": str(tmp_path / "copy"), "valid_again": []} == modelyard(
        "restore", tmp_path / "copy", "--force", "--json"
    ).json
    copied = modelyard("database", "copy", "--to", f"sqlite:///{tmp_path}/other.sqlite", "--json").json
    assert (2, False) == (copied["models"], copied["with_files"])
    assert {"file": str(path), "model": 1} == modelyard("link", path, 1, "--json").json
    assert str(path) == modelyard("unlink", path, "--json").json["file"]
    assert 0 < modelyard("reindex", "--json").json["seconds"]
    assert {"removed": [1]} == modelyard("rm", "--yes", 1, "--json").json
    assert {"retried": []} == modelyard("jobs", "retry", "--all", "--json").json
    assert "bash" == modelyard("completion", "bash", "--json").json["shell"]
    assert {"url": None} == modelyard("logout", "--json").json


def test_a_webhook_is_enabled_and_deleted_as_json(modelyard: Modelyard) -> None:
    id_ = modelyard("webhook", "create", "--team", "alice", "https://example.org/hook", "--json").json["id"]
    enabled = modelyard("webhook", "enable", id_, "--json").json

    assert (id_, "active", "alice") == (enabled["id"], enabled["state"], enabled["team"])
    assert "secret" not in enabled
    assert {"id": id_, "state": "deleted"} == modelyard("webhook", "delete", id_, "--json").json
    assert [] == modelyard("webhook", "list", "--json").json


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("search", "--licence-commercial", "fly"), "--licence-commercial: "),
        (("search", "--limit=0"), "--limit: "),
        (("edit", "night", "--type", "x" * 300), "--type: "),
        (("edit", "night", "--cover-url", "nowhere"), "--cover-url: "),
        (("edit", "night", "--recommended", '{"steps": "x"}'), "--recommended: "),
        (("edit", "night", "--title", "x", "--reset", "title"), "--title: "),
        (("key", "create", "--team", "a b"), "--team: "),
    ],
    ids=" ".join,
)
def test_an_error_names_the_option_that_was_typed(
    modelyard: Modelyard, tmp_path: Path, arguments: tuple[str, ...], option: str
) -> None:
    modelyard("add", embedding(tmp_path / "models" / "night.safetensors"))
    result = modelyard(*arguments)

    assert 2 == result.code
    assert 1 == result.err.count("\n")
    assert option in result.err


def test_a_mistake_shows_the_usage_on_a_terminal(home: Path) -> None:
    ours, theirs = pty.openpty()
    with started("key", "create", stderr=theirs) as process:
        process.wait(PROCESS_SECONDS_MAX)
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)

    assert "Usage: modelyard key create [OPTIONS]" in shown
    assert "Missing option '--team'" in shown


def test_the_package_runs_as_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "modelyard", "--version"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )

    assert re.fullmatch(r"modelyard, version \S+\n", done.stdout)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("words", [("key", "list"), ("search",)], ids=" ".join)
def test_the_home_folder_may_be_named_before_or_after_the_command(
    modelyard: Modelyard, home: Path, tmp_path: Path, words: tuple[str, ...], before: bool
) -> None:
    other = ("--home", str(tmp_path / "other"))

    result = modelyard(*other, *words) if before else modelyard(*words, *other)

    assert result.code == 0
    assert (tmp_path / "other" / "modelyard.sqlite").exists()
    assert not home.exists()


def test_the_home_named_last_wins(modelyard: Modelyard, home: Path, tmp_path: Path) -> None:
    modelyard("--home", tmp_path / "first", "key", "--home", tmp_path / "second", "list", "--home", tmp_path / "third")

    assert [] == [name for name in ("first", "second") if (tmp_path / name).exists()]
    assert (tmp_path / "third").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("key", "nonsense"),
        ("key", "create"),
        ("key", "create", "--team", "a", "--scope", "everything"),
        ("key", "create", "--team", "a", "--expires", "soon"),
        ("key", "create", "--team", "no spaces allowed"),
        ("import", "civitai"),
        ("import", "civitai", "no-such-file"),
        ("import", "civitai", "--fetch", "."),
        ("import", "civitai", ".", "--types", "LORA"),
        ("search", "--is-sdxl", "perhaps"),
        ("search", "--limit", "1000"),
        ("search", "--visibility", "private"),
        ("serve", "--port", "70000"),
        ("serve", "--workers", "0"),
    ],
    ids=" ".join,
)
def test_misuse_is_told_on_standard_error_with_code_2(modelyard: Modelyard, arguments: tuple[str, ...]) -> None:
    result = modelyard(*arguments)

    assert result.code == 2
    assert result.out == ""
    assert result.err


def test_a_home_folder_that_cannot_be_made_is_one_clear_line(modelyard: Modelyard) -> None:
    # Where not even root may make a folder.
    result = modelyard("key", "list", "--home", "/proc/modelyard")

    assert result.code == 1
    assert result.err.count("\n") == 1
    assert "/proc/modelyard" in result.err
    assert "--home" in result.err


def test_a_home_folder_below_a_file_is_one_clear_line(modelyard: Modelyard, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    result = modelyard("key", "list", "--home", tmp_path / "file" / "home")

    assert result.code == 1
    assert result.err.count("\n") == 1
    assert str(tmp_path / "file" / "home") in result.err


def test_a_database_that_is_none_is_one_clear_line(modelyard: Modelyard, home: Path) -> None:
    home.mkdir()
    (home / "modelyard.sqlite").write_text("this is no database, but long enough to be taken for one" * 20)

    result = modelyard("key", "list")

    assert result.code == 1
    assert result.err.count("\n") == 1
    assert str(home / "modelyard.sqlite") in result.err


def test_a_settings_file_with_a_mistake_is_one_clear_line(modelyard: Modelyard, home: Path) -> None:
    home.mkdir()
    (home / "modelyard.toml").write_text("prot = 80\n")

    result = modelyard("key", "list")

    assert result.code == 1
    assert result.err.count("\n") == 1
    assert "'port'" in result.err


def test_a_database_that_another_program_keeps_locked_is_one_clear_line(
    modelyard: Modelyard, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # How long a command waits for its turn, 15 s, is not what is tested here.
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.5)
    modelyard("key", "list")
    with closing(sqlite3.connect(home / "modelyard.sqlite")) as other:
        other.execute("BEGIN IMMEDIATE")
        result = modelyard("import", "civitai", written(tmp_path / "1.jsonl", a_model(1)))

    assert result.code == 1
    reason = "other writers held the database for more than 15 s (database is locked)"
    assert f"modelyard: {reason}\n" == result.err


@pytest.mark.parametrize("words", [("--help",), ("key", "list")], ids=" ".join)
def test_commands_that_need_no_server_import_none(home: Path, words: tuple[str, ...]) -> None:
    program = f"import sys; from modelyard.cli import run; run({list(words)!r}); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )

    assert not {"starlette", "uvicorn", "pyroaring", "httpx2"} & set(done.stderr.split())


def test_a_reader_that_has_seen_enough_ends_it_without_complaint(
    modelyard: Modelyard, home: Path, tmp_path: Path
) -> None:
    modelyard("import", "civitai", written(tmp_path / "1.jsonl", *(a_model(number) for number in range(1, 200))))
    arguments = shlex.join([*PROGRAM, "search", "--limit", "100", "--json"])

    done = subprocess.run(
        ["/bin/sh", "-c", f"{arguments} | head -c 1"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )

    assert done.stdout == "{"
    assert done.stderr == ""


# --- Keys ------------------------------------------------------------------------------------------------------------


def test_a_made_key_is_all_of_standard_output(modelyard: Modelyard, home: Path) -> None:
    result = modelyard("key", "create", "--team", "alice")

    assert result.code == 0
    assert re.fullmatch(r"sk_[A-Za-z0-9_-]{43}\n", result.out)
    assert "alice" in result.err
    assert result.out.strip() not in result.err
    assert result.out.strip().encode() not in (home / "modelyard.sqlite").read_bytes()


def test_a_key_is_made_with_scopes_and_an_end_and_is_told_as_json(modelyard: Modelyard) -> None:
    made = modelyard(
        "key", "create", "--team", "alice", "--scope", "write,read", "--scope", "read", "--expires", "90d", "--json"
    ).json

    assert made["key"].startswith(made["hint"].rstrip("…"))
    assert (made["team"], made["scopes"]) == ("alice", ["read", "write"])
    assert made["expires_at"] - made["created_at"] == 90 * 86_400


@pytest.mark.parametrize(
    ("span", "seconds"),
    [("5s", 5), ("5m", 300), ("12h", 43_200), ("2d", 172_800), ("2w", 1_209_600), ("1y", 31_536_000)],
)
def test_a_key_ends_after_the_span_that_is_given(modelyard: Modelyard, span: str, seconds: int) -> None:
    made = modelyard("key", "create", "--team", "alice", "--expires", span, "--json").json

    assert seconds - 4 <= made["expires_at"] - made["created_at"] <= seconds


def test_a_key_whose_end_no_date_can_say_is_refused_and_one_that_is_there_is_listed(
    modelyard: Modelyard, home: Path
) -> None:
    refused = modelyard("key", "create", "--team", "alice", "--expires", "9000y")
    modelyard("key", "create", "--team", "alice", "--expires", "100y")
    with closing(sqlite3.connect(home / "modelyard.sqlite")) as database, database:
        database.execute("UPDATE api_keys SET expires_at = 300000000000")

    listed = modelyard("key", "list")

    assert (2, "") == (refused.code, refused.out)
    assert "9999-12-31 23:59" in listed.out


@pytest.mark.parametrize("span", ["", "d", "-1d", "1.5h", "1 d", "1D", "²d", "1000000000d", "0", "0d"])
def test_what_is_no_span_makes_no_key(modelyard: Modelyard, span: str) -> None:
    refused = modelyard("key", "create", "--team", "alice", f"--expires={span}")

    assert (refused.code, refused.out) == (2, "")
    assert modelyard("key", "list", "--json").json == []


@pytest.mark.parametrize(
    ("arguments", "scopes"),
    [
        ((), ["read", "write"]),
        (("--scope", "read"), ["read"]),
        (("--scope", "write, admin"), ["admin", "write"]),
    ],
)
def test_a_key_may_do_what_it_was_made_for_and_manage_keys_only_when_told(
    modelyard: Modelyard, arguments: tuple[str, ...], scopes: list[str]
) -> None:
    assert modelyard("key", "create", "--team", "alice", *arguments, "--json").json["scopes"] == scopes


@pytest.mark.parametrize(
    ("arguments", "seconds"), [((), None), (("--overlap", "0s"), 0), (("--overlap", "7d"), 604_800)]
)
def test_links_signed_by_an_older_secret_end_after_the_overlap(
    modelyard: Modelyard, arguments: tuple[str, ...], seconds: int | None
) -> None:
    """Without a word a link lives as long as it says: a day, rounded up to the hour, and until servers have read it."""
    before = time.time()
    first = modelyard("signing-key", "rotate", *arguments, "--json").json
    second = modelyard("signing-key", "rotate", *arguments, "--json").json

    overlap = 86_400 + 3600 + 120 if seconds is None else seconds
    assert second["signing_key"] == first["signing_key"] + 1
    assert 0 <= first["others_end_at"] - int(before) - overlap <= time.time() - before + 1


@pytest.mark.parametrize(("expires", "reason"), [("5", "a unit"), ("0d", "1s or more")])
def test_an_expiry_without_a_unit_or_of_no_time_is_refused(modelyard: Modelyard, expires: str, reason: str) -> None:
    result = modelyard("key", "create", "--team", "alice", "--expires", expires)

    assert (2, "") == (result.code, result.out)
    assert "--expires" in result.err
    assert reason in " ".join(result.err.split())
    assert [] == modelyard("key", "list", "--json").json


def test_keys_are_listed_without_their_secret(modelyard: Modelyard) -> None:
    secret = modelyard("key", "create", "--team", "alice").out.strip()
    modelyard("key", "create", "--team", "bob")

    table, as_json = modelyard("key", "list"), modelyard("key", "list", "--team", "alice", "--json")

    assert "alice" in table.out
    assert "bob" in table.out
    assert secret not in table.out + as_json.out
    assert ["alice"] == [key["team"] for key in as_json.json]


@pytest.mark.parametrize("named_by", ["id", "beginning", "whole"])
def test_a_key_is_revoked_by_id_beginning_or_whole(modelyard: Modelyard, named_by: str) -> None:
    made = modelyard("key", "create", "--team", "alice", "--json").json
    named = {"id": str(made["id"]), "beginning": made["hint"], "whole": made["key"]}[named_by]

    result = modelyard("key", "revoke", named)

    assert result.code == 0
    assert modelyard("key", "list", "--json").json[0]["revoked_at"] is not None


def test_a_key_that_is_not_there_cannot_be_revoked(modelyard: Modelyard) -> None:
    result = modelyard("key", "revoke", "sk_abcd")

    assert (result.code, result.out, result.err.count("\n")) == (1, "", 1)


# --- Import ----------------------------------------------------------------------------------------------------------


def test_recorded_answers_are_imported_and_the_second_time_nothing_changes(
    modelyard: Modelyard, data_dir: Path
) -> None:
    first = modelyard("import", "civitai", data_dir / "civitai" / "answers", "--json")
    second = modelyard("import", "civitai", data_dir / "civitai" / "answers", "--json")

    skipped = {"no usable file": 3, "model without versions": 2}
    assert first.code == second.code == 0
    assert first.json == {"added": 75, "updated": 0, "unchanged": 0, "joined": 0, "skipped": skipped, "dry_run": False}
    assert second.json == {"added": 0, "updated": 0, "unchanged": 75, "joined": 0, "skipped": skipped, "dry_run": False}


def test_what_is_skipped_is_told_with_file_and_line_and_the_rest_taken(modelyard: Modelyard, tmp_path: Path) -> None:
    path = written(tmp_path / "1.jsonl", a_model(1), a_model(2, id=-2), a_model(3))

    result = modelyard("import", "civitai", path)

    assert result.code == 0
    assert f"skipped: {path}:2: model -2: damaged record: " in result.err
    assert re.search(r"added +2\b", result.out)
    assert re.search(r"skipped: damaged record +1\b", result.out)


def test_of_one_reason_the_first_few_are_told_and_all_with_verbose(modelyard: Modelyard, tmp_path: Path) -> None:
    path = written(tmp_path / "1.jsonl", a_model(1), *(a_model(number, id=-number) for number in range(2, 40)))

    few, all_of_them = modelyard("import", "civitai", path), modelyard("import", "civitai", path, "--verbose")

    assert few.err.count(f"{path}:") == 10
    assert "--verbose" in few.err
    assert all_of_them.err.count(f"{path}:") == 38


def test_a_dry_run_tells_what_would_be_done_and_does_nothing(modelyard: Modelyard, tmp_path: Path) -> None:
    path = written(tmp_path / "1.jsonl", a_model(1), a_model(2))

    result = modelyard("import", "civitai", path, "--dry-run", "--json")

    assert (result.json["added"], result.json["dry_run"]) == (2, True)
    assert [] == modelyard("search", "--json").json["models"]


def test_a_dry_run_counts_the_files_that_the_run_would_merge(modelyard: Modelyard, tmp_path: Path) -> None:
    path = embedding(tmp_path / "models" / "night.safetensors")
    modelyard("add", path.parent)
    answer = a_model(1)
    answer["modelVersions"][0]["files"][0]["hashes"] = {"SHA256": hashes_of(path).sha256}
    command = ["import", "civitai", written(tmp_path / "1.jsonl", answer, a_model(2), answer), "--json"]

    rehearsed = modelyard(*command, "--dry-run").json
    first, second = modelyard(*command).json, modelyard(*command, "--dry-run").json

    assert {"added": 2, "updated": 0, "unchanged": 1, "joined": 1, "skipped": {}, "dry_run": False} == first
    assert {**first, "dry_run": True} == rehearsed
    assert 0 == second["joined"]


def test_a_change_is_updated_in_place_and_a_poorer_answer_takes_nothing_away(
    modelyard: Modelyard, tmp_path: Path
) -> None:
    rich, poor = a_model(1, nsfw=True), a_model(1)
    poor["modelVersions"][0]["name"] = "v1, renamed"
    del poor["tags"], poor["modelVersions"][0]["baseModel"], poor["modelVersions"][0]["stats"]
    modelyard("import", "civitai", written(tmp_path / "1.jsonl", rich))

    result = modelyard("import", "civitai", written(tmp_path / "1.jsonl", poor), "--json")

    assert result.json["updated"] == 1
    (model,) = modelyard("search", "--json").json["models"]
    assert (model["name"], model["tags"], model["base_model"], model["is_nsfw"]) == (
        "v1, renamed",
        ["pastel"],
        "SD 1.5",
        True,
    )


def test_a_version_without_a_name_has_its_files_until_one_is_told(modelyard: Modelyard, tmp_path: Path) -> None:
    nameless = a_model(1)
    del nameless["modelVersions"][0]["name"]

    for answer, name in ((nameless, "file1"), (a_model(1), "v1"), (nameless, "v1")):
        modelyard("import", "civitai", written(tmp_path / "1.jsonl", answer))
        assert [name] == [model["name"] for model in modelyard("search", "--json").json["models"]]


def test_a_guessed_inpainting_checkpoint_is_found_as_one(modelyard: Modelyard, tmp_path: Path) -> None:
    answer = a_model(1, type="Checkpoint")
    answer["modelVersions"][0]["name"] = "v1-inpainting"
    modelyard("import", "civitai", written(tmp_path / "1.jsonl", answer))

    models = modelyard("search", "--is-inpainting", "true", "--json").json["models"]

    assert ["Inpainting"] == [model["base_model_type"] for model in models]


def test_an_import_of_nothing_usable_fails(modelyard: Modelyard, tmp_path: Path) -> None:
    (tmp_path / "1.json").write_text("<!DOCTYPE html>")

    result = modelyard("import", "civitai", tmp_path)

    assert result.code == 1
    assert "nothing could be imported" in result.err


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_import_goes_on_when_it_is_run_again(
    modelyard: Modelyard, home: Path, tmp_path: Path, how: signal.Signals
) -> None:
    """The first part comes through a pipe that is not closed, so that the import cannot be done when it is ended."""
    models = written(tmp_path / "whole.jsonl", *(a_model(number) for number in range(1, BATCH_RECORDS + 101)))
    pipe = tmp_path / "models.jsonl"
    os.mkfifo(pipe)

    def stored() -> int:
        try:
            with closing(sqlite3.connect(f"file:{home / 'modelyard.sqlite'}?mode=ro", uri=True)) as database:
                return int(database.execute("SELECT count(*) FROM models").fetchone()[0])
        except sqlite3.OperationalError:
            return 0

    with started("import", "civitai", pipe) as importing, pipe.open("wb") as writing:
        writing.writelines(models.read_bytes().splitlines(keepends=True)[: BATCH_RECORDS + 50])
        writing.flush()
        until(stored)
        importing.send_signal(how)
        _, err = importing.communicate(timeout=PROCESS_SECONDS_MAX)
    kept = stored()
    again = modelyard("import", "civitai", models, "--json").json

    assert kept == BATCH_RECORDS
    assert importing.returncode == (130 if how is signal.SIGINT else -how)
    if how is signal.SIGINT:
        assert "run the command again to continue" in err
        assert "Traceback" not in err
    assert (again["added"], again["unchanged"]) == (100, BATCH_RECORDS)
    assert stored() == BATCH_RECORDS + 100


def test_progress_is_drawn_on_a_terminal_only(modelyard: Modelyard, home: Path, tmp_path: Path) -> None:
    answers = written(tmp_path / "1.jsonl", *(a_model(number) for number in range(1, 20)))
    terminal, theirs = pty.openpty()
    environment = {"COLUMNS": "100", "TERM": "xterm", "TTY_COMPATIBLE": "1"}
    with started(
        "import", "civitai", answers, stderr=theirs, env={**os.environ, **environment, "PYTHONPATH": str(SOURCE)}
    ) as on:
        os.close(theirs)
        drawn = b""
        try:
            while block := os.read(terminal, 65_536):
                drawn += block
        except OSError:
            pass  # what a terminal's end is on Linux
        on.wait(PROCESS_SECONDS_MAX)
    os.close(terminal)
    elsewhere = modelyard("import", "civitai", answers).err

    assert b"reading" in drawn
    assert b"\x1b[" in drawn
    assert "\x1b" not in elsewhere
    assert "reading" not in elsewhere


# --- Fetch -----------------------------------------------------------------------------------------------------------


def test_the_live_list_is_imported_with_its_filters_and_limit(modelyard: Modelyard) -> None:
    with civitai_server(recorded_models(120)) as server:
        result = modelyard(
            "import", "civitai", "--fetch", "--address", server.address, "--types", "LORA", "--limit", "20", "--json"
        )
        bare = server.address.removeprefix("http://")
        again = modelyard(
            "import", "civitai", "--fetch", "--address", bare, "--types", "LORA", "--limit", "20", "--json"
        )

    assert result.code == 0
    assert result.json["added"] > 20
    assert server.asked == 2 * [{"types": ["LORA"], "nsfw": ["false"], "sort": ["Newest"], "limit": ["20"]}]
    assert again.json["unchanged"] == result.json["added"]


def test_a_walk_that_broke_off_goes_on_from_the_saved_place(modelyard: Modelyard) -> None:
    with civitai_server(recorded_models(250)) as server:
        fetching = ("import", "civitai", "--fetch", "--address", server.address, "--json")
        server.failures = ["", "400 out of order"]
        broken = modelyard(*fetching)
        gone_on = modelyard(*fetching)
        anew = modelyard(*fetching)

    assert broken.code == 1
    assert "out of order" in broken.err
    assert "after 100 models" in gone_on.err
    cursors = [asked.get("cursor", ["none"])[0].rpartition("|")[2] for asked in server.asked]
    assert cursors == ["none", "100", "100", "200", "none", "100", "200"]
    assert gone_on.code == anew.code == 0
    # All are there, each once: a walk from the beginning finds nothing to add.
    assert (anew.json["added"], anew.json["updated"]) == (0, 0)
    assert anew.json["unchanged"] > gone_on.json["added"] > 150


def test_a_walk_begins_anew_when_told_so_and_a_dry_run_saves_no_place(modelyard: Modelyard) -> None:
    with civitai_server(recorded_models(150)) as server:
        fetching = ("import", "civitai", "--fetch", "--address", server.address, "--json")
        server.failures = ["", "404", "", "404"]
        modelyard(*fetching, "--dry-run")
        modelyard(*fetching)
        modelyard(*fetching, "--restart", "--dry-run")
        modelyard(*fetching)

    cursors = [asked.get("cursor", ["none"])[0].rpartition("|")[2] for asked in server.asked]
    assert cursors == ["none", "100", "none", "100", "none", "100", "100"]


def test_the_token_of_the_environment_is_sent_and_never_shown(
    modelyard: Modelyard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIVITAI_TOKEN", "civitai-secret")
    with civitai_server(recorded_models(3)) as server:
        result = modelyard("import", "civitai", "--fetch", "--address", server.address)
        server.fails_always = "401"
        refused = modelyard("import", "civitai", "--fetch", "--address", server.address)

    assert {"Bearer civitai-secret"} == {sent for _, sent in server.authorizations}
    assert refused.code == 1
    assert "CIVITAI_TOKEN" in refused.err
    assert "secret" not in result.out + result.err + refused.err


# --- Search ----------------------------------------------------------------------------------------------------------


def test_search_answers_as_the_api_does(modelyard: Modelyard, tmp_path: Path) -> None:
    modelyard("import", "civitai", written(tmp_path / "1.jsonl", *(a_model(number) for number in (3, 1, 2))))

    page = modelyard("search", "FILE", "pastel", "--types", "lora", "--limit", "2", "--json").json

    assert [3, 2] == [model["id"] for model in page["models"]]
    rest = modelyard("search", "--cursor", page["pagination"]["next_cursor"], "--json").json
    assert [1] == [model["id"] for model in rest["models"]]


def test_search_shows_a_table_and_how_to_see_more(modelyard: Modelyard, tmp_path: Path) -> None:
    modelyard("import", "civitai", written(tmp_path / "1.jsonl", *(a_model(number) for number in (1, 2))))

    result = modelyard("search", "--limit", "1")

    assert re.search(r"2 +file2_2 +Lora +SD 1.5 +v1 +2 +available +pastel", result.out)
    assert re.fullmatch(r"more: --cursor c_\S+\n", result.err)
    assert modelyard("search", "nothing", "has", "this").err == "no model matches\n"


def test_a_search_without_a_match_suggests_the_nearest_spelling(modelyard: Modelyard, tmp_path: Path) -> None:
    modelyard("import", "civitai", written(tmp_path / "1.jsonl", *(a_model(number) for number in (1, 2))))

    assert "no model matches; did you mean 'pastel'?\n" == modelyard("search", "pastle").err
    assert "" == modelyard("search", "pastle", "--json").err


def test_search_takes_every_filter_of_the_api(modelyard: Modelyard) -> None:
    for parameter in wire.PARAMETERS:
        if parameter.name != "filter.search":
            flag = "--" + re.sub("[_.]", "-", parameter.name.partition(".")[2] or parameter.name)
            team = ["--team", "alice"] if parameter.name == "filter.visibility" else []
            assert modelyard("search", f"{flag}={parameter.example}", *team).code == 0


def test_a_refused_filter_says_what_is_accepted(modelyard: Modelyard) -> None:
    result = modelyard("search", "--source", "somewhere")

    assert result.code == 2
    assert "civitai, training, uploading" in result.err


def test_names_from_strangers_cannot_command_the_terminal(modelyard: Modelyard, tmp_path: Path) -> None:
    answer = a_model(1, tags=["[bold]loud[/bold]"])
    answer["modelVersions"][0]["name"] = "\x1b[2Jwiped\x07 \u202ereversed"
    modelyard("import", "civitai", written(tmp_path / "1.jsonl", answer))

    shown = modelyard("search").out

    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "\u202e" not in shown
    assert "[bold]loud[/bold]" in shown


# --- Pull ------------------------------------------------------------------------------------------------------------


def test_ctrl_c_ends_a_pull_whose_server_is_silent(home: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        started("pull", "--url", f"http://127.0.0.1:{silent.getsockname()[1]}", "one", "two") as process,
    ):
        silent.settimeout(PROCESS_SECONDS_MAX)
        with silent.accept()[0]:
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=PROCESS_SECONDS_MAX)
            seconds = time.monotonic() - began

    assert process.returncode == 130
    assert err.rstrip("\n") == "Interrupted: 0 of 2 files are done. Run the command again for the others."
    # The client itself would wait for an answer for a minute, six times.
    assert seconds < 30


# --- Serve -----------------------------------------------------------------------------------------------------------


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Serve on a free port; gives the process and the address, as it is printed."""
    with started("serve", "--port", "0", *arguments, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        address = re.search(r"http://\S+?(?=,)", line)
        assert address is not None, line
        yield process, address[0]
        if process.poll() is None:
            process.terminate()
            assert process.wait(PROCESS_SECONDS_MAX) == 0


def asked(call: str) -> Any:
    """Make the call that was printed, as curl would."""
    words = shlex.split(call)
    assert words[:2] == ["curl", "-H"]
    name, _, value = words[2].partition(": ")
    with urllib.request.urlopen(urllib.request.Request(words[3], headers={name: value}), timeout=60) as answer:
        return json.load(answer)


def children(process: subprocess.Popen[str]) -> list[int]:
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in listed]


def test_each_start_of_the_demo_answers_the_printed_call_the_same_and_a_signal_ends_it_with_code_0(home: Path) -> None:
    """The models are invented at the first start; the second one begins with them."""
    starts: list[tuple[Any, str]] = []
    for how in (signal.SIGTERM, signal.SIGINT):
        with serving("--demo") as (process, address):
            assert process.stdout is not None
            call = process.stdout.readline()
            page = asked(call)
            assert len(page["models"]) == 3
            with urllib.request.urlopen(f"{address}/docs", timeout=60) as docs:
                assert docs.status == 200
            _, sign_in = process.stdout.readline(), process.stdout.readline()
            opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
            with opener.open(sign_in.rpartition(" ")[2].strip(), timeout=60) as gallery:
                assert b"Sign out" in gallery.read()
            with urllib.request.urlopen(sign_in.rpartition(" ")[2].strip(), timeout=60) as again:
                assert b"Sign out" not in again.read()
            process.send_signal(how)
            assert process.wait(PROCESS_SECONDS_MAX) == 0
        starts.append((page, call.replace(address, "")))

    assert starts[0] == starts[1]
    assert (home / "demo" / "modelyard.sqlite").exists()
    assert not (home / "modelyard.sqlite").exists()


def test_the_demo_is_not_written_into_a_database_that_the_environment_names(
    modelyard: Modelyard, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELYARD_DATABASE_URL", f"sqlite:///{home}/real.sqlite")

    refused = modelyard("serve", "--demo", "--port", "0")

    assert (1, "") == (refused.code, refused.out)
    assert "unset MODELYARD_DATABASE_URL" in refused.err


def test_processes_that_die_are_replaced_and_none_outlives_a_parent_that_was_killed(
    modelyard: Modelyard, home: Path, tmp_path: Path
) -> None:
    modelyard("import", "civitai", written(tmp_path / "1.jsonl", *(a_model(number) for number in (1, 2, 3))))
    key = modelyard("key", "create", "--team", "alice").out.strip()
    with serving("--workers", "2") as (process, address):
        call = f"curl -H 'Authorization: {key}' '{address}/v3/model'"
        assert len(asked(call)["models"]) == 3
        before = children(process)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        until(lambda: len(children(process)) == len(before) and not set(children(process)) & set(before))
        assert len(asked(call)["models"]) == 3

        after = children(process)
        process.kill()
        process.wait(PROCESS_SECONDS_MAX)

        until(lambda: not any(Path(f"/proc/{pid}/stat").exists() and _is_running(pid) for pid in after))


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_server_that_cannot_start_does_not_say_that_it_answers(home: Path) -> None:
    home.mkdir(exist_ok=True)
    (home / "index").write_text("not a folder")

    with started("serve", "--port", "0", stderr=subprocess.DEVNULL) as process:
        out, _ = process.communicate(timeout=PROCESS_SECONDS_MAX)

    assert (1, "") == (process.returncode, out)


def test_a_port_that_is_taken_is_one_clear_line(modelyard: Modelyard, home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = modelyard("serve", "--port", str(taken.getsockname()[1]))

    assert result.code == 1
    assert result.err.count("\n") == 1
    assert "--port" in result.err
