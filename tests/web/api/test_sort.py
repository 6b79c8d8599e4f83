"""`sort` and the licence filters over HTTP, with models as the store has them.

That every page of every order equals the oracle is shown by tests/index.
"""

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from modelyard.domain import SORTS, Licence
from tests.app_fixture import App, a_model, a_private, open_app

MODELS = (
    a_model(1, rank=9, title="Cherry", published_at=100, updated_at=500, added_at=1, size_bytes=30),
    a_model(2, rank=8, title="apple", published_at=300, updated_at=400, added_at=2),
    a_model(3, rank=7, title="Banana", updated_at=450, added_at=3, size_bytes=10, licence=Licence(id="MIT")),
    a_private(1_000_000_001, "blue", rank=6, title="aaa", published_at=999, size_bytes=99),
    a_model(4, rank=5, sd_name="date.pt", published_at=200, licence=Licence(allow_commercial=("rent",))),
)
ORDERS = {
    "popular": [1, 2, 3, 4],
    "-popular": [4, 3, 2, 1],
    "newest": [2, 4, 1, 3],
    "-newest": [1, 4, 2, 3],
    "updated": [1, 3, 2, 4],
    "-updated": [2, 3, 1, 4],
    "name": [2, 3, 1, 4],
    "-name": [4, 1, 3, 2],
    "size": [1, 3, 4, 2],
    "-size": [3, 1, 4, 2],
}


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with open_app(tmp_path_factory.mktemp("sort")) as opened:
        opened.put(*MODELS)
        yield opened


@pytest.mark.parametrize("sort", ORDERS)
@pytest.mark.parametrize("limit", [1, 2, 20])
def test_a_walk_of_each_order_returns_each_visible_model_once(yard: App, sort: str, limit: int) -> None:
    seen: list[int] = []
    cursor = ""
    for _ in range(6):
        reply = yard.ask(f"/v3/model?sort={sort}&pagination.limit={limit}&pagination.cursor={quote(cursor, safe='')}")
        seen += reply.ids
        cursor = reply.json["pagination"]["next_cursor"]
        if not cursor:
            break

    assert ORDERS[sort] == seen


@pytest.mark.parametrize("sort", [sort for sort in ORDERS if sort != "popular"])
def test_a_cursor_belongs_to_its_order(yard: App, sort: str) -> None:
    cursor = quote(yard.ask(f"/v3/model?sort={sort}&pagination.limit=2").json["pagination"]["next_cursor"], safe="")

    for other in ("popular", *(name for name in SORTS if name != sort)):
        reply = yard.ask(f"/v3/model?sort={other}&pagination.cursor={cursor}")
        assert (400, "INVALID_ARGUMENT") == (reply.status, reply.json["reason"])
        assert f"sort={sort} " in reply.json["message"]
        assert f"sort={other};" in reply.json["message"]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("filter.licence=mit", [3]),
        ("filter.licence.commercial=rent", [4]),
        ("filter.licence.commercial=!rent", [1, 2, 3]),
        ("filter.licence.commercial=!rent&filter.licence.commercial=!unknown", []),
        ("filter.licence.commercial=unknown&sort=name", [2, 3, 1]),
        ("filter.licence=unknown&filter[licence][derivatives]=unknown&sort=-newest", [1, 4, 2]),
    ],
)
def test_licence_filters_never_take_unknown_for_allowed(yard: App, query: str, ids: list[int]) -> None:
    assert ids == yard.ask(f"/v3/model?{query}").ids
