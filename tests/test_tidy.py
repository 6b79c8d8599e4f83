"""The architecture as absences: what is not in this code base, checked by reading it.

ARCHITECTURE.md says why each of these holds. Not covered here: what ruff and mypy see (pyproject.toml), and whether the
documents tell the truth (test_docs.py).
"""

import ast
import importlib.metadata
import re
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "modelyard"

# Imports point to an earlier line only; the packages of one line do not know each other.
GROUPS: tuple[frozenset[str], ...] = (
    frozenset({"domain", "errors", "fingerprint"}),
    frozenset({"base_models", "condition", "facts", "json_text", "layouts", "setting_values"}),
    frozenset(
        {
            "index",
            "inspection",
            "licences",
            "paths",
            "retry",
            "settings",
            "signatures",
            "signing",
            "thumbnails",
            "wire",
            "workflows",
        }
    ),
    frozenset({"outbound", "xet"}),
    frozenset({"targets"}),
    frozenset({"store", "blobs"}),
    frozenset({"feed", "registry", "replication", "indexer"}),
    frozenset({"civitai"}),
    frozenset({"library"}),
    frozenset({"covers"}),
    frozenset({"auth", "catalog", "client", "uploads"}),
    frozenset({"fetches", "sends", "webhooks"}),
    frozenset({"jobs", "resolution", "upstream"}),
    frozenset({"demo", "web"}),
    frozenset({"cli"}),
    frozenset({"__main__"}),
)
GROUP_OF = {name: number for number, group in enumerate(GROUPS) for name in group}

MODULE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60
LONG_MODULES: dict[str, str] = {}
LONG_FUNCTIONS: dict[str, str] = {}
# Dataclasses that change: what a walk over a file has found so far, and what a request has become.
WORKING_STATE = {
    "inspection/pickle_vm.py:ReducedObject",
    "inspection/pickle_vm.py:PickleTrace",
    "web/requests.py:Request",
}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def python_files() -> list[Path]:
    return [*modules(), *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "benchmarks").rglob("*.py"))]


def texts() -> Iterator[tuple[Path, int, str]]:
    """Every line of what we write ourselves, with its place."""
    folders = [ROOT / name for name in ("src", "tests", "benchmarks", "scripts", "docs", "deploy", ".ci")]
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    for path in [*files, *sorted(ROOT.glob("*.md")), ROOT / "pyproject.toml"]:
        if "__pycache__" in path.parts or path.suffix in {".png", ".svg", ".webp", ".safetensors", ".xz"}:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            yield path.relative_to(ROOT), number, line


def shown(path: Path, node: ast.AST | int) -> str:
    line = node if isinstance(node, int) else getattr(node, "lineno", 0)
    return f"{path.relative_to(ROOT)}:{line}"


def imported(path: Path) -> Iterator[tuple[ast.stmt, str]]:
    """Every module that is imported anywhere in a file, as it is spelled; names of ``from`` imports included."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{shown(path, node)}: relative imports hide which layer is meant"
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def part_of(path: Path) -> str:
    """The package or module of ours that a file belongs to: the first name below modelyard."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def own(name: str) -> str | None:
    """The part of ours that an import names, None for others' modules and for the version."""
    head, _, rest = name.partition(".")
    return rest.partition(".")[0] if head == "modelyard" and not rest.startswith("__") else None


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_part_stands_in_one_group() -> None:
    parts = {part_of(path) for path in modules()} - {"__init__"}

    assert set() == parts - GROUP_OF.keys()


def test_imports_point_one_way() -> None:
    wrong = [
        f"{shown(path, node)}: {part_of(path)} imports {wanted}"
        for path in modules()
        for node, name in imported(path)
        if (wanted := own(name)) is not None
        and wanted != part_of(path)
        and GROUP_OF.get(wanted, 0) >= GROUP_OF.get(part_of(path), 0)
    ]

    assert "" == "\n".join(wrong)


def test_what_everybody_uses_needs_the_standard_library_only() -> None:
    foreign = [
        f"{shown(SOURCE / file, node)}: {name}"
        for file in ("domain.py", "errors.py", "fingerprint.py")
        for node, name in imported(SOURCE / file)
        if name.partition(".")[0] not in sys.stdlib_module_names
    ]

    assert "" == "\n".join(foreign)


def test_the_index_knows_of_no_package_of_ours_but_the_nouns() -> None:
    known = {own(name) for path in (SOURCE / "index").rglob("*.py") for _, name in imported(path)}

    assert {"domain", "errors", "index", None} >= known


def test_settings_are_read_by_the_application_and_the_commands_only() -> None:
    readers = {
        path.relative_to(SOURCE).as_posix()
        for path in modules()
        for _, name in imported(path)
        if own(name) == "settings"
    }

    assert set() == {name for name in readers if name != "web/app.py" and not name.startswith("cli/")}


# What writes models, or the rows that a model is resolved from, by where it is defined.
MODEL_WRITERS = {
    "ModelWriter",
    "download_counts.add",
    "covers.give",
    *(f"<transaction>.{name}" for name in ("put", "remove", "next_own_id", "put_base_model")),
}


def test_only_the_registry_writes_models() -> None:
    writes = {
        f"{shown(path, node)}: {callee}"
        for path in modules()
        if part_of(path) not in {"registry", "store"}
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and (callee := called(node, transactions(path))) in MODEL_WRITERS
    }

    assert "" == "\n".join(sorted(writes))


def test_the_store_defines_what_writes_models() -> None:
    """The names above are a list of what must not be called: one that was renamed would forbid nothing."""
    classes = [node for node in ast.walk(tree(SOURCE / "store/transaction.py")) if isinstance(node, ast.ClassDef)]
    defined = {f"<transaction>.{method.name}" for node in classes for method in node.body if hasattr(method, "name")}
    defined |= {
        f"{name}.{f.name}" for name in ("download_counts", "covers") for f in functions(SOURCE / f"store/{name}.py")
    }
    defined |= {node.name for node in ast.walk(tree(SOURCE / "registry/writer.py")) if isinstance(node, ast.ClassDef)}

    assert set() == MODEL_WRITERS - defined


@cache
def transactions(path: Path) -> set[str]:
    """The names of write transactions in a file: bound by ``with``, parameters, and attributes set from these."""
    names = {
        ast.unparse(item.optional_vars)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.With)
        for item in node.items
        if item.optional_vars is not None and ".transaction(" in ast.unparse(item.context_expr)
    }
    names |= {
        argument.arg
        for function in functions(path)
        for argument in function.args.args
        if argument.annotation is not None and ast.unparse(argument.annotation) == "WriteTransaction"
    }
    return names | {
        ast.unparse(node.targets[0])
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Assign) and ast.unparse(node.value) in names
    }


def called(call: ast.Call, transaction_names: set[str]) -> str:
    """What a call calls, with any open write transaction as ``<transaction>``."""
    name = ast.unparse(call.func)
    owner, _, attribute = name.rpartition(".")
    return f"<transaction>.{attribute}" if owner in transaction_names else name


def test_nothing_is_imported_inside_a_function() -> None:
    late = [
        shown(path, node)
        for path in modules()
        for function in functions(path)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]

    assert "" == "\n".join(late)


def test_only_commands_migrations_and_what_few_use_are_imported_by_name() -> None:
    """`modelyard key` must wait neither for the web server's imports, nor for Alembic's when there is no migration.

    The library of streams is imported by the first stream of a worker, and the extras by who uses them.
    """
    expected = {
        "cli/__init__.py",
        "cli/mcp.py",
        "signatures.py",
        "store/migrate.py",
        "web/api/mcp_requests.py",
        "web/oidc_sign_in.py",
    }
    by_name = {
        path.relative_to(SOURCE).as_posix()
        for path in modules()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute | ast.Name) and ast.unparse(node) in {"importlib.import_module", "__import__"}
    }

    assert expected == by_name


def test_only_the_web_is_async() -> None:
    waiting = [
        shown(path, node)
        for path in modules()
        if part_of(path) != "web"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncWith | ast.AsyncFor)
    ]
    loops = [
        f"{shown(path, node)}: {name}"
        for path in modules()
        if part_of(path) != "web"
        for node, name in imported(path)
        if name.partition(".")[0] in {"asyncio", "anyio", "uvicorn", "starlette"}
    ]

    assert "" == "\n".join(waiting)
    assert [] == [place for place in loops if not place.startswith("src/modelyard/cli/")]


def test_only_the_web_knows_its_framework() -> None:
    known = [
        f"{shown(path, node)}: {name}"
        for path in modules()
        if part_of(path) != "web"
        for node, name in imported(path)
        if name.partition(".")[0] == "starlette"
    ]
    # The framework of before is spoken of by the decisions, and by this test.
    former = "lite" + "star"
    spoken = [f"{path}:{number}" for path, number, line in texts() if former in line.lower()]

    assert "" == "\n".join(known)
    assert [] == [place for place in spoken if not place.startswith("docs/decisions/")]


# The listener of a connection, below the parts that have work to do.
LOOPS_OF_THEIR_OWN = {"store/postgresql_notifier.py", "store/sqlite_notifier.py"}


def test_background_work_has_one_home() -> None:
    """Work in the background is a kind of jobs.tasks: no other loop waits for the end, none has its own period."""
    outside = [path for path in modules() if part_of(path) not in {"jobs", "web"}]
    loops = {
        path.relative_to(SOURCE).as_posix()
        for path in outside
        for node in ast.walk(tree(path))
        if isinstance(node, ast.While) and ".is_set()" in ast.unparse(node.test)
    }
    periods = [
        shown(path, node)
        for path in outside
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id.endswith("LOOK_SECONDS")
    ]

    assert LOOPS_OF_THEIR_OWN == loops
    assert [] == periods


def test_no_class_inherits_from_another_of_ours_but_the_errors() -> None:
    shared = []
    for path in modules():
        classes = [node for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef)]
        ours = {node.name for node in classes}
        ours |= {name.rpartition(".")[2] for _, name in imported(path) if own(name) not in {None, "errors"}}
        shared += [
            f"{shown(path, node)}: {node.name}({ast.unparse(base)})"
            for node in classes
            for base in node.bases
            if path.name != "errors.py" and ast.unparse(base).partition(".")[0] in ours
        ]

    assert "" == "\n".join(shared)


def test_dataclasses_are_slotted_and_those_that_others_see_frozen() -> None:
    def wanted(name: str) -> set[str]:
        return {"slots=True"} if name.startswith("_") else {"slots=True", "frozen=True"}

    loose = {
        f"{path.relative_to(SOURCE).as_posix()}:{node.name}"
        for path in modules()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef)
        for decorator in node.decorator_list
        if "dataclass" in ast.unparse(decorator)
        and not wanted(node.name) <= {ast.unparse(word) for word in getattr(decorator, "keywords", ())}
    }

    assert set() == loose - WORKING_STATE


def test_modules_and_functions_fit_their_screens() -> None:
    long_modules = {
        path.relative_to(SOURCE).as_posix()
        for path in modules()
        if len(path.read_text(encoding="utf-8").splitlines()) > MODULE_LINES_MAX
    }
    long_functions = {
        f"{path.relative_to(SOURCE).as_posix()}:{node.name}"
        for path in modules()
        for node in functions(path)
        if (node.end_lineno or node.lineno) - node.lineno + 1 > FUNCTION_LINES_MAX
    }

    assert LONG_MODULES.keys() == long_modules
    assert LONG_FUNCTIONS.keys() == long_functions


NAMES_NOT_USED = {"manager", "helper", "helpers", "util", "utils", "service", "common", "data", "info"}
NAMES_GIVEN = {
    "data_dir": "the folder is called shared/data",
    "data_received": "asyncio's name",
    "handle_data": "html.parser's name",
}


def test_no_name_says_nothing() -> None:
    empty = []
    for path in python_files():
        named = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        inside = [(node.lineno, node.name) for node in ast.walk(tree(path)) if isinstance(node, named)]
        for line, name in [(0, path.stem), *inside]:
            words = {word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+", name)}
            if words & NAMES_NOT_USED and name not in NAMES_GIVEN:
                empty.append(f"{shown(path, line)}: {name}")

    assert "" == "\n".join(empty)


def test_every_module_says_what_it_is() -> None:
    silent = [
        shown(path, 1)
        for path in python_files()
        if path.read_text(encoding="utf-8").strip() and not ast.get_docstring(tree(path))
    ]

    assert "" == "\n".join(silent)


# What follows the codes and a second hash is the reason.
SILENCED = re.compile(r"#\s*(noqa|type:\s*ignore|fmt:\s*(?:skip|off)|pragma:|nosec)(?P<rest>.*)")
REASONED = re.compile(r"(:\s*[A-Z]+[0-9]+(,\s*[A-Z]+[0-9]+)*|\[[a-z-]+(,\s*[a-z-]+)*\])?\s*#\s*\S+")


def comments(path: Path) -> Iterator[tuple[int, str]]:
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string


def test_every_silenced_check_has_its_reason() -> None:
    bare = [
        f"{shown(path, line)}: {comment}"
        for path in python_files()
        for line, comment in comments(path)
        if (found := SILENCED.search(comment)) and not REASONED.match(found["rest"])
    ]

    assert "" == "\n".join(bare)


def test_every_rule_that_is_switched_off_has_its_reason() -> None:
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    start = lines.index("ignore = [") + 1
    bare = [line for line in lines[start : lines.index("]", start)] if not re.search(r'^\s*"[A-Z0-9]+",\s+# \w+', line)]

    assert "" == "\n".join(bare)


@pytest.mark.parametrize(
    "word",
    # Put together here, so that this file does not find itself.
    ["TO" + "DO", "FIX" + "ME", "HA" + "CK"],
)
def test_nothing_is_left_for_later(word: str) -> None:
    left = [f"{path}:{number}" for path, number, line in texts() if re.search(rf"\b{word}\b", line)]

    assert "" == "\n".join(left)


MACHINE = re.compile(r"/(?:root|work|home/\w+|Users/\w+)/")


def test_no_path_of_one_machine_is_written_down() -> None:
    found = [f"{path}:{number}: {line.strip()}" for path, number, line in texts() if MACHINE.search(line)]

    assert "" == "\n".join(found)


def test_no_test_is_switched_off() -> None:
    marks = re.compile("pytest.mark." + "(skip|xfail)")
    off = [f"{path}:{number}" for path, number, line in texts() if path.suffix == ".py" and marks.search(line)]

    assert "" == "\n".join(off)


def test_every_distribution_that_is_imported_is_declared() -> None:
    """What comes along with something else may go away with it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    required = [*project["dependencies"], *extras["postgres"], *extras["mcp"], *extras["oidc"]]
    declared = {_canonical(re.split(r"[\[<>=~!; ]", line)[0]) for line in required}
    distributions = importlib.metadata.packages_distributions()
    undeclared = [
        f"{shown(path, node)}: {top}"
        for path in modules()
        for node, name in imported(path)
        if (top := name.partition(".")[0]) not in sys.stdlib_module_names
        and top != "modelyard"
        # Where a library has no wheel and is not installed, its module stands for it.
        and not declared & {_canonical(found) for found in distributions.get(top, [top])}
    ]

    assert "" == "\n".join(undeclared)


def _canonical(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


# A module is a noun or the protocol's own name. These words end in -ing and are nouns of the field.
ING_NOUNS = {
    "hashing": "what the field calls computing digests of files",
    "routing": "the framework's own word for matching paths to handlers",
    "signing": "what the field calls making and checking signatures",
}


def test_modules_are_nouns() -> None:
    verbs = {path.relative_to(SOURCE).as_posix() for path in modules() if path.stem.endswith("ing")}

    assert set() == {path for path in verbs if Path(path).stem not in ING_NOUNS}


# Words that say what happened to a value instead of what it is.
PARTICIPLES = {"told", "said", "kept", "asked", "wanted", "given", "known", "shown", "looked", "meant"}
PARTICIPLES_MAX = 25


def test_values_are_named_by_nouns() -> None:
    named = [
        f"{shown(path, node)}: {name}"
        for path in modules()
        for node in ast.walk(tree(path))
        if (name := _name_of_value(node)) in PARTICIPLES
    ]

    assert len(named) <= PARTICIPLES_MAX, "\n".join(named)


def _name_of_value(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return node.id
    return node.arg if isinstance(node, ast.arg) else None
