"""Where the server keeps what it has, and since when it runs, for the status page.

It measures the space that the home and the model files take, and the free space of their file systems.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import sqlalchemy as sa

from modelyard.blobs import local_folder
from modelyard.store import blobs


@dataclass(frozen=True, slots=True)
class Installation:
    """The home and the storage URL of a server, and its start in Unix seconds; a worker may be younger."""

    home: Path
    storage_url: str
    started_at: float


@dataclass(frozen=True, slots=True)
class DiskUse:
    """What one place takes. ``free_bytes`` and ``capacity_bytes`` are of its file system; None for a bucket."""

    name: str
    address: str
    used_bytes: int
    free_bytes: int | None
    capacity_bytes: int | None


def measure_disk(installation: Installation, connection: sa.Connection) -> list[DiskUse]:
    """Return the use of the home without the model files, and that of the model files.

    The database knows the sizes of the model files, so that no folder with all of them is read.
    """
    home = installation.home
    folder = local_folder(installation.storage_url, home)
    _, stored_bytes = blobs.total(connection)
    incoming = (folder or home / "blobs") / "incoming"
    address = str(folder) if folder else _strip_credentials(installation.storage_url)
    return [
        _measure_place("Home", str(home), measure_folder(home, besides=folder or home / "blobs"), home),
        _measure_place("Model files", address, stored_bytes + measure_folder(incoming), folder),
    ]


def measure_folder(folder: Path, *, besides: Path | None = None) -> int:
    """Return the size of a folder in bytes, without the folder ``besides``.

    A file that another process deletes in the meantime counts as zero.
    """
    total = 0
    for path, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if Path(path) / name != besides]
        for name in names:
            try:
                total += (Path(path) / name).lstat().st_size
            except FileNotFoundError:
                continue
    return total


def _measure_place(name: str, address: str, used_bytes: int, folder: Path | None) -> DiskUse:
    if folder is None:
        return DiskUse(name, address, used_bytes, None, None)
    # The first upload makes the folder of the model files.
    existing = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    usage = shutil.disk_usage(existing)
    return DiskUse(name, address, used_bytes, usage.free, usage.total)


def _strip_credentials(url: str) -> str:
    """Return the address of a bucket without what may be secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
