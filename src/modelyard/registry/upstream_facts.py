"""What another server says of a model whose file comes from it."""

from dataclasses import replace

from modelyard.facts import Facts, Layer
from modelyard.registry.names import fallback_name
from modelyard.registry.writer import ModelWriter, state_of
from modelyard.store import WriteTransaction


def give_upstream_facts(transaction: WriteTransaction, model_id: int, facts: Facts) -> None:
    """Give a model what the server says that its file comes from; the words of its owner stay, and win."""
    writer = ModelWriter(transaction)
    writer.load([model_id])
    entry = writer.entry(model_id)
    if entry is not None:
        layers = {**entry.layers, Layer.UPSTREAM: facts}
        if layers[Layer.USER].name == fallback_name(model_id):
            layers[Layer.USER] = replace(layers[Layer.USER], name=None)
        writer.set(model_id, layers, state_of(entry.model))
        writer.put()
