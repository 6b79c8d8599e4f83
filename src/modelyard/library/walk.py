"""Lists the model files in folders, with the sidecars and previews of each.

The walk reads names and stats. It opens lists of the parts of a model, and ComfyUI's ``extra_model_paths.yaml``: inside
a given folder it tells which kind of model each folder is for; given by its own path it stands for the folders that it
names. The walk never leaves the given folders: it reports a link to a file outside and does not follow it. Paths are
bytes.

    models/Lora/style/night.safetensors           a model file
    models/Lora/style/night.civitai.info …        its sidecars (``SIDECAR_SUFFIXES``)
    models/Lora/style/night.preview.png …         its previews (``PREVIEW_SUFFIXES``)
    models/Lora/style/day.safetensors.aria2       the download of day.safetensors is not finished

The files of a pipeline and the shards of a split file are parts of one model (``folder_models``).
"""

import contextlib
import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from modelyard.domain import FILE_EXTENSIONS, Skipped
from modelyard.fingerprint import Fingerprint
from modelyard.inspection.folders import INDEX_BYTES_MAX, PIPELINE_INDEX, list_folders, parse_index
from modelyard.library import folder_models
from modelyard.library.folder_models import Part
from modelyard.library.folder_texts import list_texts
from modelyard.paths import NOT_READABLE, display_path, is_inside, read_yaml
from modelyard.store.files import PATH_BYTES_MAX

MODEL_EXTENSIONS = (*FILE_EXTENSIONS, "pt2", "pkl")
# Downloading programs append these to the name of an unfinished file, or to the name of a file beside it.
PARTIAL_SUFFIXES = (
    ".part",
    ".tmp",
    ".crdownload",
    ".aria2",
    ".incomplete",
    "-partial",
    ".download",
    ".!ut",
    ".opdownload",
)
# The most specific first: a name that ends in several of these belongs to the first.
SIDECAR_SUFFIXES = (
    ".civitai.info", ".metadata.json", ".cm-info.json", ".swarm.json", ".json", ".md", ".txt", ".sha256", ".yaml",
)  # fmt: skip # one table
PREVIEW_SUFFIXES = (
    ".webp", ".preview.webp", ".preview.png", ".preview.jpeg", ".preview.jpg", ".preview.mp4", ".png", ".jpeg", ".jpg",
    ".mp4", ".gif", ".webm", ".avif", ".jxl", ".thumb.jpg", ".thumb.png",
)  # fmt: skip # one table

OUTSIDE_LINK = "link to a file outside the given folders; add its target by its own path"
BROKEN_LINK = "dangling link: its target is not there"
UNFINISHED_DOWNLOAD = "download not finished"
NOT_A_FILE = "neither a file nor a folder"
LONG_PATH = "path too long"
# Of an extra_model_paths.yaml that is given by its own path.
MISSING_FOLDER = "extra_model_paths.yaml names a folder that is not there"
NOT_UNDERSTOOD = "extra_model_paths.yaml has an entry that is not understood"
_EXTRA_PATHS_NAME = b"extra_model_paths.yaml"
_EXTRA_PATHS_BYTES_MAX = 1 << 16
_DEPTH_MAX = 64
# Folders of programs: their packages contain .pth and .bin files that are not models.
_SKIPPED_FOLDERS = frozenset(
    {b"__pycache__", b"node_modules", b"site-packages", b"dist-packages", b"$RECYCLE.BIN", b"lost+found"}
)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A model file. ``sidecars`` and ``previews`` are paths; the digest is of their names, sizes and times.

    ``part`` is its place in a model of several files; the digest changes with it.
    """

    path: bytes
    fingerprint: Fingerprint
    device: int
    sidecars: tuple[bytes, ...] = ()
    previews: tuple[bytes, ...] = ()
    sidecar_digest: str = ""
    part: Part | None = None


@dataclass(frozen=True, slots=True)
class ScanResult:
    """The files in the given folders. ``unreadable`` are folders that could not be listed."""

    roots: tuple[bytes, ...]
    files: tuple[FoundFile, ...]
    skipped: tuple[Skipped, ...]
    unreadable: tuple[bytes, ...] = ()
    # The kinds that extra_model_paths.yaml gives folders, by their path.
    kinds: Mapping[bytes, str] = field(default_factory=dict)


def scan(paths: Iterable[bytes], *, trained: bool = False) -> ScanResult:
    """Walk the given files and folders. With ``trained``, skip the state and backups that trainers write.

    Cost: one ``scandir`` a folder and one ``stat`` a file; 30,000 files take a third of a second.
    """
    walk = _Walk(trained)
    walk.roots = roots = _resolve_roots(root for path in paths for root in walk.list_roots(path))
    for root in roots:
        walk.add_root(root)
    return ScanResult(roots, tuple(walk.iter_files()), tuple(walk.skipped), tuple(walk.unreadable), walk.kinds)


def find_file(path: bytes) -> FoundFile | None:
    """Return one file with its sidecars and previews; None if there is no model file at the path."""
    walk = _Walk(trained=False)
    walk.roots = (os.path.dirname(path),)
    with contextlib.suppress(OSError):
        if stat.S_ISREG(os.stat(path).st_mode):
            walk.add_root(path)
    return next((file for file in walk.iter_files() if file.path == path), None)


def _resolve_roots(paths: Iterable[bytes]) -> tuple[bytes, ...]:
    """Return the paths, absolute and without links, except those that lie in another one."""
    roots: list[bytes] = []
    for path in sorted({os.path.realpath(path) for path in paths}):
        if not any(is_inside(path, root) for root in roots):
            roots.append(path)
    return tuple(roots)


class _Walk:
    """The state of a walk."""

    def __init__(self, trained: bool) -> None:
        self.roots: tuple[bytes, ...] = ()
        self.files: list[FoundFile] = []
        self.links: list[FoundFile] = []
        self.skipped: list[Skipped] = []
        self.unreadable: list[bytes] = []
        self.kinds: dict[bytes, str] = {}
        self._trained = trained

    def list_roots(self, path: bytes) -> Iterable[bytes]:
        """Return the folders that an extra_model_paths.yaml names, or the path itself if it is none."""
        if not path.lower().endswith(_YAML) or not os.path.isfile(path):
            return [path]
        before = set(self.kinds)
        for entry in self._read_kinds(os.path.realpath(path)):
            self._skip(path, NOT_UNDERSTOOD, entry)
        folders = [folder for folder in self.kinds if folder not in before]
        for folder in folders:
            if not os.path.isdir(folder):
                self._skip(folder, MISSING_FOLDER, f"{self.kinds[folder]} of {display_path(path)}")
        return [folder for folder in folders if os.path.isdir(folder)]

    def add_root(self, root: bytes) -> None:
        try:
            status = os.stat(root)
        except OSError as problem:
            self._skip(root, NOT_READABLE, problem.strerror or "")
            if not isinstance(problem, FileNotFoundError | NotADirectoryError):
                self.unreadable.append(root)
            return
        if not (stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)):
            self._skip(root, NOT_A_FILE)
        elif folder := _find_pipeline_above(root):
            self._add_inside(folder, root, 0)
        elif stat.S_ISDIR(status.st_mode):
            self._add_folder(root, 0)
        elif b"-of-" in os.path.basename(root):
            self._add_inside(os.path.dirname(root), root, _DEPTH_MAX)
        else:
            self.add_file(root)

    def _add_inside(self, folder: bytes, root: bytes, depth: int) -> None:
        """Add the files of a root that may be parts of a model that lies in ``folder``."""
        starts = [(found, len(found)) for found in (self.files, self.links)]
        skips, unreadable = len(self.skipped), len(self.unreadable)
        self._add_folder(folder, depth)
        for found, start in starts:
            found[start:] = [file for file in found[start:] if is_inside(file.path, root)]
        where = display_path(root).encode()
        self.skipped[skips:] = [skip for skip in self.skipped[skips:] if is_inside(skip.where.encode(), where)]
        self.unreadable[unreadable:] = [path for path in self.unreadable[unreadable:] if is_inside(path, root)]

    def add_file(self, path: bytes) -> None:
        with contextlib.suppress(OSError):
            status = os.stat(path)
            if stat.S_ISREG(status.st_mode):
                self._add_model(path, status, _Folder(self._list_entries(os.path.dirname(path)) or {}))

    def iter_files(self) -> Iterator[FoundFile]:
        """Yield each file once, although several links may lead to it."""
        inodes = {(file.device, file.fingerprint.inode) for file in self.files}
        files = list(self.files)
        for link in sorted(self.links, key=lambda link: link.path):
            inode = (link.device, link.fingerprint.inode)
            # Two revisions of a pipeline may share files; each is a model with all of its parts.
            if inode not in inodes or link.part is not None:
                inodes.add(inode)
                files.append(link)
        return (replace(file, sidecar_digest=_digest_part(file, file.part)) if file.part else file for file in files)

    def _add_folder(self, folder: bytes, depth: int) -> None:
        entries = self._list_entries(folder)
        if entries is None:
            self.unreadable.append(folder)
            return
        if b"pyvenv.cfg" in entries:
            return
        if _EXTRA_PATHS_NAME in entries:
            self._read_kinds(os.path.join(folder, _EXTRA_PATHS_NAME))
        names = _Folder(entries)
        starts = [(found, len(found)) for found in (self.files, self.links)]
        for name in sorted(entries):
            entry = entries[name]
            try:
                if entry.is_symlink():
                    self._add_link(entry, names)
                elif entry.is_dir():
                    if self._is_entered(name) and depth < _DEPTH_MAX:
                        self._add_folder(entry.path, depth + 1)
                elif is_model_name(name):
                    if entry.is_file():
                        self._add_model(entry.path, entry.stat(), names)
                elif _is_unfinished(name):
                    self._skip(entry.path, UNFINISHED_DOWNLOAD)
            except FileNotFoundError:
                continue  # it was removed during the walk
            except OSError as problem:
                self._skip(entry.path, NOT_READABLE, problem.strerror or "")
        self._find_parts(folder, entries, starts)

    def _find_parts(
        self,
        folder: bytes,
        entries: "Mapping[bytes, os.DirEntry[bytes]]",
        starts: "Iterable[tuple[list[FoundFile], int]]",
    ) -> None:
        """Note which files of a folder, from the ``starts`` of the lists on, are parts of a model."""
        is_pipeline, texts = PIPELINE_INDEX in entries, {}
        if not is_pipeline and not any(b"-of-" in name for name in entries):
            return
        read = partial(self._read_json, folder)
        prefix = len(folder.rstrip(b"/")) + 1
        below = [file for found, start in starts for file in found[start:]]
        paths = {file.path[prefix:] for file in below}
        own = {path for path in paths if b"/" not in path}
        parts = folder_models.group_shards(folder, entries, own, read)
        if is_pipeline:
            index = read(PIPELINE_INDEX)
            pipeline_parts = folder_models.group_pipeline(folder, index, paths, read)
            texts = list_texts(folder, list_folders(index, pipeline_parts), self._is_inside_roots)
            parts |= pipeline_parts
        elif folder_models.has_folder_of_its_own(folder, parts, own):
            texts = list_texts(folder, (), self._is_inside_roots)
        for path, member in parts.items():
            if member.headers and bool(member.pipeline) == is_pipeline:
                parts[path] = replace(member, texts=tuple(texts))
        states: dict[bytes, list[object]] = {}
        for file in below:
            if part := parts.get(file.path[prefix:]):
                states.setdefault(part.folder, []).append((file.path, file.fingerprint))
        for found, start in starts:
            for at, file in enumerate(found[start:], start):
                if part := parts.get(file.path[prefix:]):
                    # The part that speaks for the model is read again when another one changes.
                    looks = (states[part.folder], texts) if part.texts else states[part.folder]
                    state = repr(looks) if part.headers else ""
                    found[at] = replace(file, part=replace(part, state=state))

    def _is_inside_roots(self, path: bytes) -> bool:
        target = os.path.realpath(path)
        return any(is_inside(target, root) for root in self.roots)

    def _read_json(self, folder: bytes, name: bytes) -> object:
        """Return the content of a JSON file inside the roots; None, and a message, if it cannot be used."""
        path = os.path.join(folder, name)
        if os.path.islink(path) and not self._is_inside_roots(path):
            self._skip(path, OUTSIDE_LINK)
            return None
        try:
            # A named pipe would block.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb") as file:
                document = parse_index(file.read(INDEX_BYTES_MAX + 1))
        except OSError as problem:
            self._skip(path, NOT_READABLE, problem.strerror or "")
            return None
        if document is None:
            self._skip(path, NOT_READABLE, f"it is no JSON of at most {INDEX_BYTES_MAX:,} bytes")
        return document

    def _list_entries(self, folder: bytes) -> "dict[bytes, os.DirEntry[bytes]] | None":
        try:
            with os.scandir(folder) as entries:
                return {entry.name: entry for entry in entries}
        except FileNotFoundError:
            return {}
        except OSError as problem:
            self._skip(folder, NOT_READABLE, problem.strerror or "")
            return None

    def _is_entered(self, name: bytes) -> bool:
        if name.startswith(b".") or name in _SKIPPED_FOLDERS:
            return False
        return not (self._trained and _TRAINER_FOLDERS.fullmatch(name))

    def _add_link(self, entry: "os.DirEntry[bytes]", names: "_Folder") -> None:
        """Add a link to a file inside the roots. Links to folders are not followed, so no loop can start."""
        target = os.path.realpath(entry.path)
        if not os.path.lexists(target):
            # A link without an extension may stand for a folder of models.
            if is_model_name(entry.name) or not os.path.splitext(entry.name)[1]:
                self._skip(entry.path, BROKEN_LINK, display_path(target))
        elif not self._is_inside_roots(target):
            if is_model_name(entry.name) or entry.is_dir():
                self._skip(entry.path, OUTSIDE_LINK, display_path(target))
        elif is_model_name(entry.name):
            try:
                status = os.stat(target)
            except OSError:
                self._skip(entry.path, BROKEN_LINK)
                return
            if stat.S_ISREG(status.st_mode):
                self._add_model(entry.path, status, names, is_link=True)

    def _add_model(self, path: bytes, status: os.stat_result, names: "_Folder", *, is_link: bool = False) -> None:
        name = os.path.basename(path)
        if self._trained and _TRAINER_FILES.fullmatch(name):
            return
        if any(name + suffix.encode() in names.entries for suffix in PARTIAL_SUFFIXES):
            self._skip(path, UNFINISHED_DOWNLOAD)
            return
        if len(path) > PATH_BYTES_MAX:
            self._skip(path, LONG_PATH)
            return
        file = FoundFile(path, Fingerprint.of(status), status.st_dev, *_find_sidecars(path, name, names))
        (self.links if is_link else self.files).append(file)

    def _read_kinds(self, path: bytes) -> list[str]:
        """Read an extra_model_paths.yaml; return its entries that are not understood."""
        try:
            if os.path.islink(path):
                return []
            with open(path, "rb") as file:
                raw = file.read(_EXTRA_PATHS_BYTES_MAX + 1)
            if len(raw) > _EXTRA_PATHS_BYTES_MAX:
                raise ValueError(f"longer than {_EXTRA_PATHS_BYTES_MAX:,} bytes")
            kinds, problems = _parse_kinds(read_yaml(raw), os.path.dirname(path))
        except (OSError, ValueError) as problem:
            self._skip(path, NOT_READABLE, str(problem)[:200])
            return []
        self.kinds |= kinds
        return problems

    def _skip(self, path: bytes, reason: str, detail: str = "") -> None:
        self.skipped.append(Skipped(display_path(path), reason, detail))


class _Folder:
    """The names in a folder, which also finds a model's files where their suffix or the form of their stem differs.

    Programs write ``.JSON`` and ``.PNG`` too. macOS writes names decomposed (NFD), most others composed (NFC).
    """

    def __init__(self, entries: "Mapping[bytes, os.DirEntry[bytes]]") -> None:
        self.entries = entries
        self._variants: dict[bytes, list[bytes]] = {}
        for name in entries:
            # An exact look-up finds the others.
            tail = name[-_SUFFIX_BYTES_MAX:]
            if (tail != tail.lower() or not name.isascii()) and (match := _SUFFIX.search(name)):
                key = _compose(name[: match.start()]) + match[0].lower()
                self._variants.setdefault(key, []).append(name)
        has_variants = bool(self._variants)
        self._stems = {os.path.splitext(name)[0] for name in entries if has_variants and is_model_name(name)}

    def find(self, stem: bytes, suffixes: Iterable[bytes]) -> list[bytes]:
        """Return the names with this stem and one of the suffixes, in any case, in the order of the suffixes.

        Where a suffix has none, return the names that have the stem in another form and belong to no other model.
        """
        if not self._variants:
            return [name for suffix in suffixes if (name := stem + suffix) in self.entries]
        return [name for suffix in suffixes for name in self._find_variants(stem, suffix)]

    def _find_variants(self, stem: bytes, suffix: bytes) -> list[bytes]:
        name = stem + suffix
        variants = sorted(self._variants.get(_compose(stem) + suffix, ()))
        exact = [name] if name in self.entries else []
        exact += [other for other in variants if other != name and other[: -len(suffix)] == stem]
        return exact or [other for other in variants if other[: -len(suffix)] not in self._stems]


def _compose(stem: bytes) -> bytes:
    """Return a name in Unicode's composed form; a name that is not UTF-8 stays as it is."""
    try:
        return stem if stem.isascii() else unicodedata.normalize("NFC", stem.decode()).encode()
    except UnicodeDecodeError:
        return stem


def _find_pipeline_above(root: bytes) -> bytes | None:
    """Return the folder of the pipeline that a root may be a part of: a component, or a file in one."""
    folder = root
    for _ in range(2):
        folder = os.path.dirname(folder)
        if os.path.isfile(os.path.join(folder, PIPELINE_INDEX)):
            return folder
    return None


def _digest_part(file: FoundFile, part: Part) -> str:
    """Return a digest that changes with the sidecars of a part and its place in the model."""
    return hashlib.blake2b(repr((file.sidecar_digest, part)).encode(), digest_size=8).hexdigest()


def _find_sidecars(path: bytes, name: bytes, names: _Folder) -> tuple[tuple[bytes, ...], tuple[bytes, ...], str]:
    """Return the paths of a model file's sidecars and previews, and a digest of them."""
    stem = os.path.splitext(name)[0]
    folder = path[: len(path) - len(name)]
    previews = tuple(folder + preview for preview in names.find(stem, _PREVIEWS))
    digest, sidecars = hashlib.blake2b(digest_size=8), []
    for sidecar in names.find(stem, _SIDECARS) + names.find(name, _CHECKSUMS):
        entry = names.entries[sidecar]
        # A link could lead outside the given folders.
        if not entry.is_file(follow_symlinks=False):
            continue
        status = entry.stat(follow_symlinks=False)
        digest.update(b"%s\0%d\0%d\0" % (sidecar, status.st_size, status.st_mtime_ns))
        sidecars.append(folder + sidecar)
    for preview in previews:
        digest.update(preview + b"\0")
    return tuple(sidecars), previews, digest.hexdigest() if sidecars or previews else ""


_SIDECARS = tuple(suffix.encode() for suffix in SIDECAR_SUFFIXES)
_PREVIEWS = tuple(suffix.encode() for suffix in PREVIEW_SUFFIXES)
_CHECKSUMS = (b".sha256",)
# The leftmost match is the longest suffix.
_SUFFIX = re.compile(b"(" + b"|".join(map(re.escape, _SIDECARS + _PREVIEWS)) + b")\\Z", re.IGNORECASE)
_SUFFIX_BYTES_MAX = max(map(len, _SIDECARS + _PREVIEWS))
_EXTENSIONS = frozenset(extension.encode() for extension in MODEL_EXTENSIONS)
_YAML = (b".yaml", b".yml")
_PARTIAL = tuple(suffix.encode() for suffix in PARTIAL_SUFFIXES)
# kohya saves its state in <name>-000010-state/, OneTrainer backups in backup/, ai-toolkit and others optimizers.
_TRAINER_FOLDERS = re.compile(rb".*-state|backup|optimizer|cache|latents?_cache|tensorboard|samples?", re.IGNORECASE)
_TRAINER_FILES = re.compile(rb"(optimizer|scheduler|scaler|random_states?|learnable_snr)[\w.-]*", re.IGNORECASE)


def is_model_name(name: bytes) -> bool:
    """Whether a file of this name may be a model; inspection decides."""
    return not name.startswith(b".") and name.rpartition(b".")[2].lower() in _EXTENSIONS and b"." in name


def _is_unfinished(name: bytes) -> bool:
    lower_name = name.lower()
    for suffix in _PARTIAL:
        if lower_name.endswith(suffix):
            return is_model_name(lower_name.removesuffix(suffix))
    return False


def _parse_kinds(document: object, folder: bytes) -> tuple[dict[bytes, str], list[str]]:
    """Return the kind of each folder that an extra_model_paths.yaml names, and the entries that are not understood.

    ``{name: {base_path: …, loras: "models/Lora\\nmodels/LyCORIS", …}}``, relative to ``base_path`` or to the file.
    """
    kinds: dict[bytes, str] = {}
    problems: list[str] = []
    if not isinstance(document, dict):
        return {}, ["the whole file; accepted: names of programs, each with folders by kind"]
    for name, section in document.items():
        if not isinstance(section, dict):
            problems.append(f"{name}; accepted: folders by kind")
            continue
        base = section.get("base_path")
        base = base if isinstance(base, str) else ""
        for kind, value in section.items():
            if kind in ("base_path", "is_default", "custom_nodes"):
                continue
            lines = value.splitlines() if isinstance(value, str) else value
            if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
                problems.append(f"{name}.{kind}; accepted: a folder, or several, one a line")
                continue
            for line in filter(None, map(str.strip, lines)):
                path = os.path.join(folder, _expand(base), _expand(line))
                kinds[os.path.realpath(path)] = str(kind)
    return kinds, problems


def _expand(path: str) -> bytes:
    return os.fsencode(os.path.expanduser(os.path.expandvars(path)))
