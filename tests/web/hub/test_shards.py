"""Commits of weights in shards: the model is what all shards together say, as if their folder had been added."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.domain import Status
from modelyard.facts import Entry, Facts, Layer
from tests.library.test_folder_models import FLUX, SHARD, shards
from tests.scan_fixture import Shelf, embedding, opened
from tests.transfers import ask, suspicious_bytes
from tests.web.hub.bench import Bench, deleted, text, weights

INDEX = "diffusion_pytorch_model.safetensors.index.json"
MISSING = f"the model is not available yet: 1 of 2 files is missing: {SHARD.format(1)}"


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    (tmp_path / "added").mkdir()
    new_shelf = opened(tmp_path / "added")
    yield new_shelf
    new_shelf.catalog.close()


def entry_of(bench: Bench) -> Entry:
    """The only model of the team."""
    (model,) = ask(bench.yard, "/v3/model?filter.visibility=private").json["models"]
    entry = bench.yard.store.entry(model["id"])
    assert entry is not None
    return entry


def said(entry: Entry) -> tuple[object, ...]:
    """What the headers of a model said, and whether it can be used."""
    facts = entry.layers.get(Layer.HEADER) or Facts()
    told = (facts.type, facts.base_model, facts.base_model_type, facts.trigger_words, facts.evidence)
    return *told, {file.name for file in facts.files or ()}, entry.model.status


def read_shards(folder: Path) -> list[bytes]:
    return [(folder / SHARD.format(number)).read_bytes() for number in range(1, len(FLUX) + 1)]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["the first first", "the last first"])
@pytest.mark.parametrize("commits", [1, 2], ids=["in one commit", "in two commits"])
def test_a_model_in_shards_is_what_its_folder_is(
    bench: Bench, shelf: Shelf, commits: int, order: tuple[int, int]
) -> None:
    folder = shards(shelf.folder / "night")
    shelf.add()
    contents = read_shards(folder)
    bench.create()
    for content in contents:
        bench.send(content)
    index = text(INDEX, (folder / INDEX).read_bytes())
    lines = [weights(SHARD.format(number + 1), contents[number]) for number in order]

    for sent in [[index, *lines]] if commits == 1 else [[index, lines[0]], [lines[1]]]:
        committed = bench.commit(*sent)
        assert 200 == committed.status, committed.body

    assert "" == committed.json["hookOutput"]
    assert said(shelf.entry()) == said(entry_of(bench))
    assert ("Flux.1 D", Status.AVAILABLE) == (entry_of(bench).model.base_model, entry_of(bench).model.status)


def test_one_shard_alone_does_not_say_what_the_model_is(bench: Bench, tmp_path: Path) -> None:
    for content in read_shards(shards(tmp_path / "night")):
        bench.create(f"alone{len(content)}")
        bench.send(content, f"alone{len(content)}")
        bench.commit(weights("model.safetensors", content), name=f"alone{len(content)}")

    models = ask(bench.yard, "/v3/model?filter.visibility=private").json["models"]
    assert "Flux.1 D" not in {model["base_model"] for model in models}


def test_a_missing_shard_is_told_and_makes_the_model_unavailable(bench: Bench, shelf: Shelf) -> None:
    folder = shards(shelf.folder / "night")
    first, second = read_shards(folder)
    bench.create()
    bench.send(first)
    bench.send(second)
    whole = bench.commit(weights(SHARD.format(1), first), weights(SHARD.format(2), second))

    removed = bench.commit(deleted(SHARD.format(1)))
    (folder / SHARD.format(1)).unlink()
    (folder / INDEX).unlink()
    shelf.add()

    assert ["", MISSING] == [whole.json["hookOutput"], removed.json["hookOutput"]]
    told = entry_of(bench)
    facts = told.layers[Layer.HEADER]
    assert (f"error: 1 of 2 files is missing: {SHARD.format(1)}", Status.UNAVAILABLE) == (
        (facts.evidence or ("",))[0],
        told.model.status,
    )
    assert facts.evidence == shelf.entry().layers[Layer.HEADER].evidence
    assert "" == bench.commit(text("notes.txt", b"of nothing")).json["hookOutput"]

    bench.send(first)
    assert "" == bench.commit(weights(SHARD.format(1), first)).json["hookOutput"]
    assert Status.AVAILABLE is entry_of(bench).model.status


def test_the_shards_of_a_component_are_of_the_pipeline(bench: Bench, tmp_path: Path) -> None:
    contents = read_shards(shards(tmp_path / "transformer"))
    bench.create()
    for content in contents:
        bench.send(content)
    index = json.dumps({"_class_name": "FluxPipeline", "transformer": ["diffusers", "FluxTransformer2DModel"]})
    lines = [weights(f"transformer/{SHARD.format(number)}", content) for number, content in enumerate(contents, 1)]

    committed = bench.commit(text("model_index.json", index.encode()), *lines)

    assert 200 == committed.status, committed.body
    model = entry_of(bench).model
    assert ("checkpoint", "Flux.1 D", Status.AVAILABLE) == (model.type.name, model.base_model, model.status)


def test_shards_whose_headers_cannot_be_merged_are_what_the_shard_says_that_says_most(
    bench: Bench, tmp_path: Path
) -> None:
    strange, word = suspicious_bytes(), embedding(tmp_path / "word.safetensors").read_bytes()
    bench.create()
    for content in (strange, word):
        bench.send(content)

    committed = bench.commit(weights("m-1-of-2.bin", strange), weights("m-2-of-2.bin", word))

    assert 200 == committed.status, committed.body
    entry = entry_of(bench)
    assert ("textualinversion", "SD 1.5") == (entry.model.type.name, entry.model.base_model)
    assert (entry.layers[Layer.HEADER].evidence or ("",))[0].startswith("suspicious: m-1-of-2.bin: ")
    assert Status.UNAVAILABLE is entry.model.status


@pytest.mark.parametrize("index", [b"", b"[]", b'{"weight_map": 3}', b"[" * 100_000, b'{"weight_map": {"a": "../x"}}'])
def test_a_strange_index_costs_no_commit(bench: Bench, tmp_path: Path, index: bytes) -> None:
    contents = read_shards(shards(tmp_path / "night"))
    bench.create()
    for content in contents:
        bench.send(content)
    lines = [weights(SHARD.format(number), content) for number, content in enumerate(contents, 1)]

    committed = bench.commit(text(INDEX, index), *lines)

    assert 200 == committed.status, committed.body
    assert "Flux.1 D" == entry_of(bench).model.base_model
