"""Paths as bytes: how they are printed, whether one lies inside another, and small YAML files."""

import yaml

NOT_READABLE = "cannot be read"


def is_inside(path: bytes, root: bytes) -> bool:
    """Whether a path is the root or lies below it, by the names alone."""
    return path == root or path.startswith(root.rstrip(b"/") + b"/")


def display_path(path: bytes) -> str:
    """Return a path as text that can be stored and shown: what is not UTF-8 in it is replaced."""
    return path.decode("utf-8", "replace")


def read_yaml(raw: bytes) -> object:
    """Return YAML as mappings, lists and texts. Raises ValueError for what is none.

    Texts alone: what YAML makes of other values fails in many ways, and nobody here needs a date.
    """
    try:
        return yaml.load(raw, Loader=yaml.BaseLoader)  # noqa: S506 # it makes texts, lists and mappings only
    except (yaml.YAMLError, RecursionError) as problem:
        raise ValueError(f"no YAML: {problem}") from problem
