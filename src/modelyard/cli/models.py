"""The models that a command's arguments name."""

from collections.abc import Sequence

from modelyard import errors
from modelyard.facts import Entry
from modelyard.store import Store, lookup


def find_one(store: Store, text: str) -> Entry:
    """Return the only model with this id, name or hash. Raises ModelNotFound or AmbiguousName."""
    with store.reading() as connection:
        ids = lookup.model_ids(connection, text)
    entries = [entry for id_ in ids if (entry := store.entry(id_)) is not None]
    if not entries:
        raise errors.ModelNotFound(text)
    if len(entries) > 1:
        raise errors.AmbiguousName(text, [f"{entry.model.id} ({entry.model.sd_name})" for entry in entries[:10]])
    return entries[0]


def find_each(store: Store, texts: Sequence[str]) -> list[Entry]:
    """Return the only model of each text, each model once."""
    return [*{entry.model.id: entry for entry in (find_one(store, text) for text in texts)}.values()]
