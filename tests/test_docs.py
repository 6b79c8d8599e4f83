"""The documents tell the truth: everything that they name exists, links lead somewhere, and commands run.

The API's pages have a test of their own (web/api/test_docs_page.py), and so have the settings (test_settings.py).
"""

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest

from modelyard.cli import cli
from modelyard.settings import SETTINGS
from tests.civitai_server import CivitaiServer, civitai_server

from . import packages, requirements

ROOT = Path(__file__).parents[1]
FOLDERS = ("docs", "benchmarks", "tests", "deploy")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(path for name in FOLDERS for path in (ROOT / name).rglob("*.md"))])
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

LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")


def anchors(path: Path) -> set[str]:
    """The anchors that a page's headings get where Markdown is shown."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_within_the_repository_lead_somewhere(document: Path) -> None:
    for target in LINK.findall(document.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        if urlsplit(target).scheme:
            continue
        path = (document.parent / name).resolve() if name else document
        assert path.exists(), target
        assert path.is_relative_to(ROOT), target
        assert not anchor or anchor in anchors(path), target


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / target.partition("#")[0]).resolve() for target in LINK.findall(index.read_text("utf-8"))}
    pages = {path for path in DOCUMENTS if path.is_relative_to(index.parent) and path not in DECISIONS}

    assert pages - {index} <= linked


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_empty_line_cuts_a_table(document: Path) -> None:
    """A row after an empty line is shown as text."""
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)

    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        first, second, *_ = [*table.splitlines(), ""]
        assert re.fullmatch(r"(\|:?-+:?)+\|", second), first


# --- Names in the documents ------------------------------------------------------------------------------------------


def parts_of_the_package() -> set[str]:
    package = ROOT / "src" / "modelyard"
    names = {path.stem for path in package.glob("*.py")} | {path.parent.name for path in package.glob("*/__init__.py")}
    return names - {"__init__", "__main__"}


def test_the_architecture_names_every_part_and_only_existing_ones() -> None:
    text = read("ARCHITECTURE.md")
    table = text[text.index("| Part |") : text.index("## Where to find it")]
    parts = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    assert parts_of_the_package() == parts

    dotted = re.findall(rf"`(?:modelyard\.)?((?:{'|'.join(sorted(parts))})(?:\.\w+)+)`", text)
    assert dotted
    assert [] == [name for name in dotted if not exists(name.split("."))]


def exists(names: list[str]) -> bool:
    """Whether dotted names lead to a folder, a module, or a function or class of a module."""
    path = ROOT / "src" / "modelyard"
    while names and (path / names[0]).is_dir():
        path /= names.pop(0)
    if not names:
        return True
    module, *members = names
    return (path / f"{module}.py").exists() and all(defines(path / f"{module}.py", name) for name in members)


def test_each_question_of_the_architecture_is_answered_by_a_path_that_exists() -> None:
    text = read("ARCHITECTURE.md")
    rows = re.findall(r"^\| (.+\?) \| `(src/\S+)` \|$", text, re.MULTILINE)

    assert len(rows) >= 20
    assert len(rows) == text[text.index("| Question |") : text.index("## A request")].count("?")
    assert [] == [path for _, path in rows if not (ROOT / path).is_file()]


def defines(module: Path, name: str) -> bool:
    nodes = ast.walk(ast.parse(module.read_text(encoding="utf-8")))
    return any(isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name for node in nodes)


def test_the_arrows_of_the_architecture_are_those_that_are_checked() -> None:
    from .test_tidy import GROUPS

    text = read("ARCHITECTURE.md")
    drawn = text[text.index("    domain · errors") : text.index("| Part |")]
    steps = [frozenset(re.findall(r"\w+", step)) for step in drawn.split("←")]

    groups = [group & parts_of_the_package() for group in GROUPS]
    assert [group for group in groups if group] == steps


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


def test_every_command_is_on_the_page_of_commands() -> None:
    text = read("docs/use/commands.md")

    assert set() == {words for words in leaf_commands() if f"`modelyard {words}`" not in text}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_that_are_shown_can_be_given(document: Path) -> None:
    for line in shell_lines(document.read_text(encoding="utf-8")):
        for command in line.split("&&"):
            words = shlex.split(command, comments=True)
            if words[:1] == ["modelyard"]:
                parse(words[1:])


def parse(words: list[str]) -> None:
    """Parse the words as the program would, and run nothing. click's error names the word that it does not know."""
    command: click.Command = cli
    while isinstance(command, click.Group) and words:
        name, *words = words
        subcommand = command.get_command(click.Context(command), name)
        assert subcommand is not None, name
        command = subcommand
    if isinstance(command, click.Group):
        assert command.invoke_without_command, command.name
        return
    command.make_parser(click.Context(command)).parse_args(words)


def test_settings_that_are_shown_exist() -> None:
    names = {setting.name for setting in SETTINGS} | {setting.environment_name for setting in SETTINGS}
    # The tests' own, and those of the commands that ask a server.
    ours = {"MODELYARD_TEST_DATA", "MODELYARD_TEST_LOCALE", "MODELYARD_WRITE_DOCS", "MODELYARD_URL", "MODELYARD_KEY"}
    ours |= {"MODELYARD_KILLS", "MODELYARD_MIRRORED", "MODELYARD_INTERRUPTIONS"}
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        shown = set(re.findall(r"MODELYARD_[A-Z_]+", text)) - ours
        shown |= set(re.findall(r"setting `(\w+)", text))
        assert set() == shown - names, document.name


# Names that the code once had, as alternatives of a regular expression.
OLD_MODULES = (
    "access|adding|asking|checking|collecting|covering|declaring|exporting|fetching|following|gathering|importing|ingest|"
    "inspecting|keeping|layering|looking|moving|naming|observations|opening|picklemachine|picklewalk|places|preferences|"
    "publishing|pulse|reading|registering|registration|resumable|searching|settling|shared_hints|statedict|staying|"
    "storing|transferring|upkeep|visits|watching|writing"
)
OLD_SETTINGS = "cors_origins|cover_networks|database_read|team_bytes_max|uploads_open_max|x_accel_redirect"
OLD_NAMES = {
    "a module": rf"`(?:modelyard[./])?(?:\w+[./])?(?:{OLD_MODULES})(?:[./]\w+)*`",
    "a setting": rf"\b(?i:{OLD_SETTINGS})\b|setting `(?:anonymous|blobs|database)\b",
    "a command": r"modelyard migrate|inspect --why|key rotate-signing|rotate-signing|--every\b|export side-cars",
    "a header": r"Modelyard-Ignored(?!-Parameters)",
    "a process": r"\bupkeep\b",
    "a word": r"(?i:side-cars?\b|divided by commas|told the way|heals? by itself)",
}


@pytest.mark.parametrize("kind", OLD_NAMES)
def test_no_document_has_an_old_name(kind: str) -> None:
    paths = [*DOCUMENTS, *(path for path in (ROOT / "deploy").iterdir() if path.is_file())]
    hits = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in paths
        for match in re.finditer(OLD_NAMES[kind], path.read_text(encoding="utf-8"))
    ]

    assert [] == hits


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


def test_the_readme_has_no_measured_figure() -> None:
    """Figures age. They are on the page of benchmarks, with date and commit."""
    assert [] == re.findall(r"\d[\d.,]*\s*(?:µs|ms|MB|GB|%|times|seconds)", read("README.md"))


def test_every_section_of_the_benchmarks_names_its_date_and_commit() -> None:
    _, *sections = read("docs/decide/benchmarks.md").split("\n## ")

    for section in sections:
        assert re.search(r"November 2026,\s+commit\s+[0-9a-f]{7}\b", section), section.splitlines()[0]


# --- The README, followed by a reader --------------------------------------------------------------------------------

README_LINES = shell_lines(read("README.md"))
# The fixture starts the server; whoever runs this test runs the other one.
FIRST_LINES = ("pip install . && modelyard serve --demo", "./scripts/test")
MARK = "=== line "


@dataclass(frozen=True)
class Reader:
    """A folder in which a reader follows the README. The server runs, and the program is on the path."""

    folder: Path
    environment: dict[str, str]
    address: str
    greeting: str
    civitai: CivitaiServer

    def run(self, script: str, seconds_max: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=seconds_max,
            check=False,
        )

    def pointed_here(self, line: str) -> str:
        """Return a line of the README with the address of this server and of this Civitai."""
        if "--fetch" in line:
            line += f" --address {self.civitai.address}"
        if line.startswith(("modelyard push", "modelyard pull")):
            line += f" --url {self.address}"
        return line.replace(DEFAULT_ADDRESS, self.address).replace("curl ", "curl -sS --fail ")


@contextmanager
def a_server(environment: dict[str, str], log: Path, start: Sequence[str]) -> Iterator[str]:
    """Start what the README starts, and give what it printed once it answers."""
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [*start, "modelyard", "serve", "--demo", "--port", "0"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            greeting = process.stdout.readline() + process.stdout.readline()
            assert "curl" in greeting, log.read_text()
            yield greeting
        finally:
            process.terminate()
            process.wait(READY_SECONDS_MAX)


@pytest.fixture(scope="module")
def reader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    requirements.program("curl")
    folder = tmp_path_factory.mktemp("reader")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MODELYARD_", "XDG_"))}
    environment |= {"HOME": str(folder), "NO_PROXY": "127.0.0.1"}
    start: list[str] = []
    if os.environ.get("CI") == "true":
        # From the wheel, in an environment that has nothing else; uvx starts the server in one of its own.
        wheel = packages.wheel_of(request.config, tmp_path_factory.mktemp("wheel"))
        programs = packages.installed(wheel)
        environment.pop("PYTHONPATH", None)
        environment["UV_CACHE_DIR"] = packages.run([packages.uv(), "cache", "dir"]).strip()
        start = [packages.uv(), "tool", "run", "-q", "-c", str(packages.CONSTRAINTS), "--from", str(wheel)]
    else:
        programs = folder / "bin"
        programs.mkdir()
        program = programs / "modelyard"
        # As pip writes it; the processes of a pool import it once more.
        main = "from modelyard.cli import main\nif __name__ == '__main__':\n    main()\n"
        program.write_text(f"#!{sys.executable}\n{main}")
        program.chmod(0o755)
        environment["PYTHONPATH"] = str(ROOT / "src")
    environment["PATH"] = f"{programs}:{environment['PATH']}"
    shutil.copytree(ROOT / "docs" / "examples", folder / "docs" / "examples")
    model = json.loads((folder / "docs" / "examples" / "civitai.json").read_text())
    file = {"id": 9, "name": "another.safetensors", "type": "Model"}
    another = model | {"id": 7, "modelVersions": [model["modelVersions"][0] | {"id": 8, "files": [file]}]}
    began = time.monotonic()
    with (
        path_of(environment["PATH"]),
        a_server(environment, folder / "log", start) as greeting,
        civitai_server([another]) as civitai,
    ):
        address = re.search(r"http://\S+?:\d+", greeting)
        assert address is not None
        while not is_ready(address[0]):
            assert time.monotonic() - began < READY_SECONDS_MAX, (folder / "log").read_text()
            time.sleep(0.05)
        yield Reader(folder, environment, address[0], greeting, civitai)


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


def test_the_first_screen_says_what_it_replaces_and_has_the_picture_and_both_commands() -> None:
    screen = "\n".join(read("README.md").splitlines()[:28])

    assert "Novita" in screen
    assert "GET /v3/model" in screen
    assert "](docs/gallery.webp)" in screen
    assert list(FIRST_LINES) == shell_lines(screen)


def test_the_server_prints_a_command_that_is_answered(reader: Reader) -> None:
    (line,) = [line for line in reader.greeting.splitlines() if line.startswith("curl")]

    done = reader.run(line)

    assert 3 == len(json.loads(done.stdout)["models"])


@pytest.fixture(scope="module")
def outputs(reader: Reader) -> dict[str, str]:
    """Run the README from top to bottom in one shell, and return what each line wrote to standard output."""
    lines = [line for line in README_LINES if line not in FIRST_LINES]
    # On both outputs, so that the errors say which line failed. An answer may end without an end of line.
    script = f"mark() {{ printf '\\n{MARK}%s\\n' $1 | tee /dev/stderr; }}\n"
    script += "\n".join(f"mark {number}\n{reader.pointed_here(line)}" for number, line in enumerate(lines))

    done = reader.run(script, 240)

    assert 0 == done.returncode, done.stderr
    texts = re.split(rf"^{MARK}\d+\n", done.stdout, flags=re.MULTILINE)
    return dict(zip(lines, texts[1:], strict=True))


def test_the_readme_can_be_followed_from_top_to_bottom(reader: Reader, outputs: dict[str, str]) -> None:
    """Each line succeeds in a folder that has only the examples of the repository and what earlier lines made."""
    calls = {line: json.loads(text) for line, text in outputs.items() if line.startswith("curl")}

    assert calls
    assert [] == [line for line, answer in calls.items() if not (answer.get("models") or answer.get("total"))]
    made = ("monday.sqlite", "moved.sqlite", "restored", "docs/examples/loras/night-harbour.civitai.info")
    assert [] == [name for name in made if not (reader.folder / name).exists()]
    assert 1 == len(list((reader.folder / "ComfyUI").rglob("*.safetensors")))


def test_the_answer_in_the_readme_is_the_answer(outputs: dict[str, str]) -> None:
    (example,) = blocks(read("README.md"), "json")
    (answer,) = [text for line, text in outputs.items() if line.startswith("curl")][:1]

    assert json.loads(example) == json.loads(answer)


def test_the_file_of_the_readme_becomes_the_imported_model(outputs: dict[str, str]) -> None:
    (text,) = [text for line, text in outputs.items() if line.startswith("modelyard explain")]

    assert "upstream" in text
    assert "header" in text
    assert "night-harbour.safetensors" in text


def test_the_script_of_the_readme_can_be_run() -> None:
    assert os.access(ROOT / "scripts" / "test", os.X_OK)
