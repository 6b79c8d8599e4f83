"""Who may do what: every route and method with every scope, by key and by session; and whose models are whose.

The routes come from the application: one that has no row here fails. That a session cannot be used by another site is
in test_sessions.py and test_pages.py.
"""

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlencode

import pytest

from modelyard.domain import COVERS, Scope
from modelyard.web.comfyui.channel import OTHER_LISTS
from modelyard.web.static_files import static_names
from tests.app_fixture import App, Reply, a_model, a_private, open_app

PUBLIC, OWN, OTHERS, NONE = 1, 1_000_000_001, 1_000_000_002, 1_000_000_999
UPLOAD = "0123456789abcdef" * 2
TUS = {"tus_resumable": "1.0.0"}
PATCHED = {**TUS, "content_type": "application/offset+octet-stream", "upload_offset": "0"}
BODY = b'{"model_name":"m","file_extension":"pt"}'
NO_SCOPE = frozenset[Scope]()
READ, WRITE, ADMIN, DOWNLOAD = (frozenset({scope}) for scope in Scope)
CALLERS = (READ, WRITE, READ | WRITE, ADMIN, DOWNLOAD)
caller = pytest.mark.parametrize("scopes", CALLERS, ids=lambda scopes: "+".join(sorted(scopes)))


@dataclass(frozen=True)
class Row:
    """A request that changes no model, the scopes it needs, and its status for whoever has them."""

    method: str
    target: str
    needs: frozenset[Scope]
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def __str__(self) -> str:
        return f"{self.method} {self.target}"


# Without the extra ``mcp`` the route says so; with it, this is no request of the protocol.
MCP = 404 if importlib.util.find_spec("mcp") is None else 406
API = [
    Row("POST", "/mcp", READ, MCP, b"{}", {"content-type": "application/json"}),
    Row("GET", "/v3/model", READ, 200),
    Row("HEAD", "/v3/model", READ, 200),
    Row("POST", "/v3/model", WRITE, 400, b'{"name":"nobody","file_extension":"pt"}'),
    Row("PATCH", f"/v3/model?id={NONE}", WRITE, 404, b'{"name":"x"}'),
    Row("DELETE", f"/v3/model?id={NONE}", WRITE, 404),
    Row("GET", f"/v3/model/details?id={OWN}", READ, 200),
    Row("HEAD", f"/v3/model/details?id={OWN}", READ, 200),
    Row("GET", "/v3/model/changes", READ, 200),
    Row("HEAD", "/v3/model/changes", READ, 200),
    Row("GET", "/v3/model/facets", READ, 200),
    Row("HEAD", "/v3/model/facets", READ, 200),
    Row("GET", "/v3/model/fetches", WRITE, 200),
    Row("HEAD", "/v3/model/fetches", WRITE, 200),
    Row("DELETE", "/v3/model/fetches?id=" + "0" * 32, WRITE, 404),
    Row("GET", "/v3/model/sends", WRITE, 200),
    Row("HEAD", "/v3/model/sends", WRITE, 200),
    Row("POST", "/v3/model/sends", WRITE, 400, b'{"target":"nowhere","model_ids":[1]}'),
    Row("POST", "/v3/model/by-hash", READ, 200, b'{"hashes":["1A805277C8"]}'),
    Row("POST", "/v3/model/resolve", READ, 200, b'{"models":[{"name":"a.pt"}]}'),
    Row("GET", "/v3/metadata", READ, 200),
    Row("HEAD", "/v3/metadata", READ, 200),
    Row("GET", "/v3/user", READ, 200),
    Row("HEAD", "/v3/user", READ, 200),
    Row("POST", "/v3/model/uploader", WRITE, 200, BODY),
    Row("PUT", f"/v3/model/cover?id={NONE}", WRITE, 404, b"x"),
    Row("DELETE", f"/v3/model/cover?id={NONE}", WRITE, 404),
    Row("POST", "/v3/uploads", WRITE, 201, b"", {**TUS, "upload_length": "8"}),
    Row("HEAD", f"/v3/uploads/{UPLOAD}", WRITE, 404, b"", TUS),
    Row("PATCH", f"/v3/uploads/{UPLOAD}", WRITE, 404, b"x", PATCHED),
    Row("DELETE", f"/v3/uploads/{UPLOAD}", WRITE, 404, b"", TUS),
    # One handler answers both paths of tus, because a POST may stand for another method.
    Row("POST", f"/v3/uploads/{UPLOAD}", WRITE, 405, b"", TUS),
    *(Row(method, "/v3/uploads", WRITE, 405, b"", TUS) for method in ("HEAD", "PATCH", "DELETE")),
    *(
        Row("POST", f"/v3/uploads/{UPLOAD}", WRITE, 404, b"", {**PATCHED, "x_http_method_override": method})
        for method in ("HEAD", "PATCH", "DELETE")
    ),
]
WEBHOOK = f"/v3/webhooks/{UPLOAD}"
API += [
    *(Row(method, "/v3/audit", ADMIN, 200) for method in ("GET", "HEAD")),
    *(Row(method, "/v3/webhooks", ADMIN, 200) for method in ("GET", "HEAD")),
    Row("POST", "/v3/webhooks", ADMIN, 400, b'{"url":"ftp://example.org"}'),
    *(Row(method, f"{WEBHOOK}{rest}", ADMIN, 404) for method in ("GET", "HEAD") for rest in ("", "/deliveries")),
    Row("DELETE", WEBHOOK, ADMIN, 404),
    *(Row("POST", f"{WEBHOOK}/{verb}", ADMIN, 404) for verb in ("test", "rotate", "enable", "deliveries/x/replay")),
]
# The shape of the Hugging Face Hub.
REPOSITORY = f"/hf/api/models/red/{OWN}"
HUB = [
    *(
        Row(method, target, READ, 200)
        for method in ("GET", "HEAD")
        for target in (
            "/hf/api/whoami-v2",
            "/hf/api/models",
            REPOSITORY,
            *(f"{REPOSITORY}/{rest}" for rest in ("revision/main", "tree/main", "refs", "commits/main", "auth-check")),
        )
    ),
    *(
        # The card describes the model. That a key for downloads gets the other files is in hub/test_downloads.py.
        Row(method, f"/hf/red/{OWN}/{rest}/main/README.md", READ, 200)
        for method in ("GET", "HEAD")
        for rest in ("resolve", "raw")
    ),
    *(Row(method, f"{REPOSITORY}/tree/main/unet", READ, 404) for method in ("GET", "HEAD")),
    Row("POST", f"{REPOSITORY}/paths-info/main", READ, 200, b"paths=README.md"),
]
UNKNOWN = f"/hf/api/models/red/{NONE}"
HUB += [
    Row("POST", "/hf/api/repos/create", WRITE, 400, b'{"name":"-"}'),
    Row("DELETE", "/hf/api/repos/delete", WRITE, 404, b'{"name":"%d"}' % NONE),
    Row("POST", "/hf/api/validate-yaml", WRITE, 200, b"{}"),
    Row("POST", f"{UNKNOWN}/preupload/main", WRITE, 404, b'{"files":[]}'),
    Row("POST", f"{UNKNOWN}/commit/main", WRITE, 404, b"{}"),
    Row("GET", f"{UNKNOWN}/xet-write-token/main", WRITE, 404),
    Row("HEAD", f"{UNKNOWN}/xet-write-token/main", WRITE, 404),
    Row("POST", f"/hf/red/{NONE}.git/info/lfs/objects/batch", WRITE, 404, b'{"objects":[]}'),
    Row("POST", f"/hf/red/{NONE}.git/info/lfs/verify", WRITE, 404, b'{"oid":"","size":0}'),
]
# The shape of Civitai.
CIVITAI = [
    *(
        Row(method, f"/api/v1/{path}", READ, 200)
        for method in ("GET", "HEAD")
        for path in ("models", f"models/{OWN}", f"model-versions/{OWN}", "tags", "creators", "images", "enums", "me")
    ),
    *(Row(method, f"/api/v1/model-versions/by-hash/{'0' * 64}", READ, 404) for method in ("GET", "HEAD")),
    *(Row(method, f"/api/download/models/{NONE}", DOWNLOAD, 404) for method in ("GET", "HEAD")),
    *(Row("POST", f"/api/v1/model-versions/by-hash{rest}", READ, 200, b"[]") for rest in ("", "/ids")),
]
# These answer errors in the form of their clients.
OTHER_FORMS = [*HUB, *CIVITAI]
API += OTHER_FORMS
LISTS = ("model-list.json", *OTHER_LISTS)
API += [
    Row(method, f"/comfyui-manager/{name}", READ, 200 if name == LISTS[0] else 307)
    for method in ("GET", "HEAD")
    for name in LISTS
]
# The link or the key in the path is the permission, or there is nothing to protect.
OPEN = [
    *(Row(method, f"/comfyui-manager/sk_x/{name}", NO_SCOPE, 401) for method in ("GET", "HEAD") for name in LISTS),
    Row("PUT", f"/v3/model/uploader/{UPLOAD}?for=1&key=1&expires=1&signature=x", NO_SCOPE, 403, b"x"),
    Row("GET", f"/files/{'0' * 64}/a.pt?for=1&key=1&expires=1&signature=x", NO_SCOPE, 403),
    Row("HEAD", f"/files/{'0' * 64}/a.pt?for=1&key=1&expires=1&signature=x", NO_SCOPE, 403),
    Row("PUT", f"/hf/lfs/{UPLOAD}?for=1&key=1&expires=1&signature=x", NO_SCOPE, 403, b"x"),
    Row("POST", f"/hf/lfs/{UPLOAD}/complete?for=1&oid=1&parts=1&key=1&expires=1&signature=x", NO_SCOPE, 403, b"{}"),
    *(
        Row(method, f"/hf/cas/1/{path}", NO_SCOPE, 401, b"x")
        for method, path in (
            ("GET", f"v1/chunks/default/{'a' * 64}"),
            ("HEAD", f"v1/chunks/default/{'a' * 64}"),
            ("POST", f"v1/xorb-grants/default/{'a' * 64}"),
            ("POST", f"v1/xorbs/default/{'a' * 64}"),
            ("POST", "v1/shards"),
            ("POST", "v2/shards"),
        )
    ),
    Row("GET", f"{COVERS}{'a' * 32}/640.webp", NO_SCOPE, 404),
    Row("HEAD", f"{COVERS}{'a' * 32}/640.webp", NO_SCOPE, 404),
    *(
        Row(method, path, NO_SCOPE, 200)
        for method in ("GET", "HEAD")
        for path in ("/healthz", "/metrics", "/openapi.json", "/docs", "/sign-in", f"/static/{static_names()[0]}")
    ),
    # Ready is what a server is, and this application was not started.
    Row("GET", "/readyz", NO_SCOPE, 503),
    Row("HEAD", "/readyz", NO_SCOPE, 503),
    *(Row(method, path, NO_SCOPE, 303) for method in ("GET", "HEAD") for path in ("/team/keys", "/team/deleted")),
    Row("POST", "/sign-in", NO_SCOPE, 401, b"key=x"),
    # Without a provider of identities there is no such page.
    *(Row(method, f"/sign-in/oidc{rest}", NO_SCOPE, 404) for method in ("GET", "HEAD") for rest in ("", "/callback")),
    *(Row(method, "/sign-out/oidc", NO_SCOPE, 404) for method in ("GET", "HEAD")),
    Row("POST", "/sign-out", NO_SCOPE, 303),
    Row("POST", "/preferences", NO_SCOPE, 303),
]
PAGES = [
    *(
        Row(method, path, READ, 200)
        for method in ("GET", "HEAD")
        for path in ("/", "/parts/results", "/parts/filters", "/selection", "/resolve", f"/models/{OWN}", "/status")
    ),
    *(
        Row(method, path, needs, 200)
        for method in ("GET", "HEAD")
        for path, needs in ((f"/models/{OWN}/edit", READ | WRITE), ("/upload", WRITE))
    ),
    Row("POST", f"/models/{NONE}/edit", WRITE, 404),
    Row("POST", f"/models/{NONE}/delete", WRITE, 404),
    Row("GET", "/deleted", WRITE, 200),
    Row("HEAD", "/deleted", WRITE, 200),
    Row("POST", f"/deleted/{NONE}/restore", WRITE, 404),
    Row("POST", f"/deleted/{NONE}/purge", WRITE, 404),
    *(Row(method, path, WRITE, 200) for method in ("GET", "HEAD") for path in ("/fetches", "/parts/fetches")),
    Row("POST", "/fetches", WRITE, 400),
    Row("POST", f"/fetches/{UPLOAD}/cancel", WRITE, 404),
    Row("GET", "/team", READ, 200),
    Row("HEAD", "/team", READ, 200),
    Row("POST", "/selection", READ | WRITE, 400),
    Row("POST", "/resolve", READ, 400),
    Row("GET", "/sends", WRITE, 200),
    Row("HEAD", "/sends", WRITE, 200),
    Row("POST", "/sends", WRITE, 400),
    Row("GET", "/parts/sizes?bytes=1", WRITE, 200),
    Row("HEAD", "/parts/sizes?bytes=1", WRITE, 200),
    Row("GET", f"/uploaded/{UPLOAD}", WRITE, 404),
    Row("HEAD", f"/uploaded/{UPLOAD}", WRITE, 404),
    Row("GET", "/covers", ADMIN, 200),
    Row("HEAD", "/covers", ADMIN, 200),
    Row("POST", "/covers", ADMIN, 303),
    Row("GET", "/keys", ADMIN, 200),
    Row("HEAD", "/keys", ADMIN, 200),
    Row("POST", "/keys", ADMIN, 400),
    Row("POST", "/keys/revoke", ADMIN, 404),
    Row("POST", "/keys/rotate", ADMIN, 404),
    *(Row(method, "/audit", ADMIN, 200) for method in ("GET", "HEAD")),
    *(Row(method, "/webhooks", ADMIN, 200) for method in ("GET", "HEAD")),
    Row("POST", "/webhooks", ADMIN, 400),
    *(Row(method, f"/webhooks/{UPLOAD}", ADMIN, 404) for method in ("GET", "HEAD", "POST")),
]
# Which methods a path has is the same for everybody.
OPTIONS = [Row("OPTIONS", path, NO_SCOPE, 204) for path in sorted({row.path for row in (*API, *OPEN, *PAGES)})]


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """A public model, and one of each of two teams."""
    with open_app(tmp_path_factory.mktemp("scopes")) as opened:
        opened.put(
            a_model(PUBLIC),
            a_private(OWN, "red", sd_name="own.pt"),
            a_private(OTHERS, "blue", sd_name="others.pt", tags=("hidden",)),
        )
        yield opened


@pytest.fixture(scope="module")
def open_yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """One that shows its public models to strangers."""
    with open_app(tmp_path_factory.mktemp("open"), anonymous_access="public") as opened:
        yield opened


@dataclass(frozen=True)
class Session:
    """A browser that is signed in."""

    yard: App
    cookie: str
    token: str

    def ask(self, row: Row) -> Reply:
        """Ask as a page does: its form brings the token."""
        body = urlencode({"token": self.token}).encode() + b"&" + row.body if row.method == "POST" else row.body
        return self.yard.ask(row.target, None, method=row.method, body=body, cookie=self.cookie, **row.headers)

    def call(self, row: Row) -> Reply:
        """Call the API as a page's script does."""
        headers = {"cookie": self.cookie, "modelyard_token": self.token, **row.headers}
        return self.yard.ask(row.target, None, method=row.method, body=row.body, **headers)


Sessions = dict[frozenset[Scope], Session]


def sign_in(yard: App, team: str, scopes: frozenset[Scope]) -> Session:
    form = urlencode({"key": yard.key(team, *sorted(scopes))}).encode()
    cookie = yard.ask("/sign-in", None, method="POST", body=form).headers["set-cookie"].partition(";")[0]
    token = re.search(r'data-token="([^"]+)"', yard.ask("/docs", None, cookie=cookie).body.decode())
    assert token is not None
    return Session(yard, cookie, token[1])


@pytest.fixture(scope="module")
def sessions(yard: App) -> Sessions:
    return {scopes: sign_in(yard, "red", scopes) for scopes in CALLERS}


def status_for(row: Row, scopes: frozenset[Scope]) -> int:
    """The status for whoever has these scopes."""
    return row.status if is_allowed(row, scopes) else 403


def is_allowed(row: Row, scopes: frozenset[Scope]) -> bool:
    """Whether scopes allow a request: an admin's key carries all, and who may read may download."""
    return scopes == ADMIN or row.needs <= (scopes | DOWNLOAD if READ <= scopes else scopes)


@caller
@pytest.mark.parametrize("row", [*API, *OPEN], ids=str)
def test_a_key_does_what_its_scope_allows(yard: App, row: Row, scopes: frozenset[Scope]) -> None:
    authorization = f"Bearer {yard.key('red', *sorted(scopes))}"

    reply = yard.ask(row.target, None, method=row.method, body=row.body, authorization=authorization, **row.headers)

    assert status_for(row, scopes) == reply.status
    if row.needs and reply.status == 403 and row.method != "HEAD" and row not in OTHER_FORMS:
        assert ("API_NOT_ALLOWED", {"scope": "".join(row.needs)}) == (reply.json["reason"], reply.json["metadata"])


@caller
@pytest.mark.parametrize("row", API, ids=str)
def test_a_session_calls_the_api_as_its_scope_allows(sessions: Sessions, row: Row, scopes: frozenset[Scope]) -> None:
    assert status_for(row, scopes) == sessions[scopes].call(row).status


@caller
@pytest.mark.parametrize("row", PAGES, ids=str)
def test_a_session_sees_the_pages_that_its_scope_allows(sessions: Sessions, row: Row, scopes: frozenset[Scope]) -> None:
    reply = sessions[scopes].ask(row)

    assert status_for(row, scopes) == reply.status
    if row.method != "HEAD":
        # Undoing nothing is 403 too.
        assert is_allowed(row, scopes) == (b"this key lacks the scope" not in reply.body)


@pytest.mark.parametrize("row", API, ids=str)
def test_without_a_key_the_api_answers_401(yard: App, row: Row) -> None:
    reply = yard.ask(row.target, None, method=row.method, body=row.body, **row.headers)

    assert 401 == reply.status


@pytest.mark.parametrize("row", PAGES, ids=str)
def test_without_a_session_a_page_leads_to_the_sign_in(yard: App, row: Row) -> None:
    reply = yard.ask(row.target, None, method=row.method, body=row.body)

    assert (303, "/sign-in") == (reply.status, reply.headers["location"].partition("?")[0])


@pytest.mark.parametrize("row", [*OPEN, *OPTIONS], ids=str)
def test_what_is_open_answers_a_stranger_too(yard: App, row: Row) -> None:
    assert row.status == yard.ask(row.target, None, method=row.method, body=row.body).status


@pytest.mark.parametrize("row", [row for row in (*API, *PAGES) if row.needs not in (READ, DOWNLOAD)], ids=str)
def test_where_strangers_may_read_they_may_do_nothing_else(open_yard: App, row: Row) -> None:
    reply = open_yard.ask(row.target, None, method=row.method, body=row.body, **row.headers)

    assert (401 if row in API else 303) == reply.status
    if row in PAGES:
        assert reply.headers["location"].startswith("/sign-in")


def routes(yard: App) -> list[tuple[str, re.Pattern[str]]]:
    """Every method of every route: HEAD for each GET, and OPTIONS."""
    return [
        (method, re.compile(re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(route.path))))
        for route in vars(yard.app)["_app"].table
        for method in {*route.methods.split(), "OPTIONS", *(["HEAD"] if "GET" in route.methods.split() else [])}
    ]


def test_every_route_and_method_has_a_row_here_and_every_row_a_route(yard: App) -> None:
    def is_of(row: Row, method: str, path: re.Pattern[str]) -> bool:
        return row.method == method and path.fullmatch(row.path) is not None

    rows = [*API, *OPEN, *PAGES, *OPTIONS]
    pairs = routes(yard)

    assert [] == [pair for pair in pairs if not any(is_of(row, *pair) for row in rows)]
    assert [] == [str(row) for row in rows if not any(is_of(row, *pair) for pair in pairs)]


# --- Whose is what

BY_ID = {
    "/v3/model?id={}": ("PATCH", "DELETE"),
    "/v3/model/details?id={}": ("GET", "HEAD"),
    "/v3/model/cover?id={}": ("PUT", "DELETE"),
}
PAGES_BY_ID = {"/models/{}": ("GET",), "/models/{}/edit": ("GET", "POST"), "/models/{}/delete": ("POST",)}


@pytest.mark.parametrize(
    ("target", "method"), [(target, method) for target, methods in BY_ID.items() for method in methods]
)
def test_another_teams_private_model_is_answered_as_one_that_is_not_there(yard: App, target: str, method: str) -> None:
    body = b'{"name":"mine"}' if method == "PATCH" else b"x" if method == "PUT" else b""
    key = f"Bearer {yard.key('red', Scope.ADMIN)}"
    replies = {
        id_: yard.ask(target.format(id_), None, method=method, body=body, authorization=key) for id_ in (OTHERS, NONE)
    }

    assert {404} == {reply.status for reply in replies.values()}
    others, none = (replies[id_].body.replace(str(id_).encode(), b"ID") for id_ in (OTHERS, NONE))
    assert none == others


@pytest.mark.parametrize(
    ("target", "method"), [(target, method) for target, methods in PAGES_BY_ID.items() for method in methods]
)
def test_the_page_of_another_teams_private_model_is_that_of_one_that_is_not_there(
    sessions: Sessions, target: str, method: str
) -> None:
    replies = {id_: sessions[ADMIN].ask(Row(method, target.format(id_), WRITE, 404)) for id_ in (OTHERS, NONE)}

    assert {404} == {reply.status for reply in replies.values()}
    others, none = (replies[id_].body.replace(str(id_).encode(), b"ID") for id_ in (OTHERS, NONE))
    assert none == others


@pytest.mark.parametrize(
    ("target", "method"),
    [(target, method) for target, methods in BY_ID.items() for method in methods if method not in ("GET", "HEAD")],
)
def test_a_public_model_is_changed_by_its_team_only(yard: App, target: str, method: str) -> None:
    body = b'{"name":"mine"}' if method == "PATCH" else b"x" if method == "PUT" else b""
    for team in ("red", "blue"):
        key = f"Bearer {yard.key(team, Scope.ADMIN)}"
        assert 404 == yard.ask(target.format(PUBLIC), None, method=method, body=body, authorization=key).status


@pytest.mark.parametrize(("path", "status"), [("edit", 404), ("delete", 405)])
def test_the_form_that_changes_a_public_model_is_not_shown_to_others(
    sessions: Sessions, path: str, status: int
) -> None:
    row = Row("GET", f"/models/{PUBLIC}/{path}", WRITE, status)

    assert [status, status] == [sessions[scopes].ask(row).status for scopes in (READ | WRITE, ADMIN)]


def test_scopes_of_a_key_are_in_alphabetical_order(yard: App) -> None:
    key = f"Bearer {yard.key('red', *Scope)}"

    assert sorted(Scope) == yard.ask("/v3/user", None, authorization=key).json["scopes"]


@pytest.mark.parametrize(
    "question",
    [
        f"filter.model_version_id={OTHERS}",
        "filter.query=others",
        "filter.tags=hidden",
        "filter.visibility=private",
        "pagination.limit=100",
    ],
)
def test_no_listing_shows_another_teams_private_model(yard: App, sessions: Sessions, question: str) -> None:
    for target in (f"/v3/model?{question}", f"/v3/model/facets?{question}"):
        reply = yard.ask(target, None, authorization=f"Bearer {yard.key('red', Scope.ADMIN)}")
        assert 200 == reply.status
        assert b"others.pt" not in reply.body
        assert b"hidden" not in reply.body
    for target in (f"/?{question}", f"/parts/results?{question}"):
        reply = sessions[ADMIN].ask(Row("GET", target, READ, 200))
        assert 200 == reply.status
        assert f"/models/{OTHERS}".encode() not in reply.body
