"""`modelyard inspect`: what a file is, with the evidence for it. Needs no catalogue, and opens that one file only.

With ``--why``: what is known of a model of the catalogue, and who said it.
"""

from pathlib import Path

import click

from modelyard import errors, inspection
from modelyard.cli import explain, options, output, progress
from modelyard.inspection import Finding, Inspection

_FINDINGS = ("type", "base_model", "base_model_type", "architecture", "dialect", "part", "precision")


@click.command(epilog="Examples: modelyard inspect detail_v2.safetensors --json;  modelyard inspect --why 7A28BA3463")
@options.home_option
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--why", metavar="MODEL", help="Show what each source says of a model: its id, a name or a hash.")
@click.option("--no-hash", is_flag=True, help="Read the header only: milliseconds, however large the file is.")
@options.json_option
def inspect(file: Path | None, why: str | None, no_hash: bool, as_json: bool) -> None:
    """Say what a model file is: format, safety, hashes, kind and base, each with its evidence.

    The exit code is 0 for a sound file, known or not, and 1 for a broken or dangerous one.
    """
    if (file is None) == (why is None):
        raise click.UsageError("give a file, or --why with a model")
    if why is not None:
        explain.write_why(why, as_json=as_json)
        return
    assert file is not None, "one of the two is given"
    found = _inspected(file, with_hashes=not no_hash)
    if as_json:
        output.write_json(found.to_json())
    else:
        _write(found)
    if not found.is_sound:
        raise errors.CorruptFile(str(file), found.reason)


def _inspected(file: Path, *, with_hashes: bool) -> Inspection:
    try:
        whole = file.stat().st_size if with_hashes else 0
        with progress.metered_bytes("hashing", whole) as on_bytes:
            return inspection.inspect_file(file, with_hashes=with_hashes, on_bytes=on_bytes)
    except OSError as error:
        raise errors.UnsupportedFile(f"{file}: {error.strerror}") from error


def _write(found: Inspection) -> None:
    """Write what a person wants to know first, then every observation that it rests on."""
    findings = {name: getattr(found.identity, name) for name in _FINDINGS}
    rows = [("format", found.format), ("verdict", f"{found.verdict}: {found.reason}")]
    rows.append(("size", f"{found.size_bytes:,} bytes"))
    rows += [(name.replace("_", " "), _answer(finding)) for name, finding in findings.items() if finding.is_known]
    if found.identity.parameters is not None:
        rows.append(("parameters", f"{found.identity.parameters:,}"))
    if found.identity.trigger_words:
        rows.append(("trigger words", ", ".join(found.identity.trigger_words)))
    if found.hashes is not None:
        rows += [(name, digits) for name, digits in found.hashes.to_json().items() if digits]
    if found.imports:
        rows.append(("imports", ", ".join(found.imports)))
    if found.also:
        rows.append(("readable also as", ", ".join(found.also)))
    output.write_table(("what", "found"), rows)
    observed = [
        (name.replace("_", " "), each.rule, f"{each.source} {each.name}", each.value, each.says)
        for name, finding in findings.items()
        for each in finding.evidence
    ]
    if observed:
        click.echo()
        output.write_table(("about", "rule", "seen in", "value", "says"), observed)


def _answer(finding: Finding) -> str:
    sure = f"{finding.value} ({finding.confidence:.0%})"
    return f"{sure}; the file alone cannot tell {', '.join(finding.candidates)} apart" if finding.candidates else sure
