"""Pages, models and versions in Civitai's shape, from recorded answers, over HTTP."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import sqlalchemy as sa

from modelyard.civitai import records
from modelyard.domain import fold, fold_base
from modelyard.facts import Layer, Record
from tests.app_fixture import App
from tests.real_input import data_dir

Answer = dict[str, Any]


def walk(app: App, query: str = "limit=7") -> list[Answer]:
    """Return the models of all pages, by the address of the next page."""
    target, models = f"/api/v1/models?{query}", []
    while target:
        page = app.ask(target, None)
        assert 200 == page.status, page.body
        models += page.json["items"]
        following = urlsplit(page.json["metadata"].get("nextPage", ""))
        target = f"{following.path}?{following.query}" if following.path else ""
    return models


def upstream_models() -> list[Answer]:
    """Return the recorded models of which a version has a file that is a model."""
    answers = [json.loads(path.read_bytes()) for path in sorted((data_dir() / "civitai" / "answers").glob("*.json"))]
    return [answer for answer in answers if any(isinstance(o, Record) for o in records.convert(answer))]


def test_what_is_answered_says_what_upstream_said(recorded: App) -> None:
    answered = [
        outcome
        for model in walk(recorded)
        for outcome in records.convert(model)
        if isinstance(outcome, Record) and outcome.layer is Layer.UPSTREAM
    ]

    assert len(answered) > 70
    for record in answered:
        assert record.id is not None
        entry = recorded.catalog.store.entry(record.id)
        assert entry is not None
        assert entry.layers[Layer.UPSTREAM] == record.facts


def test_a_walk_has_each_model_once_with_all_its_versions(recorded: App) -> None:
    expected = {model["id"]: sorted(version["id"] for version in usable_versions(model)) for model in upstream_models()}

    answered = [(model["id"], sorted(version["id"] for version in model["modelVersions"])) for model in walk(recorded)]

    assert sorted(expected.items()) == sorted(answered)


def usable_versions(model: Answer) -> list[Answer]:
    usable = {outcome.id for outcome in records.convert(model) if isinstance(outcome, Record)}
    return [version for version in model["modelVersions"] if version["id"] in usable]


def has_base(name: str) -> Callable[[Answer], bool]:
    return lambda model: any(fold_base(version["baseModel"]) == fold_base(name) for version in usable_versions(model))


FILTERS: dict[str, Callable[[Answer], bool]] = {
    "types=LORA": lambda model: model["type"] == "LORA",
    "types=LORA&types=textualinversion": lambda model: model["type"] in ("LORA", "TextualInversion"),
    "types=LORA,TextualInversion": lambda model: model["type"] in ("LORA", "TextualInversion"),
    "baseModels=SD+2.1": has_base("SD 2.1"),
    "tag=style": lambda model: "style" in {fold(tag) for tag in model["tags"]},
    "query=pokemon": lambda model: "pokemon" in json.dumps([model["name"], model["tags"]]).lower(),
    "nsfw=false": lambda model: not model["nsfw"],
    "username=%3Cremoved%3E&types=LORA": lambda model: model["type"] == "LORA",
    "username=removed": lambda _: False,
    "period=Month": lambda _: False,
    "ids=4476,23,999999": lambda model: model["id"] in (4476, 23),
    "ids=4476,23&types=LORA": lambda model: model["id"] in (4476, 23) and model["type"] == "LORA",
    "sort=Newest&types=Checkpoint": lambda model: model["type"] == "Checkpoint",
}


@pytest.mark.parametrize("query", FILTERS)
def test_filters_count_before_paging(recorded: App, query: str) -> None:
    expected = sorted(model["id"] for model in upstream_models() if FILTERS[query](model))

    assert expected == sorted(model["id"] for model in walk(recorded, f"limit=3&{query}"))


def test_a_page_whose_models_are_in_memory_asks_the_database_nothing(recorded: App) -> None:
    pages = [recorded.ask(f"/api/v1/models?limit=20&n={number}").json["items"] for number in (1, 2)]
    statements: list[str] = []
    with recorded.store.reading() as connection:
        sa.event.listen(connection.engine, "before_cursor_execute", lambda *event: statements.append(event[2]))
    recorded.ask("/api/v1/models?limit=20&n=3")

    assert pages[0] == pages[1]
    assert [] == [text for text in statements if "version_group" in text]


def test_the_newest_come_first(recorded: App) -> None:
    dates = [
        max(version["publishedAt"] for version in model["modelVersions"])
        for model in walk(recorded, "limit=5&sort=Newest")
    ]

    assert sorted(dates, reverse=True) == dates


def test_pages_by_number_are_those_of_the_walk(recorded: App) -> None:
    pages = [recorded.ask(f"/api/v1/models?limit=5&page={number}", None).json for number in (1, 2, 3)]

    ids = [model["id"] for page in pages for model in page["items"]]
    assert [model["id"] for model in walk(recorded)][:15] == ids
    assert [1, 2, 3] == [page["metadata"]["currentPage"] for page in pages]


def test_a_parameter_that_does_not_exist_is_named(recorded: App) -> None:
    reply = recorded.ask("/api/v1/models?limit=1&favorites=true&checkpointType=Merge", None)

    assert (200, "favorites, checkpointType") == (reply.status, reply.headers["modelyard-ignored-parameters"])


def test_the_name_of_such_a_parameter_cannot_break_the_header(recorded: App) -> None:
    reply = recorded.ask(f"/api/v1/models?limit=1&a%0D%0Ax:=1&{'n' * 100}=1", None)

    assert (200, f"a%0D%0Ax%3A, {'n' * 64}") == (reply.status, reply.headers["modelyard-ignored-parameters"])


def test_one_model_and_one_version(recorded: App) -> None:
    (listed,) = recorded.ask("/api/v1/models?ids=4476", None).json["items"]
    version = recorded.ask("/api/v1/model-versions/5067", None).json
    own = listed["modelVersions"][0]

    assert listed == recorded.ask("/api/v1/models/4476", None).json
    assert ("Inksplat768", 4476, ["Inksplat768"]) == (version["name"], version["modelId"], version["trainedWords"])
    assert "TextualInversion" == version["model"]["type"]
    assert own["files"] == version["files"]
    assert {
        "id": 5084,
        "name": "Inksplat768.pt",
        "type": "Model",
        "sizeKB": 60.8544921875,
        "primary": True,
        "metadata": {"format": "PickleTensor", "size": "full", "fp": "fp16"},
        "hashes": {
            "AutoV2": "B63FB7E0D0",
            "SHA256": "B63FB7E0D093817ED95DA1A1120A5351EF09BEC1AD06E8B53B579E36FD2C153F",
            "BLAKE3": "480580289144606419CD88DC07295A2A024C0B39F62686525C8A9F344292E025",
            "CRC32": "FA1F5E73",
        },
        "pickleScanResult": "Pending",
    } == own["files"][0]
    assert "urn:air:sd2:embedding:civitai:4476@5067" == own["air"]


def test_a_version_is_found_by_every_hash(recorded: App) -> None:
    version = recorded.ask("/api/v1/model-versions/5067", None).json
    hashes = version["files"][0]["hashes"]

    for digits in hashes.values():
        for text in (digits, digits.lower()):
            assert 5067 == recorded.ask(f"/api/v1/model-versions/by-hash/{text}", None).json["id"]
    missing = recorded.ask(f"/api/v1/model-versions/by-hash/{'0' * 64}", None)
    assert (404, {"error": "Model not found"}) == (missing.status, missing.json)
    body = json.dumps([hashes["SHA256"].lower(), "0" * 64, hashes["AutoV2"]]).encode()
    several = recorded.ask("/api/v1/model-versions/by-hash", None, method="POST", body=body)
    ids = recorded.ask("/api/v1/model-versions/by-hash/ids", None, method="POST", body=body)
    assert [version] == several.json
    assert [{"modelVersionId": 5067, "hash": hashes[name]} for name in ("SHA256", "AutoV2")] == ids.json


def test_tags_and_creators_are_pages_by_number(recorded: App) -> None:
    tags = recorded.ask("/api/v1/tags?limit=2&page=2", None).json
    first, second = recorded.ask("/api/v1/tags?limit=4", None).json["items"][2:]
    creators = recorded.ask("/api/v1/creators", None).json
    matches = recorded.ask("/api/v1/tags?query=POKEM", None).json["items"]

    assert [first, second] == tags["items"]
    assert (2, 2) == (tags["metadata"]["currentPage"], tags["metadata"]["pageSize"])
    link = "http://127.0.0.1/api/v1/models?username=%3Cremoved%3E"
    assert [{"username": "<removed>", "modelCount": len(upstream_models()), "link": link}] == creators["items"]
    assert {"totalItems": 1, "currentPage": 1, "pageSize": 20, "totalPages": 1} == creators["metadata"]
    assert "pokemon" in [item["name"] for item in matches]
    assert all("pokem" in item["name"].lower() for item in matches)


def test_images_of_a_version_of_a_model_and_of_all(recorded: App) -> None:
    model = recorded.ask("/api/v1/models/4476", None).json
    urls = [image["url"] for version in model["modelVersions"] for image in version["images"]]
    of_version = recorded.ask("/api/v1/images?modelVersionId=5067", None).json["items"]
    of_model, cursor = [], ""
    while cursor is not None:
        page = recorded.ask(f"/api/v1/images?modelId=4476&limit=2&cursor={cursor}", None).json
        of_model += page["items"]
        cursor = page["metadata"].get("nextCursor")
    popular = recorded.ask("/api/v1/images?limit=5", None).json

    assert urls == [image["url"] for image in of_model]
    assert {5067} == {id_ for image in of_version for id_ in image["modelVersionIds"]}
    assert 5 == len(popular["items"])
    assert popular["metadata"]["nextCursor"]


def test_the_official_mcp_server_finds_models_and_is_given_no_other_image(recorded: App) -> None:
    """Its requests as its source has them: it spells words as the enums do, and takes the first image for the one
    that it asked for."""
    enums = recorded.ask("/api/v1/enums", None).json
    wanted = {"types": ("ModelType", "lora"), "sort": ("ModelSort", "newest"), "period": ("MetricTimeframe", "alltime")}
    words = {name: next(word for word in enums[key] if word.lower() == text) for name, (key, text) in wanted.items()}
    query = urlencode({"limit": 12, **words, "baseModels": "SD 1.5", "supportsGeneration": "true"})
    found = recorded.ask(f"/api/v1/models?{query}", None, content_type="application/json")
    image = recorded.ask("/api/v1/images?imageId=1234&withMeta=true", None, content_type="application/json")

    items = found.json["items"]
    assert (200, {"LORA"}) == (found.status, {item["type"] for item in items})
    assert all("SD 1.5" in {version["baseModel"] for version in item["modelVersions"]} for item in items)
    assert [] == image.json["items"]


REFUSED = {
    "models?limit=101": (400, "limit: '101' is not accepted; accepted: 0 to 100"),
    "models?limit=x": (400, "limit: 'x' is not accepted; accepted: 0 to 100"),
    "models?page=0": (400, "page: '0' is not accepted; accepted: 1 to 1,000,000"),
    "models?page=102": (400, "page: '102' is not accepted; accepted: up to 10,000 models before the page"),
    "models?types=Car": (400, "types: 'Car' is not accepted; accepted: aestheticgradient, "),
    "models?sort=Oldest": (400, "sort: 'Oldest' is not accepted; accepted: Highest Rated, Most Downloaded, Newest"),
    "models?period=Eon": (400, "period: 'Eon' is not accepted; accepted: AllTime, Year, Month, Week, Day"),
    "models?nsfw=maybe": (400, "nsfw: 'maybe' is not accepted; accepted: true, false"),
    "models?cursor=x": (400, "cursor: 'x' is not accepted; accepted: the nextCursor of an answer with the same sort"),
    "models?ids=1,x": (400, "ids: 'x' is not accepted; accepted: ids of models, decimal digits"),
    f"models?ids={','.join(map(str, range(101)))}": (400, "ids: '101 ids' is not accepted; accepted: up to 100 ids"),
    f"models?query={'x' * 8192}": (414, "the query string has 8198 bytes; accepted: up to 8192"),
    "models/x": (404, "Model not found"),
    "models/0": (404, "Model not found"),
    f"models/{10**17}": (404, "Model not found"),
    f"models/{'9' * 40}": (404, "Model not found"),
    "model-versions/1": (404, "Model not found"),
    "model-versions/by-hash/xyz": (400, "hash: 'xyz' is not accepted; accepted: "),
    "tags?limit=201": (400, "limit: '201' is not accepted; accepted: 0 to 200"),
    "creators?page=x": (400, "page: 'x' is not accepted; accepted: 1 to 1,000,000,000"),
    "images?cursor=a.b": (400, "cursor: 'a.b' is not accepted; accepted: the nextCursor of an answer"),
    "images?limit=999": (400, "limit: '999' is not accepted; accepted: 0 to 200"),
    "me": (401, "API key not provided"),
    "users": (404, "there is no such route"),
}


@pytest.mark.parametrize("target", REFUSED)
def test_a_refusal_says_what_is_accepted(recorded: App, target: str) -> None:
    status, message = REFUSED[target]

    reply = recorded.ask(f"/api/v1/{target}", None)

    assert status == reply.status
    assert ["error"] == list(reply.json)
    assert message in reply.json["error"]


BODIES = {
    b"": "cannot be used: Input data was truncated",
    b"{}": "Expected `array`",
    b'["zz"]': "hash 0: 'zz' is not accepted; accepted: ",
    b"[" + b",".join([b'"00000000"'] * 101) + b"]": "101 hashes are too many; accepted: up to 100",
}


@pytest.mark.parametrize("body", BODIES)
def test_a_list_of_hashes_that_is_none_is_refused(recorded: App, body: bytes) -> None:
    reply = recorded.ask("/api/v1/model-versions/by-hash", None, method="POST", body=body)

    assert 400 == reply.status
    assert BODIES[body] in reply.json["error"]


def test_a_body_that_is_too_large_is_refused(recorded: App) -> None:
    reply = recorded.ask("/api/v1/model-versions/by-hash", None, method="POST", body=b" " * 10_000)

    assert 413 == reply.status
