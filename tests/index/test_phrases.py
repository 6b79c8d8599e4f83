"""Frequent phrases have sets, so that frequent terms need no text read, and answers stay the oracle's."""

import pytest

from modelyard.domain import ANONYMOUS, ModelQuery, words_of
from modelyard.index import Index, plan_for, verification
from modelyard.index import phrases as phrases_module
from modelyard.index.budget import Budget
from modelyard.index.phrases import frequent_phrases
from modelyard.index.search import count, tier_rows
from tests import oracle
from tests.app_fixture import a_model

_MODELS = [
    a_model(
        n,
        sd_name=f"night{n}.{'ckpt' if n % 9 == 0 else 'safetensors'}",
        name="v1.0" if n % 2 else "Жанр 2",
        tags=("oil painting",) if n % 3 else ("style",),
    )
    for n in range(1, 200)
]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give catalogues of two hundred models phrases, and verify nothing by reading a few rows."""
    monkeypatch.setattr(phrases_module, "ROWS_MIN", 20)
    monkeypatch.setattr(verification, "FEW_ROWS", 0)


def test_phrases_are_what_many_texts_have() -> None:
    texts = ["a.safetensors\nv1.0", "b.safetensors\nv1.0 oil"] * 30 + ["sea"]

    found = frequent_phrases([text.encode() for text in texts])

    assert {b".safetensors", b"safetensors", b"v1.0"} <= {*found}
    assert not {b"oil", b"sea", b"v1", b"\n"} & {*found}
    assert [] == frequent_phrases([b"safetensors"] * 19)


@pytest.mark.parametrize(
    "terms",
    [("safetensors",), (".safetensors",), ("tensors", "v1.0"), ("жанр",), ("жан", "paint"), ("9.safet",), ("style",)],
)
@pytest.mark.parametrize("field", ["terms", "words"])
def test_counts_by_phrases_equal_the_oracle(terms: tuple[str, ...], field: str) -> None:
    index = Index(lambda model: str(model.id).encode())
    index.load(_MODELS, 1)
    query = ModelQuery(terms=terms) if field == "terms" else ModelQuery(words=words_of(" ".join(terms)))

    assert len(oracle.matching(_MODELS, ANONYMOUS, query)) == index.count_of(ANONYMOUS, query)


def test_a_term_that_is_a_phrase_needs_no_text() -> None:
    index = Index(lambda model: str(model.id).encode())
    index.load(_MODELS, 1)
    budget = Budget(300)  # reading the 177 texts takes more

    count = index.estimate(ANONYMOUS, ModelQuery(terms=("safetensors",)), budget)

    assert (177, True) == (count.number, count.is_exact)


def test_a_merged_segment_has_phrases_again() -> None:
    index = Index(lambda model: str(model.id).encode())
    index.load(_MODELS[:100], 1)
    index.apply(_MODELS[100:], [], 2)

    assert all(b".safetensors" in part.segment.phrases for part in index.segments)
    assert 177 == index.count_of(ANONYMOUS, ModelQuery(terms=("safetensors",)))


def test_a_term_that_few_rows_have_is_verified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "FEW_ROWS", 512)
    index = Index(lambda model: str(model.id).encode())
    index.load(_MODELS, 1)
    query = ModelQuery(terms=("night17",))
    first, again = Budget(), Budget()
    plan = plan_for(ANONYMOUS, query)

    assert 11 == count(index.segments, plan, first).number == count(index.segments, plan, again).number
    assert first.used > again.used


def test_the_candidates_of_a_phrase_are_its_rows() -> None:
    """Grams would also let through rows that have them apart."""
    index = Index(lambda model: str(model.id).encode())
    index.load([*_MODELS, *(a_model(n, sd_name="safeten tensors fetens") for n in range(500, 520))], 1)
    (part,) = index.segments
    plan = plan_for(ANONYMOUS, ModelQuery(terms=("safetensors",)))

    assert 177 == sum(len(tier_rows(part, plan, tier) or ()) for tier in range(len(part.segment.tiers)))
