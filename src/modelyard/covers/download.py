"""Downloads of pictures from untrusted addresses, which must not reach our own networks.

    URL → host → all IP addresses of the host, each of them public → connection to one of those IP addresses
      → answer: a picture, within limits of size and time  ·  redirect: the same again, up to five times

The host is resolved once, and the connection goes to the IP address that was checked, so a host that resolves to
another address the second time (DNS rebinding) gains nothing. No proxy, cookie or key is used.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from modelyard import __version__, errors
from modelyard.covers.renderer import BYTES_MAX
from modelyard.retry import parse_retry_after

REDIRECTS_MAX = 5
# For one picture, also if its host sends it slowly.
SECONDS_MAX = 60.0
_CONNECT_SECONDS_MAX = 10.0
_BLOCK_BYTES = 64 * 1024
_PORTS = {"http": 80, "https": 443}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Temporary statuses; the caller retries them. All others are final.
_TEMPORARY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# Public IPv6 networks that route to the IPv4 address inside the address: NAT64, 6to4, Teredo.
_TRANSLATED_NETWORKS = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))


class TemporaryFailure(errors.Unavailable):
    """The address may have the picture later. ``after_seconds`` is what its server's Retry-After asks for, or None."""

    def __init__(self, problem: str, after_seconds: float | None = None) -> None:
        super().__init__(problem)
        self.after_seconds = after_seconds


def resolve(host: str, port: int) -> list[str]:
    """Return the IP addresses of a host."""
    results = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in results))


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """The addresses that downloads may reach: the public internet, and the ``allowed`` networks."""

    allowed: Sequence[Network] = ()
    resolve: Callable[[str, int], list[str]] = resolve

    def addresses(self, host: str, port: int) -> list[str]:
        """Return the IP addresses of a host. Raises AddressRefused if one of them is not public."""
        try:
            addresses = self.resolve(host, port)
        except (OSError, UnicodeError) as problem:
            raise TemporaryFailure(f"the host {host[:100]!r} is not known: {problem}") from None
        for numeric in addresses:
            if not self._may_reach(ipaddress.ip_address(numeric)):
                raise errors.AddressRefused(f"{host[:100]!r} leads to {numeric}, which is no public address")
        return addresses

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


def fetch(address: str, guard: AddressPolicy, seconds_max: float = SECONDS_MAX) -> bytes:
    """Return the body that an address answers with, up to the largest size of a picture.

    Raises TemporaryFailure for temporary failures, DownloadFailed, AddressRefused or TooLarge for others.
    """
    for _ in range(REDIRECTS_MAX + 1):
        result = _ask(_parse(address), guard, seconds_max)
        if isinstance(result, bytes):
            return result
        following = urljoin(address, result)
        if address.startswith("https:") and not following.startswith("https:"):
            raise errors.AddressRefused("the address redirects from https to something less")
        address = following
    raise errors.DownloadFailed(f"the address redirects more than {REDIRECTS_MAX} times")


def _parse(address: str) -> SplitResult:
    try:
        parsed = urlsplit(address)
        is_usable = parsed.scheme in _PORTS and bool(parsed.hostname) and parsed.port != 0
    except ValueError:  # a port that is not a number, a bracket that is not closed
        is_usable = False
    if not is_usable or parsed.username is not None or not address.isprintable():
        raise errors.AddressRefused("this is no address to fetch from; accepted: http:// and https://, without a name")
    return parsed


def _ask(parsed: SplitResult, guard: AddressPolicy, seconds_max: float) -> bytes | str:
    """Make one request. Return the body, or the address of a redirect."""
    host, port = parsed.hostname or "", parsed.port or _PORTS[parsed.scheme]
    sock = _connect(guard.addresses(host, port), port)
    is_late = threading.Event()
    # Closing the connection ends everything that takes too long, except the look-up of the name.
    timer = threading.Timer(seconds_max, _shut_down, (sock, is_late))
    timer.daemon = True
    timer.start()
    try:
        with closing(sock):
            result = _request(parsed, host, port, sock)
    except (OSError, http.client.HTTPException) as problem:
        raise TemporaryFailure(f"{host}: {type(problem).__name__}: {problem}".rstrip(": ")) from None
    finally:
        timer.cancel()
    if is_late.is_set():
        # A body without a length looks complete when it is cut off.
        raise TemporaryFailure(f"{host} took longer than {seconds_max:.0f} seconds")
    return result


def _connect(addresses: Sequence[str], port: int) -> socket.socket:
    problem: OSError | None = None
    for numeric in addresses:
        try:
            return socket.create_connection((numeric, port), _CONNECT_SECONDS_MAX)
        except OSError as error:
            problem = error
    raise TemporaryFailure(f"cannot be reached: {problem}")


def _shut_down(sock: socket.socket, is_late: threading.Event) -> None:
    is_late.set()
    with suppress(OSError):  # it is closed already
        sock.shutdown(socket.SHUT_RDWR)


def _request(parsed: SplitResult, host: str, port: int, sock: socket.socket) -> bytes | str:
    connection = http.client.HTTPConnection(host, port)
    if parsed.scheme == "https":
        # The certificate must be the host's, whichever IP address the connection goes to.
        connection.sock = _tls_context().wrap_socket(sock, server_hostname=host)
    else:
        connection.sock = sock
    with closing(connection):
        target = (parsed.path or "/") + (f"?{parsed.query}" if parsed.query else "")
        target = quote(target, safe="/%:@!$&'()*+,;=~?-._")
        headers = {
            "Accept": "image/webp,image/avif,image/*",
            "Accept-Encoding": "identity",
            "User-Agent": f"modelyard/{__version__}",
            "Connection": "close",
        }
        connection.request("GET", target, headers=headers)
        with closing(connection.getresponse()) as response:
            return _read_answer(response)


@cache
def _tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()


def _read_answer(response: http.client.HTTPResponse) -> bytes | str:
    status = response.status
    if status in _REDIRECTS:
        return response.headers.get("Location") or "about:blank"
    if status in _TEMPORARY_STATUSES:
        raise TemporaryFailure(f"status {status}", parse_retry_after(response.headers.get("Retry-After")))
    if status != 200:
        raise errors.DownloadFailed(f"the address answers with status {status}")
    if int(response.length or 0) > BYTES_MAX:
        raise errors.TooLarge("the picture", BYTES_MAX)
    body = bytearray()
    while block := response.read(_BLOCK_BYTES):
        body += block
        if len(body) > BYTES_MAX:
            raise errors.TooLarge("the picture", BYTES_MAX)
    if response.length:
        raise TemporaryFailure(f"cut off {response.length:,} bytes before the end")
    return bytes(body)
