"""Untrusted workflows and pictures → the models that they need. Pure: no I/O, and limits before memory is taken."""

from modelyard.workflows.document import ACCEPTED, BODY_BYTES_MAX, read_needs
from modelyard.workflows.needs import Need, Needs

__all__ = ["ACCEPTED", "BODY_BYTES_MAX", "Need", "Needs", "read_needs"]
