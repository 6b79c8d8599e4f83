"""Whole answers of the requests that write to a repository, and the last value that each limit of them takes.

Not covered here: what becomes of the bytes (test_writes.py), and the real clients (test_uploading_clients.py).
"""

import hashlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelyard import errors
from modelyard.web.hub import commits as commits_module
from modelyard.web.hub import lfs as lfs_module
from modelyard.web.hub.commit_bodies import CHANGES_MAX, TEXT_BYTES_MAX, CommitBody, parse_commit
from tests.app_fixture import Reply, open_app
from tests.transfers import ask, checking, lora_bytes, path_of
from tests.web.hub.test_writes import XORB, Bench, deleted, text, weights
from tests.xet_files import xorb

HOUR = 3600


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One repository, "night", and a writer's key."""
    home = tmp_path_factory.mktemp("hub")
    with open_app(home) as yard:
        opened = Bench(yard, checking(yard, home))
        opened.create()
        yield opened


def masked(reply: Reply) -> Any:
    """The answer, with signatures, times and ids of keys and uploads replaced."""
    body = re.sub(r"signature=[\w-]{22}\b", "signature=S", reply.body.decode())
    body = re.sub(r"expires=\d{10}\b", "expires=E", body)
    body = re.sub(r"for=[0-9a-f]{16}\b", "for=F", body)
    return json.loads(re.sub(r"\b[0-9a-f]{32}\b", "ID", body))


def batch(bench: Bench, *sizes: int, name: str = "night", **said: Any) -> Reply:
    objects = [{"oid": f"{number:064x}", "size": size} for number, size in enumerate(sizes, 1)]
    body = {"operation": "upload", "objects": objects, **said}
    return bench.ask(f"/red/{name}.git/info/lfs/objects/batch", body=body)


# --- repositories


def test_the_answers_to_a_repository_that_is_made_that_exists_and_that_goes(bench: Bench) -> None:
    made, again = bench.create("answers"), bench.create("answers")
    gone = bench.ask("/api/repos/delete", method="DELETE", body={"name": "answers"})
    url = "http://127.0.0.1/hf/models/red/answers"

    assert {"url": url, "name": "red/answers", "id": "red/answers", "private": True} == made.json
    assert {"url": url, "name": "red/answers", "id": "red/answers"} == {
        name: value for name, value in again.json.items() if name != "error"
    }
    assert (200, b"{}") == (gone.status, gone.body)
    assert ["no-store"] * 3 == [reply.headers["cache-control"] for reply in (made, again, gone)]
    assert b'{"errors":[],"warnings":[]}' == bench.ask("/api/validate-yaml", body={"content": "x"}).body


@pytest.mark.parametrize(
    ("said", "status", "message"),
    [
        ({"type": "dataset"}, 400, "type: 'dataset' is not accepted; accepted: model"),
        ({"organization": "blue"}, 404, "blue/night"),
        ({"name": "blue/night", "organization": None}, 404, "blue/night"),
        ({"name": "red/night", "organization": "blue"}, 404, "blue/night"),
    ],
)
def test_a_repository_that_cannot_be_made(bench: Bench, said: dict[str, Any], status: int, message: str) -> None:
    refused = bench.create(**said)

    assert status == refused.status
    assert message in refused.json["error"]


def test_a_name_of_96_characters_is_the_longest(bench: Bench) -> None:
    assert (200, 400) == (bench.create("n" * 96).status, bench.create("n" * 97).status)
    bench.ask("/api/repos/delete", method="DELETE", body={"name": "n" * 96})


# --- what is announced


def test_how_each_file_is_sent(bench: Bench) -> None:
    ignored = ["mp4", "webm", "zip", "gz", "tar", "7z", "pkl", "pickle", "npz", "npy", "h5", "msgpack"]
    pictures = ["png", "jpg", "jpeg", "webp", "gif"]
    sizes = {"a.SafeTensors": 1, "t.txt": TEXT_BYTES_MAX, "u.txt": TEXT_BYTES_MAX + 1, "b.PKL": 1}
    files = [{"path": path, "size": size} for path, size in sizes.items()]
    files += [{"path": f"x.{name}"} for name in (*ignored, *pictures)]
    # Sixteen mebibytes of pictures are taken, and no byte more.
    files += [{"path": f"{number}.png", "size": 4 << 20} for number in range(4)] + [{"path": "4.JPEG", "size": 1}]
    answer = bench.ask("/api/models/red/night/preupload/main", body={"files": files})
    commit = bench.ask("/api/models/red/night", method="GET").json["sha"]

    def described(path: str, mode: str, *, ignored: bool) -> dict[str, Any]:
        return {"path": path, "uploadMode": mode, "shouldIgnore": ignored, "oid": None}

    assert {
        "files": [
            described("a.SafeTensors", "lfs", ignored=False),
            described("t.txt", "regular", ignored=False),
            described("u.txt", "regular", ignored=True),
            described("b.PKL", "regular", ignored=True),
            *(described(f"x.{name}", "regular", ignored=True) for name in ignored),
            *(described(f"x.{name}", "regular", ignored=False) for name in pictures),
            *(described(f"{number}.png", "regular", ignored=False) for number in range(4)),
            described("4.JPEG", "regular", ignored=True),
        ],
        "commitOid": commit,
    } == answer.json
    assert "no-store" == answer.headers["cache-control"]


def test_a_thousand_files_are_announced_at_once_and_no_more(bench: Bench) -> None:
    replies = [
        bench.ask("/api/models/red/night/preupload/main", body={"files": [{"path": "a"}] * count})
        for count in (CHANGES_MAX, CHANGES_MAX + 1)
    ]

    assert [200, 400] == [reply.status for reply in replies]
    assert "files: 1,001 are not accepted; accepted: up to 1,000" == replies[1].json["error"]


@pytest.mark.parametrize("target", ["preupload", "commit"])
def test_a_revision_that_is_not_there_is_told(bench: Bench, target: str) -> None:
    lines = {"preupload": {"files": []}, "commit": text("a.txt", b"a")}
    refused = bench.ask(f"/api/models/red/night/{target}/other", body=lines[target])
    commit = bench.ask("/api/models/red/night", method="GET").json["sha"]

    assert (404, "RevisionNotFound", commit) == (
        refused.status,
        refused.headers["x-error-code"],
        refused.headers["x-repo-commit"],
    )


# --- LFS


def test_the_answer_to_a_batch_has_an_address_for_each_file(bench: Bench) -> None:
    answer = batch(bench, 5, 7)
    verify = {"href": "http://127.0.0.1/hf/red/night.git/info/lfs/verify", "header": {}}
    put = {"href": "http://127.0.0.1/hf/lfs/ID?for=F&key=1&expires=E&signature=S", "header": {}}

    assert {
        "transfer": "basic",
        "objects": [
            {"oid": f"{n:064x}", "size": size, "authenticated": True, "actions": {"upload": put, "verify": verify}}
            for n, size in ((1, 5), (2, 7))
        ],
    } == masked(answer)
    assert ("application/vnd.git-lfs+json", "no-store") == (
        answer.headers["content-type"],
        answer.headers["cache-control"],
    )
    (expires_at,) = set(re.findall(r"expires=(\d+)", answer.body.decode()))
    limit = 7 * 24 * HOUR
    assert limit < int(expires_at) - time.time() <= limit + HOUR


@pytest.mark.parametrize(
    "said",
    [
        {"operation": "download"},
        {"hash_algo": "sha512"},
        {"objects": [{"oid": "0" * 63, "size": 1}]},
        {"objects": [{"oid": "A" * 64, "size": 1}]},
        {"objects": [{"oid": "0" * 64, "size": -1}]},
    ],
)
def test_a_batch_that_is_refused(bench: Bench, said: dict[str, Any]) -> None:
    assert 400 == batch(bench, 1, **said).status


@pytest.mark.parametrize(
    "said",
    [
        {"hash_algo": "sha_256"},
        {"objects": [{"oid": "0" * 64, "size": 0}]},
        {"objects": []},
    ],
)
def test_a_batch_that_is_accepted(bench: Bench, said: dict[str, Any]) -> None:
    assert 200 == batch(bench, 1, **said).status


def test_a_file_of_one_part_is_sent_whole_and_a_larger_one_in_parts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lfs_module, "PART_BYTES", 1_000)
    monkeypatch.setattr(lfs_module, "_PARTS_MAX", 3)
    both = ["basic", "multipart"]
    put = "http://127.0.0.1/hf/lfs/ID?for=F&key=1&expires=E&signature=S"

    def upload_of(size: int, transfers: list[str]) -> tuple[str, Any]:
        oid = hashlib.sha256(b"%d" % size).hexdigest()
        answer = masked(batch(bench, transfers=transfers, objects=[{"oid": oid, "size": size}]))
        return answer["transfer"], answer["objects"][0]["actions"]["upload"]

    def parts(size: int, count: int, part_bytes: int) -> tuple[str, Any]:
        oid = hashlib.sha256(b"%d" % size).hexdigest()
        urls = {f"{number:05}": put for number in range(1, count + 1)}
        complete = f"lfs/ID/complete?for=F&oid={oid}&parts={count}&key=1&expires=E&signature=S"
        return "multipart", {
            "href": f"http://127.0.0.1/hf/{complete}",
            "header": {"chunk_size": str(part_bytes), **urls},
        }

    assert ("basic", {"href": put, "header": {}}) == upload_of(1_000, both) == upload_of(1_001, ["basic"])
    assert parts(1_001, 2, 1_000) == upload_of(1_001, both)
    assert parts(3_000, 3, 1_000) == upload_of(3_000, both)
    assert parts(3_001, 3, 1_001) == upload_of(3_001, both)


def test_the_answers_to_the_bytes_of_a_file(bench: Bench) -> None:
    content = lora_bytes(seed=1)
    oid = hashlib.sha256(content).hexdigest()
    href = bench.batch(content)["actions"]["upload"]["href"]
    before = bench.ask("/red/night.git/info/lfs/verify", body={"oid": oid, "size": len(content)})
    wrong = bench.put(href, content[1:])
    replies = [bench.put(href, content), bench.put(href, b"again")]
    after = bench.ask("/red/night.git/info/lfs/verify", body={"oid": oid, "size": len(content)})

    assert (400, f"oid: the file {oid} has not arrived") == (before.status, before.json["error"])
    assert f"content-length: accepted: {len(content)}, the size of the file or part" == wrong.json["error"]
    assert [(200, f'"{oid}"', "0", "no-store")] * 2 == [
        (reply.status, *(reply.headers[name] for name in ("etag", "content-length", "cache-control")))
        for reply in replies
    ]
    assert (200, b"{}", "application/vnd.git-lfs+json", "no-store") == (
        after.status,
        after.body,
        after.headers["content-type"],
        after.headers["cache-control"],
    )


def test_the_address_that_joins_parts_is_for_these_parts_of_this_file(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lfs_module, "PART_BYTES", 1_000)
    content = lora_bytes(fill=500, seed=2)
    oid = hashlib.sha256(content).hexdigest()
    upload = bench.batch(content, transfers=["multipart"])["actions"]["upload"]
    part_bytes = int(upload["header"].pop("chunk_size"))
    for number, (_, href) in enumerate(sorted(upload["header"].items())):
        assert 200 == bench.put(href, content[number * part_bytes :][:part_bytes]).status
    href = path_of(upload["href"])
    count = len(upload["header"])
    forged = [
        href.replace(f"parts={count}", f"parts={count - 1}"),
        href.replace(oid, "0" * 64),
        re.sub("for=[0-9a-f]+", f"for={'0' * 16}", href),
        re.sub(r"lfs/\w+/", f"lfs/{'0' * 32}/", href),
        re.sub(r"expires=\d", "expires=9", href),
    ]

    assert [403] * 5 == [ask(bench.yard, target, method="POST", body={}).status for target in forged]
    done = bench.yard.ask(href, None, method="POST", body=b"{}", content_length="2")
    assert (200, b"{}", "application/vnd.git-lfs+json", "no-store") == (
        done.status,
        done.body,
        done.headers["content-type"],
        done.headers["cache-control"],
    )


# --- xet


def test_the_answer_with_a_token(bench: Bench) -> None:
    first, second = (bench.ask("/api/models/red/night/xet-write-token/main", method="GET") for _ in range(2))
    url, expires_at, token = (first.json[name] for name in ("casUrl", "exp", "accessToken"))

    assert re.fullmatch(r"http://127\.0\.0\.1/hf/cas/[0-9a-f]{16}", url)
    assert HOUR < expires_at - time.time() <= 2 * HOUR
    assert re.fullmatch(rf"[0-9a-f]{{16}}\.[0-9a-f]{{32}}\.1\.{expires_at}\.[\w-]{{22}}", token)
    assert (url, str(expires_at), token, "no-store") == tuple(
        first.headers[name]
        for name in ("x-xet-cas-url", "x-xet-token-expiration", "x-xet-access-token", "cache-control")
    )
    assert (token, False) == (second.json["accessToken"], url == second.json["casUrl"])


@pytest.mark.parametrize("change", ["key", "repository", "signing key", "time", "signature", "parts", "nothing"])
def test_a_token_is_for_a_key_and_a_time(bench: Bench, change: str) -> None:
    path, token = bench.token()
    key, repository, number, expires_at, signature = token.removeprefix("Bearer ").split(".")
    changed = {
        "key": ["0" * 16, repository, number, expires_at, signature],
        "repository": [key, "77", number, expires_at, signature],
        "signing key": [key, repository, "2", expires_at, signature],
        "time": [key, repository, number, str(int(expires_at) + 1), signature],
        "signature": [key, repository, number, expires_at, signature[:-1]],
        "parts": [key, repository, number, expires_at, signature, ""],
        "nothing": [],
    }[change]
    targets = ("/v1/xorbs/default/" + XORB, "/v1/xorb-grants/default/" + XORB, "/v2/shards", "/v1/shards")
    replies = [bench.cas(target, xorb(b"abc"), token="Bearer " + ".".join(changed)) for target in targets]

    assert [401 if change in ("parts", "nothing") else 403] * 4 == [reply.status for reply in replies]
    assert 401 == bench.yard.ask(f"{path}/v1/chunks/default/{XORB}", None).status


def test_a_xorb_needs_its_length_and_a_shard_is_not_read_beyond_its_limit(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelyard.xet.SHARD_BYTES_MAX", 10)
    path, token = bench.token()

    def send(target: str, body: bytes, **headers: str) -> Reply:
        return bench.yard.ask(f"{path}{target}", None, method="POST", body=body, authorization=token, **headers)

    without = send(f"/v1/xorbs/default/{'1' * 64}", b"")
    sizes = [send("/v2/shards", b"x" * size) for size in (10, 11)]
    announced = send("/v2/shards", b"", content_length="11")

    assert (400, "content-length: accepted: the size of the xorb") == (without.status, without.json["error"])
    assert [400, 413, 413] == [reply.status for reply in (*sizes, announced)]


# --- commits


def test_the_answer_to_a_commit(bench: Bench) -> None:
    bench.create("committed")
    readme = b"---\nlicense: mit\ndatasets: [x]\n---\n# Harbour\n"
    done = bench.commit(text("README.md", readme), text("a.txt", b"a"), name="committed")
    plain = bench.commit(text("a.txt", b"b"), name="committed")
    commit = plain.json["commitOid"]

    assert {
        "success": True,
        "commitOid": commit,
        "commitUrl": f"http://127.0.0.1/hf/models/red/committed/commit/{commit}",
        "hookOutput": "",
        "pullRequestUrl": None,
    } == plain.json
    assert "README.md" in done.json["hookOutput"] or "" == done.json["hookOutput"]
    assert "no-store" == done.headers["cache-control"]


def test_a_commit_waits_for_verification_only_so_long(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits_module, "_VERIFY_SECONDS_MAX", 0.05)
    content = lora_bytes(seed=3)
    href = bench.batch(content)["actions"]["upload"]["href"]
    bench.put(href, content)
    late = bench.commit(weights("a.safetensors", content))

    assert (503, "the files are still being verified; send the commit again later") == (late.status, late.json["error"])


def test_a_commit_learns_of_the_end_of_verification_within_a_twentieth_of_its_time() -> None:
    poll_seconds = commits_module.poll_seconds

    assert [0.02, 0.02, 0.05, 0.25, 0.5, 0.5] == [poll_seconds(waited) for waited in (0, 0.25, 1, 5, 10, 500)]


def line(path: str = "a.txt", key: str = "file", **value: Any) -> bytes:
    return json.dumps({"key": key, "value": {"path": path, **value}}).encode()


def as_line(change: dict[str, Any]) -> bytes:
    return json.dumps(change).encode()


def test_the_last_path_text_and_number_of_changes_that_are_accepted() -> None:
    longest = "a" * 500
    deepest = "/".join("a" * 12)
    largest = b"x" * TEXT_BYTES_MAX
    many = b"\n".join([line(f"{n}.txt") for n in range(CHANGES_MAX)] + [b'{"key":"header","value":{}}', b" "])

    assert {longest: b"", deepest: b""} == parse_commit(line(longest) + b"\n" + line(deepest)).texts
    assert {"a.txt": largest} == parse_commit(as_line(text("a.txt", largest))).texts
    assert CHANGES_MAX == len(parse_commit(many).texts)
    for refused in (line(longest + "a"), line(deepest + "/a"), as_line(text("a.txt", largest + b"x")), many + b"\n{}"):
        with pytest.raises(errors.ModelyardError):
            parse_commit(refused)


def test_of_two_lines_about_one_path_the_later_one_holds() -> None:
    oid, parent = hashlib.sha256(b"").hexdigest(), "ab" * 20
    copied = {"key": "copyFile", "value": {"path": "d.txt", "srcPath": "a.txt", "srcRevision": "main"}}
    lines = (
        text("a.txt", b"1"),
        text("a.txt", b"2"),
        text("c.PT.txt", b"3"),
        copied,
        deleted("b"),
        weights("c.PT", b""),
        text("e/f.txt", b""),
        text("ef.txt", b""),
        {"key": "deletedFolder", "value": {"path": "e/"}},
        {"key": "header", "value": {"parentCommit": parent}},
    )
    replaced = text("d.txt", b"4")

    expected = CommitBody(
        {"c.PT": oid}, {"a.txt": b"2", "c.PT.txt": b"3", "ef.txt": b""}, {"d.txt": "a.txt"}, {"b"}, {"e"}, [parent]
    )
    assert expected == parse_commit(b"\n".join(map(as_line, lines)))
    assert CommitBody(texts={"d.txt": b"4"}) == parse_commit(b"\n".join(map(as_line, (copied, replaced))))
    assert CommitBody(copies={"d.txt": "a.txt"}) == parse_commit(b"\n".join(map(as_line, (replaced, copied))))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", "line 1 of the commit cannot be used: Object missing required field `key`"),
        (b'\n{"key":"header","value":{}}\nx', "line 2 of the commit cannot be used: JSON is malformed"),
        (
            line(key="moveFile"),
            "line 1 of the commit: 'moveFile' is not accepted; accepted: header, file, lfsFile, deletedFile,",
        ),
        (
            line(key="copyFile", srcPath="a", srcRevision="v1"),
            "srcRevision: accepted: main, which is the only revision",
        ),
        (line(key="copyFile", srcPath="../a"), "path: '../a' is not accepted"),
        (line("/", key="deletedFolder"), "path: '' is not accepted"),
        (line(key="header", parentCommit="a" * 39), "parentCommit: accepted: a commit of 40 hexadecimal digits"),
        (b'{"key":"header","value":{}}', "the commit changes nothing; accepted: at least one file"),
        (b"\n".join([line()] * (CHANGES_MAX + 2)), "the commit has 1002 lines; accepted: up to 1000 changes"),
        (line("a\x7f"), "path: 'a\\x7f' is not accepted; accepted: a relative path of up to 500 characters"),
        (line(oid="0" * 64, key="lfsFile"), "a.txt: not a kind of file that is accepted; accepted: safetensors"),
        (line("a.pt", oid="0" * 65, key="lfsFile"), "a.pt: accepted: the algo sha256, and an oid of 64 hex"),
        (line(content="Y"), "a.txt: its content cannot be used; accepted: a text in base64"),
        (line(content=1), "a.txt: its content cannot be used; accepted: a text in base64"),
        (line(content="AA=="), "a.txt: accepted in a commit: texts in UTF-8, pictures (png, jpg, jpeg, webp, gif)"),
        (line(content="/w=="), "a.txt: accepted in a commit: texts"),
        (line("a.ckpt", content="YQ=="), "a.ckpt: accepted in a commit: texts"),
    ],
)
def test_what_a_commit_is_refused_for_is_said(body: bytes, message: str) -> None:
    with pytest.raises(errors.ModelyardError) as refused:
        parse_commit(body)

    assert refused.value.message.startswith(message)


BEGINNINGS = {
    "png": b"\x89PNG\r\n\x1a\n",
    "jpg": b"\xff\xd8\xff",
    "jpeg": b"\xff\xd8\xff",
    "webp": b"RIFF\x00\n\xff\x00WEBP",
    "gif": b"GIF89a",
    "model": b"\n\xff\n",
}


@pytest.mark.parametrize("extension", BEGINNINGS)
def test_a_picture_and_a_tokenizer_are_known_by_their_beginnings(extension: str) -> None:
    content = BEGINNINGS[extension] + b"\0\xff"

    assert {f"a.{extension}": content} == parse_commit(as_line(text(f"a.{extension}", content))).texts
    for path, raw in ((f"a.{extension}", b"\0" + content), (f"a.{extension}", content[1:]), ("a.txt", content)):
        with pytest.raises(errors.UnsupportedFile):
            parse_commit(as_line(text(path, raw)))


def test_nobody_without_a_key_writes(tmp_path: Path) -> None:
    with open_app(tmp_path) as yard:
        strangers = [
            yard.ask(target, None, method="POST", body=b"{}", content_length="2").status
            for target in ("/hf/api/repos/create", "/hf/api/models/red/night/commit/main", "/hf/api/validate-yaml")
        ]

    assert [401] * 3 == strangers
