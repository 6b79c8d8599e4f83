"""Paths as bytes: their text, whether one lies inside another, and small YAML files."""

import yaml

NOT_READABLE = "cannot be read"


def is_inside(path: bytes, root: bytes) -> bool:
    """Whether a path is the root or lies below it; only the names are compared."""
    return path == root or path.startswith(root.rstrip(b"/") + b"/")


def display_path(path: bytes) -> str:
    """Return a path as text to store and to print; bytes that are not UTF-8 are replaced."""
    return path.decode("utf-8", "replace")


def read_yaml(raw: bytes) -> object:
    """Return YAML as mappings, lists and texts. Raises ValueError if it is not YAML.

    All values are texts: converting them to other types can fail in many ways, and nobody here needs a date.
    """
    try:
        return yaml.load(raw, Loader=yaml.BaseLoader)  # noqa: S506 # it makes texts, lists and mappings only
    except (yaml.YAMLError, RecursionError) as problem:
        raise ValueError(f"not YAML: {problem}") from problem
