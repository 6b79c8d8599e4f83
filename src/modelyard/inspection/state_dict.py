"""Reads the tensors' names and shapes of a walked pickle as a header.

A file of weights is a dict of tensors, or a dict that holds one ("state_dict", "params_ema", …) beside what the trainer
kept, or a module object whose state holds dicts of parameters. Names are joined by dots, as torch names them.
"""

from collections.abc import Iterator

from modelyard.inspection.header import Header, Tensor
from modelyard.inspection.pickle_vm import ReducedObject

TENSORS_MAX = 100_000
DEPTH_MAX = 24
# Shared containers can make a tree of any size out of few opcodes; this is how much of it is walked.
VISITS_MAX = 300_000
METADATA_MAX = 64
TEXT_MAX = 512

# Where weights lie when other things lie beside them, best first: the averaged weights are those that are used.
_WRAPPERS = ("params_ema", "state_dict", "params", "model_state_dict", "net_g", "generator", "model", "module", "ema")
# What torch.nn.Module keeps its parts in; they are no part of a name.
_MODULE_PARTS = ("_parameters", "_buffers", "_modules")


def header_of(value: object) -> Header | None:
    """Return the header of a state dict, ``None`` if the value holds no tensor."""
    wrapper = ""
    inner = value
    if isinstance(value, dict):
        for name in _WRAPPERS:
            candidate = value.get(name)
            if isinstance(candidate, (dict, ReducedObject)) and next(_tensors_of(candidate), None) is not None:
                wrapper, inner = name, candidate
                break
    tensors: dict[str, Tensor] = {}
    for name, tensor in _tensors_of(inner):
        if len(tensors) >= TENSORS_MAX:
            break
        tensors.setdefault(name, tensor)
    if not tensors:
        return None
    return Header(tensors, _texts_of(value), wrapper)


def _tensors_of(value: object) -> Iterator[tuple[str, Tensor]]:
    """Yield names and tensors, in the order of the pickle, with a limit on the steps."""
    pending: list[tuple[str, object, int]] = [("", value, 0)]
    visits = 0
    while pending:
        visits += 1
        if visits > VISITS_MAX:
            return
        name, node, depth = pending.pop()
        if isinstance(node, Tensor):
            yield name, node
        elif depth < DEPTH_MAX:
            children = list(_children(node))
            visits += len(children)
            pending.extend((_joined(name, key), child, depth + 1) for key, child in reversed(children))


def _children(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, ReducedObject):
        if isinstance(value.function, Tensor):  # a numpy array, once BUILD has told its shape
            yield "", value.function
        state = value.state
        if isinstance(state, dict):
            parts = [state[part] for part in _MODULE_PARTS if part in state]
            for part in parts or [state]:
                yield from _children(part)
    elif isinstance(value, dict):
        for key, child in value.items():
            if isinstance(child, (dict, list, tuple, ReducedObject, Tensor)):
                yield str(key), child
    elif isinstance(value, (list, tuple)):
        for index, child in enumerate(value):
            if isinstance(child, (dict, list, tuple, ReducedObject, Tensor)):
                yield str(index), child


def _joined(name: str, key: str) -> str:
    return f"{name}.{key}" if name and key else name or key


def _texts_of(value: object) -> dict[str, str]:
    """Return the trainer's values beside the weights, such as an embedding's name and its training checkpoint."""
    if not isinstance(value, dict):
        return {}
    texts = {}
    for key, child in value.items():
        if isinstance(key, str) and type(child) in (str, int, bool):
            texts[key[:TEXT_MAX]] = str(child)[:TEXT_MAX]
            if len(texts) >= METADATA_MAX:
                break
    return texts
