"""The API's spelling: every parameter in every form, every cursor, every field of an answer, every error.

What a question finds is not here (test_index.py), nor how it travels (test_listing.py): this is text in, values out,
and back.
"""

import base64
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from modelyard import errors, wire
from modelyard.domain import (
    DOCUMENTED_TYPES,
    MODEL_TYPES,
    SIZE_CLASSES,
    SORTS,
    Hashes,
    Model,
    ModelQuery,
    ModelType,
    Offset,
    Position,
    SortPosition,
    Source,
    Status,
    Visibility,
)
from modelyard.wire.parameters import CURSOR_CHARS_MAX
from tests.real_input import data_dir

LORAS = frozenset({"lora", "locon", "dora"})
SHA256 = "9C0F63A1D5" + 54 * "0"
TRUE = ("1", "t", "T", "TRUE", "true", "True")
FALSE = ("0", "f", "F", "FALSE", "false", "False")
POSITION_CURSOR = "c_WzgwNDY2NiwiNTUxOTkiXQ=="
BOOLEANS: list[tuple[str, object]] = [*((text, True) for text in TRUE), *((text, False) for text in FALSE)]
NOT_BOOLEANS: list[tuple[str, object]] = ["yes", "tRUE", "2", "-1", " true", "null", "on", "true,false"]


def signed(*values: str) -> list[tuple[str, object]]:
    """Values of an enumerated filter, each alone and excluded."""
    return [(sign + value, frozenset({sign + value})) for value in values for sign in ("", "!")]


# What each parameter takes, and the value that the question then has.
TAKEN: dict[str, list[tuple[str, object]]] = {
    "filter.visibility": [
        ("public", Visibility.PUBLIC),
        ("private", Visibility.PRIVATE),
        ("!public", Visibility.PRIVATE),
        ("!private", Visibility.PUBLIC),
    ],
    "filter.source": [
        (sign + source.value, frozenset({sign + source.value})) for source in Source for sign in ("", "!")
    ],
    "filter.types": [
        ("checkpoint", frozenset({"checkpoint"})),
        ("vae", frozenset({"vae"})),
        ("controlnet", frozenset({"controlnet"})),
        ("upscaler", frozenset({"upscaler"})),
        ("textualinversion", frozenset({"textualinversion"})),
        ("lora", LORAS),
        ("locon", frozenset({"locon"})),
        ("dora", frozenset({"dora"})),
        ("hypernetwork", frozenset({"hypernetwork"})),
        ("strange one", frozenset({"strange one"})),
        ("vae,upscaler", frozenset({"vae", "upscaler"})),
        (" vae , ,lora,", frozenset({"vae"}) | LORAS),
        (",", frozenset()),
        ("!vae", frozenset({"!vae"})),
        ("!lora,vae", frozenset({"!lora", "!locon", "!dora", "vae"})),
        ("!strange one", frozenset({"!strange one"})),
    ],
    "filter.is_sdxl": BOOLEANS,
    "filter.query": [
        ("realistic", ("realistic",)),
        ("Jib Mix Realistic XL", ("jib", "mix", "realistic", "xl")),
        ("  two\twords ", ("two", "words")),
        ("twice Twice TWICE", ("twice",)),
        ("ﬁsh ＲＥＡＬ STRASSE straße", ("fish", "real", "strasse")),
        ("手描き жанр", ("手描き", "жанр")),
        ("100% a&b=c+d", ("100%", "a&b=c+d")),
        ("   ", ()),
        (256 * "a", (256 * "a",)),
        (" ".join(f"t{n}" for n in range(16)), tuple(f"t{n}" for n in range(16))),
    ],
    "filter.search": [
        ("万象熔炉 | Anything V5/Ink", ("万象熔炉", "anything", "v5", "ink")),
        ("It's_a (dream-shaper)  “X”", ("it", "s", "a", "dream", "shaper", "x")),
        ("twice Twice", ("twice",)),
        ("sha256:1A805277C8 0xABCDEF01 blake3:0x" + SHA256, ("1a805277c8", "abcdef01", SHA256.lower())),
        ("0xyz sha256:12", ("0xyz", "sha256", "12")),
        ("well-known", ("well", "known")),
        (" | - () ", ()),
        (" ".join(f"t{n}" for n in range(32)), tuple(f"t{n}" for n in range(32))),
    ],
    "filter.is_inpainting": BOOLEANS,
    "filter.is_nsfw": BOOLEANS,
    "filter.tags": [("Anime", ("anime",)), (" Base Model ", ("base model",)), ("a,b", ("a,b",)), (" ", ())],
    "filter.base_model": [
        ("SD_1.5", frozenset({"sd 1.5"})),
        ("SD 1.5", frozenset({"sd 1.5"})),
        ("!SD_1.5", frozenset({"!sd 1.5"})),
        ("Nobody's", frozenset({"nobody's"})),
        (" ", frozenset()),
        ("_", frozenset()),
        ("!", frozenset()),
    ],
    "filter.licence": [
        ("Apache-2.0", frozenset({"apache-2.0"})),
        ("!MIT", frozenset({"!mit"})),
        ("unknown", frozenset({"unknown"})),
        (" ", frozenset()),
        ("!", frozenset()),
    ],
    "filter.licence.commercial": signed("image", "rent", "sell", "unknown"),
    "filter.licence.credit": signed("required", "not_required", "unknown"),
    "filter.licence.derivatives": signed("allowed", "not_allowed", "unknown"),
    "filter.size": signed(*SIZE_CLASSES, "unknown"),
    "filter.published": signed("2025", "unknown"),
    "filter.model_version_id": [("114600", 114600), ("0", 0), ("999999999999999999", 10**18 - 1)],
    "filter.hash": [
        (SHA256, SHA256),
        (SHA256.lower(), SHA256),
        ("sha256:" + SHA256.lower(), SHA256),
        ("0x" + SHA256, SHA256),
        ("blake3:0x" + SHA256, SHA256),
        ("1a805277c8", "1A805277C8"),
        (" 1A805277 ", "1A805277"),
        ("ABCDEF012345", "ABCDEF012345"),
    ],
    "sort": [(sign + name, sign + name) for name in SORTS for sign in ("", "-")],
    "pagination.limit": [("1", 1), ("20", 20), ("100", 100), ("007", 7)],
    "pagination.cursor": [
        ("c_0", None),
        ("c_c_0", None),
        ("c_00", None),
        ("c_1", Offset(1)),
        ("c_100", Offset(100)),
        ("c_c_30", Offset(30)),
        ("c_999999999999999999", Offset(10**18 - 1)),
        (POSITION_CURSOR, Position(804666, 55199)),
        (POSITION_CURSOR.rstrip("="), Position(804666, 55199)),
        ("c_" + POSITION_CURSOR, Position(804666, 55199)),
    ],
}

# What each parameter refuses. Whole tags and base models are anybody's words.
REFUSED: dict[str, list[str]] = {
    "filter.visibility": ["Public", "all", "public,private", " public", "!", "!!public", "public!"],
    "filter.source": ["Civitai", "huggingface", "civitai,training", "!", "!huggingface", "! civitai"],
    "filter.types": ["LORA", "txt2img", "vae,unheard", "lora;vae", "!", "vae,!", "!unheard"],
    "filter.is_sdxl": NOT_BOOLEANS,
    "filter.query": [257 * "a", " ".join(f"t{n}" for n in range(17))],
    "filter.search": [257 * "a", " ".join(f"t{n}" for n in range(33)), "-".join(map(str, range(33)))],
    "filter.is_inpainting": NOT_BOOLEANS,
    "filter.is_nsfw": NOT_BOOLEANS,
    "filter.tags": [],
    "filter.base_model": [],
    "filter.licence": [],
    "filter.licence.commercial": ["Image", "image,rent", "!", "none", "!none"],
    "filter.licence.credit": ["true", "Required", "!"],
    "filter.licence.derivatives": ["required", "false", "!"],
    "filter.size": ["1gb", "0-100MB", "!"],
    "filter.published": ["25", "20255", "２０２５", "2025-11", "!"],
    "filter.model_version_id": ["abc", "-1", "1.5", "1e3", " 1", "٣", "1_0", 19 * "9"],
    "filter.hash": [
        "xyz",
        "1A8052",
        SHA256 + "0",
        63 * "A",
        "0x",
        "sha256:",
        "GGGGGGGG",
        "1A80 527",
        "ﬀﬀﬀﬀ",
        "md5:12345678",
    ],
    "sort": ["Newest", "+newest", "--newest", "rank", "newest,name", "-"],
    "pagination.limit": ["0", "101", "-1", "+5", "abc", "1.0", "1e1", " 5", "5_0", "٥", "0x10", 30 * "9"],
    "pagination.cursor": [
        "garbage",
        "0",
        "100",
        "c_",
        "c_c_",
        "c_c_c_0",
        "c_-1",
        "c_1.5",
        "c_ 1",
        "c_٣",
        "C_0",
        POSITION_CURSOR.removeprefix("c_"),
        POSITION_CURSOR[:-3],
        "c_" + base64.b64encode(b"[1,2]").decode(),
        "c_" + base64.b64encode(b'[1,"x"]').decode(),
        "c_" + base64.b64encode(b'[1.5,"2"]').decode(),
        "c_" + base64.b64encode(b'["1","2"]').decode(),
        "c_" + base64.b64encode(b'[1,"2",3]').decode(),
        "c_" + base64.b64encode(b'[1,"-2"]').decode(),
        "c_" + base64.b64encode(b'{"rank":1,"id":"2"}').decode(),
        "c_" + base64.b64encode(b'[99999999999999999999,"2"]').decode(),
        "c_" + base64.b64encode(b'[9223372036854775808,"2"]').decode(),
        "c_" + base64.b64encode(b'[-9223372036854775808,"2"]').decode(),
        "c_" + base64.b64encode(b'[1,"9223372036854775808"]').decode(),
        "c_" + base64.b64encode(b"\xff\xfe").decode(),
        "c_" + base64.b64encode(b'["newest","1","2"]').decode(),
        "c_" + base64.b64encode(b'["newest",1,2]').decode(),
        "c_" + base64.b64encode(b'["newest",1.5,"2"]').decode(),
        "c_" + base64.b64encode(b'["newest",true,"2"]').decode(),
        "c_" + base64.b64encode(b'["newest",9223372036854775808,"2"]').decode(),
        "c_" + base64.b64encode(b'["newest",1,"9223372036854775808"]').decode(),
        "c_" + base64.b64encode(b'["name",1,"2"]').decode(),
        "c_" + base64.b64encode(b'["name",null,"2"]').decode(),
        "c_" + base64.b64encode(b'["popular",1,"2"]').decode(),
        "c_" + base64.b64encode(b'["-popular",null,"2"]').decode(),
        "c_" + base64.b64encode(b'["rank",1,"2"]').decode(),
        "c_" + 255 * "9",
        "c_" + 400 * "A",
    ],
}

BY_NAME = {parameter.name: parameter for parameter in wire.PARAMETERS}


def known() -> Iterable[str]:
    return [*MODEL_TYPES, "strange one"]


def parsed(query_string: str | bytes) -> ModelQuery:
    return asked(query_string).query


def asked(query_string: str | bytes) -> wire.ParsedQuery:
    raw = query_string if isinstance(query_string, bytes) else query_string.encode()
    return wire.parse_query(raw, known)


def refused(query_string: str | bytes) -> errors.InvalidParameter:
    with pytest.raises(errors.InvalidParameter) as caught:
        asked(query_string)
    return caught.value


def test_the_tables_here_know_every_parameter() -> None:
    assert [*BY_NAME] == [*TAKEN] == [*REFUSED]


@pytest.mark.parametrize(("name", "text", "value"), [(name, *case) for name, cases in TAKEN.items() for case in cases])
def test_every_parameter_takes_its_values_in_every_spelling(name: str, text: str, value: object) -> None:
    parameter = BY_NAME[name]
    literal = {f"{spelling}={quote(text, safe=',:=')}" for spelling in parameter.spellings}
    escaped = {f"{quote(spelling, safe='')}={quote(text, safe='')}" for spelling in parameter.spellings}

    for query_string in literal | escaped:
        found = asked(query_string)
        assert value == getattr(found.query, parameter.field)
        assert () == found.ignored


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in REFUSED.items() for text in texts])
def test_every_parameter_refuses_the_rest_and_says_what_it_takes(name: str, text: str) -> None:
    parameter = BY_NAME[name]
    for spelling in parameter.spellings:
        error = refused(f"{quote(spelling, safe='')}={quote(text, safe='')}")

        assert name == error.facts["parameter"]
        assert error.facts["given"]
        assert error.facts["allowed"]
        assert 400 == wire.render_error(error).status
        if isinstance(parameter.allowed, tuple):
            assert all(word in error.message for word in parameter.allowed)
        else:
            assert parameter.allowed in error.message


def test_no_question_asks_for_everything_from_the_start() -> None:
    assert ModelQuery() == parsed("")
    assert ModelQuery() == parsed("&&&")
    assert 20 == ModelQuery().limit


def test_empty_values_are_not_given() -> None:
    every = "&".join(f"{spelling}=" for parameter in wire.PARAMETERS for spelling in parameter.spellings)

    assert wire.ParsedQuery(ModelQuery()) == asked(every)
    assert wire.ParsedQuery(ModelQuery()) == asked(every.replace("=", ""))


@pytest.mark.parametrize("name", [parameter.name for parameter in wire.PARAMETERS if not parameter.many])
def test_one_value_given_twice_is_refused_even_if_both_are_the_same(name: str) -> None:
    parameter = BY_NAME[name]
    first, second = (*parameter.spellings, parameter.name)[:2]

    error = refused(f"{first}={quote(parameter.example)}&{second}={quote(parameter.example)}")

    assert name == error.facts["parameter"]
    assert "more than once" in error.message


def test_search_and_query_are_not_given_together() -> None:
    assert "filter.query" in refused("filter.search=a&filter.query=b").message
    assert ("a",) == parsed("filter.search=a&filter.query=").words
    assert ("b",) == parsed("filter.search=-&filter.query=b").terms


def test_a_value_and_an_empty_one_are_one_value() -> None:
    assert 5 == parsed("pagination.limit=&pagination.limit=5&pagination[limit]=").limit


def test_types_are_a_union_however_they_are_given() -> None:
    wanted = LORAS | {"vae", "upscaler"}

    assert wanted == parsed("filter.types=lora,vae,upscaler").types
    assert wanted == parsed("filter.types=lora&filter.type=vae&filter%5Btypes%5D=upscaler").types
    assert wanted == parsed("filter.types=vae,lora&filter.types=upscaler,lora&filter.types=vae").types


def test_values_of_an_enumerated_filter_are_a_union_in_every_spelling() -> None:
    sources = parsed("filter.source=civitai&filter[source]=training&filter%5Bsource%5D=!uploading").sources
    base_models = parsed("filter.base_model=SD_1.5&filter[base_model]=Pony&filter.base_model=%21SDXL+1.0").base_models

    assert frozenset({"civitai", "training", "!uploading"}) == sources
    assert frozenset({"sd 1.5", "pony", "!sdxl 1.0"}) == base_models


def test_tags_must_all_hold_and_are_asked_once_each() -> None:
    assert ("anime", "base model") == parsed(
        "filter.tags=Anime&filter.tags=base+model&filter.tags=ANIME&filter.tags="
    ).tags


def test_what_a_query_string_says_is_listed_once_and_in_order() -> None:
    query_string = b"filter.tags=anime&filter.types=vae,lora,%20vae,&filter.tags=anime&nonsense=1&filter.query="

    assert [("filter.tags", "anime"), ("filter.types", "vae"), ("filter.types", "lora")] == wire.query_pairs(
        query_string
    )


def test_a_type_is_known_to_those_who_may_see_its_models() -> None:
    assert frozenset({"secret"}) == wire.parse_query(b"filter.types=secret", lambda: ["secret"]).query.types
    with pytest.raises(errors.InvalidParameter) as caught:
        wire.parse_query(b"filter.types=secret", lambda: ["locon"])
    assert [*DOCUMENTED_TYPES, "locon"] == caught.value.facts["allowed"]


def test_the_documented_types_are_never_looked_up() -> None:
    def unasked() -> Iterable[str]:
        raise AssertionError("asked")

    for name in DOCUMENTED_TYPES:
        assert wire.parse_query(f"filter.types={name}".encode(), unasked).query.types


def test_the_examples_of_the_table_are_taken_together() -> None:
    together = "&".join(
        f"{parameter.name}={quote(parameter.example)}"
        for parameter in wire.PARAMETERS
        if parameter.name != "filter.search"
    )

    question = parsed(together)

    assert (Visibility.PUBLIC, {Source.CIVITAI}, LORAS) == (question.visibility, question.sources, question.types)
    assert ("realistic", "vision") == question.terms


def test_names_that_mean_nothing_are_ignored_and_named_once_in_order() -> None:
    found = asked("filter.name=x&query=dream&filter.name=&filter[type]=txt2img&Filter.types=vae&pagination.limit=3&z")

    assert ModelQuery(limit=3) == found.query
    assert ("filter.name", "query", "filter[type]", "Filter.types", "z") == found.ignored


@pytest.mark.parametrize(
    "query_string", [b"filter.query=%FF", b"filter.query=\xff", b"%FF=1", b"a=%C3%28", b"x=%ED%A0%80"]
)
def test_bytes_that_are_not_utf8_are_refused(query_string: bytes) -> None:
    assert "UTF-8" in refused(query_string).message


def test_a_plus_and_an_escaped_space_are_spaces() -> None:
    assert ("a", "b", "c+d") == parsed("filter.query=a+b%20c%2Bd").terms


def test_the_whole_query_string_has_a_limit_of_its_own() -> None:
    most = b"x=" + b"a" * (wire.QUERY_STRING_BYTES_MAX - 2)
    assert ("x",) == asked(most).ignored

    with pytest.raises(errors.RequestTooLong) as caught:
        asked(most + b"a")
    assert 414 == wire.render_error(caught.value).status


@given(
    st.binary(max_size=300)
    | st.lists(st.sampled_from([b"filter.", b"types", b"=", b"&", b"%", b"[", b"c_", b"\xff", b"WzEs"])).map(b"".join)
)
@settings(deadline=None, max_examples=300)
def test_no_bytes_raise_anything_but_our_own_refusal(query_string: bytes) -> None:
    try:
        found = wire.parse_query(query_string, known)
    except (errors.InvalidParameter, errors.RequestTooLong):
        return

    assert 1 <= found.query.limit <= 100


def given_texts() -> st.SearchStrategy[str]:
    listed = [text for cases in TAKEN.values() for text, _ in cases] + [
        text for texts in REFUSED.values() for text in texts
    ]
    return st.sampled_from(listed) | st.text(max_size=20)


@given(
    st.lists(st.tuples(st.sampled_from([s for p in wire.PARAMETERS for s in p.spellings]), given_texts()), max_size=6)
)
@settings(deadline=None, max_examples=300)
def test_a_question_is_either_refused_or_wholly_understood(pairs: list[tuple[str, str]]) -> None:
    query_string = "&".join(f"{quote(name, safe='')}={quote(text, safe='')}" for name, text in pairs)
    try:
        found = asked(query_string)
    except errors.InvalidParameter:
        return

    assert () == found.ignored
    assert len(found.query.terms) <= 16
    assert all(text == text.casefold() for text in (*found.query.terms, *found.query.tags))
    assert not found.query.types & {""}


def test_what_real_clients_ask_is_understood_or_refused_as_recorded() -> None:
    recorded = json.loads((data_dir() / "compatibility_cases.json").read_bytes())
    asked_for = 0
    for case in recorded:
        target = urlsplit(case["request"]["target"])
        if case["request"]["method"] != "GET" or target.path != "/v3/model" or "{{" in target.query:
            continue
        asked_for += 1
        is_invalid = case["id"] in {"err-03", "err-04", "err-05"}
        if is_invalid:
            refused(target.query)
        else:
            asked(target.query)

    assert asked_for > 30


def describe_parameter(parameter: wire.Parameter) -> str:
    words = [parameter.name, *parameter.aliases, parameter.field, f"e.g. {parameter.example}"]
    words += ["may be repeated"] if parameter.many else []
    words += ["documented"] if parameter.documented else []
    schema = dict(parameter.schema)
    items: Any = schema.pop("items", {})
    lines = [
        f"{name}: {' '.join(value) if isinstance(value, list) else value}"
        for name, value in {**schema, **items}.items()
    ]
    return "\n  ".join([", ".join(words), *lines])


PARAMETER_LINES = r"""
filter.visibility, visibility, e.g. public, documented
  type: string
  enum: public !public private !private
filter.source, sources, e.g. civitai, may be repeated, documented
  type: string
  enum: civitai !civitai training !training uploading !uploading
filter.types, filter.type, types, e.g. lora, may be repeated, documented
  type: string
filter.is_sdxl, is_sdxl, e.g. true, documented
  type: boolean
filter.query, terms, e.g. realistic vision, documented
  type: string
  maxLength: 256
  pattern: ^\s*(\S+\s+){0,15}\S*\s*$
filter.search, words, e.g. realistic vision
  type: string
  maxLength: 256
filter.is_inpainting, is_inpainting, e.g. true, documented
  type: boolean
  default: False
filter.is_nsfw, is_nsfw, e.g. false
  type: boolean
filter.tags, tags, e.g. anime, may be repeated
  type: string
filter.base_model, base_models, e.g. SD_1.5, may be repeated
  type: string
filter.licence, licences, e.g. apache-2.0, may be repeated
  type: string
filter.licence.commercial, filter[licence][commercial], commercial, e.g. image, may be repeated
  type: string
  enum: image !image rent !rent sell !sell unknown !unknown
filter.licence.credit, filter[licence][credit], credit, e.g. required, may be repeated
  type: string
  enum: required !required not_required !not_required unknown !unknown
filter.licence.derivatives, filter[licence][derivatives], derivatives, e.g. allowed, may be repeated
  type: string
  enum: allowed !allowed not_allowed !not_allowed unknown !unknown
filter.size, sizes, e.g. 100-500mb, may be repeated
  type: string
  enum: 0-100mb !0-100mb 100-500mb !100-500mb 500mb-2gb !500mb-2gb 2-8gb !2-8gb 8gb !8gb unknown !unknown
filter.published, years, e.g. 2025, may be repeated
  type: string
  pattern: ^!?([0-9]{4}|unknown)$
filter.model_version_id, id, e.g. 114600
  type: integer
  minimum: 0
  maximum: 999999999999999999
filter.hash, hash, e.g. 1A805277C8
  type: string
  pattern: ^(0[xX]|[sS][hH][aA]256:|[bB][lL][aA][kK][eE]3:)?[0-9A-Fa-f]{8,64}$
sort, sort, e.g. newest
  type: string
  enum: popular -popular newest -newest updated -updated name -name size -size added -added
  default: popular
pagination.limit, limit, e.g. 20, documented
  type: string
  pattern: ^0{0,6}([1-9][0-9]?|100)$
  default: 20
pagination.cursor, start, e.g. c_0, documented
  type: string
  maxLength: 256
"""


def test_these_are_the_parameters() -> None:
    assert PARAMETER_LINES.strip() == "\n".join(map(describe_parameter, wire.PARAMETERS))


# --- Cursors ---------------------------------------------------------------------------------------------------------

positions = st.builds(Position, st.integers(-(2**63) + 1, 2**63 - 1), st.integers(0, 2**63 - 1))


def test_a_cursor_has_the_documents_own_form() -> None:
    assert POSITION_CURSOR == wire.format_cursor(Position(804666, 55199))


@given(positions)
@example(Position(2**63 - 1, 2**63 - 1))
@example(Position(-(2**63) + 1, 0))
@settings(deadline=None, max_examples=200)
def test_a_cursor_leads_back_however_a_client_treats_it(position: Position) -> None:
    cursor = wire.format_cursor(position)

    for form in (cursor, quote(cursor), quote(cursor, safe=""), cursor.rstrip("="), "c_" + cursor):
        assert position == parsed(f"pagination.cursor={form}").start


SORT_POSITIONS = [
    SortPosition("newest", 1_700_000_000, 55199),
    SortPosition("-newest", None, 7),
    SortPosition("-popular", -3, 1),
    SortPosition("size", 2**63 - 1, 2**63 - 1),
    SortPosition("name", "", 1),
    SortPosition("-name", '手 "quoted" \\ ünïcode', 1),
    SortPosition("name", 40 * '"', 2**63 - 1),
]


@pytest.mark.parametrize("position", SORT_POSITIONS)
def test_a_cursor_of_another_order_leads_back_with_its_order(position: SortPosition) -> None:
    cursor = wire.format_cursor(position)

    for form in (quote(cursor, safe=""), cursor.rstrip("="), "c_" + cursor):
        assert position == parsed(f"sort={position.sort}&pagination.cursor={form}").start


@pytest.mark.parametrize("position", SORT_POSITIONS)
@pytest.mark.parametrize("sort", ["popular", "updated", "-size", ""])
def test_a_cursor_with_another_order_is_refused_and_both_are_named(position: SortPosition, sort: str) -> None:
    error = refused(f"pagination.cursor={quote(wire.format_cursor(position), safe='')}&sort={sort}")

    assert "pagination.cursor" == error.facts["parameter"]
    assert f"sort={position.sort} " in error.message
    assert f"sort={sort or 'popular'};" in error.message


def test_a_cursor_by_popularity_belongs_to_no_other_order() -> None:
    assert parsed(f"sort=popular&pagination.cursor={POSITION_CURSOR}").start == Position(804666, 55199)

    assert "sort=popular and not of sort=name" in refused(f"sort=name&pagination.cursor={POSITION_CURSOR}").message
    assert Offset(5) == parsed("sort=name&pagination.cursor=c_5").start


@pytest.mark.parametrize(
    "cursor", ["c_WzgwNDY2!NiwiNTUxOTkiXQ==", "c_WzgwNDY2NiwiNTUxOTki\nXQ==", "WzgwNDY2NiwiNTUxOTkiXQ=="]
)
def test_a_cursor_with_other_characters_is_refused(cursor: str) -> None:
    assert "pagination.cursor" == refused(f"pagination.cursor={quote(cursor, safe='')}").facts["parameter"]


def test_a_cursor_has_at_most_so_many_characters() -> None:
    longest = POSITION_CURSOR.ljust(CURSOR_CHARS_MAX, "=")

    assert Position(804666, 55199) == parsed(f"pagination.cursor={quote(longest)}").start
    assert (
        f"{CURSOR_CHARS_MAX + 1} characters are too many" in refused(f"pagination.cursor={quote(longest)}%3D").message
    )


# --- Records ---------------------------------------------------------------------------------------------------------

# The document's order; `source`, `is_nsfw` and `visibility` are told by its table and by recorded answers.
KEYS = """
id name hash_sha256 sd_name type categories status download_url tags cover_url source base_model base_model_type
download_url_ttl sd_name_in_api is_sdxl is_nsfw visibility
""".split()  # noqa: SIM905 # one a line they would hide the order
TYPES_OF_KEYS = {
    "id": int,
    "status": int,
    "download_url_ttl": int,
    "is_sdxl": bool,
    "is_nsfw": bool,
    "type": dict,
    "tags": list,
    "categories": list,
}

# Whatever a source may put into a text: control characters, quotes, what looks like a hole or like a key.
texts = st.text(max_size=30) | st.lists(
    st.sampled_from(
        ["\x01", "\x02", "d" + 64 * "a" + "/x", '"', "\\", '"tags":', ",", "\x00", "\n", "手", "\u2028", "x"]
    ),
    max_size=8,
).map("".join)
blobs = st.none() | st.text("0123456789abcdef", min_size=64, max_size=64)
rendered_models = st.builds(
    Model,
    id=st.integers(0, 2**63 - 1),
    name=texts,
    sd_name=texts,
    type=st.builds(ModelType, texts, texts) | st.sampled_from([*MODEL_TYPES.values()]),
    source=st.sampled_from(Source),
    visibility=st.sampled_from(Visibility),
    team=st.none() | texts,
    status=st.sampled_from(Status),
    base_model=texts,
    base_model_type=texts,
    is_sdxl=st.booleans(),
    is_nsfw=st.booleans(),
    tags=st.lists(texts, max_size=4).map(tuple),
    categories=st.lists(texts, max_size=2).map(tuple),
    cover_url=texts,
    rank=st.integers(-5, 5),
    hashes=st.builds(Hashes, sha256=st.none() | st.just(SHA256), autov2=st.none() | st.just("1A805277C8")),
    blob=blobs,
)


def no_link(_sha256: str, _label: str) -> str:
    return ""


def read_page(body: bytes) -> dict[str, list[dict[str, object]]]:
    page: dict[str, list[dict[str, object]]] = json.loads(body)
    return page


@given(rendered_models, st.booleans())
@settings(deadline=None, max_examples=300)
def test_a_record_tells_every_field_in_order_and_none_is_null(model: Model, is_linked: bool) -> None:
    asked_links: list[tuple[str, str]] = []

    def link_for(sha256: str, label: str) -> str:
        asked_links.append((sha256, label))
        return f'https://here/{sha256}/{label}?a=1&b="2"' if is_linked else ""

    body = wire.render_page([wire.render_record(model, 77)], None, link_for)
    record = read_page(body)["models"][0]

    is_held = model.blob is not None and model.status is Status.AVAILABLE
    assert ([(model.blob, quote(model.sd_name, safe=""))] if is_held else []) == asked_links
    assert [key for key in KEYS if key != "download_url" or (is_held and is_linked)] == [*record]
    for key, value in record.items():
        assert type(value) is TYPES_OF_KEYS.get(key, str)
    assert record == {
        "id": model.id,
        "name": model.name,
        "hash_sha256": model.hashes.short,
        "sd_name": model.sd_name,
        "type": {"name": model.type.name, "display_name": model.type.display_name},
        "categories": [*model.categories],
        "status": int(model.status),
        "tags": [*model.tags],
        "cover_url": model.cover_url,
        "source": model.source.value,
        "base_model": model.base_model,
        "base_model_type": model.base_model_type,
        "download_url_ttl": 77,
        "sd_name_in_api": model.sd_name_in_api,
        "is_sdxl": model.is_sdxl,
        "is_nsfw": model.is_nsfw,
        "visibility": model.visibility.value,
    } | (
        {"download_url": f'https://here/{model.blob}/{quote(model.sd_name, safe="")}?a=1&b="2"'}
        if is_held and is_linked
        else {}
    )


@given(st.lists(rendered_models, max_size=4), st.none() | positions)
@settings(deadline=None, max_examples=100)
def test_a_page_is_read_back_as_the_clients_types(models: list[Model], following: Position | None) -> None:
    body = wire.render_page([wire.render_record(model) for model in models], following, no_link)

    page = msgspec.json.decode(body, type=wire.ModelPage)

    assert [model.id for model in models] == [record.id for record in page.models]
    assert (wire.format_cursor(following) if following else "") == page.pagination.next_cursor
    assert ["models", "pagination"] == [*json.loads(body)]


def test_a_page_without_models_is_a_list_and_the_end() -> None:
    assert b'{"models":[],"pagination":{"next_cursor":""}}' == wire.render_page([], None, no_link)


def test_no_text_of_a_model_forges_a_link() -> None:
    forged = f"\x01d{64 * 'a'}/x\x02"
    record = wire.render_record(Model(1, forged, forged, MODEL_TYPES["vae"], Source.UPLOADING, tags=(forged,)))

    def stolen(sha256: str, label: str) -> str:
        raise AssertionError(f"a link was asked for: {sha256} {label}")

    assert b"\x01" not in record
    assert forged == read_page(wire.render_page([record], None, stolen))["models"][0]["name"]


def test_a_file_that_is_not_checked_yet_has_no_link() -> None:
    waiting = Model(1, "n", "s", MODEL_TYPES["vae"], Source.UPLOADING, status=Status.UNAVAILABLE, blob=64 * "a")

    assert b"\x01" not in wire.render_record(waiting)


# --- Errors ----------------------------------------------------------------------------------------------------------

STATUS_AND_REASON = {
    errors.InvalidParameter("filter.is_sdxl", "yes", "true, false"): (400, "INVALID_ARGUMENT"),
    errors.InvalidRequest("no"): (400, "INVALID_ARGUMENT"),
    errors.InvalidValue("no"): (400, "INVALID_REQUEST_BODY"),
    errors.RequestTooLong("no"): (414, "INVALID_ARGUMENT"),
    errors.Unauthenticated("who"): (401, "INVALID_API_KEY"),
    errors.MissingKey(): (401, "MISSING_API_KEY"),
    errors.InvalidKey(): (401, "INVALID_API_KEY"),
    errors.Forbidden("write"): (403, "API_NOT_ALLOWED"),
    errors.InvalidSignature(): (403, "LINK_REFUSED"),
    errors.FinalUpload("u"): (403, "UPLOAD_FINAL"),
    errors.SuspiciousFile("night.pt", "imports models.yolo.Model"): (403, "FILE_SUSPICIOUS"),
    errors.CrossSiteRequest(): (403, "API_NOT_ALLOWED"),
    errors.SignInRefused("no"): (403, "API_NOT_ALLOWED"),
    errors.NotFound("no"): (404, "API_NOT_FOUND"),
    errors.RouteNotFound("/v3/models"): (404, "API_NOT_FOUND"),
    errors.ModelNotFound("7"): (404, "MODEL_NOT_FOUND"),
    errors.UploadNotFound("u"): (404, "UPLOAD_NOT_FOUND"),
    errors.WebhookNotFound("w"): (404, "WEBHOOK_NOT_FOUND"),
    errors.RepositoryNotFound("red/night"): (404, "API_NOT_FOUND"),
    errors.RepositoryGated("red/night", "no"): (403, "REPOSITORY_GATED"),
    errors.UpstreamFailed("no"): (502, "UPSTREAM_FAILED"),
    errors.RevisionNotFound("v2", 40 * "0"): (404, "API_NOT_FOUND"),
    errors.EntryNotFound("a.txt", 40 * "0"): (404, "API_NOT_FOUND"),
    errors.Gone("no"): (410, "GONE"),
    errors.LinkExpired(7): (410, "LINK_EXPIRED"),
    errors.LinkRevoked(): (410, "LINK_REVOKED"),
    errors.UploadExpired("u", 7): (410, "UPLOAD_EXPIRED"),
    errors.FeedPruned(12): (410, "GONE"),
    errors.TooManyStreams(100): (429, "TOO_MANY_STREAMS"),
    errors.FileGone("night.safetensors"): (410, "FILE_GONE"),
    errors.MethodNotAllowed("PUT", ["GET", "HEAD"]): (405, "METHOD_NOT_ALLOWED"),
    errors.Conflict("no"): (409, "CONFLICT"),
    errors.ModelExists("no"): (409, "MODEL_ALREADY_EXISTED"),
    errors.ModelFileMissing(7): (409, "MODEL_FILE_MISSING"),
    errors.UploadComplete("no"): (409, "UPLOAD_COMPLETE"),
    errors.AmbiguousKey("sk_abcd", [1, 2]): (409, "AMBIGUOUS_KEY"),
    errors.AmbiguousName("night", ["1 (a.pt)"]): (409, "CONFLICT"),
    errors.ConstraintViolation(): (409, "CONSTRAINT_VIOLATION"),
    errors.OffsetConflict(1, 2): (409, "UPLOAD_OFFSET_CONFLICT"),
    errors.RepositoryChanged("a", "b"): (412, "REPOSITORY_CHANGED"),
    errors.UploadLocked("u"): (423, "UPLOAD_LOCKED"),
    errors.RangeNotSatisfiable(9): (416, "RANGE_NOT_SATISFIABLE"),
    errors.TooLarge("file", 10): (413, "FILE_EXCEEDS_MAX_SIZE"),
    errors.QuotaExceeded(9, 8, 7): (413, "QUOTA_EXCEEDED"),
    errors.UnsupportedFile("no"): (415, "UNSUPPORTED_FILE"),
    errors.CorruptFile("header", "too long"): (415, "UNSUPPORTED_FILE"),
    errors.FileRefused(7, "dangerous", "no"): (415, "UNSUPPORTED_FILE"),
    errors.UnsupportedMediaType("image/*"): (415, "UNSUPPORTED_MEDIA_TYPE"),
    errors.HashMismatch("a", "b"): (422, "HASH_MISMATCH"),
    errors.RateLimited(7): (429, "RATE_LIMIT_EXCEEDED"),
    errors.TooManyUploads(3, 60): (429, "TOO_MANY_UPLOADS"),
    errors.StorageFull(): (507, "INSUFFICIENT_STORAGE"),
    errors.Unavailable("no"): (503, "UNAVAILABLE"),
    errors.StorageRefused("no"): (503, "UNAVAILABLE"),
    errors.CoverRemoved(): (503, "UNAVAILABLE"),
    errors.DownloadFailed("no"): (500, "INTERNAL"),
    errors.AddressRefused("no"): (500, "INTERNAL"),
    errors.UpstreamRefused("no"): (500, "INTERNAL"),
    errors.NothingImported("no"): (500, "INTERNAL"),
    errors.DatabaseDamaged("no"): (500, "INTERNAL"),
    errors.IndexDamaged("no"): (500, "INTERNAL"),
    errors.ConfigurationError("no"): (500, "INTERNAL"),
    errors.DatabaseUnavailable("no"): (500, "INTERNAL"),
    errors.ModelyardError("no"): (500, "INTERNAL"),
}


def every_error(kind: type[errors.ModelyardError]) -> set[type[errors.ModelyardError]]:
    # Only those of the tree drawn in errors.py: a module may have one of its own that never reaches an answer.
    drawn = {found for found in kind.__subclasses__() if found.__module__ == errors.__name__}
    return {kind}.union(*map(every_error, drawn))


def test_the_table_here_knows_every_error() -> None:
    assert every_error(errors.ModelyardError) == {type(error) for error in STATUS_AND_REASON}


@pytest.mark.parametrize("error", STATUS_AND_REASON, ids=lambda error: type(error).__name__)
def test_every_error_has_the_one_shape_its_status_and_its_reason(error: errors.ModelyardError) -> None:
    status, reason = STATUS_AND_REASON[error]

    answer = wire.render_error(error)
    body = json.loads(answer.body)

    assert ["code", "reason", "message", "metadata"] == [*body]
    assert (status, status, reason) == (answer.status, body["code"], body["reason"])
    assert ("internal error" if status == 500 else error.message) == body["message"]
    assert error.facts == body["metadata"]


def test_errors_carry_the_headers_that_clients_act_on() -> None:
    assert (("WWW-Authenticate", "Bearer"),) == wire.render_error(errors.MissingKey()).headers
    assert (("WWW-Authenticate", "Bearer"),) == wire.render_error(errors.InvalidKey()).headers
    assert (("Retry-After", "7"),) == wire.render_error(errors.RateLimited(7)).headers
    assert (("Retry-After", "1"),) == wire.render_error(errors.Unavailable("no")).headers
    assert (("Allow", "GET, HEAD"),) == wire.render_error(errors.MethodNotAllowed("PUT", ["GET", "HEAD"])).headers


def test_an_unusable_key_gets_the_vendors_own_sentence() -> None:
    assert "invalid api-key" == json.loads(wire.render_error(errors.InvalidKey()).body)["message"]


def test_what_was_given_is_shown_cut_short() -> None:
    error = refused("pagination.limit=" + 5000 * "9")

    assert 64 * "9" + "…" == error.facts["given"]
    assert len(wire.render_error(error).body) < 500


def test_ignored_names_fit_a_header_whatever_they_are() -> None:
    header = wire.ignored_header(["filter[type]", "a b", "x\r\ny: z", "名", 100 * "n", *map(str, range(30))])

    assert header.isascii()
    assert header.isprintable()
    assert f"filter[type], a%20b, x%0D%0Ay%3A%20z, %E5%90%8D, {64 * 'n'}, 0, " == header[: header.index("1")]
    assert 20 == len(header.split(", "))
