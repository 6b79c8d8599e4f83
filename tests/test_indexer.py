"""Keeping segments up with the store: what is written when, who does it, and what happens when the disk refuses.

And the commands about it: ``reindex`` and ``verify``. Answers are compared with the oracle in test_segments.py, kills
are in test_crashes.py.
"""

import errno
import json
import logging
import multiprocessing
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from modelyard import catalog as catalog_module
from modelyard import indexer
from modelyard.catalog import BULK_MODELS, Catalog, open_catalog
from modelyard.cli import run
from modelyard.domain import ANONYMOUS, Model, ModelQuery, Source, model_type
from modelyard.errors import ConfigurationError
from modelyard.facts import Entry, Facts, Layer, Record
from modelyard.index import Segment, SegmentDirectory, prepare
from modelyard.index.segment_file import FORMAT
from modelyard.store import open_store
from tests.indexing import run_indexer

from .app_fixture import a_model
from .processes import files_of_at_most, wait_for

SPAWNED = multiprocessing.get_context("spawn")


def opened(home: Path) -> Catalog:
    return open_catalog(open_store(f"sqlite:///{home}/modelyard.sqlite"), home)


def keeper(catalog: Catalog) -> indexer.Indexer:
    assert catalog._indexer is not None
    return catalog._indexer


def put(catalog: Catalog, *written: Model) -> None:
    with catalog.store.transaction() as writing:
        writing.put([Entry(model, {}) for model in written])


def found(catalog: Catalog) -> list[int]:
    records = catalog.search(ANONYMOUS, ModelQuery(limit=100)).records
    return [int(re.match(rb'\{"id":(\d+)', record)[1]) for record in records]  # type: ignore[index] # a record has one


def names(catalog: Catalog) -> tuple[str, ...]:
    current = keeper(catalog).directory.current()
    return current.names if current else ()


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    made = opened(tmp_path)
    yield made
    made.close()


# --- What is written -------------------------------------------------------------------------------------------------


def test_many_small_changes_leave_few_segments(catalog: Catalog) -> None:
    put(catalog, *(a_model(n) for n in range(1, 300)))
    catalog.flush()
    most = 0

    for number in range(60):
        put(catalog, a_model(number % 40 + 1, rank=number))
        keeper(catalog).append()
        while keeper(catalog).merge():
            pass
        most = max(most, len(names(catalog)))

    assert most <= 5
    assert sorted(path.name for path in keeper(catalog).directory.path.iterdir() if path.is_dir()) == sorted(
        names(catalog)
    )


def test_nothing_new_writes_nothing(catalog: Catalog) -> None:
    put(catalog, a_model(1))
    catalog.flush()
    before = names(catalog)

    catalog.flush()

    assert before == names(catalog)
    assert not keeper(catalog).append()


@pytest.mark.parametrize(("changed", "segments"), [(5, 2), (6, 1)])
def test_more_changes_than_are_sorted_in_memory_are_a_rebuild(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, changed: int, segments: int
) -> None:
    monkeypatch.setattr(indexer, "APPEND_MODELS_MAX", 5)
    put(catalog, *(a_model(n) for n in range(1, 30)))
    keeper(catalog).rebuild()
    put(catalog, *(a_model(n) for n in range(100, 100 + changed)))

    assert keeper(catalog).append()

    assert segments == len(names(catalog))
    assert 29 + changed == catalog.count(ANONYMOUS, ModelQuery())


@pytest.mark.parametrize(("older", "is_merged"), [(3, True), (4, False)])
def test_a_segment_is_merged_with_a_newer_one_less_than_four_times_smaller(
    catalog: Catalog, older: int, is_merged: bool
) -> None:
    put(catalog, *(a_model(n) for n in range(1, older + 1)))
    keeper(catalog).rebuild()
    put(catalog, a_model(100))
    keeper(catalog).append()

    assert is_merged == keeper(catalog).merge()

    assert (1 if is_merged else 2) == len(names(catalog))


def test_merged_segments_are_in_rank_order(catalog: Catalog, tmp_path: Path) -> None:
    ranks = {n: n * 7 % 5 for n in range(1, 13)}
    put(catalog, *(a_model(n, rank=rank) for n, rank in ranks.items() if n % 2))
    keeper(catalog).rebuild()
    put(catalog, *(a_model(n, rank=rank) for n, rank in ranks.items() if n % 2 == 0))
    keeper(catalog).append()

    assert keeper(catalog).merge()

    other = opened(tmp_path)
    assert sorted(ranks, key=lambda n: (-ranks[n], -n)) == found(other)
    other.close()


def test_a_merge_is_given_up_if_all_was_built_anew_meanwhile(catalog: Catalog, tmp_path: Path) -> None:
    put(catalog, a_model(1))
    keeper(catalog).rebuild()
    put(catalog, a_model(2))
    keeper(catalog).append()
    other = opened(tmp_path)
    write = keeper(catalog)._write

    def rebuild_and_write(*rows: Any, **options: Any) -> Any:
        keeper(other).rebuild()
        return write(*rows, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keeper(catalog), "_write", rebuild_and_write)
        assert not keeper(catalog).merge()

    assert 1 == len(names(catalog))
    assert [*names(catalog)] == [path.name for path in (tmp_path / "index").iterdir() if path.is_dir()]
    assert [1, 2] == found(catalog)
    other.close()


def test_a_list_is_withdrawn_for_damage_of_a_segment_of_its_own_only(catalog: Catalog) -> None:
    put(catalog, a_model(1))
    catalog.flush()
    (name,) = names(catalog)
    folder = keeper(catalog).directory

    folder.invalidate(folder.path / "0000000001-0-00000000")
    assert (name,) == names(catalog)

    folder.invalidate(folder.path / name)
    assert () == names(catalog)


def test_what_was_removed_stays_away_after_merging_and_a_restart(catalog: Catalog, tmp_path: Path) -> None:
    put(catalog, *(a_model(n) for n in range(1, 60)))
    catalog.flush()
    with catalog.store.transaction() as writing:
        writing.remove(range(1, 50))
    catalog.flush()

    other = opened(tmp_path)
    assert found(other) == list(range(50, 60))
    other.close()


def test_a_rebuild_does_not_undo_what_was_written_meanwhile(catalog: Catalog, tmp_path: Path) -> None:
    put(catalog, *(a_model(n) for n in range(1, 30)))
    other = opened(tmp_path)

    def write_once(_: int) -> None:
        if not other.store.entry(99):
            put(other, a_model(99, rank=5_000))
            keeper(other).append()

    keeper(catalog).rebuild(on_rows=write_once)

    assert found(catalog)[0] == found(other)[0] == 99
    other.close()


def test_what_a_dead_process_was_making_is_swept_and_what_a_living_one_makes_is_not(catalog: Catalog) -> None:
    index = keeper(catalog).directory.path
    dead = SPAWNED.Process(target=os.getpid)
    dead.start()
    dead.join()
    left, kept = index / f"making-{dead.pid}-x", index / f"making-{os.getppid()}-x"
    left.mkdir()
    kept.mkdir()

    put(catalog, a_model(1))
    catalog.flush()
    keeper(catalog).rebuild()

    assert not left.exists()
    assert kept.exists()


def test_a_bulk_change_is_written_once_for_all_that_serve(catalog: Catalog, tmp_path: Path) -> None:
    put(catalog, a_model(1))
    serving = opened(tmp_path)
    serving.load()
    with serving.serving():
        for _ in catalog.register_many(a_record(n) for n in range(10, 10 + BULK_MODELS + 1)):
            pass

    assert len(names(catalog)) == 2
    assert serving.count(ANONYMOUS, ModelQuery()) == BULK_MODELS + 2
    assert [part.is_stored for part in serving._index.segments] == [True, True]
    serving.close()


@pytest.mark.parametrize(("changed", "segments"), [(BULK_MODELS - 1, 1), (BULK_MODELS, 2)])
def test_a_change_is_written_for_all_from_a_bulk_on(
    catalog: Catalog, tmp_path: Path, changed: int, segments: int
) -> None:
    put(catalog, a_model(1))
    catalog.flush()

    with catalog.serving():
        assert changed == len([*catalog.register_many(a_record(n) for n in range(10, 10 + changed))])

    assert segments == len(names(catalog))


def test_a_bulk_change_is_not_written_where_nobody_serves(catalog: Catalog) -> None:
    put(catalog, a_model(1))
    catalog.flush()

    assert BULK_MODELS == len([*catalog.register_many(a_record(n) for n in range(10, 10 + BULK_MODELS))])

    assert 1 == len(names(catalog))


def a_record(number: int) -> Record:
    facts = Facts(name="v1", sd_name=f"file{number}.safetensors", type=model_type("LORA"), rank=number)
    return Record(number, Source.CIVITAI, Layer.UPSTREAM, facts)


# --- Who does it -----------------------------------------------------------------------------------------------------


def hold_and_die(home: Path, ready: Any) -> None:
    """Become the one who merges, say so, and be killed."""
    with SegmentDirectory(home / "index", "", "").merging() as is_ours:
        assert is_ours
        ready.set()
        time.sleep(300)


def test_one_process_merges_and_another_takes_over_when_it_dies(catalog: Catalog, tmp_path: Path) -> None:
    ready = SPAWNED.Event()
    merging = SPAWNED.Process(target=hold_and_die, args=(tmp_path, ready))
    merging.start()
    assert ready.wait(120)
    put(catalog, a_model(1))

    catalog.flush()
    assert () == names(catalog)

    os.kill(merging.pid or 0, signal.SIGKILL)
    merging.join()
    catalog.flush()
    assert 1 == len(names(catalog))


def test_a_damaged_segment_met_while_merging_is_replaced(catalog: Catalog, caplog: pytest.LogCaptureFixture) -> None:
    put(catalog, *(a_model(n) for n in range(1, 30)))
    keeper(catalog).rebuild()
    put(catalog, *(a_model(n, rank=5) for n in range(1, 20)))
    for text in keeper(catalog).directory.path.rglob("text.npy"):
        text.write_bytes(text.read_bytes()[:-1] + b"?")

    catalog.flush()

    assert "damaged" in caplog.text
    assert not [size for size in catalog.verify().values() if not isinstance(size, int)]
    assert 29 == catalog.count(ANONYMOUS, ModelQuery())


def test_upkeep_waits_for_a_disk_that_refuses_and_goes_on_after(
    catalog: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    put(catalog, a_model(1))
    ended = threading.Event()
    working = threading.Thread(target=run_indexer, args=(catalog, ended))
    with files_of_at_most(200):
        working.start()
        assert wait_for(lambda: "paused, retrying in 1 s: " in caplog.text)
        assert found(catalog) == [1]
    assert wait_for(lambda: len(names(catalog)) == 1)
    ended.set()
    working.join()


@pytest.mark.parametrize(("seconds", "models"), [(1e9, 3), (0.0, 10**9)])
def test_what_is_new_is_written_when_it_is_much_or_old(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, seconds: float, models: int
) -> None:
    monkeypatch.setattr(indexer, "APPEND_SECONDS", seconds)
    monkeypatch.setattr(indexer, "APPEND_MODELS_MIN", models)
    put(catalog, *(a_model(n) for n in range(1, 100)))
    catalog.flush()
    put(catalog, *(a_model(n) for n in range(100, 103)))
    ended = threading.Event()
    working = threading.Thread(target=run_indexer, args=(catalog, ended))

    working.start()
    try:
        assert wait_for(lambda: len(names(catalog)) == 2)
    finally:
        ended.set()
        working.join()


def test_a_worker_checks_segments_before_questions_read_them(
    catalog: Catalog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(catalog, *(a_model(n, rank=n) for n in range(1, 30)))
    catalog.flush()
    (keys,) = keeper(catalog).directory.path.rglob("name_keys.npy")
    keys.write_bytes(keys.read_bytes()[:-1] + b"?")
    with closing(opened(tmp_path)) as other:
        other.load()
        assert 29 == len(found(other))  # no question has read the damaged bytes

        assert all(other.check_segments())

        assert "name_keys.npy: block 0 is damaged" in caplog.text
        assert list(range(29, 0, -1)) == found(other)
        assert not [size for size in other.verify().values() if not isinstance(size, int)]


def test_a_worker_prepares_the_segments_of_a_merge_and_none_twice(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[Segment] = []

    def note(segment: Segment) -> Iterator[None]:
        prepared.append(segment)
        yield from prepare(segment)

    monkeypatch.setattr("modelyard.catalog.prepare", note)
    put(catalog, *(a_model(n) for n in range(1, 30)))
    catalog.flush()
    assert 29 == len(found(catalog))
    assert catalog.has_unprepared_segments()
    assert all(catalog.check_segments())
    assert not catalog.has_unprepared_segments()

    put(catalog, a_model(40))
    assert 30 == len(found(catalog))
    assert not catalog.has_unprepared_segments(), "one model in memory needs no preparing"
    keeper(catalog).rebuild()
    assert wait_for(lambda: len(found(catalog)) == 30 and catalog.has_unprepared_segments())
    assert all(catalog.check_segments())

    assert [29, 30] == [segment.count for segment in prepared]
    assert not catalog.has_unprepared_segments()


def test_upkeep_builds_anew_what_it_finds_damaged(
    catalog: Catalog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(catalog, *(a_model(n) for n in range(1, 30)))
    catalog.flush()
    before = names(catalog)
    (text,) = keeper(catalog).directory.path.rglob("text.npy")
    text.write_bytes(text.read_bytes()[:-1])
    ended = threading.Event()
    other = opened(tmp_path)  # as a process that begins after the damage
    working = threading.Thread(target=run_indexer, args=(other, ended))

    working.start()
    try:
        assert wait_for(lambda: len(names(catalog)) == 1 and names(catalog) != before)
    finally:
        ended.set()
        working.join()
        other.close()

    assert "segment damaged, building anew" in caplog.text
    assert not [size for size in catalog.verify().values() if not isinstance(size, int)]


# --- Disks -----------------------------------------------------------------------------------------------------------


def answer_on_a_full_disk(home: Path) -> None:
    """Open a catalogue where no segment can be written, and answer; leave with 0 if all was as it should be."""
    told = logging.StreamHandler(stream := _Lines())
    logging.getLogger("modelyard").addHandler(told)
    catalog = opened(home)
    with files_of_at_most(200):
        assert found(catalog) == [2, 1]
        catalog.flush()
    assert os.strerror(errno.EFBIG) in stream.lines[0], stream.lines
    assert str(home) in stream.lines[0]
    assert len(stream.lines) == 2
    catalog.close()


class _Lines:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, text: str) -> None:
        self.lines += [text] if text.strip() else []

    def flush(self) -> None: ...


def test_a_full_disk_is_told_and_answers_come_from_memory(catalog: Catalog, tmp_path: Path) -> None:
    put(catalog, a_model(1, rank=1), a_model(2, rank=2))
    process = SPAWNED.Process(target=answer_on_a_full_disk, args=(tmp_path,))

    process.start()
    process.join(60)

    assert 0 == process.exitcode
    assert () == names(catalog)
    assert not list((tmp_path / "index").glob("making-*"))
    assert found(catalog) == [2, 1]


def import_on_a_full_disk(home: Path) -> None:
    """Take a bulk in while another serves and no segment can be written: it is taken in nevertheless."""
    catalog = opened(home)
    catalog.load()
    publish = catalog._publish

    def publish_on_a_full_disk() -> None:
        with files_of_at_most(200):
            publish()

    catalog._publish = publish_on_a_full_disk  # type: ignore[method-assign] # the record itself has room
    with catalog.serving():
        outcomes = list(catalog.register_many(a_record(n) for n in range(10, 10 + BULK_MODELS)))
    assert len(outcomes) == BULK_MODELS
    assert catalog.count(ANONYMOUS, ModelQuery()) == BULK_MODELS + 1


def test_an_import_outlives_a_disk_without_room_for_segments(catalog: Catalog, tmp_path: Path) -> None:
    put(catalog, a_model(1))
    catalog.flush()
    process = SPAWNED.Process(target=import_on_a_full_disk, args=(tmp_path,))

    process.start()
    process.join(60)

    assert 0 == process.exitcode
    assert BULK_MODELS + 1 == catalog.count(ANONYMOUS, ModelQuery())


def test_a_home_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "index").write_text("a file where the folder would be")

    with pytest.raises(ConfigurationError, match=r"cannot be kept: (File exists|Not a directory)"):
        opened(tmp_path)


# --- Commands --------------------------------------------------------------------------------------------------------


@pytest.fixture
def home(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    put(catalog, *(a_model(n) for n in range(1, 40)))
    catalog.flush()
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path))
    return tmp_path


def test_reindex_builds_anew_and_a_running_catalogue_goes_over(
    home: Path, catalog: Catalog, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog_module, "_RECHECK_SECONDS", 0.0)
    put(catalog, a_model(1))
    keeper(catalog).append()
    assert found(catalog) == list(range(1, 40))
    before = names(catalog)

    assert 0 == run(["reindex"])

    assert "index built" in capsys.readouterr().err
    assert before != names(catalog)
    assert [(39, True), (1, True)] == catalog.segments()
    assert found(catalog) == list(range(1, 40))
    assert [(39, True)] == catalog.segments()


def test_verify_finds_everything_whole(home: Path, catalog: Catalog, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == run(["verify", "--json"])

    told = json.loads(capsys.readouterr().out)
    assert told == [{"part": part, "problem": ""} for part in ("database", *names(catalog))]
    assert 0 == run(["verify"])
    assert "no damage" in capsys.readouterr().out


def test_verify_withdraws_what_is_damaged_and_the_next_start_builds_it(
    home: Path, catalog: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    (records,) = (home / "index").rglob("records.npy")
    content = bytearray(records.read_bytes())
    content[-1] ^= 1
    records.write_bytes(content)

    assert 1 == run(["verify"])

    told = capsys.readouterr()
    assert "records.npy: block 0 is damaged" in told.out
    assert "the index is damaged" in told.err
    other = opened(home)
    assert found(other) == list(range(1, 40))
    other.close()
    assert 0 == run(["verify"])


def test_verify_finds_no_damage_in_an_index_of_another_format(
    home: Path, catalog: Catalog, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelyard.index.directory.FORMAT", FORMAT + 1)

    assert 0 == run(["verify"])
    assert f"the index on disk is not used: it is of format {FORMAT}, not {FORMAT + 1}" in capsys.readouterr().err


def test_verify_finds_a_damaged_list_and_a_damaged_database(
    home: Path, catalog: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "index" / "CURRENT").write_text("nonsense")
    assert 1 == run(["verify", "--json"])
    assert {"part": "CURRENT", "problem": "CURRENT is damaged"} in json.loads(capsys.readouterr().out)

    catalog.close()
    database = home / "modelyard.sqlite"
    content = bytearray(database.read_bytes())
    content[3 * 4096 : 20 * 4096] = b"\xa5" * (17 * 4096)
    database.write_bytes(content)
    assert 1 == run(["verify"])
    told = capsys.readouterr()
    assert "restore a backup with `modelyard restore --force PATH`" in told.err
    assert "Traceback" not in told.err
