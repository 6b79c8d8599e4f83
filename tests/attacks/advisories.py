"""What public advisories for pickle scanners report, one row an advisory: none may be clean.

Most report imports that a list of bad names lacked. Those rows name one of them; the pickle calls it with nothing.
"""

import zlib
from collections.abc import Callable, Mapping

from tests.attacks.pickles import short, system, zipped

# picklescan: missing imports. Module, then the name in it.
PICKLESCAN_IMPORTS: Mapping[str, str] = {
    "GHSA-4r9r-ch6f-vxmx": "torch.utils.bottleneck.__main__ run_cprofile",
    "GHSA-86cj-95qr-2p4f": "torch._dynamo.guards GuardBuilder.get",
    "GHSA-f4x7-rfwp-v3xw": "torch.fx.experimental.symbolic_shapes ShapeEnv.evaluate_guards_expression",
    "GHSA-f745-w6jp-hpxx": "torch.utils.collect_env run",
    "GHSA-jhph-76pp-mggw": "torch.utils.collect_env run_and_read_all",
    "GHSA-h3qp-7fh3-f8h4": "torch.utils.data.datapipes.utils.decoder basichandlers",
    "GHSA-vr7h-p6mm-wpmh": "torch.jit.unsupported_tensor_ops execWrapper",
    "GHSA-vv6j-3g6g-2pvj": "torch.utils._config_module ConfigModule.load_config",
    "GHSA-5qwp-399c-mjwf": "trace Trace.run",
    "GHSA-g344-hcph-8vgg": "trace Trace.runctx",
    "GHSA-x696-vm39-cp64": "profile Profile.run",
    "GHSA-6vqj-c2q5-j97w": "profile Profile.runctx",
    "GHSA-f54q-57x4-jg88": "lib2to3.pgen2.grammar Grammar.loads",
    "GHSA-3vg9-h568-4w9m": "idlelib.debugobj ObjectTreeItem.SetText",
    "GHSA-6w4w-5w54-rjvr": "idlelib.autocomplete AutoComplete.get_entity",
    "GHSA-7cq8-mj8x-j263": "idlelib.autocomplete AutoComplete.fetch_completions",
    "GHSA-cj3c-v495-4xqh": "code InteractiveInterpreter.runcode",
    "GHSA-8r4j-24qv-fmq9": "idlelib.calltip Calltip.fetch_tip",
    "GHSA-9xph-j2h6-g47v": "idlelib.calltip get_entity",
    "GHSA-4whj-rm5r-c2v8": "torch.utils.bottleneck.__main__ run_autograd_prof",
    "GHSA-xp4f-hrf8-rxw7": "ensurepip _run_pip",
    "GHSA-p9w7-82w4-7q8m": "lib2to3.pgen2.pgen ParserGenerator.make_label",
    "GHSA-m869-42cg-3xwr": "idlelib.run Executive.runcode",
    "GHSA-j343-8v2j-ff7w": "idlelib.pyshell ModifiedInterpreter.runcommand",
    "GHSA-3gf5-cxq9-w223": "idlelib.pyshell ModifiedInterpreter.runcode",
    "GHSA-fqq6-7vqf-w3fg": "doctest debug_script",
    "GHSA-9w88-8rmg-7g2p": "cProfile runctx",
    "GHSA-49gj-c84q-6qm9": "cProfile run",
    "GHSA-q77w-mwjj-7mqx": "asyncio.unix_events _UnixSubprocessTransport._start",
    "GHSA-v7x6-rv5q-mhwc": "timeit timeit",
    "GHSA-m273-6v24-x4m4": "distutils.file_util write_file",
    "GHSA-4675-36f9-wf6r": "ctypes CDLL",
    "GHSA-84r2-jw7c-4r5q": "pydoc locate",
    "GHSA-vqmv-47xg-9wpr": "pty spawn",
    "GHSA-r8g5-cgf2-4m4m": "numpy.f2py.crackfortran getlincoef",
    "GHSA-655q-fx9r-782v": "pip main",
    "GHSA-9726-w42j-3qjr": "io FileIO",
    "GHSA-vvpj-8cmc-gx39": "pkgutil resolve_name",
    "GHSA-7wx9-6375-f5wh": "profile run",
    "GHSA-g38g-8gr9-h9xp": "_osx_support _read_output",
}
# fickling: imports that its lists lacked.
FICKLING_IMPORTS: Mapping[str, str] = {
    "GHSA-565g-hwwr-4pp3": "marshal loads",
    "GHSA-r7v6-mfhq-g3m2": "pty spawn",
    "GHSA-wfq2-52f7-7qvj": "runpy run_path",
    "GHSA-p523-jq9w-64x9": "cProfile run",
    "GHSA-5hvc-6wx8-mvv4": "ctypes CDLL",
    "GHSA-q5qq-mvfm-j35x": "pydoc.sub locate",
    "GHSA-h4rm-mm56-xf63": "builtins __import__",
    "GHSA-mhc9-48gj-9gp3": "socketserver TCPServer",
    "GHSA-5hwf-rc88-82xm": "_aix_support _read_cmd_output",
    "GHSA-m6fh-58r7-x697": "_posixsubprocess fork_exec",
    "GHSA-6ggj-6f2q-f7mx": "_interpreters run_string",
    "GHSA-cffv-grgg-g429": "linecache getline",
}


def calling(names: str) -> bytes:
    """A pickle that imports a name, calls it, and gives the result a state: REDUCE, then BUILD."""
    module, name = names.split()
    return b"\x80\x04" + short(module) + short(name) + b"\x93)R}b."


def flagged_zip() -> bytes:
    """The flag of encryption in the member's own header."""
    content = bytearray(zipped({"archive/data.pkl": system(2)}))
    content[6] |= 1
    return bytes(content)


def zip_of_two_names() -> bytes:
    return zipped({"archive/data.pkl": system(2)}).replace(b"data.pkl", b"datap.kl", 1)


def zip_with_a_wrong_checksum() -> bytes:
    content = zipped({"archive/data.pkl": system(2)})
    checksum = zlib.crc32(system(2)).to_bytes(4, "little")
    return content.replace(checksum, bytes(4))


# Advisories about how a file is read: the file's name, and its maker.
READING: Mapping[str, tuple[str, Callable[[], bytes]]] = {
    # picklescan: a flag in the header, two names for a member, a checksum that is wrong.
    "GHSA-w8jq-xcqf-f792": ("model.pt", flagged_zip),
    "GHSA-7q5r-7gvp-wc82": ("model.pt", zip_of_two_names),
    "GHSA-mjqp-26hc-grxg": ("model.pt", zip_with_a_wrong_checksum),
    # A pickle under a name of no pickle inside an archive, and under a name of torch's outside of one.
    "GHSA-769v-p64c-89pr": ("model.pt", lambda: zipped({"archive/data.txt": system(4)})),
    "GHSA-jgw4-cr84-mqxg": ("model.bin", lambda: system(4)),
    # A part of a package whose whole is on the list.
    "GHSA-f7qq-56ww-84cr": ("model.pkl", lambda: calling("asyncio.unix_events.sub anything")),
    # Texts of protocol 0 before STACK_GLOBAL, at the very start.
    "GHSA-9gvj-pp9x-gcfr": ("model.pkl", lambda: b"S'os'\nS'system'\n\x93S'true'\n\x85R."),
}
