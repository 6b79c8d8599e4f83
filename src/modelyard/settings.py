"""Every setting: name, default, unit, parser, and one sentence.

A value comes from the environment (``MODELYARD_PORT``), or from ``modelyard.toml`` in the home folder
(``port = 8080``), or it is the default. ``docs/settings.md`` lists the settings; a test compares it with ``SETTINGS``.
Only ``web.app`` and the commands read settings: they pass values to everything else.
"""

import difflib
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, NoReturn

import platformdirs

from modelyard import errors
from modelyard.setting_values import (
    parse_header,
    parse_integer,
    parse_networks,
    parse_secret,
    parse_targets,
    parse_team,
    parse_team_rules,
    parse_text,
    parse_url,
    parse_word,
)

FILE_NAME = "modelyard.toml"
ENVIRONMENT_PREFIX = "MODELYARD_"
_LOG_LEVELS = ("debug", "info", "warning", "error")
_YEAR_SECONDS = 366 * 86_400
# Settings whose meaning is wider under a new name. The operator has to accept it, so the old name is refused.
_RENAMED_SETTINGS = {
    "cover_allowed_networks": "outbound_networks",
    "cover_networks": "outbound_networks",
}


def _define_setting(default: object, unit: str, sentence: str, parse: Callable[[str], object]) -> Any:
    # `parse` gets the text from the environment or the file. It raises ValueError with the accepted values.
    return field(
        default=default, repr=parse is not parse_secret, metadata={"unit": unit, "sentence": sentence, "parse": parse}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The values of all settings."""

    home: Path
    database_url: str = _define_setting(
        "",
        "URL",
        "The database, as an SQLAlchemy URL. If empty, `modelyard.sqlite` in the home folder.",
        parse_text,
    )
    database_replica_url: str = _define_setting(
        "",
        "URL",
        "Replicas of the PostgreSQL database, from which nodes update their index. If empty, the database itself.",
        parse_text,
    )
    database_listen_url: str = _define_setting(
        "",
        "URL",
        "The address of PostgreSQL itself, where nodes listen for changes, if `database_url` is that of PgBouncer.",
        parse_text,
    )
    database_connections: int = _define_setting(
        4,
        "connections",
        "The number of connections to PostgreSQL that a worker opens at most, beside one that listens.",
        parse_integer(2, 100),
    )
    host: str = _define_setting(
        "127.0.0.1", "address", "The address to listen on. `0.0.0.0` means all network interfaces.", parse_text
    )
    port: int = _define_setting(
        8080, "", "The TCP port to listen on. `0` lets the system choose.", parse_integer(0, 65_535)
    )
    workers: int = _define_setting(
        1, "processes", "The number of processes that answer requests.", parse_integer(1, 256)
    )
    connections_max: int = _define_setting(
        20_000,
        "connections",
        "The number of connections that a worker has at once, if the system allows as many open files.",
        parse_integer(1, 1_000_000),
    )
    address_connections_max: int = _define_setting(
        0,
        "connections",
        "The number of connections that one address may have to a worker. `0` means a quarter of all.",
        parse_integer(0, 1_000_000),
    )
    key_streams_max: int = _define_setting(
        1_000,
        "streams",
        "The number of streams and waiting requests of the change feed that one key may have to a worker.",
        parse_integer(1, 1_000_000),
    )
    change_history_seconds: int = _define_setting(
        90 * 86_400,
        "seconds",
        "How long the change feed knows removed models. A reader that was away for longer begins again.",
        parse_integer(60, 2**31),
    )
    audit_history_seconds: int = _define_setting(
        365 * 86_400,
        "seconds",
        "How long the audit, who changed what, is kept.",
        parse_integer(60, 2**31),
    )
    operator_team: str = _define_setting(
        "",
        "team",
        "The team whose keys with the scope `admin` are operators'. If empty, it is the only team that has keys.",
        parse_text,
    )
    metrics_access: Literal["everyone", "key", "admin"] = _define_setting(
        "everyone",
        "",
        "Who may read `/metrics`: `everyone`, every caller with a `key`, or operators with a key of the scope `admin`.",
        parse_word("everyone", "key", "admin"),
    )
    added_files: Literal["node", "shared"] = _define_setting(
        "node",
        "",
        "Whose files in your folders are: of the `node` that found them, or `shared` by nodes with the same folders.",
        parse_word("node", "shared"),
    )
    unfinished_uploads: Literal["node", "store"] = _define_setting(
        "node",
        "",
        "Where the bytes of unfinished uploads are: on the `node` that received them, or also in the S3-compatible"
        " `store`, so that any node continues an upload.",
        parse_word("node", "store"),
    )
    verifiers: int = _define_setting(
        2, "processes", "The number of processes that verify uploads.", parse_integer(1, 64)
    )
    anonymous_access: Literal["none", "public"] = _define_setting(
        "none",
        "",
        "The models that callers without a key may list: `none` or `public`.",
        parse_word("none", "public"),
    )
    download_url_ttl_seconds: int = _define_setting(
        86_400, "seconds", "How long a download link is valid.", parse_integer(1, _YEAR_SECONDS)
    )
    public_url: str = _define_setting(
        "",
        "URL",
        "The URL at which callers reach this server; download links start with it. If empty, the URL of each request.",
        parse_url,
    )
    trusted_proxies: str = _define_setting(
        "",
        "networks",
        "Reverse proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` count, such as `10.1.0.0/16`, with commas.",
        parse_networks,
    )
    proxy_user_header: str = _define_setting(
        "Remote-User",
        "header",
        "The header in which a reverse proxy names the person who is signed in at it.",
        parse_header,
    )
    proxy_groups_header: str = _define_setting(
        "Remote-Groups",
        "header",
        "The header in which that proxy lists the groups of the person, separated by commas or else by `|`.",
        parse_header,
    )
    proxy_networks: str = _define_setting(
        "",
        "networks",
        "Reverse proxies whose `proxy_user_header` signs people in, such as `10.1.0.5/32`. If empty, no header does.",
        parse_networks,
    )
    proxy_teams: str = _define_setting(
        "",
        "",
        "The team and scopes of each group, such as `artists studio read+write, * guests read`. The first one counts.",
        parse_team_rules,
    )
    oidc_issuer: str = _define_setting(
        "",
        "URL",
        "The provider of identities that people sign in at by OpenID Connect. If empty, there is none.",
        parse_url,
    )
    oidc_client_id: str = _define_setting(
        "", "", "The id under which this server is registered at that provider.", parse_secret
    )
    oidc_client_secret: str = _define_setting("", "", "The secret of that id.", parse_secret)
    oidc_scopes: str = _define_setting(
        "openid profile email",
        "",
        "The scopes that the provider is asked for, separated by spaces. Some have a scope for groups.",
        parse_text,
    )
    oidc_team_claim: str = _define_setting(
        "groups", "claim", "The claim of the provider that has the groups of a person.", parse_text
    )
    oidc_teams: str = _define_setting(
        "",
        "",
        "The team and scopes of each value of that claim, such as `artists studio read+write`. The first one counts.",
        parse_team_rules,
    )
    cors_allow_origins: str = _define_setting(
        "*",
        "",
        "The origins of web pages that may call the API, separated by commas. `*` means all, empty means none.",
        parse_text,
    )
    log_level: str = _define_setting(
        "info",
        "",
        "The lowest level of log lines to write: `debug`, `info`, `warning` or `error`.",
        parse_word(*_LOG_LEVELS),
    )
    log_format: Literal["auto", "json", "text"] = _define_setting(
        "auto",
        "",
        "The form of log lines: `json`, `text`, or `auto`, which is text on a terminal and JSON elsewhere.",
        parse_word("auto", "json", "text"),
    )
    access_log: Literal["on", "off", "all"] = _define_setting(
        "on",
        "",
        "Which requests are logged: `all`, `off`, or `on`: all but successful health checks, metrics and static files.",
        parse_word("on", "off", "all"),
    )
    rate_limit_per_minute: int = _define_setting(
        0,
        "requests",
        "The number of requests that a key may make in a minute. `0` means no limit.",
        parse_integer(0, 1_000_000),
    )
    failures_per_minute: int = _define_setting(
        30,
        "failures",
        "The number of wrong keys and refused sign-ins of an address, and of sign-ins with one key, in a minute; more "
        "are 429. `0` means no limit.",
        parse_integer(0, 1_000_000),
    )
    nsfw_covers: Literal["blurred", "shown"] = _define_setting(
        "blurred",
        "",
        "How pages show covers that are not safe for work, until the visitor chooses: `blurred` or `shown`.",
        parse_word("blurred", "shown"),
    )
    storage_url: str = _define_setting(
        "",
        "URL",
        "Where model files are stored: a folder or `s3://bucket/prefix`. If empty, `blobs` in the home folder.",
        parse_text,
    )
    storage_public_url: str = _define_setting(
        "",
        "URL",
        "The URL at which clients reach the S3-compatible store, for the addresses that they get of it. If empty,"
        " `AWS_ENDPOINT_URL`.",
        parse_url,
    )
    suspicious_files: Literal["refused", "served"] = _define_setting(
        "refused",
        "",
        "Whether files whose safety is not proven, such as pickles with unusual imports, are `refused` or `served`.",
        parse_word("refused", "served"),
    )
    signature_keys: str = _define_setting(
        "",
        "path",
        "A PEM file, or a folder of them, with the public keys whose model signatures are trusted. If empty, none is.",
        parse_text,
    )
    require_signature: Literal["no", "yes"] = _define_setting(
        "no",
        "",
        "Whether files that teams send need a model signature by one of these keys to become available: `no` or `yes`.",
        parse_word("no", "yes"),
    )
    upload_bytes_max: int = _define_setting(
        100_000_000_000, "bytes", "The largest size of an uploaded file.", parse_integer(1, 10**12 - 1)
    )
    team_open_uploads_max: int = _define_setting(
        100, "uploads", "The number of unfinished uploads that a team may have.", parse_integer(1, 1_000_000)
    )
    team_quota_bytes: int = _define_setting(
        0, "bytes", "The total size of a team's files. `0` means no limit.", parse_integer(0, 10**12 - 1)
    )
    upload_expires_in_seconds: int = _define_setting(
        7 * 86_400,
        "seconds",
        "How long an upload may take before Modelyard deletes it.",
        parse_integer(60, _YEAR_SECONDS),
    )
    outbound_networks: str = _define_setting(
        "",
        "networks",
        "Private networks that fetches, covers and webhooks may reach, such as `10.1.0.0/16`, with commas.",
        parse_networks,
    )
    outbound_allow_http: Literal["no", "yes"] = _define_setting(
        "no",
        "",
        "Whether the server may request files and covers by `http`, which nobody protects on its way: `no` or `yes`.",
        parse_word("no", "yes"),
    )
    comfyui_manager_lists: Literal["project", "empty"] = _define_setting(
        "project",
        "",
        "The other lists of the channel for ComfyUI-Manager: those of its `project`, by a redirect, or `empty` ones.",
        parse_word("project", "empty"),
    )
    hub_upstream: str = _define_setting(
        "",
        "URL",
        "A hub, such as `https://huggingface.co`, that is asked for repositories that are not here. If empty, none is.",
        parse_url,
    )
    hub_upstream_team: str = _define_setting(
        "hub",
        "team",
        "The team that reads what is private or gated on the hub, and that owns the models of its weights.",
        parse_team,
    )
    hub_upstream_weights: Literal["passed", "kept"] = _define_setting(
        "passed",
        "",
        "Whether weights of the hub are only `passed` on to callers, or also `kept` as models. Small files are kept.",
        parse_word("passed", "kept"),
    )
    hub_upstream_bytes_max: int = _define_setting(
        10_000_000_000,
        "bytes",
        "The total size of what is kept of the hub. More is passed on and not kept. `0` means no limit.",
        parse_integer(0, 10**12 - 1),
    )
    fetchers: int = _define_setting(
        4,
        "files",
        "The number of files that the server fetches from other servers at the same time.",
        parse_integer(0, 64),
    )
    webhook_senders: int = _define_setting(
        16,
        "webhooks",
        "The number of webhooks that the server sends messages to at the same time. `0` means that it sends none.",
        parse_integer(0, 256),
    )
    civitai_url: str = _define_setting(
        "https://civitai.com",
        "URL",
        "The server that versions of Civitai are fetched from. The token `CIVITAI_TOKEN` goes to it only.",
        parse_url,
    )
    hub_url: str = _define_setting(
        "https://huggingface.co",
        "URL",
        "The hub that files of repositories are fetched from. The token `HF_TOKEN` goes to it only.",
        parse_url,
    )
    targets: str = _define_setting(
        "",
        "",
        "Generators that teams may send models to, such as `studio comfyui http://comfy:8188`, separated by commas.",
        parse_targets,
    )
    x_accel_prefix: str = _define_setting(
        "",
        "path",
        "The internal nginx location of the storage folder. If set, nginx sends the files; if empty, Modelyard does.",
        parse_text,
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
    for old, new in _RENAMED_SETTINGS.items():
        if environ.get(ENVIRONMENT_PREFIX + old.upper()):
            _refuse_renamed(ENVIRONMENT_PREFIX + old.upper(), ENVIRONMENT_PREFIX + new.upper())
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
        if name in _RENAMED_SETTINGS:
            _refuse_renamed(f"{path}: {name}", _RENAMED_SETTINGS[name])
        if name not in names:
            nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]
            raise errors.ConfigurationError(f"{path}: there is no setting {name!r}; the nearest is {nearest!r}")
    return values


def _refuse_renamed(origin: str, name: str) -> NoReturn:
    raise errors.ConfigurationError(
        f"{origin} is now {name}, and is for all requests of the server, not only for covers; rename it"
    )


def _format_value(setting: Setting, value: object, path: Path) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if setting.name == "targets" and isinstance(value, list):
        return ",".join(_format_target(target, path) for target in value)
    raise errors.ConfigurationError(f"{path}: {setting.name} is neither text nor a whole number")


def _format_target(target: object, path: Path) -> str:
    names = ("name", "kind", "url")
    if not isinstance(target, dict) or sorted(target) != sorted(names):
        raise errors.ConfigurationError(f"{path}: targets: each one has the fields {', '.join(names)} and no others")
    texts = [str(target[name]) for name in names]
    if "," in "".join(texts):
        raise errors.ConfigurationError(f"{path}: targets: a comma is not accepted in {', '.join(names)}")
    return " ".join(texts)


def _parse_value(setting: Setting, text: str, origin: str) -> object:
    try:
        return setting.parse(text.strip())
    except ValueError as accepted:
        shown = "the value" if setting.parse is parse_secret else repr(text[:64])
        raise errors.ConfigurationError(f"{origin}: {shown} is not accepted; accepted: {accepted}") from None
