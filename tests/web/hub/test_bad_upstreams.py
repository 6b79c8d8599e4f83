"""Hubs that answer badly: each ends in an error that clients understand, and nothing half is kept."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from modelyard.blobs import IncomingFiles
from modelyard.web.hub import upstream_downloads
from tests.app_fixture import App, listening
from tests.hub_stub import Handler, HubStub, StubRepository, describe, hub_stub
from tests.transfers import lora_bytes
from tests.web.hub.test_upstream import opened

CONFIG, WEIGHTS = b'{"a": 1}', lora_bytes(fill=200_000)
SMALL, LARGE = "/hf/a/b/resolve/main/config.json", "/hf/a/b/resolve/main/model.safetensors"
HTML = b"<!doctype html><title>sign in</title>"


@pytest.fixture
def hub() -> Iterator[HubStub]:
    repository = StubRepository({"config.json": CONFIG, "model.safetensors": WEIGHTS}, ("model.safetensors",))
    with hub_stub(a__b=repository) as running:
        yield running


@pytest.fixture(params=["passed", "kept"])
def yard(
    tmp_path: Path, hub: HubStub, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[App]:
    with opened(tmp_path, hub, monkeypatch, hub_upstream_weights=request.param) as yard:
        yield yard


def answers(status: int, body: bytes = b"", **headers: str) -> Callable[[Handler], bool]:
    def fault(handler: Handler) -> bool:
        handler.answer(status, body, **headers)
        return False

    return fault


def half(content: bytes, **headers: str) -> Callable[[Handler], bool]:
    """Half of the content, then the connection is closed."""

    def fault(handler: Handler) -> bool:
        handler.answer(200, content[: len(content) // 2], **{"content_length": str(len(content))} | headers)
        handler.close_connection = True
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)
        return False

    return fault


def slowly(content: bytes) -> Callable[[Handler], bool]:
    """The content in two parts, so that the answer to the caller has begun when the second comes."""

    def fault(handler: Handler) -> bool:
        handler.answer(200, content[:100_000], content_length=str(len(content)))
        time.sleep(0.3)
        handler.wfile.write(content[100_000:])
        return False

    return fault


def chunked(*parts: bytes) -> Callable[[Handler], bool]:
    """A body that does not say its length before."""

    def fault(handler: Handler) -> bool:
        body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(body)
        return False

    return fault


def kept(home: Path) -> list[str]:
    """The files that are here, whole or not, but for the database's."""
    return sorted(path.name for path in (home / "blobs").rglob("*") if path.is_file())


DESCRIPTION = describe("a/b", StubRepository({"config.json": CONFIG}))


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (answers(200, HTML, content_type="text/html"), 502, None),
        (answers(200, b"[" * 100_000), 502, None),
        (answers(200, b'{"a":"' + b"x" * (17 * 2**20) + b'"}'), 502, None),
        (answers(200, json.dumps(DESCRIPTION | {"sha": "main"}).encode()), 502, None),
        (answers(200, json.dumps(DESCRIPTION | {"siblings": 7}).encode()), 502, None),
        (answers(200, b"{}", content_encoding="gzip"), 502, None),
        (answers(401, b"{}", x_error_message="Invalid credentials in Authorization header"), 502, None),
        (answers(401, b"{}"), 404, "RepoNotFound"),
        (answers(403, b"{}", x_error_code="GatedRepo", x_error_message="Ask $ecret for access"), 403, "GatedRepo"),
        (answers(404, HTML), 404, "RepoNotFound"),
        (answers(404, b"{}", x_error_code="RevisionNotFound"), 404, "RevisionNotFound"),
        (answers(429, b"", retry_after="17"), 429, None),
        (answers(500, HTML), 503, None),
        (answers(418), 502, None),
        (answers(302, location="http://192.168.0.1/private"), 502, None),
        (answers(302, location="http://169.254.169.254/latest/meta-data"), 502, None),
        (answers(302, location="file:///etc/passwd"), 502, None),
        (answers(302, location="/api/models/a/b/revision/main"), 502, None),
        (answers(302, location="http://["), 502, None),
        (half(json.dumps(DESCRIPTION).encode()), 503, None),
    ],
)
def test_a_bad_description_is_an_error_in_the_words_of_clients(
    yard: App, hub: HubStub, fault: Callable[[Handler], bool], status: int, code: str | None
) -> None:
    hub.faults["/api/"] = fault
    reply = yard.ask(SMALL, method="HEAD")

    assert (status, code) == (reply.status, reply.headers.get("x-error-code"))
    assert "0" * 40 == reply.headers["x-repo-commit"]
    assert "$ecret" not in reply.headers["x-error-message"]
    assert (status == 429) == (reply.headers.get("retry-after") == "17")


def test_another_commit_than_the_one_asked_for_is_not_taken(yard: App, hub: HubStub) -> None:
    commit = "1" * 40
    described = describe("a/b", hub.repositories["a/b"]) | {"sha": "2" * 40}
    hub.faults[f"/api/models/a/b/revision/{commit}"] = answers(200, json.dumps(described).encode())
    reply = yard.ask(SMALL.replace("main", commit), method="HEAD")

    assert (502, True) == (reply.status, "with another commit" in reply.headers["x-error-message"])


def test_a_description_that_is_bad_later_leaves_what_is_here(yard: App, hub: HubStub) -> None:
    commit = yard.ask(SMALL).headers["x-repo-commit"]
    hub.faults["/api/"] = answers(200, HTML)

    # The hub is asked again, because the branch HEAD of another spelling was not asked for before.
    assert CONFIG == yard.ask(SMALL.replace("main", commit)).body


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (answers(200, HTML, content_type="text/html"), 502, None),
        (answers(200, CONFIG[:-1]), 502, None),
        (answers(200, CONFIG + b"x"), 502, None),
        (chunked(CONFIG, b"x"), 502, None),
        (chunked(CONFIG[:-1]), 503, None),
        (answers(200, CONFIG.replace(b"1", b"2")), 502, None),
        (answers(200, CONFIG, content_encoding="br"), 502, None),
        (answers(401, b""), 404, "RepoNotFound"),
        (answers(403, b"", x_error_code="GatedRepo"), 403, "GatedRepo"),
        (answers(404, HTML), 404, "EntryNotFound"),
        (answers(429, b"", retry_after="5"), 429, None),
        (answers(503, b""), 503, None),
        (answers(302, location="http://10.0.0.1/x"), 502, None),
        (half(CONFIG), 503, None),
    ],
)
def test_a_bad_small_file_is_an_error_and_is_not_kept(
    yard: App, hub: HubStub, tmp_path: Path, fault: Callable[[Handler], bool], status: int, code: str | None
) -> None:
    hub.faults["/a/b/resolve"] = fault

    reply = yard.ask(SMALL)
    assert (status, code) == (reply.status, reply.headers.get("x-error-code"))
    assert [] == kept(tmp_path)


def cut(yard: App, target: str) -> tuple[int, bytes]:
    """The status, and what arrived before the connection was cut."""
    with listening(yard) as address, socket.create_connection((address.host, address.port), 20) as connection:
        request = f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {yard.key('red')}\r\n\r\n"
        connection.sendall(request.encode())
        received = b""
        while block := connection.recv(1 << 16):
            received += block
            head, _, body = received.partition(b"\r\n\r\n")
            if f"content-length: {len(body)}\r\n".encode() in head + b"\r\n":
                break
    return int(received.split()[1]), body


@pytest.mark.parametrize(
    "fault",
    [
        slowly(WEIGHTS[:-1] + b"?"),
        slowly(b"?" * len(WEIGHTS)),
    ],
)
def test_weights_with_another_hash_never_arrive_whole(
    yard: App, hub: HubStub, tmp_path: Path, fault: Callable[[Handler], bool]
) -> None:
    hub.faults["cdn:"] = fault

    status, body = cut(yard, LARGE)

    assert 200 == status
    assert len(WEIGHTS) > len(body)
    assert [] == kept(tmp_path)
    assert [] == yard.ask("/v3/model").json["models"]


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (answers(200, WEIGHTS[:-1]), 502),
        (answers(200, WEIGHTS + b"?"), 502),
        (answers(200, HTML), 502),
        (answers(403, b"expired"), 403),
        (answers(404, b""), 404),
        (answers(429, b"", retry_after="9"), 429),
        (answers(302, location="http://10.0.0.1/x"), 502),
    ],
)
def test_bad_weights_are_an_error_before_the_first_byte(
    yard: App, hub: HubStub, tmp_path: Path, fault: Callable[[Handler], bool], status: int
) -> None:
    hub.faults["cdn:"] = fault

    assert status == yard.ask(LARGE).status
    assert [] == kept(tmp_path)


def test_a_download_that_is_cut_off_continues(yard: App, hub: HubStub) -> None:
    def fault(handler: Handler) -> bool:
        del hub.faults["cdn:"]
        return half(WEIGHTS)(handler)

    hub.faults["cdn:"] = fault

    assert WEIGHTS == yard.ask(LARGE).body
    assert f"bytes={len(WEIGHTS) // 2}-" == hub.requests[-1][2]["Range"]


@pytest.mark.parametrize(
    "fault",
    [answers(200, WEIGHTS), answers(206, WEIGHTS[:5], content_range="bytes 0-4/9"), answers(206, WEIGHTS[5:10])],
)
def test_a_range_that_is_answered_by_the_whole_or_by_another_is_refused(
    yard: App, hub: HubStub, fault: Callable[[Handler], bool]
) -> None:
    hub.faults["cdn:"] = fault

    assert 502 == yard.ask(LARGE, range="bytes=5-9").status


def test_more_parts_than_turns_all_arrive(yard: App, hub: HubStub) -> None:
    hub.pause_seconds = 0.05
    with listening(yard) as address, ThreadPoolExecutor(48) as askers:
        key = {"authorization": f"Bearer {yard.key('red')}", "range": "bytes=5-300000"}
        replies = [askers.submit(address.ask, LARGE, key) for _ in range(48)]
        bodies = {reply.result(20).body for reply in replies}

    assert {WEIGHTS[5:300_001]} == bodies


def test_parts_of_one_caller_leave_turns_for_others(yard: App, hub: HubStub) -> None:
    def fault(handler: Handler) -> bool:
        if handler.headers["Range"] == "bytes=5-9":
            released.wait(10)
        return True

    released, hub.faults["cdn:"] = threading.Event(), fault
    with listening(yard) as address, ThreadPoolExecutor(24) as askers:
        key = {"authorization": f"Bearer {yard.key('red')}", "range": "bytes=5-9"}
        replies = [askers.submit(address.ask, LARGE, key) for _ in range(24)]
        while len(hub.paths("cdn:")) < 8:
            time.sleep(0.01)
        other = address.ask(LARGE, {"authorization": f"Bearer {yard.key('blue')}", "range": "bytes=5-10"})
        released.set()
        bodies = {reply.result(20).body for reply in replies}

    assert WEIGHTS[5:11] == other.body
    assert {WEIGHTS[5:10]} == bodies


def test_files_with_names_that_lead_out_are_left_out(yard: App, hub: HubStub) -> None:
    names = ("../a", "/etc/passwd", "a//b", "a/./b", "a\\b", "a\nb", "", "ok.json")
    hub.repositories["a/c"] = StubRepository(dict.fromkeys(names, b"1"))

    described = yard.ask("/hf/api/models/a/c").json
    assert ["ok.json"] == [file["rfilename"] for file in described["siblings"]]


@pytest.mark.parametrize("size", [-1, 10**14, None, "7"])
def test_sizes_that_no_file_has_are_left_out(yard: App, hub: HubStub, size: object) -> None:
    siblings: list[dict[str, Any]] = [{"rfilename": "a", "size": size, "blobId": "0" * 40}]
    hub.faults["/api/"] = answers(200, json.dumps(DESCRIPTION | {"siblings": siblings}).encode())

    assert yard.ask("/hf/a/b/resolve/main/a").status in (404, 502)


def test_a_hub_that_stalls_keeps_nobody_else_waiting(yard: App, hub: HubStub) -> None:
    def fault(_: Handler) -> bool:
        released.wait(10)
        return True

    released, hub.faults["/api/"] = threading.Event(), fault
    with listening(yard) as address:
        key = {"authorization": f"Bearer {yard.key('red')}"}
        sockets = [socket.create_connection((address.host, address.port)) for _ in range(20)]
        for number, connection in enumerate(sockets):
            line = f"HEAD /hf/a/b{number}/resolve/main/x HTTP/1.1\r\nHost: x\r\nAuthorization: {key['authorization']}"
            connection.sendall(f"{line}\r\n\r\n".encode())
        while not hub.requests:
            time.sleep(0.01)
        begin = time.monotonic()
        replies = [address.ask("/hf/api/whoami-v2", key), address.ask("/v3/model/details?id=1", key)]
        seconds = time.monotonic() - begin
        released.set()
        for connection in sockets:
            connection.recv(100)
            connection.close()

    assert [200, 404] == [reply.status for reply in replies]
    assert 10 > seconds


def test_an_asker_who_leaves_ends_the_fetch_of_what_is_not_kept(
    tmp_path: Path, hub: HubStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.pause_seconds = 8.0
    with opened(tmp_path, hub, monkeypatch) as yard, listening(yard) as address:
        with socket.create_connection((address.host, address.port)) as connection:
            line = f"GET {LARGE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {yard.key('red')}\r\n\r\n"
            connection.sendall(line.encode())
            connection.recv(100)
        deadline = time.monotonic() + 6
        while kept(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.02)

        assert [] == kept(tmp_path)


def test_a_hub_that_stalls_leaves_what_is_here(tmp_path: Path, hub: HubStub, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def fault(_: Handler) -> bool:
        released.wait(20)
        return True

    with opened(tmp_path, hub, monkeypatch) as yard:
        yard.ask(SMALL)
    hub.faults["/"] = fault
    with opened(tmp_path, hub, monkeypatch) as yard, listening(yard) as address:
        key = {"authorization": f"Bearer {yard.key('red')}"}
        first = address.ask(SMALL, key)
        begin = time.monotonic()
        second = address.ask(SMALL, key)
        seconds = time.monotonic() - begin
        released.set()

    assert [CONFIG] * 2 == [first.body, second.body]
    assert 10 > seconds


def test_a_hub_that_cuts_after_each_byte_is_not_asked_for_ever(yard: App, hub: HubStub) -> None:
    def fault(handler: Handler) -> bool:
        first = int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        handler.answer(206, WEIGHTS[first : first + 1], content_length=str(len(WEIGHTS) - first))
        handler.close_connection = True
        return False

    hub.faults["cdn:"] = fault
    ask_in_vain(yard)

    assert 4 >= len(hub.paths("cdn:"))


def test_one_failure_of_a_hub_does_not_keep_other_repositories_waiting(yard: App, hub: HubStub) -> None:
    hub.repositories["c/d"] = StubRepository({"config.json": CONFIG})
    hub.faults["/api/models/a/b"] = lambda handler: handler.connection.close() or False

    assert [503, 200] == [yard.ask(target).status for target in (SMALL, SMALL.replace("a/b", "c/d"))]


def test_a_large_part_of_weights_is_compared_with_the_hash(
    yard: App, hub: HubStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream_downloads, "PART_BYTES_MAX", 100_000)
    hub.faults["cdn:"] = answers(200, b"x" + WEIGHTS[1:])
    ask_in_vain(yard, range="bytes=10-")
    del hub.faults["cdn:"]

    assert WEIGHTS[10:] == yard.ask(LARGE, range="bytes=10-").body


def ask_in_vain(yard: App, **headers: str) -> None:
    """Ask for weights, and get an error or a connection that ends too early."""
    with listening(yard) as address, suppress(http.client.HTTPException):
        assert address.ask(LARGE, {"authorization": f"Bearer {yard.key('red')}"} | headers).status >= 500


def test_downloads_of_a_team_need_at_most_half_of_the_free_disk(
    yard: App, hub: HubStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories["c/d"] = StubRepository({"other.safetensors": WEIGHTS[:-1]}, ("other.safetensors",))
    other, is_begun, may_end = "/hf/c/d/resolve/main/other.safetensors", threading.Event(), threading.Event()

    def fault(_: Handler) -> bool:
        is_begun.set()
        return may_end.wait(60)

    hub.faults["cdn:"] = fault
    monkeypatch.setattr(IncomingFiles, "free_bytes", lambda _: 3 * len(WEIGHTS))
    with listening(yard) as address, ThreadPoolExecutor(1) as pool:
        first = pool.submit(address.ask, LARGE, {"authorization": f"Bearer {yard.key('red')}"})
        assert is_begun.wait(60)
        second = yard.ask(other)
        may_end.set()

        assert (200, 429, "5") == (first.result(60).status, second.status, second.headers["retry-after"])
    assert 200 == yard.ask(other).status
