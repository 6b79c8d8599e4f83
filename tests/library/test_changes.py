"""The plan of a scan, made of what was found and what is on record, without opening a file."""

from dataclasses import replace
from typing import Any

import pytest

from modelyard.domain import Source, Visibility
from modelyard.fingerprint import Fingerprint
from modelyard.library.changes import compare
from modelyard.library.walk import FoundFile, ScanResult
from modelyard.store.files import FileRecord, FileState

FINGERPRINT = Fingerprint(1, 1, 1, 1)


def record_of(path: bytes) -> FileRecord:
    return FileRecord(
        path, Fingerprint(1, 1, 1), 1, FileState.PRESENT, Source.UPLOADING, Visibility.PUBLIC, verdict="clean"
    )


def test_no_file_in_a_folder_that_cannot_be_listed_is_taken_for_removed() -> None:
    paths = [b"/models/closed/a.pt", b"/models/closed/deep/b.pt", b"/models/closed-not/c.pt", b"/models/d.pt"]
    records = {path: record_of(path) for path in paths}

    plans = [
        compare(ScanResult((), (), (), unreadable=(folder,)), records, with_hashes=False)
        for folder in (b"/models/closed", b"/models/closed/")
    ]

    assert [paths[2:]] * 2 == [[record.path for record in plan.removals] for plan in plans]


def file_of(path: bytes, fingerprint: Fingerprint = FINGERPRINT, sidecars: str = "", device: int = 1) -> FoundFile:
    return FoundFile(path, fingerprint, device, sidecar_digest=sidecars)


def plan_of(file: FoundFile, record: FileRecord, *, with_hashes: bool = False) -> str:
    plan = compare(ScanResult((), (file,), ()), {record.path: record}, with_hashes=with_hashes)
    parts = {
        "changes": plan.changes,
        "sidecar changes": plan.sidecar_changes,
        "renames": plan.renames,
        "returns": plan.returns,
        "removals": plan.removals,
    }
    words = [name for name, items in parts.items() if items]
    return ", ".join([*words, *(["unchanged"] if plan.unchanged_count else [])])


@pytest.mark.parametrize(
    ("record", "file", "with_hashes", "expected"),
    [
        ({}, {}, True, "unchanged"),
        ({}, {"sidecars": "x"}, True, "sidecar changes"),
        ({"fingerprint": Fingerprint(1, 1, 1)}, {}, True, "sidecar changes"),
        ({"fingerprint": Fingerprint(1, 1, 1, 2)}, {}, False, "changes"),
        ({"fingerprint": Fingerprint(2, 1, 1, 1)}, {}, False, "changes"),
        ({"state": FileState.CHANGED}, {}, False, "changes"),
        ({"verdict": ""}, {}, False, "changes"),
        ({"hashes_pending": True}, {}, False, "unchanged"),
        ({"hashes_pending": True}, {}, True, "changes"),
        ({"state": FileState.MISSING}, {}, False, "returns"),
        ({"state": FileState.MISSING}, {"sidecars": "x"}, False, "returns"),
        ({"state": FileState.BROKEN}, {}, False, "unchanged"),
        ({"path": b"/old.pt"}, {}, True, "renames"),
        ({"path": b"/old.pt"}, {"sidecars": "x"}, True, "sidecar changes, renames"),
        ({"path": b"/old.pt", "hashes_pending": True}, {}, True, "changes, renames"),
        ({"path": b"/old.pt", "fingerprint": Fingerprint(1, 1, 1, 2)}, {}, True, "changes, renames"),
        ({"path": b"/old.pt", "fingerprint": Fingerprint(1, 2, 1, 1)}, {}, True, "changes, removals"),
        ({"path": b"/old.pt"}, {"device": 2}, True, "changes, removals"),
        ({"path": b"/old.pt", "verdict": ""}, {}, True, "changes, removals"),
        ({"path": b"/old.pt", "state": FileState.CHANGED}, {}, True, "changes, removals"),
        ({"path": b"/old.pt", "state": FileState.MISSING}, {}, True, "changes"),
    ],
)
def test_a_file_and_the_record_of_it_make_this_plan(
    record: dict[str, Any], file: dict[str, Any], with_hashes: bool, expected: str
) -> None:
    known = replace(record_of(b"/a.pt"), **{"fingerprint": FINGERPRINT} | record)

    assert expected == plan_of(file_of(b"/a.pt", **file), known, with_hashes=with_hashes)


@pytest.mark.parametrize(
    ("state", "hashes_pending", "is_servable", "is_there"),
    [
        (FileState.PRESENT, False, True, True),
        (FileState.PRESENT, True, False, True),
        (FileState.BROKEN, False, False, True),
        (FileState.CHANGED, False, False, True),
        (FileState.MISSING, False, False, False),
    ],
)
def test_only_a_sound_file_that_is_hashed_is_served(
    state: FileState, hashes_pending: bool, is_servable: bool, is_there: bool
) -> None:
    record = replace(record_of(b"/a.pt"), state=state, hashes_pending=hashes_pending)

    assert (is_servable, is_there) == (record.is_servable, record.is_there)
