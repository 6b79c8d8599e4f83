"""Every setting once: name, default, unit, what it takes, and one sentence.

A value comes from the environment (``MODELYARD_PORT``), else from ``modelyard.toml`` in the home folder
(``port = 8080``), else it is the default. ``docs/settings.md`` lists them, and a test holds it equal to ``SETTINGS``.
Read by ``web.app`` and the commands only: everything else is given the values it needs.
"""

import difflib
import ipaddress
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import platformdirs

from modelyard import errors

FILE_NAME = "modelyard.toml"
ENVIRONMENT_PREFIX = "MODELYARD_"
_LOG_LEVELS = ("debug", "info", "warning", "error")
_YEAR_SECONDS = 366 * 86_400


def _setting(default: object, unit: str, sentence: str, read: Callable[[str], object]) -> Any:
    # `read` takes the text of the environment, or of the file's value, and raises ValueError saying what is accepted.
    return field(default=default, metadata={"unit": unit, "sentence": sentence, "read": read})


def _integer(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if text.isascii() and text.isdigit() and len(text) <= 12 and low <= int(text) <= high:
            return int(text)
        raise ValueError(f"a whole number from {low} to {high}")

    return read


def _word(*allowed: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text.lower() in allowed:
            return text.lower()
        raise ValueError(", ".join(allowed))

    return read


def _text(text: str) -> str:
    if text.isprintable():
        return text
    raise ValueError("text without control characters")


def _address(text: str) -> str:
    if text == "" or (text.isprintable() and " " not in text and text.startswith(("http://", "https://"))):
        return text.rstrip("/")
    raise ValueError("an address beginning with http:// or https://")


def _networks(text: str) -> str:
    try:
        for network in filter(None, text.replace(" ", "").split(",")):
            ipaddress.ip_network(network)
    except ValueError:
        raise ValueError("networks such as 10.1.0.0/16 or fd00::/8, divided by commas") from None
    return text.replace(" ", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings, read and checked."""

    home: Path
    database_url: str = _setting(
        "",
        "URL",
        "Where the record is kept, as an SQLAlchemy URL; empty: `modelyard.sqlite` in the home folder.",
        _text,
    )
    database_replica_url: str = _setting(
        "",
        "URL",
        "Replicas of a PostgreSQL database, for what nodes read to follow it; empty: the database itself.",
        _text,
    )
    host: str = _setting(
        "127.0.0.1", "address", "The address to listen on; `0.0.0.0` for all of this machine's.", _text
    )
    port: int = _setting(8080, "", "The TCP port to listen on; `0` lets the system choose.", _integer(0, 65_535))
    workers: int = _setting(1, "processes", "How many processes answer requests.", _integer(1, 256))
    anonymous_access: Literal["none", "public"] = _setting(
        "none",
        "",
        "What callers without a key may list: `none`, or the `public` models.",
        _word("none", "public"),
    )
    download_url_ttl_seconds: int = _setting(
        86_400, "seconds", "How long a download link is good for.", _integer(1, _YEAR_SECONDS)
    )
    public_url: str = _setting(
        "",
        "URL",
        "How callers reach this server, to begin download links with; empty: as each request was addressed.",
        _address,
    )
    cors_allow_origins: str = _setting(
        "*", "", "Which web pages may call the API: `*`, or origins divided by commas; empty: none.", _text
    )
    log_level: str = _setting(
        "info", "", "How much is logged: `debug`, `info`, `warning` or `error`.", _word(*_LOG_LEVELS)
    )
    rate_limit_per_minute: int = _setting(
        0, "requests", "How many requests a key may make in a minute; `0`: any number.", _integer(0, 1_000_000)
    )
    nsfw_covers: Literal["blurred", "shown"] = _setting(
        "blurred",
        "",
        "How the page shows covers that are not safe for work, until a visitor chooses: `blurred` or `shown`.",
        _word("blurred", "shown"),
    )
    storage_url: str = _setting(
        "",
        "URL",
        "Where model files are kept: a folder, or `s3://bucket/prefix`; empty: `blobs` in the home folder.",
        _text,
    )
    upload_bytes_max: int = _setting(
        100_000_000_000, "bytes", "How large an uploaded file may be.", _integer(1, 10**12 - 1)
    )
    team_open_uploads_max: int = _setting(
        100, "uploads", "How many unfinished uploads a team may have.", _integer(1, 1_000_000)
    )
    team_quota_bytes: int = _setting(
        0, "bytes", "How much a team may keep here; `0`: any amount.", _integer(0, 10**12 - 1)
    )
    upload_expires_in_seconds: int = _setting(
        7 * 86_400, "seconds", "How long an upload may take before it is cleared.", _integer(60, _YEAR_SECONDS)
    )
    cover_allowed_networks: str = _setting(
        "",
        "networks",
        "From where covers may be fetched besides the public internet, as `10.1.0.0/16`, divided by commas.",
        _networks,
    )
    x_accel_prefix: str = _setting(
        "",
        "path",
        "What an nginx before the server calls the folder of files, to hand them out itself; empty: it does not.",
        _text,
    )


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table."""

    name: str
    default: str
    unit: str
    sentence: str
    read: Callable[[str], object]

    @property
    def environment_name(self) -> str:
        """The environment variable that sets it."""
        return ENVIRONMENT_PREFIX + self.name.upper()


SETTINGS = (
    Setting(
        "home",
        "the system's place for a user's programs to keep things",
        "folder",
        "The folder of everything this installation keeps; set by the environment or `--home` only.",
        Path,
    ),
    *(
        Setting(f.name, str(f.default), f.metadata["unit"], f.metadata["sentence"], f.metadata["read"])
        for f in fields(Settings)
        if f.default is not MISSING
    ),
)


def load(home: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings of a home folder, ``home`` or that of the environment, or raise ConfigurationError.

    The folder need not exist. An empty variable counts as not set.
    """
    home = (home or _home(environ)).expanduser().absolute()
    path = home / FILE_NAME
    in_file = _read_file(path)
    values: dict[str, Any] = {}
    for setting in SETTINGS[1:]:
        if text := environ.get(setting.environment_name):
            values[setting.name] = _read(setting, text, setting.environment_name)
        elif setting.name in in_file:
            values[setting.name] = _read(
                setting, _text_of(setting, in_file[setting.name], path), f"{path}: {setting.name}"
            )
    if not values.get("database_url"):
        values["database_url"] = f"sqlite:///{home / 'modelyard.sqlite'}"
    return Settings(home=home, **values)


def _home(environ: Mapping[str, str]) -> Path:
    set_home = environ.get(ENVIRONMENT_PREFIX + "HOME")
    return Path(set_home) if set_home else platformdirs.user_data_path("modelyard", appauthor=False)


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            in_file = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as problem:  # ValueError: not TOML, or not UTF-8
        raise errors.ConfigurationError(f"{path} cannot be read: {problem}") from None
    accepted = [setting.name for setting in SETTINGS[1:]]
    for name in in_file:
        if name == "home":
            raise errors.ConfigurationError(
                f"{path}: home cannot be set in the home folder; use MODELYARD_HOME or --home"
            )
        if name not in accepted:
            nearest = difflib.get_close_matches(name, accepted, n=1, cutoff=0.0)[0]
            raise errors.ConfigurationError(f"{path}: there is no setting {name!r}; the nearest is {nearest!r}")
    return in_file


def _text_of(setting: Setting, value: object, path: Path) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise errors.ConfigurationError(f"{path}: {setting.name} is neither a text nor a whole number")


def _read(setting: Setting, text: str, where: str) -> object:
    try:
        return setting.read(text.strip())
    except ValueError as allowed:
        raise errors.ConfigurationError(f"{where}: {text[:64]!r} is not accepted; accepted: {allowed}") from None
