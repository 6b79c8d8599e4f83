"""What commands print where the output is not UTF-8, and of names that are not.

Not covered here: what each command prints otherwise (test_cli.py).
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelyard.cli import run
from tests.scan_fixture import embedding

# One process for all commands: it prints the exit code of each, and stops at the first traceback.
RUN_EACH = """
import json, sys
from modelyard.cli import main
codes = []
for arguments in json.load(open(sys.argv[1])):
    sys.argv[1:] = arguments
    try:
        main()
    except SystemExit as end:
        codes.append(end.code)
sys.exit(json.dumps(codes))
"""


def run_each(commands: list[list[str]], tmp_path: Path, **environment: str) -> tuple[str, list[int]]:
    """Run commands under an environment; return the standard output and the exit codes."""
    (tmp_path / "commands.json").write_text(json.dumps(commands))
    process = subprocess.run(
        [sys.executable, "-c", RUN_EACH, str(tmp_path / "commands.json")],
        env={**os.environ, **environment},
        capture_output=True,
        timeout=120,
        check=False,
    )
    errors = process.stderr.decode("utf-8", "replace")
    assert "Traceback" not in errors, errors
    return process.stdout.decode("utf-8", "replace"), json.loads(errors.splitlines()[-1])


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONIOENCODING": "ascii:strict"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "latin-1:strict"},
    ],
    ids=str,
)
def test_no_output_and_no_name_ends_in_a_traceback(tmp_path: Path, environment: dict[str, str]) -> None:
    models = tmp_path / "models"
    surrogate = models / "b\udcffd.safetensors"
    embedding(surrogate)
    embedding(models / "夜 é 🙂.safetensors", seed=1)
    (models / "broken\udcff.safetensors").write_text("broken")
    (models / "l\udcff.safetensors").symlink_to("/etc/\udcff")
    home = ["--home", str(tmp_path / "home")]
    listings = [
        ["search", *home],
        ["search", *home, "--json"],
        ["search", *home, "--facets"],
        ["search", *home, "--duplicates"],
        ["search", *home, "--tags", "t\udcff", "b\udcffd"],
        ["explain", *home, "b\udcffd"],
        ["explain", *home, "夜 é 🙂", "--json"],
        ["inspect", str(surrogate)],
        ["inspect", str(surrogate), "--json"],
        ["export", "sidecars", *home, "--format", "a1111", str(models)],
        ["jobs", *home],
    ]
    failures = [
        ["add", *home, str(models)],
        ["explain", *home, "no\udcff"],
        ["key", "create", *home, "--team", "\udcff"],
    ]

    _, codes = run_each([failures[0], *listings, *failures[1:]], tmp_path, **environment)

    assert [1, *(0 for _ in listings), 1, 2] == codes


def test_a_table_shows_the_number_of_a_character_that_the_output_does_not_have(tmp_path: Path) -> None:
    home = tmp_path / "home"
    embedding(tmp_path / "models" / "夜é.safetensors")
    assert 0 == run(["add", "--home", str(home), str(tmp_path / "models")])

    output, _ = run_each([["search", "--home", str(home)]], tmp_path, PYTHONIOENCODING="latin-1:strict")

    assert "\\u591c" in output


def test_a_full_disk_under_the_output_is_one_line_and_code_1() -> None:
    with Path("/dev/full").open("wb") as full:
        process = subprocess.run(
            [sys.executable, "-m", "modelyard", "completion", "bash"],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=120,
            check=False,
            text=True,
        )
    assert (1, "modelyard: cannot write: the disk is full\n") == (process.returncode, process.stderr)


def test_the_help_of_search_names_the_values_of_filters(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == run(["search", "--help"])
    words = " ".join(capsys.readouterr().out.split())
    assert "Accepted: 0-100mb, 100-500mb, 500mb-2gb, 2-8gb, 8gb, unknown." in words
    assert "Accepted: popular, newest, updated, name, size, added." in words
