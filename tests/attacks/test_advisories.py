"""No evasion that a public advisory reports is called clean, alone, in torch's zip, or behind a safetensors header."""

from pathlib import Path

import pytest

from modelyard.inspection import inspect_file
from tests.attacks.advisories import FICKLING_IMPORTS, PICKLESCAN_IMPORTS, READING, calling
from tests.attacks.evasions import stepping_frame
from tests.attacks.pickles import zipped


@pytest.mark.parametrize(("advisory", "names"), [*PICKLESCAN_IMPORTS.items(), *FICKLING_IMPORTS.items()])
def test_an_import_of_an_advisory_is_not_clean(advisory: str, names: str, tmp_path: Path) -> None:
    content = calling(names)
    makes = {"a.pkl": content, "b.pt": zipped({"archive/data.pkl": content}), "c.safetensors": stepping_frame(content)}

    for name, made in makes.items():
        path = tmp_path / name
        path.write_bytes(made)
        found = inspect_file(path, with_hashes=False)

        assert found.verdict in ("suspicious", "dangerous"), (advisory, name, found.reason)
        assert names.replace(" ", ".") in found.imports


@pytest.mark.parametrize("advisory", READING)
def test_a_file_of_an_advisory_is_dangerous(advisory: str, tmp_path: Path) -> None:
    name, make = READING[advisory]
    path = tmp_path / name
    path.write_bytes(make())

    assert "dangerous" == inspect_file(path, with_hashes=False).verdict
