"""The demo catalogue: what is invented, and that starting twice, or after an interruption, comes to the same."""

import hashlib
import stat
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec
import pytest

from modelyard import demo
from modelyard.auth import Auth
from modelyard.catalog import open_catalog
from modelyard.domain import (
    ANONYMOUS,
    DOCUMENTED_TYPES,
    OWN_ID_MIN,
    ModelQuery,
    Scope,
    Source,
    Viewer,
    Visibility,
    model_type,
)
from modelyard.facts import Facts, Layer, Record
from modelyard.store import Store, open_store

DIGEST = "4f3fbd3ed8d9c24dad9be94a33414f5810f2b424c822cdea75bf5b8179c056d4"


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return list(demo.records())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path / 'modelyard.sqlite'}")
    yield opened
    opened.close()


def silent(_: str) -> None:
    pass


def count_of(store: Store) -> int:
    with store.snapshot() as snapshot:
        return snapshot.count


def test_the_same_ten_thousand_models_are_invented_each_time(records: list[Record]) -> None:
    assert len(records) == demo.MODELS == 10_000
    assert records == list(demo.records())


def test_the_models_are_those_that_the_documentation_and_its_examples_show(records: list[Record]) -> None:
    """Who changes the demo on purpose runs this once and writes down the digest that it shows."""
    assert DIGEST == hashlib.sha256(msgspec.json.encode(records, order="deterministic")).hexdigest()


def test_ids_and_names_are_each_models_own(records: list[Record]) -> None:
    assert len({record.id for record in records}) == len(records)
    assert len({record.facts.sd_name for record in records}) == len(records)


def test_ids_are_none_that_civitai_has(records: list[Record]) -> None:
    public = [record for record in records if record.source is Source.CIVITAI]
    ids = [number for record in public for number in (record.id, record.facts.upstream_model_id)]

    assert [] == [number for number in ids if number is None or not 900_000_000 <= number < OWN_ID_MIN]


def test_no_model_has_a_tag_twice(records: list[Record]) -> None:
    assert [] == [record.id for record in records if len(set(record.facts.tags or ())) < len(record.facts.tags or ())]


def test_every_filter_has_something_to_show(records: list[Record]) -> None:
    types = Counter(record.facts.type.name for record in records if record.facts.type)
    bases = Counter(record.facts.base_model for record in records)

    assert min(types[name] for name in DOCUMENTED_TYPES) >= 20
    assert types["lora"] > 0.85 * len(records)
    assert {*Source} == {record.source for record in records}
    assert bases.keys() >= {"SD 1.5", "SDXL 1.0", "Pony", "Illustrious", "Flux.1 D"}
    assert {True, False} == {record.facts.is_nsfw for record in records}
    assert {"Standard", "Inpainting"} == {record.facts.base_model_type for record in records}
    assert {0, 1} == {int(record.status) for record in records}
    assert any(not (record.facts.sd_name or "").isascii() for record in records)


def test_a_few_are_the_demo_teams_own(records: list[Record]) -> None:
    own = [record for record in records if record.visibility is Visibility.PRIVATE]

    assert len(own) == demo.PRIVATE_MODELS
    assert {demo.TEAM} == {record.team for record in own}
    assert all(record.id is not None and record.id >= OWN_ID_MIN for record in own)


def test_the_catalogue_is_filled_and_the_key_sees_the_teams_own(store: Store, tmp_path: Path) -> None:
    key = demo.prepare(store, tmp_path, silent)

    assert key is not None
    viewer = Auth(store).viewer_of(f"Bearer {key}")
    assert viewer == Viewer(demo.TEAM, frozenset({Scope.READ, Scope.WRITE}))
    catalog = open_catalog(store)
    assert catalog.count(viewer, ModelQuery()) == demo.MODELS
    assert catalog.count(ANONYMOUS, ModelQuery()) == demo.MODELS - demo.PRIVATE_MODELS
    assert catalog.count(viewer, ModelQuery(types=frozenset({"checkpoint"}), is_inpainting=True)) > 0
    assert catalog.count(viewer, ModelQuery(is_sdxl=True)) > 5_000


def test_the_second_start_uses_what_is_there(store: Store, tmp_path: Path) -> None:
    first = demo.prepare(store, tmp_path, silent)
    revision = store.revision()
    told: list[str] = []

    assert demo.prepare(store, tmp_path, told.append) == first
    assert store.revision() == revision
    assert told == []


def test_the_key_is_kept_where_only_its_owner_reads_it(store: Store, tmp_path: Path) -> None:
    key = demo.prepare(store, tmp_path, silent)

    path = tmp_path / demo.KEY_FILE
    assert path.read_text().strip() == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("damage", ["removed", "revoked", "nonsense", "binary", "empty", "read-only"])
def test_a_key_that_no_longer_works_is_replaced(store: Store, tmp_path: Path, damage: str) -> None:
    first = demo.prepare(store, tmp_path, silent)
    assert first is not None
    path = tmp_path / demo.KEY_FILE
    match damage:
        case "removed":
            path.unlink()
        case "revoked":
            Auth(store).revoke_key(first)
        case "nonsense":
            path.write_text("sk_nonsense two words\n")
        case "binary":
            path.write_bytes(b"\xff\xfe\x00")
        case "empty":
            path.write_text("\n")
        case "read-only":
            path.write_text(Auth(store).create_key(demo.TEAM, [Scope.READ])[0])

    second = demo.prepare(store, tmp_path, silent)

    assert second is not None
    assert second != first
    assert Auth(store).viewer_of(second).team == demo.TEAM


def test_an_interrupted_start_is_made_good_by_the_next(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    invent = demo.records

    def invent_until_interrupted() -> Iterator[Record]:
        yield from islice(invent(), 5_000)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(demo, "records", invent_until_interrupted)
        with pytest.raises(KeyboardInterrupt):
            demo.prepare(store, tmp_path, silent)
    assert count_of(store) == 4_000

    assert demo.prepare(store, tmp_path, silent) is not None
    assert count_of(store) == demo.MODELS


def test_a_catalogue_of_ones_own_is_left_alone(store: Store, tmp_path: Path) -> None:
    facts = Facts(name="v1", sd_name="mine_1.safetensors", type=model_type("LORA"))
    list(open_catalog(store).register_many([Record(1, Source.CIVITAI, Layer.UPSTREAM, facts)]))
    told: list[str] = []

    assert demo.prepare(store, tmp_path, told.append) is None
    assert count_of(store) == 1
    assert "key create" in told[0]
    assert not (tmp_path / demo.KEY_FILE).exists()
