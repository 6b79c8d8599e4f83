"""Why the file store does not work is told in plain words, and an operator's mistake stops the start."""

import subprocess
from pathlib import Path

import pytest
from obstore.exceptions import GenericError, PermissionDeniedError, UnauthenticatedError

from modelyard import errors
from modelyard.blobs import open_storage
from modelyard.blobs.s3_errors import error_of
from modelyard.blobs.storage import Blobs
from tests.process_commands import PROGRAM, environment
from tests.swift_server import SwiftServer

_NOBODY = "http://127.0.0.1:1"


def open_blobs(swift: SwiftServer, folder: Path, bucket: str, **changes: str) -> Blobs:
    return open_storage(f"s3://{bucket}/files", folder, {**swift.environment, **changes}).kept


def test_a_store_that_works_passes_its_check_and_keeps_nothing_of_it(swift: SwiftServer, tmp_path: Path) -> None:
    in_store, in_folder = open_blobs(swift, tmp_path, swift.make_bucket()), open_storage("", tmp_path, {}).kept

    for kept in (in_store, in_folder):
        kept.check()
        kept.probe()
        assert kept.condition.problem is None
    assert [] == [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("problem", "kind", "reason"),
    [
        (PermissionDeniedError("<Code>OfAnotherStore</Code>"), errors.StorageRefused, "refuses the credentials"),
        (UnauthenticatedError("no code"), errors.StorageRefused, "refuses the credentials"),
        (GenericError("status code: 403"), errors.StorageRefused, "refuses the credentials"),
        (GenericError("status code: 418"), errors.Unavailable, "answers with status 418"),
        (GenericError("timed out"), errors.Unavailable, "does not answer in time"),
        (GenericError("who knows"), errors.Unavailable, "the file store is away or refused"),
    ],
)
def test_an_answer_of_any_store_has_a_reason(problem: Exception, kind: type[errors.Unavailable], reason: str) -> None:
    found = error_of(problem)

    assert (kind, True) == (type(found), found.message.endswith(reason))


@pytest.mark.parametrize(
    ("bucket", "changes", "kind", "reason"),
    [
        ("no-such-bucket", {}, errors.StorageRefused, "the file store has no such bucket"),
        ("", {"AWS_SECRET_ACCESS_KEY": "wrong"}, errors.StorageRefused, "the file store refuses the credentials"),
        ("", {"AWS_ENDPOINT_URL": _NOBODY}, errors.Unavailable, "the file store cannot be reached: nothing listens"),
    ],
)
def test_what_does_not_work_is_named_by_check_and_by_probe(
    swift: SwiftServer,
    tmp_path: Path,
    bucket: str,
    changes: dict[str, str],
    kind: type[errors.Unavailable],
    reason: str,
) -> None:
    kept = open_blobs(swift, tmp_path, bucket or swift.make_bucket(), **changes)

    with pytest.raises(errors.Unavailable, match=reason) as raised:
        kept.check()
    assert kind is type(raised.value)
    assert raised.value.detail
    with pytest.raises(errors.Unavailable, match=reason):
        list(kept.all())

    again = open_blobs(swift, tmp_path, bucket or swift.make_bucket(), **changes)
    again.probe()
    assert (again.condition.problem or "").startswith(reason)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    kept = open_storage(str(tmp_path / "file" / "below"), tmp_path, {}).kept

    with pytest.raises(errors.StorageRefused, match="the folder of the files cannot be written") as raised:
        kept.check()
    assert "File exists" in raised.value.detail


def test_a_server_does_not_start_without_its_bucket(swift: SwiftServer, tmp_path: Path) -> None:
    variables = {**swift.environment, "MODELYARD_STORAGE_URL": "s3://no-such-bucket/files"}
    command = [*PROGRAM, "serve", "--home", str(tmp_path), "--port", "0", "--workers", "1"]

    done = subprocess.run(
        command, env={**environment(), **variables}, check=False, capture_output=True, text=True, timeout=120
    )

    assert 1 == done.returncode
    message = "modelyard: the file store has no such bucket; create it, or correct storage_url (NoSuchBucket: "
    assert message in done.stderr
    assert "Traceback" not in done.stderr
