"""Make the home and the PostgreSQL dump of an older commit, by that commit's own code, for the tests here.

    python -m tests.upgrades.make_archive 28bd30e

writes tests/upgrades/28bd30e.tar.xz: for SQLite and for PostgreSQL a folder with ``home`` and ``keys.json``, and the
database of PostgreSQL as SQL. It needs the history of the repository, uv, and the network for the packages of that
commit; the tests need none of them.
"""

import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.process_servers import postgres_server

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
TEAMS = {"red": "read,write", "blue": "read,write", "operators": "read,write,admin"}


def run(*command: str | Path, **settings: str) -> str:
    """Run a program, and return its output."""
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "MODELYARD_HOME"}}
    done = subprocess.run(
        [*map(str, command)], env=environment | settings, capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode:
        raise SystemExit(f"{command} failed: {done.stdout}{done.stderr}")
    return done.stdout


def install(commit: str, folder: Path) -> Path:
    """Install a commit with the versions that it was tested with, and return its program."""
    source = folder / "source"
    source.mkdir()
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x"], input=archive, cwd=source, check=True)
    run("uv", "venv", "-q", "-p", sys.executable, folder / "venv")
    constraints = source / ".ci" / "constraints.txt"
    run("uv", "pip", "install", "-q", "-p", folder / "venv", "-c", constraints, f"{source}[postgres]")
    return folder / "venv" / "bin" / "modelyard"


def fill(program: Path, home: Path, database: str = "") -> dict[str, str]:
    """Make keys, an import, an uploaded file, its cover and a change; return the keys of the teams."""
    # The setting of the database had a shorter name.
    settings = {"MODELYARD_HOME": str(home), "MODELYARD_DATABASE": database, "MODELYARD_DATABASE_URL": database}
    keys = {
        team: run(program, "key", "create", "--team", team, "--scope", scope, **settings).split()[-1]
        for team, scope in TEAMS.items()
    }
    run(program, "import", "civitai", EXAMPLES / "civitai.json", **settings)
    with subprocess.Popen(
        [program, "serve", "--port", "0"], env=os.environ | settings, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            match = re.search(r"http://127\.0\.0\.1:\d+", server.stdout.readline())
            assert match is not None
            url = match[0]
            for team in ("red", "blue"):
                file = EXAMPLES / "loras" / "night-harbour.safetensors"
                run(program, "push", "--key", keys[team], "--url", url, "--name", f"night of {team}", file)
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                (model,) = ask(url, keys["red"], "/v3/model?filter.visibility=private")["models"]
                if model["status"] == 1:
                    break
                time.sleep(0.2)
            cover = (ROOT / "docs" / "gallery.webp").read_bytes()
            ask(url, keys["red"], f"/v3/model/cover?id={model['id']}", cover, "PUT")
            ask(url, keys["red"], f"/v3/model?id={model['id']}", b'{"tags": ["old", "home"]}', "PATCH")
        finally:
            server.terminate()
            server.wait(60)
    return keys


def ask(url: str, key: str, target: str, body: bytes | None = None, method: str = "GET") -> Any:
    """Ask the server of the commit."""
    request = urllib.request.Request(url + target, body, {"Authorization": f"Bearer {key}"}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def fill_postgresql(program: Path, content: Path) -> dict[str, str]:
    """Do the same with PostgreSQL, write its database as SQL, and return the keys."""
    with tempfile.TemporaryDirectory() as folder, postgres_server(Path(folder)) as server:
        url = server.make_database()
        keys = fill(program, content / "postgresql" / "home", url)
        address = ("--host=127.0.0.1", f"--port={server.port}", "--username=postgres")
        text = run(server.programs / "pg_dump", *address, "--no-owner", "--inserts", url.rpartition("/")[2])
        # Newer clients write these two lines, which psql of before refuses.
        text = re.sub(r"(?m)^\\(un)?restrict .*\n", "", text)
        (content / "postgresql" / "postgresql.sql").write_text(text, encoding="utf-8")
    return keys


def write(commit: str, program: Path, folder: Path) -> None:
    """Write the archive of a commit with its program."""
    content = folder / "content"
    for name, fill_one in {
        "sqlite": lambda: fill(program, content / "sqlite" / "home"),
        "postgresql": lambda: fill_postgresql(program, content),
    }.items():
        (content / name).mkdir(parents=True)
        (content / name / "keys.json").write_text(json.dumps(fill_one()))
    for pattern in ("*-wal", "*-shm", "*-counters"):
        for path in content.rglob(pattern):
            path.unlink()
    path = ROOT / "tests" / "upgrades" / f"{commit}.tar.xz"
    with tarfile.open(path, "w:xz", preset=9) as archive:
        archive.add(content, ".")
    print(f"{path}: {path.stat().st_size} bytes")


def main() -> None:
    """Write the archive of the commit that is the argument."""
    with tempfile.TemporaryDirectory() as name:
        write(sys.argv[1], install(sys.argv[1], Path(name)), Path(name))


if __name__ == "__main__":
    main()
