"""Downloads in Civitai's shape, and what other teams see. The models are uploaded here."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from modelyard.domain import Hashes, Scope, Source, Visibility
from modelyard.facts import Facts, Layer, ModelFile, Record
from tests.app_fixture import App, a_model, open_app
from tests.web.hub.stocked import WEIGHTS, Stocked, stocked


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stocked]:
    with stocked(tmp_path_factory.mktemp("civitai")) as opened:
        yield opened


@pytest.fixture
def yard(stock: Stocked) -> App:
    return stock.yard


def test_a_download_is_a_redirect_to_the_file(stock: Stocked, yard: App) -> None:
    version = yard.ask(f"/api/v1/model-versions/{stock.night}").json
    address = version["files"][0]["downloadUrl"].removeprefix("http://127.0.0.1")
    reply = yard.ask(address)
    head = yard.ask(f"/api/download/models/{stock.night}", method="HEAD")
    file = yard.ask(reply.headers["location"].removeprefix("http://127.0.0.1"), None)

    assert f"http://127.0.0.1/api/download/models/{stock.night}" == version["downloadUrl"]
    assert [(307, "no-store")] * 2 == [(r.status, r.headers["cache-control"]) for r in (reply, head)]
    assert WEIGHTS == file.body
    assert 'filename="night_' in file.headers["content-disposition"]


def test_a_key_that_may_only_download_gets_the_bytes_and_reads_nothing_else(stock: Stocked, yard: App) -> None:
    key = f"Bearer {yard.key('red', Scope.DOWNLOAD)}"
    address = yard.ask(f"/api/download/models/{stock.night}", None, authorization=key).headers["location"]
    others = yard.ask(f"/api/download/models/{stock.secret}", None, authorization=key)
    listing = yard.ask("/v3/model", None, authorization=key)

    assert WEIGHTS == yard.ask(address.removeprefix("http://127.0.0.1"), None).body
    assert (404, 403) == (others.status, listing.status)


def test_a_download_chooses_by_what_the_files_are(stock: Stocked, yard: App) -> None:
    chosen = yard.ask(f"/api/download/models/{stock.night}?type=model&size=&foo=1")
    missing = yard.ask(f"/api/download/models/{stock.night}?fp=fp8")
    nowhere = yard.ask("/api/download/models/7")

    assert 307 == chosen.status
    assert (400, "fp: 'fp8' is not accepted") == (missing.status, missing.json["error"].partition(";")[0])
    assert (404, {"error": "this server has no file of 'model7_7.safetensors'"}) == (nowhere.status, nowhere.json)


def test_the_key_may_be_in_the_query(stock: Stocked, yard: App) -> None:
    with_key = [
        yard.ask(f"/api/v1/{path}?token={yard.key('red')}", None)
        for path in (f"models/{stock.night}", f"model-versions/{stock.night}", "me")
    ]
    wrong = yard.ask("/api/v1/me?token=sk_wrong", None)
    page = yard.ask(f"/api/v1/models?limit=1&token={yard.key('red')}", None)

    assert [200] * 3 == [reply.status for reply in with_key]
    assert {"username": "red", "scopes": ["read"]} == with_key[2].json
    assert 401 == wrong.status
    assert yard.key("red") not in page.body.decode()
    assert yard.key("red") not in yard.logged.getvalue()


def test_another_team_sees_nothing_in_any_route(stock: Stocked, yard: App) -> None:
    secret = yard.ask(f"/api/v1/model-versions/{stock.secret}", "blue").json
    sha256 = secret["files"][0]["hashes"]["SHA256"]
    absent = [f"models/{stock.secret}", f"model-versions/{stock.secret}", f"model-versions/by-hash/{sha256}"]
    unknown = ["models/999999", "model-versions/999999", f"model-versions/by-hash/{'0' * 64}"]
    body = b'["%s"]' % sha256.encode()

    for target, other in zip(absent, unknown, strict=True):
        refused, missing = yard.ask(f"/api/v1/{target}"), yard.ask(f"/api/v1/{other}")
        assert (404, missing.body) == (refused.status, refused.body)
    assert 404 == yard.ask(f"/api/download/models/{stock.secret}").status
    assert [] == yard.ask("/api/v1/model-versions/by-hash", method="POST", body=body).json
    assert [] == yard.ask("/api/v1/model-versions/by-hash/ids", method="POST", body=body).json
    assert [] == yard.ask(f"/api/v1/models?ids={stock.secret}").json["items"]
    assert [] == yard.ask("/api/v1/models?query=secret").json["items"]
    assert [] == yard.ask(f"/api/v1/images?modelVersionId={stock.secret}").json["items"]
    listed = [model["id"] for model in yard.ask("/api/v1/models").json["items"]]
    assert {stock.night, stock.dawn, stock.shards, 7} == set(listed)
    assert [stock.secret] == [model["id"] for model in yard.ask("/api/v1/models?query=secret", "blue").json["items"]]


def test_a_version_that_others_do_not_see_is_left_out_of_its_model(yard: App) -> None:
    facts = Facts(name="v", sd_name="v.pt", title="Group", upstream_model_id=77, creator="hid")
    private = Record(57, Source.CIVITAI, Layer.UPSTREAM, facts, Visibility.PRIVATE, "red")
    list(yard.catalog.register_many([Record(55, Source.CIVITAI, Layer.UPSTREAM, facts), private]))

    own, other = (yard.ask("/api/v1/models/77", team).json["modelVersions"] for team in ("red", "blue"))

    assert [57, 55] == [version["id"] for version in own]
    assert [55] == [version["id"] for version in other]


def test_creators_of_private_models_are_counted_for_their_team_alone(yard: App) -> None:
    for model_id, team, creator in ((90, "blue", "hidden painter"), (91, "blue", "hidden painter"), (92, "red", "ann")):
        facts = Facts(name="v", sd_name=f"v_{model_id}.pt", creator=creator)
        list(
            yard.catalog.register_many(
                [Record(model_id, Source.CIVITAI, Layer.UPSTREAM, facts, Visibility.PRIVATE, team)]
            )
        )
    counts = [
        {item["username"]: item["modelCount"] for item in yard.ask("/api/v1/creators?limit=200", team).json["items"]}
        for team in ("red", "blue")
    ]

    assert [(None, 1), (2, None)] == [(count.get("hidden painter"), count.get("ann")) for count in counts]
    assert [] == yard.ask("/api/v1/creators?query=painter").json["items"]


def test_a_version_has_all_its_files(yard: App) -> None:
    files = (
        ModelFile("a.safetensors", 1, "Model", 2048, "SafeTensor", "fp16", "full", True, Hashes(sha256="A" * 64)),
        ModelFile("a.pt", 2, "Pruned Model", None, hashes=Hashes(autov3="B" * 12)),
    )
    facts = Facts(name="v2", sd_name="a_1.safetensors", upstream_model_id=78, files=files)
    list(yard.catalog.register_many([Record(56, Source.CIVITAI, Layer.UPSTREAM, facts)]))

    version = yard.ask("/api/v1/model-versions/56").json
    (primary,) = yard.ask("/api/v1/models?ids=78&primaryFileOnly=true").json["items"][0]["modelVersions"][0]["files"]

    assert [1, 2] == [file["id"] for file in version["files"]]
    assert (2.0, {"format": "SafeTensor", "size": "full", "fp": "fp16"}, {"AutoV2": "A" * 10, "SHA256": "A" * 64}) == (
        primary["sizeKB"],
        primary["metadata"],
        primary["hashes"],
    )
    assert (0, {"AutoV3": "B" * 12}) == (version["files"][1]["sizeKB"], version["files"][1]["hashes"])
    assert "downloadUrl" not in version
    assert sorted(["baseModel", "createdAt", "nsfw", "publishedAt", "type"]) == sorted(version["modelyard"]["unknown"])


def test_a_key_without_the_scope_is_refused_in_the_same_form(yard: App) -> None:
    refused = yard.ask("/api/v1/models", None, authorization=f"Bearer {yard.key('red', Scope.WRITE)}")

    assert (403, ["error"]) == (refused.status, list(refused.json))


def test_a_walk_while_models_change_has_each_model_that_stays_once(tmp_path: Path) -> None:
    with open_app(tmp_path) as yard:
        stays = [
            a_model(id_, rank=1_000 - id_, version_group=f"civitai:{id_ // 2}", published_at=id_)
            for id_ in range(100, 140)
        ]
        yard.put(*stays, *(a_model(id_, rank=1_000 - id_) for id_ in range(200, 220)))
        expected = sorted(model["id"] for model in walk(yard) if model["id"] < 200)

        def change(page: int) -> None:
            """Remove a model and add two, one before the place of the walk and one behind it."""
            yard.remove(219 - page)
            yard.put(a_model(300 + page, rank=2_000), a_model(400 + page, rank=0))

        ids = [model["id"] for model in walk(yard, "limit=3", change)]

    assert 20 == len(expected)
    assert expected == sorted(id_ for id_ in ids if id_ < 200)
    assert len(ids) == len(set(ids))


def walk(yard: App, query: str = "limit=100", on_page: Callable[[int], object] = int) -> list[dict[str, Any]]:
    """Return the models of all pages; ``on_page`` is called after each."""
    target, models, number = f"/api/v1/models?{query}", [], 0
    while target:
        page = yard.ask(target)
        models += page.json["items"]
        on_page(number)
        number += 1
        following = urlsplit(page.json["metadata"].get("nextPage", ""))
        target = f"{following.path}?{following.query}" if following.path else ""
    return models


def test_a_list_shows_a_change_at_once(tmp_path: Path) -> None:
    with open_app(tmp_path) as yard:
        yard.put(a_model(1, tags=("old",)), a_model(2))
        before = {model["id"]: model["tags"] for model in walk(yard)}
        yard.put(a_model(1, tags=("new",)))
        yard.remove(2)
        after = {model["id"]: model["tags"] for model in walk(yard)}

    assert [{1: ["old"], 2: []}, {1: ["new"]}] == [before, after]


def test_the_key_of_the_header_goes_before_the_token_of_the_address(yard: App) -> None:
    """A link that somebody else composed cannot make a caller ask as another team."""
    other = yard.key("blue")
    me = yard.ask(f"/api/v1/me?token={other}", None, authorization=f"Bearer {yard.key('red')}")
    refused = yard.ask(f"/api/v1/me?token={other}", None, authorization="Bearer sk_wrong")

    assert (200, "red", 401) == (me.status, me.json["username"], refused.status)
