"""The folder of segments: the list of them, who may change it, and what is removed. Segments are in test_segments."""

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from modelyard import errors
from modelyard.index import SegmentDirectory
from modelyard.index.directory import FORMAT, Current


@pytest.fixture
def directory(tmp_path: Path) -> SegmentDirectory:
    return SegmentDirectory(tmp_path / "index", "database", "rendering")


def again(directory: SegmentDirectory, identity: str = "database", rendering: str = "rendering") -> SegmentDirectory:
    """The same folder as another process opens it."""
    return SegmentDirectory(directory.path, identity, rendering)


def test_a_list_is_read_back_by_every_process(directory: SegmentDirectory) -> None:
    before = directory.version()
    directory.publish((), 7)

    assert Current(FORMAT, "database", "rendering", 7, ()) == again(directory).current()
    assert (0, True) == (before, directory.version() != 0)
    assert directory.version() == again(directory).version()
    assert again(directory).problem() is None
    assert (directory.current(), []) == directory.open()
    assert {} == directory.verify()


def test_a_new_list_has_another_version(directory: SegmentDirectory) -> None:
    directory.publish((), 7)
    first = directory.version()
    directory.publish((), 8)

    assert first != directory.version()
    assert not (directory.path / "CURRENT.new").exists()


def spoil(directory: SegmentDirectory, content: str) -> None:
    (directory.path / "CURRENT").write_text(content)


def test_a_list_that_cannot_be_used_says_why(directory: SegmentDirectory) -> None:
    assert (None, None) == (directory.current(), directory.open())
    absent = directory.problem()
    directory.publish((), 7)
    problems = [again(directory, identity="other").problem(), again(directory, rendering="other").problem()]
    text = (directory.path / "CURRENT").read_text()
    for content in ("", "{}", text[:-3], text.replace("7", "8", 1), text + "x"):
        spoil(directory, content)
        problems.append(directory.problem())
        assert directory.current() is None
        assert ["CURRENT"] == [*directory.verify()]

    assert "it is of another database" == problems[0]
    assert "its records were rendered otherwise" == problems[1]
    assert {"CURRENT is damaged"} == set(problems[2:])
    assert absent not in problems


def test_a_list_of_another_format_is_not_used(directory: SegmentDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelyard.index.directory.FORMAT", FORMAT + 1)
    directory.publish((), 7)
    monkeypatch.undo()

    assert f"it is of format {FORMAT + 1}, not {FORMAT}" == directory.problem() == directory.unused()
    # It is no damage: nothing is wrong with the disk.
    assert {} == directory.verify()


def test_the_kind_names_database_format_and_rendering(directory: SegmentDirectory) -> None:
    kinds = {directory.kind, again(directory, identity="other").kind, again(directory, rendering="other").kind}

    assert 3 == len(kinds)
    assert directory.kind.startswith(f"database/{FORMAT}-")
    assert 16 == len(directory.kind.rpartition("-")[2])


def test_a_new_segment_is_named_by_its_revisions(directory: SegmentDirectory) -> None:
    names = {directory.new_path(3, 17).name for _ in range(20)}

    assert 20 == len(names)
    assert {"0000000017-3"} == {name.rpartition("-")[0] for name in names}
    assert directory.path == directory.new_path(3, 17).parent


def test_folders_that_no_list_names_and_nobody_makes_are_removed(directory: SegmentDirectory) -> None:
    directory.publish(("kept",), 7)
    own = directory.making_path("x")
    for name in ("kept", "old", own.name, "making-999999999-x", "making-nobody-x", "making-", "made"):
        (directory.path / name / "deep").mkdir(parents=True)
    (directory.path / "a file").write_text("")

    directory.remove_unreferenced()

    assert f"making-{os.getpid()}-x" == own.name
    assert ["kept", own.name] == sorted(path.name for path in directory.path.iterdir() if path.is_dir())
    assert (directory.path / "a file").exists()


def test_without_a_list_every_folder_that_nobody_makes_is_removed(directory: SegmentDirectory) -> None:
    (directory.path / "old").mkdir()
    directory.remove_unreferenced()

    assert not (directory.path / "old").exists()


def test_a_list_is_withdrawn_for_a_segment_of_its_own_only(directory: SegmentDirectory) -> None:
    directory.publish(("one",), 7)
    directory.invalidate(directory.path / "two")
    assert directory.current() is not None
    directory.invalidate(directory.path / "one")

    assert directory.current() is None
    directory.invalidate(directory.path / "one")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(errors.ConfigurationError, match="cannot be kept"):
        SegmentDirectory(tmp_path / "file" / "index", "database", "rendering")


def test_one_process_merges_and_the_others_are_told(directory: SegmentDirectory) -> None:
    with directory.merging() as first, again(directory).merging() as second:
        assert (True, False) == (first, second)
    with again(directory).merging() as third:
        assert third


def test_a_folder_is_served_while_a_process_serves_it(directory: SegmentDirectory) -> None:
    before = directory.is_served()
    with directory.serving(), again(directory).serving():
        during = again(directory).is_served()

    assert (False, True, False) == (before, during, directory.is_served())


@pytest.mark.parametrize(
    "lock", [SegmentDirectory.publishing, SegmentDirectory.building], ids=lambda lock: str(lock.__name__)
)
def test_a_lock_is_held_by_one_process_at_a_time(
    directory: SegmentDirectory, lock: Callable[[SegmentDirectory], AbstractContextManager[None]]
) -> None:
    entered, order = threading.Event(), []

    def enter() -> None:
        entered.set()
        with lock(again(directory)):
            order.append("second")

    thread = threading.Thread(target=enter)
    with lock(directory):
        thread.start()
        entered.wait(60)
        thread.join(0.1)
        order.append("first")
    thread.join(60)

    assert ["first", "second"] == order


def test_withdrawing_waits_for_who_publishes(directory: SegmentDirectory) -> None:
    directory.publish(("one",), 7)
    thread = threading.Thread(target=directory.invalidate, args=(directory.path / "one",))
    with again(directory).publishing():
        thread.start()
        thread.join(0.1)
        is_there = directory.current() is not None
    thread.join(60)

    assert (True, None) == (is_there, directory.current())
