"""A model keeps its id, its name, its edits and its links, as long as one of its files is there.

A state machine changes a folder as people and programs do. ``MODELYARD_IDENTITY_EXAMPLES=2000`` runs it for minutes.
"""

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from modelyard import library
from modelyard.blobs import open_storage
from modelyard.domain import Hashes, Scope, Status, Viewer, Visibility
from modelyard.facts import Entry, Facts, Layer
from modelyard.library import Ownership
from modelyard.library.sidecar_export import SidecarFormat, export
from modelyard.library.walk import scan
from modelyard.registry.models import Edit, Models
from modelyard.store import files
from tests.scan_fixture import Shelf, embedding, hashes_of, opened, write_json

NAMES = st.sampled_from(["a", "b", "c"])
CONTENTS = st.sampled_from([1, 2])
RED = Ownership(team="red", visibility=Visibility.PUBLIC)
VIEWER = Viewer("red", frozenset(Scope))
# Imported versions: one with the hash of the content, one whose files have other hashes.
BY_HASH, BY_SIDECAR = 70, 80


class FolderLife(RuleBasedStateMachine):
    """A folder that people and programs change, and the models that its scans made."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="identity-"))
        self.shelf: Shelf = opened(self.root)
        storage = open_storage("", self.shelf.home, {})
        self.models = Models(self.shelf.catalog.store, storage.kept, storage.incoming)
        self.disk: dict[str, int] = {}
        # The contents of files that are as the last full scan found them, wherever they are now.
        self.promised: dict[str, int] = {}
        self.entries: dict[int, Entry] = {}
        self.tags: dict[int, tuple[str, ...] | None] = {}
        # The ids of imported versions that a content may belong to since.
        self.imported: dict[int, set[int]] = {1: set(), 2: set()}
        self.is_settled = True
        self.edits = 0

    def path(self, name: str) -> Path:
        return self.shelf.folder / f"{name}.safetensors"

    def sidecar(self, name: str) -> Path:
        return self.shelf.folder / f"{name}.civitai.info"

    # --- people and programs

    @rule(name=NAMES, content=CONTENTS)
    def write(self, name: str, content: int) -> None:
        embedding(self.path(name), content)
        self.sidecar(name).unlink(missing_ok=True)
        self.disk[name] = content
        self.promised.pop(name, None)

    @precondition(lambda self: self.disk)
    @rule(data=st.data(), target_name=NAMES)
    def copy(self, data: st.DataObject, target_name: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.disk)))
        if target_name not in self.disk:
            shutil.copy(self.path(name), self.path(target_name))
            self.disk[target_name] = self.disk[name]

    @precondition(lambda self: self.disk)
    @rule(data=st.data())
    def touch(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.disk)))
        time_ns = self.path(name).stat().st_mtime_ns + 1_000_000_000
        os.utime(self.path(name), ns=(time_ns, time_ns))

    @precondition(lambda self: self.disk)
    @rule(data=st.data(), target_name=NAMES, with_sidecar=st.booleans())
    def rename(self, data: st.DataObject, target_name: str, *, with_sidecar: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.disk)))
        if target_name in self.disk:
            return
        self.path(name).rename(self.path(target_name))
        if with_sidecar and self.sidecar(name).exists():
            self.sidecar(name).rename(self.sidecar(target_name))
        self.sidecar(name).unlink(missing_ok=True)
        self.disk[target_name] = self.disk.pop(name)
        if name in self.promised:
            self.promised[target_name] = self.promised.pop(name)

    @precondition(lambda self: self.disk)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.disk)))
        self.path(name).unlink()
        self.sidecar(name).unlink(missing_ok=True)
        self.disk.pop(name)
        self.promised.pop(name, None)

    @precondition(lambda self: self.disk)
    @rule(data=st.data(), trigger=st.sampled_from(["moon", "sun"]), names_version=st.booleans())
    def put_sidecar(self, data: st.DataObject, trigger: str, *, names_version: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.disk)))
        version = {"id": BY_SIDECAR + self.disk[name]} if names_version else {}
        write_json(self.sidecar(name), {"trainedWords": [trigger], **version})

    @precondition(lambda self: self.disk)
    @rule(data=st.data())
    def remove_sidecar(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.disk)))
        self.sidecar(name).unlink(missing_ok=True)

    @rule(form=st.sampled_from([SidecarFormat.CIVITAI_INFO, SidecarFormat.A1111]))
    def export_sidecars(self, form: SidecarFormat) -> None:
        [*export(self.shelf.catalog.store, scan([os.fsencode(self.shelf.folder)]), form, force=False)]

    @rule(content=CONTENTS)
    def import_version(self, content: int) -> None:
        path = embedding(self.root / "reference.safetensors", content)
        self.shelf.import_from_civitai(BY_HASH + content, hashes_of(path))
        self.imported[content].add(BY_HASH + content)

    @rule(content=CONTENTS)
    def import_other_file(self, content: int) -> None:
        self.shelf.import_from_civitai(BY_SIDECAR + content, Hashes(sha256=f"{content:064X}"))
        self.imported[content].add(BY_SIDECAR + content)

    @precondition(lambda self: self.promised and self.is_settled)
    @rule(data=st.data())
    def edit(self, data: st.DataObject) -> None:
        content = data.draw(st.sampled_from(sorted(set(self.promised.values()))))
        if (entry := self.shelf.catalog.store.entry(self.entries[content].model.id)) and entry.model.team:
            self.edits += 1
            self.tags[content] = (f"edit-{self.edits}",)
            self.models.edit(VIEWER, entry.model.id, Edit(Facts(tags=self.tags[content])))

    # --- the catalogue

    @rule()
    def list_files(self) -> None:
        self.is_settled = False
        self.shelf.add(owner=RED, with_hashes=False)

    @rule()
    def hash_files(self) -> None:
        library.hash_pending(self.shelf.catalog.store, lambda: False)

    @rule()
    def settle(self) -> None:
        """Scan with hashes: each content is one model, and what was promised of it holds."""
        self.shelf.add(owner=RED)
        with self.shelf.catalog.store.reading() as connection:
            records = files.below(connection, [os.fsencode(self.shelf.folder)])
        ids: dict[int, set[int | None]] = {}
        for name, content in self.disk.items():
            ids.setdefault(content, set()).add(records[os.fsencode(self.path(name))].model_id)
        before, promised = self.entries, set(self.promised.values())
        self.entries, self.promised, self.is_settled = {}, dict(self.disk), True
        for content, model_ids in ids.items():
            assert 1 == len(model_ids), (content, model_ids)
            (model_id,) = model_ids
            assert model_id is not None
            self.entries[content] = self.shelf.entry(model_id)
            if content in promised:
                self.check(content, before[content])
            self.tags[content] = self.edit_of(content)

    def edit_of(self, content: int) -> tuple[str, ...] | None:
        user = self.entries[content].layers.get(Layer.USER)
        return user.tags if user else None

    def check(self, content: int, before: Entry) -> None:
        after = self.entries[content]
        assert self.tags[content] == self.edit_of(content)
        if after.model.id not in self.imported[content] or before.model.id in self.imported[content]:
            assert (before.model.id, before.model.sd_name) == (after.model.id, after.model.sd_name)

    @invariant()
    def the_links_of_a_promised_model_lead_to_its_bytes(self) -> None:
        if not self.is_settled or set(self.disk) != set(self.promised):
            return
        for content in set(self.promised.values()):
            entry = self.shelf.catalog.store.entry(self.entries[content].model.id)
            assert entry is not None
            assert Status.AVAILABLE is entry.model.status

    def teardown(self) -> None:
        self.shelf.catalog.close()
        shutil.rmtree(self.root)


def test_a_model_keeps_id_name_edits_and_links_while_one_of_its_files_is_there() -> None:
    run_state_machine_as_test(
        FolderLife,
        settings=settings(
            max_examples=int(os.environ.get("MODELYARD_IDENTITY_EXAMPLES", "12")),
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
        ),
    )
