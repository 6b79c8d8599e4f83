"""Real clients of the Hugging Face Hub: each generation in an environment of its own, kept in pytest's cache."""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from . import environments

# The table of docs/use/huggingface.md names these versions.
GENERATIONS = {"0.36": "huggingface_hub==0.36.0", "1.x": "huggingface_hub==1.33.0", "2.x": "huggingface_hub==2.4.0"}
COMPANIONS = ("hf-xet==1.8.0", "safetensors==0.8.0")
JAVASCRIPT = "@huggingface/hub@2.17.5"


def installed(config: pytest.Config, generation: str) -> Path:
    """Return the folder with the programs of a generation."""
    packages = (GENERATIONS[generation], *COMPANIONS)
    return environments.installed(config, f"huggingface_hub-{generation}", packages)


@dataclass(frozen=True)
class HubClient:
    """A generation of huggingface_hub, the server it talks to, and its own cache."""

    programs: Path
    endpoint: str
    key: str
    home: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def script(self, text: str, *arguments: str) -> Any:
        """Run a Python program, and return the JSON of the last line that it prints."""
        return json.loads(self._run(str(self.programs / "python"), "-c", text, *arguments).splitlines()[-1])

    def hf(self, *arguments: str) -> str:
        """Run its command, and return what it prints."""
        return self._run(str(self.programs / "hf"), *arguments)

    def _run(self, *command: str) -> str:
        self.home.mkdir(exist_ok=True)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "HF_HOME": str(self.home),
            "HF_ENDPOINT": self.endpoint,
            "HF_TOKEN": self.key,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "NO_COLOR": "1",
            **self.environment,
        }
        run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
        assert 0 == run.returncode, f"{command}\n{run.stdout}\n{run.stderr}"
        return run.stdout
