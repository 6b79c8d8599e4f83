"""Models whose stored bytes are lost, and those whose bytes are back: their status, and the reason for it."""

from collections.abc import Callable, Collection
from dataclasses import replace

import sqlalchemy as sa

from modelyard.domain import Status, Verdict
from modelyard.facts import Facts, Layer
from modelyard.registry.writer import ModelWriter, state_of
from modelyard.store import WriteTransaction, schema
from modelyard.store.queries import batches

# The first evidence of the header's layer says why a model is not available.
LOST = f"{Verdict.ERROR}: the file store has lost its bytes; restore them, or send the file again"
_MODEL = schema.models.c


def mark_lost(transaction: WriteTransaction, sha256s: Collection[str]) -> int:
    """Make the available models with these bytes unavailable, and return their number."""
    return _change(transaction, sha256s, Status.AVAILABLE, Status.UNAVAILABLE, _add_reason)


def mark_found(transaction: WriteTransaction, sha256s: Collection[str]) -> int:
    """Make the models available again that ``mark_lost`` made unavailable, and return their number."""
    return _change(transaction, sha256s, Status.UNAVAILABLE, Status.AVAILABLE, _remove_reason)


def find_lost(transaction: WriteTransaction) -> set[str]:
    """Return the bytes that ``mark_lost`` noted as lost."""
    query = sa.select(_MODEL.id).where(_MODEL.status == Status.UNAVAILABLE.value, _MODEL.blob.is_not(None))
    ids = list(transaction.connection.execute(query).scalars())
    lost = set()
    for batch in batches(ids):
        for entry in transaction.entries(list(batch)).values():
            if _remove_reason(entry.layers.get(Layer.HEADER, Facts())) is not None and entry.model.blob:
                lost.add(entry.model.blob)
    return lost


def _change(
    transaction: WriteTransaction,
    sha256s: Collection[str],
    before: Status,
    after: Status,
    change: Callable[[Facts], Facts | None],
) -> int:
    count = 0
    for batch in batches(sha256s):
        query = sa.select(_MODEL.id).where(_MODEL.blob.in_(batch), _MODEL.status == before.value)
        ids = list(transaction.connection.execute(query).scalars())
        writer = ModelWriter(transaction)
        writer.load(ids)
        for model_id in ids:
            entry = writer.entry(model_id)
            facts = change(entry.layers.get(Layer.HEADER, Facts())) if entry is not None else None
            if entry is not None and facts is not None:
                layers = {**entry.layers, Layer.HEADER: facts}
                writer.set(model_id, layers, replace(state_of(entry.model), status=after))
                count += 1
        writer.put()
    return count


def _add_reason(facts: Facts) -> Facts:
    return replace(facts, evidence=(LOST, *(facts.evidence or ())))


def _remove_reason(facts: Facts) -> Facts | None:
    """Return facts without the reason; None if they do not have it."""
    evidence = facts.evidence or ()
    return replace(facts, evidence=evidence[1:] or None) if evidence[:1] == (LOST,) else None
