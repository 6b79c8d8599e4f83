"""What the recorded headers and files are, as their INDEX.json says, in our words; and how an answer is judged.

The recorders spelled bases their own way and sometimes named several, so their words are mapped to the set of ours that
meets them. Where headers cannot tell (``CANNOT_TELL``), "unknown" with the right candidate is the right answer.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from modelyard.inspection import UNKNOWN, Header, Inspection, Tensor, inspect_file
from tests.inspection import made_files

TYPES = {
    "lora": "lora",
    "ipadapter": "ipadapter",
    "text_encoder": "textencoder",
    "clip_vision": "clipvision",
    "clip": "clip",
    "vae": "vae",
    "checkpoint": "checkpoint",
    "checkpoint(unet only)": "checkpoint",
    "controlnet": "controlnet",
    "upscaler": "upscaler",
    "textualinversion": "textualinversion",
    "vae_approx": "vaeapprox",
    "other": "other",
}
BASES: dict[str, frozenset[str]] = {
    "SD 1.5": frozenset({"SD 1.5"}),
    "sd1": frozenset({"SD 1.5"}),
    "SD 2.x": frozenset({"SD 2.x"}),
    "SDXL 1.0": frozenset({"SDXL 1.0"}),
    "sdxl": frozenset({"SDXL 1.0"}),
    "flux": frozenset({"Flux.1 D"}),
    "Flux.2": frozenset({"Flux.2 D"}),
    "Flux.1/SD": frozenset({"Flux.1 D", "SD 1.5"}),
    "SDXL 1.0 / SD 1.5": frozenset({"SDXL 1.0", "SD 1.5"}),
    "SD 1.x/2.x/XL": frozenset({"SD 1.5", "SD 2.x", "SDXL 1.0"}),
    # These have no base: nothing may be claimed.
    "-": frozenset(),
    "ESRGAN x2 (12-ch conv_first)": frozenset(),
}
# Shared by several bases, tensor for tensor: one CLIP-L serves SD 1, SDXL and Flux.1, and so with VAEs.
CANNOT_TELL = frozenset({"textencoder", "vae", "vaeapprox"})
# An answer at or above this confidence is a claim; below, a guess that is shown as one.
CONFIDENT = 0.8


class Judgement(StrEnum):
    """How an answer compares with the expectation."""

    MET = "met"
    OPEN = "open, and the expected base is a candidate"
    MISSED = "missed"
    WRONG = "wrong and confident"


@dataclass(frozen=True, slots=True)
class Expectation:
    """One recorded header or file, and what it is; ``None`` where the recorder said nothing."""

    name: str
    path: Path
    type: str | None
    base: str | None
    base_type: str | None
    is_header: bool

    def inspect(self, folder: Path) -> Inspection:
        """Make the file, if only its header was recorded, and look at it."""
        return inspect_file(self._file(folder), with_hashes=not self.is_header)

    def header(self) -> Header:
        """Return the recorded header, without a file."""
        shapes, metadata = made_files.recorded_header(self.path)
        return Header({name: Tensor(dtype, tuple(shape)) for name, (dtype, shape) in shapes.items()}, metadata)

    def _file(self, folder: Path) -> Path:
        if not self.is_header:
            return self.path
        shapes, metadata = made_files.recorded_header(self.path)
        if ".pth" in self.name:  # recorded from torch's zip, with the weights under this key
            content = made_files.state_dict_pickle(shapes, "params_ema")
            return made_files.write_torch_zip(folder / "model.pth", content)
        return made_files.write_safetensors(folder / "model.safetensors", shapes, metadata)

    def judge(self, found: Inspection) -> Judgement:
        """Compare type, base and variant; the worst counts."""
        identity = found.identity
        missed = confident = False
        still_open = False
        for expected, answer in (
            (TYPES[self.type] if self.type else None, identity.type),
            (self.base_type, identity.base_model_type),
        ):
            if expected is not None and answer.value != expected:
                missed, confident = True, confident or answer.confidence >= CONFIDENT
        if self.base is not None and identity.base_model.value not in BASES[self.base]:
            base = identity.base_model
            if base.value != UNKNOWN:
                missed, confident = True, confident or base.confidence >= CONFIDENT
            elif BASES[self.base]:
                still_open = bool(BASES[self.base] & set(base.candidates)) and identity.type.value in CANNOT_TELL
                missed = missed or not still_open
        if missed:
            return Judgement.WRONG if confident else Judgement.MISSED
        return Judgement.OPEN if still_open else Judgement.MET


def expectations(data_dir: Path) -> list[Expectation]:
    """Return every recorded header and file."""
    found = []
    for entry in json.loads((data_dir / "headers" / "INDEX.json").read_text()):
        path = data_dir / "headers" / entry["file"]
        words = entry.get("expected_type"), entry.get("expected_base"), entry.get("expected_base_type")
        found.append(Expectation(entry["file"], path, *words, is_header=True))
    for entry in json.loads((data_dir / "files" / "INDEX.json").read_text()):
        path = data_dir / "files" / entry["file"]
        found.append(Expectation(entry["file"], path, entry["type"], entry["base"], None, is_header=False))
    return found
