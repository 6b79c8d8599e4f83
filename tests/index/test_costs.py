"""What a question costs: units of work, texts that are read, what the segment keeps, and the same once more.

Not covered here: that the answers are right (test_verification.py, test_facets.py, test_sorted_pages.py).
"""

from collections.abc import Iterator, Sequence

import pytest

from modelyard.domain import ANONYMOUS, POPULAR, Model, ModelQuery, Offset
from modelyard.index import Index, facets, plan_for, search, sorted_pages
from modelyard.index import segment as segment_module
from modelyard.index.budget import Budget
from modelyard.index.set_cache import ENTRY_BYTES, SetCache
from tests.app_fixture import a_model

COUNT = 3_000


def a_row(n: int) -> Model:
    """Half of the models have a name with all grams of "animetic" that does not hold it; a quarter have it as a tag."""
    tags = (*(f"tag {k}" for k in (2, 3, 5) if n % k == 0), *(("animetic",) if n % 4 == 0 else ()))
    name = "nimetic animexx" if n % 2 else "anime tic"
    return a_model(n, sd_name=f"file{n:04}.safetensors", name=name, tags=tags, size_bytes=n % 7 or None)


@pytest.fixture(scope="module")
def index() -> Iterator[Index]:
    """An index of one segment with two tiers, of 1,024 and 1,976 rows."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(segment_module, "TIER_FIRST", 1_024)
        new_index = Index(lambda model: str(model.id).encode())
        new_index.load([a_row(n) for n in range(1, COUNT + 1)], 1)
        yield new_index


class Costs:
    """Asks, and counts the units of work and the texts that were read."""

    def __init__(self, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
        self._parts = index.segments
        segment = self._parts[0].segment
        self.texts = 0
        self.cache = SetCache(1 << 24)
        one, several = segment.text, segment.texts

        def text(row: int) -> bytes:
            self.texts += 1
            return one(row)

        def texts(rows: Sequence[int]) -> list[bytes]:
            self.texts += len(rows)
            return several(rows)

        sets: list[dict[object, object]] = [{} for _ in segment.tiers]
        for name, value in {"text": text, "texts": texts, "computed": self.cache, "_cache": sets}.items():
            monkeypatch.setattr(segment, name, value)

    def ask(self, kind: str, query: ModelQuery) -> tuple[int, int, int, int]:
        """Return the units and texts that a question takes, and the number and size of what is kept afterwards."""
        budget, plan = Budget(), plan_for(ANONYMOUS, query)
        self.texts = 0
        if kind == "count":
            search.count(self._parts, plan, budget)
        elif kind == "facets":
            facets.facets(self._parts, plan, 5, budget)
        elif query.sort == POPULAR:
            search.page(self._parts, plan, query.start, query.limit, budget)  # type: ignore[arg-type] # no position of another order
        else:
            sorted_pages.sorted_page(self._parts, plan, query.sort, query.start, query.limit, budget)  # type: ignore[arg-type] # as above
        return budget.used, self.texts, len(self.cache), self.cache.size_bytes


@pytest.fixture
def costs(index: Index, monkeypatch: pytest.MonkeyPatch) -> Costs:
    """A segment of which nothing was asked, not a set is loaded. A page reads 100 texts before it verifies windows."""
    monkeypatch.setattr(search, "_PATIENCE_ROWS", 100)
    monkeypatch.setattr(sorted_pages, "_PATIENCE_ROWS", 100)
    return Costs(index, monkeypatch)


EVERYTHING = ModelQuery()
FALSE_GRAMS = ModelQuery(terms=("animetic",))
PROVEN = ModelQuery(terms=("safetensors",))
FEW = ModelQuery(terms=("file12",))
TWO_TERMS = ModelQuery(terms=("nimetic", "file"))
BY_TAG = ModelQuery(tags=("tag 2",))
TAG_AND_TERM = ModelQuery(tags=("tag 2",), terms=("animetic",), limit=100)
DEEP = ModelQuery(terms=("animetic",), start=Offset(700))
DEEPEST = ModelQuery(start=Offset(2_500))
BY_SIZE = ModelQuery(terms=("animetic",), sort="size", limit=60)
TAG_BY_SIZE = ModelQuery(tags=("tag 5",), sort="-size", limit=100)
DEEP_BY_SIZE = ModelQuery(terms=("animetic",), sort="size", start=Offset(700))
DEEP_BY_NAME = ModelQuery(sort="-name", start=Offset(2_500))


@pytest.mark.parametrize(
    ("kind", "query", "first", "again"),
    [
        ("count", EVERYTHING, (80, 0, 0, 0), (40, 0, 0, 0)),
        ("count", FALSE_GRAMS, (1_628, 512, 4, 2_454), (792, 512, 4, 2_454)),
        ("count", PROVEN, (1_649, 0, 5, 2_558), (400, 0, 5, 2_558)),
        ("count", FEW, (444, 0, 1, 606), (200, 0, 1, 606)),
        ("count", TWO_TERMS, (2_557, 512, 9, 4_973), (832, 512, 9, 4_973)),
        ("count", BY_TAG, (171, 0, 0, 0), (80, 0, 0, 0)),
        ("count", TAG_AND_TERM, (1_423, 750, 0, 0), (1_070, 750, 0, 0)),
        ("facets", EVERYTHING, (3_096, 0, 2, 73_303), (3_016, 0, 2, 73_303)),
        ("facets", FALSE_GRAMS, (2_394, 512, 6, 75_757), (766, 0, 6, 75_757)),
        ("facets", PROVEN, (4_665, 0, 7, 75_861), (3_016, 0, 7, 75_861)),
        ("facets", FEW, (560, 0, 3, 37_726), (116, 0, 3, 37_726)),
        ("facets", TWO_TERMS, (4_823, 512, 11, 78_276), (2_266, 0, 11, 78_276)),
        ("facets", BY_TAG, (1_687, 0, 2, 73_303), (1_516, 0, 2, 73_303)),
        ("facets", TAG_AND_TERM, (2_189, 750, 2, 73_303), (766, 0, 2, 73_303)),
        ("page", EVERYTHING, (20, 0, 0, 0), (0, 0, 0, 0)),
        ("page", FALSE_GRAMS, (148, 60, 0, 0), (0, 60, 0, 0)),
        ("page", PROVEN, (200, 20, 0, 0), (0, 20, 0, 0)),
        ("page", FEW, (180, 20, 0, 0), (0, 20, 0, 0)),
        ("page", TWO_TERMS, (168, 20, 0, 0), (0, 20, 0, 0)),
        ("page", BY_TAG, (44, 0, 0, 0), (0, 0, 0, 0)),
        ("page", TAG_AND_TERM, (172, 100, 0, 0), (0, 100, 0, 0)),
        ("page", DEEP, (1_281, 545, 4, 2_454), (445, 545, 4, 2_454)),
        ("page", DEEPEST, (80, 0, 0, 0), (40, 0, 0, 0)),
        ("page", BY_SIZE, (2_036, 612, 5, 3_293), (1_200, 612, 5, 3_293)),
        ("page", TAG_BY_SIZE, (164, 0, 1, 839), (80, 0, 1, 839)),
        ("page", DEEP_BY_SIZE, (1_651, 512, 5, 3_293), (0, 0, 5, 3_293)),
        ("page", DEEP_BY_NAME, (173, 0, 1, 839), (0, 0, 1, 839)),
    ],
)
def test_a_question_costs_its_work_once_and_is_kept_at_its_size(
    costs: Costs, kind: str, query: ModelQuery, first: tuple[int, int, int, int], again: tuple[int, int, int, int]
) -> None:
    """Units, texts that were read, entries of the cache and their bytes: of a question, and of the same once more."""
    assert first == costs.ask(kind, query)
    assert again == costs.ask(kind, query)


def test_the_names_of_filters_that_words_may_mean_are_kept_at_their_size(costs: Costs, index: Index) -> None:
    query = ModelQuery(words=("checkpoint", "tag"))
    index.named_filters(ANONYMOUS, query)
    index.offer_filters(ANONYMOUS, query, 5)
    sizes = {key: size for key, (_, size) in costs.cache._entries.items() if "names" in key}  # type: ignore[operator] # a tuple

    assert {
        ("names", "type"): ENTRY_BYTES + 200 + len("checkpoint"),
        ("names", "base"): ENTRY_BYTES + 200 + len("sd15"),
    } == sizes
