"""``/docs``: the API reference with a form to try it, made from the parser's table of parameters.

The examples contain this server's address, so that readers can copy and run them. The tests run them as well.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlencode

import msgspec
from markupsafe import Markup, escape

from modelyard import wire
from modelyard.web.openapi.document import document, example_page, listing_errors, request_headers
from modelyard.web.pages.page import PageContext, PageRequest, render_page
from modelyard.web.responses import Response
from modelyard.web.routing import Kind, Route

# All examples send the same query. The names of its parameters come from the parser's table.
_TYPE, _WORDS, _LIMIT = "lora", "night", 2
EXAMPLE_QUERY = urlencode({wire.NAMES["types"]: _TYPE, wire.NAMES["terms"]: _WORDS, wire.NAMES["limit"]: _LIMIT})


@dataclass(frozen=True, slots=True)
class Example:
    """The example request in one language. ``needs`` is the command that installs its client."""

    name: str
    language: str
    needs: str
    code: str


@dataclass(frozen=True, slots=True)
class RouteRow:
    """One method of one route, as the reference lists it."""

    method: str
    path: str
    needs: str
    summary: str


def show(context: PageContext, table: Sequence[Route], page_request: PageRequest) -> Response:
    """Show the API reference."""
    failures = [(error.status, msgspec.json.decode(error.body)) for error in map(wire.render_error, listing_errors())]
    return render_page(
        page_request,
        "api_docs.html",
        parameters=wire.PARAMETERS,
        routes=list_routes(table),
        request_headers=request_headers(),
        total_header=wire.TOTAL_HEADER,
        ignored_header=wire.IGNORED_HEADER,
        suggestion_header=wire.SUGGESTION_HEADER,
        fields=_list_fields(),
        failures=failures,
        example_response=_format_example_response(),
        examples=[*make_examples(context.base_of(page_request.request))],
        format_code=format_code,
    )


def list_routes(table: Sequence[Route]) -> list[RouteRow]:
    """Return a row for each method of each route, with the summary of the OpenAPI document."""
    paths = document()["paths"]
    rows = []
    for route in table:
        path = re.sub(r":\w+\}", "}", route.path)
        scope = f", scope {route.scope}" if route.scope else ""
        for method in route.methods.split():
            summary = paths.get(path, {}).get(method.lower(), {}).get("summary", "")
            if route.kind is Kind.PAGE:
                summary = "A page, or a part of one"
            rows.append(RouteRow(method, path, f"{route.kind.value}{scope}", summary))
    return rows


def make_examples(base: str) -> Iterator[Example]:
    """Yield the example request in several languages. Each reads the API key from the environment variable ``KEY``."""
    yield Example(
        "curl",
        "sh",
        "",
        f"curl -H \"Authorization: Bearer $KEY\" \\\n  '{base}/v3/model?{EXAMPLE_QUERY}'",
    )
    yield Example(
        "Python, Modelyard client",
        "python",
        "pip install modelyard",
        f"""import os
from itertools import islice

from modelyard.client import Client

with Client({base!r}, os.environ["KEY"]) as client:
    models = client.models(types={_TYPE!r}, query={_WORDS!r})
    for model in islice(models, {_LIMIT}):
        print(model.id, model.sd_name)""",
    )
    yield Example(
        "Python, Novita client",
        "python",
        "pip install novita-client",
        f"""import os

from novita_client import NovitaClient

client = NovitaClient(os.environ["KEY"], {base!r})
page = client.query_model_v3(types={_TYPE!r}, query={_WORDS!r}, limit={str(_LIMIT)!r})
for model in page.models:
    print(model.sd_name)""",
    )
    yield Example(
        "JavaScript",
        "javascript",
        "",
        f"""const parameters = new URLSearchParams({{
  "{wire.NAMES["types"]}": "{_TYPE}",
  "{wire.NAMES["terms"]}": "{_WORDS}",
  "{wire.NAMES["limit"]}": "{_LIMIT}",
}});
const response = await fetch("{base}/v3/model?" + parameters, {{
  headers: {{ Authorization: "Bearer " + process.env.KEY }},
}});
const {{ models, pagination }} = await response.json();
for (const model of models) console.log(model.id, model.sd_name);""",
    )


@cache
def _format_example_response() -> str:
    return msgspec.json.format(msgspec.json.encode(example_page()), indent=2).decode()


@cache
def _list_fields() -> list[tuple[str, str, str]]:
    kinds = document()["components"]["schemas"][wire.ModelRecord.__name__]["properties"]
    return [(name, kinds[name].get("type", "object"), wire.FIELD_MEANINGS[name]) for name in kinds]


def format_code(text: str) -> Markup:
    """Return a text, escaped, with the parts between backticks formatted as code."""
    html = Markup("")
    for number, part in enumerate(text.split("`")):
        html += Markup("<code>{}</code>").format(part) if number % 2 else escape(part)
    return html
