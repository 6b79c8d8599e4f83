"""The processes of a server: what the supervisor says of them, and how a failure of a subprocess is told.

Each case runs in a fresh interpreter, because it forks. Not covered here: a whole server (test_supervisor.py).
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.process_commands import environment

START = """
import os, signal, sys, time
from modelyard import errors
from modelyard.jobs import supervisor
from modelyard.jobs.supervisor import Supervisor, run_in_subprocess

def end_by(number):
    os.kill(os.getpid(), number)
    time.sleep(60)

def fail(error):
    raise error

def tell(text):
    os.write(1, (text + "\\n").encode())
"""


def run_program(program: str) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error of a program, with process numbers replaced."""
    process = subprocess.run(
        [sys.executable, "-c", START + program],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return process.returncode, re.sub(r"\b\d{2,}\b", "N", process.stdout), process.stderr


@pytest.mark.parametrize(
    ("work", "message"),
    [
        ("lambda: None", "done"),
        ("lambda: fail(errors.ConfigurationError('the disk is full'))", "the disk is full"),
        ("lambda: fail(ValueError('a bug'))", "the index could not be made ready: exit code 1"),
        ("lambda: os._exit(3)", "the index could not be made ready: exit code 3"),
        ("lambda: end_by(signal.SIGKILL)", "the index could not be made ready: signal 9"),
    ],
)
def test_a_subprocess_is_waited_for_and_its_failure_is_told(work: str, message: str) -> None:
    program = f"try:\n    run_in_subprocess({work})\n    tell('done')\n"
    program += "except errors.ConfigurationError as error:\n    tell(error.message)\n"
    code, out, error = run_program(program)

    assert (0, message + "\n") == (code, out)
    assert ("ValueError: a bug" in error) == ("a bug" in work)


def test_a_process_that_ends_is_replaced_and_all_end_with_a_signal(tmp_path: Path) -> None:
    code, out, _ = run_program(
        "supervisor._SHORT_LIFE_SECONDS = 0\n"
        f"path = {str(tmp_path / 'mark')!r}\n"
        "def work():\n"
        "    if not os.path.exists(path):\n"
        "        open(path, 'w').close()\n"
        "        os._exit(7)\n"
        "    os.unlink(path)\n"
        "    os.kill(os.getppid(), signal.SIGTERM)\n"
        "    time.sleep(60)\n"
        "Supervisor({'worker': (1, work)}, tell).run()\n"
        "tell('over')\n"
    )

    assert (0, "worker N ended (exit code 7); another one takes its place\nover\n") == (code, out)


def test_processes_that_end_at_once_are_given_up() -> None:
    code, out, _ = run_program(
        "try:\n"
        "    worker = lambda: fail(errors.ConfigurationError('no port'))\n"
        "    Supervisor({'worker': (2, worker), 'other': (1, signal.pause)}, tell).run()\n"
        "except errors.ConfigurationError as error:\n"
        "    tell(error.message)\n"
    )
    lines = out.splitlines()

    assert 0 == code
    assert re.fullmatch(r"\S+ processes in a row \(worker\) ended as soon as they had started; see above", lines[-1])
    assert {"worker N: no port", "worker N ended (exit code 1); another one takes its place"} == set(lines[:-1])


def test_work_whose_database_is_away_begins_again_in_the_same_process() -> None:
    code, out, _ = run_program(
        "supervisor._AWAY_SECONDS = 0\n"
        "calls = []\n"
        "def work():\n"
        "    calls.append(1)\n"
        "    if len(calls) < 3:\n"
        "        raise errors.Unavailable('the database is away')\n"
        "    tell('it works')\n"
        "    os.kill(os.getppid(), signal.SIGTERM)\n"
        "    time.sleep(60)\n"
        "Supervisor({'worker': (1, work)}, tell).run()\n"
    )

    assert (0, "worker N waits: the database is away\n" * 2 + "it works\n") == (code, out)
