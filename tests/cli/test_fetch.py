"""`modelyard fetch`, `modelyard mirror`, and their jobs: what they say, how they end, and how they continue."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelyard.cli import run
from modelyard.outbound import AddressPolicy, origin_of
from modelyard.store import jobs, open_store, schema
from tests.app_fixture import open_app
from tests.fetch_fixture import RemoteFile
from tests.transfers import find, lora_bytes
from tests.upstream import Upstream, serve_upstream

CONTENT = lora_bytes(fill=50_000)
# How many versions are mirrored, and how often that is interrupted: 500 and 10 in a full run.
MIRRORED = int(os.environ.get("MODELYARD_MIRRORED", "12"))
INTERRUPTIONS = int(os.environ.get("MODELYARD_INTERRUPTIONS", "3"))


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with serve_upstream() as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in environment(tmp_path, upstream).items():
        monkeypatch.setenv(name, value)
    return tmp_path


def environment(home: Path, upstream: Upstream) -> dict[str, str]:
    return {
        "MODELYARD_HOME": str(home),
        "MODELYARD_OUTBOUND_NETWORKS": "127.0.0.0/8",
        "MODELYARD_OUTBOUND_ALLOW_HTTP": "yes",
        "MODELYARD_CIVITAI_URL": upstream.url,
        "MODELYARD_HUB_URL": upstream.url,
    }


def import_versions(home: Path, upstream: Upstream, count: int, capfd: pytest.CaptureFixture[str]) -> None:
    """List versions 101, 102, …, the last one the most popular."""
    items = []
    for number in range(1, count + 1):
        content = lora_bytes(fill=1000, seed=number)
        file = {
            "id": number, "name": f"m{number}.safetensors", "type": "Model", "sizeKB": len(content) / 1024,
            "primary": True, "metadata": {"format": "SafeTensor"},
            "hashes": {"SHA256": hashlib.sha256(content).hexdigest()},
        }  # fmt: skip # related values in one line
        base = "Illustrious" if number % 2 else "SDXL 1.0"
        version = {"id": 100 + number, "name": "v", "baseModel": base, "files": [file]}
        version["stats"] = {"downloadCount": number}
        items.append({"id": number, "name": f"M{number}", "type": "LORA", "modelVersions": [version]})
        upstream.put(f"/api/download/models/{100 + number}", RemoteFile(content))
    answers = home / "answers.json"
    answers.write_text(json.dumps({"items": items}))
    assert 0 == run(["import", "civitai", str(answers)])
    capfd.readouterr()


def fetched(upstream: Upstream) -> dict[int, int]:
    """How often each version's file was asked for."""
    return {int(path.rpartition("/")[2]): count for path, count in upstream.asked.items() if "/download/" in path}


def test_fetch_waits_for_the_verdict_and_says_what_became_of_each(
    home: Path, upstream: Upstream, capfd: pytest.CaptureFixture[str]
) -> None:
    good = upstream.put("/good.safetensors?sig=s3cr3t", RemoteFile(CONTENT))
    page = upstream.put("/page.safetensors", lambda on: on.reply(b"<html>", content_type="text/html"))

    code = run(["fetch", good, page, "--team", "red"])
    out, err = capfd.readouterr()
    second = run(["fetch", good.partition("?")[0], "--team", "red", "--json"])

    assert (1, f"{upstream.url}/good.safetensors: model 1000000000\n") == (code, out)
    assert [
        f"{page}: failed: 127.0.0.1 answers with a page (HTML), not with a file; use the file's own address",
        "1 fetched, 1 refused",
    ] == err.splitlines()
    assert 0 != second  # without its query it is another address, which has no file
    with open_app(home) as yard:
        assert (1, "private") == (find(yard, 10**9, "red")["status"], find(yard, 10**9, "red")["visibility"])


def test_a_file_that_is_here_is_said_to_be(home: Path, upstream: Upstream, capfd: pytest.CaptureFixture[str]) -> None:
    url = upstream.put("/a.safetensors", RemoteFile(CONTENT))

    codes = [run(["fetch", url]), run(["fetch", url, "--json"])]

    assert [0, 0] == codes
    out = capfd.readouterr().out
    assert [{"source": url, "model": 10**9, "state": "here"}] == json.loads(out[out.index("[") :])
    assert 1 == upstream.asked["/a.safetensors"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fetch", "bla"], "modelyard fetch: 'bla' is not accepted; accepted: urn:air:"),
        (["fetch", "ftp://a.example/x.pt"], "'ftp://a.example/x.pt': this is no address to fetch from"),
        (["fetch", "https://me:s3cr3t@a.example/x.pt"], "'https://a.example/x.pt': this is no address to fetch from"),
        (["fetch", "civitai:1", "--public"], "--public has no effect without --team"),
        (["mirror", "--bytes-max", "much"], "'much' is no size; accepted: bytes, such as 750M, 500G or 1.5T"),
        (["mirror"], "no listed version matches"),
        (["jobs", "cancel", "99"], "there is no fetch with the job 99"),
        (["jobs", "first", "99"], "there are no jobs 99"),
    ],
)
def test_what_is_not_accepted_is_said(
    home: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert 0 != run(arguments)
    err = capfd.readouterr().err
    assert words in err
    assert "s3cr3t" not in err


def test_a_mirror_takes_the_most_popular_and_continues(
    home: Path, upstream: Upstream, capfd: pytest.CaptureFixture[str]
) -> None:
    import_versions(home, upstream, 6, capfd)

    assert 0 == run(["mirror", "--types", "lora", "--base-model", "illustrious", "--limit", "2"])
    assert ["2 versions, 0 are here, 2 files to fetch, 13.1 kB"] == _remarks(capfd, "versions, ")
    assert {103: 1, 105: 1} == fetched(upstream)
    assert 0 == run(["mirror", "--limit", "4", "--json"])
    assert {103: 1, 104: 1, 105: 1, 106: 1} == fetched(upstream)
    assert 0 == run(["mirror", "--bytes-max", "14k"])
    assert 4 == len(fetched(upstream))


def _remarks(capfd: pytest.CaptureFixture[str], words: str) -> list[str]:
    return [line for line in capfd.readouterr().err.splitlines() if words in line]


def test_a_version_that_failed_is_tried_again_on_demand(
    home: Path, upstream: Upstream, capfd: pytest.CaptureFixture[str]
) -> None:
    import_versions(home, upstream, 2, capfd)
    upstream.put("/api/download/models/102", lambda on: on.reply(b"", 404))

    codes = [run(["mirror"]), run(["mirror"]), run(["mirror", "--retry"])]

    assert ([1, 0, 1], {101: 1, 102: 2}) == (codes, fetched(upstream))
    assert "1 failed before, --retry tries them again" in capfd.readouterr().err


def test_a_mirror_that_is_interrupted_fetches_each_file_once(
    home: Path, upstream: Upstream, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each time after some further files were begun; what is here is not asked for again."""
    import_versions(home, upstream, MIRRORED, capfd)
    counts: list[dict[int, int]] = []
    step = MIRRORED // (2 * INTERRUPTIONS)
    for _ in range(INTERRUPTIONS):
        before = sum(fetched(upstream).values())
        process = _start(home, upstream, "mirror", "--limit-rate", "20k")
        _wait_until(lambda before=before: sum(fetched(upstream).values()) >= before + step)
        process.send_signal(signal.SIGINT)
        assert 130 == process.wait(30)
        counts.append({version: fetched(upstream)[version] for version in _done(home)})

    assert 0 == run(["mirror", "--limit-rate", "2M"])

    again = sum(count - 1 for count in fetched(upstream).values())
    print(f"{MIRRORED} versions, {INTERRUPTIONS} interruptions, {again} files were asked for again or continued")
    assert again <= 4 * INTERRUPTIONS  # those that were open, four at the same time
    assert {101 + number for number in range(MIRRORED)} == _done(home)
    assert counts == [{version: fetched(upstream)[version] for version in done} for done in counts]


def _start(home: Path, upstream: Upstream, *arguments: str) -> "subprocess.Popen[bytes]":
    env = {**os.environ, **environment(home, upstream)}
    command = [sys.executable, "-m", "modelyard", *arguments]
    return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _wait_until(is_so: Any) -> None:
    pause = threading.Event()
    for _ in range(600):
        if is_so():
            return
        pause.wait(0.05)
    raise AssertionError("it never came to that")


def _done(home: Path) -> set[int]:
    with open_app(home) as yard:
        return {id_ for id_ in range(101, 101 + MIRRORED) if "download_url" in find(yard, id_)}


def test_a_process_that_is_killed_loses_no_file_and_lists_no_half_one(home: Path, upstream: Upstream) -> None:
    """The second process continues where the first one was, after its lease; nothing half is listed meanwhile."""
    content, has_begun, may_end = lora_bytes(fill=400_000), threading.Event(), threading.Event()
    starts: list[int] = []

    def answer(on: Any) -> None:
        asked = on.headers.get("Range")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        starts.append(start)
        headers = {"etag": '"1"', "content_length": str(len(content) - start)}
        if asked:
            headers["content_range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        on.send_response(206 if asked else 200)
        for name, value in headers.items():
            on.send_header(name.replace("_", "-"), value)
        on.end_headers()
        on.wfile.write(content[start : start + 200_000])
        if not asked:
            on.wfile.flush()
            has_begun.set()
            may_end.wait(30)
        else:
            on.wfile.write(content[start + 200_000 :])

    url = upstream.put("/a.safetensors", answer)
    process = _start(home, upstream, "fetch", url)
    assert has_begun.wait(30)
    database = f"sqlite:///{home / 'modelyard.sqlite'}"

    def has_recorded() -> bool:
        store = open_store(database)
        try:
            with store.reading() as connection:
                return bool(connection.execute(schema.fetches.select()).one().received_bytes)
        finally:
            store.close()

    _wait_until(has_recorded)
    process.kill()
    process.wait(30)
    may_end.set()
    store = open_store(database)
    with store.transaction() as transaction:
        connection = transaction.connection
        (job,) = [job for job in jobs.listed(connection) if job.kind == jobs.FETCH]
        entry = transaction.entries([10**9])[10**9]
        connection.execute(schema.jobs.update().where(schema.jobs.c.id == job.id).values(leased_until=0))
    store.close()
    assert (0, None, "running") == (int(entry.model.status), entry.model.blob, job.state)

    assert 0 == run(["fetch", url])

    assert [0, 200_000] == starts
    with open_app(home) as yard:
        assert hashlib.sha256(content).hexdigest() == yard.store.entry(10**9).model.blob  # type: ignore[union-attr] # the model is there


def test_jobs_show_a_fetch_and_cancel_it(home: Path, upstream: Upstream, capfd: pytest.CaptureFixture[str]) -> None:
    from modelyard import blobs
    from modelyard.fetches import Fetches
    from modelyard.fetches.fetches import FetchRequest
    from modelyard.fetches.sources import parse_source

    with open_app(home) as yard:
        storage = blobs.open_storage("", home, {})
        policy = AddressPolicy(origins={origin_of(upstream.url)})
        requests = Fetches(yard.store, storage.kept, storage.incoming, policy)
        fetch, _ = requests.add(FetchRequest(parse_source(f"{upstream.url}/a.safetensors?sig=s3cr3t"), "red", {}))
        with yard.store.transaction() as transaction:
            transaction.connection.execute(
                schema.fetches.update().values(size_bytes=2_000_000, received_bytes=500_000, problem="status 503")
            )
    run(["jobs", "--json"])
    (job,) = json.loads(capfd.readouterr().out)
    run(["jobs"])
    table = capfd.readouterr().out

    assert {
        "source": f"{upstream.url}/a.safetensors", "model_id": 10**9, "received_bytes": 500_000,
        "size_bytes": 2_000_000, "problem": "status 503",
    } == job["fetch"]  # fmt: skip # related values in one line
    assert f"{upstream.url}/a.safetensors 25% of 2.0 MB" in table
    assert "s3cr3t" not in table + str(job)
    assert 0 == run(["jobs", "first", str(job["id"])])
    assert 0 == run(["jobs", "cancel", str(job["id"])])
    with open_app(home) as yard:
        requests = Fetches(yard.store, storage.kept, storage.incoming, policy)
        assert ("cancelled", None) == (requests.get("red", fetch.id).state, yard.store.entry(10**9))


def test_a_token_of_the_environment_goes_to_its_server(
    home: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELYARD_HUB_URL", "https://huggingface.co")
    monkeypatch.setenv("CIVITAI_TOKEN", "t0ken")
    assert origin_of(upstream.url).startswith("http://127.0.0.1:")
    upstream.put("/api/v1/model-versions/7", lambda on: on.reply(b"", 404))

    assert 1 == run(["fetch", "civitai:7"])

    assert ["Bearer t0ken"] == [headers.get("Authorization") for headers in upstream.headers_seen]
