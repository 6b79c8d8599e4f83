"""The answers of the inspection for small headers and their neighbours, as text that a test compares as a whole.

A block begins with a name and the header's tensors, each with its shape; ``_`` is a size that tells nothing. Lines that
begin with ``+`` are tensors that another header of the family has. ``answer_tables`` writes below them

* the answer: type, base, variant, architecture and part, each with its confidence in percent, and the rule;
* ``without N``: the rule that matches without tensor N, and ``with N`` with a further tensor; for an adapter, the rule
  of its layers, and its base;
* ``N[axis]``: which sizes along an axis lead to which rule, of the sizes that tell models apart;
* ``prefixes``: the prefixes that the names may have.
"""

import textwrap
from itertools import groupby

from modelyard.inspection import Header, Identity, Tensor, identify

_ANY = 33
_WIDTH = 116
SIZES = (
    *(1, 3, 4, 5, 7, 8, 9, 12, 16, 32, 36, 48, 64, 128, 192, 256, 320, 384, 640, 768, 1024, 1152, 1280, 1536, 1920),
    *(2048, 2304, 2432, 2560, 3072, 3584, 3840, 4096, 5120, 6144, 256_384),
)
PREFIXES = (
    *("model.diffusion_model.", "diffusion_model.", "net.", "model.model.", "transformer.", "model.", "unet."),
    *("control_model.", "module.", "adapter.", "first_stage_model.", "vae.", "text_encoders.clip_l.transformer."),
    *("text_encoders.t5xxl.transformer.", "text_encoders.umt5xxl.transformer.", "other."),
)
Shapes = dict[str, tuple[int, ...]]


def read_tensors(lines: list[str]) -> Shapes:
    """Return the tensors of lines such as ``conv_in.weight 320,4,3,3``."""
    pairs = [line.removeprefix("+ ").split() for line in lines]
    return {
        name: tuple(_ANY if size == "_" else int(size) for size in sizes.split(",") if size != "-")
        for name, sizes in pairs
    }


def identify_shapes(shapes: Shapes) -> Identity:
    """Identify a header of F16 tensors."""
    return identify(Header({name: Tensor("F16", shape) for name, shape in shapes.items()}, {}))


def name_rule(shapes: Shapes) -> str:
    """Return the name of the rule that matches, with the variant if it is special."""
    identity = identify_shapes(shapes)
    evidence = [*identity.type.evidence, *identity.base_model.evidence]
    if evidence and evidence[0].rule == "adapter":
        return f"{evidence[-1].rule} {identity.base_model.value}"
    rule, variant = evidence[0].rule if evidence else "-", identity.base_model_type.value
    return rule if variant in ("unknown", "Standard") else f"{rule} {variant}"


def show_answer(identity: Identity) -> list[str]:
    """Return the findings of an identity as lines."""
    findings = {
        "type": identity.type,
        "base": identity.base_model,
        "variant": identity.base_model_type,
        "architecture": identity.architecture,
        "dialect": identity.dialect,
        "part": identity.part,
    }
    known = [
        f"{name} {found.value} {found.confidence:.0%}" + (f" of {', '.join(found.candidates)}" * bool(found.candidates))
        for name, found in findings.items()
        if found.is_known or found.candidates
    ]
    if identity.type.evidence and identity.type.evidence[0].rule == "adapter":
        known.append(f"adapter: {identity.type.evidence[0].value}: {identity.type.evidence[0].says}")
    says = [f"says: {each.says}" for each in identity.base_model.evidence[:1] if each.says]
    seen = [f"seen: {each.rule}: {each.name}: {each.value}" for each in identity.base_model.evidence[:1]]
    return [*known, *says, *seen]


def answer_tables(text: str) -> str:
    """Return blocks, separated by empty lines, with the answers that the inspection gives now."""
    return "\n\n".join(map(_answer_block, text.strip().split("\n\n")))


def _answer_block(block: str) -> str:
    head, *lines = block.split("\n")
    lines = [line for line in lines if line[0] not in "= "]
    shapes = read_tensors([line for line in lines if line[0] != "+"])
    further = read_tensors([line for line in lines if line[0] == "+"])
    out = [*show_answer(identify_shapes(shapes))]
    for number, name in enumerate(shapes, 1):
        rest = {other: shape for other, shape in shapes.items() if other != name}
        if rest:
            out.append(f"without {number}: {name_rule(rest)}")
    for number, (name, shape) in enumerate(further.items(), 1):
        out.append(f"with {number}: {name_rule({**shapes, name: shape})}")
    for number, name in enumerate(shapes, 1):
        out += _show_sizes(shapes, number, name)
    rule = name_rule(shapes)
    prefixes = [
        prefix for prefix in PREFIXES if rule == name_rule({prefix + name: shape for name, shape in shapes.items()})
    ]
    out.append(f"prefixes: {' '.join(prefixes) or 'none'}")
    return "\n".join([head, *lines, *(textwrap.fill(f"= {line}", _WIDTH, subsequent_indent="    ") for line in out)])


def _show_sizes(shapes: Shapes, number: int, name: str) -> list[str]:
    """Return a line for each axis of a tensor with a telling size: the rules for the other sizes along it."""
    shape = shapes[name]
    lines = []
    for axis in range(len(shape)):
        if shape[axis] == _ANY:
            continue
        rules = [(size, name_rule({**shapes, name: (*shape[:axis], size, *shape[axis + 1 :])})) for size in SIZES]
        groups = [(rule, [size for size, _ in pairs]) for rule, pairs in groupby(rules, key=lambda pair: pair[1])]
        if len(groups) == 1:
            continue
        texts = [f"{sizes[0]}{f'…{sizes[-1]}' if len(sizes) > 1 else ''} {rule}" for rule, sizes in groups]
        lines.append(f"{number}[{axis}]: {', '.join(texts)}")
    return lines
