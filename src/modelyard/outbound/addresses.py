"""Which URLs and which IP addresses this server may request.

A host is resolved once, and the connection goes to an IP address that was checked, so a host that resolves to another
address the second time (DNS rebinding) gains nothing.
"""

import ipaddress
import socket
import unicodedata
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from modelyard import errors

PORTS = {"http": 80, "https": 443}
# How many IP addresses of a host are tried; a stranger's host may name any number.
_ADDRESSES_MAX = 8

_INNER_DOMAINS = frozenset({"internal", "local", "localdomain"})

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# Public IPv6 networks that route to the IPv4 address inside the address: NAT64, 6to4, Teredo.
_TRANSLATED_NETWORKS = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))


class UnknownHost(errors.Unavailable):
    """The name of the host cannot be resolved now."""


def resolve(host: str, port: int) -> list[str]:
    """Return the IP addresses of a host."""
    results = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in results))


def parse_url(url: str) -> SplitResult:
    """Split an absolute URL. Raises AddressRefused, without showing it, if it is not http(s) or has a user name."""
    try:
        parsed = urlsplit(url)
        is_usable = parsed.scheme in PORTS and bool(parsed.hostname) and parsed.port != 0
    except ValueError:  # a port that is not a number, a bracket that is not closed
        is_usable = False
    if not is_usable or parsed.username is not None or not url.isprintable() or "\\" in parsed.netloc:
        raise errors.AddressRefused(
            "this is no address to fetch from; accepted: http:// and https://, without user name and password"
        )
    return parsed


def origin_of(url: str) -> str:
    """Return the scheme, the host and the port of a URL, in one spelling: ``https://civitai.com:443``."""
    parsed = parse_url(url)
    return f"{parsed.scheme}://{(parsed.hostname or '').rstrip('.')}:{parsed.port or PORTS[parsed.scheme]}"


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """The addresses that requests may reach: the public internet by https, and the ``allowed`` networks.

    ``allow_http`` accepts http also. ``origins`` are servers that the operator has named, as ``origin_of`` spells them:
    they may have any IP address, and http. With ``is_exclusive`` no other servers may be requested.
    """

    allowed: Sequence[Network] = ()
    resolve: Callable[[str, int], list[str]] = resolve
    allow_http: bool = False
    origins: Collection[str] = frozenset()
    is_exclusive: bool = False

    def check_url(self, url: str) -> SplitResult:
        """Split a URL. Raises AddressRefused if its scheme, server or IP address is not accepted. Resolves nothing.

        A host that is an inner address by its spelling alone (``localhost``, ``127.1``, ``nas.local``) is refused too.
        """
        parsed = parse_url(url)
        if origin_of(url) in self.origins:
            return parsed
        if self.is_exclusive:
            raise errors.AddressRefused(f"{_shorten(parsed.hostname)} is not one of the servers that may be requested")
        if parsed.scheme == "http" and not self.allow_http:
            raise errors.AddressRefused(
                f"{_shorten(parsed.hostname)}: http is not accepted; use https, or set outbound_allow_http"
            )
        self._refuse_inner_host(parsed.hostname or "")
        return parsed

    def find_addresses(self, url: str) -> list[str]:
        """Return the IP addresses of the host of a URL. Raises AddressRefused if one of them may not be reached."""
        parsed = self.check_url(url)
        host, port = parsed.hostname or "", parsed.port or PORTS[parsed.scheme]
        try:
            addresses = self.resolve(host, port)[:_ADDRESSES_MAX]
        except (OSError, UnicodeError) as problem:
            raise UnknownHost(f"the host {_shorten(host)} is not known: {problem}") from None
        if origin_of(url) not in self.origins:
            for numeric in addresses:
                self._refuse_address(host, ipaddress.ip_address(numeric))
        return addresses

    def _refuse_inner_host(self, host: str) -> None:
        """Raise AddressRefused if the text of a host says that it leads where requests may not go."""
        # Resolvers read other digits, letters and dots of Unicode as these: １２７.0.0.1, nas。local.
        host = unicodedata.normalize("NFKC", host).replace("\u3002", ".")
        literals = _addresses_in(host)
        if literals and not any(map(self._may_reach, literals)):
            self._refuse_address(host, literals[0])
        # In a network that the operator allows, the address of the name decides.
        if not literals and not self.allowed and _is_inner_name(host):
            raise errors.AddressRefused(f"{_shorten(host)} is a name of an inner network, which is no public address")

    def _refuse_address(self, host: str | None, address: Address) -> None:
        """Raise AddressRefused if an IP address may not be reached."""
        if not self._may_reach(address):
            raise errors.AddressRefused(f"{_shorten(host)} leads to {address}, which is no public address")

    def _may_reach(self, address: Address) -> bool:
        mapped = getattr(address, "ipv4_mapped", None)
        address = mapped or address
        if any(address in network for network in self.allowed if network.version == address.version):
            return True
        is_translated = any(
            address in network for network in _TRANSLATED_NETWORKS if network.version == address.version
        )
        is_site_local = getattr(address, "is_site_local", False)
        return address.is_global and not (address.is_multicast or address.is_reserved or is_translated or is_site_local)


def create_policy(networks: str, *, allow_http: bool = False, origins: Collection[str] = frozenset()) -> AddressPolicy:
    """Return the policy of networks that are separated by commas, as the setting has them."""
    allowed = tuple(map(ipaddress.ip_network, filter(None, networks.split(","))))
    return AddressPolicy(allowed, allow_http=allow_http, origins=origins)


def _addresses_in(host: str) -> list[Address]:
    """Return the IP addresses that a host is without a look-up; none if it is another name."""
    name = host.rstrip(".")
    if name.rpartition(".")[2] == "localhost":
        return [ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1")]
    try:
        return [ipaddress.ip_address(name)]
    except ValueError:
        pass
    try:
        # Resolvers also accept 127.1, 0x7f.0.0.1, 0177.0.0.1 and 2130706433.
        return [ipaddress.IPv4Address(socket.inet_aton(name))]
    except (OSError, UnicodeError, ValueError):
        return []


def _is_inner_name(host: str) -> bool:
    """Whether a name is never that of a public server: RFC 6762, RFC 8375, ICANN's ``internal``, no dot."""
    _, dot, top = (name := host.rstrip(".")).rpartition(".")
    return not dot or top in _INNER_DOMAINS or f".{name}".endswith(".home.arpa")


def _shorten(host: str | None) -> str:
    return repr((host or "")[:100])
