"""Requests to other servers: the one guard for everything that this server asks elsewhere.

    addresses   which URLs and which IP addresses may be requested
    connection  one request on a connection to a checked IP address: limits of size and time, a streamed answer
    turns       how many requests a host gets at the same time, and how soon after each other
    guard       redirects, each of them checked again; tokens, each for its own host; retries

    URL → origin → all IP addresses of the host, each of them allowed → connection to one of those IP addresses
      → answer: a streamed body  ·  redirect: the same again, up to five times

This package knows no models and no pictures: its callers say what they accept, and how much of it.
"""

from modelyard.outbound.addresses import AddressPolicy, create_policy, origin_of, parse_url
from modelyard.outbound.connection import Answer, Limits, TemporaryFailure
from modelyard.outbound.guard import Outbound, with_retries
from modelyard.outbound.turns import HostTurns

__all__ = [
    "AddressPolicy",
    "Answer",
    "HostTurns",
    "Limits",
    "Outbound",
    "TemporaryFailure",
    "create_policy",
    "origin_of",
    "parse_url",
    "with_retries",
]
