"""The commands that show models, as whole outputs: every kind of fact, of file and of image.

The outputs are in the folder `outputs`, approved by a person.
"""

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from modelyard.domain import Hashes, Licence, Model, Source, Status, Visibility, model_type
from modelyard.facts import Entry, Facts, Image, Layer, ModelFile, Recommended
from modelyard.fingerprint import Fingerprint
from modelyard.store import files, open_store
from modelyard.store.files import FileRecord, FileState
from tests.cli.transcript import replay
from tests.databases import prepare, sqlite_url

A = "A" * 64
NIGHT = Entry(
    Model(
        77,
        "same",
        "night_7.safetensors",
        model_type("lora"),
        Source.CIVITAI,
        base_model="SD 1.5",
        base_model_type="Standard",
        is_nsfw=True,
        tags=("a", "b", "c", "d", "e", "f", "g"),
        rank=1_234,
        hashes=Hashes(sha256=A),
        title="Night",
        creator="anna",
        trigger_words=("night", "sea"),
        published_at=1_600_000_000,
        updated_at=1_650_000_000,
        added_at=1_700_000_000,
        licence=Licence("mit", "MIT License", "https://mit.example", ("image",)),
    ),
    {
        Layer.USER: Facts(
            title="Night",
            recommended=Recommended(0.8, clip_skip=2),
            description="\n".join(f"line {number}" for number in range(9)),
        ),
        Layer.UPSTREAM: Facts(
            name="same",
            sd_name="night_7.safetensors",
            type=model_type("lora"),
            base_model="SD 1.5",
            title="Nacht",
            creator="anna",
            tags=("a", "b"),
            trigger_words=("night", "sea", "x" * 31),
            licence=Licence("mit", "MIT License", "https://mit.example", ("image",)),
            hashes=Hashes(sha256=A, crc32="E" * 8),
            is_nsfw=True,
            files=(
                ModelFile("night.pt", 5, "Model", 1_000, "PickleTensor", "fp16", "pruned", True, Hashes(sha256=A)),
                ModelFile("vae.pt", role="vae", hashes=Hashes(autov2="B" * 10)),
            ),
            images=tuple(
                Image(f"https://image.example/{number}", prompt=number * 301 * "p") for number in (1, 0, 0, 0, 0, 0)
            ),
        ),
    },
)
SECOND = Entry(
    Model(
        78,
        "same",
        "day.safetensors",
        model_type("checkpoint"),
        Source.UPLOADING,
        Visibility.PRIVATE,
        "red",
        Status.UNAVAILABLE,
    ),
    {Layer.GUESS: Facts(name="same", sd_name="day.safetensors")},
)


def file_record(path: str, **values: Any) -> FileRecord:
    return FileRecord(
        path.encode(),
        Fingerprint(7, 1, 1, 1),
        1,
        values.pop("state", FileState.PRESENT),
        Source.CIVITAI,
        Visibility.PUBLIC,
        model_id=77,
        **values,
    )


FILES = [
    (file_record("/m/night.pt", sha256=A.lower()), ""),
    (file_record("/m/b.pt", state=FileState.BROKEN, reason="it is cut"), ""),
    (file_record("/m/c.pt", hashes_pending=True), ""),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("sys.stdin", io.StringIO("From standard input.\n"))
    (tmp_path / "home").mkdir(mode=0o700)
    url = sqlite_url(tmp_path / "home")
    prepare(url)
    (tmp_path / "home" / "modelyard.sqlite").chmod(0o600)
    store = open_store(url, clock=lambda: 1_700_000_000)
    with store.transaction() as transaction:
        transaction.put([NIGHT, SECOND])
        files.put(transaction.connection, FILES)
    store.close()
    (tmp_path / "hashes.txt").write_text("AAAAAAAAAA " + " ".join(f"{number:08}" for number in range(11)))
    return tmp_path


@pytest.mark.parametrize("name", ["explain", "show", "search", "edit", "jobs"])
def test_a_command_shows_exactly_this(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    approved = Path(__file__).with_name("outputs").joinpath(f"{name}.txt").read_text()

    today = datetime.now(UTC).date().isoformat()
    assert approved.strip() == replay(approved, folder, capsys).replace(today, "TODAY")
