"""The plan of a scan, made of what was found and what is on record, without opening a file."""

from modelyard.domain import Source, Visibility
from modelyard.fingerprint import Fingerprint
from modelyard.library.changes import compare
from modelyard.library.walk import ScanResult
from modelyard.store.files import FileRecord, FileState


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
