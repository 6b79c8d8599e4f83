"""Commits: folders, copies, pictures, and commits for a state that has changed.

Weights on their way to a commit are in test_writes.py.
"""

import hashlib
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from modelyard.blobs import open_storage
from modelyard.domain import Scope, Viewer
from modelyard.registry.models import Models
from modelyard.store import blobs, deleted_models
from modelyard.store import repositories as repository_rows
from tests.app_fixture import Reply, open_app
from tests.transfers import ask, checking, lora_bytes
from tests.web.hub.bench import Bench, copied, deleted, text, weights

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256))
TOKENIZER = b"\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\x02\xff"


def filled(bench: Bench, *, name: str = "night") -> bytes:
    """Make a repository with a file, and return the file."""
    content = lora_bytes(fill=50)
    bench.create(name)
    bench.send(content, name)
    assert 200 == bench.commit(weights("a.safetensors", content), name=name).status
    return content


def verify_one(bench: Bench) -> None:
    """Wait for a job of verification, and do it."""
    deadline = time.monotonic() + 30
    while not bench.checking.verify_next() and time.monotonic() < deadline:
        time.sleep(0.01)


def test_folders_are_removed_and_files_are_copied_in_one_commit(bench: Bench) -> None:
    content = filled(bench)
    bench.commit(text("old/b.json", b"{}"), text("old/deep/b.json", b"{}"), text("older/c.txt", b"c"))
    lines = (
        text("old/d.txt", b"d"),
        deleted("old/", "deletedFolder"),
        copied("b/a.safetensors", "a.safetensors"),
        copied("c.txt", "older/c.txt"),
    )
    # The copied weights are verified again while the commit waits.
    verifier = threading.Thread(target=lambda: verify_one(bench))
    verifier.start()

    committed = bench.commit(*lines)

    verifier.join()
    assert 200 == committed.status, committed.body
    assert ["README.md", "a.safetensors", "b/a.safetensors", "c.txt", "older/c.txt"] == bench.files()
    assert b"c" == bench.ask("/red/night/resolve/main/c.txt", method="GET").body
    assert content == bench.ask("/red/night/resolve/main/b/a.safetensors", method="GET").body


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        (deleted("no.txt"), 404, "no file 'no.txt' is here"),
        (deleted("no", "deletedFolder"), 404, "no file 'no/' is here"),
        (copied("b.txt", "no.txt"), 404, "no file 'no.txt' is here"),
        (
            copied("b.safetensors", "README.md"),
            400,
            "b.safetensors: accepted: a copy of README.md with its extension",
        ),
    ],
)
def test_a_commit_about_files_that_are_not_there_is_refused(
    shared: Bench, line: dict[str, Any], status: int, message: str
) -> None:
    refused = shared.commit(line, text("a.txt", b"a"))

    assert (status, message) == (refused.status, refused.json["error"])
    assert ["README.md"] == shared.files()


def test_copies_are_bounded_before_they_are_stored(bench: Bench) -> None:
    bench.create()
    bench.commit(text("a.txt", b"a" * (4 << 20)))

    refused = bench.commit(*(copied(f"{number}.txt", "a.txt") for number in range(9)))

    assert 413 == refused.status
    assert ["README.md", "a.txt"] == bench.files()


@pytest.mark.parametrize("has_weights", [False, True])
def test_a_commit_for_an_older_state_is_refused(bench: Bench, has_weights: bool) -> None:
    if has_weights:
        filled(bench)
    else:
        bench.create()
    before = bench.ask("/api/models/red/night", method="GET").json["sha"]

    def commit_after(parent: str, path: str) -> Reply:
        header = {"key": "header", "value": {"summary": "s", "parentCommit": parent}}
        return bench.commit(header, text(path, b"x"))

    first, second = commit_after(before, "one.txt"), commit_after(before, "two.txt")

    assert (200, 412) == (first.status, second.status)
    assert "A commit has happened since. Please refresh and try again." == second.json["error"]
    assert "two.txt" not in bench.files()
    assert 200 == commit_after(first.json["commitOid"], "two.txt").status
    assert 400 == commit_after("main", "three.txt").status


def test_of_two_commits_for_one_state_one_is_made(bench: Bench) -> None:
    bench.create()
    parent = bench.ask("/api/models/red/night", method="GET").json["sha"]
    header = {"key": "header", "value": {"summary": "s", "parentCommit": parent}}
    paths = [f"{number}.txt" for number in range(4)]
    with ThreadPoolExecutor(len(paths)) as threads:
        replies = [*threads.map(lambda path: bench.commit(header, text(path, b"x")), paths)]

    assert [200, 412, 412, 412] == sorted(reply.status for reply in replies)
    assert 2 == len(bench.files())


def test_pictures_and_tokenizers_are_kept_as_they_are(bench: Bench) -> None:
    bench.create()
    files = {"images/one.PNG": PNG, "spiece.model": TOKENIZER}

    committed = bench.commit(*(text(path, content) for path, content in files.items()))

    assert 200 == committed.status, committed.body
    replies = {path: bench.ask(f"/red/night/resolve/main/{path}", method="GET") for path in files}
    assert files == {path: reply.body for path, reply in replies.items()}
    assert {"application/octet-stream"} == {reply.headers["content-type"] for reply in replies.values()}
    oid = hashlib.sha1(b"blob %d\0" % len(PNG) + PNG, usedforsecurity=False).hexdigest()
    assert f'"{oid}"' == replies["images/one.PNG"].headers["etag"]


def test_a_folder_of_pictures_fits_one_commit(shared: Bench) -> None:
    files = [{"path": f"{number}.png", "size": 4 << 20} for number in range(5)]

    answer = shared.ask("/api/models/red/night/preupload/main", body={"files": files}).json

    assert [False] * 4 + [True] == [file["shouldIgnore"] for file in answer["files"]]


def test_a_model_that_came_another_way_keeps_its_file_after_a_text(bench: Bench) -> None:
    content, further = filled(bench), lora_bytes(fill=60)
    (model,) = ask(bench.yard, "/v3/model?filter.visibility=private").json["models"]
    with bench.yard.store.transaction() as transaction:
        repository = repository_rows.of_model(transaction.connection, model["id"])
        assert repository is not None
        repository_rows.remove(transaction.connection, repository.id)
    name = str(model["id"])
    bench.send(further, name)
    texts = [bench.commit(line, name=name).status for line in (text("a.txt", b"a"), deleted("a.txt"))]

    assert [200, 200] == texts
    assert 200 == bench.commit(weights("b.safetensors", further), name=name).status
    assert ["README.md", model["sd_name"], "b.safetensors"] == bench.files(name)
    assert hashlib.sha256(content).hexdigest()[:10].upper() == model["hash_sha256"]


def restore(bench: Bench, home: Path, model_id: int) -> None:
    storage = open_storage("", home, os.environ)
    viewer = Viewer(team="red", scopes=frozenset({Scope.READ, Scope.WRITE}))
    Models(bench.yard.store, storage.kept, storage.incoming).restore(viewer, model_id)


@pytest.mark.parametrize("is_taken", [False, True])
def test_a_restored_model_gets_its_repository_back(bench: Bench, tmp_path: Path, is_taken: bool) -> None:
    content, further = filled(bench), lora_bytes(fill=10)
    bench.send(further)
    bench.commit(weights("vae/b.safetensors", further), text("model_index.json", b"{}"))
    (model,) = ask(bench.yard, "/v3/model?filter.visibility=private").json["models"]
    files = bench.files()
    assert 200 == bench.ask("/api/repos/delete", method="DELETE", body={"name": "red/night"}).status
    with bench.yard.store.reading() as connection:
        sizes = {size for _, _, size in deleted_models.sizes_of_team(connection, "red")}
        used = blobs.bytes_of_team(connection, "red")
    assert ({len(content), len(further)}, 0) == (sizes, used)
    assert [] == bench.checking.collect_garbage(0, dry_run=False)
    if is_taken:
        assert 200 == bench.create().status

    restore(bench, tmp_path, model["id"])

    name = str(model["id"]) if is_taken else "night"
    assert files == bench.files(name)
    assert further == bench.ask(f"/red/{name}/resolve/main/vae/b.safetensors", method="GET").body
    assert 200 == bench.commit(text("c.txt", b"c"), name=name).status


def test_the_files_of_a_deleted_repository_go_with_its_record(bench: Bench) -> None:
    filled(bench)
    further = lora_bytes(fill=10)
    bench.send(further)
    bench.commit(weights("vae/b.safetensors", further))
    bench.ask("/api/repos/delete", method="DELETE", body={"name": "red/night"})

    with bench.yard.store.transaction() as transaction:
        deleted_models.make_room(transaction.connection, "red", 100)

    assert 2 == len(bench.checking.collect_garbage(0, dry_run=False))


def test_small_files_over_the_quota_are_refused_and_not_kept(tmp_path: Path) -> None:
    with open_app(tmp_path, team_quota_bytes=10) as yard:
        bench = Bench(yard, checking(yard, tmp_path))
        bench.create()
        within = bench.commit(text("a.txt", b"0123456789")).status
        over = bench.commit(text("b.txt", b"0"))

        assert (200, 413) == (within, over.status)
        assert "the team may keep 10 bytes and keeps 11; 0 more do not fit" == over.json["error"]
        assert ["a.txt"] == [path for path in bench.files() if path.endswith(".txt")]


def test_the_models_file_is_removed_only_with_its_successor(bench: Bench) -> None:
    main, other = lora_bytes(fill=9_000), lora_bytes(fill=10)
    bench.create()
    bench.send(main)
    bench.send(other)
    bench.commit(weights("a.safetensors", main), weights("b.safetensors", other))
    refused = bench.commit(deleted("a.safetensors"))
    verifier = threading.Thread(target=lambda: verify_one(bench))
    verifier.start()
    allowed = bench.commit(deleted("a.safetensors"), weights("b.safetensors", other)).status
    verifier.join()

    assert (409, 200) == (refused.status, allowed)
    assert "send b.safetensors again in the same commit" in refused.json["error"]
    assert ["b.safetensors"] == [path for path in bench.files() if path.endswith(".safetensors")]
