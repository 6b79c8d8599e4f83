"""Files handed out by signed links: ranges, conditions, names, counting; and to whom nothing is given.

Not covered here: how fast (benchmarks/transfer.py).
"""

import asyncio
import base64
import hashlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from modelyard import errors
from modelyard.blobs import open_storage
from modelyard.cli import run
from modelyard.domain import Scope
from modelyard.store import download_counts as rows
from modelyard.web.api.files import Downloads, content_disposition
from modelyard.web.bodies import Disconnected
from modelyard.web.requests import Request, open_request
from modelyard.web.urls import open_signer
from tests import requirements
from tests.app_fixture import App, Reply, listening, open_app
from tests.transfers import (
    ask,
    checking,
    dangerous_bytes,
    exchange_messages,
    find,
    lora_bytes,
    path_of,
    suspicious_bytes,
    upload,
)

CONTENT = lora_bytes(fill=2_000_000, seed=3)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Served:
    yard: App
    home: Path
    model_id: int
    link: str

    def fetch(self, **headers: str) -> Reply:
        return self.yard.ask(self.link, None, **headers)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("served")
    with open_app(home) as yard:
        model_id = upload(yard, "served", CONTENT)["id"]
        checking(yard, home).verify_next()
        yield Served(yard, home, model_id, path_of(find(yard, model_id)["download_url"]))


def test_the_whole_file_with_what_proves_it(served: Served) -> None:
    reply = served.fetch()

    digest = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
    assert (200, CONTENT) == (reply.status, reply.body)
    assert {
        "etag": f'"{SHA256}"',
        "repr-digest": f"sha-256=:{digest}:",
        "digest": f"sha-256={digest}",
        "content-length": str(len(CONTENT)),
        "accept-ranges": "bytes",
        "cache-control": "private, no-store",
        "content-disposition": f'attachment; filename="served_{served.model_id}.safetensors"',
    }.items() <= reply.headers.items()


def test_head_tells_the_same_and_sends_nothing(served: Served) -> None:
    reply = served.yard.ask(served.link, None, method="HEAD")

    assert (200, b"", str(len(CONTENT))) == (reply.status, reply.body, reply.headers["content-length"])


SIZE = len(CONTENT)


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-99", 0, 99),
        ("bytes=100-", 100, SIZE - 1),
        ("bytes=-7", SIZE - 7, SIZE - 1),
        (f"bytes=5-{SIZE * 3}", 5, SIZE - 1),
        (f"bytes=-{SIZE * 3}", 0, SIZE - 1),
        ("BYTES = 1-2", 1, 2),
        (f"bytes=1-2, {SIZE}-", 1, 2),
    ],
)
def test_one_range(served: Served, asked: str, first: int, last: int) -> None:
    reply = served.fetch(range=asked)

    assert (206, CONTENT[first : last + 1]) == (reply.status, reply.body)
    assert f"bytes {first}-{last}/{SIZE}" == reply.headers["content-range"]


def test_several_ranges_come_in_parts(served: Served) -> None:
    reply = served.fetch(range="bytes=0-9,100-109,-5")

    boundary = reply.headers["content-type"].partition("boundary=")[2].encode()
    pieces = reply.body.split(b"\r\n--" + boundary)
    assert (206, b"", b"--\r\n") == (reply.status, pieces[0], pieces[-1])
    assert len(reply.body) == int(reply.headers["content-length"])
    assert [CONTENT[:10], CONTENT[100:110], CONTENT[-5:]] == [piece.partition(b"\r\n\r\n")[2] for piece in pieces[1:-1]]


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=5-2",
        "bytes=a-b",
        "lines=1-2",
        "bytes=",
        "bytes=-",
        "bytes=1-2-3",
        "bytes=0-,0-,0-",
        "bytes=" + "0-1," * 99,
        "bytes=" + "," * 1100 + "0-1",
    ],
)
def test_a_range_that_cannot_be_meant_is_no_range(served: Served, asked: str) -> None:
    assert (200, SIZE) == ((reply := served.fetch(range=asked)).status, len(reply.body))


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", "bytes=-0", f"bytes={10**17}-"])
def test_a_range_beyond_the_file_is_416(served: Served, asked: str) -> None:
    reply = served.fetch(range=asked)

    assert (416, f"bytes */{SIZE}") == (reply.status, reply.headers["content-range"])


@pytest.mark.parametrize(
    ("condition", "status"),
    [(f'"{SHA256}"', 206), ('"other"', 200), (f'W/"{SHA256}"', 200), ("Wed, 21 Oct 2015 07:28:00 GMT", 200)],
)
def test_a_range_is_given_if_it_is_of_the_same_file(served: Served, condition: str, status: int) -> None:
    assert status == served.fetch(range="bytes=0-1", if_range=condition).status


def test_what_the_client_has_is_not_sent_again(served: Served) -> None:
    assert (304, b"") == ((reply := served.fetch(if_none_match=f'"{SHA256}"')).status, reply.body)


def test_a_forged_altered_or_borrowed_link_is_403(served: Served) -> None:
    path, _, query = served.link.partition("?")
    other_label = path.rpartition("/")[0] + "/other.safetensors"
    other_file = path.replace(SHA256, "0" * 64)
    audience, _, expires, signature = query.split("&")

    replies = [
        served.yard.ask(target, None)
        for target in (
            path,
            f"{path}?{query[:-1]}",
            f"{other_label}?{query}",
            f"{other_file}?{query}",
            f"{path}?{query}x",
            f"{path}?{audience}&key=%C2%B2&{expires}&{signature}",
            f"{path}?{audience}&key=x&{expires}&{signature}",
            f"{path}?{audience}&key=1&expires=x&{signature}",
            f"{path}?{audience}&key=1&expires=%C2%B2&{signature}",
            f"{path}?{audience}&key=1&{expires}&signature=%C3%A9",
            f"{path}?key=1&{expires}&{signature}",
            f"{path}?for=public&key=1&{expires}&{signature}",
            f"{path}?for=x&key=1&{expires}&{signature}",
        )
    ]

    assert {(403, "LINK_REFUSED")} == {(reply.status, reply.json["reason"]) for reply in replies}


def test_an_expired_link_is_410(tmp_path: Path) -> None:
    with open_app(tmp_path, download_url_ttl_seconds=1) as yard:
        model_id = upload(yard, "brief", CONTENT)["id"]
        checking(yard, tmp_path).verify_next()
        link = path_of(find(yard, model_id)["download_url"])
        with yard.store.transaction() as writing:
            writing.connection.exec_driver_sql("UPDATE signing_keys SET ends_at = 1")
        with open_app(tmp_path) as later:
            reply = later.ask(link, None)

    assert (410, "LINK_EXPIRED") == (reply.status, reply.json["reason"])


@pytest.fixture
def public(tmp_path: Path) -> Iterator[Served]:
    """A public model of the team red, with the link that another team gets to it."""
    with open_app(tmp_path, anonymous_access="public") as yard:
        model_id = upload(yard, "public", lora_bytes(), visibility="public")["id"]
        checking(yard, tmp_path).verify_next()
        yield Served(yard, tmp_path, model_id, link_of(yard, model_id, "blue"))


def link_of(yard: App, model_id: int, team: str | None) -> str:
    (model,) = yard.ask(f"/v3/model?filter.model_version_id={model_id}", team).json["models"]
    return path_of(model["download_url"])


def test_links_given_while_a_model_was_public_end_when_it_is_private_and_those_of_its_team_go_on(
    public: Served,
) -> None:
    links = [link_of(public.yard, public.model_id, team) for team in ("blue", None, "red")]
    before = [public.yard.ask(link, None).status for link in links]
    ask(public.yard, f"/v3/model?id={public.model_id}", method="PATCH", body={"visibility": "private"})

    after = [public.yard.ask(link, None).status for link in links]

    assert [200, 200, 200] == before
    assert [404, 404, 200] == after


def test_a_link_ends_with_the_key_that_it_was_made_for(public: Served) -> None:
    other = link_of(public.yard, public.model_id, "red")
    public.yard.access.revoke_key(public.yard.key("blue"))

    replies = [public.fetch(), public.yard.ask(other, None)]

    assert [(410, "LINK_REVOKED"), (200, None)] == [
        (reply.status, reply.json["reason"] if reply.status == 410 else None) for reply in replies
    ]


def test_a_link_ends_when_the_key_that_it_was_made_for_expires(tmp_path: Path) -> None:
    now = [time.time()]
    with open_app(tmp_path, clock=lambda: now[0]) as yard:
        yard.keys["red"], _ = yard.access.create_key("red", [Scope.READ], expires_in_seconds=60)
        model_id = upload(yard, "m", lora_bytes())["id"]
        checking(yard, tmp_path).verify_next()
        link = link_of(yard, model_id, "red")
        before = yard.ask(link, None).status
        now[0] += 61
        after = yard.ask(link, None)

    assert (200, 410, "LINK_REVOKED") == (before, after.status, after.json["reason"])


def test_links_of_the_public_end_when_the_public_has_no_access_any_more(public: Served) -> None:
    link = link_of(public.yard, public.model_id, None)
    with open_app(public.home, anonymous_access="none") as yard:
        reply = yard.ask(link, None)

    assert "for=public" in link
    assert (410, "LINK_REVOKED") == (reply.status, reply.json["reason"])


def test_another_team_sees_neither_model_nor_link(served: Served) -> None:
    assert [] == ask(served.yard, "/v3/model?filter.visibility=private", "blue").json["models"]
    assert [] == ask(served.yard, f"/v3/model?filter.hash={SHA256}", "blue").json["models"]


def test_a_file_found_dangerous_has_no_link_that_works(tmp_path: Path) -> None:
    content = dangerous_bytes()
    with open_app(tmp_path) as yard:
        model_id = upload(yard, "evil", content, file_extension="pt")["id"]
        checking(yard, tmp_path).verify_next()
        good = upload(yard, "good", CONTENT)["id"]
        checking(yard, tmp_path).verify_next()
        link = path_of(find(yard, good)["download_url"])
        with yard.store.transaction() as writing:
            writing.connection.exec_driver_sql("UPDATE blobs SET verdict = 'dangerous'")

        assert "download_url" not in find(yard, model_id)
        assert 404 == yard.ask(link, None).status


@pytest.mark.parametrize(("setting", "status"), [("refused", 403), ("served", 200)])
def test_a_suspicious_upload_is_sent_only_where_the_setting_says_so(setting: str, status: int, tmp_path: Path) -> None:
    content = suspicious_bytes()
    with open_app(tmp_path, suspicious_files=setting, anonymous_access="public") as yard:
        model_id = upload(yard, "yolo", content, file_extension="pt", visibility="public")["id"]
        checking(yard, tmp_path, serves_suspicious=setting == "served").verify_next()
        model = find(yard, model_id)
        page = yard.ask(f"/models/{model_id}", None)
        # Also after its owner, or an older version of the server, made it available.
        ask(yard, f"/v3/model?id={model_id}", method="PATCH", body={"status": 1})
        link = path_of(find(yard, model_id)["download_url"])
        reply = yard.ask(link, None)
        check = ask(yard, f"/v3/model/details?id={model_id}", "blue").json["check"]

    assert (int(status == 200), status == 200) == (model["status"], "download_url" in model)
    assert (status, content if status == 200 else b"") == (reply.status, reply.body if status == 200 else b"")
    assert b"FILE_SUSPICIOUS" in reply.body or status == 200
    assert ("suspicious", True) == (check["verdict"], "models.yolo.Model" in check["reason"])
    assert b"models.yolo.Model" in page.body


def test_downloads_are_counted_once_each_and_move_the_rank(tmp_path: Path) -> None:
    with open_app(tmp_path) as yard, listening(yard) as address:
        ids = [upload(yard, name, lora_bytes(seed=number))["id"] for number, name in enumerate(("a", "b", "c"))]
        check = checking(yard, tmp_path)
        while check.verify_next():
            pass
        before = ask(yard, "/v3/model?filter.visibility=private").ids
        link = path_of(find(yard, ids[0])["download_url"])
        for headers in ({}, {"Range": "bytes=0-5"}, {"Range": "bytes=6-9"}):
            address.ask(link, headers)
        address.ask(link, method="HEAD")
    with open_app(tmp_path) as yard:  # what was counted is written down when the server ends
        after = ask(yard, "/v3/model?filter.visibility=private").ids
        entry = yard.store.entry(ids[0])

    assert ([*reversed(ids)], [ids[0], ids[2], ids[1]]) == (before, after)
    assert entry is not None
    assert 2 == entry.model.rank


def test_downloads_are_written_down_once_however_often_they_are_flushed(tmp_path: Path) -> None:
    with open_app(tmp_path) as yard:
        model_id = upload(yard, "m", lora_bytes())["id"]
        checking(yard, tmp_path).verify_next()
        link = path_of(find(yard, model_id)["download_url"])
        served = Downloads(yard.store, yard.access, open_storage("", tmp_path, {}).kept, open_signer(yard.store))

        def fetch() -> None:
            asyncio.run(served.get(request_of(link), no_body, nobody))

        fetch()
        fetch()
        served.flush()
        served.flush()
        fetch()
        served.flush()
        with yard.store.reading() as connection:
            counts = rows.counts(connection, [model_id])

    assert {model_id: 3} == counts


def test_downloads_that_cannot_be_written_down_are_counted_when_the_database_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_app(tmp_path) as yard:
        model_id = upload(yard, "m", lora_bytes())["id"]
        checking(yard, tmp_path).verify_next()
        link = path_of(find(yard, model_id)["download_url"])
        served = Downloads(yard.store, yard.access, open_storage("", tmp_path, {}).kept, open_signer(yard.store))
        asyncio.run(served.get(request_of(link), no_body, nobody))

        def away(_: object) -> AbstractContextManager[Any]:
            # Meanwhile others are served.
            asyncio.run(served.get(request_of(link), no_body, nobody))
            raise errors.Unavailable("the database is away")

        with monkeypatch.context() as patch:
            patch.setattr(type(yard.store), "transaction", away)
            with pytest.raises(errors.Unavailable):
                served.flush()
        served.flush()
        with yard.store.reading() as connection:
            counts = rows.counts(connection, [model_id])

    assert {model_id: 2} == counts


def request_of(link: str) -> Request:
    """What the route of downloads has before it when a link is asked for."""
    path, _, query = link.partition("?")
    scope: Any = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [],
        "path_params": dict(zip(("sha256", "label"), path.removeprefix("/files/").split("/", 1), strict=True)),
    }
    return open_request(scope, "id", 0)


async def no_body() -> Any:
    """Give nothing: a download has no body."""
    raise AssertionError


async def nobody(_: object) -> None:
    """Take what is sent, and look at none of it."""


def test_head_of_several_ranges_sends_no_bytes(served: Served) -> None:
    got = served.fetch(range="bytes=0-9,100-109")
    asked = served.yard.ask(served.link, None, method="HEAD", range="bytes=0-9,100-109")

    assert (206, b"") == (asked.status, asked.body)
    assert got.headers["content-length"] == asked.headers["content-length"]


def test_a_block_of_which_the_page_cache_has_only_the_beginning_is_read_whole(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    preadv = os.preadv

    def half(descriptor: int, buffers: list[bytearray], at: int, flags: int = 0) -> int:
        block = bytearray(len(buffers[0]) // 2)
        size_bytes = preadv(descriptor, [block], at)
        buffers[0][:size_bytes] = block[:size_bytes]
        return size_bytes

    monkeypatch.setattr(os, "preadv", half)

    assert CONTENT == served.fetch().body


def test_a_kept_file_of_another_length_is_not_sent(tmp_path: Path) -> None:
    with open_app(tmp_path) as yard:
        model_id = upload(yard, "m", CONTENT)["id"]
        checking(yard, tmp_path).verify_next()
        link = path_of(find(yard, model_id)["download_url"])
        (kept,) = (path for path in (tmp_path / "blobs").rglob("*") if path.is_file())
        kept.chmod(0o644)
        with kept.open("ab") as file:
            file.write(b"x")

        reply = yard.ask(link, None)

    assert (503, "UNAVAILABLE") == (reply.status, reply.json["reason"])


@pytest.mark.parametrize("ranges", ["", "bytes=0-99,200-299"])
def test_the_answer_is_broken_off_where_the_file_changes_while_it_is_sent(tmp_path: Path, ranges: str) -> None:
    """The log and the metrics say so: the status was sent before."""
    with open_app(tmp_path) as yard:
        model_id = upload(yard, "m", CONTENT)["id"]
        checking(yard, tmp_path).verify_next()
        link = path_of(find(yard, model_id)["download_url"])
        (kept,) = (path for path in (tmp_path / "blobs").rglob("*") if path.is_file())
        kept.chmod(0o644)
        sent: list[dict[str, Any]] = []

        def change(message: dict[str, Any]) -> None:
            sent.append(message)
            if len(sent) == 2:
                with kept.open("ab") as file:
                    file.write(b"x")

        with pytest.raises(errors.Unavailable):
            exchange_messages(yard, "GET", link, {"range": ranges} if ranges else {}, on_send=change)
        (line,) = (line for line in yard.lines() if "cut_off_by" in line)
        metrics = yard.app.request_log._metrics.render(0).decode()

    assert len(sent) > 1
    assert all(message.get("more_body", True) for message in sent)
    assert (206 if ranges else 200, "server") == (line["status"], line["cut_off_by"])
    assert f'modelyard_responses_cut_off_total{{by="server",route="{line["route"]}"}} 1.0' in metrics


def test_a_client_that_goes_away_ends_the_answer_and_no_error_is_logged(tmp_path: Path) -> None:
    with open_app(tmp_path) as yard:
        model_id = upload(yard, "m", CONTENT)["id"]
        checking(yard, tmp_path).verify_next()
        link = path_of(find(yard, model_id)["download_url"])

        def leave(message: dict[str, Any]) -> None:
            if message.get("body"):
                raise Disconnected("as the server says it")

        exchange_messages(yard, "GET", link, {}, on_send=leave)
        (line,) = (line for line in yard.lines() if "cut_off_by" in line)

    assert ("info", 200, "client") == (line["level"], line["status"], line["cut_off_by"])


@pytest.mark.parametrize(
    ("label", "header"),
    [
        ("plain.pt", 'attachment; filename="plain.pt"'),
        ("漢字.pt", "attachment; filename=\"__.pt\"; filename*=UTF-8''%E6%BC%A2%E5%AD%97.pt"),
        (
            'a"b\r\nSet-Cookie: x.pt',
            "attachment; filename=\"a_b__Set-Cookie: x.pt\"; filename*=UTF-8''a%22b__Set-Cookie%3A%20x.pt",
        ),
        ("100%25.pt", "attachment; filename=\"100_25.pt\"; filename*=UTF-8''100%2525.pt"),
        ("../../x.pt", 'attachment; filename=".._.._x.pt"'),
    ],
)
def test_a_name_cannot_break_its_header(label: str, header: str) -> None:
    assert header.encode() == content_disposition(label)


def test_nginx_is_told_where_the_file_is(tmp_path: Path) -> None:
    with open_app(tmp_path, x_accel_prefix="/kept/") as yard:
        model_id = upload(yard, "m", CONTENT)["id"]
        checking(yard, tmp_path).verify_next()

        reply = yard.ask(path_of(find(yard, model_id)["download_url"]), None)

    assert (200, b"") == (reply.status, reply.body)
    assert f"/kept/{SHA256[:2]}/{SHA256[2:4]}/{SHA256}" == reply.headers["x-accel-redirect"]


def test_curl_goes_on_where_it_was_interrupted(served: Served, tmp_path: Path) -> None:
    curl = requirements.program("curl")
    (tmp_path / "part").write_bytes(CONTENT[:123_456])
    with listening(served.yard) as address:
        subprocess.run([curl, "-sS", "-C", "-", "-o", tmp_path / "part", address.url + served.link], check=True)

    assert CONTENT == (tmp_path / "part").read_bytes()


def test_a_client_that_stops_reading_costs_two_blocks_and_no_one_else_waits(served: Served) -> None:
    with listening(served.yard) as address:
        stalled = []
        for _ in range(50):
            client = socket.create_connection((address.host, address.port))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(f"GET {served.link} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            stalled.append(client)
        reply = address.ask(served.link)
        for client in stalled:
            client.close()

    assert CONTENT == reply.body


def test_the_link_begins_as_the_request_was_addressed_or_as_the_setting_says(served: Served, tmp_path: Path) -> None:
    asked = ask(served.yard, f"/v3/model?filter.model_version_id={served.model_id}", host="models.example:8080")

    assert "models.example:8080" == urlsplit(asked.json["models"][0]["download_url"]).netloc


@pytest.mark.parametrize("host", ["evil.example/x?", "a b", 'a"b', ""])
def test_a_host_that_is_none_is_not_put_into_a_link(served: Served, host: str) -> None:
    asked = ask(served.yard, f"/v3/model?filter.model_version_id={served.model_id}", host=host)

    assert asked.json["models"][0]["download_url"].startswith("http://127.0.0.1:80/files/")


def test_links_outlive_the_key_that_signed_them_until_the_overlap_is_over(tmp_path: Path) -> None:
    with open_app(tmp_path) as yard:
        model_id = upload(yard, "served", CONTENT)["id"]
        checking(yard, tmp_path).verify_next()
        old = path_of(find(yard, model_id)["download_url"])

    assert 0 == run(["signing-key", "--home", str(tmp_path), "rotate"])
    with open_app(tmp_path) as yard:
        new = path_of(find(yard, model_id)["download_url"])
        rotated = [yard.ask(link, None).status for link in (old, new)]
    assert 0 == run(["signing-key", "--home", str(tmp_path), "rotate", "--overlap", "0s"])
    with open_app(tmp_path) as yard:
        ended = [yard.ask(link, None).status for link in (old, new)]

    assert old != new
    assert [200, 200] == rotated
    assert [403, 403] == ended


def test_a_running_server_takes_up_a_rotated_key(tmp_path: Path) -> None:
    with open_app(tmp_path) as yard:
        model_id = upload(yard, "served", CONTENT)["id"]
        checking(yard, tmp_path).verify_next()
        assert 0 == run(["signing-key", "--home", str(tmp_path), "rotate"])

        with open_app(tmp_path) as another:
            link = path_of(find(another, model_id)["download_url"])

        # One that has not read the new key yet, and is shown a link by another worker, reads it within a second.
        end = time.monotonic() + 90
        while yard.ask(link, None).status != 200:
            assert time.monotonic() < end, "it did not take the key up"
            time.sleep(0.05)


def test_a_running_server_refuses_links_of_a_key_that_was_ended_at_once(tmp_path: Path) -> None:
    """As soon as it is shown a link of the new key, which never has the id of the old one."""
    with open_app(tmp_path) as yard:
        model_id = upload(yard, "served", CONTENT)["id"]
        checking(yard, tmp_path).verify_next()
        old = path_of(find(yard, model_id)["download_url"])
        assert 0 == run(["signing-key", "--home", str(tmp_path), "rotate", "--overlap", "0s"])
        with open_app(tmp_path) as another:
            new = path_of(find(another, model_id)["download_url"])

        end = time.monotonic() + 90
        while yard.ask(new, None).status != 200:
            assert time.monotonic() < end, "it did not take the key up"
            time.sleep(0.05)
        assert 403 == yard.ask(old, None).status
