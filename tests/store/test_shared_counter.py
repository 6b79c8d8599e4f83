"""Counters in a file that processes share: never half a number, never back."""

import multiprocessing
import threading
from pathlib import Path

import pytest

from modelyard.store.shared_counter import SharedCounter


def raise_in_steps(path: Path, first: int, step: int, last: int) -> None:
    counter = SharedCounter(path, 0)
    for value in range(first, last, step):
        counter.raise_to(value)
    counter.close()


def test_a_counter_starts_at_nothing_and_only_rises(tmp_path: Path) -> None:
    counter = SharedCounter(tmp_path / "counters", 3)
    assert 0 == counter.value

    counter.raise_to(7)
    counter.raise_to(5)

    assert 7 == counter.value
    counter.close()


def test_it_can_be_put_right_downwards(tmp_path: Path) -> None:
    counter = SharedCounter(tmp_path / "counters", 0)
    counter.raise_to(7)

    counter.set_to(2)

    assert 2 == counter.value
    counter.close()


def test_slots_do_not_touch_each_other_and_outlive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "counters"
    first, last = SharedCounter(path, 0), SharedCounter(path, 7)
    first.raise_to(2**64 - 1)
    last.raise_to(1)
    first.close()
    last.close()

    again = [SharedCounter(path, slot) for slot in range(8)]

    assert [2**64 - 1, 0, 0, 0, 0, 0, 0, 1] == [counter.value for counter in again]
    for counter in again:
        counter.close()


def test_a_file_that_is_too_short_is_made_longer(tmp_path: Path) -> None:
    path = tmp_path / "counters"
    path.write_bytes(b"\x01")

    counter = SharedCounter(path, 1)

    assert 0 == counter.value
    assert 64 == path.stat().st_size
    counter.close()


def test_closing_twice_is_no_harm(tmp_path: Path) -> None:
    """A second close of the same number would close a file that another part has opened meanwhile."""
    counter = SharedCounter(tmp_path / "counters", 0)
    counter.close()

    with (tmp_path / "other").open("w") as other:
        counter.close()
        other.write("still open")

    with pytest.raises(ValueError, match=r"released|closed"):
        assert counter.value is None


def test_a_reader_sees_rising_whole_numbers_while_processes_and_threads_raise(tmp_path: Path) -> None:
    """Numbers cross 2^32, so that a torn read would be off by thousands of millions."""
    path, start, last = tmp_path / "counters", 2**32 - 20_000, 2**32 + 20_000
    counter = SharedCounter(path, 0)
    counter.raise_to(start)
    spawned = multiprocessing.get_context("spawn")
    workers = [
        *(spawned.Process(target=raise_in_steps, args=(path, start + n, 2, last)) for n in range(2)),
        *(threading.Thread(target=raise_in_steps, args=(path, start + n, 3, last)) for n in range(3)),
    ]
    for worker in workers:
        worker.start()

    seen = [start]
    while seen[-1] < last - 1:
        seen.append(counter.value)
        if seen[-1] == seen[-2]:
            seen.pop()
    for worker in workers:
        worker.join()

    assert sorted(set(seen)) == seen
    assert last - 1 == counter.value
    counter.close()
