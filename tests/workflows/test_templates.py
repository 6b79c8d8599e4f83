"""The public template workflows of ComfyUI: 640 real graphs, with the models that they declare."""

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from modelyard.workflows import read_needs
from tests import requirements

Declaration = tuple[str, str]


def templates() -> Iterator[dict[str, Any]]:
    requirements.module("comfyui_workflow_templates_json")
    folder = Path(str(files("comfyui_workflow_templates_json")))
    for path in sorted(folder.rglob("*.json")):
        document = json.loads(path.read_bytes())
        if isinstance(document, dict) and "nodes" in document:
            yield document


def take_declarations(document: dict[str, Any]) -> set[Declaration]:
    """Remove the declarations of a graph; return those of the nodes that are on and used."""
    subgraphs = {subgraph["id"]: subgraph["nodes"] for subgraph in document.get("definitions", {}).get("subgraphs", [])}
    declarations: set[Declaration] = set()

    def visit(nodes: list[dict[str, Any]], path: tuple[str, ...]) -> None:
        for node in nodes:
            if node.get("mode") in (2, 4):
                continue
            for model in node.get("properties", {}).get("models") or []:
                declarations.add((model["name"], model["directory"]))
            if node["type"] in subgraphs and node["type"] not in path:
                visit(subgraphs[node["type"]], (*path, node["type"]))

    visit(document["nodes"], ())
    for nodes in (document["nodes"], *subgraphs.values()):
        for node in nodes:
            node.get("properties", {}).pop("models", None)
    return declarations


def test_what_the_templates_declare_is_found_without_the_declarations() -> None:
    declared = named = placed = extra = 0
    for document in templates():
        declarations = take_declarations(document)
        found = {(need.name, need.directory) for need in read_needs(json.dumps(document).encode())}
        names = {name for name, _ in found}
        declared += len(declarations)
        named += sum(name in names for name, _ in declarations)
        placed += len(declarations & found)
        extra += len(names - {name for name, _ in declarations})

    assert declared > 900
    assert named >= 0.98 * declared
    assert placed >= 0.95 * declared
    # One instance of a subgraph sets another file than the one that the node inside declares.
    assert extra <= 1
