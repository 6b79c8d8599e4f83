"""`modelyard pull` and `modelyard push`: where files go, and what both print. Not here: interruptions (test_client)."""

from pathlib import Path

import pytest

from modelyard.cli import run
from modelyard.domain import Scope
from tests.app_fixture import listening, open_app
from tests.cli.transcript import replay
from tests.transfers import checking, lora_bytes, upload

COMFYUI = {
    "checkpoint": "models/checkpoints",
    "lora": "models/loras",
    "locon": "models/loras",
    "dora": "models/loras",
    "vae": "models/vae",
    "controlnet": "models/controlnet",
    "upscaler": "models/upscale_models",
    "textualinversion": "models/embeddings",
    "hypernetwork": "models/hypernetworks",
    "unet": "models/diffusion_models",
    "textencoder": "models/text_encoders",
    "clip": "models/text_encoders",
    "clipvision": "models/clip_vision",
    "ipadapter": "models/ipadapter",
    "poses": "models/poses",
}
A1111 = {
    "checkpoint": "models/Stable-diffusion",
    "lora": "models/Lora",
    "locon": "models/Lora",
    "dora": "models/Lora",
    "vae": "models/VAE",
    "controlnet": "models/ControlNet",
    "upscaler": "models/ESRGAN",
    "textualinversion": "embeddings",
    "hypernetwork": "models/hypernetworks",
    "unet": "models/unet",
    "textencoder": "models/textencoder",
    "clip": "models/clip",
    "clipvision": "models/clipvision",
    "ipadapter": "models/ipadapter",
    "poses": "models/poses",
}


def test_each_type_goes_into_the_folder_where_the_program_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home of commands"))
    (tmp_path / "home").mkdir()
    with open_app(tmp_path / "home") as yard, listening(yard) as address:
        for seed, kind in enumerate(COMFYUI):
            upload(yard, kind, lora_bytes(seed=seed), type_name=kind)
        verification = checking(yard, tmp_path / "home")
        while verification.verify_next():
            pass
        names = [model["sd_name"] for model in yard.ask("/v3/model?filter.visibility=private").json["models"]]
        key = ["--url", address.url, "--key", yard.key()]
        codes = [
            run(["pull", *key, "--layout", layout, "--root", str(tmp_path / layout), *names])
            for layout in ("comfyui", "a1111")
        ]
        codes.append(run(["pull", *key, "--root", str(tmp_path / "plain"), names[0]]))

    assert [0, 0, 0] == codes
    assert 15 == len(names)
    for layout, folders in (("comfyui", COMFYUI), ("a1111", A1111)):
        found = {path.stem.split("_")[0]: path for path in (tmp_path / layout).rglob("*.safetensors")}
        assert folders == {name: path.parent.relative_to(tmp_path / layout).as_posix() for name, path in found.items()}
    assert [tmp_path / "plain"] == [path.parent for path in (tmp_path / "plain").rglob("*.safetensors")]


TRANSCRIPT = """
$ modelyard pull night
night_1000000000.safetensors
$ modelyard pull night_1000000000.safetensors --root elsewhere
elsewhere/night_1000000000.safetensors
$ modelyard pull nothing 1000000000 --root third
third/night_1000000000.safetensors
! nothing: no model 'nothing'
[1]
$ modelyard push night.safetensors
night.safetensors: model 1000000000, night_1000000000.safetensors (the server has this file already)
$ modelyard push night.safetensors --key sk_nobody
! night.safetensors: invalid api-key
[1]
$ modelyard push text.safetensors --wait 1
! text.safetensors: the server has not verified model 1000000001 within 1 seconds
[1]
"""


def test_what_they_print(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "night.safetensors").write_bytes(lora_bytes(seed=1))
    (tmp_path / "text.safetensors").write_text("nothing")
    (tmp_path / "home").mkdir()
    with open_app(tmp_path / "home", clock=lambda: 1_700_000_000) as yard, listening(yard) as address:
        upload(yard, "night", lora_bytes(seed=1))
        checking(yard, tmp_path / "home").verify_next()
        monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home of commands"))
        monkeypatch.setenv("MODELYARD_URL", address.url.removeprefix("http://"))
        monkeypatch.setenv("MODELYARD_KEY", yard.key("red", Scope.READ, Scope.WRITE))

        assert TRANSCRIPT.strip() == replay(TRANSCRIPT, tmp_path, capsys)
