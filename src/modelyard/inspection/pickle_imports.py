"""The verdict on each name that a pickle imports.

The few names that weights need are clean. Names that run commands, open files or find other names are dangerous. Every
other name is suspicious, because no list of bad names is complete.
"""

from collections.abc import Mapping
from typing import Final

from modelyard.domain import Verdict
from modelyard.inspection.pickle_vm import UNKNOWN_NAME, Global


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What weights need: torch's storages and rebuild functions, numpy's arrays, containers. Anything callable here only
# makes a value of its arguments.
_TORCH_NAMES = _names(
    """
    Size device dtype float16 float32 float64 half float double bfloat16 int8 uint8 int16 int32
    int64 long int short bool complex64 complex128 float8_e4m3fn float8_e5m2 float8_e4m3fnuz
    float8_e5m2fnuz qint8 quint8 qint32 strided per_tensor_affine per_channel_affine Tensor
    BFloat16Storage BoolStorage ByteStorage CharStorage ComplexDoubleStorage ComplexFloatStorage
    DoubleStorage FloatStorage HalfStorage IntStorage LongStorage QInt32Storage QInt8Storage
    QUInt2x4Storage QUInt4x2Storage QUInt8Storage ShortStorage UntypedStorage
    """
)
_BUILTIN_NAMES = _names(
    """
    set frozenset dict list tuple int float complex bool bytes bytearray str slice range object
    """
)
_ARRAY_NAMES = frozenset({"_reconstruct", "scalar", "_frombuffer"})
ALLOWED: Final[Mapping[str, frozenset[str]]] = {
    "torch": _TORCH_NAMES,
    "torch._utils": _names(
        """
    _rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3 _rebuild_parameter
    _rebuild_parameter_with_state _rebuild_qtensor _rebuild_sparse_tensor
    _rebuild_meta_tensor_no_storage
    """
    ),
    "torch._tensor": frozenset({"_rebuild_from_type_v2"}),
    "torch.nn.parameter": frozenset({"Parameter"}),
    "torch.nn.modules.container": frozenset({"ParameterDict", "ParameterList"}),
    "torch.storage": frozenset({"UntypedStorage", "TypedStorage"}),
    "torch.serialization": frozenset({"_get_layout"}),
    "torch.torch_version": frozenset({"TorchVersion"}),
    "collections": frozenset({"OrderedDict", "defaultdict", "Counter"}),
    "builtins": _BUILTIN_NAMES,
    "__builtin__": _BUILTIN_NAMES | {"unicode", "long"},
    "_codecs": frozenset({"encode"}),  # how protocol 2 writes bytes
    "copyreg": frozenset({"_reconstructor"}),
    "copy_reg": frozenset({"_reconstructor"}),
    "numpy": frozenset({"dtype", "ndarray", "float64", "float32", "int64"}),
    "numpy.core.multiarray": _ARRAY_NAMES,
    "numpy._core.multiarray": _ARRAY_NAMES,
    "numpy.core.numeric": frozenset({"_frombuffer"}),
    "numpy._core.numeric": frozenset({"_frombuffer"}),
    # The callbacks' class is a key in Stable Diffusion 1.x's own checkpoints; A1111's unpickler allows it too.
    "pytorch_lightning.callbacks": frozenset({"ModelCheckpoint"}),
    "pytorch_lightning.callbacks.model_checkpoint": frozenset({"ModelCheckpoint"}),
    "pathlib": frozenset({"PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"}),
    "datetime": frozenset({"datetime", "date", "timedelta"}),
}

# Modules whose every name runs code, opens files or connections, or finds other names. picklescan's list is longer
# and changes; these are here so that the verdict does not hang on its version.
_DANGEROUS_MODULES = _names(
    """
    os posix nt subprocess sys shutil socket ssl pty commands popen2 runpy importlib imp pkgutil
    pickle _pickle cPickle dill cloudpickle joblib marshal shelve ctypes cffi code codeop bdb pdb
    cProfile profile trace timeit doctest pydoc webbrowser asyncio multiprocessing threading _thread
    concurrent signal platform getpass tempfile glob fileinput urllib http httplib requests httpx
    aiohttp ftplib smtplib imaplib poplib telnetlib xmlrpc nturl2path uuid ensurepip pip setuptools
    distutils venv site sysconfig zipimport zipfile tarfile operator _operator functools inspect
    types gc atexit weakref antigravity idlelib lib2to3 test unittest nose pytest IPython sqlite3
    """
)
_DANGEROUS_NAMES = _names(
    """
    eval exec execfile compile open input raw_input __import__ getattr setattr delattr vars globals
    locals breakpoint apply memoryview help exit quit classmethod staticmethod property super type
    map filter reduce __build_class__
    """
)
# Beside the names above, which are dangerous in every module.
_DANGEROUS_GLOBALS: Final[Mapping[str, frozenset[str]]] = {
    "torch": frozenset({"load", "hub"}),
    "torch.serialization": frozenset({"load", "_load"}),
    "torch.jit": frozenset({"load", "script"}),
    "numpy": frozenset({"load", "fromfile", "loadtxt", "genfromtxt", "memmap", "save"}),
    "logging": frozenset({"FileHandler"}),
    "logging.config": frozenset({"listen", "fileConfig", "dictConfig"}),
    "io": frozenset({"FileIO", "open_code"}),
    "_io": frozenset({"FileIO", "open_code"}),
}
_DANGEROUS_PREFIXES = (
    "numpy.testing",
    "numpy.f2py",
    "numpy.distutils",
    "torch.hub",
    "torch.utils.cpp_extension",
    "torch._inductor",
    "torch._dynamo",
    "torch.package",
    "torch.distributed",
    "torch.multiprocessing",
    "torch.utils.collect_env",
    "torch.utils.data.datapipes",
)


def judge_global(reference: Global) -> Verdict:
    """Return the verdict on importing one name."""
    if UNKNOWN_NAME in (reference.module, reference.name):
        return Verdict.DANGEROUS
    if reference.name in ALLOWED.get(reference.module, frozenset()):
        return Verdict.CLEAN
    if reference.name in _DANGEROUS_GLOBALS.get(reference.module, frozenset()):
        return Verdict.DANGEROUS
    root = reference.module.partition(".")[0]
    if root in _DANGEROUS_MODULES or reference.module.startswith(_DANGEROUS_PREFIXES):
        return Verdict.DANGEROUS
    # "module name.attribute" reaches whatever the module imports itself: os through torch.os, say.
    if any(part in _DANGEROUS_MODULES or part in _DANGEROUS_NAMES for part in reference.name.split(".")):
        return Verdict.DANGEROUS
    return Verdict.SUSPICIOUS
