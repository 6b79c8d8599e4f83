"""Lists of what is let through, and limits, with every entry spelled out: CORS, redirects, forms, rates, undo.

Not covered here: scopes and teams (test_scopes.py), sessions (test_sessions.py), links (test_signing.py), where covers
come from (test_cover_fetching.py).
"""

from pathlib import Path
from urllib.parse import urlencode

import pytest

from modelyard.domain import Scope
from tests.app_fixture import App, open_app
from tests.web.pages.test_pages import Browser, signed_in

ELSEWHERE = "https://console.example"


# --- What pages of other origins may read and send


def test_a_preflight_allows_these_headers_for_a_day_and_no_session(yard: App) -> None:
    headers = yard.ask("/v3/model", None, method="OPTIONS", origin=ELSEWHERE).headers

    assert {
        "authorization",
        "content-type",
        "if-none-match",
        "modelyard-min-revision",
        "prefer",
        "range",
        "tus-resumable",
        "upload-checksum",
        "upload-concat",
        "upload-length",
        "upload-metadata",
        "upload-offset",
        "x-http-method-override",
        "x-request-id",
    } == set(headers["access-control-allow-headers"].split(", "))
    assert "86400" == headers["access-control-max-age"]
    assert "GET, POST, PATCH, DELETE, HEAD, OPTIONS" == headers["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in headers


def test_a_page_of_another_origin_may_read_these_headers(yard: App) -> None:
    headers = yard.ask("/v3/model", origin=ELSEWHERE).headers

    assert {
        "ETag",
        "Location",
        "Modelyard-Filter-Suggestion",
        "Modelyard-Ignored-Parameters",
        "Modelyard-Name",
        "Modelyard-Revision",
        "Modelyard-Suggestion",
        "Modelyard-Total",
        "Preference-Applied",
        "Retry-After",
        "Tus-Checksum-Algorithm",
        "Tus-Extension",
        "Tus-Max-Size",
        "Tus-Resumable",
        "Tus-Version",
        "Upload-Concat",
        "Upload-Expires",
        "Upload-Length",
        "Upload-Metadata",
        "Upload-Offset",
        "X-Request-Id",
    } == set(headers["access-control-expose-headers"].split(", "))
    assert "access-control-allow-credentials" not in headers
    assert "access-control-expose-headers" not in yard.ask("/v3/model").headers


@pytest.mark.parametrize(
    ("origin", "is_ours"),
    [
        ("https://a.example", True),
        ("https://b.example", True),
        ("http://a.example", False),
        ("https://a.example:8443", False),
        ("https://a.example.evil.example", False),
        ("https://evil-a.example", False),
        ("https://a.example, https://b.example", False),
        ("null", False),
        ("", False),
        ("*", False),
    ],
)
def test_only_the_named_origins_may_read_answers(tmp_path: Path, origin: str, is_ours: bool) -> None:
    with open_app(tmp_path, cors_allow_origins=" https://a.example,,https://b.example ") as yard:
        for method in ("GET", "OPTIONS"):
            headers = yard.ask("/healthz", None, method=method, origin=origin).headers
            assert (origin if is_ours else None) == headers.get("access-control-allow-origin")
            assert "Origin" in headers["vary"]


@pytest.mark.parametrize(("path", "status"), [("/sign-in", 200), ("/docs", 200), ("/?pagination.limit=x", 400)])
def test_a_page_allows_itself_these_sources_and_nobody_to_frame_it(tmp_path: Path, path: str, status: int) -> None:
    with open_app(tmp_path, anonymous_access="public") as yard:
        reply = yard.ask(path, None)

    assert status == reply.status
    assert {
        "default-src 'none'",
        "style-src 'self'",
        "script-src 'self'",
        "connect-src 'self'",
        "img-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    } == set(reply.headers["content-security-policy"].split("; "))
    assert ("same-origin", "nosniff", "same-origin") == tuple(
        reply.headers[name] for name in ("referrer-policy", "x-content-type-options", "cross-origin-opener-policy")
    )
    assert "text/html; charset=utf-8" == reply.headers["content-type"]


def test_a_page_is_kept_by_no_cache_between(red: Browser) -> None:
    page, key = red.ask("/"), red.post("/keys", fields={"scope": "read"})

    assert ("private, no-cache", "no-store") == (page.headers["cache-control"], key.headers["cache-control"])
    assert "Cookie" in page.headers["vary"]


# --- Where a form may lead


@pytest.mark.parametrize("to", ["/", "/models/1", "/?filter.query=a%20b", "/a/../b", "/" + "a" * 2000])
def test_a_form_leads_on_to_an_address_of_ours(yard: App, to: str) -> None:
    assert to == yard.ask("/preferences", None, method="POST", body=urlencode({"to": to}).encode()).headers["location"]


@pytest.mark.parametrize(
    "to",
    [
        "",
        "models/1",
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example/",
        "\\\\evil.example",
        "/\t/evil.example",
        "/ok\r\nSet-Cookie: a=b",
        "/ü",
        "/a\\b",
        "javascript:alert(1)",
        "/" + "a" * 2001,
    ],
)
def test_a_form_leads_nowhere_else(yard: App, to: str) -> None:
    reply = yard.ask("/preferences", None, method="POST", body=urlencode({"to": to}).encode())

    assert (303, "/") == (reply.status, reply.headers["location"])


@pytest.mark.parametrize(("choice", "kept"), [("shown", "shown"), ("blurred", "blurred"), ("x; Path=/a", "blurred")])
def test_a_choice_is_one_of_two(yard: App, choice: str, kept: str) -> None:
    reply = yard.ask("/preferences", None, method="POST", body=urlencode({"nsfw": choice}).encode())

    assert f"modelyard_nsfw={kept}; Path=/; Max-Age=31622400; HttpOnly; SameSite=Lax" == reply.headers["set-cookie"]


@pytest.mark.parametrize("path", ["/sign-in", "/sign-out", "/preferences"])
@pytest.mark.parametrize("headers", [{"sec_fetch_site": "cross-site"}, {"origin": "https://evil.example"}])
def test_another_site_signs_nobody_in_or_out(yard: App, path: str, headers: dict[str, str]) -> None:
    reply = yard.ask(path, None, method="POST", body=urlencode({"key": yard.key()}).encode(), **headers)

    assert 403 == reply.status
    assert "set-cookie" not in reply.headers


# --- What a form may bring


def test_a_form_over_its_limits_is_refused(yard: App) -> None:
    def status(body: bytes, **headers: str) -> int:
        return yard.ask("/sign-in", None, method="POST", body=body, **headers).status

    assert 413 == status(b"key=" + b"x" * 64 * 1024)
    assert 413 == status(b"key=x", content_length=str(64 * 1024 + 1))
    assert 400 == status(b"&".join([b"a=1"] * 201))
    assert 400 == status(b"key=\xff")
    assert 401 == status(b"&".join([b"a=1"] * 200))


# --- How often


def test_pages_count_for_the_limit_of_the_team_and_of_the_address(tmp_path: Path) -> None:
    with open_app(tmp_path, rate_limit_per_minute=3) as yard:
        body = urlencode({"key": yard.key()}).encode()
        cookie = yard.ask("/sign-in", None, method="POST", body=body).headers["set-cookie"].partition(";")[0]
        team = [yard.ask("/", None, cookie=cookie).status for _ in range(4)]
        api = yard.ask("/v3/model").status
        address = [yard.ask("/", None).status for _ in range(4)]
        # Who is signed out by others at the address can sign in all the same.
        sign_in = yard.ask("/sign-in", None).status

    assert [200, 200, 200, 429] == team
    assert 429 == api
    assert [303, 303, 303, 429] == address
    assert 200 == sign_in


def test_trying_keys_on_the_page_is_limited(tmp_path: Path) -> None:
    with open_app(tmp_path, failures_per_minute=2) as yard:
        statuses = [yard.ask("/sign-in", None, method="POST", body=b"key=sk_x").status for _ in range(3)]

    assert [401, 401, 429] == statuses


# --- Answers of the operator, and of all routes


@pytest.mark.parametrize(
    ("access", "statuses"),
    [("everyone", [200, 200, 200, 200]), ("key", [401, 401, 200, 200]), ("admin", [401, 401, 403, 200])],
)
def test_metrics_are_for_those_that_the_setting_names(tmp_path: Path, access: str, statuses: list[int]) -> None:
    with open_app(tmp_path, metrics_access=access, anonymous_access="public") as yard:
        keys = [None, "sk_unknown", yard.key("red", Scope.WRITE), yard.key("red", Scope.ADMIN)]
        headers = [{"authorization": f"Bearer {key}"} if key else {} for key in keys]

        replies = [yard.ask("/metrics", None, **header) for header in headers]

    assert statuses == [reply.status for reply in replies]


@pytest.mark.parametrize("path", ["/v3/model", "/v3/user", "/openapi.json", "/healthz", "/", "/nowhere"])
def test_no_browser_guesses_the_type_of_an_answer(yard: App, path: str) -> None:
    for method in ("GET", "HEAD", "OPTIONS", "POST"):
        for team in ("red", None):
            assert "nosniff" == yard.ask(path, team, method=method).headers["x-content-type-options"]


# --- Keys, on their page


@pytest.fixture
def red(yard: App) -> Browser:
    return signed_in(yard)


@pytest.mark.parametrize(
    ("days", "seconds"), [("", None), ("30", 30 * 86_400), ("90", 90 * 86_400), ("365", 365 * 86_400)]
)
def test_a_key_lives_as_long_as_was_chosen(red: Browser, days: str, seconds: int | None) -> None:
    assert 200 == red.post("/keys", fields={"scope": "write", "days": days}).status

    key = red.yard.access.list_keys("red")[-1]
    assert frozenset({Scope.WRITE}) == key.scopes
    assert (None if seconds is None else key.created_at + seconds) == key.expires_at


@pytest.mark.parametrize(
    "fields", [{}, {"scope": "all"}, {"scope": "read", "days": "0"}, {"scope": "read", "days": "-1"}]
)
def test_a_key_of_no_scope_or_another_life_is_not_made(red: Browser, fields: dict[str, str]) -> None:
    before = red.yard.access.list_keys()

    assert 400 == red.post("/keys", fields=fields).status
    assert before == red.yard.access.list_keys()
