"""Completion of base models, which have spaces in their names."""

import click

from modelyard.base_models import KNOWN


def complete_base_model(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of base models that begin with a text, in any case."""
    return [base.name for base in KNOWN if base.name.casefold().startswith(incomplete.casefold())]
