"""Sessions of the pages: which cookie is good until when, and which requests come from our own pages.

Not covered here: what the pages show to whom (test_pages.py).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from modelyard import errors
from modelyard.auth import Auth
from modelyard.domain import ANONYMOUS, Scope, Viewer
from modelyard.signing import SecretKey, Signer
from modelyard.store import open_store
from modelyard.store.backup import backup, restore
from modelyard.web.rate_limit import RateLimit
from modelyard.web.requests import Request, open_request
from modelyard.web.sessions import COOKIE, LASTS_SECONDS, Sessions, check_same_site, check_token, cookies
from tests.app_fixture import open_app
from tests.databases import sqlite_url

DAY_SECONDS = 86_400


@dataclass
class Desk:
    """A place that makes and reads sessions, and its time."""

    sessions: Sessions
    access: Auth
    now: list[float] = field(default_factory=lambda: [1_700_000_000.0])

    def cookie(self, expires_in_seconds: int | None = None) -> str:
        """A cookie as a browser sends it, of a new key."""
        key, _ = self.access.create_key("red", [Scope.READ], expires_in_seconds)
        header = self.sessions.begin(key, is_secure=False)[1].decode()
        return header.partition(";")[0]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    store = open_store(sqlite_url(tmp_path))
    now = [1_700_000_000.0]
    access = Auth(store, clock=lambda: now[0])
    signer = Signer(lambda: [SecretKey(1, b"1" * 32)], clock=lambda: now[0])
    limit = RateLimit(2, clock=lambda: now[0])
    yield Desk(Sessions(access, signer, limit, clock=lambda: now[0]), access, now)
    store.close()


def request(**headers: str) -> Request:
    pairs = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": pairs, "client": ("127.0.0.1", 1)}
    return open_request(scope, "id", 0)  # type: ignore[arg-type] # the parts of a scope that sessions look at


def stranger(_: Request) -> Viewer:
    """Who calls where there is no session."""
    return ANONYMOUS


# --- How long a cookie is good


def test_a_session_ends_thirty_days_after_its_beginning(desk: Desk) -> None:
    cookie = desk.cookie()

    desk.now[0] += LASTS_SECONDS - 1
    last = desk.sessions.of(request(cookie=cookie))
    desk.now[0] += 1

    assert 30 * DAY_SECONDS == LASTS_SECONDS
    assert last is not None
    assert "red" == last.viewer.team
    assert desk.sessions.of(request(cookie=cookie)) is None


def test_a_code_signs_in_once_and_within_an_hour(desk: Desk) -> None:
    key, _ = desk.access.create_key("red", [Scope.READ])
    codes = [desk.sessions.create_code(key) for _ in range(2)]

    _, cookie = desk.sessions.redeem(codes[0], is_secure=False)
    session = desk.sessions.of(request(cookie=cookie.decode().split(";")[0]))
    with pytest.raises(errors.InvalidKey):
        desk.sessions.redeem(codes[0], is_secure=False)
    with pytest.raises(errors.InvalidKey):
        desk.sessions.redeem(codes[1][:-1] + ("A" if codes[1][-1] != "A" else "B"), is_secure=False)
    desk.now[0] += 3601
    with pytest.raises(errors.InvalidKey):
        desk.sessions.redeem(codes[1], is_secure=False)

    assert session is not None
    assert "red" == session.viewer.team


def test_a_code_ends_with_its_key(desk: Desk) -> None:
    key, _ = desk.access.create_key("red", [Scope.READ])
    code = desk.sessions.create_code(key)
    desk.access.revoke_key(key)

    with pytest.raises(errors.InvalidKey):
        desk.sessions.redeem(code, is_secure=False)


def test_a_session_ends_with_its_key(desk: Desk) -> None:
    cookie = desk.cookie(expires_in_seconds=DAY_SECONDS)

    desk.now[0] += DAY_SECONDS - 1
    assert desk.sessions.of(request(cookie=cookie)) is not None
    desk.now[0] += 1

    with pytest.raises(errors.InvalidKey):
        desk.sessions.of(request(cookie=cookie))


def test_a_key_begins_a_limited_number_of_sessions_in_a_minute(desk: Desk) -> None:
    limit = RateLimit(0, clock=lambda: desk.now[0], failures_per_minute=3)
    sessions = replace(desk.sessions, rate_limit=limit)
    (key, _), (other, _) = (desk.access.create_key("red", [Scope.READ]) for _ in range(2))
    for _ in range(3):
        sessions.begin(key, is_secure=False)
    with pytest.raises(errors.RateLimited):
        sessions.begin(key, is_secure=False)
    sessions.begin(other, is_secure=False)
    desk.now[0] += 60
    sessions.begin(key, is_secure=False)


def test_a_session_counts_as_use_of_its_key(desk: Desk) -> None:
    cookie = desk.cookie()
    desk.now[0] += 7
    desk.sessions.of(request(cookie=cookie))

    desk.access.flush_last_used()

    assert [1_700_000_007] == [key.last_used_at for key in desk.access.list_keys()]


@pytest.mark.parametrize("field_number", range(5))
def test_a_cookie_is_refused_whichever_field_was_changed(desk: Desk, field_number: int) -> None:
    name, _, value = desk.cookie().partition("=")
    other = desk.cookie().partition("=")[2].split(".")[0]
    fields = value.split(".")
    changes = {
        0: (other, "1", "²", "x", ""),
        1: ("0" * 16, fields[1].upper() + "x", ""),
        2: ("2", "²", ""),
        3: (str(int(fields[3]) + 1), "x", "²", ""),
        4: ("A" * 22, fields[4][:-1], fields[4] + "=", ""),
    }[field_number]

    for change in changes:
        forgery = ".".join([*fields[:field_number], change, *fields[field_number + 1 :]])
        assert desk.sessions.of(request(cookie=f"{name}={forgery}")) is None, change


def test_the_cookie_is_kept_from_scripts_and_from_other_sites_and_from_plain_http(desk: Desk) -> None:
    key, _ = desk.access.create_key("red", [Scope.READ])

    def attributes(*, is_secure: bool) -> list[str]:
        name, value = desk.sessions.begin(key, is_secure=is_secure)
        assert b"set-cookie" == name
        assert value.startswith(b"modelyard_session=")
        return [part.strip() for part in value.decode().split(";")[1:]]

    plain = ["Path=/", "Max-Age=2592000", "HttpOnly", "SameSite=Lax"]
    assert plain == attributes(is_secure=False)
    assert [*plain, "Secure"] == attributes(is_secure=True)


def test_a_cookie_of_a_server_with_an_https_address_is_for_https_and_for_this_host_only(desk: Desk) -> None:
    key, _ = desk.access.create_key("red", [Scope.READ])
    over_https = replace(desk.sessions, is_https=True)

    cookie, *attributes = over_https.begin(key, is_secure=False)[1].decode().split("; ")

    assert cookie.startswith("__Host-modelyard_session=")
    assert {"Path=/", "Secure"} < set(attributes)
    assert "Domain" not in "".join(attributes)
    assert over_https.of(request(cookie=cookie)) is not None
    # Another host of the domain can set a cookie with the plain name.
    assert over_https.of(request(cookie=cookie.removeprefix("__Host-"))) is None


# --- Who ends a session


def test_a_copy_of_a_cookie_is_refused_after_signing_out(desk: Desk) -> None:
    cookie = desk.cookie()
    session = desk.sessions.of(request(cookie=cookie))

    header = desk.sessions.end(session, is_secure=False)

    assert (b"set-cookie", b"modelyard_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax") == header
    with pytest.raises(errors.InvalidKey):
        desk.sessions.of(request(cookie=cookie))


def test_signing_out_of_one_browser_leaves_the_others(desk: Desk) -> None:
    key, _ = desk.access.create_key("red", [Scope.READ])
    here, there = (desk.sessions.begin(key, is_secure=False)[1].decode().partition(";")[0] for _ in range(2))

    desk.sessions.end(desk.sessions.of(request(cookie=here)), is_secure=False)

    assert desk.sessions.of(request(cookie=there)) is not None


def test_a_page_signs_out_on_every_node(tmp_path: Path) -> None:
    with open_app(tmp_path) as first, open_app(tmp_path) as second:
        body = b"key=" + first.key("red").encode()
        cookie = first.ask("/sign-in", None, method="POST", body=body).headers["set-cookie"].partition(";")[0]
        before = [node.ask("/", None, cookie=cookie).status for node in (first, second)]

        first.ask("/sign-out", None, method="POST", cookie=cookie)

        after = [node.ask("/", None, cookie=cookie) for node in (first, second)]
    assert [200, 200] == before
    assert [(303, "/sign-in?ended=1")] * 2 == [(reply.status, reply.headers["location"]) for reply in after]


def test_after_a_restore_a_new_key_gets_neither_the_id_nor_the_sessions_of_an_old_one(tmp_path: Path) -> None:
    """The old key was made after the backup, so the restored database does not have it."""
    with open_app(tmp_path) as yard:
        backup(sqlite_url(tmp_path), tmp_path / "backup")
        body = b"key=" + yard.key("red").encode()
        cookie = yard.ask("/sign-in", None, method="POST", body=body).headers["set-cookie"].partition(";")[0]
    restore(tmp_path / "backup", sqlite_url(tmp_path), force=True)
    with open_app(tmp_path) as yard:
        yard.key("blue")
        reply = yard.ask("/", None, cookie=cookie)

        assert [("blue", False)] == [(key.team, key.id == 1) for key in yard.access.list_keys()]
        assert (303, "/sign-in?ended=1") == (reply.status, reply.headers["location"])


def test_the_token_of_a_page_does_not_hold_the_signature_of_the_cookie(desk: Desk) -> None:
    cookie = desk.cookie()
    session = desk.sessions.of(request(cookie=cookie))

    assert session is not None
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", session.token)
    assert session.token not in cookie


def test_two_sessions_of_one_key_have_tokens_of_their_own(desk: Desk) -> None:
    key, _ = desk.access.create_key("red", [Scope.READ])
    first, second = (
        desk.sessions.of(request(cookie=desk.sessions.begin(key, is_secure=False)[1].decode().partition(";")[0]))
        for _ in range(2)
    )
    assert first is not None
    assert second is not None

    check_token(first, first.token)
    for token in (second.token, "", first.token[:-1], first.token + "A", "é", "\udcff"):
        with pytest.raises(errors.CrossSiteRequest):
            check_token(first, token)


# --- Who calls the API from a page


def test_a_page_calls_the_api_by_its_session_within_the_limit_of_its_team(desk: Desk) -> None:
    cookie = desk.cookie()
    session = desk.sessions.of(request(cookie=cookie))
    assert session is not None
    calls = [request(cookie=cookie, modelyard_token=session.token) for _ in range(3)]

    # Asking a request again for its caller counts nothing.
    viewers = [desk.sessions.caller(stranger, call) for call in (*calls[:2], *calls[:2])]

    assert 4 * ["red"] == [viewer.team for viewer in viewers]
    assert ["red", "red", None] == [call.viewer.team for call in calls]
    with pytest.raises(errors.RateLimited):
        desk.sessions.caller(stranger, calls[2])


def test_a_key_in_the_header_wins_over_a_session(desk: Desk) -> None:
    cookie = desk.cookie()
    session = desk.sessions.of(request(cookie=cookie))
    assert session is not None

    blue = Viewer("blue")
    call = request(cookie=cookie, modelyard_token=session.token, authorization="Bearer sk_blue")

    assert blue == desk.sessions.caller(lambda _: blue, call)


def test_a_cookie_without_a_token_is_nobody_to_the_api(desk: Desk) -> None:
    assert ANONYMOUS == desk.sessions.caller(stranger, request(cookie=desk.cookie()))


def test_the_api_refuses_a_session_that_another_site_uses(desk: Desk) -> None:
    cookie = desk.cookie()
    session = desk.sessions.of(request(cookie=cookie))
    assert session is not None

    for headers in ({"sec_fetch_site": "cross-site"}, {"origin": "https://evil.example"}, {"modelyard_token": "x"}):
        call = request(**{"cookie": cookie, "host": "yard.example", "modelyard_token": session.token, **headers})
        with pytest.raises(errors.CrossSiteRequest):
            desk.sessions.caller(stranger, call)


# --- Whether a request comes from our own page


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_the_word_of_the_browser_that_a_page_is_ours_is_enough(site: str) -> None:
    check_same_site(request(sec_fetch_site=site, origin="null", host="yard.example"))


@pytest.mark.parametrize("site", ["same-site", "cross-site", "", "same-origin, cross-site", "Same-Origin", "x"])
def test_any_other_word_of_the_browser_refuses_the_request(site: str) -> None:
    with pytest.raises(errors.CrossSiteRequest):
        check_same_site(request(sec_fetch_site=site, origin="https://yard.example", host="yard.example"))


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://yard.example", "yard.example"),
        ("http://Yard.example", "yard.EXAMPLE"),
        ("http://yard.example:8080", "yard.example:8080"),
        ("http://[::1]:8080", "[::1]:8080"),
    ],
)
def test_an_origin_that_is_our_host_is_ours(origin: str, host: str) -> None:
    check_same_site(request(origin=origin, host=host))


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "https://evil-yard.example",
        "https://evil.yard.example",
        "https://yard.example.evil.example",
        "https://yard.exampl",
        "https://yard.example:8080",
        "https://yard.example@evil.example",
        "https://evil.example/yard.example",
        "https://evil.example#yard.example",
        "yard.example",
        "null",
        "",
        "http://[",
        "http://[yard.example",
        "https://yärd.example",
    ],
)
def test_any_other_origin_is_foreign(origin: str) -> None:
    with pytest.raises(errors.CrossSiteRequest):
        check_same_site(request(origin=origin, host="yard.example"))


@pytest.mark.parametrize("origin", ["null", "", "about:blank", "file:///"])
def test_an_origin_without_a_host_is_not_that_of_a_request_without_a_host(origin: str) -> None:
    with pytest.raises(errors.CrossSiteRequest):
        check_same_site(request(origin=origin))


def test_a_program_that_is_no_browser_says_nothing_of_its_origin() -> None:
    check_same_site(request(host="yard.example"))


def test_an_origin_that_cannot_be_read_is_403_on_a_page(tmp_path: Path) -> None:
    with open_app(tmp_path) as yard:
        assert 403 == yard.ask("/sign-in", None, method="POST", body=b"key=x", origin="http://[").status


# --- Cookies


def test_cookies_are_read_from_repeated_headers_and_the_first_of_a_name_counts() -> None:
    pairs = [(b"cookie", b"a=1; b=2"), (b"cookie", b"c=3; a=4")]
    joined = open_request({"headers": pairs}, "id", 0)  # type: ignore[arg-type, typeddict-item] # headers are all that is read

    assert {"a": "1", "b": "2", "c": "3"} == cookies(joined)


def test_of_very_many_cookies_the_beginning_is_read() -> None:
    assert {"a", COOKIE[:4]} >= cookies(request(cookie="a=" + "x" * 8192 + f"; {COOKIE}=y")).keys()
