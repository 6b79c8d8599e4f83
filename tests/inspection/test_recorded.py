"""Recorded headers and files of real models, and the reference parser's own cases, are judged as their indexes say."""

import hashlib
import json
from pathlib import Path

import pytest

from modelyard.domain import Verdict
from modelyard.inspection import UNKNOWN, inspect_file
from modelyard.inspection.pickle_imports import ALLOWED, judge_global
from modelyard.inspection.pickle_vm import Global
from tests.inspection.expectations import CANNOT_TELL, Expectation, Judgement, expectations
from tests.real_input import data_dir

# Recorded without an expectation; what they are follows from where they were recorded.
KNOWN_BY_NAME = {
    "instantx_flux_controlnet": ("controlnet", "Flux.1 D"),
    "xlabs_flux_controlnet": ("controlnet", "Flux.1 D"),
    "xlabs_flux_ip_adapter": ("ipadapter", "Flux.1 D"),
    "flux_lokr": ("locon", "Flux.1 D"),
    "flux_": ("lora", "Flux.1 D"),
    "lora-inspector": ("locon", "SDXL 1.0"),
    "lora_sd15": ("lora", UNKNOWN),  # names without shapes: SD 1.5's and SD 2's are the same
}
DIALECTS = {
    "flux_control_lora": "bfl",
    "flux_lokr_bfl": "bfl lokr",
    "flux_lora_diffusers_base_model": "peft",
    "flux_lora_diffusers_format": "diffusers",
    "flux_lora_diffusers_no_proj_mlp": "diffusers",
    "flux_lora_kohya": "kohya",
    "flux_lora_xlabs": "xlabs",
    "cloneofsimo": "cloneofsimo",
    "shinkai_makoto": "kohya",
}


def recorded() -> list[Expectation]:
    """Every recorded header and file."""
    return expectations(data_dir())


def test_every_expectation_of_the_recorded_models_is_met(tmp_path: Path) -> None:
    judged = {each.name: (each.judge(found := each.inspect(tmp_path)), found) for each in recorded()}

    assert {} == {
        name: (found.identity.type.value, found.identity.base_model.value)
        for name, (judgement, found) in judged.items()
        if judgement in (Judgement.MISSED, Judgement.WRONG)
    }
    assert set(CANNOT_TELL) >= {
        found.identity.type.value for judgement, found in judged.values() if judgement is Judgement.OPEN
    }


def test_models_recorded_without_expectation_are_plausible(tmp_path: Path) -> None:
    for each in recorded():
        if each.type is None:
            wanted = next(words for part, words in KNOWN_BY_NAME.items() if part in each.name)

            identity = each.inspect(tmp_path).identity

            assert wanted == (identity.type.value, identity.base_model.value), each.name


def test_lora_dialects_are_told_apart(tmp_path: Path) -> None:
    for part, dialect in DIALECTS.items():
        each = next(each for each in recorded() if part in each.name)

        assert dialect == each.inspect(tmp_path).identity.dialect.value, each.name


def test_every_answer_carries_evidence(tmp_path: Path) -> None:
    for each in recorded():
        identity = each.inspect(tmp_path).identity

        for finding in (identity.type, identity.base_model, identity.base_model_type, identity.architecture):
            assert finding.evidence or not finding.is_known
            assert (finding.confidence > 0) == finding.is_known
            assert not finding.candidates or finding.value in (*finding.candidates, UNKNOWN, "SD 2.x")


def test_recorded_files_have_the_recorded_hashes() -> None:
    folder = data_dir() / "files"
    for entry in json.loads((folder / "INDEX.json").read_text()):
        found = inspect_file(folder / entry["file"])

        assert found.hashes is not None
        assert entry["sha256"].upper() == found.hashes.sha256
        assert entry["size"] == found.size_bytes
        assert Verdict.CLEAN == found.verdict
        assert tuple(entry.get("pickle_globals", ())) == found.imports


def test_the_reference_parsers_cases_are_judged_as_it_does() -> None:
    folder = data_dir() / "odd" / "safetensors"
    for entry in json.loads((folder / "INDEX.json").read_text()):
        found = inspect_file(folder / entry["file"])

        assert (entry["expect"] == "valid") == (found.verdict is Verdict.CLEAN), (entry["file"], found.reason)
        assert hashlib.sha256((folder / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("benign0_v0.pkl", "clean"),
        ("benign0_v3.pkl", "clean"),
        ("benign0_v4.pkl", "clean"),
        ("int_array.npy", "clean"),
        ("int_arrays.npz", "clean"),
        ("int_arrays_compressed.npz", "clean"),
        ("benign_password_protected.zip", "suspicious"),  # what is in it cannot be looked into
        ("not_a_pickle.bin", "error"),  # begins with an import, then breaks off
    ],
)
def test_harmless_pickles_and_archives_are_not_called_dangerous(name: str, verdict: str) -> None:
    assert verdict == inspect_file(data_dir() / "odd" / "benign_pickles" / name).verdict


def test_no_import_of_a_known_malicious_pickle_passes_as_clean() -> None:
    """The inventory names the imports of malicious pickles, not their bytes. Some have harmless imports only, and hide
    the others from the tool that listed them; these cannot be judged by the list."""
    entries = json.loads((data_dir() / "odd" / "MALICIOUS_INVENTORY.json").read_text())
    judged = 0
    for entry in entries:
        imports = [Global(*name.rsplit(".", 1)) for name in entry["globals"] if "." in name]
        foreign = [each for each in imports if each.name not in ALLOWED.get(each.module, frozenset())]
        if foreign and "malicious" in entry["path"]:
            judged += 1
            assert any(judge_global(each) is not Verdict.CLEAN for each in imports), entry["path"]
            assert any(judge_global(each) is Verdict.DANGEROUS for each in imports), (entry["path"], imports)

    assert judged > 20
