"""Settings: where values come from, what is refused, and that the documentation lists them all."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from modelyard import errors, settings

DOCUMENT = Path(__file__).parent.parent / "docs" / "settings.md"


def test_everything_has_a_default_and_the_database_is_in_the_home_folder(tmp_path: Path) -> None:
    loaded = settings.load(tmp_path, {})

    assert tmp_path == loaded.home
    assert f"sqlite:///{tmp_path}/modelyard.sqlite" == loaded.database_url
    assert "none" == loaded.anonymous_access
    assert 86_400 == loaded.download_url_ttl_seconds


def test_the_environment_goes_before_the_file_and_the_file_before_the_default(tmp_path: Path) -> None:
    (tmp_path / "modelyard.toml").write_text('port = 7000\nhost = "::1"\nlog_level = "WARNING"\n')

    loaded = settings.load(tmp_path, {"MODELYARD_PORT": " 7001 ", "MODELYARD_HOST": ""})

    assert 7001 == loaded.port
    assert "::1" == loaded.host
    assert "warning" == loaded.log_level
    assert 1 == loaded.workers


def test_generators_are_a_list_of_tables_or_one_line(tmp_path: Path) -> None:
    (tmp_path / "modelyard.toml").write_text(
        '[[targets]]\nname = "The studio"\nkind = "comfyui"\nurl = "http://comfy:8188/"\n'
        '[[targets]]\nname = "lab"\nkind = "invokeai"\nurl = "http://[::1]:9090"\n'
    )
    line = "The studio comfyui http://comfy:8188,lab invokeai http://[::1]:9090"

    assert line == settings.load(tmp_path, {}).targets
    assert line == settings.load(tmp_path, {"MODELYARD_TARGETS": line.replace(",", " , ")}).targets


def test_groups_have_one_spelling(tmp_path: Path) -> None:
    (tmp_path / "modelyard.toml").write_text('proxy_teams = " Domain Admins  studio  read+admin ,* guests read,"')

    assert "Domain Admins studio read+admin,* guests read" == settings.load(tmp_path, {}).proxy_teams


def test_the_home_folder_comes_from_the_argument_then_the_environment_then_the_system(tmp_path: Path) -> None:
    environ = {"MODELYARD_HOME": str(tmp_path)}

    assert tmp_path / "other" == settings.load(tmp_path / "other", environ).home
    assert tmp_path == settings.load(None, environ).home
    assert "modelyard" == settings.load(None, {}).home.name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1", "'prot'; the nearest is 'port'"),
        ("workerz = 1", "'workerz'; the nearest is 'workers'"),
        ("[server]\nport = 1", "there is no setting 'server'"),
        ('home = "/x"', "MODELYARD_HOME"),
        ('proxy_teams = "artists studio fly"', "scopes: read, write, admin, download"),
        ('proxy_teams = "artists Studio read"', "accepted: groups, each with a team and scopes"),
        ('proxy_teams = "studio read"', "accepted: groups, each with a team and scopes"),
        ('proxy_user_header = "Remote User"', "the name of an HTTP header"),
        ("port = 65536", "accepted: a whole number from 0 to 65535"),
        ("port = -1", "accepted: a whole number from 0 to 65535"),
        ("port = true", "neither text nor a whole number"),
        ("port = 1.5", "neither text nor a whole number"),
        ('anonymous_access = "everyone"', "accepted: none, public"),
        ('public_url = "example.org"', "http:// or https://"),
        ('host = "a\\u0000b"', "without control characters"),
        ("port = ", "cannot be read"),
        ('targets = "studio http://comfy:8188"', "accepted: generators such as studio comfyui http://comfy:8188"),
        ('targets = "a comfyui http://x, a invokeai http://y"', "accepted: generators such as"),
        ('targets = "a comfyui http://user:secret@x"', "accepted: generators such as"),
        ('targets = [{name = "a", url = "http://x"}]', "targets: each one has the fields name, kind, url"),
        ("targets = [1]", "targets: each one has the fields name, kind, url"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_with_the_place_and_what_is_accepted(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "modelyard.toml"
    path.write_text(text)

    with pytest.raises(errors.ConfigurationError) as refused:
        settings.load(tmp_path, {})

    assert said in refused.value.message
    assert str(path) in refused.value.message


@pytest.mark.parametrize("value", ["x", "1e3", "٣", "99999999999999999999", "-5", "0x10"])
def test_a_variable_that_cannot_be_meant_is_refused_by_its_name(tmp_path: Path, value: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="MODELYARD_RATE_LIMIT_PER_MINUTE: "):
        settings.load(tmp_path, {"MODELYARD_RATE_LIMIT_PER_MINUTE": value})


def test_a_number_too_long_to_read_is_refused_by_what_is_accepted_and_shown_cut_short(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigurationError) as refused:
        settings.load(tmp_path, {"MODELYARD_PORT": 5_000 * "9"})

    expected = f"MODELYARD_PORT: '{64 * '9'}' is not accepted; accepted: a whole number from 0 to 65535"
    assert expected == refused.value.message


def test_the_last_slash_of_the_public_address_is_dropped(tmp_path: Path) -> None:
    assert "https://yard/a" == settings.load(tmp_path, {"MODELYARD_PUBLIC_URL": "https://yard/a/"}).public_url


@pytest.mark.parametrize("value", ["https://a b", "https://a\x07", "ftp://a"])
def test_a_public_address_that_is_none_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=r"MODELYARD_PUBLIC_URL: .* http:// or https://"):
        settings.load(tmp_path, {"MODELYARD_PUBLIC_URL": value})


def test_networks_are_read_with_and_without_spaces_and_may_be_none(tmp_path: Path) -> None:
    environ = {"MODELYARD_OUTBOUND_NETWORKS": "10.1.0.0/16, fd00::/8"}
    assert "10.1.0.0/16,fd00::/8" == settings.load(tmp_path, environ).outbound_networks

    (tmp_path / "modelyard.toml").write_text('outbound_networks = ""')
    assert "" == settings.load(tmp_path, {}).outbound_networks


@pytest.mark.parametrize("value", ["a b", "schlüssel", "a\x07", "s" * 501])
def test_a_secret_that_cannot_be_one_is_refused_and_not_shown(tmp_path: Path, value: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="MODELYARD_OIDC_CLIENT_SECRET: ") as refused:
        settings.load(tmp_path, {"MODELYARD_OIDC_CLIENT_SECRET": value})

    assert value not in refused.value.message
    assert "s" * 500 == settings.load(tmp_path, {"MODELYARD_OIDC_CLIENT_SECRET": "s" * 500}).oidc_client_secret


@pytest.mark.parametrize("value", ["Red", "-red", "r d", "r" * 64])
def test_a_team_that_cannot_be_one_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=r"MODELYARD_HUB_UPSTREAM_TEAM: .*the name of a team: up to 63"):
        settings.load(tmp_path, {"MODELYARD_HUB_UPSTREAM_TEAM": value})


@pytest.mark.parametrize("value", ["10.1.0.0/33", "10.1.0.1/16", "example.org", "10.1.0.0/16;fd00::/8"])
def test_a_network_that_is_none_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=r"MODELYARD_OUTBOUND_NETWORKS: .* 10\.1\.0\.0/16 or fd00::/8"):
        settings.load(tmp_path, {"MODELYARD_OUTBOUND_NETWORKS": value})


def test_a_home_folder_is_of_its_user_or_of_where_the_command_was_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    assert tmp_path / "yard" == settings.load(Path("~/yard"), {}).home
    assert tmp_path / "yard" == settings.load(Path("yard"), {}).home


def test_a_database_of_ones_own_is_used(tmp_path: Path) -> None:
    assert "postgresql://a/b" == settings.load(tmp_path, {"MODELYARD_DATABASE_URL": "postgresql://a/b"}).database_url


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "modelyard.toml").mkdir()

    with pytest.raises(errors.ConfigurationError, match="cannot be read"):
        settings.load(tmp_path, {})


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "modelyard.toml").write_bytes(b"host = '\xff'")

    with pytest.raises(errors.ConfigurationError, match="cannot be read"):
        settings.load(tmp_path, {})


def test_the_table_and_the_settings_are_the_same_names() -> None:
    assert [f.name for f in fields(settings.Settings)] == [setting.name for setting in settings.SETTINGS]


def test_every_default_is_accepted_as_a_value(tmp_path: Path) -> None:
    environ = {setting.environment_name: setting.default for setting in settings.SETTINGS[1:]}

    assert settings.load(tmp_path, {}) == settings.load(tmp_path, environ)


def format_default(setting: settings.Setting) -> str:
    if setting.name == "home":
        return setting.default
    return f"`{setting.default}`" if setting.default else "empty"


def test_the_document_lists_every_setting_as_the_table_says() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \|$", DOCUMENT.read_text(), re.MULTILINE)

    assert [(s.name, s.environment_name, format_default(s), s.unit, s.sentence) for s in settings.SETTINGS] == rows


def test_the_documents_example_file_is_accepted(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    (tmp_path / "modelyard.toml").write_text(example)

    loaded = settings.load(tmp_path, {})

    assert "0.0.0.0" == loaded.host
    assert 4 == loaded.workers


@pytest.mark.parametrize("name", ["cover_allowed_networks", "cover_networks"])
def test_a_setting_that_has_a_wider_meaning_under_a_new_name_is_refused(tmp_path: Path, name: str) -> None:
    """The networks of covers are now those of every request, so the operator has to rename the setting."""
    environment_name = f"MODELYARD_{name.upper()}"
    with pytest.raises(errors.ConfigurationError, match=f"{environment_name} is now MODELYARD_OUTBOUND_NETWORKS"):
        settings.load(tmp_path, {environment_name: "10.1.0.0/16"})

    (tmp_path / "modelyard.toml").write_text(f'{name} = ""')
    with pytest.raises(errors.ConfigurationError, match=f"{name} is now outbound_networks"):
        settings.load(tmp_path, {})
