"""Folders of model files, and adding them: what the tests of `modelyard add` and of sidecars share.

Files are real in form and small: a safetensors embedding whose tensor says what it is.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelyard.blobs import open_storage
from modelyard.catalog import Catalog, open_catalog
from modelyard.domain import Hashes, Model, Scope, Skipped, Source, Viewer, model_type
from modelyard.facts import Entry, Facts, Layer, Record
from modelyard.inspection import hash_file
from modelyard.library import Ownership, Scanner, ScanReport
from modelyard.library.reconcile import FileOutcome
from modelyard.registry.models import Models
from modelyard.store import open_store

from .databases import prepare, sqlite_url
from .inspection.made_files import header_bytes


def embedding(path: Path, seed: int = 0, metadata: Mapping[str, str] | None = None, width: int = 768) -> Path:
    """Write a textual inversion for SD 1.5 (width 768) whose bytes depend on the seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header, size = header_bytes({"emb_params": ("F16", [2, width])}, metadata)
    body = (seed.to_bytes(4, "little") * (size // 4 + 1))[:size]
    path.write_bytes(len(header).to_bytes(8, "little") + header + body)
    return path


@dataclass
class Heard:
    """What adding told while it went on, and what a test does meanwhile."""

    settled: list[FileOutcome] = field(default_factory=list)
    skips: list[Skipped] = field(default_factory=list)
    bytes_hashed: int = 0
    when_planned: Callable[[], object] = lambda: None
    when_hashed: Callable[[], object] = lambda: None

    def planned(self, files: int, bytes_to_hash: int) -> None:  # noqa: ARG002 # what the protocol has
        self.when_planned()

    def hashed(self, count: int) -> None:
        self.bytes_hashed += count
        self.when_hashed()

    def looked(self, settled: FileOutcome) -> None:
        self.settled.append(settled)

    def skipped(self, skipped: Skipped) -> None:
        self.skips.append(skipped)

    def is_over(self) -> bool:
        return False


@dataclass
class Shelf:
    """A catalogue in a folder, and a folder of models beside it."""

    home: Path
    folder: Path
    catalog: Catalog
    heard: Heard = field(default_factory=Heard)

    def add(self, *paths: Path, owner: Ownership | None = None, **given: Any) -> ScanReport:
        self.heard = Heard()
        adding = Scanner(self.catalog.store, owner or Ownership(), self.heard, processes=1, **given)
        return adding.run([os.fsencode(path) for path in paths or (self.folder,)])

    def models(self) -> list[Model]:
        with self.catalog.store.snapshot() as snapshot:
            return sorted(snapshot.models(), key=lambda model: model.id)

    def model(self) -> Model:
        (only,) = self.models()
        return only

    def entry(self, model_id: int | None = None) -> Entry:
        entry = self.catalog.store.entry(self.model().id if model_id is None else model_id)
        assert entry is not None
        return entry

    def import_from_civitai(self, id_: int, hashes: Hashes, **said: Any) -> None:
        facts = Facts(name="v1", sd_name=f"night_{id_}.safetensors", type=model_type("LORA"), hashes=hashes, rank=7)
        facts = Facts(**{**{name: getattr(facts, name) for name in Facts.__slots__}, **said})
        for _ in self.catalog.register_many([Record(id_, Source.CIVITAI, Layer.UPSTREAM, facts)]):
            pass

    def remove(self, team: str, id_: int) -> None:
        """Remove a model, as its team does over the API."""
        where = open_storage("", self.home, {})
        Models(self.catalog.store, where.kept, where.incoming).remove(Viewer(team, frozenset(Scope)), id_)

    def say(self, id_: int, **said: Any) -> None:
        """A user's own word."""
        for _ in self.catalog.register_many([Record(id_, Source.UPLOADING, Layer.USER, Facts(**said))]):
            pass


def opened(tmp_path: Path, url: str = "") -> Shelf:
    """Open an empty shelf; in SQLite unless told otherwise."""
    home, folder = tmp_path / "home", tmp_path / "models"
    home.mkdir()
    folder.mkdir()
    url = url or sqlite_url(home)
    prepare(url)
    return Shelf(home, folder, open_catalog(open_store(url), home))


def hashes_of(path: Path) -> Hashes:
    """The hashes that a file has."""
    found = hash_file(path)
    return Hashes(found.autov1, found.autov3, found.sha256, found.blake3, found.crc32, found.autov2)


def write_json(path: Path, said: object) -> Path:
    path.write_text(json.dumps(said), encoding="utf-8")
    return path
