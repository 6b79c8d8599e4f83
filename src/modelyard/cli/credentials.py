"""The address and the key that ``modelyard login`` keeps: a file of the user, outside any home folder."""

import contextlib
import os
import stat
import tempfile
from pathlib import Path

import msgspec
import platformdirs

from modelyard import errors

_OTHERS = 0o077


class Login(msgspec.Struct, frozen=True):
    """A server and a key that it accepted."""

    url: str
    key: str


def find_path() -> Path:
    """Return the path of the file, which may be missing."""
    return platformdirs.user_config_path("modelyard") / "login.json"


def load() -> Login | None:
    """Return the login, None if there is none. Raises ConfigurationError for a file that cannot be used."""
    path = find_path()
    try:
        content, mode = path.read_bytes(), path.stat().st_mode
    except FileNotFoundError:
        return None
    except OSError as error:
        raise errors.ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    if mode & _OTHERS:
        raise errors.ConfigurationError(
            f"other users of this machine have access to {path}, mode {stat.S_IMODE(mode):o}; run `chmod 600 {path}`"
        )
    try:
        return msgspec.json.decode(content, type=Login)
    except msgspec.MsgspecError as error:
        raise errors.ConfigurationError(f"{path} is damaged; run `modelyard login` again") from error


def save(login: Login) -> Path:
    """Keep a login in place of an earlier one, and return the path of the file. Only its owner can read it."""
    path = find_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # The file has the mode 0600 from its beginning.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".login-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(login), indent=2) + b"\n")
            Path(name).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise errors.ConfigurationError(f"cannot write {path}: {error.strerror}") from error
    return path


def remove() -> None:
    """Remove the login, if there is one."""
    path = find_path()
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise errors.ConfigurationError(f"cannot remove {path}: {error.strerror}") from error
