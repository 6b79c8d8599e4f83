"""``/api/models``: search, filters, order and pages; and how requests are limited."""

import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from modelyard.domain import MODEL_TYPES, Hashes, Licence
from modelyard.store import download_counts
from modelyard.web.hub import search
from modelyard.wire.hub_summaries import render_summary
from tests.app_fixture import a_model, a_private, open_app
from tests.web.hub.stocked import Stocked


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("search=night&filter=lora", ["private"]),
        ("filter=not-for-all-audiences", ["public"]),
        ("filter=base_model:adapter:stabilityai/stable-diffusion-xl-base-1.0", ["public"]),
        ("filter=base_model:nobody/nothing", []),
        ("filter=civitai:3@7&pipeline_tag=text-to-image", ["seven"]),
        ("filter=anime&filter=diffusers", ["seven"]),
        ("filter=lora,style", ["private"]),
        ("author=red", ["private"]),
        ("author=blue", []),
        ("pipeline_tag=text-to-video", []),
        ("search=secret", []),
    ],
)
def test_filters_are_tags_in_the_hubs_words(stock: Stocked, question: str, names: list[str]) -> None:
    ids = {"private": stock.private, "public": stock.public, "seven": "public/7"}

    assert [ids[name] for name in names] == [m["id"] for m in stock.yard.ask(f"/hf/api/models?{question}").json]


@pytest.mark.parametrize(
    "question", ["sort=createdAt", "sort=lastModified&direction=-1", "sort=downloads", "full=true"]
)
def test_links_lead_through_all_models_once(stock: Stocked, question: str) -> None:
    target, ids = f"/hf/api/models?limit=1&{question}", []
    while target:
        reply = stock.yard.ask(target)
        ids += [model["id"] for model in reply.json]
        link = reply.headers.get("link", "")
        assert not link or (link.startswith("<http://127.0.0.1/hf/") and link.endswith('>; rel="next"'))
        parts = urlsplit(link.partition(">")[0].removeprefix("<"))
        target = f"{parts.path}?{parts.query}" if link else ""

    assert sorted([stock.private, stock.public, f"public/{stock.shards}", "public/7"]) == sorted(ids)


@pytest.mark.parametrize(
    "question", ["limit=0", "limit=x", "sort=size", "cursor=x", "sort=createdAt&cursor=c_WzUsIjEiXQ=="]
)
def test_a_value_that_is_not_accepted_is_400(stock: Stocked, question: str) -> None:
    reply = stock.yard.ask(f"/hf/api/models?{question}")

    assert (400, ["error"]) == (reply.status, list(reply.json))


def test_expand_selects_the_fields(stock: Stocked) -> None:
    (model,) = stock.yard.ask("/hf/api/models?filter=anime&expand=downloads&expand=private").json

    assert {"_id", "id", "modelId", "downloads", "private"} == model.keys()


def test_addresses_begin_with_the_public_url(tmp_path: Path) -> None:
    with open_app(tmp_path, public_url="https://models.example/yard") as yard:
        yard.put(a_model(1), a_model(2))

        link = yard.ask("/hf/api/models?limit=1").headers["link"]

    assert link.startswith("<https://models.example/yard/hf/api/models?limit=1&cursor=")


def test_limits_of_requests_are_in_headers_that_clients_wait_by(tmp_path: Path) -> None:
    with open_app(tmp_path, rate_limit_per_minute=2) as yard:
        replies = [yard.ask("/hf/api/whoami-v2") for _ in range(3)]

    assert [200, 200, 429] == [reply.status for reply in replies]
    assert [f'"api";r={left}' for left in (1, 0, 0)] == [r.headers["ratelimit"].rpartition(";")[0] for r in replies]
    assert {'"fixed window";"api";q=2;w=60'} == {reply.headers["ratelimit-policy"] for reply in replies}
    assert int(replies[2].headers["ratelimit"].rpartition("=")[2]) == int(replies[2].headers["retry-after"])


def test_a_list_has_the_present_licence_and_dates_of_each_model(tmp_path: Path) -> None:
    def listed(query: str) -> list[tuple[str, str]]:
        return [(model["id"], model["lastModified"]) for model in yard.ask(f"/hf/api/models?{query}").json]

    with open_app(tmp_path) as yard:
        yard.put(*(a_model(number, added_at=0) for number in (1, 2, 3)))
        before = [listed("limit=3"), listed("limit=3&direction=-1")]
        yard.put(a_model(2, added_at=0, updated_at=1_800_000_059, licence=Licence("mit")))
        yard.remove(3)
        after = listed("limit=3")
        (licensed,) = yard.ask("/hf/api/models?filter=license:mit").json

    dates = {f"public/{number}": "1970-01-01T00:00:00.000Z" for number in (1, 2, 3)}
    assert [list(dates.items())] * 2 == before
    assert [("public/1", dates["public/1"]), ("public/2", "2027-01-15T08:00:59.000Z")] == after
    assert "license:mit" in licensed["tags"]


def test_counts_of_downloads_are_listed_minutes_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_app(tmp_path) as yard:
        yard.put(a_model(1))
        counts = []
        for period in (1, 2):
            monkeypatch.setattr(time, "time", lambda seconds=period * search.COUNTS_SECONDS: float(seconds))
            counts += [model["downloads"] for model in yard.ask("/hf/api/models").json]
            with yard.store.transaction() as transaction:
                download_counts.add(transaction.connection, {1: 5})

    assert [0, 5] == counts


def test_a_list_has_the_same_tags_as_the_repository(tmp_path: Path) -> None:
    """A tag of its own that says what another tag says, quotes and keys of JSON in texts, and no tags at all."""
    odd = ['"tags":["x"],"cover_url":"', "\\", "Nächte", "lora", "diffusers", "license:mit", "civitai:3@7"]
    with open_app(tmp_path) as yard:
        yard.put(
            a_model(1, tags=(), name='","display_name":"', base_model='","base_model_type":"'),
            a_model(2, tags=tuple(odd), base_model="SD 1.5", licence=Licence("mit"), is_nsfw=True),
            a_model(7, tags=odd[-1:], version_group="civitai:3"),
        )
        listed = {model["id"]: model for model in yard.ask("/hf/api/models").json}
        described = {name: yard.ask(f"/hf/api/models/{name}").json for name in listed}

    assert ["public/1", "public/2", "public/7"] == sorted(listed)
    for name, model in listed.items():
        assert {field: described[name][field] for field in model} == model


@pytest.mark.parametrize(
    "question", ["", "sort=createdAt", "sort=downloads&direction=1", "search=night", f"search={'A' * 63}1", "limit=2"]
)
def test_a_list_says_of_each_model_what_its_description_says(tmp_path: Path, question: str) -> None:
    """Public and private models, ids of any size, in one segment and in several, with and without downloads."""
    with open_app(tmp_path) as yard:
        hashes = Hashes(sha256="A" * 63 + "1")
        yard.put(*(a_model(number, name="night", hashes=hashes, added_at=number) for number in (1, 2**40)))
        upscaler = MODEL_TYPES["upscaler"]
        yard.put(*(a_private(number, "red", type=upscaler, name="night", hashes=hashes) for number in (5, 6)))
        with yard.store.transaction() as transaction:
            download_counts.add(transaction.connection, {5: 3, 2**40: 12})
        listed = {model["id"]: model for model in yard.ask(f"/hf/api/models?{question}").json}
        described = {name: yard.ask(f"/hf/api/models/{name}").json for name in listed}

    assert (2 if "limit" in question else 4) == len(listed)
    for name, model in listed.items():
        assert {field: described[name][field] for field in model} == model


def test_a_change_of_what_the_index_stores_is_noticed() -> None:
    """If this fails, increase ``wire.RENDERING``: what existing homes have in their index is then rendered again."""
    model = a_model(7, added_at=1, updated_at=61, version_group="civitai:3", licence=Licence("mit"), tags=("anime",))

    summary = render_summary(model)

    assert (
        b'public/7\x02"diffusers","checkpoint","anime",\x0c,'
        b'"license:mit","civitai:3@7"\x0400000007\x067","createdAt":"1970-01-01T00:00:01\x081970-01-01T00:01:01'
    ) == summary
