"""``filter.search`` over HTTP: what it finds, its suggestions of filters, and that both tell only of what is shown.

That every answer equals the oracle is shown by tests/index.
"""

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from modelyard.domain import MODEL_TYPES, Hashes
from tests.app_fixture import App, a_model, a_private, open_app

HEADER = "modelyard-filter-suggestion"


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with open_app(tmp_path_factory.mktemp("search")) as opened:
        opened.put(
            a_model(1, sd_name="万象熔炉_AnythingV5_Ink.safetensors", base_model="SD 1.5"),
            a_model(2, sd_name="dream_shaper_8.pt", base_model="Pony", hashes=Hashes(sha256=64 * "A")),
            a_model(3, sd_name="hands.pt", base_model="Pony", type=MODEL_TYPES["vae"]),
            a_model(4, name="pony hands", base_model="SDXL 1.0"),
            a_private(1_000_000_001, "red", name="hands", base_model="Secret base", hashes=Hashes(sha256=64 * "B")),
        )
        yield opened


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("万象熔炉 | Anything V5/Ink", [1]),
        ("anything-v5 (ink)", [1]),
        ("dreamshaper", [2]),
        ("Dream.Shaper", [2]),
        ("“dream” 'shaper'", [2]),
        ("AAAAAAAAAA", [2]),
        ("0xaaaaaaaaaa dream", [2]),
        ("aaaaaaaaaa hands", []),
        ("hands", [4, 3]),
        ("- | ()", [1, 2, 3, 4]),
    ],
)
def test_words_find_what_they_are_part_of_or_the_hash_of(yard: App, text: str, ids: list[int]) -> None:
    reply = yard.ask(f"/v3/model?filter.search={quote(text)}", "blue")

    assert sorted(ids) == sorted(reply.ids)


def test_sort_facets_and_counts_apply_to_a_search(yard: App) -> None:
    named = yard.ask("/v3/model?filter.search=hands&sort=-name", "blue")
    facets = yard.ask("/v3/model/facets?filter.search=hands&sort=name", "blue")
    counted = yard.ask("/v3/model?filter.search=hands", "blue", prefer="count=exact")

    assert [4, 3] == named.ids
    assert {"checkpoint": 1, "vae": 1} == {one["name"]: one["count"] for one in facets.json["types"]}
    assert "2" == counted.headers["modelyard-total"]


@pytest.mark.parametrize(
    ("text", "team", "header"),
    [
        ("pony", "blue", "filter.base_model=Pony;count=2"),
        ("pony hands", "blue", "filter.base_model=Pony;count=1"),
        ("pony nobody", "blue", None),
        ("sd-1.5", "blue", "filter.base_model=SD%201.5;count=1"),
        ("vae", "blue", "filter.types=vae;count=1"),
        ("hands", "blue", None),
        ("secret base", "red", "filter.base_model=secret%20base;count=1"),
        ("secret base", "blue", None),
        ("secret base hands", "red", "filter.base_model=secret%20base;count=1"),
    ],
)
def test_words_that_name_a_filter_offer_it_with_what_the_caller_would_see(
    yard: App, text: str, team: str, header: str | None
) -> None:
    reply = yard.ask(f"/v3/model?filter.search={quote(text)}", team)

    assert header == reply.headers.get(HEADER)


def test_a_search_without_matches_suggests_the_nearest_spelling_that_matches(yard: App) -> None:
    assert "dream shaper" == yard.ask("/v3/model?filter.search=dreem-shaper", "blue").headers["modelyard-suggestion"]
    assert "modelyard-suggestion" not in yard.ask("/v3/model?filter.search=secert+handz", "blue").headers


def test_only_the_first_page_of_a_search_offers_filters(yard: App) -> None:
    assert HEADER not in yard.ask("/v3/model?filter.search=pony&pagination.cursor=c_1").headers
    assert HEADER not in yard.ask("/v3/model?filter.query=pony").headers


def test_a_hash_finds_no_private_model_of_another_team(yard: App) -> None:
    for digits in (10 * "B", 12 * "b", 64 * "B"):
        assert [1_000_000_001] == yard.ask(f"/v3/model?filter.search={digits}", "red").ids
        assert [] == yard.ask(f"/v3/model?filter.search={digits}", "blue").ids
        facets = yard.ask(f"/v3/model/facets?filter.search={digits}", "blue").json
        assert (0, []) == (facets["total"], facets["base_models"])
