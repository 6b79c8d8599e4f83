"""Writes in the shape of the Hugging Face Hub: by LFS, in parts and by xet; what is refused, and whose is what.

What the real clients do is in test_uploading_clients.py.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event

from modelyard import errors
from modelyard.store import uploads as upload_rows
from modelyard.uploads.assembly import xorb_upload_id
from modelyard.uploads.commits import XORB_SECONDS
from modelyard.web.hub import lfs as lfs_module
from modelyard.web.hub.commit_bodies import parse_commit
from tests.app_fixture import Reply, open_app
from tests.inspection.made_files import frame, header_bytes
from tests.transfers import ask, checking, dangerous_bytes, lora_bytes, path_of, suspicious_bytes
from tests.web.hub.bench import Bench, deleted, text, weights
from tests.xet_files import shard, xorb

XORB = "0123456789abcdef" * 4


def test_a_repository_is_made_once_and_is_readable_while_it_is_empty(bench: Bench) -> None:
    made, again = bench.create(), bench.create()

    assert (200, 409) == (made.status, again.status)
    assert made.json == {"private": True, **{name: again.json[name] for name in ("url", "name", "id")}}
    assert ("red/night", "http://127.0.0.1/hf/models/red/night") == (made.json["id"], made.json["url"])
    assert ["README.md"] == bench.files()


@pytest.mark.parametrize("name", ["-x", "x.", "a--b", "a..b", "a b", "x" * 97, "", "12345", "a/b/c"])
def test_a_name_that_clients_refuse_is_refused(bench: Bench, name: str) -> None:
    assert bench.create(name).status in (400, 404)


def test_a_file_becomes_a_model_that_can_be_downloaded(bench: Bench) -> None:
    content = lora_bytes()
    bench.create()
    bench.send(content)

    committed = bench.commit(weights("harbour.safetensors", content))

    assert 200 == committed.status, committed.body
    described = bench.ask("/api/models/red/night", method="GET").json
    assert [committed.json["commitOid"], "red/night"] == [described["sha"], described["id"]]
    assert ["README.md", "harbour.safetensors"] == bench.files()
    (model,) = ask(bench.yard, "/v3/model?filter.visibility=private").json["models"]
    assert ("night", 1, hashlib.sha256(content).hexdigest()[:10].upper()) == (
        model["name"],
        model["status"],
        model["hash_sha256"],
    )
    assert content == bench.yard.ask(path_of(model["download_url"]), None).body


def test_a_file_that_is_here_is_not_asked_for_again_and_can_be_committed_again(bench: Bench) -> None:
    content = lora_bytes()
    bench.create()
    bench.send(content)
    bench.commit(weights("one.safetensors", content))
    bench.create("other")

    assert "actions" not in bench.batch(content, "other")
    assert 400 == bench.ask("/red/other.git/info/lfs/verify", body={"oid": "0" * 64, "size": 1}).status
    oid = hashlib.sha256(content).hexdigest()
    assert 200 == bench.ask("/red/other.git/info/lfs/verify", body={"oid": oid, "size": 1}).status


def test_another_teams_bytes_are_not_told_of(bench: Bench) -> None:
    content = lora_bytes()
    bench.create()
    bench.send(content)
    bench.commit(weights("one.safetensors", content))
    body = {"name": "mine", "organization": "blue"}
    assert 200 == bench.ask("/api/repos/create", "blue", body=body).status

    oid = hashlib.sha256(content).hexdigest()
    batch = {"operation": "upload", "objects": [{"oid": oid, "size": len(content)}]}
    answer = bench.ask("/blue/mine.git/info/lfs/objects/batch", "blue", body=batch).json["objects"][0]
    line = json.dumps(weights("x.safetensors", content)).encode()

    assert "actions" in answer
    assert 400 == bench.ask("/api/models/blue/mine/commit/main", "blue", body=line).status


def test_a_dangerous_file_is_refused_with_the_reason_and_changes_nothing(bench: Bench) -> None:
    good, bad = lora_bytes(), dangerous_bytes()
    bench.create()
    bench.send(good)
    bench.send(bad)

    refused = bench.commit(weights("a.safetensors", good), weights("b.ckpt", bad), text("a.txt", b"a"))

    assert 415 == refused.status
    assert refused.headers["x-error-message"].startswith("the server refused b.ckpt: dangerous: ")
    assert ["README.md"] == bench.files()
    assert "actions" in bench.batch(bad)


def test_a_file_of_one_byte_is_refused_with_the_reason(bench: Bench) -> None:
    bench.create()
    bench.send(b"x")

    refused = bench.commit(weights("one.safetensors", b"x"))

    assert 415 == refused.status
    assert refused.json["error"].startswith("the server refused one.safetensors: error: ")


def test_a_suspicious_file_becomes_a_model_that_is_unavailable(bench: Bench) -> None:
    content = suspicious_bytes()
    bench.create()
    bench.send(content)

    assert 200 == bench.commit(weights("a.pt", content)).status
    assert [0] == [model["status"] for model in ask(bench.yard, "/v3/model?filter.visibility=private").json["models"]]


def test_bytes_that_are_not_the_announced_ones_are_refused(bench: Bench) -> None:
    content = lora_bytes()
    bench.create()
    href = bench.batch(content)["actions"]["upload"]["href"]

    assert 422 == bench.put(href, content[:-1] + b"x").status
    assert 400 == bench.put(href, content[:-1]).status
    assert 400 == bench.commit(weights("a.safetensors", content)).status
    assert (200, 200) == (bench.put(href, content).status, bench.put(href, b"again").status)


def test_a_large_file_comes_in_parts(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lfs_module, "PART_BYTES", 1000)
    content = lora_bytes(fill=3_500)
    bench.create()
    upload = bench.batch(content, transfers=["basic", "multipart"])["actions"]["upload"]
    part_bytes = int(upload["header"].pop("chunk_size"))
    parts = [content[start : start + part_bytes] for start in range(0, len(content), part_bytes)]

    early = ask(bench.yard, path_of(upload["href"]), method="POST", body={})
    replies = [bench.put(href, part) for (_, href), part in zip(sorted(upload["header"].items()), parts, strict=True)]
    done = ask(bench.yard, path_of(upload["href"]), method="POST", body={"parts": []})
    again = ask(bench.yard, path_of(upload["href"]), method="POST", body={"parts": []})
    bench.checking.verify_next()

    assert (400, [200] * len(parts), 200, 200) == (
        early.status,
        [reply.status for reply in replies],
        done.status,
        again.status,
    )
    assert all(reply.headers["etag"] for reply in replies)
    assert 200 == bench.commit(weights("a.safetensors", content)).status


def test_several_files_are_one_model_and_texts_are_kept(bench: Bench) -> None:
    large, small = lora_bytes(fill=9_000), lora_bytes(fill=10)
    bench.create()
    bench.send(large)
    bench.send(small)
    readme = b"---\nlicense: mit\ntags: [night]\ndatasets: [x]\n---\n# Harbour\n\nA night.\n"

    committed = bench.commit(
        weights("unet/a.safetensors", large),
        weights("vae/b.safetensors", small),
        text("model_index.json", b"{}"),
        text("README.md", readme),
    )

    assert 200 == committed.status, committed.body
    assert "not taken over: datasets" in committed.json["hookOutput"]
    assert ["README.md", "unet/a.safetensors", "vae/b.safetensors", "model_index.json"] == bench.files()
    (model,) = ask(bench.yard, "/v3/model?filter.visibility=private").json["models"]
    details = ask(bench.yard, f"/v3/model/details?id={model['id']}").json
    assert ["unet/a.safetensors", "vae/b.safetensors"] == [file["name"] for file in details["files"]]
    assert ("Harbour", "A night.", ["night"]) == (details["title"], details["description"], model["tags"])


def content_of(name: str, shape: list[int], dtype: str = "F16") -> bytes:
    header, size = header_bytes({name: (dtype, shape)})
    return frame(header, bytes(size))


def test_a_pipeline_is_what_its_network_is(bench: Bench) -> None:
    strange, word = content_of("strange", [9_000]), content_of("emb_params", [2, 768])
    bench.create()
    bench.send(strange)
    bench.send(word)

    committed = bench.commit(
        weights("text_encoder/model.safetensors", strange), weights("unet/model.safetensors", word)
    )

    assert 200 == committed.status, committed.body
    (model,) = ask(bench.yard, "/v3/model?filter.visibility=private").json["models"]
    assert ("textualinversion", "SD 1.5", 1) == (model["type"]["name"], model["base_model"], model["status"])
    assert hashlib.sha256(word).hexdigest()[:10].upper() == model["hash_sha256"]


def test_a_readme_that_comes_first_waits_for_the_weights(bench: Bench) -> None:
    content = lora_bytes()
    bench.create()
    first = bench.commit(text("README.md", b"# Harbour\n"))
    bench.send(content)

    assert (200, 200) == (first.status, bench.commit(weights("a.safetensors", content)).status)
    (model,) = ask(bench.yard, "/v3/model?filter.visibility=private").json["models"]
    assert "Harbour" == ask(bench.yard, f"/v3/model/details?id={model['id']}").json["title"]


def test_files_are_replaced_and_removed(bench: Bench) -> None:
    first, second = lora_bytes(fill=50), lora_bytes(fill=60)
    bench.create()
    bench.send(first)
    before = bench.commit(weights("a.safetensors", first), text("notes.txt", b"one")).json["commitOid"]
    bench.send(second)

    after = bench.commit(weights("a.safetensors", second), deleted("notes.txt")).json["commitOid"]
    refused = bench.commit(deleted("a.safetensors"))

    assert before != after
    assert 409 == refused.status
    assert ["README.md", "a.safetensors"] == bench.files()
    (model,) = ask(bench.yard, "/v3/model?filter.visibility=private").json["models"]
    assert hashlib.sha256(second).hexdigest()[:10].upper() == model["hash_sha256"]


def test_a_commit_of_a_text_alone_is_another_revision(bench: Bench) -> None:
    content = lora_bytes()
    bench.create()
    bench.send(content)
    bench.commit(weights("a.safetensors", content))
    commits = [bench.commit(text("notes.txt", word)).json["commitOid"] for word in (b"one", b"two", b"two")]

    assert commits[0] != commits[1] == commits[2]
    assert commits[1] == bench.ask("/api/models/red/night", method="GET").json["sha"]


@pytest.mark.parametrize("has_weights", [False, True])
def test_a_readme_alone_is_readable_after_its_commit(bench: Bench, has_weights: bool) -> None:
    bench.create()
    if has_weights:
        content = lora_bytes()
        bench.send(content)
        bench.commit(weights("a.safetensors", content))
    before = bench.ask("/api/models/red/night", method="GET").json["sha"]

    committed = bench.commit(text("README.md", b"# Harbour\n")).json["commitOid"]

    reads = [
        bench.ask(f"/{target}", method="GET")
        for target in ("red/night/resolve/main/README.md", f"red/night/resolve/{committed}/README.md")
    ]
    assert before != committed == bench.ask("/api/models/red/night", method="GET").json["sha"]
    assert [committed] * 2 == [reply.headers["x-repo-commit"] for reply in reads]
    assert all(b"# Harbour\n" in reply.body for reply in reads)


def test_a_model_that_came_another_way_takes_commits_by_its_id(bench: Bench) -> None:
    content, further = lora_bytes(fill=50), lora_bytes(fill=60)
    bench.create()
    bench.send(content)
    bench.commit(weights("a.safetensors", content))
    (model,) = ask(bench.yard, "/v3/model?filter.visibility=private").json["models"]
    name = str(model["id"])
    bench.send(further, name)

    assert 200 == bench.commit(weights("b.safetensors", further), name=name).status
    assert ["README.md", "a.safetensors", "b.safetensors"] == bench.files(name)


def test_a_repository_is_removed_and_its_name_is_free(bench: Bench) -> None:
    content = lora_bytes()
    bench.create()
    bench.send(content)
    bench.commit(weights("a.safetensors", content))
    bench.create("empty")

    removed = [bench.ask("/api/repos/delete", method="DELETE", body={"name": name}) for name in ("night", "empty")]

    assert [200, 200] == [reply.status for reply in removed]
    assert 404 == bench.ask("/api/models/red/night", method="GET").status
    assert [] == ask(bench.yard, "/v3/model?filter.visibility=private").json["models"]
    assert 200 == bench.create().status


@pytest.mark.parametrize(
    "files",
    [
        [
            ("a.safetensors", "lfs", False),
            ("a.txt", "regular", False),
            ("a.png", "regular", False),
            ("a.zip", "regular", True),
        ]
    ],
)
def test_a_client_is_told_how_to_send_each_file(bench: Bench, files: list[tuple[str, str, bool]]) -> None:
    bench.create()
    body = {"files": [{"path": path, "size": 1, "sample": "AA=="} for path, _, _ in files]}

    answer = bench.ask("/api/models/red/night/preupload/main", body=body).json

    assert files == [(file["path"], file["uploadMode"], file["shouldIgnore"]) for file in answer["files"]]


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (text("../a.txt", b"a"), 400),
        (text("/a.txt", b"a"), 400),
        (text("a//b.txt", b"a"), 400),
        (text("a\\b.txt", b"a"), 400),
        (text("a/.Git/hooks/pre-commit", b"a"), 400),
        (text("a.txt", b"\0"), 415),
        (text("a.safetensors", b"abc"), 415),
        ({"key": "file", "value": {"path": "a.txt", "content": "%"}}, 400),
        (text("a.png", b"\x80\x04N."), 415),
        (text("a.model", b"\x80\x04N."), 415),
        (deleted("..", "deletedFolder"), 400),
        ({"key": "lfsFile", "value": {"path": "a.zip", "oid": "0" * 64}}, 415),
        ({"key": "lfsFile", "value": {"path": "a.pt", "oid": "0" * 64, "algo": "md5"}}, 400),
        ({"key": "lfsFile", "value": {"path": "a.pt", "oid": "../../x"}}, 400),
        ({"key": "lfsFile", "value": {"path": "a.pt", "oid": "0" * 64}}, 400),
        ({"key": "copyFile", "value": {"path": "a.txt"}}, 400),
        ({"key": "header", "value": {}}, 400),
    ],
)
def test_a_line_that_cannot_be_used_is_refused(bench: Bench, line: dict[str, Any], status: int) -> None:
    bench.create()

    assert status == bench.commit(line).status
    assert ["README.md"] == bench.files()


@given(
    body=st.binary(max_size=300)
    | st.lists(st.sampled_from(["header", "file", "lfsFile", "deletedFile", "deletedFolder", "copyFile"])).map(
        lambda keys: b"\n".join(
            b'{"key":"%s","value":{"path":"a.txt","content":null,"oid":1}}' % key.encode() for key in keys
        )
    )
)
@settings(max_examples=200, deadline=None)
def test_any_commit_is_changes_or_an_error_of_ours(body: bytes) -> None:
    try:
        parse_commit(body)
    except errors.ModelyardError:
        return


@given(
    body=st.binary(max_size=200)
    | st.builds(
        lambda oid, size: json.dumps({"objects": [{"oid": oid, "size": size}]}).encode(),
        st.text(max_size=70),
        st.integers(),
    )
)
@settings(max_examples=60, deadline=None)
def test_any_batch_is_answered_or_refused(shared: Bench, body: bytes) -> None:
    assert shared.ask("/red/night.git/info/lfs/objects/batch", body=body).status in (200, 400, 413)


# What a request sends to routes that read a body.
BODIES: dict[str, Any] = {
    "/preupload/": {"files": []},
    "/commit/": text("a.txt", b"a"),
    "/objects/batch": {"objects": [{"oid": "0" * 64, "size": 1}]},
    "/lfs/verify": {"oid": "0" * 64, "size": 1},
    "/paths-info/": {"paths": ["a.txt"]},
}


def test_another_teams_repository_is_unknown_in_every_route(bench: Bench) -> None:
    """It has the status, the words and the headers of one that does not exist, and costs as many statements."""
    bench.create()
    content = filled_repository(bench)
    values = {"namespace": "red", "revision": "main", "path:label": "a.txt"}
    routes = [route for route in vars(bench.yard.app)["_app"].table if "{namespace}" in route.path]
    requests = [(method, route.path) for route in routes for method in route.methods.split()]
    replies = {}
    for method, path in requests:
        body = next((body for part, body in BODIES.items() if part in path), b"")
        # The first request fills caches that are of no repository.
        for name in ("other", "night", "other"):
            target = path.replace("{name}", name)
            for parameter, value in values.items():
                target = target.replace(f"{{{parameter}}}", value)
            statements: list[str] = []
            with listening_to(statements):
                reply = bench.ask(target.removeprefix("/hf"), "blue", method=method, body=body)
            headers = {header: reply.headers[header] for header in reply.headers.keys() - {"x-request-id", "ratelimit"}}
            answer = reply.status, reply.body.replace(b"night", b"other"), len(statements)
            replies[method, path, name] = answer, {k: v.replace("night", "other") for k, v in headers.items()}

    own_statements: list[str] = []
    with listening_to(own_statements):
        bench.commit(text("b.txt", b"b"))
    assert own_statements
    assert content == b"a"
    assert 15 <= len(requests)
    for method, path in requests:
        assert replies[method, path, "other"] == replies[method, path, "night"], (method, path)
        assert 404 == replies[method, path, "other"][0][0], (method, path)
    for body in ({"name": "night", "organization": "red"}, {"name": "red/night"}):
        assert 404 == bench.ask("/api/repos/delete", "blue", method="DELETE", body=body).status
        assert 404 == bench.ask("/api/repos/create", "blue", body=body).status


def filled_repository(bench: Bench) -> bytes:
    """Commit a text, and return what the team itself reads."""
    assert 200 == bench.commit(text("a.txt", b"a")).status
    return bench.ask("/red/night/resolve/main/a.txt", method="GET").body


REQUEST: ContextVar[str] = ContextVar("request")


@contextmanager
def listening_to(statements: list[str]) -> Iterator[None]:
    """Collect the statements of the requests that the block makes.

    Other threads read the database whenever they like: one that follows the changes of the test itself is no request.
    A thread that works for a request has its context.
    """
    request = REQUEST.set("a request")

    def collect(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if REQUEST.get(""):
            statements.append(statement)

    event.listen(Engine, "before_cursor_execute", collect)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", collect)
        REQUEST.reset(request)


def test_an_address_and_a_token_are_worth_as_much_as_the_key(bench: Bench) -> None:
    content = lora_bytes()
    bench.create()
    href = bench.batch(content)["actions"]["upload"]["href"]
    other = bench.batch(lora_bytes(fill=7))["actions"]["upload"]["href"]
    mixed = f"{urlsplit(other).path}?{urlsplit(href).query}"
    path, token = bench.token()
    forged = token.replace(token.split(".")[1], "0" * 32)

    assert 403 == bench.put(mixed, content).status
    assert 403 == bench.cas("/v2/shards", b"x", token=forged).status
    bench.yard.access.revoke_key(bench.yard.keys["redreadwrite"])
    assert 410 == bench.put(href, content).status
    shards = bench.yard.ask(f"{path}/v2/shards", None, method="POST", body=b"x", authorization=token)
    assert 410 == shards.status


def test_a_file_comes_as_chunks(bench: Bench) -> None:
    content = lora_bytes(fill=3_000)
    bench.create()
    pieces = [content[:1000], content[1000:2500], content[2500:]]
    other = "f" * 64

    answers = [
        bench.cas(f"/v1/xorb-grants/default/{XORB}", b"{}").status,
        bench.cas(f"/v1/xorbs/default/{XORB}", xorb(pieces[0], pieces[1])).json,
        bench.cas(f"/v1/xorbs/default/{XORB}", xorb(pieces[0], pieces[1])).json,
        bench.cas(f"/v1/xorbs/default/{other}", xorb(pieces[2])).json,
    ]
    listed = shard((content, [(XORB, 2500, 0, 2), (other, len(pieces[2]), 0, 1)]))
    registered = bench.cas("/v2/shards", listed)
    again = bench.cas("/v1/shards", listed)
    bench.checking.verify_next()

    assert [404, {"was_inserted": True}, {"was_inserted": False}, {"was_inserted": True}] == answers
    assert (b'{"type":"result","result":1}\n', b'{"result":1}') == (registered.body, again.body)
    assert 200 == bench.commit(weights("a.safetensors", content)).status
    (model,) = ask(bench.yard, "/v3/model?filter.visibility=private").json["models"]
    assert content == bench.yard.ask(path_of(model["download_url"]), None).body


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (shard((b"abc", [("f" * 64, 3, 0, 1)])), "has not arrived; send it before the shard"),
        (shard((b"abc", [(XORB, 3, 0, 1)]), has_sha256=False), "a file without a SHA-256"),
        (shard((b"abc", [(XORB, 3, 0, 1)]))[:100], "shard"),
        (b"half a shard", "shard"),
    ],
)
def test_a_shard_that_cannot_be_used_is_refused(bench: Bench, sent: bytes, message: str) -> None:
    bench.create()
    bench.cas(f"/v1/xorbs/default/{XORB}", xorb(b"abc"))
    refused = bench.cas("/v2/shards", sent)

    assert 400 == refused.status
    assert message in refused.body.decode()


@pytest.mark.parametrize(
    ("segment", "message"),
    [
        ((XORB, 3, 0, 2), "ends at chunk 2"),
        ((XORB, 4, 0, 1), "a segment of 4 bytes, whose chunks have 3"),
        ((XORB, 3, 0, 1), "mismatch: announced SHA-256"),
    ],
)
def test_chunks_that_are_not_the_file_are_told_with_the_commit(
    bench: Bench, segment: tuple[str, int, int, int], message: str
) -> None:
    bench.create()
    bench.cas(f"/v1/xorbs/default/{XORB}", xorb(b"abd"))
    assert 200 == bench.cas("/v2/shards", shard((b"abc", [segment]))).status
    bench.checking.verify_next()

    refused = bench.commit(weights("a.safetensors", b"abc"))

    assert 415 == refused.status
    assert message in refused.json["error"]


def test_a_xorb_whose_bytes_did_not_arrive_makes_no_file(bench: Bench) -> None:
    bench.create()
    assert 400 == bench.cas(f"/v1/xorbs/default/{XORB}", b"no xorb").status
    refused = bench.cas("/v2/shards", shard((b"abc", [(XORB, 3, 0, 1)])))

    assert (400, f"shard: the xorb {XORB} has not arrived; send it before the shard") == (
        refused.status,
        refused.json["error"],
    )


def test_a_xorb_is_not_hashed(bench: Bench) -> None:
    bench.create()
    bench.cas(f"/v1/xorbs/default/{XORB}", xorb(b"abc"))
    with bench.yard.store.reading() as connection:
        upload = upload_rows.find(connection, xorb_upload_id("red", XORB))

    assert upload is not None
    assert (True, None) == (upload.received_at is not None, upload.sha256)


@pytest.mark.parametrize(("content", "status"), [(b"", 400), (b"no xorb", 400)])
def test_what_is_no_xorb_is_refused(bench: Bench, content: bytes, status: int) -> None:
    bench.create()

    assert status == bench.cas(f"/v1/xorbs/default/{XORB}", content).status
    assert (
        413
        == bench.yard.ask(
            f"{bench.token()[0]}/v1/xorbs/default/{XORB}",
            None,
            method="POST",
            authorization=bench.token()[1],
            content_length=str((65 << 20) + 1),
        ).status
    )


def test_waiting_xorbs_count_against_the_quota_and_go_after_an_hour(tmp_path: Path) -> None:
    with open_app(tmp_path, team_quota_bytes=5_000) as yard:
        now = [0.0]
        bench = Bench(yard, checking(yard, tmp_path, clock=lambda: now[0]))
        bench.create()
        first = bench.cas(f"/v1/xorbs/default/{XORB}", xorb(b"x" * 4_000))
        over = bench.cas(f"/v1/xorbs/default/{'a' * 64}", xorb(b"y" * 4_000))
        with yard.store.transaction() as transaction:
            upload = upload_rows.find(transaction.connection, xorb_upload_id("red", XORB))
            assert upload is not None
            assert XORB_SECONDS - 120 < upload.expires_at - transaction.now <= XORB_SECONDS
            upload_rows.keep_until(transaction.connection, [upload.id], transaction.now - 1)
        bench.checking.purge_expired()

        assert (200, 413) == (first.status, over.status)
        assert 400 == bench.cas("/v2/shards", shard((b"x", [(XORB, 4_000, 0, 1)]))).status
        assert 200 == bench.cas(f"/v1/xorbs/default/{'a' * 64}", xorb(b"y" * 4_000)).status


def test_files_of_repositories_count_and_are_kept(bench: Bench) -> None:
    large, small = lora_bytes(fill=9_000), lora_bytes(fill=10)
    bench.create()
    bench.send(large)
    bench.send(small)
    bench.commit(weights("a.safetensors", large), weights("b.safetensors", small))

    assert [] == bench.checking.collect_garbage(0, dry_run=False)
    bench.commit(deleted("b.safetensors"))
    assert [len(small)] == [blob.size_bytes for blob in bench.checking.collect_garbage(0, dry_run=False)]


def test_no_key_stands_in_the_log(bench: Bench) -> None:
    bench.create()
    bench.batch(lora_bytes())
    token = bench.token()[1]
    bench.cas(f"/v1/xorbs/default/{XORB}", xorb(b"abc"))
    logged = json.dumps(bench.yard.lines())

    assert token.removeprefix("Bearer ") not in logged
    assert bench.yard.keys["redreadwrite"] not in logged
    assert "signature=" not in logged


def test_a_repository_has_the_visibility_that_was_asked_for(bench: Bench) -> None:
    asked: list[dict[str, Any]] = [{}, {"visibility": "public"}, {"visibility": "private"}, {"private": True}]
    replies = [bench.create(f"night{number}", **said) for number, said in enumerate(asked)]

    assert [True, False, True, True] == [reply.json["private"] for reply in replies]
    assert not any("x-hf-warning" in reply.headers for reply in replies)


def test_a_client_is_warned_that_private_false_makes_nothing_public(bench: Bench) -> None:
    made = bench.create(private=False)
    warning = 'the repository red/night is private; to make a public one, send "visibility": "public"'

    assert (200, True, warning) == (made.status, made.json["private"], made.json["warning"])
    assert f"visibility; {warning}" == made.headers["x-hf-warning"]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"visibility": "secret"}, "visibility: 'secret' is not accepted; accepted: public, private"),
        (
            {"visibility": "public", "private": True},
            "private: true contradicts the visibility public; send one of them",
        ),
    ],
)
def test_a_visibility_that_is_unknown_or_contradicts_itself_is_refused(
    shared: Bench, said: dict[str, Any], message: str
) -> None:
    refused = shared.create("other", **said)

    assert (400, message) == (refused.status, refused.json["error"])
    assert 404 == shared.ask("/api/models/red/other", method="GET").status


@pytest.mark.parametrize("paths", [("sub", "sub/x.txt"), ("a/b/c", "a/b/c/d/e.txt"), ("README.md/x.txt",)])
def test_a_file_is_not_the_folder_of_another(shared: Bench, paths: tuple[str, ...]) -> None:
    refused = shared.commit(*(text(path, b"x") for path in paths))

    assert 409 == refused.status
    folder = paths[0].removesuffix("/x.txt")
    assert refused.json["error"].startswith(f"{folder} would be a file and the folder of {paths[-1]}; ")
    assert ["README.md"] == shared.files()


def test_a_file_is_replaced_by_a_folder_in_one_commit(bench: Bench) -> None:
    bench.create()
    bench.commit(text("sub", b"x"))

    assert 200 == bench.commit(deleted("sub"), text("sub/x.txt", b"x")).status
    assert ["README.md", "sub/x.txt"] == bench.files()


def test_a_commit_that_is_nested_too_deeply_is_refused(bench: Bench) -> None:
    bench.create()
    body = b'{"key":"header","value":' + b'{"a":' * 5000 + b"1" + b"}" * 5001

    refused = bench.ask("/api/models/red/night/commit/main", body=body)

    assert (400, "line 1 of the commit cannot be used: it is nested too deeply") == (
        refused.status,
        refused.json["error"],
    )


def test_a_large_file_is_refused_by_its_whole_size(bench: Bench) -> None:
    bench.create()
    body = {"objects": [{"oid": "0" * 64, "size": 1 << 40}], "transfers": ["multipart"]}

    assert 413 == bench.ask("/red/night.git/info/lfs/objects/batch", body=body).status


def test_a_batch_of_more_files_than_a_team_may_have_open_opens_none(bench: Bench) -> None:
    bench.create()

    def ask_for(numbers: range) -> Reply:
        objects = [{"oid": f"{number:064x}", "size": 1} for number in numbers]
        return bench.ask("/red/night.git/info/lfs/objects/batch", body={"objects": objects})

    refused = ask_for(range(101))
    assert (400, "101 new files at once; accepted: up to 100") == (refused.status, refused.json["error"])
    assert 200 == ask_for(range(100)).status
    assert 200 == ask_for(range(100)).status
    assert 429 == ask_for(range(99, 101)).status


def test_a_batch_that_does_not_fit_beside_open_uploads_opens_none(tmp_path: Path) -> None:
    with open_app(tmp_path, team_open_uploads_max=3) as yard:
        bench = Bench(yard, checking(yard, tmp_path))
        bench.create()
        contents = [lora_bytes(seed=seed) for seed in range(5)]
        for content in contents[:2]:
            bench.batch(content)
        objects = [{"oid": hashlib.sha256(content).hexdigest(), "size": len(content)} for content in contents[2:4]]
        refused = bench.ask("/red/night.git/info/lfs/objects/batch", body={"operation": "upload", "objects": objects})

        assert 429 == refused.status
        assert "actions" in bench.batch(contents[4])
