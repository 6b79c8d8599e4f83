"""Covers fetched from addresses that somebody else wrote: kept, asked for once, and never in our own networks."""

import ipaddress
import json
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from modelyard import __version__, blobs, errors
from modelyard.cli import run
from modelyard.covers import BYTES_MAX, Covers, fetch, import_covers, missing_covers
from modelyard.domain import Source, model_type
from modelyard.facts import Facts, Layer, Record
from modelyard.outbound import AddressPolicy, Outbound, TemporaryFailure, addresses, connection
from modelyard.outbound.addresses import Network
from modelyard.store import covers as store_covers
from tests import requirements
from tests.app_fixture import App, open_app
from tests.pictures import picture
from tests.transfers import find, path_of
from tests.upstream import Upstream, UpstreamHandler, serve_upstream

HERE = ipaddress.ip_network("127.0.0.0/8")


@pytest.fixture
def pictures() -> Iterator[Upstream]:
    with serve_upstream() as upstream:
        yield upstream


def _outbound(
    allowed: Sequence[Network] = (), resolve: Callable[[str, int], list[str]] = addresses.resolve
) -> Outbound:
    return Outbound(AddressPolicy(allowed, resolve, allow_http=True))


# --- Where it is not fetched from

NOT_PUBLIC = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",  # the metadata of clouds
    "100.64.0.1",
    "198.18.0.1",
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fc00::1",
    "fd12:3456::1",
    "fec0::1",
    "fe80::1%lo",
    "ff02::1",
    "ff0e::1",
    "::127.0.0.1",
    "::ffff:0:127.0.0.1",
    "100::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::5db8:d70e",
    "64:ff9b:1::5db8:d70e",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "2001:db8::1",
]


@pytest.mark.parametrize("numeric", NOT_PUBLIC)
def test_nothing_is_fetched_from_addresses_that_are_not_public(numeric: str) -> None:
    guard = _outbound(resolve=lambda _host, _port: [numeric])

    with pytest.raises(errors.AddressRefused, match="no public address"):
        fetch("http://pictures.example/a.png", guard)


def test_a_host_with_one_address_that_is_not_public_is_refused_whole() -> None:
    guard = _outbound(resolve=lambda _host, _port: ["93.184.215.14", "10.0.0.1"])

    with pytest.raises(errors.AddressRefused, match=r"10\.0\.0\.1"):
        fetch("http://pictures.example/a.png", guard)


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "localhost", "[::ffff:7f00:1]", "[::1]"]
)
def test_other_spellings_of_this_machine_are_refused(host: str) -> None:
    with pytest.raises(errors.AddressRefused, match="no public address"):
        fetch(f"http://{host}/a.png", _outbound())


def test_the_networks_that_are_allowed_are_asked_and_no_others() -> None:
    allowed = [ipaddress.ip_network(network) for network in ("10.1.0.0/16", "fd00:1::/32")]

    def may_ask(numeric: str) -> bool:
        try:
            return [numeric] == AddressPolicy(allowed, lambda *_: [numeric]).find_addresses("https://a.example/")
        except errors.AddressRefused:
            return False

    inside = ["10.1.0.1", "10.1.255.255", "::ffff:10.1.0.1", "fd00:1::1"]
    outside = ["10.0.255.255", "10.2.0.0", "127.0.0.1", "::ffff:10.2.0.1", "fd00:2::1", "::1", "64:ff9b::a01:1"]
    assert (inside, []) == ([*filter(may_ask, inside)], [*filter(may_ask, outside)])


@pytest.mark.parametrize(
    "numeric", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:93.184.215.14", "172.32.0.1"]
)
def test_public_addresses_may_be_asked(numeric: str) -> None:
    policy = AddressPolicy(resolve=lambda _host, _port: [numeric])

    assert [numeric] == policy.find_addresses("https://pictures.example/")


@pytest.mark.parametrize(
    "address",
    [
        "ftp://pictures.example/a.png",
        "file:///etc/passwd",
        "http://",
        "http://user:secret@pictures.example/a.png",
        "http://@pictures.example/a.png",
        "http://pictures.example:0/",
        "http://pictures.example:99999/",
        "http://[::1/",
        "http://pictures.example/a\r\nHost: other",
        "gopher://127.0.0.1/",
    ],
)
def test_what_is_no_address_to_fetch_from_is_refused(address: str) -> None:
    def resolve(host: str, _port: int) -> list[str]:
        raise AssertionError(f"{host} was looked up")

    with pytest.raises(errors.AddressRefused, match="no address to fetch from"):
        fetch(address, _outbound(resolve=resolve))


def test_a_redirect_is_checked_like_the_first_address(pictures: Upstream) -> None:
    inner = pictures.put("/inner", lambda on: on.reply(b"secret"))
    numbers = {"outer.example": "127.0.0.1", "inner.example": "10.0.0.1"}
    guard = _outbound([HERE], lambda host, _port: [numbers[host]])
    port = inner.split(":")[2].partition("/")[0]
    pictures.put("/a", lambda on: on.reply(b"", 302, location=f"http://inner.example:{port}/inner"))

    with pytest.raises(errors.AddressRefused, match=r"10\.0\.0\.1"):
        fetch(f"http://outer.example:{port}/a", guard)
    assert 0 == pictures.asked["/inner"]


def test_the_address_that_was_checked_is_the_one_that_is_asked(pictures: Upstream) -> None:
    port = pictures.put("/a.png", lambda on: on.reply(b"picture")).split(":")[2].partition("/")[0]
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])  # what a name that is rebound answers

    assert b"picture" == fetch(f"http://pictures.example:{port}/a.png", _outbound([HERE], lambda *_: next(answers)))
    assert ["10.0.0.1"] == next(answers)


@pytest.mark.parametrize("scheme", ["file:///etc/passwd", "ftp://a.example/", "//", "about:blank"])
def test_a_redirect_to_something_else_than_http_is_refused(pictures: Upstream, scheme: str) -> None:
    url = pictures.put("/a", lambda on: on.reply(b"", 301, location=scheme))

    with pytest.raises(errors.DownloadFailed):
        fetch(url, _outbound([HERE]))


def test_redirects_end(pictures: Upstream) -> None:
    url = pictures.put("/a", lambda on: on.reply(b"", 307, location="/a"))

    with pytest.raises(errors.DownloadFailed, match="redirects more than"):
        fetch(url, _outbound([HERE]))
    assert 6 == pictures.asked["/a"]


# --- What is answered


def test_what_is_answered_comes_whole_and_nothing_of_ours_goes_out(pictures: Upstream) -> None:
    url = pictures.put("/a b%20c.png?x=1&y=ü", lambda on: on.reply(b"no"))
    pictures.put("/a%20b%20c.png?x=1&y=%C3%BC", lambda on: on.reply(b"whole"))

    assert b"whole" == fetch(url, _outbound([HERE]))
    assert {"host", "user-agent", "accept", "accept-encoding", "connection"} == {
        name.lower() for name in pictures.headers_seen[0]
    }


def _endless(on: Any) -> None:
    on.send_response(200)
    on.end_headers()
    while True:
        on.wfile.write(bytes(1 << 20))


def _dripping(on: Any) -> None:
    on.send_response(200)
    on.end_headers()
    gone = threading.Event()
    while not gone.wait(0.05):
        on.wfile.write(b"x")


def _quietly(answer: Callable[[Any], None]) -> Callable[[Any], None]:
    def until_it_is_gone(on: Any) -> None:
        try:
            answer(on)
        except OSError:
            on.close_connection = True

    return until_it_is_gone


def test_more_than_a_picture_is_not_taken(pictures: Upstream) -> None:
    said = pictures.put("/said", _quietly(lambda on: on.reply(b"x", content_length=str(1 << 40))))
    endless = pictures.put("/endless", _quietly(_endless))

    for url in (said, endless):
        with pytest.raises(errors.TooLarge):
            fetch(url, _outbound([HERE]))


def test_an_answer_that_never_ends_is_cut_off(pictures: Upstream) -> None:
    url = pictures.put("/drip", _quietly(_dripping))

    with pytest.raises(TemporaryFailure):
        fetch(url, _outbound([HERE]), seconds_max=0.5)


def test_an_answer_that_ends_early_is_no_answer(pictures: Upstream) -> None:
    url = pictures.put("/half", lambda on: on.reply(b"half", content_length="8"))

    with pytest.raises(TemporaryFailure):
        fetch(url, _outbound([HERE]))


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_told_apart(pictures: Upstream, status: int) -> None:
    url = pictures.put("/later", lambda on: on.reply(b"", status, retry_after="7"))

    with pytest.raises(TemporaryFailure) as passing:
        fetch(url, _outbound([HERE]))
    assert 7.0 == passing.value.after_seconds


@pytest.mark.parametrize("status", [204, 206, 300, 304, 305, 400, 401, 403, 404, 410, 418, 451, 501, 505])
def test_any_other_status_is_final(pictures: Upstream, status: int) -> None:
    url = pictures.put("/never", lambda on: on.reply(b"", status, retry_after="7", location="/elsewhere"))

    with pytest.raises(errors.DownloadFailed, match=f"status {status}"):
        fetch(url, _outbound([HERE]))
    assert 0 == pictures.asked["/elsewhere"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed(pictures: Upstream, status: int) -> None:
    url = pictures.put("/a", lambda on: on.reply(b"", status, location="/b"))
    pictures.put("/b", lambda on: on.reply(b"picture"))

    assert b"picture" == fetch(url, _outbound([HERE]))


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("0", 0.0),
        (" 12 ", 12.0),
        ("9" * 400, 999_999_999.0),
        ("soon", None),
        ("\xb2", None),
        ("-1", None),
        ("1.5", None),
    ],
)
def test_how_long_a_host_asks_to_wait_is_read_if_it_is_a_number(
    pictures: Upstream, retry_after: str, seconds: float | None
) -> None:
    url = pictures.put("/later", lambda on: on.reply(b"", 503, retry_after=retry_after))

    with pytest.raises(TemporaryFailure) as passing:
        fetch(url, _outbound([HERE]))
    assert seconds == passing.value.after_seconds


def test_a_picture_of_the_largest_size_is_taken_and_one_byte_more_is_not(pictures: Upstream) -> None:
    url = pictures.put("/largest", lambda on: on.reply(bytes(BYTES_MAX)))
    over = pictures.put("/over", _quietly(lambda on: on.reply(bytes(BYTES_MAX + 1))))

    assert BYTES_MAX == 16 * 1024 * 1024 == len(fetch(url, _outbound([HERE])))
    with pytest.raises(errors.TooLarge):
        fetch(over, _outbound([HERE]))


# --- Over TLS


@pytest.fixture
def tls(pictures: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve the pictures over TLS as pictures.example, by a certificate that is trusted here; gives the port."""
    command = "req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 2 -subj /CN=pictures.example"
    command += " -addext subjectAltName=DNS:pictures.example -keyout key.pem -out certificate.pem"
    subprocess.run([requirements.program("openssl"), *command.split()], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    connection._tls_context.cache_clear()
    pictures.encrypt(context)
    yield pictures.url.rpartition(":")[2]
    connection._tls_context.cache_clear()


def test_over_tls_the_certificate_has_to_be_that_of_the_name(pictures: Upstream, tls: str) -> None:
    pictures.put("/a.png", lambda on: on.reply(b"picture"))
    guard = _outbound([HERE], lambda _host, _port: ["127.0.0.1"])

    assert b"picture" == fetch(f"https://pictures.example:{tls}/a.png", guard)
    for host in ("other.example", "127.0.0.1"):
        with pytest.raises(TemporaryFailure, match="certificate"):
            fetch(f"https://{host}:{tls}/a.png", guard)
    assert 1 == pictures.asked["/a.png"]


def test_a_redirect_from_https_stays_with_https(pictures: Upstream, tls: str) -> None:
    guard = _outbound([HERE], lambda _host, _port: ["127.0.0.1"])
    pictures.put("/a.png", lambda on: on.reply(b"picture"))
    pictures.put("/b", lambda on: on.reply(b"", 302, location="/a.png"))
    assert b"picture" == fetch(f"https://pictures.example:{tls}/b", guard)
    with serve_upstream() as plain:
        pictures.put("/c", lambda on: on.reply(b"", 302, location=plain.put("/a.png", lambda on: on.reply(b"picture"))))

        with pytest.raises(errors.AddressRefused, match="from https"):
            fetch(f"https://pictures.example:{tls}/c", guard)
        assert 0 == plain.asked["/a.png"]


# --- What models show of it


def _model(yard: App, id_: int, cover_url: str, rank: int = 0) -> None:
    facts = Facts(
        name=f"v{id_}", sd_name=f"model_{id_}.safetensors", type=model_type("LORA"), cover_url=cover_url, rank=rank
    )
    for _ in yard.catalog.register_many([Record(id_, Source.CIVITAI, Layer.UPSTREAM, facts)]):
        pass


def _gathered(yard: App, home: Path, ids: list[int]) -> dict[str, str]:
    where = blobs.open_storage("", home, {})
    kept = Covers(yard.store, where.kept, where.incoming)
    asked = import_covers(yard.store, kept, _outbound([HERE]), missing_covers(yard.store, ids), sleep=lambda _: None)
    return {gathered.address: gathered.problem for gathered in asked}


def test_models_show_from_here_what_was_fetched(pictures: Upstream, tmp_path: Path) -> None:
    url = pictures.put("/a.png", lambda on: on.reply(picture()))
    with open_app(tmp_path) as yard:
        for id_ in (1, 2):
            _model(yard, id_, url)

        first = _gathered(yard, tmp_path, [1, 2])
        again = _gathered(yard, tmp_path, [1, 2])
        _model(yard, 3, url)  # one that is told of later
        _model(yard, 1, url)  # and one that is told of again

        assert ({url: ""}, {}) == (first, again)
        assert 1 == pictures.asked["/a.png"]
        covers = {find(yard, id_)["cover_url"] for id_ in (1, 2, 3)}
        assert 1 == len(covers)
        assert 200 == yard.ask(path_of(covers.pop()), None).status


def test_another_address_is_another_cover(pictures: Upstream, tmp_path: Path) -> None:
    urls = [
        pictures.put("/0.png", lambda on: on.reply(picture())),
        pictures.put("/1.png", lambda on: on.reply(picture(seed=1))),
    ]
    with open_app(tmp_path) as yard:
        _model(yard, 1, urls[0])
        _gathered(yard, tmp_path, [1])
        before = find(yard, 1)["cover_url"]
        _model(yard, 1, urls[1])
        outside = find(yard, 1)["cover_url"]
        _gathered(yard, tmp_path, [1])

        assert urls[1] == outside
        assert before != find(yard, 1)["cover_url"]


def test_what_cannot_be_had_is_told_and_not_asked_for_again(pictures: Upstream, tmp_path: Path) -> None:
    gone = pictures.put("/gone", lambda on: on.reply(b"", 404))
    page = pictures.put("/page", lambda on: on.reply(b"<html>"))
    away = pictures.put("/away", lambda on: on.reply(b"", 503))
    with open_app(tmp_path) as yard:
        for id_, url in enumerate((gone, page, away), 1):
            _model(yard, id_, url)

        first = _gathered(yard, tmp_path, [1, 2, 3])
        again = _gathered(yard, tmp_path, [1, 2, 3])

        assert all(first[url] for url in (gone, page, away))
        assert {away} == again.keys()
        assert (1, 1, 6) == tuple(pictures.asked[path] for path in ("/gone", "/page", "/away"))
        assert gone == find(yard, 1)["cover_url"]


def test_the_most_popular_models_come_first(pictures: Upstream, tmp_path: Path) -> None:
    with open_app(tmp_path) as yard:
        for id_, rank in ((1, 5), (2, 50), (3, 20)):
            _model(yard, id_, f"http://pictures.example/{id_}", rank)

        assert [[2], [3], [1]] == list(missing_covers(yard.store, [1, 2, 3]).values())


def test_an_import_brings_covers_along_when_asked(
    pictures: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    url = pictures.put("/a.png", lambda on: on.reply(picture()))
    answers = tmp_path / "answers.json"
    file = {"id": 5, "name": "a.safetensors", "type": "Model", "sizeKB": 1, "metadata": {"format": "SafeTensor"}}
    image = {"url": url, "nsfwLevel": 1, "type": "image"}
    version = {"id": 11, "name": "v1", "baseModel": "SD 1.5", "images": [image], "files": [file]}
    answers.write_text(json.dumps({"id": 1, "name": "m", "type": "LORA", "modelVersions": [version]}))
    home = tmp_path / "home"
    command = ["import", "--home", str(home), "civitai", str(answers), "--covers", "--json"]

    assert 0 == run(command)
    refused = json.loads(capfd.readouterr().out)
    (home / "modelyard.toml").write_text("")
    monkeypatch.setenv("MODELYARD_OUTBOUND_NETWORKS", "127.0.0.0/8")
    monkeypatch.setenv("MODELYARD_OUTBOUND_ALLOW_HTTP", "yes")
    again = tmp_path / "again"
    assert 0 == run([*command[:2], str(again), *command[3:]])
    brought = json.loads(capfd.readouterr().out)

    assert (0, {"cover not to be had": 1}) == (refused["covers"], refused["skipped"])
    assert (1, {}) == (brought["covers"], brought["skipped"])
    with open_app(again) as yard:
        assert find(yard, 11)["cover_url"].startswith("http://127.0.0.1/covers/")


def test_what_failed_is_asked_for_again_after_a_month(tmp_path: Path) -> None:
    url = "http://pictures.example/a.png"
    with open_app(tmp_path) as yard:
        _model(yard, 1, url)

        def is_wanted(days_later: float) -> bool:
            tried_at = int(time.time() - days_later * 86_400)
            with yard.store.transaction() as writing:
                store_covers.note_address(writing.connection, url, None, "status 404", tried_at)
            return {url: [1]} == missing_covers(yard.store, [1])

        assert [False, False, True] == [is_wanted(days) for days in (0, 29.9, 30.1)]


def test_a_host_that_asks_to_wait_is_waited_for_but_not_for_ever(pictures: Upstream, tmp_path: Path) -> None:
    waits: list[float] = []
    later = pictures.put("/later", lambda on: on.reply(b"", 503, retry_after="7"))
    never = pictures.put("/never", lambda on: on.reply(b"", 503, retry_after="86400"))
    silent = pictures.put("/silent", lambda on: on.reply(b"", 503))
    with open_app(tmp_path) as yard:
        where = blobs.open_storage("", tmp_path, {})
        kept = Covers(yard.store, where.kept, where.incoming)
        for url in (later, never, silent):
            answers = list(import_covers(yard.store, kept, _outbound([HERE]), {url: [1]}, sleep=waits.append))
            assert [url] == [answer.address for answer in answers]

    assert [7.0, 7.0, 60.0, 60.0] == waits[:4]
    assert [True, True] == [longest / 2 <= wait <= longest for wait, longest in zip(waits[4:], (2.0, 4.0), strict=True)]


def test_the_headers_of_a_request_are_these(pictures: Upstream) -> None:
    url = pictures.put("/a.png", lambda on: on.reply(b"picture"))

    fetch(url, _outbound([HERE]))

    assert {
        "Host": url.split("/")[2],
        "Accept": "image/webp,image/avif,image/*",
        "Accept-Encoding": "identity",
        "User-Agent": f"modelyard/{__version__}",
        "Connection": "close",
    } == pictures.headers_seen[0]


def test_a_host_without_a_path_is_asked_for_its_root(pictures: Upstream) -> None:
    pictures.put("/", lambda on: on.reply(b"picture"))

    assert b"picture" == fetch(pictures.url, _outbound([HERE]))


def test_a_host_that_is_not_known_or_not_there_may_be_later() -> None:
    def unknown(_host: str, _port: int) -> list[str]:
        raise OSError("no such host")

    with pytest.raises(TemporaryFailure, match=r"the host 'pictures\.example' is not known: no such host"):
        fetch("http://pictures.example/a.png", _outbound(resolve=unknown))
    with pytest.raises(TemporaryFailure, match=r"cannot be reached: .*refused"):
        fetch("http://pictures.example:9/a.png", _outbound([HERE], lambda *_: ["127.0.0.1"]))
    with pytest.raises(TemporaryFailure, match="is not known"):
        fetch(f"http://{'a' * 64}.example/a.png", _outbound())


def test_the_next_address_of_a_host_is_tried_if_one_is_not_there(pictures: Upstream) -> None:
    port = pictures.put("/a.png", lambda on: on.reply(b"picture")).split(":")[2].partition("/")[0]
    guard = _outbound([HERE, ipaddress.ip_network("::1")], lambda *_: ["::1", "127.0.0.1"])

    assert b"picture" == fetch(f"http://pictures.example:{port}/a.png", guard)


def test_the_port_of_a_scheme_is_looked_up() -> None:
    ports = []

    def resolve(_host: str, port: int) -> list[str]:
        ports.append(port)
        return ["10.0.0.1"]

    for address in ("http://a.example/", "https://a.example/", "http://a.example:81/"):
        with pytest.raises(errors.AddressRefused):
            fetch(address, _outbound(resolve=resolve))
    assert [80, 443, 81] == ports


def test_five_redirects_are_followed(pictures: Upstream) -> None:
    for number in range(5):
        pictures.put(f"/{number}", partial(UpstreamHandler.reply, body=b"", status=302, location=f"/{number + 1}"))
    pictures.put("/5", lambda on: on.reply(b"picture"))

    assert b"picture" == fetch(pictures.url + "/0", _outbound([HERE]))


def test_a_fault_of_our_own_ends_the_import(tmp_path: Path) -> None:
    def resolve(_host: str, _port: int) -> list[str]:
        raise ZeroDivisionError

    with open_app(tmp_path) as yard:
        where = blobs.open_storage("", tmp_path, {})
        kept = Covers(yard.store, where.kept, where.incoming)
        ids_by_address = {f"http://{number}.example/": [1] for number in range(40)}
        with pytest.raises(ZeroDivisionError):
            list(import_covers(yard.store, kept, _outbound(resolve=resolve), ids_by_address))
