"""`modelyard add`: what it refuses, what it names, and its exit code."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelyard.cli import run
from tests.scan_fixture import Shelf, embedding, opened


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    new_shelf = opened(tmp_path)
    yield new_shelf
    new_shelf.catalog.close()


@pytest.fixture
def add(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Return a function that runs the command; it returns the exit code and standard error."""

    def run_add(*arguments: object) -> tuple[int, str]:
        code = run(["add", "--home", str(shelf.home), *map(str, arguments)])
        lines = capsys.readouterr().err.splitlines(keepends=True)
        # The fixture's home is open to others at first.
        return code, "".join(line for line in lines if not line.startswith("other users of this machine"))

    return run_add


def test_a_path_that_is_not_there_stops_the_command_before_any_work(
    shelf: Shelf, add: Callable[..., tuple[int, str]]
) -> None:
    embedding(shelf.folder / "a.safetensors")
    code, message = add(shelf.folder, shelf.folder / "typo", shelf.folder / "typo.pt")

    assert 2 == code
    assert f"{shelf.folder}/typo: there is no such file or folder; " in message
    assert f"{shelf.folder}/typo.pt: there is no such file or folder; nothing was added; see `modelyard add" in message
    assert [] == shelf.models()


def test_a_folder_whose_models_are_known_may_be_gone(shelf: Shelf, add: Callable[..., tuple[int, str]]) -> None:
    embedding(shelf.folder / "a.safetensors")
    add(shelf.folder)
    shutil.rmtree(shelf.folder)
    code, message = add(shelf.folder)

    assert 0 == code
    assert "its models become unavailable" in message
    assert ["UNAVAILABLE"] == [model.status.name for model in shelf.models()]


def test_a_dangling_link_is_called_so(shelf: Shelf, add: Callable[..., tuple[int, str]]) -> None:
    link = shelf.folder / "a.safetensors"
    link.symlink_to("/nowhere/a.safetensors")

    assert (2, True) == ((result := add(link))[0], "dangling link: /nowhere/a.safetensors is not there" in result[1])

    folder_link = shelf.folder / "loras"
    folder_link.symlink_to("/nowhere/loras")
    _, message = add(shelf.folder)

    assert f"skipped: {link}: dangling link: its target is not there: /nowhere/a.safetensors\n" in message
    assert f"skipped: {folder_link}: dangling link: its target is not there: /nowhere/loras\n" in message


def test_a_file_that_is_no_model_is_refused_if_it_is_named_and_ignored_in_a_folder(
    shelf: Shelf, add: Callable[..., tuple[int, str]]
) -> None:
    readme = shelf.folder / "README.md"
    readme.write_text("# Hello\n")
    embedding(shelf.folder / "a.safetensors")
    code, message = add(readme)

    assert (1, f"not usable: {readme}: this is text, not a model\n") == (code, message)
    assert [] == shelf.models()
    assert 0 == add(shelf.folder)[0]


def test_a_named_model_needs_no_extension_of_a_model(shelf: Shelf, add: Callable[..., tuple[int, str]]) -> None:
    blob = embedding(shelf.folder / "0a1b2c")

    assert (0, "") == add(blob)
    assert "textualinversion" == shelf.model().type.name


def test_broken_files_are_named_with_the_reason_each_time_and_the_others_added(
    shelf: Shelf, add: Callable[..., tuple[int, str]]
) -> None:
    embedding(shelf.folder / "a.safetensors")
    broken = embedding(shelf.folder / "b.safetensors", 1)
    broken.write_bytes(broken.read_bytes()[:-10])
    first, second = add(shelf.folder), add(shelf.folder)

    assert (1, 1) == (first[0], first[1].count(f"not usable: {broken}: "))
    assert first == second
    assert ["AVAILABLE", "UNAVAILABLE"] == sorted(model.status.name for model in shelf.models())


def test_folders_of_extra_model_paths_that_cannot_be_scanned_are_named_and_the_others_scanned(
    shelf: Shelf, add: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(shelf.folder / "home"))
    for seed, folder in enumerate(("one", "two", "home/three")):
        embedding(shelf.folder / folder / "x.safetensors", seed)
    yaml = shelf.folder / "extra_model_paths.yaml"
    yaml.write_text(
        "a:\n  loras: |\n    one\n    gone\n  vae: [two]\n  clip: ~/three\n  controlnet: {x: y}\n"
        "b:\n  base_path: D:\\AI\n  loras: models\\loras\nc: nothing\n"
    )
    code, message = add(yaml)

    assert 1 == code
    assert 3 == len(shelf.models())
    odd = f"skipped: {yaml}: extra_model_paths.yaml has an entry that is not understood"
    gone = "extra_model_paths.yaml names a folder that is not there"
    assert [
        f"{odd}: a.controlnet; accepted: a folder, or several, one a line",
        f"{odd}: c; accepted: folders by kind",
        f"skipped: {shelf.folder}/gone: {gone}: loras of {yaml}",
        f"skipped: {shelf.folder}/D:\\AI/models\\loras: {gone}: loras of {yaml}",
    ] == message.splitlines()


@pytest.mark.parametrize(
    "options", [("--public",), ("--rescan-interval", "5"), ("--team", "a b")], ids=lambda options: options[0]
)
def test_an_option_without_effect_or_with_a_wrong_value_is_wrong_usage(
    shelf: Shelf, add: Callable[..., tuple[int, str]], options: tuple[str, ...]
) -> None:
    embedding(shelf.folder / "a.safetensors")
    code, message = add(*options, shelf.folder)

    assert (2, True) == (code, options[0] in message)
    assert [] == shelf.models()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--limit", "1000"), "modelyard: --limit: '1000' is not accepted"),
        (("--types=nothing",), "modelyard: --types: 'nothing' is not accepted"),
        (("--team", "a b", "x"), "modelyard: --team: 'a b' is not accepted"),
    ],
    ids=lambda value: value[0],
)
def test_an_error_names_the_option_that_was_typed(
    shelf: Shelf, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    code = run(["search", "--home", str(shelf.home), *arguments])

    assert (2, True) == (code, capsys.readouterr().err.startswith(message))


def test_a_summary_has_ten_messages_a_reason_fifty_unusable_files_and_twenty_groups_of_duplicates(
    shelf: Shelf, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shelf.folder
    for number in range(12):
        (folder / f"link{number:02}.pt").symlink_to("/nowhere")
    for number in range(51):
        (folder / f"broken{number:02}.safetensors").write_bytes(bytes([8, number]))
    for number in range(21):
        first = embedding(folder / "a" / f"{number:02}.safetensors", number)
        (folder / "b").mkdir(exist_ok=True)
        (folder / "b" / first.name).write_bytes(first.read_bytes())

    code = run(["add", "--home", str(shelf.home), str(folder)])
    captured = capsys.readouterr()
    messages = captured.err.replace(f"{folder}/", "").splitlines()

    assert 1 == code
    assert [f"link{number:02}.pt" for number in range(10)] == [
        message.split(": ")[1] for message in messages if message.startswith("skipped")
    ]
    assert 1 == messages.count("further messages are not shown: dangling link: its target is not there")
    assert [f"broken{number:02}.safetensors" for number in range(50)] == [
        message.split(": ")[1] for message in messages if message.startswith("not usable")
    ]
    assert [
        "1 further files are not usable; --json lists all",
        "list all 21 groups of duplicates with: modelyard search --duplicates",
    ] == messages[-2:]
    assert 40 == captured.out.count("same bytes")
