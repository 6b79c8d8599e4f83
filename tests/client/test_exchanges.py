"""What the client sends, to the header, for each of its methods, and what it makes of short answers.

A server is played here. Not covered here: the client with a real server (tests/test_client.py).
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from modelyard import errors
from modelyard.client import Client, Model
from modelyard.client import client as client_module
from modelyard.wire import MODEL_HEADER

RECORD: dict[str, Any] = {
    "id": 7,
    "name": "v1",
    "hash_sha256": "",
    "sd_name": "night.safetensors",
    "type": {"name": "lora", "display_name": "Lora"},
    "categories": [],
    "status": 1,
    "download_url": "http://files.example/f",
    "tags": [],
    "cover_url": "",
    "source": "uploading",
    "base_model": "SD 1.5",
    "base_model_type": "Standard",
    "download_url_ttl": 86400,
    "sd_name_in_api": "night",
    "is_sdxl": False,
    "is_nsfw": False,
    "visibility": "private",
}
SHOWN_HEADERS = (
    "authorization prefer content-type range tus-resumable upload-length upload-metadata upload-offset upload-checksum"
)
UPLOAD = "/v3/uploads/" + "a" * 32


class Server:
    """Answers one request after the other, and notes each."""

    def __init__(self, *answers: httpx2.Response | Exception) -> None:
        self._answers = iter(answers)
        self.lines: list[str] = []
        self.pauses: list[float] = []

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        url = str(request.url).removeprefix("http://yard.example")
        headers = [f"{name}: {request.headers[name]}" for name in SHOWN_HEADERS.split() if name in request.headers]
        body = request.read()
        shown = body.decode() if len(body) < 200 else f"{len(body)} bytes"
        self.lines.append(f"{request.method} {url}")
        self.lines += [f"  {line}" for line in [*headers, shown] if line]
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self, key: str = "sk_key") -> Client:
        transport = httpx2.MockTransport(self.answer)
        return Client("http://yard.example/", key, transport=transport, sleep=self.pauses.append)


def page(*records: dict[str, Any], following: str = "") -> httpx2.Response:
    return httpx2.Response(200, json={"models": records, "pagination": {"next_cursor": following}})


def refusal(status: int, reason: str = "R", message: str = "m", **headers: str) -> httpx2.Response:
    body = {"code": status, "reason": reason, "message": message, "metadata": {"a": 1}}
    return httpx2.Response(status, json=body, headers={k.replace("_", "-"): v for k, v in headers.items()})


def empty(status: int = 204, **headers: str) -> httpx2.Response:
    return httpx2.Response(status, headers={k.replace("_", "-"): v for k, v in headers.items()})


def model(**fields: Any) -> Model:
    return msgspec.convert(RECORD | fields, Model)


def test_pages_are_asked_for_with_filters_and_order() -> None:
    server = Server(page(RECORD, following="c_1"), page(RECORD | {"id": 8}))

    with server.client() as client:
        models = client.models(
            sort="-size", types=["lora", "vae"], is_nsfw=False, licence_credit="required", search="a b"
        )
        assert [7, 8] == [found.id for found in models]

    query = "filter.types=lora&filter.types=vae&filter.is_nsfw=false&filter.licence.credit=required&filter.search=a+b"
    assert [
        f"GET /v3/model?{query}&sort=-size&pagination.limit=100&pagination.cursor=c_0",
        "  authorization: Bearer sk_key",
        "  prefer: handling=strict",
        f"GET /v3/model?{query}&sort=-size&pagination.limit=100&pagination.cursor=c_1",
        "  authorization: Bearer sk_key",
        "  prefer: handling=strict",
    ] == [line.replace("%20", "+") for line in server.lines]


def test_without_a_key_no_key_is_sent() -> None:
    server = Server(page())

    with server.client("") as client:
        assert [] == list(client.models())

    assert "  prefer: handling=strict" == server.lines[1]


def test_a_model_is_changed_and_deleted_by_these_requests(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"picture")
    answer = httpx2.Response(200, json=RECORD)
    server = Server(
        answer,
        answer,
        empty(),
        httpx2.Response(200, json={"total": 0, "types": [], "sources": [], "base_models": [], "tags": []}),
    )

    with server.client() as client:
        assert 7 == client.edit(7, name="x", tags=None).id
        assert 7 == client.set_cover(7, picture).id
        client.delete(7)
        assert 0 == client.facets(query="x").total

    key = "  authorization: Bearer sk_key"
    assert [
        *("PATCH /v3/model?id=7", key, "  content-type: application/json", '  {"name":"x","tags":null}'),
        *("PUT /v3/model/cover?id=7", key, "  picture"),
        *("DELETE /v3/model?id=7", key),
        *("GET /v3/model/facets?filter.query=x", key, "  prefer: handling=strict"),
    ] == server.lines


def test_hashes_are_asked_for_a_thousand_at_a_time_and_each_once() -> None:
    hashes = [f"{number:08X}" for number in range(1_001)]

    def matches(*texts: str) -> httpx2.Response:
        return httpx2.Response(200, json={"matches": {text: [7] for text in texts}, "models": [RECORD]})

    server = Server(matches(hashes[0]), matches(hashes[1_000]))
    with server.client() as client:
        found = client.by_hashes([*hashes, *hashes])

    assert {hashes[0]: [7], hashes[1_000]: [7]} == {text: [m.id for m in models] for text, models in found.items()}
    posts = [line for line in server.lines if line.startswith("POST")]
    assert ["POST /v3/model/by-hash"] * 2 == posts
    assert f'  {{"hashes":["{hashes[1_000]}"]}}' == server.lines[-1]


def test_a_file_is_sent_in_chunks_and_goes_on_where_the_server_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 8 * 2**20 == client_module.CHUNK_BYTES
    monkeypatch.setattr(client_module, "CHUNK_BYTES", 4)
    path = tmp_path / "night.safetensors"
    path.write_bytes(b"0123456789")
    server = Server(
        empty(201, location=f"http://elsewhere.example{UPLOAD}"),
        empty(upload_offset="4"),
        refusal(409, "UPLOAD_OFFSET_CONFLICT"),
        empty(200, upload_offset="6"),
        httpx2.ConnectError("gone"),
        empty(200, upload_offset="6"),
        empty(upload_offset="10"),
        empty(200, **{MODEL_HEADER: "7"}),
        page(RECORD),
    )
    sizes: list[tuple[int, int]] = []

    with server.client() as client:
        assert 7 == client.upload(path, lambda *size: sizes.append(size), name="n", is_nsfw="true").id

    def patch(offset: int, text: str) -> Iterator[str]:
        digest = hashlib.sha256(text.encode()).digest()
        yield from (f"PATCH {UPLOAD}", KEY, "  content-type: application/offset+octet-stream")
        yield from (TUS, f"  upload-offset: {offset}", f"  upload-checksum: sha256 {base64_of(digest)}", f"  {text}")

    assert [
        *("POST /v3/uploads", KEY, TUS, "  upload-length: 10"),
        f"  upload-metadata: filename {base64_of(b'night.safetensors')},name bg==,is_nsfw dHJ1ZQ==",
        *patch(0, "0123"),
        *patch(4, "4567"),
        *HEAD,
        *patch(6, "6789"),
        *HEAD,
        *patch(6, "6789"),
        *HEAD,
        "GET /v3/model?filter.model_version_id=7&pagination.limit=100&pagination.cursor=c_0",
        KEY,
        "  prefer: handling=strict",
    ] == server.lines
    assert [(4, 10), (6, 10), (6, 10), (10, 10)] == sizes
    assert 2 == len(server.pauses)


DETAILS: dict[str, Any] = {"check": None, "declared": {}, "found": {}}
KEY, TUS = "  authorization: Bearer sk_key", "  tus-resumable: 1.0.0"
HEAD = (f"HEAD {UPLOAD}", KEY, TUS)


def base64_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.mark.parametrize("header", [{}, {MODEL_HEADER: ""}, {MODEL_HEADER: "7a"}, {MODEL_HEADER: "²"}])
def test_an_upload_whose_model_is_not_named_is_an_error(tmp_path: Path, header: dict[str, str]) -> None:
    path = tmp_path / "empty.pt"
    path.write_bytes(b"")
    raw = [(name.encode(), value.encode("latin-1")) for name, value in header.items()]
    server = Server(empty(201, location=UPLOAD), httpx2.Response(200, headers=raw))

    with server.client() as client, pytest.raises(errors.NotFound, match="does not name its model") as caught:
        client.upload(path)
    assert "empty.pt" == caught.value.facts["file"]


def details(verdict: str | None, status: int = 1) -> httpx2.Response:
    check = {"verdict": verdict, "reason": "because"} if verdict else None
    return httpx2.Response(200, json=DETAILS | {"model": RECORD | {"status": status}, "check": check})


def upload(server: Server, tmp_path: Path, wait_seconds: float) -> Model:
    path = tmp_path / "empty.pt"
    path.write_bytes(b"")
    with server.client() as client:
        return client.upload(path, wait_seconds=wait_seconds)


def start(*answers: httpx2.Response) -> Server:
    return Server(empty(201, location=UPLOAD), empty(200, **{MODEL_HEADER: "7"}), *answers)


def test_a_verdict_is_waited_for_with_growing_pauses(tmp_path: Path) -> None:
    named = empty(200, **{MODEL_HEADER: "7"})
    server = start(*[details("waiting"), named] * 6, details("clean"))

    assert 7 == upload(server, tmp_path, 60).id
    assert [0.1, 0.2, 0.5, 1.0, 1.0, 1.0] == server.pauses


def test_a_file_that_is_refused_is_an_error_with_the_verdict(tmp_path: Path) -> None:
    with pytest.raises(errors.FileRefused) as caught:
        upload(start(details("dangerous", status=0)), tmp_path, 60)

    assert {"model": 7, "verdict": "dangerous"}.items() <= caught.value.facts.items()
    assert "because" in caught.value.message


def test_no_verdict_in_time_is_an_error(tmp_path: Path) -> None:
    named = empty(200, **{MODEL_HEADER: "7"})
    server = start(details("waiting"), named, details(None), named, details("waiting"))

    with pytest.raises(errors.Unavailable, match=r"has not verified model 7 within 0\.3 seconds"):
        upload(server, tmp_path, 0.3)
    assert [0.1, 0.2] == server.pauses


@pytest.mark.parametrize("has_file", [False, True])
def test_a_download_continues_a_part_and_may_have_its_own_name(tmp_path: Path, has_file: bool) -> None:
    (tmp_path / "folder").mkdir()
    if has_file:
        (tmp_path / "folder" / "own.bin.part").write_bytes(b"01234")
    answer = httpx2.Response(206 if has_file else 200, content=b"56789" if has_file else b"0123456789")
    sizes: list[tuple[int, int]] = []
    server = Server(answer)

    with server.client() as client:
        path = client.download(model(), tmp_path / "folder", lambda *size: sizes.append(size), name="own.bin")

    assert ("own.bin", b"0123456789") == (path.name, path.read_bytes())
    assert ["GET http://files.example/f", *(["  range: bytes=5-"] if has_file else [])] == server.lines
    assert [(10, 10)] == sizes


def test_a_complete_part_becomes_the_file(tmp_path: Path) -> None:
    (tmp_path / "night.safetensors.part").write_bytes(b"whole")

    with Server(empty(416)).client() as client:
        path = client.download(model(hash_sha256=hashlib.sha256(b"whole").hexdigest()[:10].upper()), tmp_path)

    assert [path] == list(tmp_path.iterdir())


def test_a_folder_in_the_place_of_the_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "night.safetensors").mkdir()

    with Server().client() as client, pytest.raises(errors.InvalidRequest, match="is a folder"):
        client.download(model(), tmp_path)
    with Server().client() as client, pytest.raises(errors.NotFound, match=r"no file of 'night\.safetensors'"):
        client.download(model(download_url=None), tmp_path)


@pytest.mark.parametrize(
    ("head", "digits", "is_it"),
    [
        (lambda digest: empty(200, repr_digest=f"sha-256=:{digest}:"), "0" * 10, True),
        (lambda _: empty(200), "", False),
        (lambda digest: empty(404, repr_digest=f"sha-256=:{digest}:"), "0" * 10, False),
        (lambda _: empty(503), None, True),
    ],
)
def test_a_file_that_is_there_is_the_models_by_its_hash(
    tmp_path: Path, head: Callable[[str], httpx2.Response], digits: str | None, is_it: bool
) -> None:
    path = tmp_path / "night.safetensors"
    path.write_bytes(b"here")
    digest = hashlib.sha256(b"here").digest()
    server = Server(head(base64_of(digest)), httpx2.Response(200, content=b"other"))
    record = model(hash_sha256=digest.hex()[:10].upper() if digits is None else digits)

    with server.client() as client:
        if is_it:
            assert path == client.download(record, tmp_path)
        elif digits:
            with pytest.raises(errors.HashMismatch):
                client.download(record, tmp_path)
        else:
            assert b"other" == client.download(record, tmp_path).read_bytes()

    assert (b"other" if not is_it and not digits else b"here") == path.read_bytes()
    assert not (tmp_path / "night.safetensors.part").exists()
    assert ["HEAD http://files.example/f", *([] if is_it else ["GET http://files.example/f"])] == server.lines


def test_a_download_that_makes_progress_is_tried_again_and_again(tmp_path: Path) -> None:
    class Broken(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b"x"
            raise httpx2.ReadError("broken off")

    server = Server(*[httpx2.Response(206, stream=Broken()) for _ in range(9)], httpx2.Response(206, content=b"y"))
    (tmp_path / "night.safetensors.part").write_bytes(b"x")

    with server.client() as client:
        assert b"x" * 10 + b"y" == client.download(model(), tmp_path).read_bytes()

    assert 9 == len(server.pauses)
    assert all(pause <= 0.5 for pause in server.pauses)


SILENT = "http://yard.example/v3/model?id=7 answered {}; is there a Modelyard server?"


@pytest.mark.parametrize(
    ("answer", "kind", "message", "facts"),
    [
        (refusal(404, "MODEL_NOT_FOUND", "no model"), errors.ModelNotFound, "no model", {"a": 1}),
        (refusal(401, "INVALID_API_KEY", "no"), errors.InvalidKey, "no", {"a": 1}),
        (refusal(500, "UNHEARD_OF", "oh"), errors.ModelyardError, "oh", {"a": 1}),
        (httpx2.Response(500, content=b"<html>"), errors.ModelyardError, SILENT.format(500), {}),
        (httpx2.Response(400, json={"reason": "x"}), errors.ModelyardError, SILENT.format(400), {}),
        (
            httpx2.Response(418, json=["x"], headers={"retry-after": "5"}),
            errors.ModelyardError,
            SILENT.format(418),
            {"wait": 5.0},
        ),
        (httpx2.Response(400, json={"reason": "r", "message": "m", "metadata": None}), errors.ModelyardError, "m", {}),
    ],
)
def test_an_answer_with_an_error_is_that_error(
    answer: httpx2.Response, kind: type[errors.ModelyardError], message: str, facts: dict[str, object]
) -> None:
    with Server(answer).client() as client, pytest.raises(errors.ModelyardError) as caught:
        client.delete(7)

    assert (kind, message, facts) == (type(caught.value), caught.value.message, caught.value.facts)


def test_a_filter_is_named_with_its_value_and_the_filters_there_are() -> None:
    with Server().client() as client, pytest.raises(errors.InvalidParameter) as caught:
        list(client.models(nonsense="x" * 101))  # type: ignore[call-arg] # a filter that there is not

    assert "nonsense" == caught.value.facts["parameter"]
    assert "the filters search, visibility, source, types, is_sdxl" in caught.value.message


def test_a_name_is_looked_for_in_this_order(monkeypatch: pytest.MonkeyPatch) -> None:
    other = RECORD | {"name": "other", "sd_name": "other.pt", "sd_name_in_api": "other"}
    server = Server(
        page(),
        refusal(400, "INVALID_ARGUMENT"),
        page(other),
        page(other),
        httpx2.Response(200, json=DETAILS | {"model": other, "title": "12345"}),
    )

    with server.client() as client:
        assert 7 == client.find("12345").id

    asked = [line.partition("?")[2].partition("&")[0] or line for line in server.lines if line.startswith("GET")]
    assert [
        "filter.model_version_id=12345",
        "filter.hash=12345",
        "filter.query=12345",
        "filter.search=12345",
        "id=7",
    ] == asked


def test_several_models_of_a_name_are_listed_up_to_ten() -> None:
    same = [RECORD | {"id": number} for number in range(1, 13)]
    hash_refused = refusal(400, "INVALID_ARGUMENT")

    with Server(hash_refused, page(*same)).client() as client, pytest.raises(errors.AmbiguousName) as caught:
        client.find("night.safetensors")

    assert "10 (night.safetensors)" in caught.value.message
    assert "11 (night.safetensors)" not in caught.value.message


def test_the_titles_of_twenty_models_are_looked_at() -> None:
    others = [RECORD | {"id": number, "name": "o"} for number in range(1, 22)]
    titles = [httpx2.Response(200, json=DETAILS | {"model": other, "title": f"t{other['id']}"}) for other in others]
    server = Server(refusal(400, "INVALID_ARGUMENT"), page(), page(*others), *titles)

    with server.client() as client, pytest.raises(errors.ModelNotFound):
        client.find("t21")

    assert 20 == sum("/details" in line for line in server.lines)
    assert json.loads(titles[0].content)["title"] == "t1"
