"""What importing each name of the scanner's lists means. The names are written out: a list cannot show what it lost.

Not covered here: how the names are found in a pickle (test_pickles.py, tests/attacks).
"""

import io
import struct

import pytest

from modelyard.domain import Verdict
from modelyard.inspection.pickle_imports import ALLOWED, judge_global
from modelyard.inspection.pickle_scan import scan_pickle
from modelyard.inspection.pickle_vm import Global

TORCH = """
    Size device dtype float16 float32 float64 half float double bfloat16 int8 uint8 int16 int32 int64 long int short
    bool complex64 complex128 float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz qint8 quint8 qint32 strided
    per_tensor_affine per_channel_affine Tensor BFloat16Storage BoolStorage ByteStorage CharStorage
    ComplexDoubleStorage ComplexFloatStorage DoubleStorage FloatStorage HalfStorage IntStorage LongStorage
    QInt32Storage QInt8Storage QUInt2x4Storage QUInt4x2Storage QUInt8Storage ShortStorage UntypedStorage
"""
BUILTINS = "set frozenset dict list tuple int float complex bool bytes bytearray str slice range object"
CLEAN = {
    "torch": TORCH,
    "torch._utils": """
        _rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3 _rebuild_parameter _rebuild_parameter_with_state
        _rebuild_qtensor _rebuild_sparse_tensor _rebuild_meta_tensor_no_storage
    """,
    "torch._tensor": "_rebuild_from_type_v2",
    "torch.nn.parameter": "Parameter",
    "torch.nn.modules.container": "ParameterDict ParameterList",
    "torch.storage": "UntypedStorage TypedStorage",
    "torch.serialization": "_get_layout",
    "torch.torch_version": "TorchVersion",
    "collections": "OrderedDict defaultdict Counter",
    "builtins": BUILTINS,
    "__builtin__": f"{BUILTINS} unicode long",
    "_codecs": "encode",
    "copyreg": "_reconstructor",
    "copy_reg": "_reconstructor",
    "numpy": "dtype ndarray float64 float32 int64",
    "numpy.core.multiarray": "_reconstruct scalar _frombuffer",
    "numpy._core.multiarray": "_reconstruct scalar _frombuffer",
    "numpy.core.numeric": "_frombuffer",
    "numpy._core.numeric": "_frombuffer",
    "pytorch_lightning.callbacks": "ModelCheckpoint",
    "pytorch_lightning.callbacks.model_checkpoint": "ModelCheckpoint",
    "pathlib": "PosixPath WindowsPath PurePosixPath PureWindowsPath",
    "datetime": "datetime date timedelta",
}
DANGEROUS_MODULES = """
    os posix nt subprocess sys shutil socket ssl pty commands popen2 runpy importlib imp pkgutil pickle _pickle cPickle
    dill cloudpickle joblib marshal shelve ctypes cffi code codeop bdb pdb cProfile profile trace timeit doctest pydoc
    webbrowser asyncio multiprocessing threading _thread concurrent signal platform getpass tempfile glob fileinput
    urllib http httplib requests httpx aiohttp ftplib smtplib imaplib poplib telnetlib xmlrpc nturl2path uuid ensurepip
    pip setuptools distutils venv site sysconfig zipimport zipfile tarfile operator _operator functools inspect types gc
    atexit weakref antigravity idlelib lib2to3 test unittest nose pytest IPython sqlite3
"""
DANGEROUS_NAMES = """
    eval exec execfile compile open input raw_input __import__ getattr setattr delattr vars globals locals breakpoint
    apply memoryview help exit quit classmethod staticmethod property super type map filter reduce __build_class__
"""
DANGEROUS_GLOBALS = {
    "builtins": DANGEROUS_NAMES,
    "__builtin__": DANGEROUS_NAMES,
    "torch": "load compile hub",
    "torch.serialization": "load _load",
    "torch.jit": "load script",
    "numpy": "load fromfile loadtxt genfromtxt memmap save",
    "logging": "FileHandler",
    "logging.config": "listen fileConfig dictConfig",
    "io": "open FileIO open_code",
    "_io": "open FileIO open_code",
    "codecs": "open",
}
DANGEROUS_PREFIXES = """
    numpy.testing numpy.f2py numpy.distutils torch.hub torch.utils.cpp_extension torch._inductor torch._dynamo
    torch.package torch.distributed torch.multiprocessing torch.utils.collect_env torch.utils.data.datapipes
"""


def globals_of(names_by_module: dict[str, str]) -> set[Global]:
    return {Global(module, name) for module, names in names_by_module.items() for name in names.split()}


def not_judged(verdict: Verdict, imports: set[Global]) -> list[str]:
    """The imports that are judged otherwise."""
    return sorted(str(each) for each in imports if judge_global(each) is not verdict)


def test_every_name_that_weights_need_is_clean_and_no_other() -> None:
    assert [] == not_judged(Verdict.CLEAN, globals_of(CLEAN))
    assert globals_of(CLEAN) == {Global(module, name) for module, names in ALLOWED.items() for name in names}


def test_every_dangerous_name_of_a_module_is_dangerous() -> None:
    assert [] == not_judged(Verdict.DANGEROUS, globals_of(DANGEROUS_GLOBALS))


def test_every_name_of_a_dangerous_module_is_dangerous_and_of_its_submodules() -> None:
    for module in DANGEROUS_MODULES.split():
        assert [] == not_judged(
            Verdict.DANGEROUS, {Global(module, "anything"), Global(f"{module}.inner.part", "anything")}
        )


def test_a_dangerous_module_is_dangerous_through_any_other_module() -> None:
    for module in DANGEROUS_MODULES.split():
        assert [] == not_judged(
            Verdict.DANGEROUS, {Global("models.yolo", module), Global("models.yolo", f"inner.{module}.anything")}
        )


def test_a_dangerous_builtin_is_dangerous_through_any_other_module() -> None:
    for name in DANGEROUS_NAMES.split():
        assert [] == not_judged(
            Verdict.DANGEROUS, {Global("models.yolo", name), Global("models.yolo", f"inner.{name}")}
        )


def test_every_name_below_a_dangerous_prefix_is_dangerous() -> None:
    for prefix in DANGEROUS_PREFIXES.split():
        assert [] == not_judged(Verdict.DANGEROUS, {Global(prefix, "anything"), Global(f"{prefix}.inner", "anything")})


@pytest.mark.parametrize(
    ("module", "name"), [("?", "?"), ("?", "OrderedDict"), ("collections", "?"), ("numpy", "?"), ("?", "system")]
)
def test_a_name_of_which_any_half_is_computed_is_dangerous(module: str, name: str) -> None:
    assert Verdict.DANGEROUS == judge_global(Global(module, name))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("models.yolo", "Model"),
        # A name is allowed in its own module only, and a list's name is a whole name.
        ("models.yolo", "OrderedDict"),
        ("torch.nn", "Parameter"),
        ("collections", "OrderedDict2"),
        ("osmium", "Model"),
        ("models.os", "Model"),
        ("torch", "loads"),
        ("models.yolo", "evaluate"),
    ],
)
def test_a_name_on_no_list_is_suspicious(module: str, name: str) -> None:
    assert Verdict.SUSPICIOUS == judge_global(Global(module, name))


@pytest.mark.parametrize("name", ["load", "fromfile", "memmap", "save"])
def test_a_pickle_that_imports_a_dangerous_name_of_numpy_is_dangerous(name: str) -> None:
    """picklescan knows none of them, so the verdict is our own."""
    argument = b"X" + struct.pack("<I", 1) + b"a"
    content = b"\x80\x02cnumpy\n" + name.encode() + b"\n" + argument + b"\x85R."

    scan = scan_pickle(io.BytesIO(content), len(content))

    assert (Verdict.DANGEROUS, f"imports numpy.{name}, which runs code", (f"numpy.{name}",)) == (
        scan.verdict,
        scan.reason,
        scan.globals,
    )
