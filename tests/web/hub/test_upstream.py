"""Repositories of the hub behind this server: what is asked there, what is kept, and who gets it.

Not covered here: the real clients (test_upstream_clients.py), and hubs that answer badly (test_bad_upstreams.py).
"""

import json
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from modelyard.cli import cli
from modelyard.web.hub.unknown_paths import rewrite_path
from tests.app_fixture import App, listening, open_app
from tests.hub_stub import TOKEN, Handler, HubStub, StubRepository, blob_oid, describe, hub_stub, sha256
from tests.swift_server import SwiftServer
from tests.transfers import ask, checking, dangerous_bytes, lora_bytes

CONFIG = b'{"_class_name": "UNet2DConditionModel"}'
WEIGHTS = lora_bytes(fill=300_000)
FILES = {"unet/config.json": CONFIG, "README.md": b"# hello\n", "unet/model.safetensors": WEIGHTS}
LARGE = ("unet/model.safetensors",)
REPOSITORY = "stabilityai/sdxl"
RESOLVE = f"/hf/{REPOSITORY}/resolve/main"


@pytest.fixture
def hub() -> Iterator[HubStub]:
    with hub_stub(stabilityai__sdxl=StubRepository(dict(FILES), LARGE)) as running:
        yield running


@contextmanager
def opened(
    home: Path, hub: HubStub, monkeypatch: pytest.MonkeyPatch, token: str = TOKEN, **chosen: Any
) -> Iterator[App]:
    monkeypatch.setenv("HF_TOKEN", token)
    networks = {"outbound_networks": "127.0.0.0/8", "outbound_allow_http": "yes"}
    with open_app(home, hub_upstream=hub.url, **networks | chosen) as yard:
        yield yard


@pytest.fixture
def yard(tmp_path: Path, hub: HubStub, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    with opened(tmp_path, hub, monkeypatch) as yard:
        yield yard


def away(hub: HubStub) -> None:
    """The hub answers nothing any more."""
    hub.faults[""] = hub.faults["cdn:"] = lambda handler: handler.connection.close() or False


def test_a_small_file_is_fetched_once_and_kept(yard: App, hub: HubStub) -> None:
    first = yard.ask(f"{RESOLVE}/unet/config.json")
    away(hub)
    second = yard.ask(f"{RESOLVE}/unet/config.json", "blue")

    assert [(200, CONFIG)] * 2 == [(reply.status, reply.body) for reply in (first, second)]
    commit = hub.repositories[REPOSITORY].commit
    assert [f"/{REPOSITORY}/resolve/{commit}/unet/config.json"] == hub.paths("resolve")
    for reply in (first, second):
        assert f'"{blob_oid(CONFIG)}"' == reply.headers["etag"]
        assert commit == reply.headers["x-repo-commit"]
        assert str(len(CONFIG)) == reply.headers["content-length"]


def test_a_head_asks_for_the_list_of_files_only_and_once_a_minute(yard: App, hub: HubStub) -> None:
    replies = [yard.ask(f"{RESOLVE}/{path}", method="HEAD") for path in ("unet/model.safetensors", "README.md")]

    assert [200, 200] == [reply.status for reply in replies]
    assert [f"/api/models/{REPOSITORY}/revision/main"] == hub.paths()
    assert f'"{sha256(WEIGHTS)}"' == replies[0].headers["etag"] == replies[0].headers["x-linked-etag"]
    assert str(len(WEIGHTS)) == replies[0].headers["content-length"] == replies[0].headers["x-linked-size"]


def test_no_answer_leads_to_the_hub_or_to_its_xet(yard: App, hub: HubStub) -> None:
    targets = [f"{RESOLVE}/{path}" for path in FILES]
    targets += [f"/hf/api/models/{REPOSITORY}{end}" for end in ("?blobs=true", "/tree/main?recursive=true", "/refs")]

    for reply in map(yard.ask, targets):
        assert 200 == reply.status
        assert not {"x-xet-hash", "link", "location"} & reply.headers.keys()
        assert b"xetHash" not in reply.body
        assert hub.url.encode() not in reply.body


def test_weights_are_passed_on_and_not_kept(yard: App, hub: HubStub, tmp_path: Path) -> None:
    replies = [yard.ask(f"{RESOLVE}/unet/model.safetensors") for _ in range(2)]

    assert [(200, WEIGHTS)] * 2 == [(reply.status, reply.body) for reply in replies]
    assert 2 == len(hub.paths("cdn:"))
    assert [] == [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]


def test_a_part_of_weights_does_not_fetch_the_whole(yard: App, hub: HubStub) -> None:
    reply = yard.ask(f"{RESOLVE}/unet/model.safetensors", range="bytes=8-107")

    assert (206, WEIGHTS[8:108]) == (reply.status, reply.body)
    assert f"bytes 8-107/{len(WEIGHTS)}" == reply.headers["content-range"]
    assert ["bytes=8-107"] == [headers["Range"] for _, path, headers in hub.requests if path.startswith("cdn:")]


def test_a_part_of_a_small_file_is_answered_from_the_whole(yard: App, hub: HubStub) -> None:
    replies = [yard.ask(f"{RESOLVE}/unet/config.json", range="bytes=2-5") for _ in range(2)]

    assert [(206, CONFIG[2:6])] * 2 == [(reply.status, reply.body) for reply in replies]
    assert 1 == len(hub.paths("resolve"))


def test_the_description_and_the_tree_are_those_of_the_hub(yard: App, hub: HubStub) -> None:
    commit = hub.repositories[REPOSITORY].commit
    described = yard.ask(f"/hf/api/models/{REPOSITORY}?blobs=true").json
    tree = yard.ask(f"/hf/api/models/{REPOSITORY}/tree/main?recursive=true").json
    paths = yard.ask(
        f"/hf/api/models/{REPOSITORY}/paths-info/main", method="POST", body=b"paths=README.md&paths=no"
    ).json
    commits = yard.ask(f"/hf/api/models/{REPOSITORY}/commits/main").json

    assert [REPOSITORY, commit, False] == [described[name] for name in ("id", "sha", "private")]
    assert sorted(FILES) == [file["rfilename"] for file in described["siblings"]]
    assert "spaces" not in described
    assert {*FILES, "unet"} == {entry["path"] for entry in tree}
    assert sha256(WEIGHTS) == next(entry["lfs"]["oid"] for entry in tree if entry["path"] == LARGE[0])
    assert [["README.md", blob_oid(FILES["README.md"])]] == [[entry["path"], entry["oid"]] for entry in paths]
    assert [commit] == [entry["id"] for entry in commits]
    assert 200 == yard.ask(f"/hf/api/models/{REPOSITORY}/auth-check").status


def test_a_commit_is_asked_for_once_and_answers_stay_as_they_were(yard: App, hub: HubStub) -> None:
    old = hub.repositories[REPOSITORY].commit
    yard.ask(f"{RESOLVE}/README.md")
    hub.repositories[REPOSITORY].files["README.md"] = b"# new\n"
    new = hub.repositories[REPOSITORY].commit

    by_old = yard.ask(f"/hf/{REPOSITORY}/resolve/{old}/README.md")
    by_new = yard.ask(f"/hf/{REPOSITORY}/resolve/{new}/README.md")

    assert [(b"# hello\n", old), (b"# new\n", new)] == [(r.body, r.headers["x-repo-commit"]) for r in (by_old, by_new)]
    assert 2 == len(hub.paths("/api/"))


def test_what_is_not_on_the_hub_is_said_in_the_words_of_clients(yard: App, hub: HubStub) -> None:
    replies = {
        target: yard.ask(target)
        for target in (
            "/hf/nobody/nothing/resolve/main/a.json",
            f"{RESOLVE}/no.json",
            f"/hf/{REPOSITORY}/resolve/v9/README.md",
            f"/hf/api/models/{REPOSITORY}/tree/main/no",
        )
    }

    assert [(404, "RepoNotFound"), (404, "EntryNotFound"), (404, "RevisionNotFound"), (404, "EntryNotFound")] == [
        (reply.status, reply.headers["x-error-code"]) for reply in replies.values()
    ]
    asked = len(hub.requests)
    assert 404 == yard.ask("/hf/nobody/nothing/resolve/main/b.json").status
    assert asked == len(hub.requests)


def test_the_token_goes_to_the_hub_alone_and_the_callers_key_nowhere(yard: App, hub: HubStub) -> None:
    for path in FILES:
        yard.ask(f"{RESOLVE}/{path}", "red", cookie="a=b", x_api_key="mine")

    by_server: dict[bool, set[str | None]] = {True: set(), False: set()}
    for _, path, headers in hub.requests:
        by_server[path.startswith("cdn:")].add(headers.get("Authorization"))
        assert yard.key("red") not in str(headers)
        assert not {"cookie", "x-api-key"} & {name.lower() for name in headers}
    assert {False: {f"Bearer {TOKEN}"}, True: {None}} == by_server
    assert TOKEN not in str(yard.lines())


def test_names_of_teams_and_callers_without_a_key_never_reach_the_hub(
    tmp_path: Path, hub: HubStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories |= {"red/a": StubRepository({"a": b"1"}), "blue/a": StubRepository({"a": b"1"})}
    with opened(tmp_path, hub, monkeypatch, anonymous_access="public") as yard:
        yard.key("blue")
        replies = [
            yard.ask("/hf/red/a/resolve/main/a"),
            yard.ask("/hf/blue/a/resolve/main/a"),
            yard.ask("/hf/public/a/resolve/main/a"),
            yard.ask(f"{RESOLVE}/README.md", None),
        ]

        assert [404] * 4 == [reply.status for reply in replies]
        assert [] == hub.requests


def test_what_is_closed_on_the_hub_is_for_one_team(
    tmp_path: Path, hub: HubStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories["a/private"] = StubRepository({"a": b"private"}, private=True)
    hub.repositories["a/gated"] = StubRepository({"a": b"gated"}, gated="auto")
    with opened(tmp_path, hub, monkeypatch, hub_upstream_team="red") as yard:
        for name in ("private", "gated"):
            assert name.encode() == yard.ask(f"/hf/a/{name}/resolve/main/a", "red").body
        replies = [yard.ask(f"/hf/a/{name}/resolve/main/a", "blue") for name in ("private", "gated")]
        # The same bytes, said to be public elsewhere, are asked for again.
        hub.repositories["b/open"] = StubRepository({"a": b"private"})
        yard.ask("/hf/b/open/resolve/main/a", "blue")

    assert [(404, "RepoNotFound"), (403, "GatedRepo")] == [(r.status, r.headers["x-error-code"]) for r in replies]
    assert 2 == len(hub.paths("private/resolve")) + len(hub.paths("open/resolve"))


def test_many_askers_are_one_fetch(yard: App, hub: HubStub) -> None:
    hub.pause_seconds = 0.4
    with listening(yard) as address, ThreadPoolExecutor(12) as askers:
        key = {"authorization": f"Bearer {yard.key('red')}"}
        targets = [f"{RESOLVE}/{path}" for path in ("unet/model.safetensors", "unet/config.json") * 6]
        replies = list(askers.map(lambda target: address.ask(target, key), targets))

    assert [WEIGHTS, CONFIG] * 6 == [reply.body for reply in replies]
    assert 1 == len(hub.paths("cdn:"))
    assert 1 == len(hub.paths("config.json"))
    assert 1 == len(hub.paths("/api/"))


def test_a_hub_that_is_away_leaves_what_is_here(yard: App, hub: HubStub) -> None:
    yard.ask(f"{RESOLVE}/README.md")
    away(hub)

    assert b"# hello\n" == yard.ask(f"{RESOLVE}/README.md").body
    assert 200 == yard.ask(f"/hf/api/models/{REPOSITORY}").status
    assert (503, "1") == (
        (reply := yard.ask(f"{RESOLVE}/unet/config.json")).status,
        reply.headers["retry-after"],
    )
    assert 503 == yard.ask("/hf/another/one/resolve/main/a").status


def test_what_is_here_survives_the_server_and_the_hub(
    tmp_path: Path, hub: HubStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, hub, monkeypatch) as yard:
        yard.ask(f"{RESOLVE}/unet/config.json")
    away(hub)
    asked = len(hub.requests)

    with opened(tmp_path, hub, monkeypatch) as yard:
        reply = yard.ask(f"{RESOLVE}/unet/config.json")
        # A hub that does not answer twice is left alone for a while.
        for _ in range(3):
            yard.ask(f"/hf/api/models/{REPOSITORY}")

    assert (200, CONFIG) == (reply.status, reply.body)
    assert asked + 2 == len(hub.requests)


def test_kept_weights_become_a_model_of_the_team_after_the_checks(
    tmp_path: Path, hub: HubStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, hub, monkeypatch, hub_upstream_weights="kept") as yard:
        first = yard.ask(f"{RESOLVE}/unet/model.safetensors")
        before_check = yard.ask(f"{RESOLVE}/unet/model.safetensors")
        assert checking(yard, tmp_path).verify_next()
        after_check = yard.ask(f"{RESOLVE}/unet/model.safetensors")
        (model,) = yard.ask("/v3/model?filter.query=sdxl").json["models"]
        details = yard.ask(f"/hf/api/models/public/{model['id']}").json

    assert [WEIGHTS] * 3 == [reply.body for reply in (first, before_check, after_check)]
    assert 1 == len(hub.paths("cdn:"))
    assert (1, "lora", "public") == (model["status"], model["type"]["name"], model["visibility"])
    assert sha256(WEIGHTS)[:10].upper() == model["hash_sha256"]
    assert "siblings" in details


def test_what_is_kept_has_a_limit_and_nothing_is_removed_for_it(
    tmp_path: Path, hub: HubStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories["a/large"] = StubRepository({"a.txt": b"a" * 5_000, "b.txt": b"b" * 5_000})
    with opened(tmp_path, hub, monkeypatch, hub_upstream_bytes_max=7_000) as yard:
        for _ in range(2):
            for name in ("a.txt", "b.txt"):
                assert 5_000 == len(yard.ask(f"/hf/a/large/resolve/main/{name}").body)

    assert [1, 2] == [len(hub.paths(name)) for name in ("a.txt", "b.txt")]


@pytest.mark.parametrize("weights", ["passed", "kept"])
def test_processes_of_a_machine_share_a_fetch(
    tmp_path: Path, hub: HubStub, monkeypatch: pytest.MonkeyPatch, url: str, weights: str
) -> None:
    """Two applications over one home folder are what two workers are: each has its own locks, caches and threads."""
    hub.pause_seconds = 0.6
    chosen = {"database_url": url, "hub_upstream_weights": weights}
    with opened(tmp_path, hub, monkeypatch, **chosen) as one, opened(tmp_path, hub, monkeypatch, **chosen) as two:
        with listening(one) as first, listening(two) as second, ThreadPoolExecutor(12) as askers:
            key = {"authorization": f"Bearer {one.key('red')}"}
            targets = [f"{RESOLVE}/{path}" for path in ("unet/model.safetensors", "unet/config.json") * 3]
            calls = [(address, target) for target in targets for address in (first, second)]
            replies = list(askers.map(lambda call: call[0].ask(call[1], key).body, calls))
        checking(one, tmp_path).verify_next()
        models = one.ask("/v3/model").json["models"]

    assert [WEIGHTS, WEIGHTS, CONFIG, CONFIG] * 3 == replies
    assert [1, 1] == [len(hub.paths("cdn:")), len(hub.paths("config.json"))]
    assert (1 if weights == "kept" else 0) == len(models)


def test_the_limits_of_the_team_that_owns_weights_hold_and_callers_get_them_all_the_same(
    tmp_path: Path, hub: HubStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, hub, monkeypatch, hub_upstream_weights="kept", team_quota_bytes=1_000) as yard:
        replies = [yard.ask(f"{RESOLVE}/unet/model.safetensors") for _ in range(2)]
        models = yard.ask("/v3/model").json["models"]

    assert [WEIGHTS] * 2 == [reply.body for reply in replies]
    assert [] == models
    assert [] == [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]


def test_dangerous_weights_are_refused_once_they_are_checked(
    tmp_path: Path, hub: HubStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories["a/bad"] = StubRepository({"model.pt": dangerous_bytes()}, ("model.pt",))
    with opened(tmp_path, hub, monkeypatch, hub_upstream_weights="kept") as yard:
        yard.ask("/hf/a/bad/resolve/main/model.pt")
        assert checking(yard, tmp_path).verify_next()
        reply = yard.ask("/hf/a/bad/resolve/main/model.pt")

    assert (403, "GatedRepo") == (reply.status, reply.headers["x-error-code"])
    assert 1 == len(hub.paths("cdn:"))


def test_weights_whose_model_is_deleted_are_fetched_again(
    tmp_path: Path, hub: HubStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, hub, monkeypatch, hub_upstream_weights="kept", hub_upstream_team="red") as yard:
        for _ in range(2):
            assert WEIGHTS == yard.ask(f"{RESOLVE}/unet/model.safetensors").body
            assert checking(yard, tmp_path).verify_next()
            (model,) = yard.ask("/v3/model?filter.query=sdxl").json["models"]
            assert 200 == ask(yard, f"/v3/model?id={model['id']}", method="DELETE").status

    assert 2 == len(hub.paths("cdn:"))


def test_garbage_collection_leaves_what_is_kept_of_the_hub(yard: App, hub: HubStub, tmp_path: Path) -> None:
    yard.ask(f"{RESOLVE}/unet/config.json")
    verification = checking(yard, tmp_path)
    verification.purge_expired()
    verification.collect_garbage(0, dry_run=False)

    assert CONFIG == yard.ask(f"{RESOLVE}/unet/config.json").body
    assert 1 == len(hub.paths("resolve"))


def test_the_operator_makes_room(yard: App, hub: HubStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    yard.ask(f"{RESOLVE}/unet/config.json")
    for name in ("HOME", "HUB_UPSTREAM"):
        monkeypatch.delenv(f"MODELYARD_{name}", raising=False)
    command = ["gc", "--home", str(tmp_path), "--hub-repository", REPOSITORY, "--grace", "0s"]

    rehearsal = CliRunner().invoke(cli, [*command, "--dry-run"])
    before = yard.ask(f"{RESOLVE}/unet/config.json")
    run = CliRunner().invoke(cli, command)
    after = yard.ask(f"{RESOLVE}/unet/config.json")

    assert f"{REPOSITORY}: 3 entries would be forgotten; of the hub, 1 files and 1 repositories" in rehearsal.stderr
    assert f"{REPOSITORY}: 3 entries forgotten; of the hub, 0 files and 0 repositories with 0 bytes" in run.stderr
    assert "1 files, 39 bytes removed" in run.stderr
    assert [CONFIG] * 2 == [before.body, after.body]
    assert 2 == len(hub.paths("resolve"))


def test_a_hub_without_older_commits_is_asked_for_the_new_one(yard: App, hub: HubStub) -> None:
    """A Modelyard is such a hub."""
    old = yard.ask(f"{RESOLVE}/README.md").headers["x-repo-commit"]
    hub.repositories[REPOSITORY].files["unet/config.json"] = b"new"

    def fault(handler: Handler) -> bool:
        handler.answer(404, b"{}", x_error_code="RevisionNotFound")
        return False

    hub.faults[f"/{REPOSITORY}/resolve/{old}"] = fault
    by_branch = [yard.ask(f"{RESOLVE}/unet/config.json") for _ in range(2)]
    by_commit = yard.ask(f"/hf/{REPOSITORY}/resolve/{old}/unet/config.json")

    assert [503, 200] == [reply.status for reply in by_branch]
    assert b"new" == by_branch[1].body
    assert (404, "RevisionNotFound") == (by_commit.status, by_commit.headers["x-error-code"])


def test_what_is_kept_may_be_in_an_s3_store(
    hub: HubStub, swift: SwiftServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in swift.environment.items():
        monkeypatch.setenv(name, value)
    url = f"s3://{swift.make_bucket()}"
    with opened(tmp_path, hub, monkeypatch, storage_url=url, hub_upstream_weights="kept") as yard:
        for path in ("unet/config.json", "unet/model.safetensors"):
            yard.ask(f"{RESOLVE}/{path}")
        checking(yard, tmp_path, url).verify_next()
        away(hub)
        small = yard.ask(f"{RESOLVE}/unet/config.json", range="bytes=0-3")
        weights = yard.ask(f"{RESOLVE}/unet/model.safetensors")
        with urllib.request.urlopen(weights.headers["location"], timeout=60) as answer:
            stored = answer.read()

    assert (206, CONFIG[:4]) == (small.status, small.body)
    assert (302, str(len(WEIGHTS)), WEIGHTS) == (weights.status, weights.headers["x-linked-size"], stored)


def test_a_repository_that_is_closed_on_the_hub_later_is_closed_here(
    tmp_path: Path, hub: HubStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for private in (False, True):
        hub.repositories[REPOSITORY].private = private
        with opened(tmp_path, hub, monkeypatch) as yard:
            assert (404 if private else 200) == yard.ask(f"{RESOLVE}/README.md").status
    away(hub)
    commit = hub.repositories[REPOSITORY].commit

    with opened(tmp_path, hub, monkeypatch) as yard:
        replies = [yard.ask(f"/hf/{REPOSITORY}/resolve/{revision}/README.md") for revision in ("main", commit)]

    assert [404, 404] == [reply.status for reply in replies]


def test_a_repository_without_a_namespace_and_one_that_was_renamed(yard: App, hub: HubStub) -> None:
    """The hub redirects both to their present name. Clients get them under the name that they use."""
    for name in ("/api/models/gpt2", "/api/models/old/name"):
        hub.faults[name] = lambda handler: handler.answer(307, location=f"/api/models/{REPOSITORY}") or False
    hub.faults["/gpt2/resolve/"] = lambda handler: (
        handler.answer(307, location=handler.path.replace("/gpt2/", f"/{REPOSITORY}/")) or False
    )

    described = yard.ask("/hf/api/models/gpt2").json
    listed = yard.ask("/hf/api/models/gpt2/tree/main?recursive=true").json

    assert (CONFIG, b"# hello\n") == tuple(
        yard.ask(f"/hf/gpt2/{way}").body for way in ("resolve/main/unet/config.json", "raw/main/README.md")
    )
    assert ("gpt2", 3) == (described["id"], len(described["siblings"]))
    assert {"unet/config.json", "README.md"} < {entry["path"] for entry in listed}
    assert 200 == yard.ask("/hf/api/models/gpt2/revision/main").status
    assert "old/name" == yard.ask("/hf/api/models/old/name").json["id"]


def test_a_revision_of_a_pull_request(yard: App, hub: HubStub) -> None:
    commit = hub.repositories[REPOSITORY].commit
    body = json.dumps(describe(REPOSITORY, hub.repositories[REPOSITORY])).encode()
    asked = f"/api/models/{REPOSITORY}/revision/refs/pr/1"
    hub.faults[asked] = lambda handler: handler.answer(200, body) or False

    replies = [
        yard.ask(f"/hf/{target}")
        for target in (
            f"api/models/{REPOSITORY}/revision/refs%2Fpr%2F1",
            f"api/models/{REPOSITORY}/tree/refs%2Fpr%2F1/unet",
            f"{REPOSITORY}/resolve/refs%2Fpr%2F1/README.md",
        )
    ]

    assert [(200, commit)] * 3 == [(reply.status, reply.headers["x-repo-commit"]) for reply in replies]
    assert 404 == yard.ask(f"/hf/{REPOSITORY}/resolve/refs%2Fpr%2Fx%2Fy/README.md").status
    assert 404 == yard.ask("/hf/public/7/resolve/refs%2Fpr%2F1/README.md").status


@pytest.mark.parametrize(
    "path",
    [
        "/hf/api/models/gpt2/refs",
        "/hf/api/models/red/tree/refs",
        "/hf/api/models/red/7/revision/main",
        "/hf/api/models/a/tree/revision/main",
        "/hf/a/resolve/resolve/main/x",
        "/hf/api/whoami-v2",
        "/hf/lfs/resolve/x/y",
    ],
)
def test_a_path_with_a_namespace_stays_as_it_is(path: str) -> None:
    assert path == rewrite_path(path)
