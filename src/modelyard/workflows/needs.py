"""What a workflow needs: names of files, with all that it says of each."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

# Real workflows name up to a hundred models; the largest of the public templates names 15.
NEEDS_MAX = 1_000
NODES_MAX = 50  # ids of nodes that one need lists
UNKNOWN_NODES_MAX = 100
NAME_CHARS_MAX = 260
TEXT_CHARS_MAX = 2_048
WEIGHTS_SUFFIXES = (".safetensors", ".sft", ".ckpt", ".pt", ".pt2", ".pth", ".bin", ".gguf", ".onnx", ".pkl")

_HASH_TYPES = {"sha256": "sha256", "autov2": "autov2", "autov3": "autov3"}
_HEX = re.compile(r"[0-9a-f]{8,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Need:
    """One model that a workflow needs.

    ``name`` is as the workflow spells it, with a folder if it has one; ``directory`` is the folder of ComfyUI that the
    loader reads. ``hashes`` are in lower-case hex, whatever their kind. ``nodes`` are ids of the nodes that need it.
    """

    name: str
    directory: str | None = None
    hashes: tuple[str, ...] = ()
    hash_type: str | None = None
    url: str | None = None
    air: str | None = None
    version_id: int | None = None
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Needs:
    """All needs of a workflow, in the order in which it names them. ``is_truncated``: a limit left some out."""

    needs: tuple[Need, ...]
    unknown_nodes: tuple[str, ...] = ()
    is_truncated: bool = False

    def __iter__(self) -> Iterator[Need]:
        return iter(self.needs)


class NeedCollector:
    """Collects needs, and joins those of one name."""

    def __init__(self) -> None:
        self._needs: dict[tuple[str, str | None], Need] = {}
        self._unknown_nodes: dict[str, None] = {}
        self._is_truncated = False

    def add(self, need: Need) -> None:
        """Add a need, or complete the one with this name and folder."""
        key = (_key_of(need.name), need.directory)
        earlier = self._needs.get(key)
        if earlier is not None:
            self._needs[key] = _join(earlier, need)
        elif len(self._needs) < NEEDS_MAX:
            is_short = len(need.nodes) <= NODES_MAX
            self._needs[key] = need if is_short else replace(need, nodes=need.nodes[:NODES_MAX])
        else:
            self._is_truncated = True

    def add_unknown(self, class_name: str) -> None:
        """Note a class of nodes that names a file and is not in the table of loaders."""
        name = class_name[:NAME_CHARS_MAX]
        if name in self._unknown_nodes or len(self._unknown_nodes) < UNKNOWN_NODES_MAX:
            self._unknown_nodes.setdefault(name)
        else:
            self._is_truncated = True

    def truncate(self) -> None:
        """Note that a limit left something out."""
        self._is_truncated = True

    def collect(self) -> Needs:
        """Return the needs. One without a folder is joined with one of the same name that has a folder."""
        directories: dict[str, list[tuple[str, str | None]]] = {}
        for key in self._needs:
            directories.setdefault(key[0], []).append(key)
        for keys in directories.values():
            loose = (keys[0][0], None)
            if len(keys) > 1 and loose in self._needs:
                need = self._needs.pop(loose)
                for key in keys:
                    if key != loose:
                        self._needs[key] = _join(self._needs[key], need)
        return Needs((*self._needs.values(),), (*self._unknown_nodes,), self._is_truncated)


def is_file_name(text: str) -> bool:
    """Whether a text can be the name of a file of weights."""
    return len(text) <= NAME_CHARS_MAX and text.lower().endswith(WEIGHTS_SUFFIXES) and text.isprintable()


def address_of(value: object) -> str | None:
    """Return a web address; None for anything else."""
    if isinstance(value, str) and len(value) <= TEXT_CHARS_MAX and value.startswith(("https://", "http://")):
        return value if value.isprintable() and " " not in value else None
    return None


def name_in_address(address: str) -> str:
    """Return the last part of an address's path."""
    return address.partition("?")[0].partition("#")[0].rstrip("/").rpartition("/")[2]


def digits_of(value: object) -> str | None:
    """Return the digits of a hash in lower case; None if it is none. "sha256:", "0x" and the like may precede it."""
    if not isinstance(value, str) or len(value) > 80:
        return None
    digits = value.strip().lower().rpartition(":")[2].removeprefix("0x")
    return digits if _HEX.fullmatch(digits) else None


def hash_type_of(value: object) -> str | None:
    """Return the kind of hash that a workflow states; None if it is none that we know."""
    return _HASH_TYPES.get(value.replace("_", "").replace("-", "").lower()) if isinstance(value, str) else None


def _key_of(name: str) -> str:
    return name.replace("\\", "/").strip("/").casefold()


def _join(need: Need, more: Need) -> Need:
    return replace(
        need,
        hashes=_unique(need.hashes, more.hashes)[:4],
        hash_type=need.hash_type or more.hash_type,
        url=need.url or more.url,
        air=need.air or more.air,
        version_id=need.version_id if need.version_id is not None else more.version_id,
        nodes=_unique(need.nodes, more.nodes)[:NODES_MAX],
    )


def _unique(first: Iterable[str], second: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))
