"""What hatchling does beside building: it puts the commit into the packages, for ``modelyard --version``."""

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FILE = "commit.txt"


class CommitHook(BuildHookInterface):
    """Adds the file with the commit. What is built from an sdist has the sdist's; elsewhere git says it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the file to hatchling, where it is or in a folder of this build. An editable installation has none."""
        path = Path(self.root, FILE)
        if not path.exists():
            commit = read_commit(Path(self.root))
            if version == "editable" or not commit:
                return
            self._folder = TemporaryDirectory()
            path = Path(self._folder.name, FILE)
            path.write_text(commit)
            path.chmod(0o644)
        # Named also where it is: the files of a package are in one order, whatever it was built from.
        build_data["force_include"][str(path)] = FILE if self.target_name == "sdist" else f"modelyard/{FILE}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 # hatchling's signature
        """Remove the folder."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()


def read_commit(folder: Path) -> str:
    """Return the commit of a clone, with ``-dirty`` if it was changed; nothing where git is not or is no help."""
    command = ["git", "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"]
    if not (folder / ".git").exists():
        return ""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
