"""`modelyard export sidecars`: only when asked, never over what is somebody else's, and read back as it was meant."""

import errno
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modelyard.cli import run
from modelyard.domain import Licence
from modelyard.facts import FACT_NAMES, Facts, Image, Layer, Recommended
from modelyard.library.sidecar_export import SUFFIXES, SidecarFormat
from modelyard.library.sidecars import read_sidecars
from tests.scan_fixture import Shelf, embedding, hashes_of, opened, write_json

FORMS = [form.value for form in SidecarFormat]
Export = Callable[..., dict[str, int]]


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    new_shelf = opened(tmp_path)
    yield new_shelf
    new_shelf.catalog.close()


@pytest.fixture
def export(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> Export:
    """Run the command over the shelf; return the number of sidecars by result."""

    def run_export(form: str, *options: str, code: int = 0) -> dict[str, int]:
        capsys.readouterr()
        command = ["export", "sidecars", "--home", str(shelf.home), "--format", form, "--json", *options]
        assert code == run([*command, str(shelf.folder)])
        counts: dict[str, int] = json.loads(capsys.readouterr().out)
        return {result: count for result, count in counts.items() if count}

    return run_export


def sidecar_of(path: Path, form: str) -> Path:
    return path.with_name(path.stem + SUFFIXES[SidecarFormat(form)].decode())


def a_model(shelf: Shelf) -> Path:
    path = embedding(shelf.folder / "night.safetensors")
    shelf.import_from_civitai(
        77,
        hashes_of(path),
        base_model="Pony",
        tags=("style", "anime"),
        trigger_words=("night", "valley"),
        notes="For nights.",
        upstream_model_id=7,
        title="Bright Valley",
        cover_url="https://example.org/night.jpg",
    )
    shelf.add()
    return path


@pytest.mark.parametrize("form", FORMS)
def test_what_is_written_is_what_the_form_s_readers_expect(shelf: Shelf, export: Export, form: str) -> None:
    path = a_model(shelf)

    assert {"written": 1} == export(form)
    content: dict[str, Any] = json.loads(sidecar_of(path, form).read_bytes())
    expected: dict[str, dict[str, Any]] = {
        "civitai-info": {
            "id": 77,
            "modelId": 7,
            "name": "v1",
            "baseModel": "Pony",
            "trainedWords": ["night", "valley"],
        },
        "lora-manager": {"file_name": "night", "base_model": "Pony", "sha256": (hashes_of(path).sha256 or "").lower()},
        "a1111": {"activation text": "night, valley", "description": "For nights.", "sd version": "SDXL"},
    }
    assert expected[form] == {name: content[name] for name in expected[form]}
    if form == "civitai-info":
        (file,) = content["files"]
        assert ("Model", True) == (file["type"], file["primary"])
        assert (hashes_of(path).sha256 or "").upper() == file["hashes"]["SHA256"]


def test_an_exported_version_is_imported_again(
    shelf: Shelf, export: Export, capsys: pytest.CaptureFixture[str]
) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    full = {"id": 5, "name": "night-full.pt", "type": "Model", "sizeKB": 9.0, "metadata": {"size": "full"}}
    sha256 = hashes_of(path).sha256 or ""
    hashes = {"SHA256": sha256, "AutoV2": sha256[:10]}
    own = {"id": 6, "name": "night.safetensors", "type": "Model", "hashes": hashes}
    version = {"id": 77, "modelId": 7, "model": {"name": "Night", "type": "LORA"}, "name": "v1", "files": [full, own]}
    write_json(shelf.home / "answer.json", version)
    assert 0 == run(["import", "civitai", "--home", str(shelf.home), str(shelf.home / "answer.json")])
    shelf.add()
    before = shelf.entry(77)
    export("civitai-info")
    command = ["import", "civitai", "--home", str(shelf.home), "--json", str(sidecar_of(path, "civitai-info"))]
    capsys.readouterr()

    assert 0 == run(command)

    assert {} == json.loads(capsys.readouterr().out)["skipped"]
    assert "night_6.safetensors" == before.model.sd_name
    assert before.model == shelf.entry(77).model
    assert before.layers[Layer.UPSTREAM].files == shelf.entry(77).layers[Layer.UPSTREAM].files


def test_the_outside_cover_of_a_model_is_written_for_other_programs(shelf: Shelf, export: Export) -> None:
    path = a_model(shelf)
    shelf.say(77, cover_url="https://pictures.example/a.png")
    export("civitai-info")

    content = json.loads(sidecar_of(path, "civitai-info").read_bytes())

    assert [{"url": "https://pictures.example/a.png", "nsfwLevel": 1, "type": "image"}] == content["images"]


@pytest.mark.parametrize("form", FORMS)
def test_the_richer_facts_are_written_and_read_back(shelf: Shelf, export: Export, form: str) -> None:
    path = a_model(shelf)
    facts = Facts(
        description="Use <lora:x:1> & more\n\nTwo",
        creator="anna",
        recommended=Recommended(weight=0.8),
        licence=Licence(allow_commercial=("image",), allow_derivatives=False),
        images=(Image("https://pictures.example/a.png", 512, 768, True, "a boat", "fog", 12, "Euler a", 20, 7.5),),
        updated_at="2024-01-02T00:00:00Z",
    )
    shelf.say(77, **{name: value for name in FACT_NAMES if (value := getattr(facts, name)) is not None})
    export(form)
    read = read_sidecars([os.fsencode(sidecar_of(path, form))], catalogue="another one").facts

    assert read is not None
    kept = {
        "civitai-info": ("description", "creator", "licence", "updated_at"),
        "lora-manager": ("description", "creator", "licence", "updated_at", "recommended"),
        "a1111": ("description", "recommended"),
    }
    assert {name: getattr(facts, name) for name in kept[form]} == {name: getattr(read, name) for name in kept[form]}
    # The cover comes first.
    assert form == "a1111" or facts.images == (read.images or ())[1:]


@pytest.mark.parametrize("form", FORMS)
def test_what_is_written_is_read_back_by_another_catalogue(shelf: Shelf, export: Export, form: str) -> None:
    path = a_model(shelf)
    export(form)
    result = read_sidecars([os.fsencode(sidecar_of(path, form))], catalogue="another one")

    assert () == result.skipped
    assert result.facts is not None
    assert "For nights." in (result.facts.notes, result.facts.description)
    assert ("night", "valley") == result.facts.trigger_words
    assert {*result.claims.values()} <= {frozenset({(hashes_of(path).sha256 or "").lower()})}


@pytest.mark.parametrize("form", FORMS)
def test_our_own_words_are_not_taken_for_somebody_else_s(shelf: Shelf, export: Export, form: str) -> None:
    a_model(shelf)
    export(form)
    shelf.add()

    assert Layer.SIDECAR not in shelf.entry().layers
    assert {"unchanged": 1} == export(form)


def test_an_edit_of_what_we_wrote_is_somebody_s_word(shelf: Shelf, export: Export) -> None:
    path = a_model(shelf)
    export("a1111")
    content = json.loads(sidecar_of(path, "a1111").read_bytes())
    write_json(sidecar_of(path, "a1111"), content | {"activation text": "mine"})
    shelf.add()

    assert ("mine",) == shelf.entry().layers[Layer.SIDECAR].trigger_words
    assert {"foreign": 1} == export("a1111")


def test_what_is_known_later_is_written_over_what_we_wrote(shelf: Shelf, export: Export) -> None:
    path = a_model(shelf)
    export("lora-manager")
    shelf.say(77, base_model="Illustrious")

    assert {"written": 1} == export("lora-manager")
    assert "Illustrious" == json.loads(sidecar_of(path, "lora-manager").read_bytes())["base_model"]


@pytest.mark.parametrize("form", FORMS)
def test_a_foreign_sidecar_is_left_as_it_is_unless_forced(shelf: Shelf, export: Export, form: str) -> None:
    path = a_model(shelf)
    foreign = b'{"preferred weight": 0.7, "theirs": [1]}'
    sidecar_of(path, form).write_bytes(foreign)

    assert {"foreign": 1} == export(form)
    assert foreign == sidecar_of(path, form).read_bytes()

    assert {"written": 1} == export(form, "--force")
    assert [1] == json.loads(sidecar_of(path, form).read_bytes())["theirs"]


@pytest.mark.parametrize("raw", [b"not JSON", b"", b"\xff", b"[1]"])
def test_a_damaged_sidecar_is_foreign_as_well(shelf: Shelf, export: Export, raw: bytes) -> None:
    path = a_model(shelf)
    sidecar_of(path, "a1111").write_bytes(raw)

    assert {"foreign": 1} == export("a1111")
    assert raw == sidecar_of(path, "a1111").read_bytes()
    assert {"written": 1} == export("a1111", "--force")


def test_a_file_that_was_never_added_gets_none(shelf: Shelf, export: Export) -> None:
    path = embedding(shelf.folder / "night.safetensors")

    assert {"unknown": 1} == export("a1111")
    assert [path] == list(shelf.folder.iterdir())


def test_nothing_is_written_through_a_link_and_the_code_says_so(shelf: Shelf, export: Export, tmp_path: Path) -> None:
    path = a_model(shelf)
    (tmp_path / "elsewhere.json").write_text("{}")
    sidecar_of(path, "a1111").symlink_to(tmp_path / "elsewhere.json")

    assert {"failed": 1} == export("a1111", "--force", code=1)
    assert "{}" == (tmp_path / "elsewhere.json").read_text()


def test_nothing_half_written_is_left_behind(shelf: Shelf, export: Export) -> None:
    path = a_model(shelf)
    sidecar_of(path, "a1111").mkdir()

    assert {"failed": 1} == export("a1111", "--force", code=1)
    assert {path, sidecar_of(path, "a1111")} == set(shelf.folder.iterdir())


def test_a_disk_that_is_full_leaves_the_sidecar_as_it_was(
    shelf: Shelf, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = a_model(shelf)
    sidecar_of(path, "a1111").write_text("{}")

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)

    assert {"failed": 1} == export("a1111", "--force", code=1)
    assert "{}" == sidecar_of(path, "a1111").read_text()
    assert {path, sidecar_of(path, "a1111")} == set(shelf.folder.iterdir())


def test_a_team_s_own_facts_are_written_beside_its_own_files(shelf: Shelf, export: Export) -> None:
    """Two files of the same name with different models, each with its own words."""
    first = embedding(shelf.folder / "a" / "night.safetensors", 1)
    second = embedding(shelf.folder / "b" / "night.safetensors", 2)
    shelf.add()
    for number, model in enumerate(shelf.models()):
        shelf.say(model.id, notes=f"note {number}")
    export("a1111")

    assert ["note 0", "note 1"] == [
        json.loads(sidecar_of(path, "a1111").read_bytes())["description"] for path in (first, second)
    ]
    assert Facts(notes="note 0") == shelf.entry(shelf.models()[0].id).layers[Layer.USER]


@pytest.mark.parametrize(
    ("base_model", "generation"),
    [
        ("SD 1.5", "SD1"),
        ("SD 1.4", "SD1"),
        ("SD 2.1", "SD2"),
        ("SDXL 1.0", "SDXL"),
        ("Pony", "SDXL"),
        ("Flux.1 D", "Unknown"),
    ],
)
def test_a1111_is_told_the_generation_that_its_editor_offers(
    shelf: Shelf, export: Export, base_model: str, generation: str
) -> None:
    path = a_model(shelf)
    shelf.say(77, base_model=base_model)
    export("a1111")

    assert generation == json.loads(sidecar_of(path, "a1111").read_bytes())["sd version"]


def test_a_model_that_civitai_does_not_have_is_not_said_to_be_from_there(shelf: Shelf, export: Export) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    shelf.add()
    export("civitai-info")
    export("lora-manager")
    version = json.loads(sidecar_of(path, "civitai-info").read_bytes())
    metadata = json.loads(sidecar_of(path, "lora-manager").read_bytes())

    assert {"id", "modelId", "publishedAt", "description"} & version.keys() == set()
    assert (False, []) == (metadata["from_civitai"], version["images"])
    assert "id" not in metadata["civitai"]


def test_hashes_are_written_as_each_program_spells_them(shelf: Shelf, export: Export) -> None:
    path = a_model(shelf)
    export("lora-manager")
    metadata = json.loads(sidecar_of(path, "lora-manager").read_bytes())
    hashes = hashes_of(path)

    assert (hashes.autov3 or "")[:12].lower() == metadata["autov3"]
    assert ("completed", True) == (metadata["hash_status"], metadata["from_civitai"])
    assert {
        "AutoV2": hashes.short,
        "AutoV3": hashes.autov3,
        "SHA256": hashes.sha256,
        "BLAKE3": hashes.blake3,
        "CRC32": hashes.crc32,
    } == metadata["civitai"]["files"][0]["hashes"]


def test_a_file_that_is_only_listed_has_no_hash_yet(shelf: Shelf, export: Export) -> None:
    path = embedding(shelf.folder / "night.safetensors")
    shelf.add(with_hashes=False)
    export("lora-manager")
    metadata = json.loads(sidecar_of(path, "lora-manager").read_bytes())

    assert ("pending", "", "") == (metadata["hash_status"], metadata["sha256"], metadata["autov3"])
    assert {} == metadata["civitai"]["files"][0]["hashes"]


def test_a_pipe_in_a_sidecar_s_place_is_not_waited_for(shelf: Shelf, export: Export) -> None:
    path = a_model(shelf)
    os.mkfifo(sidecar_of(path, "a1111"))

    assert {"foreign": 1} == export("a1111")


WHOLE_SIDECARS = """
civitai-info, night: {
  "id": 77,
  "modelId": 7,
  "name": "v1",
  "baseModel": "Pony",
  "trainedWords": [
    "night",
    "valley"
  ],
  "description": "For nights.",
  "images": [
    {
      "url": "https://example.org/night.jpg",
      "nsfwLevel": 1,
      "type": "image"
    }
  ],
  "model": {
    "name": "Bright Valley",
    "type": "LORA",
    "nsfw": false,
    "tags": [
      "style",
      "anime"
    ]
  },
  "files": [
    {
      "id": 77,
      "name": "night_77.safetensors",
      "type": "Model",
      "sizeKB": 3.0859375,
      "primary": true,
      "hashes": {
        "AutoV2": "A6F6BCF26C",
        "AutoV3": "E80232B4D18D0BB7E794BE263BA937626F383F9917D4B8A737BA893A8F752293",
        "SHA256": "A6F6BCF26C29D5D9A1DC612306391B26006B82DE64E9022977364B72F225AD23",
        "BLAKE3": "B29A4B7065D0FD2339D135C250FEC8A5FC603B6D35E1D5A8B3EAAF4F77105591",
        "CRC32": "B40CB461"
      }
    }
  ],
  "modelyard": {
    "catalogue": "IDENTITY",
    "digest": "IDENTITY"
  }
}
civitai-info, own: {
  "name": "own",
  "baseModel": "SD 1.5",
  "trainedWords": [
    "own"
  ],
  "images": [
    {
      "url": "https://example.org/own.jpg",
      "nsfwLevel": 1,
      "type": "image"
    }
  ],
  "model": {
    "name": "own",
    "type": "TextualInversion",
    "nsfw": true,
    "tags": []
  },
  "files": [
    {
      "name": "own.safetensors",
      "type": "Model",
      "sizeKB": 3.0859375,
      "primary": true,
      "hashes": {
        "AutoV2": "BACF96CD93",
        "AutoV3": "54316D4DF32FDC03683C466503E3E203336311E7A631889B1953766F48A91E18",
        "SHA256": "BACF96CD93C02947B88B9FE535A72FC5D3F2627A81B52DFAC1422619DAB27D62",
        "BLAKE3": "BA1A750BB69664C1FEA3377E3232D3F7A5FFC0B706A18706ED93DC08DDA00DA6",
        "CRC32": "276A8BA5"
      }
    }
  ],
  "modelyard": {
    "catalogue": "IDENTITY",
    "digest": "IDENTITY"
  }
}
lora-manager, night: {
  "file_name": "night",
  "model_name": "Bright Valley",
  "file_path": "~/night.safetensors",
  "size": 3160,
  "modified": 1700000000.0,
  "sha256": "a6f6bcf26c29d5d9a1dc612306391b26006b82de64e9022977364b72f225ad23",
  "hash_status": "completed",
  "autov3": "e80232b4d18d",
  "base_model": "Pony",
  "tags": [
    "style",
    "anime"
  ],
  "notes": "For nights.",
  "from_civitai": true,
  "civitai": {
    "id": 77,
    "modelId": 7,
    "name": "v1",
    "baseModel": "Pony",
    "trainedWords": [
      "night",
      "valley"
    ],
    "description": "For nights.",
    "images": [
      {
        "url": "https://example.org/night.jpg",
        "nsfwLevel": 1,
        "type": "image"
      }
    ],
    "model": {
      "name": "Bright Valley",
      "type": "LORA",
      "nsfw": false,
      "tags": [
        "style",
        "anime"
      ]
    },
    "files": [
      {
        "id": 77,
        "name": "night_77.safetensors",
        "type": "Model",
        "sizeKB": 3.0859375,
        "primary": true,
        "hashes": {
          "AutoV2": "A6F6BCF26C",
          "AutoV3": "E80232B4D18D0BB7E794BE263BA937626F383F9917D4B8A737BA893A8F752293",
          "SHA256": "A6F6BCF26C29D5D9A1DC612306391B26006B82DE64E9022977364B72F225AD23",
          "BLAKE3": "B29A4B7065D0FD2339D135C250FEC8A5FC603B6D35E1D5A8B3EAAF4F77105591",
          "CRC32": "B40CB461"
        }
      }
    ]
  },
  "modelyard": {
    "catalogue": "IDENTITY",
    "digest": "IDENTITY"
  }
}
lora-manager, own: {
  "file_name": "own",
  "model_name": "own",
  "file_path": "~/own.safetensors",
  "size": 3160,
  "modified": 1700000000.0,
  "sha256": "bacf96cd93c02947b88b9fe535a72fc5d3f2627a81b52dfac1422619dab27d62",
  "hash_status": "completed",
  "autov3": "54316d4df32f",
  "base_model": "SD 1.5",
  "tags": [],
  "notes": "",
  "from_civitai": false,
  "civitai": {
    "name": "own",
    "baseModel": "SD 1.5",
    "trainedWords": [
      "own"
    ],
    "images": [
      {
        "url": "https://example.org/own.jpg",
        "nsfwLevel": 1,
        "type": "image"
      }
    ],
    "model": {
      "name": "own",
      "type": "TextualInversion",
      "nsfw": true,
      "tags": []
    },
    "files": [
      {
        "name": "own.safetensors",
        "type": "Model",
        "sizeKB": 3.0859375,
        "primary": true,
        "hashes": {
          "AutoV2": "BACF96CD93",
          "AutoV3": "54316D4DF32FDC03683C466503E3E203336311E7A631889B1953766F48A91E18",
          "SHA256": "BACF96CD93C02947B88B9FE535A72FC5D3F2627A81B52DFAC1422619DAB27D62",
          "BLAKE3": "BA1A750BB69664C1FEA3377E3232D3F7A5FFC0B706A18706ED93DC08DDA00DA6",
          "CRC32": "276A8BA5"
        }
      }
    ]
  },
  "modelyard": {
    "catalogue": "IDENTITY",
    "digest": "IDENTITY"
  }
}
a1111, night: {
  "description": "For nights.",
  "sd version": "SDXL",
  "activation text": "night, valley",
  "preferred weight": 0,
  "notes": "",
  "modelyard": {
    "catalogue": "IDENTITY",
    "digest": "IDENTITY"
  }
}
a1111, own: {
  "description": "",
  "sd version": "SD1",
  "activation text": "own",
  "preferred weight": 0,
  "notes": "",
  "modelyard": {
    "catalogue": "IDENTITY",
    "digest": "IDENTITY"
  }
}
"""


def test_the_whole_content_of_each_sidecar(shelf: Shelf, export: Export) -> None:
    a_model(shelf)
    embedding(shelf.folder / "own.safetensors", 5)
    shelf.add()
    shelf.say(1_000_000_000, trigger_words=("own",), is_nsfw=True, cover_url="https://example.org/own.jpg")
    for path in shelf.folder.iterdir():
        os.utime(path, (1_700_000_000, 1_700_000_000))
    shelf.add()
    shown = []
    for form in FORMS:
        export(form)
        for name in ("night", "own"):
            content = json.loads(sidecar_of(shelf.folder / f"{name}.safetensors", form).read_bytes())
            lines = json.dumps(content, indent=2, ensure_ascii=False).replace(str(shelf.folder), "~")
            shown.append(f"{form}, {name}: {lines}")

    assert WHOLE_SIDECARS.strip() == IDENTITY.sub("IDENTITY", "\n".join(shown))


# The identity of the catalogue, which a sidecar of ours carries.
IDENTITY = re.compile(r"(?<=\")[0-9a-f]{32}(?=\")")
