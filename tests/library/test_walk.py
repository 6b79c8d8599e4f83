"""What a walk over folders takes, passes by and tells of. Not here: adding what was found (test_add, test_sidecars)."""

import os
from pathlib import Path

import pytest

from modelyard.domain import Skipped
from modelyard.library.folder_hints import FolderHint, hint_of
from modelyard.library.walk import (
    BROKEN_LINK,
    LEADS_OUT,
    LONG_PATH,
    NOT_A_FILE,
    STILL_ARRIVING,
    ScanResult,
    find_file,
    is_model_name,
    scan,
)
from modelyard.paths import NOT_READABLE, is_inside
from modelyard.store.files import PATH_BYTES_MAX


def lay(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def scanned(*paths: Path, trained: bool = False) -> ScanResult:
    return scan([os.fsencode(path) for path in paths], trained=trained)


def names_in(folder: Path, found: ScanResult) -> list[str]:
    return [os.fsdecode(each.path).removeprefix(f"{folder}/") for each in found.found]


@pytest.mark.parametrize(
    "name",
    [
        "a.safetensors", "a.SafeTensors", "a.ckpt", "a.pt", "a.pth", "a.bin", "a.gguf", "a.onnx", "a.pt2", "a.pkl",
        "a.b.pt",
    ],
)  # fmt: skip # one table
def test_a_models_name_ends_in_a_models_extension(name: str) -> None:
    assert is_model_name(name.encode())


@pytest.mark.parametrize("name", ["a.txt", "safetensors", ".safetensors", ".hidden.pt", "a.pt.txt", "a.", ""])
def test_other_names_are_no_models(name: str) -> None:
    assert not is_model_name(name.encode())


@pytest.mark.parametrize(
    ("path", "root", "inside"),
    [
        (b"/models", b"/models", True),
        (b"/models/a", b"/models", True),
        (b"/models-old/a", b"/models", False),
        (b"/model", b"/models", False),
        (b"/a", b"/", True),
        (b"/models/a", b"/models/", True),
    ],
)
def test_a_path_is_inside_a_folder_by_whole_names(path: bytes, root: bytes, inside: bool) -> None:
    assert inside == is_inside(path, root)


def test_folders_inside_each_other_are_walked_once_and_neighbours_apart(tmp_path: Path) -> None:
    lay(tmp_path, "models/a.pt", "models/in/b.pt", "models-old/c.pt")
    found = scanned(tmp_path / "models" / "in", tmp_path / "models", tmp_path / "models-old", tmp_path / "models")

    assert ["models/a.pt", "models/in/b.pt", "models-old/c.pt"] == names_in(tmp_path, found)
    assert (os.fsencode(tmp_path / "models"), os.fsencode(tmp_path / "models-old")) == found.roots


@pytest.mark.parametrize(
    "folder",
    [
        ".git", ".cache", "__pycache__", "node_modules", "site-packages", "dist-packages", "$RECYCLE.BIN", "lost+found",
    ],
)  # fmt: skip # one table
def test_programs_own_folders_are_not_entered(folder: str, tmp_path: Path) -> None:
    lay(tmp_path, f"{folder}/a.pt", "models/b.pt")

    assert ["models/b.pt"] == names_in(tmp_path, scanned(tmp_path))


def test_a_virtual_environment_is_not_entered(tmp_path: Path) -> None:
    lay(tmp_path, "venv/pyvenv.cfg", "venv/a.pt", "venv/lib/b.pt", "c.pt")

    assert ["c.pt"] == names_in(tmp_path, scanned(tmp_path))


@pytest.mark.parametrize(
    "name",
    [
        "optimizer.pt", "optimizer_1.bin", "scheduler.bin", "scaler.pt", "random_states_0.pkl", "random_state.pkl",
        "learnable_snr.safetensors", "run-000010-state/a.safetensors", "backup/a.pt", "optimizer/a.pt", "cache/a.pt",
        "latent_cache/a.pt", "latents_cache/a.pt", "tensorboard/a.pt", "sample/a.pt", "Samples/a.pt",
    ],
)  # fmt: skip # one table
def test_what_trainers_keep_for_themselves_is_passed_by_in_their_folders_only(name: str, tmp_path: Path) -> None:
    lay(tmp_path, name, "cat.safetensors")

    assert ["cat.safetensors"] == names_in(tmp_path, scanned(tmp_path, trained=True))
    assert sorted([name, "cat.safetensors"]) == sorted(names_in(tmp_path, scanned(tmp_path)))


@pytest.mark.parametrize(
    "suffix",
    [".part", ".tmp", ".crdownload", ".aria2", ".incomplete", "-partial", ".download", ".!ut", ".opdownload"],
)
def test_a_file_that_is_still_arriving_is_told_and_not_taken(suffix: str, tmp_path: Path) -> None:
    lay(tmp_path, f"a.pt{suffix}", "b.safetensors", f"b.safetensors{suffix}", "c.pt", f"notes.txt{suffix}")
    found = scanned(tmp_path)

    assert ["c.pt"] == names_in(tmp_path, found)
    assert {
        (str(tmp_path / name), STILL_ARRIVING) for name in (f"a.pt{suffix}", "b.safetensors", f"b.safetensors{suffix}")
    } == {(each.where, each.reason) for each in found.skipped}


def test_a_link_to_a_file_is_taken_once_and_only_inside_the_given_folders(tmp_path: Path) -> None:
    lay(tmp_path, "in/a.pt", "in/notes.txt", "in/deep/b.pt", "out/c.pt", "out/note.txt")
    folder = tmp_path / "in"
    (folder / "beside its target.pt").symlink_to(folder / "a.pt")
    (folder / "by another name.txt").symlink_to(folder / "a.pt")
    (folder / "folder inside").symlink_to(folder / "deep")
    (folder / "leads out.pt").symlink_to(tmp_path / "out" / "c.pt")
    (folder / "leads out, a folder").symlink_to(tmp_path / "out")
    (folder / "leads out.txt").symlink_to(tmp_path / "out" / "note.txt")
    (folder / "leads nowhere.pt").symlink_to(folder / "gone.pt")
    (folder / "to a folder.pt").symlink_to(folder / "deep")
    found = scanned(folder)

    assert ["a.pt", "deep/b.pt"] == names_in(folder, found)
    assert [
        Skipped(str(folder / "leads nowhere.pt"), BROKEN_LINK),
        Skipped(str(folder / "leads out, a folder"), LEADS_OUT, str(tmp_path / "out")),
        Skipped(str(folder / "leads out.pt"), LEADS_OUT, str(tmp_path / "out" / "c.pt")),
    ] == sorted(found.skipped, key=lambda each: each.where)


def test_two_links_to_a_file_that_is_no_model_by_name_are_one_model(tmp_path: Path) -> None:
    """As a cache keeps its files: under a hash, with links that have the names."""
    lay(tmp_path, "blobs/0123")
    for name in ("b.pt", "a.pt"):
        (tmp_path / name).symlink_to(tmp_path / "blobs" / "0123")

    assert ["a.pt"] == names_in(tmp_path, scanned(tmp_path))


def test_two_names_of_one_file_are_both_taken(tmp_path: Path) -> None:
    lay(tmp_path, "a.pt")
    os.link(tmp_path / "a.pt", tmp_path / "b.pt")

    assert ["a.pt", "b.pt"] == names_in(tmp_path, scanned(tmp_path))


def test_a_place_that_is_not_there_or_no_file_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    lay(tmp_path, "a.pt")
    found = scanned(tmp_path / "gone", tmp_path / "a.pt" / "below", tmp_path / "pipe.pt")

    assert {
        (str(tmp_path / "gone"), NOT_READABLE),
        (str(tmp_path / "a.pt" / "below"), NOT_READABLE),
        (str(tmp_path / "pipe.pt"), NOT_A_FILE),
    } == {(each.where, each.reason) for each in found.skipped}
    # What is certainly not there is not a place that nobody could look into.
    assert ((), ()) == (found.unread, found.found)


def test_a_place_that_cannot_be_looked_into_is_unread(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    found = scan([os.fsencode(tmp_path / "circle" / "models")])

    assert found.roots == found.unread
    assert [NOT_READABLE] == [each.reason for each in found.skipped]


def test_a_path_as_long_as_the_catalogue_takes_is_taken_and_a_longer_one_told(tmp_path: Path) -> None:
    folder = tmp_path
    while len(os.fsencode(folder)) < PATH_BYTES_MAX - 400:
        folder = folder / ("d" * 100)
    folder.mkdir(parents=True)
    left = PATH_BYTES_MAX - len(os.fsencode(folder)) - 1
    assert left > 250
    # The last part of the path in two: a file's name has 255 bytes at most.
    folder = folder / ("d" * (left - 101))
    folder.mkdir()
    fits, too_long = folder / f"{'a' * 97}.pt", folder / f"{'b' * 98}.pt"
    fits.write_bytes(b"a")
    with_room = os.open(folder, os.O_RDONLY)
    try:
        os.close(os.open(too_long.name, os.O_WRONLY | os.O_CREAT, dir_fd=with_room))
    finally:
        os.close(with_room)
    found = scanned(tmp_path)

    assert [PATH_BYTES_MAX] == [len(each.path) for each in found.found]
    assert [LONG_PATH] == [each.reason for each in found.skipped]


def test_folders_are_walked_to_a_depth_and_no_further(tmp_path: Path) -> None:
    deepest = tmp_path.joinpath(*(["d"] * 64))
    lay(deepest, "a.pt", "d/b.pt")

    assert [deepest / "a.pt"] == [Path(os.fsdecode(each.path)) for each in scanned(tmp_path).found]


def test_one_file_is_found_with_what_lies_beside_it(tmp_path: Path) -> None:
    lay(tmp_path, "a.pt", "a.json", "a.png", "b.json")
    # A side-car that is a link could lead anywhere, so it is none.
    (tmp_path / "a.txt").symlink_to(tmp_path / "b.json")
    found = find_file(os.fsencode(tmp_path / "a.pt"))

    assert found is not None
    assert ((os.fsencode(tmp_path / "a.json"),), (os.fsencode(tmp_path / "a.png"),)) == (found.sidecars, found.previews)
    assert find_file(os.fsencode(tmp_path / "gone.pt")) is None
    assert find_file(os.fsencode(tmp_path)) is None


def test_the_look_of_what_lies_beside_changes_with_it(tmp_path: Path) -> None:
    def look() -> str:
        (found,) = scanned(tmp_path).found
        return found.looks

    lay(tmp_path, "a.pt")
    looks = [look()]
    lay(tmp_path, "a.json")
    os.utime(tmp_path / "a.json", (1, 1))
    looks.append(look())
    os.utime(tmp_path / "a.json", (2, 2))
    looks.append(look())
    (tmp_path / "a.json").write_bytes(b"longer than it was")
    os.utime(tmp_path / "a.json", (2, 2))
    looks.append(look())
    lay(tmp_path, "a.png")
    looks.append(look())
    lay(tmp_path, "other.json")

    assert "" == looks[0]
    assert len(looks) == len(set(looks))
    assert looks[-1] == look()


EXTRA = """
comfyui:
    base_path: {base}
    is_default: true
    custom_nodes: nodes
    loras: |
        one
        two/three
    checkpoints: four
other: text
"""


def test_a_comfyui_list_of_folders_gives_them_a_kind(tmp_path: Path) -> None:
    lay(tmp_path, "one/a.pt", "two/three/b.pt", "five/c.pt")
    (tmp_path / "extra_model_paths.yaml").write_text(EXTRA.format(base=tmp_path))
    kinds = {
        os.fsencode(tmp_path / "one"): "loras",
        os.fsencode(tmp_path / "two" / "three"): "loras",
        os.fsencode(tmp_path / "four"): "checkpoints",
    }

    # In a folder, it says what folders are for; given by its name, it names the folders that are walked.
    assert (kinds, ["five/c.pt", "one/a.pt", "two/three/b.pt"]) == (
        scanned(tmp_path).kinds,
        names_in(tmp_path, scanned(tmp_path)),
    )
    given = scanned(tmp_path / "extra_model_paths.yaml")
    assert (kinds, ["one/a.pt", "two/three/b.pt"]) == (given.kinds, names_in(tmp_path, given))


def test_a_list_of_folders_that_is_too_long_or_a_link_is_not_read(tmp_path: Path) -> None:
    lay(tmp_path, "long/a.pt", "linked/a.pt")
    text = EXTRA.format(base=tmp_path)
    (tmp_path / "elsewhere.yaml").write_text(text)
    (tmp_path / "long" / "extra_model_paths.yaml").write_text(text + "#" * (1 << 16))
    (tmp_path / "linked" / "extra_model_paths.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    found = scanned(tmp_path)

    assert {} == found.kinds
    assert [(str(tmp_path / "long" / "extra_model_paths.yaml"), NOT_READABLE, "longer than 65,536 bytes")] == [
        (each.where, each.reason, each.detail) for each in found.skipped
    ]


@pytest.mark.parametrize(
    ("path", "root", "type_", "base_model"),
    [
        ("/models/Lora/a.pt", "/models", "lora", None),
        ("/x/models/Stable-diffusion/Lora/a.pt", "/x", "checkpoint", None),
        ("/models/lora/models/vae/a.pt", "/models", "vae", None),
        ("/models/sdxl/lora/a.pt", "/models", "lora", "SDXL 1.0"),
        ("/models/sdxl/a.pt", "/models", None, None),
        ("/models/sdxl", "/models", None, None),
        ("/models/style/lora/a.pt", "/models", None, None),
        ("/models/a.pt", "/models", None, None),
        ("/lora/yard/a.pt", "/lora/yard", None, None),
        ("/lora/a.pt", "/lora", "lora", None),
        ("/yard/new/text_encoders/a.pt", "/yard", "textencoder", None),
        ("/yard/new/a.pt", "/yard", None, None),
    ],
)
def test_the_folder_below_models_hints_at_the_type(
    path: str, root: str, type_: str | None, base_model: str | None
) -> None:
    found = hint_of(path.encode(), root.encode(), {})

    assert (type_, base_model) == ((found.type, found.base_model) if found else (None, None))


@pytest.mark.parametrize(
    ("path", "kinds", "expected"),
    [
        (b"/yard/mine/deep/a.pt", {b"/yard/mine": "loras"}, "lora"),
        (b"/yard/mine/deep/a.pt", {b"/yard/mine": "loras", b"/yard/mine/deep": "vae"}, "vae"),
        (b"/yard/mine-too/a.pt", {b"/yard/mine": "loras"}, None),
        (b"/yard/mine/a.pt", {b"/yard/mine": "a kind of next year"}, None),
    ],
)
def test_a_comfyui_list_of_folders_hints_at_the_type(
    path: bytes, kinds: dict[bytes, str], expected: str | None
) -> None:
    found = hint_of(path, b"/yard", kinds)

    assert expected == (found.type if found else None)


def test_a_hint_says_what_it_was_made_from() -> None:
    assert FolderHint("lora", None, "it lies in a folder called 'Lora'") == hint_of(
        b"/models/Lora/a.pt", b"/models", {}
    )
    assert FolderHint("lora", None, "extra_model_paths.yaml calls its folder 'loras'") == hint_of(
        b"/yard/x/a.pt", b"/yard", {b"/yard/x": "loras"}
    )
