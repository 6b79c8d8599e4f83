"""`modelyard inspect`: what a model file is, with the evidence. It needs no catalogue and opens only that file."""

from pathlib import Path

import click

from modelyard import errors, inspection
from modelyard.cli import options, output
from modelyard.cli.progress import Progress
from modelyard.inspection import Finding, Inspection

_FINDINGS = ("type", "base_model", "base_model_type", "architecture", "dialect", "part", "precision")


@click.command(epilog="Example: modelyard inspect detail_v2.safetensors --json")
@options.home_and_quiet_options
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--no-hash", is_flag=True, help="Read only the header: this takes milliseconds for a file of any size.")
@options.json_option
def inspect(file: Path, no_hash: bool, as_json: bool) -> None:
    """Show what a model file is: format, safety, hashes, type and base model, each with its evidence.

    The exit code is 0 for a sound file, even of an unknown type, and 1 for a broken or dangerous file.
    """
    result = _inspect_file(file, with_hashes=not no_hash)
    if as_json:
        output.write_json(result.to_json())
    else:
        _write_inspection(result)
    if not result.is_sound:
        raise errors.CorruptFile(str(file), result.reason)


def _inspect_file(file: Path, *, with_hashes: bool) -> Inspection:
    try:
        if not with_hashes:
            return inspection.inspect_file(file, with_hashes=False)
        with Progress() as progress:
            bar = progress.add_bar("hashing", file.stat().st_size, "bytes")
            return inspection.inspect_file(file, on_bytes=bar.advance)
    except OSError as error:
        raise errors.UnsupportedFile(f"{file}: {error.strerror}") from error


def _write_inspection(result: Inspection) -> None:
    """Write the findings first, then every observation that they rest on."""
    findings = {name: getattr(result.identity, name) for name in _FINDINGS}
    rows = [("format", result.format), ("verdict", f"{result.verdict}: {result.reason}")]
    rows.append(("size", f"{result.size_bytes:,} bytes"))
    rows += [
        (name.replace("_", " "), _format_finding(finding)) for name, finding in findings.items() if finding.is_known
    ]
    if result.identity.parameters is not None:
        rows.append(("parameters", f"{result.identity.parameters:,}"))
    if result.identity.trigger_words:
        rows.append(("trigger words", ", ".join(result.identity.trigger_words)))
    if result.hashes is not None:
        rows += [(name, digits) for name, digits in result.hashes.to_json().items() if digits]
    if result.imports:
        rows.append(("imports", ", ".join(result.imports)))
    if result.also:
        rows.append(("also readable as", ", ".join(result.also)))
    output.write_table(("what", "found"), rows, prose=("found",))
    observations = [
        (name.replace("_", " "), evidence.rule, f"{evidence.source} {evidence.name}", evidence.value, evidence.says)
        for name, finding in findings.items()
        for evidence in finding.evidence
    ]
    if observations:
        click.echo()
        output.write_table(("about", "rule", "seen in", "value", "says"), observations, prose=("value", "says"))


def _format_finding(finding: Finding) -> str:
    text = f"{finding.value} ({finding.confidence:.0%})"
    return f"{text}; the file alone cannot tell {', '.join(finding.candidates)} apart" if finding.candidates else text
