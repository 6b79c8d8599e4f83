"""The documents tell the truth: what they name exists, what they link to is there, what they show runs.

The API's page has its own test (test_api_docs.py), and so have the settings (test_settings.py).
"""

import ast
import json
import lzma
import os
import re
import shlex
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest

from modelyard.cli import cli
from modelyard.settings import SETTINGS
from tests.civitai_server import CivitaiServer, civitai_server

from . import requirements

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")])
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
READY_SECONDS_MAX = 120
DEFAULT_ADDRESS = f"http://127.0.0.1:{next(setting.default for setting in SETTINGS if setting.name == 'port')}"


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def shell_lines(text: str) -> list[str]:
    return [line for block in blocks(text, "sh") for line in block.replace("\\\n", " ").splitlines() if line]


# --- Links -----------------------------------------------------------------------------------------------------------

LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")


def anchors(path: Path) -> set[str]:
    """The anchors that a page's headings get where Markdown is shown."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_within_the_repository_lead_somewhere(document: Path) -> None:
    for target in LINK.findall(document.read_text(encoding="utf-8")):
        place, _, anchor = target.partition("#")
        if urlsplit(target).scheme:
            continue
        path = (document.parent / place).resolve() if place else document
        assert path.exists(), target
        assert path.is_relative_to(ROOT), target
        assert not anchor or anchor in anchors(path), target


# --- What is named exists, and what exists is named ------------------------------------------------------------------


def parts_of_the_package() -> set[str]:
    package = ROOT / "src" / "modelyard"
    names = {path.stem for path in package.glob("*.py")} | {path.parent.name for path in package.glob("*/__init__.py")}
    return names - {"__init__"}


def test_the_architecture_names_every_part_and_only_what_is_there() -> None:
    text = read("ARCHITECTURE.md")
    table = text[text.index("| Part |") : text.index("## A request's way")]
    listed = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    assert parts_of_the_package() == listed

    dotted = set(re.findall(rf"`({'|'.join(sorted(listed))})\.(\w+)(?:\.(\w+))?`", text))
    assert dotted
    for part, name, member in dotted:
        found = ROOT / "src" / "modelyard" / part / f"{name}.py"
        module = found if found.exists() else ROOT / "src" / "modelyard" / f"{part}.py"
        folder = ROOT / "src" / "modelyard" / part / name
        wanted = member if found.exists() else name
        assert folder.is_dir() or (module.exists() and (not wanted or defines(module, wanted))), (
            f"{part}.{name}.{member}"
        )


def defines(module: Path, name: str) -> bool:
    nodes = ast.walk(ast.parse(module.read_text(encoding="utf-8")))
    return any(isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name for node in nodes)


def test_the_arrows_of_the_architecture_are_those_that_are_checked() -> None:
    from .test_tidy import GROUPS

    text = read("ARCHITECTURE.md")
    drawn = text[text.index("    domain · errors") : text.index("| Part |")]
    steps = [frozenset(re.findall(r"\w+", step)) for step in drawn.split("←")]

    assert [group & parts_of_the_package() for group in GROUPS] == steps


def test_files_that_the_documents_name_are_there() -> None:
    for document in DOCUMENTS:
        named = re.findall(
            r"`((?:tests|benchmarks|scripts|docs|src|\.ci)/[\w./-]+)`", document.read_text(encoding="utf-8")
        )
        for name in named:
            assert (ROOT / name).exists(), f"{document.name}: {name}"


def leaf_commands() -> set[str]:
    def below(command: click.Command, words: tuple[str, ...]) -> Iterator[str]:
        if not isinstance(command, click.Group):
            yield " ".join(words)
            return
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from below(found, (*words, name))

    return set(below(cli, ()))


def test_every_command_is_shown_in_the_readme() -> None:
    shown = " ".join(read("README.md").split())

    assert set() == {words for words in leaf_commands() if f"modelyard {words}" not in shown}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_that_are_shown_can_be_given(document: Path) -> None:
    for line in shell_lines(document.read_text(encoding="utf-8")):
        for command in line.split("&&"):
            words = shlex.split(command, comments=True)
            if words[:1] == ["modelyard"]:
                given(words[1:])


def given(words: list[str]) -> None:
    """Take the words as the program would, running nothing; click's error says which of them it does not know."""
    command: click.Command = cli
    while isinstance(command, click.Group):
        name, *words = words
        found = command.get_command(click.Context(command), name)
        assert found is not None, name
        command = found
    command.make_parser(click.Context(command)).parse_args(words)


def test_settings_that_are_shown_exist() -> None:
    names = {setting.name for setting in SETTINGS} | {setting.environment_name for setting in SETTINGS}
    ours = {"MODELYARD_TEST_DATA", "MODELYARD_WRITE_DOCS"}
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        shown = set(re.findall(r"MODELYARD_[A-Z_]+", text)) - ours
        shown |= set(re.findall(r"setting `(\w+)", text))
        assert set() == shown - names, document.name


# --- Decisions, changes, benchmarks ----------------------------------------------------------------------------------


def test_decisions_are_numbered_listed_and_have_their_four_parts() -> None:
    listed = read("docs/decisions/README.md")
    for number, path in enumerate(DECISIONS, 1):
        text = path.read_text(encoding="utf-8")
        title = text.splitlines()[0]
        assert title.startswith(f"# {number:04} ")
        assert f"| [{number:04}]({path.name}) | {title[7:]} |" in listed
        for part in ("Context", "Decision", "Evidence", "Consequences"):
            assert 1 == text.count(f"**{part}.**"), f"{path.name}: {part}"


def test_the_changelog_begins_with_what_is_not_released() -> None:
    sections = re.findall(r"^## \[(.+?)\]", read("CHANGELOG.md"), re.MULTILINE)

    assert "Unreleased" == sections[0]


def benchmark_programs() -> list[Path]:
    return [
        path for path in sorted((ROOT / "benchmarks").glob("*.py")) if "__main__" in path.read_text(encoding="utf-8")
    ]


@pytest.mark.parametrize("path", benchmark_programs(), ids=lambda path: path.name)
def test_every_benchmark_says_what_it_measures_and_how_to_run_it(path: Path) -> None:
    header = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""

    assert f"python -m benchmarks.{path.stem}" in header or f"python benchmarks/{path.name}" in header
    assert len(header) > 200
    assert f"`{path.name}`" in read("benchmarks/README.md")


def test_every_figure_of_the_readme_stands_in_the_benchmarks() -> None:
    section = read("README.md").partition("## How fast")[2].partition("\n## ")[0]
    figures = re.findall(r"(\d+) (?:µs|times|questions)", section)
    measured = read("docs/benchmarks.md")

    assert "(docs/benchmarks.md)" in section
    assert figures
    for figure in figures:
        assert re.search(rf"\b{figure}\b|\b{int(figure) - 1}\.[5-9]|\b{figure}\.[0-4]", measured), figure


# --- The README, done as it says -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Followed:
    """A folder in which a reader follows the README: the server runs, the program is on the path."""

    folder: Path
    environment: dict[str, str]
    address: str
    said: str
    civitai: CivitaiServer

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@contextmanager
def a_server(environment: dict[str, str], log: Path) -> Iterator[str]:
    """Start what the README starts, and give what it printed once it answers."""
    with (
        log.open("w") as errors,
        subprocess.Popen(
            ["modelyard", "serve", "--demo", "--port", "0"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            said = process.stdout.readline() + process.stdout.readline()
            assert "curl" in said, log.read_text()
            yield said
        finally:
            process.terminate()
            process.wait(READY_SECONDS_MAX)


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Followed]:
    requirements.program("curl")
    folder = tmp_path_factory.mktemp("reader")
    programs = folder / "bin"
    programs.mkdir()
    program = programs / "modelyard"
    # As pip writes it; the processes of a pool import it once more.
    program.write_text(f"#!{sys.executable}\nfrom modelyard.cli import main\nif __name__ == '__main__':\n    main()\n")
    program.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MODELYARD_")}
    environment |= {
        "PATH": f"{programs}:{environment['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "MODELYARD_HOME": str(folder / "home"),
        "NO_PROXY": "127.0.0.1",
    }
    version = {
        "id": 7,
        "name": "v1",
        "files": [{"id": 8, "name": "a.safetensors", "type": "Model"}],
        "baseModel": "SD 1.5",
    }
    model = {"id": 7, "name": "Realistic Vision", "type": "Checkpoint", "tags": [], "modelVersions": [version]}
    (folder / "answers").mkdir()
    (folder / "answers" / "7.json").write_text(json.dumps(model))
    another = model | {"id": 9, "modelVersions": [version | {"id": 9}]}
    (folder / "models.jsonl.xz").write_bytes(lzma.compress(json.dumps(another).encode()))
    header = json.dumps({"emb_params": {"dtype": "F16", "shape": [1, 768], "data_offsets": [0, 1536]}}).encode()
    framed = len(header).to_bytes(8, "little") + header + bytes(1536)
    (folder / "detail_v2.safetensors").write_bytes(framed)
    began = time.monotonic()
    with (
        path_of(environment["PATH"]),
        a_server(environment, folder / "log") as said,
        civitai_server([model]) as civitai,
    ):
        address = re.search(r"http://\S+?:\d+", said)
        key = re.search(r"sk_[\w-]+", said)
        assert address is not None
        assert key is not None
        while not is_ready(address[0]):
            assert time.monotonic() - began < READY_SECONDS_MAX, (folder / "log").read_text()
            time.sleep(0.05)
        yield Followed(folder, environment | {"KEY": key[0]}, address[0], said, civitai)


def is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(address + "/readyz", timeout=60) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def path_of(path: str) -> Iterator[None]:
    before = os.environ["PATH"]
    os.environ["PATH"] = path
    try:
        yield
    finally:
        os.environ["PATH"] = before


README_LINES = shell_lines(read("README.md"))
# Done by the fixture, or by whoever runs these tests.
ELSEWHERE = ("pip install . && modelyard serve --demo", "./scripts/test", "modelyard serve ")


def test_the_first_screen_has_the_one_command_and_a_question() -> None:
    screen = "\n".join(read("README.md").splitlines()[:24])

    assert "pip install . && modelyard serve --demo" in screen
    assert "curl " in screen


def test_the_one_command_prints_a_question_that_is_answered(followed: Followed) -> None:
    (line,) = [line for line in followed.said.splitlines() if line.startswith("curl")]

    answered = followed.run(line)

    assert 3 == len(json.loads(answered.stdout)["models"])


def test_the_answer_that_is_shown_is_the_answer(followed: Followed) -> None:
    (shown,) = blocks(read("README.md"), "json")
    (line,) = [line for line in README_LINES if line.startswith("curl")][:1]

    answered = followed.run(line.replace(DEFAULT_ADDRESS, followed.address))

    assert json.loads(shown) == json.loads(answered.stdout)


@pytest.mark.parametrize("line", [line for line in README_LINES if not line.startswith(ELSEWHERE)])
def test_every_line_of_the_readme_does_what_it_is_there_for(followed: Followed, line: str) -> None:
    if "--fetch" in line:
        line += f" --address {followed.civitai.address}"
    if "revoke sk_abcd" in line:
        made = followed.run("modelyard key create --team doomed")
        line = line.replace("sk_abcd", made.stdout[:7])

    done = followed.run(line.replace(DEFAULT_ADDRESS, followed.address).replace("curl ", "curl -sS --fail "))

    assert 0 == done.returncode, done.stderr
    if line.startswith("curl"):
        answer = json.loads(done.stdout[done.stdout.index("{") :])
        assert answer.get("models") or answer.get("total")


def test_what_the_readme_does_not_run_here_is_there() -> None:
    for line in README_LINES:
        if line.startswith("./"):
            assert os.access(ROOT / line.split()[0], os.X_OK)
