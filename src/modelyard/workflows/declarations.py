"""Writes into a graph of ComfyUI's page where its models are: ``properties.models`` of the nodes that use them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_MODELS_MAX = 1_000  # of one node


@dataclass(frozen=True, slots=True)
class Declaration:
    """One model for the nodes that use it. ``nodes`` are ids as a need has them: ``5:8`` is node 8 inside node 5."""

    name: str
    directory: str
    url: str
    sha256: str
    nodes: tuple[str, ...]


def declare_models(graph: dict[str, Any], declarations: Iterable[Declaration]) -> None:
    """Add the declarations to the nodes of a graph. One of the same name and folder is replaced."""
    definitions = graph.get("definitions")
    subgraphs = definitions.get("subgraphs") if isinstance(definitions, dict) else None
    listed = subgraphs if isinstance(subgraphs, list) else []
    by_type = {str(subgraph.get("id")): subgraph for subgraph in listed if isinstance(subgraph, dict)}
    levels: dict[int, dict[str, dict[str, Any]]] = {}
    for declaration in declarations:
        for path in declaration.nodes:
            node = _find_node(graph, path.split(":"), by_type, levels)
            if node is not None:
                _declare(node, declaration)


def _find_node(
    graph: dict[str, Any],
    path: list[str],
    by_type: dict[str, dict[str, Any]],
    levels: dict[int, dict[str, dict[str, Any]]],
) -> dict[str, Any] | None:
    """Return the node at the end of a path of ids. ``levels`` holds the nodes of each graph by id, once made."""
    node = None
    level: dict[str, Any] | None = graph
    for node_id in path:
        if level is None:
            return None
        nodes = levels.get(id(level))
        if nodes is None:
            nodes = levels[id(level)] = _nodes_by_id(level)
        node = nodes.get(node_id)
        level = by_type.get(str(node.get("type"))) if node is not None else None
    return node


def _nodes_by_id(level: dict[str, Any]) -> dict[str, dict[str, Any]]:
    nodes = level.get("nodes")
    if not isinstance(nodes, list):
        return {}
    return {str(node.get("id"))[:32]: node for node in nodes if isinstance(node, dict)}


def _declare(node: dict[str, Any], declaration: Declaration) -> None:
    properties = node.get("properties")
    if not isinstance(properties, dict):
        properties = node["properties"] = {}
    models = properties.get("models")
    models = [model for model in models if isinstance(model, dict)] if isinstance(models, list) else []
    key = (declaration.name, declaration.directory)
    others = [model for model in models if (model.get("name"), model.get("directory")) != key]
    entry = {
        "name": declaration.name,
        "url": declaration.url,
        "hash": declaration.sha256,
        "hash_type": "SHA256",
        "directory": declaration.directory,
    }
    properties["models"] = [*others[: _MODELS_MAX - 1], entry]
