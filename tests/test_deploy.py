"""What is in deploy/ can be read by what it is for, and names only settings, files and services that exist.

The proxies are started in test_deploy_proxies.py, and the parts of compose.yaml in test_deploy_compose.py.
"""

import configparser
import hashlib
import re
import shlex
import stat
import subprocess
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from modelyard.blobs.folder import FolderBlobs
from modelyard.cli import COMMANDS
from modelyard.settings import SETTINGS
from modelyard.store import blobs, open_store
from modelyard.store.backup import LAST_BACKUP_NOTE
from modelyard.store.blobs import Blob
from tests import requirements
from tests.databases import prepare, sqlite_url
from tests.process_commands import PROGRAM, SOURCE, environment

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
NAMES = {setting.environment_name for setting in SETTINGS}


def test_every_setting_that_is_named_exists() -> None:
    files = [path for path in DEPLOY.iterdir() if path.is_file()]
    assert 11 == len(files)
    for path in files:
        named = set(re.findall(r"\bMODELYARD_[A-Z_]+", path.read_text(encoding="utf-8")))
        assert named <= NAMES, path.name


def test_the_services_of_compose_fit_together() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    services = compose["services"]
    nodes = {name: service for name, service in services.items() if name.startswith("node")}

    assert 3 == len(nodes)
    for name, service in services.items():
        assert set(service.get("depends_on", ())) <= services.keys(), name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in compose["volumes"], volume
    for name, node in nodes.items():
        environment = node["environment"]
        assert {"MODELYARD_DATABASE_URL", "MODELYARD_STORAGE_URL", "AWS_ENDPOINT_URL"} <= environment.keys(), name
        assert re.search(r"@(\w+)/", environment["MODELYARD_DATABASE_URL"])[1] in services  # type: ignore[index] # it names a host
        assert re.search(r"//(\w+):", environment["AWS_ENDPOINT_URL"])[1] in services  # type: ignore[index] # the same
        assert (DEPLOY / node["build"]["context"] / node["build"]["dockerfile"]).is_file()
    # Each has a home of its own.
    assert 3 == len({node["volumes"][0] for node in nodes.values()})


def test_nginx_knows_every_node_and_its_braces_close() -> None:
    text = re.sub(r"#.*", "", (DEPLOY / "nginx.conf").read_text(encoding="utf-8"))
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    upstreams = dict(re.findall(r"upstream (\w+) \{([^}]*)\}", text))

    assert text.count("{") == text.count("}")
    for servers in upstreams.values():
        assert {name for name in services if name.startswith("node")} == set(re.findall(r"server (\w+):8080", servers))
    assert set(re.findall(r"proxy_pass http://(\w+);", text)) == upstreams.keys()
    for statement in re.split(r"[{}]", text):
        for line in filter(None, map(str.strip, statement.splitlines())):
            assert line.endswith(";") or re.match(r"(events|http|upstream|server|location)\b", line), line


def test_nginx_passes_every_file_to_the_node_of_its_client() -> None:
    """So do nginx and Caddy in front of one server: the size of other bodies is limited."""
    text = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    (location,) = re.findall(r"location ~ (\S+) \{\s+proxy_pass http://uploads;\s+client_max_body_size 0;", text)
    for name in ("nginx-site.conf", "Caddyfile"):
        assert f" {location}" in (DEPLOY / name).read_text(encoding="utf-8"), name
    files = (
        *("/v3/uploads/1", "/v3/model/uploader/1", "/hf/lfs/1", "/hf/cas/1/v1/xorbs/default/a", "/hf/cas/1/v2/shards"),
        *(f"/hf/api/models/red/night/{part}/main" for part in ("preupload", "commit", "xet-write-token")),
        "/hf/red/night.git/info/lfs/objects/batch",
    )

    assert [path for path in files if re.search(location, path)] == [*files]
    assert not re.search(location, "/hf/red/night/resolve/main/a.safetensors")


def test_the_unit_starts_a_command_that_exists_and_starts_it_again() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign] # systemd minds the case
    unit.read_string((DEPLOY / "modelyard.service").read_text(encoding="utf-8"))
    program, command = unit["Service"]["ExecStart"].split()

    assert program.endswith("/modelyard")
    assert command in COMMANDS
    assert "always" == unit["Service"]["Restart"]


def test_the_units_are_valid_and_close_the_machine_to_the_server(tmp_path: Path) -> None:
    """By systemd's own checker. The programs that units start have to exist, so ours is one that does."""
    checker = requirements.program("systemd-analyze")
    requirements.program("rsync")
    units = sorted(tmp_path / path.name for path in DEPLOY.iterdir() if path.suffix in {".service", ".timer"})
    for unit in units:
        text = (DEPLOY / unit.name).read_text(encoding="utf-8")
        unit.write_text(text.replace("/opt/modelyard/bin/modelyard", "/usr/bin/env"), encoding="utf-8")

    def check(*words: str | Path) -> tuple[int, str]:
        run = subprocess.run([checker, *words], capture_output=True, text=True, timeout=60, check=False)
        return run.returncode, run.stdout + run.stderr

    assert 3 == len(units)
    # A disk for backups that is not mounted is a failure, not a backup on the disk below.
    backup = (DEPLOY / "modelyard-backup.service").read_text(encoding="utf-8")
    assert re.search("(?m)^RequiresMountsFor=(.*)$", backup)[1] == re.search("(?m)^ReadWritePaths=(.*)$", backup)[1]  # type: ignore[index] # both are there
    assert (0, "") == check("verify", *units)
    for name in ("modelyard", "modelyard-backup"):
        # In tenths; systemd calls up to 2.0 "OK", and a unit without a word about it has 9.2.
        code, report = check("security", "--offline=true", "--threshold=20", tmp_path / f"{name}.service")
        assert 0 == code, report


@dataclass(frozen=True)
class Machine:
    """A home, a file store and backups in folders of a test, and what runs commands of deploy/ with them."""

    home: Path
    storage: Path
    backups: Path
    program: Path

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command or a script with this machine's folders, and as the user of the test."""
        replacements = {
            "/opt/modelyard/bin/modelyard": str(self.program),
            "/srv/modelyard-files": str(self.storage),
            "/var/backups/modelyard": str(self.backups),
            "runuser -u modelyard --": "",
            'env -i -C "$home"': f'env -i -C "$home" PYTHONPATH={SOURCE}',
            "/var/tmp/": f"{self.home.parent}/",
        }
        for old, new in replacements.items():
            command = command.replace(old, new)
        settings = {"MODELYARD_HOME": str(self.home), "MODELYARD_STORAGE_URL": str(self.storage)}
        return subprocess.run(
            ["sh", "-c", command],
            env=environment() | settings,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def back_up(self) -> list[int]:
        """Run the commands of the unit of backups as systemd does, and return their codes."""
        unit = (DEPLOY / "modelyard-backup.service").read_text(encoding="utf-8")
        codes = []
        for command in re.findall(r"^ExecStart=(.+)$", unit, re.MULTILINE):
            codes.append(self.run(command.replace("$$", "$").replace("%%", "%")).returncode)
            if codes[-1]:
                break
        return codes

    def drill(self) -> subprocess.CompletedProcess[str]:
        done = self.run((DEPLOY / "modelyard-drill").read_text(encoding="utf-8"))
        assert [] == [*self.home.parent.glob("modelyard-drill.*")], "the drill leaves nothing"
        return done

    def last_backup(self) -> str | None:
        """Return the time that /status shows."""
        with closing(open_store(sqlite_url(self.home))) as store:
            return store.get_property(LAST_BACKUP_NOTE)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    requirements.program("rsync")
    machine = Machine(*(tmp_path / name for name in ("home", "files", "backups", "modelyard")))
    machine.backups.mkdir()
    machine.home.mkdir()
    machine.storage.mkdir()
    prepare(sqlite_url(machine.home))
    machine.program.write_text(f'#!/bin/sh\nexec {shlex.join(PROGRAM)} "$@"\n')
    machine.program.chmod(0o755)
    return machine


def store_weights(machine: Machine) -> str:
    """Store a file that the database names, and return its SHA-256."""
    sha256, blob = hashlib.sha256(b"weights").hexdigest(), machine.home / "blob"
    blob.write_bytes(b"weights")
    FolderBlobs(machine.storage).keep(blob, sha256)
    with closing(open_store(sqlite_url(machine.home))) as store, store.transaction() as transaction:
        blobs.put(transaction.connection, Blob(sha256, 7, transaction.now, "clean", ""))
    return sha256


def test_backups_are_made_and_restored_as_the_units_and_the_drill_do(machine: Machine) -> None:
    sha256 = store_weights(machine)
    assert {0} == {*machine.back_up()}
    drill = machine.drill()

    (database,) = machine.backups.glob("*.database")
    copy = machine.backups / "files" / sha256[:2] / sha256[2:4] / sha256
    assert b"weights" == copy.read_bytes()
    assert {0o600, 0o400} == {stat.S_IMODE(path.stat().st_mode) for path in (database, copy)}
    assert (0, "the backup can be restored") == (drill.returncode, drill.stdout.splitlines()[-1]), drill.stderr
    assert machine.last_backup() is not None
    # A file that is damaged stops the drill, and so does one that is missing.
    copy.chmod(0o600)
    copy.write_bytes(b"weighs!")
    damaged = machine.drill()
    assert 1 == damaged.returncode
    assert "did NOT match" in damaged.stderr
    copy.unlink()
    missing = machine.drill()
    assert 1 == missing.returncode
    assert f"lost: {sha256}" in missing.stdout
    assert f"modelyard-drill: {database} cannot be restored as a whole" == missing.stderr.splitlines()[-1]


def test_the_drill_says_that_there_is_no_backup_and_needs_no_files(machine: Machine) -> None:
    nothing = machine.drill()
    assert {0} == {*machine.back_up()}
    without_files = machine.drill()

    assert (1, f"modelyard-drill: there is no backup in {machine.backups}\n") == (nothing.returncode, nothing.stderr)
    assert 0 == without_files.returncode, without_files.stderr


def test_a_backup_whose_files_were_not_copied_is_none(machine: Machine) -> None:
    """Neither the drill nor the restore takes it, and /status does not show its time."""
    store_weights(machine)
    (machine.backups / "files").write_text("in the way of the folder")

    assert [1] == machine.back_up()
    assert ["files"] == [path.name for path in machine.backups.iterdir()]
    assert machine.last_backup() is None


def test_the_page_puts_the_name_and_the_certificate_into_the_installed_copies(tmp_path: Path) -> None:
    """By its own commands, and never into the clone, which could not be upgraded then."""
    page = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    copies = {
        "/etc/modelyard.env": "modelyard.env",
        "/etc/nginx/sites-available/modelyard": "nginx-site.conf",
        "/etc/caddy/Caddyfile": "Caddyfile",
    }
    commands = re.findall("^sed .*$", page, re.MULTILINE)
    for name in copies.values():
        (tmp_path / name).write_text((DEPLOY / name).read_text(encoding="utf-8"), encoding="utf-8")

    assert {*copies} == {command.split()[-1] for command in commands}
    for command in commands:
        words, target = command.rsplit(" ", 1)
        changed = tmp_path / copies[target]
        before = changed.read_bytes()
        subprocess.run(["sh", "-c", f"NAME=models.test; {words} {changed}"], check=True, timeout=60)
        assert before != changed.read_bytes(), command
    texts = {name: (tmp_path / name).read_text(encoding="utf-8") for name in copies.values()}
    code = {name: re.sub("(?m)^ *#.*$", "", text) for name, text in texts.items()}

    assert [] == [name for name, text in code.items() if "example.org" in text or "models.test" not in text]
    assert ["/etc/ssl/certs/modelyard.crt", "/etc/ssl/private/modelyard.key"] == re.findall(
        r"ssl_certificate(?:_key)? (.+);", code["nginx-site.conf"]
    )
    assert "MODELYARD_X_ACCEL_PREFIX=\n" in code["modelyard.env"]
    assert "models.test {\n\ttls internal\n" in code["Caddyfile"]
    assert [] == [name for name, text in code.items() if "Strict-Transport-Security" in text]
    # What a step needs comes before it.
    for first, second in (("openssl req", "nginx -t"), ("disable --now nginx", "restart modelyard caddy")):
        assert page.index(first) < page.index(second)


def test_the_image_runs_a_command_that_exists_as_somebody_without_rights() -> None:
    lines = (DEPLOY / "Containerfile").read_text(encoding="utf-8").splitlines()

    assert 'CMD ["modelyard", "serve"]' == lines[-1]
    assert "serve" in COMMANDS
    assert "USER modelyard" in lines
    assert any("[postgres,s3]" in line for line in lines)
    # A pg_dump that is older than the server refuses to work.
    compose = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    (server,) = re.findall(r"library/postgres:(\d+)", compose)
    assert f"postgresql-client-{server}" in " ".join(lines).split()


def test_the_drawing_is_made_from_its_text() -> None:
    namespace: dict[str, object] = {"__name__": "draw", "__file__": str(ROOT / "scripts" / "draw.py")}
    exec(compile((ROOT / "scripts" / "draw.py").read_text(encoding="utf-8"), "draw.py", "exec"), namespace)
    draw = namespace["draw"]
    assert callable(draw)

    drawn = draw((ROOT / "docs" / "operate" / "scale.txt").read_text(encoding="utf-8"))

    assert (ROOT / "docs" / "operate" / "scale.svg").read_text(encoding="utf-8") == drawn
