"""The pages over HTTP: their security headers, sessions, permissions and contents.

Not covered here: their behaviour in a browser (tests/browser), the API (the other test files).
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from modelyard.domain import MODEL_TYPES, Hashes, Licence, Scope, Source
from modelyard.facts import Entry, Facts, Image, Layer, ModelFile, Record
from modelyard.jobs import tasks
from modelyard.store import jobs
from modelyard.store import uploads as upload_rows
from modelyard.web.pages import api_docs
from modelyard.web.pages.templates import format_count
from tests import requirements
from tests.app_fixture import App, Reply, a_model, a_private, listening, open_app
from tests.transfers import lora_bytes, upload

EVERYTHING = (Scope.READ, Scope.WRITE, Scope.ADMIN)
OWN, OTHERS, PUBLIC = 1_000_000_001, 1_000_000_002, 1
OWN_PAGE = f"/models/{OWN}"
PAGES = ("/", f"/models/{PUBLIC}", OWN_PAGE, f"{OWN_PAGE}/edit", "/upload", "/keys", "/status", "/docs", "/sign-in")


@dataclass
class Browser:
    """A cookie, the token of its pages, and who it is signed in as."""

    yard: App
    cookie: str
    token: str = ""

    def ask(self, target: str, *, method: str = "GET", body: bytes = b"", **headers: str) -> Reply:
        return self.yard.ask(target, None, method=method, body=body, cookie=self.cookie, **headers)

    def post(
        self, target: str, token: str | None = None, /, *, fields: dict[str, str] | None = None, **headers: str
    ) -> Reply:
        form = {"token": self.token if token is None else token, **(fields or {})}
        return self.ask(target, method="POST", body=urlencode(form).encode(), **headers)


def signed_in(yard: App, team: str = "red", *scopes: Scope) -> Browser:
    body = urlencode({"key": yard.key(team, *(scopes or EVERYTHING))}).encode()
    browser = Browser(yard, yard.ask("/sign-in", None, method="POST", body=body).headers["set-cookie"].split(";")[0])
    match = re.search(r'name="token" value="([^"]+)"', browser.ask("/keys").body.decode())
    browser.token = match[1] if match else ""
    return browser


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[App]:
    """A public model, and one of each of two teams."""
    with open_app(tmp_path) as app:
        app.put(a_model(PUBLIC), a_private(OTHERS, "blue", sd_name="b.pt"))
        own = a_private(OWN, "red", name="own", sd_name="own.pt")
        facts = Facts(name="own", sd_name="own.pt", type=own.type)
        with app.store.transaction() as transaction:
            transaction.put([Entry(own, {Layer.USER: facts})])
        yield app


@pytest.fixture
def red(yard: App) -> Browser:
    return signed_in(yard)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_runs_loads_and_sends_nothing_elsewhere(red: Browser, path: str) -> None:
    reply = red.ask(path)
    page = reply.body.decode()
    policy = dict(part.strip().split(" ", 1) for part in reply.headers["content-security-policy"].split(";"))

    assert 200 == reply.status
    assert "'none'" == policy.pop("default-src")
    assert {"'self'", "'none'"} >= set(policy.values())
    assert {"script-src", "style-src", "img-src", "connect-src", "form-action"} <= policy.keys()
    assert "nosniff" == reply.headers["x-content-type-options"]
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=|javascript:", page)
    assert not re.search(r"""(?:src|srcset|action)=["'](?:https?:)?//""", page)
    for link in re.findall(r"<a [^>]*href=\"https?://[^>]*>", page):
        assert "nofollow noopener" in link


def test_the_session_is_a_cookie_that_no_script_reads_and_that_does_not_hold_the_key(yard: App) -> None:
    key = yard.key("red", *EVERYTHING)
    reply = yard.ask("/sign-in", None, method="POST", body=urlencode({"key": key}).encode())

    cookie = reply.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert key not in cookie
    assert key[3:20] not in cookie


def test_a_visitor_without_a_session_is_redirected_to_sign_in_and_back(yard: App) -> None:
    reply = yard.ask("/?filter.search=night", None)
    assert (303, "/sign-in?to=" + quote("/?filter.search=night", safe="")) == (reply.status, reply.headers["location"])

    body = urlencode({"key": yard.key("red"), "to": "/?filter.search=night"}).encode()
    assert "/?filter.search=night" == yard.ask("/sign-in", None, method="POST", body=body).headers["location"]
    for elsewhere in ("https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"):
        body = urlencode({"key": yard.key("red"), "to": elsewhere}).encode()
        assert "/" == yard.ask("/sign-in", None, method="POST", body=body).headers["location"]


def test_only_a_key_that_was_refused_is_called_invalid(yard: App) -> None:
    body = urlencode({"key": "sk_nobody"}).encode()

    pages = [yard.ask("/sign-in", None), yard.ask("/sign-in", None, method="POST", body=body)]

    assert [(200, False), (401, True)] == [(page.status, b"This key" in page.body) for page in pages]


def test_a_changed_cookie_is_no_session(red: Browser) -> None:
    name, _, value = red.cookie.partition("=")
    fields = value.split(".")
    for at, changed in ((0, "1"), (1, "00"), (3, "99999999999"), (4, "0" * len(fields[4]))):
        forged = [*fields[:at], changed, *fields[at + 1 :]]
        if forged != fields:
            red.cookie = f"{name}={'.'.join(forged)}"
            assert 303 == red.ask("/keys").status, at
    for nonsense in ("", "....", "a.b.c.d.e", "1" * 300):
        red.cookie = f"{name}={nonsense}"
        assert 303 == red.ask("/keys").status


@pytest.mark.parametrize(
    "path", [f"/models/{OWN}/delete", f"/models/{OWN}/edit", "/keys", "/keys/revoke", f"/deleted/{OWN}/purge"]
)
def test_a_form_that_changes_something_needs_the_sessions_own_token(red: Browser, path: str) -> None:
    stranger = signed_in(red.yard, "blue")

    assert 403 == red.post(path, "").status
    assert 403 == red.post(path, stranger.token).status
    assert 403 == red.post(path, sec_fetch_site="cross-site").status
    assert 403 == red.post(path, sec_fetch_site="same-site").status
    assert 403 == red.post(path, origin="https://evil.example").status
    assert 200 == red.ask(f"/models/{OWN}").status


def test_the_api_takes_a_session_from_our_own_pages_only(red: Browser) -> None:
    reader = "/v3/model?filter.visibility=private"
    assert 401 == red.ask(reader).status
    assert [OWN] == red.ask(reader, modelyard_token=red.token).ids
    assert 403 == red.ask(reader, modelyard_token=red.token, sec_fetch_site="cross-site").status
    assert 403 == red.ask(reader, modelyard_token="0" * len(red.token)).status
    assert 403 == red.ask(f"/v3/model?id={OWN}", method="DELETE", modelyard_token="").status


def test_another_teams_model_is_not_found(red: Browser) -> None:
    for target in (
        f"/models/{OTHERS}",
        f"/models/{OTHERS}/edit",
        "/models/0",
        "/models/x",
        f"/models/{OWN}/x",
        "/models/",
    ):
        assert 404 == red.ask(target).status, target
    assert 404 == red.post(f"/models/{OTHERS}/delete").status
    assert 404 == red.post(f"/models/{OTHERS}/edit", fields={"name": "mine"}).status
    assert 404 == red.post(f"/models/{PUBLIC}/delete").status
    assert b"No models found" in red.ask("/?filter.search=b.pt").body


def test_a_revoked_key_ends_its_sessions_at_the_next_request(yard: App) -> None:
    red = signed_in(yard)
    ids = re.findall(r'name="id" value="(\d+)"', red.ask("/keys").body.decode())
    assert 1 == len(ids)
    assert 303 == red.post("/keys/revoke", fields={"id": ids[0]}).status

    reply = red.ask("/")
    assert (303, "/sign-in?ended=1") == (reply.status, reply.headers["location"])
    assert "Max-Age=0" in reply.headers["set-cookie"]
    assert 401 == red.ask("/v3/model", modelyard_token=red.token).status


def test_a_key_is_rotated_once_by_its_page_and_only_by_its_team(yard: App) -> None:
    red, blue = signed_in(yard), signed_in(yard, "blue")
    (key_id,) = re.findall(r'name="key" value="(\d+)"', red.ask("/keys").body.decode())
    assert 404 == blue.post("/keys/rotate", fields={"key": key_id}).status

    reply = red.post("/keys/rotate", fields={"key": key_id})
    assert (200, "no-store") == (reply.status, reply.headers["cache-control"])
    (secret,) = re.findall(r'id="new-key">(sk_[^<]+)<', reply.body.decode())
    assert 200 == yard.ask("/v3/model", None, authorization=f"Bearer {secret}").status
    # The old one works for a day, and has one successor.
    assert 200 == red.ask("/keys").status
    assert 409 == red.post("/keys/rotate", fields={"key": key_id}).status


def test_only_an_administrators_key_makes_and_revokes_keys_and_only_its_teams(yard: App) -> None:
    red, blue = signed_in(yard), signed_in(yard, "blue")
    (of_blue,) = re.findall(r'name="id" value="(\d+)"', blue.ask("/keys").body.decode())
    writer = signed_in(yard, "red", Scope.READ, Scope.WRITE)

    assert 403 == writer.ask("/keys").status
    assert 404 == red.post("/keys/revoke", fields={"id": of_blue}).status
    assert 400 == red.post("/keys", fields={"scope": "everything"}).status
    assert 400 == red.post("/keys", fields={"scope": "read", "days": "7"}).status
    reply = red.post("/keys", fields={"scope": "read", "days": "30"})
    assert "no-store" in reply.headers["cache-control"]
    assert re.search(r'id="new-key">sk_', reply.body.decode())


def test_each_key_is_shown_as_active_expired_or_revoked(yard: App) -> None:
    red = signed_in(yard)
    secret, _ = yard.access.create_key("red", [Scope.READ])
    yard.access.create_key("red", [Scope.READ], expires_in_seconds=1)
    with yard.store.transaction() as transaction:
        transaction.connection.exec_driver_sql("UPDATE api_keys SET expires_at = 2 WHERE expires_at IS NOT NULL")
    yard.access.revoke_key(secret)

    page = red.ask("/keys").body.decode()

    assert {"expired", "revoked"} <= set(re.findall(r">(active|expired|revoked)<", page))


def test_the_address_of_an_upload_leads_to_the_page_of_its_model(yard: App, tmp_path: Path) -> None:
    model = upload(yard, "mine", lora_bytes())
    with yard.store.reading() as connection:
        (upload_id,) = upload_rows.ids(connection)

    replies = [signed_in(yard, team).ask(f"/uploaded/{upload_id}") for team in ("red", "blue")]

    assert [(303, f"/models/{model['id']}"), (404, None)] == [
        (reply.status, reply.headers.get("location")) for reply in replies
    ]


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, "0"),
        (950, "950"),
        (999, "999"),
        (1_000, "1k"),
        (8_120, "8.1k"),
        (9_949, "9.9k"),
        (9_950, "10k"),
        (805_000, "805k"),
        (1_234_567, "1.2M"),
        (25_000_000, "25M"),
    ],
)
def test_a_count_is_shown_in_a_short_form(number: int, expected: str) -> None:
    assert expected == format_count(number)


@pytest.mark.parametrize(
    "target",
    [
        "/?filter.types=nothing",
        "/?pagination.limit=1000",
        "/?pagination.cursor=x",
        "/?filter.search=%ff",
        "/?filter.is_nsfw=perhaps",
    ],
)
def test_an_invalid_parameter_answers_a_page_with_status_400(red: Browser, target: str) -> None:
    reply = red.ask(target)

    assert 400 == reply.status
    assert b"<h1>Invalid request</h1>" in reply.body


def test_a_page_and_the_api_hold_the_same_models_in_the_same_order(yard: App, red: Browser) -> None:
    yard.put(*(a_model(number, rank=number % 7) for number in range(2, 80)))
    ids: list[int] = []
    target: str | None = "/?filter.types=checkpoint"
    while target:
        page = red.ask(target).body.decode()
        ids += map(int, re.findall(r'<a href="/models/(\d+)"', page))
        link = re.search(r'id="next" rel="next nofollow" href="([^"]+)"', page)
        target = link[1].replace("&amp;", "&") if link else None

    assert yard.ask("/v3/model?filter.types=checkpoint&pagination.limit=100").ids == ids


def text_of(page: str) -> str:
    """The text of a page, without its markup."""
    main = page[page.index("<main") :]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", main.replace("<wbr>", ""))).split())


def test_the_page_of_a_model_shows_all_facts_with_their_origins(yard: App, red: Browser) -> None:
    sha256, autov3 = "AB" * 32, "CD" * 32
    hashes = Hashes(autov1="0123ABCD", sha256=sha256, autov3=autov3, blake3="EF" * 32, crc32="89ABCDEF")
    facts = Facts(
        name="v2",
        sd_name="harbourLights_v2_77.safetensors",
        type=MODEL_TYPES["lora"],
        base_model="SDXL 1.0",
        tags=("harbour", "night"),
        categories=("style",),
        rank=1234,
        hashes=hashes,
        upstream_model_id=7,
        title="Harbour Lights",
        trigger_words=("harbour lights", "at dusk"),
        size_bytes=228_000_000,
        licence=Licence(name="CreativeML"),
        notes="Made at sea.",
    )
    header = Facts(base_model="SDXL 1.0", evidence=("type lora: lora_down and lora_up",))
    others = {
        78: Facts(name="v1", sd_name="harbourLights_v1_78.safetensors", tags=facts.tags, upstream_model_id=7, rank=9),
        79: Facts(name="copy", sd_name="copy_79.safetensors", hashes=Hashes(sha256=sha256)),
        80: Facts(name="again", sd_name="again_80.safetensors", hashes=Hashes(sha256="11" * 32, autov3=autov3)),
        81: Facts(name="v1", sd_name="harbourLights_v9_81.safetensors", tags=facts.tags, upstream_model_id=8),
    }
    records = [Record(77, Source.CIVITAI, Layer.UPSTREAM, facts), Record(77, Source.CIVITAI, Layer.HEADER, header)]
    records += [Record(id_, Source.CIVITAI, Layer.UPSTREAM, other) for id_, other in others.items()]
    assert {"skipped"}.isdisjoint(outcome.result for outcome in yard.catalog.register_many(records))
    reply = red.ask("/models/77")
    page = reply.body.decode()
    text = text_of(page)

    assert 200 == reply.status
    for expected in (
        "Harbour Lights",
        "v2",
        "#harbour",
        "<lora:harbourLights_v2_77:1>",
        "harbour lights, at dusk",
        "SDXL 1.0 (from upstream)",
        "1,234",
        "228 MB",
        "CreativeML (from upstream)",
        "style (from upstream)",
        "type lora: lora_down and lora_up",
        "Made at sea.",
        "/v3/model?filter.model_version_id=77",
    ):
        assert expected in text, expected
    for digits in ("0123ABCD", sha256[:10], sha256, autov3, "EF" * 32, "89ABCDEF"):
        assert f">{digits}</code><button" in page
    duplicates = page[page.index('id="duplicates"') :]
    versions = page[page.index('aria-label="Versions"') :].partition("</nav>")[0]
    assert ["79", "80"] == re.findall(r'<li><a href="/models/(\d+)"', duplicates)
    assert {("77", ' aria-current="page"'), ("78", "")} == {*re.findall(r'<a href="/models/(\d+)"([^>]*)>', versions)}
    assert 'href="https://civitai.com/models/7?modelVersionId=77" rel="nofollow noopener' in page


def test_the_page_of_a_model_shows_its_description_creator_files_and_prompts_as_text(yard: App, red: Browser) -> None:
    facts = Facts(
        name="v2",
        sd_name="a_77.safetensors",
        title="Lights <b>",
        description="One <script>alert(1)</script>\n\nTwo & three",
        creator="anna <i>",
        files=(ModelFile("a.safetensors", size_kind="full", size_bytes=2_000), ModelFile("b <u>.safetensors")),
        images=(Image("https://images.example/1.jpeg", prompt="a boat <lora:x:1>", negative_prompt="fog", steps=20),),
        licence=Licence(allow_commercial=("image",), allow_derivatives=False),
    )
    assert list(yard.catalog.register_many([Record(77, Source.CIVITAI, Layer.UPSTREAM, facts)]))

    page = red.ask("/models/77").body.decode()
    text = text_of(page)

    assert '<p class="text">One &lt;script&gt;alert(1)&lt;/script&gt;\n\nTwo &amp; three</p>' in page
    for expected in (
        "Lights <b>",
        "Creator anna <i> (from upstream)",
        "Allowed: Sell images that you make with it Not allowed: Offer it in a paid service",
        "Not stated: Use it without credit to the creator Not allowed: Share merges and other derivatives",
        "a.safetensors full, 2 kB not on this server b <u>.safetensors",
        "a boat <lora:x:1> Negative prompt: fog steps 20 · Open the image",
    ):
        assert expected in text, expected
    assert '<a href="https://images.example/1.jpeg" rel="nofollow noopener noreferrer"' in page
    assert '<img src="https://images.example' not in page


def test_the_status_page_counts_models_and_files_to_check(yard: App, red: Browser) -> None:
    with yard.store.transaction() as transaction:
        for subject in ("one", "two", "three"):
            jobs.add(transaction.connection, jobs.CHECK, subject, 0)
        job = jobs.take(transaction.connection, jobs.CHECK, "nobody", 1, 60)
        assert job
        jobs.bury(transaction.connection, job, "cannot be read")

    page = red.ask("/status").body.decode()
    text = text_of(page)

    assert {kind.name for kind in tasks.KINDS} <= set(re.findall(r'<th scope="row">([\w-]+)</th>', page))
    assert "check 2 0 0 1 " in text
    assert "Models 2 " in text
    assert f"Revision {yard.catalog.revision} " in text
    assert "Files to check 2 1 given up" in text
    assert "Checkpoint 2" in text
    assert "Civitai 1" in text
    assert "SD 1.5 2" in text


# --- the examples of the API's page


@pytest.fixture
def night(yard: App) -> App:
    """Models that the examples find."""
    yard.put(*(a_model(number, name="night", type=MODEL_TYPES["lora"]) for number in range(2, 6)))
    return yard


def test_the_examples_run_and_print_the_models(night: App) -> None:
    requirements.module("novita_client")
    commands = {
        "sh": ["sh", "-c"],
        "python": [sys.executable, "-c"],
        "javascript": [str(requirements.program("node")), "--input-type=module", "-e"],
    }
    expected = night.ask("/v3/model?" + api_docs.EXAMPLE_QUERY)
    assert 2 == len(expected.ids)
    with listening(night) as address:
        for example in api_docs.make_examples(address.url):
            run = subprocess.run(
                [*commands[example.language], example.code],
                env={"PATH": "/usr/bin:/bin", "KEY": night.key(), "NO_PROXY": "127.0.0.1"},
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )

            assert 0 == run.returncode, (example.name, run.stderr)
            for model in expected.json["models"]:
                assert model["sd_name"] in run.stdout, example.name


# --- the design


def test_the_design_document_names_every_token_and_styles_use_no_other(yard: App) -> None:
    styles = {
        name: yard.ask(f"/static/{name}", None).body.decode() for name in ("page.css", "docs.css", "subpages.css")
    }
    described = set(
        re.findall(r"`(--[a-z0-9-]+)`", (Path(__file__).parents[3] / "docs" / "decide" / "design.md").read_text())
    )
    tokens = set(re.findall(r"^\s*(--[a-z0-9-]+):", styles["page.css"], re.MULTILINE))

    assert tokens <= described
    for name, style in styles.items():
        used = set(re.findall(r"var\((--[a-z0-9-]+)\)", style))
        assert used <= described | {"--p1", "--p2"}, name


def test_a_form_with_a_value_that_is_not_accepted_is_shown_again_as_an_error(red: Browser) -> None:
    reply = red.post(f"/models/{OWN}/edit", fields={"name": "a/b"})

    assert 400 == reply.status
    assert "<form" in reply.body.decode()


def test_an_older_link_searches_all_fields(yard: App, red: Browser) -> None:
    yard.put(a_model(1, title="夜の港"), a_model(2))
    page = red.ask("/?filter.query=" + quote("夜の")).body.decode()

    assert ("/models/1" in page, "/models/2" in page) == (True, False)
    assert 'name="filter.search" value="夜の"' in page


BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.mark.parametrize(
    ("target", "status", "heading"),
    [
        ("/nothing/here", 404, "Not found"),
        ("/v3/model?pagination.limit=0", 401, "Not signed in"),
        ("/v3/model/details?id=1", 401, "Not signed in"),
        (f"/files/{'0' * 64}/a.safetensors?expires=1", 403, "Not allowed"),
        ("/models/7?x=1", 404, "Not found"),
        ("/v3/uploads/x", 404, "Not found"),
        ("/sign-out", 405, "Something went wrong"),
        ("/?pagination.limit=0", 400, "Invalid request"),
        ("/?filter.visibility=all", 400, "Invalid request"),
    ],
)
def test_an_error_in_a_browser_is_a_page_in_the_visitors_session(
    red: Browser, target: str, status: int, heading: str
) -> None:
    reply = red.ask(target, **BROWSER)
    text = reply.body.decode()

    assert status == reply.status
    assert "text/html; charset=utf-8" == reply.headers["content-type"]
    assert f"<h1>{heading}</h1>" in text
    assert "Signed in as red" in text
    assert not re.search(r"&lt;\w+\.\w+:|\b(?:Scope|Status|Visibility|Source|Kind)\.[A-Z]", text)


def test_an_error_of_the_api_stays_json_for_its_clients(yard: App) -> None:
    for headers in ({}, {"accept": "*/*"}, {"accept": "application/json"}):
        assert "application/json" == yard.ask("/nothing/here", **headers).headers["content-type"]


def test_the_reference_lists_every_route_of_the_table_and_the_form_is_below_the_examples(red: Browser) -> None:
    page = red.ask("/docs").body.decode()
    rows = re.findall(r'<td><code>(\w+)</code></td><th scope="row"><code>([^<]+)</code>', page)
    routes = [
        (method, re.sub(r":\w+}", "}", route.path))
        for route in red.yard.app._app.table
        for method in route.methods.split()
    ]

    assert routes == rows
    assert ("GET", "/docs") in rows
    assert page.index('id="examples"') < page.index('id="try"') < page.index('id="request"')
