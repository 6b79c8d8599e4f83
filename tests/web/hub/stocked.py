"""A catalogue with models of every kind: uploaded, in a folder, of another team, without files."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard.library import Ownership, Scanner
from tests.app_fixture import App, a_model, open_app
from tests.scan_fixture import Heard, embedding
from tests.transfers import ask, checking, lora_bytes, upload

WEIGHTS = lora_bytes(fill=100_000)


@dataclass(frozen=True)
class Stocked:
    """The application, and the ids of its models."""

    yard: App
    night: int
    secret: int
    shards: int
    dawn: int

    @property
    def private(self) -> str:
        return f"red/{self.night}"

    @property
    def public(self) -> str:
        return f"public/{self.dawn}"


@contextmanager
def stocked(home: Path, storage_url: str = "", **chosen: Any) -> Iterator[Stocked]:
    """Open it: team red has ``night`` (private) and ``dawn`` (public), blue has ``secret``; the folder has shards."""
    folder = home / "models" / "flux"
    with open_app(home, storage_url=storage_url, **chosen) as yard:
        verification = checking(yard, home, storage_url)
        details = {"base_model": "SD 1.5", "title": "Night & day", "trigger_words": ["night", "neon sign"]}
        night = upload(yard, "night", WEIGHTS, **details, description="A lamp.\n---\nin the dark", tags=["style"])
        dawn = upload(yard, "dawn", lora_bytes(seed=1), visibility="public", base_model="SDXL 1.0", is_nsfw=True)
        secret = upload(yard, "secret", lora_bytes(seed=2), "blue")
        while verification.verify_next():
            pass
        for number in (1, 2):
            embedding(folder / f"model-0000{number}-of-00002.safetensors", number)
        Scanner(yard.store, Ownership(), Heard(), processes=1).run([os.fsencode(home / "models")])
        yard.put(a_model(7, tags=("anime",)))
        listed = ask(yard, "/v3/model?filter.visibility=public").json["models"]
        (shards,) = [model["id"] for model in listed if model["sd_name"].startswith("flux")]
        yield Stocked(yard, night["id"], secret["id"], shards, dawn["id"])
