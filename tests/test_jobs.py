"""Work that fails: tried again, given up, shown, and tried again when somebody says so.

Leases and who takes what are in test_store.py and test_uploads.py; machines that die, in tests/cluster.
"""

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.checking import Checking
from modelyard.cli import run
from modelyard.domain import Scope
from modelyard.store import jobs, open_store

from .transfers import checking, find, lora_bytes, upload
from .yard import Yard, opened_yard

DAY_SECONDS = 86_400


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    with opened_yard(tmp_path) as opened:
        opened.key("red", Scope.READ, Scope.WRITE)
        yield opened


def work_on(yard: Yard, home: Path, attempts: int) -> None:
    """Do what is due, a day later each time, so that no back-off is waited for."""
    at = [0.0]
    for attempt in range(attempts):
        at[0] = DAY_SECONDS * (attempt + 1)
        store = open_store(f"sqlite:///{home}/modelyard.sqlite", clock=lambda: time.time() + at[0])
        made = checking(yard, home)
        later = Checking(store, made._blobs, made._incoming, clock=lambda: time.time() + at[0])
        later.check_next()
        store.close()


def listed(home: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    capsys.readouterr()
    assert 0 == run(["jobs", "--home", str(home), "--json"])
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return found


def test_work_that_always_fails_is_given_up_and_shown_and_done_when_it_is_tried_again(
    yard: Yard, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = lora_bytes()
    model = upload(yard, "name", content)
    # Where the file is to be kept, its folder cannot be made.
    in_the_way = tmp_path / "blobs" / hashlib.sha256(content).hexdigest()[:2]
    in_the_way.touch()
    assert [("waiting", 0)] == [(job["state"], job["attempts"]) for job in listed(tmp_path, capsys)]

    work_on(yard, tmp_path, 1)
    first = listed(tmp_path, capsys)
    work_on(yard, tmp_path, 12)
    last = listed(tmp_path, capsys)

    assert [("waiting", 1)] == [(job["state"], job["attempts"]) for job in first]
    assert [("dead", 10, None)] == [(job["state"], job["attempts"], job["run_at"]) for job in last]
    assert last[0]["failure"]
    with yard.store.reading() as connection:
        assert 1 == jobs.dead_count(connection)

    in_the_way.unlink()
    assert 0 == run(["jobs", "retry", "--home", str(tmp_path), "--all"])
    assert [("waiting", 0)] == [(job["state"], job["attempts"]) for job in listed(tmp_path, capsys)]
    work_on(yard, tmp_path, 1)

    assert [] == listed(tmp_path, capsys)
    assert 1 == find(yard, model["id"])["status"]


def test_work_whose_doer_always_dies_is_given_up_too(
    yard: Yard, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    upload(yard, "name", lora_bytes())
    for attempt in range(11):
        with yard.store.writing() as writing:
            later = writing.now + DAY_SECONDS * attempt
            assert jobs.take(writing.connection, jobs.CHECK, "one that dies", later, 60)
    assert ["running"] == [job["state"] for job in listed(tmp_path, capsys)]

    work_on(yard, tmp_path, 12)

    assert [("dead", "its check never came to an end")] == [
        (job["state"], job["failure"]) for job in listed(tmp_path, capsys)
    ]


def test_what_waits_for_a_part_that_is_away_is_never_given_up(yard: Yard) -> None:
    upload(yard, "name", lora_bytes())
    for _ in range(30):
        with yard.store.writing() as writing:
            job = jobs.take(writing.connection, jobs.CHECK, "me", writing.now, 60)
            assert job is not None
            jobs.postpone(writing.connection, job, "away", writing.now, counts=False)

    with yard.store.reading() as connection:
        assert [("waiting", 0, "away")] == [(job.state, job.attempts, job.failure) for job in jobs.listed(connection)]


def test_what_is_asked_for_has_to_be_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = ["--home", str(tmp_path)]

    assert 1 == run(["jobs", "retry", *home, "17"])
    assert 2 == run(["jobs", "retry", *home])
    assert 2 == run(["jobs", "retry", *home, "--all", "17"])
    assert 0 == run(["jobs", *home])

    assert "no jobs 17" in capsys.readouterr().err
