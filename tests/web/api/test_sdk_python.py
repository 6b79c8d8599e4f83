"""The vendor's Python SDK, as it is on PyPI, runs against this server with nothing changed but its address.

Not covered here: its calls that generate images; this system has no such routes.
"""

from typing import Any

import pytest

from tests import requirements
from tests.app_fixture import Address, App, a_model, a_private, listening

novita_client: Any = requirements.module("novita_client")


@pytest.fixture
def client(real_yard: App, real_address: Address) -> Any:
    return novita_client.NovitaClient(real_yard.key(), real_address.url)


def walked(yard: App, query: str = "") -> list[dict[str, Any]]:
    """What the server itself answers, by its own cursors."""
    found: list[dict[str, Any]] = []
    cursor = "c_0"
    while cursor:
        page = yard.ask(f"/v3/model?pagination.limit=100&pagination.cursor={cursor}&{query}").json
        found += page["models"]
        cursor = page["pagination"]["next_cursor"]
    return found


def test_models_v3_returns_the_whole_catalogue(client: Any, real_yard: App) -> None:
    models = client.models_v3()

    expected = walked(real_yard, "filter.visibility=public") + walked(real_yard, "filter.visibility=private")
    assert 10_742 < len(models)
    assert [model["id"] for model in expected] == [model.id for model in models]
    assert [model["sd_name_in_api"] for model in expected] == [model.sd_name_in_api for model in models]
    assert {"public", "private"} == {model.visibility for model in models}


def test_models_v3_ends_when_the_last_page_is_exactly_full(yard: App) -> None:
    yard.put(*(a_model(number) for number in range(1, 201)), a_private(1_000_000_001, "red"))
    with listening(yard) as address:
        models = novita_client.NovitaClient(yard.key(), address.url).models_v3()

    assert [*range(1, 201), 1_000_000_001] == [model.id for model in models]


@pytest.mark.parametrize(
    ("arguments", "same_as"),
    [
        ({}, ""),
        ({"visibility": "public"}, "filter.visibility=public"),
        ({"visibility": "private"}, "filter.visibility=private"),
        ({"limit": "2"}, "pagination.limit=2"),
        ({"limit": "100"}, "pagination.limit=100"),
        ({"limit": "0"}, "pagination.limit=1"),
        ({"limit": "101"}, "pagination.limit=1"),
        ({"query": "Realistic Vision"}, "filter.query=realistic+vision"),
        ({"query": "手"}, "filter.query=%E6%89%8B"),
        ({"cursor": "0"}, ""),
        ({"cursor": "100", "limit": "5"}, "pagination.cursor=c_100&pagination.limit=5"),
        ({"is_inpainting": True}, "filter.is_inpainting=true"),
        ({"is_inpainting": False}, ""),
        ({"source": "civitai"}, "filter.source=civitai"),
        ({"source": "training"}, "filter.source=training"),
        ({"is_sdxl": True}, "filter.is_sdxl=true"),
        ({"is_sdxl": False}, "filter.is_sdxl=false"),
        ({"types": "lora", "limit": "2"}, "filter.types=lora&pagination.limit=2"),
        ({"types": "checkpoint"}, "filter.types=checkpoint"),
        ({"types": "textualinversion"}, "filter.types=textualinversion"),
        ({"types": "lora", "query": "hands", "visibility": "public"}, "filter.type=lora&filter.query=hands"),
    ],
)
def test_each_argument_of_query_model_v3_does_what_it_says(
    client: Any, real_yard: App, arguments: dict[str, Any], same_as: str
) -> None:
    answer = client.query_model_v3(**arguments)

    expected = real_yard.ask(f"/v3/model?{same_as}").json
    assert expected["models"], "a comparison of nothing shows nothing"
    assert [model["sd_name"] for model in expected["models"]] == [model.sd_name for model in answer.models]
    assert expected["pagination"]["next_cursor"] == answer.pagination.next_cursor


def test_its_answers_cursor_goes_on_though_the_sdk_spells_it_twice(client: Any) -> None:
    first = client.query_model_v3(limit="10")
    second = client.query_model_v3(limit="10", cursor=first.pagination.next_cursor)
    both = client.query_model_v3(limit="20")

    assert [model.id for model in both.models] == [model.id for model in first.models + second.models]


def test_a_wrong_key_is_the_sdks_own_error(real_address: Address) -> None:
    with pytest.raises(novita_client.NovitaResponseError, match="401"):
        novita_client.NovitaClient("sk_wrong", real_address.url).query_model_v3()


def test_a_wrong_value_is_the_sdks_own_error(client: Any) -> None:
    with pytest.raises(novita_client.NovitaResponseError, match="400"):
        client.query_model_v3(source="official")
