"""The files that a walk lists, skips and reports. Not here: scanning them (test_scanner, test_sidecars)."""

import os
from pathlib import Path

import pytest

from modelyard.domain import Skipped
from modelyard.library.folder_hints import FolderHint, hint_of
from modelyard.library.walk import (
    BROKEN_LINK,
    LONG_PATH,
    NOT_A_FILE,
    OUTSIDE_LINK,
    UNFINISHED_DOWNLOAD,
    ScanResult,
    find_file,
    is_model_name,
    scan,
)
from modelyard.paths import NOT_READABLE, is_inside
from modelyard.store.files import PATH_BYTES_MAX


def write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def walk(*paths: Path, trained: bool = False) -> ScanResult:
    return scan([os.fsencode(path) for path in paths], trained=trained)


def names_in(folder: Path, result: ScanResult) -> list[str]:
    return [os.fsdecode(file.path).removeprefix(f"{folder}/") for file in result.files]


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
    write(tmp_path, "models/a.pt", "models/in/b.pt", "models-old/c.pt")
    result = walk(tmp_path / "models" / "in", tmp_path / "models", tmp_path / "models-old", tmp_path / "models")

    assert ["models/a.pt", "models/in/b.pt", "models-old/c.pt"] == names_in(tmp_path, result)
    assert (os.fsencode(tmp_path / "models"), os.fsencode(tmp_path / "models-old")) == result.roots


@pytest.mark.parametrize(
    "folder",
    [
        ".git", ".cache", "__pycache__", "node_modules", "site-packages", "dist-packages", "$RECYCLE.BIN", "lost+found",
    ],
)  # fmt: skip # one table
def test_programs_own_folders_are_not_entered(folder: str, tmp_path: Path) -> None:
    write(tmp_path, f"{folder}/a.pt", "models/b.pt")

    assert ["models/b.pt"] == names_in(tmp_path, walk(tmp_path))


def test_a_virtual_environment_is_not_entered(tmp_path: Path) -> None:
    write(tmp_path, "venv/pyvenv.cfg", "venv/a.pt", "venv/lib/b.pt", "c.pt")

    assert ["c.pt"] == names_in(tmp_path, walk(tmp_path))


@pytest.mark.parametrize(
    "name",
    [
        "optimizer.pt", "optimizer_1.bin", "scheduler.bin", "scaler.pt", "random_states_0.pkl", "random_state.pkl",
        "learnable_snr.safetensors", "run-000010-state/a.safetensors", "backup/a.pt", "optimizer/a.pt", "cache/a.pt",
        "latent_cache/a.pt", "latents_cache/a.pt", "tensorboard/a.pt", "sample/a.pt", "Samples/a.pt",
    ],
)  # fmt: skip # one table
def test_what_trainers_keep_for_themselves_is_passed_by_in_their_folders_only(name: str, tmp_path: Path) -> None:
    write(tmp_path, name, "cat.safetensors")

    assert ["cat.safetensors"] == names_in(tmp_path, walk(tmp_path, trained=True))
    assert sorted([name, "cat.safetensors"]) == sorted(names_in(tmp_path, walk(tmp_path)))


@pytest.mark.parametrize(
    "suffix",
    [".part", ".tmp", ".crdownload", ".aria2", ".incomplete", "-partial", ".download", ".!ut", ".opdownload"],
)
def test_an_unfinished_download_is_reported_and_skipped(suffix: str, tmp_path: Path) -> None:
    write(tmp_path, f"a.pt{suffix}", "b.safetensors", f"b.safetensors{suffix}", "c.pt", f"notes.txt{suffix}")
    result = walk(tmp_path)

    assert ["c.pt"] == names_in(tmp_path, result)
    assert {
        (str(tmp_path / name), UNFINISHED_DOWNLOAD)
        for name in (f"a.pt{suffix}", "b.safetensors", f"b.safetensors{suffix}")
    } == {(skip.where, skip.reason) for skip in result.skipped}


def test_a_link_to_a_file_is_taken_once_and_only_inside_the_given_folders(tmp_path: Path) -> None:
    write(tmp_path, "in/a.pt", "in/notes.txt", "in/deep/b.pt", "out/c.pt", "out/note.txt")
    folder = tmp_path / "in"
    (folder / "beside its target.pt").symlink_to(folder / "a.pt")
    (folder / "by another name.txt").symlink_to(folder / "a.pt")
    (folder / "folder inside").symlink_to(folder / "deep")
    (folder / "leads out.pt").symlink_to(tmp_path / "out" / "c.pt")
    (folder / "leads out, a folder").symlink_to(tmp_path / "out")
    (folder / "leads out.txt").symlink_to(tmp_path / "out" / "note.txt")
    (folder / "leads nowhere.pt").symlink_to(folder / "gone.pt")
    (folder / "to a folder.pt").symlink_to(folder / "deep")
    result = walk(folder)

    assert ["a.pt", "deep/b.pt"] == names_in(folder, result)
    assert [
        Skipped(str(folder / "leads nowhere.pt"), BROKEN_LINK, str(folder / "gone.pt")),
        Skipped(str(folder / "leads out, a folder"), OUTSIDE_LINK, str(tmp_path / "out")),
        Skipped(str(folder / "leads out.pt"), OUTSIDE_LINK, str(tmp_path / "out" / "c.pt")),
    ] == sorted(result.skipped, key=lambda skip: skip.where)


def test_two_links_to_a_file_that_is_no_model_by_name_are_one_model(tmp_path: Path) -> None:
    """As a cache keeps its files: under a hash, with links that have the names."""
    write(tmp_path, "blobs/0123")
    for name in ("b.pt", "a.pt"):
        (tmp_path / name).symlink_to(tmp_path / "blobs" / "0123")

    assert ["a.pt"] == names_in(tmp_path, walk(tmp_path))


def test_two_names_of_one_file_are_both_taken(tmp_path: Path) -> None:
    write(tmp_path, "a.pt")
    os.link(tmp_path / "a.pt", tmp_path / "b.pt")

    assert ["a.pt", "b.pt"] == names_in(tmp_path, walk(tmp_path))


def test_a_path_that_is_missing_or_no_file_is_reported(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    write(tmp_path, "a.pt")
    result = walk(tmp_path / "gone", tmp_path / "a.pt" / "below", tmp_path / "pipe.pt")

    assert {
        (str(tmp_path / "gone"), NOT_READABLE),
        (str(tmp_path / "a.pt" / "below"), NOT_READABLE),
        (str(tmp_path / "pipe.pt"), NOT_A_FILE),
    } == {(skip.where, skip.reason) for skip in result.skipped}
    # A missing path is no unreadable folder.
    assert ((), ()) == (result.unreadable, result.files)


def test_a_folder_that_cannot_be_listed_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    result = scan([os.fsencode(tmp_path / "circle" / "models")])

    assert result.roots == result.unreadable
    assert [NOT_READABLE] == [skip.reason for skip in result.skipped]


def test_a_path_as_long_as_the_catalogue_takes_is_taken_and_a_longer_one_told(tmp_path: Path) -> None:
    folder = tmp_path
    while len(os.fsencode(folder)) < PATH_BYTES_MAX - 400:
        folder = folder / ("d" * 100)
    folder.mkdir(parents=True)
    rest = PATH_BYTES_MAX - len(os.fsencode(folder)) - 1
    assert rest > 250
    # The last part of the path in two: a file's name has 255 bytes at most.
    folder = folder / ("d" * (rest - 101))
    folder.mkdir()
    fits, too_long = folder / f"{'a' * 97}.pt", folder / f"{'b' * 98}.pt"
    fits.write_bytes(b"a")
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.close(os.open(too_long.name, os.O_WRONLY | os.O_CREAT, dir_fd=descriptor))
    finally:
        os.close(descriptor)
    result = walk(tmp_path)

    assert [PATH_BYTES_MAX] == [len(file.path) for file in result.files]
    assert [LONG_PATH] == [skip.reason for skip in result.skipped]


def test_folders_are_walked_to_a_depth_and_no_further(tmp_path: Path) -> None:
    deepest = tmp_path.joinpath(*(["d"] * 64))
    write(deepest, "a.pt", "d/b.pt")

    assert [deepest / "a.pt"] == [Path(os.fsdecode(file.path)) for file in walk(tmp_path).files]


def test_one_file_is_found_with_what_lies_beside_it(tmp_path: Path) -> None:
    write(tmp_path, "a.pt", "a.json", "a.png", "b.json")
    # A link could lead outside the given folders, so it is no sidecar.
    (tmp_path / "a.txt").symlink_to(tmp_path / "b.json")
    file = find_file(os.fsencode(tmp_path / "a.pt"))

    assert file is not None
    assert ((os.fsencode(tmp_path / "a.json"),), (os.fsencode(tmp_path / "a.png"),)) == (file.sidecars, file.previews)
    assert find_file(os.fsencode(tmp_path / "gone.pt")) is None
    assert find_file(os.fsencode(tmp_path)) is None


def names_beside(folder: Path, name: str) -> list[str]:
    file = find_file(os.fsencode(folder / name))
    assert file is not None
    return [Path(os.fsdecode(path)).name for path in (*file.sidecars, *file.previews)]


def test_sidecars_and_previews_are_found_whatever_the_case_of_their_suffix(tmp_path: Path) -> None:
    write(tmp_path, "Mixed.SafeTensors", "Mixed.JSON", "Mixed.Civitai.Info", "Mixed.txt", "Mixed.Preview.PNG")
    write(tmp_path, "Mixed.SafeTensors.SHA256", "mixed.md", "style.pt", "Style.JSON")

    beside = ["Mixed.Civitai.Info", "Mixed.JSON", "Mixed.txt", "Mixed.SafeTensors.SHA256", "Mixed.Preview.PNG"]
    assert beside == names_beside(tmp_path, "Mixed.SafeTensors")
    assert [] == names_beside(tmp_path, "style.pt")


def test_stems_meet_across_the_forms_of_unicode_where_no_exact_one_is_there(tmp_path: Path) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    write(tmp_path / "one", f"{composed}.pt", f"{decomposed}.json", f"{decomposed}.PNG")
    write(tmp_path / "other", f"{decomposed}.pt", f"{composed}.json")
    write(tmp_path / "exact", f"{composed}.pt", f"{composed}.json", f"{decomposed}.json")
    write(tmp_path / "both", f"{composed}.pt", f"{decomposed}.pt", f"{decomposed}.json")

    assert [f"{decomposed}.json", f"{decomposed}.PNG"] == names_beside(tmp_path / "one", f"{composed}.pt")
    assert [f"{composed}.json"] == names_beside(tmp_path / "other", f"{decomposed}.pt")
    assert [f"{composed}.json"] == names_beside(tmp_path / "exact", f"{composed}.pt")
    assert [] == names_beside(tmp_path / "both", f"{composed}.pt")


def test_the_digest_of_sidecars_changes_with_them(tmp_path: Path) -> None:
    def digest() -> str:
        (file,) = walk(tmp_path).files
        return file.sidecar_digest

    write(tmp_path, "a.pt")
    digests = [digest()]
    write(tmp_path, "a.json")
    os.utime(tmp_path / "a.json", (1, 1))
    digests.append(digest())
    os.utime(tmp_path / "a.json", (2, 2))
    digests.append(digest())
    (tmp_path / "a.json").write_bytes(b"longer than it was")
    os.utime(tmp_path / "a.json", (2, 2))
    digests.append(digest())
    write(tmp_path, "a.png")
    digests.append(digest())
    write(tmp_path, "other.json")

    assert "" == digests[0]
    assert len(digests) == len(set(digests))
    assert digests[-1] == digest()


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
    write(tmp_path, "one/a.pt", "two/three/b.pt", "five/c.pt")
    (tmp_path / "extra_model_paths.yaml").write_text(EXTRA.format(base=tmp_path))
    kinds = {
        os.fsencode(tmp_path / "one"): "loras",
        os.fsencode(tmp_path / "two" / "three"): "loras",
        os.fsencode(tmp_path / "four"): "checkpoints",
    }

    # Inside a folder it gives folders a kind; given by its own path it stands for the folders that it names.
    assert (kinds, ["five/c.pt", "one/a.pt", "two/three/b.pt"]) == (
        walk(tmp_path).kinds,
        names_in(tmp_path, walk(tmp_path)),
    )
    by_path = walk(tmp_path / "extra_model_paths.yaml")
    assert (kinds, ["one/a.pt", "two/three/b.pt"]) == (by_path.kinds, names_in(tmp_path, by_path))


def test_a_list_of_folders_that_is_too_long_or_a_link_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, "long/a.pt", "linked/a.pt")
    text = EXTRA.format(base=tmp_path)
    (tmp_path / "elsewhere.yaml").write_text(text)
    (tmp_path / "long" / "extra_model_paths.yaml").write_text(text + "#" * (1 << 16))
    (tmp_path / "linked" / "extra_model_paths.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    result = walk(tmp_path)

    assert {} == result.kinds
    assert [(str(tmp_path / "long" / "extra_model_paths.yaml"), NOT_READABLE, "longer than 65,536 bytes")] == [
        (skip.where, skip.reason, skip.detail) for skip in result.skipped
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
    hint = hint_of(path.encode(), root.encode(), {})

    assert (type_, base_model) == ((hint.type, hint.base_model) if hint else (None, None))


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
    hint = hint_of(path, b"/yard", kinds)

    assert expected == (hint.type if hint else None)


def test_a_hint_says_what_it_was_made_from() -> None:
    assert FolderHint("lora", None, "it lies in a folder called 'Lora'") == hint_of(
        b"/models/Lora/a.pt", b"/models", {}
    )
    assert FolderHint("lora", None, "extra_model_paths.yaml calls its folder 'loras'") == hint_of(
        b"/yard/x/a.pt", b"/yard", {b"/yard/x": "loras"}
    )
