"""How many connections a worker has at once, of all clients and of one address.

Each connection is a descriptor, and a worker without free descriptors can accept nobody and open no file. Connections
over a limit are answered with 503.
"""

import resource
from collections import Counter

from modelyard.web.client_address import TrustedProxies, network_of

# What a worker opens besides connections: the database, the index, files that it sends and receives.
_DESCRIPTORS_KEPT_MAX = 256
# A quarter of the connections for one address: four clients have to act together to take all.
_ADDRESS_PART = 4
_THIS_MACHINE = "127.0.0.0/8,::1/128"


class ConnectionLimits:
    """The open connections of one worker. All addresses of an IPv6 network (/64) count as one, as one client has them.

    0 ``per_address_max`` means a quarter of all. The limit of one address does not apply to this machine and to
    ``trusted_proxies``: their connections have the requests of many clients.
    """

    def __init__(self, connections_max: int, per_address_max: int = 0, trusted_proxies: str = "") -> None:
        self.connections_max = min(connections_max, _count_descriptors())
        self.per_address_max = per_address_max or max(1, self.connections_max // _ADDRESS_PART)
        self._proxies = TrustedProxies(f"{_THIS_MACHINE},{trusted_proxies}")
        self._by_network: Counter[str] = Counter()
        self._count = 0

    def add(self, address: str) -> str:
        """Count a connection of an address, which is empty for a Unix socket. Return why it is refused, or ""."""
        self._count += 1
        network = network_of(address)
        self._by_network[network] += 1
        if self._count > self.connections_max:
            return f"the server has its maximum of {self.connections_max:,} connections; try again later"
        if self._by_network[network] > self.per_address_max and not self._is_proxy(address):
            return f"your address has its maximum of {self.per_address_max:,} connections; close some first"
        return ""

    def remove(self, address: str) -> None:
        """Stop to count a connection."""
        self._count -= 1
        network = network_of(address)
        self._by_network[network] -= 1
        if not self._by_network[network]:
            del self._by_network[network]

    def count_excess(self, address: str) -> int:
        """Return how many connections there are over a maximum: refused ones that are not closed yet."""
        address_excess = 0 if self._is_proxy(address) else self._by_network[network_of(address)] - self.per_address_max
        return max(self._count - self.connections_max, address_excess)

    def _is_proxy(self, address: str) -> bool:
        return not address or self._proxies.contains(address)


def _count_descriptors() -> int:
    """Return how many connections the system's limit of open files allows."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        limit = 2**20
    return max(1, limit - min(_DESCRIPTORS_KEPT_MAX, limit // 4))
