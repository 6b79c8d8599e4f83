"""Checking a file costs at most its budget, however the file nests what is checked. Work is counted, not timed."""

import io
import random
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

from modelyard.domain import Verdict
from modelyard.inspection import inspect_file, zip_directory
from modelyard.inspection.budget import Budget, Limits, OverBudget
from modelyard.inspection.pickle_scan import PickleScan, scan_pickle, scan_zip
from tests.attacks.pickles import zipped

LIMITS = Limits(opcodes=2_000, bytes=1 << 20, work=5_000, members=200)


def count_calls(work: Callable[[], object]) -> int:
    """Return how many Python functions ``work`` calls."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


def make_archive(rng: random.Random, depth: int) -> bytes:
    """A small archive of many pickles, tensors and archives, most of them equal, so that it packs well."""
    members: dict[str, bytes] = {}
    kinds: tuple[Callable[[], bytes], ...] = (
        lambda: b"N0" * rng.choice((1, 50, 1_500)) + b"N.",
        lambda: b"N." * rng.choice((1, 64, 70)),
        lambda: b"](" + b"N" * rng.choice((10, 1_000)) + b"e.",
        lambda: b"(X" + struct.pack("<I", rng.choice((5, 1 << 16, 1 << 31))) + bytes(5_000),
        lambda: b"c" * rng.choice((100, 70_000)),
        lambda: bytes(rng.choice((10, 20_000))),
    )
    for number in range(rng.choice((1, 2, 6))):
        nests = depth > 0 and rng.random() < 0.6
        inner = make_archive(rng, depth - 1) if nests else rng.choice(kinds)()
        for copy in range(rng.choice((1, 8))):
            members[f"{number}-{copy}{rng.choice(('.pkl', '.zip', ''))}"] = inner
    return zipped(members, zipfile.ZIP_DEFLATED)


@pytest.mark.parametrize("seed", range(12))
def test_any_small_archive_costs_a_bounded_amount_of_work(seed: int) -> None:
    content = make_archive(random.Random(seed), 2)
    budget = Budget(LIMITS)

    calls = count_calls(lambda: scan_zip(io.BytesIO(content), len(content), budget))

    # A member costs some 60 calls, an opcode some 10 of ours and of picklescan's.
    assert calls < 60 * LIMITS.opcodes + 200 * LIMITS.members + 5_000


def scan_nested(inner: bytes, copies: int, limits: Limits) -> PickleScan:
    content = zipped({f"{number}.zip": inner for number in range(copies)}, zipfile.ZIP_DEFLATED)
    return scan_zip(io.BytesIO(content), len(content), Budget(limits))


@pytest.mark.parametrize(
    ("inner", "limits", "reason"),
    [
        (zipped({f"{n}.pkl": b"N." for n in range(10)}), Limits(members=40), "has more than 40 members"),
        (zipped({"data.pkl": b"N0" * 20 + b"N."}), Limits(opcodes=160), "has more than 160 opcodes"),
        (zipped({"data.pkl": b"](NNNNe."}), Limits(work=19), "moves more items"),
        (
            zipped({"data.pkl": b"B\xe8\x03\0\0" + bytes(1_000) + b"."}),
            Limits(bytes=9_000),
            "is longer than 9,000 bytes",
        ),
    ],
)
def test_all_archives_inside_an_archive_share_one_budget(inner: bytes, limits: Limits, reason: str) -> None:
    one, four = scan_nested(inner, 1, limits), scan_nested(inner, 4, limits)

    assert Verdict.CLEAN == one.verdict, one.reason
    assert (Verdict.SUSPICIOUS, True) == (four.verdict, reason in four.reason), four.reason
    assert four.reason.startswith("too much to check: ")


def test_a_check_that_takes_too_long_ends() -> None:
    times = iter(range(1_000))
    budget = Budget(Limits(seconds=3.0), clock=lambda: next(times))
    content = zipped({f"{number}.pkl": b"N." for number in range(10)})

    scan = scan_zip(io.BytesIO(content), len(content), budget)

    assert (Verdict.SUSPICIOUS, "too much to check: took longer than 3 seconds to check") == (scan.verdict, scan.reason)


def test_a_long_pickle_looks_at_the_clock() -> None:
    times = iter((0.0, 0.0, 9.0))
    content = b"N0" * 10_000 + b"N."

    scan = scan_pickle(io.BytesIO(content), len(content), Budget(Limits(seconds=3.0), clock=lambda: next(times)))

    assert "too much to check: took longer than 3 seconds to check" == scan.reason


def test_five_hundred_archives_in_an_archive_are_too_much(tmp_path: Path) -> None:
    inner = zipped({f"{number}.pkl": b"N." for number in range(100)}, zipfile.ZIP_DEFLATED)
    path = tmp_path / "model.pt"
    path.write_bytes(zipped({f"{number}.zip": inner for number in range(500)}, zipfile.ZIP_DEFLATED))

    found = inspect_file(path, with_hashes=False)

    assert (Verdict.SUSPICIOUS, "too much to check: has more than 30,000 members") == (found.verdict, found.reason)


def test_a_directory_pays_for_its_members_before_it_is_read() -> None:
    content = zipped({f"{number}": b"" for number in range(20)})
    reader = io.BytesIO(content)

    with pytest.raises(OverBudget):
        zip_directory.find_ambiguity(reader, len(content), Budget(Limits(members=19)))

    assert "" == zip_directory.find_ambiguity(reader, len(content), Budget(Limits(members=20)))
