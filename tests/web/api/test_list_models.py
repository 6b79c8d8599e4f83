"""GET /v3/model as the contract decides it, row by row, through the application on a real store and index.

Not covered here: errors' shape (test_errors.py), recorded requests (test_compatibility.py), the vendor's clients
(test_sdk_*.py), equality with the oracle on generated catalogues (test_index.py), the socket (test_server.py).
"""

import base64
import gzip
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelyard import wire
from modelyard.domain import BASE_MODEL_TYPES, MODEL_TYPES, Hashes, Model, Scope, Source, Status, Visibility, model_type
from modelyard.facts import Facts, Layer, Record
from tests import strategies
from tests.app_fixture import App, a_model, a_private, open_app

LORA, LOCON, DORA = MODEL_TYPES["lora"], MODEL_TYPES["locon"], MODEL_TYPES["dora"]
PAGE = {"models": [], "pagination": {"next_cursor": ""}}


def cursor(rank: int, id_: int) -> str:
    return "c_" + base64.b64encode(f'[{rank},"{id_}"]'.encode()).decode()


# --- 1.1 Authorization


@pytest.mark.parametrize(
    "form", ["Bearer {}", "bearer {}", "BEARER {}", "Bearer   {}", "  Bearer {}  ", "{}", " {} ", "Bearer\t{}"]
)
def test_the_key_is_taken_with_and_without_its_scheme(yard: App, form: str) -> None:
    yard.put(a_private(1_000_000_001, "red"))

    assert [1_000_000_001] == yard.ask("/v3/model", None, authorization=form.format(yard.key())).ids


def test_a_key_shows_its_teams_private_models_and_no_others(yard: App) -> None:
    yard.put(a_model(1), a_private(1_000_000_001, "red"), a_private(1_000_000_002, "blue"))

    assert {1, 1_000_000_001} == set(yard.ask("/v3/model", "red").ids)
    assert {1, 1_000_000_002} == set(yard.ask("/v3/model", "blue").ids)
    assert {1} == set(yard.ask("/v3/model", "green").ids)


@pytest.fixture
def open_yard(tmp_path: Path) -> Iterator[App]:
    """A yard that lets everyone see the public models."""
    with open_app(tmp_path, anonymous_access="public") as opened:
        opened.put(a_model(1), a_private(1_000_000_001, "red"))
        yield opened


def test_where_strangers_are_let_in_they_see_the_public_models(open_yard: App) -> None:
    assert [1] == open_yard.ask("/v3/model", None).ids
    assert [1] == open_yard.ask("/v3/model", None, authorization="").ids
    assert [1] == open_yard.ask("/v3/model?filter.visibility=public", None).ids


def test_where_strangers_are_let_in_private_models_still_need_a_key(open_yard: App) -> None:
    reply = open_yard.ask("/v3/model?filter.visibility=private", None)

    assert (401, "MISSING_API_KEY") == (reply.status, reply.json["reason"])


def test_where_strangers_are_let_in_a_wrong_key_is_still_wrong(open_yard: App) -> None:
    assert 401 == open_yard.ask("/v3/model", None, authorization="sk_wrong").status


def test_a_revoked_key_stops_with_the_next_request(yard: App) -> None:
    key = yard.key()
    before = yard.ask("/v3/model").status
    yard.access.revoke_key(key)

    assert (200, 401) == (before, yard.ask("/v3/model").status)


@pytest.mark.parametrize("scopes", [[Scope.READ], [Scope.ADMIN], [Scope.READ, Scope.WRITE]])
def test_reading_takes_the_read_scope_or_admins(yard: App, scopes: list[Scope]) -> None:
    assert 200 == yard.ask("/v3/model", authorization=yard.key("red", *scopes)).status


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "", "nonsense"])
def test_no_content_type_is_an_error(yard: App, content_type: str) -> None:
    assert 200 == yard.ask("/v3/model", content_type=content_type).status


@pytest.mark.parametrize("route", ["/v3/model", "/v3/user", "/v3/metadata", "/openapi.json", "/docs", "/healthz"])
def test_head_is_get_without_the_body(yard: App, route: str) -> None:
    yard.put(*map(a_model, range(1, 30)))
    got, head = yard.ask(route), yard.ask(route, method="HEAD")

    assert b"" == head.body
    assert 200 == head.status == got.status
    assert {**got.headers, "x-request-id": ""} == {**head.headers, "x-request-id": ""}


def test_a_preflight_is_allowed_without_a_key(yard: App) -> None:
    reply = yard.ask(
        "/v3/model",
        None,
        method="OPTIONS",
        origin="https://console.example",
        access_control_request_method="GET",
        access_control_request_headers="authorization,content-type",
    )

    assert (204, b"") == (reply.status, reply.body)
    assert "*" == reply.headers["access-control-allow-origin"]
    assert {"authorization", "content-type"} <= set(reply.headers["access-control-allow-headers"].split(", "))
    assert "GET" in reply.headers["access-control-allow-methods"]


@pytest.mark.parametrize("target", ["/v3/model", "/v3/model?pagination.limit=0", "/v3/none", "/healthz"])
def test_every_answer_may_be_read_by_a_page(yard: App, target: str) -> None:
    reply = yard.ask(target, origin="https://console.example")

    assert "*" == reply.headers["access-control-allow-origin"]
    assert {"ETag", "Modelyard-Total", "Modelyard-Ignored-Parameters"} <= set(
        reply.headers["access-control-expose-headers"].split(", ")
    )


def test_pages_may_be_restricted_to_some_origins(tmp_path: Path) -> None:
    with open_app(tmp_path, cors_allow_origins="https://a.example, https://b.example") as yard:
        ours = yard.ask("/v3/model", origin="https://b.example").headers
        others = yard.ask("/v3/model", origin="https://evil.example").headers

    assert "https://b.example" == ours["access-control-allow-origin"]
    assert "Origin" in ours["vary"].split(", ")
    assert "access-control-allow-origin" not in others
    assert "Origin" in others["vary"].split(", ")


# --- 1.2 Parameters


def test_every_parameter_has_a_row_here_or_is_refused_by_its_name() -> None:
    """The table of the contract, spelled a second time on purpose: a parameter cannot be lost or renamed unnoticed."""
    assert {
        "filter.visibility": "visibility",
        "filter.source": "sources",
        "filter.types": "types",
        "filter.is_sdxl": "is_sdxl",
        "filter.query": "terms",
        "filter.search": "words",
        "filter.is_inpainting": "is_inpainting",
        "filter.is_nsfw": "is_nsfw",
        "filter.tags": "tags",
        "filter.base_model": "base_models",
        "filter.licence": "licences",
        "filter.licence.commercial": "commercial",
        "filter.licence.credit": "credit",
        "filter.licence.derivatives": "derivatives",
        "filter.size": "sizes",
        "filter.published": "years",
        "filter.model_version_id": "id",
        "filter.hash": "hash",
        "sort": "sort",
        "pagination.limit": "limit",
        "pagination.cursor": "start",
    } == {parameter.name: parameter.field for parameter in wire.PARAMETERS}


CATALOGUE = (
    a_model(1, base_model_type="Inpainting", tags=("anime", "Base Model")),
    a_model(2, type=LORA, is_nsfw=True, tags=("Anime",)),
    a_model(3, type=LOCON, base_model="SDXL 1.0", is_sdxl=True),
    a_model(4, type=DORA, sd_name="jibMixRealisticXL_v10_168644.safetensors", name="v1.0", tags=("realistic",)),
    a_model(5, type=MODEL_TYPES["vae"], base_model_type="Inpainting", hashes=Hashes(sha256="1A805277C8" + 54 * "0")),
    a_model(6, type=model_type("Poses"), name="手 Straße ﬁne", base_model="Ünknown 9"),
    a_private(1_000_000_001, "red", type=LORA, status=Status.UNAVAILABLE),
    replace(a_private(1_000_000_002, "red"), source=Source.TRAINING),
    a_private(1_000_000_003, "blue", type=model_type("secretkind")),
)
OWN = {1_000_000_001, 1_000_000_002}
ALL = {1, 2, 3, 4, 5, 6} | OWN


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with open_app(tmp_path_factory.mktemp("stocked")) as opened:
        opened.put(*CATALOGUE)
        yield opened


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("", ALL),
        # empty = not given
        ("filter.visibility=&filter.source=&filter.types=&filter.is_sdxl=&filter.query=&filter.is_inpainting=", ALL),
        (
            "filter.is_nsfw=&filter.tags=&filter.base_model=&filter.model_version_id=&filter.hash=&pagination.limit=",
            ALL,
        ),
        ("pagination.cursor=&&&filter.types", ALL),
        ("filter.visibility=public", ALL - OWN),
        ("filter.visibility=private", OWN),
        ("filter.source=civitai", ALL - OWN),
        ("filter.source=training", {1_000_000_002}),
        ("filter.source=uploading", {1_000_000_001}),
        ("filter.source=uploading&filter[source]=training", OWN),
        ("filter.source=!civitai", OWN),
        ("filter.source=!civitai&filter.source=!training", {1_000_000_001}),
        ("filter.visibility=!public", OWN),
        ("filter.visibility=!private", ALL - OWN),
        ("filter.types=!lora,!checkpoint", {5, 6}),
        ("filter.types=lora&filter.types=!locon", {2, 4, 1_000_000_001}),
        ("filter.types=vae,!vae", set()),
        # types: the LoRA family, union, commas, exact names of the family are the family's own
        ("filter.types=checkpoint", {1, 1_000_000_002}),
        ("filter.types=lora", {2, 3, 4, 1_000_000_001}),
        ("filter.types=locon", {3}),
        ("filter.types=dora", {4}),
        ("filter.types=poses", {6}),
        ("filter.types=vae&filter.types=dora", {4, 5}),
        ("filter.types=vae,dora", {4, 5}),
        ("filter.types=vae,%20dora,", {4, 5}),
        ("filter.types=,", ALL),
        ("filter.types=upscaler", set()),
        ("filter.types=hypernetwork", set()),
        # three-valued booleans
        ("filter.is_sdxl=true", {3}),
        ("filter.is_sdxl=false", ALL - {3}),
        ("filter.is_nsfw=true", {2}),
        ("filter.is_nsfw=false", ALL - {2}),
        # inpainting: true restricts to checkpoints, false does not
        ("filter.is_inpainting=true", {1}),
        ("filter.is_inpainting=false", ALL),
        ("filter.is_inpainting=False&filter.types=vae", {5}),
        ("filter.types=vae&filter.is_inpainting=1", set()),
        # search
        ("filter.query=jib+mix+realistic+xl", {4}),
        ("filter.query=Jib%20Mix%20Realistic%20XL", {4}),
        ("filter.query=REALISTIC", {4}),
        ("filter.query=STRASSE", {6}),
        ("filter.query=fine", {6}),
        ("filter.query=" + quote("手"), {6}),
        ("filter.query=v1.0+realistic", {4}),
        ("filter.query=nothing+at+all", set()),
        ("filter.query=+++", ALL),
        # search of all fields, whatever separates words
        ("filter.search=jibmix+realistic/xl", {4}),
        ("filter.search=Jib-Mix_(Realistic)%20'XL'", {4}),
        ("filter.search=BASE.MODEL", {1}),
        ("filter.search=basemodel", {1}),
        ("filter.search=0x1a805277c8+vae", set()),
        ("filter.search=0x1a805277c8+v5", {5}),
        ("filter.search=nobody", set()),
        # tags: exact, whatever the case, all of them
        ("filter.tags=ANIME", {1, 2}),
        ("filter.tags=anime&filter.tags=base+model", {1}),
        ("filter.tags=ani", set()),
        # base model: `_` is a space
        ("filter.base_model=SDXL_1.0", {3}),
        ("filter.base_model=sdxl+1.0", {3}),
        ("filter.base_model=" + quote("ünknown 9"), {6}),
        ("filter.base_model=nobody", set()),
        ("filter.base_model=SDXL_1.0&filter.base_model=" + quote("ünknown 9"), {3, 6}),
        ("filter.base_model=%21SDXL+1.0&filter[base_model]=!nobody", ALL - {3}),
        ("filter.licence.commercial=rent", set()),
        ("filter.licence.commercial=unknown&filter.licence.commercial=!rent", ALL),
        ("filter.licence=!mit&filter[licence][credit]=!required", ALL),
        ("filter.model_version_id=3", {3}),
        ("filter.model_version_id=1000000003", set()),
        ("filter.model_version_id=999999999999999999", set()),
        # hash
        ("filter.hash=1A805277C8", {5}),
        ("filter.hash=1a805277c8", {5}),
        ("filter.hash=0x1a805277c8", {5}),
        ("filter.hash=1A805277C800", {5}),
        ("filter.hash=1A805277C801", set()),
        ("filter.hash=sha256:1A805277C8" + 54 * "0", {5}),
        ("filter.hash=SHA256%3A1a805277c8", {5}),
        ("filter.hash=ffffffffff", set()),
        # all filters are ANDed
        ("filter.types=lora&filter.is_sdxl=true&filter.visibility=public", {3}),
        ("filter.types=lora&filter.query=model2&filter.is_sdxl=true", set()),
        # spellings
        ("filter.type=vae", {5}),
        ("filter.type=vae&filter.types=dora", {4, 5}),
        ("filter[types]=vae", {5}),
        ("filter%5Btypes%5D=vae", {5}),
        ("filter%5bis_sdxl%5d=1&filter[types]=lora", {3}),
        ("filter%2Etypes=vae", {5}),
    ],
)
def test_a_question_is_answered_by_these_models(stocked: App, asked: str, expected: set[int]) -> None:
    reply = stocked.ask(f"/v3/model?{asked}")

    assert 200 == reply.status, reply.body
    assert expected == set(reply.ids)
    assert wire.IGNORED_HEADER.lower() not in reply.headers


@pytest.mark.parametrize("parameter", [p for p in wire.PARAMETERS if "." in p.name], ids=lambda p: p.name)
def test_the_dotted_form_and_the_brackets_mean_the_same(stocked: App, parameter: wire.Parameter) -> None:
    value = quote(parameter.example)
    dotted = stocked.ask(f"/v3/model?{parameter.name}={value}")
    head, _, tail = parameter.name.partition(".")

    for spelled in (f"{head}[{tail}]", f"{head}%5B{tail}%5D", f"{head}%5b{tail}%5d"):
        assert dotted.body == stocked.ask(f"/v3/model?{spelled}={value}").body


@pytest.mark.parametrize("name", [p.name for p in wire.PARAMETERS if p.schema["type"] == "boolean"])
@pytest.mark.parametrize("truth", [True, False])
def test_every_spelling_of_a_boolean_means_the_same(stocked: App, name: str, truth: bool) -> None:
    spellings = ("1", "t", "T", "TRUE", "true", "True") if truth else ("0", "f", "F", "FALSE", "false", "False")

    assert 1 == len({stocked.ask(f"/v3/model?{name}={spelling}").body for spelling in spellings})


@pytest.mark.parametrize(
    ("asked", "parameter", "given"),
    [
        ("filter.visibility=Public", "filter.visibility", "Public"),
        ("filter.visibility=all", "filter.visibility", "all"),
        ("filter.source=official", "filter.source", "official"),
        ("filter.types=txt2img", "filter.types", "txt2img"),
        ("filter.types=lora,nonsense", "filter.types", "nonsense"),
        ("filter.types=secretkind", "filter.types", "secretkind"),
        ("filter.types=Lora", "filter.types", "Lora"),
        ("filter.is_sdxl=yes", "filter.is_sdxl", "yes"),
        ("filter.is_sdxl=tRUE", "filter.is_sdxl", "tRUE"),
        ("filter.is_nsfw=2", "filter.is_nsfw", "2"),
        ("filter.is_inpainting=%20true", "filter.is_inpainting", " true"),
        ("filter.is_sdxl=true&filter.is_sdxl=true", "filter.is_sdxl", "true"),
        ("filter.is_sdxl=true&filter%5Bis_sdxl%5D=false", "filter.is_sdxl", "false"),
        ("filter.visibility=public&filter.visibility=private", "filter.visibility", "private"),
        ("filter.query=a&filter.query=b", "filter.query", "b"),
        ("pagination.cursor=c_0&pagination.cursor=c_0", "pagination.cursor", "c_0"),
        ("filter.source=!official", "filter.source", "!official"),
        ("filter.types=!secretkind", "filter.types", "secretkind"),
        ("filter.licence.commercial=none", "filter.licence.commercial", "none"),
        ("sort=downloads", "sort", "downloads"),
        ("sort=name&sort=name", "sort", "name"),
        ("pagination.limit=0", "pagination.limit", "0"),
        ("pagination.limit=101", "pagination.limit", "101"),
        ("pagination.limit=-1", "pagination.limit", "-1"),
        ("pagination.limit=%2B5", "pagination.limit", "+5"),
        ("pagination.limit=5.0", "pagination.limit", "5.0"),
        ("pagination.limit=1e1", "pagination.limit", "1e1"),
        ("pagination.limit=5_0", "pagination.limit", "5_0"),
        ("pagination.limit=" + quote("५"), "pagination.limit", "५"),
        ("pagination.limit=abc", "pagination.limit", "abc"),
        ("filter.model_version_id=abc", "filter.model_version_id", "abc"),
        ("filter.model_version_id=-1", "filter.model_version_id", "-1"),
        ("filter.model_version_id=1234567890123456789", "filter.model_version_id", "1234567890123456789"),
        ("filter.hash=xyz", "filter.hash", "xyz"),
        ("filter.hash=1A805277C", "filter.hash", "1A805277C"),
        ("filter.hash=GGGGGGGG", "filter.hash", "GGGGGGGG"),
        ("filter.hash=md5:1A805277C8", "filter.hash", "md5:1A805277C8"),
        ("filter.query=" + 257 * "a", "filter.query", 64 * "a" + "…"),
        ("filter.query=" + "+".join(map(str, range(17))), "filter.query", "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"),
        ("pagination.cursor=" + 257 * "a", "pagination.cursor", 64 * "a" + "…"),
        ("filter.query=%FF", "query string", "\\xff"),
        ("%C3%28=x", "query string", "\\xc3("),
    ],
)
def test_a_value_that_cannot_be_is_refused_and_what_can_be_is_told(
    stocked: App, asked: str, parameter: str, given: str
) -> None:
    reply = stocked.ask(f"/v3/model?{asked}")

    body = reply.json
    assert (400, "INVALID_ARGUMENT") == (reply.status, body["reason"])
    assert (parameter, given) == (body["metadata"]["parameter"], body["metadata"]["given"])
    assert body["metadata"]["allowed"]
    assert parameter in body["message"]


@pytest.mark.parametrize(
    "asked",
    ["filter.query=" + 256 * "a", "filter.query=" + "+".join(map(str, range(16))), "filter.query=" + 40 * "same+"],
)
def test_what_is_within_its_limit_is_no_error(stocked: App, asked: str) -> None:
    assert 200 == stocked.ask(f"/v3/model?{asked}").status


@pytest.mark.parametrize("name", ["filter.visibility", "filter.source", "filter.types"])
def test_a_value_outside_an_enumeration_is_told_what_is_allowed(stocked: App, name: str) -> None:
    reply = stocked.ask(f"/v3/model?{name}=nonsense")

    allowed = {
        "filter.visibility": ["public", "private"],
        "filter.source": ["civitai", "training", "uploading"],
        "filter.types": ["checkpoint", "lora", "vae", "controlnet", "upscaler", "textualinversion"],
    }[name]
    assert set(allowed) <= set(reply.json["metadata"]["allowed"])
    assert all(value in reply.json["message"] for value in allowed)


def test_types_that_only_others_have_are_not_told(stocked: App) -> None:
    mine = stocked.ask("/v3/model?filter.types=nonsense").json["metadata"]["allowed"]
    theirs = stocked.ask("/v3/model?filter.types=nonsense", "blue").json["metadata"]["allowed"]

    assert "poses" in mine
    assert "secretkind" not in mine
    assert "secretkind" in theirs


# --- names that mean nothing


@pytest.mark.parametrize(
    ("asked", "ignored"),
    [
        ("type=checkpoint&query=dream", "type, query"),
        ("filter.querystring=anime", "filter.querystring"),
        ("filter%5Btype%5D=txt2img", "filter[type]"),
        ("filter.in_whitelist=true&filter.name=&x", "filter.in_whitelist, filter.name, x"),
        ("x=1&x=2", "x"),
        (quote("é\r\nSet-Cookie: a") + "=1", "%C3%A9%0D%0ASet-Cookie%3A%20a"),
        ("a" * 100 + "=1", "a" * 64),
        ("FILTER.TYPES=lora", "FILTER.TYPES"),
    ],
)
def test_a_name_that_means_nothing_has_no_effect_and_is_reported(stocked: App, asked: str, ignored: str) -> None:
    reply = stocked.ask(f"/v3/model?{asked}")

    assert (200, ignored) == (reply.status, reply.headers["modelyard-ignored-parameters"])
    assert ALL == set(reply.ids)


def test_of_many_names_twenty_are_reported(stocked: App) -> None:
    reply = stocked.ask("/v3/model?" + "&".join(f"n{number}=1" for number in range(100)))

    assert [f"n{number}" for number in range(20)] == reply.headers["modelyard-ignored-parameters"].split(", ")


@pytest.mark.parametrize("prefer", ["handling=strict", 'handling="strict"', "respond-async, Handling = Strict; x=y"])
def test_who_wants_strictness_gets_an_error_with_the_names(stocked: App, prefer: str) -> None:
    reply = stocked.ask("/v3/model?type=lora&filter.types=lora&query=x", prefer=prefer)

    assert (400, "INVALID_ARGUMENT") == (reply.status, reply.json["reason"])
    assert "type" == reply.json["metadata"]["parameter"]
    assert ["type", "query"] == reply.json["metadata"]["ignored"]
    assert [parameter.name for parameter in wire.PARAMETERS] == reply.json["metadata"]["allowed"]
    assert "type, query" in reply.json["message"]


def test_strictness_over_what_is_known_is_applied_and_says_so(stocked: App) -> None:
    reply = stocked.ask("/v3/model?filter.types=vae", prefer="handling=strict")

    assert (200, "handling=strict") == (reply.status, reply.headers["preference-applied"])


@pytest.mark.parametrize("prefer", ["handling=lenient", "handling", "strict", "", "=", ",,;", 'handling="strict'])
def test_other_preferences_change_nothing(stocked: App, prefer: str) -> None:
    reply = stocked.ask("/v3/model?nonsense=1", prefer=prefer)

    assert 200 == reply.status
    assert "preference-applied" not in reply.headers


# --- 1.3 Order, 1.4 Cursors


def test_the_order_is_rank_then_id_both_descending(yard: App) -> None:
    yard.put(a_model(1, rank=5), a_model(2, rank=7), a_model(3, rank=5), a_model(4, rank=-2), a_model(5, rank=0))

    assert [2, 3, 1, 5, 4] == yard.ask("/v3/model").ids


@pytest.fixture(scope="module")
def forty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Models 1 … 40, in this order."""
    with open_app(tmp_path_factory.mktemp("forty")) as opened:
        opened.put(*map(a_model, range(1, 41)))
        yield opened


def test_twenty_are_answered_when_no_limit_is_given(forty: App) -> None:
    assert list(range(1, 21)) == forty.ask("/v3/model").ids


@pytest.mark.parametrize("limit", [1, 2, 39, 40, 41, 99, 100, "007"])
def test_the_limit_is_the_length_of_a_page(forty: App, limit: int | str) -> None:
    assert min(40, int(limit)) == len(forty.ask(f"/v3/model?pagination.limit={limit}").ids)


@pytest.mark.parametrize(
    ("start", "first"),
    [
        ("", 1),
        ("c_0", 1),
        ("c_00", 1),
        ("c_1", 2),
        ("c_10", 11),
        ("c_c_10", 11),
        (cursor(990, 10), 11),
        (quote(cursor(990, 10)), 11),
        (cursor(990, 10).rstrip("="), 11),
        ("c_" + cursor(990, 10), 11),
        (cursor(990, 9), 11),
        (cursor(990, 11), 10),
        (cursor(9_000_000, 1), 1),
    ],
)
def test_each_form_of_cursor_starts_a_page_there(forty: App, start: str, first: int) -> None:
    assert [first] == forty.ask(f"/v3/model?pagination.limit=1&pagination.cursor={start}").ids


@pytest.mark.parametrize("start", ["c_40", "c_41", "c_999999999999999999", cursor(-5, 1), cursor(960, 40)])
def test_past_the_end_is_an_empty_page(forty: App, start: str) -> None:
    reply = forty.ask(f"/v3/model?pagination.cursor={quote(start)}")

    assert (200, PAGE) == (reply.status, reply.json)


@pytest.mark.parametrize(
    "start",
    [
        "garbage", "0", "10", "c_", "c_-1", "c_+1", "c_1.5", "c_c_", "c_c_c_10", "C_10", "c_ 10", "c_10 ", "c_1e3",
        "c_9999999999999999999", "c_" + quote("١"),
        "c_W10=", "c_!!!!", "c_W10", "c_" + base64.b64encode(b"[1,2]").decode(),
        "c_" + base64.b64encode(b'[1,"2","3"]').decode(), "c_" + base64.b64encode(b'["1","2"]').decode(),
        "c_" + base64.b64encode(b'[1.5,"2"]').decode(), "c_" + base64.b64encode(b'[1,"-2"]').decode(),
        "c_" + base64.b64encode(b' [1,"2"]').decode(), "c_" + base64.b64encode(b'[99999999999999999999,"2"]').decode(),
        "c_" + base64.b64encode(b'[1,"9999999999999999999"]').decode(), "c_" + base64.b64encode(b"\xff\xfe").decode(),
        "c_" + base64.b64encode(b'[1,"2"]\n').decode(), cursor(1, 2)[:-4] + "=" + cursor(1, 2)[-4:],
    ],
)  # fmt: skip # one a line they would fill a screen
def test_any_other_cursor_is_refused(forty: App, start: str) -> None:
    reply = forty.ask(f"/v3/model?pagination.cursor={start if '%' in start else quote(start)}")

    assert (400, "pagination.cursor") == (reply.status, reply.json["metadata"].get("parameter"))


def test_the_documented_cursor_is_read_and_written_as_documented(yard: App) -> None:
    yard.put(a_model(114600, rank=900_000), a_model(55199, rank=804_666), a_model(7, rank=1))
    first = yard.ask("/v3/model?pagination.limit=2").json

    assert "c_WzgwNDY2NiwiNTUxOTkiXQ==" == first["pagination"]["next_cursor"]
    assert [7] == yard.ask("/v3/model?pagination.cursor=c_WzgwNDY2NiwiNTUxOTkiXQ==").ids


@pytest.mark.parametrize("limit", [20, 40])
def test_a_full_page_always_has_a_cursor_even_when_nothing_follows(forty: App, limit: int) -> None:
    last = forty.ask(f"/v3/model?pagination.limit={limit}&pagination.cursor=c_{40 - limit}").json

    assert cursor(960, 40) == last["pagination"]["next_cursor"]


@pytest.mark.parametrize("target", ["pagination.limit=41", "pagination.cursor=c_30", "filter.types=vae"])
def test_a_short_page_has_none(forty: App, target: str) -> None:
    assert "" == forty.ask(f"/v3/model?{target}").json["pagination"]["next_cursor"]


@pytest.mark.parametrize("limit", [1, 3, 7, 20, 39, 40, 100])
def test_walking_by_either_form_yields_every_match_once_in_order(forty: App, limit: int) -> None:
    by_position: list[int] = []
    start = "c_0"
    while start:
        page = forty.ask(f"/v3/model?pagination.limit={limit}&pagination.cursor={start}")
        by_position += page.ids
        start = page.json["pagination"]["next_cursor"]
    by_offset: list[int] = []
    while ids := forty.ask(f"/v3/model?pagination.limit={limit}&pagination.cursor=c_{len(by_offset)}").ids:
        by_offset += ids

    assert list(range(1, 41)) == by_position == by_offset


def test_a_walk_returns_what_stays_exactly_once_whatever_comes_and_goes(yard: App) -> None:
    yard.put(*map(a_model, range(10, 50)))
    seen: list[int] = []
    start, step = "c_0", 0
    while start:
        page = yard.ask(f"/v3/model?pagination.limit=3&pagination.cursor={start}")
        seen += page.ids
        start, step = page.json["pagination"]["next_cursor"], step + 1
        if step < 14:
            # The page's last model goes, others come before and after it.
            yard.remove(seen[-1], 48 - step)
            yard.put(a_model(1000 + step, rank=2000), a_model(2000 + step, rank=-step))

    stayed = set(yard.ask("/v3/model?pagination.limit=100").ids) & set(range(10, 50))
    assert [id_ for id_ in seen if id_ in stayed] == sorted(stayed)


# --- 1.5 The answer


def test_a_model_is_answered_in_the_documents_order_of_keys(yard: App) -> None:
    model = a_model(
        114600,
        name="V4.0-inpainting (VAE)",
        sd_name="realisticVisionV40_v40VAE-inpainting_81543.safetensors",
        base_model_type="Inpainting",
        tags=("base model", "手"),
        categories=("realistic",),
        cover_url="https://images.example/1.jpeg",
        hashes=Hashes(sha256="1A805277C8" + 54 * "A"),
        rank=7,
    )
    yard.put(model)

    reply = yard.ask("/v3/model?pagination.limit=1")

    assert "application/json" == reply.headers["content-type"]
    expected = (
        '{"models":[{"id":114600,"name":"V4.0-inpainting (VAE)","hash_sha256":"1A805277C8",'
        '"sd_name":"realisticVisionV40_v40VAE-inpainting_81543.safetensors",'
        '"type":{"name":"checkpoint","display_name":"Checkpoint"},"categories":["realistic"],"status":1,'
        '"tags":["base model","手"],"cover_url":"https://images.example/1.jpeg","source":"civitai",'
        '"base_model":"SD 1.5","base_model_type":"Inpainting","download_url_ttl":86400,'
        '"sd_name_in_api":"realisticVisionV40_v40VAE-inpainting_81543.safetensors","is_sdxl":false,"is_nsfw":false,'
        f'"visibility":"public"}}],"pagination":{{"next_cursor":"{cursor(7, 114600)}"}}}}'
    )
    assert expected == reply.body.decode()


@pytest.mark.parametrize(
    ("kind", "display_name", "in_api"),
    [
        ("checkpoint", "Checkpoint", "x_1.safetensors"),
        ("lora", "Lora", "x_1"),
        ("locon", "locon", "x_1"),
        ("dora", "DoRA", "x_1"),
        ("textualinversion", "Textual Inversion", "x_1"),
        ("vae", "VAE", "x_1.safetensors"),
        ("controlnet", "ControlNet", "x_1.safetensors"),
        ("upscaler", "Upscaler", "x_1.safetensors"),
        ("MotionModule", "MotionModule", "x_1.safetensors"),
        ("Brand New", "Brand New", "x_1.safetensors"),
    ],
)
def test_types_are_spelled_and_named_for_calls_as_decided(yard: App, kind: str, display_name: str, in_api: str) -> None:
    yard.put(a_model(1, type=model_type(kind), sd_name="x_1.safetensors"))

    (model,) = yard.ask("/v3/model").json["models"]
    assert {"name": kind.lower(), "display_name": display_name} == model["type"]
    assert in_api == model["sd_name_in_api"]


def test_an_empty_model_has_empty_values_and_no_null(yard: App) -> None:
    yard.put(a_model(1, base_model="", base_model_type=""))

    reply = yard.ask("/v3/model")
    (model,) = reply.json["models"]
    assert b"null" not in reply.body
    assert {"", "[]"} == {
        json.dumps(model[name]).strip('"')
        for name in ("hash_sha256", "categories", "tags", "cover_url", "base_model", "base_model_type")
    }
    assert "download_url" not in model


def test_no_match_is_an_empty_array(yard: App) -> None:
    assert b'{"models":[],"pagination":{"next_cursor":""}}' == yard.ask("/v3/model").body


def test_a_link_is_there_only_where_the_server_gives_one(tmp_path: Path) -> None:
    blob = "ab" * 32

    def link_for(sha256: str, label: str) -> str:
        return f"https://files.example/{sha256}/{label}" if "two" not in label else ""

    with open_app(tmp_path, link_for=link_for) as yard:
        yard.put(
            a_model(1, blob=blob, sd_name='on"e.safetensors'),
            a_model(2, blob=blob, sd_name="two.safetensors"),
            a_model(3),
            a_model(4, blob=blob, status=Status.UNAVAILABLE),
        )
        models = yard.ask("/v3/model").json["models"]

    assert [f"https://files.example/{blob}/on%22e.safetensors", None, None, None] == [
        model.get("download_url") for model in models
    ]
    assert ["status", "download_url", "tags"] == list(models[0])[6:9]


def test_a_link_is_made_anew_for_each_answer(tmp_path: Path) -> None:
    numbers = iter(range(10))
    with open_app(tmp_path, link_for=lambda _sha256, _label: f"https://files.example/{next(numbers)}") as yard:
        yard.put(a_model(1, blob="ab" * 32))
        first, second = yard.ask("/v3/model"), yard.ask("/v3/model")

    assert ["https://files.example/0", "https://files.example/1"] == [
        reply.json["models"][0]["download_url"] for reply in (first, second)
    ]
    assert first.headers["etag"] != second.headers["etag"]


def test_what_was_asked_before_is_answered_anew_after_every_change(yard: App) -> None:
    answers = []
    for change in (
        lambda: yard.put(a_model(1)),
        lambda: yard.put(a_model(2), a_private(1_000_000_001, "red"), a_private(1_000_000_002, "blue")),
        lambda: yard.remove(1),
        lambda: yard.put(a_model(2, name="renamed")),
    ):
        change()
        answers.append([yard.ask("/v3/model", team).json["models"] for team in ("red", "blue", "red", "blue")])

    for red, blue, red_again, blue_again in answers:
        assert (red, blue) == (red_again, blue_again)
    assert [[1], [1_000_000_001, 2, 1], [1_000_000_001, 2], [1_000_000_001, 2]] == [
        sorted((model["id"] for model in red), reverse=True) for red, *_ in answers
    ]
    assert "renamed" in {model["name"] for model in answers[-1][1]}


@pytest.mark.parametrize("ttl", [1, 3600])
def test_the_links_life_is_a_setting(tmp_path: Path, ttl: int) -> None:
    from modelyard.catalog import open_catalog
    from modelyard.domain import ANONYMOUS, ModelQuery

    with open_app(tmp_path) as yard:
        yard.put(a_model(1))
        page = open_catalog(yard.store, ttl_seconds=ttl).search(ANONYMOUS, ModelQuery())

    assert ttl == json.loads(wire.fill_holes(page.records[0], lambda *_: ""))["download_url_ttl"]


# --- ETag, 304, gzip, totals


def test_an_answer_says_how_it_may_be_kept(stocked: App) -> None:
    headers = stocked.ask("/v3/model").headers

    assert "private, no-cache" == headers["cache-control"]
    assert {"Authorization", "Accept-Encoding"} == set(headers["vary"].split(", "))
    assert re.fullmatch(r'"[0-9a-f]{30}"', headers["etag"])


@pytest.mark.parametrize("condition", ["{}", "W/{}", '"a", {}', '"a",W/"b" , {}', "*", ' {} , "x"', "{}, {}"])
@pytest.mark.parametrize("encoding", ["", "gzip"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_has_not_changed_is_not_sent_again(stocked: App, condition: str, encoding: str, method: str) -> None:
    first = stocked.ask("/v3/model", accept_encoding=encoding)
    tag = first.headers["etag"]
    again = stocked.ask(
        "/v3/model", method=method, accept_encoding=encoding, if_none_match=condition.replace("{}", tag)
    )

    assert (304, b"", tag) == (again.status, again.body, again.headers["etag"])
    assert "content-type" not in again.headers
    assert "content-length" not in again.headers
    assert {"cache-control", "vary", "access-control-allow-origin"} <= set(again.headers)


@pytest.mark.parametrize("condition", ['"other"', 'W/"other"', "", "{}x", "etag", '"*"', "{bare}"])
def test_what_is_not_the_same_is_sent(stocked: App, condition: str) -> None:
    tag = stocked.ask("/v3/model").headers["etag"]
    reply = stocked.ask(
        "/v3/model", if_none_match=condition.replace("{bare}", tag.strip('"')).replace("{}x", tag[:-1] + 'x"')
    )

    assert 200 == reply.status


def test_a_change_changes_the_tag_and_only_a_change_does(yard: App) -> None:
    yard.put(a_model(1))
    before = yard.ask("/v3/model").headers["etag"]
    same = yard.ask("/v3/model?filter.visibility=public").headers["etag"]
    yard.put(a_model(1, name="other"))
    after = yard.ask("/v3/model").headers["etag"]

    assert before == same != after


def test_an_error_is_not_made_a_304(yard: App) -> None:
    assert 400 == yard.ask("/v3/model?pagination.limit=x", if_none_match="*").status


@pytest.mark.parametrize(
    ("accepted", "squeezed"),
    [
        ("gzip", True),
        ("gzip, deflate, br", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("*", True),
        ("gzip;q=0.5", True),
        ("gzip ; q=1.000, identity;q=0.5", True),
        ("identity;q=0, gzip", True),
        ("br;q=1.0, *;q=0.1", True),
        ("", False),
        ("identity", False),
        ("deflate, br", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000, *", False),
        ("identity, gzip;q=0.5", False),
        ("gzip;q=2", False),
        ("gzip;q=abc", False),
        ("\x00\xff;;;,,,=", False),
        ("gzip" * 5000, False),
    ],
)
def test_gzip_is_used_where_it_is_asked_for(forty: App, accepted: str, squeezed: bool) -> None:
    plain = forty.ask("/v3/model")
    reply = forty.ask("/v3/model", accept_encoding=accepted)

    assert squeezed == (reply.headers.get("content-encoding") == "gzip")
    assert plain.body == (gzip.decompress(reply.body) if squeezed else reply.body)
    assert str(len(reply.body)) == reply.headers["content-length"]
    # A strong tag names one sequence of bytes; the two representations are two.
    assert squeezed == (plain.headers["etag"] != reply.headers["etag"])


def test_a_small_answer_is_not_squeezed(yard: App) -> None:
    assert "content-encoding" not in yard.ask("/v3/model", accept_encoding="gzip").headers


def test_the_tag_of_one_representation_does_not_answer_for_the_other(forty: App) -> None:
    plain = forty.ask("/v3/model").headers["etag"]

    assert 200 == forty.ask("/v3/model", accept_encoding="gzip", if_none_match=plain).status


@pytest.mark.parametrize(
    ("asked", "total"),
    [
        ("", 40),
        ("pagination.limit=3", 40),
        ("pagination.cursor=c_39", 40),
        ("filter.query=model1", 11),
        ("filter.types=vae", 0),
    ],
)
def test_the_number_of_all_matches_is_told_who_asks(forty: App, asked: str, total: int) -> None:
    reply = forty.ask(f"/v3/model?{asked}", prefer="count=exact")

    assert str(total) == reply.headers["modelyard-total"]
    assert "count=exact" == reply.headers["preference-applied"]


def test_a_total_is_told_with_a_304_too(forty: App) -> None:
    reply = forty.ask("/v3/model", prefer="count=exact, handling=strict", if_none_match="*")

    assert (304, "40") == (reply.status, reply.headers["modelyard-total"])
    assert "handling=strict, count=exact" == reply.headers["preference-applied"]


def test_no_total_is_told_who_does_not_ask(forty: App) -> None:
    assert "modelyard-total" not in forty.ask("/v3/model").headers


# --- beyond the document: a nearer spelling, and counts


@pytest.mark.parametrize(
    ("asked", "suggested"),
    [
        ("filter.query=jibmixrealistik", "jibmixrealisticxl"),
        ("filter.query=animee", "anime"),
        ("filter.query=anime", None),
        ("filter.query=qqqqqqqqqq", None),
        ("filter.query=animee&pagination.cursor=c_1", None),
        ("filter.types=vae&filter.is_sdxl=true", None),
    ],
)
def test_where_a_search_finds_nothing_a_spelling_that_does_is_offered(
    stocked: App, asked: str, suggested: str | None
) -> None:
    assert suggested == stocked.ask(f"/v3/model?{asked}").headers.get("modelyard-suggestion")


def test_a_suggestion_in_any_script_fits_a_header(yard: App) -> None:
    yard.put(a_model(1, name="Ёлочка"), a_model(2))

    suggested = yard.ask("/v3/model?filter.query=" + quote("ёлочкка")).headers["modelyard-suggestion"]
    assert "ёлочка" == unquote(suggested)
    assert suggested.isascii()


def test_no_suggestion_is_made_of_another_teams_words(yard: App) -> None:
    yard.put(a_model(1), a_private(1_000_000_001, "blue", name="unmistakable"))

    assert "modelyard-suggestion" not in yard.ask("/v3/model?filter.query=unmistakeable").headers
    assert "unmistakable" == yard.ask("/v3/model?filter.query=unmistakeable", "blue").headers["modelyard-suggestion"]


def test_facets_count_what_matches_by_its_properties(stocked: App) -> None:
    counted = stocked.ask("/v3/model/facets?filter.visibility=public&pagination.limit=1&pagination.cursor=c_5").json

    assert ["total", "types", "sources", "base_models", "tags"] == list(counted)
    assert 6 == counted["total"]
    assert [{"name": "civitai", "count": 6}] == counted["sources"]
    assert {"checkpoint": 1, "lora": 1, "locon": 1, "dora": 1, "vae": 1, "poses": 1} == {
        count["name"]: count["count"] for count in counted["types"]
    }
    assert {"name": "anime", "count": 2} == counted["tags"][0]
    assert {"name": "sd 1.5", "count": 4} == counted["base_models"][0]


def test_facets_take_the_same_questions_as_the_list(stocked: App) -> None:
    for asked in ("filter.types=lora", "filter.query=realistic", "filter[is_sdxl]=1", "type=vae", "filter.tags=anime"):
        listed = stocked.ask(f"/v3/model?{asked}", prefer="count=exact").headers
        counted = stocked.ask(f"/v3/model/facets?{asked}")

        assert int(listed["modelyard-total"]) == counted.json["total"]
        assert listed.get("modelyard-ignored-parameters") == counted.headers.get("modelyard-ignored-parameters")
    assert 400 == stocked.ask("/v3/model/facets?type=vae", prefer="handling=strict").status
    assert 400 == stocked.ask("/v3/model/facets?filter.is_sdxl=x").status


# --- 3. The other routes that read


def test_a_user_is_its_keys_team_and_scopes(yard: App) -> None:
    reply = yard.ask("/v3/user", authorization=yard.key("red", Scope.WRITE, Scope.READ))

    assert (200, {"team": "red", "scopes": ["read", "write"]}) == (reply.status, reply.json)


def test_a_stranger_who_is_let_in_has_no_team(open_yard: App) -> None:
    assert {"team": None, "scopes": ["read"]} == open_yard.ask("/v3/user", None).json


def test_metadata_are_the_words_of_the_catalogue(stocked: App) -> None:
    metadata = stocked.ask("/v3/metadata").json

    assert ["model_types", "model_categories", "base_models", "base_model_types", "supported_file_extensions"] == list(
        metadata
    )
    assert {"name": "checkpoint", "display_name": "Checkpoint"} == metadata["model_types"][0]
    assert {"name": "poses", "display_name": "Poses"} in metadata["model_types"]
    assert {"id": 100_000, "name": "realistic"} == metadata["model_categories"][0]
    assert {"SD 1.5", "SDXL 1.0", "Pony", "Illustrious"} <= set(metadata["base_models"])
    assert list(BASE_MODEL_TYPES) == metadata["base_model_types"]
    assert "safetensors" == metadata["supported_file_extensions"][0]


def test_metadata_do_not_tell_of_types_and_bases_that_only_others_have(yard: App) -> None:
    facts = Facts(name="x", sd_name="x.safetensors", type=model_type("secretkind"), base_model="Secret Base 1")
    record = Record(None, Source.UPLOADING, Layer.USER, facts, Visibility.PRIVATE, "blue")
    assert ["added"] == [outcome.result for outcome in yard.catalog.register_many([record])]

    mine, theirs = yard.ask("/v3/metadata", "red").body, yard.ask("/v3/metadata", "blue").body
    assert b"secret" not in mine.lower()
    assert b"secretkind" in theirs
    assert b"Secret Base 1" in theirs


def test_the_operators_routes_need_no_key(yard: App) -> None:
    yard.put(a_model(1))
    yard.ask("/v3/model")

    assert {"status": "ok"} == yard.ask("/healthz", None).json
    figures = yard.ask("/metrics", None)
    assert figures.headers["content-type"].startswith("text/plain")
    assert b'modelyard_requests_total{method="GET",route="/v3/model",status="200"} 1.0' in figures.body
    assert b"modelyard_catalog_revision 1.0" in figures.body


def test_made_up_paths_and_methods_make_no_series_of_their_own(yard: App) -> None:
    for number in range(5):
        yard.ask(f"/nowhere/{number}", method=f"M{number}")
    figures = yard.ask("/metrics", None).body.decode()

    assert 'modelyard_requests_total{method="other",route="unmatched",status="404"} 5.0' in figures
    assert "nowhere" not in figures
    assert "M3" not in figures


# --- the log and the request's id


def test_a_request_is_logged_without_what_is_the_callers_own(yard: App) -> None:
    key = yard.key()
    yard.ask("/v3/model?filter.query=secretword", x_request_id="caller-chosen-7")
    yard.ask("/secretpath", None, authorization="sk_secretkey")

    first, second = yard.lines()
    assert ("request", "info", "GET", "/v3/model", 200, "red", "caller-chosen-7") == tuple(
        first[name] for name in ("event", "level", "method", "route", "status", "team", "request_id")
    )
    assert first["us"] > 0
    assert (404, None, None) == (second["status"], second["route"], second["team"])
    logged = yard.logged.getvalue()
    assert "secret" not in logged
    assert key not in logged


def test_an_error_and_who_sent_an_id_are_told_the_id(yard: App) -> None:
    ours = yard.ask("/v3/none").headers["x-request-id"]
    given = yard.ask("/v3/model", x_request_id="caller-chosen-7").headers["x-request-id"]

    assert re.fullmatch(r"[0-9a-f]{16}", ours)
    assert "caller-chosen-7" == given
    assert [ours, given] == [line["request_id"] for line in yard.lines()]
    assert "x-request-id" not in yard.ask("/v3/model").headers


@pytest.mark.parametrize("given", ["short", "x" * 65, "new\nline" * 2, 'quote"quote"', "sp ace sp ace", ""])
def test_an_id_that_could_mislead_is_not_taken_over(yard: App, given: str) -> None:
    ours = yard.ask("/v3/none", x_request_id=given).headers["x-request-id"]

    assert given != ours
    assert re.fullmatch(r"[0-9a-f]{16}", ours)


def test_ids_are_unique(yard: App) -> None:
    assert 50 == len({yard.ask("/v3/none").headers["x-request-id"] for _ in range(50)})


# --- tenancy, over generated catalogues


@pytest.fixture(scope="module")
def empty_world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The folder of an empty Modelyard with keys for two teams, and the keys: copying it is faster than making it."""
    home = tmp_path_factory.mktemp("empty")
    with open_app(home, anonymous_access="public") as yard:
        for team in ("red", "nobody"):
            yard.key(team)
        return home, yard.keys


@given(
    st.lists(strategies.models(), min_size=4, max_size=25, unique_by=lambda model: model.id),
    st.lists(
        st.sampled_from(
            [
                "",
                "filter.visibility=private",
                "filter.types=lora&filter.types=nonsense",
                "filter.query=real",
                "filter.query=手&pagination.limit=2",
                "filter.tags=anime",
                "filter.base_model=SD_1.5",
                "filter.source=uploading",
                "filter.model_version_id=7",
                "filter.hash=" + "0" * 10,
                "pagination.limit=1&pagination.cursor=c_2",
                "pagination.limit=3&pagination.cursor=" + cursor(2, 20),
                "filter.is_sdxl=true&filter.is_nsfw=false",
                "filter.types=poses",
                "filter.query=reall",
                "filter.query=anatomicale",
            ]
        ),
        min_size=1,
        max_size=5,
    ),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_tells_of_another_teams_private_models(
    empty_world: tuple[Path, dict[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
    catalogue: list[Model],
    questions: list[str],
) -> None:
    """Two worlds that differ only in what blue keeps private: red and strangers cannot tell them apart."""

    def is_blues(model: Model) -> bool:
        return model.visibility == "private" and model.team == "blue"

    empty, keys = empty_world
    worlds = []
    for models in (catalogue, [model for model in catalogue if not is_blues(model)]):
        home = tmp_path_factory.mktemp("world")
        shutil.copytree(empty, home, dirs_exist_ok=True)
        with open_app(home, anonymous_access="public") as yard:
            yard.keys |= keys
            yard.put(*models)
            told = []
            for team in ("red", "nobody", None):
                for target in (
                    *(f"/v3/model?{question}" for question in questions),
                    "/v3/metadata",
                    "/v3/user",
                    f"/v3/model/facets?{questions[0]}",
                ):
                    reply = yard.ask(target, team, prefer="count=exact", accept_encoding="gzip")
                    headers = {name: value for name, value in reply.headers.items() if name != "x-request-id"}
                    told.append((target, team, reply.status, headers, reply.body))
            worlds.append(told)

    assert worlds[0] == worlds[1]
