"""Bars and tables on a terminal: what the last picture says before it is cleared."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard.cli import output, run
from modelyard.cli.progress import Bar, Progress
from tests.scan_fixture import embedding


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output and standard error count as a terminal of 100 columns."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")


def picture(capsys: pytest.CaptureFixture[str], add: Callable[[Progress], Bar], use: Callable[[Bar], object]) -> str:
    """Return the last picture of a bar, without its drawing and its colours."""
    capsys.readouterr()
    with Progress() as progress:
        use(add(progress))

    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    return " ".join(
        text.strip().split("\r")[-1].split("\n")[-1].replace("━", "").replace("╸", "").replace("╺", "").split()
    )


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(
    ("total", "unit", "with_items", "use", "expected"),
    [
        (
            10_000_000,
            "bytes",
            False,
            lambda bar: bar.advance(2_500_000),
            r"text 2\.5 MB/10\.0 MB( [\d.]+ \w+/s)? -:--:--",
        ),
        (None, "bytes", False, lambda bar: bar.set(3_000, 6_000), r"text 3\.0 kB/6\.0 kB( [\d.]+ \w+/s)? [\d:-]+"),
        (None, "bytes", False, lambda bar: bar.advance(3_000), r"text 3\.0 kB( .*)?"),
        (2_000, "files", False, lambda bar: bar.advance(1_500), r"text 1,500/2,000 files( [\d,]+/s)? [\d:-]+"),
        (100, "models", True, lambda bar: [bar.count_item() for _ in range(130)], r"text 128 models [\d,]+/s -:--:--"),
        (100, "models", True, lambda bar: [bar.count_item() for _ in range(63)], r"text 0 models 0/s -:--:--"),
    ],
    ids=range(6),
)
def test_a_bar_shows_how_much_is_done(
    capsys: pytest.CaptureFixture[str],
    total: int | None,
    unit: str,
    with_items: bool,
    use: Callable[[Bar], object],
    expected: str,
) -> None:
    shown = picture(capsys, lambda progress: progress.add_bar("text", total, unit, with_items=with_items), use)

    assert re.fullmatch(expected, shown), shown


@pytest.mark.usefixtures("terminal")
def test_a_rate_at_the_first_moment_is_that_of_a_fifth_of_a_second(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rich.console.monotonic", lambda: 7.0)
    shown = picture(
        capsys,
        lambda progress: progress.add_bar("text", 100, "models", with_items=True),
        lambda bar: [bar.count_item() for _ in range(128)],
    )

    assert "text 128 models 640/s -:--:--" == shown


@pytest.mark.usefixtures("terminal")
def test_the_text_of_a_bar_and_a_remark_above_it_are_no_markup_and_move_no_cursor(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = picture(capsys, lambda progress: progress.add_bar("[red]\x1b[2J", 1, "files"), lambda _: None)
    with Progress() as progress:
        progress.add_bar("x", 1, "files")
        progress.remark("[blue]\x1b[2J")

    assert shown.startswith("[red]�[2J 0/1 files")
    assert "[blue]�[2J\n" in capsys.readouterr().err


def test_without_a_terminal_no_bar_is_drawn_and_a_remark_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress:
        bar = progress.add_bar("x", 1, "files")
        bar.advance(1)
        bar.set(1, 1)
        bar.count_item()
        progress.remark("[blue]\x1b[2J")

    assert ("", "[blue]�[2J\n") == capsys.readouterr()


@pytest.mark.usefixtures("terminal")
def test_a_table_on_a_terminal_wraps_prose_between_words_and_breaks_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def write(name: str, tags: str) -> list[str]:
        output.write_table(("name", "tags"), [(name, tags)], prose=("tags",))
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().out).rstrip("\n").split("\n")

    wrapped = write("n" * 60, " ".join(["harbour"] * 8))
    longer = write("n" * 120, "harbour night")

    assert 100 >= max(map(len, wrapped))
    assert [" ".join(["harbour"] * 4)] * 2 == [line[60:].strip() for line in wrapped[2:]]
    assert ["n" * 120 + "   harbour", "night"] == [line.strip() for line in longer[2:]]


def test_a_table_in_a_pipe_has_one_line_for_each_row_however_long(capsys: pytest.CaptureFixture[str]) -> None:
    output.write_table(("name", "number"), [("n" * 391, "7"), ("[red]\x1b", "12")], numeric=("number",))
    lines = capsys.readouterr().out.rstrip("\n").split("\n")
    output.write_table(("name", "tags"), [("n" * 3_000, "harbour " * 100)], prose=("tags",))
    longer = capsys.readouterr().out.rstrip("\n").split("\n")

    assert ["n" * 391 + "        7", "[red]�" + 385 * " " + "       12"] == lines[2:]
    assert 3 == len(longer)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0, "1970-01-01 00:00"), (1_700_000_000, "2023-11-14 22:13"), (10**15, "9999-12-31 23:59")],
)
def test_a_time_is_shown_in_utc_to_the_minute(seconds: int | None, text: str) -> None:
    assert text == output.format_time(seconds)


@pytest.mark.usefixtures("terminal")
def test_the_commands_show_how_far_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
    models, records = tmp_path / "models", tmp_path / "records.jsonl"
    for seed in range(3):
        embedding(models / f"{seed}.safetensors", seed)
    versions = [
        {"id": n, "name": "v1", "baseModel": "SD 1.5", "files": [{"id": n, "name": "a.pt", "type": "Model"}]}
        for n in range(1, 65)
    ]
    record = {"id": 1, "name": "m", "type": "LORA", "modelVersions": versions}
    records.write_text(json.dumps(record).ljust(10_000))

    def run_and_read(*arguments: str) -> str:
        assert 0 == run(arguments)
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[━╸╺]", "", capsys.readouterr().err)

    added = run_and_read("add", str(models), "--dry-run") + run_and_read("add", str(models))
    imported = run_and_read("import", "civitai", str(records))
    inspected = run_and_read("inspect", str(models / "0.safetensors"))

    assert re.search(r"reading +3/3 files", added)
    assert re.search(r"hashing 3 files +9\.5 kB/9\.5 kB", added)
    assert re.search(r"indexing +3/3 models", added)
    assert re.search(r"reading +64 models", imported)
    assert re.search(r"hashing +3\.2 kB/3\.2 kB", inspected)
