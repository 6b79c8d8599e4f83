"""Who the client is behind reverse proxies, and that nobody else can say who they are."""

import tracemalloc
from pathlib import Path

import pytest

from modelyard.web.client_address import TrustedProxies
from tests.app_fixture import App, open_app

PROXIES = TrustedProxies("10.0.0.0/8,fd00::/8")


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        # What stands before the address that a proxy added was sent by the client.
        ("10.0.0.1", "10.0.0.9, 203.0.113.5, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.5, 198.51.100.7, 10.0.0.2", "198.51.100.7"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "198.51.100.7, unknown, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "198.51.100.7:4711", "198.51.100.7"),
        ("::ffff:10.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("fd00::1", "2001:db8::7", "2001:db8::7"),
        ("no address", "198.51.100.7", "no address"),
        # Only the end of a long header can be a proxy's.
        ("10.0.0.1", f"{'203.0.113.5, ' * 100}198.51.100.7, 10.0.0.2", "198.51.100.7"),
        ("10.0.0.1", f"203.0.113.5{', 10.0.0.2' * 200}", "10.0.0.2"),
    ],
)
def test_the_client_is_the_nearest_address_that_is_not_trusted(peer: str, forwarded_for: str, client: str) -> None:
    headers = {b"x-forwarded-for": forwarded_for.encode()} if forwarded_for else {}

    assert client == PROXIES.client_of(peer, headers)


@pytest.mark.parametrize(
    ("peer", "forwarded", "scheme"),
    [
        ("10.0.0.1", "https", "https"),
        ("10.0.0.1", "http, HTTPS", "https"),
        ("10.0.0.1", "gopher", "http"),
        ("192.0.2.1", "https", "http"),
    ],
)
def test_the_scheme_is_that_of_the_nearest_proxy(peer: str, forwarded: str, scheme: str) -> None:
    assert scheme == PROXIES.scheme_of(peer, {b"x-forwarded-proto": forwarded.encode()}, "http")


def test_what_clients_send_takes_no_memory() -> None:
    proxies = TrustedProxies("10.0.0.0/8")
    tracemalloc.start()
    for number in range(200):
        for peer in ("192.0.2.1", "10.0.0.1"):
            headers = {b"x-forwarded-for": f"{number}{', ' * 30_000}198.51.100.7".encode()}
            proxies.client_of(peer, headers)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert grown < 1_000_000


def test_without_networks_nobody_is_trusted() -> None:
    nobody = TrustedProxies("")

    assert not nobody
    assert not nobody.contains("127.0.0.1")


def _sign_in(app: App, address: str) -> int:
    """Try to sign in through the proxy at 127.0.0.1, from an address."""
    return app.ask("/sign-in", None, method="POST", body=b"key=guess", x_forwarded_for=address).status


def test_a_stranger_behind_the_proxy_is_limited_alone(tmp_path: Path) -> None:
    with open_app(tmp_path, trusted_proxies="127.0.0.0/8", failures_per_minute=3) as app:
        stranger = [_sign_in(app, "203.0.113.5") for _ in range(4)]

        assert ([401, 401, 401, 429], 401) == (stranger, _sign_in(app, "198.51.100.7"))


def test_a_stranger_without_a_trusted_proxy_cannot_choose_an_address(tmp_path: Path) -> None:
    with open_app(tmp_path, failures_per_minute=3) as app:
        assert [401, 401, 401, 429] == [_sign_in(app, f"203.0.113.{number}") for number in range(4)]


@pytest.mark.parametrize(("networks", "is_secure"), [("127.0.0.0/8", True), ("", False)])
def test_a_cookie_is_secure_if_a_trusted_proxy_says_https(tmp_path: Path, networks: str, is_secure: bool) -> None:
    with open_app(tmp_path, trusted_proxies=networks) as app:
        body = b"key=" + app.key("red").encode()
        reply = app.ask("/sign-in", None, method="POST", body=body, x_forwarded_proto="https")

    assert (303, is_secure) == (reply.status, "; Secure" in reply.headers["set-cookie"])
