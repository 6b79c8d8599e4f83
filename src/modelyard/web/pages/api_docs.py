"""``/docs``: the API on one page, to read and to try, made from the table that the parser reads.

The calls shown begin with the address that the reader came by, so that they can be copied as they are; tests run them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlencode

import msgspec
from markupsafe import Markup, escape

from modelyard import wire
from modelyard.web.openapi.document import document, example_page, listing_errors, request_headers
from modelyard.web.pages.page import Site, Visit, page
from modelyard.web.responses import Response

# One question for all the examples: its parameters as the table spells them, its values as the table accepts them.
_TYPE, _WORDS, _LIMIT = "lora", "night", 2
QUESTION = urlencode({wire.NAMES["types"]: _TYPE, wire.NAMES["terms"]: _WORDS, wire.NAMES["limit"]: _LIMIT})


@dataclass(frozen=True, slots=True)
class Example:
    """The same call in another language. ``needs`` is what has to be installed for it."""

    name: str
    language: str
    needs: str
    code: str


def show(site: Site, visit: Visit) -> Response:
    """Answer the page."""
    failures = [
        (answer.status, msgspec.json.decode(answer.body)) for answer in map(wire.render_error, listing_errors())
    ]
    return page(
        visit,
        "reference.html",
        parameters=wire.PARAMETERS,
        request_headers=request_headers(),
        total_header=wire.TOTAL_HEADER,
        ignored_header=wire.IGNORED_HEADER,
        suggestion_header=wire.SUGGESTION_HEADER,
        fields=_fields(),
        failures=failures,
        answer=_answer(),
        examples=[*examples(site.base_of(visit.request))],
        with_code=with_code,
    )


def examples(base: str) -> Iterator[Example]:
    """Yield the question in the languages that people ask it in; ``KEY`` in the environment is theirs."""
    yield Example(
        "curl",
        "sh",
        "",
        f"curl -H \"Authorization: Bearer $KEY\" \\\n  '{base}/v3/model?{QUESTION}'",
    )
    yield Example(
        "Python, our client",
        "python",
        "pip install modelyard",
        f"""import os
from itertools import islice

from modelyard.client import Client

with Client({base!r}, os.environ["KEY"]) as client:
    found = client.models(types={_TYPE!r}, query={_WORDS!r})
    for model in islice(found, {_LIMIT}):
        print(model.id, model.sd_name)""",
    )
    yield Example(
        "Python, the vendor’s client",
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
        f"""const asked = new URLSearchParams({{
  "{wire.NAMES["types"]}": "{_TYPE}",
  "{wire.NAMES["terms"]}": "{_WORDS}",
  "{wire.NAMES["limit"]}": "{_LIMIT}",
}});
const answer = await fetch("{base}/v3/model?" + asked, {{
  headers: {{ Authorization: "Bearer " + process.env.KEY }},
}});
const {{ models, pagination }} = await answer.json();
for (const model of models) console.log(model.id, model.sd_name);""",
    )


@cache
def _answer() -> str:
    return msgspec.json.format(msgspec.json.encode(example_page()), indent=2).decode()


@cache
def _fields() -> list[tuple[str, str, str]]:
    kinds = document()["components"]["schemas"][wire.ModelRecord.__name__]["properties"]
    return [(name, kinds[name].get("type", "object"), wire.FIELD_MEANINGS[name]) for name in kinds]


def with_code(text: str) -> Markup:
    """Return a sentence of ours, escaped, with what stands between backticks set as code."""
    said = Markup("")
    for at, part in enumerate(text.split("`")):
        said += Markup("<code>{}</code>").format(part) if at % 2 else escape(part)
    return said
