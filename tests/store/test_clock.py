"""Deadlines and leases follow the database's clock, whatever the clock of a node says."""

import logging
import time
from dataclasses import replace

import pytest

from modelyard.store import jobs, open_store, uploads
from modelyard.store.clock import CLOCK, DatabaseClock
from modelyard.store.uploads import Upload
from modelyard.uploads.cleanup import UploadCleaner
from modelyard.uploads.uploads import UploadLimits, Uploads
from tests.databases import Open
from tests.process_servers import PostgresServer

TWO_DAYS = 172_800.0


def shifted_clock(seconds: float) -> float:
    return time.time() + seconds


class NoFiles:
    """Files that are not there."""

    def remove(self, upload_id: str) -> None:
        raise AssertionError(f"{upload_id} is still in use")

    forget_uploaded = remove

    def all(self) -> list[tuple[str, float]]:
        return []


@pytest.mark.parametrize("shift", [TWO_DAYS, -TWO_DAYS])
def test_a_node_whose_clock_is_wrong_clears_nobody_s_uploads_and_takes_nobody_s_lease(
    postgres: PostgresServer, open_at: Open, shift: float, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgres.make_database()
    right, now = open_at(url), int(time.time())
    open_upload = Upload("a" * 32, "red", "tus", {}, now, now + 3600)
    with right.transaction() as transaction:
        uploads.put(transaction.connection, open_upload)
        uploads.put(transaction.connection, replace(open_upload, id="b" * 32, expires_at=now + 86_400))
        jobs.add(transaction.connection, jobs.CHECK, "a" * 32, transaction.now)
        jobs.take(transaction.connection, jobs.CHECK, "right", transaction.now, 60)

    with caplog.at_level(logging.WARNING, "modelyard.store.clock"):
        wrong = open_store(url, clock=lambda: shifted_clock(shift))
    files = NoFiles()
    UploadCleaner(wrong, files, files).purge_expired()  # type: ignore[arg-type] # of files it needs no more
    limits = UploadLimits(10, 10, 0, 3600)
    incoming = Uploads(wrong, files, files, limits)  # type: ignore[arg-type] # likewise
    stays = incoming.find("red", "a" * 32)
    with wrong.transaction() as transaction:
        job = jobs.take(transaction.connection, jobs.CHECK, "wrong", transaction.now, 60)
        written_at = transaction.now
        ids = uploads.ids(transaction.connection)
    said_now, wrong_seconds = wrong.now(), wrong.clock.wrong_seconds
    wrong.close()

    assert open_upload == stays
    assert {"a" * 32, "b" * 32} == ids
    assert job is None
    assert 0 <= written_at - now < 600
    assert -1 <= said_now - now < 600
    assert wrong_seconds is not None
    assert abs(wrong_seconds - shift) < 600
    side = "ahead of" if shift > 0 else "behind"
    assert f" s {side} the database's; deadlines follow the database; set the clock of this machine" in caplog.text


def test_a_right_clock_is_not_called_wrong(url: str, open_at: Open) -> None:
    store = open_at(url)
    with store.transaction():
        pass

    assert store.clock.wrong_seconds is None
    assert abs(store.now() - time.time()) < 600


def test_an_answer_that_waited_shows_no_wrong_clock() -> None:
    own_time = 1_000.0
    clock = DatabaseClock(lambda: own_time)

    # The database said its time 14 s ago, before the answer came here.
    database_time = clock.note({CLOCK: 986_000}, time.monotonic() - 15)

    assert (986.0, None, 1_000.0) == (database_time, clock.wrong_seconds, clock.now())


def test_a_clock_that_was_set_right_is_right_again(caplog: pytest.LogCaptureFixture) -> None:
    times = iter([1_000.0, 500.0, 500.0])
    clock = DatabaseClock(lambda: next(times))
    with caplog.at_level(logging.INFO, "modelyard.store.clock"):
        clock.note({CLOCK: 500_000}, time.monotonic())
        clock.note({CLOCK: 500_000}, time.monotonic())

    wrong, right = caplog.messages
    assert wrong.startswith("the clock of this machine is 500 s ahead of the database's; deadlines follow the database")
    assert "the clock of this machine agrees with the database's again" == right
    assert clock.now() == pytest.approx(500.0, abs=1)
