"""The pages in docs/api and the server's own descriptions say what the parser does, and their examples run.

``MODELYARD_WRITE_DOCS=1 pytest tests/web/api/test_docs_page.py`` writes the tables of docs/api again. How the page at
/docs looks and works in a browser is not covered here.
"""

import functools
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from modelyard import wire
from modelyard.domain import COVER_WIDTHS, MODEL_TYPES, Scope
from modelyard.web import static_files
from modelyard.web.bodies import JSON_BYTES_MAX
from modelyard.web.openapi import document as openapi_document
from modelyard.web.pages.api_docs import format_code
from modelyard.web.routing import Kind
from tests import requirements
from tests.app_fixture import Address, App, a_model, a_private, listening, open_app

FOLDER = Path(__file__).parents[3] / "docs" / "api"
PAGES = sorted(FOLDER.glob("*.md"))


# --- docs/api


def text_of_all_pages() -> str:
    return "\n".join(text_of(page.name) for page in PAGES)


def text_of(page_name: str) -> str:
    return (FOLDER / page_name).read_text(encoding="utf-8")


def parameter_table() -> str:
    rows = ["| Parameter | Accepted | Meaning |", "|---|---|---|"]
    for parameter in wire.PARAMETERS:
        allowed = parameter.allowed
        accepted = allowed if isinstance(allowed, str) else " ".join(f"`{value}`" for value in allowed)
        note = "" if parameter.documented else " *(beyond the vendor's document)*"
        rows.append(f"| `{parameter.name}` | {accepted} | {parameter.meaning}{note} Example: `{parameter.example}` |")
    return "\n".join(rows)


def field_table() -> str:
    kinds = openapi_document.document()["components"]["schemas"]["ModelRecord"]["properties"]
    rows = ["| Field | Type | |", "|---|---|---|"]
    rows += [f"| `{name}` | {kinds[name].get('type', 'object')} | {wire.FIELD_MEANINGS[name]} |" for name in kinds]
    return "\n".join(rows)


def error_table() -> str:
    rows = ["| Status | Reason |", "|---|---|"]
    rows += [f"| {status} | `{reason}` |" for status, reason in sorted(set(wire.ERROR_ANSWERS.values()))]
    return "\n".join(rows)


@pytest.mark.parametrize(
    ("page_name", "name", "table"),
    [
        ("list-models.md", "parameters", parameter_table()),
        ("list-models.md", "fields", field_table()),
        ("errors.md", "errors", error_table()),
    ],
)
def test_a_table_says_what_the_code_does(page_name: str, name: str, table: str) -> None:
    page = FOLDER / page_name
    text = page.read_text(encoding="utf-8")
    begun, ended = re.search(rf"<!-- {name}: .*? -->\n", text), "<!-- end -->"
    assert begun is not None
    end = text.index(ended, begun.end())
    if os.environ.get("MODELYARD_WRITE_DOCS"):
        page.write_text(text[: begun.end()] + table + "\n" + text[end:], encoding="utf-8")

    assert table + "\n" == text[begun.end() : end]


def test_every_route_is_documented() -> None:
    routes = set(re.findall(r"`GET (/[\w./-]*)`", text_of_all_pages()))
    read = {
        path for path, methods in openapi_document.document()["paths"].items() if "get" in methods and "{" not in path
    }

    assert {*read, "/metrics", "/openapi.json", "/docs"} == routes


def test_the_document_has_every_route_and_method_of_the_api(stocked: App) -> None:
    """Pages for people, and what is read by programs of an operator, are no part of it."""
    paths = {path: {*methods, "options"} for path, methods in openapi_document.document()["paths"].items()}
    filled = {
        "{hash}": 64 * "a",
        "{id}": "1",
        "{key}": "sk_x",
        "{namespace}": "red",
        "{path}": "README.md",
        "{revision}": "main",
        "{session}": "1",
        "{upload}": 32 * "a",
        "{sha256}": 64 * "a",
        "{label}": "a",
        "{name}": 32 * "a",
        "{width}": "640.webp",
    }

    def allowed_at(path: str) -> set[str]:
        asked = functools.reduce(lambda text, name: text.replace(name, filled[name]), filled, path)
        headers = stocked.ask(asked, None, method="OPTIONS").headers
        return {*headers["access-control-allow-methods"].lower().split(", ")}

    for methods in paths.values():
        methods |= {"head"} if "get" in methods else set()
    api = {re.sub(r":\w+}", "}", route.path) for route in stocked.app._app.table if route.kind is not Kind.PAGE}

    assert {*paths, "/metrics", "/openapi.json", "/static/{name}"} == api
    # An upload takes the methods of tus wherever it is asked for.
    for path, methods in paths.items():
        under = path.partition("/{")[0]
        below = {method for other in paths if other.partition("/{")[0] == under for method in paths[other]}
        assert methods <= allowed_at(path) <= below, path


def test_the_example_of_an_error_is_one(stocked: App) -> None:
    (example,) = re.findall(r"```json\n(.*?)```", text_of("errors.md"), re.DOTALL)

    assert json.loads(example) == stocked.ask("/v3/model?filter.is_sdxl=yes").json


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    lora = MODEL_TYPES["lora"]
    with open_app(tmp_path_factory.mktemp("documented")) as opened:
        opened.put(
            *(a_model(number, type=lora, sd_name=f"nightHarbour_{number}.safetensors") for number in range(1, 200)),
            a_private(1_000_000_001, "red"),
        )
        yield opened


@pytest.fixture(scope="module")
def address(stocked: App) -> Iterator[Address]:
    with listening(stocked) as bound:
        yield bound


CALLS = re.findall(r"^(curl .*?) +# (\d{3})$", text_of_all_pages(), re.MULTILINE)


def test_every_example_of_a_call_says_what_it_gives() -> None:
    assert len(CALLS) == text_of_all_pages().count("\ncurl ")


@pytest.mark.parametrize(("call", "status"), CALLS)
def test_an_example_of_a_call_gives_what_it_says(stocked: App, address: Address, call: str, status: str) -> None:
    requirements.program("curl")
    run = subprocess.run(
        ["sh", "-c", call + " -s --noproxy '*' -o /dev/null -w '%{http_code}'"],
        env=os.environ | {"URL": address.url, "KEY": stocked.key("red", *Scope)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert status == run.stdout


NAMES = "".join(f"nightHarbour_{number}\n" for number in range(1, 6))


def test_the_python_example_runs(stocked: App, address: Address, capsys: pytest.CaptureFixture[str]) -> None:
    requirements.module("novita_client")
    (example,) = re.findall(r"```python\n(.*?)```", text_of("clients.md"), re.DOTALL)
    exec(compile(example, str(FOLDER), "exec"), {"key": stocked.key(), "url": address.url})

    assert NAMES == capsys.readouterr().out


def test_the_javascript_example_runs(sdk_folder: Path, stocked: App, address: Address) -> None:
    (example,) = re.findall(r"```js\n(.*?)```", text_of("clients.md"), re.DOTALL)
    known = f"const key = {json.dumps(stocked.key())}, url = {json.dumps(address.url)};\n"
    run = subprocess.run(
        [requirements.program("node"), "-e", known + example],
        cwd=sdk_folder,
        env=os.environ | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (NAMES, "") == (run.stdout, run.stderr)


# --- the OpenAPI document


def test_the_document_is_served(stocked: App) -> None:
    reply = stocked.ask("/openapi.json", None)

    assert (200, "application/json") == (reply.status, reply.headers["content-type"])
    assert openapi_document.document() == reply.json


def test_every_parameter_is_in_it_with_an_example_its_schema_takes() -> None:
    described = {
        parameter["name"]: parameter
        for parameter in openapi_document.document()["paths"]["/v3/model"]["get"]["parameters"]
        if parameter["in"] == "query"
    }

    assert [parameter.name for parameter in wire.PARAMETERS] == list(described)
    for parameter in described.values():
        assert parameter["description"]
        assert jsonschema_rs.is_valid(parameter["schema"], parameter["example"]), parameter["name"]


def test_every_error_that_a_listing_may_give_is_in_it_with_an_example() -> None:
    responses = openapi_document.document()["paths"]["/v3/model"]["get"]["responses"]

    assert {"200", "304", "400", "401", "403", "414", "429", "500", "503"} == set(responses)
    for status, response in responses.items():
        if int(status) >= 400:
            for reason, example in response["content"]["application/json"]["examples"].items():
                assert (int(status), reason) == (example["value"]["code"], example["value"]["reason"])
                assert jsonschema_rs.is_valid(resolved("Error"), example["value"])


def resolved(name: str) -> dict[str, Any]:
    document = openapi_document.document()
    return {"$ref": f"#/components/schemas/{name}", "components": document["components"]}


def test_real_answers_are_what_the_document_says(stocked: App) -> None:
    for target, name in (
        ("/v3/model", "ModelPage"),
        ("/v3/model/facets", "FacetsAnswer"),
        ("/v3/user", "User"),
        ("/v3/metadata", "Metadata"),
        ("/healthz", "Health"),
        ("/v3/model?pagination.limit=x", "Error"),
    ):
        jsonschema_rs.validate(resolved(name), stocked.ask(target).json)


def test_the_examples_page_is_what_the_document_says() -> None:
    jsonschema_rs.validate(resolved("ModelPage"), openapi_document.example_page())


def test_the_names_and_limits_in_the_document_are_those_of_the_code() -> None:
    text = json.dumps(openapi_document.document())
    suggestions = {wire.SUGGESTION_HEADER, wire.FILTER_SUGGESTION_HEADER}
    headers = {wire.IGNORED_HEADER, wire.TOTAL_HEADER, wire.REVISION_HEADER, *suggestions}
    cover = openapi_document.document()["paths"]["/covers/{name}/{width}"]["get"]["parameters"][1]

    assert {*headers, wire.MIN_REVISION_HEADER} == set(re.findall(r"Modelyard(?:-[A-Z][a-z]+)+", text))
    assert [f"{width}.webp" for width in COVER_WIDTHS] == cover["schema"]["enum"]
    assert f'"limit_bytes": {wire.QUERY_STRING_BYTES_MAX}' in text
    assert f'"limit_bytes": {JSON_BYTES_MAX}' in text


# --- the page at /docs


@pytest.fixture(scope="module")
def page(stocked: App) -> str:
    reply = stocked.ask("/docs", None)
    assert "text/html; charset=utf-8" == reply.headers["content-type"]
    return reply.body.decode()


def test_the_page_names_every_parameter_and_lets_it_be_tried(page: str) -> None:
    for parameter in wire.PARAMETERS:
        assert f'id="{parameter.name}"' in page
        assert f'name="{parameter.name}"' in page


def test_what_the_table_says_is_text_on_the_page(page: str) -> None:
    assert "`" not in page
    assert "<code>lora</code> means the family" in page


def test_the_page_names_the_errors_of_the_route(page: str) -> None:
    assert {"INVALID_ARGUMENT", "MISSING_API_KEY", "INVALID_API_KEY", "API_NOT_ALLOWED"} <= set(
        re.findall(r"<code>([A-Z_]+)</code>", page)
    )


def test_the_page_runs_nothing_inline_and_loads_nothing_from_elsewhere(stocked: App, page: str) -> None:
    policy = stocked.ask("/docs", None).headers["content-security-policy"]

    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=|javascript:", page)
    assert not re.search(r"""(?:src|href|action)=["'](?:https?:)?//""", page)


def test_what_the_page_loads_is_there_and_may_be_kept_for_ever(stocked: App, page: str) -> None:
    loaded = re.findall(r"""(?:src|href)="(/static/[^"]+)""", page)

    assert {"docs.css", "docs.js", "icon.svg", "page.css", "page.js", "shortcuts.js"} == {
        address.split("/")[2].split("?")[0] for address in loaded
    }
    for address in loaded:
        reply = stocked.ask(address, None)
        assert 200 == reply.status
        assert "immutable" in reply.headers["cache-control"]
        assert "nosniff" == reply.headers["x-content-type-options"]
        assert "immutable" not in stocked.ask(address.split("?")[0] + "?v=old", None).headers["cache-control"]


def test_every_static_file_is_served(stocked: App) -> None:
    assert static_files.static_names()
    for name in static_files.static_names():
        assert 200 == stocked.ask(f"/static/{name}", None).status


def test_parts_between_backticks_are_code_and_all_is_escaped() -> None:
    assert "a <code>&lt;b&gt;</code> &lt;c&gt; <code>d</code>" == str(format_code("a `<b>` <c> `d`"))
    assert "a &amp; b" == str(format_code("a & b"))
