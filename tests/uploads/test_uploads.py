"""The recorded way in: uploader, PUT, POST, PATCH, DELETE; quotas, bad input, and whose is what.

Not covered here: resumable uploads (test_tus.py), and what a killed server leaves (test_transfer_crashes.py).
"""

import base64
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from modelyard import errors
from modelyard.blobs import IncomingFiles, open_storage
from modelyard.blobs.folder import FolderBlobs
from modelyard.store import blobs as rows
from modelyard.store import deleted_models
from modelyard.store import uploads as upload_rows
from modelyard.uploads.cleanup import UploadCleaner
from modelyard.web.api.presigned_uploads import PURPOSE, sha256_of
from modelyard.web.urls import open_signer
from tests.app_fixture import App, Reply, a_model, open_app
from tests.transfers import (
    WRITER,
    Verification,
    ask,
    checking,
    dangerous_bytes,
    exchange_messages,
    find,
    lora_bytes,
    path_of,
    put_file,
    sha256_base64,
    upload,
)


@dataclass
class Bench:
    yard: App
    home: Path
    checking: Verification


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with open_app(tmp_path) as yard:
        yield Bench(yard, tmp_path, checking(yard, tmp_path))


def test_a_model_is_listed_at_once_and_available_when_its_file_was_checked(bench: Bench) -> None:
    content = lora_bytes()

    registered = upload(bench.yard, "My LoRA v1.0", content, base_model="SD 1.5", tags=["night", "harbour"])
    before = find(bench.yard, registered["id"])
    bench.checking.verify_next()
    after = find(bench.yard, registered["id"])

    assert (0, False) == (before["status"], "download_url" in before)
    assert (1, True) == (after["status"], "download_url" in after)
    assert hashlib.sha256(content).hexdigest()[:10].upper() == after["hash_sha256"]
    assert f"My_LoRA_v1.0_{registered['id']}.safetensors" == after["sd_name"]
    assert ["My LoRA v1.0", "uploading", "private", "SD 1.5", ["night", "harbour"]] == [
        after[name] for name in ("name", "source", "visibility", "base_model", "tags")
    ]


def test_what_comes_out_is_what_went_in(bench: Bench) -> None:
    content = lora_bytes(fill=3_000_000)
    registered = upload(bench.yard, "whole", content)
    bench.checking.verify_next()

    fetched = bench.yard.ask(path_of(find(bench.yard, registered["id"])["download_url"]), None)

    assert 200 == fetched.status
    assert content == fetched.body


def test_both_what_was_declared_and_what_was_found_are_told_with_evidence(bench: Bench) -> None:
    registered = upload(bench.yard, "declared", lora_bytes(), type_name="checkpoint", base_model="SDXL 1.0")
    bench.checking.verify_next()

    told = ask(bench.yard, f"/v3/model/details?id={registered['id']}").json

    assert "SDXL 1.0" == told["declared"]["base_model"]
    assert "checkpoint" == told["model"]["type"]["name"]
    assert "lora" == told["found"]["type"]["name"]
    assert told["found"]["evidence"][1:]
    assert "clean" == told["check"]["verdict"]


def test_a_dangerous_file_stays_unavailable_and_its_owner_is_told_why(bench: Bench) -> None:
    registered = upload(bench.yard, "evil", dangerous_bytes(), file_extension="pt", visibility="public")
    bench.checking.verify_next()

    model = find(bench.yard, registered["id"])
    own = ask(bench.yard, f"/v3/model/details?id={registered['id']}").json
    others = ask(bench.yard, f"/v3/model/details?id={registered['id']}", "blue").json
    made_available = ask(bench.yard, f"/v3/model?id={registered['id']}", method="PATCH", body={"status": 1})

    assert (0, False) == (model["status"], "download_url" in model)
    assert "dangerous" == own["check"]["verdict"]
    assert "system" in own["check"]["reason"]
    assert others["check"] is None
    assert (409, "MODEL_FILE_MISSING") == (made_available.status, made_available.json["reason"])


def test_nobody_without_a_team_is_told_of_the_check_of_a_model_without_one(tmp_path: Path) -> None:
    with open_app(tmp_path, anonymous_access="public") as yard:
        yard.put(a_model(7))

        details = yard.ask("/v3/model/details?id=7", None)

    assert (200, None) == (details.status, details.json["check"])


@pytest.mark.parametrize("header", [True, False])
def test_bytes_other_than_those_announced_are_refused(bench: Bench, header: bool) -> None:
    content, announced = lora_bytes(), lora_bytes(seed=1)
    said = {"model_name": "m", "file_extension": "safetensors"} | (
        {} if header else {"file_sha256": sha256_base64(announced)}
    )
    url = ask(bench.yard, "/v3/model/uploader", method="POST", body=said).json["upload_url"]
    headers = {"x_amz_checksum_sha256": sha256_base64(announced)} if header else {}

    put = bench.yard.ask(path_of(url), None, method="PUT", body=content, content_length=str(len(content)), **headers)

    assert (422, "HASH_MISMATCH") == (put.status, put.json["reason"])


def test_a_body_longer_or_shorter_than_said_is_refused(bench: Bench) -> None:
    content = lora_bytes()
    said = {"model_name": "m", "file_extension": "safetensors"}
    url = ask(bench.yard, "/v3/model/uploader", method="POST", body=said).json["upload_url"]

    replies = [
        bench.yard.ask(path_of(url), None, method="PUT", body=content, content_length=str(len(content) + difference))
        for difference in (-1, 1)
    ]

    assert {400, 408} >= {reply.status for reply in replies}


def test_the_same_bytes_are_kept_once(bench: Bench) -> None:
    content = lora_bytes()
    for name, team in (("one", "red"), ("two", "red"), ("three", "blue")):
        upload(bench.yard, name, content, team)
        bench.checking.verify_next()

    kept = [path for path in (bench.home / "blobs").rglob("*") if path.is_file()]

    assert [hashlib.sha256(content).hexdigest()] == [path.name for path in kept]


def test_the_same_file_under_the_same_name_is_there_already(bench: Bench) -> None:
    upload(bench.yard, "one", lora_bytes())
    bench.checking.verify_next()
    put_file(bench.yard, "one", lora_bytes())

    again = ask(bench.yard, "/v3/model", method="POST", body={"name": "one", "file_extension": "safetensors"})

    assert (409, "MODEL_ALREADY_EXISTED") == (again.status, again.json["reason"])


def test_bytes_cannot_be_put_again_once_their_model_is_registered(bench: Bench) -> None:
    content = lora_bytes()
    announcement = {"model_name": "one", "file_extension": "safetensors"}
    url = ask(bench.yard, "/v3/model/uploader", method="POST", body=announcement).json["upload_url"]
    length = str(len(content))
    bench.yard.ask(path_of(url), None, method="PUT", body=content, content_length=length)
    ask(bench.yard, "/v3/model", method="POST", body={"name": "one", "file_extension": "safetensors"})

    again = bench.yard.ask(path_of(url), None, method="PUT", body=content, content_length=length)

    assert (409, "UPLOAD_COMPLETE") == (again.status, again.json["reason"])


def test_a_model_without_an_announced_file_is_refused(bench: Bench) -> None:
    reply = ask(bench.yard, "/v3/model", method="POST", body={"name": "none", "file_extension": "safetensors"})

    assert (400, "INVALID_REQUEST_BODY") == (reply.status, reply.json["reason"])


def test_a_file_announced_by_another_team_cannot_be_registered(bench: Bench) -> None:
    put_file(bench.yard, "theirs", lora_bytes(), "blue")

    reply = ask(bench.yard, "/v3/model", method="POST", body={"name": "theirs", "file_extension": "safetensors"})

    assert 400 == reply.status


CHANGES = [
    ({"name": "Renamed 2"}, "name", "Renamed 2"),
    ({"tags": ["a", "b"]}, "tags", ["a", "b"]),
    ({"tags": []}, "tags", []),
    ({"categories": ["anime"]}, "categories", ["anime"]),
    ({"category_id": 100000}, "categories", ["realistic"]),
    ({"base_model": "Pony"}, "is_sdxl", True),
    ({"cover_url": "https://example.org/a.png"}, "cover_url", "https://example.org/a.png"),
    ({"visibility": "public"}, "visibility", "public"),
    ({"is_nsfw": True}, "is_nsfw", True),
    ({"status": 0}, "status", 0),
]


@pytest.mark.parametrize(("change", "field", "value"), CHANGES, ids=lambda value: str(value)[:30])
def test_a_model_is_changed_by_its_owner(bench: Bench, change: dict[str, Any], field: str, value: object) -> None:
    model_id = upload(bench.yard, "mine", lora_bytes())["id"]
    bench.checking.verify_next()

    changed = ask(bench.yard, f"/v3/model?id={model_id}", method="PATCH", body=change)

    assert 200 == changed.status, changed.body
    assert value == changed.json[field]
    assert value == find(bench.yard, model_id)[field]


BAD_CHANGES: list[dict[str, Any]] = [
    {},
    {"name": "../../etc"},
    {"name": "a\nb"},
    {"name": ""},
    {"tags": "a"},
    {"tags": ["a\r\nb"]},
    {"categories": ["nonsense"]},
    {"status": 2},
    {"visibility": "secret"},
    {"cover_url": "file:///etc/passwd"},
    {"cover_url": "javascript:alert(1)"},
]


@pytest.mark.parametrize("change", BAD_CHANGES, ids=str)
def test_a_change_that_cannot_be_meant_is_refused_whole(bench: Bench, change: dict[str, Any]) -> None:
    model_id = upload(bench.yard, "mine", lora_bytes())["id"]

    reply = ask(bench.yard, f"/v3/model?id={model_id}", method="PATCH", body=change)

    assert (400, "INVALID_REQUEST_BODY") == (reply.status, reply.json["reason"])


@pytest.mark.parametrize("visibility", ["private", "public"])
def test_another_teams_model_is_404_to_whoever_would_change_it(bench: Bench, visibility: str) -> None:
    model_id = upload(bench.yard, "mine", lora_bytes(), visibility=visibility)["id"]

    replies = [
        ask(bench.yard, f"/v3/model?id={model_id}", "blue", method="PATCH", body={"name": "x"}),
        ask(bench.yard, f"/v3/model?id={model_id}", "blue", method="DELETE"),
    ]
    if visibility == "private":
        replies.append(ask(bench.yard, f"/v3/model/details?id={model_id}", "blue"))

    assert {(404, "MODEL_NOT_FOUND")} == {(reply.status, reply.json["reason"]) for reply in replies}
    assert "mine" == find(bench.yard, model_id)["name"]


def test_a_key_that_may_only_read_changes_nothing(bench: Bench) -> None:
    model_id = upload(bench.yard, "mine", lora_bytes())["id"]
    said = b'{"model_name":"m","file_extension":"pt"}'

    replies = [
        bench.yard.ask("/v3/model/uploader", "red", method="POST", body=said),
        bench.yard.ask(f"/v3/model?id={model_id}", "red", method="PATCH", body=b'{"name":"x"}'),
        bench.yard.ask(f"/v3/model?id={model_id}", "red", method="DELETE"),
    ]

    assert {(403, "API_NOT_ALLOWED")} == {(reply.status, reply.json["reason"]) for reply in replies}


def test_a_removed_model_is_gone_and_so_is_its_link(bench: Bench) -> None:
    model_id = upload(bench.yard, "mine", lora_bytes())["id"]
    bench.checking.verify_next()
    link = path_of(find(bench.yard, model_id)["download_url"])

    removed = ask(bench.yard, f"/v3/model?id={model_id}", method="DELETE")

    assert 200 == removed.status
    assert [] == ask(bench.yard, f"/v3/model?filter.model_version_id={model_id}").json["models"]
    assert 404 == bench.yard.ask(link, None).status


def test_a_model_removed_while_it_waits_is_not_made_by_the_check(bench: Bench) -> None:
    model_id = upload(bench.yard, "mine", lora_bytes())["id"]

    ask(bench.yard, f"/v3/model?id={model_id}", method="DELETE")

    assert not bench.checking.verify_next()
    assert [] == ask(bench.yard, "/v3/model?filter.visibility=private").json["models"]


def test_limits_are_told_each_with_its_own_error(tmp_path: Path) -> None:
    content = lora_bytes()
    with open_app(
        tmp_path, upload_bytes_max=len(content), team_open_uploads_max=2, team_quota_bytes=len(content) + 10
    ) as yard:
        said = {"model_name": "m", "file_extension": "safetensors"}
        first, second = (ask(yard, "/v3/model/uploader", method="POST", body=said) for _ in range(2))
        third = ask(yard, "/v3/model/uploader", method="POST", body=said)
        other_team = ask(yard, "/v3/model/uploader", "blue", method="POST", body=said)

        def put(url: str, body: bytes) -> tuple[int, str]:
            reply = yard.ask(path_of(url), None, method="PUT", body=body, content_length=str(len(body)))
            return reply.status, reply.json["reason"] if reply.body else ""

        assert (429, "TOO_MANY_UPLOADS") == (third.status, third.json["reason"])
        assert 200 == other_team.status
        assert (413, "FILE_EXCEEDS_MAX_SIZE") == put(first.json["upload_url"], content + b"x")
        assert (200, "") == put(first.json["upload_url"], content)
        assert (413, "QUOTA_EXCEEDED") == put(second.json["upload_url"], content)


@pytest.mark.parametrize("name", ["../up", "a/b", "a\\b", "a\r\nSet-Cookie: x", "é\n", "", " ", "x" * 101])
def test_a_name_that_is_none_is_refused(bench: Bench, name: str) -> None:
    said = {"model_name": name, "file_extension": "safetensors"}

    reply = ask(bench.yard, "/v3/model/uploader", method="POST", body=said)

    assert 400 == reply.status


def test_an_extension_we_do_not_keep_is_415(bench: Bench) -> None:
    reply = ask(bench.yard, "/v3/model/uploader", method="POST", body={"model_name": "m", "file_extension": "exe"})

    assert (415, "UNSUPPORTED_FILE") == (reply.status, reply.json["reason"])


def test_an_altered_upload_url_takes_nothing(bench: Bench) -> None:
    said = {"model_name": "m", "file_extension": "safetensors"}
    urls = [ask(bench.yard, "/v3/model/uploader", method="POST", body=said).json["upload_url"] for _ in range(2)]
    one, other = (path_of(url) for url in urls)
    swapped = one.partition("?")[0] + "?" + other.partition("?")[2]

    assert 403 == bench.yard.ask(swapped, None, method="PUT", body=b"x", content_length="1").status
    assert 403 == bench.yard.ask(one.replace("expires=1", "expires=2"), None, method="PUT", body=b"x").status


def test_an_expired_upload_url_takes_nothing(bench: Bench) -> None:
    address = announce(bench.yard, "m").partition("?")[0]
    upload_id = address.rpartition("/")[2]
    signer = open_signer(bench.yard.store)
    fingerprint = bench.yard.access.fingerprint_of(bench.yard.key("red", *WRITER))
    query = signer.query(PURPOSE, f"{upload_id} {fingerprint}", "", int(time.time()) - 1)
    expired = f"{address}?for={fingerprint}&{query}"

    reply = put(bench.yard, expired, lora_bytes())

    assert (410, "LINK_EXPIRED") == (reply.status, reply.json["reason"])
    assert b"" == (bench.home / "blobs" / "incoming" / upload_id).read_bytes()


def test_an_upload_url_takes_nothing_once_its_key_is_revoked(bench: Bench) -> None:
    address = announce(bench.yard, "m")
    bench.yard.access.revoke_key(bench.yard.key("red", *WRITER))

    reply = put(bench.yard, address, lora_bytes())

    assert (410, "LINK_REVOKED") == (reply.status, reply.json["reason"])
    assert [b""] == [path.read_bytes() for path in (bench.home / "blobs" / "incoming").iterdir()]


def revoke_between(yard: App, first: bytes, second: bytes) -> Iterator[dict[str, Any]]:
    """A body in two parts. The key is revoked when the first part is there."""
    yield {"type": "http.request", "body": first, "more_body": True}
    yard.access.revoke_key(yard.key("red", *WRITER))
    yield {"type": "http.request", "body": second, "more_body": False}


def test_a_put_ends_when_its_key_is_revoked_while_the_body_arrives(bench: Bench) -> None:
    content = lora_bytes()
    address = announce(bench.yard, "m")
    headers = {"content-length": str(len(content))}

    start, body = exchange_messages(
        bench.yard, "PUT", path_of(address), headers, revoke_between(bench.yard, content[:100], content[100:])
    )

    assert (410, "LINK_REVOKED") == (start["status"], json.loads(body["body"])["reason"])
    assert 0 == bytes_on_their_way(bench.home)


def test_a_resumable_upload_ends_when_its_key_is_revoked_while_the_body_arrives(bench: Bench) -> None:
    made = create(bench.yard, 8)
    headers = {
        "authorization": f"Bearer {bench.yard.key('red', *WRITER)}",
        "tus-resumable": "1.0.0",
        "content-type": "application/offset+octet-stream",
        "upload-offset": "0",
    }

    start, body = exchange_messages(
        bench.yard, "PATCH", path_of(made.headers["location"]), headers, revoke_between(bench.yard, b"1234", b"5678")
    )

    assert (401, "INVALID_API_KEY") == (start["status"], json.loads(body["body"])["reason"])
    assert 0 == bytes_on_their_way(bench.home)


def test_an_address_of_the_file_store_takes_bytes_for_an_hour_only(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can end such an address before."""
    monkeypatch.setattr(FolderBlobs, "upload_link", lambda _, name, seconds: f"https://store.example/{name}/{seconds}")

    assert announce(bench.yard, "m").endswith("/3600")


def test_an_upload_whose_time_is_over_takes_nothing(bench: Bench) -> None:
    address = announce(bench.yard, "m")
    with bench.yard.store.transaction() as writing:
        writing.connection.exec_driver_sql("UPDATE uploads SET expires_at = 1")

    reply = put(bench.yard, address, lora_bytes())

    assert 410 == reply.status
    assert [b""] == [path.read_bytes() for path in (bench.home / "blobs" / "incoming").iterdir()]


def test_a_file_can_be_put_again_until_it_is_a_model(bench: Bench) -> None:
    first, second, third = lora_bytes(fill=5000), lora_bytes(seed=1), lora_bytes(seed=2)
    address = announce(bench.yard, "m")
    body = {"name": "m", "file_extension": "safetensors"}

    statuses = [put(bench.yard, address, content).status for content in (first, second)]
    model_id = ask(bench.yard, "/v3/model", method="POST", body=body).json["id"]
    late = put(bench.yard, address, third)
    bench.checking.verify_next()
    model = find(bench.yard, model_id)

    assert ([200, 200], 409) == (statuses, late.status)
    assert (1, hashlib.sha256(second).hexdigest()[:10].upper()) == (model["status"], model["hash_sha256"])
    assert second == bench.yard.ask(path_of(model["download_url"]), None).body


def test_the_same_file_under_the_same_name_is_there_already_though_its_hash_was_not_announced(bench: Bench) -> None:
    upload(bench.yard, "one", lora_bytes())
    bench.checking.verify_next()
    assert 200 == put(bench.yard, announce(bench.yard, "one"), lora_bytes()).status

    again = ask(bench.yard, "/v3/model", method="POST", body={"name": "one", "file_extension": "safetensors"})

    assert (409, "MODEL_ALREADY_EXISTED") == (again.status, again.json["reason"])


def test_a_removed_model_leaves_no_arrived_bytes(bench: Bench) -> None:
    model_id = upload(bench.yard, "mine", lora_bytes())["id"]

    ask(bench.yard, f"/v3/model?id={model_id}", method="DELETE")

    assert [] == list((bench.home / "blobs" / "incoming").iterdir())


def test_bytes_that_changed_between_their_arrival_and_their_check_are_refused(bench: Bench) -> None:
    assert 200 == put(bench.yard, announce(bench.yard, "m"), lora_bytes()).status
    registered = ask(bench.yard, "/v3/model", method="POST", body={"name": "m", "file_extension": "safetensors"})
    (arrived,) = (bench.home / "blobs" / "incoming").iterdir()
    arrived.write_bytes(lora_bytes(seed=1))

    bench.checking.verify_next()

    model_id = registered.json["id"]
    assert 0 == find(bench.yard, model_id)["status"]
    assert "mismatch" == ask(bench.yard, f"/v3/model/details?id={model_id}").json["check"]["verdict"]
    assert [] == [path for path in (bench.home / "blobs").rglob("*") if path.is_file()]


def announce(yard: App, name: str) -> str:
    """Announce a file without its hash; return where to put it."""
    body = {"model_name": name, "file_extension": "safetensors"}
    return path_of(ask(yard, "/v3/model/uploader", method="POST", body=body).json["upload_url"])


def put(yard: App, address: str, content: bytes) -> Reply:
    return yard.ask(address, None, method="PUT", body=content, content_length=str(len(content)))


def create(yard: App, length: int, **headers: str) -> Reply:
    """Begin a resumable upload."""
    return ask(yard, "/v3/uploads", method="POST", tus_resumable="1.0.0", upload_length=str(length), **headers)


def test_a_resumable_upload_counts_against_the_quota(tmp_path: Path) -> None:
    with open_app(tmp_path, team_quota_bytes=1000) as yard:
        over = create(yard, 1001)
        whole = create(yard, 1000)
        more = create(yard, 1)
        freed = ask(yard, path_of(whole.headers["location"]), method="DELETE", tus_resumable="1.0.0")
        again = create(yard, 1000, upload_concat="partial")

    assert [(413, "QUOTA_EXCEEDED")] * 2 == [(reply.status, reply.json["reason"]) for reply in (over, more)]
    assert [201, 204, 201] == [whole.status, freed.status, again.status]
    assert 1 == len(list((tmp_path / "blobs" / "incoming").iterdir()))


def add_part(yard: App, content: bytes) -> str:
    """A complete part of a tus concatenation."""
    part = path_of(create(yard, len(content), upload_concat="partial").headers["location"])
    words = {"content_type": "application/offset+octet-stream", "upload_offset": "0"}
    ask(yard, part, method="PATCH", body=content, tus_resumable="1.0.0", **words)
    return part


def join(yard: App, *parts: str) -> Reply:
    concat = "final;" + " ".join(parts)
    return ask(yard, "/v3/uploads", method="POST", tus_resumable="1.0.0", upload_concat=concat)


def bytes_on_their_way(home: Path) -> int:
    return sum(path.stat().st_size for path in (home / "blobs" / "incoming").iterdir())


def test_a_part_is_joined_once(tmp_path: Path) -> None:
    with open_app(tmp_path) as yard:
        parts = [add_part(yard, b"x" * 400) for _ in range(2)]

        twice = join(yard, parts[0], parts[1], parts[0])

        part_id = parts[0].rpartition("/")[2]
        assert (400, "INVALID_ARGUMENT") == (twice.status, twice.json["reason"])
        assert f"upload {part_id} is named 2 times; accepted: each part once" == twice.json["message"]
        assert 800 == bytes_on_their_way(tmp_path)
        assert 201 == join(yard, *parts).status


def test_parts_over_the_quota_or_the_disk_are_not_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits are checked before any byte is written: nothing is left of the attempt, and the parts stay."""
    with open_app(tmp_path) as yard:
        part = add_part(yard, b"x" * 400)
    with open_app(tmp_path, team_quota_bytes=399) as yard, monkeypatch.context() as patch:
        patch.setattr(IncomingFiles, "concatenate", lambda *_: pytest.fail("bytes were written"))
        over_quota = join(yard, part)
    with open_app(tmp_path) as yard, monkeypatch.context() as patch:
        patch.setattr(IncomingFiles, "concatenate", lambda *_: pytest.fail("bytes were written"))
        patch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=256 * 1024 * 1024 + 399))
        no_room = join(yard, part)

        assert ["QUOTA_EXCEEDED", "INSUFFICIENT_STORAGE"] == [reply.json["reason"] for reply in (over_quota, no_room)]
        assert 400 == bytes_on_their_way(tmp_path)
    with open_app(tmp_path, team_quota_bytes=400) as yard:
        assert 201 == join(yard, part).status


def test_a_file_that_fills_the_quota_to_the_byte_is_taken(tmp_path: Path) -> None:
    content = lora_bytes()
    with open_app(tmp_path, team_quota_bytes=len(content)) as yard:
        address = announce(yard, "m")
        # Its own bytes of before do not count when it is put again.
        statuses = [put(yard, address, content).status for _ in range(2)]

    assert [200, 200] == statuses


def test_each_way_in_has_the_limit_of_a_file_and_of_open_uploads(tmp_path: Path) -> None:
    with open_app(tmp_path, upload_bytes_max=1000, team_open_uploads_max=2) as yard:
        parts = [add_part(yard, b"x" * size) for size in (1000, 1)]
        address = announce(yard, "m")
        long = [create(yard, 1001), put(yard, address, b"x" * 1001), join(yard, *parts)]
        last = create(yard, 1000, upload_concat="partial")
        many = [create(yard, 10), ask(yard, "/v3/model/uploader", method="POST", body=ANNOUNCEMENT)]

    assert [(413, "FILE_EXCEEDS_MAX_SIZE")] * 3 == [(reply.status, reply.json["reason"]) for reply in long]
    assert 201 == last.status
    assert [(429, "TOO_MANY_UPLOADS")] * 2 == [(reply.status, reply.json["reason"]) for reply in many]


ANNOUNCEMENT = {"model_name": "m", "file_extension": "safetensors"}


def test_what_is_swept_from_the_arrivals_is_old_and_no_upload_s(bench: Bench) -> None:
    announce(bench.yard, "m")
    incoming = bench.home / "blobs" / "incoming"
    (known,) = incoming.iterdir()
    old, young = incoming / ("a" * 32), incoming / ("b" * 32)
    for path in (old, young):
        path.touch()
    for path in (known, old):
        os.utime(path, (1, 1))

    bench.checking.purge_expired()

    assert {known.name, young.name} == {path.name for path in incoming.iterdir()}


def delete_for_good(yard: App, model_id: int) -> None:
    ask(yard, f"/v3/model?id={model_id}", method="DELETE")
    with yard.store.transaction() as writing:
        deleted_models.remove(writing.connection, [model_id])


def test_bytes_without_an_upload_stay_for_an_hour(bench: Bench) -> None:
    incoming = IncomingFiles(bench.home / "blobs" / "incoming")
    for number, age_seconds in enumerate((3_599, 3_600, 3_601)):
        incoming.create(f"{number:032x}")
        os.utime(incoming.path(f"{number:032x}"), (10_000 - age_seconds, 10_000 - age_seconds))
    kept = open_storage("", bench.home, {}).kept

    UploadCleaner(bench.yard.store, kept, incoming, clock=lambda: 10_000).purge_expired()

    assert [f"{number:032x}" for number in (0, 1)] == [upload_id for upload_id, _ in incoming.all()]


def test_a_dry_run_of_collecting_notes_nothing(bench: Bench) -> None:
    model_id = upload(bench.yard, "mine", lora_bytes())["id"]
    bench.checking.verify_next()
    with bench.yard.store.transaction() as writing:
        writing.connection.exec_driver_sql("DELETE FROM uploads")
    delete_for_good(bench.yard, model_id)

    bench.checking.collect_garbage(3600, dry_run=True)
    with bench.yard.store.reading() as connection:
        dry = rows.find(connection, hashlib.sha256(lora_bytes()).hexdigest())
    bench.checking.collect_garbage(3600, dry_run=False)
    with bench.yard.store.reading() as connection:
        noted = rows.find(connection, hashlib.sha256(lora_bytes()).hexdigest())

    assert dry is not None
    assert noted is not None
    assert (True, False) == (dry.unused_since is None, noted.unused_since is None)


def test_a_body_over_its_limit_is_refused_before_it_is_read(bench: Bench) -> None:
    reply = ask(bench.yard, "/v3/model", method="POST", body=b"[]", content_length=str(10**9))

    assert (413, "FILE_EXCEEDS_MAX_SIZE") == (reply.status, reply.json["reason"])


def test_what_nothing_points_at_is_collected_after_its_grace(bench: Bench) -> None:
    model_id = upload(bench.yard, "mine", lora_bytes())["id"]
    bench.checking.verify_next()
    with bench.yard.store.transaction() as writing:  # the upload's own memory of it is over
        writing.connection.exec_driver_sql("DELETE FROM uploads")
    sha256 = hashlib.sha256(lora_bytes()).hexdigest()

    kept = bench.checking.collect_garbage(0, dry_run=False)
    delete_for_good(bench.yard, model_id)
    told = bench.checking.collect_garbage(0, dry_run=True)
    waiting = bench.checking.collect_garbage(3600, dry_run=False)
    collected = bench.checking.collect_garbage(0, dry_run=False)

    assert [] == kept == waiting
    assert [sha256] == [each.sha256 for each in told] == [each.sha256 for each in collected]
    assert [] == [path for path in (bench.home / "blobs").rglob("*") if path.is_file()]
    with bench.yard.store.reading() as connection:
        assert None is rows.find(connection, sha256)


def test_an_upload_that_is_complete_is_not_open(tmp_path: Path) -> None:
    with open_app(tmp_path, team_open_uploads_max=1) as yard:
        statuses = [put(yard, announce(yard, f"m{number}"), lora_bytes(seed=number)).status for number in range(3)]

    assert [200, 200, 200] == statuses


def test_an_announced_file_becomes_one_model(bench: Bench) -> None:
    upload(bench.yard, "one", lora_bytes())

    again = ask(bench.yard, "/v3/model", method="POST", body={"name": "one", "file_extension": "safetensors"})

    assert (400, "INVALID_REQUEST_BODY") == (again.status, again.json["reason"])


def test_a_model_is_made_of_the_file_with_its_extension_and_hash(bench: Bench) -> None:
    contents = {"safetensors": lora_bytes(), "pt": dangerous_bytes()}
    for extension, content in contents.items():
        put_file(bench.yard, "m", content, extension=extension)
    put_file(bench.yard, "m", lora_bytes(seed=1))

    first = {"name": "m", "file_extension": "safetensors", "file_sha256": sha256_base64(contents["safetensors"])}
    by_hash = ask(bench.yard, "/v3/model", method="POST", body=first).json["id"]
    by_extension = ask(bench.yard, "/v3/model", method="POST", body={"name": "m", "file_extension": "pt"}).json["id"]
    while bench.checking.verify_next():
        pass

    assert (
        hashlib.sha256(contents["safetensors"]).hexdigest()[:10].upper() == (find(bench.yard, by_hash)["hash_sha256"])
    )
    checked = ask(bench.yard, f"/v3/model/details?id={by_extension}").json["check"]
    assert "dangerous" == checked["verdict"]


def test_the_newest_of_two_announced_files_is_taken(bench: Bench) -> None:
    old, new = lora_bytes(), lora_bytes(seed=1)
    put_file(bench.yard, "m", old)
    with bench.yard.store.transaction() as writing:
        writing.connection.exec_driver_sql("UPDATE uploads SET created_at = created_at - 60")
    put_file(bench.yard, "m", new)

    made = ask(bench.yard, "/v3/model", method="POST", body={"name": "m", "file_extension": "safetensors"})
    bench.checking.verify_next()

    assert hashlib.sha256(new).hexdigest()[:10].upper() == find(bench.yard, made.json["id"])["hash_sha256"]


def test_an_upload_whose_time_is_over_stays_while_its_check_waits(bench: Bench) -> None:
    model_id = upload(bench.yard, "m", lora_bytes())["id"]
    with bench.yard.store.transaction() as writing:
        writing.connection.exec_driver_sql("UPDATE uploads SET expires_at = 1")

    bench.checking.purge_expired()
    bench.checking.verify_next()

    assert 1 == find(bench.yard, model_id)["status"]


def test_an_upload_ends_in_the_second_in_which_its_time_is_over(bench: Bench) -> None:
    for name in ("ended", "open"):
        announce(bench.yard, name)
    with bench.yard.store.transaction() as transaction:
        first = min(upload_rows.ids(transaction.connection))
        transaction.connection.exec_driver_sql("UPDATE uploads SET expires_at = 1001")
        transaction.connection.exec_driver_sql(f"UPDATE uploads SET expires_at = 1000 WHERE id = '{first}'")

    with bench.yard.store.reading() as connection:
        ended = [upload.id for upload in upload_rows.expired(connection, 1000)]

    assert [first] == ended


def test_a_blob_that_is_needed_again_is_not_collected_and_has_its_whole_grace_after_that(bench: Bench) -> None:
    sha256 = hashlib.sha256(lora_bytes()).hexdigest()

    def uploaded() -> int:
        model_id: int = upload(bench.yard, "m", lora_bytes())["id"]
        bench.checking.verify_next()
        with bench.yard.store.transaction() as writing:
            writing.connection.exec_driver_sql("DELETE FROM uploads")
        return model_id

    def unused_since() -> int | None:
        with bench.yard.store.reading() as connection:
            blob = rows.find(connection, sha256)
        assert blob is not None
        return blob.unused_since

    delete_for_good(bench.yard, uploaded())
    bench.checking.purge_expired()
    with bench.yard.store.transaction() as writing:
        writing.connection.exec_driver_sql("UPDATE blobs SET unused_since = 1000")
    bench.checking.purge_expired()
    noted = unused_since()
    model_id = uploaded()
    kept = bench.checking.collect_garbage(3600, dry_run=False)
    bench.checking.purge_expired()
    used = unused_since()
    ask(bench.yard, f"/v3/model?id={model_id}", method="DELETE")
    waiting = bench.checking.collect_garbage(3600, dry_run=False)

    assert (1000, [], None, []) == (noted, kept, used, waiting)


def test_a_blob_that_an_upload_waits_to_be_is_not_collected(bench: Bench) -> None:
    model_id = upload(bench.yard, "m", lora_bytes())["id"]
    bench.checking.verify_next()
    ask(bench.yard, f"/v3/model?id={model_id}", method="DELETE")
    assert 200 == put(bench.yard, announce(bench.yard, "m"), lora_bytes()).status

    assert [] == bench.checking.collect_garbage(0, dry_run=False)


def test_a_blob_whose_model_is_back_is_used_again(bench: Bench) -> None:
    model_id = upload(bench.yard, "m", lora_bytes())["id"]
    bench.checking.verify_next()
    entry = bench.yard.store.entry(model_id)
    assert entry is not None
    ask(bench.yard, f"/v3/model?id={model_id}", method="DELETE")
    with bench.yard.store.transaction() as writing:
        writing.connection.exec_driver_sql("DELETE FROM uploads")
        writing.connection.exec_driver_sql("UPDATE blobs SET unused_since = 1000")
    bench.yard.put(entry.model)

    told = bench.checking.collect_garbage(3600, dry_run=True)
    bench.checking.purge_expired()
    with bench.yard.store.reading() as connection:
        blob = rows.find(connection, hashlib.sha256(lora_bytes()).hexdigest())

    assert blob is not None
    assert ([], None) == (told, blob.unused_since)


def test_a_quota_counts_a_team_s_own_bytes_once(tmp_path: Path) -> None:
    content = lora_bytes()
    with open_app(tmp_path, team_quota_bytes=2 * len(content)) as yard:
        check = checking(yard, tmp_path)
        for name, team, seed in (("one", "red", 0), ("two", "red", 0), ("one", "blue", 1)):
            upload(yard, name, lora_bytes(seed=seed), team)
            check.verify_next()
        ask(yard, "/v3/uploads", "blue", method="POST", tus_resumable="1.0.0", upload_length="1")
        fits = create(yard, len(content))
        more = create(yard, 1)

    assert (201, 413) == (fits.status, more.status)


def test_two_models_of_one_file_are_told_apart_by_name_and_team(bench: Bench) -> None:
    content = lora_bytes()
    ids = []
    for name, team in (("one", "blue"), ("one", "red"), ("two", "red")):
        ids.append(upload(bench.yard, name, content, team)["id"])
        bench.checking.verify_next()
    link = path_of(find(bench.yard, ids[2])["download_url"])
    ask(bench.yard, f"/v3/model?id={ids[2]}", method="PATCH", body={"status": 0})

    unavailable = bench.yard.ask(link, None).status
    ask(bench.yard, f"/v3/model?id={ids[2]}", method="PATCH", body={"status": 1})

    assert [404, 200] == [unavailable, bench.yard.ask(link, None).status]


def test_a_put_that_ends_early_leaves_nothing(bench: Bench) -> None:
    address = announce(bench.yard, "m")
    content = lora_bytes()
    messages = [{"type": "http.request", "body": content[:100], "more_body": True}, {"type": "http.disconnect"}]

    exchange_messages(bench.yard, "PUT", address, {"content-length": str(len(content))}, messages)
    left = [path.read_bytes() for path in (bench.home / "blobs" / "incoming").iterdir()]

    assert [b""] == left
    assert 200 == put(bench.yard, address, content).status


def test_a_put_without_its_length_is_refused(bench: Bench) -> None:
    reply = bench.yard.ask(announce(bench.yard, "m"), None, method="PUT", body=lora_bytes())

    assert (400, "INVALID_REQUEST_BODY") == (reply.status, reply.json["reason"])


def test_a_body_that_does_not_say_its_length_is_cut_off_at_its_limit(bench: Bench) -> None:
    headers = {"authorization": f"Bearer {bench.yard.key('red', *WRITER)}"}
    pieces: list[int] = []

    def endless() -> Iterator[dict[str, Any]]:
        for number in range(1000):
            pieces.append(number)
            yield {"type": "http.request", "body": b" " * 16_384, "more_body": True}

    start, _ = exchange_messages(bench.yard, "POST", "/v3/model", headers, endless())

    assert (413, 5) == (start["status"], len(pieces))


def test_the_file_of_a_deleted_model_stays_for_thirty_days(bench: Bench) -> None:
    model_id = upload(bench.yard, "mine", lora_bytes())["id"]
    bench.checking.verify_next()
    with bench.yard.store.transaction() as writing:
        writing.connection.exec_driver_sql("DELETE FROM uploads")
    assert (200, {}) == (
        (reply := ask(bench.yard, f"/v3/model?id={model_id}", method="DELETE")).status,
        reply.json,
    )

    early = bench.checking.collect_garbage(0, dry_run=False)
    with bench.yard.store.transaction() as writing:
        writing.connection.exec_driver_sql(f"UPDATE deleted_models SET deleted_at = deleted_at - {30 * 86_400}")
    bench.checking.purge_expired()
    late = bench.checking.collect_garbage(0, dry_run=False)

    assert ([], 1) == (early, len(late))


def test_deleted_models_give_way_to_an_upload_that_needs_the_quota(tmp_path: Path) -> None:
    size = len(lora_bytes())
    with open_app(tmp_path, team_quota_bytes=2 * size) as yard:
        verification = checking(yard, tmp_path)
        ids = []
        for seed in range(2):
            ids.append(upload(yard, f"m{seed}", lora_bytes(seed=seed))["id"])
            verification.verify_next()
        with yard.store.transaction() as writing:
            writing.connection.exec_driver_sql("DELETE FROM uploads")
        for model_id in ids:
            ask(yard, f"/v3/model?id={model_id}", method="DELETE")
        with yard.store.reading() as connection:
            before = [model.entry.model.id for model in deleted_models.of_team(connection, "red", 9)]
        status = create(yard, size).status
        with yard.store.reading() as connection:
            after = [model.entry.model.id for model in deleted_models.of_team(connection, "red", 9)]

    assert (ids[::-1], 201, ids[1:]) == (before, status, after)


@pytest.mark.parametrize(
    "text", ["", "a", "é", "AAAA", 43 * "A", "A" * 42, base64.b64encode(bytes(33)).decode(), 64 * "0"]
)
def test_a_checksum_that_is_no_sha256_in_base64_is_refused(text: str) -> None:
    assert "00" * 32 == sha256_of("x", base64.b64encode(bytes(32)).decode())
    with pytest.raises(errors.InvalidValue, match="x: not the base64 of a SHA-256's 32 bytes"):
        sha256_of("x", text)
