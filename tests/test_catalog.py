"""The verbs, on every database: what is taken in, what stays, who sees it, and when others do.

The rows that the API's document shows are made here from what a source says, through everything but HTTP. Not covered:
segments on disk (test_segments.py), several processes (test_workers.py).
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelyard import errors, wire
from modelyard.blobs import FolderBlobs, IncomingFiles
from modelyard.catalog import BATCH_RECORDS, Catalog, open_catalog
from modelyard.civitai import records as civitai_records
from modelyard.domain import (
    ANONYMOUS,
    MODEL_TYPES,
    OWN_ID_MIN,
    Hashes,
    ModelQuery,
    Scope,
    Source,
    Status,
    Viewer,
    Visibility,
    model_type,
)
from modelyard.facts import Facts, Layer, Record
from modelyard.registry.models import Models, add_downloads
from modelyard.registry.writer import ModelWriter, Outcome, Rehearsal, state_of
from modelyard.store import Store
from modelyard.store.store import Changes

from .databases import Open, sqlite_url

RED, BLUE = Viewer("red", frozenset(Scope)), Viewer("blue", frozenset(Scope))
SAID = Facts(
    name="v1",
    sd_name="name_1.safetensors",
    type=MODEL_TYPES["lora"],
    base_model="SDXL 1.0",
    tags=("anime", "style"),
    rank=5,
    hashes=Hashes(sha256="1A805277C8" + 54 * "0"),
)


@pytest.fixture
def catalog(store: Store) -> Catalog:
    return open_catalog(store)


def record(id_: int | None = 1, layer: Layer = Layer.UPSTREAM, **said: Any) -> Record:
    return Record(id_, Source.CIVITAI, layer, replace(SAID, **said))


def only(id_: int, layer: Layer, **said: Any) -> Record:
    """A record that speaks of nothing else."""
    return Record(id_, Source.CIVITAI, layer, Facts(**said))


def private(id_: int | None, team: str, **said: Any) -> Record:
    facts = replace(SAID, sd_name=f"{team}_{id_}.safetensors", **said)
    return Record(id_, Source.UPLOADING, Layer.USER, facts, Visibility.PRIVATE, team, Status.UNAVAILABLE)


def register(catalog: Catalog, *records: Record, **options: Any) -> list[Outcome]:
    return [*catalog.register_many(records, **options)]


def remove(catalog: Catalog, viewer: Viewer, model_id: int, *, files: Path = Path("no/files")) -> None:
    Models(catalog.store, FolderBlobs(files), IncomingFiles(files)).remove(viewer, model_id)


def results(outcomes: list[Outcome]) -> list[str]:
    return [outcome.result for outcome in outcomes]


def answer(catalog: Catalog, viewer: Viewer = ANONYMOUS, **asked: Any) -> list[dict[str, Any]]:
    page = catalog.search(viewer, ModelQuery(**asked))
    found: list[dict[str, Any]] = json.loads(wire.render_page(page.records, page.following, lambda *_: ""))["models"]
    return found


def ids(catalog: Catalog, viewer: Viewer = ANONYMOUS, **asked: Any) -> list[int]:
    return [model["id"] for model in answer(catalog, viewer, **asked)]


# --- The document's rows ---------------------------------------------------------------------------------------------

INPAINTING = {
    "id": 4201,
    "name": "Realistic Vision",
    "type": "Checkpoint",
    "nsfw": False,
    "tags": ["photorealistic", "anatomical", "base model", "cgi", "realistic", "semi-realistic"],
    "modelVersions": [
        {
            "id": 114600,
            "name": "V4.0-inpainting (VAE)",
            "baseModel": "SD 1.5",
            "baseModelType": "Inpainting",
            "stats": {"downloadCount": 804_667},
            "images": [
                {"url": "https://images/nsfw.jpeg", "nsfw": "Soft"},
                {"url": "https://images/1495044.jpeg", "nsfw": "None"},
            ],
            "files": [
                {
                    "id": 81_544,
                    "name": "realisticVisionV40_v40VAE-inpainting.safetensors",
                    "type": "Pruned Model",
                    "primary": True,
                    "sizeKB": 2_082_690.0,
                    "metadata": {"size": "pruned", "format": "SafeTensor"},
                    "hashes": {"AutoV2": "0000000000"},
                },
                {
                    "id": 81_543,
                    "name": "realisticVisionV40_v40VAE-inpainting.safetensors",
                    "type": "Model",
                    "sizeKB": 4_165_200.0,
                    "metadata": {"size": "full", "format": "SafeTensor"},
                    "hashes": {"AutoV2": "1A805277C8"},
                },
                {
                    "id": 81_542,
                    "name": "realisticVisionV40_v40VAE-inpainting.ckpt",
                    "type": "Model",
                    "sizeKB": 4_165_300.0,
                    "metadata": {"size": "full", "format": "PickleTensor"},
                    "hashes": {"AutoV2": "1111111111"},
                },
            ],
        }
    ],
}
HANDS = {
    "id": 47_085,
    "name": "GoodHands-beta2",
    "type": "LoCon",
    "nsfw": False,
    "tags": ["photorealistic", "concept", "hands"],
    "modelVersions": [
        {
            "id": 55199,
            "name": "beta2",
            "baseModel": "SD 1.5",
            "baseModelType": "Standard",
            "stats": {"downloadCount": 804_666},
            "images": [{"url": "https://images/599083.jpeg", "nsfw": "None"}],
            "files": [
                {
                    "id": 39_807,
                    "name": "GoodHands-beta2.safetensors",
                    "type": "Model",
                    "sizeKB": 147_571.0,
                    "metadata": {"format": "SafeTensor"},
                    "hashes": {"AutoV2": "BA43B0EFEE"},
                }
            ],
        }
    ],
}
# As the document prints them, and three keys that its table or recorded answers have besides.
DOCUMENTED = (
    b'{"models":[{"id":114600,"name":"V4.0-inpainting (VAE)","hash_sha256":"1A805277C8",'
    b'"sd_name":"realisticVisionV40_v40VAE-inpainting_81543.safetensors",'
    b'"type":{"name":"checkpoint","display_name":"Checkpoint"},"categories":[],"status":1,'
    b'"tags":["photorealistic","anatomical","base model","cgi","realistic","semi-realistic"],'
    b'"cover_url":"https://images/1495044.jpeg","source":"civitai","base_model":"SD 1.5",'
    b'"base_model_type":"Inpainting","download_url_ttl":2592000,'
    b'"sd_name_in_api":"realisticVisionV40_v40VAE-inpainting_81543.safetensors",'
    b'"is_sdxl":false,"is_nsfw":false,"visibility":"public"},'
    b'{"id":55199,"name":"beta2","hash_sha256":"BA43B0EFEE","sd_name":"GoodHands-beta2_39807.safetensors",'
    b'"type":{"name":"locon","display_name":"locon"},"categories":[],"status":1,'
    b'"tags":["photorealistic","concept","hands"],"cover_url":"https://images/599083.jpeg","source":"civitai",'
    b'"base_model":"SD 1.5","base_model_type":"Standard","download_url_ttl":2592000,'
    b'"sd_name_in_api":"GoodHands-beta2_39807","is_sdxl":false,"is_nsfw":false,"visibility":"public"}],'
    b'"pagination":{"next_cursor":"c_WzgwNDY2NiwiNTUxOTkiXQ=="}}'
)


def test_the_documents_example_is_answered_byte_for_byte(store: Store) -> None:
    catalog = open_catalog(store, ttl_seconds=2_592_000)
    register(catalog, *(found for found in civitai_records.convert([HANDS, INPAINTING]) if isinstance(found, Record)))
    asked = wire.parse_query(b"filter.visibility=public&pagination.limit=2&pagination.cursor=c_0", lambda: ())

    page = catalog.search(RED, asked.query)

    assert DOCUMENTED == wire.render_page(page.records, page.following, lambda *_: "")


# --- Taking in -------------------------------------------------------------------------------------------------------


def test_a_record_becomes_a_model_that_is_found_at_once(catalog: Catalog) -> None:
    (outcome,) = register(catalog, record(7))

    assert (7, "added", "") == (outcome.id, outcome.result, outcome.reason)
    assert [7] == ids(catalog, terms=("anime",), is_sdxl=True)
    assert SAID == catalog.get(ANONYMOUS, 7).layers[Layer.UPSTREAM]


def test_an_index_that_nobody_asks_lacks_nothing(store: Store) -> None:
    """Otherwise a process that only writes segments would be called twenty times a second, for ever."""
    writing, asked = open_catalog(store), open_catalog(store)
    asked.load()
    assert 1 == len([*asked.register_many([record()])])

    assert 1 == asked.refresh()
    assert writing._catch_up()


def test_taking_in_the_same_again_changes_nothing(catalog: Catalog) -> None:
    records = [record(id_) for id_ in range(1, 30)]
    register(catalog, *records)
    before = (answer(catalog), catalog.revision)

    again = register(catalog, *records)

    assert {"unchanged"} == set(results(again))
    assert before == (answer(catalog), catalog.revision)


def test_a_change_updates_in_place_and_moves_the_model_in_the_order(catalog: Catalog) -> None:
    register(catalog, record(1, rank=1), record(2, rank=2))
    assert [2, 1] == ids(catalog)

    assert ["updated"] == results(register(catalog, record(1, rank=3, name="v2")))

    assert [(1, "v2"), (2, "v1")] == [(model["id"], model["name"]) for model in answer(catalog)]


def test_a_refresh_that_says_less_erases_nothing(catalog: Catalog) -> None:
    register(catalog, record(1))

    outcomes = register(catalog, only(1, Layer.UPSTREAM, name="v1", sd_name=SAID.sd_name, tags=(), base_model=""))

    assert ["unchanged"] == results(outcomes)
    assert SAID == catalog.get(ANONYMOUS, 1).layers[Layer.UPSTREAM]


def test_the_users_word_wins_whatever_upstream_says_later_and_also_when_it_is_empty(catalog: Catalog) -> None:
    register(catalog, record(1))
    register(catalog, only(1, Layer.USER, name="mine", tags=()))
    register(catalog, record(1, name="v9", tags=("loud",), rank=99))

    (model,) = answer(catalog)

    assert ("mine", []) == (model["name"], model["tags"])
    assert 99 == catalog.get(ANONYMOUS, 1).model.rank


def test_what_a_user_does_not_speak_of_stays_as_the_user_said_before(catalog: Catalog) -> None:
    register(catalog, record(1), only(1, Layer.USER, name="mine", notes="good"))

    register(catalog, only(1, Layer.USER, notes=""))

    assert Facts(name="mine", notes="") == catalog.get(ANONYMOUS, 1).layers[Layer.USER]


def test_a_guess_speaks_only_where_everyone_else_is_silent(catalog: Catalog) -> None:
    checkpoint: dict[str, Any] = {"type": MODEL_TYPES["checkpoint"]}
    guess = only(1, Layer.GUESS, base_model_type="Inpainting")
    register(catalog, record(1, **checkpoint), guess, record(2, base_model_type="Standard", **checkpoint))
    register(catalog, replace(guess, id=2))

    assert [1] == ids(catalog, is_inpainting=True)


def test_neighbouring_records_of_one_model_make_one_outcome(catalog: Catalog) -> None:
    outcomes = register(catalog, record(1), only(1, Layer.GUESS, notes="n"), record(2), record(1, name="v2"))

    assert [(1, "added"), (2, "added"), (1, "updated")] == [(found.id, found.result) for found in outcomes]


def test_a_record_without_an_id_gets_one_of_ours_that_is_never_given_again(catalog: Catalog) -> None:
    first, second = register(catalog, private(None, "red"), private(None, "red"))
    assert [OWN_ID_MIN, OWN_ID_MIN + 1] == [first.id, second.id]
    remove(catalog, RED, OWN_ID_MIN + 1)

    (third,) = register(catalog, private(None, "red"))

    assert OWN_ID_MIN + 2 == third.id


def test_what_has_no_name_is_skipped_and_said(catalog: Catalog) -> None:
    nameless, fine = register(catalog, only(1, Layer.UPSTREAM, tags=("anime",)), record(2))

    assert (None, "skipped", "no name") == (nameless.id, nameless.result, nameless.reason)
    assert "added" == fine.result
    assert [2] == ids(catalog)


def test_what_has_no_file_name_is_skipped_and_said(catalog: Catalog) -> None:
    (nameless,) = register(catalog, only(1, Layer.UPSTREAM, name="v1"))

    assert (None, "skipped", "no name") == (nameless.id, nameless.result, nameless.reason)


def test_what_one_transaction_set_is_not_read_again_from_before_it(catalog: Catalog, store: Store) -> None:
    register(catalog, record(1), record(2))
    with store.transaction() as writing:
        registration = ModelWriter(writing)
        registration.load([1])
        entry = registration.entry(1)
        assert entry is not None
        changed = registration.set(1, {Layer.UPSTREAM: replace(SAID, name="v2")}, state_of(entry.model))

        registration.load([1, 2])

        assert changed == registration.entry(1)
        assert registration.entry(2) is not None
        registration.put()
    assert "v2" == catalog.get(ANONYMOUS, 1).model.name


@pytest.mark.parametrize(
    "said",
    [
        {"name": "nul\0"},
        {"tags": ("nul\0",)},
        {"base_model": "nul\0"},
        {"base_model": "lone \ud800"},
        {"notes": "lone \ud800"},
        {"rank": 2**63},
    ],
)
def test_what_no_database_keeps_is_skipped_without_its_neighbours(catalog: Catalog, said: dict[str, Any]) -> None:
    outcomes = register(catalog, record(1), record(2, **said), record(3))

    assert ["added", "skipped", "added"] == results(outcomes)
    assert "model 2" in outcomes[1].reason
    assert [3, 1] == ids(catalog)


def test_a_dry_run_says_what_would_be_done_and_does_nothing(catalog: Catalog) -> None:
    register(catalog, record(1), record(2))
    before = (answer(catalog), catalog.revision, catalog.base_models(ANONYMOUS))

    outcomes = register(
        catalog, record(1), record(2, name="v2"), record(3, base_model="Unheard Of"), private(None, "red"), rehearsal={}
    )

    assert ["unchanged", "updated", "added", "added"] == results(outcomes)
    assert before == (answer(catalog), catalog.revision, catalog.base_models(ANONYMOUS))
    assert [OWN_ID_MIN] == [found.id for found in register(catalog, private(None, "red"))]


def test_a_dry_run_in_several_batches_counts_as_the_run_does(catalog: Catalog) -> None:
    register(catalog, record(1, rank=5))
    with catalog.store.transaction() as transaction:
        add_downloads(transaction, {1: 3})
    rehearsal: Rehearsal = {}
    batches = [
        [record(1, rank=5), record(2), record(3)],
        [record(2), record(3, name="v2"), record(4)],
        [record(3, name="v2"), record(1, rank=5)],
    ]

    rehearsed = [results(register(catalog, *batch, rehearsal=rehearsal)) for batch in batches]
    run = [results(register(catalog, *batch)) for batch in batches]

    assert [["unchanged", "added", "added"], ["unchanged", "updated", "added"], ["unchanged", "unchanged"]] == run
    assert run == rehearsed


def test_outcomes_come_once_their_transaction_is_on_disk(catalog: Catalog, store: Store) -> None:
    """An import that ends half-way has done what it said it did, and no more."""

    def until_interrupted() -> Iterator[Record]:
        for id_ in range(1, BATCH_RECORDS + 500):
            yield record(id_)
        raise KeyboardInterrupt

    told: list[int] = []

    def follow() -> None:
        for outcome in catalog.register_many(until_interrupted()):
            assert store.entry(outcome.record.id or 0) is not None
            told.append(outcome.record.id or 0)

    with pytest.raises(KeyboardInterrupt):
        follow()

    assert [*range(1, BATCH_RECORDS + 1)] == told
    assert BATCH_RECORDS == catalog.count(ANONYMOUS, ModelQuery())


def test_a_later_record_does_not_move_a_model_to_another_owner(catalog: Catalog) -> None:
    register(catalog, private(5, "red"))

    register(catalog, record(5, name="public?"))

    model = catalog.get(RED, 5).model
    assert (Visibility.PRIVATE, "red", Source.UPLOADING, Status.UNAVAILABLE) == (
        model.visibility,
        model.team,
        model.source,
        model.status,
    )
    assert [] == ids(catalog, BLUE)


# --- Base models -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base_model", "is_sdxl"),
    [
        ("SDXL 1.0", True),
        ("sdxl_1.0", True),
        ("Pony", True),
        ("Illustrious", True),
        ("NoobAI", True),
        ("ponyxl", True),
        ("SDXL Turbo", True),
        ("SD 1.5", False),
        ("Pony V7", False),
        ("Flux.1 D", False),
        ("Unheard Of", False),
        ("", False),
    ],
)
def test_the_architecture_is_looked_up_and_the_spelling_kept(catalog: Catalog, base_model: str, is_sdxl: bool) -> None:
    register(catalog, record(1, base_model=base_model))

    (model,) = answer(catalog)

    assert (base_model, is_sdxl) == (model["base_model"], model["is_sdxl"])


def test_a_base_model_nobody_knew_is_known_from_then_on_to_those_who_see_its_models(catalog: Catalog) -> None:
    register(catalog, record(1, base_model="Brand New 2"), private(2, "red", base_model="Red Only"))

    assert "Brand New 2" in catalog.base_models(ANONYMOUS)
    assert "Red Only" in catalog.base_models(RED)
    assert "Red Only" not in catalog.base_models(BLUE)
    assert "SD 1.5" in catalog.base_models(ANONYMOUS)
    assert [1] == ids(catalog, base_models=frozenset({"brand new 2"}))


# --- Tenancy ---------------------------------------------------------------------------------------------------------


def test_private_models_are_their_teams_alone(catalog: Catalog) -> None:
    register(catalog, record(1), private(2, "red"), private(3, "blue"))

    assert [1] == ids(catalog)
    assert [2, 1] == ids(catalog, RED)
    assert [3] == ids(catalog, BLUE, visibility=Visibility.PRIVATE)
    assert [1] == ids(catalog, RED, visibility=Visibility.PUBLIC)
    assert [] == ids(catalog, ANONYMOUS, visibility=Visibility.PRIVATE)
    assert [] == ids(catalog, BLUE, id=2)
    assert 1 == catalog.count(ANONYMOUS, ModelQuery())


def test_tags_with_a_text_are_listed_by_the_number_of_models_that_the_viewer_sees(catalog: Catalog) -> None:
    tags = ("cat", "wildcat"), ("wildcat",), ("catwalk", "dog")
    register(catalog, *(record(number, tags=names) for number, names in enumerate(tags, 1)))
    register(catalog, *(private(number, "red", tags=("catwalk",)) for number in (7, 8)))

    assert [("wildcat", 2), ("cat", 1), ("catwalk", 1)] == catalog.find_tags(ANONYMOUS, ModelQuery(), "cat", 9)
    assert [("catwalk", 3), ("wildcat", 2), ("cat", 1)] == catalog.find_tags(RED, ModelQuery(), "CAT", 9)


def test_another_teams_model_and_none_at_all_are_the_same_answer(catalog: Catalog) -> None:
    register(catalog, private(2, "red"))

    for viewer in (BLUE, ANONYMOUS):
        for model_id in (2, 99):
            with pytest.raises(errors.ModelNotFound) as caught:
                catalog.get(viewer, model_id)
            assert f"no model '{model_id}'" == caught.value.message


def test_only_the_owner_removes(catalog: Catalog) -> None:
    register(catalog, record(1), private(2, "red"))

    for viewer, model_id in ((BLUE, 2), (BLUE, 1), (RED, 1)):
        with pytest.raises(errors.ModelNotFound):
            remove(catalog, viewer, model_id)
    for model_id in (1, 2):
        with pytest.raises(errors.MissingKey):
            remove(catalog, ANONYMOUS, model_id)

    remove(catalog, RED, 2)
    assert [1] == ids(catalog, RED)
    with pytest.raises(errors.ModelNotFound):
        remove(catalog, RED, 2)


def test_types_that_only_another_teams_models_have_are_not_known(catalog: Catalog) -> None:
    register(catalog, private(2, "red", type=model_type("Secret")))

    assert {"secret", *MODEL_TYPES} == catalog.known_types(RED)
    assert {*MODEL_TYPES} == catalog.known_types(BLUE)


# --- Several catalogues on one database ------------------------------------------------------------------------------


@pytest.fixture
def others(tmp_path: Path, open_at: Open) -> tuple[Catalog, Catalog]:
    """Two catalogues on one database, as two workers of a machine have them."""
    url = sqlite_url(tmp_path)
    return open_catalog(open_at(url)), open_catalog(open_at(url))


def test_what_one_acknowledged_the_next_question_to_another_sees(others: tuple[Catalog, Catalog]) -> None:
    """Over a network, with PostgreSQL, others follow within a quarter of a second: test_store.py."""
    one, other = others
    assert [] == ids(other)

    register(one, record(1), private(2, "red"))
    assert [2, 1] == ids(other, RED)

    register(other, record(1, name="v2"))
    assert "v2" == answer(one)[0]["name"]

    remove(other, RED, 2)
    assert [1] == ids(one, RED)

    register(one, private(2, "red"))
    assert [2, 1] == ids(other, RED)


def test_what_was_read_before_others_went_on_is_not_applied_after(
    tmp_path: Path, open_at: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one thread waits for the database, another brings the index further: it never goes back."""
    store = open_at(sqlite_url(tmp_path))
    catalog = open_catalog(store)
    register(catalog, record(1, name="v1"))
    assert ["v1"] == [model["name"] for model in answer(catalog)]
    read = store.changes_since
    revisions: list[int] = []

    def read_and_be_overtaken(after: int) -> Changes:
        changes = read(after)
        monkeypatch.setattr(store, "changes_since", read_and_note)
        register(catalog, record(1, name="v3"))
        assert ["v3"] == [model["name"] for model in answer(catalog)]
        revisions.append(catalog.revision)
        return changes

    def read_and_note(after: int) -> Changes:
        revisions.append(catalog.revision)
        return read(after)

    register(catalog, record(1, name="v2"))
    monkeypatch.setattr(store, "changes_since", read_and_be_overtaken)
    assert ["v3"] == [model["name"] for model in answer(catalog)]

    assert [1, 3] == revisions
    assert 3 == catalog.revision


def test_answers_stay_as_they_were_while_what_is_newer_cannot_be_read(
    tmp_path: Path, open_at: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_at(sqlite_url(tmp_path))
    catalog = open_catalog(store)
    register(catalog, record(1))
    assert [1] == ids(catalog)

    def refuse(after: int) -> Changes:
        raise errors.Unavailable(f"nothing after {after} can be read")

    register(catalog, record(2))
    with monkeypatch.context() as patch:
        patch.setattr(store, "changes_since", refuse)
        assert [1] == ids(catalog)
    assert [2, 1] == ids(catalog)


def test_a_catalogue_opened_later_finds_everything(catalog: Catalog, url: str, open_at: Open) -> None:
    register(catalog, *(record(id_, rank=id_ % 7) for id_ in range(1, 60)), private(100, "red"))
    remove(catalog, RED, 100)
    register(catalog, record(3, tags=("changed",)))

    later = open_catalog(open_at(url))

    assert answer(catalog, RED, limit=100) == answer(later, RED, limit=100)
    assert [3] == ids(later, tags=("changed",))
    assert catalog.revision == later.revision
