"""Facets are what counting would give, and suggestions are spellings that match; neither tells of what is not shown.

Not covered here: their form over HTTP (test_api.py).
"""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelyard.cli import run
from modelyard.domain import ANONYMOUS, Model, ModelQuery, Viewer, Visibility, fold, fold_base
from modelyard.index import Facets, Index
from modelyard.index import facets as facets_module
from modelyard.index import segment as segment_module
from modelyard.index.suggest import edit_distance
from modelyard.index.words import WORD
from tests import oracle
from tests.app_fixture import a_model, a_private
from tests.strategies import models, queries, viewers

TAGS_MAX = 5


@pytest.fixture(autouse=True, params=["counted by row", "counted from sets"])
def small_tiers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few matches are counted row by row, many from sets: each catalogue is counted both ways."""
    monkeypatch.setattr(segment_module, "TIER_FIRST", 4)
    if request.param == "counted from sets":
        monkeypatch.setattr(facets_module, "_FEW_ROWS", 0)


def index_of(*batches: list[Model]) -> Index:
    index = Index(lambda model: str(model.id).encode())
    index.load(batches[0], 1)
    for revision, batch in enumerate(batches[1:], 2):
        index.apply(batch, [], revision)
    return index


def counted(found: list[Model]) -> Facets:
    def by_count(values: Counter[str]) -> list[tuple[str, int]]:
        return sorted(values.items(), key=lambda pair: (-pair[1], pair[0]))

    tags: Counter[str] = Counter()
    for model in found:
        tags.update({fold(tag).strip() for tag in model.tags})
    return Facets(
        len(found),
        by_count(Counter(model.type.name for model in found)),
        by_count(Counter(model.source.value for model in found)),
        by_count(Counter(fold_base(model.base_model) for model in found)),
        by_count(tags)[:TAGS_MAX],
    )


@given(
    st.lists(models(), max_size=40, unique_by=lambda model: model.id),
    st.lists(st.lists(models(), max_size=6, unique_by=lambda model: model.id), max_size=2),
    viewers,
    st.lists(queries, min_size=1, max_size=3),
)
@settings(deadline=None, max_examples=60)
def test_facets_are_what_counting_the_matches_gives(
    catalogue: list[Model], later: list[list[Model]], viewer: Viewer, asked: list[ModelQuery]
) -> None:
    index = index_of(catalogue, *later)
    known = {model.id: model for batch in (catalogue, *later) for model in batch}

    for query in asked:
        expected = counted(oracle.matching(known.values(), viewer, query))
        assert expected == index.facets(viewer, query, TAGS_MAX)
        of_fields = Facets(expected.total, expected.types, [], expected.base_models, [])
        assert of_fields == index.facets(viewer, query, TAGS_MAX, fields=("base", "type"))


def test_a_tag_that_is_rare_on_the_whole_and_frequent_among_the_matches_is_counted() -> None:
    """Tags are asked for from the most frequent one down: it must not stop before one that the matches are full of."""
    many = [a_model(n, tags=tuple(f"common {k}" for k in range(80))) for n in range(1, 41)]
    few = [a_model(n, tags=("rare",), name="wanted") for n in range(41, 44)]
    index = index_of([*many, *few])

    assert [("rare", 3)] == index.facets(ANONYMOUS, ModelQuery(terms=("wanted",)), TAGS_MAX).tags


# --- More tags than are counted in one step -------------------------------------------------------------------------

STEP = 64


def top_tags(index: Index, tags_max: int = TAGS_MAX) -> list[tuple[str, int]]:
    return index.facets(ANONYMOUS, ModelQuery(terms=("wanted",)), tags_max).tags


def tag_range(first: int, after: int) -> tuple[str, ...]:
    return tuple(f"t{number:03}" for number in range(first, after))


@pytest.mark.parametrize("place", [STEP - 1, STEP, STEP + 1, 2 * STEP - 1, 2 * STEP])
def test_the_tag_at_every_place_of_the_frequency_list_is_counted(place: int) -> None:
    """Each tag is on one model less than the one before it, so its place is its number."""
    others = [a_model(n, tags=tag_range(0, n)) for n in range(1, 3 * STEP)]
    index = index_of([*others, a_model(900, name="wanted", tags=(f"t{place:03}",))])

    assert [(f"t{place:03}", 1)] == top_tags(index)


def test_a_rare_tag_with_as_many_matches_as_the_frequent_ones_is_in_its_place_by_name() -> None:
    others = [a_model(n, tags=tag_range(0, STEP)) for n in range(10, 13)]
    index = index_of([*others, a_model(1, name="wanted", tags=("a", *tag_range(0, STEP)))])

    assert [("a", 1), *((tag, 1) for tag in tag_range(0, 4))] == top_tags(index)


def test_a_rare_tag_that_more_matches_have_than_the_frequent_ones_is_shown() -> None:
    frequent = [a_model(n, tags=tag_range(0, STEP)) for n in range(10, 20)]
    matches = [a_model(n, name="wanted", tags=("rare", *(tag_range(0, STEP) if n < 3 else ()))) for n in (1, 2, 3)]

    assert [("rare", 3), *((tag, 2) for tag in tag_range(0, 4))] == top_tags(index_of([*frequent, *matches]))


def test_more_tags_than_one_step_are_listed_if_so_many_are_asked_for() -> None:
    matches = [a_model(1, name="wanted", tags=tag_range(0, 80)), a_model(2, name="wanted", tags=tag_range(0, STEP))]

    expected = [*((tag, 2) for tag in tag_range(0, STEP)), *((tag, 1) for tag in tag_range(STEP, 80))]

    assert expected == top_tags(index_of(matches), tags_max=100)
    assert expected[:70] == top_tags(index_of(matches), tags_max=70)


def test_the_most_frequent_tags_of_several_segments_are_counted_together() -> None:
    """Neither segment has the tag among its first ones, and together the matches have most of it."""
    first = [a_model(n, tags=tag_range(0, STEP)) for n in range(10, 20)]
    first += [a_model(n, name="wanted", tags=("both", "one")) for n in (1, 2)]
    second = [a_model(3, name="wanted", tags=("both", *tag_range(100, 170)))]
    index = index_of(first, second)

    assert 2 == len(index.segments)
    assert [("both", 3), ("one", 2), *((tag, 1) for tag in tag_range(100, 103))] == top_tags(index)


# --- Suggestions -----------------------------------------------------------------------------------------------------

WORDS = ("landscape", "portrait", "realistic", "watercolour", "cyberpunk", "жанровая", "ﬁshnet", "architecture")


@st.composite
def misspelt(draw: st.DrawFn) -> str:
    word = fold(draw(st.sampled_from(WORDS)))
    at = draw(st.integers(0, len(word) - 1))
    return draw(
        st.sampled_from((word[:at] + word[at + 1 :], word[:at] + "q" + word[at:], word[:at] + "q" + word[at + 1 :]))
    )


named = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map("_".join)


@given(
    st.lists(st.tuples(named, st.sampled_from((None, "red", "blue"))), max_size=30),
    st.sampled_from((ANONYMOUS, Viewer("red"))),
    st.lists(misspelt(), min_size=1, max_size=2, unique=True),
    st.booleans(),
)
@settings(deadline=None, max_examples=80)
def test_a_suggestion_matches_something_the_viewer_may_see_and_is_made_of_its_words(
    given_names: list[tuple[str, str | None]], viewer: Viewer, terms: list[str], only_private: bool
) -> None:
    catalogue = [
        a_model(n, sd_name=name) if team is None else a_private(n, team, sd_name=name)
        for n, (name, team) in enumerate(given_names, 1)
    ]
    visibility = Visibility.PRIVATE if only_private and viewer.team else None
    query = ModelQuery(terms=tuple(terms), visibility=visibility)
    index = index_of(catalogue)

    suggested = index.suggestion(viewer, query)

    if suggested is None:
        return
    respelt = ModelQuery(terms=tuple(suggested.split()), visibility=visibility)
    assert oracle.matching(catalogue, viewer, respelt)
    seen = {
        word for m in catalogue if oracle.is_visible(m, viewer) for word in WORD.findall(fold(f"{m.sd_name} {m.name}"))
    }
    assert {*suggested.split()} <= seen | {*terms}


@given(st.lists(st.tuples(named, st.sampled_from(("red", "blue"))), max_size=12), misspelt())
@settings(deadline=None, max_examples=60)
def test_what_is_suggested_does_not_depend_on_what_other_teams_keep(others: list[tuple[str, str]], term: str) -> None:
    ours = [a_model(1, sd_name="portrait_of_a_landscape"), a_model(2, sd_name="realistic_fishnet")]
    theirs = [a_private(n, team, sd_name=name) for n, (name, team) in enumerate(others, 10)]

    alone = index_of(ours).suggestion(ANONYMOUS, ModelQuery(terms=(term,)))
    beside = index_of([*ours, *theirs]).suggestion(ANONYMOUS, ModelQuery(terms=(term,)))

    assert alone == beside


def test_the_nearest_spelling_is_suggested() -> None:
    index = index_of([a_model(1, sd_name="landscape_mix.safetensors"), a_model(2, sd_name="lantern.safetensors")])

    assert index.suggestion(ANONYMOUS, ModelQuery(terms=("landscpae", "mix"))) == "landscape mix"
    assert index.suggestion(ANONYMOUS, ModelQuery(terms=("qqqqqqqq",))) is None


def test_facets_are_told_on_the_terminal_and_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
    versions = [
        {"id": n, "name": "v1", "files": [{"id": n, "name": f"f{n}.safetensors", "type": "Model"}], "baseModel": "Pony"}
        for n in (1, 2)
    ]
    (tmp_path / "1.json").write_text(
        json.dumps({"id": 1, "name": "m", "type": "LORA", "tags": ["Anime"], "modelVersions": versions})
    )
    assert run(["import", "civitai", str(tmp_path / "1.json")]) == 0
    capsys.readouterr()

    assert run(["search", "--facets", "--types", "lora", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {
        "total": 2,
        "types": [{"name": "lora", "count": 2}],
        "sources": [{"name": "civitai", "count": 2}],
        "base_models": [{"name": "pony", "count": 2}],
        "tags": [{"name": "anime", "count": 2}],
    }
    assert run(["search", "--facets"]) == 0
    assert "anime" in capsys.readouterr().out


# --- Near spellings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [
        ("", "", 0),
        ("night", "night", 0),
        ("night", "nigth", 1),  # two letters swapped
        ("night", "ight", 1),
        ("night", "nights", 1),
        ("night", "nicht", 1),
        ("abcd", "badc", 2),
        ("ab", "ba", 1),
        ("a", "b", 1),
        ("ca", "abc", 3),
    ],
)
def test_the_distance_of_words_is_a_number_of_changes(one: str, other: str, distance: int) -> None:
    for allowed in range(6):
        for result in (edit_distance(one, other, allowed), edit_distance(other, one, allowed)):
            assert result == distance or (distance > allowed and result > allowed)


def distance_by_table(one: str, other: str) -> int:
    rows = [[*range(len(other) + 1)]]
    for i, letter in enumerate(one, 1):
        rows.append([i])
        for j, theirs in enumerate(other, 1):
            cost = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (letter != theirs))
            is_swapped = i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == theirs
            rows[i].append(min(cost, rows[i - 2][j - 2] + 1) if is_swapped else cost)
    return rows[-1][-1]


@given(st.text("abж", max_size=9), st.text("abж", max_size=9), st.integers(0, 6))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_distance_is_that_of_a_table_of_all_distances(one: str, other: str, allowed: int) -> None:
    distance, result = distance_by_table(one, other), edit_distance(one, other, allowed)

    assert result == distance if distance <= allowed else result > allowed


def suggest(term: str, *words: str) -> str | None:
    index = index_of([a_model(n, name=word, sd_name="x.pt") for n, word in enumerate(words, 1)])
    return index.suggestion(ANONYMOUS, ModelQuery(terms=(term,)))


def test_the_nearest_word_comes_first_then_the_most_frequent_then_by_its_letters() -> None:
    assert "night" == suggest("nigth", "nightss", "nights", "nights", "night")
    assert "nightt" == suggest("nightx", "nighta", "nightt", "nights", "nightt")
    assert "nighta" == suggest("nightx", "nights", "nighta", "nightt")


@pytest.mark.parametrize(
    ("term", "word", "is_near"),
    [
        ("abcdxx", "abcdef", True),
        ("abcdxxx", "abcdefg", False),
        ("abcdx", "abcde", True),
        ("abxy", "abcd", False),
        ("abcx", "abcd", True),
        ("abcd", "abcdef", False),
        ("xbcdef", "abcdefg", True),
        ("xbcdef", "abcdefgh", False),
        ("abcdefgh", "abcdef", True),
        ("ünder", "under", True),
        ("手描き手描き", "手描き手描", True),
        ("abx", "abc", False),
    ],
)
def test_a_word_may_differ_by_a_third_of_the_term(term: str, word: str, is_near: bool) -> None:
    assert (word if is_near else None) == suggest(term, word)
