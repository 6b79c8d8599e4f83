"""`modelyard login` and `logout`: what is kept where, what is checked before, and which server gets which key."""

import io
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelyard.cli import run
from modelyard.domain import Scope
from tests.app_fixture import Address, App, listening, open_app
from tests.cli.transcript import replay
from tests.transfers import checking, lora_bytes, upload

TRANSCRIPT = """
$ modelyard pull night
! night: http://SERVER needs an API key: give --key or MODELYARD_KEY, or run `modelyard login`
[1]
$ modelyard login
! logged in to http://SERVER as team red (read, write); kept in ~/config/modelyard/login.json
$ modelyard pull night
night_1000000000.safetensors
$ modelyard pull night --json
[
  {
    "name": "night",
    "model": 1000000000,
    "path": "night_1000000000.safetensors"
  }
]
$ modelyard pull night --key sk_other
! night: http://SERVER: invalid api-key
[1]
$ modelyard logout
! logged out of http://SERVER
$ modelyard logout
! there is no login
$ modelyard pull night
! night: http://SERVER needs an API key: give --key or MODELYARD_KEY, or run `modelyard login`
[1]
"""


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home of commands"))
    for name in ("MODELYARD_URL", "MODELYARD_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir()
    with open_app(tmp_path / "home", clock=lambda: 1_700_000_000) as opened:
        upload(opened, "night", lora_bytes(seed=1))
        checking(opened, tmp_path / "home").verify_next()
        yield opened


@pytest.fixture
def address(yard: App) -> Iterator[Address]:
    with listening(yard) as bound:
        yield bound


@pytest.fixture
def login(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], int]:
    """Run `modelyard login` with a key on its standard input."""

    def run_login(url: str, key: str) -> int:
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"{key}\n"))
        return run(["login", url])

    return run_login


def test_a_login_serves_the_next_commands_until_it_is_forgotten(
    tmp_path: Path, yard: App, address: Address, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELYARD_URL", address.url)
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"  {yard.key('red', Scope.READ, Scope.WRITE)} \n"))

    assert TRANSCRIPT.strip() == replay(TRANSCRIPT, tmp_path, capsys)


def test_the_file_is_its_owners_alone(
    tmp_path: Path, yard: App, address: Address, login: Callable[[str, str], int]
) -> None:
    old_mask = os.umask(0)
    try:
        code = login(address.url, yard.key())
    finally:
        os.umask(old_mask)
    path = tmp_path / "config" / "modelyard" / "login.json"

    assert 0 == code
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert {"url": address.url, "key": yard.key()} == json.loads(path.read_bytes())
    assert ["login.json"] == [entry.name for entry in path.parent.iterdir()]


def test_a_key_that_the_server_does_not_accept_is_not_kept(
    tmp_path: Path, address: Address, login: Callable[[str, str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    codes = [login(address.url, "sk_nobody"), login(address.url, ""), login(address.url, "sk_ä")]
    problems = capsys.readouterr().err.splitlines()

    assert [1, 2, 2] == codes
    assert f"modelyard: {address.url}: invalid api-key; nothing was kept" == problems[0]
    assert "there is no key on standard input" in problems[1]
    assert "a character that no key has" in problems[2]
    assert not (tmp_path / "config").exists()


@pytest.mark.parametrize("text", ["{}", "not JSON"])
def test_a_damaged_login_is_named_and_can_be_removed(
    tmp_path: Path, yard: App, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    path = tmp_path / "config" / "modelyard" / "login.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    path.chmod(0o600)

    assert (1, 0) == (run(["pull", "night"]), run(["logout"]))
    assert f"modelyard: {path} is damaged; run `modelyard login` again" in capsys.readouterr().err
    assert not path.exists()


def test_a_login_that_others_can_read_is_refused(
    tmp_path: Path, yard: App, address: Address, login: Callable[[str, str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    login(address.url, yard.key())
    path = tmp_path / "config" / "modelyard" / "login.json"
    path.chmod(0o640)

    assert 1 == run(["pull", "night"])
    assert f"have access to {path}, mode 640; run `chmod 600 {path}`" in capsys.readouterr().err


def test_the_key_of_a_login_goes_to_its_server_only(
    yard: App, address: Address, login: Callable[[str, str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An option comes before the environment, and the environment before the login."""
    login(address.url, yard.key())
    other = address.url.replace("127.0.0.1", "localhost")

    codes = [run(["pull", "night", "--url", other]), run(["pull", "night", "--url", address.url])]
    monkeypatch.setenv("MODELYARD_URL", other)
    codes.append(run(["pull", "night"]))
    codes.append(run(["pull", "night", "--url", f"{address.host}:{address.port}/"]))
    monkeypatch.setenv("MODELYARD_KEY", "sk_nobody")
    codes.append(run(["pull", "night", "--url", address.url]))
    codes.append(run(["pull", "night", "--url", address.url, "--key", yard.key()]))

    assert [1, 0, 1, 0, 1, 0] == codes
