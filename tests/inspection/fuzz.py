"""Random damage to sound files and to attacks: a header reader may refuse an input with a reason, and nothing else.

    python -m tests.inspection.fuzz [--inputs 1000000] [--seed 1] [--layers]

Each input is one seed with a few mutations (bits, bytes, cuts, copies, numbers at their limits, pieces of other seeds),
given to the reader of its format and, through ``identify``, to the rules. Anything but a refusal ends the run, with the
input in hexadecimal. CI runs a few thousand (test_fuzz.py).

With --layers the inputs are headers: layers of all families with other sizes, types, prefixes and notes. Besides
an exception, a belief without evidence ends the run.

The last full runs stand at the end of tests/attacks/README.md.
"""

import argparse
import io
import random
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from modelyard.errors import CorruptFile, UnsupportedFile
from modelyard.inspection import (
    Header,
    Tensor,
    formats,
    gguf,
    identify,
    pickle_opcodes,
    pickle_scan,
    safetensors,
    state_dict,
)
from modelyard.inspection.budget import Budget, Limits
from modelyard.inspection.families import Layout, read_layouts
from tests.attacks import frames, ggufs, strangers
from tests.attacks import pickles as hostile_pickles
from tests.attacks.attack import ATTACKS
from tests.inspection.made_files import frame, header_bytes, legacy_torch, state_dict_pickle
from tests.inspection.made_files import gguf as gguf_file

SEED_BYTES_MAX = 4_000
LIMITS = Limits(opcodes=20_000, bytes=1 << 20, work=200_000)
HEADER_LIMIT = 1 << 20
# Numbers at which lengths, counts and signs turn.
EDGES = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 32, (1 << 63) - 1, (1 << 64) - 1)
WORDS = (
    *(b'"dtype"', b'"shape"', b'"data_offsets"', b"__metadata__", b"[", b"]", b"{", b"}", b",", b":", b"-1", b"1e9"),
    *(b"null", b'"\\ud800"', b"\x80\x04", b"\x93", b"R", b"(", b".", b"cos\nsystem\n", b"GGUF", b"PK\x03\x04"),
)


def read_safetensors(content: bytes) -> None:
    frame_ = safetensors.read_frame(io.BytesIO(content), len(content), HEADER_LIMIT)
    if frame_.header.tensors:
        identify(frame_.header)


def read_gguf(content: bytes) -> None:
    header = gguf.read_header(io.BytesIO(content), len(content), HEADER_LIMIT)
    if header.tensors:
        identify(header)


def walk_pickle(content: bytes) -> None:
    header = state_dict.header_of(pickle_opcodes.walk(io.BytesIO(content), Budget(LIMITS)).value)
    if header is not None:
        identify(header)


def scan_pickle(content: bytes) -> None:
    pickle_scan.scan_pickle(io.BytesIO(content), len(content), Budget(LIMITS))


def scan_zip(content: bytes) -> None:
    pickle_scan.scan_zip(io.BytesIO(content), len(content), Budget(LIMITS))


def scan_npy(content: bytes) -> None:
    pickle_scan.scan_npy(io.BytesIO(content), Budget(LIMITS))


def recognise(content: bytes) -> None:
    formats.recognise(io.BytesIO(content), len(content))


# How often each reader is tried, of 100 inputs: the cheap and the exposed ones more often.
READERS: tuple[tuple[Callable[[bytes], None], int], ...] = (
    (read_safetensors, 45),
    (walk_pickle, 25),
    (read_gguf, 20),
    (recognise, 6),
    (scan_pickle, 2),
    (scan_zip, 1),
    (scan_npy, 1),
)
MODULES = {
    read_safetensors: frames,
    read_gguf: ggufs,
    walk_pickle: hostile_pickles,
    scan_pickle: hostile_pickles,
    scan_zip: hostile_pickles,
    scan_npy: hostile_pickles,
    recognise: strangers,
}


def seeds_of(reader: Callable[[bytes], None]) -> list[bytes]:
    """Sound files, and as many small attacks on a reader's format, so that damage goes deep."""
    module = MODULES[reader].__name__
    attacks = [
        each.make()  # type: ignore[call-arg]  # only makers of sparse files take a path
        for each in ATTACKS.values()
        if each.make.__module__ == module and not each.sparse and not each.large
    ]
    raw, body = header_bytes({"lora_te.down.weight": ("F16", [4, 8]), "a": ("F8_E4M3", [3])}, {"ss_v2": "True"})
    weights = state_dict_pickle({"conv_first.weight": ("F32", [4, 3, 3, 3]), "b": ("I64", [])}, "params")
    sound = {
        read_safetensors: [frame(raw, bytes(body))],
        read_gguf: [gguf_file({"a": (0, [2, 4], 32), "b": (8, [2, 32], 68)}, {"general.architecture": "flux"})],
    }.get(reader, [weights, legacy_torch(weights)])
    return [*attacks, *(sound * (len(attacks) // len(sound)))]  # type: ignore[list-item]  # as above


def mutated(seed: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Damage a seed in one to six places."""
    content = bytearray(seed)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        at = rng.randrange(len(content) + 1)
        match rng.randrange(8):
            case 0 if content:
                content[at % len(content)] ^= 1 << rng.randrange(8)
            case 1 if content:
                content[at % len(content)] = rng.randrange(256)
            case 2:
                del content[at : at + rng.choice((1, 1, 2, 8, 64))]
            case 3:
                content[at:at] = content[at : at + rng.choice((1, 4, 32, 200))]
            case 4:
                width = rng.choice((1, 2, 4, 8))
                content[at : at + width] = (rng.choice(EDGES) % (1 << 8 * width)).to_bytes(width, "little")
            case 5:
                content[at:at] = rng.choice(WORDS)
            case 6:
                other = rng.choice(others)
                begin = rng.randrange(len(other) + 1)
                content[at:] = other[begin:]
            case 7:
                digits = str(rng.choice(EDGES)).encode()
                content[at : at + rng.randrange(4)] = digits
    return bytes(content[: 4 * SEED_BYTES_MAX])


def fuzz(inputs: int, seed: int) -> dict[str, int]:
    """Try ``inputs`` inputs; return how many each reader took without refusing. Raises what a reader must not raise."""
    rng = random.Random(seed)
    seeds = {reader: seeds_of(reader) for reader, _ in READERS}
    readers, weights = zip(*READERS, strict=True)
    taken = dict.fromkeys((reader.__name__ for reader in readers), 0)
    for reader in rng.choices(readers, weights, k=inputs):
        content = mutated(rng.choice(seeds[reader]), seeds[reader], rng)
        # Half of the frames get a true length, so that damage behind it is reached.
        if reader is read_safetensors and len(content) > 8 and rng.random() < 0.5:
            content = (content.rfind(b"}") - 7).to_bytes(8, "little", signed=True) + content[8:]
        try:
            reader(content)
            taken[reader.__name__] += 1
        except (CorruptFile, UnsupportedFile):
            pass
        except BaseException as error:
            error.add_note(f"{reader.__name__}({content.hex()})")
            raise
    return taken


ENDS = (
    *("", ".weight", ".bias", ".lora_down.weight", ".lora_up.weight", ".hada_w1_a", ".lokr_w1", ".lokr_w2", ".alpha"),
    *(".qweight", ".weight_scale", ".weight.absmax", ".diff", ".oft_blocks", ".dora_scale", ".a1.weight", ".b2.weight"),
)
PREFIXES = (
    "",
    "model.diffusion_model.",
    "lora_unet_",
    "transformer.",
    "base_model.model.",
    "vae.",
    "module.",
    "\n",
    "\0",
)
NOTES = ("flux-1", "/", "", "a" * 3000, "wan2.1/lora", "x/vae", "\0", "FLUX_KONTEXT")
NAMES = ("", "loras/pony.safetensors", "flux1-kontext.safetensors", "wan2.2_t2v/\0.gguf", "z_image_base")


def make_header(dice: random.Random, layouts: Sequence[Layout]) -> Header:
    """Make a header of one to twelve kinds of layers of a layout, some of them damaged."""
    tensors = {}
    for name, sizes in dice.choices(list(dice.choice(layouts).counts.items()), k=dice.randint(1, 12)):
        size = tuple(max(0, number + dice.choice((0, 0, 0, 1, -2))) for number in dice.choice(list(sizes or {(): 1})))
        size = dice.choice((size, size, size, (), (0,), (2**40,) * 5))
        spelling = name.replace("#", str(dice.randint(0, 99)))[: dice.choice((999, 999, 7))]
        dtype = dice.choice(("F16", "U8", "I8", "I32", "F8_E4M3", "strange"))
        tensors[dice.choice(PREFIXES) + spelling + dice.choice(ENDS)] = Tensor(dtype, size)
    note = dice.choice(NOTES)
    return Header(tensors, {"modelspec.architecture": note, "ss_base_model_version": note})


def fuzz_layers(inputs: int, seed: int) -> int:
    """Identify ``inputs`` headers; return of how many the type was known. Raises for a belief without evidence."""
    dice = random.Random(seed)
    layouts = [layout for layout in read_layouts() if all(sizes is not None for sizes in layout.counts.values())]
    known = 0
    for _ in range(inputs):
        header, name = make_header(dice, layouts), dice.choice(NAMES)
        try:
            answer = identify(header, name)
            for finding in (answer.type, answer.base_model, answer.architecture, answer.base_model_type):
                assert finding.is_known == (finding.confidence > 0)
                assert finding.evidence or not finding.is_known
        except BaseException as error:
            error.add_note(f"identify({header!r}, {name!r})")
            raise
        known += answer.type.is_known
    return known


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--layers", action="store_true")
    given = parser.parse_args()
    started = time.perf_counter()
    taken = (fuzz_layers if given.layers else fuzz)(given.inputs, given.seed)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    summary = f"{given.inputs:,} inputs, seed {given.seed}, {seconds:.0f} s, peak {peak} MB; not refused: {taken}"
    print(summary)  # a program's answer


if __name__ == "__main__":
    assert Path("tests").is_dir(), "run it from the repository's root"
    main()
