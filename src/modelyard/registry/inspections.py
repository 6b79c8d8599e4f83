"""The results of inspections of uploads: the facts of a file become a layer of its model."""

from dataclasses import replace

from modelyard.domain import Status
from modelyard.facts import Facts, Layer
from modelyard.registry.names import sd_name_of
from modelyard.registry.writer import ModelWriter, state_of
from modelyard.store import WriteTransaction, blobs, covers, webhooks
from modelyard.store.covers import Origin


def apply_inspection(
    transaction: WriteTransaction,
    model_id: int,
    facts: Facts,
    *,
    sha256: str | None = None,
    is_available: bool = False,
    extension: str = "",
    cover: str | None = None,
) -> None:
    """Give a model the facts of its inspected file; without effect if the model was removed meanwhile.

    The words of its owner stay, and win. ``extension`` is for a file that came without one.
    """
    if cover is not None and transaction.entries([model_id]):
        covers.give(transaction.connection, model_id, Origin.HEADER, cover)
    writer = ModelWriter(transaction)
    writer.load([model_id])
    entry = writer.entry(model_id)
    if entry is None:
        return
    layers = {**entry.layers, Layer.HEADER: facts}
    guess = layers.get(Layer.GUESS)
    if guess is not None and extension and "." not in (guess.sd_name or ""):
        layers[Layer.GUESS] = replace(guess, sd_name=sd_name_of(entry.model.name, model_id, extension))
    status = Status.AVAILABLE if is_available else Status.UNAVAILABLE
    writer.set(model_id, layers, replace(state_of(entry.model), blob=sha256, status=status))
    writer.put()
    webhooks.add_upload_event(
        transaction.connection,
        entry.model.team,
        model_id,
        transaction.revision,
        transaction.now,
        is_available=is_available,
    )


def merge_same_model(transaction: WriteTransaction, model_id: int, sha256: str) -> int | None:
    """Remove a new model whose team has the same file under the same name, and return the id of the older model.

    Returns None, and changes nothing, if there is no such model. Two clients that upload one file at the same time
    make two models, because nobody knows the bytes before they are verified.
    """
    entry = transaction.entries([model_id]).get(model_id)
    if entry is None or entry.model.team is None:
        return None
    model = entry.model
    ids = blobs.models_of_team(transaction.connection, sha256, entry.model.team, model.name)
    older = transaction.entries([id_ for id_ in ids if id_ != model_id])
    for older_id, older_entry in sorted(older.items()):
        if older_entry.model.visibility is model.visibility and older_entry.model.status is Status.AVAILABLE:
            transaction.remove([model_id])
            return older_id
    return None
