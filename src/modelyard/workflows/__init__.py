"""Untrusted workflows and pictures → the models that they need. Pure: no I/O, and limits before memory is taken."""

from modelyard.workflows.declarations import Declaration, declare_models
from modelyard.workflows.document import ACCEPTED, BODY_BYTES_MAX, read_needs, read_page_graph
from modelyard.workflows.needs import Need, Needs

__all__ = [
    "ACCEPTED",
    "BODY_BYTES_MAX",
    "Declaration",
    "Need",
    "Needs",
    "declare_models",
    "read_needs",
    "read_page_graph",
]
