"""The summaries of a scan and of an import: each line, and how many of each kind are shown."""

import json
import threading
from typing import Any

import pytest

from modelyard.cli.add import _ScanListener, _write_report
from modelyard.cli.import_civitai import Report
from modelyard.covers.importer import CoverResult
from modelyard.domain import Skipped, Source, Visibility
from modelyard.fingerprint import Fingerprint
from modelyard.library import ScanReport
from modelyard.library.reconcile import FileOutcome
from modelyard.library.scanner import RESULTS
from modelyard.store.files import Duplicates, FileRecord, FileState


def lines(text: str) -> list[str]:
    """Return the lines without the line below headings, each with single spaces."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip(" ─")]


def scan_report(**values: Any) -> ScanReport:
    defaults: dict[str, Any] = {"found": 0, "unchanged": 0, "results": {}, "merged": 0, "pending": 0}
    return ScanReport(**{**defaults, "skipped": (), "duplicates": (), **values})


def group(number: int) -> Duplicates:
    file = FileRecord(
        f"/m/{number}".encode(),
        Fingerprint(1_000, 1, 1, 1),
        1,
        FileState.PRESENT,
        Source.UPLOADING,
        Visibility.PUBLIC,
        model_id=number or None,
    )
    return Duplicates("A" * 64, number % 2 == 0, (file,))


def test_a_scan_without_a_finding_has_two_lines(capsys: pytest.CaptureFixture[str]) -> None:
    _write_report(scan_report(), as_json=False, dry_run=False)

    captured = capsys.readouterr()
    assert (["files number", "found 0", "unchanged 0"], "") == (lines(captured.out), captured.err)


def test_the_summary_of_a_scan_has_a_line_for_each_result(capsys: pytest.CaptureFixture[str]) -> None:
    report = scan_report(
        found=10_000,
        unchanged=1_000,
        results={result: number for number, result in enumerate(RESULTS, 1_000)},
        merged=2_000,
        pending=3_000,
        skipped=(Skipped("/a", "link"), Skipped("/b", "link")),
        refused={f"/m/{number}".encode(): "it is cut" for number in range(51)},
        duplicates=tuple(group(number) for number in range(21)),
    )
    _write_report(report, as_json=False, dry_run=True)

    captured = capsys.readouterr()
    assert lines(captured.out) == [
        "files number",
        "found 10,000",
        "unchanged 1,000",
        "added (dry run) 1,000",
        "further files of models in folders (dry run) 1,001",
        "added to a model that was in the catalogue (dry run) 1,002",
        "updated (dry run) 1,003",
        "moved or renamed (dry run) 1,004",
        "missing now (dry run) 1,005",
        "broken or dangerous (dry run) 1,006",
        "changed while they were read; the next scan reads them (dry run) 1,007",
        "not a model (dry run) 1,008",
        "merged with models imported since 2,000",
        "skipped: link 2",
        "duplicates model bytes file",
        "same bytes 1,000 /m/0",
        *(
            f"{'same tensors, other header' if number % 2 else 'same bytes'} {number} 1,000 /m/{number}"
            for number in range(1, 20)
        ),
    ]
    assert lines(captured.err) == [
        *(f"not usable: /m/{number}: it is cut" for number in range(50)),
        "1 further files are not usable; --json lists all",
        "list all 21 groups of duplicates with: modelyard search --duplicates",
        "3,000 files are not hashed yet; `modelyard serve` or another add hashes them",
    ]


def test_what_fits_into_the_summary_has_no_hint_of_more(capsys: pytest.CaptureFixture[str]) -> None:
    refused = {f"/m/{number}".encode(): "it is cut" for number in range(50)}
    duplicates = tuple(group(number) for number in range(20))
    _write_report(scan_report(refused=refused, duplicates=duplicates), as_json=False, dry_run=False)

    captured = capsys.readouterr()
    assert (50, 24) == (len(lines(captured.err)), len(lines(captured.out)))


def test_the_summary_of_a_scan_as_json_is_its_report(capsys: pytest.CaptureFixture[str]) -> None:
    report = scan_report(
        found=1,
        results={"added": 1},
        merged=2,
        pending=3,
        skipped=(Skipped("/a", "link", "to b"),),
        refused={b"/m/\xff": "it is cut"},
        duplicates=(group(1),),
    )
    _write_report(report, as_json=True, dry_run=False)

    assert json.loads(capsys.readouterr().out) == {
        "found": 1,
        "unchanged": 0,
        **dict.fromkeys(RESULTS, 0),
        "added": 1,
        "merged": 2,
        "pending": 3,
        "skipped": [{"path": "/a", "reason": "link", "detail": "to b"}],
        "refused": [{"path": "/m/\ufffd", "reason": "it is cut"}],
        "duplicates": [
            {"same": "tensors", "hash": "A" * 64, "files": [{"path": "/m/1", "model": 1, "size_bytes": 1_000}]}
        ],
        "dry_run": False,
    }


def test_a_scan_shows_ten_messages_of_each_reason(capsys: pytest.CaptureFixture[str]) -> None:
    listener = _ScanListener(None, threading.Event())
    for number in range(13):
        listener.skipped(Skipped(f"/{number}", "link"))
    for result in ("added", "broken", "later"):
        listener.looked(FileOutcome(b"/m/a", result, reason="it is cut"))

    assert [
        *(f"skipped: /{number}: link" for number in range(10)),
        "further messages are not shown: link",
        "broken or dangerous: /m/a: it is cut",
        "changed while they were read; the next scan reads them: /m/a: it is cut",
    ] == lines(capsys.readouterr().err)


def test_an_import_shows_so_many_messages_of_each_reason_and_counts_all(capsys: pytest.CaptureFixture[str]) -> None:
    messages: list[str] = []
    report = Report(messages.append, 2, dry_run=True)
    report.counts.update({"added": 1_000, "updated": 2})
    report.joined = 1_000
    for number in range(4):
        report.skip(Skipped(f"a:{number}", "no name"))
    for problem in ("", "", "status 404"):
        report.count_cover(CoverResult("https://a", problem))
    report.write(dry_run=True, as_json=False)
    table = lines(capsys.readouterr().out)
    report.write(dry_run=True, as_json=True)

    assert messages == [
        "skipped: a:0: no name",
        "skipped: a:1: no name",
        "skipped: more with the reason 'no name'; --verbose lists all of them",
        "skipped: https://a: cover not to be had: status 404",
    ]
    assert table == [
        "models number",
        "added (dry run) 1,000",
        "updated (dry run) 2",
        "unchanged (dry run) 0",
        "merged with files that were here 1,000",
        "covers downloaded 2",
        "skipped: no name 4",
        "skipped: cover not to be had 1",
    ]
    assert json.loads(capsys.readouterr().out) == {
        "added": 1_000,
        "updated": 2,
        "unchanged": 0,
        "covers": 2,
        "joined": 1_000,
        "skipped": {"no name": 4, "cover not to be had": 1},
        "dry_run": True,
    }


def test_an_import_without_covers_does_not_count_them(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(print, None, dry_run=False)
    report.write(dry_run=False, as_json=False)
    table = lines(capsys.readouterr().out)
    report.write(dry_run=False, as_json=True)

    assert ["models number", "added 0", "updated 0", "unchanged 0"] == table
    assert {"added", "updated", "unchanged", "joined", "skipped", "dry_run"} == json.loads(
        capsys.readouterr().out
    ).keys()
    for number in range(30):
        report.skip(Skipped(str(number), "no name"))
    assert 30 == len(lines(capsys.readouterr().out))
