"""Filters of several values and of excluded values, and licences: "unknown" is a value, and never "allowed".

That every mix of filters equals the oracle is shown by test_index.py.
"""

import pytest

from modelyard.domain import ANONYMOUS, Licence, ModelQuery, Viewer
from modelyard.index import Index
from tests.app_fixture import a_model, a_private

RENT, SELL, NOTHING, SILENT, NONE = 1, 2, 3, 4, 5


@pytest.fixture(scope="module")
def index() -> Index:
    licences = {
        RENT: Licence(id="Apache-2.0", allow_commercial=("image", "rent"), allow_no_credit=True),
        SELL: Licence(allow_commercial=("sell",), allow_no_credit=False, allow_derivatives=False),
        NOTHING: Licence(id="other", allow_commercial=(), allow_derivatives=True),
        SILENT: Licence(name="My own words"),
        NONE: None,
    }
    index = Index(lambda model: str(model.id).encode())
    index.load([a_model(number, licence=licence) for number, licence in licences.items()], 1)
    index.apply([a_private(9, "red", base_model="Secret")], [], 2)
    return index


def ids(index: Index, viewer: Viewer = ANONYMOUS, **filters: frozenset[str]) -> set[int]:
    return {int(record) for record in index.search(viewer, ModelQuery(limit=100, **filters)).records}  # type: ignore[arg-type] # sets of values


@pytest.mark.parametrize(
    ("field", "values", "matches"),
    [
        ("commercial", {"rent"}, {RENT}),
        ("commercial", {"rent", "sell"}, {RENT, SELL}),
        ("commercial", {"unknown"}, {SILENT, NONE}),
        ("commercial", {"unknown", "sell"}, {SELL, SILENT, NONE}),
        ("commercial", {"!rent"}, {SELL, NOTHING, SILENT, NONE}),
        ("commercial", {"!rent", "!unknown"}, {SELL, NOTHING}),
        ("commercial", {"image", "!rent"}, set()),
        ("credit", {"required"}, {SELL}),
        ("credit", {"not_required"}, {RENT}),
        ("credit", {"!required"}, {RENT, NOTHING, SILENT, NONE}),
        ("derivatives", {"allowed"}, {NOTHING}),
        ("derivatives", {"not_allowed"}, {SELL}),
        ("derivatives", {"unknown"}, {RENT, SILENT, NONE}),
        ("licences", {"apache-2.0"}, {RENT}),
        ("licences", {"unknown"}, {SELL, SILENT, NONE}),
        ("licences", {"unknown", "other"}, {SELL, NOTHING, SILENT, NONE}),
        ("licences", {"!other", "!unknown"}, {RENT}),
    ],
)
def test_a_licence_that_does_not_say_is_unknown_and_nothing_else(
    index: Index, field: str, values: set[str], matches: set[int]
) -> None:
    assert matches == ids(index, **{field: frozenset(values)})


def test_excluded_values_show_no_private_model_of_another_team(index: Index) -> None:
    public = {RENT, SELL, NOTHING, SILENT, NONE}

    for excluded in ({"!nobody's"}, {"!sd 1.5", "!nobody's"}, {"!secret"}):
        others = ids(index, base_models=frozenset(excluded))
        assert others <= public
        assert others == ids(index, Viewer("blue"), base_models=frozenset(excluded))
    assert public | {9} == ids(index, Viewer("red"), base_models=frozenset({"!nobody's"}))
