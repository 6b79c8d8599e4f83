"""Who said what of a model: the user before side-cars before upstream before the header before guesses; kept apart.

Through `add`, imports and `explain`. Not covered here: what side-cars hold (test_sidecars.py), how facts are
joined (test_domain.py).
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modelyard.cli import run
from modelyard.facts import Facts, Layer, resolve
from tests.scan_fixture import Shelf, embedding, hashes_of, opened, write_json


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = opened(tmp_path)
    yield made
    made.catalog.close()


@pytest.fixture
def why(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What `modelyard explain` prints."""

    def printed(wanted: str, *options: str, code: int = 0) -> str:
        capsys.readouterr()
        assert code == run(["explain", "--home", str(shelf.home), wanted, *options])
        captured = capsys.readouterr()
        return captured.err if code else captured.out

    return printed


def a_known_one(shelf: Shelf) -> Path:
    """A file of which all layers speak: its base is said to be another by each."""
    path = embedding(shelf.folder / "models" / "Lora" / "night.safetensors")
    shelf.import_from_civitai(77, hashes_of(path), base_model="Illustrious", tags=("anime",))
    write_json(path.with_name("night.json"), {"sd version": "SDXL", "notes": "at 0.7", "activation text": "night"})
    shelf.add()
    return path


def test_the_strongest_layer_that_speaks_is_believed(shelf: Shelf) -> None:
    a_known_one(shelf)
    said = [(layer, shelf.entry(77).layers[layer].base_model) for layer in sorted(shelf.entry(77).layers, reverse=True)]

    assert [(Layer.SIDECAR, "SDXL 1.0"), (Layer.UPSTREAM, "Illustrious"), (Layer.HEADER, "SD 1.5")] == said
    assert "SDXL 1.0" == shelf.model().base_model

    shelf.say(77, base_model="Pony")

    assert "Pony" == shelf.model().base_model
    assert ("anime",) == shelf.model().tags


def test_a_user_s_word_survives_rescans_changes_and_imports(shelf: Shelf) -> None:
    path = embedding(shelf.folder / "night.safetensors", 1)
    shelf.add()
    shelf.say(shelf.model().id, name="Mine", base_model="Pony", tags=())
    embedding(path, 2, width=1280)
    write_json(path.with_name("night.metadata.json"), {"model_name": "Theirs", "base_model": "Flux.1 D", "tags": ["a"]})
    shelf.add()
    shelf.import_from_civitai(77, hashes_of(path), base_model="Illustrious", tags=("anime",))
    shelf.add()
    model = shelf.model()

    assert (77, "Mine", "Pony", ()) == (model.id, model.name, model.base_model, model.tags)


def test_an_upstream_that_is_asked_again_takes_nothing_away(shelf: Shelf) -> None:
    path = a_known_one(shelf)
    before = shelf.model()
    # Half a record, as after an outage; and a whole one that disagrees with what is stronger.
    shelf.import_from_civitai(77, hashes_of(path))
    shelf.import_from_civitai(77, hashes_of(path), base_model="SD 1.5", notes="fetched")

    assert ("SDXL 1.0", ("anime",), before.blob) == (shelf.model().base_model, shelf.model().tags, shelf.model().blob)
    assert "at 0.7" == resolve(shelf.entry(77).layers).notes
    assert "fetched" == shelf.entry(77).layers[Layer.UPSTREAM].notes


def test_a_side_car_that_is_gone_takes_nothing_away(shelf: Shelf) -> None:
    path = a_known_one(shelf)
    path.with_name("night.json").unlink()
    shelf.add()

    assert "SDXL 1.0" == shelf.model().base_model


def test_what_the_place_lets_guess_is_the_weakest(shelf: Shelf) -> None:
    embedding(shelf.folder / "models" / "hypernetworks" / "night.safetensors")
    shelf.add()
    guess = shelf.entry().layers[Layer.GUESS]

    assert ("hypernetwork", "textualinversion") == (guess.type.name if guess.type else "", shelf.model().type.name)


def test_why_shows_who_said_what_and_what_is_not_used(shelf: Shelf, why: Callable[..., str]) -> None:
    a_known_one(shelf)
    shelf.say(77, base_model="Pony")
    lines = [line.split() for line in why("77").splitlines()]

    assert ["base_model", "Pony", "user"] in lines
    assert ["SDXL", "1.0", "side-car", "not", "used"] in lines
    assert ["Illustrious", "upstream", "not", "used"] in lines
    assert ["SD", "1.5", "header", "not", "used"] in lines


def test_why_as_json_has_the_resolved_facts_the_layers_and_the_files(shelf: Shelf, why: Callable[..., str]) -> None:
    path = a_known_one(shelf)
    told: dict[str, Any] = json.loads(why("77", "--json"))

    assert {"value": "SDXL 1.0", "layer": "side-car"} == told["facts"]["base_model"]
    assert ["side-car", "upstream", "header"] == list(told["layers"])
    assert "SD 1.5" == told["layers"]["header"]["base_model"]
    assert [(str(path), "present")] == [(file["path"], file["state"]) for file in told["files"]]


@pytest.mark.parametrize("how", ["id", "name", "stem", "sha256", "autov2", "autov3"])
def test_a_model_is_named_by_id_name_or_hash(shelf: Shelf, why: Callable[..., str], how: str) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    shelf.add()
    hashes = hashes_of(path)
    wanted = {
        "id": str(shelf.model().id),
        "name": "night.safetensors",
        "stem": "night",
        "sha256": f"sha256:{(hashes.sha256 or '').lower()}",
        "autov2": hashes.short,
        "autov3": (hashes.autov3 or "")[:12],
    }

    assert str(shelf.model().id) in why(wanted[how])


def test_why_of_an_unknown_model_is_one_clear_line(why: Callable[..., str]) -> None:
    assert 1 == why("no such model", code=1).count("\n")


def test_explain_shows_eight_lines_of_a_long_note_and_300_characters_of_each(
    shelf: Shelf, why: Callable[..., str]
) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    write_json(path.with_name("night.json"), {"notes": "\n".join(f"line{number}" + "x" * 400 for number in range(9))})
    shelf.add()

    shown = [word for word in why("night").split() if word.startswith("line")]

    assert [f"line{number}".ljust(300, "x") for number in range(8)] == shown


def test_a_user_s_edit_is_a_layer_of_its_own_and_the_file_s_facts_stay_below(shelf: Shelf) -> None:
    embedding(shelf.folder / "night.safetensors")
    shelf.add()
    shelf.say(shelf.model().id, name="Mine")
    layers = shelf.entry().layers

    assert Facts(name="Mine") == layers[Layer.USER]
    assert ("night", "Mine", "night.safetensors") == (
        layers[Layer.GUESS].name,
        shelf.model().name,
        shelf.model().sd_name,
    )
