"""`modelyard completion`: each shell loads its script and completes commands, options and their values."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelyard.cli import run
from tests import requirements

SOURCE = Path(__file__).parents[2] / "src"
# A line of commands and some words that complete its end.
LINES = {
    "modelyard ver": {"verify"},
    "modelyard search --vis": {"--visibility"},
    "modelyard search --visibility p": {"private", "public"},
    "modelyard search --licence-commercial r": {"rent"},
    "modelyard search --types text": {"textencoder", "textualinversion"},
    "modelyard pull --layout a": {"a1111"},
    "modelyard key create --scope w": {"write"},
    "modelyard completion b": {"bash"},
    "modelyard search --base-model aura": {"AuraFlow"},
    "modelyard edit X --base-model kolo": {"Kolors"},
    "modelyard import civitai --base-model Chro": {"Chroma"},
    "modelyard pull --base-model Illu": {"Illustrious"},
    "modelyard push --base-model noob": {"NoobAI"},
}
BASH = """
source "$1"
COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMPREPLY=()
_modelyard_completion "${{COMP_WORDS[0]}}" 2>/dev/null
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
# zsh completes in its line editor only, so that its functions write down what they are given.
ZSH = """
autoload -Uz compinit && compinit -D -u
source "$1"
compadd() {{ print -rl -- ${{(P)@[-1]}} }}
_describe() {{ print -rl -- ${{(@)${{(P)3}}%%:*}} }}
words=({line}); CURRENT=${{#words}}
_modelyard_completion
"""
FISH = """
source $argv[1]
complete --do-complete "{line}" | string split --fields 1 \\t
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment in which the shells find the command."""
    program = tmp_path / "bin" / "modelyard"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m modelyard "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(SOURCE), "HOME": str(tmp_path)}


@pytest.mark.parametrize(
    ("shell", "commands", "arguments"),
    [("bash", BASH, ("--norc", "-c")), ("zsh", ZSH, ("-f", "-c")), ("fish", FISH, ("--no-config", "-c"))],
)
def test_a_shell_completes_commands_options_and_values(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    environment: dict[str, str],
    shell: str,
    commands: str,
    arguments: tuple[str, ...],
) -> None:
    program = requirements.program(shell)
    assert 0 == run(["completion", shell])
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out)
    first = ("script",) if shell != "fish" else ()
    completions = {}
    for line in LINES:
        done = subprocess.run(
            [program, *arguments, commands.format(line=line), *first, str(script)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        completions[line] = set(done.stdout.split())

    assert completions == LINES


@pytest.mark.parametrize(
    ("word", "completion"),
    [("stable\\ cas", "Stable\\ Cascade"), ('\\"Stable Cas', "Stable Cascade"), ("Stable", "Stable\\ Cascade")],
)
def test_bash_quotes_a_base_model_with_a_space(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], environment: dict[str, str], word: str, completion: str
) -> None:
    assert 0 == run(["completion", "bash"])
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out)
    line = "modelyard search --base-model " + word.replace("\\ ", "\\\\\\ ").replace("Stable Cas", "Stable\\ Cas")
    done = subprocess.run(
        [requirements.program("bash"), "--norc", "-c", BASH.format(line=line), "script", str(script)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert [completion] == done.stdout.splitlines()


def test_the_list_of_commands_is_completed_without_importing_them(environment: dict[str, str]) -> None:
    program = "import sys; from modelyard.cli import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, "_MODELYARD_COMPLETE": "bash_complete", "COMP_WORDS": "modelyard p", "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ["plain,pull", "plain,push"] == done.stdout.split()
    assert not {"starlette", "sqlalchemy", "httpx2"} & set(done.stderr.split())


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == run(["completion", "tcsh"])
    assert "'bash', 'zsh', 'fish'" in capsys.readouterr().err
