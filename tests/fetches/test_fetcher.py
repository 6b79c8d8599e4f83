"""Files that the server fetches, from servers that cut, stall, lie and refuse: each case ends right, and is told."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelyard.outbound import Limits, origin_of
from modelyard.registry.signatures import UNSIGNED
from tests.app_fixture import App, Reply, open_app
from tests.fetch_fixture import LOCAL, Fetching, RemoteFile
from tests.transfers import ask, dangerous_bytes, find, lora_bytes, path_of, sha256_base64
from tests.upstream import Upstream, serve_upstream

CONTENT = lora_bytes(fill=300_000)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with serve_upstream() as server:
        yield server


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[App]:
    with open_app(tmp_path, **LOCAL) as app:
        yield app


@pytest.fixture
def fetching(yard: App, tmp_path: Path, upstream: Upstream) -> Fetching:
    return Fetching(yard, tmp_path, upstream)


def request(yard: App, team: str = "red", **body: Any) -> Reply:
    return ask(yard, "/v3/model", team, method="POST", body=body)


def fetch(fetching: Fetching, **body: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Ask for a file, do the work, and return the model and the fetch."""
    reply = request(fetching.yard, **body)
    assert 202 == reply.status, reply.body
    fetching.run()
    return model_of(fetching.yard, reply.json["id"]), fetch_of(fetching.yard, reply.headers["location"])


def fetch_of(yard: App, location: str) -> dict[str, Any]:
    (record,) = ask(yard, location).json["fetches"]
    result: dict[str, Any] = record
    return result


def model_of(yard: App, model_id: int) -> dict[str, Any]:
    reply = ask(yard, f"/v3/model/details?id={model_id}")
    result: dict[str, Any] = reply.json
    return result


def read_file(yard: App, url: str) -> bytes:
    return yard.ask(path_of(url), None).body


def assert_nothing_stays(fetching: Fetching) -> None:
    folder = fetching.incoming.folder
    assert [] == [path.name for path in folder.glob("*")] if folder.exists() else True


# --- What is fetched


def test_an_address_becomes_a_private_model_of_the_team(fetching: Fetching, upstream: Upstream) -> None:
    url = upstream.put("/files/night.safetensors?sig=secret", RemoteFile(CONTENT))

    reply = request(fetching.yard, source_url=url)
    before = reply.json
    fetching.run()
    model = model_of(fetching.yard, before["id"])

    assert (202, 0, "private") == (reply.status, before["status"], before["visibility"])
    assert (1, "night") == (model["status"], model["name"])
    assert CONTENT == read_file(fetching.yard, model["download_url"])
    record = fetch_of(fetching.yard, reply.headers["location"])
    assert {
        "source": f"{upstream.url}/files/night.safetensors",
        "state": "done",
        "problem": "",
        "received_bytes": len(CONTENT),
        "size_bytes": len(CONTENT),
        "model_id": before["id"],
    } == {name: record[name] for name in ("source", "state", "problem", "received_bytes", "size_bytes", "model_id")}
    assert_nothing_stays(fetching)


def test_a_file_of_a_hub_is_checked_by_the_hash_that_the_hub_says(fetching: Fetching, upstream: Upstream) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    remote = RemoteFile(CONTENT)

    def resolve(on: Any) -> None:
        if on.command == "HEAD":
            on.reply(b"", 302, location="/blob", x_linked_etag=f'"{digest}"', x_linked_size=str(len(CONTENT)))
        else:
            on.reply(b"", 302, location="/blob")

    upstream.put("/owner/repo/resolve/main/sub/a.safetensors", resolve)
    upstream.put("/blob", remote)

    model, record = fetch(fetching, hub="owner/repo:sub/a.safetensors")

    assert ("done", "hub:owner/repo@main:sub/a.safetensors", 1, "a") == (
        record["state"], record["source"], model["status"], model["name"],
    )  # fmt: skip # related values in one line


def civitai_version(upstream: Upstream, content: bytes = CONTENT, **changes: Any) -> None:
    file = {
        "id": 9, "name": "nightHarbour.safetensors", "type": "Model", "sizeKB": len(content) / 1024, "primary": True,
        "metadata": {"format": "SafeTensor"}, "hashes": {"SHA256": hashlib.sha256(content).hexdigest().upper()},
    } | changes  # fmt: skip # related values in one line
    version = {
        "id": 77, "modelId": 7, "name": "v2", "baseModel": "SD 1.5", "trainedWords": ["harbour"],
        "model": {"name": "Night Harbour", "type": "LORA"}, "files": [file],
    }  # fmt: skip # related values in one line
    upstream.put(
        "/api/v1/model-versions/77", lambda on: on.reply(json.dumps(version).encode(), content_type="application/json")
    )
    upstream.put("/api/download/models/77", RemoteFile(content))


@pytest.mark.parametrize("air", ["urn:air:sd1:lora:civitai:7@77", "civitai:7@77"])
def test_a_version_that_is_not_listed_becomes_a_model_with_what_civitai_says(
    fetching: Fetching, upstream: Upstream, air: str
) -> None:
    civitai_version(upstream)

    model, record = fetch(fetching, air=air)

    assert ("done", 1, "Night Harbour", "v2", ["harbour"], "private") == (
        record["state"], model["status"], model["title"], model["name"], model["trigger_words"], model["visibility"],
    )  # fmt: skip # related values in one line
    assert 404 == ask(fetching.yard, f"/v3/model/details?id={model['id']}", "blue").status
    assert [] == ask(fetching.yard, "/v3/model/fetches", "blue").json["fetches"]


def import_version(yard: App, upstream: Upstream) -> None:
    """List the version, as an import does."""
    from modelyard.civitai import records
    from modelyard.outbound import AddressPolicy, Outbound

    origins = {origin_of(upstream.url)}
    with Outbound(AddressPolicy(origins=origins)).open(upstream.url + "/api/v1/model-versions/77") as answer:
        for _ in yard.catalog.register_many([*records.convert(answer.read_all(10**6))]):  # type: ignore[list-item] # every answer can be read
            pass


@pytest.mark.parametrize("body", [{"version_id": 77}, {"air": "civitai:7@77"}])
def test_a_listed_version_becomes_available_and_no_second_model(
    fetching: Fetching, upstream: Upstream, body: dict[str, Any]
) -> None:
    yard = fetching.yard
    civitai_version(upstream)
    import_version(yard, upstream)
    assert "download_url" not in find(yard, 77)

    _, record = fetch(fetching, **body)

    assert ("done", 77) == (record["state"], record["model_id"])
    assert CONTENT == read_file(yard, find(yard, 77)["download_url"])
    assert 1 == len(ask(yard, "/v3/model").json["models"])
    again = request(yard, **body)
    assert (409, "MODEL_ALREADY_EXISTED") == (again.status, again.json["reason"])
    assert 1 == upstream.asked["/api/download/models/77"]


def test_two_teams_that_ask_for_one_listed_version_fetch_it_once(fetching: Fetching, upstream: Upstream) -> None:
    civitai_version(upstream)
    import_version(fetching.yard, upstream)

    locations = [request(fetching.yard, team, version_id=77).headers["location"] for team in ("red", "blue")]
    fetching.run_once()  # the fetch
    fetching.run_once()  # its verification
    fetching.run()

    assert ["done", "done"] == [
        ask(fetching.yard, location, team).json["fetches"][0]["state"]
        for location, team in zip(locations, ("red", "blue"), strict=True)
    ]
    assert 1 == upstream.asked["/api/download/models/77"]
    assert 404 == ask(fetching.yard, locations[0], "blue").status


# --- Interruptions


def test_a_file_that_is_cut_off_is_continued(fetching: Fetching, upstream: Upstream) -> None:
    remote = RemoteFile(CONTENT, cuts=(100_000, 50_000))

    model, record = fetch(fetching, source_url=upstream.put("/a.safetensors", remote))

    assert ([None, "bytes=100000-", "bytes=150000-"], "done", 1) == (remote.ranges, record["state"], model["status"])


def test_a_file_that_changes_meanwhile_is_fetched_from_its_start(fetching: Fetching, upstream: Upstream) -> None:
    remote = RemoteFile(lora_bytes(fill=300_000, seed=3), cuts=(100_000,))

    def change() -> None:
        if remote.ranges:
            remote.content, remote.etag = CONTENT, '"2"'

    remote.before_answer = change
    model, _ = fetch(fetching, source_url=upstream.put("/a.safetensors", remote))

    assert CONTENT == read_file(fetching.yard, model["download_url"])


def test_without_a_sign_of_the_same_file_it_is_fetched_from_its_start(fetching: Fetching, upstream: Upstream) -> None:
    remote = RemoteFile(CONTENT, etag=None, cuts=(100_000,))

    model, _ = fetch(fetching, source_url=upstream.put("/a.safetensors", remote))

    assert ([None, None], 1) == (remote.ranges, model["status"])


def test_a_range_that_is_answered_with_other_bytes_is_not_taken(fetching: Fetching, upstream: Upstream) -> None:
    remote = RemoteFile(CONTENT, cuts=(100_000,))

    def answer(on: Any) -> None:
        if len(remote.ranges) == 1:
            remote.ranges.append("lie")
            on.reply(CONTENT, 206, content_range=f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}")
        else:
            remote(on)

    model, _ = fetch(fetching, source_url=upstream.put("/a.safetensors", answer))

    assert CONTENT == read_file(fetching.yard, model["download_url"])


def test_a_server_that_always_lies_about_the_length_is_given_up(fetching: Fetching, upstream: Upstream) -> None:
    url = upstream.put("/a.safetensors", lambda on: on.reply(CONTENT[:1000], content_length="300000"))

    model, record = fetch(fetching, source_url=url)

    assert ("failed", 0) == (record["state"], model["status"])
    assert "given up after 4 attempts: 127.0.0.1 cut off 299,000 bytes before the end" == record["problem"]
    assert "refused" == model["check"]["verdict"]
    assert_nothing_stays(fetching)


def test_a_server_that_stalls_is_asked_again(yard: App, tmp_path: Path, upstream: Upstream) -> None:
    fetching = Fetching(yard, tmp_path, upstream, limits=Limits(seconds_max=None, idle_seconds=0.2))
    remote, gone = RemoteFile(CONTENT), threading.Event()

    def answer(on: Any) -> None:
        if remote.ranges:
            remote(on)
            return
        remote.ranges.append(None)
        on.send_response(200)
        on.send_header("Content-Length", str(len(CONTENT)))
        on.send_header("ETag", '"1"')
        on.end_headers()
        on.wfile.write(CONTENT[:1000])
        gone.wait(20)

    model, _ = fetch(fetching, source_url=upstream.put("/a.safetensors", answer))
    gone.set()

    assert ([None, "bytes=1000-"], 1) == (remote.ranges, model["status"])


def test_a_server_that_sends_the_frame_of_a_body_and_no_bytes_is_asked_again(
    yard: App, tmp_path: Path, upstream: Upstream
) -> None:
    """The lines after the last chunk never end, so that no read times out."""
    fetching = Fetching(yard, tmp_path, upstream, limits=Limits(seconds_max=None, idle_seconds=0.3))
    remote, is_over = RemoteFile(CONTENT), threading.Event()

    def answer(on: Any) -> None:
        if remote.ranges:
            remote(on)
            return
        remote.ranges.append(None)
        on.send_response(200)
        on.send_header("Transfer-Encoding", "chunked")
        on.send_header("ETag", '"1"')
        on.end_headers()
        on.wfile.write(b"3e8\r\n" + CONTENT[:1000] + b"\r\n0\r\n")
        with contextlib.suppress(OSError):
            while not is_over.wait(0.05):
                on.wfile.write(b"x: y\r\n")

    model, record = fetch(fetching, source_url=upstream.put("/a.safetensors", answer))
    is_over.set()

    assert ([None, "bytes=1000-"], 1) == (remote.ranges, model["status"]), record


def test_too_many_requests_are_waited_for(fetching: Fetching, upstream: Upstream) -> None:
    remote, refusals = RemoteFile(CONTENT), [429, 503]

    def answer(on: Any) -> None:
        if refusals:
            on.reply(b"", refusals.pop(0), retry_after="7")
        else:
            remote(on)

    reply = request(fetching.yard, source_url=upstream.put("/a.safetensors", answer))
    fetching.run_once()
    waiting = fetch_of(fetching.yard, reply.headers["location"])
    fetching.run()

    assert ("waiting", "status 429; the next attempt is in 0 s") == (waiting["state"], waiting["problem"])
    assert "done" == fetch_of(fetching.yard, reply.headers["location"])["state"]


# --- Refusals

WORDS = {
    "html": "127.0.0.1 answers with a page (HTML), not with a file; use the file's own address",
    "html without a type": "127.0.0.1 answers with a page (HTML), not with a file; use the file's own address",
    "empty": "127.0.0.1 answers with an empty file",
    "not there": "127.0.0.1 has no such file (status 404)",
    "legal": "127.0.0.1 may not give this file for legal reasons (status 451)",
    "inside": "'10.0.0.1' leads to 10.0.0.1, which is no public address",
    "inside by http": "'10.0.0.1': http is not accepted; use https, or set outbound_allow_http",
    "name in it": "this is no address to fetch from; accepted: http:// and https://, without user name and password",
}
ANSWERS: dict[str, Any] = {
    "html": lambda on: on.reply(b"x", content_type="text/html; charset=utf-8"),
    "html without a type": lambda on: on.reply(b"\n <!DOCTYPE html><title>x</title>"),
    "empty": lambda on: on.reply(b""),
    "not there": lambda on: on.reply(b"", 404),
    "legal": lambda on: on.reply(b"", 451),
    "inside": lambda on: on.reply(b"", 302, location="https://10.0.0.1/"),
    "inside by http": lambda on: on.reply(b"", 302, location="http://10.0.0.1/"),
    "name in it": lambda on: on.reply(b"", 302, location="https://me:secret@10.0.0.1/"),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_what_is_no_file_is_refused_in_words_and_kept_nowhere(
    fetching: Fetching, upstream: Upstream, case: str
) -> None:
    model, record = fetch(fetching, source_url=upstream.put("/a.safetensors", ANSWERS[case]))

    assert ("failed", WORDS[case], 0) == (record["state"], record["problem"], model["status"])
    assert {"verdict": "refused", "reason": WORDS[case]} == model["check"]
    assert_nothing_stays(fetching)


def test_a_file_with_another_hash_is_refused(fetching: Fetching, upstream: Upstream) -> None:
    civitai_version(upstream)
    other = lora_bytes(fill=300_000, seed=5)
    upstream.put("/api/download/models/77", RemoteFile(other))

    model, record = fetch(fetching, air="civitai:77")

    announced, received = (hashlib.sha256(content).hexdigest() for content in (CONTENT, other))
    assert ("failed", f"announced SHA-256 {announced}, received {received}") == (record["state"], record["problem"])
    assert (0, None) == (model["status"], model.get("download_url"))
    assert_nothing_stays(fetching)


def test_a_listed_version_stays_as_it_is_if_its_file_is_refused(fetching: Fetching, upstream: Upstream) -> None:
    civitai_version(upstream, hashes={"AutoV2": hashlib.sha256(CONTENT).hexdigest()[:10].upper()})
    import_version(fetching.yard, upstream)
    before = find(fetching.yard, 77)
    upstream.put("/api/download/models/77", RemoteFile(lora_bytes(seed=5)))

    _, record = fetch(fetching, version_id=77)
    dangerous = dangerous_bytes()
    civitai_version(upstream, dangerous)
    import_version(fetching.yard, upstream)
    _, second = fetch(fetching, version_id=77)

    assert ("failed", "failed") == (record["state"], second["state"])
    assert second["problem"].startswith("dangerous: ")
    after = find(fetching.yard, 77)
    assert (before["status"], None) == (after["status"], after.get("download_url"))


def test_the_hash_of_the_caller_counts(fetching: Fetching, upstream: Upstream) -> None:
    url = upstream.put("/a.safetensors", RemoteFile(CONTENT))

    _, wrong = fetch(fetching, source_url=url, file_sha256=sha256_base64(b"other"))
    _, right = fetch(fetching, source_url=url, file_sha256=sha256_base64(CONTENT))

    assert ("failed", "done") == (wrong["state"], right["state"])


def test_a_dangerous_file_is_refused_as_every_upload_is(fetching: Fetching, upstream: Upstream) -> None:
    model, record = fetch(fetching, source_url=upstream.put("/a.pt", RemoteFile(dangerous_bytes())))

    assert ("failed", "dangerous", 0) == (record["state"], model["check"]["verdict"], model["status"])
    assert record["problem"].startswith("dangerous: ")


def test_a_server_that_requires_signatures_makes_nothing_available_that_it_fetched(
    yard: App, tmp_path: Path, upstream: Upstream
) -> None:
    fetching = Fetching(yard, tmp_path, upstream, requires_signature=True)
    civitai_version(upstream)
    import_version(yard, upstream)

    model, record = fetch(fetching, source_url=upstream.put("/a.safetensors", RemoteFile(lora_bytes(seed=6))))
    _, listed = fetch(fetching, version_id=77)

    assert [("failed", UNSIGNED)] * 2 == [(each["state"], each["problem"]) for each in (record, listed)]
    assert (0, None) == (model["status"], model.get("download_url"))
    assert "download_url" not in find(yard, 77)
    assert_nothing_stays(fetching)


# --- Tokens and licences


def _gated(status: int, code: str = "GatedRepo", message: str = "Access to model is restricted.") -> Any:
    return lambda on: on.reply(b"", status, x_error_code=code, x_error_message=message)


@pytest.mark.parametrize(
    ("status", "has_token", "words"),
    [
        (401, False, "set HF_TOKEN for the server (a token from https://huggingface.co/settings/tokens), and accept"),
        (403, True, "/owner/repo with the account of HF_TOKEN, then fetch again"),
    ],
)
def test_a_gated_file_says_which_licence_to_accept(
    yard: App, tmp_path: Path, upstream: Upstream, status: int, has_token: bool, words: str
) -> None:
    upstream.put("/owner/repo/resolve/main/a.safetensors", _gated(status))
    from modelyard.fetches import Hosts

    fetching = Fetching(yard, tmp_path, upstream, tokens={origin_of(upstream.url): "t0ken"} if has_token else {})
    fetching.fetcher._hosts = Hosts("https://civitai.com", upstream.url)

    _, record = fetch(fetching, hub="owner/repo:a.safetensors")

    assert "failed" == record["state"]
    assert record["problem"].startswith(
        f"127.0.0.1 refuses the file (status {status}): Access to model is restricted.;"
    )
    assert words in record["problem"]
    assert f"accept the licence at {upstream.url}/owner/repo" in record["problem"]
    assert "t0ken" not in record["problem"]


def test_a_version_that_needs_an_account_says_which_token_to_set(yard: App, tmp_path: Path, upstream: Upstream) -> None:
    from modelyard.fetches import Hosts

    civitai_version(upstream)
    needs_login = json.dumps({"error": "Unauthorized", "message": "The creator requires you to be logged in"}).encode()
    upstream.put("/api/download/models/77", lambda on: on.reply(needs_login, 401, content_type="application/json"))
    fetching = Fetching(yard, tmp_path, upstream)
    fetching.fetcher._hosts = Hosts(upstream.url, "https://huggingface.co")

    _, refused = fetch(fetching, air="civitai:77")
    upstream.put("/api/download/models/77", lambda on: on.reply(b"", 307, location="/login?returnUrl=x"))
    upstream.put("/login?returnUrl=x", lambda on: on.reply(b"<html>", content_type="text/html"))
    _, redirected = fetch(fetching, air="civitai:77")

    assert (
        "127.0.0.1 refuses the file (status 401): The creator requires you to be logged in; "
        "set CIVITAI_TOKEN for the server (a token from https://civitai.com/user/account)"
    ) == refused["problem"]
    assert "set CIVITAI_TOKEN" in redirected["problem"]


def test_a_token_is_not_sent_where_the_file_lies(yard: App, tmp_path: Path, upstream: Upstream) -> None:
    with serve_upstream() as store:
        fetching = Fetching(yard, tmp_path, upstream, tokens={origin_of(upstream.url): "t0ken"})
        policy = fetching.fetcher._outbound.policy
        object.__setattr__(policy, "origins", {origin_of(upstream.url), origin_of(store.url)})
        civitai_version(upstream)
        upstream.put("/api/download/models/77", lambda on: on.reply(b"", 302, location=store.url + "/blob?sig=1"))
        store.put("/blob?sig=1", RemoteFile(CONTENT))

        _, record = fetch(fetching, air="civitai:77")

        assert "done" == record["state"]
        assert ["Bearer t0ken"] * 2 == [headers.get("Authorization") for headers in upstream.headers_seen]
        assert [None] == [headers.get("Authorization") for headers in store.headers_seen]


# --- Limits


def test_the_quota_is_checked_before_the_first_byte(yard: App, tmp_path: Path, upstream: Upstream) -> None:
    fetching = Fetching(yard, tmp_path, upstream, quota_bytes=len(CONTENT) + 100)
    remote = RemoteFile(CONTENT)
    url = upstream.put("/a.safetensors", remote)

    _, first = fetch(fetching, source_url=url)
    remote.etag = '"2"'
    _, second = fetch(fetching, source_url=upstream.put("/b.safetensors", remote))

    assert ("done", "failed", 0) == (first["state"], second["state"], second["received_bytes"])
    assert second["problem"].startswith("the team may keep ")


def test_listed_versions_count_in_the_quota_of_the_team_that_fetched_them(
    yard: App, tmp_path: Path, upstream: Upstream
) -> None:
    fetching = Fetching(yard, tmp_path, upstream, quota_bytes=len(CONTENT) + 100)
    civitai_version(upstream)
    import_version(yard, upstream)

    _, first = fetch(fetching, version_id=77)
    _, second = fetch(fetching, source_url=upstream.put("/b.safetensors", RemoteFile(CONTENT)))

    assert ("done", "failed") == (first["state"], second["state"])


@pytest.mark.parametrize("has_length", [True, False])
def test_a_file_over_the_limit_is_not_received(yard: App, tmp_path: Path, upstream: Upstream, has_length: bool) -> None:
    fetching = Fetching(yard, tmp_path, upstream, upload_bytes_max=1000)

    def answer(on: Any) -> None:
        if has_length:
            on.reply(CONTENT)
            return
        on.send_response(200)
        on.end_headers()
        on.wfile.write(CONTENT)

    _, record = fetch(fetching, source_url=upstream.put("/a.safetensors", answer))

    assert ("failed", "the file is larger than the 1,000 bytes accepted") == (record["state"], record["problem"])
    assert_nothing_stays(fetching)


# --- Cancelling


def test_a_fetch_is_cancelled_with_its_model(fetching: Fetching, upstream: Upstream) -> None:
    yard = fetching.yard
    reply = request(yard, source_url=upstream.put("/a.safetensors", RemoteFile(CONTENT, cuts=(1000,))))
    fetching.run_once()

    assert 404 == ask(yard, reply.headers["location"], "blue", method="DELETE").status
    assert 200 == ask(yard, reply.headers["location"], method="DELETE").status
    fetching.run()

    assert "cancelled" == fetch_of(yard, reply.headers["location"])["state"]
    assert 404 == ask(yard, f"/v3/model/details?id={reply.json['id']}").status
    assert 409 == ask(yard, reply.headers["location"], method="DELETE").status
    assert 1 == upstream.asked["/a.safetensors"]
    assert_nothing_stays(fetching)


def test_deleting_the_model_ends_the_fetch(fetching: Fetching, upstream: Upstream) -> None:
    yard = fetching.yard
    reply = request(yard, source_url=upstream.put("/a.safetensors", RemoteFile(CONTENT)))

    assert 200 == ask(yard, f"/v3/model?id={reply.json['id']}", method="DELETE").status
    fetching.run()

    assert ("cancelled", 0) == (fetch_of(yard, reply.headers["location"])["state"], upstream.asked["/a.safetensors"])


def test_a_fetch_of_a_greater_priority_goes_first(fetching: Fetching, upstream: Upstream) -> None:
    order: list[str] = []

    def answer(on: Any) -> None:
        order.append(on.path)
        on.reply(b"", 404)

    for name, priority in (("a", 0), ("b", 0), ("c", 5)):
        request(fetching.yard, source_url=upstream.put(f"/{name}.safetensors", answer), priority=priority)
    fetching.run()

    assert ["/c.safetensors", "/a.safetensors", "/b.safetensors"] == order


# --- Requests that are not accepted


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"source_url": "https://a.example/a.pt", "air": "civitai:1"}, "one of source_url, air, hub, version_id"),
        ({"source_url": ""}, "one of source_url"),
        ({"source_url": 5}, "Expected `str`, got `int` - at `$.source_url`"),
        ({"source_url": "ftp://a.example/x"}, "no address to fetch from"),
        ({"source_url": "https://me:s3cr3t@a.example/x"}, "no address to fetch from"),
        ({"source_url": "https://a.example/" + "x" * 5000}, "source_url: 5,018 characters; accepted: up to 4,096"),
        ({"source_url": "https://civitai.com/models/7"}, "accepted: a version, such as civitai:5067"),
        ({"air": "urn:air:sdxl:lora:huggingface:x@1"}, "air: "),
        ({"hub": "owner"}, "'owner' is not accepted; accepted: <owner>/<repository>[@<revision>]:<path of a file>"),
        ({"hub": "owner/repo:../../etc/passwd"}, "hub: "),
        ({"hub": "../repo:a.pt"}, "hub: "),
        ({"version_id": 0}, "$.version_id"),
        ({"source_url": "https://a.example/a.pt", "name": "a\nb"}, "name: "),
    ],
)  # fmt: skip # related values in one line
def test_a_request_that_is_not_accepted_says_what_is(yard: App, body: dict[str, Any], words: str) -> None:
    reply = request(yard, **body)

    assert 400 == reply.status, reply.body
    assert words in reply.json["message"]
    assert "s3cr3t" not in reply.json["message"]


def test_a_version_that_is_not_listed_is_not_found_by_its_id(yard: App) -> None:
    assert 404 == request(yard, version_id=78).status


def test_the_same_request_is_one_fetch_while_it_is_open(fetching: Fetching, upstream: Upstream) -> None:
    url = upstream.put("/a.safetensors", RemoteFile(CONTENT))

    first, second = request(fetching.yard, source_url=url), request(fetching.yard, source_url=url)
    other = request(fetching.yard, "blue", source_url=url)

    assert first.json["id"] == second.json["id"] != other.json["id"]
