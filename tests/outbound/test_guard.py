"""The guard of requests to other servers: addresses, redirects, tokens, limits, turns and retries.

``tests/covers/test_download.py`` has the addresses that are no public ones, TLS, and limits of the size of a body.
"""

import ipaddress
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from modelyard import errors
from modelyard.outbound import AddressPolicy, HostTurns, Limits, Outbound, TemporaryFailure, origin_of, with_retries
from modelyard.retry import RetryPolicy
from tests.upstream import Upstream, serve_upstream

HERE = ipaddress.ip_network("127.0.0.0/8")
POLICY = AddressPolicy([HERE], allow_http=True)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with serve_upstream() as server:
        yield server


# --- Which servers


@pytest.mark.parametrize(
    "url",
    [
        "https://civitai.com@127.0.0.1/",
        "https://civitai.com:443@127.0.0.1/",
        "https://civitai.com\\@127.0.0.1/",
        "https://127.0.0.1\t/",
        "//civitai.com/",
        "civitai.com",
        "",
        "https://civitai.com:443443/",
    ],
)
def test_an_address_that_could_be_read_in_two_ways_is_refused_before_a_look_up(url: str) -> None:
    def resolve(host: str, _port: int) -> list[str]:
        raise AssertionError(f"{host} was looked up")

    with pytest.raises(errors.AddressRefused, match="no address to fetch from"):
        Outbound(AddressPolicy(resolve=resolve)).open(url)


@pytest.mark.parametrize(
    "host",
    ["localhost", "a.LocalHost.", "127.1", "0x7f.0.0.1", "0177.0.0.1", "2130706433", "10.0.0.1.", "[::1]",
     "nas.local", "metadata.google.internal", "nas.home.arpa", "home.arpa", "localhost.localdomain", "registry",
     "\uff11\uff12\uff17.0.0.1", "nas\u3002\uff4cocal"],
)  # fmt: skip # a list of names
def test_a_host_that_is_inside_by_its_spelling_is_refused_before_a_look_up(host: str) -> None:
    with pytest.raises(errors.AddressRefused, match="no public address"):
        AddressPolicy().check_url(f"https://{host}/")


def test_the_operator_s_networks_may_have_hosts_with_inner_names() -> None:
    inner = AddressPolicy([ipaddress.ip_network("10.1.0.0/16")], lambda _host, _port: ["10.1.0.7"])

    assert ["10.1.0.7"] == inner.find_addresses("https://nas.local/") == inner.find_addresses("https://registry/")
    assert AddressPolicy([ipaddress.ip_network("::1")]).check_url("https://localhost/")
    with pytest.raises(errors.AddressRefused, match="'localhost' leads to 127"):
        inner.check_url("https://localhost/")


def test_a_host_with_many_addresses_is_tried_at_a_few() -> None:
    policy = AddressPolicy(resolve=lambda _host, _port: [f"1.1.{number}.1" for number in range(200)])

    assert [f"1.1.{number}.1" for number in range(8)] == policy.find_addresses("https://many.example/")


def test_http_is_accepted_where_the_operator_says_so(upstream: Upstream) -> None:
    url = upstream.put("/a", lambda on: on.reply(b"a"))

    with pytest.raises(errors.AddressRefused, match="use https, or set outbound_allow_http"):
        Outbound(AddressPolicy([HERE])).open(url)
    with Outbound(POLICY).open(url) as answer:
        assert b"a" == answer.read_all(1)


def test_a_redirect_to_a_private_address_is_refused(upstream: Upstream) -> None:
    port = origin_of(upstream.url).rpartition(":")[2]
    hosts = {"outer.example": "127.0.0.1", "inner.example": "10.0.0.1"}
    policy = AddressPolicy([HERE], lambda host, _port: [hosts[host]], allow_http=True)
    upstream.put("/a", lambda on: on.reply(b"", 302, location=f"http://inner.example:{port}/inner"))

    with pytest.raises(errors.AddressRefused, match=r"inner\.example.*10\.0\.0\.1"):
        Outbound(policy).open(f"http://outer.example:{port}/a")


def test_an_operator_s_server_may_be_private_and_others_may_not_be_requested(upstream: Upstream) -> None:
    """A generator is on the operator's network, and nothing else is to be reached through its setting."""
    policy = AddressPolicy(origins={origin_of(upstream.url)}, is_exclusive=True)
    upstream.put("/a", lambda on: on.reply(b"a"))
    upstream.put("/out", lambda on: on.reply(b"", 302, location="http://pictures.example/"))

    with Outbound(policy).open(upstream.url + "/a") as answer:
        assert 200 == answer.status
    for url in (upstream.url + "/out", "https://pictures.example/", "http://127.0.0.1:1/"):
        with pytest.raises(errors.AddressRefused, match="is not one of the servers"):
            Outbound(policy).open(url)


# --- Tokens


def _echo(on: Any) -> None:
    on.reply((on.headers.get("Authorization") or "none").encode())


def test_a_token_goes_to_its_own_server_only(upstream: Upstream) -> None:
    with serve_upstream() as other:
        outbound = Outbound(POLICY, {origin_of(upstream.url): "secret-1", origin_of(other.url): "secret-2"})
        upstream.put("/echo", _echo)
        other.put("/echo", _echo)
        upstream.put("/away", lambda on: on.reply(b"", 302, location=other.url + "/back"))
        other.put("/back", lambda on: on.reply(b"", 307, location=upstream.url + "/echo"))

        def ask(url: str) -> bytes:
            with outbound.open(url) as answer:
                return answer.read_all(100)

        assert [b"Bearer secret-1", b"Bearer secret-2"] == [ask(server.url + "/echo") for server in (upstream, other)]
        assert b"Bearer secret-1" == ask(upstream.url + "/away")
        assert ["Bearer secret-1", "Bearer secret-2", "Bearer secret-1"] == [
            server.headers_seen[number]["Authorization"]
            for server, number in ((upstream, 1), (other, 1), (upstream, 2))
        ]


def test_secrets_of_the_caller_are_dropped_at_a_redirect_elsewhere(upstream: Upstream) -> None:
    with serve_upstream() as other:
        upstream.put("/away", lambda on: on.reply(b"", 302, location=other.url + "/echo"))
        other.put("/echo", _echo)

        with Outbound(POLICY).open(
            upstream.url + "/away", headers={"authorization": "Bearer mine", "Range": "bytes=0-"}
        ) as answer:
            assert b"none" == answer.read_all(100)
        assert ("Bearer mine", "bytes=0-") == (
            upstream.headers_seen[0]["authorization"],
            other.headers_seen[0]["Range"],
        )


def test_no_error_shows_a_secret(upstream: Upstream) -> None:
    secret = "s3cr3t"
    upstream.put(f"/a?token={secret}", lambda on: on.reply(b"", 404))
    upstream.put(f"/b?token={secret}", lambda on: on.reply(b"", 302, location=f"http://me:{secret}@127.0.0.1/"))
    outbound = Outbound(POLICY, {origin_of(upstream.url): secret})

    def read_message(url: str) -> str:
        with pytest.raises(errors.ModelyardError) as problem, outbound.open(url) as answer:
            answer.refuse_status(200)
        return problem.value.message

    urls = [f"{upstream.url}/{name}?token={secret}" for name in "ab"]
    urls += [f"https://me:{secret}@civitai.com/", f"https://127.0.0.1:1/{secret}"]
    assert [] == [message for message in [repr(outbound), *map(read_message, urls)] if secret in message]


# --- Requests and answers


def test_a_body_is_posted_and_json_is_read(upstream: Upstream) -> None:
    def answer_post(on: Any) -> None:
        body = on.rfile.read(int(on.headers["Content-Length"]))
        on.reply(b'{"got": ' + body + b"}")

    url = upstream.put("/tasks", answer_post)
    outbound = Outbound(POLICY)

    with outbound.open(url, method="POST", body=b"[1]", headers={"Content-Type": "application/json"}) as answer:
        assert {"got": [1]} == answer.read_json()
    page = upstream.put("/page", lambda on: on.reply(b"<html>"))
    with outbound.open(page) as answer, pytest.raises(errors.DownloadFailed, match="answers with HTML, not with JSON"):
        answer.read_json()


def test_a_post_is_not_repeated_elsewhere(upstream: Upstream) -> None:
    url = upstream.put("/tasks", lambda on: on.reply(b"", 307, location="/elsewhere"))

    with pytest.raises(errors.DownloadFailed, match="redirects a POST"):
        Outbound(POLICY).open(url, method="POST", body=b"{}")
    assert 0 == upstream.asked["/elsewhere"]


def test_head_and_a_redirect_that_is_not_followed_give_their_headers(upstream: Upstream) -> None:
    url = upstream.put("/resolve", lambda on: on.reply(b"", 302, location="/blob", x_linked_size="7"))

    with Outbound(POLICY).open(url, method="HEAD", redirects_max=0) as answer:
        assert (302, "7", "/blob") == (answer.status, answer.headers["x-linked-size"], answer.headers["Location"])


def test_a_range_is_asked_for_and_the_length_of_its_answer_is_known(upstream: Upstream) -> None:
    url = upstream.put("/a", lambda on: on.reply(b"cd", 206, content_range="bytes 2-3/4"))

    with Outbound(POLICY).open(url, headers={"Range": "bytes=2-"}) as answer:
        assert (206, 2, b"cd", b"") == (answer.status, answer.length_bytes, answer.read(), answer.read())
    assert "bytes=2-" == upstream.headers_seen[0]["Range"]


def test_a_compressed_answer_that_was_not_asked_for_is_refused(upstream: Upstream) -> None:
    url = upstream.put("/a", lambda on: on.reply(b"x", content_encoding="gzip"))

    with Outbound(POLICY).open(url) as answer, pytest.raises(errors.DownloadFailed, match="encoding 'gzip'"):
        answer.read()


def test_a_server_that_says_nothing_is_given_up(upstream: Upstream) -> None:
    gone = threading.Event()
    url = upstream.put("/silent", lambda _on: gone.wait(20))
    began = time.monotonic()

    with pytest.raises(TemporaryFailure, match="took longer than"):
        Outbound(POLICY).open(url, limits=Limits(seconds_max=None, header_seconds=0.1))
    gone.set()
    assert time.monotonic() - began < 10


def test_a_header_that_is_cut_off_by_its_limit_is_no_answer(upstream: Upstream) -> None:
    gone = threading.Event()

    def drip(on: Any) -> None:
        on.wfile.write(b"HTTP/1.1 200 O")
        gone.wait(20)

    url = upstream.put("/drip", drip)

    with pytest.raises(TemporaryFailure, match="took longer than"):
        Outbound(POLICY).open(url, limits=Limits(seconds_max=None, header_seconds=0.1))
    gone.set()


@pytest.mark.parametrize("answer", [b"SSH-2.0-\0secret\r\n", b"HTTP/\0secret 200 OK\r\n", b"x" * 70_000])
def test_what_a_server_sends_in_place_of_http_is_not_in_the_error(upstream: Upstream, answer: bytes) -> None:
    url = upstream.put("/banner", lambda on: on.wfile.write(answer))

    with pytest.raises(TemporaryFailure) as refused:
        Outbound(POLICY).open(url)
    assert refused.value.message.isprintable()
    assert len(refused.value.message) < 100
    assert "secret" not in refused.value.message


def test_a_pause_within_a_body_has_a_limit_and_the_whole_body_may_have_none(upstream: Upstream) -> None:
    gone = threading.Event()

    def stall(on: Any) -> None:
        on.send_response(200)
        on.send_header("Content-Length", "2")
        on.end_headers()
        on.wfile.write(b"x")
        gone.wait(20)

    url = upstream.put("/stall", stall)

    with Outbound(POLICY).open(url, limits=Limits(seconds_max=None, idle_seconds=0.2)) as answer:
        assert b"x" == answer.read()
        with pytest.raises(TemporaryFailure, match="timed out"):
            answer.read()
    gone.set()


# --- Turns and retries


def test_a_host_gets_so_many_requests_at_the_same_time() -> None:
    turns = HostTurns(concurrent_max=2)
    order: list[str] = []

    def ask() -> None:
        with turns.turn("a.example"):
            order.append("third")

    third = threading.Thread(target=ask)
    with ExitStack() as held:
        first = held.enter_context(ExitStack())
        first.enter_context(turns.turn("a.example"))
        held.enter_context(turns.turn("a.example"))
        third.start()
        with turns.turn("b.example"):
            order.append("another host")
        first.close()
        third.join(timeout=20)

    assert ["another host", "third"] == order


def test_requests_to_a_host_keep_their_distance() -> None:
    times, waits = [0.0], list[float]()

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        times.append(times[-1] + seconds)

    turns = HostTurns(spacing_seconds=2.0, clock=lambda: times[-1], sleep=sleep)
    for host in ("a.example", "a.example", "b.example", "a.example"):
        with turns.turn(host):
            pass

    assert [2.0, 2.0] == waits


def test_hosts_without_a_request_are_forgotten_once_their_distance_is_over() -> None:
    now = [0.0]
    turns = HostTurns(spacing_seconds=2.0, clock=lambda: now[0], sleep=lambda _: None)
    counts = []
    for number in range(4):
        with turns.turn(f"{number}.example"):
            counts.append(len(turns._hosts))
        now[0] += 1.0

    assert [1, 2, 3, 3] == counts
    now[0] += 2.0
    with turns.turn("last.example"):
        pass
    assert ["last.example"] == [*turns._hosts]


def test_an_answer_holds_its_turn_until_it_is_closed(upstream: Upstream) -> None:
    url = upstream.put("/a", lambda on: on.reply(b"a"))
    outbound = Outbound(POLICY, turns=HostTurns(concurrent_max=1))
    for _ in range(3):
        outbound.open(url).close()
    with pytest.raises(errors.DownloadFailed), outbound.open(url) as answer:
        answer.refuse_status(206)

    with outbound.open(url) as answer:
        assert b"a" == answer.read()


def test_temporary_failures_are_tried_again_after_what_the_server_asks_for() -> None:
    waits: list[float] = []
    outcomes: list[object] = [TemporaryFailure("busy", 7.0), TemporaryFailure("busy", 3600.0), "done"]

    def attempt() -> object:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    policy = RetryPolicy(3, 1, 8, 60, sleep=waits.append)
    assert ("done", [7.0, 60.0]) == (with_retries(attempt, policy), waits)
    outcomes += [TemporaryFailure("gone")] * 3
    with pytest.raises(TemporaryFailure, match="gone"):
        with_retries(attempt, policy)
