"""Writes in the shape of the Hugging Face Hub: by LFS, in parts and by xet; what is refused, and whose is what.

What the real clients do is in test_uploading_clients.py.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard import errors
from modelyard.store import repositories as repository_rows
from modelyard.store import uploads as upload_rows
from modelyard.uploads.assembly import xorb_upload_id
from modelyard.uploads.commits import XORB_SECONDS
from modelyard.web.hub import lfs as lfs_module
from modelyard.web.hub.commits import parse_commit
from tests.app_fixture import App, Reply, open_app
from tests.transfers import Verification, ask, checking, dangerous_bytes, lora_bytes, path_of, suspicious_bytes
from tests.xet_files import shard, xorb

XORB = "0123456789abcdef" * 4


@dataclass
class Bench:
    yard: App
    checking: Verification

    def ask(self, target: str, team: str = "red", *, method: str = "POST", body: Any = b"", **headers: str) -> Reply:
        return ask(self.yard, f"/hf{target}", team, method=method, body=body, **headers)

    def create(self, name: str = "night", **said: Any) -> Reply:
        return self.ask("/api/repos/create", body={"name": name, "organization": "red", "type": "model", **said})

    def batch(self, content: bytes, name: str = "night", **said: Any) -> Any:
        oid = hashlib.sha256(content).hexdigest()
        body = {"operation": "upload", "objects": [{"oid": oid, "size": len(content)}], **said}
        reply = self.ask(f"/red/{name}.git/info/lfs/objects/batch", body=body)
        assert 200 == reply.status, reply.body
        return reply.json["objects"][0]

    def put(self, href: str, content: bytes) -> Reply:
        return self.yard.ask(path_of(href), None, method="PUT", body=content, content_length=str(len(content)))

    def send(self, content: bytes, name: str = "night") -> None:
        """Send a file by LFS, and verify it."""
        actions = self.batch(content, name).get("actions")
        if actions:
            assert 200 == self.put(actions["upload"]["href"], content).status
            self.checking.verify_next()

    def commit(self, *lines: dict[str, Any], name: str = "night", team: str = "red") -> Reply:
        header = {"key": "header", "value": {"summary": "s", "description": ""}}
        body = b"\n".join(json.dumps(line).encode() for line in (header, *lines))
        return self.ask(f"/api/models/red/{name}/commit/main", team, body=body)

    def files(self, name: str = "night") -> list[str]:
        reply = self.ask(f"/api/models/red/{name}", method="GET")
        assert 200 == reply.status, reply.body
        return [sibling["rfilename"] for sibling in reply.json["siblings"]]

    def token(self) -> tuple[str, str]:
        """The path of the xet store, and a token for it."""
        answer = self.ask("/api/models/red/night/xet-write-token/main", method="GET").json
        return urlsplit(answer["casUrl"]).path, f"Bearer {answer['accessToken']}"

    def cas(self, target: str, body: bytes = b"", token: str = "") -> Reply:
        path, own = self.token()
        headers = {"authorization": token or own, "content_length": str(len(body))}
        return self.yard.ask(f"{path}{target}", None, method="POST", body=body, **headers)


def weights(path: str, content: bytes) -> dict[str, Any]:
    oid = hashlib.sha256(content).hexdigest()
    return {"key": "lfsFile", "value": {"path": path, "algo": "sha256", "oid": oid, "size": len(content)}}


def text(path: str, content: bytes) -> dict[str, Any]:
    encoded = base64.b64encode(content).decode()
    return {"key": "file", "value": {"path": path, "content": encoded, "encoding": "base64"}}


def deleted(path: str) -> dict[str, Any]:
    return {"key": "deletedFile", "value": {"path": path}}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with open_app(tmp_path) as yard:
        yield Bench(yard, checking(yard, tmp_path))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A repository that no test fills."""
    home = tmp_path_factory.mktemp("hub")
    with open_app(home) as yard:
        opened = Bench(yard, checking(yard, home))
        opened.create()
        yield opened


def test_a_repository_is_made_once_and_is_readable_while_it_is_empty(bench: Bench) -> None:
    made, again = bench.create(), bench.create()

    assert (200, 409) == (made.status, again.status)
    assert made.json == {name: again.json[name] for name in made.json}
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
    "files", [[("a.safetensors", "lfs", False), ("a.txt", "regular", False), ("a.png", "regular", True)]]
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
        ({"key": "file", "value": {"path": "a.txt", "content": "%"}}, 415),
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
    | st.lists(st.sampled_from(["header", "file", "lfsFile", "deletedFile"])).map(
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


def test_another_teams_repository_is_unknown_in_every_route(bench: Bench) -> None:
    bench.create()
    oid = "0" * 64
    requests: list[tuple[str, str, Any]] = [
        ("POST", "/api/models/red/{}/preupload/main", {"files": []}),
        ("POST", "/api/models/red/{}/commit/main", text("a.txt", b"a")),
        ("GET", "/api/models/red/{}/xet-write-token/main", b""),
        ("POST", "/red/{}.git/info/lfs/objects/batch", {"objects": [{"oid": oid, "size": 1}]}),
        ("POST", "/red/{}.git/info/lfs/verify", {"oid": oid, "size": 1}),
        ("GET", "/api/models/red/{}", b""),
    ]
    for method, target, body in requests:
        theirs, unknown = (
            bench.ask(target.format(name), "blue", method=method, body=body) for name in ("night", "none")
        )
        assert (404, 404) == (theirs.status, unknown.status), target
        assert theirs.body.replace(b"night", b"none") == unknown.body
    for body in ({"name": "night", "organization": "red"}, {"name": "red/night"}):
        assert 404 == bench.ask("/api/repos/delete", "blue", method="DELETE", body=body).status
        assert 404 == bench.ask("/api/repos/create", "blue", body=body).status


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
    ("sent", "status"),
    [
        (shard((b"abc", [("f" * 64, 3, 0, 1)])), 400),
        (shard((b"abc", [(XORB, 3, 0, 1)]))[:100], 400),
        (b"half a shard", 400),
    ],
)
def test_a_shard_that_cannot_be_used_is_refused(bench: Bench, sent: bytes, status: int) -> None:
    bench.create()
    bench.cas(f"/v1/xorbs/default/{XORB}", xorb(b"abc"))

    assert status == bench.cas("/v2/shards", sent).status


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
            assert XORB_SECONDS == upload.expires_at - transaction.now
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


def test_a_visibility_is_private_unless_it_is_public(bench: Bench) -> None:
    for name, said in (("one", {"private": False}), ("two", {"visibility": "public"}), ("three", {})):
        bench.create(name, **said)
    with bench.yard.store.reading() as connection:
        rows = [repository_rows.find(connection, "red", name) for name in ("one", "two", "three")]

    assert ["private", "public", "private"] == [row and row.visibility for row in rows]


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
