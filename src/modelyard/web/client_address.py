"""The address and the scheme of a client behind reverse proxies.

A proxy appends the address that it received a request from to ``X-Forwarded-For``, and sets ``X-Forwarded-Proto``. Any
client can send these headers too, so they count only on a connection from a network that the operator trusts.
"""

import ipaddress
from collections.abc import Mapping
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_CACHED_ADDRESSES = 4096
# Twenty addresses of IPv6: more proxies in a row are not expected.
_FORWARDED_BYTES_MAX = 1024
_SCHEMES = (b"http", b"https")


class TrustedProxies:
    """The networks of the trusted proxies, as a list separated by commas. An empty list trusts nobody."""

    def __init__(self, networks: str = "") -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks.split(",") if network]
        self._client = lru_cache(maxsize=_CACHED_ADDRESSES)(self._find_client)
        self._is_trusted = lru_cache(maxsize=_CACHED_ADDRESSES)(self.contains)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def contains(self, address: str) -> bool:
        """Whether an address is that of a trusted proxy. Text that is no address is not."""
        parsed = _parse_address(address)
        return parsed is not None and any(parsed in network for network in self._networks)

    def client_of(self, peer: str, headers: Mapping[bytes, bytes]) -> str:
        """Return the address of the client of a request that arrived from ``peer``."""
        # What a client sends itself is not kept, and of what a proxy sends only the part that it can have added to.
        if not self._is_trusted(peer):
            return peer
        forwarded_for = headers.get(b"x-forwarded-for", b"")
        if len(forwarded_for) > _FORWARDED_BYTES_MAX:
            forwarded_for = forwarded_for[-_FORWARDED_BYTES_MAX:].partition(b",")[2]
        return self._client(peer, forwarded_for)

    def scheme_of(self, peer: str, headers: Mapping[bytes, bytes], scheme: str) -> str:
        """Return ``http`` or ``https``, as the client spoke it; ``scheme`` is that of the connection from ``peer``."""
        # The last value is that of the nearest proxy.
        value = headers.get(b"x-forwarded-proto", b"").rpartition(b",")[2].strip().lower()
        return value.decode() if value in _SCHEMES and self.contains(peer) else scheme

    def _find_client(self, peer: str, forwarded_for: bytes) -> str:
        """Walk from the nearest proxy to the client. The first address that is not trusted is the client's.

        Whatever stands before it in the header was sent by that client.
        """
        client = peer
        for text in reversed(forwarded_for.decode("latin-1").split(",")):
            if not self.contains(client):
                break
            parsed = _parse_address(_without_port(text.strip()))
            if parsed is None:
                break
            client = str(parsed)
        return client


@lru_cache(maxsize=_CACHED_ADDRESSES)
def network_of(address: str) -> str:
    """Return what one client may have: an IPv4 address, or the /64 of an IPv6 address. Other text is returned as is."""
    parsed = _parse_address(address)
    if not isinstance(parsed, ipaddress.IPv6Address):
        return address if parsed is None else str(parsed)
    return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))


def _parse_address(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # A socket for both versions of IP shows an IPv4 address as part of an IPv6 address.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _without_port(text: str) -> str:
    """Return the address in ``192.0.2.1:4711``, ``[2001:db8::1]:4711`` or ``[2001:db8::1]``."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
