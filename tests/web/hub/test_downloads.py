"""``resolve`` and ``raw``: the headers that clients cache and resume by, and what is not there for whom.

The real clients read in test_clients.py.
"""

import hashlib
import urllib.request
from pathlib import Path

import pytest

from modelyard.domain import Scope
from tests.app_fixture import App, Reply, open_app
from tests.swift_server import SwiftServer
from tests.transfers import ask, checking, lora_bytes, sha256_base64, suspicious_bytes, upload
from tests.web.hub.stocked import WEIGHTS, Stocked

SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


def weights_of(stock: Stocked, how: str = "resolve") -> str:
    return f"/hf/{stock.private}/{how}/main/night_{stock.night}.safetensors"


@pytest.mark.parametrize("how", ["resolve", "raw"])
def test_weights_have_the_headers_that_clients_need(stock: Stocked, how: str) -> None:
    commit = stock.yard.ask(f"/hf/api/models/{stock.private}").json["sha"]
    head = stock.yard.ask(weights_of(stock, how), method="HEAD")
    whole = stock.yard.ask(weights_of(stock, how), accept_encoding="gzip")

    assert (200, b"", WEIGHTS) == (head.status, head.body, whole.body)
    for headers in (head.headers, whole.headers):
        assert (commit, f'"{SHA256}"', str(len(WEIGHTS))) == (
            headers["x-repo-commit"],
            headers["etag"],
            headers["content-length"],
        )
        assert (f'"{SHA256}"', str(len(WEIGHTS)), "bytes") == (
            headers["x-linked-etag"],
            headers["x-linked-size"],
            headers["accept-ranges"],
        )
        assert "X-Repo-Commit" in headers["access-control-expose-headers"]
        assert not {"content-encoding", "x-xet-hash", "link", "location"} & headers.keys()


def test_a_readme_has_the_hash_that_git_gives_it(stock: Stocked) -> None:
    reply = stock.yard.ask(f"/hf/{stock.private}/resolve/main/README.md", accept_encoding="gzip")

    oid = hashlib.sha1(b"blob %d\0" % len(reply.body) + reply.body, usedforsecurity=False).hexdigest()
    assert (200, f'"{oid}"') == (reply.status, reply.headers["etag"])
    assert "content-encoding" not in reply.headers
    assert b"# Night & day" in reply.body


def test_a_key_that_may_only_download_gets_the_weights_and_not_the_card(stock: Stocked) -> None:
    card = f"/hf/{stock.private}/resolve/main/README.md"
    by_key = {"authorization": f"Bearer {stock.yard.key('red', Scope.DOWNLOAD)}"}
    refused = stock.yard.ask(card, None, **by_key)

    assert WEIGHTS == stock.yard.ask(weights_of(stock), None, **by_key).body
    assert 403 == refused.status
    assert b"Night" not in refused.body
    assert 403 == stock.yard.ask(card, None, method="HEAD", **by_key).status


@pytest.mark.parametrize("asked", ["bytes=5-", "bytes=0-0", "bytes=0-100"])
@pytest.mark.parametrize("is_text", [False, True])
def test_a_range_is_answered_of_every_file(stock: Stocked, asked: str, *, is_text: bool) -> None:
    target = f"/hf/{stock.private}/resolve/main/README.md" if is_text else weights_of(stock)
    whole = stock.yard.ask(target).body
    first, _, last = asked.removeprefix("bytes=").partition("-")
    part = whole[int(first) : int(last or len(whole)) + 1]

    reply = stock.yard.ask(target, range=asked)

    assert (206, part) == (reply.status, reply.body)
    assert f"bytes {first}-{int(first) + len(part) - 1}/{len(whole)}" == reply.headers["content-range"]


def test_a_range_behind_the_end_is_416(stock: Stocked) -> None:
    reply = stock.yard.ask(weights_of(stock), range=f"bytes={len(WEIGHTS)}-")

    assert (416, f"bytes */{len(WEIGHTS)}") == (reply.status, reply.headers["content-range"])
    assert "x-repo-commit" in reply.headers


def test_a_file_that_the_client_has_is_304(stock: Stocked) -> None:
    reply = stock.yard.ask(weights_of(stock), if_none_match=f'"{SHA256}"')

    assert (304, b"") == (reply.status, reply.body)


def errors_of(reply: Reply) -> tuple[int, str | None]:
    assert 40 == len(reply.headers["x-repo-commit"])
    assert ["error"] == list(reply.json)
    return reply.status, reply.headers.get("x-error-code")


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/hf/nobody/nothing/resolve/main/README.md", "RepoNotFound"),
        ("/hf/a--b/nothing/resolve/main/README.md", "RepoNotFound"),
        ("/hf/public/7/resolve/v2/README.md", "RevisionNotFound"),
        ("/hf/public/7/resolve/main/no.txt", "EntryNotFound"),
        ("/hf/api/models/public/7/tree/main/unet", "EntryNotFound"),
        ("/hf/api/models/public/99", "RepoNotFound"),
    ],
)
def test_an_error_has_the_code_that_clients_make_an_exception_of(stock: Stocked, target: str, code: str) -> None:
    assert (404, code) == errors_of(stock.yard.ask(target))


def test_a_wrong_key_is_told_apart_from_an_unknown_repository(stock: Stocked) -> None:
    target = f"/hf/api/models/{stock.private}"
    wrong = stock.yard.ask(target, None, authorization="Bearer sk_x")

    assert (401, "Invalid credentials in Authorization header") == (wrong.status, wrong.headers["x-error-message"])
    assert (401, None) == errors_of(stock.yard.ask(target, None))


def test_a_key_that_begins_with_hf_is_the_same_key(stock: Stocked) -> None:
    key = stock.yard.key("red").replace("sk_", "hf_", 1)

    for target in ("/hf/api/whoami-v2", "/v3/user"):
        assert 200 == stock.yard.ask(target, None, authorization=f"Bearer {key}").status


@pytest.mark.parametrize(
    "target",
    [
        "/hf/api/models/{}",
        "/hf/api/models/{}/revision/main",
        "/hf/api/models/{}/tree/main",
        "/hf/api/models/{}/refs",
        "/hf/api/models/{}/commits/main",
        "/hf/api/models/{}/auth-check",
        "/hf/{}/resolve/main/README.md",
        "/hf/{}/raw/main/README.md",
    ],
)
def test_another_teams_repository_is_answered_as_one_that_is_not_there(stock: Stocked, target: str) -> None:
    names = f"blue/{stock.secret}", f"public/{stock.secret}", f"red/{stock.secret}"
    missing = [stock.yard.ask(target.format(name.replace(str(stock.secret), "99"))) for name in names]
    secret = [stock.yard.ask(target.format(name)) for name in names]

    for theirs, none in zip(secret, missing, strict=True):
        assert (404, "RepoNotFound") == errors_of(theirs) == errors_of(none)
        assert none.json["error"] == theirs.json["error"].replace(str(stock.secret), "99")
        assert none.headers["x-repo-commit"] == theirs.headers["x-repo-commit"]


def test_a_commit_changes_when_an_answer_does_and_only_then(yard: App, tmp_path: Path) -> None:
    verification = checking(yard, tmp_path)
    model_id = upload(yard, "night", lora_bytes(), tags=["style"])["id"]
    unavailable = yard.ask(f"/hf/api/models/red/{model_id}").json
    missing = yard.ask(f"/hf/red/{model_id}/resolve/main/night_{model_id}.safetensors")
    while verification.verify_next():
        pass

    def commit() -> str:
        return str(yard.ask(f"/hf/api/models/red/{model_id}").json["sha"])

    first = commit()
    upload(yard, "other", lora_bytes(seed=3))
    assert 200 == yard.ask(f"/hf/red/{model_id}/resolve/main/night_{model_id}.safetensors").status
    again = commit()
    ask(yard, f"/v3/model?id={model_id}", method="PATCH", body={"description": "A lamp."})

    assert (404, "EntryNotFound") == errors_of(missing)
    assert unavailable["sha"] != first == again != commit()
    assert 404 == yard.ask(f"/hf/api/models/red/{model_id}/revision/{first}").status


def test_a_suspicious_file_is_refused_with_the_reason(yard: App, tmp_path: Path) -> None:
    verification = checking(yard, tmp_path, serves_suspicious=True)
    model_id = upload(yard, "night", suspicious_bytes(), file_extension="pt")["id"]
    while verification.verify_next():
        pass

    reply = yard.ask(f"/hf/red/{model_id}/resolve/main/night_{model_id}.pt")

    assert (403, "GatedRepo") == errors_of(reply)
    assert "suspicious" in reply.headers["x-error-message"]


def test_a_file_in_an_s3_store_is_a_redirect_with_the_same_headers(
    swift: SwiftServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in swift.environment.items():
        monkeypatch.setenv(name, value)
    url = f"s3://{swift.make_bucket()}"
    with open_app(tmp_path, storage_url=url) as yard:
        said = {"model_name": "far", "file_extension": "safetensors", "file_sha256": sha256_base64(WEIGHTS)}
        announced = ask(yard, "/v3/model/uploader", method="POST", body=said).json["upload_url"]
        urllib.request.urlopen(urllib.request.Request(announced, WEIGHTS, method="PUT"), timeout=60).close()
        body = {"name": "far", "file_extension": "safetensors", "type_name": "lora", "visibility": "private"}
        model_id = ask(yard, "/v3/model", method="POST", body=body).json["id"]
        checking(yard, tmp_path, url).verify_next()
        commit = yard.ask(f"/hf/api/models/red/{model_id}").json["sha"]
        target = f"/hf/red/{model_id}/resolve/main/far_{model_id}.safetensors"
        replies = [yard.ask(target, method=method) for method in ("HEAD", "GET")]

    for reply in replies:
        assert (302, commit) == (reply.status, reply.headers["x-repo-commit"])
        assert (f'"{SHA256}"', str(len(WEIGHTS))) == (reply.headers["x-linked-etag"], reply.headers["x-linked-size"])
    with urllib.request.urlopen(replies[1].headers["location"], timeout=60) as answer:
        assert WEIGHTS == answer.read()
