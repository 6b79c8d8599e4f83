"""Where the recorded answers of real systems are: not in the repository, their licences are not ours to pass on."""

import os
from pathlib import Path

from . import requirements


def data_dir() -> Path:
    """Return the folder of recorded input; skip the test where it is absent, fail where it must not be (CI)."""
    told = os.environ.get("MODELYARD_TEST_DATA")
    folder = Path(told) if told else Path(__file__).parents[2] / "shared" / "data"
    if not (folder / "civitai").is_dir():
        requirements.absent(f"no recorded input at {folder}; set MODELYARD_TEST_DATA")
    return folder
