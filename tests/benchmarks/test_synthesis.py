"""The generator of big catalogues: benchmarks mean something only if it follows the measured laws."""

import statistics
from collections import Counter
from itertools import islice

import pytest

from benchmarks.laws import laws
from benchmarks.synthesis import entries, models, query_mix
from modelyard.domain import LIMIT_MAX, OWN_ID_MIN, Model, ModelQuery, Source, Visibility
from modelyard.store import refuse_unstorable
from tests.real_input import data_dir


@pytest.fixture(scope="module")
def some() -> list[Model]:
    data_dir()
    return list(models(100_000, seed=7))


def test_a_catalogue_is_the_same_for_a_seed_whatever_its_size(some: list[Model]) -> None:
    assert some[:20_000] == list(models(20_000, seed=7))
    assert some[:100] != list(models(100, seed=8))


def test_ids_and_names_are_each_models_own(some: list[Model]) -> None:
    assert len(some) == len({model.id for model in some}) == len({model.sd_name for model in some})
    assert all((model.id >= OWN_ID_MIN) == (model.source is not Source.CIVITAI) for model in some)
    assert all(model.team for model in some if model.visibility is Visibility.PRIVATE)


def test_types_and_bases_have_the_measured_shares(some: list[Model]) -> None:
    types = Counter(model.type.name for model in some)
    bases = Counter(model.base_model for model in some)

    # Of versions: 0.909 of the models, with fewer versions each than the others, give 0.885.
    assert 0.87 < types["lora"] / len(some) < 0.90
    assert 0.30 < bases["Illustrious"] / len(some) < 0.32
    assert 0 < types["vae"] / len(some) < 0.001
    assert types["upscaler"] > 0


def test_tags_grow_as_their_heaps_law_says(some: list[Model]) -> None:
    tags = Counter(tag for model in some for tag in model.tags)
    scale, beta = laws().tags_heaps

    assert tags.most_common(1)[0][0] == "anime"
    assert len(tags) == pytest.approx(scale * tags.total() ** beta, rel=0.1)


def test_popularity_is_log_normal_with_the_measured_median(some: list[Model]) -> None:
    ranks = [model.rank for model in some if model.source is Source.CIVITAI]

    assert statistics.median(ranks) == pytest.approx(567, rel=0.05)  # e^6.342 - 1
    assert max(ranks) > 100_000


def test_every_entry_can_be_stored_and_resolves_to_its_model() -> None:
    data_dir()
    for entry in islice(entries(2_000, seed=1), 2_000):
        refuse_unstorable(entry)
        (facts,) = entry.layers.values()
        assert (facts.sd_name, facts.rank, facts.tags) == (entry.model.sd_name, entry.model.rank, entry.model.tags)


def test_the_questions_are_valid_seeded_and_of_every_class() -> None:
    data_dir()
    asked = query_mix(seed=3, per_class=4)

    assert asked == query_mix(seed=3, per_class=4)
    assert asked != query_mix(seed=4, per_class=4)
    assert {4} == set(Counter(name for name, _ in asked).values())
    assert len({name for name, _ in asked}) > 30
    for _, query in asked:
        assert isinstance(query, ModelQuery)
        assert 1 <= query.limit <= LIMIT_MAX
        assert len(query.terms) <= 16
