"""`modelyard inspect`: what model files are, and why. It needs no catalogue and opens only these files."""

import os
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from modelyard import errors, inspection
from modelyard.cli import options, output
from modelyard.cli.progress import Progress
from modelyard.inspection import Evidence, Finding, Inspection, ModelFiles, Verdict
from modelyard.paths import display_path

_FINDINGS = ("type", "base_model", "base_model_type", "architecture", "dialect", "part", "precision")
# Below this a finding is a guess, and said as one.
_SURE, _LIKELY = 0.95, 0.8
# Formats that programs know by the extension of the name, with these extensions.
_EXTENSIONS = {"safetensors": (".safetensors", ".sft"), "gguf": (".gguf",)}


@click.command(epilog="Example: modelyard inspect detail_v2.safetensors --json")
@options.home_and_quiet_options
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="FILE…")
@click.option("--no-hash", is_flag=True, help="Read only the header: this takes milliseconds for a file of any size.")
@click.option("-v", "--verbose", is_flag=True, help="Also show each observation that the answers rest on.")
@options.json_option
def inspect(files: Sequence[Path], no_hash: bool, verbose: bool, as_json: bool) -> None:
    """Show what model files are: type, base model and how sure that is, format, safety and hashes.

    A folder stands for the models in it; a pipeline of diffusers, or a file in shards, is one model. With --json,
    several models are one JSON object a line. The exit code is 0 if all models are sound, even those of an unknown
    type, and 1 if one is broken or dangerous.
    """
    models = [model for file in files for model in _list_models(file)]
    results = [(model, _show_model(model, no_hash, verbose, as_json, models)) for model in models]
    unsound = [(model, result) for model, result in results if not result.is_sound]
    if unsound:
        model, result = unsound[0]
        more = f"; {len(unsound) - 1} more files are not sound" if len(unsound) > 1 else ""
        raise errors.CorruptFile(str(model.path), f"{result.reason}{more}")


def _list_models(file: Path) -> list[ModelFiles]:
    """Return the file, or the models of a folder."""
    if not file.is_dir():
        return [ModelFiles(file, (file,))]
    try:
        models = inspection.list_models(file)
    except OSError as error:
        raise errors.UnsupportedFile(f"{file}: {error.strerror}") from error
    if not models:
        raise errors.UnsupportedFile(f"{file}: this folder has no model files; its folders are not looked into")
    return models


def _show_model(
    model: ModelFiles, no_hash: bool, verbose: bool, as_json: bool, models: Sequence[ModelFiles]
) -> Inspection:
    result = _inspect_model(model, with_hashes=not no_hash)
    if as_json and len(models) > 1:
        click.echo(msgspec.json.encode({"path": display_path(os.fsencode(model.path)), **result.to_json()}))
    elif as_json:
        output.write_json(result.to_json())
    else:
        if model is not models[0]:
            click.echo()
        _write_card(model.path, result)
        if verbose:
            _write_evidence(result)
    return result


def _inspect_model(model: ModelFiles, *, with_hashes: bool) -> Inspection:
    try:
        if not with_hashes:
            return inspection.inspect_model(model, with_hashes=False)
        with Progress() as progress:
            bar = progress.add_bar("hashing", sum(file.stat().st_size for file in model.files), "bytes")
            return inspection.inspect_model(model, on_bytes=bar.advance)
    except OSError as error:
        raise errors.UnsupportedFile(f"{error.filename or model.path}: {error.strerror}") from error


def _write_card(path: Path, result: Inspection) -> None:
    """Write one sentence that says what the file is, then every finding, and what could not be found out."""
    identity = result.identity
    click.echo(output.printable(f"{display_path(os.fsencode(path.name))}: {_summary(result)}"))
    findings = {name: getattr(identity, name) for name in _FINDINGS}
    rows = [("format", result.format), ("verdict", f"{result.verdict}: {result.reason}")]
    rows += [("name", note) for note in _misnamed(path.suffix.lower(), result)]
    rows.append(("size", f"{result.size_bytes:,} bytes"))
    rows += [(f"file {name}", _format_part(part)) for name, part in result.files]
    rows += [("missing file", name) for name in result.missing]
    rows += [
        (name.replace("_", " "), _format_finding(finding)) for name, finding in findings.items() if finding.is_known
    ]
    rows += _reasons(identity.type, identity.base_model)
    rows += [
        ("not followed", _format_evidence(evidence))
        for evidence in identity.base_model.evidence
        if evidence.says == inspection.NOT_FOLLOWED
    ]
    if result.is_sound and not identity.type.is_known:
        says = "these tensors are of no family that is known" if identity.parameters else "there are no tensors in it"
        rows.append(("not found out", f"what it is: {says}"))
    if identity.type.is_known and not identity.base_model.is_known:
        candidates = ", ".join(identity.base_model.candidates)
        rows.append(("not found out", f"the base model{f'; it can be {candidates}' if candidates else ''}"))
    if identity.parameters is not None:
        rows.append(("parameters", f"{identity.parameters:,}"))
    if identity.trigger_words:
        rows.append(("trigger words", ", ".join(identity.trigger_words)))
    if result.hashes is not None:
        rows += [(name, digits) for name, digits in result.hashes.to_json().items() if digits]
    if result.imports:
        rows.append(("imports", ", ".join(result.imports)))
    if result.also:
        rows.append(("also readable as", ", ".join(result.also)))
    output.write_table(("what", "found"), rows, prose=("found",))


def _misnamed(extension: str, result: Inspection) -> list[str]:
    """Say that a file is in another format than its name promises, which most programs go by."""
    promised = next((name for name, extensions in _EXTENSIONS.items() if extension in extensions), "")
    is_odd = promised != result.format and (promised or result.format in _EXTENSIONS)
    if not is_odd or not extension or not result.is_sound or result.files:
        return []
    return [f"it ends with {extension}, but the content is {result.format}; many programs go by the name"]


def _format_part(part: Inspection) -> str:
    digits = f", sha256 {part.hashes.sha256}" if part.hashes else ""
    return f"{part.size_bytes:,} bytes, {part.verdict}{digits}"


def _summary(result: Inspection) -> str:
    """Say type and base in one line, no more surely than they are known."""
    type_, base = result.identity.type, result.identity.base_model
    is_suspicious = result.verdict is Verdict.SUSPICIOUS
    doubt = ", but suspicious" if is_suspicious else ""
    if not result.is_sound and not all(part.is_sound for _, part in result.files or [("", result)]):
        return "not a sound model file"
    if not type_.is_known:
        return f"a {'suspicious' if is_suspicious else 'sound'} file of a kind that is not known"
    adverb = "" if type_.confidence >= _LIKELY else "perhaps "
    if not base.is_known or base.value == "Other":
        family = result.identity.architecture
        return f"{adverb}{type_.value}" + (f" of {family.value}" if family.is_known else "") + doubt
    sureness = "" if base.confidence >= _SURE else "probably " if base.confidence >= _LIKELY else "perhaps "
    lacking = ", with files missing" if result.missing else ""
    return f"{adverb}{type_.value}, {sureness}for {base.value}{lacking}{doubt}"


def _reasons(type_: Finding, base: Finding) -> list[tuple[str, str]]:
    """Say why it is of this type and for this base; once if that is the same observation."""
    reasons = [("why this type", _reason(type_)), ("why this base model", _reason(base))]
    if reasons[0][1] == reasons[1][1]:
        reasons = [("why", _reason(type_))]
    return [(what, why) for what, why in reasons if why]


def _reason(finding: Finding) -> str:
    """The observation that a finding rests on, in words: the one that chose it, or else the first."""
    if not finding.is_known or not finding.evidence:
        return ""
    chosen = (evidence for evidence in finding.evidence if evidence.says == inspection.CHOSEN)
    return _format_evidence(next(chosen, finding.evidence[0]))


def _format_evidence(evidence: Evidence) -> str:
    return f"{evidence.name}: {evidence.value}" + (f"; {evidence.says}" if evidence.says else "")


def _write_evidence(result: Inspection) -> None:
    """Write every observation once, with the findings that rest on it, and the rule that made it in brackets."""
    rests: dict[Evidence, list[str]] = {}
    for name in _FINDINGS:
        for evidence in getattr(result.identity, name).evidence:
            rests.setdefault(evidence, []).append(name.replace("_", " "))
    if rests:
        click.echo()
    for evidence, names in rests.items():
        output.write_paragraph(f"{', '.join(names)}: {evidence.source} {_format_evidence(evidence)} [{evidence.rule}]")


def _format_finding(finding: Finding) -> str:
    text = f"{finding.value} ({finding.confidence:.0%})"
    return f"{text}; the file alone cannot tell {', '.join(finding.candidates)} apart" if finding.candidates else text
