"""ComfyUI's two kinds of graphs → needs.

The graph of the page lists nodes with their widgets, and subgraphs by the definition that an instance's type names. The
graph of the API maps ids to a class and its inputs.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from modelyard.workflows import prompts
from modelyard.workflows.loaders import NOTES, PASSING, directory_of
from modelyard.workflows.needs import (
    NAME_CHARS_MAX,
    TEXT_CHARS_MAX,
    Need,
    NeedCollector,
    address_of,
    digits_of,
    hash_type_of,
    is_file_name,
    name_in_address,
)

# Each instance of a subgraph is walked, so a small file can describe a large graph.
NODES_MAX = 100_000
DEPTH_MAX = 32
_OFF_MODES = (2, 4)  # muted and bypassed
_DIRECTORY = re.compile(r"[A-Za-z0-9][\w.-]{0,63}(?:/[A-Za-z0-9][\w.-]{0,63}){0,3}", re.ASCII)
_OFF_KEYS = ("on", "active", "enabled")
_NAME_KEYS = ("lora", "name", "content", "model", "lora_name")
_Mapping = dict[str, Any]
# The widgets inside a subgraph, as node ids and names, by the name of the input that sets them.
_Targets = dict[str, list[tuple[Any, str]]]


def is_page_graph(document: object) -> bool:
    """Whether a document is a graph of the page."""
    return isinstance(document, dict) and isinstance(document.get("nodes"), list)


def is_api_graph(document: object) -> bool:
    """Whether a document is a graph of the API."""
    return isinstance(document, dict) and any(
        isinstance(node, dict) and isinstance(node.get("class_type"), str) for node in document.values()
    )


def read_page_graph(document: _Mapping, needs: NeedCollector) -> None:
    """Collect the needs of a graph of the page."""
    read_declarations(document.get("models"), (), needs)
    definitions = document.get("definitions")
    subgraphs = definitions.get("subgraphs") if isinstance(definitions, dict) else None
    by_id = {
        subgraph["id"]: subgraph
        for subgraph in _mappings(subgraphs)
        if isinstance(subgraph.get("id"), str) and isinstance(subgraph.get("nodes"), list)
    }
    _Walk(by_id, needs).visit(document["nodes"], "", {}, ())


def read_api_graph(document: _Mapping, needs: NeedCollector) -> None:
    """Collect the needs of a graph of the API."""
    for number, (node_id, node) in enumerate(document.items()):
        if number >= NODES_MAX:
            needs.truncate()
            return
        if isinstance(node, dict) and isinstance(node.get("class_type"), str):
            inputs = node.get("inputs")
            if isinstance(inputs, dict):
                _read_widgets(node["class_type"], node_id[:64], [*inputs.items()], needs)


def read_declarations(models: object, nodes: tuple[str, ...], needs: NeedCollector) -> None:
    """Collect needs that a document declares: ``[{name, directory, url, hash, hash_type, air}]``."""
    for model in _mappings(models):
        name, directory, air = model.get("name"), model.get("directory"), model.get("air")
        url = address_of(model.get("url"))
        if not isinstance(name, str) or not name.strip():
            name = name_in_address(url or "") or (air if isinstance(air, str) else "")
        if not name or len(name) > NAME_CHARS_MAX or not name.isprintable():
            continue
        digits = digits_of(model.get("hash"))
        needs.add(
            Need(
                name,
                directory if isinstance(directory, str) and _DIRECTORY.fullmatch(directory) else None,
                hashes=(digits,) if digits else (),
                hash_type=hash_type_of(model.get("hash_type")) if digits else None,
                url=url,
                air=air if isinstance(air, str) and len(air) <= NAME_CHARS_MAX else None,
                nodes=nodes,
            )
        )


class _Walk:
    """Visits the nodes of a graph and of the subgraphs that it uses."""

    def __init__(self, subgraphs: Mapping[str, _Mapping], needs: NeedCollector) -> None:
        self._subgraphs = subgraphs
        self._needs = needs
        self._left = NODES_MAX
        self._targets: dict[str, _Targets] = {}

    def visit(self, nodes: list[Any], prefix: str, values: Mapping[Any, _Mapping], path: tuple[str, ...]) -> None:
        """Visit nodes. ``values``: what the instance sets, by node id and widget; ``path``: the subgraphs around."""
        for node in _mappings(nodes):
            if self._left <= 0:
                self._needs.truncate()
                return
            self._left -= 1
            class_name, mode = node.get("type"), node.get("mode")
            if not isinstance(class_name, str) or (isinstance(mode, int) and mode in _OFF_MODES):
                continue
            name = f"{prefix}{str(node.get('id'))[:32]}"
            widgets = _widgets_of(node, values.get(_hashable(node.get("id")), {}))
            subgraph = self._subgraphs.get(class_name)
            if subgraph is None:
                self._visit_node(node, class_name, name, widgets)
            elif class_name in path or len(path) >= DEPTH_MAX:
                self._needs.truncate()
            else:
                inside = self._values_inside(class_name, widgets)
                self.visit(subgraph["nodes"], f"{name}:", inside, (*path, class_name))

    def _values_inside(self, class_name: str, widgets: list[tuple[str | None, Any]]) -> dict[Any, _Mapping]:
        """Return the values that an instance sets inside its subgraph, by node id and widget.

        What is inside is found once for all instances. Each value that is set counts as a node of the limit.
        """
        if class_name not in self._targets:
            self._targets[class_name] = _targets_of(self._subgraphs[class_name])
        inside: dict[Any, _Mapping] = {}
        for name, value in widgets:
            targets = self._targets[class_name].get(name or "", ())
            self._left -= len(targets)
            for node_id, widget in targets:
                inside.setdefault(node_id, {})[widget] = value
        return inside

    def _visit_node(self, node: _Mapping, class_name: str, name: str, widgets: list[tuple[str | None, Any]]) -> None:
        properties = node.get("properties")
        used = _read_widgets(class_name, name, widgets, self._needs)
        if isinstance(properties, dict):
            declared = [model for model in _mappings(properties.get("models")) if _hashable(model.get("name")) in used]
            read_declarations(declared, (name,), self._needs)


def _widgets_of(node: _Mapping, values: _Mapping) -> list[tuple[str | None, Any]]:
    """Return names and values of a node's widgets; the name is None where the node does not say it."""
    widgets = node.get("widgets_values_named")
    if not isinstance(widgets, dict):
        widgets = node.get("widgets_values")
    if isinstance(widgets, dict):
        return [*(widgets | values).items()]
    if not isinstance(widgets, list):
        return [*values.items()]
    names = _widget_names(node)
    if len(names) != len(widgets):
        # Without names, what the instance sets takes the place of the files in the order of the table.
        files = [number for number, value in enumerate(widgets) if isinstance(value, str) and is_file_name(value)]
        replaced = dict(zip(files, _files_in(values), strict=False))
        return [(None, replaced.get(number, value)) for number, value in enumerate(widgets)]
    return [(name, values.get(name, value)) for name, value in zip(names, widgets, strict=True)]


def _widget_names(node: _Mapping) -> list[str]:
    """Return the names of the widgets that a node lists among its inputs."""
    names = []
    for slot in _mappings(node.get("inputs")):
        widget = slot.get("widget")
        if isinstance(widget, dict) and isinstance(widget.get("name"), str):
            names.append(widget["name"])
    return names


def _files_in(values: _Mapping) -> list[str]:
    return [value for value in values.values() if isinstance(value, str) and is_file_name(value)]


def _targets_of(subgraph: _Mapping) -> _Targets:
    """Return which widgets inside a subgraph its inputs set: node ids and widgets by the name of the input."""
    ends = {}
    for link in _mappings(subgraph.get("links")):
        ends[_hashable(link.get("id"))] = (_hashable(link.get("target_id")), link.get("target_slot"))
    nodes = {_hashable(inner.get("id")): inner for inner in _mappings(subgraph["nodes"])}
    targets: _Targets = {}
    for slot in _mappings(subgraph.get("inputs")):
        name, link_ids = slot.get("name"), slot.get("linkIds")
        if not isinstance(name, str) or not isinstance(link_ids, list):
            continue
        for link_id in link_ids:
            node_id, number = ends.get(_hashable(link_id), (None, None))
            widget = _widget_at(nodes.get(node_id), number)
            if widget is not None:
                targets.setdefault(name, []).append((node_id, widget))
    return targets


def _widget_at(node: _Mapping | None, number: object) -> str | None:
    """Return the name of the widget behind an input of a node."""
    slots = node.get("inputs") if node is not None else None
    if not isinstance(slots, list) or not isinstance(number, int) or not 0 <= number < len(slots):
        return None
    slot = slots[number]
    name = slot.get("name") if isinstance(slot, dict) else None
    return name if isinstance(name, str) else None


def _read_widgets(
    class_name: str, node_id: str, widgets: Iterable[tuple[str | None, Any]], needs: NeedCollector
) -> set[str]:
    """Collect the needs of one node; return the names of the files that it uses."""
    used: set[str] = set()
    if class_name in NOTES:
        return used
    is_on = True
    values = {name: value for name, value in widgets if name is not None}
    for name, value in _flatten(widgets):
        if name is None and value in ("On", "Off"):
            is_on = value == "On"
        elif address_of(value):
            file_name = name_in_address(value)
            if is_file_name(file_name):
                used.add(file_name)
                needs.add(Need(file_name, url=value, nodes=(node_id,)))
        elif is_file_name(value):
            directory = directory_of(class_name, name, len(used))
            if _is_switched_off(name, values) or not is_on:
                continue
            used.add(value)
            if directory is None and class_name not in PASSING:
                needs.add_unknown(class_name)
            needs.add(Need(value, directory, nodes=(node_id,)))
        else:
            prompts.read_references(value, node_id, needs)
    return used


def _is_switched_off(name: str | None, values: _Mapping) -> bool:
    """Whether a list of LoRAs has a switch of its own for an input, and it is off."""
    number = (name or "").rpartition("_")[2]
    return bool(number) and values.get(f"switch_{number}") == "Off"


def _flatten(widgets: Iterable[tuple[str | None, Any]]) -> Iterator[tuple[str | None, str]]:
    """Yield the texts of widgets. A widget may hold a list of LoRAs, each with a switch of its own."""
    for name, value in widgets:
        if isinstance(value, str):
            yield name, value
        elif isinstance(value, dict):
            yield from _entry_of(name, value)
        elif isinstance(value, list):
            for entry in value:
                if isinstance(entry, dict):
                    yield from _entry_of(name, entry)


def _entry_of(name: str | None, entry: _Mapping) -> Iterator[tuple[str | None, str]]:
    """Yield the file that an entry of a list names, if the entry is on."""
    if any(entry.get(key) is False for key in _OFF_KEYS):
        return
    for key in _NAME_KEYS:
        value = entry.get(key)
        if isinstance(value, str) and 0 < len(value) <= TEXT_CHARS_MAX:
            yield name, value
            return


def _mappings(values: object) -> Iterator[_Mapping]:
    if isinstance(values, list):
        for value in values:
            if isinstance(value, dict):
                yield value


def _hashable(value: object) -> Any:
    return value if isinstance(value, (str, int)) else None
