"""Every setting: name, default, unit, parser, and one sentence.

A value comes from the environment (``MODELYARD_PORT``), or from ``modelyard.toml`` in the home folder
(``port = 8080``), or it is the default. ``docs/settings.md`` lists the settings; a test compares it with ``SETTINGS``.
Only ``web.app`` and the commands read settings: they pass values to everything else.
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


def _define_setting(default: object, unit: str, sentence: str, parse: Callable[[str], object]) -> Any:
    # `parse` gets the text from the environment or the file. It raises ValueError with the accepted values.
    return field(default=default, metadata={"unit": unit, "sentence": sentence, "parse": parse})


def _parse_integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if text.isascii() and text.isdigit() and len(text) <= 12 and low <= int(text) <= high:
            return int(text)
        raise ValueError(f"a whole number from {low} to {high}")

    return parse


def _parse_word(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() in words:
            return text.lower()
        raise ValueError(", ".join(words))

    return parse


def _parse_text(text: str) -> str:
    if text.isprintable():
        return text
    raise ValueError("text without control characters")


def _parse_url(text: str) -> str:
    if text == "" or (text.isprintable() and " " not in text and text.startswith(("http://", "https://"))):
        return text.rstrip("/")
    raise ValueError("a URL that starts with http:// or https://")


def _parse_networks(text: str) -> str:
    try:
        for network in filter(None, text.replace(" ", "").split(",")):
            ipaddress.ip_network(network)
    except ValueError:
        raise ValueError("networks such as 10.1.0.0/16 or fd00::/8, separated by commas") from None
    return text.replace(" ", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The values of all settings."""

    home: Path
    database_url: str = _define_setting(
        "",
        "URL",
        "The database, as an SQLAlchemy URL. If empty, `modelyard.sqlite` in the home folder.",
        _parse_text,
    )
    database_replica_url: str = _define_setting(
        "",
        "URL",
        "Replicas of the PostgreSQL database, from which nodes update their index. If empty, the database itself.",
        _parse_text,
    )
    host: str = _define_setting(
        "127.0.0.1", "address", "The address to listen on. `0.0.0.0` means all network interfaces.", _parse_text
    )
    port: int = _define_setting(
        8080, "", "The TCP port to listen on. `0` lets the system choose.", _parse_integer(0, 65_535)
    )
    workers: int = _define_setting(
        1, "processes", "The number of processes that answer requests.", _parse_integer(1, 256)
    )
    connections_max: int = _define_setting(
        20_000,
        "connections",
        "The number of connections that a worker has at once, if the system allows as many open files.",
        _parse_integer(1, 1_000_000),
    )
    address_connections_max: int = _define_setting(
        0,
        "connections",
        "The number of connections that one address may have to a worker. `0` means a quarter of all.",
        _parse_integer(0, 1_000_000),
    )
    metrics_access: Literal["everyone", "key", "admin"] = _define_setting(
        "everyone",
        "",
        "Who may read `/metrics`: `everyone`, every caller with a `key`, or callers whose key has the scope `admin`.",
        _parse_word("everyone", "key", "admin"),
    )
    verifiers: int = _define_setting(
        2, "processes", "The number of processes that verify uploads.", _parse_integer(1, 64)
    )
    anonymous_access: Literal["none", "public"] = _define_setting(
        "none",
        "",
        "The models that callers without a key may list: `none` or `public`.",
        _parse_word("none", "public"),
    )
    download_url_ttl_seconds: int = _define_setting(
        86_400, "seconds", "How long a download link is valid.", _parse_integer(1, _YEAR_SECONDS)
    )
    public_url: str = _define_setting(
        "",
        "URL",
        "The URL at which callers reach this server; download links start with it. If empty, the URL of each request.",
        _parse_url,
    )
    trusted_proxies: str = _define_setting(
        "",
        "networks",
        "Reverse proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` count, such as `10.1.0.0/16`, with commas.",
        _parse_networks,
    )
    cors_allow_origins: str = _define_setting(
        "*",
        "",
        "The origins of web pages that may call the API, separated by commas. `*` means all, empty means none.",
        _parse_text,
    )
    log_level: str = _define_setting(
        "info",
        "",
        "The lowest level of log lines to write: `debug`, `info`, `warning` or `error`.",
        _parse_word(*_LOG_LEVELS),
    )
    rate_limit_per_minute: int = _define_setting(
        0,
        "requests",
        "The number of requests that a key may make in a minute. `0` means no limit.",
        _parse_integer(0, 1_000_000),
    )
    nsfw_covers: Literal["blurred", "shown"] = _define_setting(
        "blurred",
        "",
        "How pages show covers that are not safe for work, until the visitor chooses: `blurred` or `shown`.",
        _parse_word("blurred", "shown"),
    )
    storage_url: str = _define_setting(
        "",
        "URL",
        "Where model files are stored: a folder or `s3://bucket/prefix`. If empty, `blobs` in the home folder.",
        _parse_text,
    )
    suspicious_files: Literal["refused", "served"] = _define_setting(
        "refused",
        "",
        "Whether files whose safety is not proven, such as pickles with unusual imports, are `refused` or `served`.",
        _parse_word("refused", "served"),
    )
    upload_bytes_max: int = _define_setting(
        100_000_000_000, "bytes", "The largest size of an uploaded file.", _parse_integer(1, 10**12 - 1)
    )
    team_open_uploads_max: int = _define_setting(
        100, "uploads", "The number of unfinished uploads that a team may have.", _parse_integer(1, 1_000_000)
    )
    team_quota_bytes: int = _define_setting(
        0, "bytes", "The total size of a team's files. `0` means no limit.", _parse_integer(0, 10**12 - 1)
    )
    upload_expires_in_seconds: int = _define_setting(
        7 * 86_400,
        "seconds",
        "How long an upload may take before Modelyard deletes it.",
        _parse_integer(60, _YEAR_SECONDS),
    )
    cover_allowed_networks: str = _define_setting(
        "",
        "networks",
        "Private networks from which covers may be downloaded, such as `10.1.0.0/16`, separated by commas.",
        _parse_networks,
    )
    x_accel_prefix: str = _define_setting(
        "",
        "path",
        "The internal nginx location of the storage folder. If set, nginx sends the files; if empty, Modelyard does.",
        _parse_text,
    )


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table."""

    name: str
    default: str
    unit: str
    sentence: str
    parse: Callable[[str], object]

    @property
    def environment_name(self) -> str:
        """The name of its environment variable."""
        return ENVIRONMENT_PREFIX + self.name.upper()


SETTINGS = (
    Setting(
        "home",
        "the user data folder (`~/.local/share/modelyard` on Linux)",
        "folder",
        "The folder with all data of this installation. Only the environment and `--home` can set it.",
        Path,
    ),
    *(
        Setting(f.name, str(f.default), f.metadata["unit"], f.metadata["sentence"], f.metadata["parse"])
        for f in fields(Settings)
        if f.default is not MISSING
    ),
)


def load(home: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings of the folder ``home``, or of the environment's home folder. Raises ConfigurationError.

    The folder may be missing. An empty variable counts as not set.
    """
    home = (home or _find_home(environ)).expanduser().absolute()
    path = home / FILE_NAME
    file_values = _read_file(path)
    values: dict[str, Any] = {}
    for setting in SETTINGS[1:]:
        if text := environ.get(setting.environment_name):
            values[setting.name] = _parse_value(setting, text, setting.environment_name)
        elif setting.name in file_values:
            text = _format_value(setting, file_values[setting.name], path)
            values[setting.name] = _parse_value(setting, text, f"{path}: {setting.name}")
    if not values.get("database_url"):
        values["database_url"] = f"sqlite:///{home / 'modelyard.sqlite'}"
    return Settings(home=home, **values)


def _find_home(environ: Mapping[str, str]) -> Path:
    home = environ.get(ENVIRONMENT_PREFIX + "HOME")
    return Path(home) if home else platformdirs.user_data_path("modelyard", appauthor=False)


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            values = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as problem:  # ValueError: not TOML, or not UTF-8
        raise errors.ConfigurationError(f"{path} cannot be read: {problem}") from None
    names = [setting.name for setting in SETTINGS[1:]]
    for name in values:
        if name == "home":
            raise errors.ConfigurationError(
                f"{path}: home cannot be set in the home folder; use MODELYARD_HOME or --home"
            )
        if name not in names:
            nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]
            raise errors.ConfigurationError(f"{path}: there is no setting {name!r}; the nearest is {nearest!r}")
    return values


def _format_value(setting: Setting, value: object, path: Path) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise errors.ConfigurationError(f"{path}: {setting.name} is neither text nor a whole number")


def _parse_value(setting: Setting, text: str, origin: str) -> object:
    try:
        return setting.parse(text.strip())
    except ValueError as accepted:
        raise errors.ConfigurationError(f"{origin}: {text[:64]!r} is not accepted; accepted: {accepted}") from None
