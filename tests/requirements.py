"""What a test needs besides this package. Absent at home, the test is skipped and says why; absent in CI, it fails."""

import importlib
import os
import shutil
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest


def absent(reason: str) -> NoReturn:
    """Give this test up, because the machine lacks something: never silently where nothing may be lacking."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason, allow_module_level=True)


def program(name: str) -> Path:
    """Return where a program is."""
    found = shutil.which(name)
    if found is None:
        absent(f"the program {name} is not installed")
    return Path(found)


def module(name: str) -> ModuleType:
    """Return a module of an optional distribution."""
    try:
        return importlib.import_module(name)
    except ImportError as problem:
        absent(f"the module {name} cannot be imported: {problem}")
