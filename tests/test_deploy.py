"""What is in deploy/ can be read by what it is for, and names only settings, files and services that exist.

Nothing is started here: the nodes, databases and stores that it describes are, in tests/cluster.
"""

import configparser
import re
from pathlib import Path

import yaml

from modelyard.cli import COMMANDS
from modelyard.settings import SETTINGS

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
NAMES = {setting.environment_name for setting in SETTINGS}


def test_every_setting_that_is_named_exists() -> None:
    files = [path for path in DEPLOY.iterdir() if path.is_file()]
    assert 4 == len(files)
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


def test_the_unit_starts_a_command_that_exists_and_starts_it_again() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign] # systemd minds the case
    unit.read_string((DEPLOY / "modelyard.service").read_text(encoding="utf-8"))
    program, command = unit["Service"]["ExecStart"].split()

    assert program.endswith("/modelyard")
    assert command in COMMANDS
    assert "always" == unit["Service"]["Restart"]


def test_the_image_runs_a_command_that_exists_as_somebody_without_rights() -> None:
    lines = (DEPLOY / "Containerfile").read_text(encoding="utf-8").splitlines()

    assert 'CMD ["modelyard", "serve"]' == lines[-1]
    assert "serve" in COMMANDS
    assert "USER modelyard" in lines
    assert any("[postgres,s3]" in line for line in lines)


def test_the_drawing_is_made_from_its_text() -> None:
    namespace: dict[str, object] = {"__name__": "draw", "__file__": str(ROOT / "scripts" / "draw.py")}
    exec(compile((ROOT / "scripts" / "draw.py").read_text(encoding="utf-8"), "draw.py", "exec"), namespace)
    draw = namespace["draw"]
    assert callable(draw)

    drawn = draw((ROOT / "docs" / "operate" / "scale.txt").read_text(encoding="utf-8"))

    assert (ROOT / "docs" / "operate" / "scale.svg").read_text(encoding="utf-8") == drawn
