"""Modelyard: a self-hosted catalogue of generative-image models."""

from pathlib import Path

__version__ = "0.1.0"


def describe_version() -> str:
    """Return the version, and the commit that the package was built from. An editable installation has no commit."""
    try:
        return f"{__version__} (commit {Path(__file__).with_name('commit.txt').read_text(encoding='ascii')})"
    except OSError:
        return __version__
