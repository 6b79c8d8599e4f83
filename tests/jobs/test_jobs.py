"""Work that fails: tried again, given up, shown, and tried again when somebody says so.

Turns, leases and limits of time are in test_worker.py; machines that die, in tests/cluster.
"""

import hashlib
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from modelyard import errors
from modelyard.blobs import Blobs, open_storage
from modelyard.cli import run
from modelyard.covers import import_job
from modelyard.domain import Scope, Viewer
from modelyard.facts import Layer
from modelyard.jobs import tasks
from modelyard.jobs.executors import ThreadExecutor
from modelyard.jobs.kinds import Resources
from modelyard.jobs.worker import Worker
from modelyard.registry.models import Models
from modelyard.store import Store, jobs, open_store
from modelyard.uploads.cleanup import UploadCleaner
from modelyard.uploads.uploads import UploadLimits, Uploads
from tests.app_fixture import App, open_app
from tests.transfers import Verification, checking, find, lora_bytes, upload

DAY_SECONDS = 86_400


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[App]:
    with open_app(tmp_path) as opened:
        opened.key("red", Scope.READ, Scope.WRITE)
        yield opened


def work_on(yard: App, home: Path, attempts: int) -> None:
    """Do what is due, a day later each time, so that no back-off is waited for."""
    at = [0.0]
    for attempt in range(attempts):
        at[0] = DAY_SECONDS * (attempt + 1)
        store = open_store(f"sqlite:///{home}/modelyard.sqlite", clock=lambda: time.time() + at[0])
        checking(yard, home, store=store, clock=lambda: time.time() + at[0]).verify_next()
        store.close()


def listed(home: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    capsys.readouterr()
    assert 0 == run(["jobs", "--home", str(home), "--json"])
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return found


def test_work_that_always_fails_is_given_up_and_shown_and_done_when_it_is_tried_again(
    yard: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
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
    yard: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    upload(yard, "name", lora_bytes())
    for attempt in range(11):
        with yard.store.transaction() as writing:
            later = writing.now + DAY_SECONDS * attempt
            assert jobs.take(writing.connection, jobs.CHECK, "one that dies", later, 60)
    assert ["running"] == [job["state"] for job in listed(tmp_path, capsys)]

    work_on(yard, tmp_path, 12)

    assert [("dead", "its check never came to an end")] == [
        (job["state"], job["failure"]) for job in listed(tmp_path, capsys)
    ]


@dataclass
class Clock:
    """A clock that goes on when it is told to, a minute ahead of what the yard writes by its own."""

    now: float = field(default_factory=lambda: time.time() + 60)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def clocked(yard: App, tmp_path: Path, clock: Clock) -> Iterator[Store]:
    """The yard's store by the test's clock."""
    store = open_store(f"sqlite:///{tmp_path}/modelyard.sqlite", clock=clock)
    assert yard.store.revision() == store.revision()
    yield store
    store.close()


class AwayBlobs:
    """A file store that is away until it is back, or takes the bytes of uploads by itself."""

    def __init__(self, blobs: Blobs, *, link: str | None = None) -> None:
        self._blobs, self._link = blobs, link
        self.is_away = link is None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)

    def keep(self, path: Path, sha256: str, shared_name: str = "") -> None:  # noqa: ARG002 # the protocol's signature
        if self.is_away:
            raise errors.Unavailable("the file store is away")
        self._blobs.keep(path, sha256)

    def upload_link(self, name: str, expires_in_seconds: int) -> str | None:  # noqa: ARG002 # the protocol's signature
        return self._link


def states(store: Store) -> list[tuple[str, int, str]]:
    with store.reading() as connection:
        return [(job.state, job.attempts, job.failure) for job in jobs.listed(connection)]


def test_what_waits_for_a_file_store_that_is_away_is_never_given_up(
    yard: App, tmp_path: Path, clock: Clock, clocked: Store
) -> None:
    model = upload(yard, "name", lora_bytes())
    where = open_storage("", tmp_path, {})
    away = AwayBlobs(where.kept)
    check = Verification(clocked, away, where.incoming, clock=clock)
    for _ in range(30):
        assert check.verify_next()
        assert not check.verify_next()
        clock.now += 60
    waiting = states(clocked)

    away.is_away = False
    assert check.verify_next()

    assert [("waiting", 0, "the file store is away")] == waiting
    assert [] == states(clocked)
    assert 1 == find(yard, model["id"])["status"]


def test_an_upload_that_nobody_put_yet_is_waited_for_until_its_time_is_over(
    yard: App, tmp_path: Path, clock: Clock, clocked: Store
) -> None:
    where = open_storage("", tmp_path, {})
    elsewhere = AwayBlobs(where.kept, link="https://store.example/incoming")
    uploading = Uploads(clocked, elsewhere, where.incoming, UploadLimits(10_000, 10, 0, 3600), clock=clock)
    viewer = Viewer("red", frozenset({Scope.READ, Scope.WRITE}))
    words = {"name": "m", "file_extension": "safetensors"}
    uploading.create(viewer, "put", words)
    model_id = Models(clocked, elsewhere, where.incoming).register(viewer, words, None).model.id
    check = Verification(clocked, elsewhere, where.incoming, clock=clock)
    for _ in range(30):
        assert check.verify_next()
        clock.now += 60
    waiting = states(clocked)
    clock.now += 3600
    assert check.verify_next()

    entry = clocked.entry(model_id)
    assert [("waiting", 0, "")] == waiting
    assert [] == states(clocked)
    assert entry is not None
    assert ("error: the bytes never came",) == entry.layers[Layer.HEADER].evidence


def test_a_lease_is_lengthened_by_its_owner_only(yard: App) -> None:
    upload(yard, "name", lora_bytes())
    with yard.store.transaction() as writing:
        connection, now = writing.connection, writing.now
        job = jobs.take(connection, jobs.CHECK, "one", now, 60)
        assert job is not None
        by_another = jobs.extend(connection, replace(job, owner="another"), now + 1000)
        early = jobs.take(connection, jobs.CHECK, "another", now + 59, 60)
        by_owner = jobs.extend(connection, job, now + 120)
        extended = jobs.take(connection, jobs.CHECK, "another", now + 119, 60)
        ended = jobs.take(connection, jobs.CHECK, "another", now + 120, 60)
        late = jobs.extend(connection, job, now + 1000)

    assert (False, None, True, None, False) == (by_another, early, by_owner, extended, late)
    assert ended is not None
    assert (job.id, 2) == (ended.id, ended.attempts)


def test_work_is_taken_when_it_is_due_and_the_oldest_first(yard: App) -> None:
    with yard.store.transaction() as writing:
        connection = writing.connection
        for subject, run_at in (("late", 30), ("early", 10), ("later", 40)):
            jobs.add(connection, jobs.CHECK, subject, 0, run_at=run_at)
        jobs.add(connection, jobs.CHECK, "early", 0, run_at=99)
        jobs.add(connection, "other", "elsewhere", 0)
        due_at = jobs.next_due(connection, jobs.CHECK)
        taken = [jobs.take(connection, jobs.CHECK, "me", now, 60) for now in (9, 30, 30, 39)]
        counts = (jobs.count(connection, jobs.CHECK), jobs.dead_count(connection))

    assert 10 == due_at
    assert [None, "early", "late", None] == [job and job.subject for job in taken]
    assert (3, 0) == counts


def test_all_kinds_are_listed_and_measured(yard: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    upload(yard, "name", lora_bytes())
    with yard.store.transaction() as transaction:
        for kind in (jobs.FETCH, jobs.MIRROR, jobs.SEND, jobs.WEBHOOK):
            jobs.add(transaction.connection, kind, "a fetch", transaction.now)
    resources = Resources(yard.store)
    Worker(resources, tasks.KINDS, ThreadExecutor(resources), node="here").register()
    names = {kind.name for kind in tasks.KINDS}
    with yard.store.transaction() as transaction:
        jobs.add(transaction.connection, import_job.KIND, "", 0)

    jobs_shown = listed(tmp_path, capsys)
    metrics = yard.ask("/metrics", None).body.decode()

    assert names == {job["kind"] for job in jobs_shown}
    once = {jobs.CHECK, jobs.FETCH, jobs.MIRROR, jobs.SEND, jobs.WEBHOOK, import_job.KIND}
    assert 6 * ["waiting"] == [job["state"] for job in jobs_shown if job["kind"] in once]
    assert {"scheduled"} == {job["state"] for job in jobs_shown if job["kind"] not in once}
    assert names == set(re.findall(r'modelyard_jobs{kind="([\w-]+)",state="given_up"} 0.0', metrics))
    assert 'modelyard_jobs{kind="check",state="waiting"} 1.0' in metrics


def test_kinds_without_work_are_measured_too(yard: App) -> None:
    metrics = yard.ask("/metrics", None).body.decode()

    assert {0.0} == {float(count) for count in re.findall(r"^modelyard_jobs{.*} (.*)$", metrics, re.MULTILINE)}


def test_work_shows_its_team_and_for_how_long_it_waits(
    yard: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    upload(yard, "name", lora_bytes())
    with yard.store.transaction() as writing:
        writing.connection.exec_driver_sql("UPDATE jobs SET created_at = created_at - 3600")

    (job,) = listed(tmp_path, capsys)

    assert ("red", 3600) == (job["team"], round(float(str(job["seconds"])), -2))
    assert 0 == run(["jobs", "--home", str(tmp_path)])
    assert "1:00:" in capsys.readouterr().out


def test_cleaning_up_forgets_nodes_that_are_gone(yard: App, tmp_path: Path) -> None:
    where = open_storage("", tmp_path, {})
    resources = Resources(yard.store, cleaner=UploadCleaner(yard.store, where.kept, where.incoming))
    cleanup = [kind for kind in tasks.KINDS if kind.name == "cleanup"]
    Worker(resources, tasks.KINDS, ThreadExecutor(resources), node="gone").register()
    with yard.store.transaction() as writing:
        writing.connection.exec_driver_sql(f"UPDATE jobs SET created_at = created_at - {8 * DAY_SECONDS}")

    worker = Worker(resources, cleanup, ThreadExecutor(resources), node="here")
    worker.register()
    worker.run_next()

    with yard.store.reading() as connection:
        assert {"", "here"} == {job.subject for job in jobs.listed(connection)}


def test_what_is_asked_for_has_to_be_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = ["--home", str(tmp_path)]

    assert 1 == run(["jobs", "retry", *home, "17"])
    assert 2 == run(["jobs", "retry", *home])
    assert 2 == run(["jobs", "retry", *home, "--all", "17"])
    assert 0 == run(["jobs", *home])

    assert "no jobs 17" in capsys.readouterr().err
