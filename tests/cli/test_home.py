"""A home folder is for its owner only, whatever the umask is: the commands, as processes and in this one.

Not here: what an operator gives to nginx by an ACL; the folders of model files that users add where they lie.
"""

import os
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.cli import run
from modelyard.cli.home import find_unknown_variables
from tests.process_commands import PROGRAM, environment, serving
from tests.transfers import lora_bytes

NO_KEYS = "there are no keys; `modelyard key create` makes one\n"


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """Give this process its umask back after a test: commands set their own."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(*folders: Path) -> dict[str, str]:
    """Return the paths that somebody else than their owner can use, with their modes."""
    paths = [path for folder in folders for path in (folder, *folder.rglob("*"))]
    assert paths
    return {str(path): oct(mode) for path in paths if (mode := stat.S_IMODE(path.lstat().st_mode)) & 0o077}


def write_lora(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    path = folder / "thin.safetensors"
    path.write_bytes(lora_bytes())
    path.chmod(0o644)
    return path


@pytest.mark.parametrize("bits", [0o000, 0o022])
def test_no_command_leaves_a_file_that_others_can_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bits: int
) -> None:
    home, backups, copy, storage = (tmp_path / name for name in ("home", "backups", "copy", "storage"))
    lora = write_lora(tmp_path / "loras")
    for folder in (backups, copy):
        folder.mkdir(mode=0o700)
    monkeypatch.setenv("MODELYARD_HOME", str(home))
    monkeypatch.setenv("MODELYARD_STORAGE_URL", str(storage))
    commands = [
        f"add {lora.parent}",
        "key create --team red --scope read,write",
        "signing-key rotate",
        f"export sidecars --format a1111 {lora.parent}",
        "reindex",
        "verify",
        "search",
        "gc",
        f"backup {backups / 'alone'}",
        f"backup --with-files {backups / 'with_files'}",
        f"restore --force {backups / 'alone'}",
        f"database copy --to sqlite:///{copy / 'modelyard.sqlite'} --blobs-to {storage}",
    ]
    for command in commands:
        os.umask(bits)
        assert run(command.split()) == 0, command

    assert modes(home, backups, copy, storage) == {}
    assert stat.S_IMODE(lora.stat().st_mode) == 0o644
    assert stat.S_IMODE(lora.with_suffix(".json").stat().st_mode) == 0o644


def test_a_server_and_an_upload_leave_no_file_that_others_can_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home, lora = tmp_path / "home", write_lora(tmp_path / "loras")
    monkeypatch.setenv("MODELYARD_HOME", str(home))
    assert run(["key", "create", "--team", "red", "--scope", "read,write"]) == 0
    key = capsys.readouterr().out.strip()
    os.umask(0)
    with serving(home, 1, key) as server:
        push = ["push", "--url", f"http://127.0.0.1:{server.port}", "--key", key, str(lora)]
        assert run(push) == 0
        blobs: list[Path] = []
        give_up_at = time.monotonic() + 60
        while not blobs and time.monotonic() < give_up_at:
            time.sleep(0.02)
            blobs = [*home.glob("blobs/[0-9a-f][0-9a-f]/*/*")]
        modes_while_running = modes(home)

    assert len(blobs) == 1
    assert modes_while_running == {}
    assert modes(home) == {}


def test_a_home_that_others_can_read_is_closed_and_said_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for name in ("modelyard.toml", "modelyard.sqlite"):
        (home / name).touch(0o644)
    home.chmod(0o755)
    command = [*PROGRAM, "key", "list", "--home", str(home)]
    first, second = (
        subprocess.run(command, env=environment(), capture_output=True, text=True, check=True).stderr for _ in range(2)
    )

    assert first == (
        f"other users of this machine had access to {home}, {home / 'modelyard.toml'}, {home / 'modelyard.sqlite'};"
        f" they have none any more\n{NO_KEYS}"
    )
    assert second == NO_KEYS
    assert modes(home) == {}


def test_a_home_that_all_users_share_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o1777)

    assert run(["key", "list", "--home", str(home)]) == 1
    assert capsys.readouterr().err == (
        f"modelyard: other users of this machine have access to {home}, and it is shared by all users;"
        f" run `chmod u=rwX,go= {home}` as its owner, or choose another folder with --home\n"
    )
    assert stat.S_IMODE(home.stat().st_mode) == 0o1777


def test_a_home_of_another_user_that_others_can_read_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["key", "list", "--help"]) == 0  # imports the command while this user can read it
    capsys.readouterr()
    user = os.geteuid()
    os.seteuid(user or 65_534)
    try:
        assert run(["key", "list", "--home", "/usr"]) == 1
    finally:
        os.seteuid(user)

    assert capsys.readouterr().err == (
        "modelyard: other users of this machine have access to /usr, and its permissions cannot be changed:"
        " Operation not permitted; run `chmod u=rwX,go= /usr` as its owner, or choose another folder with --home\n"
    )


def test_folders_of_files_outside_the_home_are_closed_to_all_but_their_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = tmp_path / "files"
    modes_before = {"incoming": 0o777, "0a": 0o775, "ff": 0o750, "other": 0o755, "abc": 0o755}
    for name, mode in modes_before.items():
        (files / name).mkdir(parents=True)
        (files / name).chmod(mode)
    monkeypatch.setenv("MODELYARD_STORAGE_URL", f"file://{files}")
    command = ["key", "list", "--home", str(tmp_path / "home")]

    assert (0, 0) == (run(command), run(command))

    modes_after = {**modes_before, "incoming": 0o770, "0a": 0o770}
    assert modes_after == {name: stat.S_IMODE((files / name).stat().st_mode) for name in modes_before}
    assert (
        f"other users of this machine had access to {files}/incoming, {files}/0a; they have none any more\n"
        + 2 * NO_KEYS
        == capsys.readouterr().err
    )


@pytest.mark.parametrize("url", ["", "s3://bucket/folder"])
def test_folders_of_the_present_folder_stay_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELYARD_STORAGE_URL", url)
    for name in ("incoming", "s3:/bucket/folder/incoming"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name).chmod(0o755)

    assert 0 == run(["key", "list", "--home", str(tmp_path / "home")])
    assert {0o755} == {
        stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("incoming", "s3:/bucket/folder/incoming")
    }


def test_three_of_many_paths_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "home"
    home.mkdir()
    names = (
        "modelyard.toml",
        "modelyard.sqlite",
        *(f"modelyard.sqlite-{end}" for end in ("wal", "journal", "counters")),
    )
    for name in names:
        (home / name).touch(0o644)
    home.chmod(0o755)
    run(["key", "list", "--home", str(home)])

    assert capsys.readouterr().err.startswith(
        f"other users of this machine had access to {home}, {home / names[0]}, {home / names[1]} and more;"
    )
    assert modes(home) == {}


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "home"
    home.symlink_to(tmp_path / "nowhere")

    assert 1 == run(["key", "list", "--home", str(home)])
    assert f"modelyard: cannot create the home folder {home}: File exists; choose another folder with --home\n" == (
        capsys.readouterr().err
    )


def test_a_demo_does_not_fill_a_database_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELYARD_DATABASE_URL", f"sqlite:///{tmp_path}/other.sqlite")

    assert 1 == run(["serve", "--demo", "--home", str(tmp_path / "home")])
    assert capsys.readouterr().err.startswith(
        "modelyard: --demo fills a database of its own; unset MODELYARD_DATABASE_URL"
    )
    assert not (tmp_path / "other.sqlite").exists()


def test_without_a_storage_folder_no_folder_beside_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "incoming").mkdir()
    (tmp_path / "incoming").chmod(0o755)
    monkeypatch.chdir(tmp_path)

    assert run(["key", "list", "--home", str(tmp_path / "home")]) == 0
    assert stat.S_IMODE((tmp_path / "incoming").stat().st_mode) == 0o755


def test_a_variable_that_is_no_setting_is_found_with_the_nearest_name() -> None:
    known = ("MODELYARD_HOME", "MODELYARD_PORT", "MODELYARD_URL", "MODELYARD_KEY", "MODELYARD_TEST_DATA", "HOME")
    unknown = {"MODELYARD_WORKRES": "MODELYARD_WORKERS", "MODELYARD_STORAGEURL": "MODELYARD_STORAGE_URL"}

    assert unknown == find_unknown_variables(dict.fromkeys((*known, *unknown), "1"))


def test_the_server_warns_about_unknown_variables_and_refuses_a_folder_of_files_that_it_cannot_create(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELYARD_WORKRES", "3")
    monkeypatch.setenv("MODELYARD_STORAGE_URL", "/proc/modelyard/files")

    code = run(["serve", "--home", str(tmp_path), "--port", "0"])
    lines = capfd.readouterr().err.splitlines()

    assert 1 == code
    assert "the variable MODELYARD_WORKRES is no setting and is ignored; the nearest is MODELYARD_WORKERS" in lines
    assert any("/proc/modelyard" in line and "the folder of the files cannot be written" in line for line in lines), (
        lines
    )
