"""The list of words of a segment, and suggestions from it after changes.

Not covered here: which spelling is nearest, and what other teams' words change (test_facets.py).
"""

import numpy as np
import pytest

from modelyard.domain import ANONYMOUS, ModelQuery, Viewer
from modelyard.index import Budget, Index
from modelyard.index import reader as reader_module
from modelyard.index import segment as segment_module
from modelyard.index.budget import SUGGESTION_UNITS
from modelyard.index.words import WordCollector, pair_mask, pair_masks
from tests.app_fixture import a_model, a_private


def index_of(*names: str) -> Index:
    index = Index(lambda model: str(model.id).encode())
    index.load([a_model(n, sd_name=name) for n, name in enumerate(names, 1)], 1)
    return index


def suggestion(index: Index, term: str, viewer: Viewer = ANONYMOUS) -> str | None:
    return index.suggestion(viewer, ModelQuery(terms=tuple(term.split())))


def test_words_are_sorted_by_length_and_each_has_its_rows() -> None:
    collector = WordCollector()
    collector.add(0, b"landscape_mix\nv1.0\nab")
    collector.add(3, "mix landscape жанр".encode())

    arrays = dict(collector.arrays())

    assert "mixжанрlandscape".encode() == arrays["words"]
    assert [0, 3, 11, 20] == np.asarray(arrays["word_at"]).tolist()
    assert [0, 3, 3, 0, 3] == np.frombuffer(arrays["word_rows"], np.uint32).tolist()
    assert [0, 2, 3, 5] == np.asarray(arrays["word_row_at"]).tolist()


def test_a_word_has_the_pairs_of_its_own_letters_only() -> None:
    words = [b"mix", b"landscape", "жанр".encode(), b"ab"]
    at = np.cumsum([0, *map(len, words)])

    masks = pair_masks(np.frombuffer(b"".join(words), np.uint8), at)

    assert [pair_mask(word) for word in words] == masks.tolist()
    assert 0 == len(pair_masks(np.empty(0, np.uint8), np.array([0])))


def test_the_word_of_a_removed_model_is_not_suggested() -> None:
    index = index_of("landscape.pt", "portrait.pt")
    assert "landscape" == suggestion(index, "landscpae")

    index.apply([], [1], 2)

    assert suggestion(index, "landscpae") is None
    assert "portrait" == suggestion(index, "portrrait")


def test_each_viewer_is_suggested_own_words_though_the_list_is_shared() -> None:
    index = Index(lambda model: str(model.id).encode())
    index.load([a_private(1, "red", sd_name="landscape"), a_private(2, "blue", sd_name="landscapes")], 1)

    viewers = (Viewer("red"), Viewer("blue"), ANONYMOUS, Viewer("red"))

    assert ["landscape", "landscapes", None, "landscape"] == [suggestion(index, "landscpae", who) for who in viewers]


def test_only_the_most_popular_rows_give_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment_module, "TIER_FIRST", 4)
    index = Index(lambda model: str(model.id).encode())
    rare, popular = a_model(1, sd_name="watercolour", rank=0), a_model(2, sd_name="landscape", rank=99)
    index.load([rare, popular, *(a_model(n, sd_name="mix", rank=50) for n in range(3, 30))], 1)

    assert "landscape" == suggestion(index, "landscpae")
    assert suggestion(index, "watercolouur") is None


def test_the_number_of_rows_of_each_filter_is_that_of_its_set() -> None:
    index = Index(lambda model: str(model.id).encode())
    index.load((a_model(n, tags=(f"t{n % 3}", "all")) for n in range(1, 11)), 1)
    (part,) = index.segments

    counts = dict(zip(part.segment.filter_names(), part.segment.filters.row_counts.tolist(), strict=True))

    assert {"tag=t0": 3, "tag=t1": 4, "tag=t2": 3, "tag=all": 10} == {n: c for n, c in counts.items() if "tag" in n}


def test_a_text_with_more_unknown_words_than_three_gets_no_suggestion() -> None:
    index = index_of("dragon girl castle", "dragon girl castle night")

    assert "dragon girl castle" == suggestion(index, "dragonn girll castlee")
    assert suggestion(index, "dragonn girll castlee nightt") is None


def test_the_search_for_a_term_that_is_nowhere_and_whose_grams_are_everywhere_ends() -> None:
    index = index_of(*(f"{n}.nsafetensors" for n in range(5_000)))
    budget = Budget()

    assert index.suggestion(ANONYMOUS, ModelQuery(terms=("afetensafe",)), budget) is None
    assert 0 < budget.used <= SUGGESTION_UNITS


def test_words_that_others_alone_have_do_not_crowd_out_visible_ones() -> None:
    index = Index(lambda model: str(model.id).encode())
    secret = [a_private(n, "blue", sd_name=f"dragonq{n}", name="x", rank=500 - n) for n in range(1, 150)]
    index.load([*secret, a_model(900, sd_name="dragonfly", name="x")], 1)

    assert "dragonfly" == suggestion(index, "dragonfli")


def test_a_suggestion_is_kept_until_a_change_and_for_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    index = Index(lambda model: str(model.id).encode())
    index.load([a_private(1, "red", sd_name="dragonfly", name="x"), a_model(2, sd_name="castle", name="x")], 1)
    assert "dragonfly" == suggestion(index, "dragonfli", Viewer("red"))
    asked: list[str] = []
    monkeypatch.setattr(reader_module, "nearest", lambda *arguments: asked.append(arguments[2]) or [])

    assert "dragonfly" == suggestion(index, "dragonfli", Viewer("red"))
    assert [] == asked
    assert suggestion(index, "dragonfli", Viewer("blue")) is None
    assert suggestion(index, "dragonfli") is None
    index.apply([], [1], 2)
    assert suggestion(index, "dragonfli", Viewer("red")) is None
    assert ["dragonfli"] * 3 == asked
