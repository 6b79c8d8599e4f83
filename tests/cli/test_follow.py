"""`modelyard follow` and the client's changes: what changes at a server, page after page, and where to continue."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from modelyard import errors
from modelyard.cli import run
from modelyard.client import Client
from modelyard.domain import MODEL_TYPES
from modelyard.store import withdrawals
from tests.app_fixture import App, a_model, a_private, listening


def test_lines_are_changes_and_a_line_says_where_to_continue(yard: App, capsys: pytest.CaptureFixture[str]) -> None:
    yard.put(a_model(1), a_model(2))
    yard.put(a_private(3, "blue"))
    yard.remove(1)
    with listening(yard) as address:
        words = ["follow", "--once", "--url", address.url, "--key", yard.key()]
        codes = [run([*words, "--json"]), run([*words, "--since", "1"]), run([*words, "--since", "yesterday"])]
        out, err = capsys.readouterr()

    first, second = out.splitlines()
    assert {"revision": 1, "id": 2, "change": "put", "next": 3} == {
        name: value for name, value in json.loads(first).items() if name != "model"
    }
    assert "3 removed 1" == second
    assert [0, 0, 2] == codes
    assert "since" in err


def test_without_a_key_it_says_how_to_give_one(yard: App, capsys: pytest.CaptureFixture[str]) -> None:
    with listening(yard) as address:
        codes = [run(["follow", "--once", "--url", address.url, "--key", key]) for key in ("", "sk_strange")]
        missing, invalid = capsys.readouterr().err.splitlines()

    assert [1, 1] == codes
    assert f"{address.url} needs an API key: give --key or MODELYARD_KEY, or run `modelyard login`" in missing
    assert f"{address.url}: invalid" in invalid


def test_the_client_continues_within_a_revision_and_after_it(yard: App) -> None:
    yard.put(*(a_model(id_, type=MODEL_TYPES["lora" if id_ % 2 else "vae"]) for id_ in range(1, 251)))
    yard.put(a_model(300))
    with listening(yard) as address, Client(address.url, yard.key()) as client:
        changes = [*client.changes()]
        again = [*client.changes(changes[150].next)]
        loras = {change.id for change in client.changes(types="lora") if change.change == "put"}

    assert [*range(1, 251), 300] == [change.id for change in changes]
    assert {*range(151, 251), 300} <= {change.id for change in again}
    assert {*range(1, 251, 2)} == loras


def test_a_reader_that_was_away_for_too_long_is_told_to_begin_again(
    yard: App, capsys: pytest.CaptureFixture[str]
) -> None:
    yard.put(a_model(1), a_model(2))
    yard.remove(1)
    with yard.store.transaction() as writing:
        withdrawals.prune(writing.connection, writing.now + 1)
    with listening(yard) as address:
        code = run(["follow", "--since", "1", "--url", address.url, "--key", yard.key()])
        with Client(address.url, yard.key()) as client, pytest.raises(errors.Gone):
            next(client.changes(1))

    assert 1 == code
    assert "begin again with since=0" in capsys.readouterr().err


def test_it_waits_for_changes_until_it_is_interrupted(yard: App, tmp_path: Path) -> None:
    yard.put(a_model(1))
    with listening(yard) as address:
        words = ["follow", "--json", "--url", address.url, "--key", yard.key()]
        program = [sys.executable, "-m", "modelyard", *words]
        with subprocess.Popen(
            program, stdout=subprocess.PIPE, env={**os.environ, "MODELYARD_HOME": str(tmp_path)}
        ) as follower:
            assert follower.stdout is not None
            first = json.loads(follower.stdout.readline())
            yard.put(a_model(2))
            second = json.loads(follower.stdout.readline())
            follower.send_signal(signal.SIGINT)
            code = follower.wait(30)

    assert [1, 2] == [change["id"] for change in (first, second)]
    assert 130 == code
