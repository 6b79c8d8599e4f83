"""Renders models as Civitai's JSON before somebody asks for them, once somebody has asked for a list in that shape.

A note has how far it is: the rendering, the revision, and the last id of that revision. Where nobody ever asked, there
is no note, and nothing is rendered or stored.
"""

from collections.abc import Callable

from modelyard.store import Store, civitai_models, version_groups
from modelyard.web.civitai.versions import RENDERING, Versions

# Models of a transaction: some 40 ms, with all versions of their groups (2026-11).
_BATCH_MODELS = 200
_NOTE = "civitai models"
# All models of a revision are rendered.
_WHOLE = 2**63 - 1


class StoredModels:
    """Keeps the stored bodies up to date. One node does it for all."""

    def __init__(self, store: Store, versions: Versions) -> None:
        self._store = store
        self._versions = versions
        self._is_noted = False

    def note_use(self) -> None:
        """Have models rendered from now on, if somebody has asked for a list. Call it in a thread."""
        if not self._versions.is_used or self._is_noted:
            return
        if self._store.get_property(_NOTE) is None:
            with self._store.transaction() as transaction:
                transaction.remember(_NOTE, f"{RENDERING} 0 {_WHOLE}")
        self._is_noted = True

    def is_behind(self) -> bool:
        """Whether models changed since the last run, where somebody asks for lists."""
        note = self._store.get_property(_NOTE)
        if note is None:
            return False
        revision, model_id = _read_place(note)
        return model_id != _WHOLE or revision < self._store.revision_hint()

    def refresh(self, is_ended: Callable[[], bool]) -> None:
        """Render the groups of the models that changed, until there are no more or ``is_ended`` returns true."""
        revision, model_id = _read_place(self._store.get_property(_NOTE) or "")
        newest = self._store.revision()
        while (model_id != _WHOLE or revision < newest) and not is_ended():
            with self._store.reading() as connection:
                changed = civitai_models.list_changed(connection, revision, model_id, _BATCH_MODELS)
                names = dict.fromkeys(change.name for change in changed)
                groups = civitai_models.list_groups(connection, names, version_groups.VERSIONS_MAX)
            # A change that comes meanwhile makes a row that is not good; that model is among the next that changed.
            bodies = list(self._versions.render_to_store(groups))
            if len(changed) == _BATCH_MODELS:
                revision, model_id = changed[-1].revision, changed[-1].model_id
            else:
                revision, model_id = max([newest, *(change.revision for change in changed)]), _WHOLE
            with self._store.transaction() as transaction:
                civitai_models.replace(transaction.connection, names, RENDERING, bodies)
                transaction.remember(_NOTE, f"{RENDERING} {revision} {model_id}")


def _read_place(note: str) -> tuple[int, int]:
    rendering, *place = note.split() or ["0"]
    return (int(place[0]), int(place[1])) if rendering == str(RENDERING) else (0, _WHOLE)
