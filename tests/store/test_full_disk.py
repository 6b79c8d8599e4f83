"""A full disk: the reason is in the log, in `/readyz`, in the answer and in the message of a command.

The home folder is a small file system of its own, in a namespace of the processes that use it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

_MOUNT = 'mount -t tmpfs -o size=24m,mode=0700 none "$0" && exec "$@"'
_REASON = "the disk of the database is full; free some space and try again"
_ROOT = Path(__file__).parents[2]


def find_namespace() -> list[str]:
    """Return what to put before a command that may mount a file system, for itself only."""
    for way in (["unshare", "--user", "--map-root-user", "--mount", "--"], ["unshare", "--mount", "--"]):
        mounted = subprocess.run([*way, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False)
        if mounted.returncode == 0:
            return way
    # No program is missing: the machine does not allow it, also not in every CI.
    return pytest.skip("this user may mount nothing")


def test_a_full_disk_is_said_everywhere_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    run = subprocess.run(
        [*find_namespace(), "sh", "-c", _MOUNT, str(tmp_path), sys.executable, "-m", "tests.full_disk", str(tmp_path)],
        cwd=_ROOT, env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT / "src"), str(_ROOT)])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip # one command
    assert 0 == run.returncode, run.stderr
    seen = json.loads(run.stdout)

    assert [200, 503, 200, 200] == seen["statuses"]
    assert _REASON == seen["message"]
    assert (_REASON, None) == (seen["problems"].get("database"), seen["healed"].get("database"))
    assert "the disk for unfinished uploads is full" == seen["problems"]["disk"]
    assert [1, f"modelyard: {_REASON} (database or disk is full)\n"] == seen["command"]
    assert any('"event":"unavailable"' in line and _REASON in line for line in seen["log"])
