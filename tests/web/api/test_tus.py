"""Resumable uploads (tus 1.0): the protocol by hand, and its clients as they are.

Not covered here: what a killed server leaves (test_transfer_crashes.py).
"""

import base64
import hashlib
import http.client
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modelyard import errors
from modelyard.blobs import IncomingFiles, open_storage
from modelyard.domain import Viewer
from modelyard.facts import resolve
from modelyard.uploads.uploads import UploadLimits, Uploads
from tests import npm, requirements
from tests.app_fixture import Address, App, Reply, listening, open_app
from tests.process_commands import serving
from tests.transfers import WRITER, Verification, ask, checking, exchange_messages, find, lora_bytes, path_of

TUS_JS = "tus-js-client@4.3.1"
BODY = {"content-type": "application/offset+octet-stream"}


@dataclass
class Bench:
    yard: App
    address: Address
    checking: Verification
    home: Path

    def ask(self, method: str, path: str, team: str = "red", body: bytes = b"", **headers: str) -> Reply:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        given.setdefault("tus-resumable", "1.0.0")
        given["authorization"] = f"Bearer {self.yard.key(team, *WRITER)}"
        connection = http.client.HTTPConnection(self.address.host, self.address.port, timeout=60)
        try:
            connection.request(method, path, body or None, given)
            answer = connection.getresponse()
            content = answer.read()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content)
        finally:
            connection.close()

    def create(self, length: int, team: str = "red", concat: str = "", **said: str) -> str:
        headers = {"upload_concat": concat} if concat else {}
        words = {"upload_length": str(length), "upload_metadata": metadata(**said)}
        made = self.ask("POST", "/v3/uploads", team, **words, **headers)
        assert 201 == made.status, made.body
        return "/v3/uploads/" + made.headers["location"].rpartition("/")[2]

    def append(self, path: str, offset: int, body: bytes, team: str = "red", **headers: str) -> Reply:
        return self.ask("PATCH", path, team, body, upload_offset=str(offset), **BODY_WORDS, **headers)

    def models(self, team: str = "red") -> list[dict[str, Any]]:
        key = {"authorization": f"Bearer {self.yard.key(team)}"}
        listed: list[dict[str, Any]] = self.address.ask("/v3/model?filter.visibility=private", key).json["models"]
        return listed


BODY_WORDS = {"content_type": "application/offset+octet-stream"}


def metadata(**said: str) -> str:
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in said.items())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with open_app(tmp_path) as yard, listening(yard) as address:
        yield Bench(yard, address, checking(yard, tmp_path), tmp_path)


def test_what_the_server_can_is_told_without_a_version(bench: Bench) -> None:
    told = bench.ask("OPTIONS", "/v3/uploads", tus_resumable="")

    assert 204 == told.status
    assert "1.0.0" == told.headers["tus-version"]
    assert {"creation", "creation-with-upload", "termination", "checksum", "expiration", "concatenation"} == set(
        told.headers["tus-extension"].split(",")
    )
    assert "sha256" in told.headers["tus-checksum-algorithm"]


def test_an_upload_in_pieces_becomes_a_private_model_by_itself(bench: Bench) -> None:
    content = lora_bytes(fill=2_500_000)
    path = bench.create(len(content), filename="My Nice LoRA.safetensors", tags="one,two")
    for start in range(0, len(content), 1_000_000):
        appended = bench.append(path, start, content[start : start + 1_000_000])
        assert 204 == appended.status, appended.body
    (before,) = bench.models()
    bench.checking.verify_next()
    (after,) = bench.models()

    assert (0, 1) == (before["status"], after["status"])
    assert ["My_Nice_LoRA", "lora", ["one", "two"]] == [after["name"], after["type"]["name"], after["tags"]]
    assert hashlib.sha256(content).hexdigest()[:10].upper() == after["hash_sha256"]
    assert str(len(content)) == bench.ask("HEAD", path).headers["upload-offset"]


def test_a_file_name_outside_ascii_is_the_title_and_the_names_for_calls_are_ascii(bench: Bench) -> None:
    bench.append(bench.create(10, filename="Crème brûlée 原.safetensors"), 0, 10 * b"a")

    (model,) = bench.models()

    layers = bench.yard.catalog.get(Viewer("red"), model["id"]).layers
    assert "Crème brûlée 原" == resolve(layers).title
    assert model["name"].startswith("Creme_brulee")
    assert f"{model['name']}_{model['id']}.safetensors" == model["sd_name"]


def test_creation_can_bring_the_first_bytes(bench: Bench) -> None:
    content = lora_bytes()

    made = bench.ask("POST", "/v3/uploads", body=content, upload_length=str(len(content)), **BODY_WORDS)

    assert (201, str(len(content))) == (made.status, made.headers["upload-offset"])
    assert 1 == len(bench.models())


def test_parts_become_one_upload(bench: Bench) -> None:
    content = lora_bytes(fill=100_000)
    cut = 41_000
    addresses = []
    for piece in (content[:cut], content[cut:]):
        made = bench.ask("POST", "/v3/uploads", upload_length=str(len(piece)), upload_concat="partial")
        path = "/v3/uploads/" + made.headers["location"].rpartition("/")[2]
        assert 204 == bench.append(path, 0, piece).status
        addresses.append(made.headers["location"])
    assert [] == bench.models()

    final = bench.ask("POST", "/v3/uploads", upload_concat="final;" + " ".join(addresses))
    bench.checking.verify_next()

    assert 201 == final.status, final.body
    (model,) = bench.models()
    assert hashlib.sha256(content).hexdigest()[:10].upper() == model["hash_sha256"]
    assert 1 == model["status"]
    ids = [address.rpartition("/")[2] for address in (*addresses, final.headers["location"])]
    verbs = ("upload.create", "upload.create", "upload.join")
    assert [(verb, upload, "red") for verb, upload in zip(verbs, ids, strict=True)] == bench.yard.audited("upload")


def test_an_upload_made_of_others_takes_no_bytes(bench: Bench) -> None:
    content = lora_bytes()
    made = bench.ask("POST", "/v3/uploads", upload_length=str(len(content)), upload_concat="partial")
    bench.append("/v3/uploads/" + made.headers["location"].rpartition("/")[2], 0, content)
    final = bench.ask("POST", "/v3/uploads", upload_concat="final;" + made.headers["location"])
    path = "/v3/uploads/" + final.headers["location"].rpartition("/")[2]

    reply = bench.append(path, len(content), b"more")

    assert (403, "UPLOAD_FINAL") == (reply.status, reply.json["reason"])
    assert "a final upload takes no bytes" == reply.json["message"]


def test_a_body_with_a_wrong_checksum_is_460_and_was_never_here(bench: Bench) -> None:
    content = lora_bytes()
    path = bench.create(len(content))
    bench.append(path, 0, content[:100])
    wrong = "sha256 " + base64.b64encode(hashlib.sha256(b"else").digest()).decode()
    right = "sha256 " + base64.b64encode(hashlib.sha256(content[100:]).digest()).decode()

    refused = bench.append(path, 100, content[100:], upload_checksum=wrong)
    offset = bench.ask("HEAD", path).headers["upload-offset"]
    taken = bench.append(path, 100, content[100:], upload_checksum=right)
    bench.checking.verify_next()

    assert (460, "100", 204) == (refused.status, offset, taken.status)
    assert 1 == bench.models()[0]["status"]


def test_bytes_that_do_not_begin_at_the_end_are_409(bench: Bench) -> None:
    path = bench.create(1000)
    bench.append(path, 0, b"x" * 10)

    reply = bench.append(path, 5, b"y" * 10)

    assert (409, "UPLOAD_OFFSET_CONFLICT") == (reply.status, reply.json["reason"])
    assert "10" == bench.ask("HEAD", path).headers["upload-offset"]


def test_more_bytes_than_announced_are_413(bench: Bench) -> None:
    path = bench.create(10)

    reply = bench.append(path, 0, b"x" * 11)

    assert 413 == reply.status
    assert "0" == bench.ask("HEAD", path).headers["upload-offset"]


def test_an_upload_can_be_given_up(bench: Bench) -> None:
    path = bench.create(10)

    assert 204 == bench.ask("DELETE", path).status
    assert 404 == bench.ask("HEAD", path).status
    assert [] == [found for found in (bench.home / "blobs" / "incoming").iterdir() if found.is_file()]


def test_an_upload_that_has_become_a_model_cannot_be_cancelled(bench: Bench) -> None:
    path = bench.create(4)
    bench.append(path, 0, b"abcd")

    reply = bench.ask("DELETE", path)

    assert (409, "UPLOAD_COMPLETE") == (reply.status, reply.json["reason"])


def test_another_content_type_is_415(bench: Bench) -> None:
    path = bench.create(4)

    reply = bench.ask("PATCH", path, body=b"abcd", upload_offset="0", content_type="application/octet-stream")

    assert (415, "UNSUPPORTED_MEDIA_TYPE") == (reply.status, reply.json["reason"])


@pytest.mark.parametrize("method", ["HEAD", "PATCH", "DELETE"])
def test_another_teams_upload_is_404(bench: Bench, method: str) -> None:
    path = bench.create(10)

    reply = bench.ask(method, path, "blue", b"x" if method == "PATCH" else b"", upload_offset="0", **BODY_WORDS)

    assert 404 == reply.status
    assert "0" == bench.ask("HEAD", path).headers["upload-offset"]


def test_another_teams_part_cannot_be_joined(bench: Bench) -> None:
    made = bench.ask("POST", "/v3/uploads", upload_length="3", upload_concat="partial")
    bench.append("/v3/uploads/" + made.headers["location"].rpartition("/")[2], 0, b"abc")

    reply = bench.ask("POST", "/v3/uploads", "blue", upload_concat="final;" + made.headers["location"])

    assert 404 == reply.status


def test_another_version_of_the_protocol_is_412(bench: Bench) -> None:
    reply = bench.ask("POST", "/v3/uploads", tus_resumable="0.2.2", upload_length="1")

    assert (412, "1.0.0") == (reply.status, reply.headers["tus-version"])


BAD = [
    {"upload_length": "-1"},
    {"upload_length": "x"},
    {"upload_length": "1" * 30},
    {},
    {"upload_length": "5", "upload_metadata": "filename !!!"},
    {"upload_length": "5", "upload_metadata": metadata(name="../x")},
    {"upload_length": "5", "upload_metadata": metadata(visibility="all")},
    {"upload_length": "5", "upload_concat": "whatever"},
    {"upload_concat": "final;../../etc/passwd"},
]


@pytest.mark.parametrize("headers", BAD, ids=str)
def test_a_creation_that_cannot_be_meant_is_400(bench: Bench, headers: dict[str, str]) -> None:
    assert 400 == bench.ask("POST", "/v3/uploads", **headers).status


@pytest.mark.parametrize("name", ["../../../etc/passwd.safetensors", "a\r\nX: y.safetensors", "C:\\x\\y.safetensors"])
def test_a_file_name_is_a_label_and_never_a_path(bench: Bench, name: str) -> None:
    content = lora_bytes()
    path = bench.create(len(content), filename=name)
    bench.append(path, 0, content)
    bench.checking.verify_next()

    (model,) = bench.models()

    assert not set(model["sd_name"]) & set("/\\\r\n:")
    link = model["download_url"].partition(bench.address.url)[2]
    disposition = bench.address.ask(link).headers["content-disposition"]
    assert "/" not in disposition
    assert {path.name for path in (bench.home / "blobs").rglob("*") if path.is_file()} == {
        hashlib.sha256(content).hexdigest()
    }


def test_what_is_not_finished_in_time_is_410_then_cleared(tmp_path: Path) -> None:
    with open_app(tmp_path) as yard, listening(yard) as address:
        bench = Bench(yard, address, checking(yard, tmp_path), tmp_path)
        path = bench.create(10)
        with yard.store.transaction() as writing:
            writing.connection.exec_driver_sql("UPDATE uploads SET expires_at = 1")

        expired = bench.ask("HEAD", path)
        bench.checking.purge_expired()
        cleared = bench.ask("HEAD", path)

        assert (410, 404) == (expired.status, cleared.status)
        assert [] == [found for found in (tmp_path / "blobs" / "incoming").iterdir() if found.is_file()]


def test_two_writers_at_once_never_mix_their_bytes(bench: Bench) -> None:
    content = lora_bytes(fill=8_000_000)
    path = bench.create(len(content))
    statuses: list[int] = []

    def write() -> None:
        for _ in range(20):
            offset = int(bench.ask("HEAD", path).headers["upload-offset"])
            if offset == len(content):
                return
            try:
                statuses.append(bench.append(path, offset, content[offset : offset + 900_000]).status)
            except OSError:
                statuses.append(0)  # the other one took over while we sent

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    bench.checking.verify_next()

    assert {0, 204, 409, 423} >= set(statuses)
    (model,) = bench.models()
    assert (1, hashlib.sha256(content).hexdigest()[:10].upper()) == (model["status"], model["hash_sha256"])


def test_a_client_that_comes_back_takes_over_from_its_dead_connection(bench: Bench) -> None:
    content = lora_bytes(fill=300_000)
    path = bench.create(len(content))
    dead = http.client.HTTPConnection(bench.address.host, bench.address.port, timeout=60)
    dead.putrequest("PATCH", path)
    for name, value in {
        "Authorization": f"Bearer {bench.yard.key('red', *WRITER)}",
        "Tus-Resumable": "1.0.0",
        "Content-Type": "application/offset+octet-stream",
        "Upload-Offset": "0",
        "Content-Length": str(len(content)),
    }.items():
        dead.putheader(name, value)
    dead.endheaders()
    dead.send(content[:1000])

    offset = int(bench.ask("HEAD", path).headers["upload-offset"])
    first = bench.append(path, offset, content[offset:])
    offset = int(bench.ask("HEAD", path).headers["upload-offset"])
    second = bench.append(path, offset, content[offset:])
    dead.close()
    bench.checking.verify_next()

    assert 204 in (first.status, second.status)
    assert 1 == bench.models()[0]["status"]


def test_tuspy_uploads_as_it_is(bench: Bench, tmp_path: Path) -> None:
    client_module = requirements.module("tusclient.client")
    content = lora_bytes(fill=1_500_000)
    (tmp_path / "by tuspy.safetensors").write_bytes(content)
    key = {"Authorization": f"Bearer {bench.yard.key('red', *WRITER)}"}

    client = client_module.TusClient(bench.address.url + "/v3/uploads", headers=key)
    with (tmp_path / "by tuspy.safetensors").open("rb") as file:
        uploader = client.uploader(
            file_stream=file,
            chunk_size=400_000,
            metadata={"filename": "by tuspy.safetensors", "name": "by tuspy"},
            upload_checksum=True,
        )
        uploader.upload_chunk()
        client.uploader(file_stream=file, url=uploader.url, chunk_size=500_000).upload()
    bench.checking.verify_next()

    (model,) = bench.models()
    assert ("by tuspy", 1) == (model["name"], model["status"])
    assert model == find(bench.yard, model["id"]) | {"download_url": model["download_url"]}


TUS_SCRIPT = """
const tus = require("tus-js-client");
const fs = require("fs");
const [url, key, file, parallel] = process.argv.slice(2);
const upload = new tus.Upload(fs.createReadStream(file), {
  endpoint: url, headers: { Authorization: "Bearer " + key }, chunkSize: 300000,
  parallelUploads: Number(parallel), storeFingerprintForResuming: false,
  metadata: { filename: "by tus-js.safetensors", filetype: "application/octet-stream" },
  onError: (error) => { console.error(String(error)); process.exit(1); },
  onSuccess: () => console.log(upload.url),
});
upload.start();
"""


@pytest.fixture(scope="session")
def tus_folder(request: pytest.FixtureRequest) -> Path:
    return npm.installed(request.config, TUS_JS)


@pytest.mark.parametrize("parallel", [1, 3])
def test_tus_js_client_uploads_as_it_is(bench: Bench, tus_folder: Path, tmp_path: Path, parallel: int) -> None:
    content = lora_bytes(fill=1_500_000)
    (tmp_path / "model.safetensors").write_bytes(content)
    (tus_folder / "upload.cjs").write_text(TUS_SCRIPT)
    command = ["node", tus_folder / "upload.cjs", bench.address.url + "/v3/uploads", bench.yard.key("red", *WRITER)]

    done = subprocess.run(
        [*command, tmp_path / "model.safetensors", str(parallel)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    bench.checking.verify_next()

    assert 0 == done.returncode, done.stderr
    (model,) = bench.models()
    assert ("by_tus-js", 1) == (model["name"], model["status"])
    assert hashlib.sha256(content).hexdigest()[:10].upper() == model["hash_sha256"]


def test_a_joined_upload_takes_no_bytes(bench: Bench) -> None:
    part = bench.create(4, concat="partial")
    bench.append(part, 0, b"abcd")
    final = bench.ask("POST", "/v3/uploads", upload_concat=f"final;{part}")
    path = "/v3/uploads/" + final.headers["location"].rpartition("/")[2]

    refused = [bench.append(path, offset, b"more").status for offset in (0, 4)]

    assert [403, 403] == refused
    assert b"abcd" == (bench.home / "blobs" / "incoming" / path.rpartition("/")[2]).read_bytes()
    assert "4" == bench.ask("HEAD", path).headers["upload-offset"]


def test_an_upload_by_put_takes_no_resumable_bytes(bench: Bench) -> None:
    body = json.dumps({"model_name": "m", "file_extension": "safetensors"}).encode()
    announced = bench.ask("POST", "/v3/model/uploader", body=body).json["upload_url"]
    upload_id = announced.partition("?")[0].rpartition("/")[2]

    reply = bench.append(f"/v3/uploads/{upload_id}", 0, b"")

    assert 404 == reply.status


def test_a_finished_upload_takes_no_more_bytes(bench: Bench) -> None:
    path = bench.create(4)
    assert 204 == bench.append(path, 0, b"abcd").status

    at_the_end, with_bytes, at_another_place = (
        bench.append(path, offset, body) for offset, body in ((4, b""), (4, b"e"), (3, b""))
    )

    assert (204, "4") == (at_the_end.status, at_the_end.headers["upload-offset"])
    assert [(409, "UPLOAD_OFFSET_CONFLICT")] * 2 == [
        (reply.status, reply.json["reason"]) for reply in (with_bytes, at_another_place)
    ]
    assert b"abcd" == (bench.home / "blobs" / "incoming" / path.rpartition("/")[2]).read_bytes()


def test_a_finished_upload_is_answered_after_its_time_is_over(bench: Bench) -> None:
    path = bench.create(4)
    bench.append(path, 0, b"abcd")
    with bench.yard.store.transaction() as writing:
        writing.connection.exec_driver_sql("UPDATE uploads SET expires_at = 1")

    reply = bench.ask("HEAD", path)

    assert (200, "4") == (reply.status, reply.headers["upload-offset"])
    assert "modelyard-model" in reply.headers


@pytest.mark.parametrize("checksum", ["md5 AAAA", "sha256", "sha256 ", "sha256 !!!", ""])
def test_a_checksum_that_cannot_be_checked_is_400(bench: Bench, checksum: str) -> None:
    path = bench.create(4)

    reply = bench.append(path, 0, b"abcd", upload_checksum=checksum)

    assert (400, "0") == (reply.status, bench.ask("HEAD", path).headers["upload-offset"])


def test_the_sha256_that_is_announced_has_to_be_one_and_is_compared(bench: Bench) -> None:
    content = lora_bytes()
    digest = hashlib.sha256(content).hexdigest()
    length = str(len(content))
    refused = [
        bench.ask("POST", "/v3/uploads", upload_length=length, upload_metadata=metadata(filename="m.pt", sha256=text))
        for text in (digest[:-1], digest[:-1] + "g", "")
    ]

    right = bench.create(len(content), filename="a.safetensors", sha256=digest.upper())
    wrong = bench.create(len(content), filename="b.safetensors", sha256="0" * 64)
    for path in (right, wrong):
        bench.append(path, 0, content)
    while bench.checking.verify_next():
        pass

    assert [400] * 3 == [reply.status for reply in refused]
    assert {"a": 1, "b": 0} == {model["name"]: model["status"] for model in bench.models()}


def test_an_upload_that_another_worker_may_still_take_back_is_not_complete(bench: Bench) -> None:
    content = lora_bytes()
    path = bench.create(len(content))
    incoming = IncomingFiles(bench.home / "blobs" / "incoming")
    with incoming.open(path.rpartition("/")[2]) as appending:
        appending.write(content)
        told = bench.ask("HEAD", path)
        before = bench.models()
        appending.truncate_to_start()

    assert (200, []) == (told.status, before)
    assert "0" == bench.ask("HEAD", path).headers["upload-offset"]
    assert 204 == bench.append(path, 0, content).status
    assert 1 == len(bench.models())


def test_only_finished_parts_are_joined(bench: Bench) -> None:
    open_part = bench.create(4, concat="partial")
    bench.append(open_part, 0, b"abc")
    whole = bench.create(4)
    bench.append(whole, 0, b"abcd")

    replies = [bench.ask("POST", "/v3/uploads", upload_concat=f"final;{path}") for path in (open_part, whole)]

    assert [400, 400] == [reply.status for reply in replies]
    assert [200, 200] == [bench.ask("HEAD", path).status for path in (open_part, whole)]


def test_an_upload_that_became_a_model_is_not_given_up(bench: Bench) -> None:
    path = bench.create(4)
    bench.append(path, 0, b"abcd")

    reply = bench.ask("DELETE", path)

    assert 409 == reply.status
    assert 200 == bench.ask("HEAD", path).status
    assert b"abcd" == (bench.home / "blobs" / "incoming" / path.rpartition("/")[2]).read_bytes()


def test_an_interrupted_body_with_a_checksum_is_taken_back(bench: Bench) -> None:
    path = bench.create(10)
    digest = base64.b64encode(hashlib.sha256(b"0123456789").digest()).decode()
    headers = {
        "authorization": f"Bearer {bench.yard.key('red', *WRITER)}",
        "tus-resumable": "1.0.0",
        "upload-offset": "0",
        "upload-checksum": f"sha256 {digest}",
        **BODY,
    }
    messages = [{"type": "http.request", "body": b"01234", "more_body": True}, {"type": "http.disconnect"}]

    exchange_messages(bench.yard, "PATCH", path, headers, messages)

    assert "0" == bench.ask("HEAD", path).headers["upload-offset"]


def test_a_body_that_does_not_say_its_length_is_cut_off_at_the_upload_s(bench: Bench) -> None:
    path = bench.create(10)
    headers = {
        "authorization": f"Bearer {bench.yard.key('red', *WRITER)}",
        "tus-resumable": "1.0.0",
        "upload-offset": "0",
        **BODY,
    }

    start, _ = exchange_messages(bench.yard, "PATCH", path, headers, [{"type": "http.request", "body": b"x" * 11}])

    assert 413 == start["status"]
    assert "0" == bench.ask("HEAD", path).headers["upload-offset"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"upload_length": "5", "upload_metadata": "name " + "QUFB" * 2100}, 413),
        ({"upload_concat": "final;" + f"/v3/uploads/{'a' * 32} " * 1001}, 400),
    ],
    ids=["metadata", "parts"],
)
def test_what_a_creation_says_has_a_limit(bench: Bench, headers: dict[str, str], status: int) -> None:
    assert status == ask(bench.yard, "/v3/uploads", method="POST", tus_resumable="1.0.0", **headers).status


@pytest.mark.parametrize("is_first", [True, False])
def test_a_part_that_another_request_joins_meanwhile_is_joined_once(bench: Bench, is_first: bool) -> None:
    part = bench.create(4, concat="partial")
    bench.append(part, 0, b"abcd")
    part_id = part.rpartition("/")[2]
    viewer = Viewer("red", frozenset(WRITER))
    where = open_storage("", bench.home, {})
    limits = UploadLimits(10_000, 10, 0, 3600)
    joined: list[str] = []

    class Interrupted(IncomingFiles):
        def concatenate(self, upload_id: str, part_ids: list[str]) -> None:
            if not is_first:
                super().concatenate(upload_id, part_ids)
            other = Uploads(bench.yard.store, where.kept, where.incoming, limits)
            joined.append(other.concatenate(viewer, [part_id], {}).id)
            if is_first:
                super().concatenate(upload_id, part_ids)

    uploading = Uploads(bench.yard.store, where.kept, Interrupted(where.incoming.folder), limits)
    with pytest.raises(errors.UploadNotFound):
        uploading.concatenate(viewer, [part_id], {})

    assert joined == [path.name for path in where.incoming.folder.iterdir()]
    assert 1 == len(bench.models())


def test_errors_have_the_one_shape(bench: Bench) -> None:
    reply = bench.ask("PUT", "/v3/uploads")

    assert ["code", "reason", "message", "metadata"] == list(json.loads(reply.body))


# --- Several workers


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.02)


def _is_locked(file: Path) -> bool:
    """Whether some process holds the lock of a file."""
    return file.exists() and f":{file.stat().st_ino} " in Path("/proc/locks").read_text()


def test_a_client_that_comes_back_to_another_worker_takes_over_from_its_dead_connection(tmp_path: Path) -> None:
    content = lora_bytes(fill=100_000)
    with open_app(tmp_path) as yard:
        key = yard.key("red", *WRITER)
    words = {"Authorization": f"Bearer {key}", "Tus-Resumable": "1.0.0", "Content-Type": BODY["content-type"]}
    with serving(tmp_path, 2, key) as served, served.one_connection_to_each(2) as by_worker:
        first, second = by_worker.values()

        def ask(connection: http.client.HTTPConnection, method: str, path: str, body: bytes, **headers: str) -> Reply:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, words | given)
            answer = connection.getresponse()
            body = answer.read()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)

        made = ask(first, "POST", "/v3/uploads", b"", upload_length=str(len(content)), content_type="text/plain")
        path = "/v3/uploads/" + made.headers["location"].rpartition("/")[2]
        # The connection is there, and nothing comes of it any more.
        first.putrequest("PATCH", path)
        for name, value in (words | {"Upload-Offset": "0", "Content-Length": str(len(content))}).items():
            first.putheader(name, value)
        first.endheaders()
        first.send(content[:1000])
        until(lambda: _is_locked(tmp_path / "blobs" / "incoming" / path.rpartition("/")[2]))

        # As clients do: asked where it goes on, and tried again while it is locked.
        answered = [423]
        while answered[-1] == 423:
            offset = int(ask(second, "HEAD", path, b"").headers["upload-offset"])
            sent = ask(second, "PATCH", path, content[offset:], upload_offset=str(offset))
            answered.append(sent.status)
        told = ask(second, "HEAD", path, b"")
        given_up = first.getresponse()
        given_up.read()

    assert (204, str(len(content))) == (sent.status, sent.headers["upload-offset"])
    assert str(len(content)) == told.headers["upload-offset"]
    assert 423 == given_up.status
    assert [] == list((tmp_path / "blobs" / "incoming").glob("*.asked"))


def test_an_upload_begun_on_one_worker_is_ended_on_another(tmp_path: Path) -> None:
    content = lora_bytes(fill=100_000)
    with open_app(tmp_path) as yard:
        key = yard.key("red", *WRITER)
    words = {"Authorization": f"Bearer {key}", "Tus-Resumable": "1.0.0", "Content-Type": BODY["content-type"]}
    with serving(tmp_path, 2, key) as served, served.one_connection_to_each(2) as by_worker:
        connections = [*by_worker.values()]
        path, at = "/v3/uploads", 0
        connections[0].request("POST", path, headers=words | {"Upload-Length": str(len(content)), "Content-Type": "-"})
        answer = connections[0].getresponse()
        answer.read()
        path = "/v3/uploads/" + answer.headers["location"].rpartition("/")[2]
        for number in range(4):
            piece = content[at : at + len(content) // 3]
            connections[number % 2].request("PATCH", path, piece, words | {"Upload-Offset": str(at)})
            answer = connections[number % 2].getresponse()
            answer.read()
            at += len(piece)
            assert (204, str(at)) == (answer.status, answer.headers["upload-offset"])

        def models() -> list[dict[str, Any]]:
            connections[0].request("GET", "/v3/model?filter.visibility=private", headers=words)
            listed: list[dict[str, Any]] = json.loads(connections[0].getresponse().read())["models"]
            return listed

        until(lambda: [1] == [model["status"] for model in models()])
        (model,) = models()

    assert hashlib.sha256(content).hexdigest()[:10].upper() == model["hash_sha256"]


@pytest.mark.parametrize(("parts", "status"), [(1000, 404), (1001, 400)])
def test_at_most_a_thousand_parts_are_joined(bench: Bench, parts: int, status: int) -> None:
    addresses = " ".join(f"/v3/uploads/{number:032x}" for number in range(parts))

    assert status == bench.ask("POST", "/v3/uploads", upload_concat=f"final;{addresses}").status


def test_an_upload_says_whether_it_is_a_part_or_made_of_parts(bench: Bench) -> None:
    def concat_of(path: str) -> str | None:
        return bench.ask("HEAD", path).headers.get("upload-concat")

    part = bench.create(4, concat="partial")
    assert "partial" == concat_of(part)
    bench.append(part, 0, b"part")
    assert "partial" == concat_of(part)
    joined = bench.ask("POST", "/v3/uploads", upload_concat=f"final;{part}")

    assert "final" == concat_of(path_of(joined.headers["location"]))
    assert concat_of(bench.create(4)) is None
