"""`modelyard audit` refuses what it does not know, and names the jobs that were run again."""

import json
from pathlib import Path

import pytest

from modelyard.cli import audit, run
from modelyard.store import jobs, open_store
from tests.app_fixture import App, a_private


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path))
    return tmp_path


def test_a_verb_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == run(["audit", "--verb", "nonsense"])
    assert "'nonsense' is not accepted; accepted: model.create, " in capsys.readouterr().err


def test_a_job_that_is_run_again_has_a_row(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store(f"sqlite:///{home}/modelyard.sqlite")
    with store.transaction() as transaction:
        jobs.add(transaction.connection, jobs.CHECK, "upload", jobs.NEVER, team="red")
    with store.reading() as connection:
        (job,) = [job for job in jobs.listed(connection) if job.subject == "upload"]
    store.close()

    assert 0 == run(["jobs", "retry", str(job.id)])
    capsys.readouterr()
    assert 0 == run(["audit", "--verb", "job.retry", "--json"])
    row = json.loads(capsys.readouterr().out)
    assert (f"{job.id} check upload", "red", "command") == (row["subject"], row["team"], row["actor"])


def test_each_row_is_written_once_batch_after_batch(
    yard: App, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_BATCH_ROWS", 2)
    for number in range(5):
        yard.put(a_private(number + 1, "red"))

    assert 0 == run(["audit", "--json"])

    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [5, 4, 3, 2, 1] == [row["model_id"] for row in rows if row["verb"] == "model.create"]
